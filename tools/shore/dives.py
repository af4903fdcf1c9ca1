"""A dive as shore has it: from its log, or from the messages that came of it. Found and read here alone.

Both say the same in one shape, `DecodedDive`: a log all of it, messages as finely as they were sent. A log
(`LoggedDive`) also has every frame and particle; messages (`MessageDive`) also have what did not arrive.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.divelog import DiveLog
from edge.errors import DiveLogError, InputError, MessageError
from edge.log_reader import LogReader
from edge.logged import climatology_in, codebook_in, config_of, optics_of, summarise
from edge.telemetry.climatology import Climatology, load_climatology
from edge.telemetry.decoded import ABSENT, DecodedDive, DecodedPhase, DecodedTable
from edge.telemetry.means import to_steps
from edge.telemetry.summary import DiveFact, DiveSummary, Quantity, column_names
from tools.shore.decode import CLIMATOLOGIES, CODEBOOKS, SUFFIXES, read_messages
from tools.shore.receiving.products import known_files

LOG = "dive.sqlite"
COUNTS = (Quantity.FRAMES, Quantity.TAXA, Quantity.SIZES, Quantity.NOISE)
MEANS = (Quantity.TEMPERATURE, Quantity.GREY, Quantity.ESD)
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a dive was; None where nobody knows."""

    latitude_deg: float | None = None
    longitude_deg: float | None = None


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames of a dive in the order of capture; arrays (n,).

    Attributes
    ----------
    number, time_ms, phase, outcome
        int64, as in `FrameRecord`; the times with all fixes of the clock.
    pressure_dbar, temperature_c
        float64; NaN where it is not known.
    """

    number: Ints
    time_ms: Ints
    phase: Ints
    outcome: Ints
    pressure_dbar: Floats
    temperature_c: Floats


class LoggedDive:
    """A dive's log, open; what takes a pass over it is read when it is asked for, once.

    Attributes
    ----------
    log, config, codebook, optics
        As logged.
    number, started_ms, platform
        Of the dive; the platform as the first names it that does: configuration, codebook, recording.
    recording
        Facts from the recording, {} where the float itself made it.
    """

    def __init__(self, log: LogReader) -> None:
        self.log = log
        self.config, self.codebook = config_of(log), codebook_in(log)
        self.optics = optics_of(self.config)
        self.number, self.started_ms = int(log.meta("dive_number")), int(log.meta("started_ms"))
        told = self.meta("recording")
        self.recording: Mapping[str, Any] = told if isinstance(told, dict) else {}
        self.platform = (
            self.config.platform or self.codebook.platform or str(self.recording.get("platform") or "")
        )

    def meta(self, key: str) -> Any:
        """A fact of the log; None where it has none."""
        return self.log.meta(key) if self.log.has_meta(key) else None

    @property
    def place(self) -> Place:
        """Where it was, as its recording knows it."""
        told = self.recording.get("position")
        with contextlib.suppress(TypeError, KeyError, ValueError):
            return Place(float(told["latitude_deg"]), float(told["longitude_deg"]))  # type: ignore[index]
        return Place()

    @functools.cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Frames as the log has them."""
        return self.log.frames()

    @functools.cached_property
    def frames(self) -> Frames:
        """Frames as columns."""

        def column(name: str) -> Ints:
            return np.array([row[name] for row in self.rows], dtype=np.int64)

        number, time_ms, phase, outcome = map(column, ("frame", "time_ms", "phase", "outcome"))
        pressure, temperature = (
            floats(row[name] for row in self.rows) for name in ("pressure_dbar", "temperature_c")
        )
        return Frames(number, time_ms, phase, outcome, pressure, temperature)

    @functools.cached_property
    def summary(self) -> DiveSummary:
        """Profile and all that a message may hold, replayed."""
        return summarise(self.log)

    @functools.cached_property
    def decoded(self) -> DecodedDive:
        """Its profile, as if all of it had been sent."""
        return lossless_dive(self.summary)

    @property
    def climatology(self) -> Climatology | None:
        """That which its messages may be coded with."""
        return climatology_in(self.log)

    @property
    def messages(self) -> dict[str, bytes]:
        """Those at hand on shore, by name: files in ``messages`` beside the log, or the logged ones."""
        place = self.log.path.parent / "messages"
        if not place.is_dir():
            return {f"part {part}": data for part, data in enumerate(self.log.messages())}
        try:
            return {file.name: file.read_bytes() for file in sorted(place.glob("*.msg"))}
        except OSError as cause:
            raise DiveLogError(f"cannot be read ({cause})", file=place, remedy="check the folder") from cause


@dataclass(frozen=True, slots=True)
class MessageDive:
    """A dive of which messages came, and no log.

    Attributes
    ----------
    path
        As it was named.
    messages
        Its files, by name.
    decoded, climatology
        What they say, and what they may be coded with.
    started_ms, place
        UTC of the dive's first frame, else of the first session that the network tells of, and the place of
        that session.
    remarks
        What is missing or was not used, a sentence each.
    """

    path: Path
    messages: Mapping[str, bytes]
    decoded: DecodedDive
    climatology: Climatology | None
    started_ms: int | None
    place: Place
    remarks: tuple[str, ...]


def lossless_dive(summary: DiveSummary) -> DecodedDive:
    """A dive as if a budget without end had sent all of it, bin by bin and exactly."""
    book = summary.codebook
    phases = {}
    for part in summary.profile.phases:
        tables = {
            quantity: _table(quantity, column_names(book, quantity), summary.counts(quantity, part.phase))
            for quantity in (*COUNTS, Quantity.UNPLACED)
        }
        if part.unnamed.any():
            names = column_names(book, Quantity.UNNAMED)
            tables[Quantity.UNNAMED] = _table(Quantity.UNNAMED, names, part.unnamed[:, None])
        for quantity in MEANS:
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


def floats(values: Iterable[float | None]) -> Floats:
    """Numbers, NaN for None, float64 (n,)."""
    return np.array([math.nan if one is None else one for one in values], dtype=np.float64)


def number(value: Any) -> float | None:
    """A finite number, or None."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def is_log(path: Path) -> bool:
    """Whether a path is a dive whose log is at hand: its folder, or a file that is no message."""
    return (path / LOG).is_file() or (path.is_file() and path.suffix.lower() not in SUFFIXES)


@contextlib.contextmanager
def open_log(path: Path) -> Iterator[LoggedDive]:
    """Open the log of a dive, its folder or itself; damage inside it becomes a sentence (`DiveLogError`)."""
    with DiveLog.open(path) as log:
        try:
            yield LoggedDive(log)
        except (sqlite3.Error, IndexError, ValueError) as cause:
            raise DiveLogError(
                f"is damaged ({cause})", file=log.path, remedy="copy the dive again, or replay its recording"
            ) from cause


@contextlib.contextmanager
def open_dive(
    path: Path, codebooks: Iterable[Path] = (), climatologies: Iterable[Path] = ()
) -> Iterator[LoggedDive | MessageDive]:
    """A dive by its log, or where that is not at hand by its messages.

    Raises `DiveLogError`, `MessageError` or `InputError` in a sentence where it is neither.
    """
    if is_log(path):
        with open_log(path) as logged:
            yield logged
    else:
        yield read_message_dive(path, codebooks, climatologies)


def find_messages(path: Path) -> Path | None:
    """Where the messages of a dive lie: the path, or ``messages`` in it; None where there are none."""
    if path.is_file():
        return path if path.suffix.lower() in SUFFIXES else None
    for place in (path, path / "messages"):
        if place.is_dir() and any(file.suffix.lower() in SUFFIXES for file in place.iterdir()):
            return place
    return None


def read_message_dive(
    path: Path, codebooks: Iterable[Path] = (), climatologies: Iterable[Path] = ()
) -> MessageDive:
    """The one dive whose messages lie at a path; codebooks may lie above it, or be named.

    Raises `InputError` where there is no message, and `MessageError` where none can be used or they are of
    several dives.
    """
    place = find_messages(path)
    if place is None:
        if not path.exists():
            raise InputError("is not there", file=path, remedy="name the folder of a dive")
        check_holds_no_dives(path)
        raise InputError(f"has neither a {LOG} nor messages", file=path, remedy="name the folder of a dive")
    folder = place if place.is_dir() else place.parent
    keys = [*climatologies, *known_files(folder, CLIMATOLOGIES)]
    decoding, refused = read_messages([place], [*codebooks, *known_files(folder, CODEBOOKS)], keys)
    if len(decoding.dives) > 1:
        numbers = ", ".join(str(one.dive_number) for one in decoding.dives)
        raise MessageError(
            f"holds messages of dives {numbers}", file=place, remedy="put each dive into a folder of its own"
        )
    dive = decoding.dives[0]
    said = [f"{sentence[0].upper()}{sentence[1:]}." for sentence in (dive.missing_sentence(),) if sentence]
    said += [f"{len(refused)} files were not used: {refused[0][0].name} {refused[0][1]}"] if refused else []
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    beside = sorted(folder.glob(CLIMATOLOGIES))
    known = [load_climatology(file.read_bytes(), file=str(file)) for file in (*keys, *beside)]
    session_ms, at = _session(folder)
    start_s = dive.facts.get(DiveFact.START_S)
    return MessageDive(
        path,
        {file.name: file.read_bytes() for file in files if file.suffix.lower() in SUFFIXES},
        dive,
        next((one for one in known if one.sha256 == dive.codebook.climatology_sha256), None),
        session_ms if start_s is None else 1000 * start_s,
        at,
        tuple(said),
    )


def check_holds_no_dives(folder: Path) -> None:
    """Refuse a folder of dives where one dive is wanted. Raises `InputError`."""
    inner = sorted(one.parent.name for one in folder.glob(f"*/{LOG}"))
    if inner:
        raise InputError(
            f"holds dives, it is none ({', '.join(inner[:3])})",
            file=folder,
            remedy="name one or more of them",
        )


def _session(folder: Path) -> tuple[int | None, Place]:
    """Time (UTC ms) and place of the first session that the network tells of."""
    found: list[tuple[int, Place]] = []
    for file in sorted(folder.glob("*.json")):
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            moment = datetime.datetime.fromisoformat(told["time"])
            at = Place(*(number(told.get(name)) for name in ("latitude_deg", "longitude_deg")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        found.append((round(moment.timestamp() * 1000), at))
    return min(found, key=lambda one: one[0], default=(None, Place()))
