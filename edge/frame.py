"""What a camera gave and what became of it. Pure.

A frame has exactly one outcome. The outcomes add up to the frames captured, on board and on shore.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edge.counted import Counted


class Phase(enum.IntEnum):
    """Part of a dive. The numbers travel in messages: never renumber."""

    DESCENT = 0
    PARK = 1
    ASCENT = 2


class FrameOutcome(enum.IntEnum):
    """What became of a frame. The numbers travel in messages: never renumber, only append."""

    ANALYSED = 0
    """Particles were found, and those above the size cut were classified."""
    EMPTY = 1
    """Analysed, and no particle was there: its volume counts."""
    UNLIT = 2
    """Taken without light on purpose, to know the noise."""
    DARK = 3
    """Should have been lit and was not: the light failed."""
    OVER_EXPOSED = 4
    """Too bright to segment: its volume does not count."""
    BLURRED = 5
    """Out of focus or fouled: its volume does not count."""
    DROPPED = 6
    """The camera took it and nobody had time for it."""
    LATE = 7
    """It came after its bloc was closed."""
    DUPLICATE = 8
    """The camera gave the same frame twice."""
    CORRUPT = 9
    """It could not be read, or has the wrong size or type."""
    INFERENCE_FAILED = 10
    """Particles were sized, but the classifier failed: counted in the sized volume alone."""

    @property
    def label(self) -> str:
        """The outcome as people write it, e.g. ``over-exposed``."""
        return self.name.lower().replace("_", "-")


N_OUTCOMES = len(FrameOutcome)
SIZED_OUTCOMES = (FrameOutcome.ANALYSED, FrameOutcome.EMPTY, FrameOutcome.INFERENCE_FAILED)
"""Frames in which every particle was counted: they make `volume_sized`."""
CLASSIFIED_OUTCOMES = (FrameOutcome.ANALYSED, FrameOutcome.EMPTY)
"""Frames in which the larger particles were named too: they make `volume_classified`."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """When, by a clock that never jumps: which run of the board, and milliseconds since it began.

    `boot` is drawn anew at each start; 63 bits are used at most.
    """

    boot: int
    monotonic_ms: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it came from a camera, before anything was decided about it.

    Attributes
    ----------
    index
        Number of the frame in the dive, from 0, in the order of capture.
    time_ms
        UTC, milliseconds since 1970-01-01, as it is known now.
    pressure_dbar
        NaN when no pressure is known for this frame.
    lit
        False for a frame taken without light on purpose.
    pixels
        uint8 (height, width), as the camera gave it (not inverted), or None when there is nothing to
        read; then `fault` says why.
    source
        File name or camera name, for messages to people.
    phase
        Known phase, or None: then the mission decides from pressure.
    environment
        Other sensors at this frame, by name with unit, e.g. ``temperature_c``.
    stamp
        The same moment by the board's monotonic clock; None where nobody has one, as in a recording.
    fault, note
        Outcome already known when the frame arrived (corrupt, dropped, late, duplicate), and a sentence.
    counted
        What another instrument counted in it, in the place of pixels.
    """

    index: int
    time_ms: int
    pressure_dbar: float
    lit: bool
    pixels: NDArray[np.uint8] | None
    source: str
    phase: Phase | None = None
    environment: Mapping[str, float] = field(default_factory=dict)
    fault: FrameOutcome | None = None
    note: str = ""
    stamp: Stamp | None = None
    counted: Counted | None = None
