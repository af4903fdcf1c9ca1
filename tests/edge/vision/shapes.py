"""Nasty images for segmentation: what breaks labelling that looks right on disks."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def full(height: int, width: int) -> Mask:
    return np.ones((height, width), dtype=np.bool_)


def empty(height: int, width: int) -> Mask:
    return np.zeros((height, width), dtype=np.bool_)


def chequers(height: int, width: int) -> Mask:
    """One particle through its corners alone; with 4-connectivity, height * width / 2."""
    return np.indices((height, width)).sum(axis=0) % 2 == 0


def dots(height: int, width: int) -> Mask:
    """Single pixels as close as they can be without touching, in every corner too."""
    mask = empty(height, width)
    mask[::2, ::2] = True
    return mask


def corners(height: int, width: int) -> Mask:
    mask = empty(height, width)
    mask[[0, 0, -1, -1], [0, -1, 0, -1]] = True
    return mask


def frame(height: int, width: int) -> Mask:
    """The border alone: one particle around everything."""
    mask = full(height, width)
    mask[1:-1, 1:-1] = False
    return mask


def edges(height: int, width: int) -> Mask:
    """The last column and the first: neighbours in memory, not in the picture."""
    mask = empty(height, width)
    mask[::3, -1] = True
    mask[1::3, 0] = True
    return mask


def rings(height: int, width: int) -> Mask:
    """Rings in rings, each in the hole of the next and none touching another."""
    y, x = np.indices((height, width))
    depth = np.minimum(np.minimum(y, height - 1 - y), np.minimum(x, width - 1 - x))
    return depth % 2 == 0


def diamonds(height: int, width: int) -> Mask:
    """Rings that hold together through corners alone."""
    y, x = np.indices((height, width))
    return (np.abs(y - height // 2) + np.abs(x - width // 2)) % 3 == 0


def spiral(height: int, width: int) -> Mask:
    """One line of one pixel winding inwards: runs are joined last where it turns."""
    mask = empty(height, width)
    y, x, dy, dx = 0, 0, 0, 1
    mask[0, 0] = True
    turns = 0
    while turns < 2:
        ny, nx = y + dy, x + dx
        ahead = ny + dy, nx + dx
        blocked = not (0 <= ny < height and 0 <= nx < width) or mask[ny, nx]
        if not blocked and 0 <= ahead[0] < height and 0 <= ahead[1] < width:
            blocked = bool(mask[ahead])
        if blocked:
            dy, dx = dx, -dy
            turns += 1
            continue
        y, x, turns = ny, nx, 0
        mask[y, x] = True
    return mask


def comb(height: int, width: int) -> Mask:
    """Teeth that only the last row joins."""
    mask = empty(height, width)
    mask[:, ::2] = True
    mask[-1] = True
    return mask


def combs(height: int, width: int) -> Mask:
    """Two combs into each other: two particles, each of many runs a row."""
    mask = comb(height, width)
    mask[-2:] = False
    mask[-1] = True
    mask[:-1, ::4] = True
    mask[0, 1::4] = False
    return mask


def zigzag(height: int, width: int) -> Mask:
    """Vs side by side, joined left at the bottom and right at the top."""
    x = np.arange(width)
    mask = empty(height, width)
    period = max(2, 2 * (height - 1))
    mask[np.abs(x % period - period // 2) % height, x] = True
    return mask


def rows(height: int, width: int) -> Mask:
    mask = empty(height, width)
    mask[::2] = True
    return mask


def columns(height: int, width: int) -> Mask:
    return rows(width, height).T.copy()


def blobs(height: int, width: int) -> Mask:
    """Thresholded smooth noise: coasts, islands, lakes."""
    noise = np.random.default_rng(height * 1000 + width).random((height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return np.asarray(smooth > np.median(smooth), dtype=np.bool_)


SHAPES: dict[str, Callable[[int, int], Mask]] = {
    make.__name__: make
    for make in (
        full, empty, chequers, dots, corners, frame, edges, rings, diamonds, spiral,
        comb, combs, zigzag, rows, columns, blobs,
    )
}  # fmt: skip
