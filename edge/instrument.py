"""The loop: a frame comes in, its outcome goes to the log; at the end of a dive the log becomes messages.

`run` and `simulate` are this loop with other ends. It opens no camera and no link, and asks no clock: time
comes with the frames.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edge.config import Config
from edge.counted import Counted
from edge.divelog import DiveLog
from edge.divelog_schema import LoggedFrame, Particle
from edge.errors import DiveLogError, ImageError
from edge.frame import Frame, FrameOutcome, Phase
from edge.inference.bundle import Bundle
from edge.inference.classifier import Answers, Classifier, Named, Namer
from edge.live import Live
from edge.logged import correct_dive, optics_of, plan_messages
from edge.mission import Mission, PhaseGiven, PressureRead, step
from edge.overload import Allowance, choose
from edge.profile import EMPTY_HISTOGRAM, AreaHistogram, FrameRecord, Ints
from edge.schedule import Good, Orders, Schedule
from edge.telemetry.planned import Plan
from edge.vision.background import BackgroundRemover
from edge.vision.dirt import DirtMap
from edge.vision.morphology import MEASURES, measure
from edge.vision.quality import judge_exposure, judge_focus, mean_grey_centi, noise_threshold, sharpness
from edge.vision.segmentation import Foreground, Regions, find_foreground, join, segment
from edge.vision.vignette import cut_vignette, encode_vignette

Pixels = NDArray[np.uint8]
Observer = Callable[[Frame, FrameRecord, Regions], None]
MAX_OPEN = 16
"""Frames that may wait for the classifier."""
_ESD = next(i for i, one in enumerate(MEASURES) if one.name == "esd_um")
NO_INTS: Ints = np.zeros(0, dtype=np.int64)


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
    mean_grey_centi: int | None = None
    noise_threshold: int | None = None


@dataclass(frozen=True, slots=True)
class _Open:
    """A frame that was looked at, its particles' ticket, what was to be done, whether it will be shown."""

    frame: Frame
    phase: Phase
    look: _Look
    ticket: int | None
    orders: Orders
    is_wanted: bool


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
    live
        Shows frames to who looks; it changes nothing in the log.

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
        live: Live | None = None,
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
        self._observe, self._live = observe, live
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
        is_wanted = self._live is not None and self._live.wants_frame(look.outcome)
        kept = frame if is_wanted or self._observe is not None else replace(frame, pixels=None, counted=None)
        self._open.append(_Open(kept, self._phase, look, ticket, self.orders, is_wanted))
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
            frame.stamp, look.mean_grey_centi, look.noise_threshold,
        )  # fmt: skip
        self.log.add_frame(logged)
        self.log.vignettes_left_out += 0 if done.orders.save else len(look.particles)
        kept_bytes = sum(len(one.vignette_png or b"") for one in look.particles)
        self._schedule.spend(done.orders.zone, Good.VIGNETTE_BYTES, kept_bytes)
        if self._observe is not None and look.regions is not None:
            self._observe(frame, record, look.regions)
        if self._live is not None and done.is_wanted:
            self._live.show(frame, logged, look.regions, self._optics)
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
        if frame.fault is None and frame.counted is not None:
            return self._take_over(frame, frame.counted)
        if frame.fault is not None or frame.pixels is None:
            return _Look(frame.fault or FrameOutcome.CORRUPT, frame.note)
        previous, self._previous = self._previous, frame
        if previous is not None and _same_frame(previous, frame):
            return _Look(FrameOutcome.DUPLICATE, f"the same as frame {previous.index}")
        if frame.time_ms < self._bloc_closed_ms:
            return _Look(FrameOutcome.LATE, "taken before the last bloc was closed")
        look = self._see(frame, frame.pixels)
        if look.outcome is FrameOutcome.CORRUPT:
            return look
        return replace(look, mean_grey_centi=mean_grey_centi(frame.pixels))

    def _see(self, frame: Frame, pixels: Pixels) -> _Look:
        """Judge, segment, measure and classify one frame that is there."""
        optics, vision = self._optics, self.config.vision
        try:
            white = self._remover.remove(pixels, learn=False)
        except ImageError as error:
            return _Look(FrameOutcome.CORRUPT, str(error))
        foreground = find_foreground(white, optics.threshold)
        if not frame.lit:
            noise = noise_threshold(white)
            return _Look(FrameOutcome.UNLIT, histogram=_histogram(join(foreground)), noise_threshold=noise)
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
        chosen = large[self._choose(frame, everything.area_px[large])]
        return _Look(
            FrameOutcome.ANALYSED, "", histogram, regions=regions, sharpness=sharp, dirt=dirt,
            cut=self._cut(white, everything, chosen),
            unnamed=len(large) - len(chosen),
        )  # fmt: skip

    def _take_over(self, frame: Frame, counted: Counted) -> _Look:
        """What another instrument counted in a frame: its counts as they stand, its vignettes to be named."""
        look, histogram = _Look(counted.outcome, histogram=counted.histogram), counted.histogram
        if counted.outcome is not FrameOutcome.ANALYSED:
            return look
        cut: list[_Cut] = []
        for vignette in counted.vignettes:
            regions = segment(vignette, self._optics.threshold)
            if len(regions) and regions.area_px.max() >= self._min_area_px:
                cut += self._cut(vignette, regions, np.array([regions.area_px.argmax()]))
        chosen = self._choose(frame, np.array([one.area_px for one in cut], dtype=np.int64)).tolist()
        n_large = int(histogram.count[histogram.area_px >= self._min_area_px].sum())
        unnamed = max(n_large - len(chosen), len(cut) - len(chosen))
        return replace(look, cut=tuple(cut[i] for i in chosen), unnamed=unnamed)

    def _choose(self, frame: Frame, area_px: Ints) -> Ints:
        """Which of a frame's larger particles are classified, as time and budget allow: indices, rising."""
        wanted = len(area_px) if self.orders.classify else 0
        allowed = self._allowance.take(wanted, _now_ms(frame), self._namer.pace_s)
        n = min(allowed, self._namer.room)
        return choose(area_px, n, self.config.classify.overload, frame.index)

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
            _particle(frame.index, one, answers, i, save=done.orders.save) for i, one in enumerate(cut)
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


def _particle(frame: int, cut: _Cut, answers: Answers, i: int, *, save: bool) -> Particle:
    """A particle with the i-th of the answers."""
    return Particle(
        frame, cut.x_px, cut.y_px, cut.width_px, cut.height_px, cut.area_px, cut.on_border, cut.esd_um,
        int(answers.decisions[i]), answers.taxon_scores[i], cut.measures,
        encode_vignette(cut.vignette) if save else None, float(answers.evidence[i]),
        answers.numbers[i].tobytes(),
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
