"""The camera of OpenCV, fed by a video file: grey frames at its pace, then it is lost; a sentence."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from edge.cameras.camera import CameraError
from edge.cameras.v4l2 import V4L2Camera
from edge.errors import InputError
from edge.run_config import CameraConfig

pytestmark = pytest.mark.board


@pytest.fixture
def video(tmp_path):
    file = str(tmp_path / "camera.avi")
    writer = cv2.VideoWriter(file, cv2.VideoWriter.fourcc(*"MJPG"), 5.0, (64, 48))
    if not writer.isOpened():
        pytest.skip("OpenCV has no MJPG writer here")
    for grey in (0, 90, 180):
        writer.write(np.full((48, 64, 3), grey, np.uint8))
    writer.release()
    return file


def next_shot(camera):
    while (shot := camera.next_shot(0.02)) is None:
        pass
    return shot


def test_frames_come_grey_at_their_pace_and_then_the_camera_is_lost(video):
    camera = V4L2Camera(CameraConfig(source=video), 20.0)
    assert (camera.shape, camera.notes) == ((48, 64), ())
    camera.start()
    began_s = time.monotonic()
    shots = [next_shot(camera) for _ in range(3)]
    assert time.monotonic() - began_s > 0.09
    with pytest.raises(CameraError, match="gives no more frames; check its cable and its power"):
        next_shot(camera)
    camera.close()
    assert [shot.pixels.shape for shot in shots] == [(48, 64)] * 3
    assert [round(float(shot.pixels.mean()) / 90) for shot in shots] == [0, 1, 2]


def test_a_device_that_is_not_there_is_a_sentence():
    with pytest.raises(InputError, match=r"/dev/video99: run\.camera\.source: cannot be opened; check"):
        V4L2Camera(CameraConfig(source="/dev/video99"), 1.0)


def test_what_the_driver_does_not_take_is_said(video, monkeypatch):
    """A file takes no setting: it stands for a driver that refuses them all."""
    monkeypatch.setattr("pathlib.Path.is_file", lambda path: False)
    size = {"width_px": 640, "height_px": 480}
    camera = V4L2Camera(
        CameraConfig(source=video, exposure_us=200, gain=3, pixel_format="GREY", **size), 25.0
    )
    camera.close()
    assert camera.notes == (
        "does not take pixel_format GREY: it has MJPG",
        "does not take width_px 640: it has 64",
        "does not take height_px 480: it has 48",
        "does not take frame_rate_hz 25: it has 5",
        "has no exposure_us",
        "has no gain",
    )
