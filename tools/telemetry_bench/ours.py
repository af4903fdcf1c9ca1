"""The product's coder as the benchmark drives it, and the companding of counts.

The coder of counts is called only here. What is measured are messages: whole, with header and CRC, each
decodable alone, and decoded again before they are counted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge.telemetry import DiveSummary, Quantity, decode_messages
from edge.telemetry.laws import FLAT
from edge.telemetry.means import MeanModel, to_steps
from edge.telemetry.planner import _pack, _Table
from edge.telemetry.range_coder import RangeEncoder
from edge.telemetry.summary import WHOLE_DIVE

Ints = NDArray[np.int64]

MESSAGE_BYTES = 340
ONE_MESSAGE_BYTES = 1 << 20
STEPS = (0.5, 1.0, 2.0)
"""Widths of the steps of companded counts, in Poisson standard deviations."""


def code(
    summary: DiveSummary, quantities: Collection[Quantity], message_bytes: int = MESSAGE_BYTES
) -> tuple[bytes, ...]:
    """Lossless messages that hold these tables of every phase, and no other table.

    The one place to change with the interface of the planner.
    """
    tables = [
        _Table(summary, quantity, part.phase) for quantity in quantities for part in summary.profile.phases
    ]
    for table in tables:
        table.height = 0
    return _pack(summary, tables, message_bytes, FLAT).messages


CODERS: Mapping[str, Callable[[DiveSummary, Collection[Quantity], int], tuple[bytes, ...]]] = {"ours": code}
"""By name in the table: how the product may code tables without loss."""


def code_companded(summary: DiveSummary, step: float) -> tuple[bytes, ...]:
    """Messages that hold the size classes of every phase companded, and no other table, decoded and compared.

    The numbers of the steps are coded as if they were counts. Raises `RuntimeError`.
    """
    companded = with_companded_sizes(summary, step)
    messages = code(companded, [Quantity.SIZES])
    check(companded, [Quantity.SIZES], messages)
    return messages


def code_totals(summary: DiveSummary) -> bytes:
    """The smallest message that holds the totals of all taxa, and nothing else."""
    table = _Table(summary, Quantity.TAXA, WHOLE_DIVE)
    table.height = 0
    (message,) = _pack(summary, [table], MESSAGE_BYTES, FLAT).messages
    return message


def mean_bytes(quantity: Quantity, sums: Ints, numbers: Ints) -> int:
    """Bytes of a table of means coded as one stream: what a table that no message holds yet would add.

    Parameters
    ----------
    sums, numbers
        int64 (n_bins, n_columns), in the unit of the quantity: see `edge.telemetry.means.to_steps`.
    """
    coder, model = RangeEncoder(), MeanModel()
    before: Sequence[int | None] | None = None
    for column in range(sums.shape[1]):
        steps = to_steps(quantity, sums[:, column], numbers[:, column])
        before = model.code(coder, quantity, len(steps), steps, before)
    return len(coder.finish())


def check(summary: DiveSummary, quantities: Collection[Quantity], messages: Sequence[bytes]) -> None:
    """Decode messages and compare every count with the dive's. Raises `RuntimeError`."""
    (dive,) = decode_messages(messages, [summary.codebook])
    for part in summary.profile.phases:
        for quantity in quantities:
            if quantity.is_mean:
                continue
            values = dive.phases[part.phase].tables[quantity].dense()[0]
            if not np.array_equal(values, summary.counts(quantity, part.phase)):
                raise RuntimeError(f"{quantity.name} of {part.phase.name} did not come back as it was sent")


def compand(counts: Ints, step: float) -> Ints:
    """Numbers of steps of a Poisson standard deviation: 2 sqrt(n + 3/8) has a deviation of 1 (Anscombe 1948).

    The step of 0 is number 0.
    """
    steps = np.rint(2 * np.sqrt(np.arange(int(counts.max(initial=0)) + 1) + 0.375) / step).astype(np.int64)
    return np.asarray((steps - steps[0])[counts])


def exact_below(step: float) -> int:
    """Counts below this have a step of their own."""
    return int(np.flatnonzero(np.diff(compand(np.arange(1000), step)) == 0)[0])


def with_companded_sizes(summary: DiveSummary, step: float) -> DiveSummary:
    """The dive with numbers of steps in place of the counts of its size classes."""
    parts = tuple(
        dataclasses.replace(part, lpm=compand(part.lpm, step), noise=np.zeros_like(part.noise))
        for part in summary.profile.phases
    )
    return dataclasses.replace(summary, profile=dataclasses.replace(summary.profile, phases=parts))


def companded_oracle_bytes(rate: NDArray[np.float64], counts: Ints, step: float) -> float:
    """Bytes of an ideal coder of the steps that knows every true Poisson rate."""
    from scipy.stats import poisson

    codes = compand(np.arange(2 * int(counts.max(initial=0)) + 100), step)
    first = np.searchsorted(codes, compand(counts, step), side="left")
    after = np.searchsorted(codes, compand(counts, step), side="right")
    share = poisson.cdf(after - 1, rate) - poisson.cdf(first - 1, rate)
    exact = after - first == 1
    bits = np.where(exact, -poisson.logpmf(counts, rate), -np.log(np.maximum(share, 1e-300))) / np.log(2)
    return float(bits.sum() / 8)
