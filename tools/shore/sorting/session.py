"""A person at work on a sorting: what is shown, and what is decided. No page and no port in here.

Not for several threads: who serves several calls it from one.
"""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError, InputError
from edge.images import decode_image
from tools.shore.sorting import space
from tools.shore.sorting.state import POOL, Cluster, State, sorted_state
from tools.shore.sorting.work import Decision, Work

_KINDS = {b"\x89PNG": "image/png", b"\xff\xd8": "image/jpeg", b"BM": "image/bmp"}
MAY_DECIDE = ("accept", "reject", "take_out", "split", "grow", "grown", "name", "merge", "move")
"""What a page may send as it is; the rest is worked out here."""


def now_utc() -> str:
    """The time, as decisions keep it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Session:
    """A work file with its images at hand.

    Parameters
    ----------
    work
        Open.
    who
        Who decides.
    clock
        Gives the time of a decision.

    Attributes
    ----------
    images, state, views
        Of the work file, and of its bundle's preprocessing.
    step
        Number of the last decision; 0 before the first.
    """

    def __init__(self, work: Work, who: str, clock: Callable[[], str] = now_utc) -> None:
        self._work, self._who, self._clock = work, who, clock
        self.images = work.images()
        self.views = int(work.meta("views") or 1)
        self._load()

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path, who: str, clock: Callable[[], str] = now_utc) -> Iterator[Session]:
        """Open a work file; raises `InputError` when it is none or holds no image."""
        with Work.open(path) as work:
            yield cls(work, who, clock)

    @functools.cached_property
    def vectors(self) -> space.Floats:
        """Points whose distances count."""
        return space.vectors_of(self.images.totals, self.views)

    def _load(self) -> None:
        decisions = self._work.decisions()
        self.state: State = sorted_state(self.images.image, decisions)
        self.step = 0
        self._named: dict[int, tuple[str, str]] = {}
        for one in decisions:
            self._note(one)

    def decide(self, kind: str, data: dict[str, Any]) -> None:
        """Take a decision in and write it; `InputError`, with nothing changed, when it makes no sense."""
        self.state.apply(kind, data)
        try:
            made = self._work.decide(self._clock(), self._who, kind, data)
        except BaseException:
            self._load()  # the disk did not take it: neither do we
            raise
        self._note(made)

    def _note(self, made: Decision) -> None:
        self.step = made.step
        if made.kind == "name":
            self._named[made.data["cluster"]] = made.utc, made.who
        elif made.kind == "merge":  # a name may have gone along
            self._named.setdefault(made.data["into"], self._named.get(made.data["cluster"], ("", "")))

    def undo(self) -> bool:
        """Take back the last decision; says whether there was one."""
        if self._work.undo(self._clock(), self._who) is None:
            return False
        self._load()
        return True

    def cluster(self, size: int | None = None) -> int:
        """Look for clusters in what is in none; returns how many there are."""
        pool = np.flatnonzero(self.state.cluster == POOL)
        size = space.least_size(self.state.rounds) if size is None else size
        seeds = space.find_seeds(self.vectors, pool, size)
        self.decide("cluster", {"size": size, "seeds": [self.images.image[one].tolist() for one in seeds]})
        return len(seeds)

    def halve(self, number: int) -> None:
        """Split a cluster into the two halves that differ most."""
        rows = space.halves(self.vectors, self.members(number))
        images = self.images.image[rows].tolist()
        self.decide("split", {"cluster": number, "images": images, "is_looked_at": False})

    def arrange(self) -> int:
        """Group what stands at the top by likeness; returns how many groups were made."""
        tops = [one.number for one in self.state.clusters.values() if one.parent is None]
        ready = [number for number in tops if self.state.clusters[number].status in ("accepted", "grown")]
        groups = space.tree_of(self.vectors, self.state, ready)
        if groups:
            self.decide("arrange", {"groups": groups})
        return len(groups)

    def grow_near(self, number: int) -> int:
        """Add all within the cluster's own distances that no other cluster is nearer to; returns how many."""
        self._known(number)
        offered = space.offer(self.vectors, self.state, number)
        rows = offered.rows[: offered.n_near]
        rows = rows[space.nearest_cluster(self.vectors, self.state, rows) == number]
        if len(rows):
            images = self.images.image[rows].tolist()
            self.decide("grow", {"cluster": number, "images": images, "refused": []})
        return len(rows)

    def members(self, number: int) -> NDArray[np.int64]:
        """Where a cluster's images stand, the most typical first; raises `InputError` if it is not there."""
        self._known(number)
        return space.by_typicality(self.vectors, self.state.members(number))

    def _known(self, number: int) -> Cluster:
        if not isinstance(number, int) or number not in self.state.clusters:
            raise InputError(
                f"is {number}, which is not there", field="cluster", remedy="load the page again"
            )
        return self.state.clusters[number]

    @property
    def path(self) -> Path:
        """The work file."""
        return self._work.path

    def file_bytes(self, image: int) -> bytes:
        """The bytes of an image's file; raises `InputError` when they are gone."""
        data = self._work.file_bytes(image)
        if data is None:
            raise InputError(
                f"has lost image {image}", file=self.path, remedy="take the images into a new one"
            )
        return data

    def named_by(self, image: int) -> tuple[str, str]:
        """When the cluster of an image was named, or the one above it that has a name, and by whom."""
        number = int(self.state.cluster[self.state.rows([image])[0]])
        return next(
            (self._named[one.number] for one in reversed(self.state.path(number)) if one.name), ("", "")
        )

    def picture(self, image: int) -> tuple[str, bytes] | None:
        """Kind and bytes of an image, as a browser shows it; None when there is none."""
        data = self._work.file_bytes(image)
        if data is None:
            return None
        for head, kind in _KINDS.items():
            if data.startswith(head):
                return kind, data
        try:
            pixels = decode_image(data, str(image))
        except ImageError:
            return None
        return "image/png", cv2.imencode(".png", pixels)[1].tobytes()

    def overview(self) -> dict[str, Any]:
        """All clusters, and how far the sorting is; for the page."""
        sizes = np.bincount(self.state.cluster + 1, minlength=self.state.next_number + 1)
        grown = np.bincount(self.state.cluster[self.state.is_grown] + 1, minlength=len(sizes))
        in_cluster = self.state.cluster != POOL
        named = [one.number for one in self.state.clusters.values() if self.name_of(one.number)]
        return {
            "work": self._work.path.name,
            "bundle": self._work.meta("bundle"),
            "polarity": self._work.meta("polarity"),
            "who": self._who,
            "step": self.step,
            "images": len(self.state.images),
            "sorted": int(in_cluster.sum()),
            "named": int(np.isin(self.state.cluster, named).sum()),
            "rounds": self.state.rounds,
            "next_size": space.least_size(self.state.rounds),
            "clusters": [
                {
                    "n": one.number, "name": one.name, "parent": one.parent, "status": one.status,
                    "round": one.round, "size": int(sizes[one.number + 1]),
                    "grown": int(grown[one.number + 1]),
                    "face": self._face(one.number),
                }
                for one in self.state.clusters.values()
            ],
        }  # fmt: skip

    def _face(self, number: int) -> int | None:
        """The first image of a cluster stands for it."""
        rows = self.state.members(number)
        return int(self.images.image[rows[0]]) if len(rows) else None

    def look_at(self, number: int, start: int = 0) -> dict[str, Any]:
        """A page of a cluster's images, and what the model would call them."""
        rows = self.members(number)
        guesses = Counter(self.images.guess[row] for row in rows.tolist())
        return {
            "n": number,
            "total": len(rows),
            "start": start,
            "images": self._told(rows[start : start + space.PAGE]),
            "guesses": [[name, count] for name, count in guesses.most_common(4)],
        }

    def offer(self, number: int, start: int = 0) -> dict[str, Any]:
        """A page of what may be added to a cluster."""
        self._known(number)
        offered = space.offer(self.vectors, self.state, number)
        return {
            "n": number,
            "total": len(offered.rows),
            "near": offered.n_near,
            "start": start,
            "images": self._told(offered.rows[start : start + space.PAGE]),
        }

    def _told(self, rows: Iterable[int]) -> list[dict[str, Any]]:
        return [
            {
                "image": int(self.images.image[row]),
                "guess": self.images.guess[row],
                "grown": bool(self.state.is_grown[row]),
            }
            for row in rows
        ]

    def name_of(self, number: int) -> str:
        """The name of a cluster, or of the lowest above it that has one; "" when none has."""
        return next((one.name for one in reversed(self.state.path(number)) if one.name), "")
