"""Size of a pixel from a flat target whose points lie a known distance apart. Pure.

Not a full camera calibration (that is Zhang 2000, IEEE PAMI 22, 1330-1334, for lenses that bend lines): an
instrument's lens looks at one sheet of light, so that a scale in each direction says it all; what a straight
scale leaves over (tilt, bent lines) is measured and refused when it is too much.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError, InputError

Points = NDArray[np.float64]

MOST_ANISOTROPY = 0.02
"""Largest difference between the scales across and down: a target tilted by 11 degrees makes as much."""
MOST_RESIDUAL = 0.02
"""Largest root mean square distance of the points from a straight scale, as a share of the pitch."""
LEAST_PITCH_PX = 6.0
FINDER_PX = 0.02
"""How far a line of points may be off together, as the finders of points were seen to be in drawn targets."""
LEAST_POINTS = 12
LEAST_REACH = 0.25
"""Share of the picture, across or down, that the points must reach over."""


class Kind(enum.StrEnum):
    """What is printed on the target."""

    DOTS = "dots"
    CHESSBOARD = "chessboard"


@dataclass(frozen=True, slots=True)
class Scale:
    """Scale of one picture.

    Attributes
    ----------
    pixel_um, se_um
        Geometric mean of both directions, and its standard error, um.
    x_um, y_um
        Across and down, um.
    skew
        Cosine of the angle between the scene's directions as the picture shows them: 0 without tilt.
    residual_px
        Root mean square of the points' distances from a straight scale, px.
    worst_px
        Largest of them.
    distortion
        How much longer a line from the middle to the outermost point is than the scale in the middle says:
        positive is a cushion, negative a barrel.
    pitch_px
        Distance of neighbouring points, px.
    n_points
        Points.
    """

    pixel_um: float
    se_um: float
    x_um: float
    y_um: float
    skew: float
    residual_px: float
    worst_px: float
    distortion: float
    pitch_px: float
    n_points: int

    @property
    def anisotropy(self) -> float:
        """Difference of the scales across and down, as a share of their mean."""
        return abs(self.x_um - self.y_um) / self.pixel_um


def find_points(pixels: NDArray[np.uint8], kind: Kind, columns: int, rows: int, *, file: str) -> Points:
    """Points of the target, px: inner corners of a chessboard or centres of dots, dark or bright.

    Parameters
    ----------
    pixels
        uint8 (height, width).
    columns, rows
        Points across and down.

    Returns
    -------
    float64 (rows * columns, 2)
        x and y, row by row.

    Raises
    ------
    ImageError
        The target is not found.
    """
    for picture in (pixels, cv2.bitwise_not(pixels)):
        if kind is Kind.CHESSBOARD:
            flags = cv2.CALIB_CB_EXHAUSTIVE | cv2.CALIB_CB_ACCURACY | cv2.CALIB_CB_NORMALIZE_IMAGE
            points: Points | None
            _, corners = cv2.findChessboardCornersSB(np.asarray(picture), (columns, rows), flags=flags)
            points = None if corners is None else _saddles(np.asarray(picture, dtype=np.uint8), corners)
        else:
            points = _find_dots(np.asarray(picture, dtype=np.uint8), columns, rows)
        if points is not None and len(points) == columns * rows:
            return points
    what = "inner corners" if kind is Kind.CHESSBOARD else "dots"
    raise ImageError(
        f"shows no {kind} of {columns} x {rows} {what}",
        file=file,
        remedy="count them again, light the target evenly, and let all of it be seen",
    )


def _saddles(picture: NDArray[np.uint8], corners: Any) -> Points:
    """Corners to a part of a pixel, by the directions of the edges that meet there."""
    points = np.asarray(corners, dtype=np.float32).reshape(-1, 2)
    reach = max(2, int(_nearest_px(points) / 4))
    ends = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 60, 1e-4)
    finer = cv2.cornerSubPix(picture, points.copy(), (reach, reach), (-1, -1), ends)
    return np.asarray(finer, dtype=np.float64).reshape(-1, 2)


def _nearest_px(points: NDArray[np.floating]) -> float:
    """Median distance of a point to the nearest other."""
    apart = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))
    np.fill_diagonal(apart, np.inf)
    return float(np.median(apart.min(axis=1)))


def _find_dots(picture: NDArray[np.uint8], columns: int, rows: int) -> Points | None:
    """Dark dots, with a detector that knows how large they may be."""
    height, width = picture.shape
    how = cv2.SimpleBlobDetector.Params()
    how.minArea = 12.0
    how.maxArea = height * width / max(1, columns * rows)
    how.minDistBetweenBlobs = 4.0
    how.filterByColor, how.blobColor = True, 0
    how.filterByInertia, how.minInertiaRatio = True, 0.4
    how.filterByConvexity, how.minConvexity = True, 0.8
    detector = cv2.SimpleBlobDetector.create(how)
    flags = cv2.CALIB_CB_SYMMETRIC_GRID | cv2.CALIB_CB_CLUSTERING
    for one in (cv2.CALIB_CB_SYMMETRIC_GRID, flags):
        found, points = cv2.findCirclesGrid(picture, (columns, rows), flags=one, blobDetector=detector)
        if found:
            return _centroids(picture, np.asarray(points, dtype=np.float64).reshape(-1, 2))
    return None


def _centroids(picture: NDArray[np.uint8], points: Points) -> Points:
    """Dots' centres by the first moments of their darkness; the detector's are those of shapes."""
    reach = int(_nearest_px(points) / 2)
    better = points.copy()
    for i, (x, y) in enumerate(points):
        left, top = round(float(x)) - reach, round(float(y)) - reach
        if left < 0 or top < 0:
            continue
        part = picture[top : top + 2 * reach + 1, left : left + 2 * reach + 1].astype(np.float64)
        if part.shape != (2 * reach + 1, 2 * reach + 1):
            continue
        dark = np.maximum(0.0, (part.max() + part.min()) / 2 - part)
        rows, columns = np.indices(dark.shape)
        total = dark.sum()
        if total > 0:
            better[i] = left + (dark * columns).sum() / total, top + (dark * rows).sum() / total
    return better


def fit_scale(points_px: Points, columns: int, rows: int, pitch_um: float) -> Scale:
    """Scale from the points of one picture, by least squares.

    The scene's plane is taken to the picture by a matrix A (px per um, any rotation in it) and a shift. The
    lengths of the rows of A are the pixels per um across and down; their angle tells a tilt.

    Parameters
    ----------
    points_px
        float64 (rows * columns, 2), row by row.
    pitch_um
        Distance of neighbouring points, um.
    """
    n = rows * columns
    place = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2) * pitch_um
    place = place - place.mean(axis=0)
    design = np.column_stack((place, np.ones(n)))
    solved, *_ = np.linalg.lstsq(design, points_px, rcond=None)
    left_over = points_px - design @ solved
    across, down = solved[:2].T
    x_um, y_um = 1 / float(np.linalg.norm(across)), 1 / float(np.linalg.norm(down))
    pixel_um = math.sqrt(x_um * y_um)
    freedom = 2 * n - 6
    variance = float((left_over**2).sum()) / freedom
    # Of the mean of both scales: each has the variance of a slope over the spread of its points.
    spread = float((place**2).sum()) / 2
    by_chance = pixel_um**2 * math.sqrt(variance / spread / 2)
    by_finder = pixel_um * math.sqrt(2) * FINDER_PX / float(np.ptp(points_px, axis=0).min())
    se_um = math.hypot(by_chance, by_finder)
    distance = np.sqrt((left_over**2).sum(axis=1))
    return Scale(
        pixel_um=pixel_um,
        se_um=se_um,
        x_um=x_um,
        y_um=y_um,
        skew=float(across @ down) * x_um * y_um,
        residual_px=math.sqrt(float((distance**2).mean())),
        worst_px=float(distance.max()),
        distortion=_distortion(points_px, design @ solved),
        pitch_px=pitch_um / pixel_um,
        n_points=n,
    )


def _distortion(points_px: Points, straight_px: Points) -> float:
    """Share by which the outermost point lies too far out: one term of Brown's model, about the middle."""
    middle = straight_px.mean(axis=0)
    out = straight_px - middle
    square = (out**2).sum(axis=1)
    largest = float(square.max())
    # A straight scale takes up part of a cubic: both are fitted.
    terms = np.stack((out, out * (square / largest)[:, None]), axis=-1).reshape(-1, 2)
    (_, cubic), *_ = np.linalg.lstsq(terms, (points_px - middle).reshape(-1), rcond=None)
    return float(cubic)


def check_scale(scale: Scale, shape: tuple[int, int], points_px: Points, *, file: str) -> None:
    """Refuse a scale that nobody should use, with the reason and what to do. Raises `InputError`."""
    reach = float(np.max(np.ptp(points_px, axis=0) / np.array(shape[::-1])))
    faults = (
        (
            scale.n_points < LEAST_POINTS,
            f"has {scale.n_points} points",
            f"use a target of at least {LEAST_POINTS}",
        ),
        (
            scale.pitch_px < LEAST_PITCH_PX,
            f"has points {scale.pitch_px:.1f} px apart",
            "use a coarser target",
        ),
        (
            reach < LEAST_REACH,
            f"shows a target over {100 * reach:.0f} % of the picture",
            f"let it cover at least {100 * LEAST_REACH:.0f} %, across or down",
        ),
        (
            scale.residual_px > MOST_RESIDUAL * scale.pitch_px,
            f"leaves {scale.residual_px:.2f} px where points are {scale.pitch_px:.1f} px apart",
            "keep the target flat and square to the camera, in focus; or the points were counted wrongly",
        ),
        (
            max(scale.anisotropy, abs(scale.skew)) > MOST_ANISOTROPY,
            f"gives {scale.x_um:.2f} um across and {scale.y_um:.2f} um down, "
            f"{math.degrees(math.asin(min(1.0, abs(scale.skew)))):.1f} degrees off the right angle",
            "turn the target square to the camera",
        ),
    )
    for is_so, problem, remedy in faults:
        if is_so:
            raise InputError(problem, file=file, remedy=remedy)


def mean_scale(scales: Sequence[Scale]) -> tuple[float, float]:
    """Pixel of several pictures and its standard error, um.

    The mean; its error is that of the pictures among themselves, or of the points where that is larger or
    there is one picture alone.
    """
    values = np.array([one.pixel_um for one in scales])
    within = math.sqrt(sum(one.se_um**2 for one in scales)) / len(scales)
    between = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return float(values.mean()), max(within, between)
