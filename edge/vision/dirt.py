"""What stays at one place of the view while the water goes by is dirt on the window or a dead pixel. Pure.

The view is cut into cells; of each is known in what share of the last frames it held foreground, as a running
mean in integers. A particle that lies mostly in cells which nearly always hold something is no particle. The
chance that so many particles come to one cell one after another is nil even in a bloom: twelve thousand
particles in a frame of five million pixels fill one cell in ten.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge.vision.segmentation import Foreground, Regions

CELL_WIDTH_PX, CELL_HEIGHT_PX = 8, 4
LEAST_FRAMES = 48
"""Frames of moved water until anything is taken for dirt."""
MOVED_DBAR, MOVED_S = 0.5, 10.0
"""Between two frames that count the water has moved: by so much, or for so long."""
_ONE = 1 << 16
_MEMORY = 4  # the running mean forgets 1 / 2 ** 4 with every frame that counts
_NEARLY_ALWAYS = 3 * _ONE // 4


class DirtMap:
    """The cells of a view that nearly always hold something.

    Attributes
    ----------
    n_frames
        Frames that counted.
    """

    def __init__(self) -> None:
        self.n_frames = 0
        self._shape: tuple[int, int] | None = None
        self._level: NDArray[np.int32] = np.zeros(0, dtype=np.int32)
        self._last_ms, self._last_dbar = -math.inf, math.nan

    @property
    def permille(self) -> int:
        """Share of the view that is taken for dirt, thousandths, rounded up."""
        dirty = self._dirty()
        return 0 if dirty is None else -(-1000 * int(dirty.sum()) // dirty.size)

    def see(self, foreground: Foreground, now_ms: int, pressure_dbar: float) -> None:
        """Learn from a lit frame, if the water has moved since the last that counted."""
        passed_s, sunk_dbar = (now_ms - self._last_ms) / 1000, abs(pressure_dbar - self._last_dbar)
        if 0 <= passed_s < MOVED_S and not sunk_dbar >= MOVED_DBAR:
            return
        self._last_ms, self._last_dbar = now_ms, pressure_dbar
        shape = foreground.pixels.shape
        if shape != self._shape:
            self._shape, self.n_frames = (shape[0], shape[1]), 0
            n_cells = -(-shape[0] // CELL_HEIGHT_PX) * (shape[1] // CELL_WIDTH_PX)
            self._level = np.zeros(n_cells, dtype=np.int32)
        across = shape[1] // CELL_WIDTH_PX
        row, column = np.divmod(foreground.groups, across)
        self._level -= self._level >> _MEMORY
        held = np.zeros(len(self._level), dtype=np.bool_)
        held[row // CELL_HEIGHT_PX * across + column] = True
        self._level[held] += _ONE >> _MEMORY
        self.n_frames += 1

    def find(self, regions: Regions) -> NDArray[np.bool_]:
        """Which particles of a frame are dirt, bool (n,): at least half of their runs lie in such cells."""
        dirty = self._dirty()
        if dirty is None or self._shape is None or not len(regions) or not dirty.any():
            return np.zeros(len(regions), dtype=np.bool_)
        across = self._shape[1] // CELL_WIDTH_PX
        middle_px = regions.run_x_px + regions.run_length_px // 2
        cell = regions.run_y_px // CELL_HEIGHT_PX * across + middle_px // CELL_WIDTH_PX
        in_dirt = np.add.reduceat(dirty[cell].astype(np.int64), regions.first_run[:-1])
        return np.asarray(2 * in_dirt >= np.diff(regions.first_run))

    def _dirty(self) -> NDArray[np.bool_] | None:
        if self.n_frames < LEAST_FRAMES:
            return None
        return np.asarray(self._level >= _NEARLY_ALWAYS)
