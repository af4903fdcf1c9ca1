"""What is expected of a dive that nothing is known about: the coder's built-in tables. Pure.

Fitted once on simulated dives of many regions; a climatology of a region may take their place. The tables
are part of the wire format: a change of any number is a new version.
"""

from __future__ import annotations

from edge.telemetry.count_tree import SplitParameters
from edge.telemetry.summary import Quantity


def _sixteenths(*values: float) -> tuple[int, ...]:
    """Exact: every value here is a multiple of 1/16."""
    return tuple(int(16 * value) for value in values)


# By scale: nodes of at most 8, 16, ... dbar; the first three scales (1, 2, 4 dbar) are like the fourth.
_OWN = _sixteenths(*[1.25] * 5, 1.25, 1.0, 1.0, 2.0, 0.0625, 0.125, 0.125, 2.0)
_DAMPING = (*[30] * 5, 18, 14, 10, 10, 20, 10, 2, 0)
_NEAR = _sixteenths(*[45.0] * 5, 28.0, 16.0, 10.0, 6.5, 6.25, 4.75, 3.5, 0.75)
_ALONE = _sixteenths(*[30.0] * 5, 18.0, 10.0, 6.0, 5.0, 2.5, 1.5, 1.0, 0.75)

_TAXA = SplitParameters(_OWN, _DAMPING, _NEAR, _ALONE)
_SIZES = SplitParameters(
    _OWN, _DAMPING, _NEAR, _ALONE, trust=64,
    limit=_sixteenths(*[700.0] * 5, 670.0, 670.0, 200.0, 100.0, 80.0, 65.0, 35.0, 20.0),
)  # fmt: skip
_FRAMES = SplitParameters(_OWN, _DAMPING, _NEAR, _ALONE)

FLAT: dict[Quantity, SplitParameters] = {
    Quantity.DIVE: _TAXA,
    Quantity.FRAMES: _FRAMES,
    Quantity.UNPLACED: _TAXA,
    Quantity.TAXA: _TAXA,
    Quantity.SIZES: _SIZES,
    Quantity.NOISE: _SIZES,
}
"""Parameters by count quantity, for a region of which nothing is known."""
