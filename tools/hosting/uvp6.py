"""A float that hosts a UVP6, simulated: it checks the instrument, sets its clock, starts and stops it.

What comes next is `Host.go_on`'s, as in `seston uvp6 host`; here is only when.
"""

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
    Step,
)
from firmware_bridge.uvp6.lines import BlackFrame, Instant, LpmFrame, TaxoFrame
from tools.hosting.course import Course
from tools.hosting.exchange import Exchange

NEXT_AFTER_S = 2.0
"""From an answer to the next command."""
AFTER_END_S = 2.0


class Stage(enum.Enum):
    """How far the float is."""

    CHECKS = "checks the instrument"
    SETS_CLOCK = "sets the clock"
    STARTS = "starts the acquisition"
    DIVES = "dives"
    STOPS = "stops the acquisition"
    WAITS = "waits for an answer that does not come"
    OFF = "has cut the power"


STAGES = {
    Step.HARDWARE: Stage.CHECKS,
    Step.HALT: Stage.CHECKS,
    Step.CONFIGURATION: Stage.CHECKS,
    Step.READY: Stage.CHECKS,
    Step.CLOCK: Stage.SETS_CLOCK,
    Step.START: Stage.STARTS,
    Step.RUNNING: Stage.DIVES,
    Step.STOP: Stage.STOPS,
    Step.MUTE: Stage.WAITS,
}


class Uvp6Float:
    """A float, as a `sans_io.Peer` that gives no events.

    Attributes
    ----------
    frames
        Lines of data that came, in order.
    n_starts
        Acquisitions that began: more than one where the instrument has begun anew.
    """

    def __init__(self, acquisition: str, course: Course, start_ms: int, exchange: Exchange) -> None:
        self.frames: list[str] = []
        self.n_starts = 0
        self._host = Host(acquisition)
        self._course, self._start_ms, self._exchange = course, start_ms, exchange
        self._next_s = self._began_s = self._end_s = NEVER_S
        self._is_off = False

    @property
    def stage(self) -> Stage:
        """How far it is; `OFF` is the end."""
        return Stage.OFF if self._is_off else STAGES[self._host.step]

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
        """Give the next command, and tell when to look again; answers that come before say so themselves."""
        is_over = now_s >= self._end_s
        if self._host.step is Step.READY and is_over:  # it began anew when the dive was just over
            self._is_off = True
            return
        command = self._host.go_on(self._instant(now_s), wanted=not is_over)
        if command:
            self._exchange.add(now_s, "float", command)
        if self._host.step is Step.RUNNING:
            self._next_s = self._end_s
        elif not is_over:
            self._next_s = now_s + NEXT_AFTER_S

    def _on(self, event: Event, now_s: float) -> None:
        say = self._exchange.add
        match event:
            case Known(hardware, acquisition):
                camera, bloc = hardware.values["Camera_ref"], acquisition.values["Frames_per_bloc"]
                say(now_s, "instrument", f"HW_CONF of {camera}, ACQ_CONF of {bloc} frames a bloc")
                self._next_s = now_s + NEXT_AFTER_S
                if not self.n_starts:  # after the clock
                    self._began_s = now_s + 2 * NEXT_AFTER_S
            case Begun():
                say(now_s, "instrument", "$startack;")
                self.n_starts += 1
                if self.n_starts == 1:
                    self._began_s, self._end_s = now_s, now_s + self._course.end_s + AFTER_END_S
                self._next_s = self._end_s
            case Ended():
                say(now_s, "instrument", "$stopack;")
                self._is_off = True
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
