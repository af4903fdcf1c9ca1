"""A dive as EcoTaxa sees it: one sample, an acquisition a phase, an object a particle that has a vignette."""

from __future__ import annotations

import contextlib
import datetime
import functools
import hashlib
import json
import math
import re
import sqlite3
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.config import Config
from edge.divelog import DiveLog
from edge.divelog_schema import Particle
from edge.errors import DiveLogError, InputError
from edge.frame import CLASSIFIED_OUTCOMES, Phase
from edge.log_reader import LogReader
from edge.logged import codebook_in, config_of, optics_of
from edge.optics import Optics
from edge.profile import FrameRecord, Profile, build_profile
from edge.taxonomy import Taxon
from edge.vision.morphology import MEASURES

_FACTS = ("dive_number", "started_ms", "config", "bundle")
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")


@dataclass(frozen=True)
class Place:
    """Where a dive was; None where nobody knows."""

    latitude_deg: float | None = None
    longitude_deg: float | None = None


class Frames(NamedTuple):
    """Frames in the order of capture: number, UTC (ms), pressure (dbar or NaN), phase; arrays of n."""

    number: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    pressure_dbar: NDArray[np.float64]
    phase: NDArray[np.int64]


class Object(NamedTuple):
    """A particle of a dive.

    Attributes
    ----------
    frame_at
        Index of its frame in `Frames`.
    place
        Which of its frame's, from 0.
    particle
        As logged, with its vignette where that is whole.
    has_vignette
        Whether one was kept, whole or not.
    """

    frame_at: int
    place: int
    particle: Particle
    has_vignette: bool


@dataclass(frozen=True)
class Dive:
    """A dive's log, open, and what it says of the whole dive.

    Attributes
    ----------
    log, config, optics, taxa
        As logged; `taxa` are the counted ones.
    identity
        Name that no other dive has: platform, dive, start; and what configuration and model it was seen with.
    name
        The same without the last part: for people.
    facts
        From the log's `recording`, {} where the float itself made it.
    frames, profile
        Replayed from the log.
    """

    log: LogReader
    config: Config
    optics: Optics
    taxa: tuple[Taxon, ...]
    identity: str
    name: str
    platform: str
    number: int
    started_ms: int
    bundle: Mapping[str, Any]
    facts: Mapping[str, Any]
    frames: Frames
    profile: Profile

    @functools.cached_property
    def has_todays_measures(self) -> bool:
        """Whether the log's measures are those of this version, in its order."""
        return bool(self.log.meta("measures") == [one.name for one in MEASURES])

    @property
    def place(self) -> Place:
        """Where it was, as its recording knows it."""
        return place_of(self.facts)

    def object_id(self, frame: int, place: int) -> str:
        """Id of a particle by its frame and its place in it, which salvaging a log does not change."""
        return f"{self.identity}_{frame:06d}_{place}"

    def objects(self) -> Iterator[Object]:
        """Every classified particle, in the order of capture, with its vignette."""
        kept = self.log.vignette_numbers()
        at, place, last = 0, 0, -1
        for number, particle in enumerate(self.log.particles(with_vignettes=True)):
            place = place + 1 if particle.frame == last else 0
            last = particle.frame
            while at < len(self.frames.number) and self.frames.number[at] < particle.frame:
                at += 1
            if at == len(self.frames.number) or self.frames.number[at] != particle.frame:
                raise DiveLogError(
                    f"has a particle of frame {particle.frame}, which it does not have",
                    file=self.log.path, remedy="copy the dive again",
                )  # fmt: skip
            yield Object(at, place, particle, number in kept)


def place_of(recording: Mapping[str, Any]) -> Place:
    """Where a dive was, as the facts of its recording tell it."""
    told = recording.get("position")
    with contextlib.suppress(TypeError, KeyError, ValueError):
        return Place(float(told["latitude_deg"]), float(told["longitude_deg"]))  # type: ignore[index]
    return Place()


@contextlib.contextmanager
def open_dive(path: Path) -> Iterator[Dive]:
    """Open a dive: its folder, or its dive.sqlite; raises `InputError` in words of what it is instead."""
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and not (path / "dive.sqlite").is_file():
        inner = sorted(one.parent.name for one in path.glob("*/dive.sqlite"))
        if inner:
            raise InputError(
                f"holds dives, it is none ({', '.join(inner[:3])})",
                file=path,
                remedy="name one or more of them",
            )
        if any(folder.glob("**/*.msg")) or any(folder.glob("**/codebook.json")):
            raise InputError(
                "has messages and no dive.sqlite: a dive known from its messages alone has no vignettes",
                file=path, remedy="fetch the dive from the instrument first (seston fetch)",
            )  # fmt: skip
    with DiveLog.open(path) as log:
        try:
            yield _dive(log)
        except (sqlite3.Error, IndexError) as cause:
            raise DiveLogError(
                f"is damaged ({cause})", file=log.path, remedy="copy the dive again"
            ) from cause


def _dive(log: LogReader) -> Dive:
    config, codebook = config_of(log), codebook_in(log)
    optics = optics_of(config)
    facts = log.meta("recording") if log.has_meta("recording") else {}
    facts = facts if isinstance(facts, dict) else {}
    platform = config.platform or codebook.platform or str(facts.get("platform") or "")
    number, started_ms = int(log.meta("dive_number")), int(log.meta("started_ms"))
    frames, profile = _frames(log, optics, config, len(codebook.taxa))
    name = f"{_safe(platform) or 'seston'}_{number:05d}_{stamp(started_ms)}"
    seen_with = json.dumps([log.meta(key) for key in _FACTS], sort_keys=True)
    identity = f"{name}_{hashlib.sha256(seen_with.encode()).hexdigest()[:6]}"
    return Dive(
        log, config, optics, codebook.taxa, identity, name, platform, number, started_ms, log.meta("bundle"),
        facts, frames, profile,
    )  # fmt: skip


def _frames(log: LogReader, optics: Optics, config: Config, n_taxa: int) -> tuple[Frames, Profile]:
    """Frames and profile in one pass over the log."""
    times = log.times_ms()
    numbers, pressures, phases = array("q"), array("d"), array("q")

    def noted() -> Iterator[FrameRecord]:
        for record in log.records(times):
            numbers.append(record.index)
            pressures.append(record.pressure_dbar)
            phases.append(int(record.phase))
            yield record

    park = [
        time_ms for time_ms, (_, phase, _) in zip(times, log.places(), strict=True) if phase is Phase.PARK
    ]
    park_ms = int(min(park, default=0)), int(max(park, default=0))
    profile = build_profile(noted(), optics, config.profile, n_taxa, park_ms=park_ms)
    number, phase = (np.array(column, dtype=np.int64) for column in (numbers, phases))
    return Frames(number, times, np.array(pressures, dtype=np.float64), phase), profile


class Water(NamedTuple):
    """What was looked at in a phase: images classified, litres, particles left unnamed, dbar from and to."""

    images: int
    volume_l: float
    unnamed: int
    least_dbar: float
    most_dbar: float


def water_of(dive: Dive, phase: Phase) -> Water:
    """What of the water a phase saw with the classifier; zeros when it has no frame."""
    part = next((one for one in dive.profile.phases if one.phase is phase), None)
    pressure = dive.frames.pressure_dbar[dive.frames.phase == int(phase)]
    pressure = pressure[np.isfinite(pressure)]
    span = (float(pressure.min()), float(pressure.max())) if pressure.size else (math.nan, math.nan)
    if part is None:
        return Water(0, 0.0, 0, *span)
    outcomes = [int(outcome) for outcome in CLASSIFIED_OUTCOMES]
    images = int(part.frames[:, outcomes].sum())
    return Water(images, float(part.volume_classified_ul.sum()) / 1e6, int(part.unnamed.sum()), *span)


def stamp(time_ms: int) -> str:
    """UTC as YYYYMMDD-HHMMSS."""
    return utc(time_ms).strftime("%Y%m%d-%H%M%S")


def utc(time_ms: int) -> datetime.datetime:
    """UTC of milliseconds since 1970; a time that no calendar has is its nearest end."""
    bounded = min(max(time_ms, -62_135_596_800_000), 253_402_300_799_999)
    return datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(milliseconds=bounded)


def software() -> str:
    """Name and version of this product."""
    try:
        return f"seston {version('seston')}"
    except PackageNotFoundError:
        return "seston"


def _safe(text: str) -> str:
    """Letters, digits, points and hyphens, as ids and file names hold them on every system."""
    return _UNSAFE.sub("-", text.encode("ascii", "replace").decode().replace("?", "-")).strip("-.")[:40]
