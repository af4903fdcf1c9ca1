"""Data calls (RUDICS): a connection is a call of a float, the native link over it, this end its host.

A call does not say whose it is, so each port is one modem's. Messages are acknowledged when they are on the
disk; what has come of one is kept for the next call; orders that wait go up in the same call.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from firmware_bridge.framing import crc32
from firmware_bridge.link import Delivered, Event, ObjectReceived, Opened, Peer, Refused
from firmware_bridge.link_objects import REMEMBERED, LinkObject
from firmware_bridge.link_records import Reason, Role
from firmware_bridge.link_wire import Capability, Header, Kind
from tools.shore.receiving import orders
from tools.shore.receiving.arrival import MAX_PAYLOAD_BYTES, UNKNOWN_TIME_S, Arrival, Unreadable, check

MAX_CALLS = 8
"""Of one modem at once, dead ones among them; when more come, the one that has been silent longest goes."""
OPEN_TIMEOUT_S = 60.0
"""In this time a session must have begun."""
SILENT_TIMEOUT_S = 120.0
"""A call in which nothing was understood for so long is over; noise does not keep it."""
WRITE_TIMEOUT_S = 30.0
READ_BYTES = 4096
KEPT_BYTES = 8192
"""Of the beginning of a call, put aside when it was none of a float."""

Take = Callable[[Arrival | Unreadable, bytes], Awaitable[None]]
"""Keeps what came, durably; raises `OSError` when the disk refuses."""
Partial = tuple[Header, bytes]
Value = TypeVar("Value")


class _Call:
    """A connection with the link over it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: Peer) -> None:
        self.peer, self.n_messages = peer, 0
        self.begun = bytearray()
        self._reader, self._writer = reader, writer
        self._now_s = asyncio.get_running_loop().time
        self.understood_s = self._now_s()
        """When there was a frame the last time, or the call began."""
        self._ends_s = self.understood_s + OPEN_TIMEOUT_S

    async def hear(self) -> Sequence[Event] | None:
        """What the float says next, or nothing after a while; None when the call is over."""
        while said := self.peer.to_send(READ_BYTES):
            self._writer.write(said)
        now_s = self._now_s()
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._writer.drain()
        except TimeoutError:
            return None
        if now_s >= self._ends_s:
            return None
        data = b""
        try:
            async with asyncio.timeout(max(0.0, min(self.peer.due_s(), self._ends_s) - now_s)):
                data = await self._reader.read(READ_BYTES)
        except TimeoutError:
            return self.peer.receive(b"", self._now_s())
        if not data:
            return None
        before = self.peer.counts.frames
        if not before:
            self.begun += data[: KEPT_BYTES - len(self.begun)]
        events = self.peer.receive(data, self._now_s())
        if self.peer.counts.frames > before:
            self.understood_s = self._now_s()
            if self.peer.is_open:
                self._ends_s = self.understood_s + SILENT_TIMEOUT_S
        return events


class Calls:
    """Calls of one modem.

    Parameters
    ----------
    imei
        Whose they are.
    folder
        Of the receiver, with its orders.
    take
        Keeps a message or a malformed call.
    say
        Takes one line for a person.
    """

    def __init__(self, imei: str, folder: Path, take: Take, say: Callable[[str], None]) -> None:
        self._imei, self._folder, self._take, self._say = imei, folder, take, say
        self._stored: deque[Header] = deque(maxlen=REMEMBERED)
        self._partial: Partial | None = None
        self._calls: set[_Call] = set()
        self._waiting: dict[asyncio.Task[None], _Call] = {}
        """Those that wait for the float: they may be ended; what is on its way to the disk may not."""
        self._is_closed = False

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one call until it ends."""
        task = asyncio.current_task()
        assert task is not None
        if len(self._calls) >= MAX_CALLS and self._waiting:
            silent = min(self._waiting, key=lambda one: self._waiting[one].understood_s)
            gone = self._waiting.pop(silent)
            self._calls.discard(gone)
            self._partial = gone.peer.partial or self._partial
            silent.cancel()
        peer = Peer(
            Role.HOST,
            secrets.randbelow((1 << 32) - 1) + 1,
            capabilities=Capability.MESSAGES | Capability.UPLOADS,
            max_object_bytes=MAX_PAYLOAD_BYTES,
            stored=self._stored,
            partial=self._most_partial(),
        )
        call = _Call(reader, writer, peer)
        self._calls.add(call)
        try:
            while await self._serve(call, task):
                pass
        finally:
            self._calls.discard(call)
            self._partial = peer.partial or self._partial
            self._say(self._end(call))
        if not peer.counts.frames and call.begun:
            await self._take(Unreadable("is no call of a float"), bytes(call.begun))

    async def _serve(self, call: _Call, task: asyncio.Task[None]) -> bool:
        """Take what the float says next; False when the call is over."""
        if self._is_closed:
            return False
        self._waiting[task] = call
        try:
            events = await call.hear()
        finally:
            self._waiting.pop(task, None)
        if events is None:
            return False
        for event in events:
            if not await self._on(event, call):
                return False
        return True

    def close(self) -> None:
        """End all calls."""
        self._is_closed = True
        for task in list(self._waiting):
            task.cancel()

    def _most_partial(self) -> Partial | None:
        """What has come of a message, maybe in a call that is dead and does not know."""
        known = [self._partial, *(call.peer.partial for call in self._calls)]
        return max((one for one in known if one is not None), key=lambda one: len(one[1]), default=None)

    async def _on(self, event: Event, call: _Call) -> bool:
        """Do what an event wants; False ends the call."""
        match event:
            case Opened():
                self._say(f"{self._imei} calls")
                await self._give_orders(call.peer)
            case ObjectReceived(item) if item.kind == Kind.MESSAGE:
                return await self._on_message(item, call)
            case ObjectReceived(item):
                call.peer.refuse(item, Reason.UNWANTED)
            case Delivered(item):
                self._say(f"{self._imei} has an order of {len(item.data)} bytes")
                await self._on_disk(lambda: orders.delivered(self._folder, self._imei, item.data), None)
            case Refused(item, reason):
                why = reason.name.lower().replace("_", " ")
                self._say(f"{self._imei} refuses an order of {len(item.data)} bytes: {why}")
        return True

    async def _give_orders(self, peer: Peer) -> None:
        none: list[bytes] = []
        for data in await self._on_disk(lambda: orders.waiting(self._folder, self._imei), none):
            peer.send(LinkObject(Kind.COMMAND, crc32(data), data))

    async def _on_disk(self, act: Callable[[], Value], otherwise: Value) -> Value:
        try:
            return await asyncio.to_thread(act)
        except OSError as error:
            self._say(f"{self._imei}: orders: {error}")
            return otherwise

    async def _on_message(self, item: LinkObject, call: _Call) -> bool:
        found = check(Arrival(self._imei, item.object_id & 0xFFFF, UNKNOWN_TIME_S, item.data, "call"))
        try:
            await self._take(found, item.data)
        except OSError:
            return False  # not acknowledged: it comes again in the next call
        self._stored.append(Header.of(item.kind, item.object_id, item.data))
        self._partial = None
        call.n_messages += 1
        call.peer.stored(item)
        return True

    def _end(self, call: _Call) -> str:
        counts, partial = call.peer.counts, call.peer.partial
        parts = [f"{call.n_messages} messages"]
        if partial is not None:
            parts.append(f"{len(partial[1])} of {partial[0].length_bytes} bytes of another")
        if counts.damaged + counts.unreadable:
            parts.append(f"{counts.damaged + counts.unreadable} damaged frames")
        return f"{self._imei}: a call is over: {', '.join(parts)}"
