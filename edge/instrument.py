"""The loop: a frame comes in, its outcome goes to the log; at the end of a dive the log becomes messages.

`run` and `simulate` are this loop with other ends. It opens no camera and no link, and asks no clock: time
comes with the frames.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.config import Config, TelemetryConfig, to_struct
from edge.divelog import DiveLog
from edge.divelog_schema import LoggedFrame, Particle
from edge.errors import ConfigError, DiveLogError, ImageError, InputError
from edge.frame import CLASSIFIED_OUTCOMES, Frame, FrameOutcome, Phase
from edge.inference.bundle import Bundle, Correction
from edge.inference.classifier import Classifier, Named, Namer
from edge.mission import Mission, PhaseGiven, PressureRead, step
from edge.optics import Optics
from edge.overload import Allowance, choose
from edge.pictures import pictures_of
from edge.profile import EMPTY_HISTOGRAM, AreaHistogram, FrameRecord, Ints, build_profile
from edge.quantification import count_from_scores
from edge.schedule import Good, Orders, Schedule
from edge.telemetry.climatology import Climatology, load_climatology
from edge.telemetry.codebook import Codebook
from edge.telemetry.header import MIN_MESSAGE_BYTES
from edge.telemetry.health import Health, HealthReading, sum_up
from edge.telemetry.naming import esd_quantiles, expected_wrong
from edge.telemetry.planned import Plan, Priorities
from edge.telemetry.planner import plan, plan_totals
from edge.telemetry.replies import Reply, Verdict
from edge.telemetry.summary import DiveSummary, Quantity
from edge.vision.background import BackgroundRemover
from edge.vision.dirt import DirtMap
from edge.vision.morphology import MEASURES, measure
from edge.vision.quality import judge_exposure, judge_focus, sharpness
from edge.vision.segmentation import Foreground, Regions, find_foreground, join
from edge.vision.vignette import cut_vignette, encode_vignette

Pixels = NDArray[np.uint8]
Observer = Callable[[Frame, FrameRecord, Regions], None]
MAX_OPEN = 16
"""Frames that may wait for the classifier."""
_ESD = next(i for i, one in enumerate(MEASURES) if one.name == "esd_um")
NO_INTS: Ints = np.zeros(0, dtype=np.int64)


def begin_dive(
    path: str | PathLike[str],
    config: Config,
    bundle: Bundle,
    *,
    dive_number: int,
    time_ms: int,
    recording: Mapping[str, Any] | None = None,
    climatology: Climatology | None = None,
) -> DiveLog:
    """Create the log of a dive with all that a replay needs: configuration, codebook, climatology, budget.

    `config` must hold optics. Raises `ConfigError` or `DiveLogError`.
    """
    priorities_of(config.telemetry)  # what it cannot say at the end of a dive it says before it begins
    log = DiveLog.create(
        path,
        {
            "dive_number": dive_number,
            "started_ms": time_ms,
            "config": msgspec.to_builtins(config),
            "codebook": msgspec.to_builtins(codebook_of(config, bundle, climatology)),
            "climatology": None if climatology is None else msgspec.to_builtins(climatology),
            "bundle": {"name": bundle.name, "sha256": bundle.sha256},
            "correction": msgspec.to_builtins(bundle.manifest.correction),
            "measures": [one.name for one in MEASURES],
            "recording": dict(recording or {}),
        },
        vignette_quota_mb=config.log.vignette_quota_mb,
    )
    log.add_input(time_ms, "budget", msgspec.to_builtins(config.telemetry))
    return log


def optics_of(config: Config) -> Optics:
    """Optics of a complete configuration; raises `ConfigError` when there are none."""
    if config.optics is None:
        raise ConfigError("is missing", field="optics", remedy="add an [optics] section")
    return config.optics


def read_climatology(config: Config) -> Climatology | None:
    """The climatology that the configuration names; `ConfigError` or `MessageError` say why it is not."""
    name = config.telemetry.climatology
    if name is None:
        return None
    try:
        return load_climatology(Path(name).read_bytes(), file=name)
    except OSError as cause:
        raise ConfigError(
            f"is {name}, which cannot be read ({cause.strerror or cause})",
            field="telemetry.climatology",
            remedy="give a file that seston climatology wrote",
        ) from None


def climatology_in(log: DiveLog) -> Climatology | None:
    """The climatology that a dive's messages may be coded with."""
    told = log.meta("climatology") if log.has_meta("climatology") else None
    return None if told is None else to_struct(told, Climatology, file=log.path, error=DiveLogError)


def codebook_of(config: Config, bundle: Bundle, climatology: Climatology | None = None) -> Codebook:
    """What the shore must know to read the messages of this configuration and bundle."""
    return Codebook(
        taxa=bundle.counted_taxa,
        optics=optics_of(config),
        profile=config.profile,
        bundle_sha256=bundle.sha256,
        platform=config.platform,
        climatology_sha256="" if climatology is None else climatology.sha256,
    )


def config_of(log: DiveLog) -> Config:
    """Configuration a dive ran with."""
    return to_struct(log.meta("config"), Config, file=log.path, error=DiveLogError)


def codebook_in(log: DiveLog) -> Codebook:
    """Codebook of a dive's messages."""
    return to_struct(log.meta("codebook"), Codebook, file=log.path, error=DiveLogError)


def correct_dive(log: DiveLog) -> Ints | None:
    """Counts of a dive's classified particles, corrected from their scores, int64 (3, n_taxa).

    Rows: corrected count, and both ends of its 90 % interval, by counted taxon. The particles are those of
    the profile. None when the model brought no correction.
    """
    told = log.meta("correction") if log.has_meta("correction") else None
    if told is None:
        return None
    correction = to_struct(told, Correction, file=log.path, error=DiveLogError)
    placed = {record.index for record in log.records() if _is_placed(record)}
    scores = [particle.scores for particle in log.particles() if particle.frame in placed]
    implied, usual = np.array(correction.implied), np.array(correction.usual)
    found = count_from_scores(
        np.stack(scores) if scores else np.zeros((0, len(usual))), implied, usual, spread=correction.spread
    )
    corrected = np.zeros((3, len(codebook_in(log).taxa)), dtype=np.int64)
    corrected[:, : len(usual)] = found.count, found.low, found.high
    return corrected


def doubt_in(log: DiveLog, records: Sequence[FrameRecord]) -> Ints | None:
    """Expected number of wrong names of a dive by counted taxon, int64 (n_taxa,).

    The particles are those of the profile. None when the scores in the log are not of one length.
    """
    placed = {record.index for record in records if _is_placed(record)}
    found = [(one.taxon, one.scores) for one in log.particles() if one.frame in placed]
    counted = codebook_in(log).taxa
    if len({len(scores) for _, scores in found}) > 1:
        return None
    scores = np.stack([scores for _, scores in found]) if found else np.zeros((0, 0), dtype=np.float32)
    return expected_wrong(np.array([taxon for taxon, _ in found], dtype=np.int64), scores, counted)


def health_in(log: DiveLog, records: Sequence[FrameRecord]) -> Health:
    """How the instrument fared in a dive: from the readings and restarts in the log, and from its frames."""
    return sum_up(
        [
            to_struct(data, HealthReading, file=log.path, error=DiveLogError)
            for _, data in log.inputs("health")
        ],
        restarts=len(log.inputs("restart")),
        over_exposed_frames=sum(record.outcome is FrameOutcome.OVER_EXPOSED for record in records),
        worst_sharpness=log.worst_sharpness(),
    )


def replies_in(log: DiveLog) -> tuple[Reply, ...]:
    """Answers to commands from shore, as they were last given to the log."""
    told = log.inputs("replies")
    rows = told[-1][1]["replies"] if told else []
    return tuple(Reply(counter, Verdict(verdict), detail) for counter, verdict, detail in rows)


def _is_placed(record: FrameRecord) -> bool:
    """Whether the particles of a frame are in the profile."""
    return record.phase is Phase.PARK or math.isfinite(record.pressure_dbar)


def summarise(log: DiveLog) -> DiveSummary:
    """Profile and all that a message may hold: a pure replay of the log.

    Corrected counts are those of the board once the dive is finished: their sampling is the same on every
    machine but for the last bit of a logarithm.
    """
    config = config_of(log)
    codebook = codebook_in(log)
    records = list(log.records())
    if log.has_meta("corrected"):
        told = log.meta("corrected")
        corrected = None if told is None else np.array(told, dtype=np.int64)
    else:
        corrected = correct_dive(log)
    times_ms = [log.meta("started_ms"), *(record.time_ms for record in records)]
    named = [r for r in records if _is_placed(r) and r.outcome in CLASSIFIED_OUTCOMES]
    taxa = np.concatenate([NO_INTS, *(record.taxa for record in named)])
    esd_um = np.concatenate([NO_INTS, *(record.esd_um for record in named)])
    return DiveSummary(
        dive_number=log.meta("dive_number"),
        codebook=codebook,
        profile=build_profile(records, optics_of(config), config.profile, len(codebook.taxa)),
        start_ms=min(times_ms),
        end_ms=max(times_ms),
        corrected=corrected,
        esd_quantiles=esd_quantiles(taxa, esd_um, codebook.taxa),
        doubt=doubt_in(log, records),
        health=health_in(log, records),
        replies=replies_in(log),
    )


def plan_messages(log: DiveLog) -> Plan:
    """Messages of a dive within the budget last received: a pure replay of the log."""
    budget = to_struct(log.inputs("budget")[-1][1], TelemetryConfig, file=log.path, error=DiveLogError)
    return plan_within(log, budget)


def plan_within(log: DiveLog, budget: TelemetryConfig) -> Plan:
    """Messages of a dive within some budget; of totals alone, and what fits of them, when it is too small."""
    summary, climatology = summarise(log), climatology_in(log)
    try:
        return plan(
            summary,
            budget.budget_bytes,
            budget.message_bytes,
            climatology=climatology,
            priorities=priorities_of(budget),
            n_parity=budget.parity_messages,
            pictures=pictures_of(log, budget.pictures) if budget.pictures else (),
            is_layered=budget.layered,
        )
    except InputError as refused:
        if refused.field != "budget_bytes" or budget.budget_bytes < MIN_MESSAGE_BYTES:
            raise
        return plan_totals(summary, budget.budget_bytes, budget.message_bytes, climatology)


def priorities_of(budget: TelemetryConfig) -> Priorities:
    """What matters most, as the configuration says it; raises `ConfigError` for a table that is none."""
    names: dict[str, Quantity] = {one.name.lower(): one for one in Quantity}
    del names[Quantity.REMAINDER.name.lower()]
    for name in budget.worth:
        if name not in names:
            raise ConfigError(
                f"names {name}, which is no table", field="telemetry.worth", remedy=f"use {', '.join(names)}"
            )
    worth = {names[name]: times for name, times in budget.worth.items()}
    return Priorities(worth, budget.worth_taxa, budget.worth_depths_dbar)


@dataclass(frozen=True, slots=True)
class _Cut:
    """A particle that is to be named: box, measures, vignette."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int
    area_px: int
    on_border: bool
    esd_um: int
    measures: NDArray[np.float64]
    vignette: Pixels


@dataclass(frozen=True, slots=True)
class _Look:
    """What one frame turned out to be."""

    outcome: FrameOutcome
    note: str = ""
    histogram: AreaHistogram = EMPTY_HISTOGRAM
    taxa: Ints = field(default_factory=lambda: NO_INTS)
    esd_um: Ints = field(default_factory=lambda: NO_INTS)
    particles: tuple[Particle, ...] = ()
    regions: Regions | None = None
    sharpness: float | None = None
    cut: tuple[_Cut, ...] = ()
    unnamed: int = 0
    dirt: int = 0


@dataclass(frozen=True, slots=True)
class _Open:
    """A frame that was looked at, the classifier's ticket for its particles, and what was to be done."""

    frame: Frame
    phase: Phase
    look: _Look
    ticket: int | None
    orders: Orders


class Instrument:
    """One dive of one instrument. Not for several threads.

    Parameters
    ----------
    config, bundle
        Complete configuration (with optics), and the model.
    log
        From `begin_dive`, or an unfinished log to go on with.
    mission
        Where the dive stands: a recording begins in descent; `run` hands over what it knows.
    flat_field
        uint8 (height, width) when the configuration asks for one.
    observe
        Called with each segmented frame, its record and all its regions.
    namer
        Who names particles; a `Classifier` of the bundle, which answers at once, when None.
    spent
        What the dive had spent of its budget before a restart: see `spent` below.

    Attributes
    ----------
    mission
        Where the dive stands.
    orders
        What was done with the last frame, and when the next is due.
    """

    def __init__(
        self,
        config: Config,
        bundle: Bundle,
        log: DiveLog,
        *,
        mission: Mission,
        flat_field: Pixels | None = None,
        observe: Observer | None = None,
        namer: Namer | None = None,
        spent: dict[str, list[float]] | None = None,
    ) -> None:
        self.config = config
        self.log = log
        self.mission = mission
        self._optics = optics_of(config)
        self._namer = Classifier(bundle, threads=config.classify.threads) if namer is None else namer
        self._allowance = Allowance(config.classify.per_second, config.classify.backlog_s)
        self._schedule = Schedule(config, spent)
        self.orders = self._schedule.at(mission.phase or Phase.DESCENT, math.nan)
        self._said: set[tuple[int, Good]] = set()
        self._last_ms: int | None = None
        self._remover = BackgroundRemover(config.vision, self._optics, flat_field)
        self._min_area_px = self._optics.min_area_px(config.classify.min_esd_um)
        self._observe = observe
        self._phase = mission.phase or Phase.DESCENT
        self._in_bloc = 0
        self._bloc_closed_ms = -math.inf
        self._newest_ms = -math.inf
        self._previous: Frame | None = None
        self._dirt = DirtMap()
        self._open: deque[_Open] = deque()
        self._named: dict[int, Named] = {}

    def take(self, frame: Frame) -> list[LoggedFrame]:
        """Look at one frame; returns the frames that have their outcome now, in the order of capture.

        They are logged; a bloc that is full is committed, once its frames have theirs. With a classifier that
        answers at once it is always this frame; with one that takes its time, frames before it, or none.
        """
        event = (
            PressureRead(frame.time_ms, frame.pressure_dbar)
            if frame.phase is None
            else PhaseGiven(frame.time_ms, frame.phase)
        )
        self.mission, _ = step(self.mission, event, self.config.mission)
        self._phase = self.mission.phase or self._phase
        self.orders = self._schedule.at(self._phase, frame.pressure_dbar)
        self._tell_spent(frame)
        look = self._look_at(frame)
        ticket = self._namer.submit([one.vignette for one in look.cut]) if look.cut else None
        kept = frame if self._observe is not None else replace(frame, pixels=None)
        self._open.append(_Open(kept, self._phase, look, ticket, self.orders))
        self._spend(frame, len(look.cut))
        self._in_bloc += 1
        is_full = self._in_bloc >= self.orders.frames_per_bloc
        return self.close_bloc() if is_full else self._settle(MAX_OPEN)

    def close_bloc(self) -> list[LoggedFrame]:
        """Commit all that was taken; returns the frames that had no outcome before."""
        settled = self._settle(0)
        self.log.commit()
        self._in_bloc = 0
        self._bloc_closed_ms = self._newest_ms
        return settled

    def is_due(self, frame: Frame) -> bool:
        """Whether a camera that keeps to the schedule would have taken a frame of a recording."""
        period_s = self.orders.period_s
        return self._last_ms is None or period_s is None or _now_ms(frame) - self._last_ms >= 1000 * period_s

    @property
    def spent(self) -> dict[str, list[float]]:
        """What was spent of the dive's budget, by zone."""
        return self._schedule.spent

    @property
    def dirt_permille(self) -> int:
        """Share of the view that dirt covers, thousandths."""
        return self._dirt.permille

    def was_busy(self, seconds: float) -> None:
        """The processor was busy for so long with the last frame."""
        self._schedule.spend(self.orders.zone, Good.ENERGY_J, seconds * self.config.mission.budget.busy_w)

    def _spend(self, frame: Frame, n_classified: int) -> None:
        """Time and energy of a frame, and of the time since the one before."""
        budget, now_ms = self.config.mission.budget, _now_ms(frame)
        passed_s = 0.0 if self._last_ms is None else max(0, now_ms - self._last_ms) / 1000
        self._last_ms = now_ms
        classify_s = n_classified * (self._namer.pace_s or 0.0)
        self._schedule.spend(self.orders.zone, Good.CLASSIFY_S, classify_s)
        energy_j = budget.frame_j + passed_s * budget.idle_w + classify_s * budget.busy_w
        self._schedule.spend(self.orders.zone, Good.ENERGY_J, energy_j)

    def _tell_spent(self, frame: Frame) -> None:
        """Log, once a zone, that its share of something is used up."""
        for good in self.orders.spent:
            place = self.orders.zone, good
            if place not in self._said:
                self._said.add(place)
                data = {"zone": self.orders.zone, "good": good.value, "frame": frame.index}
                with contextlib.suppress(DiveLogError):  # a full disk stops no dive
                    self.log.add_input(frame.time_ms, "used-up", data)

    def _settle(self, most_open: int) -> list[LoggedFrame]:
        """Log frames that have their outcome, in order; wait until at most so many have none."""
        settled: list[LoggedFrame] = []
        wait_s = 0.0
        while self._open:
            for named in self._namer.collect(wait_s):
                self._named[named.ticket] = named
            while self._open and (self._open[0].ticket is None or self._open[0].ticket in self._named):
                settled.append(self._log(self._open.popleft()))
            if len(self._open) <= most_open:
                break
            wait_s = 0.1
        return settled

    def _log(self, done: _Open) -> LoggedFrame:
        frame, look = done.frame, done.look
        if done.ticket is not None:
            look = self._with_names(done, self._named.pop(done.ticket))
        record = FrameRecord(
            frame.index,
            frame.time_ms,
            frame.pressure_dbar,
            done.phase,
            look.outcome,
            frame.environment.get("temperature_c", math.nan),
            look.histogram,
            look.taxa,
            look.esd_um,
            look.unnamed,
            look.dirt,
        )
        logged = LoggedFrame(
            record, frame.lit, frame.source, look.note, frame.environment, look.particles, look.sharpness,
            frame.stamp,
        )  # fmt: skip
        self.log.add_frame(logged)
        self.log.vignettes_left_out += 0 if done.orders.save else len(look.particles)
        kept_bytes = sum(len(one.vignette_png or b"") for one in look.particles)
        self._schedule.spend(done.orders.zone, Good.VIGNETTE_BYTES, kept_bytes)
        if self._observe is not None and look.regions is not None:
            self._observe(frame, record, look.regions)
        self._newest_ms = max(self._newest_ms, frame.time_ms)
        return logged

    def finish(self) -> Plan:
        """End the dive: commit, plan the messages from the log, and log them."""
        self.close_bloc()
        if self.log.vignettes_left_out:
            self.log.set_meta("vignettes_left_out", self.log.vignettes_left_out)
        try:
            corrected = correct_dive(self.log)
        except (ValueError, MemoryError) as error:  # raw counts go all the same
            corrected = None
            self.log.set_meta("correction_failed", str(error))
        self.log.set_meta("corrected", None if corrected is None else corrected.tolist())
        planned = plan_messages(self.log)
        self.log.set_messages(planned.messages)
        return planned

    def _look_at(self, frame: Frame) -> _Look:
        if frame.fault is not None or frame.pixels is None:
            return _Look(frame.fault or FrameOutcome.CORRUPT, frame.note)
        previous, self._previous = self._previous, frame
        if previous is not None and _same_frame(previous, frame):
            return _Look(FrameOutcome.DUPLICATE, f"the same as frame {previous.index}")
        if frame.time_ms < self._bloc_closed_ms:
            return _Look(FrameOutcome.LATE, "taken before the last bloc was closed")
        return self._see(frame, frame.pixels)

    def _see(self, frame: Frame, pixels: Pixels) -> _Look:
        """Judge, segment, measure and classify one frame that is there."""
        optics, vision = self._optics, self.config.vision
        try:
            white = self._remover.remove(pixels, learn=False)
        except ImageError as error:
            return _Look(FrameOutcome.CORRUPT, str(error))
        foreground = find_foreground(white, optics.threshold)
        if not frame.lit:
            return _Look(FrameOutcome.UNLIT, histogram=_histogram(join(foreground)))
        outcome = judge_exposure(pixels, foreground, vision, optics.polarity)
        if outcome is None or not self._remover.ready:
            self._remover.learn(pixels)
        if outcome is not None:
            return _Look(outcome, f"{100 * foreground.fraction:.1f} % of the pixels are above threshold")
        everything = join(foreground)
        is_dirt = self._find_dirt(frame, foreground, everything)
        dirt = int(is_dirt.sum())
        regions = everything.only(~is_dirt) if dirt else everything
        sharp = sharpness(white, regions)
        outcome = judge_focus(sharp, vision)
        if outcome is not None:
            return _Look(outcome, sharpness=sharp, dirt=dirt)
        histogram = _histogram(regions)
        if not len(regions):
            return _Look(FrameOutcome.EMPTY, regions=regions, dirt=dirt)  # no particle, no edge to judge
        large = np.flatnonzero((everything.area_px >= self._min_area_px) & ~is_dirt)
        wanted = len(large) if self.orders.classify else 0
        allowed = self._allowance.take(wanted, _now_ms(frame), self._namer.pace_s)
        n = min(allowed, self._namer.room)
        chosen = large[choose(everything.area_px[large], n, self.config.classify.overload, frame.index)]
        return _Look(
            FrameOutcome.ANALYSED, "", histogram, regions=regions, sharpness=sharp, dirt=dirt,
            cut=self._cut(white, everything, chosen),
            unnamed=len(large) - len(chosen),
        )  # fmt: skip

    def _find_dirt(self, frame: Frame, foreground: Foreground, regions: Regions) -> NDArray[np.bool_]:
        """Which regions stay at their places of the view, bool (n,)."""
        if not self.config.vision.mask_dirt:
            return np.zeros(len(regions), dtype=np.bool_)
        self._dirt.see(foreground, _now_ms(frame), frame.pressure_dbar)
        return self._dirt.find(regions)

    def _with_names(self, done: _Open, named: Named) -> _Look:
        """What a frame turns out to be once its particles have names, or have none."""
        frame, look, cut = done.frame, done.look, done.look.cut
        if named.answers is None:
            note = f"the classifier failed on {len(cut)} particles ({named.problem})"
            return replace(look, outcome=FrameOutcome.INFERENCE_FAILED, note=note, unnamed=0)
        answers = named.answers
        esd_um = np.array([one.esd_um for one in cut], dtype=np.int64)
        particles = tuple(
            self._particle(frame.index, one, int(taxon), scores, float(evidence), done.orders.save)
            for one, taxon, scores, evidence in zip(
                cut, answers.decisions, answers.taxon_scores, answers.evidence, strict=True
            )
        )
        return replace(look, taxa=answers.decisions, esd_um=esd_um, particles=particles)

    def _cut(self, white: Pixels, regions: Regions, chosen: Ints) -> tuple[_Cut, ...]:
        """Measure and cut out, step by step for all: what a processor keeps at hand differs by step."""
        sides = regions.x_px, regions.y_px, regions.width_px, regions.height_px, regions.area_px
        boxes = list(zip(*(side[chosen].tolist() for side in sides), strict=True))
        masks = [regions.mask(i) for i in chosen.tolist()]
        measured = [
            measure(mask, white[y : y + height, x : x + width], x, y, self._optics)
            for mask, (x, y, width, height, _) in zip(masks, boxes, strict=True)
        ]
        vignettes = [cut_vignette(white, regions, i, self.config.vision) for i in chosen.tolist()]
        return tuple(
            _Cut(x, y, width, height, area, on_border, round(float(measures[_ESD])), measures, vignette)
            for (x, y, width, height, area), on_border, measures, vignette in zip(
                boxes, regions.on_border[chosen].tolist(), measured, vignettes, strict=True
            )
        )

    def _particle(
        self, frame: int, cut: _Cut, taxon: int, scores: NDArray[np.float32], evidence: float, save: bool
    ) -> Particle:
        return Particle(
            frame, cut.x_px, cut.y_px, cut.width_px, cut.height_px, cut.area_px, cut.on_border, cut.esd_um,
            taxon, scores, cut.measures, encode_vignette(cut.vignette) if save else None, evidence,
        )  # fmt: skip


def _now_ms(frame: Frame) -> int:
    """When a frame was taken, by the clock that is least likely to jump."""
    return frame.time_ms if frame.stamp is None else frame.stamp.monotonic_ms


def _histogram(regions: Regions) -> AreaHistogram:
    return AreaHistogram.of(regions.area_px, regions.integrated_grey)


def _same_frame(a: Frame, b: Frame) -> bool:
    """Whether a camera gave one frame twice: the same time, or the same pixels and not all black.

    A few rows are compared first; noise makes them differ at once in frames that are really two.
    """
    if a.time_ms == b.time_ms:
        return True
    if a.pixels is None or b.pixels is None or a.pixels.shape != b.pixels.shape:
        return False
    if not np.array_equal(a.pixels[::128], b.pixels[::128]):
        return False
    return bool(a.pixels.any()) and np.array_equal(a.pixels, b.pixels)
