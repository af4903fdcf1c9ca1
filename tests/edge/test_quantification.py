"""Corrected counts are nearer to the truth than raw ones, and their intervals hold it."""

from __future__ import annotations

import numpy as np
import pytest

from edge.quantification import (
    LEVEL,
    LIMIT,
    correct_counts,
    count_from_scores,
    em_prevalence,
    shrink_rows,
)

pytestmark = pytest.mark.board

N_TAXA = 6
EVEN = np.full(N_TAXA, 1 / N_TAXA)


def water(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """True taxa of n objects at a random prevalence, and calibrated scores (under an even prior) of each."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(N_TAXA, n, p=rng.dirichlet(np.ones(N_TAXA)))
    # Gaussian classes in a plane: the exact posterior is known.
    angle = 2 * np.pi * np.arange(N_TAXA) / N_TAXA
    centres = 1.6 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    seen = centres[truth] + rng.normal(0, 1, (n, 2))
    log = -((seen[:, None] - centres) ** 2).sum(axis=2) / 2
    scores = np.exp(log - log.max(axis=1, keepdims=True))
    return truth, scores / scores.sum(axis=1, keepdims=True)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).sum() / (one.sum() + other.sum()))


def confusion(seed: int = 99, n: int = 4000) -> np.ndarray:
    """Held-back images by taxon and decision, with an `unclassified` where the highest score is low."""
    truth, scores = water(seed, n)
    even = np.random.default_rng(seed).permutation(n)
    decided = np.where(scores.max(axis=1) < 0.45, N_TAXA, scores.argmax(axis=1))[even]
    matrix = np.zeros((N_TAXA, N_TAXA + 1), dtype=np.int64)
    np.add.at(matrix, (truth[even], decided), 1)
    return matrix


def test_counts_from_scores_are_nearer_than_answers_and_their_intervals_hold():
    gains, held = [], []
    for seed in range(25):
        truth, scores = water(seed, 100)
        true = np.bincount(truth, minlength=N_TAXA)
        found = count_from_scores(scores, EVEN, EVEN)
        assert found.count.sum() == 100
        assert (found.low <= found.count).all()
        assert (found.count <= found.high).all()
        raw = np.bincount(scores.argmax(axis=1), minlength=N_TAXA)
        gains.append(distance(raw, true) - distance(found.count, true))
        held += ((found.low <= true) & (true <= found.high)).tolist()
    assert np.mean(gains) > 0.02
    assert LEVEL - 0.08 < np.mean(held) <= 1


def test_counts_from_decisions_are_no_farther_than_the_decisions_and_hold():
    matrix, gains, held = confusion(), [], []
    for seed in range(25):
        truth, scores = water(seed, 200)
        true = np.bincount(truth, minlength=N_TAXA)
        decided = np.where(scores.max(axis=1) < 0.45, N_TAXA, scores.argmax(axis=1))
        counts = np.bincount(decided, minlength=N_TAXA + 1)
        found = correct_counts(counts, matrix, EVEN)
        assert found.count.sum() == 200
        gains.append(distance(counts[:N_TAXA], true) - distance(found.count, true))
        held += ((found.low <= true) & (true <= found.high)).tolist()
    assert np.mean(gains) > 0.02
    assert LEVEL - 0.08 < np.mean(held) <= 1


def test_the_same_scores_give_the_same_counts_and_nothing_gives_nothing():
    _, scores = water(3, 50)
    one, same = (count_from_scores(scores, EVEN, EVEN) for _ in range(2))
    np.testing.assert_array_equal(one.count, same.count)
    np.testing.assert_array_equal(one.high, same.high)
    none = count_from_scores(scores[:0], EVEN, EVEN)
    assert none.count.tolist() == [0] * N_TAXA
    assert none.high.tolist() == [0] * N_TAXA
    nothing = correct_counts(np.zeros(N_TAXA + 1, dtype=np.int64), confusion(), EVEN)
    assert nothing.count.tolist() == [0] * N_TAXA


def test_of_many_objects_a_sample_is_looked_at_and_the_intervals_hold_all():
    held, errors = [], []
    for seed in range(20):
        n = 7 * LIMIT + seed
        truth, scores = water(seed, n)
        true = np.bincount(truth, minlength=N_TAXA)
        found = count_from_scores(scores, EVEN, EVEN)
        assert found.count.sum() == n
        assert (found.low >= 0).all()
        assert (found.low <= found.count).all()
        assert (found.count <= found.high).all()
        assert (found.high <= n).all()
        held += ((found.low <= true) & (true <= found.high)).tolist()
        errors.append(distance(found.count, true))
    assert LEVEL - 0.1 < np.mean(held) <= 1  # 120 intervals: one standard error is 0.03
    assert np.mean(errors) < 0.04


def test_the_drawing_itself_is_in_the_intervals():
    """Scores that are certain leave nothing open but which objects were drawn."""
    held, widths = [], []
    for seed in range(20):
        truth, _ = water(seed, 5 * LIMIT)
        certain = np.eye(N_TAXA)[truth]
        true = np.bincount(truth, minlength=N_TAXA)
        found = count_from_scores(certain, EVEN, EVEN)
        held += ((found.low <= true) & (true <= found.high)).tolist()
        widths.append((found.high - found.low).max())
        exact = count_from_scores(certain[:LIMIT], EVEN, EVEN)
        assert exact.count.tolist() == np.bincount(truth[:LIMIT], minlength=N_TAXA).tolist()
        assert exact.low.tolist() == exact.count.tolist() == exact.high.tolist()
    assert LEVEL - 0.1 < np.mean(held) < 1
    assert 0 < max(widths) < 0.03 * 5 * LIMIT + 100


def test_which_objects_are_drawn_depends_on_the_seed_alone():
    _, scores = water(5, LIMIT + 500)
    one, same, other = (count_from_scores(scores, EVEN, EVEN, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.count, same.count)
    np.testing.assert_array_equal(one.low, same.low)
    assert one.count.tolist() != other.count.tolist()
    assert one.count.sum() == other.count.sum() == LIMIT + 500


def test_em_finds_the_prevalence_of_many_objects():
    truth, scores = water(11, 20_000)
    true = np.bincount(truth, minlength=N_TAXA) / len(truth)
    found = em_prevalence(scores)
    assert found.sum() == pytest.approx(1)
    assert np.abs(found - true).max() < 0.02
    assert em_prevalence(scores[:3], pseudo_count=0.5).min() > 0


def test_rare_rows_are_shrunk_to_the_shape_of_all():
    matrix = confusion()
    matrix[2] = 0
    rows = shrink_rows(matrix)
    assert rows.shape == matrix.shape
    assert (rows > 0).all()
    assert rows[2].argmax() == 2
