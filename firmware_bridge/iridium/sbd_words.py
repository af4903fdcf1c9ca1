"""Words of the SBD driver: its steps with their commands, its pauses, and what it tells its owner. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

MAX_MESSAGE_BYTES = 340
MIN_SIGNAL = 2
"""Bars of five below which a session costs more energy than it brings."""
SIGNAL_AGAIN_S = 15.0
SESSION_S, SESSION_ANSWER_S = 90, 120.0
"""The modem itself ends a session after so long, and says so; its answer is waited for a little longer."""
BOOT_S = 5.0
"""From power to the first word."""


class Step(enum.Enum):
    """What the driver waits for. Those with a command are in `COMMANDS`."""

    BOOT = "boot"
    WAKE = "wake"
    NO_ECHO = "no echo"
    NO_DTR = "no dtr"
    NO_FLOW = "no flow control"
    RINGS = "rings"
    LIMIT = "session limit"
    TIME = "network time"
    NUMBERS = "message numbers"
    IDLE = "idle"
    REST = "rest"
    SIGNAL = "signal"
    TOLD = "attempt told"
    WRITE = "write"
    BYTES = "bytes"
    SESSION = "session"
    READ = "read"
    CLEAR = "clear"
    CYCLE = "power cycle"


@dataclass(frozen=True, slots=True)
class Spec:
    """A command, how long its answer may take, and what follows `OK`."""

    command: str
    timeout_s: float
    after: Step | None = None


COMMANDS: dict[Step, Spec] = {
    Step.WAKE: Spec("AT", 3.0, Step.NO_ECHO),
    Step.NO_ECHO: Spec("ATE0", 3.0, Step.NO_DTR),
    Step.NO_DTR: Spec("AT&D0", 3.0, Step.NO_FLOW),
    Step.NO_FLOW: Spec("AT&K0", 3.0, Step.RINGS),
    Step.RINGS: Spec("AT+SBDMTA=1", 3.0, Step.LIMIT),
    Step.LIMIT: Spec(f"AT+SBDST={SESSION_S}", 3.0, Step.TIME),
    Step.TIME: Spec("AT-MSSTM", 10.0, Step.NUMBERS),
    Step.NUMBERS: Spec("AT+SBDS", 5.0),
    Step.SIGNAL: Spec("AT+CSQ", 60.0),
    Step.WRITE: Spec("AT+SBDWB={}", 10.0),
    Step.BYTES: Spec("", 65.0),
    Step.SESSION: Spec("AT+SBDIX", SESSION_ANSWER_S),
    Step.READ: Spec("AT+SBDRB", 10.0),
    Step.CLEAR: Spec("AT+SBDD0", 5.0),
}
"""After the steps without `after` it depends on the answer: `SbdDriver`'s methods of the same name."""
RADIO_STEPS = (Step.SIGNAL, Step.SESSION)
WRITE_FAULTS = {1: "did not get the message in time", 2: "got the message damaged", 3: "refuses its size"}
"""What `+SBDWB` answers after the bytes."""


@dataclass(slots=True)
class Message:
    """On its way; `tried` is the modem's number of an attempt of which no end is known."""

    message_id: int
    data: bytes
    tried: int | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A session with this message is about to begin: `SbdDriver.recorded` lets it, once both are durable."""

    message_id: int
    momsn: int


@dataclass(frozen=True, slots=True)
class Sent:
    """The gateway has the message."""

    message_id: int
    momsn: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A session did not bring it; it is tried again at `again_s`. `alarm`: a person should know."""

    message_id: int
    reason: str
    again_s: float
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """The message, or all, will not go: the driver has let it go, its owner keeps it."""

    message_id: int
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Received:
    """A message from shore; so many more wait at the gateway."""

    data: bytes
    mtmsn: int
    queued: int


@dataclass(frozen=True, slots=True)
class Damaged:
    """A message from shore came, and not whole: it is lost, and shore has to send it again."""

    mtmsn: int


@dataclass(frozen=True, slots=True)
class NetworkTime:
    """Ticks of 90 ms: see `clock`."""

    ticks: int


@dataclass(frozen=True, slots=True)
class Rang:
    """A message waits at the gateway."""


@dataclass(frozen=True, slots=True)
class CyclePower:
    """The modem is mute: its owner takes its power for some seconds, and says `powered`."""


@dataclass(frozen=True, slots=True)
class Spent:
    """The radio's time is used up: nothing is tried until `renew`."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox check has been made; `found` tells whether there was a message."""

    found: bool


Event = (
    Attempt | Sent | Failed | Held | Received | Damaged | NetworkTime | Rang | CyclePower | Spent | Mailbox
)
