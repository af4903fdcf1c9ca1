"""One SQLite file a dive: everything seen, decided and received. The only truth.

Profile and messages are a pure replay of it. A bloc of frames is committed whole or not at all (WAL,
synchronous FULL). When the disk is full the log gives up its ballast and keeps no more vignettes; when that
is used up too, it keeps frames in memory until there is room again: a full disk never stops a dive.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from edge.database import connect, is_full
from edge.divelog_schema import (
    SCHEMA,
    SCHEMA_VERSION,
    LoggedFrame,
    Particle,
    frame_row,
    marks,
    particle_row,
    stamp_of,
    unpack_histogram,
    upgrade,
)
from edge.errors import DiveLogError
from edge.frame import FrameOutcome, Phase, Stamp
from edge.profile import FrameRecord, Ints
from edge.timeline import Fix, utc_of

BALLAST_BYTES = 4_000_000
"""Room kept aside when a dive begins: some thousand frames without vignettes, should the disk fill up."""


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
            db.executescript("BEGIN IMMEDIATE;" + SCHEMA)
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
            found = None if row is None else upgrade(db, json.loads(row[0]))
        except sqlite3.Error as cause:
            raise DiveLogError(
                f"is not a dive log ({cause})", file=file, remedy="name the dive.sqlite of a dive"
            ) from cause
        if found != SCHEMA_VERSION:
            db.close()
            raise DiveLogError(
                f"is {'none' if found is None else found}, this version reads {SCHEMA_VERSION}",
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
                if not is_full(error):
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

    def add_fix(self, fix: Fix, source: str) -> None:
        """Record that somebody told the time during the dive."""
        data = {"boot": fix.stamp.boot, "monotonic_ms": fix.stamp.monotonic_ms, "source": source}
        self.add_input(fix.utc_ms, "clock", data)

    def times_ms(self) -> list[int]:
        """UTC of every frame in the order of capture, all fixes applied; also of those not yet written."""
        rows = self._db.execute("SELECT time_ms, boot, monotonic_ms FROM frames ORDER BY frame").fetchall()
        times = [time_ms for time_ms, _, _ in rows] + [one.record.time_ms for one in self._pending]
        fixes = [
            Fix(Stamp(data["boot"], data["monotonic_ms"]), utc_ms) for utc_ms, data in self.inputs("clock")
        ]
        if not fixes:
            return times
        stamps = [stamp_of(boot, monotonic_ms) for _, boot, monotonic_ms in rows]
        return list(map(int, utc_of([*stamps, *(one.stamp for one in self._pending)], times, fixes)))

    def records(self) -> Iterator[FrameRecord]:
        """Every frame's record in the order of capture: all that the profile is made of."""
        times = iter(self.times_ms())
        taxa = _Grouped(
            self._db.execute("SELECT frame, taxon, esd_um FROM particles ORDER BY frame, particle")
        )
        rows = self._db.execute(
            "SELECT frame, pressure_dbar, phase, outcome, temperature_c, histogram, unnamed, dirt FROM frames"
            " ORDER BY frame"
        )
        for frame, pressure_dbar, phase, outcome, temperature_c, histogram, unnamed, dirt in rows:
            found = taxa.of(frame)
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
        rows = self._db.execute(
            "SELECT frame, time_ms, pressure_dbar, phase, lit, outcome, n_particles, temperature_c,"
            " environment, source, note, sharpness FROM frames ORDER BY frame"
        )
        names = [column[0] for column in rows.description]
        found = [dict(zip(names, row, strict=True)) for row in rows]
        for row, time_ms in zip(found, self.times_ms(), strict=False):
            row["time_ms"] = time_ms
        return found

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
            frames.append(frame_row(logged))
            for particle in logged.particles:
                particles.append((number, *particle_row(particle)))
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
            self._db.executemany(f"INSERT INTO frames VALUES ({marks(17)})", frames)
            self._db.executemany(f"INSERT INTO particles VALUES ({marks(15)})", particles)
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
                if last_try or not is_full(error):
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


def _ballast(file: Path) -> Path:
    return file.with_name(file.name + ".ballast")
