"""Models and configurations from shore as they are kept: announced, whole, on trial, good, or left.

It decides nothing. Rows of one SQLite file, and the updates themselves as files named by their SHA-256. A row
that is adopted says what runs with it: a model and a configuration, each that of an update or of the unit's
own file ("").
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.database import connect, connect_to_read, is_damage, transaction
from edge.durable import PART, sync_folder, write_durably
from edge.errors import DiveLogError
from firmware_bridge.command_bodies import What
from firmware_bridge.link_wire import Header

STORE_FILE = "updates.sqlite"
KEPT, KEPT_ADOPTED = 32, 8
"""Updates whose end is remembered, and adoptions."""
KEPT_HEADERS = 16
"""Objects of the link that are known again when they come once more."""


class State(enum.StrEnum):
    """How an update stands."""

    WAITS = "waits"
    """Announced; its bytes are not all here."""
    WHOLE = "whole"
    """All of it is here, and has the SHA-256 that was announced."""
    TRIAL = "trial"
    """It is what is to run, and has not proven itself."""
    GOOD = "good"
    LEFT = "left"
    """It was tried, and what was before it runs."""
    FAILED = "failed"
    """It was never tried; why is its reason."""


class Failure(enum.IntEnum):
    """Why an update failed. The numbers travel to shore as details: never renumber, only append."""

    OTHER_BYTES = 1
    """What came is not what was announced."""
    UNFIT = 2
    """It does not do here what it must: no configuration, or golden outputs that are others."""
    REPLACED = 3
    """Another of its kind was announced before it was adopted."""


@dataclass(frozen=True, slots=True)
class Update:
    """A row.

    Attributes
    ----------
    number
        Of the row.
    command, signer, counter
        Of the announcement; the command is empty of a reset.
    what, length_bytes, sha256
        What was announced; the SHA-256 in hexadecimal.
    state, detail, why
        How it stands, a number and a sentence about it.
    base
        Hash of the unit's own files that it was adopted over.
    model, config
        SHA-256 of what runs with it, "" for the unit's own.
    needs_host
        Whether a host was on the line before it, and has to be after it.
    tries
        Starts that have begun with it.
    """

    number: int
    command: bytes
    signer: bytes
    counter: int
    what: What
    length_bytes: int
    sha256: str
    state: State
    detail: int
    why: str
    base: str
    model: str
    config: str
    needs_host: bool
    tries: int


_SCHEMA = """
CREATE TABLE IF NOT EXISTS updates (
    number INTEGER PRIMARY KEY,
    command BLOB NOT NULL,
    signer BLOB NOT NULL,
    counter INTEGER NOT NULL,
    what INTEGER NOT NULL,
    length_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    state TEXT NOT NULL,
    detail INTEGER NOT NULL DEFAULT 0,
    why TEXT NOT NULL DEFAULT '',
    base TEXT NOT NULL DEFAULT '',
    model TEXT NOT NULL DEFAULT '',
    config TEXT NOT NULL DEFAULT '',
    needs_host INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    adopted INTEGER                     -- rises with every adoption
);
CREATE TABLE IF NOT EXISTS parts (
    number INTEGER NOT NULL, offset_bytes INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (number, offset_bytes)
);
CREATE TABLE IF NOT EXISTS headers (
    id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL, object_id INTEGER NOT NULL, length_bytes INTEGER NOT NULL, crc32 INTEGER NOT NULL
);
"""
_COLUMNS = (
    "number, command, signer, counter, what, length_bytes, sha256, state, detail, why, base, model, config,"
    " needs_host, tries"
)


class UpdateStore:
    """Opens the folder, and makes it when it is missing.

    A file that is damaged is put aside, and what the unit was sent to sea with runs; `DiveLogError` when the
    disk refuses.

    Parameters
    ----------
    to_read
        Nothing is written or made.

    Attributes
    ----------
    problem
        What is wrong, in a sentence, or "".
    """

    def __init__(self, folder: Path, *, to_read: bool = False) -> None:
        self._folder, self._path = folder, folder / STORE_FILE
        self.problem = ""
        if to_read:
            has_wal = self._path.with_name(STORE_FILE + "-wal").exists()
            self._db = connect_to_read(self._path, with_wal=has_wal)
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                self._db = self._open()
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                aside = self._path.with_suffix(".damaged")
                self._path.replace(aside)
                for end in ("-wal", "-shm"):
                    self._path.with_name(self._path.name + end).unlink(missing_ok=True)
                self.problem = f"{self._path} was damaged, and is {aside.name} now: no update counts any more"
                self._db = self._open()
        except (sqlite3.Error, OSError) as cause:
            raise DiveLogError(
                f"cannot be used for updates ({cause})", file=self._path, remedy="check the disk"
            ) from cause

    def _open(self) -> sqlite3.Connection:
        db = connect(self._path)
        try:
            db.executescript(_SCHEMA)
            db.execute("SELECT count(*) FROM updates, parts, headers").fetchone()
        except sqlite3.Error:
            db.close()
            raise
        return db

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # Rows

    def all(self) -> list[Update]:
        """Every update that is remembered, in the order of announcement."""
        return self._rows("1 ORDER BY number")

    def announced(self, command: bytes) -> Update | None:
        """The update that a command announced."""
        return next(iter(self._rows("command = ?", command)), None)

    def whole(self) -> Update | None:
        """The oldest that can be adopted."""
        return next(iter(self._rows("state = ? ORDER BY number", State.WHOLE)), None)

    def adopted(self, base: str | None) -> list[Update]:
        """What may run over the unit's own files, the newest first; over any when the hash is not known."""
        where = "state IN (?, ?) AND adopted IS NOT NULL AND (base = ? OR ?) ORDER BY adopted DESC"
        return self._rows(where, State.TRIAL, State.GOOD, base or "", base is None)

    def announce(
        self, command: bytes, signer: bytes, counter: int, what: What, length_bytes: int, sha256: str
    ) -> Update:
        """Wait for an update, in place of any other of its kind that is not adopted."""
        with transaction(self._db, self._path):
            self._db.execute(
                "UPDATE updates SET state = ?, detail = ?, why = 'another was announced'"
                " WHERE what = ? AND state IN (?, ?)",
                (State.FAILED, Failure.REPLACED, what, State.WAITS, State.WHOLE),
            )
            self._db.execute(
                "INSERT INTO updates (command, signer, counter, what, length_bytes, sha256, state)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (command, signer, counter, what, length_bytes, sha256, State.WAITS),
            )
            self._forget()
        found = self.announced(command)
        assert found is not None
        return found

    def set_state(self, update: Update, state: State, detail: int = 0, why: str = "") -> None:
        """How an update stands now."""
        with transaction(self._db, self._path):
            self._db.execute(
                "UPDATE updates SET state = ?, detail = ?, why = ? WHERE number = ?",
                (state, detail, why, update.number),
            )

    def adopt(self, update: Update, base: str, model: str, config: str, *, needs_host: bool) -> None:
        """The switch: from this commit on it is what is to run, on trial."""
        with transaction(self._db, self._path):
            self._db.execute(
                "UPDATE updates SET state = ?, base = ?, model = ?, config = ?, needs_host = ?, tries = 0,"
                " adopted = (SELECT IFNULL(max(adopted), 0) + 1 FROM updates) WHERE number = ?",
                (State.TRIAL, base, model, config, needs_host, update.number),
            )

    def adopt_own(self, base: str) -> None:
        """The unit's own files are what is to run."""
        with transaction(self._db, self._path):
            self._db.execute(
                "INSERT INTO updates"
                " (command, signer, counter, what, length_bytes, sha256, state, base, adopted) VALUES"
                " (x'', x'', 0, ?, 0, '', ?, ?, (SELECT IFNULL(max(adopted), 0) + 1 FROM updates))",
                (What.CONFIGURATION, State.GOOD, base),
            )
            self._forget()

    def count_try(self, update: Update, by: int) -> None:
        """A start with it begins; or one that began was none (-1)."""
        with transaction(self._db, self._path):
            self._db.execute(
                "UPDATE updates SET tries = max(tries + ?, 0) WHERE number = ?", (by, update.number)
            )

    def _rows(self, where: str, *values: object) -> list[Update]:
        try:
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM updates WHERE {where}", values).fetchall()
        except sqlite3.Error as cause:
            raise DiveLogError(
                f"cannot be read ({cause})", file=self._path, remedy="check the disk"
            ) from cause
        return [Update(*_with_meaning(row)) for row in rows]

    def _forget(self) -> None:
        """The oldest ends are not remembered; what may still run is."""
        self._db.execute(
            "DELETE FROM updates WHERE state NOT IN (?, ?, ?)"
            " AND number <= (SELECT max(number) FROM updates) - ?"
            " AND IFNULL(adopted, 0) <= (SELECT IFNULL(max(adopted), 0) FROM updates) - ?",
            (State.WAITS, State.WHOLE, State.TRIAL, KEPT, KEPT_ADOPTED),
        )
        self._db.execute("DELETE FROM parts WHERE number NOT IN (SELECT number FROM updates WHERE state = ?)",
                         (State.WAITS,))  # fmt: skip

    # Bytes

    def add_part(self, update: Update, offset_bytes: int, data: bytes) -> None:
        """Keep some bytes of an update that is waited for."""
        with transaction(self._db, self._path):
            self._db.execute(
                "INSERT OR REPLACE INTO parts VALUES (?, ?, ?)", (update.number, offset_bytes, data)
            )

    def assembled(self, update: Update) -> tuple[bytes, int]:
        """What the parts of an update make, zeros where one is missing; and how many bytes are missing."""
        made, known = bytearray(update.length_bytes), bytearray(update.length_bytes)
        for at, data in self._db.execute(
            "SELECT offset_bytes, data FROM parts WHERE number = ?", (update.number,)
        ):
            end = min(at + len(data), update.length_bytes)
            if at < end:
                made[at:end] = data[: end - at]
                known[at:end] = b"\1" * (end - at)
        return bytes(made), known.count(0)

    def file(self, what: What, sha256: str) -> Path:
        """Where an update of this SHA-256 lies, or would."""
        return self._folder / f"{sha256}.{what.name.lower()}"

    def holds(self, what: What, sha256: str) -> bool:
        """Whether all of an update is here, as it was announced."""
        try:
            with self.file(what, sha256).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == sha256
        except OSError:
            return False

    def keep(self, update: Update, data: bytes, header: Header | None = None) -> None:
        """Keep all of an update durably, and then know that it is whole; OSError when the disk refuses."""
        write_durably(self.file(update.what, update.sha256), data)
        with transaction(self._db, self._path):
            self._db.execute(
                "UPDATE updates SET state = ? WHERE number = ? AND state = ?",
                (State.WHOLE, update.number, State.WAITS),
            )
            self._db.execute("DELETE FROM parts WHERE number = ?", (update.number,))
            if header is not None:
                self._db.execute(
                    "INSERT INTO headers (kind, object_id, length_bytes, crc32) VALUES (?, ?, ?, ?)",
                    (header.kind, header.object_id, header.length_bytes, header.crc32),
                )
                self._db.execute(
                    "DELETE FROM headers WHERE id <= (SELECT max(id) FROM headers) - ?", (KEPT_HEADERS,)
                )

    def headers(self) -> list[Header]:
        """Objects of the link that are here, the newest last."""
        rows = self._db.execute("SELECT kind, object_id, length_bytes, crc32 FROM headers ORDER BY id")
        return [Header(*row) for row in rows]

    def tidy(self, base: str) -> None:
        """Delete the files of no use: what runs, what ran before it, and what is to be adopted stay."""
        rows = self.adopted(base)
        before = next((row for row in rows[1:] if row.state is State.GOOD), None)
        kept = {(What.MODEL, row.model) for row in (*rows[:1], before) if row is not None}
        kept |= {(What.CONFIGURATION, row.config) for row in (*rows[:1], before) if row is not None}
        kept |= {(row.what, row.sha256) for row in self.all() if row.state is State.WHOLE}
        names = {self.file(what, sha256).name for what, sha256 in kept if sha256}
        ends = tuple(f".{what.name.lower()}" for what in What)
        for file in self._folder.iterdir():
            if file.name.removesuffix(PART).endswith(ends) and file.name not in names:
                with contextlib.suppress(OSError):
                    file.unlink()
        with contextlib.suppress(OSError):
            sync_folder(self._folder)


def _with_meaning(row: tuple[Any, ...]) -> list[Any]:
    values = list(row)
    values[4], values[7], values[13] = What(row[4]), State(row[7]), bool(row[13])
    return values
