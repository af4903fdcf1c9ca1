"""Messages waiting for a link, across dives: one small SQLite file, durable before it says so.

A message is there until a link says that it is delivered; it may be sent more than once and carries the same
bytes each time, so that the shore counts it once. Delivered messages are kept, for shore may ask again.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from types import TracebackType
from typing import Any

from edge.database import connect, transaction
from edge.errors import DiveLogError
from edge.telemetry.missing import Answer, Request, answer

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY,
    dive INTEGER NOT NULL,
    part INTEGER NOT NULL,
    data BLOB NOT NULL,
    queued_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    delivered_ms INTEGER,
    asked INTEGER NOT NULL DEFAULT 0,
    tried INTEGER,
    UNIQUE (dive, part)
);
"""
_COLUMNS = "id, dive, part, data, queued_ms, attempts, delivered_ms, asked, tried"


@dataclass(frozen=True, slots=True)
class Queued:
    """One message waiting.

    Attributes
    ----------
    dive, part
        Its id on shore.
    attempts
        How often it was handed to a link.
    number, asked
        Its row, and how often shore has asked for it: together an id of this hand-over, for links whose other
        end remembers what it had.
    tried
        The modem's number of an attempt whose end is not known, or None.
    """

    dive: int
    part: int
    data: bytes
    attempts: int
    number: int
    asked: int
    tried: int | None


class Outbox:
    """A durable queue. Safe for one process; a power cut costs nothing that `put` returned from.

    Attributes
    ----------
    is_durable
        Whether it is on the disk: see `go_on_in_memory`.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path = path
        self.is_durable = True
        try:
            self._db = connect(path)
            self._db.executescript(_SCHEMA)
            columns = [row[1] for row in self._db.execute("PRAGMA table_info(outbox)")]
            for name, kind in (("asked", "INTEGER NOT NULL DEFAULT 0"), ("tried", "INTEGER")):
                if name not in columns:  # a file of an earlier version
                    self._db.execute(f"ALTER TABLE outbox ADD COLUMN {name} {kind}")
        except sqlite3.Error as cause:
            raise DiveLogError(
                f"cannot be used as an outbox ({cause})", file=path, remedy="check the disk or move the file"
            ) from cause

    def __enter__(self) -> Outbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def put(self, dive: int, messages: Sequence[bytes], now_ms: int) -> None:
        """Queue all parts of a dive, or none; parts already queued keep their state."""
        with transaction(self._db, self._path):
            self._db.executemany(
                "INSERT OR IGNORE INTO outbox (dive, part, data, queued_ms) VALUES (?, ?, ?, ?)",
                [(dive, part, data, now_ms) for part, data in enumerate(messages)],
            )

    def go_on_in_memory(self) -> None:
        """The disk takes nothing: until this process ends, go on with a copy of what can be read.

        What is delivered from there may be delivered again after the next start, the same bytes.
        """
        memory = sqlite3.connect(":memory:", isolation_level=None)
        memory.executescript(_SCHEMA)
        with contextlib.suppress(sqlite3.Error):
            for row in self._db.execute(f"SELECT {_COLUMNS} FROM outbox"):
                memory.execute(f"INSERT INTO outbox ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        self._db, self.is_durable = memory, False

    def waiting(self, most: int = -1) -> list[Queued]:
        """Messages not yet delivered, oldest dive first; at most so many when `most` is not negative.

        Before all others that whose attempt has no known end.
        """
        rows = self._read(
            "SELECT dive, part, data, attempts, id, asked, tried FROM outbox WHERE delivered_ms IS NULL"
            " ORDER BY tried IS NULL, dive, part LIMIT ?",
            (most,),
        )
        return [Queued(*row) for row in rows]

    def waiting_bytes(self) -> tuple[int, int]:
        """How many messages are not yet delivered, and their bytes."""
        ((number, size),) = self._read(
            "SELECT count(*), ifnull(sum(length(data)), 0) FROM outbox WHERE delivered_ms IS NULL"
        )
        return number, size

    def _read(self, query: str, values: tuple[int, ...] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query; what the disk refuses becomes a `DiveLogError`."""
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as cause:
            raise DiveLogError(
                f"cannot be read ({cause})", file=self._path, remedy="check the disk or move the file"
            ) from cause

    def attempted(self, dive: int, part: int, tried: int | None = None) -> None:
        """Note an attempt, before it is made; `tried` is the modem's number of it."""
        with transaction(self._db, self._path):
            self._db.execute(
                "UPDATE outbox SET attempts = attempts + 1, tried = ? WHERE dive = ? AND part = ?",
                (tried, dive, part),
            )

    def failed(self, dive: int, part: int) -> None:
        """Note that the attempt has ended without delivery, as far as anybody knows."""
        with transaction(self._db, self._path):
            self._db.execute("UPDATE outbox SET tried = NULL WHERE dive = ? AND part = ?", (dive, part))

    def delivered(self, dive: int, part: int, now_ms: int) -> None:
        """Note that the link has it; it is not sent again."""
        with transaction(self._db, self._path):
            self._db.execute(
                "UPDATE outbox SET delivered_ms = ?, tried = NULL WHERE dive = ? AND part = ?",
                (now_ms, dive, part),
            )

    def requeue(self, requests: Sequence[Request]) -> Answer:
        """Queue again what shore asks for, delivered or not; all of it, or nothing when the disk refuses.

        A second request for the same parts changes nothing while they wait. The answer says what was asked
        for and found, and what was not: parts of a dive that is not here, or that was cut otherwise.
        """
        with transaction(self._db, self._path):
            stored = {request.dive_number: self._parts(request.dive_number) for request in requests}
            found = answer(requests, stored)
            self._db.executemany(
                "UPDATE outbox SET asked = asked + (delivered_ms IS NOT NULL), delivered_ms = NULL"
                " WHERE dive = ? AND part = ?",
                found.parts,
            )
        return found

    def _parts(self, dive: int) -> list[bytes | None]:
        rows = dict(self._db.execute("SELECT part, data FROM outbox WHERE dive = ?", (dive,)))
        return [rows.get(part) for part in range(max(rows, default=-1) + 1)]
