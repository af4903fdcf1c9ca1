"""The UVP6's 55 measures of a vignette's particle, as the incumbents learn from them. Nothing is learnt here.

They are the instrument's own (`edge.vision.morphology`), of the largest region above a threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.optics import Optics
from edge.vision.morphology import UVP6_FEATURES, measure
from edge.vision.segmentation import segment

Pixels = NDArray[np.uint8]
Features = NDArray[np.float32]
Ints = NDArray[np.int64]

THRESHOLDS = (4, 7, 10, 15, 21, 30)
"""Among which `choose_threshold` looks."""
_LOOK_AT, _LOOK_TREES = 1500, 100
_OPTICS = Optics(pixel_um=1.0, image_volume_l=1.0, threshold=0)
"""For `measure`; none of the 55 depends on it."""


def hand_features(vignette: Pixels, threshold: int) -> NDArray[np.float64]:
    """The UVP6's measures of the largest region strictly above the threshold, float64 (55,).

    All 0 where nothing is above it. The first of several largest is taken.
    """
    regions = segment(vignette, threshold)
    if len(regions) == 0:
        return np.zeros(UVP6_FEATURES)
    i = int(regions.area_px.argmax())
    x, y = int(regions.x_px[i]), int(regions.y_px[i])
    grey = vignette[y : y + int(regions.height_px[i]), x : x + int(regions.width_px[i])]
    return measure(regions.mask(i), grey, x, y, _OPTICS)[:UVP6_FEATURES]


def feature_table(pixels: Sequence[Pixels], threshold: int) -> Features:
    """`hand_features` of each of n vignettes, one after the other, float32 (n, 55)."""
    table = np.empty((len(pixels), UVP6_FEATURES), dtype=np.float32)
    for i, vignette in enumerate(pixels):
        table[i] = hand_features(vignette, threshold)
    return table


def choose_threshold(pixels: Sequence[Pixels], labels: Ints, seed: int) -> int:
    """Of `THRESHOLDS`, the one that suits the features best, so that the incumbents run at their best.

    Told by the accuracy of a small forest's trees on images that they were not grown with. The highest of
    equals.

    Parameters
    ----------
    pixels, labels
        Of n training images, uint8 (height, width) each and int64 (n,); at most 1500 are looked at.
    seed
        Of the choice of these, and of the forest.
    """
    from sklearn.ensemble import RandomForestClassifier

    chosen = np.random.default_rng(seed).permutation(len(pixels))[:_LOOK_AT]
    some = [pixels[i] for i in chosen]
    best, found = -1.0, THRESHOLDS[-1]
    for threshold in reversed(THRESHOLDS):
        forest = RandomForestClassifier(_LOOK_TREES, oob_score=True, random_state=seed, n_jobs=1)
        forest.fit(feature_table(some, threshold), labels[chosen])
        if forest.oob_score_ > best:
            best, found = float(forest.oob_score_), threshold
    return found
