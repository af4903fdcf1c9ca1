"""The other end of `edge.fetching`: asks an instrument for its list and its files, and keeps what comes.

What has come of a file lies in a `.part` beside its place, named by the stamp of the file aboard: whatever
ends the transfer, the next one goes on from there. A file gets its name when its SHA-256 is the instrument's.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from edge.durable import PART, sync_file, sync_folder
from edge.errors import InputError
from firmware_bridge import link_logs as logs
from firmware_bridge.link import ObjectReceived, Opened, Peer, WrongVersion
from firmware_bridge.link_objects import LinkObject
from firmware_bridge.link_records import Fetch, FetchRefused, NoFetch, Reason, Role, Speed
from firmware_bridge.link_speed import FALL_BACK_S, SpeedKeeper
from firmware_bridge.link_wire import LOWEST_VERSION, VERSION, Capability, Kind
from firmware_bridge.sans_io import Line

MAX_OBJECT_BYTES = 1 << 22
HELLO_S, COPY_S, SILENT_S = 20.0, 300.0, 25.0
"""Longest time until the first word, until a copy without vignettes is made, and without any frame."""
POLL_S = 0.5
SETTLE_S, GOODBYE_S = 0.3, 1.0
"""Between a new speed and the first byte: the other end may still be changing to it. For the last word."""

Report = Callable[[int, int], None]
"""Told how many bytes have come of how many."""

SENTENCES = {
    NoFetch.DIVING: ("is in a dive, and sends no logs", "ask again when the dive has ended"),
    NoFetch.NOT_THERE: ("does not have that file", "look with --list"),
    NoFetch.BEYOND_END: ("has a shorter file than it had", "give the same command again"),
    NoFetch.NO_ROOM: ("has no room for a copy without vignettes", "leave out --without-vignettes"),
    NoFetch.UNREADABLE: ("cannot read that file", "leave out --without-vignettes, or check its disk"),
    NoFetch.CHANGED: ("has changed the file meanwhile", "give the same command again"),
}
GO_ON = "the same command goes on from where it was"


class FetchError(InputError):
    """A log cannot be fetched, or not now."""


class ChangedError(FetchError):
    """The file aboard is not the one that was begun."""


class SilentError(FetchError):
    """Nothing comes any more."""


class Carrier(Line[Any], Protocol):
    """A line that says when its port has failed."""

    @property
    def fault(self) -> str:
        """Why the port does not work, or nothing."""


def visiting_peer(capabilities: int = Capability.LOGS) -> Peer:
    """Our end of the link: a visitor's, who asks for logs or brings what is signed, and commands nothing."""
    boot_id = secrets.randbelow((1 << 32) - 1) + 1
    return Peer(Role.HOST, boot_id, capabilities=capabilities, max_object_bytes=MAX_OBJECT_BYTES)


class Reader:
    """Reads an instrument's logs over a link.

    Parameters
    ----------
    peer, line
        Our end, and what carries its bytes.
    name
        Of the port, for sentences.
    own_baud
        Speed of the port, where it has one.

    Attributes
    ----------
    received_bytes
        Of files, in this session.
    """

    def __init__(
        self,
        peer: Peer,
        line: Carrier,
        name: str,
        now_s: Callable[[], float] = time.monotonic,
        own_baud: int = 0,
    ) -> None:
        self.received_bytes = 0
        self._speed, self._own_baud, self._found_baud = SpeedKeeper(line, own_baud), own_baud, own_baud
        self._peer, self._line, self._name, self._now_s = peer, line, name, now_s

    def open(self) -> None:
        """Wait for the instrument; raises `FetchError` when nobody answers, or none that is understood."""
        until_s = self._now_s() + HELLO_S
        while not self._peer.is_open:
            for event in self.carry():
                if isinstance(event, WrongVersion):
                    raise self._error(
                        f"speaks versions {event.lowest_version} to {event.version} of the link, and this"
                        f" program {LOWEST_VERSION} to {VERSION}", "use the version of seston that is aboard",
                    )  # fmt: skip
            if self._now_s() > until_s and not self._peer.is_open:
                raise self._error(
                    f"does not answer within {HELLO_S:.0f} s",
                    "check cable, port and speed (--baud: that of [run.host]), and that seston runs aboard",
                )
        told = self._peer.peer
        if told is None or not told.capabilities & Capability.LOGS:
            raise self._error(
                "sends no logs", "its seston is too old for it: update it, or take its disk out"
            )

    @property
    def baud(self) -> int:
        """Speed of the port now."""
        return self._speed.baud

    def hurry(self, bauds: Sequence[int]) -> None:
        """Go to the first of these speeds at which both ends hear each other; none is needed.

        Raises `FetchError` when the port fails.
        """
        told = self._peer.peer
        if told is None or not told.capabilities & Capability.SPEED:
            return
        for baud in bauds:
            if baud <= self._speed.baud:
                return
            if not self._say_speed(baud, 3 * FALL_BACK_S):
                return
            self._speed.go_to(baud, self._now_s())
            time.sleep(SETTLE_S)
            try:
                self.rows(FALL_BACK_S)
            except SilentError:
                while self._speed.baud == baud:
                    self.carry()
            else:
                self._found_baud = baud
                return

    def close(self) -> None:
        """Leave the port at its own speed, so that the next who comes is heard at once."""
        if self._speed.baud != self._own_baud:
            with contextlib.suppress(FetchError):
                self._say_speed(self._own_baud, GOODBYE_S)

    def _say_speed(self, baud: int, within_s: float) -> bool:
        self._peer.say(Speed(baud))
        until_s = self._now_s() + within_s
        while not self._peer.has_told(Speed) and self._now_s() < until_s:
            self.carry(SETTLE_S)
        return self._peer.has_told(Speed)

    def rows(self, first_s: float = SILENT_S) -> list[logs.Row]:
        """Ask for the list, answered so soon; raises `FetchError`."""
        for item in self._objects(lambda: Fetch(None, logs.LIST_FORM, 0), first_s):
            if item.kind != Kind.LOG_LIST:
                continue
            found = logs.unpack_list(item.data)
            if found is None:
                break
            return found
        raise self._error("gives a list that is none", "use the version of seston that is aboard")

    def fetch(
        self, dive: int, form: int, stamp: bytes, file: Path, report: Report = lambda came, size: None
    ) -> str:
        """Bring one file to its place, and go on with what is there of it; returns its SHA-256.

        Raises `FetchError`, `ChangedError` when the file aboard is not that of the stamp, and `OSError` of
        this disk.
        """
        self.hurry([self._found_baud])
        part = file.with_name(f"{file.name}.{stamp.hex()}-{form}{PART}")
        for old in file.parent.glob(f"{file.name}.*-{form}{PART}"):
            if old != part:
                old.unlink()
        with part.open("a+b") as out:
            out.seek(0)
            summed = hashlib.file_digest(out, "sha256")
            out.seek(0, os.SEEK_END)
            first_s = COPY_S if form == logs.WITHOUT_VIGNETTES else SILENT_S
            for item in self._objects(lambda: Fetch(dive, form, out.tell()), first_s):
                came = _read(item)
                if came is None or (came.dive, came.form) != (dive, form):
                    continue
                if came.stamp != stamp:
                    raise self._changed()
                if isinstance(came, logs.End):
                    if (came.size_bytes, came.sha256) == (out.tell(), summed.digest()):
                        break
                    part.unlink()
                    raise self._changed()
                if came.offset_bytes == out.tell():
                    out.write(came.data)
                    out.flush()
                    summed.update(came.data)
                    self.received_bytes += len(came.data)
                    report(out.tell(), came.size_bytes)
        _publish(part, file)
        return summed.hexdigest()

    def _objects(self, ask: Callable[[], Fetch], first_s: float) -> Iterator[LinkObject]:
        """Ask, and what comes, for ever; asks again when a session begins anew.

        Raises when the instrument refuses, and when it is silent: at first after `first_s`, then `SILENT_S`.
        """
        self._peer.say(ask())
        until_s = self._now_s() + first_s
        heard = self._peer.counts.frames
        while True:
            for event in self.carry():
                match event:
                    case Opened():
                        self._peer.say(ask())
                    case FetchRefused(_, _, NoFetch.CHANGED | NoFetch.BEYOND_END):
                        raise self._changed()
                    case FetchRefused(_, _, reason):
                        raise self._error(*SENTENCES[reason])
                    case ObjectReceived(item) if item.kind == Kind.MESSAGE:
                        self._peer.refuse(item, Reason.UNWANTED)  # it is for the float, and waits for it
                    case ObjectReceived(item):
                        yield item
            if self._peer.counts.frames != heard:
                heard = self._peer.counts.frames
                until_s = max(until_s, self._now_s() + SILENT_S)
            if self._now_s() > until_s:
                raise SilentError(
                    "does not say anything any more", file=self._name,
                    remedy=f"check cable and deck switch: {GO_ON}",
                )  # fmt: skip

    def carry(self, wait_s: float = POLL_S) -> list[Any]:
        """Serve the line for a while; `FetchError` when the port is gone."""
        events = list(self._line.carry(wait_s))
        if self._line.fault:
            raise self._error(
                f"is gone ({self._line.fault.rstrip('.')})", f"check cable and deck switch: {GO_ON}"
            )
        self._speed.look(self._peer, self._now_s())
        return events

    def _changed(self) -> ChangedError:
        problem, remedy = SENTENCES[NoFetch.CHANGED]
        return ChangedError(problem, file=self._name, remedy=remedy)

    def _error(self, problem: str, remedy: str) -> FetchError:
        return FetchError(problem, file=self._name, remedy=remedy)


def _read(item: LinkObject) -> logs.Part | logs.End | None:
    if item.kind == Kind.LOG_PART:
        return logs.unpack_part(item.data)
    return logs.unpack_end(item.data) if item.kind == Kind.LOG_END else None


def _publish(part: Path, file: Path) -> None:
    """Give a whole file its name. What SQLite left beside an older log of that name goes before."""
    sync_file(part)
    for end in ("-shm", "-wal"):
        file.with_name(file.name + end).unlink(missing_ok=True)
    part.replace(file)
    sync_folder(file.parent)
