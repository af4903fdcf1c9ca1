"""One SQLite file a dive: everything seen, decided and received. The only truth.

Profile and messages are a pure replay of it. A bloc of frames is committed whole or not at all (WAL,
synchronous FULL). When the disk is full the log gives up its ballast and keeps no more vignettes; when that
is used up too, or the disk fails or becomes read-only, all but vignettes waits in memory until the disk takes
it: no disk stops a dive, whose messages are made of what waits too. Nor does a file that turns out to be
damaged: `edge.salvage` makes a new one of it, once a dive.
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any

from edge.database import connect, connect_to_build, finish_building, is_damage, is_refusal
from edge.divelog_schema import (
    FRAME_COLUMNS,
    N_FRAME_COLUMNS,
    N_PARTICLE_COLUMNS,
    PARTICLE_COLUMNS,
    SCHEMA,
    SCHEMA_VERSION,
    LoggedFrame,
    Row,
    checksum,
    encoded,
    frame_row,
    marks,
    particle_row,
    salt_of,
    upgrade,
)
from edge.durable import PART, sync_file, sync_folder
from edge.errors import DiveLogError
from edge.log_reader import INPUTS, MESSAGES, LogReader, other_version
from edge.salvage import Salvaged, salvage
from edge.storage import Offer, Triage, bytes_written_so_far, worth_of
from edge.timeline import Fix

BALLAST_BYTES = 4_000_000
"""Room kept aside when a dive begins: some thousand frames without vignettes, should the disk fill up."""
FRAMES_AT_ONCE = 255
"""Written in one transaction: a bloc is no longer (`edge.config`), and what has waited goes in such parts."""


class DiveLog(LogReader):
    """The log of one dive. Use `create` or `open`.

    Not for several threads. `add_frame` gathers, `commit` writes the bloc.

    Attributes
    ----------
    refusal
        Why the disk does not take what waits in memory; empty when nothing waits.
    salvaged
        What became of the file when it was found damaged in this dive, or None.
    vignettes_left_out
        Vignettes that are not kept, or not any more, for want of room.
    bytes_written, payload_bytes
        What this process had the disk write for the log (0 where nobody counts it), and what rows held.
    """

    def __init__(self, db: sqlite3.Connection, path: Path, *, vignette_quota_bytes: float = math.inf) -> None:
        self._quota_bytes = vignette_quota_bytes
        self._newest_ms = 0
        self.refusal = ""
        self.vignettes_left_out = 0
        self.disk_full = False
        self.salvaged: Salvaged | None = None
        self._is_beyond = False
        self.bytes_written = self.payload_bytes = 0
        super().__init__(db, path)

    def _take_up(self, db: sqlite3.Connection) -> None:
        """Know what the file holds."""
        super()._take_up(db)
        self._n_by_taxon = Counter(dict(db.execute("SELECT taxon, COUNT(*) FROM particles GROUP BY taxon")))
        self._triage = Triage(db, self._quota_bytes)

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
        told = {"schema_version": SCHEMA_VERSION, **meta}
        facts = {key: _json(value) for key, value in told.items()}
        salt = salt_of(facts)
        part = file.with_name(file.name + PART)
        try:
            _ballast(file).write_bytes(bytes(BALLAST_BYTES))
            part.unlink(missing_ok=True)
            # A log that has its name has its facts, whatever becomes of its WAL.
            with contextlib.closing(connect_to_build(part)) as empty:
                empty.executescript("BEGIN IMMEDIATE;" + SCHEMA)
                rows = [(key, value, checksum(salt, key, value)) for key, value in facts.items()]
                empty.executemany("INSERT INTO meta VALUES (?, ?, ?)", rows)
                empty.execute("COMMIT")
                finish_building(empty)
            sync_file(part)
            part.rename(file)
            sync_folder(file.parent)
            return cls(connect(file), file, vignette_quota_bytes=vignette_quota_mb * 1e6)
        except (OSError, sqlite3.Error) as cause:
            raise DiveLogError(f"cannot be written ({cause})", file=file, remedy="free the disk") from cause

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
            found = None if row is None else upgrade(db, json.loads(row[0]))
            if found == SCHEMA_VERSION:
                return cls(db, file, vignette_quota_bytes=vignette_quota_mb * 1e6)
        except (sqlite3.Error, ValueError, TypeError) as cause:
            raise DiveLogError(
                f"is not a dive log ({cause})", file=file, remedy="name the dive.sqlite of a dive"
            ) from cause
        db.close()
        raise other_version(file, found)

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
        self._drop_ballast()

    # Writing

    def checkpoint(self) -> None:
        """Have all that is written in the one file, as far as the disk lets it."""
        with contextlib.suppress(sqlite3.Error), self._measured():
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def add_frame(self, frame: LoggedFrame) -> None:
        """Gather one frame for the next commit."""
        self._pending.append(self._bare(frame) if self.refusal else frame)
        self._newest_ms = max(self._newest_ms, frame.record.time_ms)

    def commit(self) -> bool:
        """Write the bloc; False when the disk does not take it, and it stays in memory for the next try."""
        while self._pending or self._waiting:
            if self._waiting:
                if not self._is_taken(lambda: self._insert(*self._waiting[0])):
                    return False
                del self._waiting[0]
            else:
                if not self._is_taken(lambda: self._write_bloc(self._pending[:FRAMES_AT_ONCE])):
                    return False
                del self._pending[:FRAMES_AT_ONCE]
        return True

    def add_input(self, time_ms: int, kind: str, data: Mapping[str, Any]) -> None:
        """Record something that came from outside, at once, or with the frames that wait for the disk."""
        self._newest_ms = max(self._newest_ms, time_ms)
        self._at_once(INPUTS, [(time_ms, kind, _json(data))])

    def set_messages(self, messages: Sequence[bytes]) -> None:
        """Record the messages of the dive, in the order of their parts."""
        self._at_once(MESSAGES, list(enumerate(messages)))

    def set_meta(self, key: str, value: Any) -> None:
        """Record one more fact about the dive (JSON)."""
        self.set_facts({key: value})

    def set_facts(self, facts: Mapping[str, Any]) -> None:
        """Record several facts about the dive (JSON), all or none."""
        told = {key: _json(value) for key, value in facts.items()}
        self._facts |= told
        self._at_once("meta (key, value, checksum)", list(told.items()))

    def add_fix(self, fix: Fix, source: str) -> None:
        """Record that somebody told the time during the dive."""
        data = {"boot": fix.stamp.boot, "monotonic_ms": fix.stamp.monotonic_ms, "source": source}
        self.add_input(fix.utc_ms, "clock", data)

    # Inside

    def _write_bloc(self, bloc: Sequence[LoggedFrame]) -> None:
        seen = self._n_by_taxon.copy()
        number, payload_bytes = seen.total(), 0
        frames, particles, offers = [], [], []
        for logged in bloc:
            rows = [(number + i, *particle_row(one)) for i, one in enumerate(logged.particles)]
            for row, particle in zip(rows, logged.particles, strict=True):
                if particle.vignette_png is not None:
                    offers.append(Offer(row[0], particle.vignette_png, worth_of(particle, seen)))
                seen[particle.taxon] += 1
            frame = frame_row(logged)
            frames.append((*frame, checksum(self._salt, frame, rows)))
            particles += rows
            payload_bytes += len(encoded(frame, rows))
            number += len(rows)
        kept, gone = self._triage.choose([] if self.disk_full else offers)
        sealed = [
            (one.number, one.png, one.worth, checksum(self._salt, one.number, one.png, one.worth))
            for one in kept
        ]
        with self._measured(), self._transaction():
            self._db.executemany(
                f"INSERT INTO frames ({FRAME_COLUMNS}, checksum) VALUES ({marks(N_FRAME_COLUMNS + 1)})",
                frames,
            )
            self._db.executemany(
                f"INSERT INTO particles ({PARTICLE_COLUMNS}) VALUES ({marks(N_PARTICLE_COLUMNS)})",
                particles,
            )
            self._db.executemany("DELETE FROM vignettes WHERE particle = ?", [(one,) for one in gone])
            self._db.executemany(
                f"INSERT INTO vignettes (particle, png, worth, checksum) VALUES ({marks(4)})", sealed
            )
        self._triage.settle(kept, gone)
        self._n_by_taxon = seen
        self.payload_bytes += payload_bytes + sum(len(one.png) for one in kept)
        self.vignettes_left_out += len(offers) - len(kept) + len(gone)

    def _at_once(self, table: str, rows: list[Row]) -> None:
        if not self._waiting and self._is_taken(lambda: self._insert(table, rows)):
            return
        self._waiting.append((table, rows))

    def _insert(self, table: str, rows: Sequence[Row]) -> None:
        statement = f"INSERT OR REPLACE INTO {table} VALUES ({marks(table.count(',') + 1)})"
        with self._measured(), self._transaction():
            self._db.executemany(statement, [(*row, checksum(self._salt, *row)) for row in rows])
        self.payload_bytes += sum(len(encoded(*row)) for row in rows)

    def _is_taken(self, write: Callable[[], None]) -> bool:
        """Whether the disk takes it, its ballast given up and a damaged file mended where that helps."""
        while True:
            try:
                write()
            except sqlite3.Error as error:
                if self._mend(error):
                    continue
                if not is_refusal(error) and not self._is_beyond:
                    raise self._refused(error) from error
                if not self.disk_full:
                    self.disk_full = True  # from now on its room is for frames, not for vignettes
                    self._drop_ballast()
                    continue
                if not self.refusal:
                    self._pending = [self._bare(logged) for logged in self._pending]
                self.refusal = str(error)
                return False
            self.refusal = ""
            return True

    def _bare(self, logged: LoggedFrame) -> LoggedFrame:
        """A frame that may have to wait long: its vignettes would fill the memory."""
        self.vignettes_left_out += sum(one.vignette_png is not None for one in logged.particles)
        particles = tuple(replace(one, vignette_png=None) for one in logged.particles)
        return replace(logged, particles=particles)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of it or nothing."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _measured(self) -> Iterator[None]:
        before = bytes_written_so_far()
        yield
        self.bytes_written += bytes_written_so_far() - before

    def _mend(self, error: sqlite3.Error) -> bool:
        """Go on with a new file when this one is damaged, once; False when that is not what is wrong."""
        if self._is_beyond or self.salvaged is not None or not is_damage(error):
            return False
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        try:
            self.salvaged = salvage(self.path, time_ms=self._newest_ms, meta=self._facts)
        except (DiveLogError, OSError):
            self._is_beyond = True
        try:
            self._take_up(connect(self.path))
        except sqlite3.Error as cause:
            raise self._refused(cause) from cause
        return not self._is_beyond

    def _refused(self, error: sqlite3.Error) -> DiveLogError:
        remedy = "check the disk" if is_damage(error) else "free the disk"
        return DiveLogError(f"cannot be written ({error})", file=self.path, remedy=remedy)

    def _drop_ballast(self) -> None:
        with contextlib.suppress(OSError):
            _ballast(self.path).unlink(missing_ok=True)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _ballast(file: Path) -> Path:
    return file.with_name(file.name + ".ballast")
