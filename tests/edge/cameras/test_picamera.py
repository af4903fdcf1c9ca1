"""The Raspberry Pi's camera, with a stand-in that has the calls of picamera2 that its manual describes."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest

from edge.cameras.camera import CameraError
from edge.cameras.picamera import PiCamera
from edge.run_config import CameraConfig, CameraKind

pytestmark = pytest.mark.board

CONFIG = CameraConfig(
    kind=CameraKind.PICAMERA2, source="1", exposure_us=200, gain=2, width_px=62, height_px=4
)


class Request:
    def __init__(self, released):
        self._released = released

    def make_array(self, name):
        assert name == "main"
        planes = np.full((6, 64), 128, np.uint8)  # YUV420: rows of grey, padded, then colour
        planes[:4, :62] = np.arange(62)
        return planes

    def get_metadata(self):
        return {"SensorTimestamp": 5_000_000_000}

    def release(self):
        self._released.append(True)


class Picamera2:
    """One camera, number 1."""

    made: ClassVar[list[Picamera2]] = []

    def __init__(self, number):
        if number != 1:
            raise IndexError("list index out of range")
        self.said, self.released, self.is_dark = [], [], False
        self.sensor_resolution = (1456, 1088)
        self.made.append(self)

    def create_video_configuration(self, main, controls, buffer_count):
        return {"main": main, "controls": controls, "buffer_count": buffer_count}

    def configure(self, configuration):
        self.configuration = configuration

    def camera_configuration(self):
        return self.configuration

    def start(self):
        self.said.append("start")

    def capture_request(self, wait):
        assert wait is False
        self.said.append("job")
        return "job"

    def wait(self, job, timeout):
        assert job == "job"
        if self.is_dark:
            raise TimeoutError
        return Request(self.released)

    def stop(self):
        self.said.append("stop")

    def close(self):
        self.said.append("close")


@pytest.fixture
def picamera2(monkeypatch):
    module = ModuleType("picamera2")
    module.Picamera2 = Picamera2
    monkeypatch.setattr(Picamera2, "made", [])
    monkeypatch.setitem(sys.modules, "picamera2", module)
    return Picamera2.made


def test_a_frame_is_the_grey_plane_with_the_sensors_time(picamera2):
    camera = PiCamera(CONFIG, 5.0)
    (theirs,) = picamera2
    assert theirs.configuration["main"] == {"size": (62, 4), "format": "YUV420"}
    assert theirs.configuration["controls"] == {
        "FrameDurationLimits": (200_000, 200_000), "AeEnable": False, "ExposureTime": 200, "AnalogueGain": 2,
    }  # fmt: skip
    camera.start()
    theirs.is_dark = True
    assert camera.next_shot(0.1) is None
    assert camera.next_shot(0.1) is None
    theirs.is_dark = False
    shot = camera.next_shot(0.1)
    camera.close()
    assert camera.shape == shot.pixels.shape == (4, 62)
    assert np.array_equal(shot.pixels[3], np.arange(62))
    assert shot.device_ns == 5_000_000_000
    assert theirs.released == [True]
    assert theirs.said == ["start", "job", "stop", "close"], "a job that waits is not asked for again"


def test_a_camera_that_is_not_there_is_a_sentence(picamera2):
    with pytest.raises(
        CameraError, match=r"camera 0 cannot be opened \(list index out of range\); check its"
    ):
        PiCamera(CameraConfig(kind=CameraKind.PICAMERA2, source=""), 1.0)


def test_a_machine_without_picamera2_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(CameraError, match="this machine has none; install it with `apt install python3-pic"):
        PiCamera(CONFIG, 1.0)
