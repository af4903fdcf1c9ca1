"""A modem with data calls (RUDICS) under a sky, to test a driver against; its owner carries calls to shore.

Hayes words: it dials, connects, is left by `+++` between silences, hangs up by `ATH`. Bytes in a call are
slow and late, a byte while it dials ends the dialling, and the sky refuses, cuts and kills calls. Not
compared with a real modem.
"""

from __future__ import annotations

import enum
import random
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from firmware_bridge.iridium.sky import Agenda, Gateway, Outcome, Sky
from firmware_bridge.sans_io import NEVER_S

GUARD_S = 1.0
"""Of silence before and after `+++`."""
MAX_COMMAND_BYTES = 128
MAX_FLYING_BYTES = 8192
"""In a call, each way; what is more is lost, as without flow control."""
PIECE_BYTES = 24
FAILURES = ("NO CARRIER", "BUSY", "NO ANSWER")
DEAD_AFTER_S = (2.0, 60.0)
"""When a call that goes dead without a word does so."""
_DIAL = re.compile("D[TP]?([0-9+*#, -]{1,40});?")


@dataclass(frozen=True, slots=True)
class Dialled:
    """Shore is called: the owner says `connected` or `refused`."""

    number: str


@dataclass(frozen=True, slots=True)
class ToShore:
    """Bytes that have come to shore's end of the call."""

    data: bytes


@dataclass(frozen=True, slots=True)
class HungUp:
    """The call is over at shore's end too."""


Event = Dialled | ToShore | HungUp


class Mode(enum.Enum):
    """What the modem does with bytes from the port."""

    COMMAND = "command"
    DIALLING = "dialling"
    CALL = "call"
    ESCAPED = "escaped"
    """Commands, while the call goes on."""
    DEAF = "deaf"


class _Flight:
    """One direction of a call."""

    def __init__(self, sky: Sky) -> None:
        self._sky = sky
        self._free_s = 0.0
        self._flying: deque[tuple[float, bytes]] = deque()
        self._n_flying = 0

    def put(self, data: bytes, now_s: float) -> None:
        data = data[: max(0, MAX_FLYING_BYTES - self._n_flying)]
        for at in range(0, len(data), PIECE_BYTES):
            piece = data[at : at + PIECE_BYTES]
            self._free_s = max(self._free_s, now_s) + len(piece) / self._sky.call_bytes_s
            self._flying.append((self._free_s + self._sky.delay_s, piece))
        self._n_flying += len(data)

    def take(self, now_s: float) -> bytes:
        arrived = bytearray()
        while self._flying and self._flying[0][0] <= now_s:
            arrived += self._flying.popleft()[1]
        self._n_flying -= len(arrived)
        return bytes(arrived)

    def due_s(self) -> float:
        return self._flying[0][0] if self._flying else NEVER_S


class RudicsModem:
    """The modem, as a `sans_io.Peer` whose events are its calls.

    Parameters
    ----------
    gateway
        Counts calls that were begun.

    Attributes
    ----------
    mode
        What it does with bytes from the port.
    """

    def __init__(self, sky: Sky | None = None, *, seed: int = 0, gateway: Gateway | None = None) -> None:
        self.mode = Mode.COMMAND
        self.gateway = gateway or Gateway()
        self._sky = sky or Sky()
        self._draw = random.Random(seed)
        self._now_s = 0.0
        self._events: list[Event] = []
        self._has_shore = False
        self._reset()

    def power(self, now_s: float) -> None:
        """Power was cut and is back: a call is over, and its owner hears it at the next `receive`."""
        self._now_s = max(self._now_s, now_s)
        self._end_call()
        self._reset()

    def _reset(self) -> None:
        self.mode = Mode.COMMAND
        self._echoes = True
        self._line, self._out = bytearray(), bytearray()
        self._agenda = Agenda()
        self._heard_s, self._plus, self._escape_s = 0.0, 0, NEVER_S
        self._is_dead = False
        self._up, self._down = _Flight(self._sky), _Flight(self._sky)

    # Shore's end

    def connected(self) -> None:
        """Shore answers."""
        self._has_shore = True
        if self.mode is not Mode.DIALLING:
            self._end_call()
            return
        self._say("CONNECT 9600")
        self.mode, self._heard_s = Mode.CALL, self._now_s
        if self._sky.call_s < NEVER_S:
            self._later(self._draw.expovariate(1 / self._sky.call_s), self._cut)

    def refused(self) -> None:
        """Nobody answers at shore's address."""
        if self.mode is Mode.DIALLING:
            self._cut()

    def from_shore(self, data: bytes) -> None:
        """Shore says something in the call."""
        if self.is_in_call and not self._is_dead:
            self._down.put(data, self._now_s)

    def shore_gone(self) -> None:
        """Shore has hung up."""
        self._has_shore = False
        if self.is_in_call and not self._is_dead:
            self._cut()

    @property
    def is_in_call(self) -> bool:
        """Whether a call is going on."""
        return self.mode in (Mode.CALL, Mode.ESCAPED)

    # sans_io.Peer

    def receive(self, data: bytes, now_s: float) -> Sequence[Event]:
        """See `sans_io.Peer`."""
        self._now_s = max(self._now_s, now_s)
        self._on_time()
        at = 0
        while at < len(data):
            if self.mode is Mode.CALL:
                self._speak(data[at:])
                break
            self._take(data[at])
            at += 1
        self._on_time()
        events, self._events = self._events, []
        return events

    def to_send(self, limit_bytes: int) -> bytes:
        """See `sans_io.Peer`."""
        taken = bytes(self._out[:limit_bytes])
        del self._out[: len(taken)]
        return taken

    def due_s(self) -> float:
        """See `sans_io.Peer`."""
        return min(self._agenda.due_s(), self._up.due_s(), self._down.due_s(), self._escape_s)

    def _on_time(self) -> None:
        until_s = self._now_s
        while (due := self._agenda.next_until(until_s)) is not None:
            self._now_s, action = due
            action()
        self._now_s = until_s
        if self._escape_s <= self._now_s:
            self._escape_s, self._plus, self.mode = NEVER_S, 0, Mode.ESCAPED
            self._say("OK")
        if arrived := self._up.take(self._now_s):
            self._events.append(ToShore(arrived))
        arrived = self._down.take(self._now_s)
        if self.mode is Mode.CALL:
            self._out += arrived

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._agenda.add(self._now_s + seconds, action)

    def _say(self, words: str) -> None:
        self._out += f"\r\n{words}\r\n".encode()

    # Words from the port

    def _take(self, byte: int) -> None:
        if self.mode is Mode.DEAF:
            return
        if self.mode is Mode.DIALLING:
            self._cut()  # whatever is said while it dials ends it
            return
        if self._echoes:
            self._out.append(byte)
        if byte == 13:
            command = bytes(self._line).strip().upper()
            self._line.clear()
            if command:
                self._obey(command.decode("latin1"))
        elif byte != 10 and len(self._line) < MAX_COMMAND_BYTES:
            self._line.append(byte)

    def _obey(self, command: str) -> None:
        if not command.startswith("AT"):
            self._say("ERROR")
            return
        word = command[2:]
        dial = _DIAL.fullmatch(word)
        match word:
            case "" | "&D0" | "&K0" | "&W0":
                self._say("OK")
            case "E0" | "E1":
                self._echoes = word == "E1"
                self._say("OK")
            case "H" | "H0":
                self._end_call()
                self._say("OK")
            case "O" | "O0" if self.mode is Mode.ESCAPED:
                self.mode, self._heard_s = Mode.CALL, self._now_s
                self._say("CONNECT 9600")
            case _ if dial is not None and self.mode is Mode.COMMAND:
                self._dial(dial[1])
            case _:
                self._say("ERROR")

    def _dial(self, number: str) -> None:
        self.mode = Mode.DIALLING
        self.gateway.begun += 1
        outcome = self._sky.outcome(self._draw)
        if self._draw.random() < self._sky.weak:
            outcome = Outcome.FAIL
        if outcome is Outcome.HANG:
            self.mode = Mode.DEAF
        elif outcome is not Outcome.MUTE:
            self._later(self._draw.uniform(*self._sky.session_s), lambda: self._rung(number, outcome))

    def _rung(self, number: str, outcome: Outcome) -> None:
        if outcome is Outcome.FAIL:
            self._cut(self._draw.choice(FAILURES))
            return
        if outcome is Outcome.HIDDEN:
            self._later(self._draw.uniform(*DEAD_AFTER_S), self._die)
        self._events.append(Dialled(number))

    # A call

    def _speak(self, data: bytes) -> None:
        """Bytes for shore, where `+++` between silences is for the modem too."""
        if not self._is_dead:
            self._up.put(data, self._now_s)
        gap_s, self._heard_s = self._now_s - self._heard_s, self._now_s
        is_next = gap_s < GUARD_S if self._plus else gap_s >= GUARD_S
        is_plus = is_next and data == b"+" * len(data) and self._plus + len(data) <= 3
        self._plus = self._plus + len(data) if is_plus else 0
        self._escape_s = self._now_s + GUARD_S if self._plus == 3 else NEVER_S

    def _die(self) -> None:
        """Nothing comes through any more, and nobody says so here; shore's end sees that it is over."""
        self._is_dead = True
        if self._has_shore:
            self._has_shore = False
            self._events.append(HungUp())

    def _cut(self, words: str = FAILURES[0]) -> None:
        self._end_call()
        self._say(words)

    def _end_call(self) -> None:
        if self._has_shore:
            self._has_shore = False
            self._events.append(HungUp())
        if self.mode is not Mode.DEAF:
            self.mode = Mode.COMMAND
        self._agenda, self._is_dead = Agenda(), False
        self._plus, self._escape_s = 0, NEVER_S
        self._up, self._down = _Flight(self._sky), _Flight(self._sky)
