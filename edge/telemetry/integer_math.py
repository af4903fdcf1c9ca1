"""Logarithms and powers of two in integers alone: what every frequency of the coder is made from. Pure.

No floating point takes part, so that every machine codes with the same frequencies.
"""

from __future__ import annotations

import functools
import math
from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.telemetry.range_coder import MAX_TOTAL

Ints = NDArray[np.int64]

LOG_BITS = 16
"""Fractional bits of a logarithm."""
_INDEX_BITS = 12


def log2(x: Ints) -> Ints:
    """log2 of whole numbers 1 <= x < 2**53, int64 with 16 fractional bits, interpolated in a table."""
    length = np.frexp(x.astype(np.float64))[1].astype(np.int64)  # exact: the number of bits of a whole number
    shift = length - (1 + _INDEX_BITS + LOG_BITS)
    mantissa = np.where(shift > 0, x >> np.maximum(shift, 0), x << np.maximum(-shift, 0))
    index = (mantissa >> LOG_BITS) - (1 << _INDEX_BITS)
    low = _log_table()[index]
    rise = _log_table()[index + 1] - low
    log: Ints = ((length - 1) << LOG_BITS) + low + (rise * (mantissa & ((1 << LOG_BITS) - 1)) >> LOG_BITS)
    return log


@functools.lru_cache(maxsize=1)
def _log_table() -> Ints:
    """log2(1 + i / 4096) with 16 fractional bits, i = 0..4096, by repeated squaring."""
    mantissa = np.arange(1 << _INDEX_BITS, dtype=np.int64) + (1 << _INDEX_BITS) << 30 - _INDEX_BITS
    fraction = np.zeros(mantissa.shape, dtype=np.int64)
    for _ in range(LOG_BITS):
        mantissa = mantissa * mantissa >> 30
        over = mantissa >> 31
        mantissa >>= over
        fraction = fraction << 1 | over
    return np.append(fraction, 1 << LOG_BITS)


@functools.lru_cache(maxsize=1)
def exp2_table() -> Ints:
    """2 ** (16 + i / 256), rounded down, for i in 0..255, by integer square roots."""
    table = []
    for i in range(256):
        x = 1 << (i + 16 * 256)
        for _ in range(8):  # the floor of a root of a floor is the floor of the root: no error adds up
            x = math.isqrt(x)
        table.append(x)
    return np.array(table, dtype=np.int64)


def bounds_of(log_weight: Ints) -> Sequence[int]:
    """Cumulative frequencies, summing to `MAX_TOTAL`, each at least 1, of log2 weights up to a constant."""
    below = log_weight - np.maximum.reduce(log_weight)
    weight = exp2_table()[below >> 8 & 255] >> np.minimum(-(below >> LOG_BITS), 40)
    ends = np.add.accumulate(weight * (MAX_TOTAL - weight.size) // np.add.reduce(weight) + 1)
    ends[weight.argmax() :] += MAX_TOTAL - ends[-1]  # what rounding left goes to the likeliest
    bounds = np.zeros(weight.size + 1, dtype=np.int32)
    bounds[1:] = ends
    return array("i", bounds.tobytes())  # read one at a time: faster than NumPy, small
