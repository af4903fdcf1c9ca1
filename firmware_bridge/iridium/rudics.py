"""Driver of a data call to shore (RUDICS): dials, and lets the native link speak over the call. Pure.

Over the stream both ends speak docs/link.md, the instrument as it does to a float, shore as a host: messages
are acknowledged when shore has them for good, resume at an offset after a call that was cut, and are counted
once by their id. The AT words are those of any modem with data calls; nothing was tried on a real one.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Sequence

from firmware_bridge.errors import MisuseError
from firmware_bridge.iridium.radio import BACKOFF_S, Radio
from firmware_bridge.iridium.sbd_words import (
    Attempt,
    CyclePower,
    Event,
    Failed,
    Held,
    Mailbox,
    Received,
    Sent,
    Spent,
)
from firmware_bridge.link import Delivered, ObjectReceived, Opened, Refused, Silent
from firmware_bridge.link import Peer as LinkPeer
from firmware_bridge.link_objects import LinkObject
from firmware_bridge.link_records import Reason, Role
from firmware_bridge.link_wire import Kind
from firmware_bridge.sans_io import NEVER_S

MAX_MESSAGE_BYTES = 60_000
"""As long as a dive's messages may be."""
ANSWER_S, DIAL_S = 3.0, 90.0
GUARD_S = 1.2
"""Of silence around `+++`."""
QUIET_S = 15.0
"""A call with nothing left to say is ended after it: shore may still have something."""
NO_CARRIER = b"NO CARRIER"
_CUT = b"\r\n" + NO_CARRIER + b"\r"
"""The words in a call, where bytes from shore may hold the like."""
_CONNECT = re.compile(rb"CONNECT[^\r\n]{0,32}[\r\n]+")
_FAILED = (b"NO CARRIER", b"BUSY", b"NO DIALTONE", b"NO ANSWER", b"ERROR")


class Step(enum.Enum):
    """What the driver waits for."""

    IDLE = "idle"
    REST = "rest"
    WAKE = "wake"
    NO_ECHO = "no echo"
    DIAL = "dial"
    CALL = "call"
    GUARD = "guard"
    ESCAPE = "escape"
    HANG_UP = "hang up"
    CYCLE = "power cycle"


_COMMANDS = {Step.WAKE: ("AT", ANSWER_S), Step.NO_ECHO: ("ATE0", ANSWER_S), Step.HANG_UP: ("ATH", ANSWER_S)}
_RADIO = (Step.DIAL, Step.CALL, Step.GUARD, Step.ESCAPE, Step.HANG_UP)
_AFTER = {Step.WAKE: Step.NO_ECHO, Step.NO_ECHO: Step.DIAL}


class RudicsDriver:
    """See `driver.Driver`.

    Parameters
    ----------
    number
        Of shore's server, as the provider gives it.
    boot_id
        As `link.Peer` wants it: another at every start.
    radio_s, jitter
        See `Radio`; the radio counts as on in calls, with their dialling.
    """

    max_message_bytes = MAX_MESSAGE_BYTES

    def __init__(
        self,
        number: str,
        boot_id: int,
        *,
        radio_s: float = NEVER_S,
        jitter: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self.step = Step.IDLE
        self._number = number
        self._radio = Radio(radio_s, jitter)
        self._link = LinkPeer(Role.INSTRUMENT, boot_id)
        self._now_s = 0.0
        self._due_s = 0.0
        self._held = bytearray()
        self._out = bytearray()
        self._message: LinkObject | None = None
        self._is_told = self._is_recorded = False
        self._wants_call = False
        self._why = ""
        """Why the call is ended that is being ended; empty when nothing is wrong."""
        self._quiet_since_s = 0.0
        self._events: list[Event] = []

    @property
    def is_free(self) -> bool:
        """See `Driver`."""
        return self._message is None

    @property
    def is_idle(self) -> bool:
        """See `Driver`."""
        return self.step is Step.IDLE and self._due_s == NEVER_S

    def send(self, message_id: int, data: bytes, tried: int | None = None) -> None:
        """See `Driver`; what was tried before goes on where it was, since shore knows it by its id."""
        if not self.is_free:
            raise MisuseError("a message is on its way; wait for its end")
        if not 1 <= len(data) <= MAX_MESSAGE_BYTES:
            raise MisuseError(
                f"message {message_id} has {len(data)} bytes; 1 to {MAX_MESSAGE_BYTES} can be sent"
            )
        self._message = LinkObject(Kind.MESSAGE, message_id & 0xFFFFFFFF, data)
        self._is_told = self._is_recorded = False
        self._wake()

    def recorded(self) -> None:
        """See `Driver`."""
        if self._message is None or not self._is_told or self._is_recorded:
            raise MisuseError("no attempt was told")
        self._is_recorded = True
        self._link.send(self._message)
        self._quiet_since_s = self._now_s

    def check_mailbox(self) -> None:
        """See `Driver`."""
        self._wants_call = True
        self._wake()

    def renew(self, radio_s: float | None = None) -> None:
        """See `Driver`."""
        self._radio.renew(radio_s)
        self._wake()

    def powered(self) -> None:
        """See `Driver`."""
        self._out.clear()
        self._go(Step.WAKE)

    def _wake(self) -> None:
        if self.step is Step.IDLE:
            self._due_s = self._now_s

    # sans_io.Peer

    def receive(self, data: bytes, now_s: float) -> Sequence[Event]:
        """See `sans_io.Peer`."""
        self._now_s = max(self._now_s, now_s)
        self._events = []
        if self.step is Step.CALL:
            self._on_call(data)
        elif data:
            self._on_words(data)
        if self._due_s <= self._now_s:
            self._on_due()
        return self._events

    def to_send(self, limit_bytes: int) -> bytes:
        """See `sans_io.Peer`."""
        if self.step is Step.CALL and not self._out:
            return self._link.to_send(limit_bytes)
        taken = bytes(self._out[:limit_bytes])
        del self._out[: len(taken)]
        return taken

    def due_s(self) -> float:
        """See `sans_io.Peer`."""
        return min(self._due_s, self._link.due_s()) if self.step is Step.CALL else self._due_s

    # Steps

    def _go(self, step: Step, wait_s: float = NEVER_S) -> None:
        self.step = step
        self._held.clear()
        command, answer_s = _COMMANDS.get(step, ("", 0.0))
        if step is Step.DIAL:
            command, answer_s = f"ATDT{self._number}", DIAL_S
        if command:
            self._out += command.encode("ascii") + b"\r"
        self._radio.turn(step in _RADIO, self._now_s)
        self._due_s = self._now_s + (answer_s if command else wait_s)

    def _on_due(self) -> None:
        match self.step:
            case Step.IDLE | Step.REST:
                self._decide()
            case Step.DIAL:
                self._failed("nobody answered the call")
            case Step.CALL:
                pass  # `_on_call` has looked
            case Step.GUARD:
                self._out += b"+++"
                self._go(Step.ESCAPE, GUARD_S)
            case Step.ESCAPE:
                self._go(Step.HANG_UP)
            case Step.HANG_UP:
                self._hung_up()
            case Step.CYCLE:
                self._events.append(CyclePower())
                self._due_s = self._now_s + BACKOFF_S[-1]
            case _:
                self._out.clear()
                if self._radio.is_mute():
                    self._go(Step.CYCLE, 0.0)
                else:
                    self._go(Step.WAKE)

    def _decide(self) -> None:
        """Nothing is under way: call when there is a reason, and radio left."""
        wait_s = self._radio.wait_s(self._now_s)
        if self._message is None and not self._wants_call:
            self._go(Step.IDLE)
        elif wait_s == NEVER_S:
            if self._radio.tell_spent():
                self._events.append(Spent())
            self._go(Step.IDLE)
        elif wait_s > 0:
            self._go(Step.REST, wait_s)
        else:
            self._go(Step.WAKE)

    def _on_words(self, data: bytes) -> None:
        """Lines of the modem, outside a call."""
        words = bytes(self._held) + data
        self._held[:] = words[-256:]
        if self.step in _AFTER and b"OK" in words:
            self._radio.answered()
            self._go(_AFTER[self.step])
        elif self.step is Step.DIAL:
            connected = _CONNECT.search(words)
            if connected is not None:
                self._link.line_is_back(self._now_s)
                self._go(Step.CALL, 0.0)
                self._quiet_since_s = self._now_s
                self._on_call(words[connected.end() :])  # shore may speak at once
            elif any(word in words for word in _FAILED):
                self._failed("the call was not taken")
        elif self.step is Step.HANG_UP and (b"OK" in words or NO_CARRIER in words):
            self._hung_up()

    # In a call

    def _on_call(self, data: bytes) -> None:
        for event in self._link.receive(data, self._now_s):
            match event:
                case Opened():
                    self._radio.failures, self._quiet_since_s = 0, self._now_s
                case Delivered(item) if self._message is not None and item == self._message:
                    self._events.append(Sent(item.object_id, 0))
                    self._message, self._quiet_since_s = None, self._now_s
                case Refused(item, reason) if self._message is not None and item == self._message:
                    self._events.append(Held(item.object_id, 0, f"shore refuses it: {reason.name.lower()}"))
                    self._message = None
                case ObjectReceived(item) if item.kind == Kind.COMMAND:
                    self._events.append(Received(item.data, item.object_id & 0xFFFF, 0))
                    self._link.stored(item)
                    self._quiet_since_s = self._now_s
                case ObjectReceived(item):
                    self._link.refuse(item, Reason.UNWANTED)
                case Silent():
                    # The modem may be in the call still, and would take commands for words to shore.
                    self._end_call("shore does not answer")
                    return
        self._held += data
        del self._held[:-32]
        if _CUT in self._held:
            self._failed("the call was cut")
            return
        if self._link.is_open and self._message is not None and not self._is_told:
            self._is_told = True
            self._events.append(Attempt(self._message.object_id, 0))
        spent = self._radio.left_s(self._now_s) < 0
        is_quiet = self._message is None and self._now_s - self._quiet_since_s >= QUIET_S
        never_opened = not self._link.is_open and self._now_s - self._quiet_since_s >= DIAL_S
        if never_opened:
            self._end_call("shore does not answer")
        elif is_quiet or spent:
            self._end_call("the call ended before shore had it" if self._message is not None else "")
        else:
            self._due_s = self._now_s + QUIET_S / 4

    def _end_call(self, why: str) -> None:
        self._why = why
        if not why and self._wants_call:
            self._wants_call = False
            self._events.append(Mailbox(False))
        self._go(Step.GUARD, GUARD_S)

    def _hung_up(self) -> None:
        why, self._why = self._why, ""
        if why:
            self._failed(why)
        else:
            self._decide()

    def _failed(self, reason: str) -> None:
        """The call is over; what shore has of the message stays there."""
        again_s = self._radio.back_off(self._now_s)
        if self._message is not None:
            self._events.append(Failed(self._message.object_id, reason, again_s))
        self._go(Step.REST, again_s - self._now_s)
