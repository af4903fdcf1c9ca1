"""How sure a score is: bootstrap intervals that draw whole groups of images. NumPy alone, no loop over draws.

Images of one acquisition are alike, so that drawing images one by one would make a score look surer than it
is (cluster bootstrap: Davison and Hinkley 1997, Bootstrap Methods and their Application, section 3.8).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.evaluate import Floats, Ints

DRAWS, SEED, LEVEL = 1000, 20_260, 0.9
_BLOCK = 100
"""Draws in memory at a time."""

Interval = tuple[float, float]


class Rates(NamedTuple):
    """A rate of each of k classes; NaN where it, or its interval, cannot be known.

    Attributes
    ----------
    n
        int64 (k,): images the rate is of.
    rate, low, high
        float64 (k,).
    """

    n: Ints
    rate: Floats
    low: Floats
    high: Floats


class Groups:
    """The groups of N images, drawn again and again; the same draws for everything asked of one object.

    Parameters
    ----------
    groups
        Group of each image, N names.
    draws, seed
        How often all groups are drawn, with replacement, and of what chance.
    """

    def __init__(self, groups: Sequence[str], draws: int = DRAWS, seed: int = SEED) -> None:
        names, codes = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
        self.codes: Ints = codes.astype(np.int64)
        self.n_groups = len(names)
        self.draws, self.seed = draws, seed

    def _blocks(self) -> Iterator[NDArray[np.float32]]:
        """How often each group was drawn, float32 (some draws, groups)."""
        rng = np.random.default_rng(self.seed)
        n = self.n_groups
        for start in range(0, self.draws, _BLOCK):
            rows = min(_BLOCK, self.draws - start)
            drawn = rng.integers(0, n, (rows, n)) + n * np.arange(rows)[:, np.newaxis]
            yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float32)

    def sums(self, tables: Floats) -> Floats:
        """Sums over the images of each draw, float64 (draws, m), of sums by group, (groups, m)."""
        values = tables.astype(np.float32)  # counts below 2**24 are exact
        return np.concatenate([block @ values for block in self._blocks()]).astype(np.float64)

    def table(self, columns: Ints, n_columns: int, which: NDArray[np.bool_] | None = None) -> Floats:
        """Images by group and by column, float64 (groups, n_columns); of those `which`, bool (N,)."""
        where = self.codes * n_columns + columns
        chosen = where if which is None else where[which]
        counts = np.bincount(chosen, minlength=self.n_groups * n_columns)
        return counts.reshape(self.n_groups, n_columns).astype(np.float64)


class Drawn(NamedTuple):
    """Images of each class in each draw, float64 (draws, k): right ones, true ones, answered ones.

    `groups` are the numbers of groups that hold true ones and answered ones of each class, int64 (k,) each.
    """

    hits: Floats
    true: Floats
    answered: Floats
    groups: tuple[Ints, Ints]

    def scores(self) -> dict[str, Floats]:
        """`training.evaluate.summarize` of every draw, float64 (draws,) each.

        A class that a draw leaves out does not count in it.
        """
        there = self.true > 0
        n = np.maximum(there.sum(axis=1), 1)

        def mean(part: Floats, whole: Floats) -> Floats:
            rates = np.where(there, part / np.maximum(whole, 1), 0)
            return np.asarray(rates.sum(axis=1) / n)

        return {
            "accuracy": self.hits.sum(axis=1) / np.maximum(self.true.sum(axis=1), 1),
            "balanced_accuracy": mean(self.hits, self.true),
            "macro_f1": mean(2 * self.hits, self.true + self.answered),
            "mean_precision": mean(self.hits, self.answered),
        }


def draw(labels: Ints, answers: Ints, n_classes: int, groups: Groups) -> Drawn:
    """Draw the groups of N images with true class and answer, int64 (N,) each."""
    tables = [
        groups.table(labels, n_classes, labels == answers),
        groups.table(labels, n_classes),
        groups.table(answers, n_classes),
    ]
    hits, true, answered = np.split(groups.sums(np.concatenate(tables, axis=1)), 3, axis=1)
    held = (tables[1] > 0).sum(axis=0), (tables[2] > 0).sum(axis=0)
    return Drawn(hits, true, answered, held)


def interval(values: Floats) -> Interval:
    """The middle 90 % of draws, float64 (draws,)."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def score_intervals(drawn: Drawn) -> Mapping[str, Interval]:
    """Interval of each score of `training.evaluate.summarize`."""
    return {name: interval(values) for name, values in drawn.scores().items()}


def class_rates(confusion: Ints, drawn: Drawn) -> tuple[Rates, Rates]:
    """Recall and precision of each class with their intervals, from the (k, k) matrix of the same images."""
    hits = np.diag(confusion)
    recall = _rates(hits, confusion.sum(axis=1), drawn.hits, drawn.true, drawn.groups[0])
    return recall, _rates(hits, confusion.sum(axis=0), drawn.hits, drawn.answered, drawn.groups[1])


def _rates(hits: Ints, n: Ints, drawn_hits: Floats, drawn_n: Floats, n_groups: Ints) -> Rates:
    """Rates of k classes.

    One group tells nothing of the spread of groups: NaN. Where all images are right, or none, so they are
    in every draw, which proves little when the groups are few: the open end is then the exact binomial bound
    for that many groups (Clopper and Pearson 1934, Biometrika 26, 404).
    """
    rate = np.where(n > 0, hits / np.maximum(n, 1), np.nan)
    low, high = np.full(len(n), np.nan), np.full(len(n), np.nan)
    for i in np.flatnonzero(n_groups >= 2):
        there = drawn_n[:, i] > 0
        low[i], high[i] = interval(drawn_hits[there, i] / drawn_n[there, i])
        bound = ((1 - LEVEL) / 2) ** (1 / int(n_groups[i]))
        if hits[i] == n[i]:
            low[i] = min(low[i], bound)
        if hits[i] == 0:
            high[i] = max(high[i], 1 - bound)
    return Rates(n, rate, low, high)
