"""Signed commands aboard: verified, counted durably, carried out once, and answered in the next report.

One SQLite file holds counters, keys that replaced others, settings from shore and answers: an order and its
counter are committed together. No byte that is not signed with a key known aboard changes anything in it.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edge.config import Config
from edge.database import connect, transaction
from edge.errors import ConfigError, DiveLogError, InputError, MessageError, SestonError
from edge.installed_keys import InstalledKeys, read_installed
from edge.logged import priorities_of
from edge.structs import to_struct
from edge.telemetry.missing import Answer, Request, decode_request
from edge.telemetry.replies import MAX_DETAIL, MAX_REPLIES, Reply, Verdict
from firmware_bridge.commands import (
    HEAD_BYTES,
    SIGNATURE_BYTES,
    AskMissing,
    Command,
    Reason,
    Refused,
    Reset,
    Role,
    RotateKey,
    Set,
    Verified,
    fingerprint,
    read_command,
)
from firmware_bridge.settings import BY_KEY, Settings

ORDERS_FILE = "orders.sqlite"
KEPT_COMMANDS = 256
"""Answered commands that are remembered, so that one that comes again gets the same answer."""
UNPROVEN_REPLIES = 4
"""Answers kept to what nobody with a key has just said."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS counters (public BLOB PRIMARY KEY, counter INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS replaced (
    role INTEGER PRIMARY KEY,
    installation BLOB NOT NULL,         -- hash of keys.toml: another installation ends it
    public BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
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
_VERDICTS = {
    Reason.SIGNATURE: Verdict.REFUSED_SIGNATURE,
    Reason.UNKNOWN: Verdict.UNKNOWN_COMMAND,
    Reason.VALUE: Verdict.REFUSED_VALUE,
}


@dataclass(frozen=True, slots=True)
class ConfigChanged:
    """The configuration of the next dive, and the keys whose values are others now."""

    config: Config
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MessagesQueued:
    """Messages wait for the link again; and what was not there."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class KeyReplaced:
    """A key was replaced; the fingerprint is the new one's."""

    role: Role
    fingerprint: bytes


Change = ConfigChanged | MessagesQueued | KeyReplaced


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of bytes from shore.

    Attributes
    ----------
    sentence
        For a person.
    reply
        What shore will be told, or None.
    change
        What is different now, or None.
    """

    sentence: str
    reply: Reply | None = None
    change: Change | None = None


class Orders:
    """The board's side of signed commands. Safe for one process; what it returned survives a power cut.

    Parameters
    ----------
    folder
        Of the board: holds `keys.toml`, and `orders.sqlite` which is made when missing.
    config
        As it came from the file: settings from shore are laid over it.
    requeue
        Queues messages that shore misses: `Outbox.requeue`. Doing it twice must be as good as once: what a
        power cut left undone is done at the next start.

    Attributes
    ----------
    config
        What the next dive begins with.
    problems
        Sentences on what is wrong with the keys or the settings; it works on with what is left.

    Raises
    ------
    DiveLogError
        When the database cannot be used.
    """

    def __init__(self, folder: Path, config: Config, requeue: Callable[[Sequence[Request]], Answer]) -> None:
        self._path = folder / ORDERS_FILE
        self._requeue = requeue
        self._base = config
        self._unproven: deque[Reply] = deque(maxlen=UNPROVEN_REPLIES)
        self.problems: list[str] = []
        try:
            self._db = connect(self._path)
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as cause:
            raise DiveLogError(
                f"cannot be used for commands from shore ({cause})",
                file=self._path,
                remedy="check the disk or move the file",
            ) from cause
        self._installed: InstalledKeys | None = None
        self._installation = b""
        try:
            self._installed, self._installation = read_installed(folder)
        except ConfigError as error:
            self.problems.append(f"No command will be obeyed: {error}")
        self.config = self._read_config()
        self._finish_undone()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @property
    def keys(self) -> dict[Role, bytes]:
        """Public keys that count now: as installed, or what replaced them since."""
        if self._installed is None:
            return {}
        rows = self._db.execute(
            "SELECT role, public FROM replaced WHERE installation = ?", (self._installation,)
        )
        return self._installed.by_role() | {Role(role): public for role, public in rows}

    def take(self, data: bytes, now_ms: int) -> Outcome:
        """Verify one message from shore and carry it out. Any bytes give an outcome; never raises.

        When the disk refuses, nothing is changed and the counter is not used up: shore may send it again.
        """
        if self._installed is None:
            return Outcome("a command came, but no keys are installed")
        try:
            keys = self.keys
            found = read_command(data, self._installed.unit, keys)
            if isinstance(found, Verified):
                return self._obey(found.command, keys[found.signer], data, now_ms)
            if found.signer is not None:
                return self._refuse(found, keys[found.signer], data, now_ms)
        except (SestonError, sqlite3.Error) as error:
            return Outcome(f"a command could not be taken: {error}")
        if found.reason is Reason.SIGNATURE and found.counter is not None:
            self._unproven.append(Reply(found.counter, Verdict.REFUSED_SIGNATURE))
        return Outcome(f"a message from shore {found.sentence}")

    def replies(self) -> tuple[Reply, ...]:
        """Answers that no report has told yet, the oldest first, at most as many as a report takes.

        Answers to what was not signed, or had been used before, come last, a few and only where there is
        room: they are not kept on disk, and anybody may cause them.
        """
        rows = self._db.execute(
            "SELECT counter, verdict, detail FROM commands WHERE NOT reported AND verdict IS NOT NULL"
            " ORDER BY id LIMIT ?",
            (MAX_REPLIES,),
        )
        found = [Reply(counter, Verdict(verdict), detail) for counter, verdict, detail in rows]
        return (*found, *self._unproven)[:MAX_REPLIES]

    def reported(self, replies: Sequence[Reply]) -> None:
        """Note that these answers are in messages that are kept durably.

        Raises
        ------
        DiveLogError
            When the disk refuses: then they go with the next report too.
        """
        with transaction(self._db, self._path):
            self._db.executemany(
                "UPDATE commands SET reported = 1 WHERE counter = ? AND verdict = ? AND detail = ?",
                [(reply.counter, reply.verdict, reply.detail) for reply in replies],
            )
        for reply in replies:
            with contextlib.suppress(ValueError):
                self._unproven.remove(reply)

    def _obey(self, command: Command, public: bytes, data: bytes, now_ms: int) -> Outcome:
        order = command.order
        if (stale := self._stale(command.counter, public, data)) is not None:
            return stale
        match order:
            case AskMissing():
                with transaction(self._db, self._path):
                    self._count(command.counter, public, data, now_ms, None)
                return self._send_again(order, command.counter)
            case Set(settings):
                return self._set(command, settings, public, data, now_ms)
            case Reset():
                names = tuple(key for (key,) in self._db.execute("SELECT key FROM settings"))
                reply = Reply(command.counter, Verdict.DONE, len(names))
                with transaction(self._db, self._path):
                    self._count(command.counter, public, data, now_ms, reply)
                    self._db.execute("DELETE FROM settings")
                self.config = self._base
                return Outcome(
                    "the settings from shore are forgotten", reply, ConfigChanged(self.config, names)
                )
            case RotateKey(role, new):
                return self._replace(command, role, new, public, data, now_ms)

    def _set(self, command: Command, settings: Settings, public: bytes, data: bytes, now_ms: int) -> Outcome:
        try:
            config = with_settings(self.config, settings)
            priorities_of(config.telemetry)
        except InputError as error:
            reply = Reply(command.counter, Verdict.REFUSED_VALUE, _number_of(error, settings))
            with transaction(self._db, self._path):
                self._count(command.counter, public, data, now_ms, reply)
            return Outcome(f"command {command.counter} is refused: {error}", reply)
        reply = Reply(command.counter, Verdict.DONE, len(settings))
        with transaction(self._db, self._path):
            self._count(command.counter, public, data, now_ms, reply)
            self._db.executemany(
                "INSERT OR REPLACE INTO settings VALUES (?, ?)",
                [(key, json.dumps(value)) for key, value in settings],
            )
        self.config = config
        told = ", ".join(f"{key} = {value}" for key, value in settings)
        names = tuple(key for key, _ in settings)
        return Outcome(f"command {command.counter} sets {told}", reply, ConfigChanged(config, names))

    def _replace(
        self, command: Command, role: Role, new: bytes, public: bytes, data: bytes, now_ms: int
    ) -> Outcome:
        assert self._installed is not None
        mark = fingerprint(new)
        reply = Reply(command.counter, Verdict.DONE, int.from_bytes(mark[:2], "big"))
        if role not in self._installed.by_role():
            reply = Reply(command.counter, Verdict.FAILED)
        with transaction(self._db, self._path):
            self._count(command.counter, public, data, now_ms, reply)
            if reply.verdict is Verdict.DONE:
                self._db.execute(
                    "INSERT OR REPLACE INTO replaced VALUES (?, ?, ?)", (role, self._installation, new)
                )
        if reply.verdict is not Verdict.DONE:
            return Outcome(f"command {command.counter}: no {role.name.lower()} key is installed", reply)
        return Outcome(
            f"command {command.counter} replaces the {role.name.lower()} key: {mark.hex()} counts now",
            reply,
            KeyReplaced(role, mark),
        )

    def _send_again(self, order: AskMissing, counter: int) -> Outcome:
        """Queue what is missing, then note what came of it; a power cut in between does it once more."""
        change: Change | None = None
        try:
            answer = self._requeue(decode_request(order.request))
        except MessageError as error:
            reply, sentence = Reply(counter, Verdict.REFUSED_VALUE), f"is refused: {error}"
        except SestonError as error:
            reply, sentence = Reply(counter, Verdict.FAILED), f"failed: {error}"
        else:
            n_found = len(answer.parts)
            verdict = Verdict.FAILED if answer.absent and not n_found else Verdict.DONE
            reply = Reply(counter, verdict, min(n_found, MAX_DETAIL))
            change = MessagesQueued(answer)
            sentence = f"queues {n_found} messages again"
            if answer.absent:
                numbers = ", ".join(str(one.dive_number) for one in answer.absent)
                sentence += f"; not all is here of dive {numbers}"
        with transaction(self._db, self._path):
            self._db.execute(
                "UPDATE commands SET verdict = ?, detail = ? WHERE counter = ? AND verdict IS NULL",
                (reply.verdict, reply.detail, counter),
            )
        return Outcome(f"command {counter} {sentence}", reply, change)

    def _refuse(self, found: Refused, public: bytes, data: bytes, now_ms: int) -> Outcome:
        """What is signed and cannot be obeyed uses up its counter, and is answered."""
        assert found.counter is not None
        if (stale := self._stale(found.counter, public, data)) is not None:
            return stale
        reply = Reply(found.counter, _VERDICTS[found.reason], found.detail)
        with transaction(self._db, self._path):
            self._count(found.counter, public, data, now_ms, reply)
        return Outcome(f"command {found.counter} {found.sentence}", reply)

    def _stale(self, counter: int, public: bytes, data: bytes) -> Outcome | None:
        """The outcome when a counter has not risen; None when it has."""
        row = self._db.execute("SELECT counter FROM counters WHERE public = ?", (public,)).fetchone()
        if row is None or counter > row[0]:
            return None
        known = self._db.execute(
            "SELECT verdict, detail FROM commands WHERE data = ? AND verdict IS NOT NULL", (data,)
        ).fetchone()
        if known is not None:
            with transaction(self._db, self._path):
                self._db.execute("UPDATE commands SET reported = 0 WHERE data = ?", (data,))
            reply = Reply(counter, Verdict(known[0]), known[1])
            return Outcome(f"command {counter} came again: its answer goes with the next report", reply)
        reply = Reply(counter, Verdict.REFUSED_REPLAY, row[0] & MAX_DETAIL)
        self._unproven.append(reply)
        return Outcome(f"command {counter} is refused: {row[0]} was the last with its key", reply)

    def _count(self, counter: int, public: bytes, data: bytes, now_ms: int, reply: Reply | None) -> None:
        """Use up a counter, and keep the command with its answer, within a transaction."""
        verdict, detail = (None, 0) if reply is None else (reply.verdict, reply.detail)
        self._db.execute("INSERT OR REPLACE INTO counters VALUES (?, ?)", (public, counter))
        self._db.execute(
            "INSERT INTO commands (data, counter, taken_ms, verdict, detail) VALUES (?, ?, ?, ?, ?)",
            (data, counter, now_ms, verdict, detail),
        )
        self._db.execute(
            "DELETE FROM commands WHERE id <= (SELECT max(id) FROM commands) - ?", (KEPT_COMMANDS,)
        )

    def _finish_undone(self) -> None:
        """Carry out what was accepted before the power went."""
        rows = self._db.execute("SELECT counter, data FROM commands WHERE verdict IS NULL ORDER BY id")
        for counter, data in rows.fetchall():
            with contextlib.suppress(DiveLogError):  # a full disk now: the next start tries again
                self._send_again(AskMissing(data[HEAD_BYTES:-SIGNATURE_BYTES]), counter)

    def _read_config(self) -> Config:
        """The configuration with the settings from shore over it, those that fit."""
        rows = self._db.execute("SELECT key, value FROM settings ORDER BY key").fetchall()
        settings = [(key, json.loads(value)) for key, value in rows]
        with contextlib.suppress(ConfigError):
            return with_settings(self._base, settings)
        config = self._base  # the unit's file has changed since: what fits one by one
        for setting in settings:
            try:
                config = with_settings(config, [setting])
            except ConfigError as error:
                self.problems.append(f"A setting from shore is left out, it does not fit: {error}")
        return config


def with_settings(config: Config, settings: Sequence[tuple[str, Any]]) -> Config:
    """A configuration with some values changed.

    Raises
    ------
    ConfigError
        When a value, or how the values go together, is not what a configuration may have: it names the key.
    """
    tree: dict[str, Any] = msgspec.to_builtins(config)
    for key, value in settings:
        *sections, name = key.split(".")
        place = tree
        for section in sections:
            if place.get(section) is None:
                raise ConfigError("has no such section", field=key, remedy="add it to the unit's file first")
            place = place[section]
        place[name] = value
    return to_struct(tree, Config, file=None, error=ConfigError)


def _number_of(error: InputError, settings: Settings) -> int:
    """The number of the setting that an error is about; of the first where it does not say."""
    named = [key for key, _ in settings if error.field and error.field.startswith(key)]
    return BY_KEY[named[0] if named else settings[0][0]].number
