"""One message: a header that stands alone, then columns of the dive's tables in one range-coded stream. Pure.

Every message decodes without any other, given the codebook. The stream is written and read by the same code
(`Stream.segment`); what travels and at what height is the planner's choice, not decided here.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edge.errors import MessageError
from edge.frame import Phase
from edge.telemetry.codebook import FORMAT, ID_BYTES, Codebook
from edge.telemetry.count_tree import (
    Levels,
    SplitParameters,
    add_levels,
    code_column,
    grid,
    sum_levels,
)
from edge.telemetry.laws import FLAT
from edge.telemetry.means import MeanModel
from edge.telemetry.range_coder import Coder, RangeDecoder
from edge.telemetry.summary import WHOLE_DIVE, Quantity, n_columns, tree_edges

_MAGIC = 0xA0
"""Upper half of the first byte, the version in the lower: never 0x52, which some links route elsewhere."""
_CRC_BYTES = 4
MIN_MESSAGE_BYTES = 48
"""Any single cell of any table fits in a message of this size."""
MAX_HEIGHT = 14
MAX_CELLS = 1 << 17
"""Most cells in one message: a bound on the time and memory that any bytes can ask of a decoder."""

_SCOPES = 4
_QUANTITY_CODES = 16
_NEXT, _NEXT_WHOLE, _NEW, _END = range(4)
_AFTER_COLUMN = (0, 240, 242, 252, 256)
_AFTER_TABLE = (0, 1, 2, 192, 256)
_WHOLE = (0, 3, 4)


@dataclass(frozen=True, slots=True)
class Header:
    """What a message says of itself: the start of its codebook's hash, its dive, its part from 0."""

    codebook_id: bytes
    dive_number: int
    part: int
    n_parts: int


def header_bytes(part: int, parts_bytes: int) -> int:
    """Bytes of header and CRC of a part, when the number of parts is written in `parts_bytes`."""
    return 1 + ID_BYTES + 2 + len(_varint(part)) + parts_bytes + _CRC_BYTES


def pack(header: Header, body: bytes, parts_bytes: int) -> bytes:
    """A message: version, codebook, dive, part, number of parts - 1, body, CRC-32 of all before it."""
    head = bytes((_MAGIC | FORMAT,)) + header.codebook_id + header.dive_number.to_bytes(2, "big")
    data = head + _varint(header.part) + _varint(header.n_parts - 1, parts_bytes) + body
    return data + zlib.crc32(data).to_bytes(_CRC_BYTES, "big")


def unpack(data: bytes) -> tuple[Header, bytes]:
    """Header and body of a message.

    Raises
    ------
    MessageError
        With the reason: not a message of ours, another version, or damaged.
    """
    if len(data) < header_bytes(0, 1) or data[0] & 0xF0 != _MAGIC:
        raise _bad("is not a message of this instrument", "leave it out")
    if data[0] != _MAGIC | FORMAT:
        raise _bad(f"is of version {data[0] & 0x0F}, {FORMAT} is read here", "update seston")
    if zlib.crc32(data[:-_CRC_BYTES]) != int.from_bytes(data[-_CRC_BYTES:], "big"):
        raise _bad("is damaged: its CRC does not fit", "ask for it again")
    body = data[3 + ID_BYTES : -_CRC_BYTES]
    part, body = _take_varint(body)
    last_part, body = _take_varint(body)
    if part > last_part:
        raise _bad(f"is part {part + 1} of {last_part + 1}", "leave it out")
    number = int.from_bytes(data[1 + ID_BYTES : 3 + ID_BYTES], "big")
    return Header(data[1 : 1 + ID_BYTES], number, part, last_part + 1), body


def _varint(value: int, width: int = 1) -> bytes:
    """LEB128, seven bits a byte, low first; padded to `width` bytes."""
    out = bytearray()
    while value >= 0x80 or len(out) < width - 1:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _take_varint(data: bytes) -> tuple[int, bytes]:
    value = 0
    for i in range(min(4, len(data))):
        value |= (data[i] & 0x7F) << (7 * i)
        if data[i] < 0x80:
            return value, data[i + 1 :]
    raise _bad("has a part number without end", "leave it out")


@dataclass(frozen=True, slots=True)
class Segment:
    """Bins [first, last) of one column of one table, in cells of a height.

    `scope` is a phase or `WHOLE_DIVE`; `n_bins` is that of the whole phase.
    """

    quantity: Quantity
    scope: int
    n_bins: int
    column: int
    first: int
    last: int
    height: int

    @property
    def is_whole(self) -> bool:
        """True when it covers all bins of the phase."""
        return self.last - self.first == self.n_bins

    @property
    def cells(self) -> tuple[int, ...]:
        """Bins at which the cells begin, and `last`."""
        step = 1 << self.height
        return self.first, *range((self.first // step + 1) * step, self.last, step), self.last


Values = Sequence[int | None]
"""Counts, or steps of a mean with None where there was no reading."""


class _State:
    """What the coding of the next segment depends on: the last one, sums of its run, learned models."""

    __slots__ = ("bins", "cells", "last", "means", "others", "total", "values")

    def __init__(self) -> None:
        self.last: Segment | None = None
        self.others: Levels | None = None
        self.total = -1
        self.values: Values | None = None
        self.means: dict[Quantity, MeanModel] = {}
        self.bins: dict[int, int] = {}
        self.cells = 0

    def copy(self) -> _State:
        other = _State()
        other.last, other.others, other.total = self.last, self.others, self.total
        other.values, other.cells = self.values, self.cells
        other.means = {quantity: model.copy() for quantity, model in self.means.items()}
        other.bins = dict(self.bins)
        return other


class Stream:
    """Segments through a coder, one after another, in either direction."""

    def __init__(self, coder: Coder, codebook: Codebook, laws: Mapping[Quantity, SplitParameters]) -> None:
        self._coder = coder
        self._codebook = codebook
        self._laws = laws
        self.state = _State()

    def segment(
        self, given: Segment | None = None, values: Sequence[int | None] | None = None
    ) -> Segment | None:
        """Code the place of the next segment and its values.

        Parameters
        ----------
        given, values
            When encoding: the segment, and the counts of all bins of its phase or the steps of its cells;
            None ends the message. Nothing when decoding.

        Returns
        -------
        The segment, None at the end. Its values are then in `values`.
        """
        segment = self._place(given)
        if segment is None:
            return None
        state = self.state
        continues = state.last is not None and replace(segment, column=state.last.column) == state.last
        state.cells += len(segment.cells) - 1
        if state.cells > MAX_CELLS:
            raise _bad(f"holds more than {MAX_CELLS} cells", "leave it out")
        if segment.quantity.is_mean:
            model = state.means.setdefault(segment.quantity, MeanModel())
            before = state.values if continues else None
            state.values = model.code(self._coder, segment.quantity, len(segment.cells) - 1, values, before)
        else:
            self._code_counts(segment, continues, values)
        state.last = segment
        return segment

    @property
    def values(self) -> Values:
        """Values of the cells of the last segment."""
        assert self.state.values is not None
        return self.state.values

    def _code_counts(self, segment: Segment, continues: bool, values: Sequence[int | None] | None) -> None:
        state = self.state
        edges = tree_edges(self._codebook, segment.scope, segment.n_bins)
        tree = grid(edges, segment.first, segment.last, segment.height)
        same_table = state.last is not None and _table(state.last) == _table(segment)
        if not continues:
            state.others = None
        known = None if values is None else sum_levels(tree, [value or 0 for value in values])
        before = state.total if same_table else -1
        levels = code_column(self._coder, tree, self._laws[segment.quantity], state.others, known, before)
        state.others = add_levels(state.others, levels)
        state.total, state.values = levels[0][0], levels[-1]

    def _place(self, given: Segment | None) -> Segment | None:
        """Code where the next segment is; a run of columns costs a tenth of a bit each."""
        last = self.state.last
        if last is None:
            return self._new(given)
        more = last.column + 1 < n_columns(self._codebook, last.quantity)
        following = replace(last, column=last.column + 1)
        whole = replace(following, first=0, last=last.n_bins)
        if given is None:
            action = _END
        elif more and given == following:
            action = _NEXT
        elif more and given == whole:
            action = _NEXT_WHOLE
        else:
            action = _NEW
        action = self._coder.symbol(_AFTER_COLUMN if more else _AFTER_TABLE, action)
        if action == _END:
            return None
        if action == _NEW:
            return self._new(given)
        if not more:
            raise _bad("goes past the last column of a table", "check that the codebook is the right one")
        return following if action == _NEXT else whole

    def _new(self, given: Segment | None) -> Segment:
        coder, codebook = self._coder, self._codebook
        want = given or Segment(Quantity.DIVE, WHOLE_DIVE, 1, 0, 0, 1, 0)
        code = coder.uniform(_QUANTITY_CODES, want.quantity)
        scope = coder.uniform(_SCOPES, want.scope)
        if code >= len(Quantity):
            raise _bad("holds a table unknown to this version", "update seston")
        quantity = Quantity(code)
        if (scope == WHOLE_DIVE and quantity.is_mean) or (scope != WHOLE_DIVE and quantity.is_of_dive):
            raise _bad("holds a table where there is none", "leave it out")
        columns = n_columns(codebook, quantity)
        if not columns:
            raise _bad("holds a table without columns", "check that the codebook is the right one")
        column = coder.uniform(columns, want.column)
        if scope == WHOLE_DIVE or not quantity.has_bins:
            return Segment(quantity, scope, 1, column, 0, 1, 0)
        n = self.state.bins.get(scope)
        if n is None:
            n = 1 + coder.uniform(codebook.max_bins(Phase(scope)), want.n_bins - 1)
            self.state.bins[scope] = n
        first, last = 0, n
        if coder.symbol(_WHOLE, int(not want.is_whole)):
            first = coder.uniform(n, want.first)
            last = first + 1 + coder.uniform(n - first, want.last - first - 1)
        height = coder.uniform(MAX_HEIGHT + 1, want.height)
        return Segment(quantity, scope, n, column, first, last, height)


def _table(segment: Segment) -> tuple[Quantity, int]:
    return segment.quantity, segment.scope


def read_body(
    body: bytes, codebook: Codebook, laws: Mapping[Quantity, SplitParameters] | None = None
) -> list[tuple[Segment, Values]]:
    """All segments of a message's body with the values of their cells.

    Raises
    ------
    MessageError
        When the bytes are not what an encoder with this codebook writes.
    """
    decoder = RangeDecoder(body)
    stream = Stream(decoder, codebook, laws or FLAT)
    found: list[tuple[Segment, Values]] = []
    while (segment := stream.segment()) is not None:
        found.append((segment, list(stream.values)))
    if not decoder.exhausted:
        raise _bad("goes on after its end", "leave it out")
    return found


def _bad(problem: str, remedy: str) -> MessageError:
    return MessageError(problem, remedy=remedy)
