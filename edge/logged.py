"""What a dive's log must hold to be replayed, and its replay: configuration, profile, messages.

Everything here comes from the log alone: the same log gives the same messages on any machine.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.config import Config, TelemetryConfig
from edge.divelog import DiveLog
from edge.drift import Appearance, Drift, Reference
from edge.errors import ConfigError, DiveLogError, InputError
from edge.frame import CLASSIFIED_OUTCOMES, FrameOutcome, Phase
from edge.inference.bundle import Bundle
from edge.inference.manifest import Correction
from edge.log_reader import LogReader
from edge.optics import Optics
from edge.pictures import pictures_of
from edge.profile import FrameRecord, Ints, build_profile
from edge.quantification import count_from_scores
from edge.structs import to_struct
from edge.telemetry.climatology import Climatology, load_climatology
from edge.telemetry.codebook import Codebook
from edge.telemetry.header import MIN_MESSAGE_BYTES
from edge.telemetry.health import Condition, Health, HealthReading, sum_up, sum_up_condition
from edge.telemetry.naming import add_given, esd_quantiles, wrong_of
from edge.telemetry.planned import Plan, Priorities
from edge.telemetry.planner import plan, plan_totals
from edge.telemetry.replies import Reply, Verdict
from edge.telemetry.summary import DiveSummary, Quantity
from edge.vision.morphology import MEASURES

PARTICLES_AT_ONCE = 4096
"""Whose scores are in memory together."""


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
            "reference": msgspec.to_builtins(bundle.manifest.reference),
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


def climatology_in(log: LogReader) -> Climatology | None:
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


def config_of(log: LogReader) -> Config:
    """Configuration a dive ran with."""
    return to_struct(log.meta("config"), Config, file=log.path, error=DiveLogError)


def codebook_in(log: LogReader) -> Codebook:
    """Codebook of a dive's messages."""
    return to_struct(log.meta("codebook"), Codebook, file=log.path, error=DiveLogError)


def correct_dive(log: LogReader) -> Ints | None:
    """Counts of a dive's classified particles, corrected from their scores, int64 (3, n_taxa).

    Rows: corrected count, and both ends of its 90 % interval, by counted taxon. The particles are those of
    the profile. None when the model brought no correction.
    """
    told = log.meta("correction") if log.has_meta("correction") else None
    if told is None:
        return None
    correction = to_struct(told, Correction, file=log.path, error=DiveLogError)
    implied, usual = np.array(correction.implied), np.array(correction.usual)
    scores = _ScoresInLog(log, _placed(log), len(usual))
    found = count_from_scores(scores, implied, usual, spread=correction.spread)
    corrected = np.zeros((3, len(codebook_in(log).taxa)), dtype=np.int64)
    corrected[:, : len(usual)] = found.count, found.low, found.high
    return corrected


class _ScoresInLog:
    """Scores of the classified particles of some frames: see `edge.quantification.Rows`."""

    def __init__(self, log: LogReader, placed: NDArray[np.bool_], n_taxa: int) -> None:
        self._log, self._placed, self._n_taxa = log, placed, n_taxa
        self._n = sum(1 for _ in self._all())

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, rows: Ints) -> NDArray[np.floating]:
        wanted = np.zeros(self._n, dtype=np.bool_)
        wanted[rows] = True
        found = list(itertools.compress(self._all(), wanted))
        return np.stack(found) if found else np.zeros((0, self._n_taxa))

    def _all(self) -> Iterator[NDArray[np.float32]]:
        return (scores for frame, _, scores in self._log.named() if self._placed[frame])


def doubt_in(log: LogReader, placed: NDArray[np.bool_]) -> Ints | None:
    """Expected number of wrong names of a dive by counted taxon, int64 (n_taxa,).

    The particles are those of the profile: of frames whose number is true in `placed`. None when the scores
    in the log are not of one length.
    """
    counted = codebook_in(log).taxa
    given, n_by_taxon = None, np.zeros(len(counted), dtype=np.int64)
    found = ((taxon, scores) for frame, taxon, scores in log.named() if placed[frame])
    while some := list(itertools.islice(found, PARTICLES_AT_ONCE)):
        given = np.zeros((len(counted), len(some[0][1])), dtype=np.int64) if given is None else given
        if {len(scores) for _, scores in some} != {given.shape[1]}:
            return None
        taxa = np.array([taxon for taxon, _ in some], dtype=np.int64)
        add_given(given, taxa, np.stack([scores for _, scores in some]))
        n_by_taxon += np.bincount(taxa, minlength=len(counted))
    given = np.zeros((len(counted), 0), dtype=np.int64) if given is None else given
    return wrong_of(given, n_by_taxon, counted)


def readings_in(log: LogReader) -> list[HealthReading]:
    """What was read of the instrument during a dive, in the order of time."""
    told = [data for _, data in log.inputs("health")]
    return [to_struct(data, HealthReading, file=log.path, error=DiveLogError) for data in told]


def drift_in(log: LogReader) -> Drift | None:
    """How far a dive's particles are from what the model was tested on; None when nobody can tell."""
    told = log.meta("reference") if log.has_meta("reference") else None
    if told is None:
        return None
    reference = to_struct(told, Reference, file=log.path, error=DiveLogError)
    appearance = Appearance(len(codebook_in(log).taxa))
    seen = log.seen()
    while some := list(itertools.islice(seen, PARTICLES_AT_ONCE)):
        alike = [one for one in some if len(one[2]) == len(some[0][2])]
        taxa, scores, numbers = zip(*alike, strict=True)
        table = np.frombuffer(b"".join(numbers), dtype=np.uint8).reshape(len(alike), -1)
        appearance.add(np.array(taxa), table, np.array(scores))
    return appearance.drift(reference)


def condition_in(log: LogReader) -> Condition:
    """What camera, model and process came to in a dive."""
    lit, unlit, noise = log.light()
    drift = drift_in(log)
    return sum_up_condition(
        readings_in(log),
        lit_grey_centi=lit,
        unlit_grey_centi=unlit,
        noise_threshold=noise,
        drift_permille=None if drift is None else drift.permille,
        clock_off_ms=log.clock_off_ms(),
    )


def health_in(log: LogReader, over_exposed_frames: int) -> Health:
    """How the instrument fared in a dive: from the readings and restarts in the log, and from its frames."""
    return sum_up(
        readings_in(log),
        restarts=len(log.inputs("restart")),
        over_exposed_frames=over_exposed_frames,
        worst_sharpness=log.worst_sharpness(),
    )


def replies_in(log: LogReader) -> tuple[Reply, ...]:
    """Answers to commands from shore, as they were last given to the log."""
    told = log.inputs("replies")
    rows = told[-1][1]["replies"] if told else []
    return tuple(Reply(counter, Verdict(verdict), detail) for counter, verdict, detail in rows)


def _placed(log: LogReader) -> NDArray[np.bool_]:
    """By the number of a frame, whether its particles are in the profile."""
    known = bytearray()
    for frame, phase, pressure_dbar in log.places():
        known.extend(bytes(frame - len(known)))  # numbers that a damaged log has lost
        known.append(phase is Phase.PARK or math.isfinite(pressure_dbar))
    return np.frombuffer(bytes(known), dtype=np.bool_)


class _Passing:
    """Records on their way into the profile, and what else is to be known of them."""

    def __init__(self, records: Iterable[FrameRecord], placed: NDArray[np.bool_]) -> None:
        self._records, self._placed = records, placed
        self.taxa, self.esd_um = array("q"), array("q")
        self.over_exposed = 0

    def __iter__(self) -> Iterator[FrameRecord]:
        for record in self._records:
            self.over_exposed += record.outcome is FrameOutcome.OVER_EXPOSED
            if self._placed[record.index] and record.outcome in CLASSIFIED_OUTCOMES:
                self.taxa.extend(record.taxa.tolist())
                self.esd_um.extend(record.esd_um.tolist())
            yield record


def summarise(log: LogReader) -> DiveSummary:
    """Profile and all that a message may hold: a pure replay of the log, read several times, never held.

    Corrected counts are those of the board once the dive is finished: their sampling is the same on every
    machine but for the last bit of a logarithm.
    """
    config = config_of(log)
    codebook = codebook_in(log)
    placed, times_ms = _placed(log), log.times_ms()
    if log.has_meta("corrected"):
        told = log.meta("corrected")
        corrected = None if told is None else np.array(told, dtype=np.int64)
    else:
        corrected = correct_dive(log)
    start_ms = log.meta("started_ms")
    is_park = np.fromiter((phase is Phase.PARK for _, phase, _ in log.places()), dtype=np.bool_)
    park_ms = times_ms[is_park].tolist()
    passing = _Passing(log.records(times_ms), placed)
    profile = build_profile(
        passing, optics_of(config), config.profile, len(codebook.taxa),
        park_ms=(min(park_ms, default=0), max(park_ms, default=0)),
    )  # fmt: skip
    return DiveSummary(
        dive_number=log.meta("dive_number"),
        codebook=codebook,
        profile=profile,
        start_ms=int(times_ms.min(initial=start_ms)),
        end_ms=int(times_ms.max(initial=start_ms)),
        corrected=corrected,
        esd_quantiles=esd_quantiles(
            np.array(passing.taxa, dtype=np.int64), np.array(passing.esd_um, dtype=np.int64), codebook.taxa
        ),
        doubt=doubt_in(log, placed),
        condition=condition_in(log),
        health=health_in(log, passing.over_exposed),
        replies=replies_in(log),
    )


def plan_messages(log: LogReader) -> Plan:
    """Messages of a dive within the budget last received: a pure replay of the log."""
    budget = to_struct(log.inputs("budget")[-1][1], TelemetryConfig, file=log.path, error=DiveLogError)
    return plan_within(log, budget)


def plan_within(log: LogReader, budget: TelemetryConfig) -> Plan:
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
