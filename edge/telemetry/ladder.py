"""A table of a dive as a ladder of rungs, each with its worth and its measured cost; and which to take. Pure.

The knapsack over concave ladders: rungs are taken by worth a bit. The worth taken is at most one rung below
that of the best plan of as many bits (Dantzig's bound).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.frame import Phase
from edge.telemetry.count_law import code_remainder, index_of
from edge.telemetry.count_tree import code_level, code_total, grid, root_level, sum_levels
from edge.telemetry.expectation import Expectation
from edge.telemetry.means import MeanModel, to_steps
from edge.telemetry.message import Segment, is_by_rows
from edge.telemetry.range_coder import RangeEncoder
from edge.telemetry.size_spectra import Rows
from edge.telemetry.summary import WHOLE_DIVE, DiveSummary, Quantity, tree_edges

Ints = NDArray[np.int64]

_PLACE_BITS = 28
"""What saying where a table is costs, about: only to guess a first plan, which is then coded."""
_NO_LIMIT = 1 << 60
_FIRST, _HALVING, _FINER = 64, 4, 1
"""Worth of a first number, of halving the cells, and of a finer step of companding."""


@dataclass(frozen=True, slots=True)
class Rung:
    """Cells of 2 ** height bins, companded at a step; and the worth of all up to here.

    Refined, what companding leaves out is sent as a layer of its own.
    """

    height: int
    step: int
    worth: int
    is_refined: bool = False


class Ladder:
    """One table, or some of its columns and bins; the rung it is to be sent at, and what each costs."""

    def __init__(
        self,
        summary: DiveSummary,
        expectation: Expectation,
        quantity: Quantity,
        scope: int,
        weight: int,
        is_needed: bool,
        *,
        is_layered: bool = False,
    ) -> None:
        self.summary, self.expectation = summary, expectation
        self.quantity, self.scope, self.is_needed = quantity, scope, is_needed
        self.by_rows = is_by_rows(quantity, scope)
        if quantity.is_mean:
            self._sums, self._numbers = summary.means(quantity, scope)
        else:
            self._sums = self._numbers = summary.counts(quantity, scope)
        self.n_bins, n_columns = self._sums.shape
        self._weight = weight
        self._is_layered = is_layered and quantity is Quantity.SIZES and scope != WHOLE_DIVE
        self.shift = 0 if quantity.is_mean else expectation.best_shift(quantity, scope, self._sums)
        self._lists = [] if quantity.is_mean else self._sums.T.tolist()
        self._set(tuple(range(n_columns)), 0, self.n_bins, 1)

    def part(self, columns: tuple[int, ...], first: int, last: int, times: int) -> Ladder:
        """Some columns and bins of the same table, worth so many times as much."""
        other = object.__new__(Ladder)
        other.__dict__.update(self.__dict__)
        other._set(columns, first, last, self._times * times)
        return other

    def _set(self, columns: tuple[int, ...], first: int, last: int, times: int) -> None:
        self.columns, self.first, self.last, self._times = columns, first, last, times
        self.root = root_level(first, last)
        self.rung: Rung | None = None
        self.packed_bits = 0
        self._bits: list[int] = []
        self._above = -1  # the next rung takes more than this
        self._steps: dict[tuple[int, int, int], list[int | None]] = {}
        inside = self._numbers[first:last, list(columns)]
        unit = self._weight * times * max(1, int(inside.sum()).bit_length())
        finer = [(3, 0), (2, 2), (1, 3), (0, 4)] if self.by_rows else [(0, 0)]
        at_root = finer[0][0]
        self.rungs = [
            Rung(h, at_root, unit * (_FIRST + _HALVING * (self.root - h))) for h in range(self.root, -1, -1)
        ]
        best = self.rungs[-1].worth
        if self._is_layered:
            self.rungs.append(Rung(0, at_root, best + unit * _FINER * finer[-1][1], is_refined=True))
        else:
            self.rungs += [Rung(0, step, best + unit * _FINER * extra) for step, extra in finer[1:]]
        if not inside.any():
            # That there is nothing costs next to nothing to say of every bin.
            self.rungs = [replace(self.rungs[-1], step=0, is_refined=False)]

    @property
    def is_regional(self) -> bool:
        """Whether the climatology tells anything of it."""
        return self.expectation.is_regional(self.quantity, self.scope)

    @property
    def edges_dbar(self) -> tuple[int, ...]:
        """Edges of the bins of descent or ascent, dbar; () elsewhere."""
        if self.scope in (WHOLE_DIVE, Phase.PARK):
            return ()
        return tree_edges(self.summary.codebook, self.scope, self.n_bins)

    @property
    def n_cells(self) -> int:
        """Cells of all its columns at the finest."""
        return len(self.columns) * (self.last - self.first)

    def segment(self, column: int, first: int, rung: Rung, *, remainder: bool = False) -> Segment:
        """The rest of a column, or of rows from a column on, from a bin on; or what refines these rows."""
        stop = self.columns[-1] + 1 if self.by_rows else 0
        return Segment(
            Quantity.REMAINDER if remainder else self.quantity,
            self.scope,
            self.n_bins,
            column,
            first,
            self.last,
            rung.height,
            rung.step,
            stop,
            0 if remainder else self.shift,
        )

    def cells(self, height: int) -> tuple[int, ...]:
        """Bins at which the cells of a height begin, and the last."""
        return Segment(
            self.quantity, self.scope, self.n_bins, 0, self.first, self.last, min(height, self.root)
        ).cells

    def values(self, segment: Segment) -> list[int | None]:
        """What `Stream.segment` takes: counts of all bins, or steps of the cells."""
        if not self.quantity.is_mean:
            counts: list[int | None] = self._lists[segment.column]
            return counts
        key = segment.column, segment.first, segment.height
        if key not in self._steps:
            cells = replace(segment, last=self.last).cells
            sums = [
                np.add.reduceat(table[: cells[-1], segment.column], cells[:-1])
                for table in (self._sums, self._numbers)
            ]
            self._steps[key] = to_steps(self.quantity, *sums)
        # A segment is cut between cells only: its cells are the first of those to the end.
        return self._steps[key][: len(segment.cells) - 1]

    def rows(self, segment: Segment) -> list[list[int]]:
        """What `Stream.rows` takes: companded counts of the cells of a segment."""
        cells = segment.cells
        sums = np.add.reduceat(self._sums[: cells[-1], segment.column : segment.stop], cells[:-1], axis=0)
        rows: list[list[int]] = sums.tolist()
        if segment.step and segment.quantity is not Quantity.REMAINDER:
            rows = [[index_of(count, segment.step) for count in row] for row in rows]
        return rows

    def bits(self, at: int, most: int) -> int | None:
        """Bits of a rung; None when it, or one below it, is seen to take more than `most`."""
        while len(self._bits) <= at:
            if (self._bits and self._bits[-1] > most) or self._above >= most:
                return None
            if self.by_rows:
                rung = self.rungs[len(self._bits)]
                if rung.is_refined:
                    bits: int | None = self._bits[-1] + self._measure_remainder(rung)
                else:
                    bits = self._measure_rows(rung, most)
                if bits is None:
                    self._above = most
                    return None
                self._bits.append(bits)
            elif self.quantity.is_mean:
                self._bits.append(self._measure_means(self.rungs[len(self._bits)].height))
            else:
                self._bits = self._measure_tree()
        return self._bits[at]

    def bits_of(self, at: int, most: int) -> int | None:
        """Bits of one rung without those below it; None when it is seen to take more than `most`."""
        if self.by_rows:
            rung = self.rungs[at]
            least = self._measure_remainder(rung) if rung.is_refined else 0
            bits = self._measure_rows(rung, most - least)
            return None if bits is None else bits + least
        bits = self.bits(at, _NO_LIMIT)
        return None if bits is None or bits > most else bits

    def _measure_rows(self, rung: Rung, most: int) -> int | None:
        """Bits of a rung, None when it takes more than `most`."""
        coder = RangeEncoder()
        segment = self.segment(self.columns[0], self.first, rung)
        columns = self.expectation.masses(self.quantity, self.scope, self.n_bins, self.shift)
        columns = columns[segment.column : segment.stop]
        rows = Rows(self.expectation.row_law(self.quantity, self.scope), len(columns), rung.step)
        cells = segment.cells
        for first, last, row in zip(cells, cells[1:], self.rows(segment), strict=False):
            rows.code(coder, [sum(column[first:last]) for column in columns], row)
            if coder.bits > most:
                return None
        return coder.bits

    def _measure_remainder(self, rung: Rung) -> int:
        coder = RangeEncoder()
        for row in self.rows(self.segment(self.columns[0], self.first, rung, remainder=True)):
            for count in row:
                code_remainder(coder, index_of(count, rung.step), rung.step, count)
        return coder.bits

    def _measure_means(self, height: int) -> int:
        coder, model = RangeEncoder(), MeanModel()
        before = None
        for column in self.columns:
            steps = self.values(self.segment(column, self.first, Rung(height, 0, 0)))
            before = model.code(coder, self.quantity, len(steps), steps, before)
        return coder.bits

    def _measure_tree(self) -> list[int]:
        """Bits at all heights, by coding the columns once."""
        coder = RangeEncoder()
        tree = grid(tree_edges(self.summary.codebook, self.scope, self.n_bins), self.first, self.last, 0)
        law = self.expectation.split_law(self.quantity, self.scope) if tree.scales else None
        bits = [0] * (self.root + 1)
        before = -1
        for column in self.columns:
            known = sum_levels(tree, self._lists[column])
            marks = [coder.bits]
            code_total(coder, before, known[0][0])
            marks.append(coder.bits)
            if law is not None:
                masses = self.expectation.levels(
                    self.quantity, self.scope, self.n_bins, self.shift, column, self.first, self.last, 0
                )
                for depth in range(len(tree.scales)):
                    code_level(coder, tree, law, masses, depth, known[: depth + 1], known[depth + 1])
                    marks.append(coder.bits)
            for depth in range(self.root + 1):
                bits[depth] += marks[depth + 1] - marks[0]
            before = known[0][0]
        return bits


def choose(ladders: Sequence[Ladder], capacity: int) -> tuple[int, int]:
    """Set the rungs of all ladders for a number of bits; returns the bits they take, and a bound.

    The bound is of the worth that any choice of as many bits can have. Ladders that are needed have their
    first rung in any case.
    """
    steps: list[tuple[int, int, int, int, int, int]] = []
    spent = worth = 0
    for order, ladder in enumerate(ladders):
        ladder.rung = ladder.rungs[0] if ladder.is_needed else None
        points = [] if ladder.is_needed else [(-1, 0, 0)]
        for at, rung in enumerate(ladder.rungs):
            bits = ladder.bits(at, capacity if at or not ladder.is_needed else _NO_LIMIT)
            if bits is None:
                break
            points.append((at, _PLACE_BITS + bits, rung.worth))
        if ladder.is_needed:
            spent, worth = spent + points[0][1], worth + points[0][2]
        for a, b in _hull(points):
            bits, gain = points[b][1] - points[a][1], points[b][2] - points[a][2]
            steps.append((-(gain << 20) // max(bits, 1), order, points[a][0], points[b][0], bits, gain))
    steps.sort()
    bound, closed = -1, set()
    for slope, order, _, to, bits, gain in steps:
        if order in closed:
            continue
        if spent + bits > capacity:
            if bound < 0:
                bound = worth + (-slope * max(0, capacity - spent) >> 20) + 1
            closed.add(order)
            continue
        ladders[order].rung = ladders[order].rungs[to]
        spent, worth = spent + bits, worth + gain
    return spent, worth if bound < 0 else max(bound, worth)


def _hull(points: Sequence[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Edges of the upper concave hull of (rung, bits, worth), bits rising."""
    kept: list[int] = []
    for i, (_, bits, worth) in enumerate(points):
        while len(kept) >= 2:
            _, b0, w0 = points[kept[-2]]
            _, b1, w1 = points[kept[-1]]
            if (w1 - w0) * (bits - b1) > (worth - w1) * (b1 - b0):
                break
            kept.pop()
        kept.append(i)
    return list(itertools.pairwise(kept))
