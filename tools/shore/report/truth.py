"""The truth of a dive as `seston simulate` writes it beside the log: what was in the water, and scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import msgspec

from edge.errors import DiveLogError
from edge.structs import to_struct

_REMEDY = "simulate the dive again, or remove the file"


class TruthPhase(msgspec.Struct, frozen=True):
    """True counts of one phase by taxon, one number a bin, and the water they are in."""

    phase: Literal["descent", "park", "ascent"]
    edges: tuple[float, ...]
    taxa: dict[str, tuple[float, ...]]
    volume_classified_l: tuple[float, ...]

    def __post_init__(self) -> None:
        n = len(self.volume_classified_l)
        if len(self.edges) != n + 1 or any(len(counts) != n for counts in self.taxa.values()):
            raise ValueError("phases hold lists of different lengths")


class Truth(msgspec.Struct, frozen=True):
    """Everything in truth.json that a report shows; the rest is passed over.

    Attributes
    ----------
    taxa
        By label: counts of the dive in the ``water``, on ``board`` and on ``shore``.
    detection
        Recall and precision, and what they are of.
    bray_curtis_board, bray_curtis_shore, bray_curtis_corrected
        Distance of the counts from those in the water, 0 to 1.
    wrong_outcomes
        Frames with another outcome than they should have, in words what was taken for what.
    """

    taxa: dict[str, dict[str, int]]
    detection: dict[str, float] = {}
    bray_curtis_board: float | None = None
    bray_curtis_shore: float | None = None
    bray_curtis_corrected: float | None = None
    wrong_outcomes: dict[str, int] | None = None
    phases: tuple[TruthPhase, ...] = ()
    note: str = ""


def read_truth(file: Path) -> Truth | None:
    """The truth in a file, None when there is no file; raises `DiveLogError` when it is something else."""
    if not file.is_file():
        return None
    try:
        found: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise DiveLogError(f"cannot be read ({cause})", file=file, remedy=_REMEDY) from cause
    return to_struct(found, Truth, file=file, error=DiveLogError)
