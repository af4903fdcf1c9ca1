"""Where bytes come from and go to: serial ports and ptys by pyserial, TCP; and what ties a peer to one.

The only module of this floor that opens anything.
"""

from __future__ import annotations

import abc
import contextlib
import math
import os
import select
import socket
import termios
import time
import tty
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import serial

from firmware_bridge.errors import TransportError
from firmware_bridge.null_modem import BITS_PER_BYTE
from firmware_bridge.sans_io import Peer

READ_BYTES = 4096
QUEUED_BYTES, QUEUED_S = 128, 0.06
"""Bytes that may wait in a serial port: at 9600 baud an eighth of a second, at high speeds less."""
UNSEEN_BYTES = 64
"""That an adapter may hold though it says that all has left."""
REOPEN_S = 2.0
DRAIN_S = 0.02
"""How soon a full port is looked at again."""
WRITE_TIMEOUT_S = 2.0


class Transport(Protocol):
    """A line that is read without waiting."""

    def read(self) -> bytes:
        """Bytes that have arrived, at most `READ_BYTES`; empty when there are none."""

    def room_bytes(self) -> int:
        """How many bytes may be written now, so that what is written last does not wait long."""

    def write(self, data: bytes) -> None:
        """Send bytes; raises `TransportError` when they cannot be sent within two seconds."""

    def wait(self, seconds: float) -> None:
        """Wait until bytes arrive, at most so long."""

    def set_speed(self, baud: int) -> None:
        """Change the speed once what was written has left; does nothing where there is none."""

    def close(self) -> None:
        """Let the line go."""


class _Closing(abc.ABC):
    """Closes itself at the end of a `with`."""

    @abc.abstractmethod
    def close(self) -> None: ...

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
        self._queued_bytes = _queued_bytes(baud)
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

    def room_bytes(self) -> int:
        """How many bytes may be written now."""
        try:
            return max(0, self._queued_bytes - int(self._serial.out_waiting))
        except OSError as cause:
            raise TransportError(f"{self.port}: cannot be written ({cause}); check the cable.") from cause

    def write(self, data: bytes) -> None:
        """Send bytes."""
        try:
            self._serial.write(data)
        except OSError as cause:
            raise TransportError(f"{self.port}: cannot be written ({cause}); check the cable.") from cause

    def wait(self, seconds: float) -> None:
        """Wait until bytes arrive, at most so long."""
        select.select([self._serial.fileno()], [], [], seconds)

    def set_speed(self, baud: int) -> None:
        """See `Transport`; a speed that the port does not have changes nothing."""
        before = self._serial.baudrate
        try:
            self._serial.flush()
            time.sleep(UNSEEN_BYTES * BITS_PER_BYTE / before)
            self._serial.baudrate = baud
            self._queued_bytes = _queued_bytes(baud)
        except (OSError, ValueError, termios.error):
            with contextlib.suppress(OSError, ValueError, termios.error):
                self._serial.baudrate = before

    def close(self) -> None:
        """Let the port go."""
        self._serial.close()


def _queued_bytes(baud: int) -> int:
    return max(QUEUED_BYTES, round(QUEUED_S * baud / BITS_PER_BYTE))


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

    def room_bytes(self) -> int:
        """How many bytes may be written now."""
        return READ_BYTES

    def write(self, data: bytes) -> None:
        """Send bytes; what does not fit the kernel's buffer is lost."""
        with contextlib.suppress(BlockingIOError):
            while data:
                data = data[os.write(self._master, data) :]

    def wait(self, seconds: float) -> None:
        """Wait until bytes arrive, at most so long."""
        select.select([self._master], [], [], seconds)

    def set_speed(self, baud: int) -> None:
        """A pty has none."""

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
        # Answers are small and must not wait for more.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

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

    def room_bytes(self) -> int:
        """How many bytes may be written now."""
        return READ_BYTES

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

    def set_speed(self, baud: int) -> None:
        """A connection has none."""

    def close(self) -> None:
        """Let the connection go."""
        self._socket.close()


def open_transport(port: str, baud: int) -> SerialTransport | TcpTransport:
    """Open a serial device or pty by its path, or `tcp:HOST:PORT`; raises `TransportError`."""
    kind, _, place = port.partition(":")
    if kind != "tcp":
        return SerialTransport(port, baud)
    host, _, number = place.rpartition(":")
    if not host or not number.isdigit():
        raise TransportError(f"{port}: is no address; give tcp:HOST:PORT.")
    return TcpTransport.connect(host, int(number))


class PortLine:
    """A peer tied to a port, as a `sans_io.Line`; a port that fails is opened again.

    Parameters
    ----------
    open_transport
        Opens the port; called again after a failure, every `REOPEN_S`.

    Attributes
    ----------
    fault
        Why the port does not work now, in a sentence; empty while it does.
    """

    def __init__(
        self,
        peer: Peer[Any],
        open_transport: Callable[[], Transport],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.fault = ""
        self._peer, self._open, self._now_s = peer, open_transport, now_s
        self._transport: Transport | None = None
        self._open_at_s = -math.inf

    def carry(self, wait_s: float) -> Sequence[Any]:
        """See `sans_io.Line`."""
        until_s = self._now_s() + wait_s
        while True:
            events, is_full = self._once()
            now_s = self._now_s()
            if events or now_s >= until_s:
                return events
            pause_s = max(0.0, min(until_s, self._peer.due_s()) - now_s)
            self._pause(min(pause_s, DRAIN_S) if is_full else pause_s)

    def set_speed(self, baud: int) -> None:
        """See `sans_io.Line`."""
        if self._transport is not None:
            self._transport.set_speed(baud)

    def close(self) -> None:
        """Let the port go."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def _once(self) -> tuple[Sequence[Any], bool]:
        """Read and write what can be at once; tells whether the port is full."""
        try:
            if self._transport is None and self._now_s() >= self._open_at_s:
                self._transport = self._open()
                self.fault = ""
            if self._transport is None:
                return self._peer.receive(b"", self._now_s()), False
            events = self._peer.receive(self._transport.read(), self._now_s())
        except TransportError as error:
            self._lost(error)
            return self._peer.receive(b"", self._now_s()), False
        try:
            while room := self._transport.room_bytes():
                data = self._peer.to_send(min(room, READ_BYTES))
                if not data:
                    return events, False
                self._transport.write(data)
        except TransportError as error:
            self._lost(error)
            return events, False
        return events, True

    def _lost(self, error: TransportError) -> None:
        self.close()
        self.fault = str(error)
        self._open_at_s = self._now_s() + REOPEN_S

    def _pause(self, seconds: float) -> None:
        if self._transport is None:
            time.sleep(min(seconds, REOPEN_S))
            return
        try:
            self._transport.wait(seconds)
        except (OSError, ValueError) as cause:  # the device has gone while it was waited for
            self._lost(TransportError(f"the port is gone ({cause})."))


def serve(
    peer: Peer[Any],
    transport: Transport,
    react: Callable[[Any], None],
    stop: Callable[[], bool],
    *,
    now_s: Callable[[], float] = time.monotonic,
    poll_s: float = 0.2,
) -> None:
    """Tie a peer to an open line until `stop` says so: bytes in, events to `react`, bytes out.

    Raises
    ------
    TransportError
        When the line fails: it is closed; the peer stays as it is and may be tied to another.
    """
    line = PortLine(peer, lambda: transport, now_s)
    while not stop():
        for event in line.carry(poll_s):
            react(event)
        if line.fault:
            raise TransportError(line.fault)
