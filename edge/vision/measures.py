"""What is measured of a particle: every measure's name, EcoTaxa's name, unit, definition and source. Pure.

A table, not the arithmetic (that is `morphology`). The first 55 are those of the UVP6's embedded classifier,
in its order. Grey is white on black. EcoTaxa's names are the columns of UVP and ZooScan exports where there
is such a column, and `object_` with the UVP6's name where there is none. Where a real export measures the
same thing in another way, the definition says so; and all of UVPapp's are of a particle whose holes are
filled, and its greys black on white, so that these numbers are not those of an EcoTaxa project under the same
name: an export measures again, in UVPapp's way.
"""

from __future__ import annotations

from dataclasses import dataclass

_UVPEC = "features of the UVP6 embedded classifier (public code of ecotaxa/uvpec)"
_IMAGEJ = "ImageJ user guide, Set Measurements"
_HU = "Hu (1962), IRE Trans. Inf. Theory 8, 179-187; normalised as scikit-image does"
_UVP6 = "Picheral et al. (2022), doi 10.1002/lom3.10475"
_LEGLAND = "Legland, Kieu & Devaux (2007), Image Anal. Stereol. 26, 83-92"


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure.

    Attributes
    ----------
    name
        Ours, ending in its unit where it has one.
    ecotaxa
        Column in an EcoTaxa import; unique.
    unit
        Unit in words; empty when there is none.
    definition
        One line.
    source
        Where the definition comes from.
    uvp6
        Name among the 55 features of the UVP6's embedded classifier, or None.
    """

    name: str
    ecotaxa: str
    unit: str
    definition: str
    source: str
    uvp6: str | None = None


def _uvp6(name: str, uvp6: str, unit: str, definition: str, ecotaxa: str | None = None) -> Measure:
    return Measure(name, f"object_{ecotaxa or uvp6}", unit, definition, _UVPEC, uvp6)


def _moments(prefix: str, uvp6: str, unit: str, weight: str) -> tuple[Measure, ...]:
    """Seven central moments of order two and three, in the UVP6's order."""
    return tuple(
        _uvp6(
            f"{prefix}central_moment_{p}{q}",
            f"{uvp6}central_moment-{p}-{q}",
            unit,
            f"sum of {weight}(x - centroid x)**{p} * (y - centroid y)**{q}, y downwards",
        )
        for p, q in ((2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3))
    )


def _hu(prefix: str, uvp6: str, of: str) -> tuple[Measure, ...]:
    """Hu's seven invariants; the sign of the seventh is that of x to the right and y downwards."""
    return tuple(
        Measure(
            f"{prefix}hu_moment_{i}",
            f"object_{uvp6}hu_moment-{i}",
            "",
            f"Hu's invariant {i} of {of}",
            _HU,
            f"{uvp6}hu_moment-{i}",
        )
        for i in range(1, 8)
    )


MEASURES: tuple[Measure, ...] = (
    _uvp6("area_px", "area", "px", "pixels, holes not counted (UVPapp's exports count them in)"),
    _uvp6("width_px", "width", "px", "width of the box"),
    _uvp6("height_px", "height", "px", "height of the box"),
    _uvp6("mean_grey", "mean", "grey", "mean grey"),
    _uvp6(
        "sd_grey", "stddev", "grey", "standard deviation of the grey, of the population (ImageJ: of a sample)"
    ),
    _uvp6("mode_grey", "mode", "grey", "most frequent grey, the darkest of several"),
    _uvp6("min_grey", "min", "grey", "least grey"),
    _uvp6("max_grey", "max", "grey", "greatest grey"),
    _uvp6("x_px", "x", "px", "centroid from the left edge of the box, centre of the first column 0"),
    _uvp6("y_px", "y", "px", "centroid from the upper edge of the box, centre of the first row 0"),
    _uvp6("xm_px", "xm", "px", "centroid weighted by grey, as x"),
    _uvp6("ym_px", "ym", "px", "centroid weighted by grey, as y"),
    _uvp6(
        "moment_major_px",
        "major",
        "px",
        "4 * sqrt(larger eigenvalue of the covariance of the pixels' centres); 0 for one pixel",
        "moment_major",
    ),
    _uvp6(
        "moment_minor_px",
        "minor",
        "px",
        "4 * sqrt(smaller eigenvalue of the covariance of the pixels' centres); 0 for a line one pixel wide",
        "moment_minor",
    ),
    _uvp6(
        "moment_angle_rad",
        "angle",
        "rad",
        "atan2(2 * covariance, variance of x - variance of y) / 2, y downwards, -pi/2 to pi/2; 0 for a disk",
        "moment_angle",
    ),
    _uvp6(
        "eccentricity",
        "eccentricity",
        "",
        "sqrt(1 - smaller / larger eigenvalue); 0 for one pixel, 1 for a line one pixel wide",
    ),
    _uvp6("integrated_grey", "intden", "grey", "sum of the grey"),
    _uvp6("median_grey", "median", "grey", "least grey at or below which more than half of the pixels are"),
    _uvp6("histcum1_grey", "histcum1", "grey", "least grey at or below which more than a quarter are"),
    _uvp6("histcum3_grey", "histcum3", "grey", "least grey at or below which more than three quarters are"),
    _uvp6("esd_px", "esd", "px", "diameter of the disk of the same area, without calibration"),
    _uvp6("range_grey", "range", "grey", "greatest less least grey"),
    _uvp6("meanpos", "meanpos", "", "(mean - min) / range; 0 when the range is 0"),
    _uvp6("cv_percent", "cv", "%", "100 * standard deviation / mean"),
    _uvp6("sr_percent", "sr", "%", "100 * standard deviation / range; 0 when the range is 0"),
    _uvp6("box_area_px", "bbox_area", "px", "area of the box"),
    _uvp6("extent", "extent", "", "area / area of the box"),
    *_moments("", "", "px**(p + q)", ""),
    *_hu("", "", "the mask"),
    *_moments("grey_", "gray_", "grey px**(p + q)", "grey * "),
    *_hu("grey_", "gray_", "the grey within the mask"),
    Measure(
        "area_filled_px",
        "object_area_filled",
        "px",
        "area with holes filled; a hole is background that no path of 4-neighbours joins to the outside",
        "Rosenfeld (1970), J. ACM 17, 146-160; equals object_area of UVPapp's exports",
    ),
    Measure(
        "area_percent",
        "object_%area",
        "%",
        "100 * area / filled area",
        "UVPapp's exports; Gorsky et al. (2010)",
    ),
    Measure(
        "perimeter_px",
        "object_perim.",
        "px",
        "length of the outer outline by Crofton's formula in four directions (ImageJ traces pixel edges)",
        _LEGLAND,
    ),
    Measure(
        "circularity",
        "object_circ.",
        "",
        "4 * pi * area / perimeter**2; not cut at 1, which only particles of a few pixels pass",
        _IMAGEJ,
    ),
    Measure(
        "major_px",
        "object_major",
        "px",
        "major axis of the ellipse that has the area and the second moments' direction and axis ratio",
        _IMAGEJ,
    ),
    Measure("minor_px", "object_minor", "px", "minor axis of the same ellipse", _IMAGEJ),
    Measure(
        "angle_deg",
        "object_angle",
        "deg",
        "from the x axis to the major axis, counter-clockwise as one sees it, 0 to below 180",
        _IMAGEJ,
    ),
    Measure("elongation", "object_elongation", "", "major / minor axis", "Gorsky et al. (2010)"),
    Measure(
        "feret_px",
        "object_feret",
        "px",
        "greatest distance between two corners of its pixels (UVPapp: the circle around the pixels' centres)",
        _IMAGEJ,
    ),
    Measure(
        "convex_area_px",
        "object_convarea",
        "px",
        "area of the convex hull of its pixels as squares",
        "exact geometry (shoelace); ImageJ's convex hull",
    ),
    Measure(
        "convex_perimeter_px",
        "object_convperim",
        "px",
        "length of the outline of that hull",
        "exact geometry; ImageJ's convex hull",
    ),
    Measure("solidity", "object_solidity", "", "area / convex area", _IMAGEJ),
    Measure(
        "skewness",
        "object_skew",
        "",
        "third central moment of the grey / sd**3, of the population; 0 when all grey is equal",
        _IMAGEJ,
    ),
    Measure(
        "kurtosis",
        "object_kurt",
        "",
        "fourth central moment of the grey / sd**4 - 3, of the population; 0 when all grey is equal",
        _IMAGEJ,
    ),
    Measure(
        "esd_um", "object_esd_um", "um", "2 * sqrt(Aa * area**Exp / pi), calibrated for this unit", _UVP6
    ),
    Measure("box_x_px", "object_bx", "px", "left edge of the box in the frame", _IMAGEJ),
    Measure("box_y_px", "object_by", "px", "upper edge of the box in the frame", _IMAGEJ),
)
"""Every measure, in the order of the array that `edge.vision.morphology.measure` returns."""

UVP6_FEATURES = 55
"""The first so many are the UVP6's."""
