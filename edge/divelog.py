"""One SQLite file a dive: everything seen, decided and received. The only truth.

Profile and messages are a pure replay of it. A bloc of frames is committed whole or not at all (WAL,
synchronous FULL). When the disk is full the log gives up its ballast and keeps no more vignettes; when that
is used up too, it keeps frames in memory until there is room again: a full disk never stops a dive.
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import DiveLogError
from edge.frame import FrameOutcome, Phase
from edge.profile import AreaHistogram, FrameRecord, Ints

SCHEMA_VERSION = 2
"""1 kept no evidence of particles and no sharpness of frames; its logs are brought up when opened."""
BALLAST_BYTES = 4_000_000
"""Room kept aside when a dive begins: some thousand frames without vignettes, should the disk fill up."""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE frames (
    frame INTEGER PRIMARY KEY,      -- number in the order of capture, from 0
    time_ms INTEGER NOT NULL,       -- UTC
    pressure_dbar REAL,
    phase INTEGER NOT NULL,         -- edge.frame.Phase
    lit INTEGER NOT NULL,
    outcome INTEGER NOT NULL,       -- edge.frame.FrameOutcome
    n_particles INTEGER NOT NULL,
    temperature_c REAL,
    environment TEXT NOT NULL,      -- JSON: other sensors by name with unit
    histogram BLOB NOT NULL,        -- int64 little-endian (3, n): area_px, count, grey_centi_sum
    source TEXT NOT NULL,
    note TEXT NOT NULL,
    sharpness REAL                  -- 0 to 1 (edge.vision.quality); since version 2, so it stands last
);
CREATE TABLE particles (
    particle INTEGER PRIMARY KEY,
    frame INTEGER NOT NULL REFERENCES frames (frame),
    x_px INTEGER NOT NULL, y_px INTEGER NOT NULL, width_px INTEGER NOT NULL, height_px INTEGER NOT NULL,
    area_px INTEGER NOT NULL,
    esd_um INTEGER NOT NULL,
    on_border INTEGER NOT NULL,
    taxon INTEGER NOT NULL,         -- index in the codebook's counted taxa: the decision
    top INTEGER NOT NULL,           -- index of the highest score
    score REAL NOT NULL,            -- the highest score
    scores BLOB NOT NULL,           -- float32 little-endian, one a taxon of the bundle
    measures BLOB NOT NULL,         -- float64 little-endian, in the order of meta.measures
    evidence REAL                   -- how much the model has seen its like, null when that is not known
);
CREATE INDEX particles_by_frame ON particles (frame);
CREATE TABLE vignettes (particle INTEGER PRIMARY KEY REFERENCES particles (particle), png BLOB NOT NULL);
CREATE TABLE inputs (               -- what came in from outside, and shaped what was sent
    input INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL              -- JSON
);
CREATE TABLE messages (part INTEGER PRIMARY KEY, data BLOB NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Particle:
    """One classified particle.

    Attributes
    ----------
    frame
        Number of its frame.
    x_px, y_px, width_px, height_px, area_px, on_border
        Box (upper left corner) and area.
    esd_um
        ESD in whole um.
    taxon
        Decision: index in the counted taxa.
    scores
        Calibrated probabilities, float32 (n_taxa of the model,).
    measures
        Morphology, float64, in the order of `edge.vision.morphology.MEASURES`.
    vignette_png
        Encoded vignette, or None when it is not kept.
    evidence
        How much the model has seen its like (`edge.inference.classifier.evidence`); NaN when not known.
    """

    frame: int
    x_px: int
    y_px: int
    width_px: int
    height_px: int
    area_px: int
    on_border: bool
    esd_um: int
    taxon: int
    scores: NDArray[np.float32]
    measures: NDArray[np.float64]
    vignette_png: bytes | None = None
    evidence: float = math.nan


@dataclass(frozen=True, slots=True)
class LoggedFrame:
    """A frame's record with what only the log needs.

    `sharpness` is that of its larger particles, None when there are none or nobody looked.
    """

    record: FrameRecord
    lit: bool
    source: str
    note: str = ""
    environment: Mapping[str, float] = field(default_factory=dict)
    particles: Sequence[Particle] = ()
    sharpness: float | None = None


class DiveLog:
    """The log of one dive. Use `create` or `open`.

    Not for several threads. `add_frame` gathers, `commit` writes the bloc.
    """

    def __init__(self, db: sqlite3.Connection, path: Path, *, vignette_quota_bytes: float = math.inf) -> None:
        self._db = db
        self.path = path
        self._pending: list[LoggedFrame] = []
        self._n_particles = int(db.execute("SELECT COUNT(*) FROM particles").fetchone()[0])
        (used,) = db.execute("SELECT COALESCE(SUM(LENGTH(png)), 0) FROM vignettes").fetchone()
        self._vignette_room = vignette_quota_bytes - used
        self.vignettes_left_out = 0
        self.disk_full = False

    @classmethod
    def create(
        cls, path: str | PathLike[str], meta: Mapping[str, Any], *, vignette_quota_mb: float = math.inf
    ) -> DiveLog:
        """Begin a log; `meta` (JSON values) holds configuration, codebook, bundle, recording.

        Raises `DiveLogError` when the file is already there or cannot be written.
        """
        file = Path(path)
        if file.exists():
            raise DiveLogError("is already there", file=file, remedy="choose another folder or move it away")
        try:
            _ballast(file).write_bytes(bytes(BALLAST_BYTES))
            db = connect(file)
            db.executescript("BEGIN IMMEDIATE;" + _SCHEMA)
            rows = {"schema_version": SCHEMA_VERSION, **meta}
            db.executemany(
                "INSERT INTO meta VALUES (?, ?)",
                [(key, json.dumps(value, sort_keys=True)) for key, value in rows.items()],
            )
            db.execute("COMMIT")
        except (OSError, sqlite3.Error) as cause:
            raise DiveLogError(f"cannot be written ({cause})", file=file, remedy="free the disk") from cause
        return cls(db, file, vignette_quota_bytes=vignette_quota_mb * 1e6)

    @classmethod
    def open(cls, path: str | PathLike[str], *, vignette_quota_mb: float = math.inf) -> DiveLog:
        """Open a log; raises `DiveLogError` when it is not one, damaged, or of another schema.

        A log of an earlier version is brought up to this one first, so that a dive goes on after an update.
        """
        file = Path(path)
        if file.is_dir():
            file = file / "dive.sqlite"
        if not file.is_file():
            raise DiveLogError("is not there", file=file, remedy="name a dive log or the folder of a dive")
        try:
            db = connect(file)
            row = db.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
            if row is not None and json.loads(row[0]) == 1:
                row = _upgrade(db)
        except sqlite3.Error as cause:
            raise DiveLogError(
                f"is not a dive log ({cause})", file=file, remedy="name the dive.sqlite of a dive"
            ) from cause
        if row is None or json.loads(row[0]) != SCHEMA_VERSION:
            found = "none" if row is None else row[0]
            db.close()
            raise DiveLogError(
                f"is {found}, this version reads {SCHEMA_VERSION}",
                file=file,
                field="schema_version",
                remedy="use the version of seston that wrote it",
            )
        return cls(db, file, vignette_quota_bytes=vignette_quota_mb * 1e6)

    def __enter__(self) -> DiveLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Commit what is pending and close; the ballast goes."""
        self.commit()
        self._db.close()
        _ballast(self.path).unlink(missing_ok=True)

    # Writing

    def add_frame(self, frame: LoggedFrame) -> None:
        """Gather one frame for the next commit."""
        self._pending.append(frame)

    def commit(self) -> bool:
        """Write the bloc; False when the disk has no room for it, and it stays in memory for the next try."""
        if not self._pending:
            return True
        for _ in range(2):
            try:
                self._write_bloc(with_vignettes=not self.disk_full)
            except sqlite3.OperationalError as error:
                if not _is_full(error):
                    raise DiveLogError(
                        f"cannot be written ({error})", file=self.path, remedy="check the disk"
                    ) from error
                self._give_up_ballast()
            else:
                self._pending.clear()
                return True
        return False

    def add_input(self, time_ms: int, kind: str, data: Mapping[str, Any]) -> None:
        """Record something that came from outside, at once."""
        self._at_once(
            "INSERT INTO inputs (time_ms, kind, data) VALUES (?, ?, ?)",
            [(time_ms, kind, json.dumps(data, sort_keys=True))],
        )

    def set_messages(self, messages: Sequence[bytes]) -> None:
        """Record the messages of the dive, in the order of their parts."""
        self._at_once("INSERT OR REPLACE INTO messages VALUES (?, ?)", list(enumerate(messages)))

    def set_meta(self, key: str, value: Any) -> None:
        """Record one more fact about the dive (JSON)."""
        self._at_once("INSERT OR REPLACE INTO meta VALUES (?, ?)", [(key, json.dumps(value, sort_keys=True))])

    # Reading

    def meta(self, key: str) -> Any:
        """A fact about the dive; raises `DiveLogError` when the log does not have it."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise DiveLogError(
                "is missing", file=self.path, field=key, remedy="the log is damaged or foreign"
            )
        return json.loads(row[0])

    def has_meta(self, key: str) -> bool:
        """Whether the log has this fact."""
        return self._db.execute("SELECT 1 FROM meta WHERE key = ?", (key,)).fetchone() is not None

    def inputs(self, kind: str) -> list[tuple[int, dict[str, Any]]]:
        """Inputs of one kind, (UTC ms, data), in the order they came."""
        rows = self._db.execute("SELECT time_ms, data FROM inputs WHERE kind = ? ORDER BY input", (kind,))
        return [(time_ms, json.loads(data)) for time_ms, data in rows]

    def records(self) -> Iterator[FrameRecord]:
        """Every frame's record in the order of capture: all that the profile is made of."""
        taxa = _Grouped(
            self._db.execute("SELECT frame, taxon, esd_um FROM particles ORDER BY frame, particle")
        )
        rows = self._db.execute(
            "SELECT frame, time_ms, pressure_dbar, phase, outcome, temperature_c, histogram FROM frames"
            " ORDER BY frame"
        )
        for frame, time_ms, pressure_dbar, phase, outcome, temperature_c, histogram in rows:
            found = taxa.of(frame)
            yield FrameRecord(
                frame,
                time_ms,
                math.nan if pressure_dbar is None else pressure_dbar,
                Phase(phase),
                FrameOutcome(outcome),
                math.nan if temperature_c is None else temperature_c,
                _unpack_histogram(histogram),
                found[:, 0],
                found[:, 1],
            )
        for logged in self._pending:
            yield logged.record

    def frames(self) -> list[dict[str, Any]]:
        """Every frame's row as written, without its histogram, in the order of capture."""
        rows = self._db.execute(
            "SELECT frame, time_ms, pressure_dbar, phase, lit, outcome, n_particles, temperature_c,"
            " environment, source, note, sharpness FROM frames ORDER BY frame"
        )
        names = [column[0] for column in rows.description]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def worst_sharpness(self) -> float | None:
        """Sharpness of the least sharp frame, also of those not written yet; None when none has any."""
        (written,) = self._db.execute("SELECT MIN(sharpness) FROM frames").fetchone()
        found = [written] if written is not None else []
        found += [logged.sharpness for logged in self._pending if logged.sharpness is not None]
        return min(found, default=None)

    def particles(self, *, with_vignettes: bool = False) -> Iterator[Particle]:
        """Every classified particle, in the order of capture; also those not written yet."""
        png = "v.png" if with_vignettes else "NULL"
        rows = self._db.execute(
            "SELECT frame, x_px, y_px, width_px, height_px, area_px, on_border, esd_um, taxon, scores,"
            f" measures, {png}, evidence FROM particles p LEFT JOIN vignettes v USING (particle)"
            " ORDER BY particle"
        )
        for (
            frame,
            x,
            y,
            width,
            height,
            area,
            on_border,
            esd_um,
            taxon,
            scores,
            measures,
            vignette,
            seen,
        ) in rows:
            yield Particle(
                frame, x, y, width, height, area, bool(on_border), esd_um, taxon,
                np.frombuffer(scores, dtype="<f4"), np.frombuffer(measures, dtype="<f8"), vignette,
                math.nan if seen is None else seen,
            )  # fmt: skip
        for logged in self._pending:
            for particle in logged.particles:
                yield particle if with_vignettes else replace(particle, vignette_png=None)

    def vignette_numbers(self) -> set[int]:
        """Particles, numbered from 0 as `particles` gives them, whose vignette is kept."""
        return {number for (number,) in self._db.execute("SELECT particle FROM vignettes")}

    def vignette(self, number: int) -> bytes:
        """The stored vignette of one of `vignette_numbers`."""
        row = self._db.execute("SELECT png FROM vignettes WHERE particle = ?", (number,)).fetchone()
        return b"" if row is None else bytes(row[0])

    def messages(self) -> list[bytes]:
        """Messages of the dive, in the order of their parts."""
        return [data for (data,) in self._db.execute("SELECT data FROM messages ORDER BY part")]

    # Inside

    def _write_bloc(self, *, with_vignettes: bool) -> None:
        number = self._n_particles
        room, left_out = self._vignette_room, 0
        frames, particles, vignettes = [], [], []
        for logged in self._pending:
            frames.append(_frame_row(logged))
            for particle in logged.particles:
                particles.append((number, *_particle_row(particle)))
                png = particle.vignette_png
                if png is not None:
                    if with_vignettes and len(png) <= room:
                        vignettes.append((number, png))
                        room -= len(png)
                    else:
                        left_out += 1
                number += 1
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(f"INSERT INTO frames VALUES ({_marks(13)})", frames)
            self._db.executemany(f"INSERT INTO particles VALUES ({_marks(15)})", particles)
            self._db.executemany("INSERT INTO vignettes VALUES (?, ?)", vignettes)
            self._db.execute("COMMIT")
        except sqlite3.Error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._n_particles, self._vignette_room = number, room
        self.vignettes_left_out += left_out

    def _give_up_ballast(self) -> None:
        """The disk is full: from now on its room is for frames, not for vignettes."""
        self.disk_full = True
        _ballast(self.path).unlink(missing_ok=True)

    def _at_once(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        for last_try in (False, True):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany(statement, rows)
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if last_try or not _is_full(error):
                    raise DiveLogError(
                        f"cannot be written ({error})", file=self.path, remedy="free the disk"
                    ) from error
                self._give_up_ballast()
            else:
                return


class _Grouped:
    """Rows (key, a, b) sorted by key, handed out key by key while keys rise."""

    def __init__(self, rows: Iterator[tuple[int, int, int]]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def of(self, key: int) -> Ints:
        """Rows of one key, int64 (n, 2)."""
        found = []
        while self._next is not None and self._next[0] == key:
            found.append(self._next[1:])
            self._next = next(self._rows, None)
        return np.array(found, dtype=np.int64).reshape(-1, 2)


def connect(file: str | PathLike[str]) -> sqlite3.Connection:
    """Open a database whose commits survive a power cut (WAL, synchronous FULL), statement by statement."""
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    return db


@contextlib.contextmanager
def transaction(db: sqlite3.Connection, file: str | PathLike[str]) -> Iterator[None]:
    """All of it or nothing; what the disk refuses becomes a `DiveLogError`."""
    try:
        db.execute("BEGIN IMMEDIATE")
        with db:
            yield
    except sqlite3.Error as cause:
        raise DiveLogError(f"cannot be written ({cause})", file=file, remedy="free the disk") from cause


def _upgrade(db: sqlite3.Connection) -> tuple[str]:
    """From version 1 to 2: sharpness of frames and evidence of particles, unknown in those that are there."""
    version = json.dumps(SCHEMA_VERSION)
    db.execute("BEGIN IMMEDIATE")
    db.execute("ALTER TABLE frames ADD COLUMN sharpness REAL")
    db.execute("ALTER TABLE particles ADD COLUMN evidence REAL")
    db.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (version,))
    db.execute("COMMIT")
    return (version,)


def _ballast(file: Path) -> Path:
    return file.with_name(file.name + ".ballast")


def _is_full(error: sqlite3.Error) -> bool:
    return error.sqlite_errorcode in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE}


def _marks(n: int) -> str:
    return ", ".join("?" * n)


def _frame_row(logged: LoggedFrame) -> tuple[Any, ...]:
    record = logged.record
    return (
        record.index,
        record.time_ms,
        _null(record.pressure_dbar),
        int(record.phase),
        int(logged.lit),
        int(record.outcome),
        record.histogram.n_particles,
        _null(record.temperature_c),
        json.dumps({k: v for k, v in logged.environment.items() if math.isfinite(v)}, sort_keys=True),
        _pack_histogram(record.histogram),
        logged.source,
        logged.note,
        logged.sharpness,
    )


def _particle_row(particle: Particle) -> tuple[Any, ...]:
    scores = np.asarray(particle.scores, dtype="<f4")
    top = int(scores.argmax())
    return (
        particle.frame,
        particle.x_px,
        particle.y_px,
        particle.width_px,
        particle.height_px,
        particle.area_px,
        particle.esd_um,
        int(particle.on_border),
        particle.taxon,
        top,
        float(scores[top]),
        scores.tobytes(),
        np.asarray(particle.measures, dtype="<f8").tobytes(),
        _null(particle.evidence),
    )


def _null(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _pack_histogram(histogram: AreaHistogram) -> bytes:
    return np.stack([histogram.area_px, histogram.count, histogram.grey_centi_sum]).astype("<i8").tobytes()


def _unpack_histogram(data: bytes) -> AreaHistogram:
    return AreaHistogram(*np.frombuffer(data, dtype="<i8").reshape(3, -1))
