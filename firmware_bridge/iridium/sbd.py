"""Driver of an Iridium SBD modem (9602, 9603): the AT contract, sans-IO. Pure.

One message at a time, at least once: an attempt is told before the session, so that its owner writes down the
modem's number of it, and after a power cut that number says whether the session had completed. The modem's
words are `at`'s, what its statuses mean `statuses`'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from firmware_bridge.errors import MisuseError
from firmware_bridge.iridium.at import Block, Ring, Token, Tokens, checksum
from firmware_bridge.iridium.clock import ticks_of
from firmware_bridge.iridium.sbd_words import (
    ALARM_S,
    BACKOFF_S,
    BOOT_S,
    COMMANDS,
    LONG_S,
    MAX_MESSAGE_BYTES,
    MIN_SIGNAL,
    MUTE_AFTER,
    RADIO_STEPS,
    REGISTRATION_S,
    SIGNAL_AGAIN_S,
    WRITE_FAULTS,
    Attempt,
    CyclePower,
    Event,
    Failed,
    Held,
    Mailbox,
    NetworkTime,
    Rang,
    Received,
    Sent,
    Spent,
    Step,
)
from firmware_bridge.iridium.statuses import Action, Status, status_of
from firmware_bridge.sans_io import NEVER_S


@dataclass(slots=True)
class _Message:
    message_id: int
    data: bytes
    tried: int | None
    failures: int = 0


class SbdDriver:
    """The driver, as a `sans_io.Peer`.

    Parameters
    ----------
    radio_s
        Seconds of radio (looking for a signal, sessions) that may be spent until `renew`.
    jitter
        Draws 0 to 1: what is added to a back-off, as a share of it, so that a fleet does not call at once.
    """

    max_message_bytes = MAX_MESSAGE_BYTES

    def __init__(self, *, radio_s: float = NEVER_S, jitter: Callable[[], float] = lambda: 0.5) -> None:
        self.step = Step.BOOT
        self._jitter = jitter
        self._now_s = 0.0
        self._due_s = 0.0
        self._tokens = Tokens()
        self._out = bytearray()
        self._message: _Message | None = None
        self._wants_mailbox = False
        self._has_rung = False
        """Since the last completed session: the next one answers it, by another command."""
        self._is_unanswered = False
        """A session gave no answer, and the modem has not yet said what came of it."""
        self._momsn: int | None = None
        self._written: int | None = None
        """Id of the message that the modem's buffer holds."""
        self._mo_may_hold = True
        self._mute = 0
        self._radio_s, self._radio_left_s = radio_s, radio_s
        self._radio_since_s: float | None = None
        self._is_spent = False
        self._rest_until_s = 0.0
        self._broken = b""
        self._told: tuple[int, ...] | None = None
        """Numbers of the answer that is not finished yet."""
        self._told_mailbox = False
        self._mt: tuple[int, int] | None = None
        self._read_mtmsn = -1
        self._bad_reads = 0
        """Times that the message from shore came damaged out of the modem."""
        self._events: list[Event] = []

    # What its owner may say

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way, and nothing will be before its owner says something."""
        return self.step is Step.IDLE and self._due_s == NEVER_S

    @property
    def is_free(self) -> bool:
        """Whether a message may be given."""
        return self._message is None

    def send(self, message_id: int, data: bytes, tried: int | None = None) -> None:
        """Take a message.

        Parameters
        ----------
        message_id
            The owner's own.
        data
            1 to `MAX_MESSAGE_BYTES` bytes that do not begin with 52 42.
        tried
            `Attempt.momsn` of the last attempt of which no end is known, from before a power cut; or None.
        """
        if not self.is_free:
            raise MisuseError("a message is on its way; wait for its end")
        if not 1 <= len(data) <= MAX_MESSAGE_BYTES or data[:2] == b"RB":
            raise MisuseError(
                f"message {message_id} has {len(data)} bytes, or begins with 52 42; "
                f"1 to {MAX_MESSAGE_BYTES} bytes can be sent"
            )
        self._message = _Message(message_id, data, tried)
        if self.step is Step.IDLE:
            self._due_s = self._now_s

    def recorded(self) -> None:
        """The attempt is durable: the session may begin."""
        if self.step is not Step.TOLD:
            raise MisuseError("no attempt was told")
        self._due_s = self._now_s

    def check_mailbox(self) -> None:
        """Ask for a message from shore when nothing else is to be sent; it costs a credit."""
        self._wants_mailbox = True
        if self.step is Step.IDLE:
            self._due_s = self._now_s

    def renew(self, radio_s: float | None = None) -> None:
        """Allow the radio its time again, or another one; with 0 no session is begun any more."""
        if radio_s is not None:
            self._radio_s = radio_s
        self._radio_left_s = self._radio_s
        self._is_spent = False
        if self.step is Step.IDLE:
            self._due_s = self._now_s

    def powered(self) -> None:
        """The modem has power again, or anew: what it knew is gone."""
        self._forget_modem()
        self._go(Step.BOOT, BOOT_S)

    # sans_io.Peer

    def receive(self, data: bytes, now_s: float) -> Sequence[Event]:
        """See `sans_io.Peer`."""
        self._now_s = max(self._now_s, now_s)
        self._events = []
        for token in self._tokens.feed(data):
            self._on(token)
        while self._due_s <= self._now_s:
            self._on_due()
        return self._events

    def to_send(self, limit_bytes: int) -> bytes:
        """See `sans_io.Peer`."""
        taken = bytes(self._out[:limit_bytes])
        del self._out[: len(taken)]
        return taken

    def due_s(self) -> float:
        """See `sans_io.Peer`."""
        return self._due_s

    # Steps

    def _go(self, step: Step, wait_s: float | None = None) -> None:
        """Enter a step: say its command, and wait so long for its end."""
        self._count_radio()
        self.step = step
        spec = COMMANDS.get(step)
        if spec is None:
            self._due_s = NEVER_S if wait_s is None else self._now_s + wait_s
            return
        self._broken, self._told = b"", None
        if spec.command:
            size = 0 if self._message is None else len(self._message.data)
            alert = "A" if step is Step.SESSION and self._has_rung else ""
            self._out += (spec.command.format(size) + alert).encode() + b"\r"
        if step is Step.READ:
            self._tokens.expect_block()
        if step in RADIO_STEPS:
            self._radio_since_s = self._now_s
        self._due_s = self._now_s + spec.timeout_s

    def _count_radio(self) -> None:
        if self._radio_since_s is not None:
            self._radio_left_s -= self._now_s - self._radio_since_s
            self._radio_since_s = None

    def _on_due(self) -> None:
        """Time is up: a pause has ended, or an answer did not come."""
        match self.step:
            case Step.BOOT:
                self._go(Step.WAKE)
            case Step.IDLE | Step.REST:
                self._due_s = NEVER_S
                self._decide()
            case Step.TOLD:
                self._write_or_go()
            case Step.CYCLE:
                self._events.append(CyclePower())
                self._due_s = self._now_s + ALARM_S
            case _:
                self._on_mute()

    def _on_mute(self) -> None:
        """No answer: what the modem does now is not known, so it is asked from the start."""
        if self.step is Step.SESSION and self._told is not None:
            self._session_over(self._told)  # all was said but its end
            return
        # Told as a failure only after the modem was asked: its owner then forgets the attempt's number.
        self._is_unanswered = self._is_unanswered or self.step is Step.SESSION
        self._mute += 1
        self._tokens.forget()
        self._out.clear()
        if self._mute >= MUTE_AFTER:
            self._mute = 0
            self._forget_modem()
            self._go(Step.CYCLE, 0.0)
            return
        self._written = self._momsn = None
        self._go(Step.WAKE)

    def _forget_modem(self) -> None:
        self._tokens.forget()
        self._out.clear()
        self._momsn = self._written = self._mt = None
        self._mo_may_hold = True
        self._told_mailbox = False

    def _on(self, token: Token) -> None:
        if isinstance(token, Ring):
            self._wants_mailbox = self._has_rung = True
            self._events.append(Rang())
            if self.step is Step.IDLE:
                self._due_s = self._now_s
            return
        if isinstance(token, Block):
            self._on_block(token)
            return
        text = token.text
        handler = _LINES.get(self.step)
        if handler is not None and handler(self, text):
            return
        if text in (b"OK", b"ERROR") and self.step in COMMANDS:
            self._mute = 0
            self._on_final(text == b"OK")

    def _on_final(self, is_ok: bool) -> None:
        after = COMMANDS[self.step].after
        if after is not None:
            if is_ok or self.step is not Step.WAKE:
                self._go(after)
            else:
                self._go(Step.BOOT, BACKOFF_S[0])
            return
        match self.step:
            case Step.SIGNAL:
                self._signal_known(self._told[0] if self._told else 0)
            case Step.NUMBERS | Step.READ:
                if self._mt is not None:  # the modem keeps it until the next session
                    self._go(Step.READ)
                elif self._momsn is None:
                    self._go(Step.REST, BACKOFF_S[0])
                else:
                    self._decide()
            case Step.CLEAR:
                self._mo_may_hold, self._written = not is_ok, None
                if is_ok:
                    self._decide()
                else:
                    self._go(Step.REST, BACKOFF_S[0])
            case Step.SESSION:
                self._session_over(self._told)
            case Step.WRITE | Step.BYTES:
                if self._told == (0,) and self._message is not None:
                    self._written = self._message.message_id
                    self._go(Step.SESSION)
                    return
                why = WRITE_FAULTS.get(self._told[0] if self._told else -1, "refuses the message")
                self._back_off(Status(Action.RETRY, f"the modem {why}"), -1)
                self._decide()

    # Answers, by step

    def _on_time(self, text: bytes) -> bool:
        ticks = ticks_of(text)
        if ticks is not None:
            self._events.append(NetworkTime(ticks))
        return ticks is not None

    def _on_numbers(self, text: bytes) -> bool:
        numbers = _numbers(text, b"+SBDS:", 4)
        if numbers is None:
            return False
        self._mo_may_hold, self._momsn = bool(numbers[0]), numbers[1] & 0xFFFF
        if numbers[2] and numbers[3] != self._read_mtmsn:
            self._mt = (numbers[3], 0)  # of a session whose end was not heard
        return True

    def _on_signal(self, text: bytes) -> bool:
        self._told = _numbers(text, b"+CSQ:", 1) or self._told
        return text.startswith(b"+CSQ:")

    def _signal_known(self, bars: int) -> None:
        if bars < MIN_SIGNAL:
            self._rest(SIGNAL_AGAIN_S)
        elif self._message is None:
            self._go(Step.SESSION)
        else:
            self._go(Step.TOLD)
            self._events.append(Attempt(self._message.message_id, self._momsn or 0))

    def _write_or_go(self) -> None:
        message = self._message
        assert message is not None
        message.tried = self._momsn
        if self._written == message.message_id:
            self._go(Step.SESSION)
        else:
            self._go(Step.WRITE)

    def _on_ready(self, text: bytes) -> bool:
        if text != b"READY" or self._message is None:
            return False
        self._mo_may_hold, self._written = True, None
        self._out += self._message.data + checksum(self._message.data)
        self._go(Step.BYTES)
        return True

    def _on_written(self, text: bytes) -> bool:
        if text not in (b"0", b"1", b"2", b"3"):
            return False
        self._told = (int(text),)
        if text == b"1":  # the one after which no `OK` follows
            self._on_final(False)
        return True

    def _on_session(self, text: bytes) -> bool:
        numbers = _numbers(self._broken + text, b"+SBDIX:", 6) or _numbers(text, b"+SBDIX:", 6)
        if numbers is None:
            # A ring in the middle of the line leaves it in two pieces.
            self._broken = text if text.startswith(b"+SBDIX:") else b""
            return False
        if self._told is None:
            self._told = numbers
            self._tell_sent(numbers)
        return True

    def _tell_sent(self, numbers: tuple[int, ...]) -> None:
        """At once: until its owner has written it down, a power cut costs another session."""
        code, momsn, *_ = numbers
        if status_of(code).action is not Action.SENT:
            return
        self._momsn = (momsn + 1) & 0xFFFF
        self._has_rung = False
        if self._message is None:
            self._told_mailbox = True
        else:
            self._events.append(Sent(self._message.message_id, momsn & 0xFFFF))
            self._message = None

    def _session_over(self, numbers: tuple[int, ...] | None) -> None:
        if numbers is None:
            self._back_off(Status(Action.RETRY, "the modem refused the session"), -1)
            self._decide()
            return
        code, _, mt_status, mtmsn, mt_length, queued = numbers
        status = status_of(code)
        if status.action is Action.SENT:
            self._wants_mailbox = queued > 0
        elif status.action is Action.HOLD and self._message is not None:
            self._events.append(Held(self._message.message_id, code, status.words))
            self._message = None
        else:
            self._back_off(status, code)
        if mt_status == 1 and mt_length > 0:
            self._mt = (mtmsn, queued)
            self._bad_reads = 0
            self._go(Step.READ)
            return
        self._tell_mailbox(False)
        self._decide()

    def _on_block(self, block: Block) -> None:
        if self.step is not Step.READ:
            return
        mtmsn, queued = self._mt or (-1, 0)
        if block.data is None and self._bad_reads < MUTE_AFTER:
            self._bad_reads += 1
            return
        self._bad_reads = 0
        self._mt, self._read_mtmsn = None, mtmsn
        if block.data:
            self._events.append(Received(block.data, mtmsn, queued))
        self._tell_mailbox(bool(block.data))

    def _tell_mailbox(self, found: bool) -> None:
        if self._told_mailbox:
            self._told_mailbox = False
            self._events.append(Mailbox(found))

    # What next

    def _decide(self) -> None:
        """Nothing is under way."""
        message = self._message
        if self._momsn is None and (message is not None or self._wants_mailbox):
            self._go(Step.NUMBERS)
            return
        is_unanswered, self._is_unanswered = self._is_unanswered, False
        if message is not None and message.tried is not None:
            # The number grows on a completed session alone: this one had completed.
            if self._momsn == (message.tried + 1) & 0xFFFF:
                self._events.append(Sent(message.message_id, message.tried))
                self._message = message = None
            else:
                message.tried = None
        if is_unanswered and (message is not None or self._wants_mailbox):
            self._back_off(Status(Action.SAME_AGAIN, "the session gave no answer"), -1)
        if message is None and self._written is not None:
            self._go(Step.CLEAR)
            return
        if message is None and not self._wants_mailbox:
            self._go(Step.IDLE)
            return
        if self._radio_left_s <= 0:
            if not self._is_spent:
                self._is_spent = True
                self._events.append(Spent())
            self._go(Step.IDLE)
            return
        if self._now_s < self._rest_until_s:
            self._go(Step.REST, self._rest_until_s - self._now_s)
            return
        if message is None and self._mo_may_hold:
            self._go(Step.CLEAR)  # or the check would send, and bill, what the buffer holds
            return
        self._go(Step.SIGNAL)

    def _rest(self, seconds: float) -> None:
        self._rest_until_s = self._now_s + seconds
        self._decide()

    def _back_off(self, status: Status, code: int) -> None:
        """Say when it is tried again."""
        message = self._message
        failures = 0 if message is None else message.failures
        match status.action:
            case Action.WAIT_LONG:
                wait_s = LONG_S
            case Action.WAIT_REGISTRATION:
                wait_s = REGISTRATION_S
            case Action.ALARM | Action.HOLD:
                wait_s = ALARM_S
            case _:
                wait_s = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)] * (1 + self._jitter())
        self._rest_until_s = self._now_s + wait_s
        if message is None:
            return
        message.failures += 1
        words = status.words if code < 0 else f"{status.words} (status {code})"
        is_alarm = status.action is Action.ALARM
        self._events.append(Failed(message.message_id, words, self._rest_until_s, is_alarm))


def _numbers(text: bytes, name: bytes, count: int) -> tuple[int, ...] | None:
    """Numbers after a name, exactly so many; None for any other line."""
    if not text.startswith(name):
        return None
    try:
        found = tuple(int(part) for part in text[len(name) :].split(b","))
    except ValueError:
        return None
    return found if len(found) == count and all(abs(n) < 1 << 17 for n in found) else None


_LINES: dict[Step, Callable[[SbdDriver, bytes], bool]] = {
    Step.TIME: SbdDriver._on_time,
    Step.NUMBERS: SbdDriver._on_numbers,
    Step.SIGNAL: SbdDriver._on_signal,
    Step.WRITE: SbdDriver._on_ready,
    Step.BYTES: SbdDriver._on_written,
    Step.SESSION: SbdDriver._on_session,
}
"""What takes a line in which step; it says whether it did."""
