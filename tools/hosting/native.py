"""A float on the native link, simulated: it commands the instrument through a dive and takes its messages.

The link is the real one, host's side. What the float does is what `firmware_bridge/c/example_float` does.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Sequence

from edge.frame import Phase
from edge.hosts import PHASES
from firmware_bridge import link_records as wire
from firmware_bridge.link import Event, ObjectReceived, Opened
from firmware_bridge.link import Peer as LinkPeer
from firmware_bridge.link_wire import Kind
from firmware_bridge.sans_io import NEVER_S
from tools.hosting.course import Course
from tools.hosting.exchange import Exchange

SETTLE_S = 5.0
"""From the first word of the instrument to the start of the dive."""
CTD_EVERY_S, PARKED_CTD_EVERY_S = 1.0, 5.0
AFTER_END_S = 2.0
ASK_EVERY_S = 5.0
POWER_WITHIN_S = 60
PHASE_OF = {ours: theirs for theirs, ours in PHASES.items()}


class Stage(enum.Enum):
    """How far the float is."""

    LISTENS = "listens"
    SETTLES = "settles"
    DIVES = "dives"
    TAKES = "takes"
    """It takes messages until none is left."""
    CUTS = "cuts"
    OFF = "off"


class NativeFloat:
    """A float, as a `sans_io.Peer` that gives no events.

    Parameters
    ----------
    course
        Where it goes.
    start_ms
        UTC at the first frame, milliseconds since 1970.
    exchange
        Where it notes what is said.
    budget
        Bytes of a dive and of a message that it allows; None leaves the instrument's own.

    Attributes
    ----------
    messages
        What it took, in order.
    stage
        How far it is; `OFF` is the end.
    """

    def __init__(
        self, course: Course, start_ms: int, exchange: Exchange, budget: tuple[int, int] | None = None
    ) -> None:
        self.messages: list[bytes] = []
        self.stage = Stage.LISTENS
        self.dive_began_s = 0.0
        self._link = LinkPeer(wire.Role.HOST, 1)
        self._course, self._start_ms, self._exchange, self._budget = course, start_ms, exchange, budget
        self._due_s = NEVER_S
        self._phase = -1
        self._ctd_due_s = self._next_s = 0.0

    def receive(self, data: bytes, now_s: float) -> Sequence[None]:
        """See `sans_io.Peer`."""
        for event in self._link.receive(data, now_s):
            self._on(event, now_s)
        self._act(now_s)
        return ()

    def to_send(self, limit_bytes: int) -> bytes:
        """See `sans_io.Peer`."""
        return self._link.to_send(limit_bytes)

    def due_s(self) -> float:
        """See `sans_io.Peer`."""
        return min(self._link.due_s(), self._due_s)

    def _say(self, record: wire.Record, now_s: float, words: str, kind: str = "") -> None:
        self._link.say(record)
        self._exchange.add(now_s, "float", words, kind)

    def _on(self, event: Event, now_s: float) -> None:
        match event:
            case Opened(_, was_reset):
                self._exchange.add(now_s, "link", "opens again after a reset" if was_reset else "opens")
                if self.stage is Stage.LISTENS:
                    self.stage, self._next_s = Stage.SETTLES, now_s + SETTLE_S
                    self.dive_began_s = self._next_s
                # In a new session all that holds is said again.
                self._tell_what_holds(now_s)
                if self.stage is Stage.DIVES:
                    self._say_phase(now_s)
            case ObjectReceived(item) if item.kind == Kind.MESSAGE:
                self.messages.append(item.data)
                self._link.stored(item)
                self._exchange.add(
                    now_s, "instrument", f"message of {len(item.data)} bytes, whole and stored"
                )
            case ObjectReceived(item):
                self._link.refuse(item, wire.Reason.UNWANTED)
            case wire.Status(state, dive, frames, waiting, waiting_bytes):
                where = wire.DiveState(state).name.lower()
                self._exchange.add(
                    now_s,
                    "instrument",
                    f"status: {where}, dive {dive}, {frames} frames, "
                    f"{waiting} messages of {waiting_bytes} bytes wait",
                )
                if self.stage is Stage.TAKES and not waiting and state == wire.DiveState.SURFACE:
                    self.stage = Stage.CUTS
                    self._say(wire.PowerWish(POWER_WITHIN_S), now_s, "wishes to cut power")
            case wire.PowerWait(seconds):
                self._exchange.add(now_s, "instrument", f"wait {seconds} s")
            case wire.PowerSafe():
                self._exchange.add(now_s, "instrument", "power may be cut")
                self.stage = Stage.OFF

    def _tell_what_holds(self, now_s: float) -> None:
        utc_ms = self._start_ms + round(1000 * (now_s - self.dive_began_s))
        when = datetime.datetime.fromtimestamp(utc_ms / 1000, datetime.UTC)
        self._say(wire.TimeIs(utc_ms), now_s, f"time {when:%Y-%m-%d %H:%M:%S} UTC")
        if self._budget is not None:
            budget_bytes, message_bytes = self._budget
            self._say(
                wire.Budget(budget_bytes, message_bytes),
                now_s,
                f"budget: {budget_bytes} bytes in messages of {message_bytes}",
            )

    def _act(self, now_s: float) -> None:
        """What is due now; sets when it is to be called again."""
        match self.stage:
            case Stage.SETTLES if now_s >= self._next_s:
                self.stage, self.dive_began_s = Stage.DIVES, now_s
                self._dive(now_s)
            case Stage.SETTLES:
                self._say_ctd_if_due(now_s)
            case Stage.DIVES:
                self._dive(now_s)
            case Stage.TAKES if now_s >= self._next_s:
                self._say(wire.Ask(wire.Topic.STATUS), now_s, "asks for status")
                self._next_s = now_s + ASK_EVERY_S
        self._due_s = {
            Stage.SETTLES: min(self._ctd_due_s, self._next_s),
            Stage.DIVES: min(self._ctd_due_s, self._next_s),
            Stage.TAKES: self._next_s,
        }.get(self.stage, NEVER_S)

    def _dive(self, now_s: float) -> None:
        dive_s = now_s - self.dive_began_s
        phases = self._course.phases
        while self._phase + 1 < len(phases) and phases[self._phase + 1][0] <= dive_s:
            self._phase += 1
            self._ctd_due_s = now_s
            self._say_phase(now_s)
        self._say_ctd_if_due(now_s)
        end_s = self._course.end_s + AFTER_END_S
        if dive_s >= end_s:
            self._say(wire.Stop(), now_s, "the dive is over")
            self.stage, self._next_s = Stage.TAKES, now_s + AFTER_END_S
            return
        after = phases[self._phase + 1][0] if self._phase + 1 < len(phases) else end_s
        self._next_s = self.dive_began_s + after

    def _say_phase(self, now_s: float) -> None:
        phase = self._course.phases[max(self._phase, 0)][1]
        self._say(wire.Start(PHASE_OF[phase]), now_s, f"{phase.name.lower()} begins")

    def _say_ctd_if_due(self, now_s: float) -> None:
        if now_s < self._ctd_due_s:
            return
        dive_s = now_s - self.dive_began_s
        parked = self._course.phases[max(self._phase, 0)][1] is Phase.PARK
        self._ctd_due_s = now_s + (PARKED_CTD_EVERY_S if parked else CTD_EVERY_S)
        pressure_dbar = self._course.pressure_at(dive_s)
        if pressure_dbar is None:
            return
        temperature_c = self._course.temperature_at(dive_s)
        record = wire.Ctd(
            round(1000 * pressure_dbar), None if temperature_c is None else round(10_000 * temperature_c)
        )
        told = "" if temperature_c is None else f", {temperature_c:.2f} °C"
        self._say(record, now_s, f"{pressure_dbar:.1f} dbar{told}", "ctd")
