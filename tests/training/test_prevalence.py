"""Counts in water unlike the images, by a model whose exact posterior is known."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from edge.taxonomy import Taxon, build_tree
from training.calibration import Counting
from training.count_table import METHODS, RAW, as_facts, choose_method
from training.evaluate import HeldBack
from training.prevalence import DOMINANT, REGIMES, draw_prevalence, fit_implied, study

N_TAXA = 5
TREE = build_tree(
    [Taxon(label="Calanus", parent="Copepod"), Taxon(label="Oithona", parent="Copepod")]
    + [Taxon(label=label) for label in ("Snow", "Rhizaria", "Jelly")],
    [Taxon(label="Copepod")],
)
COUNTING = Counting(range(N_TAXA), TREE)
IMAGES = np.array([0.1, 0.2, 0.4, 0.2, 0.1])
TAUGHT = np.array([0.4, 0.2, 0.1, 0.1, 0.2])


def posteriors(n: int, images, taught, seed: int, spread: float = 1.6) -> tuple[np.ndarray, np.ndarray]:
    """Exact log-posteriors at the prevalence `taught` of n images drawn at the prevalence `images`."""
    rng = np.random.default_rng(seed)
    k = len(images)
    labels = rng.choice(k, n, p=images)
    angle = 2 * np.pi * np.arange(k) / k
    centres = spread * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    seen = centres[labels] + rng.normal(0, 1, (n, 2))
    log = np.log(taught) - ((seen[:, None] - centres) ** 2).sum(axis=2) / 2
    return log - np.log(np.exp(log).sum(axis=1, keepdims=True)), labels


def held_back(n: int = 1500, seed: int = 1) -> HeldBack:
    logits, labels = posteriors(n, IMAGES, TAUGHT, seed)
    return HeldBack(logits, None, labels, tuple(f"cast {i % 30}" for i in range(n)))


@pytest.fixture(scope="module")
def found():
    return study(
        held_back(), COUNTING, precision=0.7, regimes=("flat", "dominated"), sizes=(100,), splits=2, draws=4
    )


@pytest.mark.parametrize(
    ("images", "taught", "spread"),
    [
        (IMAGES, TAUGHT, 1.6),
        (IMAGES, np.full(N_TAXA, 0.2), 1.6),  # classes balanced in training
        (IMAGES, IMAGES, 1.6),
        (np.array([0.9, 0.1]), np.array([0.5, 0.5]), 0.8),  # two taxa, much alike
        (np.array([0.9, 0.1]), np.array([0.2, 0.8]), 2.0),
    ],
)
def test_the_prevalence_that_scores_imply_is_found(images, taught, spread):
    log, labels = posteriors(20_000, images, taught, 7, spread)
    implied, usual = fit_implied(np.exp(log), labels)
    assert implied.sum() == pytest.approx(1)
    assert usual.sum() == pytest.approx(1)
    np.testing.assert_allclose(usual, images, atol=0.015)
    # Some thousand images a taxon: a tenth is three standard errors and more.
    np.testing.assert_allclose(np.log(implied), np.log(taught), atol=0.1)


def test_many_taxa_that_are_taken_for_their_neighbours_do_not_throw_it_off():
    """Steps of one taxon at a time do not end here: they swing ever wider."""
    rng = np.random.default_rng(3)
    k, n = 30, 2000
    images, taught = (rng.dirichlet(np.full(k, 3.0)) for _ in range(2))
    log, labels = posteriors(n, images, taught, 5, spread=5.0)
    implied, _ = fit_implied(np.exp(log), labels)
    error = np.abs(np.log(implied) - np.log(taught))
    assert np.average(error, weights=images) < 0.5
    assert error.max() < 2.5


def test_a_taxon_without_images_is_believed_nothing():
    log, labels = posteriors(400, np.array([0.5, 0.5]), np.array([0.5, 0.5]), 4)
    scores = np.column_stack([0.9 * np.exp(log), np.full(400, 0.1)])  # a third taxon that never comes
    implied, usual = fit_implied(scores, labels)
    assert np.isfinite(implied).all()
    assert (implied > 0).all()
    assert implied[0] == pytest.approx(implied[1], rel=0.3)
    assert usual[2] < 0.01
    nothing, even = fit_implied(np.zeros((0, 3)), labels[:0])
    np.testing.assert_allclose(nothing, 1 / 3)
    np.testing.assert_allclose(even, 1 / 3)


def test_corrected_counts_are_nearer_than_raw_ones_in_other_water(found):
    for regime in ("flat", "dominated"):
        raw = min(found.row(method, regime, 100).bray_curtis for method in RAW)
        mine = found.row("posterior", regime, 100)
        assert mine.bray_curtis < raw - 0.02
        assert mine.excess_interval[1] < 0
    assert found.chosen == choose_method(found.rows) == "posterior"
    assert found.row("posterior", "flat", 100).bias < found.row("highest", "flat", 100).bias
    assert found.halves == 4
    assert found.taxa_drawn == N_TAXA
    assert set(found.bias_by_taxon) == set(METHODS)


def test_intervals_hold_nine_in_ten_and_are_no_mere_truism(found):
    """Two regimes of 80 intervals a method, those of a half alike: one standard error is some 0.03.

    The spread goes in steps and is chosen from as few samples, so that more than nine in ten may be held;
    that they are not simply wide is seen in their width.
    """
    for method in ("posterior", "adjusted"):
        inside = np.mean([found.row(method, regime, 100).coverage for regime in ("flat", "dominated")])
        assert inside >= 0.85
        assert found.row(method, "flat", 100).width < 50
    assert found.row("posterior", "flat", 100).width < found.row("adjusted", "flat", 100).width


def test_the_same_seed_gives_the_same_study_and_another_one_another(monkeypatch):
    monkeypatch.setattr("training.prevalence.SPREADS", (0.3,))
    few = dict(precision=0.7, regimes=("few",), sizes=(20,), splits=1, draws=2)
    one, same, other = (study(held_back(600), COUNTING, seed=seed, **few) for seed in (1, 1, 2))
    assert one == same
    assert one.rows != other.rows
    assert {(row.regime, row.objects) for row in one.rows} == {("flat", 100), ("few", 20)}
    json.dumps(as_facts(one))


def test_scores_that_tell_nothing_are_not_corrected_by(monkeypatch):
    monkeypatch.setattr("training.prevalence.SPREADS", (0.3,))
    rng = np.random.default_rng(6)
    known = held_back(800)
    empty = dataclasses.replace(known, int8_logits=rng.normal(0, 1, known.int8_logits.shape))
    nothing = study(empty, COUNTING, precision=0.7, regimes=("flat", "few"), sizes=(20,), splits=1, draws=3)
    assert nothing.chosen == RAW[0]


@pytest.mark.parametrize("groups", [("one",) * 60, tuple(f"cast {i}" for i in range(60))])
def test_too_few_images_give_a_sentence(groups):
    few = dataclasses.replace(held_back(60), groups=groups)
    nothing = study(few, COUNTING, precision=0.7, splits=2, draws=2)
    assert nothing.rows == ()
    assert nothing.chosen == RAW[0]
    assert "Too few images" in as_facts(nothing)["method"]


def test_prevalences_are_those_of_their_regime():
    rng = np.random.default_rng(8)
    images = np.array([10, 30, 60])
    np.testing.assert_allclose(draw_prevalence("usual", images, rng), [0.1, 0.3, 0.6])
    for regime in REGIMES:
        drawn = np.array([draw_prevalence(regime, images, rng) for _ in range(200)])
        np.testing.assert_allclose(drawn.sum(axis=1), 1)
        assert drawn.min() >= 0
        if regime == "dominated":
            assert drawn.max(axis=1).min() >= DOMINANT
        if regime == "few":
            assert np.median(drawn.max(axis=1)) > 0.9
    with pytest.raises(ValueError, match=r"'much' is unknown; there are flat, usual"):
        draw_prevalence("much", images, rng)
