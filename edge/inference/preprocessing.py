"""THE preprocessing: a vignette of any size becomes the network's square, on the board and in training alike.

White on black goes in. Integers only (OpenCV's bit-exact linear resize included), so every processor gives
the same pixels. What it is not: segmentation, or the inversion of bright field, which come before it.
"""

from __future__ import annotations

import functools
from typing import Annotated

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError

Pixels = NDArray[np.uint8]


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
    """

    size_px: Annotated[int, msgspec.Meta(ge=8, le=512)] = 96
    stretch: bool = True
    black_permille: Annotated[int, msgspec.Meta(ge=0, le=500)] = 0
    white_permille: Annotated[int, msgspec.Meta(ge=500, le=1000)] = 999
    white_floor: Annotated[int, msgspec.Meta(ge=1, le=255)] = 16


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
    if vignette.ndim != 2 or vignette.dtype != np.uint8 or vignette.size == 0:
        raise ImageError(
            f"a vignette of {vignette.dtype} and shape {vignette.shape} cannot be classified",
            remedy="give uint8 grey images of height x width, at least one pixel",
        )
    size = spec.size_px
    height, width = vignette.shape
    longest = max(height, width)
    if spec.stretch:
        vignette = _stretch(vignette, spec)
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


def _stretch(vignette: Pixels, spec: Preprocessing) -> Pixels:
    """Scale grey so that one quantile becomes 0 and another 255, rounding half up."""
    at_most = cv2.calcHist([vignette], [0], None, [256], [0, 256]).ravel().astype(np.int64).cumsum()
    quantiles = (spec.black_permille * vignette.size, spec.white_permille * vignette.size)
    black, white = np.searchsorted(1000 * at_most, quantiles).tolist()
    black = min(black, white // 3) if spec.black_permille else 0
    white = max(white - black, spec.white_floor)
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
