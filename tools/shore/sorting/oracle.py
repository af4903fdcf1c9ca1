"""A person who knows every label sorts, as the page would have it: how good the clusters and the growing are.

For measuring alone. The idea is from Schröder and Kiko 2022 (Sensors 22, 2775), who simulate such a person.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tools.shore.sorting import space
from tools.shore.sorting.state import POOL, State

LEAST_PURITY = 0.8
"""A cluster is accepted when so many of its images are of one class, and rejected otherwise."""
MOST_WRONG = 0.1
"""A page is added when at most so many of its images are of another class; the first worse one ends it."""
MOST_CLICKS = 0.5
"""The same for a person who takes the wrong ones out one by one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it, by image and by look.

    Attributes
    ----------
    is_sorted, is_grown, is_right
        bool (n,): in an accepted cluster; by growing; of the class that its cluster was accepted as.
    clusters, classes
        Accepted, and different classes among them.
    looks, clicks
        Clusters and pages that were shown; images that were taken out one by one.
    cluster_s
        Seconds of clustering, all rounds.
    """

    is_sorted: NDArray[np.bool_]
    is_grown: NDArray[np.bool_]
    is_right: NDArray[np.bool_]
    clusters: int
    classes: int
    looks: int
    clicks: int
    cluster_s: float


def sort_by_clusters(vectors: space.Floats, truth: NDArray[np.int64], *, one_by_one: bool = False) -> Outcome:
    """Clusters round by round, each accepted, grown page by page, and left.

    Parameters
    ----------
    vectors
        Of `space.vectors_of`, (n, d).
    truth
        int64 (n,), classes from 0.
    one_by_one
        Whether the person takes single wrong images out of accepted clusters and pages.
    """
    state = State(np.arange(len(truth)))
    class_of: dict[int, int] = {}
    looks = clicks = 0
    cluster_s = 0.0
    for size in space.LEAST_SIZES:
        start = time.perf_counter()
        seeds = space.find_seeds(vectors, np.flatnonzero(state.cluster == POOL), size)
        cluster_s += time.perf_counter() - start
        first = state.next_number
        state.apply("cluster", {"size": size, "seeds": [one.tolist() for one in seeds]})
        for number in range(first, state.next_number):
            looks += 1
            rows = state.members(number)
            counts = np.bincount(truth[rows])
            if counts.max() < LEAST_PURITY * len(rows):
                state.apply("reject", {"cluster": number})
                continue
            class_of[number] = int(counts.argmax())
            state.apply("accept", {"cluster": number})
            wrong = rows[truth[rows] != class_of[number]]
            if one_by_one and len(wrong):
                clicks += len(wrong)
                state.apply("take_out", {"images": wrong.tolist()})
        for number, one in class_of.items():
            pages, clicked = _grow(vectors, truth, state, number, one, one_by_one=one_by_one)
            looks, clicks = looks + pages, clicks + clicked
    is_sorted = state.cluster != POOL
    named = np.full(len(truth), POOL, dtype=np.int64)
    named[is_sorted] = [class_of[number] for number in state.cluster[is_sorted].tolist()]
    return Outcome(
        is_sorted,
        state.is_grown & is_sorted,
        named == truth,
        len(class_of),
        len(set(class_of.values())),
        looks,
        clicks,
        cluster_s,
    )


def _grow(
    vectors: space.Floats,
    truth: NDArray[np.int64],
    state: State,
    number: int,
    wanted: int,
    *,
    one_by_one: bool,
) -> tuple[int, int]:
    """Add pages until the first bad one; returns pages shown and images clicked."""
    rows = space.offer(vectors, state, number).rows
    clicks = 0
    for page, start in enumerate(range(0, len(rows), space.PAGE), start=1):
        shown = rows[start : start + space.PAGE]
        wrong = truth[shown] != wanted
        if wrong.mean() > (MOST_CLICKS if one_by_one else MOST_WRONG):
            return page, clicks
        good, refused = (shown[~wrong], shown[wrong]) if one_by_one else (shown, shown[:0])
        clicks += len(refused)
        state.apply("grow", {"cluster": number, "images": good.tolist(), "refused": refused.tolist()})
    return -(-len(rows) // space.PAGE), clicks


def sort_by_kmeans(vectors: space.Floats, truth: NDArray[np.int64], k: int) -> Outcome:
    """The same person looks at k clusters of k-means (one run, seed 1), and at nothing else."""
    from sklearn.cluster import KMeans

    start = time.perf_counter()
    labels = KMeans(k, n_init=1, random_state=space.SEED).fit_predict(vectors)
    cluster_s = time.perf_counter() - start
    named = np.full(len(truth), POOL, dtype=np.int64)
    accepted = []
    for one in range(k):
        rows = np.flatnonzero(labels == one)
        counts = np.bincount(truth[rows])
        if counts.max() >= LEAST_PURITY * len(rows):
            named[rows] = counts.argmax()
            accepted.append(int(counts.argmax()))
    is_sorted = named != POOL
    return Outcome(
        is_sorted, np.zeros(len(truth), dtype=np.bool_), named == truth, len(accepted), len(set(accepted)),
        k, 0, cluster_s,
    )  # fmt: skip
