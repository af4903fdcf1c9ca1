"""What a plan is asked for and what it says: priorities, layers, messages. Pure.

How it is made is the business of `planner`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.telemetry.summary import Quantity

WEIGHTS: Mapping[Quantity, int] = {
    Quantity.REPLIES: 10, Quantity.HEALTH: 8, Quantity.CORRECTED: 8, Quantity.DOUBT: 4, Quantity.CONDITION: 1,
    Quantity.FRAMES: 10, Quantity.UNNAMED: 8, Quantity.TAXA: 8, Quantity.SIZES: 4, Quantity.ESD_QUANTILES: 2,
    Quantity.TEMPERATURE: 2, Quantity.ESD: 2, Quantity.GREY: 1, Quantity.NOISE: 1,
}  # fmt: skip
"""Worth of halving the cells of a table; and the order of sending."""


@dataclass(frozen=True, slots=True)
class Priorities:
    """What matters to those who wait for the messages.

    Attributes
    ----------
    quantities
        Worth of each table, 0 to leave it out; those that are not named have that of `WEIGHTS`.
    taxa
        By label: how many times a taxon's counts are worth those of another.
    depths_dbar
        (from, to, how many times the counts between them are worth others).
    """

    quantities: Mapping[Quantity, int] = field(default_factory=dict)
    taxa: Mapping[str, int] = field(default_factory=dict)
    depths_dbar: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedLayer:
    """How a table, or a part of its columns and bins, is sent; for people.

    Attributes
    ----------
    quantity, scope
        The table: a quantity of a phase (or `WHOLE_DIVE`).
    columns, first, last
        Its columns, and bins [first, last).
    height, step
        Cells are 2 ** height bins, counts companded at a step (`count_law.STEPS`, 0 exact); height is None
        when it is not sent.
    n_cells, n_bins
        Cells of a column that are sent, and bins.
    n_bytes
        What it costs in the messages, rounded up, without their headers.
    is_refined
        Whether it goes companded at the step first, and the last messages make it exact.
    """

    quantity: Quantity
    scope: int
    columns: tuple[int, ...]
    first: int
    last: int
    height: int | None
    step: int
    n_cells: int
    n_bins: int
    n_bytes: int
    is_refined: bool = False

    @property
    def is_lossless(self) -> bool:
        """True when every bin is sent by itself, exactly."""
        return self.n_cells == self.n_bins and (self.step == 0 or self.is_refined)


@dataclass(frozen=True, slots=True)
class Plan:
    """Messages of a dive, in the order of sending, and what is in them.

    Attributes
    ----------
    messages, layers
        The messages, parity last; and the tables.
    is_regional
        Whether the climatology made them shorter and was used.
    n_pictures
        How many of the messages, the last ones, are pictures.
    worth, worth_bound
        The stated utility of what is sent, and what no plan of these bits can be above.
    """

    messages: tuple[bytes, ...]
    layers: tuple[PlannedLayer, ...]
    is_regional: bool = False
    worth: int = 0
    worth_bound: int = 0
    n_pictures: int = 0

    @property
    def n_bytes(self) -> int:
        """Bytes of all messages."""
        return sum(map(len, self.messages))
