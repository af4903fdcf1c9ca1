"""How a count falls apart into two halves: the beta-binomial law, in integers alone. Pure.

Log-gammas are sums of a table of integer logarithms, so that every machine codes with the same frequencies;
no floating point takes part. Counts above 255 are split into 256 steps of the Beta law and a uniform rest.
"""

from __future__ import annotations

import functools
import math
from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.telemetry.range_coder import MAX_TOTAL, Coder

Ints = NDArray[np.int64]

ONE = 16
"""Parameters of the law are in sixteenths: `ONE` is 1.0."""
MAX_PARAMETER = 2048 * ONE
EXACT = 255
"""Counts up to this are split by the exact law."""
_STEPS = EXACT + 1
_LOG_BITS = 16
_MANTISSA_BITS = 6


def split(coder: Coder, n: int, left: int, strength: int, share: int) -> int:
    """Code how many of `n` (1 or more) are in the left half.

    Parameters
    ----------
    left
        The number, when encoding.
    strength
        Sum of the two parameters of the Beta law, sixteenths: large when the expected share is sure.
    share
        Expected share of the left half, 0..65536.
    """
    if n > EXACT:
        # Beta law of the share itself, with the variance that the beta-binomial share has.
        strength = max(1, n * (strength + ONE) // (n + strength // ONE))
    alpha = _rounded(strength * share >> 16)
    beta = _rounded(strength - (strength * share >> 16))
    if n <= EXACT:
        return coder.symbol(_exact(n, alpha, beta), left)
    step = coder.symbol(_stepped(alpha, beta), left * _STEPS // (n + 1))
    first = -(-step * (n + 1) // _STEPS)
    after = -(-(step + 1) * (n + 1) // _STEPS)
    return first + coder.uniform(after - first, left - first)


def _rounded(parameter: int) -> int:
    """Parameter to six significant bits: few enough different ones to keep their tables."""
    extra = parameter.bit_length() - _MANTISSA_BITS
    if extra > 0:
        parameter = (parameter + (1 << extra >> 1)) >> extra << extra
    return min(max(parameter, 1), MAX_PARAMETER)


@functools.lru_cache(maxsize=1)
def _log2_table() -> Ints:
    """log2(i) with 16 fractional bits for i up to the largest argument, by repeated squaring; [0] is 0."""
    size = MAX_PARAMETER + ONE * (EXACT + 1)
    x = np.arange(size, dtype=np.int64)
    x[0] = 1
    whole = np.zeros(size, dtype=np.int64)
    for bit in (16, 8, 4, 2, 1):
        big = x >> (whole + bit) > 0
        whole += bit * big
    mantissa = x << (30 - whole)
    fraction = np.zeros(size, dtype=np.int64)
    for _ in range(_LOG_BITS):
        mantissa = mantissa * mantissa >> 30
        over = mantissa >> 31
        mantissa >>= over
        fraction = fraction << 1 | over
    return (whole << _LOG_BITS) + fraction


@functools.lru_cache(maxsize=1)
def _exp2_table() -> Ints:
    """2 ** (16 + i / 256), rounded down, for i in 0..255, by integer square roots."""
    table = []
    for i in range(256):
        x = 1 << (i + 16 * 256)
        for _ in range(8):  # the floor of a root of a floor is the floor of the root: no error adds up
            x = math.isqrt(x)
        table.append(x)
    return np.array(table, dtype=np.int64)


@functools.lru_cache(maxsize=512)
def _log_rising(parameter: int) -> Ints:
    """log2 of parameter * (parameter + 1) * ... with k factors, k = 0..EXACT."""
    logs = _log2_table()[parameter : parameter + ONE * EXACT : ONE]
    return np.concatenate(([0], np.cumsum(logs - (4 << _LOG_BITS))))


@functools.lru_cache(maxsize=16384)
def _exact(n: int, alpha: int, beta: int) -> Sequence[int]:
    """Cumulative frequencies of 0..n in the left half."""
    factorial = _log_rising(ONE)[: n + 1]
    log = _log_rising(alpha)[: n + 1] + _log_rising(beta)[n::-1] - factorial - factorial[::-1]
    return _bounds(log)


@functools.lru_cache(maxsize=1024)
def _stepped(alpha: int, beta: int) -> Sequence[int]:
    """Cumulative frequencies of 256 equal steps of the share."""
    log = _log2_table()[1 : 2 * _STEPS : 2]
    density = ((alpha - ONE) * log + (beta - ONE) * log[::-1]) >> 4
    return _bounds(density)


def _bounds(log: Ints) -> Sequence[int]:
    """Cumulative frequencies, summing to `MAX_TOTAL` and each at least 1, of unnormalised log2 weights."""
    below = log - log.max()
    weight = _exp2_table()[below >> 8 & 255] >> np.minimum(-(below >> _LOG_BITS), 40)
    frequency = 1 + weight * (MAX_TOTAL - weight.size) // weight.sum()
    frequency[np.argmax(weight)] += MAX_TOTAL - frequency.sum()
    bounds = np.concatenate(([0], np.cumsum(frequency)))
    return array("i", bounds.astype(np.int32).tobytes())  # read one at a time: faster than NumPy, small
