"""Aa and Exp such that a unit counts, class by class of size, what a reference counted beside it. Pure.

So UVP6 units are adjusted to a reference UVP (Picheral et al. 2022, Limnol. Oceanogr. Methods 20, doi
10.1002/lom3.10475): the differences of log concentration over the classes are made least, each weighted by
what Poisson's law leaves open of both counts. It also takes up what image volume and light leave over, so the
volume must be known before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_COUNT = 10.0
"""Particles that a class must be expected to hold, here and in the reference."""
LEAST_CLASSES = 4
LEAST_PARTICLES = 200
LEAST_AREA_PX = 6.0
"""A class must begin above it: below, a whole pixel more or less is not little to either instrument."""
SCATTER = 0.1
"""Share by which two instruments side by side differ whatever their counts: they see different water."""
MOST_EXP_ERROR = 0.15
MOST_RESIDUAL_LOG10 = 0.2
"""Largest root mean square of the difference of log10 concentration."""
EXP_RANGE = (0.5, 2.0)
BOOTSTRAPS = 100
_AA_FACTOR = 10.0


@dataclass(frozen=True, slots=True)
class Reference:
    """What the reference counted.

    Attributes
    ----------
    lower_um, upper_um
        ESD limits of its classes, um, float64 (n,), rising.
    per_l
        Concentration, float64 (n,).
    count
        Particles behind each, float64 (n,); infinite where nobody says.
    """

    lower_um: Floats
    upper_um: Floats
    per_l: Floats
    count: Floats


@dataclass(frozen=True, slots=True)
class Counted:
    """What the unit saw of the same water, all areas of all its frames.

    Attributes
    ----------
    area_px, frame
        Of each particle, int64 (n,); frames count from 0.
    n_frames
        Frames in which particles were counted, those without any too.
    image_volume_l
        Of one.
    """

    area_px: Ints
    frame: Ints
    n_frames: int
    image_volume_l: float

    @property
    def volume_l(self) -> float:
        """Of all frames, litres."""
        return self.n_frames * self.image_volume_l


@dataclass(frozen=True, slots=True)
class ReferenceFit:
    """Aa and Exp, and what they leave over.

    Attributes
    ----------
    aa_um2, exp, aa_se_um2, exp_se
        Standard errors by bootstrap of frames and of the reference's counts.
    used
        Classes that were used, bool (n,).
    per_l
        Concentration by the fit, float64 (n,).
    rms_log10
        Root mean square of the difference of log10 concentration over the classes used.
    """

    aa_um2: float
    exp: float
    aa_se_um2: float
    exp_se: float
    used: NDArray[np.bool_]
    per_l: Floats
    rms_log10: float


class _Spectrum:
    """How many particles are larger than any area.

    Known at the ends of each pixel, half a pixel above and below a whole area; between them it falls as a
    power of area: within one pixel a steep spectrum falls by much.
    """

    def __init__(self, area_px: Ints, weight: Floats) -> None:
        count = np.bincount(area_px, weights=weight)
        areas = np.flatnonzero(count)
        count = count[areas]
        larger = np.cumsum(count[::-1])[::-1]
        self._edge = np.log(np.stack((areas - 0.5, areas + 0.5), axis=1).ravel()[:-1])
        self._larger = np.log(np.stack((larger, larger - count), axis=1).ravel()[:-1])
        self._last, self._n_last = float(areas[-1]), float(count[-1])

    def larger_than(self, area_px: Floats) -> Floats:
        known = np.exp(np.interp(np.log(area_px), self._edge, self._larger))
        left = self._n_last * np.clip(self._last + 0.5 - area_px, 0.0, 1.0)  # within the largest area
        return np.asarray(np.where(area_px < self._last - 0.5, known, left), dtype=np.float64)


def fit_reference(
    counted: Counted, reference: Reference, *, start: tuple[float, float], seed: int = 1
) -> ReferenceFit:
    """Fit Aa and Exp.

    Parameters
    ----------
    start
        Aa, um2, and Exp to begin at.
    seed
        Of the bootstrap.

    Raises
    ------
    InputError
        Too few particles or classes; an end of the range; an answer that could be anything, or fits nothing.
    """
    if not counted.n_frames or len(counted.area_px) < LEAST_PARTICLES:
        raise InputError(
            f"holds {len(counted.area_px)} particles in {counted.n_frames} frames; {LEAST_PARTICLES} are "
            "needed",
            field="recording",
            remedy="record longer, or where there is more",
        )
    likely_px = float(np.exp(np.log(counted.area_px).mean()))
    pivot_px = max(4.0, likely_px)
    here = (math.log(start[0]) + start[1] * math.log(pivot_px), start[1])
    used = _classes(counted, reference, here, pivot_px)
    ones = np.ones(len(counted.area_px))
    spectrum = _Spectrum(counted.area_px, ones)
    for _ in range(6):
        found = _fit(spectrum, counted, reference, reference.per_l, used, here, pivot_px, thorough=True)
        again = _classes(counted, reference, found, pivot_px)
        if (again == used).all():
            break
        used = used & again  # a class may leave, never come back: this ends
        _check_classes(used, reference)
    spread = _bootstrap(counted, reference, used, found, pivot_px, seed)
    level, exp = found
    aa = math.exp(level - exp * math.log(pivot_px))
    aa_se = aa * float(np.std(spread[:, 0] - spread[:, 1] * math.log(pivot_px), ddof=1))
    per_l = _counts(spectrum, reference, found, pivot_px) / counted.volume_l
    differ = np.log10((per_l * counted.volume_l + 0.5) / (reference.per_l * counted.volume_l + 0.5))[used]
    fit = ReferenceFit(
        aa, exp, aa_se, float(spread[:, 1].std(ddof=1)), used, per_l, math.sqrt(float((differ**2).mean()))
    )
    _check(fit, level, here[0])
    return fit


def _limits_px(reference: Reference, at: tuple[float, float], pivot_px: float) -> tuple[Floats, Floats]:
    """Areas of the classes' limits, px, not whole."""

    def area(esd_um: Floats) -> Floats:
        log_um2 = np.log(math.pi / 4 * esd_um**2)
        return np.asarray(pivot_px * np.exp((log_um2 - at[0]) / at[1]), dtype=np.float64)

    return area(reference.lower_um), area(reference.upper_um)


def _counts(spectrum: _Spectrum, reference: Reference, at: tuple[float, float], pivot_px: float) -> Floats:
    lower, upper = _limits_px(reference, at, pivot_px)
    return spectrum.larger_than(lower) - spectrum.larger_than(upper)


def _classes(
    counted: Counted, reference: Reference, at: tuple[float, float], pivot_px: float
) -> NDArray[np.bool_]:
    """Classes above the noise that hold enough on both sides."""
    lower, _ = _limits_px(reference, at, pivot_px)
    used = (lower >= LEAST_AREA_PX) & (reference.per_l * counted.volume_l >= LEAST_COUNT)
    used &= reference.count >= LEAST_COUNT
    _check_classes(used, reference)
    return np.asarray(used)


def _check_classes(used: NDArray[np.bool_], reference: Reference) -> None:
    if used.sum() < LEAST_CLASSES:
        raise InputError(
            f"has {int(used.sum())} of {len(used)} classes above {LEAST_AREA_PX:g} px with "
            f"{LEAST_COUNT:g} particles or more in the volume seen; {LEAST_CLASSES} are needed",
            field="reference",
            remedy="record longer, or use narrower or larger classes",
        )


def _fit(
    spectrum: _Spectrum,
    counted: Counted,
    reference: Reference,
    per_l: Floats,
    used: NDArray[np.bool_],
    start: tuple[float, float],
    pivot_px: float,
    *,
    thorough: bool,
) -> tuple[float, float]:
    from scipy.optimize import least_squares

    wanted = per_l * counted.volume_l
    open_ = (
        1 / np.maximum(reference.per_l * counted.volume_l, 1.0)
        + 1 / np.maximum(reference.count, 1.0)
        + SCATTER**2
    )
    scale = 1 / np.sqrt(open_[used])

    def residuals(at: Floats) -> Floats:
        ours = _counts(spectrum, reference, (float(at[0]), float(at[1])), pivot_px)
        return np.asarray(np.log((ours + 0.5) / (wanted + 0.5))[used] * scale)

    span = math.log(_AA_FACTOR)
    bounds = ((start[0] - span, EXP_RANGE[0]), (start[0] + span, EXP_RANGE[1]))
    begins = [np.array(start, dtype=np.float64)]
    if thorough:
        grid = [(start[0] + d, e) for d in np.linspace(-span, span, 21) for e in np.linspace(0.55, 1.95, 15)]
        grid.sort(key=lambda at: float((residuals(np.array(at)) ** 2).sum()))
        begins = [*map(np.array, grid[:4]), *begins]
    best = min(
        (
            least_squares(
                residuals,
                np.clip(begin, bounds[0], bounds[1]),
                bounds=bounds,
                loss="soft_l1",
                diff_step=1e-4,
                max_nfev=60,
                x_scale=(0.1, 0.1),
            )
            for begin in begins
        ),
        key=lambda one: float(one.cost),
    )
    return float(best.x[0]), float(best.x[1])


def _bootstrap(
    counted: Counted,
    reference: Reference,
    used: NDArray[np.bool_],
    found: tuple[float, float],
    pivot_px: float,
    seed: int,
) -> Floats:
    """Fits to frames drawn with replacement and reference counts drawn anew: float64 (BOOTSTRAPS, 2)."""
    rng = np.random.default_rng(seed)
    fits = []
    for _ in range(BOOTSTRAPS):
        times = np.bincount(rng.integers(counted.n_frames, size=counted.n_frames), minlength=counted.n_frames)
        known = np.isfinite(reference.count) & (reference.count > 0)
        count = np.where(known, reference.count, 1.0)
        per_l = reference.per_l * np.where(known, rng.poisson(count) / count, 1.0)
        per_l = per_l * np.exp(SCATTER * rng.standard_normal(len(per_l)))
        spectrum = _Spectrum(counted.area_px, times[counted.frame].astype(np.float64))
        fits.append(_fit(spectrum, counted, reference, per_l, used, found, pivot_px, thorough=False))
    return np.array(fits)


def _check(fit: ReferenceFit, level: float, start_level: float) -> None:
    low, high = EXP_RANGE
    if min(fit.exp - low, high - fit.exp) < 0.01:
        raise InputError(
            f"comes out at the end of its range, {fit.exp:.2f}",
            field="exp",
            remedy="check the image volume, the threshold, and that both saw the same water",
        )
    if abs(level - start_level) > math.log(_AA_FACTOR) - 0.01:
        raise InputError(
            "comes out ten times another than the one to begin at",
            field="aa_um2",
            remedy="check the pixel size, the image volume, and the units of the reference",
        )
    if fit.exp_se > MOST_EXP_ERROR:
        raise InputError(
            f"comes out as {fit.exp:.2f} with a standard error of {fit.exp_se:.2f}",
            field="exp",
            remedy="record longer, where there are particles of more sizes",
        )
    if fit.rms_log10 > MOST_RESIDUAL_LOG10:
        raise InputError(
            f"leaves a difference of log10 concentration of {fit.rms_log10:.2f} (root mean square; at most "
            f"{MOST_RESIDUAL_LOG10:g})",
            field="fit",
            remedy="check that both saw the same water, and the image volume",
        )
