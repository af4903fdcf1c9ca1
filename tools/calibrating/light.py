"""How even the light is, how noisy the camera, and the threshold that both ask for. Pure.

Black frames tell what the camera adds by itself; lit frames of water, what haze and light add. The threshold
lies above both: so high that an unlit frame shows one false particle at most, and that the brightest part of
the ground is five standard deviations below it (one pixel in three million).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.vision.segmentation import segment

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

ROWS, COLUMNS = 4, 6
"""Cells in which brightness is compared."""
MOST_FRAMES = 15
LEAST_FRAMES = 3
FALSE_PARTICLES = 1.0
DEVIATIONS = 5.0
LEAST_PER_CELL = 10
LEAST_AREA_PX = 4
MOST_HOT = 1e-4
"""Share of a camera's pixels that may be hot."""
LEAST_EVEN, GOOD_EVEN = 0.2, 0.6
"""Dimmest cell over brightest: refused below, and warned of."""
MOST_SATURATED, GOOD_SATURATED = 0.5, 0.05
HIGHEST_THRESHOLD = 200


@dataclass(frozen=True, slots=True)
class Light:
    """What frames tell of light and noise. NaN where frames do not tell it.

    Attributes
    ----------
    threshold
        That is needed: foreground is strictly above.
    noise_threshold, ground_threshold
        What unlit frames ask for, and lit ones; -1 without unlit ones.
    noise_grey
        Standard deviation from frame to frame, grey.
    black_grey
        Mean of unlit frames.
    ground
        Median grey by cell, float64 (ROWS, COLUMNS), as the frames are segmented.
    raw_ground
        The same as the camera gave it.
    particles
        Median grey of the brightest particles by cell, as many in each, less the ground's, float64 (ROWS,
        COLUMNS).
    saturated
        Share of the particles' pixels (of all pixels in bright field) that are 255.
    hot_pixels
        Pixels above the threshold in half of the unlit frames: left out of the rest.
    n_lit, n_unlit
        Frames.
    """

    threshold: int
    noise_threshold: int
    ground_threshold: int
    noise_grey: float
    black_grey: float
    ground: Floats
    raw_ground: Floats
    particles: Floats
    saturated: float
    hot_pixels: int
    n_lit: int
    n_unlit: int

    def evenness(self, *, bright_field: bool) -> float:
        """Dimmest cell over brightest: of the light itself in bright field, else of particles."""
        map_ = self.raw_ground if bright_field else self.particles
        return float(map_.min() / map_.max()) if np.isfinite(map_).all() and map_.max() > 0 else math.nan


def measure_light(
    raw: Sequence[Pixels], white: Sequence[Pixels], unlit: Sequence[Pixels], *, bright_field: bool
) -> Light:
    """Look at lit frames and unlit ones.

    Parameters
    ----------
    raw, white
        The same lit frames, as the camera gave them and as they are segmented, uint8 (height, width).
    unlit
        As they are segmented.

    Raises
    ------
    InputError
        Too few frames, or no threshold that would do.
    """
    if len(raw) < LEAST_FRAMES:
        raise InputError(
            f"holds {len(raw)} lit frames, {LEAST_FRAMES} are needed",
            field="recording",
            remedy="record more, of water that moves",
        )
    raw, white, unlit = raw[:MOST_FRAMES], white[:MOST_FRAMES], unlit[:MOST_FRAMES]
    ground = _cells(np.median(np.stack(white), axis=0))
    raw_ground = _cells(np.median(np.stack(raw), axis=0))
    noise_grey = float(np.median([_noise(a, b) for a, b in itertools.pairwise(white)]))
    ground_threshold = math.ceil(float(ground.max()) + DEVIATIONS * noise_grey)
    noise_threshold, hot = _noise_threshold(unlit)
    threshold = max(noise_threshold, ground_threshold)
    if threshold > HIGHEST_THRESHOLD:
        raise InputError(
            f"needs a threshold of {threshold}",
            field="recording",
            remedy="shorten the exposure, keep daylight out, or let the ground be taken away ([vision])",
        )
    particles, saturated = _particles(raw, white, threshold, ground, bright_field)
    return Light(
        threshold=threshold,
        noise_threshold=noise_threshold,
        ground_threshold=ground_threshold,
        noise_grey=noise_grey,
        black_grey=float(np.mean([frame.mean() for frame in unlit])) if unlit else math.nan,
        ground=ground,
        raw_ground=raw_ground,
        particles=particles,
        saturated=saturated,
        hot_pixels=hot,
        n_lit=len(raw),
        n_unlit=len(unlit),
    )


def _cells(pixels: NDArray[np.floating]) -> Floats:
    """Median of each cell."""
    bands = np.array_split(pixels, ROWS, axis=0)
    return np.array([[float(np.median(c)) for c in np.array_split(b, COLUMNS, axis=1)] for b in bands])


def _noise(a: Pixels, b: Pixels) -> float:
    """Standard deviation of one frame: from the middle 68 % of the differences of two."""
    # Whole greys are spread over one grey each.
    apart = np.bincount((a.astype(np.int16) - b).ravel() + 255, minlength=511)
    upto = np.concatenate(([0.0], np.cumsum(apart) / apart.sum()))
    low, high = np.interp((0.15866, 0.84134), upto, np.arange(512) - 255.5)
    return float(high - low) / 2 / math.sqrt(2)


def _noise_threshold(unlit: Sequence[Pixels]) -> tuple[int, int]:
    """Least threshold that leaves so few false particles an unlit frame, and how many pixels are hot."""
    if not unlit:
        return -1, 0
    for threshold in range(255):
        above = [frame > threshold for frame in unlit]
        hot = (np.sum(above, axis=0) > len(unlit) / 2) & (len(unlit) > 1)
        left = [np.count_nonzero(one & ~hot) for one in above]
        # A camera's level is no hot pixel: the threshold is above all but a few.
        if np.mean(left) <= FALSE_PARTICLES and hot.mean() <= MOST_HOT:
            return threshold, int(hot.sum())
    return 255, 0


def _particles(
    raw: Sequence[Pixels], white: Sequence[Pixels], threshold: int, ground: Floats, bright_field: bool
) -> tuple[Floats, float]:
    """Brightness of particles by cell above the ground (NaN where there are few), and what is saturated."""
    height, width = white[0].shape
    greys: list[list[list[Floats]]] = [[[] for _ in range(COLUMNS)] for _ in range(ROWS)]
    pixels = saturated = 0
    for frame, as_given in zip(white, raw, strict=True):
        found = segment(frame, threshold)
        if bright_field:
            pixels += as_given.size
            saturated += int(np.count_nonzero(as_given == 255))
        else:
            pixels += int(found.area_px.sum())
            saturated += int(np.count_nonzero(as_given == 255))
        large = found.area_px >= LEAST_AREA_PX
        row = (found.y_px + found.height_px // 2)[large] * ROWS // height
        column = (found.x_px + found.width_px // 2)[large] * COLUMNS // width
        grey = found.mean_grey[large]
        for r in range(ROWS):
            for c in range(COLUMNS):
                greys[r][c].append(grey[(row == r) & (column == c)])
    joined = [[np.sort(np.concatenate(cell))[::-1] for cell in line] for line in greys]
    # Where light is dim the faintest are not seen: the same number of the brightest is compared everywhere.
    n = max(LEAST_PER_CELL, min(len(v) for line in joined for v in line) // 2)
    middle = np.array(
        [[float(np.median(v[:n])) if len(v) >= LEAST_PER_CELL else math.nan for v in line] for line in joined]
    )
    return middle - ground, saturated / max(1, pixels)


def judge_light(light: Light, *, bright_field: bool) -> list[str]:
    """What somebody should look at, in sentences; raises `InputError` for light that nobody should use."""
    even = light.evenness(bright_field=bright_field)
    if even < LEAST_EVEN:
        raise InputError(
            f"is {100 * even:.0f} % of the brightest in the dimmest part of the view",
            field="light",
            remedy="align the lamps; sizes and counts would differ from one side to the other",
        )
    if light.saturated > MOST_SATURATED:
        raise InputError(
            f"is so strong that {100 * light.saturated:.0f} % of the pixels looked at are white",
            field="light",
            remedy="shorten the exposure or lower the gain",
        )
    remarks = []
    if even < GOOD_EVEN:
        remarks.append(
            f"The dimmest part of the view has {100 * even:.0f} % of the brightest: align the lamps."
        )
    if math.isnan(even):
        remarks.append("Too few particles to compare the parts of the view: record more of them.")
    if light.saturated > GOOD_SATURATED:
        remarks.append(
            f"{100 * light.saturated:.0f} % of the pixels looked at are white: less light would do."
        )
    if not light.n_unlit:
        remarks.append("No unlit frames: the threshold is that of lit frames alone.")
    if light.hot_pixels:
        remarks.append(f"{light.hot_pixels} hot pixels were left out; `mask_dirt` leaves them out at sea.")
    return remarks
