"""Driver of an Iridium Messaging Transport modem (RockBLOCK 9704), which speaks lines of JSON (JSPR). Pure.

Not tried on hardware. Commands, answers and order are those of the vendor's MIT library
(rock7/RockBLOCK-9704) and of a public record of sessions with a real modem (API 1.7.0): codes 200, 402, 406
are consent, 405 is what the first words after opening bring, every payload is followed by its CRC-16 (XMODEM,
high byte first), and the modem asks for a message's segments. Pauses and time limits here are the project's
own, and so is putting the modem back to `inactive`. The modem's numbers of messages are small and begin anew,
and messages come twice: shore knows ours by the ids within, and those from shore are told as often as they
come, since commands bear ids too.
"""

from __future__ import annotations

import base64
import binascii
import enum
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from firmware_bridge.errors import MisuseError
from firmware_bridge.iridium import sbd_words as words
from firmware_bridge.iridium.radio import BACKOFF_S, Radio
from firmware_bridge.sans_io import NEVER_S

BAUD = 230_400
TOPIC = 244
"""Of raw bytes, which every account has."""
CRC_BYTES = 2
MAX_MESSAGE_BYTES = 100_000 - CRC_BYTES
MAX_LINE_BYTES = 4096
MAX_WAITING_BYTES = 16_384
"""Of output: a segment that is asked for beyond it is not given."""
LISTEN_S = 30.0
"""With a signal, so long for messages from shore."""
SEND_S = 300.0
"""From the message's first word to its end."""
ANSWER_S = 5.0
_LINE = re.compile(rb"(\d{3}) (\w{1,40}) (\{.*\})")
_CONSENT = (200, 402, 406)


class Step(enum.Enum):
    """What the driver waits for. Those with a command are in `COMMANDS`."""

    IDLE = "idle"
    REST = "rest"
    BOOT = "boot"
    WAKE = "wake"
    VERSION = "version"
    SIM = "sim"
    ACTIVE = "active"
    SIGNAL = "signal"
    NO_SIGNAL = "no signal"
    LISTEN = "listen"
    TOLD = "attempt told"
    ORIGINATE = "originate"
    SEND = "send"
    OFF = "off"
    CYCLE = "power cycle"


COMMANDS: dict[Step, tuple[str, str, Step]] = {
    Step.WAKE: ("GET", "apiVersion", Step.VERSION),
    Step.VERSION: ("PUT", "apiVersion", Step.SIM),
    Step.SIM: ("PUT", "simConfig", Step.ACTIVE),
    Step.ACTIVE: ("PUT", "operationalState", Step.SIGNAL),
    Step.SIGNAL: ("GET", "constellationState", Step.NO_SIGNAL),
    Step.ORIGINATE: ("PUT", "messageOriginate", Step.SEND),
    Step.OFF: ("PUT", "operationalState", Step.IDLE),
}
"""Method, target, and what follows consent."""
_RADIO = (Step.SIGNAL, Step.NO_SIGNAL, Step.LISTEN, Step.TOLD, Step.ORIGINATE, Step.SEND, Step.OFF)


def sealed(data: bytes) -> bytes:
    """Give a payload with its checksum."""
    return data + binascii.crc_hqx(data, 0).to_bytes(CRC_BYTES, "big")


class ImtDriver:
    """See `driver.Driver`.

    Parameters
    ----------
    radio_s, jitter
        See `Radio`; the radio counts as on while the modem is active.
    """

    max_message_bytes = MAX_MESSAGE_BYTES

    def __init__(self, *, radio_s: float = NEVER_S, jitter: Callable[[], float] = lambda: 0.5) -> None:
        self.step = Step.IDLE
        self._radio = Radio(radio_s, jitter)
        self._now_s = self._due_s = self._send_until_s = 0.0
        self._held, self._out = bytearray(), bytearray()
        self._version: dict[str, int] = {}
        self._message: tuple[int, bytes] | None = None
        """Its id, and its bytes with their checksum."""
        self._number: int | None = None
        """The modem's, of the message that it has taken."""
        self._reference = 0
        self._from_shore: tuple[int, bytearray] | None = None
        self._wants_mailbox = self._found = self._is_recorded = False
        self._events: list[words.Event] = []

    @property
    def is_free(self) -> bool:
        """See `Driver`."""
        return self._message is None

    @property
    def is_idle(self) -> bool:
        """See `Driver`."""
        return self.step is Step.IDLE and self._due_s == NEVER_S

    def send(self, message_id: int, data: bytes, tried: int | None = None) -> None:
        """See `Driver`; what was tried before goes again, and shore knows it by the id within."""
        if not self.is_free:
            raise MisuseError("a message is on its way; wait for its end")
        if not 1 <= len(data) <= MAX_MESSAGE_BYTES:
            raise MisuseError(
                f"message {message_id} has {len(data)} bytes; 1 to {MAX_MESSAGE_BYTES} can be sent"
            )
        self._message, self._number = (message_id, sealed(data)), None
        self._wake()

    def recorded(self) -> None:
        """See `Driver`."""
        if self.step is not Step.TOLD:
            raise MisuseError("no attempt was told")
        self._is_recorded, self._due_s = True, self._now_s

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
        self._out.clear()
        self._held.clear()
        self._number = self._from_shore = None
        self._go(Step.BOOT, words.BOOT_S)

    def _wake(self) -> None:
        if self.step is Step.IDLE:
            self._due_s = self._now_s

    # sans_io.Peer

    def receive(self, data: bytes, now_s: float) -> Sequence[words.Event]:
        """See `sans_io.Peer`."""
        self._now_s = max(self._now_s, now_s)
        self._events = []
        self._held += data
        *lines, rest = self._held.split(b"\r")
        self._held = rest[: MAX_LINE_BYTES + 1]  # one too long stays too long
        for line in lines:
            match = _LINE.search(line) if len(line) <= MAX_LINE_BYTES else None
            body = None if match is None else _parsed(match[3])
            if match is not None and body is not None:
                self._on(int(match[1]), match[2].decode("ascii"), body)
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

    def _say(self, method: str, target: str, body: dict[str, Any]) -> None:
        # The modem wants a space after each colon and comma: json's own default.
        self._out += f"{method} {target} {json.dumps(body)}\r".encode("ascii")

    def _go(self, step: Step, wait_s: float = NEVER_S) -> None:
        self.step = step
        self._radio.turn(step in _RADIO, self._now_s)
        if step in COMMANDS:
            method, target, _ = COMMANDS[step]
            self._say(method, target, self._body(step))
            wait_s = ANSWER_S
        self._due_s = self._now_s + wait_s

    def _body(self, step: Step) -> dict[str, Any]:
        match step:
            case Step.VERSION:
                return {"active_version": self._version}
            case Step.SIM:
                return {"interface": "internal"}
            case Step.ACTIVE | Step.OFF:
                return {"state": "active" if step is Step.ACTIVE else "inactive"}
            case Step.ORIGINATE if self._message is not None:
                self._reference = self._reference % 100 + 1
                size = len(self._message[1])
                return {"topic_id": TOPIC, "message_length": size, "request_reference": self._reference}
        return {}

    def _on_due(self) -> None:
        match self.step:
            case Step.IDLE | Step.REST:
                self._decide()
            case Step.BOOT:
                self._go(Step.WAKE)
            case Step.NO_SIGNAL:
                self._go(Step.OFF if self._radio.left_s(self._now_s) <= 0 else Step.SIGNAL)
            case Step.LISTEN:
                self._wants_mailbox = False
                self._events.append(words.Mailbox(self._found))
                self._go(Step.SIGNAL if self._message is not None else Step.OFF)
            case Step.TOLD if self._is_recorded:
                self._send_until_s = self._now_s + min(SEND_S, self._radio.left_s(self._now_s))
                self._go(Step.ORIGINATE)
            case Step.SEND:
                self._failed("the modem told no end of it")
            case Step.OFF:
                self._go(Step.IDLE, 0.0)
            case Step.CYCLE:
                self._events.append(words.CyclePower())
                self._due_s = self._now_s + BACKOFF_S[-1]
            case _:
                self._on_mute()

    def _on_mute(self) -> None:
        self._out.clear()
        if self._radio.is_mute():
            self._go(Step.CYCLE, 0.0)
        else:
            self._go(Step.WAKE)

    def _decide(self) -> None:
        """The modem is at rest: make it active when there is a reason, and radio left."""
        wait_s = self._radio.wait_s(self._now_s)
        if self._message is None and not self._wants_mailbox:
            self._go(Step.IDLE)
        elif wait_s == NEVER_S:
            if self._radio.tell_spent():
                self._events.append(words.Spent())
            self._go(Step.IDLE)
        elif wait_s > 0:
            self._go(Step.REST, wait_s)
        else:
            self._go(Step.WAKE)

    # Words of the modem

    def _on(self, code: int, target: str, body: dict[str, Any]) -> None:
        if code == 299:
            handler = _UNSOLICITED.get(target)
            if handler is not None:
                handler(self, body)
            return
        _, asked, after = COMMANDS.get(self.step, ("", "", Step.IDLE))
        if target != asked:
            return
        if self.step is Step.OFF:
            self._go(after, 0.0)
            return
        if code not in _CONSENT:
            if self.step is not Step.WAKE:  # whose first answer may be 405: it is asked again in time
                self._failed(f"the modem refuses {target} with {code}", alarm=True)
            return
        self._radio.answered()
        match self.step:
            case Step.WAKE:
                versions = body.get("supported_versions")
                first = versions[0] if isinstance(versions, list) and versions else None
                if isinstance(first, dict):
                    self._version = {key: _natural(first, key) or 0 for key in ("major", "minor", "patch")}
                    self._go(after)
            case Step.SIGNAL:
                self._on_signal(body)
            case Step.ORIGINATE:
                self._number = _natural(body, "message_id")
                if body.get("message_response") != "message_accepted" or self._number is None:
                    self._failed("the modem does not accept it", alarm=True)
                else:
                    self._go(after, self._send_until_s - self._now_s)
            case _:
                self._go(after)

    def _on_signal(self, body: dict[str, Any]) -> None:
        if self.step not in (Step.SIGNAL, Step.NO_SIGNAL):
            return
        if body.get("constellation_visible") is not True or not _natural(body, "signal_bars"):
            if self.step is Step.SIGNAL:
                self._go(Step.NO_SIGNAL, words.SIGNAL_AGAIN_S)
        elif self._radio.left_s(self._now_s) <= 0:
            self._go(Step.OFF)
        elif self._message is not None:
            self._is_recorded, self._number = False, None
            self._go(Step.TOLD)
            self._events.append(words.Attempt(self._message[0], 0))
        else:
            self._found = False
            self._go(Step.LISTEN, min(LISTEN_S, self._radio.left_s(self._now_s)))

    def _on_segment_wanted(self, body: dict[str, Any]) -> None:
        start, size = _natural(body, "segment_start"), _natural(body, "segment_length")
        if self._message is None or not self._is_ours(body) or start is None or not size:
            return
        data = self._message[1][start : start + size]
        if len(data) == size and len(self._out) < MAX_WAITING_BYTES:
            echoed = {"topic_id": TOPIC, "message_id": self._number}
            where = {"segment_length": size, "segment_start": start}
            text = {"data": base64.b64encode(data).decode("ascii")}
            self._say("PUT", "messageOriginateSegment", echoed | where | text)

    def _on_end(self, body: dict[str, Any]) -> None:
        """Of a message of ours, though it may come long after it was given up."""
        if self._message is None or not self._is_ours(body):
            return
        if body.get("final_mo_status") == "mo_ack_received":
            self._events.append(words.Sent(self._message[0], 0))
            self._message, self._number, self._radio.failures = None, None, 0
            if self.step is Step.SEND:
                self._go(Step.SIGNAL)
        elif self.step is Step.SEND:
            self._failed(f"the modem says {str(body.get('final_mo_status'))[:60]!a}")

    def _is_ours(self, body: dict[str, Any]) -> bool:
        is_same = _natural(body, "message_id") == self._number
        return self._number is not None and is_same and body.get("topic_id") == TOPIC

    def _failed(self, reason: str, *, alarm: bool = False) -> None:
        again_s = self._radio.back_off(self._now_s)
        if self._message is not None:
            self._events.append(words.Failed(self._message[0], reason, again_s, alarm))
        if self.step in (Step.SEND, Step.ORIGINATE, Step.SIGNAL):
            self._go(Step.OFF)
        else:
            self._go(Step.REST, again_s - self._now_s)

    def _on_shore_begins(self, body: dict[str, Any]) -> None:
        number = _natural(body, "message_id")
        if number is not None and body.get("topic_id") == TOPIC:
            self._from_shore = (number, bytearray())

    def _on_shore_segment(self, body: dict[str, Any]) -> None:
        if self._from_shore is None or _natural(body, "message_id") != self._from_shore[0]:
            return
        got, text = self._from_shore[1], body.get("data")
        try:
            data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
        except ValueError:
            return  # its checksum tells at the end
        if _natural(body, "segment_start") == len(got) and len(got) + len(data) <= 100_000:
            got += data

    def _on_shore_ends(self, body: dict[str, Any]) -> None:
        if self._from_shore is None or _natural(body, "message_id") != self._from_shore[0]:
            return
        number, got = self._from_shore
        self._from_shore = None
        data = bytes(got[:-CRC_BYTES])
        if body.get("final_mt_status") == "complete" and data and sealed(data) == got:
            self._found = True
            self._events.append(words.Received(data, number, 0))
        else:
            self._events.append(words.Damaged(number))


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _natural(body: dict[str, Any], key: str) -> int | None:
    value = body.get(key)
    return value if type(value) is int and 0 <= value < 1 << 32 else None


_UNSOLICITED: dict[str, Callable[[ImtDriver, dict[str, Any]], None]] = {
    "constellationState": ImtDriver._on_signal,
    "messageOriginateSegment": ImtDriver._on_segment_wanted,
    "messageOriginateStatus": ImtDriver._on_end,
    "messageTerminate": ImtDriver._on_shore_begins,
    "messageTerminateSegment": ImtDriver._on_shore_segment,
    "messageTerminateStatus": ImtDriver._on_shore_ends,
}
