"""A dive's log as it grows, read while the service writes it: each row once, and nothing is written.

Transactions are short and rows few at a time: a commit or a checkpoint of the service waits for nobody.
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.config import Config
from edge.database import connect_to_read
from edge.divelog_schema import SCHEMA_VERSION, unpack_histogram
from edge.frame import N_OUTCOMES, SIZED_OUTCOMES, FrameOutcome, Phase
from edge.live import UNTROUBLED
from edge.optics import Optics
from edge.taxonomy import Taxon

AT_ONCE = 2000
"""Rows read in one look: a log that is long already is caught up with little by little."""
MAX_RECENT, MAX_TROUBLE = 40, 6
_UNREADABLE = (sqlite3.Error, ValueError, TypeError, KeyError, IndexError, msgspec.MsgspecError, OSError)


@dataclass(frozen=True, slots=True)
class Seen:
    """One frame as the log has it: what a list of the newest shows."""

    frame: int
    outcome: FrameOutcome
    note: str


@dataclass(slots=True)
class DiveSoFar:
    """What a log says so far.

    Attributes
    ----------
    number, platform, bundle, config, optics, taxa
        As the dive began with them.
    outcomes
        Frames by outcome, int64 (N_OUTCOMES,).
    counts
        Particles by counted taxon, int64 (n_taxa,).
    spectrum
        Particles by size class, int64 (n_size_classes,).
    times_ms, pressures_dbar, phases
        Of every frame.
    recent, trouble
        The newest frames, and the newest of those that were not what they should be.
    inputs
        The newest input of each kind, and how many of the kind there were.
    is_caught_up
        Whether all that is committed was read.
    """

    number: int
    platform: str
    bundle: str
    config: Config
    optics: Optics
    taxa: tuple[str, ...]
    outcomes: NDArray[np.int64]
    counts: NDArray[np.int64]
    spectrum: NDArray[np.int64]
    times_ms: list[int] = field(default_factory=list)
    pressures_dbar: list[float] = field(default_factory=list)
    phases: list[int] = field(default_factory=list)
    recent: deque[Seen] = field(default_factory=lambda: deque(maxlen=MAX_RECENT))
    trouble: deque[Seen] = field(default_factory=lambda: deque(maxlen=MAX_TROUBLE))
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    n_inputs: Counter[str] = field(default_factory=Counter)
    unnamed: int = 0
    last_frame: int = -1
    last_particle: int = -1
    last_input: int = -1
    is_caught_up: bool = False
    n_messages: int = 0
    message_bytes: int = 0
    has_ended: bool = False

    @property
    def volume_sized_l(self) -> float:
        """Water in which every particle was counted, litres."""
        return float(self.outcomes[list(SIZED_OUTCOMES)].sum()) * self.optics.image_volume_l


class DiveReader:
    """Follows the log of a folder of dives, or the one log of a folder.

    Parameters
    ----------
    dives
        Folder with a folder a dive, named by its number; or that of one dive.

    Attributes
    ----------
    so_far
        The newest dive, or None.
    problem
        Why the log cannot be read, or "".
    """

    def __init__(self, dives: Path) -> None:
        self._dives = dives
        self._read: tuple[Path, int] | None = None
        self.so_far: DiveSoFar | None = None
        self.problem = ""

    def look(self) -> None:
        """Read what is new. Never raises: `problem` says what is wrong."""
        self.problem = ""
        try:
            file = self._newest()
            if file is None:
                self._read = self.so_far = None
                return
            place = file, file.stat().st_ino
            with_wal = file.with_name(
                file.name + "-wal"
            ).exists()  # without one nothing is made beside the log
            with contextlib.closing(connect_to_read(file, with_wal=with_wal)) as db:
                if place != self._read:
                    self.so_far, self._read = _begin(db, file), place
                if self.so_far is not None:
                    _go_on(db, self.so_far)
        except _UNREADABLE as error:
            self.problem = f"the log cannot be read now: {error}"

    def _newest(self) -> Path | None:
        alone = self._dives / "dive.sqlite"
        if alone.is_file():
            return alone
        if not self._dives.is_dir():
            return None
        folders = sorted(one for one in self._dives.iterdir() if one.name.isdigit() and one.is_dir())
        files = [one / "dive.sqlite" for one in folders]
        return next((file for file in reversed(files) if file.is_file()), None)


def _begin(db: sqlite3.Connection, file: Path) -> DiveSoFar:
    facts = {key: json.loads(value) for key, value in db.execute("SELECT key, value FROM meta")}
    version = facts["schema_version"]
    if version != SCHEMA_VERSION:
        raise ValueError(f"its schema_version is {version}, and {SCHEMA_VERSION} is read here")
    book = facts["codebook"]
    taxa = msgspec.convert(book["taxa"], tuple[Taxon, ...])
    optics = msgspec.convert(book["optics"], Optics)
    return DiveSoFar(
        number=int(facts["dive_number"]),
        platform=str(book.get("platform", "")),
        bundle=str(facts["bundle"]["name"]),
        config=msgspec.convert(facts["config"], Config),
        optics=optics,
        taxa=tuple(taxon.label for taxon in taxa),
        outcomes=np.zeros(N_OUTCOMES, dtype=np.int64),
        counts=np.zeros(len(taxa), dtype=np.int64),
        spectrum=np.zeros(optics.n_size_classes, dtype=np.int64),
    )


def _go_on(db: sqlite3.Connection, dive: DiveSoFar) -> None:
    frames = db.execute(
        "SELECT frame, time_ms, pressure_dbar, phase, outcome, note, unnamed, histogram FROM frames"
        " WHERE frame > ? ORDER BY frame LIMIT ?",
        (dive.last_frame, AT_ONCE),
    ).fetchall()
    for frame, time_ms, pressure_dbar, phase, number, note, unnamed, histogram in frames:
        dive.last_frame = frame
        outcome = FrameOutcome(number)
        counts, _ = unpack_histogram(histogram).by_class(dive.optics)
        seen = Seen(frame, outcome, str(note))
        dive.times_ms.append(int(time_ms))
        dive.pressures_dbar.append(math.nan if pressure_dbar is None else float(pressure_dbar))
        dive.phases.append(Phase(phase).value)
        dive.outcomes[outcome] += 1
        dive.unnamed += int(unnamed)
        if outcome in SIZED_OUTCOMES:
            dive.spectrum += counts
        dive.recent.append(seen)
        if outcome not in UNTROUBLED:
            dive.trouble.append(seen)
    particles = db.execute(
        "SELECT particle, taxon FROM particles WHERE particle > ? ORDER BY particle LIMIT ?",
        (dive.last_particle, 10 * AT_ONCE),
    ).fetchall()
    if particles:
        dive.last_particle = particles[-1][0]
        dive.counts += np.bincount([row[1] for row in particles], minlength=len(dive.counts))
    for number, kind, data in db.execute(
        "SELECT input, kind, data FROM inputs WHERE input > ? ORDER BY input", (dive.last_input,)
    ).fetchall():
        dive.last_input = number
        dive.inputs[kind] = json.loads(data)
        dive.n_inputs[kind] += 1
    dive.n_messages, dive.message_bytes = db.execute(
        "SELECT COUNT(*), COALESCE(SUM(LENGTH(data)), 0) FROM messages"
    ).fetchone()
    dive.has_ended = db.execute("SELECT 1 FROM meta WHERE key = 'ended_ms'").fetchone() is not None
    dive.is_caught_up = len(frames) < AT_ONCE and len(particles) < 10 * AT_ONCE
