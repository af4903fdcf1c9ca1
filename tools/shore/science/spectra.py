"""Size spectra: particles by size class, their concentration and biovolume with intervals. Pure.

Classes are EcoPart's: from 1 um up, each 2**(1/3) times the one before, so that volume doubles. Not here:
what a particle is (`biomass`), and fits (`slope`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.quantification import LEVEL
from tools.shore.science.intervals import poisson, weighted

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ECOPART_EDGES_UM = 2.0 ** (np.arange(46) / 3)
"""Ends of EcoPart's 45 size classes, um: 1, 1.26, 1.59, 2 ... 40.3, 50.8, 64 ... 26,008, 32,768."""


@dataclass(frozen=True, slots=True)
class Particles:
    """Particles of some water, by size: the same size may stand in several rows.

    Attributes
    ----------
    esd_um
        float64 (k,), diameter of the sphere of the same cross-section.
    count
        int64 (k,).
    volume_l
        Water in which every particle of these sizes was counted.
    """

    esd_um: Floats
    count: Ints
    volume_l: float

    def between(self, low_um: float, high_um: float) -> Particles:
        """Those of [low, high)."""
        inside = (self.esd_um >= low_um) & (self.esd_um < high_um)
        return Particles(self.esd_um[inside], self.count[inside], self.volume_l)


@dataclass(frozen=True, slots=True)
class Spectrum:
    """A size spectrum; arrays are (classes,) float64 unless said.

    Attributes
    ----------
    edges_um
        (classes + 1,).
    volume_l
        Water looked at.
    count
        int64.
    per_l, per_l_low, per_l_high
        Particles a litre with the exact Poisson interval; NaN without water.
    per_l_mm
        The same a mm of ESD: the normalised number spectrum.
    mm3_per_l, mm3_per_l_low, mm3_per_l_high
        Biovolume of spheres, mm3 a litre (ppm), with its interval.
    """

    edges_um: Floats
    volume_l: float
    count: Ints
    per_l: Floats
    per_l_low: Floats
    per_l_high: Floats
    per_l_mm: Floats
    mm3_per_l: Floats
    mm3_per_l_low: Floats
    mm3_per_l_high: Floats


def sphere_mm3(esd_um: Floats) -> Floats:
    """Volume of the sphere of a diameter, mm3."""
    return np.asarray(math.pi / 6 * (np.asarray(esd_um, dtype=np.float64) / 1000) ** 3)


def classes_between(least_um: float, most_um: float) -> Floats:
    """Ends of EcoPart's classes that lie wholly above `least_um`, up to the one that holds `most_um`.

    A class that is seen in part alone would look poor: it is left out.
    """
    first = int(np.searchsorted(ECOPART_EDGES_UM * (1 + 1e-9), least_um, side="left"))
    last = int(np.searchsorted(ECOPART_EDGES_UM, most_um, side="right"))
    return ECOPART_EDGES_UM[first : max(last, first) + 1]


def spectrum(particles: Particles, edges_um: Floats, level: float = LEVEL) -> Spectrum:
    """Spectrum of some water in classes [edge, next edge)."""
    n = len(edges_um) - 1
    at = np.searchsorted(edges_um, particles.esd_um, side="right") - 1
    inside = (at >= 0) & (at < n)
    at, count, mm3 = at[inside], particles.count[inside], sphere_mm3(particles.esd_um[inside])
    counted = np.bincount(at, weights=count, minlength=n)[:n].astype(np.int64)
    biovolume = np.bincount(at, weights=count * mm3, minlength=n)[:n]
    squares = np.bincount(at, weights=count * mm3**2, minlength=n)[:n]
    litres = particles.volume_l if particles.volume_l > 0 else math.nan
    low, high = poisson(counted, level)
    low_mm3, high_mm3 = weighted(biovolume, squares, sphere_mm3(edges_um[1:]), level)
    return Spectrum(
        edges_um, particles.volume_l, counted, counted / litres, low / litres, high / litres,
        counted / litres / np.diff(edges_um) * 1000,
        biovolume / litres, low_mm3 / litres, high_mm3 / litres,
    )  # fmt: skip
