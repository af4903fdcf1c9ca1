"""Scores, temperature and thresholds, on answers whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from edge.inference.classifier import softmax
from edge.taxonomy import Taxon, build_tree
from training.evaluate import (
    HIGHEST_THRESHOLD,
    calibration_error,
    choose_thresholds,
    class_table,
    confusion_matrix,
    fit_temperature,
    score_logits,
    summarize,
)


def honest(n: int, k: int, seed: int, sharpness: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the very chance of each label, and labels drawn from it."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, sharpness, (n, k))
    chance = softmax(logits).astype(np.float64).cumsum(axis=1)
    labels = (rng.random((n, 1)) > chance).sum(axis=1).clip(0, k - 1)
    return logits, labels


def test_confusion_by_hand():
    matrix = confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 3]), 3, 4)
    assert matrix.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]


def test_scores_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    logits, labels = honest(400, 6, 1)
    answers = logits.argmax(axis=1)
    scores = score_logits(logits, labels)
    assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(labels, answers))
    assert scores["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(labels, answers))
    assert scores["macro_f1"] == pytest.approx(metrics.f1_score(labels, answers, average="macro"))


def test_a_class_without_images_does_not_count():
    assert summarize(np.array([[4, 0, 0], [0, 2, 2], [0, 0, 0]]))["balanced_accuracy"] == 0.75


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_was_put_in_comes_out(temperature):
    logits, labels = honest(20_000, 5, 2)
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.05)


def test_calibration_error():
    logits, labels = honest(20_000, 5, 3)
    assert calibration_error(softmax(logits), labels) < 0.02
    assert calibration_error(softmax(logits * 5), labels) > 0.1
    assert calibration_error(np.array([[1.0, 0.0]] * 4), np.zeros(4, dtype=np.int64)) == 0


def test_thresholds_give_the_wanted_precision_to_taxa_and_parents():
    logits, labels = honest(8000, 5, 4, 1.2)
    scores = softmax(logits)
    tree = build_tree(
        [Taxon(label=str(i), parent="P" if i < 2 else None) for i in range(5)], [Taxon(label="P")]
    )
    thresholds = choose_thresholds(scores, labels, tree, 0.75)
    assert len(thresholds) == 6
    decided = tree.decide(scores, thresholds)
    for taxon in range(5):
        chosen = decided == taxon
        assert chosen.sum() > 100
        assert (labels[chosen] == taxon).mean() >= 0.73
    assert 0.05 < (decided == 6).mean() < 0.8


def test_a_precision_that_is_there_already_needs_no_threshold():
    logits, labels = honest(3000, 4, 5, 6.0)
    tree = build_tree([Taxon(label=str(i)) for i in range(4)])
    assert choose_thresholds(softmax(logits), labels, tree, 0.3) == (0.0,) * 4


def test_one_that_cannot_be_had_still_lets_the_surest_stand():
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 4, 1000)
    scores = softmax(rng.normal(0, 3, (1000, 4)))  # knows nothing
    tree = build_tree([Taxon(label=str(i)) for i in range(4)])
    thresholds = choose_thresholds(scores, labels, tree, 0.9)
    assert set(thresholds) == {HIGHEST_THRESHOLD}
    assert (tree.decide(scores, thresholds) < 4).any()


def test_a_taxon_hardly_ever_answered_gets_the_threshold_of_all():
    logits, labels = honest(4000, 4, 7, 1.5)
    logits[:, 3] = -9.0
    logits[:3, 3] = 9.0
    tree = build_tree([Taxon(label=str(i)) for i in range(4)])
    thresholds = choose_thresholds(softmax(logits), labels, tree, 0.7)
    assert min(thresholds[:3]) - 0.1 < thresholds[3] < max(thresholds[:3]) + 0.1


def test_table():
    table = class_table(np.array([[3, 1], [0, 0]]), ["A", "B"], np.array([9, 8]))
    assert "| A | 9 | 4 | 0.75 | 1.00 |" in table
    assert "| B | 8 | 0 | - | 0.00 |" in table
