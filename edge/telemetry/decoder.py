"""From any heap of messages back to dives, each cell with its provenance. Pure.

Messages may come in any order, twice, from several dives, damaged or foreign; what cannot be used is listed
with the reason and never used. An aggregated cell stays one cell: no finer numbers are made up.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.errors import MessageError
from edge.frame import Phase
from edge.telemetry.climatology import Climatology
from edge.telemetry.codebook import Codebook
from edge.telemetry.count_law import lowest_of, middle_of
from edge.telemetry.decoded import ABSENT, DecodedDive, DecodedPhase, DecodedTable
from edge.telemetry.expectation import Expectation
from edge.telemetry.header import Header, MessageKind, check, lead_of, unpack
from edge.telemetry.message import Segment, Values, read_body
from edge.telemetry.parity import restore
from edge.telemetry.picture import Picture, decode_picture
from edge.telemetry.summary import WHOLE_DIVE, DiveFact, Quantity, column_names

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Decoding:
    """What a heap of messages gave.

    Attributes
    ----------
    dives
        By codebook and dive number.
    refused
        Position in the heap and the reason, of each message that was not used.
    duplicates
        Messages that came again.
    restored
        Messages that parity brought back.
    others
        Messages of parity, and of pictures.
    """

    dives: tuple[DecodedDive, ...]
    refused: tuple[tuple[int, str], ...]
    duplicates: int
    restored: int = 0
    others: int = 0

    def __iter__(self) -> Iterator[DecodedDive]:
        return iter(self.dives)


@dataclass(slots=True)
class _Heap:
    """Messages of one dive that passed: by number of parts and part; parity by these, and what it covers."""

    codebook: Codebook
    dive_number: int
    is_short: bool
    parts: dict[tuple[int, int], bytes] = field(default_factory=dict)
    pieces: dict[tuple[int, int], Sequence[tuple[Segment, Values]]] = field(default_factory=dict)
    waiting: dict[tuple[int, int], tuple[bytes, Expectation]] = field(default_factory=dict)
    parity: dict[tuple[int, int, bytes], dict[int, bytes]] = field(default_factory=dict)
    shown: dict[int, bytes] = field(default_factory=dict)
    pictures: dict[int, Picture] = field(default_factory=dict)


class _Reader:
    """Takes messages one after another and sorts them into heaps."""

    def __init__(self, codebooks: Iterable[Codebook], climatologies: Iterable[Climatology]) -> None:
        self._books = {book.sha256: book for book in codebooks}
        self._climatologies = {one.sha256: one for one in climatologies}
        self._expectations: dict[tuple[str, bool], Expectation] = {}
        self.heaps: dict[tuple[str, int, bool], _Heap] = {}
        self.duplicates = self.others = 0

    def take(self, data: bytes) -> None:
        """Sort in one message; `MessageError` says why it is not used."""
        header, body = unpack(data)
        book = self._book(header, data)
        key = book.sha256, header.dive_number, header.is_short
        heap = self.heaps.get(key) or _Heap(book, header.dive_number, header.is_short)
        if header.kind is MessageKind.PICTURE:
            if heap.shown.setdefault(header.part, data) != data:
                raise MessageError("is another message for a part at hand", remedy="check the dive numbers")
            if header.part in heap.pictures:
                self.duplicates += 1
                return
            heap.pictures[header.part] = decode_picture(body, len(book.taxa))
            self.others += 1
        elif header.kind is MessageKind.PARITY:
            lead, n_parity = lead_of(data)
            found = heap.parity.setdefault((header.n_parts, n_parity, lead), {})
            if header.part in found:
                self.duplicates += 1
                return
            found[header.part] = body[1:]
            self.others += 1
        else:
            place = header.n_parts, header.part
            if place in heap.parts:
                if heap.parts[place] != data:
                    raise MessageError(
                        "is another message for a part at hand", remedy="check the dive numbers"
                    )
                self.duplicates += 1
                return
            expectation = self._expectation(book, header)
            missed: list[Segment] = []  # there is no base yet: `list.append` says so by its None
            heap.pieces[place] = list(read_body(body, expectation, lambda one, _: missed.append(one)))
            if missed:
                heap.waiting[place] = body, expectation
            heap.parts[place] = data
        self.heaps[key] = heap

    def restore(self) -> int:
        """Bring back what parity tells of missing parts; returns how many."""
        n = 0
        for heap in list(self.heaps.values()):
            for (n_parts, n_parity, lead), parity in heap.parity.items():
                present = {
                    part: data[len(lead) :] for (count, part), data in heap.parts.items() if count == n_parts
                }
                if len(present) == n_parts:
                    continue
                for rest in restore(n_parts, present, parity, n_parity).values():
                    try:
                        self.take(lead + rest)
                    except MessageError:
                        continue
                    n += 1
        return n

    def _book(self, header: Header, data: bytes) -> Codebook:
        """The codebook of a message; more than one may begin as its header says."""
        start = header.codebook_id.hex()
        books = [book for hash_, book in self._books.items() if hash_.startswith(start)]
        if not books:
            raise MessageError(
                f"needs the codebook whose hash begins {start}, which is not at hand, or is damaged",
                remedy="add it with --codebook, or to the registry of the fleet",
            )
        for book in books[:-1]:
            try:
                check(data, book)
            except MessageError:
                continue
            return book
        check(data, books[-1])
        return books[-1]

    def _expectation(self, book: Codebook, header: Header) -> Expectation:
        regional = header.kind is MessageKind.REGIONAL
        key = book.sha256, regional
        if key not in self._expectations:
            climatology = self._climatologies.get(book.climatology_sha256) if regional else None
            if regional and climatology is None:
                raise MessageError(
                    f"is of dive {header.dive_number} and needs the climatology whose hash begins "
                    f"{book.climatology_sha256[:8] or 'with nothing'}, which is not at hand",
                    remedy="add it with --climatology, or to the registry of the fleet",
                )
            self._expectations[key] = Expectation(book, climatology)
        return self._expectations[key]


def decode_messages(
    messages: Iterable[bytes], codebooks: Iterable[Codebook], climatologies: Iterable[Climatology] = ()
) -> Decoding:
    """Dives from messages in any order, of any dives, with anything else among them. Never raises.

    Memory and time are bounded by the number of messages: each is decoded by itself, within bounds.
    """
    reader = _Reader(codebooks, climatologies)
    refused: list[tuple[int, str]] = []
    for position, data in enumerate(messages):
        try:
            reader.take(data)
        except MessageError as error:
            refused.append((position, str(error)))
    restored = reader.restore()
    for heap in reader.heaps.values():
        _refine(heap)
    dives = tuple(_assemble(reader.heaps[key]) for key in sorted(reader.heaps) if reader.heaps[key].parts)
    return Decoding(dives, tuple(refused), reader.duplicates, restored, reader.others)


def _refine(heap: _Heap) -> None:
    """Read what refines companded counts, now that these are at hand as far as they came."""
    if not heap.waiting:
        return
    indices: dict[tuple[int, ...], int] = {}
    for pieces in heap.pieces.values():
        for segment, values in pieces:
            if segment.quantity is not Quantity.SIZES or not segment.step:
                continue
            where = segment.scope, segment.n_bins, segment.height, segment.step
            cells = itertools.product(segment.cells[:-1], range(segment.column, segment.stop))
            for (first, column), value in zip(cells, values, strict=True):
                if value is not None:
                    indices[*where, column, first] = value

    def base(segment: Segment, first: int) -> list[int] | None:
        where = segment.scope, segment.n_bins, segment.height, segment.step
        row = [indices.get((*where, column, first)) for column in range(segment.column, segment.stop)]
        found = [index for index in row if index is not None]
        return found if len(found) == len(row) else None

    for place, (body, expectation) in heap.waiting.items():
        heap.pieces[place] = list(read_body(body, expectation, base))


def _assemble(heap: _Heap) -> DecodedDive:
    """Merge the pieces of a dive; in the order of parts, so that the order of arrival does not matter."""
    pieces: dict[tuple[int, Quantity], list[tuple[Segment, Values]]] = {}
    bins: dict[int, int] = {}
    for key in sorted(heap.pieces):
        for segment, values in heap.pieces[key]:
            pieces.setdefault((segment.scope, segment.quantity), []).append((segment, values))
            if segment.scope != WHOLE_DIVE and segment.quantity.has_bins:
                bins.setdefault(segment.scope, segment.n_bins)
    tables: dict[int, dict[Quantity, DecodedTable]] = {}
    for (scope, quantity), found in pieces.items():
        n_bins = bins.get(scope, 1) if quantity.has_bins else 1
        names = column_names(heap.codebook, quantity)
        tables.setdefault(scope, {})[quantity] = _merge(
            quantity, names, n_bins, [item for item in found if item[0].n_bins == n_bins]
        )
    phases = {
        Phase(scope): DecodedPhase(
            Phase(scope),
            np.array(heap.codebook.edges(Phase(scope), bins[scope]), dtype=np.int64),
            {quantity: tables[scope][quantity] for quantity in sorted(tables[scope])},
        )
        for scope in sorted(tables)
        if scope in bins
    }
    whole = tables.get(WHOLE_DIVE, {})
    facts = _facts(whole.pop(Quantity.DIVE, None))
    _add_empty_unplaced(facts, phases, heap.codebook)
    received: dict[int, tuple[int, ...]] = {}
    for n_parts, part in sorted(heap.parts):
        received[n_parts] = (*received.get(n_parts, ()), part)
    return DecodedDive(
        heap.codebook,
        heap.dive_number,
        received,
        facts,
        phases,
        whole,
        tuple(heap.pictures[part] for part in sorted(heap.pictures)),
        heap.is_short,
    )


def _facts(table: DecodedTable | None) -> dict[DiveFact, int]:
    if table is None:
        return {}
    return {DiveFact(c): v for c, v in zip(table.column.tolist(), table.value.tolist(), strict=True)}


def _add_empty_unplaced(
    facts: dict[DiveFact, int], phases: dict[Phase, DecodedPhase], codebook: Codebook
) -> None:
    """Phases without unplaced frames send no table of them: when the others make up the sum, it is zeros."""
    found = [phase.tables.get(Quantity.UNPLACED) for phase in phases.values()]
    if facts.get(DiveFact.UNPLACED_FRAMES) != sum(int(table.value.sum()) for table in found if table):
        return
    names = column_names(codebook, Quantity.UNPLACED)
    columns, zeros = np.arange(len(names)), np.zeros(len(names), dtype=np.int64)
    for phase in phases.values():
        if Quantity.UNPLACED not in phase.tables:
            phase.tables[Quantity.UNPLACED] = DecodedTable(
                Quantity.UNPLACED, names, 1, columns, zeros, zeros + 1, zeros, zeros
            )


def _merge(
    quantity: Quantity, names: tuple[str, ...], n_bins: int, pieces: Sequence[tuple[Segment, Values]]
) -> DecodedTable:
    """Cells of a table; where pieces overlap, as after a dive was sent twice, the finest cells win."""
    cells: list[tuple[int, int, int, int, int]] = []
    empty = np.zeros((len(names), n_bins), dtype=np.bool_)
    for segment, values in pieces:
        edges, step = segment.cells, segment.step
        columns = range(segment.column, segment.stop) if segment.by_rows else (segment.column,)
        given = iter(values)
        for first, last in itertools.pairwise(edges):
            for column in columns:
                value = next(given)
                if value is None:
                    cells.append((column, first, last, ABSENT, 0))
                elif value == 0 and not quantity.is_mean:
                    empty[column, first:last] = True
                elif step and lowest_of(value + 1, step) - lowest_of(value, step) == 1:
                    cells.append((column, first, last, lowest_of(value, step), 0))
                else:
                    cells.append((column, first, last, middle_of(value, step) if step else value, step))
    cells.sort(key=lambda cell: (cell[2] - cell[1], cell[4] > 0, cell[4]))
    # Nothing in a cell is nothing in each of its bins, and exactly so; few bytes may say it of many bins.
    at, bins = np.nonzero(empty)
    nothing = np.zeros_like(bins)
    taken, kept = empty, []
    for cell in cells:
        if not taken[cell[0], cell[1] : cell[2]].any():
            taken[cell[0], cell[1] : cell[2]] = True
            kept.append(cell)
    table = np.array(kept, dtype=np.int64).reshape(-1, 5)
    table = np.concatenate((table, np.stack((at, bins, bins + 1, nothing, nothing), axis=1)))
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    return DecodedTable(quantity, names, n_bins, *table.T)
