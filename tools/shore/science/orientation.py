"""How elongated particles lie: angles from the vertical, as axes. Pure.

An axis has no head: 10 degrees is 190 degrees. So angles are doubled, averaged as directions, and halved
(Fisher 1993, Statistical Analysis of Circular Data; Zar 1999, Biostatistical Analysis). The image shows a
projection: a particle that points at the camera looks round and is left out; water that the float itself
moves turns particles too.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tools.shore.science.spectra import Floats

LEAST_ELONGATION, LEAST_AREA_PX = 2.0, 100
"""Major over minor axis, and area: below these an angle is the pixels' and not the particle's."""


class Axes(NamedTuple):
    """Axial statistics of n angles.

    Attributes
    ----------
    n
        Particles.
    mean_deg
        Mean axis, degrees from the vertical towards the right as one sees it, -90 to 90; NaN without any.
    length
        Mean resultant length of the doubled angles: 0 scattered, 1 all alike.
    p
        Chance of so long a resultant where all axes are alike (Rayleigh's test).
    from_vertical_deg
        Mean of the angles from the vertical without a side, 0 to 90; 45 where all axes are alike.
    """

    n: int
    mean_deg: float
    length: float
    p: float
    from_vertical_deg: float


def from_vertical(angle_deg: Floats, up_deg: float = 90.0) -> Floats:
    """Angles from the vertical, -90 to below 90, positive towards the right as one sees it.

    Parameters
    ----------
    angle_deg
        From the image's x axis, counter-clockwise as one sees it, as ImageJ has it.
    up_deg
        Where up is in the image, in the same way: 90 where the camera stands upright.
    """
    return np.asarray((up_deg - np.asarray(angle_deg, dtype=np.float64) + 90.0) % 180.0 - 90.0)


def is_telling(elongation: Floats, area_px: Floats, on_border: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Particles whose angle is worth a number: elongated, large enough, and seen whole."""
    return np.asarray((elongation >= LEAST_ELONGATION) & (area_px >= LEAST_AREA_PX) & ~on_border)


def axial(angles_deg: Floats) -> Axes:
    """Statistics of angles from the vertical."""
    n = len(angles_deg)
    if n == 0:
        return Axes(0, math.nan, math.nan, math.nan, math.nan)
    doubled = 2 * np.radians(angles_deg)
    c, s = float(np.cos(doubled).mean()), float(np.sin(doubled).mean())
    length = math.hypot(c, s)
    return Axes(
        n,
        math.degrees(math.atan2(s, c)) / 2,
        length,
        rayleigh(n, length),
        float(np.abs(angles_deg).mean()),
    )


def rayleigh(n: int, length: float) -> float:
    """Chance of a mean resultant length of at least `length` from n uniform directions.

    The approximation on page 617 of Zar (1999), as the toolboxes CircStat and pycircstat quote it; against
    chance it is right to three digits from 10 directions on.
    """
    r = n * length
    return min(1.0, math.exp(math.sqrt(1 + 4 * n + 4 * (n * n - r * r)) - (1 + 2 * n)))
