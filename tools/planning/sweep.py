"""Bytes against error: one dive planned in many budgets, decoded, and compared with what was counted. Pure.

The error is that of the profile that shore draws, so that plans of any kind can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.profile import PhaseProfile
from edge.telemetry import DecodedDive, DiveSummary, Plan, Quantity, decode_messages, plan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

N_PLANS = 12
PLENTY_BYTES = 1 << 30
DRAWN = {Quantity.TAXA: "taxa", Quantity.SIZES: "size classes"}
"""Tables whose error is told."""


@dataclass(frozen=True, slots=True)
class Point:
    """One plan: its budget, what it is, and the error of each table in `DRAWN` that the dive has."""

    budget_bytes: int
    plan: Plan
    errors: dict[Quantity, float]


def sweep(summary: DiveSummary, message_bytes: int, n_plans: int = N_PLANS) -> list[Point]:
    """Plans from the smallest budget to the one that sends all without loss, evenly in the logarithm.

    Raises `InputError` when no budget fits.
    """
    smallest = smallest_budget(summary, message_bytes)
    largest = plan(summary, PLENTY_BYTES, message_bytes).n_bytes
    steps = np.geomspace(smallest, max(smallest, largest), n_plans)
    budgets = np.unique(np.rint(steps).astype(int)).tolist()
    points = [_point(summary, budget, message_bytes) for budget in budgets]
    # Where a table's next step is large, two budgets have one plan.
    return [one for i, one in enumerate(points) if not i or one.plan != points[i - 1].plan]


def _point(summary: DiveSummary, budget_bytes: int, message_bytes: int) -> Point:
    planned = plan(summary, budget_bytes, message_bytes)
    (decoded,) = decode_messages(planned.messages, [summary.codebook])
    errors = {}
    for quantity in DRAWN:
        found = profile_error(summary, decoded, quantity)
        if found is not None:
            errors[quantity] = found
    return Point(budget_bytes, planned, errors)


def smallest_budget(summary: DiveSummary, message_bytes: int) -> int:
    """Fewest bytes that a plan of the dive can have. Raises `InputError` for what no budget mends."""
    low, high = 0, 1
    while not _fits(summary, high, message_bytes):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _fits(summary, middle, message_bytes) else (middle, high)
    return high


def _fits(summary: DiveSummary, budget_bytes: int, message_bytes: int) -> bool:
    try:
        plan(summary, budget_bytes, message_bytes)
    except InputError as refused:
        if refused.field != "budget_bytes":
            raise
        return False
    return True


def profile_error(summary: DiveSummary, decoded: DecodedDive, quantity: Quantity) -> float | None:
    """Relative error of a decoded table of counts; None when nothing was counted.

    sqrt(sum((decoded - counted)^2) / sum(counted^2)) over all bins and columns of all phases, as numbers per
    litre. A cell's number per litre holds for each of its bins; what is not told is 0, and its error 1.
    """
    missed = whole = 0.0
    for part in summary.profile.phases:
        volume_ul = _volume_ul(part, quantity)
        seen = volume_ul > 0
        counted = summary.counts(quantity, part.phase)[seen] / (volume_ul[seen, None] / 1e6)
        told = _concentration(decoded, part, quantity, volume_ul)[seen]
        missed += float(np.square(told - counted).sum())
        whole += float(np.square(counted).sum())
    return float(np.sqrt(missed / whole)) if whole else None


def noise_of_counting(summary: DiveSummary, quantity: Quantity) -> float | None:
    """The same error between what was counted and what was there, as Poisson's law expects it."""
    noise = whole = 0.0
    for part in summary.profile.phases:
        volume_ul = _volume_ul(part, quantity)
        seen = volume_ul > 0
        counts, litres = summary.counts(quantity, part.phase)[seen], volume_ul[seen, None] / 1e6
        noise += float((counts / litres**2).sum())
        whole += float(np.square(counts / litres).sum())
    return float(np.sqrt(noise / whole)) if whole else None


def _volume_ul(part: PhaseProfile, quantity: Quantity) -> Ints:
    return part.volume_classified_ul if quantity is Quantity.TAXA else part.volume_sized_ul


def _concentration(decoded: DecodedDive, part: PhaseProfile, quantity: Quantity, volume_ul: Ints) -> Floats:
    """What shore draws, per litre by bin and column; the water of each cell is taken as known."""
    n_columns = (part.taxa if quantity is Quantity.TAXA else part.lpm).shape[1]
    found = np.zeros((part.n_bins, n_columns))
    phase = decoded.phases.get(part.phase)
    table = phase.tables.get(quantity) if phase else None
    if table is None:
        return found
    water_ul = np.concatenate(([0], np.cumsum(volume_ul)))
    values = table.values()
    for i, (column, first, last) in enumerate(zip(table.column, table.first, table.last, strict=True)):
        cell_ul = water_ul[last] - water_ul[first]
        found[first:last, column] = values[i] / (cell_ul / 1e6) if cell_ul else 0.0
    return found
