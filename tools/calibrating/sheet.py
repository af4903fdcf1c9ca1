"""Volume of a frame: the field, and how thick the sheet of light is. Pure.

The sheet ends where a particle is no longer seen: where the light falls below a share of its brightest, half
by default. The width of a box of the same light and peak (the equivalent width) is told beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError

Floats = NDArray[np.float64]

LEAST_POINTS = 7
LEAST_CONTRAST = 4.0
"""The brightest must be so many times what is measured beside the sheet."""
LIKELY_L = (1e-6, 100.0)


@dataclass(frozen=True, slots=True)
class Sheet:
    """Thickness, mm, of one line across the sheet."""

    thickness_mm: float
    equivalent_mm: float


@dataclass(frozen=True, slots=True)
class Volume:
    """Volume of a frame and its standard error, litres; the field's sides, mm."""

    image_volume_l: float
    se_l: float
    width_mm: float
    height_mm: float


def measure_sheet(position_mm: Floats, light: Floats, edge: float, *, file: str) -> Sheet:
    """Thickness of the sheet from light measured across it.

    Parameters
    ----------
    position_mm, light
        float64 (n,), in any order of positions; light in any unit.
    edge
        Share of the brightest at which the sheet ends, 0 to 1.

    Raises
    ------
    InputError
        Too few points, negative light, a sheet that is not wholly within them, or two of them.
    """
    if len(light) < LEAST_POINTS:
        raise InputError(
            f"has {len(light)} points across the sheet",
            file=file,
            remedy=f"measure at {LEAST_POINTS} positions or more",
        )
    order = np.argsort(position_mm, kind="stable")
    x, y = position_mm[order], light[order]
    if (np.diff(x) <= 0).any():
        raise InputError("measures one position twice", file=file, remedy="write one value for each position")
    if not np.isfinite(y).all() or (y < 0).any():
        raise InputError("has light below zero", file=file, remedy="subtract no more than the dark reading")
    peak, beside = float(y.max()), float(max(y[0], y[-1]))
    if peak < LEAST_CONTRAST * beside or beside >= edge * peak:
        raise InputError(
            f"is still {100 * beside / peak if peak else 100:.0f} % of the brightest at its end",
            file=file,
            remedy="measure further out, beyond both sides of the sheet, in the dark",
        )
    crossings = np.flatnonzero((y[1:] >= edge * peak) != (y[:-1] >= edge * peak))
    if len(crossings) != 2:
        raise InputError(
            f"crosses {100 * edge:g} % of the brightest {len(crossings)} times",
            file=file,
            remedy="measure one sheet of light, more finely",
        )
    where = [
        float(x[i] + (edge * peak - y[i]) / (y[i + 1] - y[i]) * (x[i + 1] - x[i])) for i in crossings.tolist()
    ]
    return Sheet(where[1] - where[0], float(np.trapezoid(y, x)) / peak)


def mean_thickness(sheets: Mapping[str, Sheet]) -> tuple[float, float]:
    """Mean thickness of a sheet measured at several places, and its standard error (NaN at one place), mm."""
    values = np.array([sheet.thickness_mm for sheet in sheets.values()])
    se = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(values.mean()), se


def volume_of(
    width_px: int, height_px: int, pixel_um: float, pixel_se_um: float, depth_mm: float, depth_se_mm: float
) -> Volume:
    """Volume of a frame: width x height x thickness; errors of pixel (twice) and thickness are independent.

    Raises
    ------
    InputError
        A volume that no instrument has.
    """
    width_mm, height_mm = width_px * pixel_um / 1000, height_px * pixel_um / 1000
    litres = width_mm * height_mm * depth_mm / 1e6
    if not LIKELY_L[0] <= litres <= LIKELY_L[1]:
        raise InputError(
            f"comes out as {litres:.3g} L ({width_mm:.3g} x {height_mm:.3g} x {depth_mm:.3g} mm)",
            field="image_volume_l",
            remedy="check the units: the pixel in um, the sheet in mm",
        )
    se = litres * math.hypot(2 * pixel_se_um / pixel_um, depth_se_mm / depth_mm)
    return Volume(litres, se, width_mm, height_mm)
