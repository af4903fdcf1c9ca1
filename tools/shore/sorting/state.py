"""What a sorting has come to: clusters and who is in them, a pure replay of its decisions. Pure.

Every decision names images and clusters outright, so that a replay computes nothing anew.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from tools.shore.sorting.work import Decision

POOL = -1
"""Cluster of an image that is in none."""
MOST_NAME = 100
Status = Literal["new", "accepted", "grown", "group"]


@dataclass
class Cluster:
    """A cluster, or a group that others are arranged under.

    Attributes
    ----------
    number
        Given in the order in which they came, never again.
    name
        As a person named it; "" before.
    parent
        The cluster or group above it; None at the top.
    status
        `new` (nobody has looked), `accepted`, `grown` (nothing is to be added), or `group`.
    round
        In which clustering it was found; 0 where a person made it.
    refused
        Images that a person has said do not belong here: not offered again.
    """

    number: int
    status: Status
    round: int = 0
    name: str = ""
    parent: int | None = None
    refused: set[int] = field(default_factory=set)


class State:
    """See the module.

    Parameters
    ----------
    images
        int64 (n,), numbers of all images, rising.

    Attributes
    ----------
    cluster
        int64 (n,): of each image, or `POOL`.
    is_grown
        bool (n,): whether it came by growing.
    clusters
        By number.
    rounds
        How often was clustered.
    next_number
        Of the next cluster that comes.
    """

    def __init__(self, images: NDArray[np.int64]) -> None:
        self.images = images
        self.cluster = np.full(len(images), POOL, dtype=np.int64)
        self.is_grown = np.zeros(len(images), dtype=np.bool_)
        self.clusters: dict[int, Cluster] = {}
        self.rounds = 0
        self.next_number = 0
        self._kinds: dict[str, Callable[..., object]] = {
            "cluster": self._cluster, "accept": self._accept, "reject": self._reject,
            "take_out": self._take_out, "split": self._split, "grow": self._grow, "grown": self._grown,
            "name": self._name, "merge": self._merge, "move": self._move, "arrange": self._arrange,
        }  # fmt: skip

    def rows(self, images: Iterable[int]) -> NDArray[np.int64]:
        """Where images stand, int64; raises `InputError` when one is not there, or twice."""
        listed = list(images)
        if not all(isinstance(one, int | np.integer) and 0 <= one < 1 << 62 for one in listed):
            raise _refused("names an image that is not there")
        wanted = np.array(listed, dtype=np.int64)
        at = np.searchsorted(self.images, wanted)
        known = at < len(self.images)
        if not known.all() or (self.images[at] != wanted).any():
            raise _refused("names an image that is not there")
        if len(set(wanted.tolist())) != len(wanted):
            raise _refused("names an image twice")
        return at

    def members(self, number: int) -> NDArray[np.int64]:
        """Where the images of a cluster stand, int64."""
        return np.flatnonzero(self.cluster == number)

    def children(self) -> dict[int | None, list[int]]:
        """Numbers of clusters and groups by what they are under."""
        found: dict[int | None, list[int]] = defaultdict(list)
        for one in self.clusters.values():
            found[one.parent].append(one.number)
        return found

    def path(self, number: int) -> list[Cluster]:
        """The cluster and all above it, the highest first."""
        found = [self.clusters[number]]
        while found[0].parent is not None:
            found.insert(0, self.clusters[found[0].parent])
        return found

    def apply(self, kind: str, data: dict[str, Any]) -> None:
        """Take a decision in; raises `InputError`, with nothing changed, when it makes no sense."""
        if kind not in self._kinds:
            raise _refused(f"is of an unknown kind, {kind!r}")
        try:
            self._kinds[kind](**data)
        except TypeError as cause:
            raise _refused(f"does not say what a {kind!r} needs ({cause})") from cause

    def _get(self, number: int, *, is_group: bool | None = False) -> Cluster:
        one = self.clusters.get(number) if isinstance(number, int) else None
        if one is None or (is_group is not None and (one.status == "group") != is_group):
            raise _refused(f"names cluster {number}, which is not there")
        return one

    def _new(self, status: Status, **more: Any) -> Cluster:
        one = Cluster(self.next_number, status, **more)
        self.clusters[one.number] = one
        self.next_number += 1
        return one

    def _in_pool(self, images: Iterable[int]) -> NDArray[np.int64]:
        rows = self.rows(images)
        if (self.cluster[rows] != POOL).any():
            raise _refused("takes an image that is in a cluster already")
        return rows

    def _cluster(self, size: int, seeds: list[list[int]]) -> None:
        rows = [self._in_pool(one) for one in seeds]
        self.rows(image for one in seeds for image in one)
        self.rounds += 1
        for one in rows:
            self._put(one, self._new("new", round=self.rounds).number, is_grown=False)

    def _put(self, rows: NDArray[np.int64], number: int, *, is_grown: bool) -> None:
        self.cluster[rows], self.is_grown[rows] = number, is_grown

    def _accept(self, cluster: int) -> None:
        self._get(cluster).status = "accepted"

    def _grown(self, cluster: int) -> None:
        self._get(cluster).status = "grown"

    def _reject(self, cluster: int) -> None:
        self._remove(self._get(cluster), POOL)

    def _remove(self, one: Cluster, to: int) -> None:
        self.cluster[self.members(one.number)] = to
        for other in self.clusters.values():
            if other.parent == one.number:
                other.parent = one.parent if to == POOL else to
        del self.clusters[one.number]

    def _take_out(self, images: list[int]) -> None:
        rows = self.rows(images)
        if (self.cluster[rows] == POOL).any():
            raise _refused("takes an image out that is in no cluster")
        for row, image in zip(rows.tolist(), images, strict=True):
            self.clusters[int(self.cluster[row])].refused.add(image)
        self.cluster[rows] = POOL

    def _split(self, cluster: int, images: list[int], is_looked_at: bool = True) -> None:
        one, rows = self._get(cluster), self.rows(images)
        if not len(rows) or (self.cluster[rows] != cluster).any():
            raise _refused("splits off what is not in the cluster")
        if len(rows) == len(self.members(cluster)):
            raise _refused("splits off the whole cluster")
        made = self._new("accepted" if is_looked_at else "new", parent=one.parent)
        self.cluster[rows] = made.number

    def _grow(self, cluster: int, images: list[int], refused: list[int]) -> None:
        one = self._get(cluster)
        self._in_pool([*images, *refused])
        self._put(self.rows(images), cluster, is_grown=True)
        one.refused.difference_update(images)
        one.refused.update(refused)

    def _name(self, cluster: int, name: str) -> None:
        one = self._get(cluster, is_group=None)
        if not isinstance(name, str):
            raise _refused("gives no name")
        text = " ".join(unicodedata.normalize("NFC", name).split())
        if len(text) > MOST_NAME:
            raise _refused(f"gives a name of {len(text)} letters, {MOST_NAME} are allowed")
        if text.startswith(".") or any(letter in '/\\<>:"|?*' or not letter.isprintable() for letter in text):
            raise _refused("gives a name that no folder can have (a slash, a colon, a dot first)")
        one.name = text

    def _merge(self, cluster: int, into: int) -> None:
        one, other = self._get(cluster), self._get(into)
        if cluster == into:
            raise _refused("merges a cluster with itself")
        if one in self.path(into):
            other.parent = one.parent
        other.refused |= one.refused
        other.refused -= set(self.images[self.members(cluster)].tolist())
        other.refused -= set(self.images[self.members(into)].tolist())
        other.name = other.name or one.name
        self._remove(one, into)

    def _move(self, cluster: int, parent: int | None) -> None:
        one = self._get(cluster, is_group=None)
        if parent is not None:
            self._get(parent, is_group=None)
            if one in self.path(parent):
                raise _refused("puts a cluster below itself")
        one.parent = parent

    def _arrange(self, groups: list[list[int]]) -> None:
        """Each group stands under what its first child stood under; a child may be a group made before it."""
        first = self.next_number
        seen: set[int] = set()
        for i, group in enumerate(groups):
            for child in group:
                if child in seen or not (child in self.clusters or first <= child < first + i):
                    raise _refused("arranges what is not there, or twice")
                seen.add(child)
            if not group:
                raise _refused("makes a group of nothing")
        for group in groups:
            made = self._new("group", parent=self.clusters[group[0]].parent)
            for child in group:
                self.clusters[child].parent = made.number


def sorted_state(images: NDArray[np.int64], decisions: Iterable[Decision]) -> State:
    """The state that decisions lead to, of images with these numbers (int64 (n,), rising)."""
    state = State(images)
    for one in decisions:
        state.apply(one.kind, one.data)
    return state


def _refused(problem: str) -> InputError:
    return InputError(problem, field="decision", remedy="load the page again")
