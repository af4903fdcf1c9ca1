"""The ports of the receiver: DirectIP, webhook, calls; for many clients, none of whom holds up another.

A message is confirmed when it is on the disk and not before; decoding happens elsewhere and later.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from firmware_bridge.iridium.directip import write_confirmation
from tools.shore.receiving import http
from tools.shore.receiving.arrival import Arrival, Claims, Unreadable, read_webhook
from tools.shore.receiving.calls import Calls, Take
from tools.shore.receiving.directip import packet_bytes, read_packet

MAX_CONNECTIONS = 64
"""When more come, the one that has kept us waiting longest goes."""
MAX_OPEN = 4 * MAX_CONNECTIONS
"""Connections at once, with those whose message waits for the disk; more are turned away."""
MESSAGE_TIMEOUT_S = 30.0
"""In this time a message must be there, however it drips."""
READ_BYTES = 16_384

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Ports:
    """Listeners of one receiver.

    Parameters
    ----------
    take
        Keeps a message or a malformed one.
    status
        A line for those who GET it.
    webhook_path
        Path that a POST must have; "" for any.
    claims
        See `read_webhook`.
    """

    def __init__(
        self, take: Take, status: Callable[[], str], webhook_path: str = "", claims: Claims | None = None
    ) -> None:
        self._take = take
        self._status = status
        self._path, self._claims = webhook_path, claims
        self._servers: list[asyncio.Server] = []
        self._calls: list[Calls] = []
        self._waiting: dict[asyncio.Task[None], None] = {}
        self._all: set[asyncio.Task[None]] = set()

    async def listen_directip(self, host: str, port: int) -> int:
        """Listen for the gateway; returns the port. Raises `OSError` when it cannot be had."""
        return await self._listen(host, port, self._directip)

    async def listen_webhook(self, host: str, port: int) -> int:
        """Listen for a provider's web server; returns the port. Raises `OSError` when it cannot be had."""
        return await self._listen(host, port, self._webhook)

    async def listen_calls(self, host: str, port: int, calls: Calls) -> int:
        """Listen for calls of one modem; returns the port. Raises `OSError` when it cannot be had."""
        self._calls.append(calls)
        return await self._listen(host, port, calls.talk)

    async def close(self, timeout_s: float = 5.0) -> None:
        """Take no more; whoever's message is all there gets an answer, within so long."""
        for server in self._servers:
            server.close()
        for task in list(self._waiting):
            task.cancel()
        for calls in self._calls:
            calls.close()
        if self._all:
            await asyncio.wait(self._all, timeout=timeout_s)

    async def _listen(self, host: str, port: int, talk: Talk) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            if len(self._all) >= MAX_OPEN:
                writer.close()
                return
            self._all.add(task)
            try:
                await talk(reader, writer)
            except (OSError, asyncio.CancelledError):
                pass  # the client has gone, or had to go
            finally:
                self._all.discard(task)
                writer.close()

        server = await asyncio.start_server(serve, host, port, limit=READ_BYTES)
        self._servers.append(server)
        taken: int = server.sockets[0].getsockname()[1]
        return taken

    async def _fill(
        self, reader: asyncio.StreamReader, data: bytearray, wanted: Callable[[bytearray], int]
    ) -> bool:
        """Read until there is as much as is wanted; False when the client ends before, or takes too long."""
        task = asyncio.current_task()
        assert task is not None
        if len(self._waiting) >= MAX_CONNECTIONS:
            next(iter(self._waiting)).cancel()
        self._waiting[task] = None
        try:
            async with asyncio.timeout(MESSAGE_TIMEOUT_S):
                while len(data) < wanted(data):
                    piece = await reader.read(READ_BYTES)
                    if not piece:
                        return False
                    data += piece
                return True
        except TimeoutError:
            return False
        finally:
            self._waiting.pop(task, None)

    async def _directip(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One message after another until the gateway hangs up; each is confirmed, good or bad."""
        data = bytearray()
        found: Arrival | Unreadable | None = None
        while not isinstance(found, Unreadable):  # after a bad one nobody knows where the next begins
            whole = await self._fill(reader, data, packet_bytes)
            if not data:
                return
            packet = bytes(data[: packet_bytes(data)])
            del data[: len(packet)]
            found = read_packet(packet) if whole else Unreadable("ends in the middle")
            kept = True
            try:
                await self._take(found, packet)
            except OSError:
                kept = False
            writer.write(write_confirmation(kept and isinstance(found, Arrival)))
            await writer.drain()

    async def _webhook(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request."""
        writer.write(http.answer(*await self._respond(reader, writer)))
        await writer.drain()

    async def _respond(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[HTTPStatus, str]:
        data = bytearray()
        whole = await self._fill(reader, data, lambda got: 0 if http.read_head(got) else len(got) + 1)
        head = http.read_head(data)
        if head is None or not whole:
            return HTTPStatus.REQUEST_TIMEOUT, ""
        if isinstance(head, HTTPStatus):
            await self._take(Unreadable("is no request"), bytes(data))
            return head, ""
        if self._path and not hmac.compare_digest(head.path.encode(), self._path.encode()):
            return HTTPStatus.NOT_FOUND, ""
        if head.method == "GET":
            return HTTPStatus.OK, self._status()
        if head.method != "POST":
            return HTTPStatus.METHOD_NOT_ALLOWED, ""
        if head.expects_continue:
            writer.write(http.CONTINUE)
        end = head.body_at + head.body_bytes
        if not await self._fill(reader, data, lambda _: end):
            await self._take(Unreadable("ends in the middle"), bytes(data))
            return HTTPStatus.REQUEST_TIMEOUT, ""
        body = bytes(data[head.body_at : end])
        found = read_webhook(head.content_type, body, self._claims)
        try:
            await self._take(found, body)
        except OSError:
            return HTTPStatus.SERVICE_UNAVAILABLE, "the disk refuses; send it again"
        if isinstance(found, Unreadable):
            return HTTPStatus.BAD_REQUEST, found.sentence
        return HTTPStatus.OK, ""
