"""A camera of Video4Linux (or a video file), by OpenCV.

A first version: no trigger, no fixed exposure yet.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.cameras.video import to_grey
from edge.config import CameraConfig
from edge.errors import RecordingError


class V4L2Camera:
    """Grey frames of a device such as /dev/video0."""

    def __init__(self, config: CameraConfig) -> None:
        self.name = config.source
        self._capture = cv2.VideoCapture(config.source)
        if not self._capture.isOpened():
            raise RecordingError(
                "cannot be opened", file=config.source, field="run.camera.source",
                remedy="check the device's name, its cable and your rights to it",
            )  # fmt: skip
        self._capture.set(cv2.CAP_PROP_FPS, config.frame_rate_hz)

    def capture(self) -> NDArray[np.uint8] | None:
        """Next frame, uint8 (height, width), or None when the camera gave none."""
        there, image = self._capture.read()
        if not there or image is None:
            return None
        return to_grey(image)

    def close(self) -> None:
        """Let the device go."""
        self._capture.release()
