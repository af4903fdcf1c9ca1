"""The tables of a dive log, what a row of each is, and how logs of earlier versions become like it.

Rows carry a CRC-32 that begins with a number of the dive's own: a disk that turns a bit in the middle of a
row, and a foreign file's page in the place of ours, are both seen. A frame's covers its particles too: counts
are of whole frames or of none.
"""

from __future__ import annotations

import json
import math
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.frame import Stamp
from edge.profile import AreaHistogram, FrameRecord

SCHEMA_VERSION = 5

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER) WITHOUT ROWID;
CREATE TABLE frames (
    frame INTEGER PRIMARY KEY,      -- number in the order of capture, from 0
    time_ms INTEGER NOT NULL,       -- UTC as the board knew it then (edge.timeline corrects it)
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
    sharpness REAL,                 -- 0 to 1 (edge.vision.quality); since version 2
    boot INTEGER,                   -- which run of the board took it, null for a recording; since version 3
    monotonic_ms INTEGER,           -- since that boot, on a clock that never jumps; since version 3
    unnamed INTEGER NOT NULL DEFAULT 0, -- large enough to be classified, and not; since version 3
    dirt INTEGER NOT NULL DEFAULT 0, -- regions left out, for they never move; since version 4
    mean_grey_centi INTEGER,        -- of the whole frame as the camera gave it, 0 to 25500; since version 5
    noise_threshold INTEGER,        -- of an unlit frame: see edge.vision.quality; since version 5
    checksum INTEGER                -- of this row and its particles; since version 4, as in all tables
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
    evidence REAL,                  -- how much the model has seen its like, null when that is not known
    numbers BLOB                    -- uint8: edge.inference.preprocessing.describe, if the model takes them;
                                    -- since version 5
);
CREATE TABLE vignettes (
    particle INTEGER PRIMARY KEY REFERENCES particles (particle),
    worth REAL NOT NULL DEFAULT 0,  -- edge.storage: the least go first; since version 4
    checksum INTEGER,               -- null where an earlier version kept it
    png BLOB NOT NULL               -- last: the others are read without it
);
CREATE TABLE inputs (               -- what came in from outside, and shaped what was sent
    input INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,             -- JSON
    checksum INTEGER
);
CREATE TABLE messages (part INTEGER PRIMARY KEY, data BLOB NOT NULL, checksum INTEGER);
"""

FRAME_COLUMNS = (
    "frame, time_ms, pressure_dbar, phase, lit, outcome, n_particles, temperature_c, environment, histogram,"
    " source, note, sharpness, boot, monotonic_ms, unnamed, dirt, mean_grey_centi,"
    " noise_threshold"
)
N_FRAME_COLUMNS = FRAME_COLUMNS.count(",") + 1
PARTICLE_COLUMNS = (
    "particle, frame, x_px, y_px, width_px, height_px, area_px, esd_um, on_border, taxon, top, score, scores,"
    " measures, evidence, numbers"
)
N_PARTICLE_COLUMNS = PARTICLE_COLUMNS.count(",") + 1
Row = tuple[Any, ...]

_UPGRADES: dict[int, tuple[str, ...]] = {
    1: ("ALTER TABLE frames ADD COLUMN sharpness REAL", "ALTER TABLE particles ADD COLUMN evidence REAL"),
    2: (
        "ALTER TABLE frames ADD COLUMN boot INTEGER",
        "ALTER TABLE frames ADD COLUMN monotonic_ms INTEGER",
        "ALTER TABLE frames ADD COLUMN unnamed INTEGER NOT NULL DEFAULT 0",
    ),
    3: (
        "ALTER TABLE frames ADD COLUMN dirt INTEGER NOT NULL DEFAULT 0",
        *(
            f"ALTER TABLE {table} ADD COLUMN checksum INTEGER"
            for table in ("meta", "frames", "inputs", "messages")
        ),
        "ALTER TABLE vignettes ADD COLUMN worth REAL NOT NULL DEFAULT 0",
        "ALTER TABLE vignettes ADD COLUMN checksum INTEGER",
    ),
    4: (
        "ALTER TABLE frames ADD COLUMN mean_grey_centi INTEGER",
        "ALTER TABLE frames ADD COLUMN noise_threshold INTEGER",
        "ALTER TABLE particles ADD COLUMN numbers BLOB",
    ),
}
"""What a log of each earlier version lacks: unknown in the rows that are there."""


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
    numbers
        What `edge.inference.preprocessing.describe` told the model, uint8; empty for one that takes nothing.
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
    numbers: bytes = b""


@dataclass(frozen=True, slots=True)
class LoggedFrame:
    """A frame's record with what only the log needs.

    `sharpness` is that of its larger particles, None when there are none or nobody looked; `stamp` is as in
    `Frame`; `mean_grey_centi` and `noise_threshold` (of unlit frames) are those of `edge.vision.quality`.
    """

    record: FrameRecord
    lit: bool
    source: str
    note: str = ""
    environment: Mapping[str, float] = field(default_factory=dict)
    particles: Sequence[Particle] = ()
    sharpness: float | None = None
    stamp: Stamp | None = None
    mean_grey_centi: int | None = None
    noise_threshold: int | None = None


def upgrade(db: sqlite3.Connection, version: object) -> object:
    """Bring a log up to this version, all of it or nothing; returns the version that it has then."""
    if version not in _UPGRADES:
        return version
    db.execute("BEGIN IMMEDIATE")
    with db:
        for number in range(int(str(version)), SCHEMA_VERSION):
            for statement in _UPGRADES[number]:
                db.execute(statement)
        db.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (json.dumps(SCHEMA_VERSION),))
        seal(db, salt_of(dict(db.execute("SELECT key, value FROM meta"))))
    return SCHEMA_VERSION


def salt_of(meta: Mapping[str, str]) -> int:
    """The number that a dive's checksums begin with; `meta` as its rows hold it."""
    return zlib.crc32(msgspec.msgpack.encode([meta.get("dive_number"), meta.get("started_ms")]))


def encoded(*values: Any) -> bytes:
    """Bytes that a checksum is taken of; their number is what a row holds."""
    return msgspec.msgpack.encode(values)


def checksum(salt: int, *values: Any) -> int:
    """CRC-32 of a row of the dive with this salt."""
    return zlib.crc32(encoded(*values), salt)


def frames_with_particles(
    db: sqlite3.Connection, *, order: str = "particle"
) -> Iterator[tuple[Row, list[Row], int | None]]:
    """Every frame's row, the rows of its particles, and the checksum that it has in the log.

    Particles are numbered in the order of their frames; where that is not sure, `order` sorts them.
    """
    particles = Grouped(db.execute(f"SELECT {PARTICLE_COLUMNS} FROM particles ORDER BY {order}"), 1)
    for *row, sealed in db.execute(f"SELECT {FRAME_COLUMNS}, checksum FROM frames ORDER BY frame"):
        yield tuple(row), particles.of(row[0]), sealed


def seal(db: sqlite3.Connection, salt: int) -> None:
    """Give every row of a log that is whole its checksum anew, vignettes left out."""
    frames = [(checksum(salt, row, found), row[0]) for row, found, _ in frames_with_particles(db)]
    db.executemany("UPDATE frames SET checksum = ? WHERE frame = ?", frames)
    for table, key, columns in (
        ("meta", "key", "key, value"), ("inputs", "input", "time_ms, kind, data"),
        ("messages", "part", "part, data"),
    ):  # fmt: skip
        rows = db.execute(f"SELECT {key}, {columns} FROM {table}").fetchall()
        db.executemany(
            f"UPDATE {table} SET checksum = ? WHERE {key} = ?",
            [(checksum(salt, *row), number) for number, *row in rows],
        )


class Grouped:
    """Rows sorted by one of their columns, handed out key by key while keys rise."""

    def __init__(self, rows: Iterator[Row], key: int) -> None:
        self._rows, self._key = rows, key
        self._next = next(rows, None)

    def of(self, key: int) -> list[Row]:
        """Rows of one key; those of keys before it are passed over."""
        found = []
        while self._next is not None and self._next[self._key] <= key:
            if self._next[self._key] == key:
                found.append(self._next)
            self._next = next(self._rows, None)
        return found


def marks(n: int) -> str:
    """Places of n values in a statement."""
    return ", ".join("?" * n)


def frame_row(logged: LoggedFrame) -> Row:
    """A frame as a row."""
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
        _text(logged.source),
        _text(logged.note),
        None if logged.sharpness is None else _null(logged.sharpness),
        None if logged.stamp is None else logged.stamp.boot,
        None if logged.stamp is None else logged.stamp.monotonic_ms,
        record.unnamed,
        record.dirt,
        logged.mean_grey_centi,
        logged.noise_threshold,
    )


def particle_row(particle: Particle) -> Row:
    """A particle as a row, without its number."""
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
        particle.numbers or None,
    )


def stamp_of(boot: int | None, monotonic_ms: int | None) -> Stamp | None:
    """The stamp in a frame's row."""
    return None if boot is None or monotonic_ms is None else Stamp(boot, monotonic_ms)


def _text(told: str) -> str:
    """Text that any reader can read: a file's name may be of bytes that are no UTF-8."""
    return told.encode("utf-8", "replace").decode()


def _null(value: float) -> float | None:
    # SQLite keeps no sign of a zero, and a checksum would.
    return float(value) + 0.0 if math.isfinite(value) else None


def _pack_histogram(histogram: AreaHistogram) -> bytes:
    return np.stack([histogram.area_px, histogram.count, histogram.grey_centi_sum]).astype("<i8").tobytes()


def unpack_histogram(data: bytes) -> AreaHistogram:
    """A histogram as a frame's row holds it."""
    return AreaHistogram(*np.frombuffer(data, dtype="<i8").reshape(3, -1))
