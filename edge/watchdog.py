"""Tells systemd how the service fares: ready, what it does, that it went forward, stopping. Decides nothing.

The protocol is sd_notify's: a datagram of lines to the socket that systemd names. Who calls `went_on` has
done something; no thread and no timer does, so that a service that hangs is started again. Without systemd
there is no socket, and nothing is sent.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping

SENT_PER_INTERVAL = 4
"""How often in the time that systemd allows it is told at most; more would only cost energy."""
UNWATCHED_S = 40.0
"""The time that counts where systemd allows none: the status is told all the same."""
SEND_TIMEOUT_S = 1.0


class Watchdog:
    """systemd's ear.

    Parameters
    ----------
    environ
        As systemd sets it: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID` (sd_notify(3),
        sd_watchdog_enabled(3)).
    monotonic_s
        systemd's clock: the machine's, also where the service's own is simulated.
    """

    def __init__(
        self, environ: Mapping[str, str] = os.environ, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # A leading @ is written for the zero byte of a socket that has no file.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        usec = environ.get("WATCHDOG_USEC", "")
        is_ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._allowed_us = int(usec) if usec.isascii() and usec.isdigit() and is_ours else 0
        self._monotonic_s = monotonic_s
        self._due_s = 0.0
        self._socket: socket.socket | None = None
        if self._address.startswith(("/", "\0")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.settimeout(SEND_TIMEOUT_S)

    def ready(self) -> None:
        """The service has started."""
        self._send("READY=1")

    def went_on(self, status: str) -> None:
        """Something went forward; `status` is a line for `systemctl status`."""
        now_s = self._monotonic_s()
        if now_s >= self._due_s:
            self._due_s = now_s + (self._allowed_us / 1e6 or UNWATCHED_S) / SENT_PER_INTERVAL
            self._send(f"STATUS={status.splitlines()[0] if status else ''}", "WATCHDOG=1")

    @contextlib.contextmanager
    def at_most(self, seconds: float, status: str) -> Iterator[None]:
        """What comes next goes forward in one step, and may take so long; then it is as before."""
        self._send(f"STATUS={status}", *([f"WATCHDOG_USEC={seconds * 1e6:.0f}"] if self._allowed_us else []))
        try:
            yield
        finally:
            if self._allowed_us:
                self._send(f"WATCHDOG_USEC={self._allowed_us}")
            self._due_s = 0.0

    def stopping(self) -> None:
        """The service ends as it was told to."""
        self._send("STOPPING=1")
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        """Tell it; an ear that is gone or does not listen stops nothing."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(lines).encode(), self._address)
