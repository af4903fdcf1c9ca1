"""SQLite files that survive a power cut: dive logs, the outbox, orders."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from urllib.parse import quote

from edge.errors import DiveLogError

BUSY_S = 5.0
"""Patience with another process that writes; that of Python's sqlite3 too."""
MAX_VALUE_BYTES = 1 << 26
"""Largest value that is read from a damaged file: a length that is wrong must not fill the memory."""
PAGE_BYTES = 512
"""Small, for a commit writes whole pages, and the last page of every table again."""
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_UNREADABLE = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ}

_REFUSALS = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED,
}  # fmt: skip


def connect(file: str | PathLike[str]) -> sqlite3.Connection:
    """Open a database whose commits survive a power cut (WAL, every commit synced), statement by statement.

    EXTRA differs from FULL before there is a WAL: the journal of the very first transaction is gone for good,
    and cannot come back after a power cut and undo what was written since.
    """
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("PRAGMA synchronous=EXTRA")
    _have_wal(db)
    # Some builds write zeros over all that is deleted: nothing here is secret, and a card wears out.
    db.execute("PRAGMA secure_delete=OFF")
    return db


def _have_wal(db: sqlite3.Connection) -> None:
    """The first to open a new file gives it a WAL; SQLite's own patience does not cover that moment."""
    until_s = time.monotonic() + BUSY_S
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until_s:
                raise
            time.sleep(0.01)
        else:
            return


def connect_to_read(file: Path, *, with_wal: bool) -> sqlite3.Connection:
    """Open a database that may be damaged; nothing is written into it, or into its WAL."""
    how = "mode=ro" if with_wal else "mode=ro&immutable=1"
    db = sqlite3.connect(f"file:{quote(str(file.absolute()))}?{how}", uri=True, isolation_level=None)
    db.text_factory = lambda data: data.decode("utf-8", "replace")
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    return db


def connect_to_build(file: Path) -> sqlite3.Connection:
    """Open a database that is of no use before it is complete, synced and renamed."""
    db = sqlite3.connect(file, isolation_level=None)
    db.execute(f"PRAGMA page_size={PAGE_BYTES}")
    db.execute("PRAGMA journal_mode=OFF")
    db.execute("PRAGMA synchronous=OFF")
    return db


def finish_building(db: sqlite3.Connection) -> None:
    """Who opens the file from now on needs no journal to give it a WAL, which a kill could leave behind."""
    db.execute("PRAGMA journal_mode=WAL")


@contextlib.contextmanager
def transaction(db: sqlite3.Connection, file: str | PathLike[str]) -> Iterator[None]:
    """All of it or nothing; what the disk refuses becomes a `DiveLogError`."""
    try:
        db.execute("BEGIN IMMEDIATE")
        with db:
            yield
    except sqlite3.Error as cause:
        raise DiveLogError(f"cannot be written ({cause})", file=file, remedy="free the disk") from cause


def is_refusal(error: sqlite3.Error) -> bool:
    """Whether the disk did not take it: it is full, read-only, fails, or another process has the file."""
    return _code(error) & 0xFF in _REFUSALS and not is_damage(error)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is not what was written: pages that contradict each other, or cannot be read."""
    code = _code(error)
    return code & 0xFF in _DAMAGE or code in _UNREADABLE


def _code(error: sqlite3.Error) -> int:
    """Extended result code; 0 for errors of Python's own."""
    return int(getattr(error, "sqlite_errorcode", 0))
