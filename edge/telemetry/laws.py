"""What is expected of a dive that nothing is known about: the coder's built-in tables. Pure.

Fitted once on simulated dives of many regions and on real casts; a climatology of a region may take their
place. The tables are part of the wire format: a change of any number is a new version.
"""

from __future__ import annotations

from edge.telemetry.count_tree import SplitLaw
from edge.telemetry.size_spectra import RowLaw
from edge.telemetry.summary import Quantity


def _parts(*values: float) -> tuple[int, ...]:
    """64ths."""
    return tuple(round(64 * value) for value in values)


# By scale: nodes of at most 1, 2, 4, ... 4096 dbar. Nothing was learned below 16: there it is as at 16.
_TAXA = SplitLaw(
    beside=_parts(*[0.3] * 5, 0.72, 1.25, 1.4, 0.3, 0.1, 0.0, 0.0, 0.0),
    before=_parts(*[0.2] * 5, 0.25, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    after=_parts(*[0.28] * 5, 0.32, 0.39, 0.67, 0.5, 1.0, 1.0, 1.0, 0.5),
    strength=_parts(*[64.0] * 4, 44.0, 33.0, 19.5, 9.2, 8.0, 6.0, 4.0, 1.4, 1.1),
)
REGIONAL_TAXA = SplitLaw(
    beside=_parts(*[0.26] * 5, 0.59, 0.64, 0.6, 0.1, 0.0, 0.0, 0.0, 0.0),
    before=_parts(*[0.14] * 5, 0.14, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    after=_parts(*[0.24] * 5, 0.28, 0.25, 0.28, 0.1, 0.1, 0.0, 0.0, 0.0),
    strength=_parts(*[64.0] * 4, 43.5, 38.5, 26.5, 21.0, 25.0, 34.0, 50.0, 60.0, 65.0),
)
"""Splits where a climatology tells the shares."""
# Frames come at a steady rate, and not more evenly than chance where the instrument lingers.
_FRAMES = SplitLaw(
    beside=_parts(*[0.5] * 13),
    before=_parts(*[0.0] * 13),
    after=_parts(*[0.5] * 13),
    strength=_parts(*[2000.0] * 6, 500.0, 100.0, 30.0, 10.0, 5.0, 4.0, 2.0),
)
SPLITS: dict[Quantity, SplitLaw] = {
    Quantity.FRAMES: _FRAMES,
    Quantity.TAXA: _TAXA,
    Quantity.UNNAMED: _TAXA,
}
"""How counts split along bins, where nothing is known of the region."""

SIZES = RowLaw(decay=113, own=9, shared=2757 * 64, spread=1717, spread_own=83263, spread_shared=13382)
REGIONAL_SIZES = RowLaw(
    decay=104, own=600, shared=1000 * 64, spread=1000, spread_own=30000, spread_shared=60200
)
# Totals of taxa differ by orders of magnitude, and tell little of each other.
TOTALS = RowLaw(decay=256, own=64, shared=64, spread=2 << 16, spread_own=0, spread_shared=0)
REGIONAL_TOTALS = RowLaw(decay=256, own=64, shared=16 * 64, spread=28000, spread_own=0, spread_shared=0)
