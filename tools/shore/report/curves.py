"""Counts of one phase along its bins, in one shape for water, board and shore. Pure; knows nothing of pages.

A number may belong to a cell of several bins, as it does on shore when a table was sent coarsely: it is never
made finer than it is. A cell without volume has no concentration: a gap, never empty water.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.frame import CLASSIFIED_OUTCOMES, SIZED_OUTCOMES, FrameOutcome, Phase
from edge.optics import Optics
from edge.profile import Ints
from edge.telemetry import DecodedDive, Quantity
from edge.telemetry.decoded import DecodedPhase, DecodedTable
from edge.telemetry.decoded import volume_l as litres_behind
from tools.shore.report.truth import Truth

Floats = NDArray[np.float64]
READING_WIDTHS_DBAR = (10, 20, 50, 100, 200)
MAX_READING_BINS = 60
"""More bins than this are hard to tell apart in a small plot."""


class Source(enum.StrEnum):
    """Who counted."""

    WATER = "water"
    BOARD = "board"
    SHORE = "shore"


@dataclass(frozen=True, slots=True)
class Curves:
    """Counts of m columns (taxa, or size classes) in the n bins of a phase, each bin by the cell it is in.

    Attributes
    ----------
    phase
        Part of the dive.
    edges
        (n + 1,) rising: dbar, or hours since the park began.
    counts, volume_l
        float64 (n, m): count of the bin's whole cell, and the water it was counted in; NaN where unknown.
    first, last
        int64 (n, m): the cell is bins [first, last).
    """

    phase: Phase
    edges: Floats
    counts: Floats
    volume_l: Floats
    first: Ints
    last: Ints

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.edges) - 1

    @property
    def is_known(self) -> bool:
        """True when no count is missing."""
        return bool(np.isfinite(self.counts).all())

    def concentration_per_l(self) -> Floats:
        """Counts per litre of each bin's cell, (n, m), NaN where there is no volume."""
        return np.asarray(self.counts / np.where(self.volume_l > 0, self.volume_l, np.nan), dtype=np.float64)

    def column(self, i: int) -> Curves:
        """One column alone."""
        one = slice(i, i + 1)
        return Curves(
            self.phase,
            self.edges,
            self.counts[:, one],
            self.volume_l[:, one],
            self.first[:, one],
            self.last[:, one],
        )

    def total(self) -> Curves:
        """All columns added up, in the finest cells that none of them straddles."""
        return _in_cells(self.phase, self.edges, _shared_starts([self.first]), self)

    def pooled(self, width_dbar: int) -> Curves:
        """The same in bins of about this height: counts and volumes of the cells in one are added up."""
        starts = pool_starts(self.edges, width_dbar)
        columns = []
        for i in range(self.counts.shape[1]):
            one = self.column(i)
            shared = np.intersect1d(starts, _shared_starts([one.first]))
            columns.append(_in_cells(self.phase, self.edges, shared, one))
        return _side_by_side(self, columns)

    def sums(self) -> tuple[Floats, Floats]:
        """Count and volume of all cells whose concentration is known, by column, each float64 (m,)."""
        known = (self.first == np.arange(self.n_bins)[:, None]) & np.isfinite(self.concentration_per_l())
        return np.where(known, self.counts, 0).sum(axis=0), np.where(known, self.volume_l, 0).sum(axis=0)


@dataclass(frozen=True, slots=True)
class CurveSet:
    """What one source says of the dive: taxa in the classified volume, size classes in the sized one."""

    taxa: Mapping[Phase, Curves] = field(default_factory=dict)
    spectrum: Mapping[Phase, Curves] = field(default_factory=dict)

    def pooled(self, width_dbar: int | None) -> CurveSet:
        """The same with descent and ascent in bins of about this height; as they are when it is None."""
        if width_dbar is None:
            return self
        taxa, spectrum = (
            {phase: c if phase is Phase.PARK else c.pooled(width_dbar) for phase, c in table.items()}
            for table in (self.taxa, self.spectrum)
        )
        return CurveSet(taxa, spectrum)


def pool_starts(edges: NDArray[Any], width_dbar: int) -> Ints:
    """First bins of the pools: bins belong together whose upper edges lie in one stretch of `width_dbar`."""
    stretch = np.asarray(edges[:-1]) // width_dbar
    return np.flatnonzero(np.diff(stretch, prepend=-1))


def reading_width_dbar(curves: Mapping[Phase, Curves]) -> int | None:
    """Height of bins in which a dive can be read: hardly a gap, and not too many. None: as they are.

    Pooling adds counts and volumes, so that nothing is smoothed or made up; frames far apart leave most
    narrow bins without water.
    """
    free = [part for phase, part in curves.items() if phase is not Phase.PARK and part.n_bins]
    deepest = max((float(part.edges[-1]) for part in free), default=0.0)
    best: int | None = None
    for width in (None, *(w for w in READING_WIDTHS_DBAR if w <= deepest / 4)):
        best = width
        parts = [part if width is None else part.pooled(width) for part in free]
        cells = [part.first[:, 0] == np.arange(part.n_bins) for part in parts]
        seen = [part.volume_l[cell, 0] > 0 for part, cell in zip(parts, cells, strict=True)]
        if all(s.mean() >= 0.95 and s.size <= MAX_READING_BINS for s in seen):
            break
    return best


def bin_by_bin(phase: Phase, edges: NDArray[Any], counts: NDArray[Any], volume_l: NDArray[Any]) -> Curves:
    """Curves whose cells are the bins: edges (n + 1,) dbar or s, counts (n, m), volume (n,)."""
    n, m = counts.shape
    first = np.repeat(np.arange(n, dtype=np.int64)[:, None], m, axis=1)
    volume = np.repeat(np.asarray(volume_l, dtype=np.float64)[:, None], m, axis=1)
    return Curves(
        phase, axis_edges(phase, edges), np.asarray(counts, dtype=np.float64), volume, first, first + 1
    )


def axis_edges(phase: Phase, edges: NDArray[Any]) -> Floats:
    """Edges as people read them: dbar, or hours of the park (given in seconds)."""
    values = np.asarray(edges, dtype=np.float64)
    return values / 3600.0 if phase is Phase.PARK else values


def noise_curves(dive: DecodedDive) -> dict[Phase, Curves]:
    """What unlit frames seem to hold, by size class, in the volume that they would have shown if lit."""
    return _tables(dive, Quantity.NOISE, (FrameOutcome.UNLIT,))


def frame_curves(dive: DecodedDive) -> dict[Phase, Curves]:
    """Frames by outcome; their volume is not known here."""
    found = {}
    for phase, part in dive.phases.items():
        if Quantity.FRAMES in part.tables:
            counts, first, last = _cells(part.tables[Quantity.FRAMES])
            unknown = np.full(counts.shape, np.nan)
            found[phase] = Curves(phase, axis_edges(phase, part.edges), counts, unknown, first, last)
    return found


def water_curves(truth: Truth | None, labels: Sequence[str]) -> CurveSet:
    """Curves of the true counts of the taxa named; empty without a truth."""
    taxa: dict[Phase, Curves] = {}
    for part in () if truth is None else truth.phases:
        phase = Phase[part.phase.upper()]
        counts = np.zeros((len(part.volume_classified_l), len(labels)))
        for i, label in enumerate(labels):
            counts[:, i] = part.taxa.get(label, 0)
        taxa[phase] = bin_by_bin(phase, np.array(part.edges), counts, np.array(part.volume_classified_l))
    return CurveSet(taxa)


def curves_of(dive: DecodedDive) -> CurveSet:
    """Curves of what is known of a dive: of all of it from a log, of what messages tell."""
    taxa = {
        phase: _in_share(dive, dive.phases[phase], found) if dive.has_unnamed(phase) else found
        for phase, found in _tables(dive, Quantity.TAXA, CLASSIFIED_OUTCOMES).items()
    }
    return CurveSet(taxa, _tables(dive, Quantity.SIZES, SIZED_OUTCOMES))


def step_line(
    edges: Floats, values: Floats, first: Ints | None = None
) -> tuple[list[float | None], list[float], list[int]]:
    """Points of a step curve along the bins: one a cell at its first edge, one more where a run ends.

    Parameters
    ----------
    edges, values
        (n + 1,) and (n,); NaN is a gap.
    first
        (n,) first bin of each bin's cell; the bins are the cells when it is None.

    Returns
    -------
    values (None in a gap), positions along the axis, and the bin that each point belongs to. The line through
    them follows the axis first and then crosses over.
    """
    along: list[float | None] = []
    across: list[float] = []
    bins: list[int] = []
    known = np.isfinite(values)
    for i in np.flatnonzero(known).tolist():
        if first is None or first[i] == i:
            along.append(float(values[i]))
            across.append(float(edges[i]))
            bins.append(i)
        if i + 1 == len(values) or not known[i + 1]:
            along += [float(values[i]), None]
            across += [float(edges[i + 1])] * 2
            bins += [i, i]
    return along[:-1], across[:-1], bins[:-1]


def _tables(dive: DecodedDive, quantity: Quantity, outcomes: Sequence[FrameOutcome]) -> dict[Phase, Curves]:
    """A table of every phase, counted in frames of these outcomes; of phases where both are known."""
    return {
        phase: _decoded(part, quantity, outcomes, dive.codebook.optics)
        for phase, part in dive.phases.items()
        if quantity in part.tables and Quantity.FRAMES in part.tables
    }


def _decoded(
    part: DecodedPhase, quantity: Quantity, outcomes: Sequence[FrameOutcome], optics: Optics
) -> Curves:
    """One table of a decoded phase, in cells that are cells of the frames too: only those have a volume."""
    edges = axis_edges(part.phase, part.edges)
    counts, starts, _ = _cells(part.tables[quantity])
    frames, frame_starts, _ = _cells(part.tables[Quantity.FRAMES])
    seen, seen_starts = frames[:, outcomes], frame_starts[:, outcomes]
    n_frames = Curves(part.phase, edges, seen, seen, seen_starts, seen_starts)
    litres = optics.image_volume_ul / 1e6
    columns = []
    for i in range(counts.shape[1]):
        own = starts[:, [i]]
        mine = Curves(part.phase, edges, counts[:, [i]], np.zeros((len(counts), 1)), own, own)
        cells = _shared_starts([own, seen_starts])
        count, frames_in = (_in_cells(part.phase, edges, cells, found) for found in (mine, n_frames))
        columns.append(replace(count, volume_l=frames_in.counts * litres))
    return _side_by_side(n_frames, columns)


def _in_share(dive: DecodedDive, part: DecodedPhase, found: Curves) -> Curves:
    """Counts of taxa times what was left unnamed, over the whole volume.

    So cells can be added up: where much was left out, volumes of the named share would weigh too little.
    Where nobody knows the share, or nothing was named, a count is unknown.
    """
    ends, back = np.unique(
        np.stack([found.first, found.last], axis=-1).reshape(-1, 2), axis=0, return_inverse=True
    )
    litres = [litres_behind(dive, part, first, last, Quantity.TAXA) for first, last in ends.tolist()]
    named_l = np.array(litres)[back].reshape(found.counts.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        times = np.where(found.volume_l > 0, found.volume_l / named_l, 1.0)
        return replace(found, counts=np.where(np.isfinite(times), found.counts * times, np.nan))


def _side_by_side(like: Curves, columns: Sequence[Curves]) -> Curves:
    """Curves of one column each as one; phase and edges are those of `like`."""

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([np.zeros((like.n_bins, 0), np.int64), *(getattr(c, name) for c in columns)], 1)

    counts, volume_l, first, last = (joined(name) for name in ("counts", "volume_l", "first", "last"))
    return Curves(like.phase, like.edges, counts, volume_l, first, last)


def _cells(table: DecodedTable) -> tuple[Floats, Ints, Ints]:
    """Count of each bin's whole cell (NaN if missing), and the cell's ends, each (n_bins, n_columns).

    A missing bin is a cell of its own.
    """
    shape = table.n_bins, len(table.names)
    counts = np.full(shape, np.nan)
    starts = np.repeat(np.arange(table.n_bins, dtype=np.int64)[:, None], shape[1], axis=1)
    stops = starts + 1
    for column, first, last, value in zip(table.column, table.first, table.last, table.values(), strict=True):
        counts[first:last, column] = value
        starts[first:last, column] = first
        stops[first:last, column] = last
    return counts, starts, stops


def _shared_starts(tables: Sequence[Ints]) -> Ints:
    """Bins at which a cell begins in every column of every table of first bins (n, m), rising, int64."""
    bins = np.arange(len(tables[0]), dtype=np.int64)
    return np.flatnonzero(np.all([(table == bins[:, None]).all(axis=1) for table in tables], axis=0))


def _in_cells(phase: Phase, edges: Floats, starts: Ints, found: Curves) -> Curves:
    """All columns of `found` added up within the cells that begin at `starts`; one column.

    The volume is that of the first column: the columns of a table are counted in the same water.
    """
    n = len(edges) - 1
    own = found.first == np.arange(n)[:, None]  # each cell once
    cell = np.searchsorted(starts, np.arange(n), side="right") - 1

    def summed(values: Floats, mask: NDArray[np.bool_]) -> Floats:
        return np.asarray(np.add.reduceat(np.where(mask, values, 0).sum(axis=1), starts)[cell][:, None])

    stops = np.append(starts[1:], n)
    volume = found.volume_l[:, :1] if found.volume_l.shape[1] else np.full((n, 1), np.nan)
    return Curves(
        phase,
        edges,
        summed(found.counts, own),
        summed(volume, own[:, :1]) if own.shape[1] else volume,
        starts[cell][:, None],
        stops[cell][:, None],
    )
