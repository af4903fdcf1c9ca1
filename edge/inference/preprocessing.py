"""THE preprocessing: a vignette of any size becomes the network's square, on the board and in training alike.

White on black goes in. Integers only (OpenCV's bit-exact linear resize included), so every processor gives
the same pixels. What it is not: segmentation, or the inversion of bright field, which come before it.
"""

from __future__ import annotations

import functools
import math
from typing import Annotated, Literal

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError

Pixels = NDArray[np.uint8]
NUMBERS = ("log_area", "log_aspect", "solidity", "log_side", "log_white")
"""What `describe` tells: what a network that sees resized, stretched crops has lost."""
N_NUMBERS = len(NUMBERS)
_MASK_GREY = 64
"""A quarter of the white: pixels above it, after stretching, are the particle that is described."""


class Preprocessing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How vignettes are brought to the network's input; travels in the bundle.

    Attributes
    ----------
    size_px
        Side of the square input. A vignette's longest side is resized to it, the rest is black.
    stretch
        Whether grey is stretched until the vignette's `white_permille` quantile is white: a dim particle then
        uses the int8 input as a bright one does.
    black_permille
        When stretching, the grey at this quantile is taken away first, at most a third of the white: the haze
        of a camera that a network trained on masked images has never seen. 0 takes nothing away.
    white_permille
        Share of the pixels, in thousandths, that lie at or below the grey that becomes white.
    white_floor
        That grey is never below this, so that an empty vignette's noise stays dark.
    numbers
        Whether the network also takes the `NUMBERS` of `describe`.
    views
        The network looks at the vignette this often (as it is, turned by 180 degrees, and both mirrored along
        the diagonal) and the mean of its outputs counts.
    """

    size_px: Annotated[int, msgspec.Meta(ge=8, le=512)] = 96
    stretch: bool = True
    black_permille: Annotated[int, msgspec.Meta(ge=0, le=500)] = 0
    white_permille: Annotated[int, msgspec.Meta(ge=500, le=1000)] = 999
    white_floor: Annotated[int, msgspec.Meta(ge=1, le=255)] = 16
    numbers: bool = False
    views: Literal[1, 2, 4] = 1


def prepare(vignette: Pixels, spec: Preprocessing) -> Pixels:
    """Bring one vignette to the network's input.

    Parameters
    ----------
    vignette
        uint8 (height, width), white on black, any size from 1 x 1.
    spec
        From the bundle.

    Returns
    -------
    uint8 (size_px, size_px, 1); the same bytes on every processor.

    Raises
    ------
    ImageError
        When the vignette is not a two-dimensional uint8 array with at least one pixel.
    """
    _require_grey(vignette)
    size = spec.size_px
    height, width = vignette.shape
    longest = max(height, width)
    if spec.stretch:
        vignette = _stretched(vignette, *_black_and_white(vignette, spec))
    new_height = max(1, (height * size + longest // 2) // longest)
    new_width = max(1, (width * size + longest // 2) // longest)
    if longest >= 2 * size:
        vignette = _box_average(vignette, longest // size)
    if vignette.shape != (new_height, new_width):
        resized = cv2.resize(vignette, (new_width, new_height), interpolation=cv2.INTER_LINEAR_EXACT)
        vignette = np.asarray(resized, dtype=np.uint8)
    square = np.zeros((size, size, 1), dtype=np.uint8)
    top, left = (size - new_height) // 2, (size - new_width) // 2
    square[top : top + new_height, left : left + new_width, 0] = vignette
    return square


def describe(vignette: Pixels, spec: Preprocessing) -> Pixels:
    """Size, shape and brightness of a vignette's particle, which `prepare` takes away.

    The particle is all that is brighter than a quarter of the white, after stretching.

    Parameters
    ----------
    vignette, spec
        As for `prepare`; lengths are pixels of the vignette.

    Returns
    -------
    uint8 (N_NUMBERS,)
        In the order of `NUMBERS`: 12 * log2(area in px), 32 * log2(major / minor axis of the ellipse with the
        pixels' second moments), 255 * area / area of the convex hull, 16 * log2(longest side of the vignette
        in px), 32 * log2(grey that became white); rounded and held within 0 to 255.
    """
    _require_grey(vignette)
    black, white = _black_and_white(vignette, spec)
    mask = _stretched(vignette, black, white) > _MASK_GREY
    ones = mask.view(np.uint8)
    rows = np.asarray(cv2.reduce(ones, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)).ravel().astype(np.int64)
    columns = np.asarray(cv2.reduce(ones, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)).ravel().astype(np.int64)
    area = int(rows.sum())
    aspect = _aspect(mask, rows, columns, area) if area else 1.0
    solidity = _solidity(mask, rows, area) if area else 0.0
    told = (
        12 * math.log2(max(area, 1)),
        32 * math.log2(aspect),
        255 * solidity,
        16 * math.log2(max(vignette.shape)),
        32 * math.log2(white),
    )
    return np.array([min(max(math.floor(value + 0.5), 0), 255) for value in told], dtype=np.uint8)


def _aspect(mask: NDArray[np.bool_], rows: NDArray[np.int64], columns: NDArray[np.int64], area: int) -> float:
    """Ratio of the axes; a pixel is a square, so that a line has a width."""
    x, y = np.arange(len(columns)), np.arange(len(rows))
    sx, sy = int(columns @ x), int(rows @ y)
    xx = int(columns @ (x * x)) * area - sx * sx
    yy = int(rows @ (y * y)) * area - sy * sy
    xy = int((mask @ x) @ y) * area - sx * sy
    square = area * area / 12
    middle, half = (xx + yy) / 2 + square, math.sqrt((xx - yy) ** 2 + 4 * xy * xy) / 2
    return math.sqrt((middle + half) / max(middle - half, square))


def _solidity(mask: NDArray[np.bool_], rows: NDArray[np.int64], area: int) -> float:
    """Area over that of the convex hull of the pixels as squares."""
    y = np.flatnonzero(rows)
    left = mask[y].argmax(axis=1)
    right = mask.shape[1] - mask[y, ::-1].argmax(axis=1)
    corners = np.empty((4, len(y), 2), dtype=np.int32)
    corners[:2, :, 0], corners[2:, :, 0] = left, right
    corners[::2, :, 1], corners[1::2, :, 1] = y, y + 1
    hull = np.asarray(cv2.convexHull(corners.reshape(-1, 2)))[:, 0].astype(np.int64)
    onward = np.concatenate((hull[1:], hull[:1]))
    twice = abs(int((hull[:, 0] * onward[:, 1] - hull[:, 1] * onward[:, 0]).sum()))
    return 2 * area / twice


def _require_grey(vignette: Pixels) -> None:
    if vignette.ndim != 2 or vignette.dtype != np.uint8 or vignette.size == 0:
        raise ImageError(
            f"a vignette of {vignette.dtype} and shape {vignette.shape} cannot be classified",
            remedy="give uint8 grey images of height x width, at least one pixel",
        )


def _black_and_white(vignette: Pixels, spec: Preprocessing) -> tuple[int, int]:
    """Grey that becomes 0, and how far above it lies the grey that becomes 255."""
    at_most = cv2.calcHist([vignette], [0], None, [256], [0, 256]).ravel().astype(np.int64).cumsum()
    quantiles = (spec.black_permille * vignette.size, spec.white_permille * vignette.size)
    black, white = np.searchsorted(1000 * at_most, quantiles).tolist()
    black = min(black, white // 3) if spec.black_permille else 0
    return black, max(white - black, spec.white_floor)


def _stretched(vignette: Pixels, black: int, white: int) -> Pixels:
    """Scale grey so that `black` becomes 0 and `black + white` 255, rounding half up."""
    if white == 255:
        return vignette
    table = _stretch_tables()[white]
    if black:
        table = np.concatenate((np.zeros(black, dtype=np.uint8), table[: 256 - black]))
    return np.asarray(cv2.LUT(vignette, table), dtype=np.uint8)


@functools.cache
def _stretch_tables() -> Pixels:
    """uint8 (256, 256): row `white` maps each grey to its stretched one."""
    grey, white = np.arange(256), np.maximum(np.arange(256), 1)[:, np.newaxis]
    return np.asarray(np.minimum((grey * 255 + white // 2) // white, 255), dtype=np.uint8)


def _box_average(vignette: Pixels, factor: int) -> Pixels:
    """Mean of every `factor` x `factor` block, rounded half up; the last ones may be smaller."""
    height, width = vignette.shape
    rows = np.append(np.arange(0, height, factor), height)
    columns = np.append(np.arange(0, width, factor), width)
    # Sums over everything above and to the left: whole numbers, in float64 only where int32 has no room.
    depth = cv2.CV_32S if 255 * vignette.size < 1 << 31 else cv2.CV_64F
    corners = cv2.integral(vignette, sdepth=depth)[rows][:, columns].astype(np.int64)
    sums = np.diff(np.diff(corners, axis=0), axis=1)
    counts = np.outer(np.diff(rows), np.diff(columns))
    return np.asarray((sums + counts // 2) // counts, dtype=np.uint8)
