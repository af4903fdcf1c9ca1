"""What stands in an object's columns: names and meanings as UVPapp has them, so that projects can be mixed.

UVPapp and ZooProcess measure a particle with its holes filled and black on white; the dive log measures it
without its holes and white on black (`edge.vision.measures`). So it is measured again, from its vignette, in
their way. What they write under a name that cannot be given with their meaning is not written under it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.config import VisionConfig
from edge.divelog_schema import Particle
from edge.optics import Optics
from edge.vision.morphology import MEASURES, measure

Pixels = NDArray[np.uint8]


class Column(NamedTuple):
    """An object's column of numbers.

    Attributes
    ----------
    name
        In the table.
    unit, definition
        What it is.
    uvpapp
        How UVPapp's column of this name compares: "same", how it differs, or "" where it has none.
    measure
        Name among `edge.vision.measures` of what is taken of the filled, inverted particle; "" for one that
        is worked out here.
    """

    name: str
    unit: str
    definition: str
    uvpapp: str
    measure: str = ""


SAME = "same"
MEASURED = (
    Column("object_area", "px", "pixels, holes counted in", SAME, "area_px"),
    Column("object_mean", "grey", "mean of 255 - grey (black on white), holes counted in", SAME, "mean_grey"),
    Column("object_stddev", "grey", "standard deviation, of a sample (n - 1)", SAME),
    Column("object_mode", "grey", "most frequent grey, the darkest of several", SAME, "mode_grey"),
    Column("object_min", "grey", "least (darkest: brightest in the water)", SAME, "min_grey"),
    Column("object_max", "grey", "greatest", SAME, "max_grey"),
    Column("object_x", "px", "centroid from the left edge of the image of rank 100", SAME),
    Column("object_y", "px", "centroid from its upper edge", SAME),
    Column("object_xm", "px", "centroid weighted by 255 - grey, as x", "UVPapp writes x - 0.5"),
    Column("object_ym", "px", "centroid weighted by 255 - grey, as y", "UVPapp writes y - 0.5"),
    Column(
        "object_perim.", "px", "outline by Crofton's formula", "some per cent apart: traced", "perimeter_px"
    ),
    Column("object_width", "px", "width of the box", SAME, "width_px"),
    Column("object_height", "px", "height of the box", SAME, "height_px"),
    Column("object_major", "px", "major axis of ImageJ's ellipse (of the same area)", SAME, "major_px"),
    Column("object_minor", "px", "its minor axis", SAME, "minor_px"),
    Column("object_angle", "deg", "of the major axis, counter-clockwise from x", SAME, "angle_deg"),
    Column("object_circ.", "", "4 pi area / perim.**2", "follows perim.", "circularity"),
    Column(
        "object_feret",
        "px",
        "greatest distance of two corners of its pixels",
        "up to 1.6 px less",
        "feret_px",
    ),
    Column("object_intden", "grey", "area * mean", SAME, "integrated_grey"),
    Column("object_median", "grey", "least grey with more than half at or below it", SAME, "median_grey"),
    Column("object_skew", "", "skewness of the grey", SAME, "skewness"),
    Column("object_kurt", "", "excess kurtosis of the grey", SAME, "kurtosis"),
    Column("object_%area", "%", "100 * area without holes / area (ZooProcess: the holes' share)", SAME),
    Column(
        "object_convarea",
        "px",
        "area of the convex hull of its pixels as squares",
        "some per cent less",
        "convex_area_px",
    ),
    Column("object_elongation", "", "major / minor", SAME, "elongation"),
    Column("object_range", "grey", "max - min", SAME, "range_grey"),
    Column("object_meanpos", "", "(mean - max) / (mean - min)", SAME),
    Column("object_cv", "%", "100 * stddev / mean", SAME),
    Column("object_sr", "%", "100 * stddev / range", SAME),
    Column("object_esd", "px", "diameter of the disk of that area", "", "esd_px"),
    Column(
        "object_esd_um",
        "um",
        "2 sqrt(Aa n**Exp / pi), n pixels without holes: as in profile and messages",
        "",
    ),
    Column("object_area_no_holes", "px", "pixels above the threshold, as in profile and messages", ""),
)
"""Measured of each object, in the order of `measured`."""
LOGGED = (
    Column("object_bx", "px", "left edge of the box in the frame", ""),
    Column("object_by", "px", "its upper edge", ""),
    Column("object_frame", "", "number of the frame in the dive, from 0", ""),
    Column("object_pressure", "dbar", "of the frame", ""),
    Column("object_on_border", "", "1 when it touches the border of the frame", ""),
    Column(
        "object_score", "", "probability of the predicted category; EcoTaxa itself keeps 1 for an import", ""
    ),
    Column("object_best_score", "", "highest probability of one label", ""),
    Column("object_evidence", "", "how much the model has seen its like", ""),
)
"""What else the log knows of each object."""
OWN_TEXTS = ("object_best",)
"""Label with the highest probability, also where the decision is a parent or none."""
_AT = {one.name: i for i, one in enumerate(MEASURES)}
_TAKEN = np.array([_AT[column.measure] if column.measure else -1 for column in MEASURED])
_OWN = {column.name: i for i, column in enumerate(MEASURED) if not column.measure}
_AREA, _MEAN, _SD, _MIN, _MAX, _RANGE = (
    _AT[name] for name in ("area_px", "mean_grey", "sd_grey", "min_grey", "max_grey", "range_grey")
)
_FILLED, _TOTAL, _SKEWNESS = (_AT[name] for name in ("area_filled_px", "integrated_grey", "skewness"))
_X, _Y, _XM, _YM = (_AT[name] for name in ("x_px", "y_px", "xm_px", "ym_px"))

_COLUMN = {column.name: i for i, column in enumerate(MEASURED)}
_KEPT = {
    "object_area": "area_px",
    "object_esd_um": "esd_um",
    **{
        column.name: column.measure
        for column in MEASURED
        if column.unit in ("px", "deg", "") and column.measure and column.measure != "skewness"
    },
    "object_range": "range_grey",
}
"""Measures of the log that stay as they are in a particle without holes, black on white."""
_KEPT_TO = np.array([_COLUMN[name] for name in _KEPT])
_KEPT_FROM = np.array([_AT[name] for name in _KEPT.values()])


def measured(
    mask: NDArray[np.bool_], box: Pixels, left_px: int, top_px: int, optics: Optics
) -> NDArray[np.float64]:
    """Measure a particle as EcoTaxa's users know it.

    Parameters
    ----------
    mask
        Its pixels within its box, bool (height, width).
    box
        Grey of the box, uint8 (height, width), white on black.
    left_px, top_px
        Of the box in the vignette.
    optics
        For the calibrated size.

    Returns
    -------
    float64 (len(MEASURED),), NaN where a measure has no meaning.
    """
    found = measure(fill_holes(mask), np.asarray(255 - box, dtype=np.uint8), left_px, top_px, optics)
    values = np.where(_TAKEN >= 0, found[_TAKEN], math.nan)
    n, n_solid = found[_AREA], int(np.count_nonzero(mask))
    mean, least, most, spread = (float(found[i]) for i in (_MEAN, _MIN, _MAX, _RANGE))
    sd = float(found[_SD]) * math.sqrt(n / (n - 1)) if n > 1 else 0.0
    values[_OWN["object_stddev"]] = sd
    for name, at, start in (
        ("object_x", _X, left_px), ("object_y", _Y, top_px), ("object_xm", _XM, left_px),
        ("object_ym", _YM, top_px),
    ):  # fmt: skip
        values[_OWN[name]] = found[at] + start + 0.5
    values[_OWN["object_%area"]] = 100 * n_solid / n
    values[_OWN["object_meanpos"]] = (mean - most) / (mean - least) if mean > least else math.nan
    values[_OWN["object_cv"]] = 100 * sd / mean if mean else math.nan
    values[_OWN["object_sr"]] = 100 * sd / spread if spread else math.nan
    values[_OWN["object_esd_um"]] = float(optics.esd_um(n_solid))
    values[_OWN["object_area_no_holes"]] = n_solid
    return values


def measured_by_log(
    logged: NDArray[np.float64], mask: NDArray[np.bool_], box: Pixels, left_px: int, top_px: int
) -> NDArray[np.float64] | None:
    """As `measured`, of a particle without holes, from what the log measured of it: four times as fast.

    Sizes are those of the log; greys are turned round, which no longer needs the pixels but for median and
    mode.

    Parameters
    ----------
    logged
        float64 (len(MEASURES),), in the order of `MEASURES`.
    mask, box, left_px, top_px
        As for `measured`.

    Returns
    -------
    float64 (len(MEASURED),); None when it has holes, or the log measured something else.
    """
    n = np.count_nonzero(mask)
    if not logged[_AREA] == logged[_FILLED] == n:
        return None
    values = np.full(len(MEASURED), math.nan)
    values[_KEPT_TO] = logged[_KEPT_FROM]
    mean, sd, least, most = (float(logged[i]) for i in (_MEAN, _SD, _MIN, _MAX))
    total, skewness = float(logged[_TOTAL]), float(logged[_SKEWNESS])
    dark_total = 255 * n - total
    if not dark_total:
        return None  # all of it white
    counts = np.bincount(box[mask], minlength=256)[::-1]
    spread, sample_sd = most - least, sd * math.sqrt(n / (n - 1)) if n > 1 else 0.0
    x, y, xm, ym = (float(logged[i]) for i in (_X, _Y, _XM, _YM))
    xm, ym = ((255 * n * a - total * b) / dark_total for a, b in ((x, xm), (y, ym)))
    own = {
        "object_mean": 255 - mean,
        "object_stddev": sample_sd,
        "object_mode": float(counts.argmax()),
        "object_min": 255 - most,
        "object_max": 255 - least,
        "object_x": x + left_px + 0.5,
        "object_y": y + top_px + 0.5,
        "object_xm": xm + left_px + 0.5,
        "object_ym": ym + top_px + 0.5,
        "object_intden": dark_total,
        "object_median": np.searchsorted(np.cumsum(counts), n / 2, side="right"),
        "object_skew": -skewness + 0.0,
        "object_%area": 100.0,
        "object_meanpos": (least - mean) / (most - mean) if most > mean else math.nan,
        "object_cv": 100 * sample_sd / (255 - mean) if mean < 255 else math.nan,
        "object_sr": 100 * sample_sd / spread if spread else math.nan,
        "object_area_no_holes": n,
    }
    values[[_COLUMN[name] for name in own]] = list(own.values())
    return values


def fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask with all that no path of 4-neighbours joins to the outside."""
    outside = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), dtype=np.uint8)
    outside[1:-1, 1:-1] = mask
    cv2.floodFill(outside, None, (0, 0), (2,), flags=4)
    return np.asarray(outside[1:-1, 1:-1] != 2)


def find_in_vignette(
    particle: Particle, vignette: Pixels, threshold: int, vision: VisionConfig
) -> tuple[NDArray[np.bool_], Pixels, int, int] | None:
    """The particle in its vignette: mask and grey of its box, and where the box begins.

    None when what is above the threshold there is not what was logged.
    """
    left, top = (
        min(at, vision.vignette_margin_px + int(side * (vision.vignette_box_ratio - 1) / 2 + 0.5))
        for at, side in ((particle.x_px, particle.width_px), (particle.y_px, particle.height_px))
    )
    box = vignette[top : top + particle.height_px, left : left + particle.width_px]
    mask = np.asarray(box > threshold)
    if box.shape != (particle.height_px, particle.width_px):
        return None
    if np.count_nonzero(mask) != particle.area_px:
        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        size = [particle.width_px, particle.height_px, particle.area_px]
        of_size = [i for i in range(1, len(stats)) if stats[i, 2:].tolist() == size]
        if not of_size:
            return None
        mask = np.asarray(labels == of_size[0])
    return mask, box, left, top
