"""The camera of OpenCV, fed by a video file: grey frames, None at the end, a sentence for no device."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.cameras.v4l2 import V4L2Camera
from edge.config import CameraConfig
from edge.errors import RecordingError

pytestmark = pytest.mark.board


def test_frames_come_grey_and_end(tmp_path):
    file = str(tmp_path / "camera.avi")
    writer = cv2.VideoWriter(file, cv2.VideoWriter.fourcc(*"MJPG"), 5.0, (64, 48))
    if not writer.isOpened():
        pytest.skip("OpenCV has no MJPG writer here")
    for grey in (0, 90, 180):
        writer.write(np.full((48, 64, 3), grey, np.uint8))
    writer.release()
    camera = V4L2Camera(CameraConfig(source=file))
    frames = [camera.capture() for _ in range(4)]
    camera.close()
    assert frames[3] is None
    assert [frame.shape for frame in frames[:3]] == [(48, 64)] * 3
    assert [round(float(frame.mean()) / 90) for frame in frames[:3]] == [0, 1, 2]


def test_a_device_that_is_not_there_is_a_sentence():
    with pytest.raises(RecordingError, match=r"/dev/video99: run\.camera\.source: cannot be opened; check"):
        V4L2Camera(CameraConfig(source="/dev/video99"))
