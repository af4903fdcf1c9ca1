"""How a count falls apart into two halves: the beta-binomial law, in integers alone. Pure.

Log-gammas are sums of a table of integer logarithms, so that every machine codes with the same frequencies;
no floating point takes part. Counts above 255 are split into 256 steps of the Beta law and a uniform rest.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.telemetry.integer_math import LOG_BITS, bounds_of, log2
from edge.telemetry.range_coder import Coder

Ints = NDArray[np.int64]

ONE = 64
"""Parameters of the law are in 64ths: `ONE` is 1.0."""
MAX_PARAMETER = 2048 * ONE
EXACT = 255
"""Counts up to this are split by the exact law."""
_STEPS = EXACT + 1
_MANTISSA_BITS = 6


def split(coder: Coder, n: int, left: int, strength: int, share: int) -> int:
    """Code how many of `n` (1 or more) are in the left half.

    Parameters
    ----------
    left
        The number, when encoding.
    strength
        Sum of the two parameters of the Beta law, 64ths: large when the expected share is sure.
    share
        Expected share of the left half, 0..65536.
    """
    if n > EXACT:
        # Beta law of the share itself, with the variance that the beta-binomial share has.
        strength = max(1, n * (strength + ONE) // (n + strength // ONE))
    alpha = _rounded(strength * share >> 16)
    beta = _rounded(strength - (strength * share >> 16))
    if n == 1:
        return coder.symbol((0, max(1, (beta << 15) // (alpha + beta)), 1 << 15), left)
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


@functools.lru_cache(maxsize=512)
def _log_rising(parameter: int) -> Ints:
    """log2 of parameter * (parameter + 1) * ... with k factors, k = 0..EXACT."""
    logs = log2(parameter + ONE * np.arange(EXACT, dtype=np.int64))
    return np.concatenate(([0], np.cumsum(logs - (ONE.bit_length() - 1 << LOG_BITS))))


@functools.lru_cache(maxsize=16384)
def _exact(n: int, alpha: int, beta: int) -> Sequence[int]:
    """Cumulative frequencies of 0..n in the left half."""
    return bounds_of(_log_rising(alpha)[: n + 1] + _log_rising(beta)[n::-1] - _log_factorials(n))


@functools.lru_cache(maxsize=EXACT + 1)
def _log_factorials(n: int) -> Ints:
    """log2 of k! (n - k)!, k = 0..n."""
    factorial = _log_rising(ONE)[: n + 1]
    return np.asarray(factorial + factorial[::-1])


@functools.lru_cache(maxsize=1024)
def _stepped(alpha: int, beta: int) -> Sequence[int]:
    """Cumulative frequencies of 256 equal steps of the share."""
    log = log2(np.arange(1, 2 * _STEPS, 2, dtype=np.int64))
    density = ((alpha - ONE) * log + (beta - ONE) * log[::-1]) // ONE
    return bounds_of(density)
