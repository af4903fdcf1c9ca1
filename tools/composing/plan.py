"""What a composition will hold, frame by frame, before a pixel is drawn: scenarios and casts become this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.frame import FrameOutcome, Phase
from edge.recording import RecordingInfo
from tools.shore.uvp6_project.rows import Spectrum

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Large:
    """A large particle to plant: its taxon (None: any that is at hand) and about its area."""

    label: str | None
    area_px: float


@dataclass(frozen=True, slots=True)
class FramePlan:
    """One frame.

    Attributes
    ----------
    time_s
        Since the start of the recording.
    outcome
        What should become of it: analysed, unlit, over-exposed, blurred or corrupt.
    """

    time_s: float
    phase: Phase | None
    outcome: FrameOutcome
    small: Spectrum
    large: tuple[Large, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole recording: its metadata, its frames, and its sensors' columns (`time_s` among them)."""

    info: RecordingInfo
    frames: tuple[FramePlan, ...]
    sensors: Mapping[str, Floats]


def spread_faults(
    n: int, shares: Mapping[FrameOutcome, float], free: NDArray[np.bool_], rng: np.random.Generator
) -> list[FrameOutcome]:
    """Choose which of n frames go wrong: of each outcome its share of n, at least one if it is above 0.

    Only frames that are `free`, bool (n,), are chosen, none twice; the others are ANALYSED.
    """
    outcomes = [FrameOutcome.ANALYSED] * n
    order = [int(i) for i in rng.permutation(n) if free[i]]
    for outcome, share in shares.items():
        for _ in range(max(1, round(share * n)) if share > 0 else 0):
            if order:
                outcomes[order.pop()] = outcome
    return outcomes
