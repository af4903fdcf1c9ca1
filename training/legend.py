"""The legend that EcoTaxa puts below a UVP6 vignette: found by its scale bar and taken away. Pure.

A footer of 31 px (`footerheight_px` in `compute_vignette.txt`) with "2 mm" above a bar of that length.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

FOOTER_PX = 31
_BAR_LEFT, _BAR_UP, _TEXT_WIDTH = 9, 4, 60


def crop_legend(pixels: Pixels, footer_px: int = FOOTER_PX) -> Pixels:
    """Take the legend from below a vignette as EcoTaxa shows it; an image without one is returned as it is.

    The legend is known by its scale bar: a line from column 9 in the fourth row from the bottom, its ends two
    pixels down, on plain black or white. An image narrower than the bar was widened to it: the plain columns
    go, too.

    Parameters
    ----------
    pixels
        uint8 (height, width).
    footer_px
        Height of the legend.
    """
    height, width = pixels.shape
    if height <= footer_px or footer_px <= _BAR_UP or width <= _BAR_LEFT + 10:
        return pixels
    plain = int(pixels[-1, -1])
    ink = np.abs(pixels[-footer_px:].astype(np.int16) - plain) > 1
    if 1 < plain < 254 or ink[-1].any() or ink[:, :_BAR_LEFT].any():
        return pixels
    line = np.flatnonzero(ink[-_BAR_UP])
    left, right = (int(line[0]), int(line[-1])) if len(line) else (0, 0)
    ends = [left, right]
    if (
        left != _BAR_LEFT
        or right - left + 1 != len(line)
        or len(line) < 10
        or any(np.flatnonzero(row).tolist() != ends for row in ink[1 - _BAR_UP : -1])
        or ink[:-_BAR_UP, _BAR_LEFT + _TEXT_WIDTH :].any()
        or not ink[:-_BAR_UP].any()
    ):
        return pixels
    picture = pixels[:-footer_px]
    if width == right - left + 10:
        used = np.flatnonzero((picture != plain).any(axis=0))
        picture = picture[:, : int(used[-1]) + 1] if len(used) and plain > 1 else picture
    return picture
