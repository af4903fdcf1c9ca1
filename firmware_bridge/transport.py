"""Where bytes come from and go to: serial ports and ptys by pyserial, TCP; and what ties a peer to one.

The only module of this floor that opens anything.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
import tty
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

import serial

from firmware_bridge.errors import TransportError
from firmware_bridge.sans_io import Peer

READ_BYTES = 4096
WRITE_TIMEOUT_S = 2.0


class Transport(Protocol):
    """A line that is read without waiting."""

    def read(self) -> bytes:
        """Bytes that have arrived, at most `READ_BYTES`; empty when there are none."""

    def write(self, data: bytes) -> None:
        """Send bytes; raises `TransportError` when they cannot be sent within two seconds."""

    def wait(self, seconds: float) -> None:
        """Wait until bytes arrive, at most so long."""

    def close(self) -> None:
        """Let the line go."""


class _Closing:
    """Closes itself at the end of a `with`."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SerialTransport(_Closing):
    """A serial device or a pty."""

    def __init__(self, port: str, baud: int) -> None:
        self.port = port
        try:
            self._serial = serial.Serial(port, baud, timeout=0, write_timeout=WRITE_TIMEOUT_S)
        except (OSError, ValueError) as cause:
            raise TransportError(
                f"{port}: cannot be opened ({cause}); check the port's name and rights."
            ) from cause

    def read(self) -> bytes:
        """Bytes that have arrived."""
        try:
            return bytes(self._serial.read(READ_BYTES))
        except OSError as cause:
            raise TransportError(f"{self.port}: cannot be read ({cause}); check the cable.") from cause

    def write(self, data: bytes) -> None:
        """Send bytes."""
        try:
            self._serial.write(data)
        except OSError as cause:
            raise TransportError(f"{self.port}: cannot be written ({cause}); check the cable.") from cause

    def wait(self, seconds: float) -> None:
        """Wait until bytes arrive, at most so long."""
        select.select([self._serial.fileno()], [], [], seconds)

    def close(self) -> None:
        """Let the port go."""
        self._serial.close()


class PtyTransport(_Closing):
    """Our end of a new pty; whoever opens `port` has the other one, as if it were a serial device.

    What is written while nobody has it open is kept by the kernel, some kilobytes of it; more is lost, as on
    a cable that ends in the air.
    """

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        os.set_blocking(self._master, False)

    def read(self) -> bytes:
        """Bytes that have arrived."""
        try:
            return os.read(self._master, READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as cause:
            raise TransportError(f"{self.port}: cannot be read ({cause}).") from cause

    def write(self, data: bytes) -> None:
        """Send bytes; what does not fit the kernel's buffer is lost."""
        with contextlib.suppress(BlockingIOError):
            while data:
                data = data[os.write(self._master, data) :]

    def wait(self, seconds: float) -> None:
        """Wait until bytes arrive, at most so long."""
        select.select([self._master], [], [], seconds)

    def close(self) -> None:
        """Let both ends go."""
        os.close(self._master)
        os.close(self._slave)


class TcpTransport(_Closing):
    """A connection that is already made, by `connect` or by a listener."""

    def __init__(self, connection: socket.socket, name: str) -> None:
        self.port = name
        self._socket = connection
        connection.setblocking(False)

    @classmethod
    def connect(cls, host: str, port: int, timeout_s: float = 5.0) -> TcpTransport:
        """Call a listener; raises `TransportError` when nobody answers."""
        name = f"{host}:{port}"
        try:
            return cls(socket.create_connection((host, port), timeout_s), name)
        except OSError as cause:
            raise TransportError(f"{name}: nobody answers ({cause}); check address and port.") from cause

    def read(self) -> bytes:
        """Bytes that have arrived; raises `TransportError` when the other end has gone."""
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as cause:
            raise TransportError(f"{self.port}: cannot be read ({cause}).") from cause
        if not data:
            raise TransportError(f"{self.port}: the other end has closed the connection.")
        return data

    def write(self, data: bytes) -> None:
        """Send bytes."""
        try:
            self._socket.settimeout(WRITE_TIMEOUT_S)
            self._socket.sendall(data)
        except OSError as cause:
            raise TransportError(f"{self.port}: cannot be written ({cause}).") from cause
        finally:
            self._socket.setblocking(False)

    def wait(self, seconds: float) -> None:
        """Wait until bytes arrive, at most so long."""
        select.select([self._socket], [], [], seconds)

    def close(self) -> None:
        """Let the connection go."""
        self._socket.close()


def serve(
    peer: Peer[Any],
    transport: Transport,
    react: Callable[[Any], None],
    stop: Callable[[], bool],
    *,
    now_s: Callable[[], float] = time.monotonic,
    poll_s: float = 0.2,
) -> None:
    """Tie a peer to a line until `stop` says so: bytes in, events to `react`, bytes out.

    Raises
    ------
    TransportError
        When the line fails; the peer stays as it is and may be tied to another.
    """
    while not stop():
        for event in peer.receive(transport.read(), now_s()):
            react(event)
        sent = False
        while data := peer.to_send(READ_BYTES):
            transport.write(data)
            sent = True
        if not sent:
            transport.wait(max(0.0, min(poll_s, peer.due_s() - now_s())))
