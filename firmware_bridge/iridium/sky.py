"""The sky over an emulated modem, and the gateway behind it: what goes wrong, what lasts, what survives.

Everything is drawn from a seed; time is passed in. What each modem makes of it is its emulator's.
"""

from __future__ import annotations

import enum
import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from firmware_bridge.sans_io import NEVER_S

UNKNOWN_DELIVERY = (10, 13, 17, 18, 19)
SURE_FAILURES = (11, 32, 35, 36)
CREDIT_BYTES = 50


class Outcome(enum.Enum):
    """What becomes of one try."""

    FINE = "fine"
    FAIL = "fail"
    HIDDEN = "hidden"
    MUTE = "mute"
    HANG = "hang"


@dataclass(frozen=True, slots=True)
class Sky:
    """What goes wrong, as chances, and how long things take. A session is a message of SBD or IMT, or a call.

    Attributes
    ----------
    fail
        Of a session to fail and to say so.
    hidden
        Of a session to bring the message and to say that it failed; of a call to go dead without a word.
    mute
        Of a session to end without an answer; half of these have brought the message. A call is not answered.
    hang
        Of a session to leave the modem deaf until its power is cycled.
    weak
        Of a look at the signal to find less than two bars.
    ring_within
        Of an answer to have a ring in its middle, when a message waits (SBD).
    session_s, signal_s
        Shortest and longest, seconds; of a call, until it is answered.
    failures
        Statuses of SBD sessions that fail and say so.
    call_s
        Mean time until a call is cut, seconds.
    call_bytes_s, delay_s
        Of a call: bytes a second each way, and seconds that each is on its way. About 2400 bit/s.
    """

    fail: float = 0.0
    hidden: float = 0.0
    mute: float = 0.0
    hang: float = 0.0
    weak: float = 0.0
    ring_within: float = 0.0
    session_s: tuple[float, float] = (5.0, 40.0)
    signal_s: tuple[float, float] = (2.0, 10.0)
    failures: tuple[int, ...] = (*UNKNOWN_DELIVERY, *SURE_FAILURES)
    call_s: float = NEVER_S
    call_bytes_s: float = 240.0
    delay_s: float = 0.7

    def outcome(self, draw: random.Random) -> Outcome:
        """What becomes of the next session."""
        luck = draw.random()
        for chance, outcome in (
            (self.fail, Outcome.FAIL),
            (self.hidden, Outcome.HIDDEN),
            (self.mute, Outcome.MUTE),
            (self.hang, Outcome.HANG),
        ):
            if luck < chance:
                return outcome
            luck -= chance
        return Outcome.FINE


@dataclass(frozen=True, slots=True)
class Session:
    """A session that the gateway has completed, and bills.

    Attributes
    ----------
    at_s
        When.
    momsn
        Of the modem; where its own numbers are small and begin anew (IMT), the gateway's.
    data
        The message, or None for a mailbox check.
    credits
        What is billed for SBD: 50 bytes each; a mailbox check is one. 0 where the bill is another (IMT).
    is_hidden
        Whether the modem says that it failed.
    """

    at_s: float
    momsn: int
    data: bytes | None
    credits: int
    is_hidden: bool = False


@dataclass(slots=True)
class Gateway:
    """What survives of a modem and the sky when the power goes: numbers, and messages to the float.

    Attributes
    ----------
    momsn, mtmsn
        Of the next session, and of the last message to the float.
    begun
        Sessions that were begun, whatever came of them.
    to_float
        Messages that wait for the float.
    """

    momsn: int = 0
    mtmsn: int = 0
    begun: int = 0
    to_float: deque[bytes] = field(default_factory=deque)


class Agenda:
    """What an emulated modem does later, in order of time."""

    def __init__(self) -> None:
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._n_added = 0

    def add(self, at_s: float, action: Callable[[], None]) -> None:
        """Do it then."""
        self._n_added += 1
        heapq.heappush(self._later, (at_s, self._n_added, action))

    def next_until(self, now_s: float) -> tuple[float, Callable[[], None]] | None:
        """What is due first, with its time, taken off; None when nothing is due."""
        if not self._later or self._later[0][0] > now_s:
            return None
        at_s, _, action = heapq.heappop(self._later)
        return at_s, action

    def due_s(self) -> float:
        """When something is due."""
        return self._later[0][0] if self._later else NEVER_S
