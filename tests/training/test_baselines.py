"""What learns from hand-made features learns, and does so the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from training.baselines import LEARNING, fit_boosted_trees, fit_forest
from training.drawn import KINDS
from training.drawn_set import drawn_vignette
from training.hand_features import feature_table


def drawn(kinds=("sphere", "fibre", "aggregate"), n=30, seed=1) -> tuple[list[np.ndarray], np.ndarray]:
    """Vignettes and labels: n of each kind."""
    pixels = []
    for kind in kinds:
        for i in range(n):
            rng = np.random.default_rng((seed, KINDS.index(kind), i))
            pixels.append(drawn_vignette(kind, rng, rng.uniform(10, 40)))
    return pixels, np.repeat(np.arange(len(kinds)), n)


@pytest.fixture(scope="module")
def data():
    return drawn()


@pytest.fixture(scope="module")
def table(data):
    return feature_table(data[0], 21)


def test_the_settings_are_those_of_uvpec():
    assert LEARNING == {
        "eta": 0.2, "max_depth": 5, "subsample": 0.75, "objective": "multi:softprob", "tree_method": "hist",
    }  # fmt: skip


def test_boosted_trees_learn_and_repeat(data, table):
    pytest.importorskip("xgboost", reason="needs the train extra")
    test = feature_table(drawn(seed=2)[0], 21)
    trees, again, other = (fit_boosted_trees(table, data[1], 4, s, max_rounds=30) for s in (1, 1, 2))
    scores = trees.predict_proba(test)
    assert scores.shape == (90, 4)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert (scores.argmax(axis=1) == data[1]).mean() > 0.8
    np.testing.assert_array_equal(again.predict_proba(test), scores)
    assert not np.array_equal(other.predict_proba(test), scores)
    assert 1 <= trees.rounds <= 30
    assert trees.rounds == again.rounds
    assert trees.size_bytes > 1000
    np.testing.assert_allclose(trees.predict_proba(test[:1]), scores[:1])


def test_weights_favour_the_rare_class():
    pytest.importorskip("xgboost", reason="needs the train extra")
    rng = np.random.default_rng(5)
    labels = (np.arange(300) < 20).astype(np.int64)  # class 1 is rare, and the two overlap
    features = rng.normal(labels[:, np.newaxis] * 1.0, 1.0, (300, 3)).astype(np.float32)
    plain, weighted = (
        fit_boosted_trees(features, labels, 2, 1, weight_power=w, max_rounds=20) for w in (0, 1)
    )
    new = rng.normal(1.0, 1.0, (200, 3)).astype(np.float32)
    rare = [trees.predict_proba(new)[:, 1].mean() for trees in (plain, weighted)]
    assert rare[1] > rare[0] + 0.1


@pytest.mark.parametrize("components", [0, 5, 500])
def test_a_forest_learns_and_repeats(data, table, components):
    pytest.importorskip("sklearn", reason="needs the train extra")
    test = feature_table(drawn(seed=2)[0], 21)
    labels = np.where(data[1] == 2, 3, data[1])  # no image of class 2
    forest, again, other = (
        fit_forest(table, labels, 4, s, components=components, trees=20) for s in (1, 1, 2)
    )
    scores = forest.predict_proba(test)
    assert scores.shape == (90, 4)
    assert not scores[:, 2].any()
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert (scores.argmax(axis=1) == labels).mean() > 0.6
    np.testing.assert_array_equal(again.predict_proba(test), scores)
    assert not np.array_equal(other.predict_proba(test), scores)
    assert forest.size_bytes > 20 * 24
