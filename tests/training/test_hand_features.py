"""Hand-made features are the instrument's own measures, above the threshold that suits them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.optics import Optics
from edge.vision.morphology import UVP6_FEATURES, measure
from tests.training.test_baselines import drawn
from training.hand_features import THRESHOLDS, choose_threshold, feature_table, hand_features


def test_features_are_the_measures_of_the_largest_region():
    optics = Optics(pixel_um=73.0, image_volume_l=0.7, threshold=21)
    for vignette in drawn()[0][::7]:
        n, marked, stats, _ = cv2.connectedComponentsWithStats((vignette > 21).astype(np.uint8))
        assert n > 1
        i = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
        x, y, width, height = stats[i, :4]
        window = np.s_[y : y + height, x : x + width]
        expected = measure(marked[window] == i, vignette[window], 0, 0, optics)[:UVP6_FEATURES]
        np.testing.assert_array_equal(hand_features(vignette, 21), expected)


def test_the_larger_of_two_regions_counts_and_the_first_of_equals():
    vignette = np.zeros((20, 30), dtype=np.uint8)
    vignette[2:5, 2:5], vignette[10:15, 10:14] = 200, 90
    assert hand_features(vignette, 21)[[0, 3]].tolist() == [20, 90]
    vignette[10:15, 10:14] = 0
    vignette[12:15, 20:23] = 90
    assert hand_features(vignette, 21)[[0, 3]].tolist() == [9, 200]


def test_nothing_above_the_threshold_gives_zeros():
    assert not hand_features(np.full((9, 9), 21, dtype=np.uint8), 21).any()
    table = feature_table([np.full((9, 9), 21, dtype=np.uint8), np.eye(9, dtype=np.uint8) * 90], 21)
    assert table.shape == (2, UVP6_FEATURES)
    assert table.dtype == np.float32
    assert table[:, 0].tolist() == [0, 9]


def test_the_threshold_that_shows_the_difference_is_chosen():
    pytest.importorskip("sklearn", reason="needs the train extra")
    rng = np.random.default_rng(4)
    pixels, labels = [], []
    for i in range(80):  # a bright dot, in every second one with a dim halo of grey 9
        vignette = np.zeros((40, 40), dtype=np.uint8)
        if i % 2:
            cv2.circle(vignette, (20, 20), int(rng.integers(8, 15)), (9,), -1)
        cv2.circle(vignette, (20, 20), int(rng.integers(3, 6)), (int(rng.integers(100, 250)),), -1)
        pixels.append(vignette)
        labels.append(i % 2)
    assert choose_threshold(pixels, np.array(labels), 1) == 7
    assert 7 in THRESHOLDS
