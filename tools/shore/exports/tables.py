"""A dive as every export has it: tables by phase and sample, from messages (real time) or the log (delayed).

One shape for both, so that a file made from the recovered log takes the place of the one made from messages.
A sample is a bin of depth or time. Formats are the business of their own modules.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.frame import CLASSIFIED_OUTCOMES, SIZED_OUTCOMES, FrameOutcome, Phase
from edge.telemetry.codebook import Codebook
from edge.telemetry.decoded import DecodedDive, DecodedPhase, DecodedTable, Provenance, volume_l
from edge.telemetry.summary import DiveFact, Quantity, column_names
from tools.shore.dives import Place
from tools.shore.ecotaxa.dive import stamp

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TABLES = (
    Quantity.FRAMES, Quantity.SIZES, Quantity.GREY, Quantity.NOISE, Quantity.TAXA, Quantity.ESD,
    Quantity.UNNAMED, Quantity.TEMPERATURE,
)  # fmt: skip
"""Quantities that samples have."""


INTERVAL_LEVEL = 0.95
"""Of the Poisson intervals of concentrations, two-sided."""


class DataMode(enum.StrEnum):
    """Argo's reference table 19: how the data came to be."""

    REAL_TIME = "R"
    DELAYED = "D"


@dataclass(frozen=True, slots=True)
class Cells:
    """One quantity over the samples of a phase, each array (n, n_columns).

    Attributes
    ----------
    values
        float64: a count of an aggregated cell is shared evenly over its bins; NaN where nothing is known.
    provenance
        uint8, `Provenance`.
    cell
        int64: bins of one cell of a column are known only together; -1 where nothing is known.
    low, high
        float64: between what the number of the instrument lies, ends included. Of a bin in an aggregated
        cell the count lies between none and all of the cell.
    """

    values: Floats
    provenance: NDArray[np.uint8]
    cell: Ints
    low: Floats
    high: Floats

    @classmethod
    def unknown(cls, n: int, n_columns: int) -> Cells:
        """Nothing is known."""
        nan = np.full((n, n_columns), np.nan)
        none = np.full((n, n_columns), -1, dtype=np.int64)
        return cls(nan, np.zeros((n, n_columns), dtype=np.uint8), none, nan.copy(), nan.copy())

    @classmethod
    def exact(cls, values: Floats, provenance: Provenance = Provenance.LOSSLESS) -> Cells:
        """As the instrument itself has it; NaN where there is nothing to take a mean of."""
        sources = np.full(values.shape, provenance, dtype=np.uint8)
        number = np.arange(values.size, dtype=np.int64).reshape(values.shape)
        return cls(values, sources, number, values.copy(), values.copy())

    @classmethod
    def of(cls, table: DecodedTable) -> Cells:
        """As messages tell it."""
        values, provenance, cell = table.dense()
        low, high = (_by_bin(table, end) for end in table.limits())
        if not table.quantity.is_mean:
            low = np.where(provenance == Provenance.AGGREGATED, 0.0, low)
        return cls(values, provenance, cell, low, high)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a profile was.

    Attributes
    ----------
    latitude_deg, longitude_deg
        NaN where nobody knows.
    flag
        Argo's reference table 2.
    radius_km
        Of its error; NaN where nobody says it.
    words
        Where it is from, for people.
    time_s
        UTC of the fixes at the surface that it rests on, seconds since 1970; NaN where it is no fix.
    """

    latitude_deg: float
    longitude_deg: float
    flag: int
    radius_km: float
    words: str
    time_s: float = math.nan

    @classmethod
    def unknown(cls) -> Position:
        """Nobody knows."""
        return cls(math.nan, math.nan, 9, math.nan, "not known")

    @property
    def is_known(self) -> bool:
        """Whether there is one."""
        return math.isfinite(self.latitude_deg) and math.isfinite(self.longitude_deg)


def _by_bin(table: DecodedTable, cells: Floats) -> Floats:
    """Values of the cells by bins, float64 (n_bins, n_columns), the whole of a cell in each of its bins."""
    found = np.full((table.n_bins, len(table.names)), np.nan)
    for value, column, first, last in zip(cells, table.column, table.first, table.last, strict=True):
        found[first:last, column] = value
    return found


@dataclass(frozen=True, slots=True)
class PhaseTables:
    """One phase of a dive.

    Attributes
    ----------
    phase, edges
        As in `DecodedPhase`: whole dbar, or s since the park began, int64 (n + 1,).
    cells
        By quantity of `TABLES`.
    pressure_dbar
        Of each sample, float64 (n,): the middle of its bin; in park its frames' mean (NaN from messages).
    volume_sized_l, volume_classified_l
        Water in which all particles were counted, and the larger ones named, litres, float64 (n,); NaN where
        the frames are not known.
    start_s, end_s, time_off_s
        UTC of its first and last frame, seconds since 1970, NaN where nobody knows; and by how much they may
        be wrong.
    unplaced
        Frames without pressure by outcome, float64 (11,); NaN where it is not known.
    pressure_reasons
        Bits of `qc.Reason` found in the pressures of each sample's frames, int64 (n,); empty from messages.
    position
        Where it was by the float's fixes; None where the dive's place is all that is known.
    """

    phase: Phase
    edges: Ints
    cells: dict[Quantity, Cells]
    pressure_dbar: Floats
    volume_sized_l: Floats
    volume_classified_l: Floats
    start_s: float
    end_s: float
    time_off_s: float
    unplaced: Floats
    pressure_reasons: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    position: Position | None = None

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.edges) - 1

    @property
    def middles(self) -> Floats:
        """Middle of each bin, dbar or s."""
        return np.asarray((self.edges[:-1] + self.edges[1:]) / 2, dtype=np.float64)

    def frames(self, outcomes: Sequence[FrameOutcome]) -> Floats:
        """Frames with any of these outcomes by sample, float64 (n,); NaN where one is not known."""
        return np.asarray(self.cells[Quantity.FRAMES].values[:, [int(one) for one in outcomes]].sum(axis=1))


@dataclass(frozen=True, slots=True)
class DiveTables:
    """A dive as it is exported.

    Attributes
    ----------
    mode
        From messages or from the log.
    decoded
        What is known of the whole dive; from a log everything is.
    phases
        Those of which anything is known.
    place
        Where it was, as far as anybody said: one for all of it.
    cruise
        As the recording names it.
    source
        What it was made from, in words.
    """

    mode: DataMode
    decoded: DecodedDive
    phases: tuple[PhaseTables, ...]
    place: Place = field(default_factory=Place)
    cruise: str = ""
    source: str = ""

    @property
    def codebook(self) -> Codebook:
        """Schema of its messages."""
        return self.decoded.codebook

    @property
    def start_s(self) -> int | None:
        """UTC of the first frame, seconds since 1970; None where it is not known or no calendar has it."""
        start = self.decoded.facts.get(DiveFact.START_S)
        return start if start is not None and start < 1 << 37 else None

    @property
    def end_s(self) -> int | None:
        """UTC of the last frame."""
        duration, start = self.decoded.facts.get(DiveFact.DURATION_S), self.start_s
        return None if start is None or duration is None else start + duration

    @property
    def n_frames(self) -> int:
        """Frames of which anything is known, with and without pressure."""
        frames = [one.cells[Quantity.FRAMES].values for one in self.phases]
        return round(sum(float(np.nansum(one)) for one in (*frames, *(p.unplaced for p in self.phases))))

    @property
    def profiles(self) -> tuple[PhaseTables, ...]:
        """Phases along depth."""
        return tuple(one for one in self.phases if one.phase is not Phase.PARK)

    @property
    def park(self) -> PhaseTables | None:
        """The phase along time."""
        return next((one for one in self.phases if one.phase is Phase.PARK), None)

    def position_of(self, phase: PhaseTables | None) -> Position:
        """Where a phase was; None stands for the whole dive."""
        if phase is not None and phase.position is not None:
            return phase.position
        lat, lon = self.place.latitude_deg, self.place.longitude_deg
        if lat is None or lon is None:
            return Position.unknown()
        located = [one.position for one in self.phases if one.position is not None]
        same = [one for one in located if (one.latitude_deg, one.longitude_deg) == (lat, lon)]
        return same[0] if same else Position(lat, lon, 0, math.nan, "as it was given")

    @property
    def name(self) -> str:
        """Platform and number, for people and as an id."""
        return f"{self.codebook.platform or 'seston'} dive {self.decoded.dive_number}"


def sample_name(dive: DiveTables) -> str:
    """Name of a dive in files that hold many, as `seston export ecotaxa` has it."""
    platform = re.sub(r"[^A-Za-z0-9.-]+", "-", dive.codebook.platform).strip("-.")[:40] or "seston"
    when = "" if dive.start_s is None else f"_{stamp(dive.start_s * 1000)}"
    return f"{platform}_{dive.decoded.dive_number:05d}{when}"


def from_messages(
    decoded: DecodedDive, place: Place | None = None, cruise: str = "", source: str = "messages"
) -> DiveTables:
    """Tables of a decoded dive."""
    phases = tuple(phase_tables(decoded, one) for one in decoded.phases.values())
    return DiveTables(DataMode.REAL_TIME, decoded, phases, place or Place(), cruise, source)


def phase_tables(decoded: DecodedDive, phase: DecodedPhase) -> PhaseTables:
    """One phase, as the messages tell it."""
    n = phase.n_bins
    cells = {}
    for quantity in TABLES:
        columns = len(column_names(decoded.codebook, quantity))
        table = phase.tables.get(quantity)
        if table is not None:
            cells[quantity] = Cells.of(table)
        elif columns and (quantity is not Quantity.UNNAMED or decoded.has_unnamed(phase.phase)):
            cells[quantity] = Cells.unknown(n, columns)
    litres = decoded.codebook.optics.image_volume_ul / 1e6
    frames = cells[Quantity.FRAMES].values
    sized = frames[:, [int(one) for one in SIZED_OUTCOMES]].sum(axis=1) * litres
    classified = frames[:, [int(one) for one in CLASSIFIED_OUTCOMES]].sum(axis=1) * litres
    if decoded.has_unnamed(phase.phase):
        classified = np.array([volume_l(decoded, phase, i, i + 1, Quantity.TAXA) for i in range(n)])
    unplaced = phase.tables.get(Quantity.UNPLACED)
    lost = np.full(len(FrameOutcome), np.nan) if unplaced is None else unplaced.totals()[0].astype(np.float64)
    if decoded.facts.get(DiveFact.UNPLACED_FRAMES) == 0:
        lost = np.zeros(len(FrameOutcome))
    is_park = phase.phase is Phase.PARK
    middles = (phase.edges[:-1] + phase.edges[1:]) / 2
    start_s, end_s, off_s = _times(decoded, phase)
    return PhaseTables(
        phase.phase, phase.edges, cells, np.full(n, np.nan) if is_park else middles.astype(np.float64),
        sized, classified, start_s, end_s, off_s, lost,
    )  # fmt: skip


def _times(decoded: DecodedDive, phase: DecodedPhase) -> tuple[float, float, float]:
    """Start and end of a phase, and by how much they may be wrong: messages tell the whole dive's alone.

    The descent begins with the dive, the ascent ends with it. The park lies between them, as far from both
    ends as its length lets it, and is wrong by no more than that.
    """
    start, duration = decoded.facts.get(DiveFact.START_S), decoded.facts.get(DiveFact.DURATION_S)
    if start is None or duration is None or not 0 <= start < 1 << 37:
        return math.nan, math.nan, math.nan
    end, told = start + duration, decoded.facts.get(DiveFact.PHASES, 0)
    has = {one: bool(told >> one & 1) for one in Phase}
    if phase.phase is Phase.DESCENT:
        return float(start), math.nan if has[Phase.PARK] or has[Phase.ASCENT] else float(end), 0.0
    if phase.phase is Phase.ASCENT:
        return math.nan if has[Phase.PARK] or has[Phase.DESCENT] else float(start), float(end), 0.0
    length = min(float(phase.edges[-1]), float(duration))
    free = duration - length
    if not has[Phase.DESCENT]:
        return float(start), start + length, 0.0
    if not has[Phase.ASCENT]:
        return end - length, float(end), 0.0
    return start + free / 2, start + free / 2 + length, free / 2
