"""What became of every frame that a camera took or should have taken. Pure.

Shots and the passing of time go in; frames with their outcome, and how many are missing, come out, in order.
A frame is told once: one that comes after it was told as missing is not told again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.cameras.camera import Shot
from edge.cameras.clock import CameraClock
from edge.frame import FrameOutcome

SILENT = "the camera gave no frame"
SKIPPED = "the camera's own count says that this frame is lost"
PATIENCE_PERIODS, PATIENCE_S = 2.0, 1.0
"""A frame is missing when nothing came for so many periods and so many seconds."""
WRAP_16 = 65_535
"""Blocks of GigE Vision are counted from 1 to this, and again from 1 (GVSP without extended ids)."""
FREE_GAP = 64
"""Frames that a camera's count may leave out whatever the time; beyond, twice what the time allows."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One frame: when (monotonic), and what it is.

    Attributes
    ----------
    pixels, lit, fault, note
        As in `edge.frame.Frame`.
    """

    taken_s: float
    pixels: NDArray[np.uint8] | None
    lit: bool = True
    fault: FrameOutcome | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """So many frames that nobody will see, from the time of the first to that of the last (monotonic)."""

    count: int
    since_s: float
    until_s: float
    note: str


def patience_s(frame_rate_hz: float) -> float:
    """Silence after which frames are missing."""
    return PATIENCE_PERIODS / frame_rate_hz + PATIENCE_S


class Ledger:
    """Judges the shots of one camera during one dive.

    Parameters
    ----------
    frame_rate_hz
        Asked of the camera.
    began_s
        Monotonic time from which frames are due.
    shape
        (height, width) of a whole frame; None: that of the first.

    Attributes
    ----------
    told_before
        Frames that came after they had been told as missing.
    """

    def __init__(self, frame_rate_hz: float, began_s: float, shape: tuple[int, int] | None = None) -> None:
        self._rate_hz = frame_rate_hz
        self._patience_s = patience_s(frame_rate_hz)
        self._shape = shape
        self._clock = CameraClock()
        self._number: int | None = None
        self._heard_s = self._grid_s = began_s
        self._told, self._told_until_s = 0, began_s  # frames after the last that came
        self.told_before = 0

    def reopened(self, shape: tuple[int, int] | None = None) -> None:
        """The camera was opened anew: it counts anew, and its clock may be another."""
        self._number = None
        self._clock.forget()
        self._shape = self._shape or shape

    def passed(self, now_s: float) -> list[Missing]:
        """Frames that are missing now, though nothing came to say so."""
        if now_s - self._heard_s <= self._patience_s:
            return []
        # The newest may be on its way.
        count = math.floor((now_s - self._grid_s) * self._rate_hz) - 1 - self._told
        if count < 1:
            return []
        since_s = self._grid_s + (self._told + 1) / self._rate_hz
        self._told += count
        self._told_until_s = self._grid_s + self._told / self._rate_hz
        return [Missing(count, since_s, self._told_until_s, SILENT)]

    def came(self, shot: Shot, *, lit: bool = True) -> list[Taken | Missing]:
        """What a shot, lit or not, says of itself and of frames before it."""
        told: list[Taken | Missing] = [*self.passed(shot.arrived_s)]
        self._heard_s = shot.arrived_s
        if shot.number is not None and shot.number == self._number:
            return [*told, Taken(self._grid_s, None, lit, FrameOutcome.DUPLICATE, "the camera gave it twice")]
        taken_s = self._clock.taken_s(shot.device_ns, shot.arrived_s)
        gap = self._gap(shot.number, shot.arrived_s - self._grid_s)
        covered = min(gap, self._told)
        if gap > covered:
            step_s = max(0.0, taken_s - self._grid_s) / (gap + 1)
            since_s = self._grid_s + step_s * (covered + 1)
            told.append(Missing(gap - covered, since_s, self._grid_s + step_s * gap, SKIPPED))
        left = self._told - covered
        is_told = left > 0 and taken_s <= self._told_until_s + 0.5 / self._rate_hz
        self._number, self._grid_s, self._told = shot.number, taken_s, left - 1 if is_told else 0
        if is_told:
            self.told_before += 1
            return told
        return [*told, self._judged(shot, taken_s, lit=lit)]

    def _gap(self, number: int | None, elapsed_s: float) -> int:
        """Frames that the camera counted since the last and that did not come."""
        if number is None or self._number is None:
            return 0
        gap = number - self._number - 1
        if gap < 0:
            gap += WRAP_16 if self._number <= WRAP_16 else 0
        # More than time allows says that the camera counts anew.
        return gap if 0 < gap <= FREE_GAP + 2 * elapsed_s * self._rate_hz else 0

    def _judged(self, shot: Shot, taken_s: float, *, lit: bool) -> Taken:
        late_s = shot.arrived_s - taken_s
        pixels = shot.pixels
        if pixels is None:
            return Taken(taken_s, None, lit, FrameOutcome.CORRUPT, shot.problem or "it holds no pixels")
        if pixels.dtype != np.uint8 or pixels.ndim != 2 or not pixels.size:
            return Taken(taken_s, None, lit, FrameOutcome.CORRUPT, "it is no grey frame of 8 bits")
        height, width = self._shape = self._shape or (pixels.shape[0], pixels.shape[1])
        if pixels.shape != self._shape:
            note = f"it is {pixels.shape[1]} x {pixels.shape[0]} px, {width} x {height} px were expected"
            return Taken(taken_s, None, lit, FrameOutcome.CORRUPT, note)
        if late_s > self._patience_s:
            return Taken(taken_s, None, lit, FrameOutcome.LATE, f"the camera gave it {late_s:.1f} s late")
        return Taken(taken_s, pixels, lit)
