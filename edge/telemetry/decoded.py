"""A dive as shore knows it: cells with their provenance, as far as messages told them. Pure.

How it is read from messages is the business of `decoder`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.frame import CLASSIFIED_OUTCOMES, SIZED_OUTCOMES, FrameOutcome, Phase
from edge.profile import named_share
from edge.telemetry.codebook import Codebook
from edge.telemetry.count_law import index_of, lowest_of
from edge.telemetry.means import from_step
from edge.telemetry.picture import Picture
from edge.telemetry.summary import DiveFact, Quantity, n_columns

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


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

    def has_unnamed(self, phase: Phase) -> bool:
        """Whether larger particles of a phase were not classified, as far as the messages at hand say."""
        told = phase in self.phases and Quantity.UNNAMED in self.phases[phase].tables
        return told or bool(self.facts.get(DiveFact.PHASES, 0) >> (phase + len(Phase)) & 1)

    def _phases_known(self, quantity: Quantity) -> bool:
        """Whether every phase that the dive has is at hand with this quantity."""
        mask = self.facts.get(DiveFact.PHASES)
        if mask is None:
            return False
        return all(p in self.phases and quantity in self.phases[p].tables for p in Phase if mask >> p & 1)


def volume_l(dive: DecodedDive, phase: DecodedPhase, first: int, last: int, quantity: Quantity) -> float:
    """Water behind the cell of bins [first, last), litres; NaN when the frames there are not known.

    Sizes were counted in the frames in which every particle was counted, taxa in those in which the larger
    ones were named, and of these the share in which they really were (`Quantity.UNNAMED`). Other quantities
    have no volume.
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
    volume_ul = n * dive.codebook.optics.image_volume_ul
    if outcomes is CLASSIFIED_OUTCOMES and dive.has_unnamed(phase.phase):
        named, unnamed = (
            _sum(phase.tables.get(one), first, last) for one in (Quantity.TAXA, Quantity.UNNAMED)
        )
        if named is None or unnamed is None:
            return float("nan")
        volume_ul = named_share(volume_ul, named, unnamed)
    return volume_ul / 1e6


def _sum(table: DecodedTable | None, first: int, last: int) -> int | None:
    """Sum of bins [first, last) over all columns; None when it is not known."""
    if table is None:
        return None
    inside = (table.first >= first) & (table.last <= last)
    if int((table.last - table.first)[inside].sum()) != (last - first) * len(table.names):
        return None
    return int(table.value[inside].sum())


_VOLUME_OUTCOMES: dict[Quantity, tuple[FrameOutcome, ...]] = {
    Quantity.SIZES: SIZED_OUTCOMES,
    Quantity.GREY: SIZED_OUTCOMES,
    Quantity.TAXA: CLASSIFIED_OUTCOMES,
    Quantity.ESD: CLASSIFIED_OUTCOMES,
}
