"""The 9/7 wavelet of Cohen, Daubechies and Feauveau (1992) in fixed point, for pictures of any size. Pure.

By lifting (Daubechies and Sweldens 1998), mirrored at the borders. Lowpass bands keep the grey of the
picture; the inverse is the same on every machine, and off by less than a grey level from exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_BITS = 14
# round(2 ** 14 * c) of the four lifting steps, and of the scales that leave the mean as it is.
_STEPS = (-25987, -868, 14466, 7266)
_LOW, _LOW_BACK = 13318, 20155
_HIGH, _HIGH_BACK = 10078, 26637
SMALLEST_PX = 2
"""A side of this length is not split further."""


class Bands(NamedTuple):
    """One level: what is left, int64, and the details along x, along y and along both; empty if not split."""

    low: Ints
    along_x: Ints
    along_y: Ints
    both: Ints


def split(low: Ints) -> Bands:
    """Split both sides that are longer than `SMALLEST_PX`."""
    left, right = _split(low.T) if low.shape[1] > SMALLEST_PX else (low.T, low.T[:0])
    top, bottom = left.T, right.T
    if low.shape[0] > SMALLEST_PX:
        return _order(*_split(top), *_split(bottom))
    return Bands(top, bottom, top[:0], bottom[:0])


def _order(low: Ints, along_y: Ints, along_x: Ints, both: Ints) -> Bands:
    return Bands(low, along_x, along_y, both)


def join(bands: Bands) -> Ints:
    """The inverse of `split`."""
    left, right = bands.low, bands.along_x
    if len(bands.along_y):
        left, right = _join(bands.low, bands.along_y), _join(bands.along_x, bands.both)
    return _join(left.T, right.T).T if right.shape[1] else left


def sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Height and width of the picture and of every lowpass band, down to the last."""
    found = [(height, width)]
    while max(found[-1]) > SMALLEST_PX:
        height, width = found[-1]
        found.append((_halved(height), _halved(width)))
    return found


def _halved(n: int) -> int:
    return (n + 1) // 2 if n > SMALLEST_PX else n


def _scaled(values: Ints, factor: int) -> Ints:
    return np.asarray((values * factor + (1 << (_BITS - 1))) >> _BITS)


def _split(values: Ints) -> tuple[Ints, Ints]:
    """Lowpass and highpass along the first axis, at least two long."""
    even, odd = values[::2], values[1::2]
    for i in (0, 2):
        odd = odd + _scaled(_around_odd(even, len(odd)), _STEPS[i])
        even = even + _scaled(_around_even(odd, len(even)), _STEPS[i + 1])
    return _scaled(even, _LOW), _scaled(odd, _HIGH)


def _join(low: Ints, high: Ints) -> Ints:
    even, odd = _scaled(low, _LOW_BACK), _scaled(high, _HIGH_BACK)
    for i in (2, 0):
        even = even - _scaled(_around_even(odd, len(even)), _STEPS[i + 1])
        odd = odd - _scaled(_around_odd(even, len(odd)), _STEPS[i])
    values = np.empty((len(low) + len(high), *low.shape[1:]), dtype=np.int64)
    values[::2], values[1::2] = even, odd
    return values


def _around_odd(even: Ints, n: int) -> Ints:
    """Sum of both even neighbours of each odd sample; the last counts twice where the other is missing."""
    return np.asarray(even[:n] + np.concatenate((even[1:], even[-1:]))[:n])


def _around_even(odd: Ints, n: int) -> Ints:
    before = np.concatenate((odd[:1], odd))[:n]
    after = odd if len(odd) == n else np.concatenate((odd, odd[-1:]))
    return np.asarray(before + after)
