"""What a camera is to the instrument, and what a driver is to a camera. Pure: shapes and names, no device.

The instrument asks a `Camera`, in its own thread, and never waits for it. A live one is `capture`: a thread
that follows a `Device`, the driver of one kind of camera; one that replays has no thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.frame import Frame


class CameraError(InputError):
    """A camera cannot be opened as configured, or is gone."""


class Camera(Protocol):
    """Where the instrument takes frames from; it was opened when it was made. No call but that raises."""

    @property
    def is_over(self) -> bool:
        """Whether no frame will ever come again."""

    @property
    def is_stuck(self) -> bool:
        """Whether its driver, which gave frames before, hangs, so that only a new process can help.

        A camera that gives no frame is not stuck while its driver comes back: it is opened again and again.
        Nor is one that hung from the beginning: no process has helped it.
        """

    def start(self, frame_rate_hz: float, black_every: int | None = None) -> None:
        """Frames are wanted, so many a second, and one of so many without light; None is as configured.

        A dive begins, or comes to where its schedule asks for something else.
        """

    def next_frame(self, wait_s: float) -> Frame | None:
        """The next frame in the order of capture, waiting at most so long; None when there is none yet.

        Each has its outcome if that is known already: what was lost comes in its place, without pixels.
        """

    def period_s(self, frame: Frame) -> float:
        """Seconds from this frame until the next may be asked for; 0 where the camera keeps the time."""

    def stop(self) -> None:
        """The dive is over: no frame is wanted until the next `start`."""

    def close(self) -> None:
        """Let the device go."""


@dataclass(frozen=True, slots=True)
class Shot:
    """What a device gave at one moment, before anybody judged it.

    Attributes
    ----------
    pixels
        uint8 (height, width), or None when there is nothing to read; then `problem` says why.
    arrived_s
        Monotonic, when it was here.
    number
        Of the frame as the camera counts, None where it does not.
    device_ns
        When by the camera's own clock, from any beginning, None where it has none.
    problem
        Why it cannot be used, as a sentence without a full stop; empty when it can.
    """

    pixels: NDArray[np.uint8] | None
    arrived_s: float
    number: int | None = None
    device_ns: int | None = None
    problem: str = ""


class Device(Protocol):
    """The driver of one kind of camera, used by one thread at a time; it was opened when it was made.

    Attributes
    ----------
    shape
        (height, width) of the frames to come, or None when only they will tell.
    notes
        What the camera did not take as it was told, each a sentence for a person on deck.
    """

    shape: tuple[int, int] | None
    notes: tuple[str, ...]

    def start(self) -> None:
        """Take frames from now on, or at each trigger. May raise anything, as all calls: then it is lost."""

    def trigger(self) -> None:
        """Take one frame now, where the configuration says that we trigger."""

    def next_shot(self, wait_s: float) -> Shot | None:
        """What comes next, waiting about so long at most; None when nothing came."""

    def close(self) -> None:
        """Let it go."""
