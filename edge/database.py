"""SQLite files that survive a power cut: dive logs, the outbox, orders."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from os import PathLike

from edge.errors import DiveLogError


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


def is_full(error: sqlite3.Error) -> bool:
    """Whether the disk had no room; a write that it broke off counts too."""
    return error.sqlite_errorcode in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE}
