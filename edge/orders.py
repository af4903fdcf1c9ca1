"""Signed commands aboard: verified, counted durably, carried out once, and answered in the next report.

An order and its counter are committed together (`edge.order_book`). No byte that is not signed with a key
known aboard changes anything.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from edge.config import Config
from edge.errors import ConfigError, DiveLogError, InputError, MessageError, SestonError
from edge.installed_keys import InstalledKeys, read_installed
from edge.logged import priorities_of
from edge.order_book import OrderBook
from edge.structs import to_struct
from edge.telemetry.missing import Answer, Request, decode_request
from edge.telemetry.replies import MAX_DETAIL, MAX_REPLIES, Reply, Verdict
from firmware_bridge.command_bodies import (
    Announce,
    AskMissing,
    OpenDeck,
    Part,
    Reset,
    Role,
    RotateKey,
    Set,
)
from firmware_bridge.commands import Command, Reason, Refused, Verified, fingerprint, read_command
from firmware_bridge.settings import BY_KEY, Settings

ORDERS_FILE = "orders.sqlite"
UNPROVEN_REPLIES = 4
"""Answers kept to what nobody with a key has just said."""

_VERDICTS = {
    Reason.SIGNATURE: Verdict.REFUSED_SIGNATURE,
    Reason.UNKNOWN: Verdict.UNKNOWN_COMMAND,
    Reason.VALUE: Verdict.REFUSED_VALUE,
}


class UpdateKeeper(Protocol):
    """Keeps updates (`edge.updates`). All of it is durable, and doing it twice is as good as once."""

    def announce(self, command: bytes, signer: bytes, counter: int, order: Announce) -> str:
        """Wait for an update, or take it at once when all of it is here; says so in a sentence's end."""

    def add_part(self, signer: bytes, counter: int, part: Part) -> str:
        """Take some bytes of an update; says in a sentence's end what became of them."""

    def reset(self) -> None:
        """Let what the unit was sent to sea with run again."""

    def verdicts(self) -> Sequence[tuple[bytes, Verdict, int]]:
        """Every announcing command, how it stands, and the detail."""


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


@dataclass(frozen=True, slots=True)
class DeckOpened:
    """The deck's network port is to be served for so long from now on; 0 is no longer."""

    minutes: int


Change = ConfigChanged | MessagesQueued | KeyReplaced | DeckOpened


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
        What settings from shore are laid over: the file's, or an update's.
    requeue
        Queues messages that shore misses: `Outbox.requeue`. Doing it twice must be as good as once: what a
        power cut left undone is done at the next start.
    updates
        Takes models and configurations; without it they are answered as failed.
    mark
        SHA-256 of the configuration when it is an update's, "" when it is the file's: settings count over the
        one that they were made for.

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

    def __init__(
        self,
        folder: Path,
        config: Config,
        requeue: Callable[[Sequence[Request]], Answer],
        updates: UpdateKeeper | None = None,
        mark: str = "",
    ) -> None:
        self._requeue = requeue
        self._base, self._mark, self._updates = config, mark, updates
        self._unproven: deque[Reply] = deque(maxlen=UNPROVEN_REPLIES)
        self.problems: list[str] = []
        self._book = OrderBook(folder / ORDERS_FILE)
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
        self._book.close()

    @property
    def keys(self) -> dict[Role, bytes]:
        """Public keys that count now: as installed, or what replaced them since."""
        if self._installed is None:
            return {}
        return self._installed.by_role() | self._book.replaced_keys(self._installation)

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
        return (*self._book.unreported(MAX_REPLIES), *self._unproven)[:MAX_REPLIES]

    def reported(self, replies: Sequence[Reply]) -> None:
        """Note that these answers are in messages that are kept durably.

        Raises
        ------
        DiveLogError
            When the disk refuses: then they go with the next report too.
        """
        self._book.reported(replies)
        for reply in replies:
            with contextlib.suppress(ValueError):
                self._unproven.remove(reply)

    def sync_updates(self) -> None:
        """Answer announcing commands as they stand now; an answer that the disk does not take comes later."""
        if self._updates is not None:
            with contextlib.suppress(DiveLogError, sqlite3.Error):
                for data, verdict, detail in self._updates.verdicts():
                    self._book.answer(data, verdict, detail)

    def _obey(self, command: Command, public: bytes, data: bytes, now_ms: int) -> Outcome:
        counter, order = command.counter, command.order
        if isinstance(order, Part):  # not counted: it is of an update that a counted command has announced
            told = "comes, and none are taken here"
            if self._updates is not None:
                told = self._updates.add_part(public, counter, order)
                self.sync_updates()
            return Outcome(f"a part of update {counter} {told}")
        if (stale := self._stale(counter, public, data)) is not None:
            return stale
        match order:
            case AskMissing() | Announce():
                with self._book.transaction():
                    self._book.count(counter, public, data, now_ms, None)
                if isinstance(order, AskMissing):
                    return self._send_again(order, counter, data)
                return self._announce(order, counter, public, data)
            case Set(settings):
                return self._set(command, settings, public, data, now_ms)
            case Reset():
                names = tuple(key for key, _ in self._book.settings(self._mark))
                with self._book.transaction():
                    self._book.count(counter, public, data, now_ms, None)
                    self._book.forget_settings()
                return self._reset(data, Reply(counter, Verdict.DONE, len(names)), names)
            case RotateKey(role, new):
                return self._replace(command, role, new, public, data, now_ms)
            case OpenDeck(minutes):
                return self._open_deck(minutes, counter, public, data, now_ms)

    def _announce(self, order: Announce, counter: int, public: bytes, data: bytes) -> Outcome:
        """Wait for an update; a power cut before it is written down does it once more."""
        if self._updates is None:
            self._book.answer(data, Verdict.FAILED, 0)
            return Outcome(
                f"command {counter} failed: no updates are taken here", Reply(counter, Verdict.FAILED)
            )
        told = self._updates.announce(data, public, counter, order)
        self.sync_updates()
        found = self._book.answer_to(data)
        reply = None if found is None else Reply(counter, *found)
        return Outcome(f"command {counter} {told}", reply)

    def _reset(self, data: bytes, reply: Reply, names: tuple[str, ...]) -> Outcome:
        """The settings are forgotten; now the updates too, and then it is answered."""
        if self._updates is not None:
            self._updates.reset()
        self._book.answer(data, reply.verdict, reply.detail)
        self.config = self._base
        return Outcome("the settings from shore are forgotten", reply, ConfigChanged(self.config, names))

    def _open_deck(self, minutes: int, counter: int, public: bytes, data: bytes, now_ms: int) -> Outcome:
        can = bool(self.config.run.deck.listen)
        reply = Reply(counter, Verdict.DONE, minutes) if can else Reply(counter, Verdict.FAILED)
        with self._book.transaction():
            self._book.count(counter, public, data, now_ms, reply)
        if not can:
            return Outcome(f"command {counter} failed: [run.deck] listen names no port to open", reply)
        told = f"opens the deck's port for {minutes} min" if minutes else "closes the deck's port"
        return Outcome(f"command {counter} {told}", reply, DeckOpened(minutes))

    def _set(self, command: Command, settings: Settings, public: bytes, data: bytes, now_ms: int) -> Outcome:
        try:
            config = with_settings(self.config, settings)
            priorities_of(config.telemetry)
        except InputError as error:
            reply = Reply(command.counter, Verdict.REFUSED_VALUE, _number_of(error, settings))
            with self._book.transaction():
                self._book.count(command.counter, public, data, now_ms, reply)
            return Outcome(f"command {command.counter} is refused: {error}", reply)
        reply = Reply(command.counter, Verdict.DONE, len(settings))
        with self._book.transaction():
            self._book.count(command.counter, public, data, now_ms, reply)
            self._book.put_settings(self._mark, settings)
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
        with self._book.transaction():
            self._book.count(command.counter, public, data, now_ms, reply)
            if reply.verdict is Verdict.DONE:
                self._book.replace_key(role, self._installation, new)
        if reply.verdict is not Verdict.DONE:
            return Outcome(f"command {command.counter}: no {role.name.lower()} key is installed", reply)
        return Outcome(
            f"command {command.counter} replaces the {role.name.lower()} key: {mark.hex()} counts now",
            reply,
            KeyReplaced(role, mark),
        )

    def _send_again(self, order: AskMissing, counter: int, data: bytes) -> Outcome:
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
        self._book.answer(data, reply.verdict, reply.detail)
        return Outcome(f"command {counter} {sentence}", reply, change)

    def _refuse(self, found: Refused, public: bytes, data: bytes, now_ms: int) -> Outcome:
        """What is signed and cannot be obeyed uses up its counter, and is answered."""
        assert found.counter is not None
        if (stale := self._stale(found.counter, public, data)) is not None:
            return stale
        reply = Reply(found.counter, _VERDICTS[found.reason], found.detail)
        with self._book.transaction():
            self._book.count(found.counter, public, data, now_ms, reply)
        return Outcome(f"command {found.counter} {found.sentence}", reply)

    def _stale(self, counter: int, public: bytes, data: bytes) -> Outcome | None:
        """The outcome when a counter has not risen; None when it has."""
        last = self._book.last_counter(public)
        if last is None or counter > last:
            return None
        known = self._book.answer_to(data)
        if known is not None:
            self._book.tell_again(data)
            reply = Reply(counter, *known)
            return Outcome(f"command {counter} came again: its answer goes with the next report", reply)
        reply = Reply(counter, Verdict.REFUSED_REPLAY, last & MAX_DETAIL)
        self._unproven.append(reply)
        return Outcome(f"command {counter} is refused: {last} was the last with its key", reply)

    def _finish_undone(self) -> None:
        """Carry out what was accepted before the power went, and answer for updates as they stand now."""
        keys = self.keys
        for data in self._book.unanswered():
            found = None if self._installed is None else read_command(data, self._installed.unit, keys)
            with contextlib.suppress(SestonError):  # a full disk now: the next start tries again
                match found:
                    case Verified(Command(_, counter, AskMissing() as order)):
                        self._send_again(order, counter, data)
                    case Verified(Command(_, counter, Announce() as order), signer):
                        self._announce(order, counter, keys[signer], data)
                    case Verified(Command(_, counter, Reset())):
                        self._reset(data, Reply(counter, Verdict.DONE), ())
                    case _:  # its key has been replaced since
                        self._book.answer(data, Verdict.FAILED, 0)
        self.sync_updates()

    def _read_config(self) -> Config:
        """The configuration with the settings from shore over it, those that fit."""
        settings = self._book.settings(self._mark)
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
