"""A camera of Video4Linux by OpenCV; or, on the bench, a video file, at the camera's frame rate.

The time is the driver's own (`CAP_PROP_POS_MSEC`), where it gives one. It counts no frames: one that the
driver dropped shows in the time alone.
"""

from __future__ import annotations

import time
from pathlib import Path

import cv2

from edge.cameras.camera import CameraError, Shot
from edge.cameras.video import to_grey
from edge.run_config import CameraConfig

EXPOSURE_UNIT_US = 100.0
"""Of V4L2_CID_EXPOSURE_ABSOLUTE (kernel documentation, camera controls)."""
MANUAL_EXPOSURE = 1.0
"""V4L2_EXPOSURE_MANUAL of V4L2_CID_EXPOSURE_AUTO, which OpenCV passes on as it is."""
TOLERANCE = 0.02
"""A setting that is read back within this share of what was asked was taken."""


class V4L2Camera:
    """See `edge.cameras.camera.Device`."""

    def __init__(self, config: CameraConfig, frame_rate_hz: float) -> None:
        self._config = config
        self._capture = cv2.VideoCapture(config.source)
        if not self._capture.isOpened():
            raise CameraError(
                "cannot be opened", file=config.source, field="run.camera.source",
                remedy="check the device's name, its cable and your rights to it",
            )  # fmt: skip
        is_file = Path(config.source).is_file()
        self._period_s = 1 / frame_rate_hz if is_file else 0.0
        self._due_s = 0.0
        self.notes = () if is_file else tuple(self._set_up(frame_rate_hz))
        size = [round(self._capture.get(p)) for p in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)]
        self.shape = (size[0], size[1]) if all(size) else None

    def start(self) -> None:
        """See `Device`: frames come when they are read."""
        self._due_s = time.monotonic()

    def trigger(self) -> None:
        """See `Device`: the configuration triggers no such camera."""

    def next_shot(self, wait_s: float) -> Shot | None:
        """See `Device`; a driver that gives nothing keeps OpenCV for ten seconds."""
        left_s = self._due_s - time.monotonic()
        if self._period_s and left_s > 0:
            time.sleep(min(wait_s, left_s))
            if left_s > wait_s:
                return None
        self._due_s += self._period_s
        there, image = self._capture.read()
        if not there or image is None:
            raise CameraError(
                "gives no more frames", file=self._config.source, field="run.camera.source",
                remedy="check its cable and its power",
            )  # fmt: skip
        device_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        device_ns = round(1e6 * device_ms) if 0 < device_ms < 1e15 else None
        return Shot(to_grey(image), time.monotonic(), device_ns=device_ns)

    def close(self) -> None:
        """See `Device`."""
        self._capture.release()

    def _set_up(self, frame_rate_hz: float) -> list[str]:
        """Set what is configured, format and size first, as they set others back; says what was not taken."""
        config = self._config
        asked: list[tuple[str, int, float, float | None]] = [
            ("width_px", cv2.CAP_PROP_FRAME_WIDTH, 1.0, config.width_px),
            ("height_px", cv2.CAP_PROP_FRAME_HEIGHT, 1.0, config.height_px),
            ("frame_rate_hz", cv2.CAP_PROP_FPS, 1.0, frame_rate_hz),
            ("exposure_us", cv2.CAP_PROP_EXPOSURE, EXPOSURE_UNIT_US, config.exposure_us),
            ("gain", cv2.CAP_PROP_GAIN, 1.0, config.gain),
        ]
        notes = self._set_format(config.pixel_format) if config.pixel_format else []
        if config.exposure_us is not None:
            self._capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, MANUAL_EXPOSURE)
        for name, prop, unit, value in asked:
            if value is None:
                continue
            self._capture.set(prop, value / unit)
            found = unit * self._capture.get(prop)
            if found < 0:
                notes.append(f"has no {name}")
            elif abs(found - value) > TOLERANCE * value:
                notes.append(f"does not take {name} {value:g}: it has {found:g}")
        return notes

    def _set_format(self, asked: str) -> list[str]:
        code = cv2.VideoWriter.fourcc(asked[0], asked[1], asked[2], asked[3])
        self._capture.set(cv2.CAP_PROP_FOURCC, float(code))
        number = int(self._capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
        found = number.to_bytes(4, "little").decode("ascii", "replace")
        return [] if found == asked else [f"does not take pixel_format {asked}: it has {found}"]
