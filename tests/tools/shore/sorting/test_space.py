"""Clusters, offers and groups, on points whose answer is known, and against the plain way."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the train extra")

from tools.shore.sorting import space
from tools.shore.sorting.oracle import sort_by_clusters, sort_by_kmeans
from tools.shore.sorting.state import POOL, State


@pytest.fixture
def points():
    """Three tight blobs of 60 in a haze of 60."""
    rng = np.random.default_rng(4)
    blobs = [rng.normal(centre, 0.1, (60, 2)) for centre in ((0, 0), (5, 0), (0, 6))]
    return np.concatenate([*blobs, rng.uniform(-9, 9, (60, 2))]).astype(np.float32)


def test_the_vectors_keep_the_distances_between_roots():
    rng = np.random.default_rng(2)
    totals = rng.integers(-128, 128, (50, 20)).astype(np.int16)
    found = space.vectors_of(totals, 1)
    roots = np.sqrt(totals + 128.0)
    wanted = np.linalg.norm(roots[:, np.newaxis] - roots, axis=2)
    got = np.linalg.norm(found[:, np.newaxis] - found, axis=2)
    np.testing.assert_allclose(got, wanted, atol=1e-3)  # 20 components keep all
    np.testing.assert_array_equal(space.vectors_of(totals, 1), found)
    two_views = space.vectors_of(totals * 2, 2)
    np.testing.assert_allclose(
        np.linalg.norm(two_views, axis=1), np.linalg.norm(found, axis=1) * 2**0.5, rtol=1e-4
    )


def test_seeds_are_the_blobs(points):
    seeds = space.find_seeds(points, np.arange(len(points)), 30)
    assert len(seeds) == 3
    for one in seeds:
        assert len(set((one // 60).tolist()) - {3}) == 1
        assert len(one) > 40
    assert space.find_seeds(points, np.arange(5), 30) == []
    assert [len(one) for one in seeds] == sorted((len(one) for one in seeds), reverse=True)


def test_an_offer_is_the_nearest_first_without_the_refused(points):
    state = State(np.arange(len(points)))
    state.apply("cluster", {"size": 2, "seeds": [list(range(30)), list(range(60, 90))]})
    state.apply("grow", {"cluster": 0, "images": [], "refused": [31, 35]})
    found = space.offer(points, state, 0)
    rest = [row for row in range(len(points)) if state.cluster[row] == POOL and row not in (31, 35)]
    centre = points[:30].mean(axis=0)
    plain = sorted(rest, key=lambda row: float(np.linalg.norm(points[row] - centre)))
    assert found.rows.tolist() == plain
    near = np.linalg.norm(points[found.rows[: found.n_near]] - centre, axis=1)
    assert near.max() <= found.limit < np.linalg.norm(points[found.rows[found.n_near]] - centre)


def test_growing_by_itself_never_runs_on(points):
    """Each time the near ones are added, nothing further away comes within the limit."""
    state = State(np.arange(len(points)))
    state.apply("cluster", {"size": 2, "seeds": [list(range(30))]})
    first = space.offer(points, state, 0)
    for _ in range(5):
        found = space.offer(points, state, 0)
        assert found.limit == first.limit
        near = found.rows[: found.n_near].tolist()
        state.apply("grow", {"cluster": 0, "images": near, "refused": []})
    assert len(state.members(0)) == 30 + first.n_near
    assert set(state.members(0).tolist()) <= set(range(60)) | set(range(180, 240))


def test_the_nearest_cluster(points):
    state = State(np.arange(len(points)))
    state.apply("cluster", {"size": 2, "seeds": [list(range(30)), list(range(60, 90))]})
    assert space.nearest_cluster(points, state, np.array([40, 100])).tolist() == [0, 1]


def test_halves_and_groups(points):
    both = np.r_[0:60, 60:100]
    assert sorted(space.halves(points, both).tolist()) == list(range(60, 100))
    assert len(space.halves(points, both[:1])) == 0
    state = State(np.arange(len(points)))
    parts = [list(range(a, a + 20)) for a in (0, 20, 60, 80, 120, 140)]
    state.apply("cluster", {"size": 2, "seeds": parts})
    groups = space.tree_of(points, state, state.clusters)
    assert {frozenset(one) for one in groups} >= {frozenset((0, 1)), frozenset((2, 3)), frozenset((4, 5))}
    state.apply("arrange", {"groups": groups})
    tops = [state.path(number)[0].number for number in range(6)]
    assert (
        tops[0] == tops[1] == tops[2] == tops[3] != tops[4] == tops[5]
    )  # the blobs at (0, 0) and (5, 0) are nearer to each other


def test_a_person_who_knows_all_sorts_the_blobs(points):
    rng = np.random.default_rng(1)
    many = np.concatenate([points[:180] + rng.normal(0, 0.1, (180, 2)) for _ in range(4)]).astype(np.float32)
    truth = np.tile(np.arange(180) // 60, 4)
    found = sort_by_clusters(many, truth)
    assert found.classes == 3
    assert found.is_right[found.is_sorted].mean() > 0.99
    assert found.is_sorted.mean() > 0.9
    assert found.looks < 60
    means = sort_by_kmeans(many, truth, 3)
    assert means.is_right.all()
    mixed = rng.permutation(truth)
    lost = sort_by_clusters(many, mixed)
    assert lost.is_sorted.mean() < 0.3  # labels that have nothing to do with the points are not found
