"""The body of one message: tables of a dive in one range-coded stream. Pure.

Every message decodes without any other, given the codebook (and the climatology, if it was coded with one).
The stream is written and read by the same code (`Stream`); what travels, and how finely, is the planner's
choice, not decided here. docs/wire-format.md says the same for those who write another decoder.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from edge.frame import Phase
from edge.telemetry.climatology import MEAN_ONE as CLIMATOLOGY_ONE
from edge.telemetry.count_law import MEAN_ONE, STEPS, code_count, code_remainder, index_of
from edge.telemetry.count_tree import code_column, code_total, grid, sum_levels
from edge.telemetry.expectation import MAX_SHIFT, Expectation
from edge.telemetry.header import bad_message
from edge.telemetry.means import MeanModel
from edge.telemetry.range_coder import Coder, RangeDecoder, RangeEncoder
from edge.telemetry.size_spectra import Rows
from edge.telemetry.summary import WHOLE_DIVE, Quantity, n_columns, tree_edges

MAX_HEIGHT = 14
MAX_CELLS = 1 << 17
"""Most cells in one message: a bound on the time and memory that any bytes can ask of a decoder."""

_SCOPES = 4
_QUANTITY_CODES = 32
_NEXT, _NEXT_WHOLE, _NEXT_CUT, _NEW, _END = range(5)
_AFTER_WHOLE = (0, 232, 234, 244, 250, 256)
_AFTER_PART = (0, 4, 228, 238, 246, 256)
_AFTER_TABLE = (0, 1, 2, 3, 192, 256)
_ALL, _TO_END, _PART = range(3)
_EXTENT = (0, 8, 13, 16)
_GO_ON = (0, 255, 256)
_QUANTITY_WEIGHTS: dict[int, int] = {
    Quantity.FRAMES: 16,
    Quantity.TAXA: 64,
    Quantity.SIZES: 64,
    Quantity.ESD: 16,
    Quantity.GREY: 16,
}
_QUANTITY = tuple(
    itertools.accumulate((_QUANTITY_WEIGHTS.get(code, 4) for code in range(_QUANTITY_CODES)), initial=0)
)
_HEIGHT = (0, *itertools.accumulate(16 if height == 0 else 2 for height in range(MAX_HEIGHT + 1)))
_FULL_DEPTH = (0, 1, 2)
_SHIFT = (
    0,
    *itertools.accumulate(1 + 960 // (16 + shift * shift) for shift in range(-MAX_SHIFT, MAX_SHIFT + 1)),
)


def is_by_rows(quantity: Quantity, scope: int) -> bool:
    """Whether a table travels row by row (size spectra, totals of taxa), not column by column."""
    if quantity is Quantity.TAXA:
        return scope == WHOLE_DIVE
    return quantity in (Quantity.SIZES, Quantity.NOISE, Quantity.REMAINDER)


@dataclass(frozen=True, slots=True)
class Segment:
    """Bins [first, last) of one column of a table, in cells of a height; or of several columns, by rows.

    `scope` is a phase or `WHOLE_DIVE`; `n_bins` is that of the whole phase; rows hold columns [column, stop)
    and are companded at a `step` (`count_law.STEPS`); `shift` is that of the climatology.
    """

    quantity: Quantity
    scope: int
    n_bins: int
    column: int
    first: int
    last: int
    height: int
    step: int = 0
    stop: int = 0
    shift: int = 0

    @property
    def is_whole(self) -> bool:
        """True when it covers all bins of the phase."""
        return self.last - self.first == self.n_bins

    @property
    def by_rows(self) -> bool:
        """True when it holds several columns."""
        return is_by_rows(self.quantity, self.scope)

    @property
    def cells(self) -> tuple[int, ...]:
        """Bins at which the cells begin, and `last`."""
        step = 1 << self.height
        return self.first, *range((self.first // step + 1) * step, self.last, step), self.last


Values = Sequence[int | None]
"""Counts, or steps of a mean with None where there was no reading; of rows, row after row."""
Base = Callable[[Segment, int], Sequence[int] | None]
"""Gives the companded counts of size classes that a segment of `REMAINDER` refines, in its cell that begins
at a bin; None when they are not at hand."""


def _no_base(segment: Segment, first: int) -> Sequence[int] | None:
    del segment, first
    return None


_CodeRow = Callable[[int, int, Sequence[int] | None], list[int] | None]
"""Codes a row, a cell from a bin to another of all columns; None when that cannot be read."""


class _State:
    """What the coding of the next segment depends on: the last one, sums of its run, learned models."""

    __slots__ = ("bins", "cells", "last", "means", "total", "values")

    def __init__(self) -> None:
        self.last: Segment | None = None
        self.total = -1
        self.values: Values | None = None
        self.means: dict[Quantity, MeanModel] = {}
        self.bins: dict[int, int] = {}
        self.cells = 0

    def copy(self) -> _State:
        other = _State()
        other.last, other.total = self.last, self.total
        other.values, other.cells = self.values, self.cells
        other.means = {quantity: model.copy() for quantity, model in self.means.items()}
        other.bins = dict(self.bins)
        return other


class Stream:
    """Segments through a coder, one after another, in either direction.

    Attributes
    ----------
    waits
        Whether the message goes on with what cannot be read without its base.
    """

    def __init__(self, coder: Coder, expectation: Expectation, base: Base = _no_base) -> None:
        self._coder, self._base = coder, base
        self.waits = False
        self._expectation = expectation
        self._codebook = expectation.codebook
        self.state = _State()

    def segment(self, given: Segment | None = None, values: Values | None = None) -> Segment | None:
        """Code the place of the next segment and its values.

        Parameters
        ----------
        given, values
            When encoding: the segment, and the counts of all bins of its phase or the steps of its cells;
            None ends the message. Nothing when decoding. Rows are encoded by `rows`.

        Returns
        -------
        The segment, None at the end. Its values are then in `values`.
        """
        segment = self._place(given)
        if segment is None:
            return None
        if segment.by_rows:
            return self._code_rows(segment, None, lambda: True)
        state = self.state
        self._count_cells(len(segment.cells) - 1)
        if segment.quantity.is_mean:
            model = state.means.setdefault(segment.quantity, MeanModel())
            continues = state.last is not None and replace(segment, column=state.last.column) == state.last
            before = state.values if continues else None
            state.values = model.code(self._coder, segment.quantity, len(segment.cells) - 1, values, before)
        else:
            self._code_counts(segment, values)
        state.last = segment
        return segment

    def rows(self, given: Segment, rows: Sequence[Sequence[int]], fits: Callable[[], bool]) -> Segment | None:
        """Encode as many rows of a segment as fit; returns what was coded, None when not even the first.

        Parameters
        ----------
        rows
            Companded counts, a row for each cell of the segment.
        fits
            Says after each row whether the message may still be closed; what does not fit is taken back.
        """
        self._place(given)
        segment = self._code_rows(given, rows, fits)
        return segment if segment.last > given.first else None

    @property
    def values(self) -> Values:
        """Values of the cells of the last segment."""
        assert self.state.values is not None
        return self.state.values

    def _count_cells(self, n: int) -> None:
        self.state.cells += n
        if self.state.cells > MAX_CELLS:
            raise bad_message(f"holds more than {MAX_CELLS} cells", "leave it out")

    def _code_rows(
        self, segment: Segment, known: Sequence[Sequence[int]] | None, fits: Callable[[], bool]
    ) -> Segment:
        coder = self._coder
        encoder = coder if isinstance(coder, RangeEncoder) else None
        code_row = (
            self._remainder(segment) if segment.quantity is Quantity.REMAINDER else self._counts(segment)
        )
        n_columns = segment.stop - segment.column
        found: list[int] = []
        cells = segment.cells
        last = segment.first
        for i, (first, after) in enumerate(itertools.pairwise(cells)):
            mark = encoder.mark() if encoder else None
            if i and coder.symbol(_GO_ON, 0 if known is None or i < len(known) else 1):
                break
            self._count_cells(n_columns)
            row = code_row(first, after, None if known is None else known[i])
            if row is None:
                self.waits = True
                break
            if encoder and mark and not fits():
                encoder.rewind(mark)
                self.state.cells -= n_columns
                if i:
                    coder.symbol(_GO_ON, 1)
                break
            found += row
            last = after
        segment = replace(segment, last=last)
        self.state.values, self.state.last, self.state.total = found, segment, -1
        return segment

    def _counts(self, segment: Segment) -> _CodeRow:
        """Codes the companded counts of a row."""
        columns = self._expectation.masses(segment.quantity, segment.scope, segment.n_bins, segment.shift)
        columns = columns[segment.column : segment.stop]
        rows = Rows(self._expectation.row_law(segment.quantity, segment.scope), len(columns), segment.step)

        def code_row(first: int, after: int, known: Sequence[int] | None) -> list[int]:
            return rows.code(self._coder, [sum(column[first:after]) for column in columns], known)

        return code_row

    def _remainder(self, segment: Segment) -> _CodeRow:
        """Codes the counts of a row within the intervals of their companded counts."""
        step = segment.step

        def code_row(first: int, after: int, known: Sequence[int] | None) -> list[int] | None:
            del after
            base = self._base(segment, first) if known is None else [index_of(count, step) for count in known]
            if base is None:
                return None
            given = known or [0] * len(base)
            return [
                code_remainder(self._coder, index, step, count)
                for index, count in zip(base, given, strict=True)
            ]

        return code_row

    def _code_counts(self, segment: Segment, values: Values | None) -> None:
        state, expectation = self.state, self._expectation
        place = segment.quantity, segment.scope, segment.n_bins
        tree = grid(tree_edges(self._codebook, *place[1:]), segment.first, segment.last, segment.height)
        known = None if values is None else sum_levels(tree, [value or 0 for value in values])
        total = self._code_total(segment, known[0][0] if known else 0)
        if tree.scales:
            law = expectation.split_law(segment.quantity, segment.scope)
            masses = expectation.levels(
                *place, segment.shift, segment.column, segment.first, segment.last, segment.height
            )
            levels = code_column(self._coder, tree, law, masses, known, total)
        else:
            levels = [[total]]
        state.total, state.values = total, levels[-1]

    def _code_total(self, segment: Segment, known: int) -> int:
        state, expectation = self.state, self._expectation
        place = segment.quantity, segment.scope, segment.n_bins
        mean = expectation.total(*place, segment.shift, segment.column, segment.first, segment.last)
        if mean:
            assert expectation.climatology is not None
            mean = max(1, mean * MEAN_ONE // CLIMATOLOGY_ONE)
            return code_count(self._coder, known, mean, expectation.climatology.total_spread, 0)
        same_table = state.last is not None and _table(state.last) == _table(segment)
        return code_total(self._coder, state.total if same_table else -1, known)

    def _place(self, given: Segment | None) -> Segment | None:
        """Code where the next segment is; a run of columns costs a tenth of a bit each."""
        last = self.state.last
        if last is None:
            return self._new(given)
        more = not last.by_rows and last.column + 1 < n_columns(self._codebook, last.quantity)
        following = replace(last, column=last.column + 1)
        whole = replace(following, first=0, last=last.n_bins)
        if given is None:
            action = _END
        elif more and given == following:
            action = _NEXT
        elif more and given == whole:
            action = _NEXT_WHOLE
        elif more and given == replace(whole, last=given.last):
            action = _NEXT_CUT
        else:
            action = _NEW
        bounds = _AFTER_TABLE if not more else _AFTER_WHOLE if last.is_whole else _AFTER_PART
        action = self._coder.symbol(bounds, action)
        if action == _END:
            return None
        if action == _NEW:
            return self._new(given)
        if not more:
            raise bad_message(
                "goes past the last column of a table", "check that the codebook is the right one"
            )
        if action == _NEXT_CUT:
            n = last.n_bins
            return replace(whole, last=1 + self._coder.uniform(n, given.last - 1 if given else 0))
        return following if action == _NEXT else whole

    def _new(self, given: Segment | None) -> Segment:
        coder, codebook = self._coder, self._codebook
        want = given or Segment(Quantity.DIVE, WHOLE_DIVE, 1, 0, 0, 1, 0)
        code = coder.symbol(_QUANTITY, want.quantity)
        scope = coder.uniform(_SCOPES, want.scope)
        if code >= len(Quantity):
            raise bad_message("holds a table unknown to this version", "update seston")
        quantity = Quantity(code)
        of_phases = quantity.is_mean or quantity is Quantity.REMAINDER
        if (scope == WHOLE_DIVE and of_phases) or (scope != WHOLE_DIVE and quantity.is_of_dive):
            raise bad_message("holds a table where there is none", "leave it out")
        columns = n_columns(codebook, quantity)
        if not columns:
            raise bad_message("holds a table without columns", "check that the codebook is the right one")
        by_rows = is_by_rows(quantity, scope)
        column, stop, step = 0, 0, 0
        if by_rows:
            step = coder.uniform(len(STEPS), want.step)
            if quantity is Quantity.REMAINDER and not step:
                raise bad_message("refines counts that are exact", "leave it out")
            column, stop = self._extent(columns, want.column, want.stop)
        else:
            column = coder.uniform(columns, want.column)
        if scope == WHOLE_DIVE or not quantity.has_bins:
            return Segment(quantity, scope, 1, column, 0, 1, 0, step, stop)
        n = self.state.bins.get(scope)
        if n is None:
            n = codebook.max_bins(Phase(scope))
            if coder.symbol(_FULL_DEPTH, int(want.n_bins < n)):
                n = 1 + coder.uniform(n, want.n_bins - 1)
            self.state.bins[scope] = n
        first, last = self._extent(n, want.first, want.last)
        height = coder.symbol(_HEIGHT, want.height)
        shift = 0
        if self._expectation.is_regional(quantity, scope):
            shift = coder.symbol(_SHIFT, want.shift + MAX_SHIFT) - MAX_SHIFT
        return Segment(quantity, scope, n, column, first, last, height, step, stop, shift)

    def _extent(self, n: int, first: int, last: int) -> tuple[int, int]:
        """Code a range of 0..n: all of it, from somewhere to the end, or any."""
        kind = _ALL if (first, last) == (0, n) else _TO_END if last == n else _PART
        kind = self._coder.symbol(_EXTENT, kind)
        if kind == _ALL:
            return 0, n
        first = self._coder.uniform(n, first)
        if kind == _TO_END:
            return first, n
        return first, first + 1 + self._coder.uniform(n - first, last - first - 1)


def _table(segment: Segment) -> tuple[Quantity, int]:
    return segment.quantity, segment.scope


def read_body(
    body: bytes, expectation: Expectation, base: Base = _no_base
) -> Iterator[tuple[Segment, Values]]:
    """All segments of a message's body with the values of their cells, one after another.

    What refines counts comes as exact counts of size classes; it ends where `base` has nothing.

    Raises
    ------
    MessageError
        When the bytes are not what an encoder with this codebook writes.
    """
    if body.endswith(b"\0"):
        raise bad_message("ends in a zero, which no encoder writes", "leave it out")
    decoder = RangeDecoder(body)
    stream = Stream(decoder, expectation, base)
    while (segment := stream.segment()) is not None:
        if segment.quantity is Quantity.REMAINDER:
            segment = replace(segment, quantity=Quantity.SIZES, step=0)
        if segment.last > segment.first:
            yield segment, list(stream.values)
        if stream.waits:
            return
    if not decoder.exhausted:
        raise bad_message("goes on after its end", "leave it out")
