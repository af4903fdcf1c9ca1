"""Driver of an Iridium SBD modem (9602, 9603): the AT contract, sans-IO. Pure.

One message at a time, at least once: an attempt is told before the session, so that its owner writes down the
modem's number of it, and after a power cut that number says whether the session had completed. The modem's
words are `at`'s, what its statuses mean `statuses`'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from firmware_bridge.errors import MisuseError
from firmware_bridge.iridium import sbd_words as words
from firmware_bridge.iridium.at import Block, NumberLine, Ring, Token, Tokens, checksum, numbers_after
from firmware_bridge.iridium.clock import ticks_of
from firmware_bridge.iridium.radio import BACKOFF_S, Radio
from firmware_bridge.iridium.sbd_buffers import Buffers
from firmware_bridge.iridium.sbd_words import Step
from firmware_bridge.iridium.statuses import ALARM_S, PAUSE_S, Action, Status, status_of
from firmware_bridge.sans_io import NEVER_S


class SbdDriver:
    """See `driver.Driver`.

    Parameters
    ----------
    radio_s, jitter
        See `Radio`; the radio counts as on while it looks for a signal, and in sessions.
    """

    max_message_bytes = words.MAX_MESSAGE_BYTES

    def __init__(self, *, radio_s: float = NEVER_S, jitter: Callable[[], float] = lambda: 0.5) -> None:
        self.step = Step.BOOT
        self._radio, self._buffers, self._tokens = Radio(radio_s, jitter), Buffers(), Tokens()
        self._now_s = self._due_s = 0.0
        self._out = bytearray()
        self._message: words.Message | None = None
        self._wants_mailbox = False
        self._has_rung = False
        """Since the last completed session: the next one answers it, by another command."""
        self._is_unanswered = False
        """A session gave no answer, and the modem has not yet said what came of it."""
        self._is_unconfirmed = False
        """A session seems to have completed, and the modem's number has not yet said so too."""
        self._session_line = NumberLine(b"+SBDIX:", 6)
        self._told: tuple[int, ...] | None = None
        """Numbers of the answer that is not finished yet."""
        self._told_mailbox = False
        self._events: list[words.Event] = []

    # What its owner may say

    @property
    def is_idle(self) -> bool:
        """See `Driver`."""
        return self.step is Step.IDLE and self._due_s == NEVER_S

    @property
    def is_free(self) -> bool:
        """See `Driver`."""
        return self._message is None

    def send(self, message_id: int, data: bytes, tried: int | None = None) -> None:
        """See `Driver`; bytes that begin with 52 42 are misuse: a RockBLOCK gives them to another unit."""
        if not self.is_free:
            raise MisuseError("a message is on its way; wait for its end")
        if not 1 <= len(data) <= words.MAX_MESSAGE_BYTES or data[:2] == b"RB":
            raise MisuseError(
                f"message {message_id} has {len(data)} bytes, or begins with 52 42; "
                f"1 to {words.MAX_MESSAGE_BYTES} bytes can be sent"
            )
        self._message = words.Message(message_id, data, tried)
        self._wake()

    def recorded(self) -> None:
        """See `Driver`."""
        if self.step is not Step.TOLD:
            raise MisuseError("no attempt was told")
        self._due_s = self._now_s

    def check_mailbox(self) -> None:
        """See `Driver`."""
        self._wants_mailbox = True
        self._wake()

    def renew(self, radio_s: float | None = None) -> None:
        """See `Driver`."""
        self._radio.renew(radio_s)
        self._wake()

    def powered(self) -> None:
        """See `Driver`."""
        self._forget_modem()
        self._go(Step.BOOT, words.BOOT_S)

    def _wake(self) -> None:
        if self.step is Step.IDLE:
            self._due_s = self._now_s

    # sans_io.Peer

    def receive(self, data: bytes, now_s: float) -> Sequence[words.Event]:
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
        self._radio.turn(step in words.RADIO_STEPS, self._now_s)
        self.step = step
        spec = words.COMMANDS.get(step)
        if spec is None:
            self._due_s = NEVER_S if wait_s is None else self._now_s + wait_s
            return
        self._session_line.forget()
        self._told = None
        if spec.command:
            size = 0 if self._message is None else len(self._message.data)
            alert = "A" if step is Step.SESSION and self._has_rung else ""
            self._out += (spec.command.format(size) + alert).encode() + b"\r"
        if step is Step.READ:
            self._tokens.expect_block()
        self._due_s = self._now_s + spec.timeout_s

    def _on_due(self) -> None:
        """Time is up: a pause has ended, or an answer did not come."""
        match self.step:
            case Step.BOOT:
                self._go(Step.WAKE)
            case Step.IDLE | Step.REST:
                self._decide()
            case Step.TOLD:
                self._write_or_go()
            case Step.CYCLE:
                self._events.append(words.CyclePower())
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
        self._tokens.forget()
        self._out.clear()
        if self._radio.is_mute():
            self._forget_modem()
            self._go(Step.CYCLE, 0.0)
            return
        self._buffers.written = self._buffers.momsn = None
        self._go(Step.WAKE)

    def _forget_modem(self) -> None:
        self._tokens.forget()
        self._out.clear()
        self._buffers.forget()
        self._told_mailbox = False

    def _on(self, token: Token) -> None:
        if isinstance(token, Ring):
            self._wants_mailbox = self._has_rung = True
            self._events.append(words.Rang())
            self._wake()
            return
        if isinstance(token, Block):
            self._on_block(token)
            return
        text = token.text
        handler = _LINES.get(self.step)
        if handler is not None and handler(self, text):
            return
        if text in (b"OK", b"ERROR") and self.step in words.COMMANDS:
            self._radio.answered()
            self._on_final(text == b"OK")

    def _on_final(self, is_ok: bool) -> None:
        after = words.COMMANDS[self.step].after
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
                if self._buffers.unread is not None:  # the modem keeps it until the next session
                    self._go(Step.READ)
                elif self.step is Step.NUMBERS and self._buffers.momsn is None:
                    self._go(Step.REST, BACKOFF_S[0])
                else:
                    self._decide()
            case Step.CLEAR:
                self._buffers.may_hold, self._buffers.written = not is_ok, None
                if is_ok:
                    self._decide()
                else:
                    self._go(Step.REST, BACKOFF_S[0])
            case Step.SESSION:
                self._session_over(self._told)
            case Step.WRITE | Step.BYTES:
                if self._told == (0,) and self._message is not None:
                    self._buffers.written = self._message.message_id
                    self._go(Step.SESSION)
                    return
                why = words.WRITE_FAULTS.get(self._told[0] if self._told else -1, "refuses the message")
                self._back_off(Status(Action.RETRY, f"the modem {why}"), -1)
                self._decide()

    # Answers, by step

    def _on_time(self, text: bytes) -> bool:
        ticks = ticks_of(text)
        if ticks is not None:
            self._events.append(words.NetworkTime(ticks))
        return ticks is not None

    def _on_signal(self, text: bytes) -> bool:
        self._told = numbers_after(b"+CSQ:", text, 1) or self._told
        return text.startswith(b"+CSQ:")

    def _signal_known(self, bars: int) -> None:
        if bars < words.MIN_SIGNAL:
            self._radio.rest(words.SIGNAL_AGAIN_S, self._now_s)
            self._decide()
        elif self._message is None:
            self._go(Step.SESSION)
        else:
            self._go(Step.TOLD)
            self._events.append(words.Attempt(self._message.message_id, self._buffers.momsn or 0))

    def _write_or_go(self) -> None:
        message = self._message
        assert message is not None
        message.tried = self._buffers.momsn
        if self._buffers.written == message.message_id:
            self._go(Step.SESSION)
        else:
            self._go(Step.WRITE)

    def _on_ready(self, text: bytes) -> bool:
        if text != b"READY" or self._message is None:
            return False
        self._buffers.may_hold, self._buffers.written = True, None
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
        numbers = self._session_line.read(text)
        if numbers is not None and self._told is None:
            self._told = numbers
        return numbers is not None

    def _session_over(self, numbers: tuple[int, ...] | None) -> None:
        if numbers is None:
            self._buffers.written = None  # it may have taken less than was meant, and the rest for commands
            self._back_off(Status(Action.RETRY, "the modem refused the session"), -1)
            self._decide()
            return
        code, momsn, mt_status, mtmsn, mt_length, queued = numbers
        status = status_of(code)
        if status.action is Action.SENT:
            self._wants_mailbox, self._has_rung = queued > 0, False
            if self._message is None:
                self._buffers.completed(momsn)
                self._told_mailbox = True
            else:
                # The line has no checksum, and "32" that lost a character is a success: the number decides.
                self._buffers.momsn, self._is_unconfirmed = None, True
        elif status.action is Action.HOLD and self._message is not None:
            self._let_go(words.Held(self._message.message_id, code, status.words))
        else:
            self._back_off(status, code)
        if mt_status == 1 and mt_length > 0:
            self._buffers.came(mtmsn, queued)
            self._go(Step.READ)
            return
        self._tell_mailbox(False)
        self._decide()

    def _on_block(self, block: Block) -> None:
        if self.step is not Step.READ:
            return
        mtmsn, queued = self._buffers.unread or (-1, 0)
        if not self._buffers.read(is_good=block.data is not None):
            return
        if block.data is None:
            self._events.append(words.Damaged(mtmsn))
        if block.data:
            self._events.append(words.Received(block.data, mtmsn, queued))
        self._tell_mailbox(bool(block.data))

    def _tell_mailbox(self, found: bool) -> None:
        if self._told_mailbox:
            self._told_mailbox = False
            self._events.append(words.Mailbox(found))

    # What next

    def _decide(self) -> None:
        """Nothing is under way."""
        message, buffers = self._message, self._buffers
        if buffers.momsn is None and (message is not None or self._wants_mailbox):
            self._go(Step.NUMBERS)
            return
        is_unanswered, self._is_unanswered = self._is_unanswered, False
        if message is not None and message.tried is not None:
            is_unconfirmed, self._is_unconfirmed = self._is_unconfirmed, False
            if buffers.had_completed(message.tried):
                self._let_go(words.Sent(message.message_id, message.tried))
                message = None
            else:
                message.tried = None
                if is_unconfirmed:
                    self._back_off(Status(Action.SAME_AGAIN, "the modem's number denies the session"), -1)
        if is_unanswered and (message is not None or self._wants_mailbox):
            self._back_off(Status(Action.SAME_AGAIN, "the session gave no answer"), -1)
        wait_s = self._radio.wait_s(self._now_s)
        if message is None and buffers.written is not None:
            self._go(Step.CLEAR)
        elif message is None and not self._wants_mailbox:
            self._go(Step.IDLE)
        elif wait_s == NEVER_S:
            if self._radio.tell_spent():
                self._events.append(words.Spent())
            self._go(Step.IDLE)
        elif wait_s > 0:
            self._go(Step.REST, wait_s)
        elif message is None and buffers.may_hold:
            self._go(Step.CLEAR)  # or the check would send, and bill, what the buffer holds
        else:
            self._go(Step.SIGNAL)

    def _let_go(self, end: words.Sent | words.Held) -> None:
        """The message is no longer the driver's."""
        self._events.append(end)
        self._message, self._radio.failures = None, 0

    def _back_off(self, status: Status, code: int) -> None:
        """Say when it is tried again."""
        wait_s = PAUSE_S.get(status.action) or self._radio.pause_s()
        again_s = self._radio.rest(wait_s, self._now_s)
        if self._message is not None:
            self._radio.failures += 1
            why = status.words if code < 0 else f"{status.words} (status {code})"
            is_alarm = status.action is Action.ALARM
            self._events.append(words.Failed(self._message.message_id, why, again_s, is_alarm))


_LINES: dict[Step, Callable[[SbdDriver, bytes], bool]] = {
    Step.TIME: SbdDriver._on_time,
    Step.NUMBERS: lambda driver, text: driver._buffers.on_numbers(text),
    Step.SIGNAL: SbdDriver._on_signal,
    Step.WRITE: SbdDriver._on_ready,
    Step.BYTES: SbdDriver._on_written,
    Step.SESSION: SbdDriver._on_session,
}
"""What takes a line in which step; it says whether it did."""
