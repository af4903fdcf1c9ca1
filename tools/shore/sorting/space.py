"""From embeddings to distances: square root, principal components, clusters, ranks. Pure and deterministic.

The steps are MorphoCluster's (Schröder, Kiko and Koch 2020, Sensors 20, 3060): PCA, then HDBSCAN (Campello,
Moulavi and Sander 2013) on what is in no cluster, its least cluster size falling from round to round, and
growing by distance. The square root evens the spread of features that are sums of what is never negative.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    """Points whose distances count, float32 (n, at most `N_COMPONENTS`), from `Embedder.totals` of n images."""
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

    The limit is the 0.9 quantile of the distances of the cluster's own images.
    """
    members = state.members(number)
    refused = state.rows(state.clusters[number].refused)
    pool = np.setdiff1d(np.flatnonzero(state.cluster == POOL), refused)
    if not len(members):
        return Offer(pool[:0], np.zeros(0, dtype=np.float32), 0.0)
    centre = vectors[members].mean(axis=0)
    own = np.linalg.norm(vectors[members] - centre, axis=1)
    distance = np.linalg.norm(vectors[pool] - centre, axis=1)
    order = np.argsort(distance, kind="stable")
    return Offer(pool[order], distance[order], float(np.quantile(own, OWN_SHARE)))


def by_typicality(vectors: Floats, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows with those nearest to their common centre first."""
    centre = vectors[rows].mean(axis=0)
    return rows[np.argsort(np.linalg.norm(vectors[rows] - centre, axis=1), kind="stable")]


def halves(vectors: Floats, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The smaller of two halves that differ most (2-means): where its images stand; none of a single image."""
    from sklearn.cluster import KMeans

    if len(rows) < 2:
        return rows[:0]
    labels = KMeans(2, n_init=4, random_state=SEED).fit_predict(vectors[rows])
    smaller = int(labels.sum() * 2 <= len(labels))
    return rows[labels == smaller]


def tree_of(vectors: Floats, state: State, numbers: Sequence[int]) -> list[list[int]]:
    """Groups of clusters, each before those it is in: average linkage of centroids, cut at three heights.

    As `State.apply` takes them for `arrange`: a child is a cluster's number, or that of a group made before,
    counted on from `state.next_number`.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    numbers = [number for number in numbers if len(state.members(number))]
    if len(numbers) < 3:
        return []
    centres = np.stack([vectors[state.members(number)].mean(axis=0) for number in numbers])
    joined = linkage(centres.astype(np.float64), method="average")
    heights = np.unique(joined[:, 2])
    groups: list[list[int]] = []
    standing = {i: number for i, number in enumerate(numbers)}
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


def nearest_cluster(vectors: Floats, state: State, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of the cluster whose centre is nearest to each of the images at `rows`, int64."""
    from scipy.spatial.distance import cdist

    numbers = [number for number in state.clusters if len(state.members(number))]
    centres = np.stack([vectors[state.members(number)].mean(axis=0) for number in numbers])
    return np.array(numbers, dtype=np.int64)[cdist(vectors[rows], centres).argmin(axis=1)]
