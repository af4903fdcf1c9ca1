"""Drift: none between two draws of one water, some when a taxon looks other than it did."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edge.drift import LEAST_IMAGES, LEAST_PARTICLES, N_SCORE_BINS, Appearance, Reference
from edge.inference.preprocessing import N_NUMBERS

pytestmark = pytest.mark.board
N_TAXA = 4


def seen(n, seed, shares=(0.25,) * N_TAXA, brighter=0, larger=0, surer=0.0):
    """Particles of four taxa, each with a size, a grey and a score of its own."""
    rng = np.random.default_rng(seed)
    taxa = rng.choice(N_TAXA, n, p=shares)
    numbers = rng.integers(0, 255, (n, N_NUMBERS)).astype(np.uint8)
    numbers[:, 0] = np.clip(rng.normal(60 + 30 * taxa + larger, 20), 0, 255)
    numbers[:, 4] = np.clip(rng.normal(180 - 20 * taxa + brighter, 15), 0, 255)
    scores = np.clip(rng.beta(6, 1 + taxa) + surer, 0, 1)
    found = Appearance(N_TAXA)
    found.add(taxa, numbers, scores)
    return found


REFERENCE = seen(20_000, 0).reference()


def test_the_water_of_the_reference_has_no_more_drift_than_chance_gives():
    found = [seen(400, seed).drift(REFERENCE) for seed in range(1, 61)]
    assert {one.particles for one in found} == {400}
    assert {one.by_chance_permille for one in found} == {68}
    for name in ("size", "grey", "score"):
        beyond = sum(getattr(one, name) > one.by_chance_permille for one in found)
        assert beyond <= 8, "one of twenty is expected to pass it, and bins make it fewer"


def test_other_taxa_in_the_water_are_no_drift():
    few = seen(4000, 1, shares=(0.85, 0.05, 0.05, 0.05)).drift(REFERENCE)
    assert few.permille <= 2 * few.by_chance_permille


@pytest.mark.parametrize(
    ("name", "how"), [("grey", {"brighter": -16}), ("size", {"larger": 24}), ("score", {"surer": -0.2})]
)
def test_a_taxon_that_looks_other_than_it_did_is_drift_of_that(name, how):
    found = seen(2000, 2, **how).drift(REFERENCE)
    assert getattr(found, name) == found.permille > 250
    others = {"grey", "size", "score"} - {name}
    assert all(getattr(found, other) <= found.by_chance_permille for other in others)


def test_of_one_taxon_it_is_the_distance_of_kolmogorov_and_smirnov():
    rng = np.random.default_rng(3)
    bins = rng.integers(0, N_SCORE_BINS, 300), rng.integers(0, N_SCORE_BINS, 500) // 2
    tables = []
    for one in bins:
        found = Appearance(1)
        found.add(
            np.zeros(len(one), dtype=np.int64), np.zeros((len(one), 0), np.uint8), (one + 0.5) / N_SCORE_BINS
        )
        tables.append(found)
    drift = tables[0].drift(tables[1].reference())
    assert drift.permille == round(1000 * stats.ks_2samp(*bins).statistic)
    assert (drift.size, drift.grey, drift.particles) == (None, None, 300)


def test_of_few_nothing_is_said():
    assert seen(LEAST_PARTICLES - 1, 1).drift(REFERENCE) is None
    assert seen(400, 1).drift(seen(N_TAXA * LEAST_IMAGES // 2, 2).reference()) is None
    assert seen(400, 1).drift(Reference()) is None
    assert Appearance(N_TAXA).drift(REFERENCE) is None


@given(st.integers(0, 1000), st.integers(0, 2**32 - 1), st.integers(-80, 80))
def test_it_is_always_a_share(n, seed, brighter):
    found = seen(n, seed, brighter=brighter).drift(REFERENCE)
    assert (found is None) == (n < LEAST_PARTICLES)
    if found is not None:
        assert 0 <= found.permille <= 1000
        assert found.particles == n


def test_a_reference_travels_and_one_of_another_shape_is_refused():
    np.testing.assert_array_equal(REFERENCE.tables()[0], seen(20_000, 0).counts[0])
    assert msgspec.json.decode(msgspec.json.encode(REFERENCE), type=Reference) == REFERENCE
    with pytest.raises(ValueError, match="score has 20 bins, a row ends in the 21th"):
        Reference(score=((), (19, 2, 3))).tables()
