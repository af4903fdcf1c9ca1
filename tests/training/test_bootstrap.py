"""Intervals: the same as drawing group after group by hand, and as wide as they must be."""

from __future__ import annotations

import numpy as np
import pytest

from training.bootstrap import SEED, Groups, class_rates, draw, interval, score_intervals
from training.evaluate import confusion_matrix, summarize


def answered(n: int, k: int, seed: int, right: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    return labels, np.where(rng.random(n) < right, labels, rng.integers(0, k, n))


def test_scores_of_each_draw_are_those_of_its_images():
    labels, answers = answered(60, 5, 1)
    names = [f"group {i % 7}" for i in range(60)]
    groups = Groups(names, draws=30)
    drawn = draw(labels, answers, 5, groups).scores()
    chosen = np.random.default_rng(SEED).integers(0, 7, (30, 7))
    for i, these in enumerate(chosen):
        images = np.concatenate([np.flatnonzero(groups.codes == group) for group in these])
        wanted = summarize(confusion_matrix(labels[images], answers[images], 5, 5))
        assert {name: values[i] for name, values in drawn.items()} == pytest.approx(wanted)


def test_draws_come_in_blocks_and_are_the_same_each_time():
    labels, answers = answered(40, 3, 2)
    groups = Groups([str(i) for i in range(40)], draws=250)
    one, other = draw(labels, answers, 3, groups), draw(labels, answers, 3, groups)
    assert one.hits.shape == (250, 3)
    np.testing.assert_array_equal(one.hits, other.hits)
    np.testing.assert_array_equal(one.true.sum(axis=1), 40)


def test_nine_of_ten_intervals_hold_the_truth():
    held = 0
    for seed in range(150):
        labels, answers = answered(150, 2, 1000 + seed, right=0.6)  # and half of the rest by chance: 0.8
        groups = Groups([str(i) for i in range(150)], draws=300, seed=seed)
        low, high = score_intervals(draw(labels, answers, 2, groups))["accuracy"]
        held += low <= 0.8 <= high
    assert 0.85 <= held / 150 <= 0.98


def test_images_that_are_alike_make_it_wider():
    rng = np.random.default_rng(5)
    right = np.repeat(rng.random(40) < 0.7, 25)
    labels = np.zeros(1000, dtype=np.int64)
    answers = np.where(right, 0, 1)

    def width(names):
        low, high = score_intervals(draw(labels, answers, 2, Groups(names)))["accuracy"]
        return high - low

    alone = width([str(i) for i in range(1000)])
    together = width([str(i // 25) for i in range(1000)])
    assert together == pytest.approx(5 * alone, rel=0.25)  # the root of 25


def test_rates_of_classes():
    labels = np.array([0] * 20 + [1] * 4 + [2] * 6 + [3] * 2)
    answers = np.array([0] * 12 + [1] * 8 + [1] * 4 + [4] * 6 + [3] * 2)
    names = [str(i // 2) for i in range(30)] + ["last", "last"]
    groups = Groups(names)
    confusion = confusion_matrix(labels, answers, 5, 5)
    recall, precision = class_rates(confusion, draw(labels, answers, 5, groups))
    np.testing.assert_allclose(recall.rate, [0.6, 1, 0, 1, np.nan])
    np.testing.assert_allclose(precision.rate, [1, 4 / 12, np.nan, 1, 0])
    assert recall.low[0] < 0.6 < recall.high[0]
    # Two groups, all right: the bound says how little that proves; so do three groups without a hit.
    assert recall.low[1] == pytest.approx(0.05 ** (1 / 2))
    assert recall.high[1] == 1
    assert recall.high[2] == pytest.approx(1 - 0.05 ** (1 / 3))
    # One group alone proves nothing, and no image even less.
    assert np.isnan([recall.low[3], recall.high[3], recall.low[4], precision.low[2]]).all()
    assert precision.low[4] == 0


def test_interval_is_the_middle_of_the_draws():
    assert interval(np.arange(101.0)) == pytest.approx((5.0, 95.0))
