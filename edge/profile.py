"""The profile of a dive: what was counted, by phase and depth bin. Pure, in integers.

Built by adding one `FrameRecord` after another, on board and on shore alike: the same records give the same
profile. Volumes are whole microlitres and greys are hundredths, so that sums are exact on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from edge.config import ProfileConfig
from edge.frame import CLASSIFIED_OUTCOMES, N_OUTCOMES, SIZED_OUTCOMES, FrameOutcome, Phase
from edge.optics import Optics

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AreaHistogram:
    """How many particles of each area one frame holds: the whole size spectrum, nothing binned away.

    Attributes
    ----------
    area_px
        Areas that occur, int64 (n,), rising.
    count
        Particles of that area, int64 (n,).
    grey_centi_sum
        Sum over them of the mean grey in hundredths, int64 (n,).
    """

    area_px: Ints
    count: Ints
    grey_centi_sum: Ints

    @classmethod
    def of(cls, area_px: NDArray[np.integer], integrated_grey: NDArray[np.integer]) -> AreaHistogram:
        """Histogram of particles given by area and integrated grey, both (n,)."""
        area = np.asarray(area_px, dtype=np.int64)
        grey = np.asarray(integrated_grey, dtype=np.int64)
        if area.size == 0:
            return EMPTY_HISTOGRAM
        centi = (100 * grey + area // 2) // area
        order = np.argsort(area, kind="stable")
        sorted_area = area[order]
        starts = np.flatnonzero(np.diff(sorted_area, prepend=-1))
        return cls(
            sorted_area[starts],
            np.diff(starts, append=area.size),
            np.add.reduceat(centi[order], starts),
        )

    @property
    def n_particles(self) -> int:
        """Number of particles of any size."""
        return int(self.count.sum())

    def by_class(self, optics: Optics) -> tuple[Ints, Ints]:
        """Counts and sums of mean grey (hundredths) by size class, each int64 (n_size_classes,).

        Particles below the first limit are in no class.
        """
        classes = optics.size_class(self.area_px) + 1
        counts = np.zeros(optics.n_size_classes + 1, dtype=np.int64)
        greys = np.zeros(optics.n_size_classes + 1, dtype=np.int64)
        np.add.at(counts, classes, self.count)
        np.add.at(greys, classes, self.grey_centi_sum)
        return counts[1:], greys[1:]


_NONE: Ints = np.zeros(0, dtype=np.int64)
EMPTY_HISTOGRAM = AreaHistogram(_NONE, _NONE, _NONE)


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """What the log knows of one frame: all that the profile needs.

    Attributes
    ----------
    index, time_ms, pressure_dbar
        As in `Frame`; pressure may be NaN.
    phase, outcome
        Part of the dive, and what became of the frame.
    temperature_c
        Of the water, NaN when unknown.
    histogram
        All particles by area; of an unlit frame, its noise.
    taxa, esd_um
        Of the classified particles: index of the counted taxon, int64 (n,), and ESD in whole um, int64 (n,).
    unnamed
        Particles that are large enough to be classified, and were not, for want of time.
    dirt
        Regions that were left out because they stay at one place of the view.
    """

    index: int
    time_ms: int
    pressure_dbar: float
    phase: Phase
    outcome: FrameOutcome
    temperature_c: float = math.nan
    histogram: AreaHistogram = EMPTY_HISTOGRAM
    taxa: Ints = field(default_factory=lambda: _NONE)
    esd_um: Ints = field(default_factory=lambda: _NONE)
    unnamed: int = 0
    dirt: int = 0


@dataclass(frozen=True, slots=True)
class PhaseProfile:
    """Counts of one phase. Every array is int64 with the bins first, shallow (or early) to deep (late).

    Attributes
    ----------
    phase
        Descent and ascent have bins in dbar, park in seconds since the park began.
    edges
        (n_bins + 1,) rising, whole dbar or s.
    frames
        (n_bins, 11) by outcome.
    volume_sized_ul, volume_classified_ul
        (n_bins,) microlitres in which every particle was counted, and the larger ones were named. Where only
        some of them were, the volume is less by that share: counts over it are of all.
    temperature_mc_sum, n_temperature
        (n_bins,) sum in thousandths of a degree Celsius, and readings in it.
    lpm, lpm_grey_centi_sum
        (n_bins, n_classes) particles by size class, and the sum of their mean greys in hundredths.
    noise
        (n_bins, n_classes) particles counted in unlit frames.
    taxa, taxa_esd_um_sum
        (n_bins, n_taxa) classified particles, and the sum of their ESD in um.
    unnamed
        (n_bins,) particles large enough to be classified that were not, for want of time.
    unplaced_frames
        Frames of this phase without pressure: (11,) by outcome. Their particles are counted nowhere.
    """

    phase: Phase
    edges: Ints
    frames: Ints
    volume_sized_ul: Ints
    volume_classified_ul: Ints
    temperature_mc_sum: Ints
    n_temperature: Ints
    lpm: Ints
    lpm_grey_centi_sum: Ints
    noise: Ints
    taxa: Ints
    taxa_esd_um_sum: Ints
    unplaced_frames: Ints
    unnamed: Ints

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.edges) - 1

    def temperature_c(self) -> NDArray[np.float64]:
        """Mean temperature, (n_bins,), NaN where none was read."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.temperature_mc_sum / self.n_temperature / 1000.0)


@dataclass(frozen=True, slots=True)
class Profile:
    """All phases of a dive that have frames, in the order of `Phase`."""

    phases: tuple[PhaseProfile, ...]

    def outcomes(self) -> Ints:
        """Frames of the dive by outcome, int64 (11,), those without pressure included."""
        total = np.zeros(N_OUTCOMES, dtype=np.int64)
        for part in self.phases:
            total += part.frames.sum(axis=0) + part.unplaced_frames
        return total

    def taxa(self) -> Ints:
        """Classified particles of the dive by counted taxon, int64 (n_taxa,); (0,) without any frame."""
        return _add_up([part.taxa.sum(axis=0) for part in self.phases])

    def lpm(self) -> Ints:
        """Particles of the dive by size class, int64 (n_classes,); (0,) without any frame."""
        return _add_up([part.lpm.sum(axis=0) for part in self.phases])


def _add_up(rows: Sequence[Ints]) -> Ints:
    return np.sum(rows, axis=0, dtype=np.int64) if rows else _NONE


def build_profile(
    records: Iterable[FrameRecord],
    optics: Optics,
    config: ProfileConfig,
    n_taxa: int,
    *,
    park_ms: tuple[int, int] | None = None,
) -> Profile:
    """Profile of a dive from its frame records, in any order; with `park_ms` none of them is kept in memory.

    Bins of a phase end with the deepest (latest) one that has a frame. A frame without pressure in descent or
    ascent is counted by outcome in `unplaced_frames`, never as water that was seen.

    Parameters
    ----------
    park_ms
        Times of the first and the last frame in park, where they are known before.
    """
    if park_ms is None:
        records = list(records)
        park = [record.time_ms for record in records if record.phase is Phase.PARK]
        park_ms = min(park, default=0), max(park, default=0)
    parts: dict[Phase, _Counting] = {}
    for record in records:
        if record.phase not in parts:
            parts[record.phase] = _Counting(record.phase, park_ms, optics, config, n_taxa)
        parts[record.phase].add(record)
    return Profile(tuple(parts[phase].done() for phase in Phase if phase in parts))


class _Counting:
    """One phase, counted frame by frame."""

    def __init__(
        self, phase: Phase, park_ms: tuple[int, int], optics: Optics, config: ProfileConfig, n_taxa: int
    ) -> None:
        self._optics, self._park_ms, self._park_bin_ms = optics, park_ms[0], 1000 * config.park_bin_s
        if phase is Phase.PARK:
            n = (park_ms[1] - park_ms[0]) // self._park_bin_ms + 1
            edges = np.arange(n + 1, dtype=np.int64) * config.park_bin_s
        else:
            edges = np.asarray(config.edges_dbar(), dtype=np.int64)
        k = optics.n_size_classes

        def zeros(*columns: int) -> Ints:
            return np.zeros((len(edges) - 1, *columns), dtype=np.int64)

        self._last = 0  # one bin even when no frame has a pressure
        self._part = PhaseProfile(
            phase, edges, zeros(N_OUTCOMES), zeros(), zeros(), zeros(), zeros(), zeros(k), zeros(k), zeros(k),
            zeros(n_taxa), zeros(n_taxa), np.zeros(N_OUTCOMES, dtype=np.int64), zeros(),
        )  # fmt: skip

    def add(self, record: FrameRecord) -> None:
        """Count one frame."""
        part, optics = self._part, self._optics
        if part.phase is Phase.PARK:
            b = (record.time_ms - self._park_ms) // self._park_bin_ms
        else:
            b = _bin_of(record.pressure_dbar, part.edges)
        if b < 0:
            part.unplaced_frames[record.outcome] += 1
            return
        self._last = max(self._last, b)
        part.frames[b, record.outcome] += 1
        if math.isfinite(record.temperature_c):
            part.temperature_mc_sum[b] += round(1000 * record.temperature_c)
            part.n_temperature[b] += 1
        if record.outcome is FrameOutcome.UNLIT:
            part.noise[b] += record.histogram.by_class(optics)[0]
        if record.outcome in SIZED_OUTCOMES:
            counts, greys = record.histogram.by_class(optics)
            part.lpm[b] += counts
            part.lpm_grey_centi_sum[b] += greys
            part.volume_sized_ul[b] += optics.image_volume_ul
        if record.outcome in CLASSIFIED_OUTCOMES:
            np.add.at(part.taxa[b], record.taxa, 1)
            np.add.at(part.taxa_esd_um_sum[b], record.taxa, record.esd_um)
            part.volume_classified_ul[b] += optics.image_volume_ul
            part.unnamed[b] += record.unnamed

    def done(self) -> PhaseProfile:
        """The phase, whose bins end with the last that has a frame."""
        n = self._last + 1
        bins = {
            one.name: getattr(self._part, one.name)[:n].copy()
            for one in fields(PhaseProfile)
            if one.name not in ("phase", "edges", "unplaced_frames")
        }
        part = replace(self._part, edges=self._part.edges[: n + 1].copy(), **bins)
        for i in np.flatnonzero(part.unnamed).tolist():
            volume_ul, unnamed = int(part.volume_classified_ul[i]), int(part.unnamed[i])
            part.volume_classified_ul[i] = named_share(volume_ul, int(part.taxa[i].sum()), unnamed)
        return part


def named_share(volume_ul: int, named: int, unnamed: int) -> int:
    """The part of a volume whose larger particles were named, when so many were and so many were not."""
    return volume_ul * named // (named + unnamed) if unnamed else volume_ul


def _bin_of(pressure_dbar: float, edges: Ints) -> int:
    """Bin of a pressure; above the surface is the first, below `max_dbar` the last, NaN is -1."""
    if not math.isfinite(pressure_dbar):
        return -1
    found = int(np.searchsorted(edges, pressure_dbar, side="right")) - 1
    return min(max(found, 0), len(edges) - 2)
