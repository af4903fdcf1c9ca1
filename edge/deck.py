"""The deck switch, and the network port that is there while it is set, on deck, and never otherwise.

Whoever connects is served logs (`edge.fetching`) over the same link as on the serial line, and nothing else:
he commands nothing. What guards the port is that somebody has to set the switch by hand.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from edge.errors import ConfigError
from edge.fetching import LogServer, Shelf
from edge.gpio import request_line
from edge.run_config import DeckConfig
from firmware_bridge.ctd import Reading
from firmware_bridge.link import ObjectReceived
from firmware_bridge.link import Peer as LinkPeer
from firmware_bridge.link_records import Reason, Role
from firmware_bridge.link_wire import Capability
from firmware_bridge.transport import PortLine, TcpTransport

DEEPEST_DBAR = 2.0
"""Below this nobody can have set a switch by hand."""
SETTLED_S = 1.0
"""A switch that has been set for so long is; it is unset at once."""
SERVE_S = 0.1
"""How long a caller is served before the host is looked after again."""


class Switch(Protocol):
    """Something that a person on deck sets."""

    def is_set(self) -> bool:
        """Whether it is set now. Never raises: what cannot be read is not set."""

    def close(self) -> None:
        """Let it go."""


class FileSwitch:
    """Set while a file is there, such as one on a stick that is put in on deck."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def is_set(self) -> bool:
        """See `Switch`."""
        try:
            return self._file.is_file()
        except OSError:
            return False

    def close(self) -> None:
        """Nothing is open."""


class GpioSwitch:
    """A line of a GPIO chip (`gpiod`, version 2), pulled up; set while it is at ground: a broken wire is not.

    Raises `ConfigError` when the line cannot be had.
    """

    def __init__(self, place: str) -> None:
        self._request, self._line, value = request_line(
            place, "seston deck switch",
            lambda line: {
                "direction": line.Direction.INPUT, "bias": line.Bias.PULL_UP, "active_low": True
            },
            field="run.deck.switch", error=ConfigError,
        )  # fmt: skip
        self._set = value.ACTIVE

    def is_set(self) -> bool:
        """See `Switch`."""
        try:
            return bool(self._request.get_value(self._line) == self._set)
        except OSError:
            return False

    def close(self) -> None:
        """See `Switch`."""
        self._request.release()


def open_switch(told: str) -> Switch:
    """The switch that `[run.deck] switch` names: `gpio:17`, `gpio:gpiochip4:17` or `file:/path`."""
    kind, _, place = told.partition(":")
    return FileSwitch(Path(place)) if kind == "file" else GpioSwitch(place)


class Deck:
    """Serves logs over the network while the switch is set, no dive is under way, and it is not under water.

    Parameters
    ----------
    config
        Switch and address; without a switch nothing is ever opened.
    shelf
        What may be read, and whether a dive is under way.
    boot
        Of this run.
    pressure
        The newest reading, or None.
    say
        Takes one line for a person at every change.
    must_open
        Whether a switch that cannot be had is refused; otherwise it is an alarm, and nothing is ever opened.

    Raises
    ------
    ConfigError
        When the switch must open, and does not.
    """

    def __init__(
        self,
        config: DeckConfig,
        shelf: Shelf,
        boot: int,
        pressure: Callable[[], Reading | None],
        monotonic_s: Callable[[], float],
        say: Callable[[str], None],
        *,
        must_open: bool = True,
    ) -> None:
        self._switch: Switch | None = None
        try:
            self._switch = open_switch(config.switch) if config.switch else None
        except ConfigError as error:
            if must_open:
                raise
            say(f"ALARM: there is no deck switch: {error}")
        self._config, self._shelf, self._boot = config, shelf, boot
        self._pressure, self._monotonic_s, self._say = pressure, monotonic_s, say
        self._set_since_s = math.inf
        self._is_faulty = False
        self._listener: socket.socket | None = None
        self._line: PortLine | None = None
        self._peer: LinkPeer | None = None
        self._logs: LogServer | None = None

    def poll(self, wait_s: float) -> float:
        """Serve who has called, for at most so long; returns what is left of it for others."""
        if self._switch is None:
            return wait_s
        if not self._may_listen(self._switch):
            self._shut()
            return wait_s
        if self._listener is None:
            self._listen()
        self._accept()
        return 0.0 if self._serve(min(wait_s, SERVE_S)) else wait_s

    def close(self) -> None:
        """Let port and switch go."""
        self._shut()
        if self._switch is not None:
            self._switch.close()

    def _may_listen(self, switch: Switch) -> bool:
        if self._shelf.is_diving() or not switch.is_set():
            self._set_since_s, self._is_faulty = math.inf, False
            return False
        now_s = self._monotonic_s()
        self._set_since_s = min(self._set_since_s, now_s)
        reading = self._pressure()
        is_under_water = reading is not None and reading.pressure_dbar > DEEPEST_DBAR
        return not is_under_water and now_s - self._set_since_s >= SETTLED_S

    def _listen(self) -> None:
        host, _, port = self._config.listen.rpartition(":")
        try:
            self._listener = socket.create_server((host, int(port)), backlog=1)
        except (OSError, OverflowError) as cause:
            if not self._is_faulty:
                self._say(f"the deck switch is set, and {self._config.listen} cannot be had ({cause})")
            self._is_faulty = True
            return
        self._listener.setblocking(False)
        self._say(f"the deck switch is set: logs are served on {self._config.listen}")

    def _accept(self) -> None:
        """Take a call; the newest counts, for one whose cable was pulled does not hang up."""
        if self._listener is None:
            return
        try:
            connection, address = self._listener.accept()
        except OSError:
            return
        self._hang_up()
        transport = TcpTransport(connection, f"{address[0]}:{address[1]}")
        self._peer = LinkPeer(Role.INSTRUMENT, self._boot, capabilities=Capability.LOGS)
        self._logs = LogServer(self._peer, self._shelf)
        self._line = PortLine(self._peer, lambda: transport, self._monotonic_s)

    def _serve(self, wait_s: float) -> bool:
        """Serve the caller; False when there is none."""
        line, peer, logs = self._line, self._peer, self._logs
        if line is None or peer is None or logs is None:
            return False
        until_s = self._monotonic_s() + wait_s
        while True:
            for event in line.carry(max(0.0, until_s - self._monotonic_s())):
                logs.take(event)
                if isinstance(event, ObjectReceived):
                    peer.refuse(event.item, Reason.UNWANTED)
            if line.fault:
                self._hang_up()
                return True
            if self._monotonic_s() >= until_s:
                return True

    def _hang_up(self) -> None:
        if self._logs is not None:
            self._logs.close()
        if self._line is not None:
            self._line.close()
        self._line = self._peer = self._logs = None

    def _shut(self) -> None:
        self._hang_up()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            self._say("no logs are served on the network any more")
