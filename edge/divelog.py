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
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.database import connect, connect_to_build, finish_building, is_damage, is_refusal
from edge.divelog_schema import (
    FRAME_COLUMNS,
    N_FRAME_COLUMNS,
    PARTICLE_COLUMNS,
    SCHEMA,
    SCHEMA_VERSION,
    Grouped,
    LoggedFrame,
    Particle,
    Row,
    checksum,
    encoded,
    frame_row,
    marks,
    particle_row,
    salt_of,
    stamp_of,
    unpack_histogram,
    upgrade,
)
from edge.durable import PART, sync_file, sync_folder
from edge.errors import DiveLogError
from edge.frame import FrameOutcome, Phase, Stamp
from edge.profile import FrameRecord
from edge.salvage import Salvaged, salvage
from edge.storage import Offer, Triage, bytes_written_so_far, worth_of
from edge.timeline import Fix, utc_at

BALLAST_BYTES = 4_000_000
"""Room kept aside when a dive begins: some thousand frames without vignettes, should the disk fill up."""
INPUTS, MESSAGES = "inputs (time_ms, kind, data, checksum)", "messages (part, data, checksum)"
FRAMES_AT_ONCE = 255
"""Written in one transaction: a bloc is no longer (`edge.config`), and what has waited goes in such parts."""


class DiveLog:
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
        self.path = path
        self._quota_bytes = vignette_quota_bytes
        self._pending: list[LoggedFrame] = []
        self._waiting: list[tuple[str, list[Row]]] = []
        self._newest_ms = 0
        self.refusal = ""
        self.vignettes_left_out = 0
        self.disk_full = False
        self.salvaged: Salvaged | None = None
        self._is_beyond = False
        self.bytes_written = self.payload_bytes = 0
        self._take_up(db)

    def _take_up(self, db: sqlite3.Connection) -> None:
        """Know what the file holds."""
        self._db = db
        self._facts: dict[str, str] = dict(db.execute("SELECT key, value FROM meta"))
        self._salt = salt_of(self._facts)
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
        raise DiveLogError(
            f"is {'none' if found is None else found}, this version reads {SCHEMA_VERSION}",
            file=file,
            field="schema_version",
            remedy="use the version of seston that wrote it",
        )

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

    # Reading

    def meta(self, key: str) -> Any:
        """A fact about the dive; raises `DiveLogError` when the log does not have it."""
        if key not in self._facts:
            raise DiveLogError(
                "is missing", file=self.path, field=key, remedy="the log is damaged or foreign"
            )
        return json.loads(self._facts[key])

    def has_meta(self, key: str) -> bool:
        """Whether the log has this fact."""
        return key in self._facts

    def inputs(self, kind: str) -> list[tuple[int, dict[str, Any]]]:
        """Inputs of one kind, (UTC ms, data), in the order they came."""
        rows = list(self._rows("SELECT time_ms, data FROM inputs WHERE kind = ? ORDER BY input", (kind,)))
        rows += [(time_ms, data) for time_ms, one, data in self._waiting_for(INPUTS) if one == kind]
        return [(time_ms, json.loads(data)) for time_ms, data in rows]

    def add_fix(self, fix: Fix, source: str) -> None:
        """Record that somebody told the time during the dive."""
        data = {"boot": fix.stamp.boot, "monotonic_ms": fix.stamp.monotonic_ms, "source": source}
        self.add_input(fix.utc_ms, "clock", data)

    def times_ms(self) -> NDArray[np.int64]:
        """UTC of every frame, written or not, in the order of capture, int64 (n,), all fixes applied."""
        fixes = [
            Fix(Stamp(data["boot"], data["monotonic_ms"]), utc_ms) for utc_ms, data in self.inputs("clock")
        ]
        # Stamps lie behind the histograms, which are most of the file.
        stamp = "boot, monotonic_ms" if fixes else "NULL, NULL"
        columns = array("q"), array("q"), array("q")
        for time_ms, *rest in self._rows(f"SELECT time_ms, {stamp} FROM frames ORDER BY frame"):
            for column, value in zip(columns, _stamped(time_ms, stamp_of(*rest)), strict=True):
                column.append(value)
        for one in self._pending:
            for column, value in zip(columns, _stamped(one.record.time_ms, one.stamp), strict=True):
                column.append(value)
        times, boots, monotonic_ms = (np.array(column, dtype=np.int64) for column in columns)
        return utc_at(boots, monotonic_ms, times, fixes) if fixes else times

    def places(self) -> Iterator[tuple[int, Phase, float]]:
        """Number, phase and pressure (or NaN) of every frame, in the order of capture."""
        rows = self._rows("SELECT frame, phase, pressure_dbar FROM frames ORDER BY frame")
        for frame, phase, pressure_dbar in rows:
            dbar = math.nan if pressure_dbar is None else pressure_dbar
            yield frame, Phase(phase), dbar
        for one in self._pending:
            yield one.record.index, one.record.phase, one.record.pressure_dbar

    def named(self) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
        """Frame, taxon and scores of every classified particle, in the order of capture."""
        for frame, taxon, scores in self._rows(
            "SELECT frame, taxon, scores FROM particles ORDER BY particle"
        ):
            yield frame, taxon, np.frombuffer(scores, dtype="<f4")
        for logged in self._pending:
            for one in logged.particles:
                yield one.frame, one.taxon, one.scores

    def records(self, times_ms: NDArray[np.int64] | None = None) -> Iterator[FrameRecord]:
        """Every frame's record in the order of capture: all that the profile is made of.

        `times_ms` as the log gives them, where they are at hand.
        """
        times = map(int, self.times_ms() if times_ms is None else times_ms)
        taxa = Grouped(self._rows("SELECT frame, taxon, esd_um FROM particles ORDER BY particle"), 0)
        rows = self._rows(
            "SELECT frame, pressure_dbar, phase, outcome, temperature_c, histogram, unnamed, dirt FROM frames"
            " ORDER BY frame"
        )
        for frame, pressure_dbar, phase, outcome, temperature_c, histogram, unnamed, dirt in rows:
            found = np.array([row[1:] for row in taxa.of(frame)], dtype=np.int64).reshape(-1, 2)
            yield FrameRecord(
                frame,
                next(times),
                math.nan if pressure_dbar is None else pressure_dbar,
                Phase(phase),
                FrameOutcome(outcome),
                math.nan if temperature_c is None else temperature_c,
                unpack_histogram(histogram),
                found[:, 0],
                found[:, 1],
                unnamed,
                dirt,
            )
        for logged in self._pending:
            yield replace(logged.record, time_ms=next(times))

    def frames(self) -> list[dict[str, Any]]:
        """Every frame's row as written, without its histogram, in the order of capture."""
        names = (
            "frame", "time_ms", "pressure_dbar", "phase", "lit", "outcome", "n_particles", "temperature_c",
            "environment", "source", "note", "sharpness",
        )  # fmt: skip
        rows = self._rows(f"SELECT {', '.join(names)} FROM frames ORDER BY frame")
        found = [dict(zip(names, row, strict=True)) for row in rows]
        for row, time_ms in zip(found, self.times_ms().tolist(), strict=False):
            row["time_ms"] = time_ms
        return found

    def worst_sharpness(self) -> float | None:
        """Sharpness of the least sharp frame, also of those not written yet; None when none has any."""
        ((written,),) = self._rows("SELECT MIN(sharpness) FROM frames")
        found = [written] if written is not None else []
        found += [logged.sharpness for logged in self._pending if logged.sharpness is not None]
        return min(found, default=None)

    def particles(self, *, with_vignettes: bool = False) -> Iterator[Particle]:
        """Every classified particle, in the order of capture; also those not written yet."""
        vignette = "png, worth, v.checksum" if with_vignettes else "NULL, NULL, NULL"
        rows = self._rows(
            "SELECT particle, frame, x_px, y_px, width_px, height_px, area_px, on_border, esd_um, taxon,"
            f" scores, measures, evidence, {vignette} FROM particles p LEFT JOIN vignettes v USING (particle)"
            " ORDER BY particle"
        )
        for row in rows:
            number, frame, x, y, width, height, area, on_border, esd_um, taxon = row[:10]
            scores, measures, seen, png, worth, sealed = row[10:]
            yield Particle(
                frame, x, y, width, height, area, bool(on_border), esd_um, taxon,
                np.frombuffer(scores, dtype="<f4"), np.frombuffer(measures, dtype="<f8"),
                None if png is None else self._unless_damaged(number, png, worth, sealed),
                math.nan if seen is None else seen,
            )  # fmt: skip
        for logged in self._pending:
            for particle in logged.particles:
                yield particle if with_vignettes else replace(particle, vignette_png=None)

    def vignette_numbers(self) -> set[int]:
        """Particles, numbered from 0 as `particles` gives them, whose vignette is kept."""
        numbers = set()
        with contextlib.suppress(DiveLogError):
            for (number,) in self._rows("SELECT particle FROM vignettes"):
                numbers.add(number)
        return numbers

    def vignette(self, number: int) -> bytes:
        """The stored vignette of one of `vignette_numbers`; empty when it is damaged."""
        query = "SELECT png, worth, checksum FROM vignettes WHERE particle = ?"
        with contextlib.suppress(DiveLogError):
            for row in self._rows(query, (number,)):
                return self._unless_damaged(number, *row) or b""
        return b""

    def messages(self) -> list[bytes]:
        """Messages of the dive, in the order of their parts."""
        parts: dict[int, bytes] = dict(self._rows("SELECT part, data FROM messages")) | dict(
            self._waiting_for(MESSAGES)
        )
        return [parts[part] for part in sorted(parts)]

    # Inside

    def _unless_damaged(self, number: int, png: bytes, worth: float, sealed: int | None) -> bytes | None:
        is_seal_right = sealed is None or sealed == checksum(self._salt, number, png, worth)
        return png if is_seal_right else None

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> Iterator[Row]:
        """Rows of a query; a file that is damaged becomes a `DiveLogError`."""
        try:
            for row in self._db.execute(query, values):  # noqa: UP028 not `from`: it closes what is closed
                yield row
        except sqlite3.Error as cause:
            raise DiveLogError(
                f"is damaged ({cause})", file=self.path, remedy="start again, or copy it again"
            ) from cause

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
                f"INSERT INTO particles ({PARTICLE_COLUMNS}) VALUES ({marks(15)})", particles
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

    def _waiting_for(self, table: str) -> list[Row]:
        return [row for one, rows in self._waiting if one == table for row in rows]

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


def _stamped(time_ms: int, stamp: Stamp | None) -> tuple[int, int, int]:
    return (time_ms, -1, 0) if stamp is None else (time_ms, stamp.boot, stamp.monotonic_ms)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _ballast(file: Path) -> Path:
    return file.with_name(file.name + ".ballast")
