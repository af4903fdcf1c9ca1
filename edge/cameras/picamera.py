"""A camera of a Raspberry Pi by `picamera2`, imported only when it is configured.

Written after the Picamera2 manual (Raspberry Pi Ltd): a video configuration in YUV420, whose first rows are
the grey frame; controls of libcamera; `SensorTimestamp` in ns. It has not been tried on a board.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from edge.cameras.camera import CameraError, Shot
from edge.run_config import CameraConfig

N_BUFFERS = 4


class PiCamera:
    """See `edge.cameras.camera.Device`."""

    def __init__(self, config: CameraConfig, frame_rate_hz: float) -> None:
        try:
            from picamera2 import Picamera2
        except ImportError:
            raise CameraError(
                'is "picamera2", and this machine has none', field="run.camera.kind",
                remedy="install it with `apt install python3-picamera2`, for the same Python",
            ) from None  # fmt: skip
        number = int(config.source) if config.source.isdecimal() else 0
        self._camera: Any = None
        try:
            self._camera = Picamera2(number)
            self.shape: tuple[int, int] | None = self._configure(config, frame_rate_hz)
        except (RuntimeError, IndexError, ValueError) as cause:
            if self._camera is not None:
                self._camera.close()
            raise CameraError(
                f"camera {number} cannot be opened ({cause})", field="run.camera.source",
                remedy="check its ribbon, and that `rpicam-hello --list-cameras` shows it",
            ) from None  # fmt: skip
        self._job: Any = None
        self.notes: tuple[str, ...] = ()

    def _configure(self, config: CameraConfig, frame_rate_hz: float) -> tuple[int, int]:
        """Set up format, size, time and gain; returns (height, width) as the camera gives it."""
        width, height = config.width_px, config.height_px
        if width is None or height is None:
            width, height = self._camera.sensor_resolution
        period_us = round(1e6 / frame_rate_hz)
        controls: dict[str, Any] = {"FrameDurationLimits": (period_us, period_us)}
        if config.exposure_us is not None or config.gain is not None:
            controls["AeEnable"] = False
        if config.exposure_us is not None:
            controls["ExposureTime"] = round(config.exposure_us)
        if config.gain is not None:
            controls["AnalogueGain"] = config.gain
        self._camera.configure(
            self._camera.create_video_configuration(
                main={"size": (width, height), "format": "YUV420"}, controls=controls, buffer_count=N_BUFFERS
            )
        )
        width, height = self._camera.camera_configuration()["main"]["size"]
        return height, width

    def start(self) -> None:
        """See `Device`."""
        self._camera.start()

    def trigger(self) -> None:
        """See `Device`: the configuration triggers no such camera."""

    def next_shot(self, wait_s: float) -> Shot | None:
        """See `Device`."""
        if self._job is None:
            self._job = self._camera.capture_request(wait=False)
        try:
            request = self._camera.wait(self._job, timeout=wait_s)
        except TimeoutError:
            return None
        self._job = None
        try:
            arrived_s = time.monotonic()
            planes = request.make_array("main")
            device_ns = request.get_metadata().get("SensorTimestamp")
        finally:
            request.release()
        assert self.shape is not None
        height, width = self.shape
        return Shot(
            np.ascontiguousarray(planes[:height, :width], dtype=np.uint8), arrived_s, device_ns=device_ns
        )

    def close(self) -> None:
        """See `Device`."""
        self._camera.stop()
        self._camera.close()
