"""A float that hosts a UVP6, simulated: it checks the instrument, sets its clock, starts and stops it."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Sequence

from firmware_bridge.sans_io import NEVER_S
from firmware_bridge.uvp6.host import (
    Begun,
    Busy,
    Came,
    Ended,
    Event,
    Fault,
    Host,
    Known,
    Malformed,
    Mute,
    Restarted,
)
from firmware_bridge.uvp6.lines import BlackFrame, Instant, LpmFrame, TaxoFrame
from tools.hosting.course import Course
from tools.hosting.exchange import Exchange

START_AFTER_S = 2.0
AFTER_END_S = 2.0


class Stage(enum.Enum):
    """How far the float is."""

    CHECKS = "checks the instrument"
    SETS_CLOCK = "sets the clock"
    STARTS = "starts the acquisition"
    DIVES = "dives"
    STOPS = "stops the acquisition"
    OFF = "has cut the power"


class Uvp6Float:
    """A float, as a `sans_io.Peer` that gives no events.

    Attributes
    ----------
    frames
        Lines of data that came, in order.
    stage
        How far it is; `OFF` is the end.
    """

    def __init__(self, acquisition: str, course: Course, start_ms: int, exchange: Exchange) -> None:
        self.frames: list[str] = []
        self.stage = Stage.CHECKS
        self._host = Host(acquisition)
        self._course, self._start_ms, self._exchange = course, start_ms, exchange
        self._next_s = NEVER_S
        self._began_s = 0.0

    def receive(self, data: bytes, now_s: float) -> Sequence[None]:
        """See `sans_io.Peer`."""
        for event in self._host.receive(data, now_s):
            self._on(event, now_s)
        if now_s >= self._next_s:
            self._next_s = NEVER_S
            self._act(now_s)
        return ()

    def to_send(self, limit_bytes: int) -> bytes:
        """See `sans_io.Peer`."""
        return self._host.to_send(limit_bytes)

    def due_s(self) -> float:
        """See `sans_io.Peer`."""
        return min(self._host.due_s(), self._next_s)

    def _act(self, now_s: float) -> None:
        match self.stage:
            case Stage.CHECKS:
                self.stage, self._next_s = Stage.SETS_CLOCK, now_s + START_AFTER_S
                at = self._instant(now_s)
                self._host.set_clock(at)
                self._exchange.add(now_s, "float", f"$RTCset:{at.date},{at.time};")
            case Stage.SETS_CLOCK:
                self.stage = Stage.STARTS
                self._host.start()
                self._exchange.add(now_s, "float", "$start;")
            case Stage.DIVES:
                self.stage = Stage.STOPS
                self._host.stop()
                self._exchange.add(now_s, "float", "$stop;")

    def _on(self, event: Event, now_s: float) -> None:
        say = self._exchange.add
        match event:
            case Known(hardware, acquisition):
                camera, bloc = hardware.values["Camera_ref"], acquisition.values["Frames_per_bloc"]
                say(now_s, "instrument", f"HW_CONF of {camera}, ACQ_CONF of {bloc} frames a bloc")
                if self.stage is Stage.CHECKS:
                    self._began_s = now_s + 2 * START_AFTER_S
                    self._next_s = now_s + START_AFTER_S
            case Begun():
                say(now_s, "instrument", "$startack;")
                self.stage, self._began_s = Stage.DIVES, now_s
                self._next_s = now_s + self._course.end_s + AFTER_END_S
            case Ended():
                say(now_s, "instrument", "$stopack;")
                self.stage = Stage.OFF
            case Busy():
                say(now_s, "float", "an acquisition was running: it is being stopped first")
            case Restarted():
                say(now_s, "instrument", "begins anew")
            case Came(frame, line):
                self.frames.append(line)
                kind, words = _words(frame)
                say(now_s, "instrument", words, kind)
            case Malformed(line, why):
                say(now_s, "instrument", f"{line[:40]}: {why}", "malformed")
            case Fault(code):
                say(now_s, "instrument", f"$starterr:{code};")
            case Mute(command):
                say(now_s, "float", f"no answer to {command}")

    def _instant(self, now_s: float) -> Instant:
        utc_s = self._start_ms // 1000 + round(now_s - self._began_s)
        at = datetime.datetime.fromtimestamp(utc_s, datetime.UTC)
        return Instant(at.year, at.month, at.day, at.hour, at.minute, at.second)


def _words(frame: LpmFrame | BlackFrame | TaxoFrame) -> tuple[str, str]:
    match frame:
        case TaxoFrame(n_images, objects):
            return "taxo", f"TAXO_DATA: {len(objects)} objects in {n_images} images"
        case BlackFrame():
            return "black", f"BLACK_DATA at {frame.pressure_dbar} dbar: {frame.n_images} images"
        case _:
            n = sum(frame.counts)
            return "lpm", f"LPM_DATA at {frame.pressure_dbar} dbar: {n} particles in {frame.n_images} images"
