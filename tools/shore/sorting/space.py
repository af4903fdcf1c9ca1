"""From embeddings to distances: square root, principal components, clusters, ranks. Pure and deterministic.

The steps are MorphoCluster's (Schröder, Kiko and Koch 2020, Sensors 20, 3060): PCA, then HDBSCAN (Campello,
Moulavi and Sander 2013) on what is in no cluster, its least cluster size falling from round to round, and
growing by distance. The square root evens the spread of features that are sums of what is never negative.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tools.shore.sorting.state import POOL, State

N_COMPONENTS = 32
LEAST_SIZES = (128, 64, 32, 16, 8)
"""Least size of a cluster, round by round; the last one stays."""
OWN_SHARE = 0.9
"""So many of a cluster's own images lie within its limit."""
PAGE = 50
"""Images that are offered at a time."""
SEED = 1

Floats = NDArray[np.float32]


class Offer(NamedTuple):
    """What may be added to a cluster.

    Attributes
    ----------
    rows
        int64 (k,): where the images stand, the nearest first.
    distance
        float32 (k,).
    limit
        The distance within which most of the cluster's own images lie: beyond it nothing is added without a
        person.
    """

    rows: NDArray[np.int64]
    distance: Floats
    limit: float

    @property
    def n_near(self) -> int:
        """How many lie within the limit."""
        return int(np.searchsorted(self.distance, self.limit, side="right"))


def vectors_of(totals: NDArray[np.int16], views: int) -> Floats:
    """Points whose distances count, float32 (n, `N_COMPONENTS` or fewer), from `Embedder.totals`."""
    from sklearn.decomposition import PCA

    roots = np.sqrt(np.maximum(totals.astype(np.float32) + 128 * views, 0))
    n_components = min(N_COMPONENTS, *roots.shape)
    found = PCA(n_components, svd_solver="covariance_eigh").fit_transform(roots)
    return np.ascontiguousarray(found, dtype=np.float32)


def least_size(n_rounds: int) -> int:
    """Least size of a cluster in the round after so many."""
    return LEAST_SIZES[min(n_rounds, len(LEAST_SIZES) - 1)]


def find_seeds(vectors: Floats, rows: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Dense clusters of at least `size` among the images at `rows`: where they stand, the largest first."""
    from sklearn.cluster import HDBSCAN

    if len(rows) < max(size, 2):
        return []
    model = HDBSCAN(min_cluster_size=size, min_samples=1, cluster_selection_method="leaf", copy=True)
    labels = model.fit_predict(vectors[rows])
    found = [rows[labels == one] for one in range(int(labels.max()) + 1)]
    return sorted(found, key=lambda one: (-len(one), int(one[0])))


def offer(vectors: Floats, state: State, number: int) -> Offer:
    """Images in no cluster by their distance to a cluster's centre, without those refused there.

    Centre and limit (the 0.9 quantile of the distances of its own images) are those of what was there before
    anything was grown: growing does not run on by itself.
    """
    core = core_of(state, number)
    refused = state.rows(state.clusters[number].refused)
    pool = np.setdiff1d(np.flatnonzero(state.cluster == POOL), refused)
    if not len(core):
        return Offer(pool[:0], np.zeros(0, dtype=np.float32), 0.0)
    centre = vectors[core].mean(axis=0)
    own = np.linalg.norm(vectors[core] - centre, axis=1)
    distance = np.linalg.norm(vectors[pool] - centre, axis=1)
    order = np.argsort(distance, kind="stable")
    return Offer(pool[order], distance[order], float(np.quantile(own, OWN_SHARE)))


def core_of(state: State, number: int) -> NDArray[np.int64]:
    """The images of a cluster that did not come by growing; all of them where none is left."""
    members = state.members(number)
    core = members[~state.is_grown[members]]
    return core if len(core) else members


def nearest_cluster(vectors: Floats, state: State, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of the cluster whose centre is nearest to each of the images at `rows`, int64."""
    from scipy.spatial.distance import cdist

    numbers, centres = centres_of(vectors, state, state.clusters)
    return np.asarray(numbers[cdist(vectors[rows], centres).argmin(axis=1)])


def centres_of(vectors: Floats, state: State, numbers: Iterable[int]) -> tuple[NDArray[np.int64], Floats]:
    """Those clusters that have images, and their centres, (k, d)."""
    cores = {number: core_of(state, number) for number in numbers}
    cores = {number: core for number, core in cores.items() if len(core)}
    centres = [vectors[core].mean(axis=0) for core in cores.values()]
    return np.array(list(cores), dtype=np.int64), np.reshape(centres, (len(cores), vectors.shape[1]))


def by_typicality(vectors: Floats, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows with those nearest to their common centre first."""
    centre = vectors[rows].mean(axis=0)
    return rows[np.argsort(np.linalg.norm(vectors[rows] - centre, axis=1), kind="stable")]


def halves(vectors: Floats, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The smaller of two halves that differ most (2-means): where its images stand; none of one."""
    from sklearn.cluster import KMeans

    if len(rows) < 2:
        return rows[:0]
    labels = KMeans(2, n_init=4, random_state=SEED).fit_predict(vectors[rows])
    smaller = int(labels.sum() * 2 <= len(labels))
    return np.asarray(rows[labels == smaller])


def tree_of(vectors: Floats, state: State, numbers: Iterable[int]) -> list[list[int]]:
    """Groups of clusters, each before those it is in: average linkage of centroids, cut at three heights.

    As `State.apply` takes them for `arrange`: a child is a cluster's number, or that of a group made before,
    counted on from `state.next_number`.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    known, centres = centres_of(vectors, state, numbers)
    if len(known) < 3:
        return []
    joined = linkage(centres.astype(np.float64), method="average")
    heights = np.unique(joined[:, 2])
    groups: list[list[int]] = []
    standing = {i: number for i, number in enumerate(known.tolist())}
    for share in (0.3, 0.6, 0.85):
        labels = fcluster(joined, float(np.quantile(heights, share)), criterion="distance")
        merged: dict[int, list[int]] = {}
        for leaf, number in standing.items():
            merged.setdefault(int(labels[leaf]), []).append(number)
        after = {}
        for leaf, number in standing.items():
            mine = merged[int(labels[leaf])]
            if number != mine[0]:
                continue
            after[leaf] = mine[0] if len(mine) == 1 else state.next_number + len(groups)
            if len(mine) > 1:
                groups.append(mine)
        standing = after
    return groups
