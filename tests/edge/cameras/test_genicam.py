"""A GigE camera for real: Aravis's own fake one on the loopback, driven by Aravis in its process."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from edge.cameras import genicam
from edge.cameras.camera import CameraError
from edge.cameras.genicam import SYSTEM_PYTHON, GenicamCamera
from edge.frame import FrameOutcome
from edge.run_config import CameraConfig, CameraKind, Trigger
from tests.edge.cameras.devices import frames_until, live

FAKE = "arv-fake-gv-camera-0.8"
ADDRESS = "127.0.0.1"


def lacks() -> str:
    """What this machine lacks."""
    if shutil.which(FAKE) is None:
        return "Aravis's fake camera is not installed (apt install aravis-tools)"
    code = "import gi; gi.require_version('Aravis', '0.8'); from gi.repository import Aravis"
    tried = subprocess.run([SYSTEM_PYTHON, "-I", "-c", code], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "apt install gir1.2-aravis-0.8 python3-gi"


LACKS = lacks()
needs_aravis = pytest.mark.skipif(bool(LACKS), reason=LACKS or "all is there")


class FakeCamera:
    """Aravis's fake camera, with a plug. It has one port: on a machine there is one at a time."""

    def __init__(self):
        self.process = None
        self._turn = os.open(Path(tempfile.gettempdir()) / "seston-fake-gige.lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(self._turn, fcntl.LOCK_EX)

    def __enter__(self):
        self.plug()
        return self

    def __exit__(self, *_):
        self.unplug()
        os.close(self._turn)

    def plug(self, *more):
        self.process = subprocess.Popen(
            [FAKE, "-i", ADDRESS, *more], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def unplug(self):
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


@pytest.fixture
def fake():
    with FakeCamera() as camera:
        yield camera


def config(**more):
    told = {"kind": CameraKind.GENICAM, "source": ADDRESS, "frame_rate_hz": 20.0}
    return CameraConfig(**{**told, **more})


def opened(patience_s=20.0, **more):
    """A camera, as soon as it answers."""
    deadline_s = time.monotonic() + patience_s
    while True:
        try:
            return GenicamCamera(config(**more), more.get("frame_rate_hz", 20.0))
        except CameraError:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)


def shots(camera, n):
    found, deadline_s = [], time.monotonic() + 20
    while len(found) < n:
        assert time.monotonic() < deadline_s
        shot = camera.next_shot(0.2)
        found += [] if shot is None else [shot]
    return found


@needs_aravis
def test_frames_come_whole_numbered_and_dated(fake):
    camera = opened(exposure_us=2000.0, gain=2.0, packet_bytes=1400, width_px=256, height_px=128)
    assert (camera.shape, camera.notes) == ((128, 256), ())
    assert camera.next_shot(0.3) is None, "nothing comes before it is wanted"
    camera.start()
    found = shots(camera, 5)
    camera.close()
    assert all(shot.problem == "" and shot.pixels.shape == (128, 256) for shot in found)
    assert [b.number - a.number for a, b in itertools.pairwise(found)] == [1] * 4
    steps_ms = [(b.device_ns - a.device_ns) / 1e6 for a, b in itertools.pairwise(found[1:])]
    assert steps_ms == pytest.approx([50] * 3, abs=25)


@needs_aravis
def test_a_triggered_camera_gives_one_frame_a_trigger(fake):
    camera = opened(trigger=Trigger.SOFTWARE)
    camera.start()
    assert camera.next_shot(0.3) is None
    numbers = []
    for _ in range(3):
        camera.trigger()
        numbers += [shot.number for shot in shots(camera, 1)]
    assert camera.next_shot(0.3) is None
    camera.close()
    assert numbers == [numbers[0] + i for i in range(3)]


@needs_aravis
def test_what_the_camera_does_not_take_is_said(fake):
    camera = opened(gain=0.1, frame_rate_hz=1e5)
    camera.close()
    assert camera.notes == (
        "does not take frame_rate_hz 100000: it has 1000",
        "does not take gain 0.1: it has 0",
    )
    told = {"trigger": Trigger.HARDWARE, "trigger_line": "Line7"}
    with pytest.raises(CameraError, match=r"run\.camera\.trigger: takes no trigger of Line7 \("):
        GenicamCamera(config(**told), 1.0)


@needs_aravis
def test_a_camera_that_somebody_else_controls_is_a_sentence(fake):
    other = opened()
    with pytest.raises(CameraError, match="that nobody else controls"):
        GenicamCamera(config(), 1.0)
    other.close()


@needs_aravis
def test_a_frame_with_packets_lost_is_corrupt_with_the_reason(fake):
    fake.unplug()
    fake.plug("-r", "150")  # of a thousand packets
    said = []
    camera = live(lambda hz: opened(width_px=256, height_px=256), said, frame_rate_hz=20.0)
    camera.start(20.0)
    frames = frames_until(camera, lambda frames: any(frame.fault for frame in frames[1:]))
    camera.close()
    corrupt = [frame for frame in frames if frame.fault is FrameOutcome.CORRUPT]
    assert corrupt
    assert {frame.note for frame in corrupt} <= {"packets of it are missing", "it was not complete in time"}
    assert all(frame.pixels is None for frame in corrupt)


@needs_aravis
def test_a_camera_unplugged_and_plugged_in_again_goes_on(fake):
    said = []
    camera = live(lambda hz: opened(), said, frame_rate_hz=20.0)
    camera.start(20.0)
    before = frames_until(camera, lambda frames: sum(frame.pixels is not None for frame in frames) == 5)
    fake.unplug()
    lost = frames_until(camera, lambda frames: any(frame.pixels is None for frame in frames))
    fake.plug()
    lost += frames_until(camera, lambda _: "the camera is back" in said)
    after = frames_until(camera, lambda frames: sum(frame.pixels is not None for frame in frames) == 5)
    camera.close()
    assert said[0].startswith(f"the camera is lost: {ADDRESS}: run.camera: ")
    frames = before + lost + after
    missing = [frame for frame in frames if frame.pixels is None]
    assert {frame.note for frame in missing} == {"the camera gave no frame"}
    # One frame for each twentieth of a second, seen or not, less what the opening took.
    passed_ms = frames[-1].stamp.monotonic_ms - frames[0].stamp.monotonic_ms
    assert len(frames) == pytest.approx(passed_ms / 50, rel=0.1, abs=5)


@needs_aravis
def test_a_camera_that_stalls_is_opened_again(fake, monkeypatch):
    monkeypatch.setattr("edge.cameras.capture.STALL_S", 0.5)
    said = []
    camera = live(lambda hz: opened(), said, frame_rate_hz=20.0)
    camera.start(20.0)
    frames_until(camera, lambda frames: sum(frame.pixels is not None for frame in frames) == 3)
    fake.process.send_signal(signal.SIGSTOP)
    frames_until(camera, lambda _: bool(said))
    fake.process.send_signal(signal.SIGCONT)
    frames_until(camera, lambda _: "the camera is back" in said)
    camera.close()
    assert "gave no frame for 2.2 s" in said[0] or "does not answer any more" in said[0]


@needs_aravis
def test_no_camera_there_is_a_sentence():
    with pytest.raises(
        CameraError, match=r"^127\.0\.0\.99: run\.camera\.source: cannot be opened \(Can't conn"
    ):
        GenicamCamera(config(source="127.0.0.99"), 1.0)


STUB = """
import json, os, struct, sys, time
def send(head, pixels=b"", n=None):
    head = json.dumps(head).encode() if isinstance(head, dict) else head
    os.write({file}, struct.pack(">II", len(head), len(pixels) if n is None else n) + head + pixels)
"""


@pytest.fixture
def process(monkeypatch, tmp_path):
    """Another process in the place of ours: it gives what a test wants."""

    def put(code):
        script = tmp_path / "python"
        stub = STUB.replace("{file}", "int(sys.argv[4])")
        script.write_text(f"#!{sys.executable}\n{stub}\n{code}\n")
        script.chmod(0o755)
        monkeypatch.setattr(genicam, "SYSTEM_PYTHON", str(script))

    return put


READY = "send({'kind': 'ready', 'shape': [2, 3], 'notes': []})\n"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("send({'kind': 'refused', 'problem': 'is green', 'field': 'kind', 'remedy': 'paint it'})",
         r"run\.camera\.kind: is green; paint it\."),
        ("", "has lost its process"),
        ("send(b'{')", "cannot be understood"),
        ("send({'kind': 7})", "cannot be understood"),
        ("send({'kind': 'ready'}, n=1 << 30)", "cannot be understood"),
        ("os.write(int(sys.argv[4]), b'\\xff' * 99)", "cannot be understood"),
        ("time.sleep(60)", "does not answer within 0.5 s"),
    ],
)  # fmt: skip
def test_a_process_that_fails_is_a_sentence(process, monkeypatch, code, sentence):
    monkeypatch.setattr(genicam, "OPEN_TIMEOUT_S", 0.5 if "sleep" in code else 20.0)
    monkeypatch.setattr(genicam, "CLOSE_TIMEOUT_S", 0.2)
    process(code)
    with pytest.raises(CameraError, match=sentence):
        GenicamCamera(config(), 1.0)


def test_what_a_process_gives_is_cut_into_whole_frames(process):
    frame = {"kind": "frame", "number": 4, "device_ns": 9, "shape": [2, 3], "problem": ""}
    code = (
        READY + f"send({frame}, b'abcdef')\nsend({frame}, b'abc')\n"
        f"send({{**{frame}, 'shape': None, 'problem': 'it is torn'}})\n"
        "sys.stdin.read(1)\nsend({'kind': 'lost', 'problem': 'it is gone'})\ntime.sleep(60)\n"
    )
    process(code)
    camera = GenicamCamera(config(), 1.0)
    whole, short, torn = shots(camera, 3)
    assert whole.pixels.tobytes() == b"abcdef"
    assert (short.pixels, short.problem) == (None, "it has 3 bytes for 3 x 2 px")
    assert (torn.pixels, torn.problem, torn.number) == (None, "it is torn", 4)
    assert camera.next_shot(0.1) is None
    camera.start()
    with pytest.raises(CameraError, match="it is gone"):
        camera.next_shot(20.0)
    camera.close()
    with pytest.raises(CameraError, match="has lost its process"):
        camera.trigger()


def test_a_machine_without_aravis_is_a_sentence():
    """The real process in a Python that has no PyGObject: ours."""
    code = "import sys; sys.modules['gi'] = None; import edge.cameras.genicam_process as p; p.main()"
    ours, theirs = os.pipe()
    told = json.dumps({"source": ADDRESS})
    subprocess.run([sys.executable, "-c", code, told, str(theirs)], pass_fds=(theirs,), check=True)
    os.close(theirs)
    with open(ours, "rb") as file:
        answer = file.read()
    message = json.loads(answer[8 : 8 + struct.unpack_from(">I", answer)[0]])
    assert (message["kind"], message["problem"]) == (
        "refused",
        'is "genicam", and this machine has no Aravis',
    )
