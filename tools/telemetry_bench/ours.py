"""The product's coder as the benchmark drives it, and the companding of counts.

The coder of counts is called only here. What is measured are messages: whole, with header and CRC, each
decodable alone, and decoded again before they are counted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.telemetry import DiveSummary, Quantity, decode_messages, plan
from edge.telemetry.climatology import Climatology
from edge.telemetry.count_law import STEPS, index_of, middle_of
from edge.telemetry.means import MeanModel, to_steps
from edge.telemetry.planner import code_at
from edge.telemetry.range_coder import RangeEncoder

Ints = NDArray[np.int64]

MESSAGE_BYTES = 340
ONE_MESSAGE_BYTES = 1 << 20
SHORT_MESSAGE_BYTES = 63
STEPS_OF_SD = (0.0, 0.5, 1.0, 2.0)
"""Widths of the steps of companded counts, in Poisson standard deviations, by the step on the wire."""
PLENTY_BYTES = 1 << 26


def code(
    summary: DiveSummary,
    quantities: Collection[Quantity],
    message_bytes: int = MESSAGE_BYTES,
    climatology: Climatology | None = None,
) -> tuple[bytes, ...]:
    """Lossless messages that hold these tables of every phase, and no other table.

    With a climatology, which the codebook is made to name, the planner takes the shorter of both ways.
    """
    if climatology is not None:
        summary = naming(summary, climatology)
    return plan(
        summary, PLENTY_BYTES, message_bytes, climatology=climatology, quantities=set(quantities)
    ).messages


def naming(summary: DiveSummary, climatology: Climatology) -> DiveSummary:
    """The dive with a codebook that names the climatology."""
    book = msgspec.structs.replace(summary.codebook, climatology_sha256=climatology.sha256)
    return dataclasses.replace(summary, codebook=book)


def code_companded(
    summary: DiveSummary, step: int, climatology: Climatology | None = None
) -> tuple[bytes, ...]:
    """Messages that hold the size classes of every phase companded, and no other table, decoded and compared.

    `step` is an index into `edge.telemetry.count_law.STEPS`. Raises `RuntimeError`.
    """
    if climatology is not None:
        summary = naming(summary, climatology)
    messages = code_at(summary, Quantity.SIZES, step, MESSAGE_BYTES, climatology)
    known = () if climatology is None else (climatology,)
    (dive,) = decode_messages(messages, [summary.codebook], known)
    for part in summary.profile.phases:
        table = dive.phases[part.phase].tables[Quantity.SIZES]
        low, high = table.limits()
        counted = part.lpm[table.first, table.column]
        if len(counted) != part.lpm.size or not ((low <= counted) & (counted <= high)).all():
            raise RuntimeError(f"companded sizes of {part.phase.name} did not come back as they were sent")
    return messages


def code_totals(summary: DiveSummary, climatology: Climatology | None = None) -> dict[int, int]:
    """Bytes of the message of a short link that holds the totals of all taxa, by step of companding."""
    if climatology is not None:
        summary = naming(summary, climatology)
    return {
        step: len(code_at(summary, Quantity.TAXA, step, SHORT_MESSAGE_BYTES, climatology, whole=True)[0])
        for step in range(len(STEPS_OF_SD))
    }


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


def check(
    summary: DiveSummary,
    quantities: Collection[Quantity],
    messages: Sequence[bytes],
    climatology: Climatology | None = None,
) -> None:
    """Decode messages and compare every count with the dive's. Raises `RuntimeError`."""
    if climatology is not None:
        summary = naming(summary, climatology)
    known = () if climatology is None else (climatology,)
    (dive,) = decode_messages(messages, [summary.codebook], known)
    for part in summary.profile.phases:
        for quantity in quantities:
            if quantity.is_mean:
                continue
            values = dive.phases[part.phase].tables[quantity].dense()[0]
            if not np.array_equal(values, summary.counts(quantity, part.phase)):
                raise RuntimeError(f"{quantity.name} of {part.phase.name} did not come back as it was sent")


def compand(counts: Ints, step: int) -> Ints:
    """The numbers of the intervals that counts are kept in, at a step of `edge.telemetry.count_law.STEPS`."""
    numbers = [index_of(count, step) for count in range(int(counts.max(initial=0)) + 1)]
    return np.asarray(np.array(numbers, dtype=np.int64)[counts])


def exact_below(step: int) -> int:
    """Counts below this have an interval of their own."""
    return STEPS[step] ** 2


def added_error(step: int) -> float:
    """What companding adds to the standard deviation of chance of a count of 1000, as a share."""
    counts = np.random.default_rng(0).poisson(1000, 20000)
    kept = np.array([middle_of(index_of(count, step), step) for count in counts.tolist()])
    return float(np.sqrt(1 + np.mean((kept - counts) ** 2) / 1000) - 1)


def companded_oracle_bytes(rate: NDArray[np.float64], counts: Ints, step: int) -> float:
    """Bytes of an ideal coder of the steps that knows every true Poisson rate."""
    from scipy.stats import poisson

    codes = compand(np.arange(2 * int(counts.max(initial=0)) + 100), step)
    first = np.searchsorted(codes, compand(counts, step), side="left")
    after = np.searchsorted(codes, compand(counts, step), side="right")
    share = poisson.cdf(after - 1, rate) - poisson.cdf(first - 1, rate)
    exact = after - first == 1
    bits = np.where(exact, -poisson.logpmf(counts, rate), -np.log(np.maximum(share, 1e-300))) / np.log(2)
    return float(bits.sum() / 8)
