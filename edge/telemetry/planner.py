"""What to say in a budget: which tables of a dive at which height, in which messages. Pure, in integers.

Totals come first; then, step by step, the halving of the bins of one table that is worth most for its bits,
with sizes measured by coding, never estimated. What does not fit is sent coarser. Nothing is cut off in
silence.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.telemetry.count_tree import (
    SplitParameters,
    add_levels,
    code_level,
    code_total,
    grid,
    root_level,
    sum_levels,
)
from edge.telemetry.laws import FLAT
from edge.telemetry.means import MeanModel, to_steps
from edge.telemetry.message import MAX_CELLS, MIN_MESSAGE_BYTES, Header, Segment, Stream, header_bytes, pack
from edge.telemetry.range_coder import RangeEncoder
from edge.telemetry.summary import WHOLE_DIVE, DiveSummary, Quantity, tree_edges

_WEIGHTS = {
    Quantity.FRAMES: 10, Quantity.TAXA: 8, Quantity.SIZES: 4, Quantity.TEMPERATURE: 2, Quantity.ESD: 2,
    Quantity.GREY: 1, Quantity.NOISE: 1, Quantity.CORRECTED: 8,
    Quantity.REPLIES: 10, Quantity.HEALTH: 8, Quantity.DOUBT: 4, Quantity.ESD_QUANTILES: 2,
}  # fmt: skip
"""Worth of halving the bins of a table, before its information is looked at; and the order of sending."""
_FIRST_WORTH = 16
"""A first number for a whole phase is worth as much as this many halvings."""
_PLACE_BITS = 28
"""What saying where a table is costs, about: only to guess a first plan, which is then coded."""
_TRIES = 6
_MIN_CUT_BYTES = 12
"""Room below which a column is not cut to fill a message: the cut would eat most of it."""


@dataclass(frozen=True, slots=True)
class PlannedLayer:
    """How a table is sent, for people.

    Attributes
    ----------
    quantity, scope
        The table: a quantity of a phase (or `WHOLE_DIVE`).
    height
        Cells are 2 ** height bins; None when the table is not sent.
    n_cells, n_bins
        Cells of a column that are sent, and bins of the phase.
    n_bytes
        What it costs in the messages, rounded up, without their headers.
    """

    quantity: Quantity
    scope: int
    height: int | None
    n_cells: int
    n_bins: int
    n_bytes: int

    @property
    def is_lossless(self) -> bool:
        """True when every bin is sent by itself."""
        return self.n_cells == self.n_bins


@dataclass(frozen=True, slots=True)
class Plan:
    """Messages of a dive, in the order of sending, and what is in them."""

    messages: tuple[bytes, ...]
    layers: tuple[PlannedLayer, ...]

    @property
    def n_bytes(self) -> int:
        """Bytes of all messages."""
        return sum(map(len, self.messages))


def plan(
    summary: DiveSummary,
    budget_bytes: int,
    message_bytes: int,
    laws: Mapping[Quantity, SplitParameters] = FLAT,
) -> Plan:
    """Messages of a dive: none above `message_bytes`, together at most `budget_bytes`.

    Raises
    ------
    InputError
        When not even the totals of the dive fit in the budget: it says how many bytes they need.
    """
    if message_bytes < MIN_MESSAGE_BYTES:
        raise InputError(
            f"is {message_bytes}, the smallest is {MIN_MESSAGE_BYTES}",
            field="message_bytes",
            remedy="use a larger one",
        )
    tables = _tables(summary)
    needed = [table for table in tables if table.is_needed]
    best = _pack(summary, needed, message_bytes, laws)
    if best.n_bytes > budget_bytes:
        return _totals(summary, tables, budget_bytes, message_bytes, laws)
    for table in tables:
        table.measure(summary, laws)
    per_message = header_bytes(0, 1) + 5
    capacity = 8 * (budget_bytes - per_message * -(-budget_bytes // message_bytes))
    tried: set[tuple[int | None, ...]] = set()
    for _ in range(_TRIES):
        spent = _choose(tables, capacity)
        heights = tuple(table.height for table in tables)
        if heights in tried:
            break
        tried.add(heights)
        found = _pack(summary, tables, message_bytes, laws)
        left = budget_bytes - found.n_bytes
        if left >= 0:
            if found.resolution >= best.resolution:
                best = found
            if all(table.height == 0 for table in tables):
                break
            capacity += 8 * left - 4
        else:
            capacity = min(capacity, spent) + 8 * left
    return Plan(best.messages, _layers(tables, best))


class _Table:
    """One table of the dive, the height it is to be sent at, and what each height costs."""

    def __init__(self, summary: DiveSummary, quantity: Quantity, scope: int) -> None:
        self.quantity, self.scope = quantity, scope
        self.height: int | None = None
        self.bits: list[int] = []
        self.sums: NDArray[np.int64]
        self.numbers: NDArray[np.int64]
        if quantity.is_mean:
            self.sums, self.numbers = summary.means(quantity, scope)
        else:
            self.sums = self.numbers = summary.counts(quantity, scope)
        self.n_bins, self.n_columns = self.sums.shape
        self.is_needed = quantity in (Quantity.DIVE, Quantity.UNPLACED, Quantity.FRAMES, Quantity.TAXA)
        self.root = root_level(0, self.n_bins)
        self.worth = _WEIGHTS.get(quantity, 0) * int(self.numbers.sum()).bit_length()
        self._columns = [] if quantity.is_mean else self.sums.T.tolist()
        if self.is_needed:
            self.height = self.root

    def values(self, column: int, cells: Sequence[int]) -> list[int | None]:
        """What `Stream.segment` takes: counts of all bins, or steps of the cells."""
        if not self.quantity.is_mean:
            counts: list[int | None] = self._columns[column]
            return counts
        sums = [
            np.add.reduceat(table[: cells[-1], column], cells[:-1]) for table in (self.sums, self.numbers)
        ]
        return to_steps(self.quantity, *sums)

    def measure(self, summary: DiveSummary, laws: Mapping[Quantity, SplitParameters]) -> None:
        """Bits at each height, by coding the table as one stream."""
        coder = RangeEncoder()
        self.bits = [0] * (self.root + 1)
        if self.quantity.is_mean:
            for height in range(self.root + 1):
                self.bits[height] = self._measure_means(coder, height)
            return
        law = laws[self.quantity]
        tree = grid(tree_edges(summary.codebook, self.scope, self.n_bins), 0, self.n_bins, 0)
        others, before = None, -1
        for column in self._columns:
            levels = sum_levels(tree, column)
            marks = [coder.bits]
            code_total(coder, before, levels[0][0])
            marks.append(coder.bits)
            for depth in range(len(tree.splits)):
                told = others[depth + 1] if others and law.trust else None
                code_level(coder, tree, law, depth, levels[depth], told, levels[depth + 1])
                marks.append(coder.bits)
            for depth in range(self.root + 1):
                self.bits[self.root - depth] += marks[depth + 1] - marks[0]
            others, before = add_levels(others, levels), levels[0][0]

    def _measure_means(self, coder: RangeEncoder, height: int) -> int:
        start, model = coder.bits, MeanModel()
        cells = Segment(self.quantity, self.scope, self.n_bins, 0, 0, self.n_bins, height).cells
        before = None
        for column in range(self.n_columns):
            steps = self.values(column, cells)
            before = model.code(coder, self.quantity, len(steps), steps, before)
        return coder.bits - start


def _tables(summary: DiveSummary) -> list[_Table]:
    """Tables in the order of sending: the important ones in the first messages."""
    tables = [_Table(summary, Quantity.DIVE, WHOLE_DIVE)]
    parts = summary.profile.phases
    tables += [_Table(summary, Quantity.UNPLACED, p.phase) for p in parts if p.unplaced_frames.any()]
    tables += [_Table(summary, quantity, WHOLE_DIVE) for quantity in summary.extras]
    tables += [
        _Table(summary, quantity, p.phase) for quantity in _WEIGHTS if not quantity.is_of_dive for p in parts
    ]
    return [table for table in tables if table.n_columns]


def _choose(tables: Sequence[_Table], capacity: int) -> int:
    """Set the heights of all tables for a number of bits; returns the bits they take."""
    spent = 0
    for table in tables:
        table.height = table.root if table.is_needed else None
        spent += _PLACE_BITS + table.bits[table.root] if table.is_needed else 0
    open_tables = list(tables)
    while open_tables:
        steps = [_next_step(table) for table in open_tables]
        best = max(range(len(steps)), key=lambda i: steps[i][0])
        table, cost = open_tables[best], steps[best][1]
        if table.height == 0 or spent + cost > capacity:
            del open_tables[best]
            continue
        table.height = table.root if table.height is None else table.height - 1
        spent += cost
    return spent


def _next_step(table: _Table) -> tuple[int, int]:
    """Worth a bit of the next finer height (scaled), and its bits."""
    if table.height is None:
        cost = _PLACE_BITS + table.bits[table.root]
        return (_FIRST_WORTH * table.worth << 20) // cost, cost
    if table.height == 0:
        return 0, 0
    cost = max(1, table.bits[table.height - 1] - table.bits[table.height])
    return (table.worth << 20) // cost, cost


@dataclass(frozen=True, slots=True)
class _Packed:
    messages: tuple[bytes, ...]
    bits: dict[tuple[Quantity, int], int]
    heights: dict[tuple[Quantity, int], int]
    resolution: int

    @property
    def n_bytes(self) -> int:
        return sum(map(len, self.messages))


def _pack(
    summary: DiveSummary,
    tables: Sequence[_Table],
    message_bytes: int,
    laws: Mapping[Quantity, SplitParameters],
) -> _Packed:
    """Code the tables at their heights into messages."""
    sent = [(table, table.height) for table in tables if table.height is not None]
    for parts_bytes in itertools.count(1):
        packer = _Packer(summary, message_bytes, parts_bytes, laws)
        for table, height in sent:
            packer.add(table, height)
        bodies = packer.close()
        if len(bodies) <= 1 << (7 * parts_bytes):
            break
    number, identity = summary.dive_number, summary.codebook.id
    messages = tuple(
        pack(Header(identity, number, part, len(bodies)), body, parts_bytes)
        for part, body in enumerate(bodies)
    )
    return _Packed(
        messages,
        packer.bits,
        {(table.quantity, table.scope): height for table, height in sent},
        sum(table.worth * (_FIRST_WORTH + table.root - height) for table, height in sent),
    )


class _Packer:
    """Fills one message after another; a column that does not fit is cut between two of its cells."""

    def __init__(
        self,
        summary: DiveSummary,
        message_bytes: int,
        parts_bytes: int,
        laws: Mapping[Quantity, SplitParameters],
    ) -> None:
        self._codebook, self._laws = summary.codebook, laws
        self._message_bytes, self._parts_bytes = message_bytes, parts_bytes
        self._bodies: list[bytes] = []
        self.bits: dict[tuple[Quantity, int], int] = {}
        self._open()

    def add(self, table: _Table, height: int) -> None:
        """Code all columns of a table."""
        key = table.quantity, table.scope
        for column in range(table.n_columns):
            first = 0
            while first < table.n_bins:
                segment = Segment(*key, table.n_bins, column, first, table.n_bins, height)
                before = self._coder.bits
                first = table.n_bins if self._try(table, segment) else self._fill(table, segment)
                self.bits[key] = self.bits.get(key, 0) + self._coder.bits - before
                if first < table.n_bins:
                    self._close_message()

    def close(self) -> list[bytes]:
        """The bodies of all messages."""
        if self._stream.state.last is not None or not self._bodies:
            self._close_message()
        return self._bodies

    def _open(self) -> None:
        self._coder = RangeEncoder()
        self._stream = Stream(self._coder, self._codebook, self._laws)
        self._limit = self._message_bytes - header_bytes(len(self._bodies), self._parts_bytes)

    def _close_message(self) -> None:
        self._stream.segment(None)
        self._bodies.append(self._coder.finish())
        self._open()

    def _fill(self, table: _Table, segment: Segment) -> int:
        """Code as many cells of a segment as fit; returns the bin where the next message goes on."""
        if self._stream.state.last is not None and self._limit - self._coder.bits // 8 < _MIN_CUT_BYTES:
            return segment.first
        cells = segment.cells
        fits, too_many = 0, len(cells) - 1
        while too_many - fits > 1:
            n = (fits + too_many) // 2
            mark, state = self._coder.mark(), self._stream.state
            if self._try(table, _part(segment, cells[n])):
                fits = n
                self._coder.rewind(mark)
                self._stream.state = state
            else:
                too_many = n
        if fits and self._try(table, _part(segment, cells[fits])):
            return cells[fits]
        return segment.first

    def _try(self, table: _Table, segment: Segment) -> bool:
        """Code a segment, or leave everything as it was when the message would be too long."""
        mark, state = self._coder.mark(), self._stream.state
        cells = segment.cells
        if state.cells + len(cells) - 1 <= MAX_CELLS:
            self._stream.state = state.copy()
            self._stream.segment(segment, table.values(segment.column, cells))
            if self._fits():
                return True
        self._coder.rewind(mark)
        self._stream.state = state
        return False

    def _fits(self) -> bool:
        if self._coder.bits // 8 + 4 <= self._limit:
            return True
        mark = self._coder.mark()
        self._stream.segment(None)
        length = len(self._coder.finish())
        self._coder.rewind(mark)
        return length <= self._limit


def _part(segment: Segment, last: int) -> Segment:
    return Segment(
        segment.quantity, segment.scope, segment.n_bins, segment.column, segment.first, last, segment.height
    )


def _totals(
    summary: DiveSummary,
    tables: Sequence[_Table],
    budget_bytes: int,
    message_bytes: int,
    laws: Mapping[Quantity, SplitParameters],
) -> Plan:
    """The smallest plan: totals of the whole dive, with those of the size classes if they fit."""
    wanted = [Quantity.DIVE, Quantity.FRAMES, Quantity.TAXA, Quantity.SIZES]
    wanted += summary.extras
    whole = [_Table(summary, quantity, WHOLE_DIVE) for quantity in wanted]
    whole = [table for table in whole if table.n_columns]
    for table in whole:
        table.height = 0
    for n in range(len(whole), 0, -1):
        found = _pack(summary, whole[:n], message_bytes, laws)
        if found.n_bytes <= budget_bytes:
            return Plan(found.messages, _layers([*whole[:n], *tables], found))
        if all(table.is_needed for table in whole[:n]):
            break
    raise InputError(
        f"is {budget_bytes}, the totals of this dive need {found.n_bytes}",
        field="budget_bytes",
        remedy=f"allow at least {found.n_bytes} bytes",
    )


def _layers(tables: Sequence[_Table], packed: _Packed) -> tuple[PlannedLayer, ...]:
    layers = []
    for table in tables:
        key = table.quantity, table.scope
        height = packed.heights.get(key)
        cells = (
            0 if height is None else len(Segment(*key, table.n_bins, 0, 0, table.n_bins, height).cells) - 1
        )
        layers.append(PlannedLayer(*key, height, cells, table.n_bins, -(-packed.bits.get(key, 0) // 8)))
    return tuple(layers)
