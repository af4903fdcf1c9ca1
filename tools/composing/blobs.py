"""Small particles of exactly known area, and where they may lie so that no two touch.

Shapes are grown pixel by pixel (the Eden model, Eden 1961, Proc. 4th Berkeley Symp. 4, 223-239) and stay
8-connected. Places are the cells of a coarse grid: a thing that keeps within its cells, less their last row
and column, cannot touch a thing in others.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from edge.errors import RecordingError

Ints = NDArray[np.int64]

CELL_PX = 8
VARIANTS = 24
_NEIGHBOURS = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))


@functools.lru_cache(maxsize=8192)
def blob_shape(area_px: int, variant: int) -> Ints:
    """Pixels of a small particle, the same for the same arguments on every machine.

    Parameters
    ----------
    area_px
        Number of pixels, 1 or more.
    variant
        Which of the shapes of this area.

    Returns
    -------
    int64 (area_px, 2): y, x from 0, in the order of growth: the middle comes first.
    """
    rng = np.random.default_rng((area_px, variant))
    # Corners are taken less often than sides: how much less varies from compact to ragged.
    corner = rng.uniform(0.1, 0.6)
    taken: dict[tuple[int, int], None] = {(0, 0): None}
    edge: list[tuple[int, int]] = []
    y, x = 0, 0
    while len(taken) < area_px:
        chances = rng.random(9)
        for (dy, dx), chance in zip(_NEIGHBOURS, chances[:8], strict=True):
            place = (y + dy, x + dx)
            if place not in taken and (not (dy and dx) or chance < corner):
                edge.append(place)
        pick = int(chances[8] * len(edge))
        edge[pick], edge[-1] = edge[-1], edge[pick]
        y, x = edge.pop()
        taken[y, x] = None
    pixels = np.array(list(taken), dtype=np.int64)
    return np.asarray(pixels - pixels.min(axis=0), dtype=np.int64)


@functools.lru_cache(maxsize=512)
def _shapes(area_px: int) -> tuple[Ints, Ints]:
    """All variants of an area: pixels (VARIANTS, area, 2) and sizes of their boxes (VARIANTS, 2)."""
    pixels = np.stack([blob_shape(area_px, variant) for variant in range(VARIANTS)])
    return pixels, pixels.max(axis=1) + 1


class Room:
    """Which cells of a frame are still free."""

    def __init__(self, height_px: int, width_px: int) -> None:
        self.taken = np.zeros((height_px // CELL_PX, width_px // CELL_PX), dtype=np.bool_)

    def take_pixels(self, y_px: Ints, x_px: Ints) -> bool:
        """Take the cells of these pixels if all are free; False, and nothing taken, when they are not."""
        rows, columns = y_px // CELL_PX, x_px // CELL_PX
        if rows.max() >= self.taken.shape[0] or columns.max() >= self.taken.shape[1]:
            return False
        if self.taken[rows, columns].any():
            return False
        self.taken[rows, columns] = True
        return True

    def take_cells(self, n: int, rng: np.random.Generator) -> Ints:
        """Take `n` free cells at random; int64 (n, 2) row, column."""
        free = np.flatnonzero(~self.taken)
        if n > len(free):
            raise RecordingError(
                f"has no room for {n} more particles, {len(free)} places are left",
                field="frame",
                remedy="make the frame larger or the water emptier",
            )
        chosen = rng.choice(free, n, replace=False)
        self.taken.ravel()[chosen] = True
        return np.stack(np.divmod(chosen, self.taken.shape[1]), axis=1)

    def take_block(self, side: int, rng: np.random.Generator) -> Ints:
        """Take a free square of `side` cells at random; int64 (2,) row, column of its first."""
        rows, columns = (n - side + 1 for n in self.taken.shape)
        for _ in range(200 if min(rows, columns) > 0 else 0):
            row, column = int(rng.integers(rows)), int(rng.integers(columns))
            block = self.taken[row : row + side, column : column + side]
            if not block.any():
                block[:] = True
                return np.array([row, column], dtype=np.int64)
        raise RecordingError(
            f"has no room left for a particle of {side * CELL_PX} px",
            field="frame",
            remedy="make the frame larger or the water emptier",
        )


def place_blobs(area_px: Ints, room: Room, rng: np.random.Generator) -> tuple[Ints, Ints, Ints, Ints]:
    """Give every small particle a shape and a place where it touches nothing.

    Parameters
    ----------
    area_px
        int64 (n,), sorted falling.
    room
        Free cells; those used are taken.
    rng
        Source of shapes and places.

    Returns
    -------
    boxes
        int64 (n, 4): x, y, width, height.
    owner
        Index of the particle of each of the m pixels, rising, int64 (m,).
    y_px, x_px
        The pixels, int64 (m,), of each particle its middle first.
    """
    n = len(area_px)
    boxes = np.zeros((n, 4), dtype=np.int64)
    owners, ys, xs = [], [], []
    starts = np.flatnonzero(np.diff(area_px, prepend=-1))
    for start, stop in zip(starts, np.append(starts[1:], n)[: len(starts)], strict=True):
        pixels, sizes = _shapes(int(area_px[start]))
        variant = rng.integers(VARIANTS, size=stop - start)
        size = sizes[variant]
        cells_needed = size.max(axis=1) // CELL_PX + 1
        corner = np.zeros((stop - start, 2), dtype=np.int64)
        for i in np.flatnonzero(cells_needed > 1):
            corner[i] = room.take_block(int(cells_needed[i]), rng)
        small = cells_needed == 1
        corner[small] = room.take_cells(int(small.sum()), rng)
        slack = cells_needed[:, None] * CELL_PX - size  # at least 1: that row and column stay empty
        corner = corner * CELL_PX + (rng.random((stop - start, 2)) * slack).astype(np.int64)
        placed = pixels[variant] + corner[:, None, :]
        boxes[start:stop] = np.concatenate((corner[:, ::-1], size[:, ::-1]), axis=1)
        owners.append(np.repeat(np.arange(start, stop), int(area_px[start])))
        ys.append(placed[..., 0].ravel())
        xs.append(placed[..., 1].ravel())
    none = [np.zeros(0, dtype=np.int64)]
    return boxes, np.concatenate(owners or none), np.concatenate(ys or none), np.concatenate(xs or none)


def blob_greys(
    owner: Ints,
    mean: NDArray[np.float64],
    sd: NDArray[np.float64],
    light: NDArray[np.float64],
    threshold: int,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Greys of the pixels of small particles, every one above the threshold, brightest in the middle.

    Parameters
    ----------
    owner
        Particle of each pixel, int64 (m,), rising.
    mean, sd
        Mean grey of each particle and its spread from pixel to pixel, float64 (n,).
    light
        Share of the light at each particle, 0-1, float64 (n,).
    threshold
        Of the optics.

    Returns
    -------
    uint8 (m,).
    """
    # A gamma law above the threshold: exponential when mean and spread there are equal, as in casts.
    above = np.maximum(mean - threshold - 0.5, 0.3)
    shape = np.clip((above / np.maximum(sd, 0.5)) ** 2, 0.5, 20.0)
    level = rng.standard_gamma(shape[owner]) * (above * light / shape)[owner]
    grey = np.minimum(threshold + 1 + np.floor(level), 255).astype(np.uint8)
    return np.asarray(grey[np.lexsort((-grey.astype(np.int16), owner))], dtype=np.uint8)
