"""What systemd hears: a real socket in its place, a real `seston run`, and cameras that stall or hang."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
import time

import numpy as np
import pytest

from edge.cameras import capture
from edge.cameras.camera import Shot
from edge.cameras.capture import LiveCamera
from edge.cameras.strobe import ForeignStrobe
from edge.clock import WallClock
from edge.divelog import DiveLog
from edge.ends import Replay
from edge.frame import FrameOutcome
from edge.inference.bundle import load_bundle
from edge.run_config import CameraConfig, CameraKind
from edge.service import Service
from edge.watchdog import SENT_PER_INTERVAL, Watchdog
from firmware_bridge.ctd import Reading
from tests.durability.aboard import CONFIG
from tests.edge.test_instrument import scene
from tests.tools.test_run import float_side, start, stop, talk, wait_for_frames  # noqa: F401

pytestmark = pytest.mark.board
WATCHDOG_S = 180.0


class Systemd:
    """The socket that systemd listens to."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": f"{WATCHDOG_S * 1e6:.0f}"}

    def hear(self):
        """What has come; a socket holds ten datagrams."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.socket.recv(4096, socket.MSG_DONTWAIT).decode())
        return found

    @contextlib.contextmanager
    def listening(self):
        """A queue of what comes, as it comes."""
        heard = queue.Queue()
        with self.socket.dup() as ear:
            ear.setblocking(True)

            def listen():
                while data := ear.recv(4096):
                    heard.put(data.decode())

            thread = threading.Thread(target=listen)
            thread.start()
            yield heard
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
                last.sendto(b"", self.socket.getsockname())
            thread.join()


@pytest.fixture(params=["file", "abstract"])
def systemd(request, tmp_path):
    name = f"@seston-{os.getpid()}-{time.monotonic_ns()}"
    found = Systemd(name if request.param == "abstract" else str(tmp_path / "notify"))
    yield found
    found.socket.close()


def test_it_is_told_at_most_so_often_and_of_long_steps_before(systemd):
    now = [1000.0]
    watchdog = Watchdog(systemd.environ, lambda: now[0])
    watchdog.ready()
    for _ in range(50):
        watchdog.went_on("descent, dive 00001, 5 frames")
        now[0] += WATCHDOG_S / SENT_PER_INTERVAL / 10
    assert systemd.hear() == ["READY=1", *["STATUS=descent, dive 00001, 5 frames\nWATCHDOG=1"] * 5]
    with watchdog.at_most(1800, "making messages"):
        assert systemd.hear() == ["STATUS=making messages\nWATCHDOG_USEC=1800000000"]
    assert systemd.hear() == ["WATCHDOG_USEC=180000000"]
    watchdog.stopping()
    watchdog.went_on("nobody listens any more")
    assert systemd.hear() == ["STOPPING=1"]


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "nowhere"}, {"NOTIFY_SOCKET": "/nowhere/notify"}])
def test_without_systemd_nothing_is_told(environ):
    watchdog = Watchdog(environ)
    watchdog.ready()
    watchdog.went_on("standby")
    watchdog.stopping()


@pytest.mark.parametrize("told", [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": ""}])
def test_a_watchdog_for_another_process_or_none_is_not_moved(systemd, told):
    watchdog = Watchdog(systemd.environ | told)
    with watchdog.at_most(5, "long"):
        pass
    watchdog.stopping()
    assert systemd.hear() == ["STATUS=long", "STOPPING=1"]


def test_a_real_run_is_ready_once_and_feeds_it_until_its_camera_hangs(systemd, float_side, monkeypatch):  # noqa: F811
    host, config, folder = float_side
    frame = sorted((folder / "frames").iterdir())[12]
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.environ["NOTIFY_SOCKET"])
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    process = start(config, folder)
    try:
        with systemd.listening() as heard:
            assert heard.get(timeout=60) == "READY=1"
            frame.unlink()
            os.mkfifo(frame)  # who opens it waits for a writer, as for a driver that does not come back
            talk(process, host, [0.0, 0.5, 3.0, *range(6, 60, 3)], "begins at")
            wait_for_frames(folder / "dives/00000/dive.sqlite", host, 8)
            writer = os.open(frame, os.O_WRONLY)  # it waits for the reader: now the service hangs
            told = [heard.get() for _ in range(heard.qsize())]
            assert "READY=1" not in told
            fed = [one for one in told if "WATCHDOG=1" in one]
            assert any(one.startswith("STATUS=standby\n") for one in fed)
            assert any(one.startswith("STATUS=descent, dive 00000, ") for one in fed)
            with pytest.raises(queue.Empty):
                heard.get(timeout=1.0)  # ten times as long as between two feedings
            os.close(writer)  # an empty file: a corrupt frame, and the dive goes on
            assert "WATCHDOG=1" in heard.get(timeout=30)
            stop(process)
        assert list(heard.queue)[-1] == "STOPPING=1"
    finally:
        process.kill()
        process.wait()


class Driver:
    """Gives `n` frames; then it comes back without one (`stalls`), or does not come back."""

    shape, notes = (160, 400), ()

    def __init__(self, n, *, stalls):
        self.n, self.stalls = n, stalls
        self.is_through, self.never = threading.Event(), threading.Event()

    def start(self):
        if not self.n:
            self._end()

    def next_shot(self, wait_s):
        if not self.n:
            return self._end()
        self.n -= 1
        return Shot(scene(self.n)[:160], 0.05)

    def _end(self):
        self.is_through.set()
        self.never.wait(0.001 if self.stalls else 60)

    def close(self):
        pass


class Deep:
    """Time that passes at once, and a float that goes down, once the camera's driver has given its frames."""

    def __init__(self, driver):
        self.now_s, self._driver = 0.0, driver

    def monotonic_s(self):
        return self.now_s

    def utc_ms(self):
        return round(1000 * self.now_s)

    def sleep(self, seconds):
        if self.now_s > 1:
            assert self._driver.is_through.wait(60)
        self.now_s += seconds

    def read(self):
        return Reading(20.0 + self.now_s / 100)

    def close(self):
        pass


def fed_during(tmp_path, systemd, driver, *, seconds):
    """When it was fed in a dive whose camera has this driver."""
    deep, fed = Deep(driver), []
    config = CameraConfig(kind=CameraKind.GENICAM, source="a camera", frame_rate_hz=1.0)
    wall = WallClock(deep)
    service = Service(
        CONFIG, load_bundle("demo"), tmp_path, lambda _: None, deep,
        replay=Replay(iter(()), lambda _: 1.0, pressure=deep),
        watchdog=Watchdog(systemd.environ, deep.monotonic_s),
    )  # fmt: skip
    service._diving.camera = LiveCamera(
        config, lambda hz: driver, ForeignStrobe(), wall, deep.monotonic_s, lambda _: None
    )

    def stop():
        fed.extend(deep.now_s for one in systemd.hear() if one.endswith("WATCHDOG=1"))
        return deep.now_s > seconds

    service.run(stop)
    with DiveLog.open(tmp_path / "dives" / "00000") as log:
        outcomes = [record.outcome for record in log.records()]
    driver.never.set()
    return np.array(fed), outcomes


@pytest.mark.parametrize("systemd", ["file"], indirect=True)
@pytest.mark.parametrize(("n", "stalls"), [(3, True), (0, True), (0, False)])
def test_a_camera_that_gives_no_frame_for_ten_minutes_costs_frames_alone(
    tmp_path, systemd, monkeypatch, n, stalls
):
    """So does a driver that hangs from the beginning: a new process would hang as well."""
    monkeypatch.setattr(capture, "JOIN_S", 0.05)
    fed, outcomes = fed_during(tmp_path, systemd, Driver(n, stalls=stalls), seconds=700)
    assert np.diff(fed).max() < WATCHDOG_S / 2
    assert fed[-1] > 700 - WATCHDOG_S / 2
    assert outcomes.count(FrameOutcome.DROPPED) > 600
    assert sum(one is not FrameOutcome.DROPPED for one in outcomes) == n


@pytest.mark.parametrize("systemd", ["file"], indirect=True)
def test_a_driver_that_gave_frames_and_hangs_gets_a_new_process(tmp_path, systemd, monkeypatch):
    monkeypatch.setattr(capture, "JOIN_S", 0.05)
    fed, outcomes = fed_during(tmp_path, systemd, Driver(3, stalls=False), seconds=700)
    assert len(outcomes) > 600, "its frames are told as missing meanwhile"
    assert 0 < fed[-1] < capture.STUCK_S + 10
