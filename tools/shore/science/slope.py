"""Slope of the size spectrum, n(d) ~ d**-slope, by regression of logarithms and by maximum likelihood. Pure.

The regression is what UVP papers report (say Guidi et al. 2009, Limnology and Oceanography 54); it gives
classes of two particles the voice of classes of thousands, and has no word for an empty class. The likelihood
of binned counts has neither fault (Edwards et al. 2020, Marine Ecology Progress Series 636, 19, "MLEbin").
Both are given: where they differ, the spectrum is no power law, or its large classes hold few particles.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

from edge.quantification import LEVEL
from tools.shore.science.spectra import Floats, Ints

LEAST_CLASSES, LEAST_PARTICLES = 3, 10
"""Fewer have no slope worth a number."""
_STEEPEST = 30.0


class Slope(NamedTuple):
    """A slope of the number spectrum, positive where small ones are more, with both ends of its interval.

    NaN where there is too little to say it. `per_l_mm_at_1mm` is the line's height at 1 mm.
    """

    method: str
    value: float
    low: float
    high: float
    per_l_mm_at_1mm: float
    classes: int
    particles: int


def regression(
    count: Ints, edges_um: Floats, volume_l: float, *, by_counts: bool = False, level: float = LEVEL
) -> Slope:
    """Slope of log10(particles a litre and mm) on log10(mid of the class), empty classes left out.

    Parameters
    ----------
    count, edges_um
        (classes,) int64 and (classes + 1,) um; the mid is the geometric one.
    volume_l
        Water looked at.
    by_counts
        Weigh each class by its count: the variance of a Poisson count's logarithm is 1 / count.
    """
    method = "weighted regression" if by_counts else "regression"
    some = count > 0
    n, m = int(some.sum()), int(count.sum())
    if n < LEAST_CLASSES or m < LEAST_PARTICLES or not volume_l > 0:
        return Slope(method, math.nan, math.nan, math.nan, math.nan, n, m)
    x = np.log10(np.sqrt(edges_um[:-1] * edges_um[1:]) / 1000)[some]
    y = np.log10(count[some] / volume_l / (np.diff(edges_um)[some] / 1000))
    w = count[some].astype(np.float64) if by_counts else np.ones(n)
    mean_x, mean_y = np.average(x, weights=w), np.average(y, weights=w)
    spread = float(w @ (x - mean_x) ** 2)
    b = float(w @ ((x - mean_x) * (y - mean_y))) / spread
    a = mean_y - b * mean_x
    error = math.sqrt(max(0.0, float(w @ (y - a - b * x) ** 2)) / (n - 2) / spread)
    half = float(stats.t.ppf((1 + level) / 2, n - 2)) * error
    return Slope(method, -b, -b - half, -b + half, 10**a, n, m)


def likelihood(count: Ints, edges_um: Floats, volume_l: float, *, level: float = LEVEL) -> Slope:
    """Maximum likelihood of a power law between the first and the last edge, from counts by class.

    The interval holds the slopes whose log-likelihood is within half a chi-squared quantile of the best.
    """
    n, m = int((count > 0).sum()), int(count.sum())
    if len(count) < LEAST_CLASSES or m < LEAST_PARTICLES or not volume_l > 0:
        return Slope("maximum likelihood", math.nan, math.nan, math.nan, math.nan, n, m)
    x = np.log(edges_um / edges_um[0])

    def misfit(slope: float) -> float:
        return -float(count @ _log_shares(x, slope))

    found = optimize.minimize_scalar(misfit, bounds=(-_STEEPEST, _STEEPEST), method="bounded")
    best = float(found.x)
    limit = float(found.fun) + float(stats.chi2.ppf(level, 1)) / 2

    def end(side: float) -> float:
        if misfit(side) <= limit:
            return math.copysign(math.inf, side)
        return float(optimize.brentq(lambda slope: misfit(slope) - limit, best, side))

    height = _height_at_1mm(m / volume_l, best, edges_um / 1000)
    return Slope("maximum likelihood", best, end(-_STEEPEST), end(_STEEPEST), height, n, m)


def _log_shares(x: Floats, slope: float) -> Floats:
    """Log of the share of each class of a power law, from logarithms of the edges that begin with 0."""
    power = 1 - slope
    if abs(power) < 1e-9:
        return np.asarray(np.log(np.diff(x) / x[-1]))
    # exp(p b) - exp(p a) = exp(p a) expm1(p (b - a)), which neither overflows nor loses digits.
    each = power * x[:-1] + np.log(np.abs(np.expm1(power * np.diff(x))))
    whole = math.log(abs(math.expm1(power * x[-1]))) if power * x[-1] < 500 else power * x[-1]
    return np.asarray(each - whole)


def _height_at_1mm(per_l: float, slope: float, edges_mm: Floats) -> float:
    power = 1 - slope
    low, high = float(edges_mm[0]), float(edges_mm[-1])
    whole = math.log(high / low) if abs(power) < 1e-9 else (high**power - low**power) / power
    return per_l / whole
