"""Pictures made smaller and larger, and compared, in integers alone: the same on every machine. Pure.

A cubic filter (Keys 1981, a = -1/2), widened when shrinking so that nothing aliases; and the structural
similarity of Wang et al. 2004 over square windows. Not for frames: it is meant for pictures of particles.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Ints = NDArray[np.int64]

_BITS = 14
_WINDOW_PX = 7
"""Side of the window of the similarity."""
_C1, _C2 = 6, 58
"""Its constants, (0.01 * 255)^2 and (0.03 * 255)^2."""
SIMILARITY_ONE = 1 << 16
"""Similarity of a picture with itself."""


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """A picture at another size.

    Parameters
    ----------
    pixels
        uint8 (h, w), at least one pixel.
    height, width
        Wanted, px.

    Returns
    -------
    uint8 (height, width)
    """
    if pixels.shape == (height, width):
        return pixels
    rows, columns = _weights(pixels.shape[0], height), _weights(pixels.shape[1], width)
    # The smaller intermediate first: a large particle is shrunk along its rows once.
    across = (pixels.astype(np.int64) @ columns.T + (1 << (_BITS - 7))) >> (_BITS - 6)
    down = (rows @ across + (1 << (_BITS + 5))) >> (_BITS + 6)
    return np.asarray(np.clip(down, 0, 255), dtype=np.uint8)


@functools.lru_cache(maxsize=64)
def _weights(n_in: int, n_out: int) -> Ints:
    """int64 (n_out, n_in): what each sample is made of, rows adding up to 2 ** 14."""
    # Distances in units of 1 / (2 * scale), so that centres of samples are whole numbers on both sides.
    scale = max(n_in, n_out)
    unit = 2 * scale
    centre_out = (2 * np.arange(n_out, dtype=np.int64)[:, np.newaxis] + 1) * n_in
    centre_in = (2 * np.arange(n_in, dtype=np.int64)[np.newaxis] + 1) * n_out
    # |difference| / (2 n_out) input samples, or / (2 n_in) output samples when shrinking, in 1 / 4096.
    x = np.minimum((np.abs(centre_out - centre_in) << 12) // unit, 2 << 12)
    x2, x3 = (x * x) >> 12, (x * x * x) >> 24
    near = (2 << 12) - 5 * x2 + 3 * x3
    far = (4 << 12) - 8 * x + 5 * x2 - x3
    raw = np.where(x < 1 << 12, near, far)
    total = raw.sum(axis=1, keepdims=True)
    weights = (raw * (2 << _BITS) + total) // (2 * total)
    weights[np.arange(n_out), raw.argmax(axis=1)] += (1 << _BITS) - weights.sum(axis=1)
    return np.asarray(weights)


def similarity(first: Pixels, second: Pixels) -> int:
    """Mean structural similarity of two pictures of one size, uint8 (h, w), in parts of `SIMILARITY_ONE`."""
    height, width = first.shape
    window = min(_WINDOW_PX, height, width)
    n = window * window
    x, y = first.astype(np.int64), second.astype(np.int64)
    sx, sy = _window_sums(x, window), _window_sums(y, window)
    xx, yy, xy = (_window_sums(one, window) for one in (x * x, y * y, x * y))
    c1, c2 = _C1 * n * n, _C2 * n * n
    means = ((2 * sx * sy + c1) << 16) // (sx * sx + sy * sy + c1)
    spread = (n * xx - sx * sx) + (n * yy - sy * sy) + c2
    shape = ((2 * (n * xy - sx * sy) + c2) << 16) // spread
    return int(((means * shape) >> 16).sum()) // int(means.size)


def _window_sums(values: Ints, window: int) -> Ints:
    """Sum over every window that lies wholly inside."""
    corners = np.zeros((values.shape[0] + 1, values.shape[1] + 1), dtype=np.int64)
    corners[1:, 1:] = values.cumsum(axis=0).cumsum(axis=1)
    return np.asarray(
        corners[window:, window:]
        - corners[:-window, window:]
        - corners[window:, :-window]
        + corners[:-window, :-window]
    )
