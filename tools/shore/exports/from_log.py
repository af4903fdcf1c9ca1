"""A recovered dive log as tables: every number as the instrument has it, by bins or frame by frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from edge.frame import CLASSIFIED_OUTCOMES, N_OUTCOMES, SIZED_OUTCOMES, FrameOutcome, Phase
from edge.profile import PhaseProfile
from edge.telemetry.decoded import Provenance
from edge.telemetry.summary import Quantity
from tools.shore import dives
from tools.shore.dives import LoggedDive, Place
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


@dataclass(frozen=True, slots=True)
class Frames(dives.Frames):
    """Frames of a dive with what was counted in each; arrays (n,), or (n, columns).

    Attributes
    ----------
    sizes, grey
        Particles by size class, and their mean grey (NaN where there are none).
    taxa, esd_um
        Classified particles by taxon, and their mean ESD.
    unnamed
        Particles left without a name for want of time.
    """

    sizes: Ints
    grey: Floats
    taxa: Ints
    esd_um: Floats
    unnamed: Ints


def from_log(dive: LoggedDive, place: Place | None = None) -> DiveTables:
    """Tables of a dive from its log, by the bins of its profile.

    Raises `DiveLogError` where the log lacks what a replay needs.
    """
    if place is None or place.latitude_deg is None:
        place = dive.place
    cruise, source = str(dive.recording.get("cruise") or ""), f"dive log {dive.log.path.name}"
    tables = from_messages(dive.decoded, place, cruise, source)
    parts = {part.phase: part for part in dive.summary.profile.phases}
    deepest_dbar = float(dive.config.profile.edges_dbar()[-1])
    phases = tuple(_with_log(one, parts[one.phase], dive.frames, deepest_dbar) for one in tables.phases)
    return replace(tables, mode=DataMode.DELAYED, phases=phases)


def _with_log(
    tables: PhaseTables, part: PhaseProfile, frames: dives.Frames, deepest_dbar: float
) -> PhaseTables:
    """What only the log knows of a phase: exact means, times, pressures."""
    cells = dict(tables.cells)
    for quantity in _MEANS:
        if quantity in cells:
            sums, numbers, unit = _sums(part, quantity)
            with np.errstate(invalid="ignore", divide="ignore"):
                cells[quantity] = Cells.exact(np.where(numbers > 0, sums / numbers / unit, np.nan))
    mine = frames.phase == tables.phase
    time_ms, pressure = frames.time_ms[mine], frames.pressure_dbar[mine]
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


def read_frames(dive: LoggedDive) -> Frames:
    """Every frame of a dive, in memory: some 400 bytes each."""
    n, n_classes, n_taxa = len(dive.rows), dive.optics.n_size_classes, len(dive.codebook.taxa)
    sizes, greys = np.zeros((n, n_classes), dtype=np.int64), np.zeros((n, n_classes), dtype=np.int64)
    taxa, esd_um = np.zeros((n, n_taxa), dtype=np.int64), np.zeros((n, n_taxa))
    unnamed = np.zeros(n, dtype=np.int64)
    seen = dive.frames
    for i, record in enumerate(dive.log.records(seen.time_ms)):
        sizes[i], greys[i] = record.histogram.by_class(dive.optics)
        taxa[i] = np.bincount(record.taxa, minlength=n_taxa)
        esd_um[i] = np.bincount(record.taxa, weights=record.esd_um, minlength=n_taxa)
        unnamed[i] = record.unnamed
    with np.errstate(invalid="ignore", divide="ignore"):
        return Frames(
            seen.number,
            seen.time_ms,
            seen.phase,
            seen.outcome,
            seen.pressure_dbar,
            seen.temperature_c,
            sizes,
            np.where(sizes > 0, greys / sizes / 100, np.nan),
            taxa,
            np.where(taxa > 0, esd_um / taxa, np.nan),
            unnamed,
        )


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
