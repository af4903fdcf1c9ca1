"""Scores, temperature, thresholds and reject, on answers whose truth is known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from edge.inference.classifier import evidence, softmax
from edge.taxonomy import Taxon, build_tree
from training.evaluate import (
    HIGHEST_THRESHOLD,
    N_BINS,
    HeldBack,
    auroc,
    bray_curtis,
    calibration_error,
    choose_least_evidence,
    choose_thresholds,
    confusion_matrix,
    fit_temperature,
    plain,
    reliability,
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
    precision = metrics.precision_score(labels, answers, average="macro")
    assert scores["mean_precision"] == pytest.approx(precision)


def test_a_class_without_images_does_not_count_and_one_never_answered_has_no_precision():
    metrics = pytest.importorskip("sklearn.metrics")
    matrix = np.array([[4, 0, 0, 1], [0, 2, 2, 0], [0, 0, 0, 0], [3, 1, 0, 0]])
    truth, answers = np.repeat(np.argwhere(matrix + 1), matrix.ravel(), axis=0).T
    options = {"average": "macro", "labels": np.unique(truth), "zero_division": 0}
    scores = summarize(matrix)
    assert scores["balanced_accuracy"] == pytest.approx(metrics.recall_score(truth, answers, **options))
    assert scores["mean_precision"] == pytest.approx(metrics.precision_score(truth, answers, **options))
    assert scores["macro_f1"] == pytest.approx(metrics.f1_score(truth, answers, **options))
    assert set(summarize(np.zeros((3, 3), dtype=np.int64)).values()) == {0.0}


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_was_put_in_comes_out(temperature):
    logits, labels = honest(20_000, 5, 2)
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.05)


def test_calibration_error():
    logits, labels = honest(20_000, 5, 3)
    assert calibration_error(softmax(logits), labels) < 0.02
    assert calibration_error(softmax(logits * 5), labels) > 0.1
    assert calibration_error(np.array([[1.0, 0.0]] * 4), np.zeros(4, dtype=np.int64)) == 0


def test_reliability_by_hand():
    scores = np.array([[0.95, 0.05], [0.95, 0.05], [0.41, 0.59], [1.0, 0.0]])
    n, certain, right = reliability(scores, np.array([0, 1, 1, 0]))
    assert n.tolist() == [0] * 8 + [1] + [0] * 5 + [3]
    assert certain[8] == pytest.approx(0.59)
    assert certain[N_BINS - 1] == pytest.approx((0.95 + 0.95 + 1) / 3)
    assert right[N_BINS - 1] == pytest.approx(2 / 3)
    assert right[8] == 1
    wanted = (abs(1 - 0.59) + 3 * abs(2 / 3 - 2.9 / 3)) / 4
    assert calibration_error(scores, np.array([0, 1, 1, 0])) == pytest.approx(wanted)


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


def test_the_reject_keeps_what_it_must():
    logits, labels = honest(1000, 5, 8)
    seen = evidence(logits, 1.0)
    for keep in (0.9, 0.98, 1.0):
        kept = seen >= choose_least_evidence(seen, keep)
        assert keep <= kept.mean() < keep + 0.005
    assert (seen >= choose_least_evidence(seen)).mean() == pytest.approx(0.98, abs=0.002)
    assert choose_least_evidence(np.array([3.25])) == 3.25
    assert len(labels) == 1000


def test_bray_curtis_of_right_and_of_blind_answers():
    labels = np.repeat(np.arange(4), [5, 50, 500, 1])
    assert bray_curtis(labels, labels) == 0
    # What is always answered takes the place of all others: of flat prevalences three quarters on average.
    assert bray_curtis(labels, np.zeros_like(labels)) == pytest.approx(0.75, abs=0.04)
    assert bray_curtis(labels[labels > 0], np.zeros((labels > 0).sum(), dtype=np.int64)) == 1
    assert bray_curtis(labels[:0], labels[:0]) == 0


def test_bray_curtis_is_that_of_the_counts_drawn_one_by_one():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 5, 300)
    answers = np.where(rng.random(300) < 0.6, labels, rng.integers(0, 6, 300))
    found = bray_curtis(labels, answers)
    assert found == bray_curtis(labels, answers)
    distances = []
    for _ in range(500):
        drawn = rng.choice(5, 100, p=rng.dirichlet(np.ones(5)))
        images = [rng.choice(np.flatnonzero(labels == one)) for one in drawn]
        true, counted = (np.bincount(names, minlength=6) for names in (drawn, answers[images]))
        distances.append(np.abs(true - counted).sum() / (true + counted).sum())
    assert found == pytest.approx(np.mean(distances), abs=4 * np.std(distances) / math.sqrt(200))


def test_auroc_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(4)
    known, unknown = rng.integers(3, 12, 90).astype(np.float32), rng.integers(0, 9, 40).astype(np.float32)
    truth = np.r_[np.ones(90), np.zeros(40)]
    wanted = metrics.roc_auc_score(truth, np.r_[known, unknown])
    assert auroc(known, unknown) == pytest.approx(wanted)
    assert auroc(known + 20, unknown) == 1
    assert auroc(unknown, unknown) == 0.5


def test_numbers_for_json_are_plain_and_finite():
    given = {
        "a": np.float32(0.123456),
        3: np.array([[1, 2]]),
        "b": (math.nan, np.inf, True, None, "x"),
        "c": np.int8(4),
    }
    assert plain(given) == {"a": 0.1235, "3": [[1, 2]], "b": [None, None, True, None, "x"], "c": 4}
    assert json.loads(json.dumps(plain(given), allow_nan=False))
    assert plain({"a": 0.123456}, 2) == {"a": 0.12}


def test_held_back_knows_its_size():
    found = HeldBack(np.zeros((3, 7)), None, np.zeros(3, dtype=np.int64), ("a", "a", "b"))
    assert (len(found), found.n_classes) == (3, 7)
