"""What the classifier of a dive does not know, the newest first: by image and by dense cluster.

How little the network has seen the like of an image is told by its `evidence` (the negative energy of Liu et
al. 2020) or, where images it learnt from are at hand, by the distance to the nearest of them (deep nearest
neighbours, Sun et al. 2022, arXiv 2204.06507). One odd image is often a bad one; a dense cluster of them is a
taxon: clusters come first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tools.shore.sorting import space
from tools.shore.sorting.work import Images

LEAST_SIZE = 5
"""Images of the smallest cluster that is told of."""
SHARE = 0.25
"""Clusters are looked for among so many of the images, the least known."""
N_NEIGHBOURS = 5


@dataclass(frozen=True, slots=True)
class Novel:
    """The list.

    Attributes
    ----------
    order
        int64 (n,): where images stand, the most novel first.
    novelty
        float64 (n,), by image, from 0 (known best of all) to 1.
    cluster
        int64 (n,), by image: rank of its cluster from 0, or -1.
    """

    order: NDArray[np.int64]
    novelty: NDArray[np.float64]
    cluster: NDArray[np.int64]

    @property
    def n_clusters(self) -> int:
        """How many clusters come first."""
        return int(self.cluster.max(initial=-1)) + 1


def unlike_any(images: Images) -> NDArray[np.float64]:
    """How little of the like was learnt, by what the bundle alone tells: minus the evidence, (n,)."""
    return -images.evidence


def unlike_known(totals: NDArray[np.int16], known: NDArray[np.int16], views: int) -> NDArray[np.float64]:
    """How far images are from those that were learnt from, (n,).

    The mean distance to the nearest few of `known`, int16 (m, d), among embeddings of length 1.
    """
    from sklearn.neighbors import NearestNeighbors

    mine, theirs = (_unit(one, views) for one in (totals, known))
    found = NearestNeighbors(n_neighbors=min(N_NEIGHBOURS, len(theirs)), algorithm="brute").fit(theirs)
    distance, _ = found.kneighbors(mine)
    return np.asarray(distance.mean(axis=1), dtype=np.float64)


def _unit(totals: NDArray[np.int16], views: int) -> NDArray[np.float32]:
    roots = np.sqrt(np.maximum(totals.astype(np.float32) + 128 * views, 0))
    length = np.linalg.norm(roots, axis=1, keepdims=True)
    return np.asarray(roots / np.maximum(length, 1e-6), dtype=np.float32)


def novel(images: Images, unlike: NDArray[np.float64], views: int) -> Novel:
    """Rank images by how unlike the known they are, dense clusters of the least known first.

    Parameters
    ----------
    images
        Of the dive.
    unlike
        float64 (n,), larger is more novel; only its order counts.
    views
        Of the bundle's preprocessing.
    """
    n = len(unlike)
    order = np.argsort(-unlike, kind="stable")
    novelty = np.empty(n)
    novelty[order] = np.linspace(1, 0, n)
    cluster = np.full(n, -1, dtype=np.int64)
    odd = np.sort(order[: max(int(np.ceil(SHARE * n)), min(n, 2 * LEAST_SIZE))])
    vectors = space.vectors_of(images.totals, views)
    seeds = space.find_seeds(vectors, odd, LEAST_SIZE)
    seeds.sort(key=lambda rows: (-float(np.median(novelty[rows])), int(rows[0])))
    for rank, rows in enumerate(seeds):
        cluster[rows] = rank
    first = np.where(cluster >= 0, cluster, len(seeds))
    return Novel(np.lexsort((-novelty, first)), novelty, cluster)
