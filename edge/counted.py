"""A frame that another instrument has counted: its particles by area, and pictures of the larger ones. Pure.

A UVP6 keeps no frames, but histograms and vignettes: they replay as a dive without segmentation. Counts are
taken as they stand; only what is in a picture is measured and named here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.frame import FrameOutcome
from edge.profile import EMPTY_HISTOGRAM, AreaHistogram


@dataclass(frozen=True, slots=True)
class Counted:
    """What stands in the place of a frame's pixels.

    Attributes
    ----------
    outcome
        What became of the frame there: ANALYSED, EMPTY, UNLIT or OVER_EXPOSED.
    histogram
        Its particles of all sizes; of an unlit frame, its noise.
    vignettes
        Pictures of particles, each uint8 (height, width), white on black; the largest particle of each is
        meant.
    """

    outcome: FrameOutcome
    histogram: AreaHistogram = EMPTY_HISTOGRAM
    vignettes: tuple[NDArray[np.uint8], ...] = ()
