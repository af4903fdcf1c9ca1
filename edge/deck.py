"""The deck switch, and the network port that is there while it is set, on deck, and never otherwise.

Whoever connects is served logs (`edge.fetching`) over the same link as on the serial line, and may bring what
is signed (`edge.intake`); else he commands nothing. What guards the port is that somebody has to set a switch
by hand, or to sign a command that opens it.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from edge.errors import ConfigError
from edge.fetching import LogServer, Shelf
from edge.gpio import request_line
from edge.intake import Intake
from edge.run_config import DeckConfig
from firmware_bridge.ctd import Reading
from firmware_bridge.link import Peer as LinkPeer
from firmware_bridge.link_records import Role
from firmware_bridge.link_wire import VISITOR
from firmware_bridge.transport import PortLine, TcpTransport

DEEPEST_DBAR = 2.0
"""Below this nobody can have set a switch by hand."""
SETTLED_S = 1.0
"""A switch that has been set for so long is; it is unset at once."""
SERVE_S = 0.1
"""How long a caller is served before the host is looked after again."""


def deck_flag() -> Path | None:
    """The file that tells the rest of the machine that the deck is open, where systemd gives a folder."""
    folder = os.environ.get("RUNTIME_DIRECTORY", "")
    return Path(folder) / "deck-is-open" if folder else None


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


class AnySwitch:
    """Set while any of some switches is."""

    def __init__(self, switches: Sequence[Switch]) -> None:
        self._switches = switches

    def is_set(self) -> bool:
        """See `Switch`."""
        return any(one.is_set() for one in self._switches)

    def close(self) -> None:
        """See `Switch`."""
        for one in self._switches:
            one.close()


def open_switch(told: str) -> Switch:
    """The switches that `[run.deck] switch` names: `gpio:17`, `gpio:gpiochip4:17` or `file:/path`.

    Raises `ConfigError` when one cannot be had.
    """
    opened: list[Switch] = []
    try:
        for one in told.split():
            kind, _, place = one.partition(":")
            opened.append(FileSwitch(Path(place)) if kind == "file" else GpioSwitch(place))
    except ConfigError:
        AnySwitch(opened).close()
        raise
    return AnySwitch(opened)


class Deck:
    """Serves logs over the network while it may, no dive is under way, and it is not under water.

    It may while a switch is set, and for as long as a signed command says (`open_for`).

    Parameters
    ----------
    config
        Switches and address; without an address nothing is ever opened.
    shelf
        What may be read, and whether a dive is under way.
    intake
        What may be brought.
    boot
        Of this run.
    pressure
        The newest reading, or None.
    say
        Takes one line for a person at every change.
    flag
        A file that is there while it may, for what else of the machine listens then; None makes none.
    must_open
        Whether a switch that cannot be had is refused; otherwise it is an alarm, and no switch is set.

    Raises
    ------
    ConfigError
        When the switch must open, and does not.
    """

    def __init__(
        self,
        config: DeckConfig,
        shelf: Shelf,
        intake: Intake,
        boot: int,
        pressure: Callable[[], Reading | None],
        monotonic_s: Callable[[], float],
        say: Callable[[str], None],
        flag: Path | None = None,
        *,
        must_open: bool = True,
    ) -> None:
        self._switch: Switch = AnySwitch(())
        self._flag, self._open_until_s = flag, -math.inf
        self._lower_flag()
        try:
            self._switch = open_switch(config.switch)
        except ConfigError as error:
            if must_open:
                raise
            say(f"ALARM: there is no deck switch: {error}")
        self._config, self._shelf, self._intake, self._boot = config, shelf, intake, boot
        self._pressure, self._monotonic_s, self._say = pressure, monotonic_s, say
        self._set_since_s = math.inf
        self._is_faulty = False
        self._listener: socket.socket | None = None
        self._line: PortLine | None = None
        self._peer: LinkPeer | None = None
        self._logs: LogServer | None = None

    def poll(self, wait_s: float) -> float:
        """Serve who has called, for at most so long; returns what is left of it for others."""
        if not self._config.listen:
            return wait_s
        if not self._may_listen():
            self._shut()
            return wait_s
        if self._listener is None:
            self._listen()
        self._accept()
        return 0.0 if self._serve(min(wait_s, SERVE_S)) else wait_s

    def open_for(self, minutes: int) -> None:
        """Be as if a switch were set, for so long from now on; 0 takes it back."""
        self._open_until_s = self._monotonic_s() + 60.0 * minutes

    def close(self) -> None:
        """Let port and switches go."""
        self._shut()
        self._switch.close()

    def _may_listen(self) -> bool:
        now_s = self._monotonic_s()
        is_wanted = now_s < self._open_until_s
        if self._shelf.is_diving() or not (is_wanted or self._switch.is_set()):
            self._set_since_s, self._is_faulty = math.inf, False
            return False
        self._set_since_s = min(self._set_since_s, now_s)
        reading = self._pressure()
        is_under_water = reading is not None and reading.pressure_dbar > DEEPEST_DBAR
        return not is_under_water and (is_wanted or now_s - self._set_since_s >= SETTLED_S)

    def _listen(self) -> None:
        if self._flag is not None:
            with contextlib.suppress(OSError):
                self._flag.touch()
        host, _, port = self._config.listen.rpartition(":")
        try:
            self._listener = socket.create_server((host, int(port)), backlog=1)
        except (OSError, OverflowError) as cause:
            if not self._is_faulty:
                self._say(f"the deck is to be open, and {self._config.listen} cannot be had ({cause})")
            self._is_faulty = True
            return
        self._listener.setblocking(False)
        self._say(f"the deck is open: logs are served on {self._config.listen}")

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
        self._peer = LinkPeer(
            Role.INSTRUMENT, self._boot, capabilities=VISITOR, stored=self._intake.headers(),
            judge=self._intake.judge,
        )  # fmt: skip
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
                self._intake.take(peer, event)
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

    def _lower_flag(self) -> None:
        if self._flag is not None:
            with contextlib.suppress(OSError):
                self._flag.unlink(missing_ok=True)

    def _shut(self) -> None:
        self._lower_flag()
        self._hang_up()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            self._say("no logs are served on the network any more")
