"""From the log of a dive, or from its messages alone, to what science works on."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.divelog import DiveLog
from edge.errors import DiveLogError, InputError
from edge.frame import CLASSIFIED_OUTCOMES, N_OUTCOMES, SIZED_OUTCOMES, FrameOutcome, Phase
from edge.inference.manifest import Correction
from edge.log_reader import LogReader
from edge.logged import codebook_in, config_of, optics_of
from edge.optics import Optics
from edge.profile import Profile, build_profile
from edge.quantification import EstimatedCounts
from edge.structs import to_struct
from tools.shore.report.curves import board_curves, pool_starts, reading_width_dbar
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


@contextlib.contextmanager
def open_log(path: Path) -> Iterator[LogReader]:
    """Open the log of a dive: its folder, or its dive.sqlite; damage inside it becomes a sentence."""
    with DiveLog.open(path) as log:
        try:
            yield log
        except (sqlite3.Error, IndexError, ValueError) as cause:
            raise DiveLogError(
                f"is damaged ({cause})", file=log.path, remedy="copy the dive again, or replay its recording"
            ) from cause


def read_log(log: LogReader, options: Options | None = None) -> SeenDive:
    """Everything of a dive whose log is at hand."""
    options = options or Options()
    config, codebook = config_of(log), codebook_in(log)
    optics = optics_of(config)
    facts = log.meta("recording") if log.has_meta("recording") else {}
    facts = facts if isinstance(facts, dict) else {}
    position = facts.get("position") or {}
    times = log.times_ms()
    park = [t for t, (_, phase, _) in zip(times.tolist(), log.places(), strict=True) if phase is Phase.PARK]
    park_ms = min(park, default=0), max(park, default=0)
    n_taxa = len(codebook.taxa)
    profile = build_profile(log.records(times), optics, config.profile, n_taxa, park_ms=park_ms)
    edges = layer_edges(profile, options.layer_dbar)
    filling = _Filling(edges, optics, n_taxa, park_ms[0], options.min_area_px)
    for record in log.records(times):
        filling.add(record)
    layers = filling.done()
    named, cannot = _named(log, filling.layer_of, optics)
    most_um = max((float(one.sized.esd_um.max(initial=0)) for one in layers), default=0.0)
    least_um = float(optics.esd_um(options.min_area_px))
    return SeenDive(
        name=f"{config.platform or codebook.platform or 'dive'} {log.meta('dive_number')}",
        number=int(log.meta("dive_number")),
        platform=config.platform or codebook.platform or str(facts.get("platform") or ""),
        started_ms=int(times[0]) if len(times) else int(log.meta("started_ms")),
        latitude_deg=number(position.get("latitude_deg")),
        longitude_deg=number(position.get("longitude_deg")),
        optics=optics,
        taxa=codebook.taxa,
        layers=layers,
        least_um=least_um,
        edges_um=classes_between(least_um, most_um),
        named=named,
        corrected=_corrected_in(log),
        correction=_correction_in(log),
        frames=_frames(log, filling, optics, codebook.taxa),
        cannot=tuple(cannot),
    )


def layer_edges(profile: Profile, layer_dbar: int | None) -> dict[Phase, np.ndarray]:
    """Ends of the layers of each phase: dbar, or seconds since the park began."""
    width = layer_dbar or reading_width_dbar(board_curves(profile).taxa)
    found: dict[Phase, np.ndarray] = {}
    for part in profile.phases:
        n = part.n_bins
        if part.phase is Phase.PARK:
            starts = np.arange(0, n, math.ceil(n / MAX_PARK_LAYERS))
        else:
            starts = np.arange(n) if width is None else pool_starts(part.edges, width)
        found[part.phase] = part.edges[np.append(starts, n)]
    return found


class _Filling:
    """Frames into layers, in one pass."""

    def __init__(
        self, edges: dict[Phase, np.ndarray], optics: Optics, n_taxa: int, park_ms: int, min_area_px: int
    ) -> None:
        self._edges, self._optics, self._park_ms, self._least = edges, optics, park_ms, min_area_px
        self._first: dict[Phase, int] = {}
        n = 0
        for phase, ends in edges.items():
            self._first[phase], n = n, n + len(ends) - 1
        self._n = n
        self._frames = np.zeros(n, dtype=np.int64)
        self._frames_named = np.zeros(n, dtype=np.int64)
        self._unnamed = np.zeros(n, dtype=np.int64)
        self.taxa = np.zeros((n, n_taxa), dtype=np.int64)
        self._pieces: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(n)]
        self._rows = np.zeros(n, dtype=np.int64)
        self.layer_of: dict[int, int] = {}
        self.counted: list[tuple[int, int, float]] = []
        """Of each frame: its number, particles taken, their biovolume in mm3."""

    def add(self, record: Any) -> None:
        """One frame."""
        layer = self._layer(record)
        area, count = record.histogram.area_px, record.histogram.count
        taken = area >= self._least
        area, count = area[taken], count[taken]
        if layer >= 0:
            self.layer_of[record.index] = layer
        if record.outcome in SIZED_OUTCOMES:
            mm3 = math.pi / 6 * float(count @ (self._optics.esd_um(area) / 1000) ** 3)
            self.counted.append((record.index, int(count.sum()), mm3))
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
            np.add.at(self.taxa[layer], record.taxa, 1)

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
                        int(self.taxa[at].sum()),
                        int(self._unnamed[at]),
                        float(self._frames_named[at]) * litres,
                        self.taxa[at],
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


def _named(log: LogReader, layer_of: dict[int, int], optics: Optics) -> tuple[Named, list[str]]:
    """Named particles one by one, and what cannot be had of them."""
    names = list(log.meta("measures")) if log.has_meta("measures") else []
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
    layer = np.array([layer_of.get(frame, -1) for frame in table[:, 1].tolist()], dtype=np.int64)
    alike = bool(scores) and len({len(one) for one in scores}) == 1
    cannot = []
    if -1 in wanted and rows:
        cannot.append("Morphospace and orientation: the log does not have the measures of this version.")
    return (
        Named(
            table[:, 0], table[:, 1], layer, table[:, 2], optics.esd_um(table[:, 3]), measures[:, :-1],
            measures[:, -1], np.array([row[4] for row in rows], dtype=np.bool_),
            np.stack(scores) if alike else None,
            np.isin(table[:, 0], np.fromiter(kept, dtype=np.int64, count=len(kept))),
        ),
        cannot,
    )  # fmt: skip


def _corrected_in(log: LogReader) -> EstimatedCounts | None:
    told = log.meta("corrected") if log.has_meta("corrected") else None
    if told is None:
        return None
    count, low, high = np.array(told, dtype=np.int64)
    return EstimatedCounts(count, low, high)


def _correction_in(log: LogReader) -> tuple[np.ndarray, np.ndarray, float] | None:
    told = log.meta("correction") if log.has_meta("correction") else None
    if told is None:
        return None
    one = to_struct(told, Correction, file=log.path, error=DiveLogError)
    return np.array(one.implied), np.array(one.usual), one.spread


def _frames(log: LogReader, filling: _Filling, optics: Optics, taxa: Any) -> dict[str, np.ndarray]:
    """A row a frame: when, where, what became of it, what was in it, what its water was like."""
    rows = log.frames()
    n = len(rows)
    at = {row["frame"]: i for i, row in enumerate(rows)}
    outcome = np.array([row["outcome"] for row in rows], dtype=np.int64)
    litres = optics.image_volume_ul / 1e6
    sized = np.isin(outcome, [int(one) for one in SIZED_OUTCOMES])
    classified = np.isin(outcome, [int(one) for one in CLASSIFIED_OUTCOMES])
    columns: dict[str, np.ndarray] = {
        "frame": np.array([row["frame"] for row in rows], dtype=np.int64),
        "time_ms": np.array([row["time_ms"] for row in rows], dtype=np.int64),
        "phase": np.array([Phase(row["phase"]).name.lower() for row in rows], dtype=object),
        "pressure_dbar": _floats([row["pressure_dbar"] for row in rows]),
        "outcome": np.array([FrameOutcome(one).label for one in outcome.tolist()], dtype=object),
        "volume_sized_l": sized * litres,
        "volume_classified_l": classified * litres,
    }
    assert len(FrameOutcome) == N_OUTCOMES
    count, mm3 = np.full(n, math.nan), np.full(n, math.nan)
    for frame, particles, volume in filling.counted:
        count[at[frame]], mm3[at[frame]] = particles, volume
    columns["particles"] = count
    with np.errstate(divide="ignore", invalid="ignore"):
        columns["particles_per_l"] = np.where(sized, count / litres, math.nan)
        columns["biovolume_mm3_per_l"] = np.where(sized, mm3 / litres, math.nan)
    by_taxon = np.zeros((n, len(taxa)))
    for frame, taxon, _ in log.named():
        by_taxon[at[frame], taxon] += 1
    by_taxon[~classified] = math.nan
    for i, taxon in enumerate(taxa):
        columns[f"n_{taxon.label}"] = by_taxon[:, i]
    columns["temperature_c"] = _floats([row["temperature_c"] for row in rows])
    told = [json.loads(row["environment"]) for row in rows]
    for name in sorted({name for one in told for name in one} - {"temperature_c"}):
        columns[name] = _floats([one.get(name) for one in told])
    return columns


def _floats(values: list[Any]) -> np.ndarray:
    return np.array([math.nan if one is None else one for one in values], dtype=np.float64)


def number(value: Any) -> float | None:
    """A finite number, or None."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def is_log(path: Path) -> bool:
    """Whether a path is a dive log, or the folder of one."""
    return (path / "dive.sqlite").is_file() or path.is_file()


def check_is_dive(path: Path) -> None:
    """Refuse what is no dive, in words of what it is instead."""
    if not path.exists():
        raise InputError("is not there", file=path, remedy="name the folder of a dive")
