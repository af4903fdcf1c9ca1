"""What is fitted to one half is measured on the other."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge.inference.classifier import evidence
from edge.taxonomy import Taxon, build_tree
from training.calibration import Calibration, Counting, calibrate, cross_judge, decision_scores, halves, judge
from training.evaluate import HeldBack, fit_temperature

TREE = build_tree(
    [Taxon(label="Calanus", parent="Copepod"), Taxon(label="Oithona", parent="Copepod"), Taxon(label="Snow")],
    [Taxon(label="Copepod")],
)
COUNTING = Counting((0, 1, 2, 2), TREE)


def some(n: int = 400, seed: int = 1) -> HeldBack:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    logits = rng.normal(0, 1.5, (n, 4))
    logits[np.arange(n), labels] += 2
    return HeldBack(logits, None, labels, tuple(f"group {i // 5}" for i in range(n)))


def test_halves_are_of_groups_and_never_change():
    groups = [f"group {i // 3}" for i in range(300)]
    second = halves(groups)
    assert 0.3 < second.mean() < 0.7
    assert all(len(set(second[i : i + 3])) == 1 for i in range(0, 300, 3))
    np.testing.assert_array_equal(halves(groups[::-1]), second[::-1])
    assert halves(["a", "b", "c", "d", "e"]).tolist() == [True, True, False, False, False]


def test_an_image_never_speaks_in_its_own_cause():
    held_back = some()
    second = halves(held_back.groups)
    before = cross_judge(held_back, COUNTING, precision=0.8)
    assert before.crossed
    rng = np.random.default_rng(2)
    scrambled = held_back.labels.copy()
    scrambled[second] = rng.integers(0, 4, second.sum())
    after = cross_judge(dataclasses.replace(held_back, labels=scrambled), COUNTING, precision=0.8)
    for name in ("scores", "taxon_scores", "evidence", "decisions"):
        # Fitted to the others, which did not change.
        one, other = getattr(before.answers, name), getattr(after.answers, name)
        np.testing.assert_array_equal(one[second], other[second])
    assert not np.array_equal(before.answers.scores[~second], after.answers.scores[~second])


def test_halves_are_put_together_in_order():
    held_back = some(90, 3)
    second = halves(held_back.groups)
    judged = cross_judge(held_back, COUNTING, precision=0.7)
    for half in (second, ~second):
        fitted = calibrate(
            held_back.int8_logits[~half], held_back.labels[~half], COUNTING, precision=0.7, keep=0.98
        )
        alone = judge(held_back.int8_logits[half], fitted, COUNTING)
        np.testing.assert_array_equal(judged.answers.decisions[half], alone.answers.decisions)
        np.testing.assert_array_equal(judged.answers.taxon_scores[half], alone.answers.taxon_scores)
        np.testing.assert_array_equal(judged.rejected[half], alone.rejected)


def test_one_group_cannot_be_crossed():
    held_back = dataclasses.replace(some(50), groups=("only",) * 50)
    judged = cross_judge(held_back, COUNTING, precision=0.7)
    assert not judged.crossed
    assert len(judged.answers.scores) == 50


def test_a_threshold_chosen_by_luck_is_found_out():
    """Of a model that knows nothing, fitting to the very images seems to give some precision."""
    rng = np.random.default_rng(5)
    n, counting = 60, Counting(range(4), build_tree([Taxon(label=str(i)) for i in range(4)]))
    flattered, honest = [], []
    for _ in range(20):
        labels = rng.integers(0, 4, n)
        held_back = HeldBack(rng.normal(0, 3, (n, 4)), None, labels, tuple(str(i) for i in range(n)))
        fitted = calibrate(held_back.int8_logits, labels, counting, precision=0.5)
        same = decision_scores(judge(held_back.int8_logits, fitted, counting), labels, counting)
        crossed = cross_judge(held_back, counting, precision=0.5)
        flattered.append(same["decided_precision"])
        honest.append(decision_scores(crossed, labels, counting)["decided_precision"])
    assert np.mean(flattered) > np.mean(honest) + 0.02


def test_fitting():
    held_back = some(2000)
    fitted = calibrate(held_back.int8_logits, held_back.labels, COUNTING, precision=0.9, keep=0.95)
    assert fitted.temperature == fit_temperature(held_back.int8_logits, held_back.labels)
    assert len(fitted.thresholds) == 4
    judged = judge(held_back.int8_logits, fitted, COUNTING)
    assert judged.rejected.mean() == pytest.approx(0.05, abs=0.002)
    assert (judged.answers.decisions[judged.rejected] == COUNTING.unclassified).all()
    named = judged.answers.decisions < 3
    taxa = COUNTING.taxa_of(held_back.labels)
    assert (judged.answers.decisions[named] == taxa[named]).mean() > 0.88
    np.testing.assert_array_equal(
        judged.answers.evidence, evidence(held_back.int8_logits, fitted.temperature)
    )


def test_nothing_is_rejected_without_a_limit():
    judged = judge(np.zeros((3, 4)), Calibration(1.0, (0.0,) * 4, None), COUNTING)
    assert not judged.rejected.any()
    assert judged.answers.decisions.tolist() == [2, 2, 2]  # two classes of a quarter each are snow


def test_decision_scores_by_hand():
    logits = np.log(
        [
            [0.90, 0.04, 0.03, 0.03],  # a sure Calanus
            [0.50, 0.46, 0.02, 0.02],  # an unsure one: a copepod
            [0.10, 0.30, 0.35, 0.25],  # snow of two classes
            [0.30, 0.28, 0.22, 0.20],  # nothing
        ]
    )
    judged = judge(logits, Calibration(1.0, (0.7, 0.7, 0.55, 0.8), None), COUNTING)
    assert [TREE.counted[i].label for i in judged.answers.decisions] == [
        "Calanus", "Copepod", "Snow", "unclassified"
    ]  # fmt: skip
    scores = decision_scores(judged, np.array([0, 1, 0, 2]), COUNTING)
    assert scores == {
        "taxon_accuracy": 0.5,
        "taxon_balanced_accuracy": pytest.approx((0.5 + 0 + 1) / 3),
        "unclassified": 0.25,
        "rejected": 0.0,
        "decided_precision": pytest.approx(2 / 3),
    }
