"""Aa and Exp from beads of known size: where each size's area lies, and the line through all. Pure.

area_um2 = Aa * area_px ** Exp is a straight line of the logarithms (Picheral et al. 2010, Limnol. Oceanogr.
Methods 8, 462-473; `edge.optics`). What touches another bead, dust and bubbles lie
apart from the single beads' peak and are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError

Floats = NDArray[np.float64]

LEAST_BEADS = 20
LEAST_AREA_PX = 4.0
"""Smaller areas have too few steps to be measured."""
SEARCH = 5.0
"""The peak is looked for within this factor of the area that a plain pixel would give."""
MOST_SPREAD = 0.3
"""Largest standard deviation of the logarithm of single beads' area: more is blur, or many sizes."""
MOST_RESIDUAL = 0.1
"""Largest share by which a size may lie off the line."""
MOST_EXP_ERROR = 0.1
MOST_PAIRS = 0.6
"""Pairs a single bead: more are no pairs, or too dense to be told from others."""
LEAST_CONTRAST = 2.0
"""A peak must be so many times denser than what lies just below it."""
LEAST_SPAN = 1.5
"""The largest beads must be so many times the smallest for Exp to be told."""
LIKELY_EXP = (0.5, 2.0)
UNTOLD = 0.01
"""What is never known of an area better than this share: of the beads' certificate, of a pixel's edge."""
_STEP, _SMOOTH = 0.01, 0.05


@dataclass(frozen=True, slots=True)
class Peak:
    """Single beads of one size.

    Attributes
    ----------
    area_px
        Their middle area (geometric mean), px.
    spread
        Standard deviation of the logarithm of area.
    n
        Single beads.
    n_pairs
        Particles of some two times the area: two that touch.
    n_smaller
        Particles within the range looked at that are smaller than single beads: dust, and beads half lit.
    """

    area_px: float
    spread: float
    n: int
    n_pairs: int
    n_smaller: int

    @property
    def se_log(self) -> float:
        """Standard error of the logarithm of `area_px`."""
        return self.spread / math.sqrt(self.n)


@dataclass(frozen=True, slots=True)
class Bead:
    """Beads as their certificate and as the camera has them; `esd_sd_um` is what it leaves open."""

    name: str
    esd_um: float
    esd_sd_um: float
    peak: Peak


@dataclass(frozen=True, slots=True)
class SizeFit:
    """Aa and Exp.

    Attributes
    ----------
    aa_um2, exp
        See `edge.optics`.
    aa_se_um2, exp_se
        Their standard errors; that of an Exp that was given is 0.
    residuals
        Found ESD over that of the certificate, less 1, of each bead, float64 (n,).
    chi2_per_freedom
        Sum of squared residuals in their own errors, by degree of freedom; NaN when there is none.
    exp_is_fixed
        Exp was not fitted.
    """

    aa_um2: float
    exp: float
    aa_se_um2: float
    exp_se: float
    residuals: Floats
    chi2_per_freedom: float
    exp_is_fixed: bool


def find_peak(area_px: NDArray[np.integer], esd_um: float, pixel_um: float, *, file: str) -> Peak:
    """Peak of the single beads among all particles.

    Parameters
    ----------
    area_px
        Areas of all particles not at the border, int64 (n,).
    esd_um
        Diameter of the beads.
    pixel_um
        Plain pixel: it tells where to look.

    Raises
    ------
    InputError
        Too few, too small, two sizes of beads, or a peak too wide.
    """
    from scipy.ndimage import gaussian_filter1d
    from scipy.signal import find_peaks

    likely = math.pi / 4 * esd_um**2 / pixel_um**2
    logs = np.log(np.asarray(area_px, dtype=np.float64))
    low, high = math.log(likely / SEARCH), math.log(likely * SEARCH)
    near = np.sort(logs[(logs >= low) & (logs <= high)])
    if len(near) < LEAST_BEADS:
        raise InputError(
            f"shows {len(near)} particles that could be beads of {esd_um:g} um ({likely:.0f} px); "
            f"{LEAST_BEADS} are needed",
            file=file,
            remedy="record more frames, check the beads' diameter, the pixel size and the threshold",
        )
    edges = np.arange(low - 1.0, high + 1.0 + _STEP, _STEP)
    areas, count = np.unique(np.asarray(area_px), return_counts=True)
    # Whole pixels are spread over one pixel each: small areas would look like a comb.
    limits = np.log(np.stack((areas - 0.5, areas + 0.5), axis=1).ravel())
    upto = np.repeat(np.cumsum(count), 2) - np.stack((count, 0 * count), axis=1).ravel()
    density = gaussian_filter1d(np.diff(np.interp(edges, limits, upto.astype(np.float64))), _SMOOTH / _STEP)
    peaks, told = find_peaks(density, prominence=0.0)
    places = edges[peaks] + _STEP / 2
    strength = told["prominences"]
    inside = (places > low) & (places < high)
    places, strength = places[inside], strength[inside]
    if not places.size:
        raise _unclear("has no peak among its areas", esd_um, file)
    clear = places[strength >= 0.3 * strength.max()]
    first = float(clear[0])
    apart = [p for p in clear[1:] if min(abs(p - first - math.log(k)) for k in (2, 3)) > 0.12]
    if apart:
        both = " and ".join(f"{math.exp(p):.0f} px" for p in (first, apart[0]))
        raise _unclear(f"has two peaks, at {both}", esd_um, file)
    return _single_beads(near, first, esd_um, file)


def _single_beads(near: Floats, first: float, esd_um: float, file: str) -> Peak:
    """Middle and spread about a peak, what lies far off left out again and again."""
    half_pair = math.log(2) / 2
    middle, reach = first, half_pair
    for _ in range(50):
        kept = near[np.abs(near - middle) <= reach]
        spread = 1.4826 * float(np.median(np.abs(kept - np.median(kept)))) if len(kept) else 0.0
        spread = max(spread, 0.5 / math.exp(middle))
        before, middle = middle, float(kept.mean()) if len(kept) else middle
        reach = min(half_pair, 3 * spread)
        if abs(middle - before) < 1e-9:
            break
    n, area = len(kept), math.exp(middle)
    spread = float(kept.std(ddof=1)) if n > 1 else math.inf
    if n < LEAST_BEADS:
        raise InputError(
            f"shows {n} single beads of {esd_um:g} um; {LEAST_BEADS} are needed",
            file=file,
            remedy="record more frames, with beads that do not touch",
        )
    if area < LEAST_AREA_PX:
        raise InputError(
            f"shows beads of {esd_um:g} um as {area:.1f} px",
            file=file,
            remedy=f"use beads of at least {LEAST_AREA_PX:g} px",
        )
    if spread > MOST_SPREAD or (reach >= half_pair and spread > 0.6 * half_pair):
        raise _unclear(f"has a peak as wide as {100 * spread:.0f} % of the area", esd_um, file)
    pairs = int((np.abs(near - middle - math.log(2)) <= max(reach, 0.1)).sum())
    if pairs > MOST_PAIRS * n:
        raise _unclear(
            f"has two peaks, {n} particles of {area:.0f} px and {pairs} of twice that", esd_um, file
        )
    beside = int(((near >= middle - 2 * reach) & (near < middle - reach)).sum())
    if n < LEAST_CONTRAST * 2 * beside:
        raise _unclear(
            f"has no clear peak: {n} particles of about {area:.0f} px, {beside} just below", esd_um, file
        )
    return Peak(area, spread, n, pairs, int((near < middle - reach).sum()))


def _unclear(problem: str, esd_um: float, file: str) -> InputError:
    return InputError(
        f"{problem}, where beads of {esd_um:g} um were expected",
        file=file,
        remedy="record beads of one size, in focus, that do not touch, in clean water",
    )


def fit_beads(beads: Sequence[Bead], *, fixed_exp: float | None = None) -> SizeFit:
    """Line of log(area_um2) against log(area_px), weighted by what is known of each size.

    A size counts by the errors of its diameter and of its area, and 1 % that nobody knows; where the sizes
    lie further off the line than that, the standard errors grow with it. With `fixed_exp`, Aa alone is
    fitted.

    Raises
    ------
    InputError
        Too few sizes, too alike; a size far off the line; an Exp out of 0.5 to 2, or that could be anything.
    """
    esd = np.array([bead.esd_um for bead in beads])
    sizes = len(np.unique(esd))
    if fixed_exp is None and sizes < 3:
        raise InputError(
            f"are of {sizes} size{'' if sizes == 1 else 's'}, Aa and Exp together need 3",
            field="beads",
            remedy="add sizes, or give --exp",
        )
    if fixed_exp is None and esd.max() < LEAST_SPAN * esd.min():
        raise InputError(
            f"are all between {esd.min():g} and {esd.max():g} um",
            field="beads",
            remedy=f"the largest must be at least {LEAST_SPAN:g} times the smallest, or give --exp",
        )
    x = np.log([bead.peak.area_px for bead in beads])
    y = np.log(math.pi / 4 * esd**2)
    of_esd = 2 * np.array([bead.esd_sd_um for bead in beads]) / esd
    of_area = np.array([bead.peak.se_log for bead in beads])
    exp = 1.0 if fixed_exp is None else fixed_exp
    for _ in range(20):
        weight = 1 / (of_esd**2 + (exp * of_area) ** 2 + UNTOLD**2)
        centre = float((weight * x).sum() / weight.sum())
        if fixed_exp is None:
            exp = float((weight * (x - centre) * y).sum() / (weight * (x - centre) ** 2).sum())
    level = float((weight * (y - exp * (x - centre))).sum() / weight.sum())
    left = y - level - exp * (x - centre)
    freedom = len(beads) - (1 if fixed_exp is not None else 2)
    ratio = float((weight * left**2).sum()) / freedom if freedom else math.nan
    grown = max(1.0, ratio) if freedom else 1.0
    exp_se = 0.0 if fixed_exp is not None else math.sqrt(grown / (weight * (x - centre) ** 2).sum())
    level_se = math.sqrt(grown / weight.sum())
    aa = math.exp(level - exp * centre)
    aa_se = aa * math.hypot(level_se, centre * exp_se)
    fit = SizeFit(aa, exp, aa_se, exp_se, np.exp(-left / 2) - 1, ratio, fixed_exp is not None)
    _check(fit, beads)
    return fit


def _check(fit: SizeFit, beads: Sequence[Bead]) -> None:
    worst = int(np.argmax(np.abs(fit.residuals)))
    if abs(fit.residuals[worst]) > MOST_RESIDUAL:
        raise InputError(
            f"lie {100 * fit.residuals[worst]:+.0f} % off the line through all sizes",
            file=beads[worst].name,
            field=f"beads of {beads[worst].esd_um:g} um",
            remedy="check their diameter, or leave them out",
        )
    if not LIKELY_EXP[0] <= fit.exp <= LIKELY_EXP[1]:
        raise InputError(
            f"comes out as {fit.exp:.3f}, out of {LIKELY_EXP[0]:g} to {LIKELY_EXP[1]:g}",
            field="exp",
            remedy="check which recording holds which beads",
        )
    if fit.exp_se > MOST_EXP_ERROR:
        raise InputError(
            f"comes out as {fit.exp:.2f} with a standard error of {fit.exp_se:.2f}",
            field="exp",
            remedy="use sizes further apart, or give --exp",
        )
