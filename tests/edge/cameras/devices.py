"""Devices that do as a test says, for the thread that follows them."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from edge.cameras.camera import Shot
from edge.cameras.capture import LiveCamera
from edge.cameras.strobe import ForeignStrobe
from edge.clock import SystemClock, WallClock
from edge.frame import Frame
from edge.run_config import CameraConfig, CameraKind

GREY = np.full((4, 6), 9, np.uint8)


class ScriptedDevice:
    """Gives what is put into `coming`: a shot, or an error that is raised."""

    def __init__(self) -> None:
        self.shape = (4, 6)
        self.notes: tuple[str, ...] = ()
        self.coming: queue.Queue[Any] = queue.Queue()
        self.said: list[str] = []

    def start(self) -> None:
        self.said.append("start")

    def trigger(self) -> None:
        self.said.append("trigger")
        self.coming.put(GREY)

    def next_shot(self, wait_s: float) -> Shot | None:
        try:
            came = self.coming.get(timeout=wait_s)
        except queue.Empty:
            return None
        if callable(came):
            came()
            return None
        if isinstance(came, Exception):
            raise came
        return Shot(came, time.monotonic())

    def close(self) -> None:
        self.said.append("close")


def live(
    open_device: Callable[[float], Any],
    said: list[str],
    light: Any = None,
    *,
    must_open: bool = True,
    **more: Any,
) -> LiveCamera:
    """A live camera on the machine's clock."""
    config = CameraConfig(**{"kind": CameraKind.GENICAM, "source": "a camera", "frame_rate_hz": 50.0, **more})
    clock = SystemClock()
    return LiveCamera(
        config, open_device, light or ForeignStrobe(), WallClock(clock), time.monotonic, said.append,
        must_open=must_open,
    )  # fmt: skip


def frames_until(
    camera: LiveCamera, is_enough: Callable[[list[Frame]], bool], patience_s: float = 30.0
) -> list[Frame]:
    """Frames as they come, until there are enough."""
    frames: list[Frame] = []
    deadline_s = time.monotonic() + patience_s
    while not is_enough(frames):
        assert time.monotonic() < deadline_s, [(frame.fault, frame.note) for frame in frames[-20:]]
        frame = camera.next_frame(0.05)
        if frame is not None:
            frames.append(frame)
    return frames
