"""An Iridium Messaging Transport modem (RockBLOCK 9704) under a sky, to test a driver against.

It refuses its first words, wants version and SIM before all else, asks for a message's segments, tells an end
that may be late, wrong or missing, and gives messages from shore segment by segment, sometimes twice. Codes
and names are those of the vendor's MIT library (rock7/RockBLOCK-9704); what a real modem does beyond them is
not known here, and nothing was compared with one.
"""

from __future__ import annotations

import base64
import binascii
import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

from firmware_bridge.iridium.imt import CRC_BYTES, MAX_MESSAGE_BYTES, TOPIC, sealed
from firmware_bridge.iridium.sky import Agenda, Gateway, Outcome, Session, Sky

SEGMENT_BYTES = 1446
MAX_LINE_BYTES = 8192
NUMBERS = 8
"""The modem's numbers of messages begin anew after so many."""
DONE, UNSOLICITED = 200, 299
NO_VERSION, NO_SUCH_REQUEST, ALREADY_SET, TOO_LONG, NO_SUCH_TARGET, MALFORMED = 400, 401, 402, 403, 404, 405
NOT_ALLOWED, BAD_JSON, FAILED, NO_SIM, NOT_PROVISIONED = 406, 407, 408, 410, 418
VERSIONS = ({"major": 1, "minor": 7, "patch": 0}, {"major": 1, "minor": 6, "patch": 1})
FAILURES = ("message_expired", "message_transfer_timeout", "network_error", "message_discarded_on_overflow")
_LINE = re.compile(rb"(GET|PUT) (\w{1,30}) (\{.*\})")


class ImtModem:
    """The modem, as a `sans_io.Peer` whose events are `Session`.

    Parameters
    ----------
    gateway
        Kept over power cuts by whoever cuts the power.

    Attributes
    ----------
    is_active
        Whether its radio is on.
    """

    def __init__(self, sky: Sky | None = None, *, seed: int = 0, gateway: Gateway | None = None) -> None:
        self.gateway = gateway or Gateway()
        self._sky = sky or Sky()
        self._draw = random.Random(seed)
        self._now_s = 0.0
        self._events: list[Session] = []
        self.is_active, self._bars = False, 0
        self.power(0.0)

    def power(self, now_s: float) -> None:
        """Power was cut and is back: only what the gateway has is left."""
        self._now_s = max(self._now_s, now_s)
        self._line, self._out = bytearray(), bytearray()
        self._is_cold, self._is_deaf = True, False
        self._has_version = self._has_sim = False
        self._number, self._mt_number = -1, -1
        self._rest()

    def queue(self, data: bytes) -> None:
        """A message from shore waits at the gateway; it comes when the modem has a signal."""
        self.gateway.to_float.append(data)
        if self._bars:
            self._begin_giving()

    def receive(self, data: bytes, now_s: float) -> Sequence[Session]:
        """See `sans_io.Peer`."""
        self._now_s = max(self._now_s, now_s)
        self._events = []
        self._on_time()
        if not self._is_deaf:
            self._line += data
            *lines, rest = self._line.split(b"\r")
            for line in lines:
                self._take(bytes(line).strip(b"\n"))
            self._line = bytearray(rest[: MAX_LINE_BYTES + 1])  # one too long stays too long
        self._on_time()
        return self._events

    def to_send(self, limit_bytes: int) -> bytes:
        """See `sans_io.Peer`."""
        taken = bytes(self._out[:limit_bytes])
        del self._out[: len(taken)]
        return taken

    def due_s(self) -> float:
        """See `sans_io.Peer`."""
        return self._agenda.due_s()

    def _on_time(self) -> None:
        until_s = self._now_s
        while (due := self._agenda.next_until(until_s)) is not None:
            self._now_s, action = due
            action()
        self._now_s = until_s

    def _after(self, seconds: tuple[float, float], action: Callable[[], None]) -> None:
        self._agenda.add(self._now_s + self._draw.uniform(*seconds), action)

    # Words

    def _say(self, code: int, target: str, **body: Any) -> None:
        self._out += f"{code} {target} {json.dumps(body, separators=(',', ':'))}\r".encode()

    def _take(self, line: bytes) -> None:
        if self._is_deaf:
            return
        found = _LINE.fullmatch(line)
        if self._is_cold or found is None or len(line) > MAX_LINE_BYTES:
            code = TOO_LONG if len(line) > MAX_LINE_BYTES else MALFORMED
            self._is_cold = False
            self._say(code, "MALFORMED")
            return
        method, target = found[1].decode(), found[2].decode()
        try:
            body = json.loads(found[3])
        except (ValueError, RecursionError):
            self._say(BAD_JSON, target)
            return
        handler = _TARGETS.get((method, target))
        if handler is None:
            known = any(target == name for _, name in _TARGETS)
            self._say(NO_SUCH_REQUEST if known else NO_SUCH_TARGET, target)
        elif target != "apiVersion" and not self._has_version:
            self._say(NO_VERSION, target)
        else:
            handler(self, body)

    def _versions(self, body: dict[str, Any]) -> None:
        self._say(DONE, "apiVersion", supported_versions=VERSIONS)

    def _choose_version(self, body: dict[str, Any]) -> None:
        if body.get("active_version") not in VERSIONS:
            self._say(FAILED, "apiVersion")
            return
        self._say(ALREADY_SET if self._has_version else DONE, "apiVersion")
        self._has_version = True

    def _choose_sim(self, body: dict[str, Any]) -> None:
        self._say(ALREADY_SET if self._has_sim else DONE, "simConfig")
        self._has_sim = True

    def _set_state(self, body: dict[str, Any]) -> None:
        wished = body.get("state")
        if wished not in ("active", "inactive"):
            self._say(FAILED, "operationalState")
        elif not self._has_sim:
            self._say(NO_SIM, "operationalState")
        elif self.is_active == (wished == "active"):
            self._say(NOT_ALLOWED, "operationalState")
        else:
            self._say(DONE, "operationalState", state=wished)
            self._rest()
            if wished == "active":
                self.is_active = True
                self._after(self._sky.signal_s, self._look)

    def _rest(self) -> None:
        """The radio is off: what was on its way is not."""
        self.is_active, self._bars = False, 0
        self._agenda = Agenda()
        self._size, self._message, self._is_giving = 0, bytearray(), False

    # The sky

    def _look(self) -> None:
        """Look for the constellation; tell it when it is there for the first time."""
        had = self._bars
        self._bars = 0 if self._draw.random() < self._sky.weak else self._draw.randint(2, 5)
        if self._bars:
            self._begin_giving()
        else:
            self._after(self._sky.signal_s, self._look)
        if bool(had) != bool(self._bars):
            self._tell_signal(UNSOLICITED)

    def _tell_signal(self, code: int) -> None:
        bars = self._bars
        self._say(code, "constellationState", constellation_visible=bool(bars), signal_bars=bars)

    def _signal(self, body: dict[str, Any]) -> None:
        if self._bars:
            self._look()
        self._tell_signal(DONE)

    # A message to shore

    def _originate(self, body: dict[str, Any]) -> None:
        size = body.get("message_length")
        if not self.is_active or self._size:
            self._say(NOT_ALLOWED, "messageOriginate")
        elif body.get("topic_id") != TOPIC:
            self._say(NOT_PROVISIONED, "messageOriginate")
        elif type(size) is not int or not CRC_BYTES < size <= MAX_MESSAGE_BYTES + CRC_BYTES:
            self._say(FAILED, "messageOriginate")
        else:
            self.gateway.begun += 1
            self._number = (self._number + 1) % NUMBERS
            self._size, self._message = size, bytearray()
            told = {"topic_id": TOPIC, "message_id": self._number, "message_response": "message_accepted"}
            reference = body.get("request_reference")
            self._say(DONE, "messageOriginate", request_reference=reference, **told)
            self._want()

    def _want(self) -> None:
        size = min(SEGMENT_BYTES, self._size - len(self._message))
        where = {"segment_length": size, "segment_start": len(self._message)}
        self._say(
            UNSOLICITED, "messageOriginateSegment", topic_id=TOPIC, message_id=self._number, **where
        )  # fmt: skip

    def _segment(self, body: dict[str, Any]) -> None:
        text, start = body.get("data"), len(self._message)
        try:
            data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
        except (ValueError, binascii.Error):
            data = b""
        wanted = min(SEGMENT_BYTES, self._size - start)
        same = body.get("message_id") == self._number and body.get("segment_start") == start
        if not same or len(data) != wanted or not wanted:
            self._say(FAILED, "messageOriginateSegment")
            return
        self._message += data
        self._say(DONE, "messageOriginateSegment", topic_id=TOPIC, message_id=self._number)
        if len(self._message) < self._size:
            self._want()
        else:
            self._after(self._sky.session_s, self._end_session)

    def _end_session(self) -> None:
        whole, number = bytes(self._message), self._number
        self._size, self._message = 0, bytearray()
        if sealed(whole[:-CRC_BYTES]) != whole:
            self._tell_end(number, FAILURES[-1])
            return
        outcome = self._sky.outcome(self._draw)
        arrives = outcome in (Outcome.FINE, Outcome.HIDDEN)
        if outcome is Outcome.MUTE:
            arrives = self._draw.random() < 0.5
        if arrives:
            is_hidden = outcome is not Outcome.FINE
            momsn = self.gateway.momsn
            self._events.append(Session(self._now_s, momsn, whole[:-CRC_BYTES], 0, is_hidden))
            self.gateway.momsn = (momsn + 1) & 0xFFFF
        self._is_deaf = outcome is Outcome.HANG
        if outcome is Outcome.FINE:
            self._tell_end(number, "mo_ack_received")
        elif outcome in (Outcome.FAIL, Outcome.HIDDEN):
            self._tell_end(number, self._draw.choice(FAILURES))

    def _tell_end(self, number: int, status: str) -> None:
        told = {"topic_id": TOPIC, "message_id": number, "final_mo_status": status}
        self._say(UNSOLICITED, "messageOriginateStatus", **told)

    # A message from shore

    def _begin_giving(self) -> None:
        if self.gateway.to_float and not self._is_giving:
            self._is_giving = True
            self._after(self._sky.session_s, self._give)

    def _give(self) -> None:
        self._is_giving = False
        whole = sealed(self.gateway.to_float.popleft())
        self.gateway.mtmsn = (self.gateway.mtmsn + 1) & 0xFFFF
        self._mt_number = (self._mt_number + 1) % NUMBERS
        who = {"topic_id": TOPIC, "message_id": self._mt_number}
        # Real modems were seen to give a message twice.
        for _ in range(2 if self._draw.random() < self._sky.hidden else 1):
            self._say(
                UNSOLICITED, "messageTerminate", message_length_max=MAX_MESSAGE_BYTES + CRC_BYTES, **who
            )
            for start in range(0, len(whole), SEGMENT_BYTES):
                part = whole[start : start + SEGMENT_BYTES]
                where = {"segment_length": len(part), "segment_start": start}
                text = base64.b64encode(part).decode("ascii")
                self._say(UNSOLICITED, "messageTerminateSegment", **who, **where, data=text)
            self._say(UNSOLICITED, "messageTerminateStatus", **who, final_mt_status="complete")
        self._begin_giving()


_TARGETS: dict[tuple[str, str], Callable[[ImtModem, dict[str, Any]], None]] = {
    ("GET", "apiVersion"): ImtModem._versions,
    ("PUT", "apiVersion"): ImtModem._choose_version,
    ("PUT", "simConfig"): ImtModem._choose_sim,
    ("PUT", "operationalState"): ImtModem._set_state,
    ("GET", "constellationState"): ImtModem._signal,
    ("PUT", "messageOriginate"): ImtModem._originate,
    ("PUT", "messageOriginateSegment"): ImtModem._segment,
}
