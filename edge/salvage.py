"""A damaged dive log becomes a new one with all of it that can be trusted; the damaged one is kept beside it.

Each table is read for itself, row by row, past what cannot be read: once through the write-ahead log, and
once without it, for it may be another file's. A row is trusted when its checksum holds, and a frame when it
holds with all its particles, so that what is kept is what was written.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.database import connect_to_build, connect_to_read, finish_building, is_damage
from edge.divelog_schema import (
    FRAME_COLUMNS,
    N_FRAME_COLUMNS,
    N_PARTICLE_COLUMNS,
    PARTICLE_COLUMNS,
    SCHEMA,
    SCHEMA_VERSION,
    Row,
    checksum,
    frames_with_particles,
    marks,
    salt_of,
    seal,
)
from edge.durable import sync_file, sync_folder
from edge.errors import DiveLogError

NEEDED = ("schema_version", "dive_number", "started_ms", "config", "codebook", "bundle", "measures")
"""Facts without which there is no dive to go on with."""
MOST_FAILURES = 4000
"""Attempts to read on behind a damage; the steps grow, so that they reach over some hundred thousand rows."""
_UNTRUSTED = (sqlite3.Error, ValueError, TypeError, OverflowError, MemoryError)
"""What rows of a damaged file may raise."""


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What became of a damaged log.

    Attributes
    ----------
    first_lost
        Number of the first frame that is not in the new log; all before it are.
    kept, lost
        Rows by table. Lost are those before the last row that was kept; nobody knows how many came after it.
    """

    first_lost: int
    kept: Mapping[str, int]
    lost: Mapping[str, int]

    @property
    def sentence(self) -> str:
        """What a person should know."""
        return (
            f"the log was damaged: {self.kept['frames']} frames are kept, the first that is not is"
            f" {self.first_lost}; the damaged file lies beside it"
        )


COUNTED = ("meta", "frames", "particles", "inputs", "messages")
"""Tables from which anything is counted or told; all but the pictures."""


def is_damaged(file: Path, dive_number: int) -> bool:
    """Whether a log is not the one that was written; nothing is written into it.

    Pictures of vignettes are not read: they are most of the file, and nothing is counted from them; `DiveLog`
    gives none whose checksum does not hold. A log of another version is taken as it is. Raises `DiveLogError`
    when it cannot be opened.
    """
    try:
        with contextlib.closing(connect_to_read(file, with_wal=True)) as db:
            return not _is_of_another_version(db) and not _is_whole(db, dive_number)
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code & 0xFF == sqlite3.SQLITE_READONLY:
            return False  # a journal is there to be rolled back, which opening does
        if is_damage(error) or code == sqlite3.SQLITE_ERROR:  # or a table or a column is not there
            return True
        raise DiveLogError(f"cannot be opened ({error})", file=file, remedy="check the disk") from error
    except _UNTRUSTED:
        return True


def salvage(
    file: Path, *, time_ms: int, dive_number: int | None = None, meta: Mapping[str, str] | None = None
) -> Salvaged | None:
    """Put a new log with what can be trusted in the place of a damaged one.

    Parameters
    ----------
    time_ms
        UTC of the input of kind ``salvage`` that the new log gets.
    dive_number
        When given, a log of another dive is not ours.
    meta
        Facts as their rows hold them, when somebody still has them in memory.

    Returns
    -------
    What was kept; None when nobody knows what dive it was: then the file is put aside, nothing in its place.

    Raises
    ------
    DiveLogError
        When the disk refuses: then the damaged log is where it was.
    """
    _ballast(file).unlink(missing_ok=True)
    new = _new(file)
    try:
        new.unlink(missing_ok=True)
        known = meta or _needed(file, dive_number)
        found = None
        if known is not None:
            with contextlib.closing(connect_to_build(new)) as db:
                db.executescript("BEGIN IMMEDIATE;" + SCHEMA)
                found = _fill(db, file, known, time_ms)
                db.execute("COMMIT")
                finish_building(db)
            sync_file(new)
        _put_aside(file)
    except (OSError, sqlite3.Error) as cause:
        with contextlib.suppress(OSError):
            if file.exists():
                new.unlink(missing_ok=True)
        raise DiveLogError(f"cannot be salvaged ({cause})", file=file, remedy="free the disk") from cause
    return found


def finish_salvage(file: Path) -> None:
    """Go on where a power cut broke off between the new log and its name; raises `OSError`."""
    asides = _asides(file)
    if asides and _new(file).exists() and not file.exists():
        _take_place(file, asides[-1])


def _put_aside(file: Path) -> None:
    aside = file.with_name(f"{file.name}.damaged{len(_asides(file)) + 1 if _asides(file) else ''}")
    file.rename(aside)
    _take_place(file, aside)


def _take_place(file: Path, aside: Path) -> None:
    """What belongs to the damaged log goes with it, durably, before another has its name."""
    _beside(file, "-shm").unlink(missing_ok=True)
    if _beside(file, "-wal").exists():
        _beside(file, "-wal").rename(_beside(aside, "-wal"))
    sync_folder(file.parent)
    if _new(file).exists():
        _new(file).rename(file)
        sync_folder(file.parent)


def _asides(file: Path) -> list[Path]:
    """Damaged files of this name, the oldest first."""
    found = [one for one in file.parent.glob(f"{file.name}.damaged*") if not one.name.endswith("-wal")]
    return sorted(found, key=lambda one: (len(one.name), one.name))


def _new(file: Path) -> Path:
    return _beside(file, ".new")


def _ballast(file: Path) -> Path:
    return _beside(file, ".ballast")


def _beside(file: Path, end: str) -> Path:
    return file.with_name(file.name + end)


# Judging


def _is_of_another_version(db: sqlite3.Connection) -> bool:
    rows = db.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchall()
    columns = [row[1] for row in db.execute("PRAGMA table_info(meta)")]
    if "checksum" not in columns:
        return bool(rows) and rows[0][0] in map(str, range(1, SCHEMA_VERSION))
    return _trusted_meta(db).get("schema_version", str(SCHEMA_VERSION)) != str(SCHEMA_VERSION)


def _is_whole(db: sqlite3.Connection, dive_number: int) -> bool:
    meta = _trusted_meta(db)
    (facts,) = db.execute("SELECT COUNT(*) FROM meta").fetchone()
    if len(meta) != facts or meta.get("dive_number") != json.dumps(dive_number):
        return False
    salt, particles = salt_of(meta), 0
    for number, (row, found, sealed) in enumerate(frames_with_particles(db)):
        if row[0] < number or sealed != checksum(salt, row, found):
            return False
        particles += len(found)
    if db.execute("SELECT COUNT(*), COALESCE(MAX(particle), -1) + 1 FROM particles").fetchone() != (
        particles, particles,
    ):  # fmt: skip
        return False
    for worth, size in db.execute("SELECT worth, LENGTH(png) FROM vignettes"):
        if not isinstance(worth, int | float) or not isinstance(size, int):
            return False
    # Rows may all be right in a tree that is not: what is written into it next could be lost.
    if any(db.execute(f"PRAGMA quick_check({table})").fetchone() != ("ok",) for table in COUNTED):
        return False
    inputs = db.execute("SELECT time_ms, kind, data, checksum FROM inputs")
    messages = db.execute("SELECT part, data, checksum FROM messages")
    return all(sealed == checksum(salt, *row) for rows in (inputs, messages) for *row, sealed in rows)


def _trusted_meta(db: sqlite3.Connection) -> dict[str, str]:
    """Facts whose checksum holds, from whichever end they can be reached."""
    found: dict[str, tuple[str, int]] = {}
    for order in ("key", "key DESC"):
        with contextlib.suppress(*_UNTRUSTED):
            for key, value, sealed in db.execute(f"SELECT key, value, checksum FROM meta ORDER BY {order}"):
                found[key] = (value, sealed)
    with contextlib.suppress(*_UNTRUSTED):
        salt = salt_of({key: value for key, (value, _) in found.items()})
        return {k: value for k, (value, sealed) in found.items() if sealed == checksum(salt, k, value)}
    return {}


# Reading


def _needed(file: Path, dive_number: int | None) -> dict[str, str] | None:
    """Facts of the dive, when all that it needs are there."""
    for db in _views(file):
        meta = _trusted_meta(db)
        is_ours = dive_number is None or meta.get("dive_number") == json.dumps(dive_number)
        if is_ours and all(key in meta for key in NEEDED):
            return meta
    return None


def _views(file: Path) -> Iterator[sqlite3.Connection]:
    """The log through its WAL, and without it."""
    for with_wal in (True, False):
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(connect_to_read(file, with_wal=with_wal)) as db,
        ):
            yield db


def _readable(db: sqlite3.Connection, table: str, columns: str) -> Iterator[Row]:
    """Every row that can be read, by its number, which is the first of `columns`."""
    key = columns.split(",", maxsplit=1)[0]
    try:
        db.execute(f"SELECT {columns} FROM {table} LIMIT 0")
    except _UNTRUSTED:
        return  # there is no such table
    last, failures = -1, 0
    while failures < MOST_FAILURES:
        try:
            rows = db.execute(f"SELECT {columns} FROM {table} WHERE {key} > ? ORDER BY {key}", (last,))
            for row in rows:
                if row[0] <= last:
                    break
                last, failures = row[0], 0
                yield row
            else:
                return
        except _UNTRUSTED:
            pass
        failures += 1
        last += 1 + failures // 32


def _fill(db: sqlite3.Connection, file: Path, meta: Mapping[str, str], time_ms: int) -> Salvaged:
    """Copy what can be trusted into an empty log."""
    salt = salt_of(meta)
    rows = [(key, value, checksum(salt, key, value)) for key, value in meta.items()]
    db.executemany(f"INSERT INTO meta VALUES ({marks(3)})", rows)
    for view in _views(file):
        _copy(db, view, salt)
        _keep_whole_frames(db, salt)
    parts, end = db.execute("SELECT COUNT(*), COALESCE(MAX(part) + 1, 0) FROM messages").fetchone()
    if parts != end:
        db.execute("DELETE FROM messages")  # they are made again, all of them
    ends = {
        table: int(db.execute(f"SELECT COALESCE(MAX({key}) + 1, 0) FROM {table}").fetchone()[0])
        for table, key in (("frames", "frame"), ("particles", "particle"))
    }
    _number_particles(db, salt)
    seal(db, salt)
    kept = {
        table: int(db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])
        for table in ("meta", "frames", "particles", "vignettes", "inputs", "messages")
    }
    frames = db.execute("SELECT frame FROM frames ORDER BY frame")
    first_lost = next((number for number, (frame,) in enumerate(frames) if number != frame), kept["frames"])
    lost = {table: end - kept[table] for table, end in ends.items()}
    told = json.dumps({"first_lost": first_lost, "kept": kept, "lost": lost}, sort_keys=True)
    row = (time_ms, "salvage", told)
    db.execute(
        "INSERT INTO inputs (time_ms, kind, data, checksum) VALUES (?, ?, ?, ?)", (*row, checksum(salt, *row))
    )
    return Salvaged(first_lost, kept, lost)


def _copy(db: sqlite3.Connection, view: sqlite3.Connection, salt: int) -> None:
    """Copy rows of one view; frames and particles as they are, for they are trusted together."""
    db.executemany(
        f"INSERT OR IGNORE INTO frames ({FRAME_COLUMNS}, checksum) VALUES ({marks(N_FRAME_COLUMNS + 1)})",
        _readable(view, "frames", f"{FRAME_COLUMNS}, checksum"),
    )
    db.executemany(
        f"INSERT OR IGNORE INTO particles ({PARTICLE_COLUMNS}) VALUES ({marks(N_PARTICLE_COLUMNS)})",
        (row for row in _readable(view, "particles", PARTICLE_COLUMNS) if type(row[1]) is int),
    )
    db.executemany(
        "INSERT OR IGNORE INTO vignettes (particle, png, worth, checksum) VALUES (?, ?, ?, ?)",
        (row for row in _readable(view, "vignettes", "particle, png, worth, checksum") if _holds(salt, row)),
    )
    db.executemany(
        "INSERT OR IGNORE INTO inputs (input, time_ms, kind, data, checksum) VALUES (?, ?, ?, ?, ?)",
        (
            row
            for row in _readable(view, "inputs", "input, time_ms, kind, data, checksum")
            if _holds(salt, row[1:])
        ),
    )
    db.executemany(
        "INSERT OR IGNORE INTO messages (part, data, checksum) VALUES (?, ?, ?)",
        (row for row in _readable(view, "messages", "part, data, checksum") if _holds(salt, row)),
    )


def _holds(salt: int, row: Row) -> bool:
    return bool(row[-1] == checksum(salt, *row[:-1]))


def _keep_whole_frames(db: sqlite3.Connection, salt: int) -> None:
    broken = [
        (row[0],)
        for row, found, sealed in frames_with_particles(db, order="frame, particle")
        if sealed != checksum(salt, row, found)
    ]
    db.executemany("DELETE FROM frames WHERE frame = ?", broken)
    db.execute("DELETE FROM particles WHERE frame NOT IN (SELECT frame FROM frames)")


def _number_particles(db: sqlite3.Connection, salt: int) -> None:
    """Particles are numbered from 0 without gaps; a vignette goes with its particle, or goes."""
    db.execute("DELETE FROM vignettes WHERE particle NOT IN (SELECT particle FROM particles)")
    numbers = [number for (number,) in db.execute("SELECT particle FROM particles ORDER BY particle")]
    for new, old in enumerate(numbers):  # downwards each, so that none meets another
        if new == old:
            continue
        db.execute("UPDATE particles SET particle = ? WHERE particle = ?", (new, old))
        for png, worth in db.execute(
            "SELECT png, worth FROM vignettes WHERE particle = ?", (old,)
        ).fetchall():
            row = (new, checksum(salt, new, png, worth), old)
            db.execute("UPDATE vignettes SET particle = ?, checksum = ? WHERE particle = ?", row)
