"""From any heap of messages back to dives, each cell with its provenance. Pure.

Messages may come in any order, twice, from several dives, damaged or foreign; what cannot be used is listed
with the reason and never used. An aggregated cell stays one cell: no finer numbers are made up.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.errors import MessageError
from edge.frame import CLASSIFIED_OUTCOMES, SIZED_OUTCOMES, FrameOutcome, Phase
from edge.telemetry.climatology import Climatology
from edge.telemetry.codebook import Codebook
from edge.telemetry.count_law import index_of, lowest_of, middle_of
from edge.telemetry.expectation import Expectation
from edge.telemetry.means import from_step
from edge.telemetry.message import Header, MessageKind, Segment, Values, check, lead_of, read_body, unpack
from edge.telemetry.parity import restore
from edge.telemetry.picture import Picture, decode_picture
from edge.telemetry.summary import WHOLE_DIVE, DiveFact, Quantity, column_names, n_columns

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

ABSENT = int(np.iinfo(np.int64).min)
"""Value of a cell of means in which nothing was read."""


class Provenance(enum.IntEnum):
    """Where the number in a bin comes from."""

    MISSING = 0
    """No message at hand says it."""
    LOSSLESS = 1
    """Exactly as counted on board."""
    AGGREGATED = 2
    """Known only together with the other bins of its cell."""
    ROUNDED = 3
    """A mean of this bin alone, to the nearest step."""
    COMPANDED = 4
    """A count of this bin alone, within an interval around it."""


@dataclass(frozen=True, slots=True)
class DecodedTable:
    """What is known of one quantity in one phase, as cells: int64 (n,) each, by column, then by bin.

    Attributes
    ----------
    quantity, names, n_bins
        The quantity, its columns' names, the bins of the phase.
    column, first, last
        A cell is bins [first, last) of a column.
    value
        Count of the cell, the middle of its interval where it is companded; of a mean its step, or `ABSENT`.
    step
        How the count was companded (`count_law.STEPS`), 0 where it is exact.
    """

    quantity: Quantity
    names: tuple[str, ...]
    n_bins: int
    column: Ints
    first: Ints
    last: Ints
    value: Ints
    step: Ints

    @property
    def provenance(self) -> NDArray[np.uint8]:
        """Of each cell, uint8 (n,)."""
        if self.quantity.is_mean:
            fine = np.full(self.step.shape, Provenance.ROUNDED)
        else:
            fine = np.where(self.step == 0, Provenance.LOSSLESS, Provenance.COMPANDED)
        return np.where(self.last - self.first == 1, fine, Provenance.AGGREGATED).astype(np.uint8)

    def limits(self) -> tuple[Floats, Floats]:
        """Ends, included, of what the value of each cell may be, float64 (n,) each; NaN if nothing was read.

        The same twice where it is exact.
        """
        values = self.values()
        if self.quantity.is_mean:
            half = [np.nan if v == ABSENT else from_step(self.quantity, v)[1] for v in self.value.tolist()]
            return values - half, values + half
        low, high = values.copy(), values.copy()
        for i in np.flatnonzero(self.step).tolist():
            index, step = index_of(int(self.value[i]), int(self.step[i])), int(self.step[i])
            low[i], high[i] = lowest_of(index, step), lowest_of(index + 1, step) - 1
        return low, high

    def values(self) -> Floats:
        """Cells in their unit, float64 (n,): counts, degrees Celsius, grey, um; NaN if nothing was read."""
        if not self.quantity.is_mean:
            return self.value.astype(np.float64)
        return np.array(
            [np.nan if v == ABSENT else from_step(self.quantity, v)[0] for v in self.value.tolist()],
            np.float64,
        )

    def dense(self) -> tuple[Floats, NDArray[np.uint8], Ints]:
        """The table by bins, each (n_bins, n_columns): values, provenance, index of the cell (-1 if missing).

        The count of an aggregated cell is shared evenly over its bins, so that sums stay exact; bins with the
        same cell index in a column are known only together. Missing is NaN.
        """
        shape = self.n_bins, len(self.names)
        values = np.full(shape, np.nan)
        cell = np.full(shape, -1, dtype=np.int64)
        provenance = np.zeros(shape, dtype=np.uint8)
        share = self.values() if self.quantity.is_mean else self.values() / (self.last - self.first)
        sources = self.provenance
        for i, (column, first, last) in enumerate(zip(self.column, self.first, self.last, strict=True)):
            values[first:last, column] = share[i]
            cell[first:last, column] = i
            provenance[first:last, column] = sources[i]
        return values, provenance, cell

    def laid_out(self, cells: Floats) -> Floats:
        """Values of the cells by bins, float64 (n_bins, n_columns), shared as `dense` shares counts."""
        found = np.full((self.n_bins, len(self.names)), np.nan)
        share = cells if self.quantity.is_mean else cells / (self.last - self.first)
        for value, column, first, last in zip(share, self.column, self.first, self.last, strict=True):
            found[first:last, column] = value
        return found

    def totals(self) -> tuple[Ints, NDArray[np.bool_]]:
        """Sum of what is known of each count column, int64 (n_columns,), and whether that is every bin.

        Companded cells count as the middle of their interval (`is_exact` says whether there are any).
        """
        sums = np.zeros(len(self.names), dtype=np.int64)
        covered = np.zeros(len(self.names), dtype=np.int64)
        np.add.at(sums, self.column, self.value)
        np.add.at(covered, self.column, self.last - self.first)
        return sums, covered == self.n_bins

    @property
    def is_exact(self) -> bool:
        """Whether no cell is companded."""
        return not self.step.any()


@dataclass(frozen=True, slots=True)
class DecodedPhase:
    """One phase of a decoded dive: its bin edges, int64 (n_bins + 1,), dbar or s, and its tables."""

    phase: Phase
    edges: Ints
    tables: dict[Quantity, DecodedTable]

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.edges) - 1


@dataclass(frozen=True, slots=True)
class DecodedDive:
    """A dive as far as the messages at hand tell it.

    Attributes
    ----------
    codebook, dive_number
        The schema it was sent with, and its number.
    received
        Parts at hand by number of parts: the same dive may have been sent twice, cut differently.
    facts
        Facts of the dive, or empty when their message is missing.
    phases
        Phases of which anything is known.
    whole
        Totals sent for all phases together, one bin each.
    pictures
        Pictures of particles, in the order of sending.
    is_short
        Whether it came over a short link, where `dive_number` is the number modulo 256.
    """

    codebook: Codebook
    dive_number: int
    received: dict[int, tuple[int, ...]]
    facts: dict[DiveFact, int]
    phases: dict[Phase, DecodedPhase]
    whole: dict[Quantity, DecodedTable]
    pictures: tuple[Picture, ...] = ()
    is_short: bool = False

    def is_of(self, dive_number: int) -> bool:
        """Whether it may be this dive: short links tell its number modulo 256 alone."""
        return self.dive_number == (dive_number & 0xFF if self.is_short else dive_number)

    @property
    def is_complete(self) -> bool:
        """True when no part is missing."""
        return any(len(parts) == n_parts for n_parts, parts in self.received.items())

    @property
    def n_parts(self) -> int:
        """Number of parts of the sending of which the most is at hand."""
        return max(self.received.items(), key=lambda item: (len(item[1]) / item[0], item[0]))[0]

    def missing(self) -> tuple[int, ...]:
        """Missing parts, counted from 0, of the sending of which the most is at hand."""
        return tuple(sorted(set(range(self.n_parts)) - set(self.received[self.n_parts])))

    def missing_sentence(self) -> str:
        """One sentence for people, "" when nothing is missing."""
        missing = self.missing()
        if not missing:
            return ""
        names = ", ".join(str(part + 1) for part in missing)
        noun, verb = ("part", "is") if len(missing) == 1 else ("parts", "are")
        return f"dive {self.dive_number}: {noun} {names} of {self.n_parts} {verb} missing"

    def totals(self, quantity: Quantity) -> tuple[Ints, bool]:
        """Counts of the dive by column as far as known, int64 (n_columns,), and whether they are all of it.

        For `FRAMES`, frames without pressure are included.
        """
        if quantity in self.whole:
            sums, known = self.whole[quantity].totals()
            if known.all():
                return sums, self.whole[quantity].is_exact
        sums = np.zeros(n_columns(self.codebook, quantity), dtype=np.int64)
        if not sums.size:
            return sums, True
        complete = self.is_complete or self._phases_known(quantity)
        wanted = [quantity, Quantity.UNPLACED] if quantity is Quantity.FRAMES else [quantity]
        for phase in self.phases.values():
            for name in wanted:
                table = phase.tables.get(name)
                if table is None:
                    complete = False
                    continue
                found, known = table.totals()
                sums += found
                complete &= bool(known.all())
        return sums, complete

    def outcomes(self) -> Ints:
        """Frames of the dive by outcome as far as known, int64 (11,), as `Profile.outcomes`."""
        return self.totals(Quantity.FRAMES)[0]

    def taxa(self) -> Ints:
        """Classified particles by counted taxon as far as known, int64 (n_taxa,), as `Profile.taxa`."""
        return self.totals(Quantity.TAXA)[0]

    def lpm(self) -> Ints:
        """Particles by size class as far as known, int64 (n_classes,), as `Profile.lpm`."""
        return self.totals(Quantity.SIZES)[0]

    def corrected(self) -> tuple[Ints, NDArray[np.bool_]] | None:
        """Corrected counts of the dive and both ends of their 90 % interval, int64 (3, n_taxa).

        Beside them, bool (n_taxa,), whether all three of a taxon are at hand; None when nothing is.
        """
        table = self.whole.get(Quantity.CORRECTED)
        if table is None:
            return None
        sums, known = table.totals()
        count, below, above = sums.reshape(3, -1)
        at_hand: NDArray[np.bool_] = np.all(known.reshape(3, -1), axis=0)
        return np.stack([count, count - below, count + above]), at_hand

    def _phases_known(self, quantity: Quantity) -> bool:
        """Whether every phase that the dive has is at hand with this quantity."""
        mask = self.facts.get(DiveFact.PHASES)
        if mask is None:
            return False
        return all(p in self.phases and quantity in self.phases[p].tables for p in Phase if mask >> p & 1)


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
                remedy="add it with --codebook",
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
                    remedy="add it with --climatology",
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


def volume_l(dive: DecodedDive, phase: DecodedPhase, first: int, last: int, quantity: Quantity) -> float:
    """Water behind the cell of bins [first, last), litres; NaN when the frames there are not known.

    Sizes were counted in the frames in which every particle was counted, taxa in those in which the larger
    ones were named. Other quantities have no volume.
    """
    outcomes = _VOLUME_OUTCOMES.get(quantity)
    frames = phase.tables.get(Quantity.FRAMES)
    if outcomes is None or frames is None:
        return float("nan")
    n = 0
    for outcome in outcomes:
        inside = (frames.column == outcome) & (frames.first >= first) & (frames.last <= last)
        if int((frames.last - frames.first)[inside].sum()) != last - first:
            return float("nan")
        n += int(frames.value[inside].sum())
    return n * dive.codebook.optics.image_volume_ul / 1e6


_VOLUME_OUTCOMES: dict[Quantity, tuple[FrameOutcome, ...]] = {
    Quantity.SIZES: SIZED_OUTCOMES,
    Quantity.GREY: SIZED_OUTCOMES,
    Quantity.TAXA: CLASSIFIED_OUTCOMES,
    Quantity.ESD: CLASSIFIED_OUTCOMES,
}
