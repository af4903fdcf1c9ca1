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


# By scale: nodes of at most 1, 2, 4, ... 4096 dbar. Nothing was learned below 8: there it is as at 16.
_TAXA = SplitParameters(
    own=_sixteenths(*[2.0] * 5, 1.25, 0.75, 0.875, 2.0, 0.125, 0.125, 0.125, 2.0),
    damping=(*[40] * 5, 32, 20, 16, 40, 40, 20, 1, 0),
    near=_sixteenths(*[64.0] * 5, 30.0, 15.0, 9.5, 6.0, 6.0, 4.25, 3.25, 0.75),
    alone=_sixteenths(*[50.0] * 5, 20.0, 9.0, 6.0, 5.0, 3.0, 1.75, 1.0, 0.75),
)
# Size classes follow each other closely. How closely differs: the limits are the geometric means of what
# simulated dives and real casts would have.
_SIZES = SplitParameters(
    own=_sixteenths(*[2.0] * 7, 1.5, 1.0, 0.5, 0.5, 0.5, 1.0),
    damping=(*[100] * 5, 60, 60, 30, 30, 20, 10, 5, 0),
    near=_sixteenths(*[150.0] * 5, 142.0, 128.0, 90.0, 45.0, 37.0, 30.0, 15.0, 12.0),
    alone=_sixteenths(*[112.0] * 5, 105.0, 90.0, 67.0, 30.0, 24.0, 18.0, 9.0, 7.5),
    trust=64,
    limit=_sixteenths(*[350.0] * 5, 220.0, 150.0, 75.0, 38.0, 25.0, 16.0, 10.0, 8.0),
)
# Frames come at a steady rate, and not more evenly than chance where the instrument lingers.
_FRAMES = SplitParameters(
    own=_SIZES.own,
    damping=_SIZES.damping,
    near=_sixteenths(*[2000.0] * 6, 500.0, 100.0, 30.0, 10.0, 5.0, 4.0, 2.0),
    alone=_sixteenths(*[1000.0] * 6, 500.0, 100.0, 30.0, 10.0, 5.0, 4.0, 2.0),
)

FLAT: dict[Quantity, SplitParameters] = {
    Quantity.DIVE: _TAXA,
    Quantity.FRAMES: _FRAMES,
    Quantity.UNPLACED: _TAXA,
    Quantity.TAXA: _TAXA,
    Quantity.SIZES: _SIZES,
    Quantity.NOISE: _SIZES,
    Quantity.CORRECTED: _TAXA,
    Quantity.ESD_QUANTILES: _TAXA,
    Quantity.DOUBT: _TAXA,
    Quantity.HEALTH: _TAXA,
    Quantity.REPLIES: _TAXA,
}
"""Parameters by count quantity, for a region of which nothing is known."""
