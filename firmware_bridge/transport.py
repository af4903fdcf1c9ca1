"""Where bytes come from and go to: serial ports and ptys, by pyserial.

The only module of this floor that opens anything.
"""

from __future__ import annotations

from types import TracebackType

import serial

from firmware_bridge.errors import TransportError


class SerialTransport:
    """A serial device or a pty, read without waiting."""

    def __init__(self, port: str, baud: int) -> None:
        self.port = port
        try:
            self._serial = serial.Serial(port, baud, timeout=0, write_timeout=2)
        except (OSError, ValueError) as cause:
            raise TransportError(
                f"{port}: cannot be opened ({cause}); check the port's name and rights."
            ) from cause

    def __enter__(self) -> SerialTransport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self) -> bytes:
        """Bytes that have arrived, at most 4096; empty when there are none."""
        try:
            return bytes(self._serial.read(4096))
        except OSError as cause:
            raise TransportError(f"{self.port}: cannot be read ({cause}); check the cable.") from cause

    def write(self, data: bytes) -> None:
        """Send bytes; raises `TransportError` when they cannot be sent within two seconds."""
        try:
            self._serial.write(data)
        except OSError as cause:
            raise TransportError(f"{self.port}: cannot be written ({cause}); check the cable.") from cause

    def close(self) -> None:
        """Let the port go."""
        self._serial.close()
