"""Domain shift: how far the particles of a dive are from what the model was tested on, as one number. Pure.

Size, grey and score are compared taxon by taxon, by the name that was given, so that water with other taxa in
it is no drift; water, light or a lens that change how a taxon looks are. The number is that of Kolmogorov and
Smirnov: the largest difference between two cumulative distributions, at one quantile of all taxa together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.inference.preprocessing import N_NUMBERS, NUMBERS

SIZE_STEP, GREY_STEP = 12, 8
"""Widths of the bins of `log_area`, an octave, and of `log_white`, a quarter of an octave."""
N_SIZE_BINS, N_GREY_BINS, N_SCORE_BINS = -(-256 // SIZE_STEP), 256 // GREY_STEP, 20
LEAST_IMAGES = 10
"""A taxon with fewer images in the reference is not compared."""
LEAST_PARTICLES = 30
"""Of fewer nothing is said: chance alone would give more than a quarter."""

Counts = NDArray[np.int64]
_Row = tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
"""Number of empty bins before, and the bins up to the last that is not empty; nothing when all are."""


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Held-back images by the taxon they were named as, and by bins of size, grey and score; in the bundle.

    Attributes
    ----------
    size, grey
        A row a counted taxon, by bins of `log_area` and `log_white` (`edge.inference.preprocessing`); no rows
        for a model that takes no numbers.
    score
        A row a counted taxon, by bins of the highest score.
    """

    size: tuple[_Row, ...] = ()
    grey: tuple[_Row, ...] = ()
    score: tuple[_Row, ...] = ()

    def tables(self) -> tuple[Counts, Counts, Counts]:
        """Size, grey and score, each int64 (n_taxa, n_bins); ValueError when one is of another shape."""
        found = []
        for name, rows, n in zip(NAMES, (self.size, self.grey, self.score), _N_BINS, strict=True):
            table = np.zeros((len(rows), n), dtype=np.int64)
            for counts, (first, *told) in ((table[i], row) for i, row in enumerate(rows) if row):
                if first + len(told) > n:
                    raise ValueError(f"{name} has {n} bins, a row ends in the {first + len(told)}th")
                counts[first : first + len(told)] = told
            found.append(table)
        return found[0], found[1], found[2]


NAMES = ("size", "grey", "score")
_N_BINS = (N_SIZE_BINS, N_GREY_BINS, N_SCORE_BINS)


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a dive is from the reference; thousandths, 0 is the same and 1000 is nothing in common.

    Attributes
    ----------
    particles
        How many were compared.
    size, grey, score
        Each distribution alone; None where the model has no such numbers.
    """

    particles: int
    size: int | None
    grey: int | None
    score: int | None

    @property
    def permille(self) -> int | None:
        """The one number: the largest of them."""
        return max((one for one in (self.size, self.grey, self.score) if one is not None), default=None)

    @property
    def by_chance_permille(self) -> int:
        """What one of twenty dives without any drift would pass (Kolmogorov's limit, 1.36 / sqrt(n))."""
        return round(1360 / math.sqrt(self.particles))


class Appearance:
    """Size, grey and score of particles by taxon, as they come: a dive's, or the reference's own making."""

    def __init__(self, n_taxa: int) -> None:
        self.counts = tuple(np.zeros((n_taxa, n), dtype=np.int64) for n in _N_BINS)

    def add(self, taxa: NDArray[np.int64], numbers: NDArray[np.uint8], scores: NDArray[np.floating]) -> None:
        """Count particles.

        Parameters
        ----------
        taxa
            int64 (N,): decisions.
        numbers
            uint8 (N, N_NUMBERS) as `describe` tells them, or (N, 0).
        scores
            (N,): the highest score of each.
        """
        values = [np.minimum((np.asarray(scores) * N_SCORE_BINS).astype(np.int64), N_SCORE_BINS - 1)]
        tables = [self.counts[2]]
        if numbers.shape[1] == N_NUMBERS:
            values += [
                numbers[:, NUMBERS.index("log_area")].astype(np.int64) // SIZE_STEP,
                numbers[:, NUMBERS.index("log_white")].astype(np.int64) // GREY_STEP,
            ]
            tables += self.counts[:2]
        for table, bins in zip(tables, values, strict=True):
            np.add.at(table, (taxa, bins), 1)

    def reference(self) -> Reference:
        """What was counted, for a bundle."""
        rows = [tuple(map(_trimmed, table)) if table.any() else () for table in self.counts]
        return Reference(size=rows[0], grey=rows[1], score=rows[2])

    def drift(self, reference: Reference) -> Drift | None:
        """How far what was counted is from a reference; None for fewer than `LEAST_PARTICLES`."""
        permille: list[int | None] = []
        n_particles = 0
        for here, there in zip(self.counts, reference.tables(), strict=True):
            n, value = _distance(here, there)
            permille.append(value)
            n_particles = max(n_particles, n)
        if n_particles < LEAST_PARTICLES:
            return None
        return Drift(n_particles, *permille)


def _trimmed(row: Counts) -> tuple[int, ...]:
    there = np.flatnonzero(row)
    return (int(there[0]), *row[there[0] : there[-1] + 1].tolist()) if len(there) else ()


def _distance(here: Counts, there: Counts) -> tuple[int, int | None]:
    """Particles compared, and the largest difference of the cumulative distributions in thousandths."""
    if not len(there) or not here.any():
        return 0, None
    known = there.sum(axis=1) >= LEAST_IMAGES
    here, there = here[known], there[known]
    n_here = here.sum(axis=1)
    total = int(n_here.sum())
    if total < LEAST_PARTICLES:
        return total, None
    # The same quantile of every taxon is looked at together: taxa that lie elsewhere hide no shift of each.
    below, total_there = there.cumsum(axis=1), there.sum(axis=1)
    wanted = np.arange(1, 100)[:, np.newaxis] * total_there
    place = (100 * below[np.newaxis] < wanted[:, :, np.newaxis]).sum(axis=2)
    taxa = np.arange(len(there))
    found = here.cumsum(axis=1)[taxa, place].sum(axis=1).tolist()
    expected = n_here * (below / total_there[:, np.newaxis])[taxa, place]
    # math.fsum is exact: the same number on every machine.
    largest = max(abs(a - math.fsum(b)) for a, b in zip(found, expected.tolist(), strict=True))
    return total, math.floor(1000 * largest / total + 0.5)
