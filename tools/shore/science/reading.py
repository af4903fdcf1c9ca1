"""From the log of a dive, or from its messages alone, to what science works on."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.errors import DiveLogError
from edge.frame import CLASSIFIED_OUTCOMES, SIZED_OUTCOMES, FrameOutcome, Phase
from edge.inference.manifest import Correction
from edge.quantification import EstimatedCounts
from edge.structs import to_struct
from edge.telemetry.decoded import DecodedDive
from tools.shore.dives import LoggedDive, floats
from tools.shore.report.curves import curves_of, pool_starts, reading_width_dbar
from tools.shore.science.layers import Layer, Named, Scope, SeenDive
from tools.shore.science.morphospace import MEASURED
from tools.shore.science.spectra import Particles, classes_between

MIN_AREA_PX = 2
"""Particles of one pixel are noise (Picheral et al. 2022): counted on board, left out here."""
FLUSH_ROWS = 1_000_000
MAX_PARK_LAYERS = 24


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may choose: smallest area, px; height of the layers, dbar (None: as the dive needs)."""

    min_area_px: int = MIN_AREA_PX
    layer_dbar: int | None = None


def read_log(dive: LoggedDive, options: Options | None = None) -> SeenDive:
    """Everything of a dive whose log is at hand."""
    options = options or Options()
    optics, taxa, times_ms = dive.optics, dive.codebook.taxa, dive.frames.time_ms
    filling = _Filling(layer_edges(dive.decoded, options.layer_dbar), dive, options.min_area_px)
    for record in dive.log.records(times_ms):
        filling.add(record)
    layers = filling.done()
    named, cannot = _named(dive, filling.layer)
    most_um = max((float(one.sized.esd_um.max(initial=0)) for one in layers), default=0.0)
    least_um = float(optics.esd_um(options.min_area_px))
    told = dive.meta("corrected")
    return SeenDive(
        name=f"{dive.config.platform or dive.codebook.platform or 'dive'} {dive.number}",
        number=dive.number,
        platform=dive.platform,
        started_ms=int(times_ms[0]) if len(times_ms) else dive.started_ms,
        latitude_deg=dive.place.latitude_deg,
        longitude_deg=dive.place.longitude_deg,
        optics=optics,
        taxa=taxa,
        layers=layers,
        least_um=least_um,
        edges_um=classes_between(least_um, most_um),
        named=named,
        corrected=None if told is None else EstimatedCounts(*np.array(told, dtype=np.int64)),
        correction=_correction_in(dive),
        frames=_frames(dive, filling),
        cannot=tuple(cannot),
    )


def layer_edges(dive: DecodedDive, layer_dbar: int | None) -> dict[Phase, np.ndarray]:
    """Ends of the layers of each phase: dbar, or seconds since the park began."""
    width = layer_dbar or reading_width_dbar(curves_of(dive).taxa)
    found: dict[Phase, np.ndarray] = {}
    for part in dive.phases.values():
        n = part.n_bins
        if part.phase is Phase.PARK:
            starts = np.arange(0, n, math.ceil(n / MAX_PARK_LAYERS))
        else:
            starts = np.arange(n) if width is None else pool_starts(part.edges, width)
        found[part.phase] = part.edges[np.append(starts, n)]
    return found


class _Filling:
    """Frames into layers, in one pass."""

    def __init__(self, edges: dict[Phase, np.ndarray], dive: LoggedDive, min_area_px: int) -> None:
        self._edges, self._optics, self._least = edges, dive.optics, min_area_px
        n_frames, n_taxa = len(dive.frames.number), len(dive.codebook.taxa)
        parked = dive.frames.time_ms[dive.frames.phase == Phase.PARK]
        self._park_ms = int(parked.min()) if parked.size else 0
        self._first: dict[Phase, int] = {}
        n = 0
        for phase, ends in edges.items():
            self._first[phase], n = n, n + len(ends) - 1
        self._frames = np.zeros(n, dtype=np.int64)
        self._frames_named = np.zeros(n, dtype=np.int64)
        self._unnamed = np.zeros(n, dtype=np.int64)
        self._taxa = np.zeros((n, n_taxa), dtype=np.int64)
        self._pieces: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(n)]
        self._rows = np.zeros(n, dtype=np.int64)
        self._added = 0
        # Of each frame: its layer or -1, particles taken, their biovolume in mm3, named ones by taxon.
        self.layer = np.full(n_frames, -1, dtype=np.int64)
        self.particles, self.mm3 = np.full(n_frames, math.nan), np.full(n_frames, math.nan)
        self.by_taxon = np.full((n_frames, n_taxa), math.nan)

    def add(self, record: Any) -> None:
        """One frame."""
        at, layer = self._added, self._layer(record)
        self._added += 1
        self.layer[at] = layer
        area, count = record.histogram.area_px, record.histogram.count
        taken = area >= self._least
        area, count = area[taken], count[taken]
        if record.outcome in SIZED_OUTCOMES:
            self.particles[at] = count.sum()
            self.mm3[at] = math.pi / 6 * float(count @ (self._optics.esd_um(area) / 1000) ** 3)
        if record.outcome in CLASSIFIED_OUTCOMES:
            self.by_taxon[at] = np.bincount(record.taxa, minlength=self.by_taxon.shape[1])
        if layer < 0:
            return
        if record.outcome in SIZED_OUTCOMES:
            self._frames[layer] += 1
            self._pieces[layer].append((area, count))
            self._rows[layer] += len(area)
            if self._rows[layer] > FLUSH_ROWS:
                self._pieces[layer] = [_merged(self._pieces[layer])]
                self._rows[layer] = 0
        if record.outcome in CLASSIFIED_OUTCOMES:
            self._frames_named[layer] += 1
            self._unnamed[layer] += record.unnamed
            self._taxa[layer] += self.by_taxon[at].astype(np.int64)

    def _layer(self, record: Any) -> int:
        ends = self._edges.get(record.phase)
        if ends is None:
            return -1
        at = (record.time_ms - self._park_ms) / 1000 if record.phase is Phase.PARK else record.pressure_dbar
        if not math.isfinite(at):
            return -1
        inside = int(np.searchsorted(ends, at, side="right")) - 1
        return self._first[record.phase] + min(max(inside, 0), len(ends) - 2)

    def done(self) -> tuple[Layer, ...]:
        """The layers."""
        layers = []
        litres = self._optics.image_volume_ul / 1e6
        for phase, ends in self._edges.items():
            scale = 3600.0 if phase is Phase.PARK else 1.0
            for i in range(len(ends) - 1):
                at = self._first[phase] + i
                area, count = _merged(self._pieces[at])
                layers.append(
                    Layer(
                        Scope(phase, float(ends[i]) / scale, float(ends[i + 1]) / scale, True),
                        int(self._frames[at]),
                        Particles(self._optics.esd_um(area), count, float(self._frames[at]) * litres),
                        int(self._taxa[at].sum()),
                        int(self._unnamed[at]),
                        float(self._frames_named[at]) * litres,
                        self._taxa[at],
                    )
                )
        return tuple(layers)


def _merged(pieces: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Areas, rising, each once, and how many of each."""
    none = np.zeros(0, dtype=np.int64)
    area = np.concatenate([none, *(one for one, _ in pieces)])
    count = np.concatenate([none, *(one for _, one in pieces)])
    sizes, back = np.unique(area, return_inverse=True)
    return sizes, np.bincount(back, weights=count, minlength=len(sizes)).astype(np.int64)


def _named(dive: LoggedDive, layer: np.ndarray) -> tuple[Named, list[str]]:
    """Named particles one by one, and what cannot be had of them; `layer` of each frame."""
    log, names = dive.log, list(dive.meta("measures") or [])
    wanted = [names.index(name) if name in names else -1 for name in (*MEASURED, "angle_deg")]
    kept = log.vignette_numbers()
    rows: list[tuple[int, int, int, int, bool]] = []
    measured: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    for number, one in enumerate(log.particles()):
        rows.append((number, one.frame, one.taxon, one.area_px, one.on_border))
        values = one.measures
        measured.append(
            values[wanted]
            if len(values) == len(names) and -1 not in wanted
            else np.full(len(wanted), math.nan)
        )
        scores.append(one.scores)
    table = np.array([row[:4] for row in rows], dtype=np.int64).reshape(-1, 4)
    measures = np.array(measured, dtype=np.float64).reshape(-1, len(wanted))
    layer_of = dict(zip(dive.frames.number.tolist(), layer.tolist(), strict=True))
    layers = np.array([layer_of.get(frame, -1) for frame in table[:, 1].tolist()], dtype=np.int64)
    alike = bool(scores) and len({len(one) for one in scores}) == 1
    cannot = []
    if -1 in wanted and rows:
        cannot.append("Morphospace and orientation: the log does not have the measures of this version.")
    return (
        Named(
            table[:, 0], table[:, 1], layers, table[:, 2], dive.optics.esd_um(table[:, 3]), measures[:, :-1],
            measures[:, -1], np.array([row[4] for row in rows], dtype=np.bool_),
            np.stack(scores) if alike else None,
            np.isin(table[:, 0], np.fromiter(kept, dtype=np.int64, count=len(kept))),
        ),
        cannot,
    )  # fmt: skip


def _correction_in(dive: LoggedDive) -> tuple[np.ndarray, np.ndarray, float] | None:
    told = dive.meta("correction")
    if told is None:
        return None
    one = to_struct(told, Correction, file=dive.log.path, error=DiveLogError)
    return np.array(one.implied), np.array(one.usual), one.spread


def _frames(dive: LoggedDive, filling: _Filling) -> dict[str, np.ndarray]:
    """A row a frame: when, where, what became of it, what was in it, what its water was like."""
    frames = dive.frames
    litres = dive.optics.image_volume_ul / 1e6
    sized = np.isin(frames.outcome, [int(one) for one in SIZED_OUTCOMES])
    classified = np.isin(frames.outcome, [int(one) for one in CLASSIFIED_OUTCOMES])
    columns: dict[str, np.ndarray] = {
        "frame": frames.number,
        "time_ms": frames.time_ms,
        "phase": np.array([Phase(one).name.lower() for one in frames.phase.tolist()], dtype=object),
        "pressure_dbar": frames.pressure_dbar,
        "outcome": np.array([FrameOutcome(one).label for one in frames.outcome.tolist()], dtype=object),
        "volume_sized_l": sized * litres,
        "volume_classified_l": classified * litres,
        "particles": filling.particles,
    }
    with np.errstate(divide="ignore", invalid="ignore"):
        columns["particles_per_l"] = filling.particles / litres
        columns["biovolume_mm3_per_l"] = filling.mm3 / litres
    for i, taxon in enumerate(dive.codebook.taxa):
        columns[f"n_{taxon.label}"] = filling.by_taxon[:, i]
    columns["temperature_c"] = frames.temperature_c
    told = [json.loads(row["environment"]) for row in dive.rows]
    for name in sorted({name for one in told for name in one} - {"temperature_c"}):
        columns[name] = floats(one.get(name) for one in told)
    return columns
