"""An Iridium SBD modem and the sky over it, faithful in what has hurt drivers: to test one against. Pure.

It answers READY and takes bytes with a checksum; sending does not clear what it holds to send; a ring may
stand in the middle of an answer; its numbers survive a power cut, its buffers do not; and the sky loses
sessions, their results, or both. After the vendor's AT manual as links of the field tell it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from firmware_bridge.iridium.at import checksum
from firmware_bridge.iridium.clock import ERA_STARTS_MS, TICK_MS
from firmware_bridge.iridium.sbd_words import MAX_MESSAGE_BYTES
from firmware_bridge.iridium.sky import (
    CREDIT_BYTES,
    UNKNOWN_DELIVERY,
    Agenda,
    Gateway,
    Outcome,
    Session,
    Sky,
)
from firmware_bridge.sans_io import NEVER_S

__all__ = ["Gateway", "SbdModem", "Session", "Sky"]

WRITE_TIMEOUT_S = 60.0
RESULT_S = (0.1, 2.0)
MAX_COMMAND_BYTES = 128
SESSION_TIMEOUT = 17
_LOCATION = re.compile(
    r"[+-]?[0-8][0-9][0-5][0-9]\.[0-9]{3},[+-]?(0[0-9]{2}|1[0-7][0-9])[0-5][0-9]\.[0-9]{3}"
)
"""Degrees and minutes, north and east, as `+SBDIX[A]=` takes them."""
_WITH_VALUE = ("+SBDMTA", "+SBDST", "+SBDWB", "+SBDIX", "+SBDIXA")


class SbdModem:
    """The modem, as a `sans_io.Peer` whose events are `Session`.

    Parameters
    ----------
    gateway
        Kept over power cuts by whoever cuts the power.
    utc_ms_at_0
        UTC at second 0, for the network time.
    """

    def __init__(
        self, sky: Sky | None = None, *, seed: int = 0, gateway: Gateway | None = None, utc_ms_at_0: int = 0
    ) -> None:
        self.gateway = gateway or Gateway()
        self._sky = sky or Sky()
        self._draw = random.Random(seed)
        self._utc_ms_at_0 = utc_ms_at_0 or ERA_STARTS_MS[-1]
        self._now_s = 0.0
        self._events: list[Session] = []
        self.power(0.0)

    def power(self, now_s: float) -> None:
        """Power was cut and is back: buffers and settings are gone."""
        self._now_s = max(self._now_s, now_s)
        self._mo = self._mt = b""
        self._echoes, self._rings = True, False
        self._limit_s = 0
        """Of a session; 0 is none."""
        self._line = bytearray()
        self._wanted: int | None = None
        self._taken = bytearray()
        self._write_until_s = NEVER_S
        self._out = bytearray()
        self._agenda = Agenda()
        self._is_busy = self._is_deaf = False

    def queue(self, data: bytes) -> None:
        """A message from shore waits at the gateway; a modem that listens rings."""
        self.gateway.to_float.append(data)
        if self._rings and not self._is_busy:
            self._out += b"\r\nSBDRING\r\n"

    def receive(self, data: bytes, now_s: float) -> Sequence[Session]:
        """See `sans_io.Peer`."""
        self._now_s = max(self._now_s, now_s)
        self._events = []
        self._on_time()
        for byte in data:
            self._take(byte)
        self._on_time()
        return self._events

    def to_send(self, limit_bytes: int) -> bytes:
        """See `sans_io.Peer`."""
        taken = bytes(self._out[:limit_bytes])
        del self._out[: len(taken)]
        return taken

    def due_s(self) -> float:
        """See `sans_io.Peer`."""
        return min(self._agenda.due_s(), self._write_until_s)

    def _on_time(self) -> None:
        until_s = self._now_s
        while (due := self._agenda.next_until(until_s)) is not None:
            self._now_s, action = due
            action()
        self._now_s = until_s
        if self._write_until_s <= self._now_s:
            self._end_write(1)

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._agenda.add(self._now_s + seconds, action)

    def _take(self, byte: int) -> None:
        if self._is_deaf or self._is_busy:
            return  # what comes while it works is lost
        if self._wanted is not None:
            self._taken.append(byte)
            if len(self._taken) == self._wanted + 2:
                self._end_write(None)
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

    def _end_write(self, fault: int | None) -> None:
        data, total = bytes(self._taken[:-2]), bytes(self._taken[-2:])
        self._wanted, self._write_until_s = None, NEVER_S
        self._taken.clear()
        if fault is not None:
            self._out += b"\r\n1\r\n"  # the one result after which no OK follows
            return
        good = checksum(data) == total
        if good:
            self._mo = data
        self._out += b"\r\n0\r\n\r\nOK\r\n" if good else b"\r\n2\r\n\r\nOK\r\n"

    def _obey(self, command: str) -> None:
        if not command.startswith("AT"):
            self._say("ERROR")
            return
        name, equals, value = command[2:].partition("=")
        if equals and name not in _WITH_VALUE:
            self._say("ERROR")
            return
        match name:
            case "" | "&D0" | "&K0" | "&W0":
                self._say("OK")
            case "E0" | "E1":
                self._echoes = name == "E1"
                self._say("OK")
            case "+SBDMTA" if value in ("0", "1"):
                self._rings = value == "1"
                self._say("OK")
            case "+SBDST" if re.fullmatch("[0-9]{1,5}", value):
                self._limit_s = int(value)
                self._say("OK")
            case "+SBDWB" if re.fullmatch("[0-9]{1,4}", value):
                self._begin_write(int(value))
            case "+SBDRB":
                self._out += len(self._mt).to_bytes(2, "big") + self._mt + checksum(self._mt)
                self._say("OK")
            case "+SBDD0" | "+SBDD1" | "+SBDD2":
                if name != "+SBDD1":
                    self._mo = b""
                if name != "+SBDD0":
                    self._mt = b""
                self._say("0", "OK")
            case "+SBDS":
                numbers = int(bool(self._mo)), self.gateway.momsn, int(bool(self._mt)), self.gateway.mtmsn
                self._say("+SBDS: " + ", ".join(map(str, numbers)), "OK")
            case "+CSQ":
                self._is_busy = True
                bars = 1 if self._draw.random() < self._sky.weak else self._draw.randint(2, 5)
                self._after(self._draw.uniform(*self._sky.signal_s), lambda: self._answer(f"+CSQ:{bars}"))
            case "-MSSTM":
                ticks = (self._utc_ms_at_0 + round(1000 * self._now_s) - ERA_STARTS_MS[-1]) // TICK_MS
                told = f"{ticks:x}" if ticks >= 0 else "no network service"
                self._say(f"-MSSTM: {told}", "OK")
            case "+SBDIX" | "+SBDIXA" if not equals or _LOCATION.fullmatch(value):
                self._begin_session()
            case _:
                self._say("ERROR")

    def _begin_write(self, size: int) -> None:
        if not 1 <= size <= MAX_MESSAGE_BYTES:
            self._say("3", "OK")
            return
        self._out += b"\r\nREADY\r\n"
        self._wanted = size
        self._write_until_s = self._now_s + WRITE_TIMEOUT_S

    def _say(self, *lines: str) -> None:
        for line in lines:
            self._out += b"\r\n" + line.encode() + b"\r\n"

    def _answer(self, line: str) -> None:
        """The end of something that took its time."""
        self._is_busy = False
        text = line.encode()
        if self._rings and self.gateway.to_float and self._draw.random() < self._sky.ring_within:
            at = self._draw.randrange(len(text) + 1)
            text = text[:at] + b"\r\nSBDRING\r\n" + text[at:]
        self._out += b"\r\n" + text + b"\r\n\r\nOK\r\n"

    def _begin_session(self) -> None:
        self._is_busy = True
        self.gateway.begun += 1
        self._mt = b""  # a new session clears it
        lasts_s = self._draw.uniform(*self._sky.session_s)
        if self._limit_s and lasts_s > self._limit_s:
            self._after(self._limit_s, lambda: self._tell_session(SESSION_TIMEOUT, self.gateway.momsn))
        else:
            self._after(lasts_s, self._end_session)

    def _end_session(self) -> None:
        outcome = self._sky.outcome(self._draw)
        code = 0
        arrives = answers = True
        if outcome is not Outcome.FINE:
            arrives = outcome is Outcome.HIDDEN or (outcome is Outcome.MUTE and self._draw.random() < 0.5)
            answers = outcome in (Outcome.FAIL, Outcome.HIDDEN)
            self._is_deaf = outcome is Outcome.HANG
            code = self._draw.choice(UNKNOWN_DELIVERY if outcome is Outcome.HIDDEN else self._sky.failures)
        known = code == 0 or (arrives and not answers)
        momsn = self.gateway.momsn
        mt_status, mtmsn, mt_length = 0, -1, 0
        if arrives:
            size = len(self._mo)
            credits = max(1, -(-size // CREDIT_BYTES))
            self._events.append(Session(self._now_s, momsn, self._mo or None, credits, not known))
        if known:
            # Completed at the modem's end too.
            self.gateway.momsn = (momsn + 1) & 0xFFFF
            if self.gateway.to_float:
                self._mt = self.gateway.to_float.popleft()
                self.gateway.mtmsn = (self.gateway.mtmsn + 1) & 0xFFFF
                mt_status, mtmsn, mt_length = 1, self.gateway.mtmsn, len(self._mt)
        if answers:
            # Between the end of the session and its result the power may go too.
            self._tell_session(code, momsn, mt_status, mtmsn, mt_length)
        else:
            self._is_busy = False

    def _tell_session(
        self, code: int, momsn: int, mt_status: int = 0, mtmsn: int = -1, mt_length: int = 0
    ) -> None:
        numbers = code, momsn, mt_status, mtmsn, mt_length, len(self.gateway.to_float)
        told = "+SBDIX: " + ", ".join(map(str, numbers))
        self._after(self._draw.uniform(*RESULT_S), lambda: self._answer(told))
