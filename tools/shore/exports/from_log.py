"""A recovered dive log as tables: every number as the instrument has it, by bins or frame by frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge.frame import CLASSIFIED_OUTCOMES, N_OUTCOMES, SIZED_OUTCOMES, FrameOutcome, Phase
from edge.log_reader import LogReader
from edge.logged import config_of, optics_of, summarise
from edge.profile import PhaseProfile
from edge.telemetry.decoded import ABSENT, DecodedDive, DecodedPhase, DecodedTable, Provenance
from edge.telemetry.means import to_steps
from edge.telemetry.summary import DiveFact, DiveSummary, Quantity, column_names
from tools.shore.ecotaxa.dive import Place, place_of
from tools.shore.exports.qc import SOME_SHARE, Reason, pressure_reasons
from tools.shore.exports.tables import (
    Cells,
    DataMode,
    DiveTables,
    Floats,
    Ints,
    PhaseTables,
    from_messages,
)

_MEANS = (Quantity.TEMPERATURE, Quantity.GREY, Quantity.ESD)
_COUNTS = (Quantity.FRAMES, Quantity.TAXA, Quantity.SIZES, Quantity.NOISE)


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames of a dive in the order of capture; arrays (n,), or (n, columns).

    Attributes
    ----------
    number, time_ms, pressure_dbar, phase, outcome, temperature_c
        As in `FrameRecord`.
    sizes, grey
        Particles by size class, and their mean grey (NaN where there are none).
    taxa, esd_um
        Classified particles by taxon, and their mean ESD.
    unnamed
        Particles left without a name for want of time.
    """

    number: Ints
    time_ms: Ints
    pressure_dbar: Floats
    phase: Ints
    outcome: Ints
    temperature_c: Floats
    sizes: Ints
    grey: Floats
    taxa: Ints
    esd_um: Floats
    unnamed: Ints


def from_log(log: LogReader, place: Place | None = None) -> DiveTables:
    """Tables of a dive from its log, by the bins of its profile.

    Raises `DiveLogError` where the log lacks what a replay needs.
    """
    summary = summarise(log)
    decoded = lossless_dive(summary)
    told = log.meta("recording") if log.has_meta("recording") else {}
    told = told if isinstance(told, dict) else {}
    if place is None or place.latitude_deg is None:
        place = place_of(told)
    tables = from_messages(decoded, place, str(told.get("cruise") or ""), f"dive log {log.path.name}")
    when, numbers = log.times_ms(), log.places()
    seen: dict[Phase, list[tuple[int, float]]] = {}
    for time_ms, (_, phase, pressure_dbar) in zip(when.tolist(), numbers, strict=True):
        seen.setdefault(phase, []).append((time_ms, pressure_dbar))
    parts = {part.phase: part for part in summary.profile.phases}
    deepest_dbar = float(config_of(log).profile.edges_dbar()[-1])
    phases = tuple(_with_log(one, parts[one.phase], seen[one.phase], deepest_dbar) for one in tables.phases)
    return replace(tables, mode=DataMode.DELAYED, phases=phases)


def _with_log(
    tables: PhaseTables, part: PhaseProfile, seen: list[tuple[int, float]], deepest_dbar: float
) -> PhaseTables:
    """What only the log knows of a phase: exact means, times, pressures."""
    cells = dict(tables.cells)
    for quantity in _MEANS:
        if quantity in cells:
            sums, numbers, unit = _sums(part, quantity)
            with np.errstate(invalid="ignore", divide="ignore"):
                cells[quantity] = Cells.exact(np.where(numbers > 0, sums / numbers / unit, np.nan))
    time_ms = np.array([one[0] for one in seen], dtype=np.int64)
    pressure = np.array([one[1] for one in seen], dtype=np.float64)
    if tables.phase is Phase.PARK:
        at = np.searchsorted(tables.edges, (time_ms - time_ms.min()) / 1000, side="right") - 1
    else:
        at = np.searchsorted(tables.edges, pressure, side="right") - 1
    at = np.clip(at, 0, tables.n - 1)
    found = np.isfinite(pressure)
    n = np.bincount(at[found], minlength=tables.n)
    reasons = np.zeros(tables.n, dtype=np.int64)
    of_frame = pressure_reasons(pressure[found], deepest_dbar)
    for reason in np.unique(of_frame[of_frame != 0]).tolist():
        share = np.bincount(at[found][of_frame == reason], minlength=tables.n)
        reasons[share > SOME_SHARE * n] |= reason
    dbar = tables.pressure_dbar
    if tables.phase is Phase.PARK:
        with np.errstate(invalid="ignore", divide="ignore"):
            dbar = np.bincount(at[found], weights=pressure[found], minlength=tables.n) / n
        dbar = np.where(n > 0, dbar, np.nan)
        reasons[n == 0] |= int(Reason.FRAMES_WITHOUT_PRESSURE)
    return replace(
        tables, cells=cells, start_s=time_ms.min() / 1000, end_s=time_ms.max() / 1000, time_off_s=0.0,
        pressure_dbar=dbar, pressure_reasons=reasons,
    )  # fmt: skip


def _sums(part: PhaseProfile, quantity: Quantity) -> tuple[Ints, Ints, float]:
    """Sums and numbers of readings, and how many of a sum's units the mean's unit holds."""
    match quantity:
        case Quantity.TEMPERATURE:
            return part.temperature_mc_sum[:, None], part.n_temperature[:, None], 1000.0
        case Quantity.GREY:
            return part.lpm_grey_centi_sum, part.lpm, 100.0
        case _:
            return part.taxa_esd_um_sum, part.taxa, 1.0


def lossless_dive(summary: DiveSummary) -> DecodedDive:
    """A dive as if a budget without end had sent all of it, bin by bin and exactly."""
    book = summary.codebook
    phases = {}
    for part in summary.profile.phases:
        tables = {
            quantity: _table(quantity, column_names(book, quantity), summary.counts(quantity, part.phase))
            for quantity in (*_COUNTS, Quantity.UNPLACED)
        }
        if part.unnamed.any():
            names = column_names(book, Quantity.UNNAMED)
            tables[Quantity.UNNAMED] = _table(Quantity.UNNAMED, names, part.unnamed[:, None])
        for quantity in _MEANS:
            sums, numbers = summary.means(quantity, part.phase)
            steps = [
                [ABSENT if step is None else step for step in to_steps(quantity, *column)]
                for column in zip(sums.T, numbers.T, strict=True)
            ]
            values = np.array(steps, dtype=np.int64).reshape(sums.shape[1], -1).T
            tables[quantity] = _table(quantity, column_names(book, quantity), values)
        phases[part.phase] = DecodedPhase(part.phase, part.edges, tables)
    whole = {
        quantity: _table(quantity, column_names(book, quantity), summary.counts(quantity, 3))
        for quantity in summary.extras
    }
    facts = dict(zip(DiveFact, summary.counts(Quantity.DIVE, 3)[0].tolist(), strict=True))
    return DecodedDive(book, summary.dive_number, {1: (0,)}, facts, phases, whole)


def _table(quantity: Quantity, names: tuple[str, ...], values: Ints) -> DecodedTable:
    n, k = values.shape
    first = np.tile(np.arange(n, dtype=np.int64), k)
    column = np.repeat(np.arange(k, dtype=np.int64), n)
    return DecodedTable(quantity, names, n, column, first, first + 1, values.T.ravel(), np.zeros_like(first))


def read_frames(log: LogReader, n_taxa: int) -> Frames:
    """Every frame of a dive, in memory: some 400 bytes each."""
    optics = optics_of(config_of(log))
    rows = []
    for record in log.records():
        counts, greys = record.histogram.by_class(optics)
        taxa = np.bincount(record.taxa, minlength=n_taxa)
        esd = np.bincount(record.taxa, weights=record.esd_um, minlength=n_taxa)
        rows.append(
            (record.index, record.time_ms, record.pressure_dbar, record.phase, record.outcome,
             record.temperature_c, counts, greys, taxa, esd, record.unnamed)
        )  # fmt: skip
    k = optics.n_size_classes
    none: list[Any] = [[]] * 6 + [np.zeros((0, k))] * 2 + [np.zeros((0, n_taxa))] * 2 + [[]]
    columns = [np.array(column) for column in zip(*rows, strict=True)] or [np.array(one) for one in none]
    with np.errstate(invalid="ignore", divide="ignore"):
        grey = np.where(columns[6] > 0, columns[7] / columns[6] / 100, np.nan)
        esd_um = np.where(columns[8] > 0, columns[9] / columns[8], np.nan)
    return Frames(
        columns[0].astype(np.int64), columns[1].astype(np.int64), columns[2].astype(np.float64),
        columns[3].astype(np.int64), columns[4].astype(np.int64), columns[5].astype(np.float64),
        columns[6].astype(np.int64), grey, columns[8].astype(np.int64), esd_um,
        columns[10].astype(np.int64),
    )  # fmt: skip


def frame_tables(frames: Frames, image_volume_l: float) -> PhaseTables:
    """Frames as samples, one each, all phases one after another: the same tables as of bins.

    Its `phase` and `edges` say nothing: a frame's place is in `Frames`.
    """
    n = len(frames.number)
    outcome = np.zeros((n, N_OUTCOMES))
    outcome[np.arange(n), frames.outcome] = 1
    is_sized = np.isin(frames.outcome, [int(one) for one in SIZED_OUTCOMES])
    is_named = np.isin(frames.outcome, [int(one) for one in CLASSIFIED_OUTCOMES])
    is_unlit = frames.outcome == FrameOutcome.UNLIT
    named = frames.taxa.sum(axis=1)
    share = np.where(frames.unnamed > 0, named / np.maximum(named + frames.unnamed, 1), 1.0)
    tables: dict[Quantity, Floats] = {
        Quantity.FRAMES: outcome,
        Quantity.SIZES: np.where(is_sized[:, None], frames.sizes, 0.0),
        Quantity.GREY: np.where(is_sized[:, None], frames.grey, np.nan),
        Quantity.NOISE: np.where(is_unlit[:, None], frames.sizes, 0.0),
        Quantity.TAXA: np.where(is_named[:, None], frames.taxa, 0.0),
        Quantity.ESD: np.where(is_named[:, None], frames.esd_um, np.nan),
        Quantity.TEMPERATURE: frames.temperature_c[:, None],
    }
    if frames.unnamed.any():
        tables[Quantity.UNNAMED] = frames.unnamed[:, None].astype(np.float64)
    cells = {quantity: Cells.exact(values, Provenance.LOSSLESS) for quantity, values in tables.items()}
    known = np.isfinite(frames.pressure_dbar)
    reasons = np.where(known, pressure_reasons(frames.pressure_dbar, math.inf), 0)
    reasons[~known] |= int(Reason.FRAMES_WITHOUT_PRESSURE)
    return PhaseTables(
        Phase.DESCENT, np.arange(n + 1, dtype=np.int64), cells, frames.pressure_dbar,
        np.where(is_sized, image_volume_l, 0.0), np.where(is_named, share * image_volume_l, 0.0),
        math.nan, math.nan, 0.0, np.zeros(N_OUTCOMES), reasons,
    )  # fmt: skip
