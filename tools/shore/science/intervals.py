"""Intervals of counts and of weighted counts, exact where there is an exact one. Pure.

A camera counts what drifts by: of a mean of m particles it meets a Poisson number. What the classifier adds
to that is not here (`edge.quantification`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincinv

from edge.quantification import LEVEL

Floats = NDArray[np.float64]


def poisson(count: ArrayLike, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Exact interval of a Poisson mean, both ends in the shape of `count`; its level is the classifier's.

    Garwood (1936), Biometrika 28, 437: chi-squared quantiles at 2 n and 2 n + 2 degrees of freedom, halved,
    which are quantiles of a gamma law. Of none counted the interval begins at 0; of NaN it is NaN.
    """
    n = np.asarray(count, dtype=np.float64)
    tail = (1 - level) / 2
    low = np.where(n <= 0, 0.0, gammaincinv(np.where(n <= 0, 1.0, n), tail))
    return np.asarray(low), np.asarray(gammaincinv(n + 1, 1 - tail))


def weighted(
    total: ArrayLike, squares: ArrayLike, largest: ArrayLike, level: float = LEVEL
) -> tuple[Floats, Floats]:
    """Interval of the mean of a sum of weights, one weight a particle counted: biovolume, carbon, flux.

    Fay and Feuer (1997), Statistics in Medicine 16, 791: a gamma interval, as R's dsrTest has it. With
    equal weights it is Garwood's, times the weight.

    Parameters
    ----------
    total, squares
        Sum of the weights, and of their squares, over the particles counted; any shape.
    largest
        The largest weight that a particle could have had: it says how much one more would have added.
        Where nothing was counted, the upper end is what that one particle allows.
    """
    y, v, w = (np.asarray(one, dtype=np.float64) for one in (total, squares, largest))
    tail = (1 - level) / 2
    some = (y > 0) & (v > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        low = np.where(some, v / y * gammaincinv(y**2 / v, tail), 0.0)
        above, spread = y + w, v + w**2
        high = np.where(above > 0, spread / above * gammaincinv(above**2 / spread, 1 - tail), 0.0)
    return low, high
