"""Is a frame worth segmenting, and were its particles in focus? Pure.

Over-exposed and dark frames are recognised before anything is segmented (the UVP6's habit), so that a bright
frame costs little; blur needs the particles. Integers until the last division: every CPU judges alike.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.config import VisionConfig
from edge.frame import FrameOutcome
from edge.optics import Polarity
from edge.vision.segmentation import Foreground, Regions
from edge.vision.vignette import window

SHARPNESS_PARTICLES = 9
"""The sharpness of a frame is the median of so many of its largest particles."""
SHARPNESS_MIN_AREA_PX = 40
"""Smaller particles have no edge to speak of and are not looked at."""
NOISE_PX = 100
"""Pixels that noise may light in a frame: by chance they seldom make a particle of more than two."""
_SATURATED = 255
_EVERY = 8  # rows looked at when a whole frame's grey is judged


def judge_exposure(
    raw: NDArray[np.uint8], foreground: Foreground, config: VisionConfig, polarity: Polarity
) -> FrameOutcome | None:
    """Judge a lit frame before it is segmented.

    Parameters
    ----------
    raw
        uint8 (height, width), as the camera gave it, before polarity and background.
    foreground
        Of the frame made white on black.
    config, polarity
        The limits (see `VisionConfig`), and what `raw` looks like.

    Returns
    -------
    FrameOutcome or None
        DARK, OVER_EXPOSED, or None when the frame can be segmented. DARK comes first: in bright field a frame
        without light is foreground all over.
    """
    sample = raw[::_EVERY]
    dark = polarity == Polarity.BRIGHT_FIELD or not foreground.area_px
    if dark and config.dark_mean_grey > 0 and cv2.mean(sample)[0] <= config.dark_mean_grey:
        return FrameOutcome.DARK
    if foreground.fraction > config.over_exposed_fraction:
        return FrameOutcome.OVER_EXPOSED
    untouched = polarity == Polarity.DARK_FIELD and foreground.pixels is raw
    if not untouched:
        # Light without end is a black frame after inversion, and is its own background after a while.
        saturated = int(np.count_nonzero(sample == _SATURATED))
        if saturated > config.saturated_fraction * sample.size:
            return FrameOutcome.OVER_EXPOSED
    return None


def mean_grey_centi(raw: NDArray[np.uint8]) -> int:
    """Mean grey of every eighth row of a frame, as the camera gave it, hundredths of a grey level."""
    sample = raw[::_EVERY]
    return round(100 * int(cv2.sumElems(sample)[0]) / sample.size)


def noise_threshold(white: NDArray[np.uint8]) -> int:
    """Lowest threshold above which an unlit frame has at most `NOISE_PX` pixels, 0 to 255.

    What is above the threshold without light is the sensor's noise, hot pixels, or light from outside.

    Parameters
    ----------
    white
        uint8 (height, width), white on black, without its background.
    """
    counts = np.bincount(white.ravel(), minlength=256)
    above = counts[::-1].cumsum()[::-1] - counts
    return int(np.flatnonzero(above <= NOISE_PX)[0])


def judge_focus(sharp: float | None, config: VisionConfig) -> FrameOutcome | None:
    """BLURRED when the `sharpness` of a frame is known and below the limit, else None.

    The limit is `VisionConfig.blur_sharpness`; 0 lets everything pass.
    """
    return FrameOutcome.BLURRED if sharp is not None and sharp < config.blur_sharpness else None


def sharpness(pixels: NDArray[np.uint8], regions: Regions) -> float | None:
    """Sharpness of a frame's larger particles, 0 to 1, or None when it has none.

    The median (the lower of two) of the largest `SHARPNESS_PARTICLES` particles of at least
    `SHARPNESS_MIN_AREA_PX`.
    """
    large = np.flatnonzero(regions.area_px >= SHARPNESS_MIN_AREA_PX)
    if not large.size:
        return None
    large = large[np.argsort(-regions.area_px[large], kind="stable")][:SHARPNESS_PARTICLES]
    values = sorted(particle_sharpness(pixels, regions, int(i)) for i in large)
    return values[(len(values) - 1) // 2]


def particle_sharpness(pixels: NDArray[np.uint8], regions: Regions, i: int) -> float:
    """How steep the edge of a particle is for its contrast, 0 to 1.

    sum(d**2) / (contrast * sum(abs(d))), d the differences of neighbouring pixels (in rows and in columns) of
    which at least one belongs to the particle, contrast the largest grey in its window less the smallest.
    An edge from dark to bright in one step gives 1, one blurred with a Gaussian of sigma px about
    1 / (2 * sqrt(pi) * sigma); texture within the particle lowers it.
    """
    left, top, width, height = window(pixels.shape, regions, i, 1)
    grey = pixels[top : top + height, left : left + width].astype(np.int32)
    inside = np.zeros((height, width), dtype=np.bool_)
    y, x = int(regions.y_px[i]) - top, int(regions.x_px[i]) - left
    inside[y : y + int(regions.height_px[i]), x : x + int(regions.width_px[i])] = regions.mask(i)
    across = np.abs(grey[:, 1:] - grey[:, :-1])[inside[:, 1:] | inside[:, :-1]]
    down = np.abs(grey[1:] - grey[:-1])[inside[1:] | inside[:-1]]
    steps = int(across.sum()) + int(down.sum())
    contrast = int(grey.max()) - int(grey.min())
    if not steps or not contrast:
        return 0.0
    energy = int((across * across).sum(dtype=np.int64)) + int((down * down).sum(dtype=np.int64))
    return energy / (contrast * steps)
