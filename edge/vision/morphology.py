"""The measures of one particle, from its mask and its grey. Pure.

What each means stands in `edge.vision.measures`; this is the arithmetic. Sums are whole numbers and central
moments exact fractions rounded once, so that every CPU gives the same bytes; nothing is divided by zero: a
particle of one pixel, of one line or of one grey has finite measures.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.optics import Optics
from edge.vision.measures import MEASURES, UVP6_FEATURES, Measure

__all__ = ["MEASURES", "UVP6_FEATURES", "Measure", "measure"]

_GREY_POWERS = np.arange(256, dtype=np.int64)[:, None] ** np.arange(5)
_EXACT = 1 << 53  # whole numbers up to here are exact in a double


def measure(
    mask: NDArray[np.bool_], grey: NDArray[np.uint8], x_px: int, y_px: int, optics: Optics
) -> NDArray[np.float64]:
    """Measure one particle.

    Parameters
    ----------
    mask
        Its pixels within its box, bool (height, width); at least one is set in every outer row and column.
    grey
        The frame within the box, uint8 (height, width), white on black.
    x_px, y_px
        Upper left corner of the box in the frame.
    optics
        For the calibrated size.

    Returns
    -------
    float64 (len(MEASURES),)
        In the order of `MEASURES`.
    """
    height, width = mask.shape
    shape, weighted = _raw_moments(mask, grey)
    area, total = shape[0][0], weighted[0][0]
    x, y, central = _central_moments(shape, width, height)
    xm, ym, grey_central = _central_moments(weighted, width, height)
    u20, u11, u02 = central[:3]
    larger, smaller = _eigenvalues(u20 / area, u11 / area, u02 / area)
    major, minor, angle = _ellipse(u20 / area, u11 / area, u02 / area, area)
    least, quarter, median, three_quarters, greatest, mode, mean, sd, skewness, kurtosis = _grey(mask, grey)
    spread = greatest - least
    filled, perimeter = _outline(mask)
    hull_area, hull_perimeter, feret = _hull(mask)
    return np.array(
        (
            area,
            width,
            height,
            mean,
            sd,
            mode,
            least,
            greatest,
            x,
            y,
            xm,
            ym,
            4 * math.sqrt(larger),
            4 * math.sqrt(smaller),
            _angle(u11, u20, u02),
            math.sqrt(1 - smaller / larger) if larger else 0.0,
            total,
            median,
            quarter,
            three_quarters,
            math.sqrt(4 * area / math.pi),
            spread,
            (mean - least) / spread if spread else 0.0,
            100 * sd / mean if mean else 0.0,
            100 * sd / spread if spread else 0.0,
            width * height,
            area / (width * height),
            *central,
            *_hu_moments(area, central),
            *grey_central,
            *_hu_moments(total, grey_central),
            filled,
            100 * area / filled,
            perimeter,
            4 * math.pi * area / (perimeter * perimeter),
            major,
            minor,
            angle,
            major / minor,
            feret,
            hull_area,
            hull_perimeter,
            area / hull_area,
            skewness,
            kurtosis,
            float(optics.esd_um(area)),
            x_px,
            y_px,
        ),
        dtype=np.float64,
    )


def _raw_moments(mask: NDArray[np.bool_], grey: NDArray[np.uint8]) -> list[list[list[int]]]:
    """Sums of x**p * y**q about the middle pixel of the box, of the mask and of its grey: [which][q][p].

    In doubles where they hold every sum exactly, which is fast; else in int64, which holds those of any
    particle in a frame of 5 megapixels.
    """
    height, width = mask.shape
    bound = 255 * height * width * max(height, width) ** 3 // 8
    kind = np.float64 if bound < _EXACT else np.int64
    planes = np.empty((2, height, width), dtype=kind)
    planes[0] = mask
    np.multiply(grey, mask, out=planes[1])
    sums = _powers(height, kind).T @ (planes @ _powers(width, kind))
    with np.errstate(
        invalid="ignore"
    ):  # the sums of order above three, which nobody asks for, may be too large
        raw: list[list[list[int]]] = sums.astype(np.int64).tolist()
    return raw


@functools.lru_cache(maxsize=256)
def _powers(n: int, kind: type[np.float64] | type[np.int64]) -> NDArray[Any]:
    """Powers 0 to 3 of the places in a line of n pixels, counted from its middle: (n, 4)."""
    return ((np.arange(n)[:, None] - n // 2) ** np.arange(4)).astype(kind)


def _central_moments(raw: list[list[int]], width: int, height: int) -> tuple[float, float, tuple[float, ...]]:
    """Centroid in the box, and central moments 20 11 02 30 21 12 03: exact fractions, rounded once."""
    (m, a, m20, m30), (b, m11, m21, _), (m02, m12, _, _), (m03, _, _, _) = raw
    m = m or 1
    squared = m * m
    return (
        (width // 2 * m + a) / m,
        (height // 2 * m + b) / m,
        (
            (m20 * m - a * a) / m,
            (m11 * m - a * b) / m,
            (m02 * m - b * b) / m,
            (m30 * squared - 3 * a * m20 * m + 2 * a**3) / squared,
            (m21 * squared - (2 * a * m11 + b * m20) * m + 2 * a * a * b) / squared,
            (m12 * squared - (2 * b * m11 + a * m02) * m + 2 * b * b * a) / squared,
            (m03 * squared - 3 * b * m02 * m + 2 * b**3) / squared,
        ),
    )


def _hu_moments(m: int, central: tuple[float, ...]) -> tuple[float, ...]:
    """Hu's seven invariants of central moments 20 11 02 30 21 12 03 and the sum m."""
    second = float(m or 1) ** 2
    third = second * math.sqrt(m or 1)
    n20, n11, n02 = (u / second for u in central[:3])
    n30, n21, n12, n03 = (u / third for u in central[3:])
    p, q = n30 + n12, n21 + n03
    r, s = n30 - 3 * n12, 3 * n21 - n03
    d = n20 - n02
    pp, qq = p * p, q * q
    return (
        n20 + n02,
        d * d + 4 * n11 * n11,
        r * r + s * s,
        pp + qq,
        r * p * (pp - 3 * qq) + s * q * (3 * pp - qq),
        d * (pp - qq) + 4 * n11 * p * q,
        s * p * (pp - 3 * qq) - r * q * (3 * pp - qq),
    )


def _eigenvalues(xx: float, xy: float, yy: float) -> tuple[float, float]:
    """Eigenvalues of a covariance, the larger first; never below 0."""
    half = math.sqrt((xx - yy) ** 2 + 4 * xy * xy) / 2
    return (xx + yy) / 2 + half, max(0.0, (xx + yy) / 2 - half)


def _angle(xy: float, xx: float, yy: float) -> float:
    """Direction of the longer axis, radians, y downwards, -pi/2 to pi/2.

    Rounded, since processors differ in an arc tangent's last bit.
    """
    angle = round(0.5 * math.atan2(2 * xy, xx - yy), 12)
    return min(max(angle, -math.pi / 2), math.pi / 2)


def _ellipse(xx: float, xy: float, yy: float, area: int) -> tuple[float, float, float]:
    """ImageJ's ellipse: major and minor axis, px, and angle, degrees."""
    square = 1 / 12  # variance of a pixel, a square and not a point
    larger, smaller = _eigenvalues(xx + square, xy, yy + square)
    ratio = math.sqrt(larger / smaller)
    angle = -math.degrees(_angle(xy, xx, yy)) % 180.0
    scale = 2 * math.sqrt(area / math.pi)
    return scale * math.sqrt(ratio), scale / math.sqrt(ratio), angle if angle < 180.0 else 0.0


def _grey(mask: NDArray[np.bool_], grey: NDArray[np.uint8]) -> tuple[float, ...]:
    """Least, quarter, median, three quarters, greatest, mode, mean, sd, skewness, excess kurtosis."""
    histogram = np.bincount(grey[mask], minlength=256)
    upto = np.cumsum(histogram)
    n, s1, s2, s3, s4 = (histogram @ _GREY_POWERS).tolist()
    least, quarter, median, three_quarters, greatest = np.searchsorted(
        upto, (0, n / 4, n / 2, 3 * n / 4, n - 0.5), side="right"
    ).tolist()
    variance = (n * s2 - s1 * s1) / n**2
    sd = math.sqrt(variance)
    skewness = kurtosis = 0.0
    if variance:
        skewness = (n * n * s3 - 3 * n * s1 * s2 + 2 * s1**3) / n**3 / (variance * sd)
        fourth = n**3 * s4 - 4 * n * n * s1 * s3 + 6 * n * s1 * s1 * s2 - 3 * s1**4
        kurtosis = fourth / n**4 / (variance * variance) - 3
    mode = int(histogram.argmax())
    return least, quarter, median, three_quarters, greatest, mode, s1 / n, sd, skewness, kurtosis


def _outline(mask: NDArray[np.bool_]) -> tuple[int, float]:
    """Area with holes filled, px, and length of the outer outline, px.

    Crofton's formula: the outline's length is pi / 8 times the sum, over four directions, of how often the
    lines of that direction cross it times the distance between the lines (1, or 1 / sqrt(2) for diagonals).
    """
    height, width = mask.shape
    outside = np.zeros((height + 2, width + 2), dtype=np.uint8)
    outside[1:-1, 1:-1] = mask
    cv2.floodFill(outside, None, (0, 0), (2,), flags=4)
    filled = outside != 2
    straight = np.count_nonzero(filled[1:] != filled[:-1]) + np.count_nonzero(filled[:, 1:] != filled[:, :-1])
    diagonal = np.count_nonzero(filled[1:, 1:] != filled[:-1, :-1])
    diagonal += np.count_nonzero(filled[1:, :-1] != filled[:-1, 1:])
    return int(np.count_nonzero(filled)), math.pi / 8 * (straight + diagonal / math.sqrt(2))


def _hull(mask: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Area and outline of the convex hull of the pixels as squares, and its greatest diameter."""
    height, width = mask.shape
    corners = np.empty((4, height, 2), dtype=np.int32)
    corners[:2, :, 0] = mask.argmax(axis=1)
    corners[2:, :, 0] = width - mask[:, ::-1].argmax(axis=1)
    corners[::2, :, 1] = np.arange(height)
    corners[1::2, :, 1] = np.arange(1, height + 1)
    hull = np.asarray(cv2.convexHull(corners.reshape(-1, 2)))[:, 0].astype(np.int64)
    onward = np.concatenate((hull[1:], hull[:1]))
    twice = abs(int((hull[:, 0] * onward[:, 1] - hull[:, 1] * onward[:, 0]).sum()))
    lengths = np.sqrt(((onward - hull) ** 2).sum(axis=1))
    apart = hull[:, None] - hull
    return twice / 2, math.fsum(lengths.tolist()), math.sqrt(int((apart * apart).sum(axis=2).max()))
