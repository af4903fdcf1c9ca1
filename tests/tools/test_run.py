"""`seston run` as it runs aboard: a real process, a real pty, a stop in the middle, messages that decode."""

from __future__ import annotations

import collections
import contextlib
import os
import pty
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import tty

import cv2
import numpy as np
import pytest

from edge.divelog import DiveLog
from edge.frame import FrameOutcome
from edge.logged import plan_messages
from edge.outbox import Outbox
from edge.telemetry.codebook import load_codebook
from edge.telemetry.decoder import decode_messages
from edge.telemetry.whole_dive import health_of
from tests.edge.cameras.test_genicam import ADDRESS, FakeCamera, needs_aravis, opened
from tests.edge.test_instrument import scene

pytestmark = pytest.mark.board
HANGS_AFTER_S = 400
"""Emulated, the end of a dive alone takes more than a minute."""

CONFIG = """
bundle = "demo"
platform = "test float"
[optics]
pixel_um = 73
image_volume_l = 0.6
threshold = 21
aa_um2 = 2300
exp = 1.136
[log]
frames_per_bloc = 2
[run.camera]
kind = "replay"
source = "{frames}"
frame_rate_hz = 20
[run.pressure]
port = "{port}"
"""


@pytest.fixture
def float_side(tmp_path):
    host, instrument = pty.openpty()
    tty.setraw(instrument)
    os.set_blocking(host, False)
    frames = tmp_path / "frames"
    frames.mkdir()
    for i in range(60):
        cv2.imwrite(str(frames / f"{i:03d}.png"), scene(i % 5))
    config = tmp_path / "seston.toml"
    config.write_text(CONFIG.format(frames=frames, port=os.ttyname(instrument)))
    yield host, config, tmp_path
    os.close(host)
    os.close(instrument)


def start(config, folder, *more):
    command = [sys.executable, "-u", "-c", "from tools.cli import main; main()", "run"]
    command += ["--config", str(config), "--folder", str(folder), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def hear(process):
    """What the process has said since the last time; never waits."""
    os.set_blocking(process.stdout.fileno(), False)
    return (process.stdout.read() or b"").decode()


def stop(process):
    """SIGTERM, as systemd does it; returns the last words."""
    process.send_signal(signal.SIGTERM)
    os.set_blocking(process.stdout.fileno(), True)
    said, _ = process.communicate(timeout=HANGS_AFTER_S)
    assert process.returncode == 0, said
    return said.decode()


def send(host, pressure_dbar):
    """One line of the float's; a line nobody reads is lost, as on a real port."""
    with contextlib.suppress(BlockingIOError):
        os.write(host, b"%.2f, 12.5\r\n" % pressure_dbar)


def talk(process, host, pressures, until):
    """Send pressures one by one, the last for ever, until the process says a line that holds `until`."""
    said, coming, deadline, last = "", iter(pressures), time.monotonic() + HANGS_AFTER_S, 0.0
    while until not in said:
        assert time.monotonic() < deadline, said
        last = next(coming, last)
        send(host, last)
        ended = process.poll() is not None
        said += hear(process)
        assert not ended or until in said, said
        time.sleep(0.02)
    return said


def wait_for_frames(log, host, n):
    """Keep the pressure coming until so many frames are committed."""
    deadline = time.monotonic() + HANGS_AFTER_S
    with sqlite3.connect(log) as db:
        while db.execute("SELECT COUNT(*) FROM frames").fetchone()[0] < n:
            assert time.monotonic() < deadline
            send(host, 60.0)
            time.sleep(0.02)
    db.close()


def test_a_dive_stopped_in_the_middle_goes_on_and_is_delivered(float_side):
    host, config, folder = float_side
    process = start(config, folder)
    talk(process, host, [0.0, 0.5, 3.0, *range(6, 60, 3)], "begins at")
    wait_for_frames(folder / "dives/00000/dive.sqlite", host, 6)
    assert "the next start goes on with it" in stop(process)
    assert not list((folder / "messages").glob("*.msg"))

    process = start(config, folder)
    said = talk(process, host, [60.0], "goes on after")
    wait_for_frames(folder / "dives/00000/dive.sqlite", host, 10)
    said += talk(process, host, [60.0, *range(60, 0, -2), 0.5], "ended:")
    stop(process)
    assert "dive 00000 goes on after" in said

    (book,) = (folder / "messages").glob("codebook-*.json")
    codebook = load_codebook(book.read_bytes())
    messages = [file.read_bytes() for file in sorted((folder / "messages").glob("*.msg"))]
    (dive,) = decode_messages(messages, [codebook]).dives
    with DiveLog.open(folder / "dives/00000") as log:
        frames = [row["frame"] for row in log.frames()]
        readings = [data for _, data in log.inputs("health")]
        assert plan_messages(log).messages == tuple(messages)
    assert frames == list(range(len(frames)))
    assert len(frames) > 8
    health = health_of(dive)
    assert health.restarts == 1
    assert health.messages_waiting == 0
    assert abs(health.disk_free_mb - shutil.disk_usage(folder).free / 1e6) < 5000
    assert len(readings) == 3, "at the beginning, after the restart, and at the end"

    # Power goes after the messages were made, before the dive is marked ended: they stay as they are.
    with sqlite3.connect(folder / "dives/00000/dive.sqlite") as db:
        db.execute("DELETE FROM meta WHERE key = 'ended_ms'")
    db.close()
    process = start(config, folder)
    talk(process, host, [0.5], "ended:")
    stop(process)
    assert [file.read_bytes() for file in sorted((folder / "messages").glob("*.msg"))] == messages
    with DiveLog.open(folder / "dives/00000") as log:
        assert log.messages() == messages
        assert (len(log.inputs("restart")), len(log.inputs("health"))) == (1, 3)
    assert dive.outcomes().sum() == len(frames)


def test_a_configuration_without_optics_is_refused_with_a_sentence(tmp_path):
    config = tmp_path / "seston.toml"
    config.write_text("bundle = 'demo'\n")
    process = start(config, tmp_path)
    said, _ = process.communicate(timeout=HANGS_AFTER_S)
    assert process.returncode == 2
    assert said.decode().strip() == "seston: optics: is missing; add an [optics] section."


def test_a_camera_that_is_not_there_is_known_on_deck(float_side):
    _, config, folder = float_side
    config.write_text(config.read_text().replace(str(folder / "frames"), str(folder / "nowhere")))
    said, _ = (process := start(config, folder)).communicate(timeout=HANGS_AFTER_S)
    assert process.returncode == 2
    assert "nowhere: is not there; check the path." in said.decode()


def dive_with_a_camera(float_side, kind, source, when_seen=lambda: None, when_lost=lambda: None):
    """A whole dive from a live camera; returns what was said, and how many frames have each outcome."""
    host, config, folder = float_side
    told = config.read_text().replace('kind = "replay"', f'kind = "{kind}"')
    config.write_text(told.replace(str(folder / "frames"), source))
    process = start(config, folder)
    said = talk(process, host, [0.0, 0.5, 3.0, *range(6, 60, 3)], "begins at")
    wait_for_frames(folder / "dives/00000/dive.sqlite", host, 10)
    when_seen()
    said += talk(process, host, [60.0], "the camera is lost")
    when_lost()
    if "the camera is back" not in said:
        said += talk(process, host, [60.0], "the camera is back")
    said += talk(process, host, [60.0, *range(60, 0, -2), 0.5], "ended:")
    said += stop(process)
    with DiveLog.open(folder / "dives/00000") as log:
        records, rows = list(log.records()), log.frames()
        messages = plan_messages(log).messages
    assert [record.index for record in records] == list(range(len(rows)))
    assert sorted(record.time_ms for record in records) == [record.time_ms for record in records]
    (book,) = (folder / "messages").glob("codebook-*.json")
    (dive,) = decode_messages(messages, [load_codebook(book.read_bytes())]).dives
    assert dive.outcomes().sum() == len(records)
    return said, records, collections.Counter(record.outcome for record in records)


def test_a_dive_from_a_video_goes_on_when_the_camera_is_lost(float_side):
    _, _, folder = float_side
    video = str(folder / "camera.avi")
    writer = cv2.VideoWriter(
        video, cv2.VideoWriter.fourcc(*"MJPG"), 20.0, scene(0).shape[::-1], isColor=False
    )
    if not writer.isOpened():
        pytest.skip("OpenCV has no MJPG writer here")
    for i in range(60):
        writer.write(np.maximum(scene(i % 5), np.uint8(i % 7)))  # no two alike, also where some are dropped
    writer.release()
    said, _, outcomes = dive_with_a_camera(float_side, "v4l2", video)
    assert "gives no more frames; check its cable and its power." in said
    assert outcomes[FrameOutcome.ANALYSED] > 10
    assert set(outcomes) <= {FrameOutcome.ANALYSED, FrameOutcome.EMPTY, FrameOutcome.DROPPED}


@needs_aravis
def test_a_dive_goes_on_when_its_gige_camera_is_unplugged(float_side):
    with FakeCamera() as camera:
        opened().close()  # it answers
        _, records, outcomes = dive_with_a_camera(
            float_side, "genicam", ADDRESS, when_seen=camera.unplug, when_lost=camera.plug
        )
    assert outcomes[FrameOutcome.DROPPED] > 20, "more than a second passes until a camera is missed"
    seen = [i for i, record in enumerate(records) if record.outcome is not FrameOutcome.DROPPED]
    dropped = [i for i, record in enumerate(records) if record.outcome is FrameOutcome.DROPPED]
    assert seen[0] < dropped[-1] < seen[-1]
    passed_s = (records[-1].time_ms - records[0].time_ms) / 1000
    assert len(records) == pytest.approx(20 * passed_s, rel=0.1)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ('"v4l2"', "/dev/video99: run.camera.source: cannot be opened; check the device's name"),
        ('"v4l2"\nstrobe = "gpio:gpiochip99:1"', "run.camera.strobe: is gpio:gpiochip99:1, "),
        ('"v4l2"\ntrigger = "software"', 'trigger "software" needs kind "genicam"'),
        ('"polaroid"', "run.camera.kind"),
    ],
)
def test_a_wrong_camera_is_known_on_deck(float_side, kind, sentence):
    _, config, folder = float_side
    told = config.read_text().replace('"replay"', kind).replace(str(folder / "frames"), "/dev/video99")
    config.write_text(told)
    said, _ = (process := start(config, folder)).communicate(timeout=HANGS_AFTER_S)
    assert process.returncode == 2
    assert sentence in said.decode()
    assert "Traceback" not in said.decode()


def test_alone_at_sea_what_is_not_there_is_an_alarm_and_messages_go_all_the_same(float_side):
    """No camera, no pressure and no light; a message of the dive before waits, and goes."""
    _, config, folder = float_side
    (folder / "dives").mkdir(exist_ok=True)
    with contextlib.closing(Outbox(folder / "dives" / "outbox.sqlite")) as outbox:
        outbox.put(0, [b"of the dive before"], now_ms=1)
    told = config.read_text().replace('"replay"', '"v4l2"\nstrobe = "gpio:gpiochip99:1"')
    config.write_text(told.replace(str(folder / "frames"), "/dev/video99").replace("/dev/pts", "/dev/none"))
    process = start(config, folder, "--alone")
    try:
        said = b""
        deadline = time.monotonic() + HANGS_AFTER_S
        while not list((folder / "messages").glob("*.msg")) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert [one.read_bytes() for one in (folder / "messages").glob("*.msg")] == [b"of the dive before"]
        assert process.poll() is None
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=HANGS_AFTER_S)
    assert process.returncode == 0
    assert "ALARM: there is no camera: /dev/video99: run.camera.source: cannot be opened" in said.decode()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("climatology = 'nowhere.json'", "telemetry.climatology: is nowhere.json, which cannot be read"),
        ("climatology = 'seston.toml'", "seston.toml: is not a climatology"),
        ("worth = { taxons = 3 }", "telemetry.worth: names taxons, which is no table; use dive, "),
        ("parity_messages = 1\nmessage_bytes = 23", "parity_messages needs message_bytes of 31 or more"),
    ],
)
def test_what_would_fail_at_the_end_of_a_dive_is_known_on_deck(float_side, line, sentence, monkeypatch):
    _, config, folder = float_side
    monkeypatch.chdir(folder)
    config.write_text(config.read_text() + f"[telemetry]\n{line}\n")
    said, _ = (process := start(config, folder)).communicate(timeout=HANGS_AFTER_S)
    assert process.returncode == 2
    assert sentence in said.decode()
    assert not list((folder / "dives").glob("0*"))


def test_a_port_that_is_not_there_is_a_sentence(tmp_path):
    config = tmp_path / "seston.toml"
    config.write_text(CONFIG.format(frames=tmp_path, port="/dev/nowhere"))
    process = start(config, tmp_path)
    said, _ = process.communicate(timeout=HANGS_AFTER_S)
    assert process.returncode == 2
    assert "seston: /dev/nowhere: cannot be opened" in said.decode()
    assert "Traceback" not in said.decode()
