"""A count whose mean is expected: the negative binomial law, exact or companded. Pure, in integers.

Companding keeps the square root of a count in whole steps, so that every count has the same error next to
its own chance variation: after Anscombe (1948), for telemetry as in photon-limited imaging.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.errors import MessageError
from edge.telemetry.integer_math import LOG_BITS, bounds_of, exp2_table, log2
from edge.telemetry.range_coder import Coder

Ints = NDArray[np.int64]

MEAN_ONE = 1 << 10
"""An expected count is in 1024ths."""
SPREAD_ONE = 1 << 16
"""The variance that a count has beyond chance, relative to its mean squared, is in 65536ths."""
STEPS = (0, 4, 2, 1)
"""What a step on the wire means: 0 is exact; else counts from d * d on are kept as whole 1/d of their square
root: errors of at most 1/4, 1/2 and 1 of the standard deviation of chance."""
_MAX_BUCKETS = 96
_PER_OCTAVE = 8
_SPREAD_PER_OCTAVE = 2
_MAX_BITS = 42
MAX_COUNT = (1 << _MAX_BITS) - 1
"""Largest count that is coded."""


def index_of(count: int, step: int) -> int:
    """The companded count: intervals of counts are numbered from 0."""
    d = STEPS[step]
    return count if count < d * d or not d else math.isqrt((count + 1) * d * d - 1)


def lowest_of(index: int, step: int) -> int:
    """Lowest count of an interval; that of the next one is past its end."""
    d = STEPS[step]
    return index if index < d * d or not d else index * index // (d * d)


def middle_of(index: int, step: int) -> int:
    """The count that stands for an interval."""
    return (lowest_of(index, step) + lowest_of(index + 1, step) - 1) // 2 if step else index


def code_count(coder: Coder, value: int, mean: int, spread: int, step: int) -> int:
    """Code one count, as its index at a step.

    Parameters
    ----------
    value
        The index, when encoding.
    mean
        Expected count in 1024ths, below 2 ** 52.
    spread
        Relative variance beyond chance, 65536ths: 1 / r of the negative binomial law.
    step
        Index into `STEPS`.
    """
    first, width, bounds = _law(_grid(mean, _MEAN_MANTISSA), _grid(spread, _SPREAD_MANTISSA), step)
    n = len(bounds) - 3
    bucket = (value - first) // width if value >= first else -1
    symbol = coder.symbol(bounds, bucket if 0 <= bucket < n else n + (bucket < 0))
    if symbol == n:  # above
        base = first + n * width
        index = base + _code_excess(coder, value - base)
        if index > index_of(MAX_COUNT, step):
            raise MessageError(f"holds a count above {MAX_COUNT}", remedy="leave it out")
        return index
    if symbol == n + 1:  # below
        return coder.uniform(first, value) if first else 0
    base = first + symbol * width
    return base + coder.uniform(width, value - base) if width > 1 else base


def code_remainder(coder: Coder, index: int, step: int, value: int) -> int:
    """Code which count of an interval it is, all being about equally likely."""
    lowest = lowest_of(index, step)
    width = lowest_of(index + 1, step) - lowest
    return lowest + coder.uniform(width, value - lowest) if width > 1 else lowest


def _code_excess(coder: Coder, value: int) -> int:
    """A number that is seldom needed: its bit length, then its bits."""
    length = coder.uniform(_MAX_BITS + 1, (value + 1).bit_length() - 1 if value >= 0 else 0)
    return (1 << length) - 1 + (coder.uniform(1 << length, value + 1 - (1 << length)) if length else 0)


def _mantissas(per_octave: int) -> bytes:
    """Step within an octave of each 11-bit mantissa: how often 2 ** (1 / per_octave) fits in it."""
    limits = [math.isqrt(math.isqrt(math.isqrt(1 << (80 + 8 * i // per_octave)))) for i in range(per_octave)]
    return bytes(sum(1024 + m >= limit for limit in limits) - 1 for m in range(1024))


_MEAN_MANTISSA = _mantissas(_PER_OCTAVE)
_SPREAD_MANTISSA = _mantissas(_SPREAD_PER_OCTAVE)


def _grid(x: int, mantissas: bytes) -> int:
    """Place of a positive number on a logarithmic grid."""
    length = x.bit_length()
    top = x >> (length - 11) if length >= 11 else x << (11 - length)
    return length * (mantissas[-1] + 1) + mantissas[top & 1023]


def _centre(place: int, per_octave: int) -> int:
    """Number in the middle of a step of the grid, 256ths."""
    whole, part = divmod(place, per_octave)
    fraction = 256 * (2 * part + 1) // (2 * per_octave)
    return int(exp2_table()[fraction]) << max(whole - 1, 0) >> 8


@functools.lru_cache(maxsize=8192)
def _law(mean_place: int, spread_place: int, step: int) -> tuple[int, int, Sequence[int]]:
    """First index, indices a bucket, and frequencies: of the buckets, of what is above and below them."""
    mean = _centre(mean_place, _PER_OCTAVE)  # of a count: / (256 * MEAN_ONE)
    spread = _centre(spread_place, _SPREAD_PER_OCTAVE)  # / (256 * SPREAD_ONE)
    size = max(1, (SPREAD_ONE << 16) // spread)  # r of the law, 256ths
    whole = min(mean // (256 * MEAN_ONE), 1 << _MAX_BITS)
    sd = math.isqrt(whole + (whole * whole << 8) // size) + 1
    d = STEPS[step]
    first = index_of(max(0, whole - 6 * sd), step)
    last = index_of(min(whole + 10 * sd + 4, 2 << _MAX_BITS), step) + 1
    width = 1
    while (last - first) > width * _MAX_BUCKETS:
        width *= 2
    edges = np.arange(first, last + width, width, dtype=np.int64)
    if d:
        edges = np.where(edges < d * d, edges, edges * edges // (d * d))
    middle = (edges[:-1] + edges[1:] - 1) // 2
    gaps = np.diff(middle)
    at = middle[:-1] + (gaps >> 1)
    # P(n + 1) / P(n) = (n + r) / (n + 1) * mean / (mean + r)
    excess = max(0, (mean + (size << 10)).bit_length() - 52)
    ratio = mean >> excess, mean + (size << 10) >> excess
    logs = log2(np.concatenate((256 * at + size, 256 * (at + 1), np.diff(edges), ratio)))
    n = len(at)
    log = logs[2 * n : -2]
    log[1:] += np.cumsum(gaps * (logs[:n] - logs[n : 2 * n] + (logs[-2] - logs[-1])))
    bounds = bounds_of(np.concatenate((log, [log.max() - (14 << LOG_BITS), log.max() - (15 << LOG_BITS)])))
    return first, width, bounds
