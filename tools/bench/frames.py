"""Frames for benchmarks: drawn ones whose size spectrum is that of a real UVP6-HF cast.

Deterministic in the generator; not a recording (that is `seston compose`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.optics import Optics
from tools.composing.blobs import CELL_PX, Room, blob_greys, place_blobs
from training.drawn import KINDS, draw_particle

HEIGHT_PX, WIDTH_PX = 2056, 2464
OPTICS = Optics(pixel_um=73, image_volume_l=0.71, threshold=21, aa_um2=2300, exp=1.136)
CAST_SPECTRUM = {1: 2900, 2: 400, 3: 90, 4: 45, 5: 20, 6: 12, 8: 10, 11: 8, 16: 6, 24: 4, 36: 3, 50: 2}
"""Particles by area in px: 3,500 a frame, 600 of them above one pixel, as near the surface in a real cast."""


SURFACE_PARTICLES, SURFACE_LARGE = 12_000, 60
"""Of a frame in a bloom at the surface, and how many of them are classified."""


def cast_like_frame(rng: np.random.Generator, n_large: int, n_small: int | None = None) -> NDArray[np.uint8]:
    """A frame with the small particles of a real cast and `n_large` drawn ones above the size cut of 620 um.

    Parameters
    ----------
    n_small
        How many small ones, in the proportions of the cast; its own number when None.

    Returns
    -------
    uint8 (2056, 2464), white on black, camera noise below the threshold.
    """
    pixels = rng.integers(2, 14, (HEIGHT_PX, WIDTH_PX), dtype=np.uint8)
    room = Room(HEIGHT_PX, WIDTH_PX)
    for _ in range(n_large):
        drawn = draw_particle(KINDS[int(rng.integers(len(KINDS)))], rng, float(rng.uniform(14, 26)))
        row, column = room.take_block(max(drawn.shape) // CELL_PX + 1, rng) * CELL_PX
        window = pixels[row : row + drawn.shape[0], column : column + drawn.shape[1]]
        np.maximum(window, drawn, out=window)
    count = np.array(list(CAST_SPECTRUM.values()))
    if n_small is not None:
        ends = np.rint(np.cumsum(count) * n_small / count.sum()).astype(np.int64)
        count = np.diff(ends, prepend=0)
    area = np.repeat(list(CAST_SPECTRUM), count)[::-1].astype(np.int64)
    _, owner, y, x = place_blobs(area, room, rng)
    mean, sd, light = np.full((3, len(area)), [[45.0], [18.0], [1.0]])
    pixels[y, x] = blob_greys(owner, mean, sd, light, OPTICS.threshold, rng)
    return pixels


def surface_frame(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A frame of a bloom at the surface, uint8 (2056, 2464)."""
    return cast_like_frame(rng, SURFACE_LARGE, SURFACE_PARTICLES - SURFACE_LARGE)
