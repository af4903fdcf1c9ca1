"""What the board remembers of commands from shore, durably: counters, answers, settings, keys.

One SQLite file; it decides nothing. What belongs together is written within one `transaction`; what is
counted without an answer was accepted, and is not known to be carried out.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.database import connect, transaction
from edge.errors import DiveLogError
from edge.telemetry.replies import Reply, Verdict
from firmware_bridge.command_bodies import Role
from firmware_bridge.settings import Settings

KEPT_COMMANDS = 256
"""Answered commands that are remembered, so that one that comes again gets the same answer."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS counters (public BLOB PRIMARY KEY, counter INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS replaced (
    role INTEGER PRIMARY KEY,
    installation BLOB NOT NULL,         -- hash of keys.toml: another installation ends it
    public BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS settings (
    config TEXT NOT NULL,               -- what they lie over: SHA-256 of an update, or '' for the unit's file
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (config, key)
);
CREATE TABLE IF NOT EXISTS commands (
    id INTEGER PRIMARY KEY,
    data BLOB NOT NULL UNIQUE,
    counter INTEGER NOT NULL,
    taken_ms INTEGER NOT NULL,
    verdict INTEGER,                    -- NULL: accepted, and not known to be carried out
    detail INTEGER NOT NULL DEFAULT 0,
    reported INTEGER NOT NULL DEFAULT 0
);
"""


class OrderBook:
    """Opens the file, and makes it when it is missing; `DiveLogError` when it cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._db = connect(path)
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as cause:
            raise DiveLogError(
                f"cannot be used for commands from shore ({cause})",
                file=path,
                remedy="check the disk or move the file",
            ) from cause

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """All of it or nothing; what the disk refuses becomes a `DiveLogError`."""
        return transaction(self._db, self.path)

    # Commands and their answers

    def count(self, counter: int, public: bytes, data: bytes, now_ms: int, reply: Reply | None) -> None:
        """Use up a counter, and keep the command with its answer, or without one, within a transaction."""
        verdict, detail = (None, 0) if reply is None else (reply.verdict, reply.detail)
        self._db.execute("INSERT OR REPLACE INTO counters VALUES (?, ?)", (public, counter))
        self._db.execute(
            "INSERT INTO commands (data, counter, taken_ms, verdict, detail) VALUES (?, ?, ?, ?, ?)",
            (data, counter, now_ms, verdict, detail),
        )
        self._db.execute(
            "DELETE FROM commands WHERE id <= (SELECT max(id) FROM commands) - ?", (KEPT_COMMANDS,)
        )

    def last_counter(self, public: bytes) -> int | None:
        """The last counter used with a key."""
        row = self._db.execute("SELECT counter FROM counters WHERE public = ?", (public,)).fetchone()
        return None if row is None else int(row[0])

    def answer_to(self, data: bytes) -> tuple[Verdict, int] | None:
        """Verdict and detail of a command that came before, byte for byte."""
        row = self._db.execute(
            "SELECT verdict, detail FROM commands WHERE data = ? AND verdict IS NOT NULL", (data,)
        ).fetchone()
        return None if row is None else (Verdict(row[0]), int(row[1]))

    def answer(self, data: bytes, verdict: Verdict, detail: int) -> None:
        """Answer a command, or answer it otherwise than before; an answer that is news is to be reported."""
        known = self._db.execute("SELECT verdict, detail FROM commands WHERE data = ?", (data,)).fetchone()
        if known is not None and known != (verdict, detail):
            with self.transaction():
                self._db.execute(
                    "UPDATE commands SET verdict = ?, detail = ?, reported = 0 WHERE data = ?",
                    (verdict, detail, data),
                )

    def tell_again(self, data: bytes) -> None:
        """The answer to a command goes with the next report too."""
        with self.transaction():
            self._db.execute("UPDATE commands SET reported = 0 WHERE data = ?", (data,))

    def unanswered(self) -> list[bytes]:
        """Commands that were accepted, and are not known to be carried out, the oldest first."""
        return [
            data
            for (data,) in self._db.execute("SELECT data FROM commands WHERE verdict IS NULL ORDER BY id")
        ]

    def unreported(self, most: int) -> list[Reply]:
        """Answers that no report has told yet, the oldest first."""
        rows = self._db.execute(
            "SELECT counter, verdict, detail FROM commands WHERE NOT reported AND verdict IS NOT NULL"
            " ORDER BY id LIMIT ?",
            (most,),
        )
        return [Reply(counter, Verdict(verdict), detail) for counter, verdict, detail in rows]

    def reported(self, replies: Sequence[Reply]) -> None:
        """These answers are in messages that are kept durably."""
        with self.transaction():
            self._db.executemany(
                "UPDATE commands SET reported = 1 WHERE counter = ? AND verdict = ? AND detail = ?",
                [(reply.counter, reply.verdict, reply.detail) for reply in replies],
            )

    # What they changed

    def replaced_keys(self, installation: bytes) -> dict[Role, bytes]:
        """Keys that replaced installed ones since."""
        rows = self._db.execute("SELECT role, public FROM replaced WHERE installation = ?", (installation,))
        return {Role(role): public for role, public in rows}

    def replace_key(self, role: Role, installation: bytes, public: bytes) -> None:
        """A key counts in place of an installed one, within a transaction."""
        self._db.execute("INSERT OR REPLACE INTO replaced VALUES (?, ?, ?)", (role, installation, public))

    def settings(self, config: str) -> list[tuple[str, Any]]:
        """Settings over a configuration, by its SHA-256; "" is the unit's file."""
        rows = self._db.execute("SELECT key, value FROM settings WHERE config = ? ORDER BY key", (config,))
        return [(key, json.loads(value)) for key, value in rows]

    def put_settings(self, config: str, settings: Settings) -> None:
        """Lay settings over a configuration, within a transaction."""
        self._db.executemany(
            "INSERT OR REPLACE INTO settings VALUES (?, ?, ?)",
            [(config, key, json.dumps(value)) for key, value in settings],
        )

    def forget_settings(self) -> None:
        """Forget all settings, over whatever configuration, within a transaction."""
        self._db.execute("DELETE FROM settings")
