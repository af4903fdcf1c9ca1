"""Logs for whoever asks on deck: which files there are, and their bytes over a native link, from any offset.

It reads, and deletes nothing. A dive goes first: while one is under way nothing is sent. Whose link it is
does not matter here: the host's serial line, or the network while the deck switch is set (`edge.deck`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.database import connect_to_read
from edge.errors import SestonError
from edge.storage import copy_without_vignettes
from firmware_bridge import link_logs as logs
from firmware_bridge.link import Delivered, Event, Opened, Silent
from firmware_bridge.link import Peer as LinkPeer
from firmware_bridge.link_objects import LinkObject
from firmware_bridge.link_records import Fetch, FetchRefused, NoFetch
from firmware_bridge.link_wire import SESSION_KINDS, Kind

PART_BYTES = 16_384
"""Of a file in one object: what a cut cable costs at most."""
QUEUED = 2
"""Parts that are with the link: one on its way, one behind it. What a float says goes between them."""
CATCH_UP_BYTES = 1 << 20
"""Hashed for each part that is sent, of what an earlier call has had."""
COPY = "fetch.sqlite"
MAX_DIVE = 0xFFFE
"""That can be asked for."""


class NotSentError(Exception):
    """Why a file is not sent, or not any further."""

    def __init__(self, reason: NoFetch) -> None:
        self.reason = reason
        super().__init__(reason.name)


class OpenLog:
    """A file that is being sent. It stays what it was when it was opened, or that is noticed.

    Raises `NotSentError`.
    """

    def __init__(self, file: Path, dive: int, form: int, stamp: bytes, offset_bytes: int) -> None:
        self.dive, self.form, self.stamp = dive, form, stamp
        try:
            self._handle = os.open(file, os.O_RDONLY)
        except OSError:
            raise NotSentError(NoFetch.NOT_THERE) from None
        self._state = self._look()
        self.size_bytes, self._at = self._state[0], offset_bytes
        self._hash, self._hashed = hashlib.sha256(), 0
        if offset_bytes > self.size_bytes:
            self.close()
            raise NotSentError(NoFetch.BEYOND_END)

    def close(self) -> None:
        """Let it go."""
        os.close(self._handle)

    def next_object(self) -> tuple[Kind, bytes]:
        """The next part, or the end when all was sent."""
        if self._look() != self._state:
            raise NotSentError(NoFetch.CHANGED)
        if self._at == self.size_bytes:
            while self._hashed < self.size_bytes:
                self._catch_up()
            end = logs.End(self.dive, self.form, self.stamp, self.size_bytes, self._hash.digest())
            return Kind.LOG_END, logs.pack_end(end)
        data = self._read(self._at, PART_BYTES)
        part = logs.Part(self.dive, self.form, self.stamp, self.size_bytes, self._at, data)
        if self._hashed < self._at:
            self._catch_up()
        if self._hashed == self._at:
            self._hash.update(data)
            self._hashed += len(data)
        self._at += len(data)
        return Kind.LOG_PART, logs.pack_part(part)

    def _catch_up(self) -> None:
        data = self._read(self._hashed, min(CATCH_UP_BYTES, self._at - self._hashed))
        self._hash.update(data)
        self._hashed += len(data)

    def _read(self, offset_bytes: int, most_bytes: int) -> bytes:
        try:
            data = os.pread(self._handle, most_bytes, offset_bytes)
        except OSError:
            raise NotSentError(NoFetch.UNREADABLE) from None
        if not data:
            raise NotSentError(NoFetch.CHANGED)
        return data

    def _look(self) -> tuple[int, int]:
        try:
            told = os.fstat(self._handle)
        except OSError:
            raise NotSentError(NoFetch.UNREADABLE) from None
        return told.st_size, told.st_mtime_ns


class OpenList:
    """The list, to be sent."""

    dive, form = None, logs.LIST_FORM

    def __init__(self, rows: Sequence[logs.Row]) -> None:
        self._rows = rows

    def next_object(self) -> tuple[Kind, bytes]:
        """All of it."""
        return Kind.LOG_LIST, logs.pack_list(self._rows)

    def close(self) -> None:
        """Nothing is open."""


@dataclass(slots=True)
class Shelf:
    """Files of the dives, for reading.

    Parameters
    ----------
    folder
        Of the dives' folders.
    is_diving
        Whether a dive is under way.
    """

    folder: Path
    is_diving: Callable[[], bool]
    _copied_stamp: bytes = b""

    def __post_init__(self) -> None:
        self._remove()

    def rows(self) -> list[logs.Row]:
        """Every file, in the order of dives."""
        found = []
        for folder in sorted(f for f in self.folder.iterdir() if f.is_dir() and f.name.isdigit()):
            if int(folder.name) > MAX_DIVE:
                continue
            told = _told(folder / logs.file_name(logs.LOG))
            for form in range(logs.LOG, logs.MAX_FORM + 1):
                if form == logs.WITHOUT_VIGNETTES:
                    continue
                file = folder / logs.file_name(form)
                try:
                    size_bytes, stamp = file.stat().st_size, _stamp(file)
                except OSError:
                    if form > logs.DAMAGED:
                        break
                    continue
                found.append(logs.Row(int(folder.name), form, size_bytes, stamp, *told))
        return found

    def open(self, dive: int, form: int, offset_bytes: int) -> OpenLog:
        """Begin to send a file; raises `NotSentError`."""
        try:
            file = self.folder / f"{dive:05d}" / logs.file_name(form)
            if form == logs.WITHOUT_VIGNETTES:
                file, stamp = self._copied(file)
            else:
                stamp = _stamp(file)
        except (OSError, ValueError):
            raise NotSentError(NoFetch.NOT_THERE) from None
        return OpenLog(file, dive, form, stamp, offset_bytes)

    def tidy(self) -> None:
        """No copy is left on the disk; whoever has it open keeps it."""
        if self._copied_stamp:
            self._remove()

    def _remove(self) -> None:
        self._copied_stamp = b""
        for left in (self.folder / COPY, self.folder / (COPY + "-journal")):
            with contextlib.suppress(OSError):
                left.unlink(missing_ok=True)

    def _copied(self, file: Path) -> tuple[Path, bytes]:
        """A copy without vignettes, the same bytes each time, with the stamp of the log it is of."""
        copy, stamp = self.folder / COPY, _stamp(file, file.parent.name)
        if self._copied_stamp == stamp:
            return copy, _stamp(file)
        self._remove()
        if shutil.disk_usage(self.folder).free < file.stat().st_size:
            raise NotSentError(NoFetch.NO_ROOM)
        try:
            n = copy_without_vignettes(file, copy, ended_only=False, counted_as="vignettes_not_fetched")
        except (SestonError, sqlite3.Error, ValueError, TypeError):
            n = None
        if n is None:
            self._remove()
            raise NotSentError(NoFetch.UNREADABLE)
        if n == 0:
            return file, _stamp(file)
        self._copied_stamp = _stamp(file, file.parent.name)
        return copy, _stamp(file)


class LogServer:
    """Answers what one link asks of a shelf.

    Parameters
    ----------
    peer
        Our end of the link.
    shelf
        What may be read.
    """

    def __init__(self, peer: LinkPeer, shelf: Shelf) -> None:
        self._peer, self._shelf = peer, shelf
        self._source: OpenList | OpenLog | None = None
        self._number = peer.boot_id

    def take(self, event: Event) -> None:
        """Take what the link says; events that are not about logs change nothing."""
        match event:
            case Opened() | Silent():
                self.close()
            case Fetch(dive, form, offset_bytes):
                self._begin(dive, form, offset_bytes)
            case Delivered(item) if item.kind in SESSION_KINDS:
                self.go_on()

    def go_on(self) -> None:
        """Give the link what it has room for; stop when a dive has begun."""
        source = self._source
        if self._shelf.is_diving():
            self._shelf.tidy()
            if source is not None:
                self._refuse(source.dive, source.form, NoFetch.DIVING)
            return
        if source is None:
            return
        waiting = sum(item.kind in SESSION_KINDS for item in self._peer.waiting)
        try:
            for _ in range(waiting, QUEUED):
                kind, data = source.next_object()
                self._number = (self._number + 1) % (1 << 32)
                self._peer.send(LinkObject(kind, self._number, data))
                if kind is not Kind.LOG_PART:
                    self.close()
                    return
        except NotSentError as error:
            self._refuse(source.dive, source.form, error.reason)

    def close(self) -> None:
        """Send no more."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _begin(self, dive: int | None, form: int, offset_bytes: int) -> None:
        self.close()
        if self._shelf.is_diving():
            self._refuse(dive, form, NoFetch.DIVING)
            return
        try:
            if dive is None:
                self._source = OpenList(self._shelf.rows())
            else:
                self._source = self._shelf.open(dive, form, offset_bytes)
        except NotSentError as error:
            self._refuse(dive, form, error.reason)
        except OSError:
            self._refuse(dive, form, NoFetch.UNREADABLE)
        else:
            self.go_on()

    def _refuse(self, dive: int | None, form: int, reason: NoFetch) -> None:
        self.close()
        self._peer.say(FetchRefused(dive, form, reason))


def _told(file: Path) -> tuple[int | None, int, bool]:
    """When a dive began, how many frames it has, and whether it has ended, as far as its log can say."""
    try:
        has_wal = file.with_name(file.name + "-wal").exists()
        with contextlib.closing(connect_to_read(file, with_wal=has_wal)) as db:
            meta = dict(db.execute("SELECT key, value FROM meta WHERE key IN ('started_ms', 'ended_ms')"))
            (frames,) = db.execute("SELECT IFNULL(MAX(frame) + 1, 0) FROM frames").fetchone()
        begun_ms = int(json.loads(meta["started_ms"])) if "started_ms" in meta else None
        return begun_ms, int(frames), "ended_ms" in meta
    except (OSError, sqlite3.Error, ValueError, TypeError):
        return None, 0, False


def _stamp(file: Path, more: str = "") -> bytes:
    """Differs when the file was written again."""
    told = file.stat()
    text = f"{told.st_size} {told.st_mtime_ns}{more}".encode()
    return hashlib.sha256(text).digest()[: logs.STAMP_BYTES]
