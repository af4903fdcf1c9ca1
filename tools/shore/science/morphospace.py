"""Morphospace: principal components of what is measured of every particle, and examples of its corners. Pure.

As Trudnowska et al. (2021, Nature Communications 12, 2816) for marine snow: shapes and shades, standardised,
turned so that the first axes hold most of what differs. Axes are of one dive: those of another are others,
unless its particles are put into the same `Morphospace`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tools.shore.science.spectra import Floats, Ints

MEASURED = (
    "area_px", "perimeter_px", "feret_px", "elongation", "circularity", "solidity", "area_percent", "extent",
    "mean_grey", "sd_grey", "skewness", "kurtosis", "cv_percent", "meanpos",
)  # fmt: skip
"""Size, outline, shade; none twice under two names."""
LOGARITHMIC = frozenset(("area_px", "perimeter_px", "feret_px", "elongation"))
EDGE_SHARE = 0.005
"""Of each measure so much at both ends is drawn in to the quantile: one odd particle turns no axis."""
LEAST_PARTICLES = 30


@dataclass(frozen=True, slots=True)
class Morphospace:
    """Axes of a morphospace.

    Attributes
    ----------
    names
        Measures.
    low, high, mean, sd
        (measures,) quantiles that values are drawn in to, then mean and spread that they are standardised by.
    axes
        (components, measures), rows of length 1; of each the entry with the largest size is positive.
    share
        (components,) share of the variance.
    """

    names: tuple[str, ...]
    low: Floats
    high: Floats
    mean: Floats
    sd: Floats
    axes: Floats
    share: Floats

    def place(self, measures: Floats) -> Floats:
        """Where particles lie, (n, components), from their measures (n, len(names))."""
        x = np.clip(_straight(measures, self.names), self.low, self.high)
        return np.asarray((x - self.mean) / self.sd @ self.axes.T)


def fit(measures: Floats, names: tuple[str, ...] = MEASURED, components: int = 4) -> Morphospace | None:
    """Axes from the measures of particles, (n, len(names)); None where they are too few, or all alike."""
    x = _straight(measures, names)
    if len(x) < LEAST_PARTICLES:
        return None
    low, high = np.quantile(x, (EDGE_SHARE, 1 - EDGE_SHARE), axis=0)
    x = np.clip(x, low, high)
    mean, sd = x.mean(axis=0), x.std(axis=0)
    alike = sd <= 1e-12 * np.maximum(1, np.abs(mean))
    if alike.all():
        return None
    sd[alike] = 1.0
    z = (x - mean) / sd
    variance, vectors = np.linalg.eigh(z.T @ z / len(z))
    order = np.argsort(-variance, kind="stable")[:components]
    axes = vectors[:, order].T
    largest = np.abs(axes).round(9).argmax(axis=1)
    axes = axes * np.sign(axes[np.arange(len(axes)), largest])[:, None]
    return Morphospace(names, low, high, mean, sd, axes, variance[order] / variance.sum())


def examples(places: Floats, usable: Ints, across: int = 7, down: int = 5) -> list[tuple[int, float, float]]:
    """Particles spread over the plane of the first two axes: number, and the middle of its cell.

    Parameters
    ----------
    places
        (n, 2 or more).
    usable
        Numbers of those with a picture.
    across, down
        Cells of the grid between the 1 and 99 % quantiles; one without a particle stays empty.
    """
    if not len(usable):
        return []
    xy = places[:, :2]
    low, high = np.quantile(xy, (0.01, 0.99), axis=0)
    step = np.maximum((high - low) / (across, down), 1e-9)
    cell = np.floor((xy[usable] - low) / step).astype(np.int64)
    found = []
    for j in range(down):
        for i in range(across):
            mine = usable[(cell == (i, j)).all(axis=1)]
            if mine.size:
                middle = low + step * (i + 0.5, j + 0.5)
                nearest = np.argmin((((xy[mine] - middle) / step) ** 2).sum(axis=1))
                found.append((int(mine[nearest]), float(middle[0]), float(middle[1])))
    return found


def _straight(measures: Floats, names: tuple[str, ...]) -> Floats:
    """Measures with sizes as logarithms; what is not finite is 0."""
    x = np.array(measures, dtype=np.float64)
    for i, name in enumerate(names):
        if name in LOGARITHMIC:
            x[:, i] = np.log10(np.maximum(x[:, i], 1e-3))
    x[~np.isfinite(x)] = 0.0
    return x
