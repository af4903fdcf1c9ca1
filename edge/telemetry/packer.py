"""Fills one message after another with tables; what does not fit is cut between two of its cells. Pure."""

from __future__ import annotations

import itertools
from dataclasses import replace

from edge.errors import InputError
from edge.telemetry.expectation import Expectation
from edge.telemetry.header import header_bytes
from edge.telemetry.ladder import Ladder, Rung
from edge.telemetry.message import MAX_CELLS, Segment, Stream
from edge.telemetry.range_coder import RangeEncoder

_MIN_CUT_BYTES = 12
"""Room below which a column is not cut to fill a message: the cut would eat most of it."""
_END_BITS, _END_ROWS_BITS = 6, 14
"""What it takes to say that a message ends, after a column and within rows."""


class Packer:
    """Codes tables into the bodies of messages of at most so many bytes, header and CRC included."""

    def __init__(
        self, expectation: Expectation, message_bytes: int, parts_bytes: int, *, is_short: bool
    ) -> None:
        self._expectation, self._message_bytes = expectation, message_bytes
        self._parts_bytes, self._is_short = parts_bytes, is_short
        self._bodies: list[bytes] = []
        self._tried_bits = 0
        """Bits of the last column that was tried, taken back or not."""
        self._open()

    def add(self, ladder: Ladder) -> None:
        """Code a table at its rung, if it has one."""
        ladder.packed_bits = 0
        if ladder.rung is None:
            return
        if ladder.by_rows:
            self._add_rows(ladder, ladder.rung, remainder=False)
        else:
            for column in ladder.columns:
                self._add_column(ladder, ladder.rung, column)

    def add_remainder(self, ladder: Ladder) -> None:
        """Code what makes a companded table exact, if its rung says so: added after all tables."""
        if ladder.rung is not None and ladder.rung.is_refined:
            self._add_rows(ladder, ladder.rung, remainder=True)

    def close(self) -> list[bytes]:
        """The bodies of all messages."""
        if not self._is_empty or not self._bodies:
            self._close_message()
        return self._bodies

    @property
    def n_bytes(self) -> int:
        """Bytes of the bodies that are full."""
        return sum(map(len, self._bodies))

    @property
    def _is_empty(self) -> bool:
        return self._stream.state.last is None

    def _open(self) -> None:
        self._coder = RangeEncoder()
        self._stream = Stream(self._coder, self._expectation)
        header = header_bytes(len(self._bodies), self._parts_bytes, is_short=self._is_short)
        self._limit = self._message_bytes - header

    def _close_message(self) -> None:
        self._stream.segment(None)
        self._bodies.append(self._coder.finish())
        self._open()

    def _add_column(self, ladder: Ladder, rung: Rung, column: int) -> None:
        first = ladder.first
        while first < ladder.last:
            segment = ladder.segment(column, first, rung)
            before = self._coder.bits
            first = ladder.last if self._try(ladder, segment) else self._fill(ladder, segment)
            ladder.packed_bits += self._coder.bits - before
            if first < ladder.last:
                self._close_message()

    def _fill(self, ladder: Ladder, segment: Segment) -> int:
        """Code as many cells of a segment as fit; returns the bin where the next message goes on."""
        if not self._is_empty and self._limit - self._coder.bits // 8 < _MIN_CUT_BYTES:
            return segment.first
        cells, room = segment.cells, 8 * self._limit - self._coder.bits
        fits, fit_bits = 0, 0
        too_many, excess_bits = len(cells) - 1, max(1, self._tried_bits - room)
        for tries in itertools.count():
            if too_many - fits <= 1:
                break
            # What the room is likely to hold, between what fits and what does not; halves where that is slow.
            likely = (too_many - fits) * (room - fit_bits) // (room - fit_bits + excess_bits)
            n = fits + max(1, (too_many - fits) // 2 if tries > 3 else min(likely, too_many - fits - 1))
            mark, state = self._coder.mark(), self._stream.state
            if self._try(ladder, replace(segment, last=cells[n])):
                fits, fit_bits = n, min(self._tried_bits, room - 1)
                if too_many - fits <= 1:
                    return cells[fits]
                self._coder.rewind(mark)
                self._stream.state = state
            else:
                too_many, excess_bits = n, max(1, self._tried_bits - room)
        if fits and self._try(ladder, replace(segment, last=cells[fits])):
            return cells[fits]
        self._must_move_on()
        return segment.first

    def _must_move_on(self) -> None:
        """A number that does not fit in an empty message fits in none: better an error than no end."""
        if self._is_empty:
            raise InputError(
                "has no room for a single number of this dive",
                field="message_bytes",
                remedy="use a larger one",
            )

    def _try(self, ladder: Ladder, segment: Segment) -> bool:
        """Code a segment, or leave everything as it was when the message would be too long."""
        mark, state, before = self._coder.mark(), self._stream.state, self._coder.bits
        cells = segment.cells
        if state.cells + len(cells) - 1 <= MAX_CELLS:
            self._stream.state = state.copy()
            self._stream.segment(segment, ladder.values(segment))
            self._tried_bits = self._coder.bits - before
            if self._fits():
                return True
        self._coder.rewind(mark)
        self._stream.state = state
        return False

    def _add_rows(self, ladder: Ladder, rung: Rung, *, remainder: bool) -> None:
        column, first = ladder.columns[0], ladder.first
        while first < ladder.last:
            segment = ladder.segment(column, first, rung, remainder=remainder)
            before = self._coder.bits
            whole = column == ladder.columns[0]
            after = self._try_rows(ladder, segment) if whole else 0
            if after:
                first = after
            elif self._is_empty or not whole:
                # Not even one row fits in a whole message: it is cut between columns.
                segment = replace(segment, last=segment.cells[1])
                column = self._part_of_row(ladder, segment)
                after = column == segment.stop
                if after:
                    column, first = ladder.columns[0], segment.last
            ladder.packed_bits += self._coder.bits - before
            if first < ladder.last and not (after and first == segment.last):
                self._close_message()

    def _part_of_row(self, ladder: Ladder, segment: Segment) -> int:
        """Code as many columns of one row as fit; returns the next one."""
        for stop in range(segment.stop, segment.column, -1):
            if self._try_rows(ladder, replace(segment, stop=stop)):
                return stop
        self._must_move_on()
        return segment.column

    def _try_rows(self, ladder: Ladder, segment: Segment) -> int:
        """Code as many rows as fit; returns the bin after them, 0 when there is no room for one."""
        mark, state = self._coder.mark(), self._stream.state
        room = (MAX_CELLS - state.cells) // (segment.stop - segment.column)
        if room > 0:
            self._stream.state = state.copy()
            rows = ladder.rows(segment)[:room]
            done = self._stream.rows(segment, rows, lambda: self._fits(_END_ROWS_BITS))
            if done is not None:
                return done.last
        self._coder.rewind(mark)
        self._stream.state = state
        return 0

    def _fits(self, closing_bits: int = _END_BITS) -> bool:
        """Whether the message may be closed here, with so many bits more."""
        if self._coder.bits // 8 + 5 <= self._limit:
            return True
        mark = self._coder.mark()
        self._coder.uniform(1 << closing_bits, (1 << closing_bits) - 1)
        length = len(self._coder.finish())
        self._coder.rewind(mark)
        return length <= self._limit
