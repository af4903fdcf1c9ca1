"""A dive as EcoTaxa sees it: one sample, an acquisition a phase, an object a particle that has a vignette."""

from __future__ import annotations

import contextlib
import datetime
import functools
import hashlib
import json
import math
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edge.divelog_schema import Particle
from edge.errors import DiveLogError, InputError
from edge.frame import CLASSIFIED_OUTCOMES, Phase
from edge.log_reader import LogReader
from edge.taxonomy import Taxon
from edge.vision.morphology import MEASURES
from tools.shore.dives import LOG, LoggedDive, check_holds_no_dives, open_log

_FACTS = ("dive_number", "started_ms", "config", "bundle")
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")


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


class Dive(LoggedDive):
    """A dive's log, open, and what EcoTaxa calls it.

    Attributes
    ----------
    identity
        Name that no other dive has: platform, dive, start; and what configuration and model it was seen with.
    name
        The same without the last part: for people.
    bundle
        As logged.
    """

    def __init__(self, log: LogReader) -> None:
        super().__init__(log)
        self.name = f"{_safe(self.platform) or 'seston'}_{self.number:05d}_{stamp(self.started_ms)}"
        seen_with = json.dumps([log.meta(key) for key in _FACTS], sort_keys=True)
        self.identity = f"{self.name}_{hashlib.sha256(seen_with.encode()).hexdigest()[:6]}"
        self.bundle: dict[str, Any] = log.meta("bundle")

    @property
    def taxa(self) -> tuple[Taxon, ...]:
        """The counted ones."""
        return self.codebook.taxa

    @functools.cached_property
    def has_todays_measures(self) -> bool:
        """Whether the log's measures are those of this version, in its order."""
        return bool(self.log.meta("measures") == [one.name for one in MEASURES])

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


@contextlib.contextmanager
def open_dive(path: Path) -> Iterator[Dive]:
    """Open a dive: its folder, or its dive.sqlite; raises `InputError` in words of what it is instead."""
    if path.is_dir() and not (path / LOG).is_file():
        check_holds_no_dives(path)
        if any(path.glob("**/*.msg")) or any(path.glob("**/codebook.json")):
            raise InputError(
                "has messages and no dive.sqlite: a dive known from its messages alone has no vignettes",
                file=path, remedy="fetch the dive from the instrument first (seston fetch)",
            )  # fmt: skip
    with open_log(path) as dive:
        yield Dive(dive.log)


class Water(NamedTuple):
    """What was looked at in a phase: images classified, litres, particles left unnamed, dbar from and to."""

    images: int
    volume_l: float
    unnamed: int
    least_dbar: float
    most_dbar: float


def water_of(dive: Dive, phase: Phase) -> Water:
    """What of the water a phase saw with the classifier; zeros when it has no frame."""
    part = next((one for one in dive.summary.profile.phases if one.phase is phase), None)
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
