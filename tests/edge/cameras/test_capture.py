"""The thread that follows a camera: whatever the device does, frames keep their outcomes and nobody waits."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from edge.cameras import capture
from edge.cameras.camera import CameraError
from edge.cameras.strobe import LateStrobe
from edge.errors import ConfigError
from edge.frame import FrameOutcome
from edge.run_config import CameraConfig, CameraKind, Drop, Trigger
from edge.structs import to_struct
from tests.edge.cameras.devices import GREY, ScriptedDevice, frames_until, live

pytestmark = pytest.mark.board


def good(frames):
    return [frame for frame in frames if frame.pixels is not None]


def test_frames_come_in_order_with_the_time_of_their_capture():
    device, said = ScriptedDevice(), []
    camera = live(lambda hz: device, said)
    assert camera.next_frame(0.0) is None
    camera.start(50.0)
    for grey in range(3):
        device.coming.put(np.full((4, 6), grey, np.uint8))
    frames = frames_until(camera, lambda frames: len(good(frames)) == 3)
    camera.close()
    assert [int(frame.pixels[0, 0]) for frame in good(frames)] == [0, 1, 2]
    stamps = [frame.stamp.monotonic_ms for frame in frames]
    assert stamps == sorted(stamps)
    assert stamps[-1] < 30_000
    assert device.said == ["start", "close"]
    assert said == []


def test_a_wrong_camera_is_known_on_deck_and_what_it_does_not_take_is_said():
    def gone(hz):
        raise CameraError("cannot be opened", file="a camera", field="run.camera.source", remedy="plug it in")

    with pytest.raises(CameraError, match=r"a camera: run\.camera\.source: cannot be opened; plug it in\."):
        live(gone, [])
    device, said = ScriptedDevice(), []
    device.notes = ("does not take gain 3: it has 1",)
    live(lambda hz: device, said).close()
    assert said == ["the camera does not take gain 3: it has 1"]
    assert device.said == ["close"]


def test_alone_at_sea_a_camera_that_is_not_there_is_an_alarm_and_comes_later():
    device, said, asked = ScriptedDevice(), [], []

    def late(hz):
        asked.append(hz)
        if len(asked) < 3:
            raise CameraError(
                "cannot be opened", file="a camera", field="run.camera.source", remedy="plug it"
            )
        return device

    lights = []

    class Light:
        def set(self, *, lit):
            lights.append(lit)

        def close(self):
            lights.append("closed")

    def open_light():
        if not lights:
            lights.append("asked")
            raise CameraError("is gpio:0:1, which cannot be had", field="run.camera.strobe", remedy="look")
        return Light()

    camera = live(late, said, LateStrobe(open_light), must_open=False)
    assert said == ["ALARM: there is no camera: a camera: run.camera.source: cannot be opened; plug it."]
    camera.start(50.0)
    device.coming.put(np.full((4, 6), 7, np.uint8))
    frames_until(camera, lambda frames: len(good(frames)) == 1)
    camera.close()
    assert len(asked) > 3, "once more after the light that was not there"
    assert lights[:2] == ["asked", True]
    assert lights[-1] == "closed"
    assert any("run.camera.strobe: is gpio:0:1, which cannot be had" in one for one in said)


@pytest.mark.parametrize("drop", Drop)
def test_the_camera_never_waits_and_what_was_too_much_is_dropped(drop):
    device = ScriptedDevice()
    camera = live(lambda hz: device, [], queue_frames=2, drop=drop)
    camera.start(50.0)
    done = threading.Event()
    for grey in range(5):
        device.coming.put(np.full((4, 6), grey, np.uint8))
    device.coming.put(done.set)
    assert done.wait(30)
    frames = frames_until(camera, lambda frames: len(frames) >= 5)[:5]
    camera.close()
    seen = [None if frame.pixels is None else int(frame.pixels[0, 0]) for frame in frames]
    assert seen == ([0, 1, None, None, None] if drop is Drop.NEWEST else [None, None, None, 3, 4])
    assert {(f.fault, f.note) for f in frames if f.pixels is None} == {
        (FrameOutcome.DROPPED, "nobody had time for it")
    }


def test_a_device_that_raises_anything_is_opened_again(monkeypatch):
    monkeypatch.setattr(capture, "LONGEST_PAUSE_S", 0.05)
    devices, said = [], []

    def open_device(hz):
        devices.append(ScriptedDevice())
        if len(devices) in (2, 3):
            raise CameraError("is not there", file="a camera", remedy="plug it in")
        devices[-1].coming.put(GREY)
        return devices[-1]

    camera = live(open_device, said)
    camera.start(50.0)
    devices[0].coming.put(ZeroDivisionError("in a driver"))
    frames = frames_until(camera, lambda frames: len(good(frames)) == 2)
    frames_until(camera, lambda _: "the camera is back" in said)
    camera.close()
    assert len(devices) == 4
    assert said == [
        "the camera is lost: in a driver",
        "the camera is lost: a camera: is not there; plug it in.",
        "the camera is back",
    ]
    assert devices[0].said == ["start", "close"]
    assert {frame.fault for frame in frames} <= {None, FrameOutcome.DROPPED}


def test_a_silent_device_is_opened_again_and_each_period_has_its_missing_frame(monkeypatch):
    monkeypatch.setattr(capture, "STALL_S", 0.0)
    monkeypatch.setattr(capture, "POLL_S", 0.02)
    devices, said = [], []

    def open_device(hz):
        devices.append(ScriptedDevice())
        return devices[-1]

    camera = live(open_device, said)
    began_s = time.monotonic()
    camera.start(50.0)
    devices[0].coming.put(GREY)
    frames = frames_until(camera, lambda _: said and len(devices) == 2)
    passed_s = time.monotonic() - began_s
    camera.close()
    missing = [frame for frame in frames if frame.note == "the camera gave no frame"]
    assert len(missing) == len(frames) - 1
    assert 50 < len(missing) <= 50 * passed_s
    assert said[0].startswith("the camera is lost: a camera: run.camera: gave no frame for 2.1 s; check")


def test_a_device_that_hangs_hangs_nobody(monkeypatch):
    monkeypatch.setattr(capture, "JOIN_S", 0.05)
    device, hang = ScriptedDevice(), threading.Event()
    camera = live(lambda hz: device, [])
    camera.start(50.0)
    device.coming.put(hang.wait)
    frames = frames_until(camera, lambda frames: len(frames) > 5)
    assert {frame.note for frame in frames} == {"the camera gave no frame"}
    camera.close()
    assert device.said == ["start"]
    hang.set()
    deadline_s = time.monotonic() + 30
    while device.said != ["start", "close"]:
        assert time.monotonic() < deadline_s


class Light:
    """Notes what it is told, and whether it burns when a frame is taken."""

    def __init__(self):
        self.lit, self.closed = False, False

    def set(self, *, lit):
        self.lit = lit

    def close(self):
        self.closed = True


def test_of_triggered_frames_one_of_so_many_is_dark_and_marked():
    device, light, burned = ScriptedDevice(), Light(), []
    trigger = device.trigger
    device.trigger = lambda: (burned.append(light.lit), trigger())
    camera = live(
        lambda hz: device, [], light,
        trigger=Trigger.SOFTWARE, strobe="gpio:17", black_every=3, queue_frames=64,
    )  # fmt: skip
    camera.start(50.0)
    frames = frames_until(camera, lambda frames: len(good(frames)) >= 7)
    camera.close()
    assert [frame.lit for frame in good(frames)][:7] == [True, True, False, True, True, False, True]
    assert burned[:7] == [True, True, False, True, True, False, True]
    assert (light.lit, light.closed) == (False, True)


def test_where_the_camera_keeps_the_time_the_light_is_on_for_the_dive():
    device, light, burned = ScriptedDevice(), Light(), []
    camera = live(lambda hz: device, [], light, strobe="gpio:17")
    device.coming.put(lambda: burned.append(light.lit))
    assert not light.lit
    camera.start(50.0)
    frames_until(camera, lambda _: burned)
    camera.stop()
    assert (burned, light.lit) == ([True], False)
    camera.close()


def test_a_light_that_fails_stops_no_dive():
    device, light, said = ScriptedDevice(), Light(), []

    def fail(*, lit):
        raise OSError(5, "Input/output error")

    light.set = fail
    camera = live(lambda hz: device, said, light)
    camera.start(50.0)
    frames = frames_until(camera, lambda frames: said and len(frames) > 3)
    camera.close()
    assert said[0] == "the camera is lost: [Errno 5] Input/output error"
    assert {frame.fault for frame in frames} == {FrameOutcome.DROPPED}


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"black_every": 5}, "black_every needs trigger"),
        ({"kind": "v4l2", "trigger": "software"}, 'trigger "software" needs kind "genicam"'),
        ({"kind": "genicam", "pixel_format": "RGB8"}, "a genicam gives Mono8"),
        ({"kind": "v4l2", "pixel_format": "GREY8"}, "four letters"),
        ({"width_px": 640}, "width_px and height_px go together"),
        ({"strobe": "gpio:x"}, "strobe"),
        ({"queue_frames": 0}, "queue_frames"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(told, sentence):
    with pytest.raises(ConfigError, match=sentence):
        to_struct(told, CameraConfig, file=None, error=ConfigError)
    assert (
        to_struct({"kind": "genicam"}, CameraConfig, file=None, error=ConfigError).kind is CameraKind.GENICAM
    )
