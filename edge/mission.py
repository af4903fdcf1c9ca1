"""The mission as a state machine: (mission, event) -> (mission, commands). Pure.

It tells the phases of a dive from pressure, or takes them from a host or recording that knows them; without a
host, pressure begins and ends dives too. Between dives it waits, transmits, sleeps. It drives neither cameras
nor links: it says what should happen, and `service` and `instrument` do it.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace

from edge.config import MissionConfig
from edge.frame import Phase


class State(enum.StrEnum):
    """Where the mission stands."""

    SELF_TEST = "self-test"
    """Power has come: nothing is known to work."""
    STANDBY = "standby"
    DESCENT = "descent"
    PARK = "park"
    ASCENT = "ascent"
    SURFACE = "surface"
    """The dive is over, its messages are being made."""
    TRANSMIT = "transmit"
    """They are on their way."""
    SLEEP = "sleep"
    """Nothing was asked for a long time: the camera is off."""


class Command(enum.StrEnum):
    """What should be done now."""

    START_DIVE = "start-dive"
    ENTER_PHASE = "enter-phase"
    END_DIVE = "end-dive"
    TRANSMIT = "transmit"
    SLEEP = "sleep"
    LET_GO = "let-go"
    """Commit everything, and tell the host that power may be cut."""


@dataclass(frozen=True, slots=True)
class PressureRead:
    """A pressure was read: UTC in ms, dbar. NaN is no news."""

    time_ms: int
    pressure_dbar: float


@dataclass(frozen=True, slots=True)
class PhaseGiven:
    """Somebody who knows the phase says it: a recording or the float."""

    time_ms: int
    phase: Phase


@dataclass(frozen=True, slots=True)
class Stop:
    """The host, or the end of a recording, ends the dive."""

    time_ms: int


@dataclass(frozen=True, slots=True)
class HostStands:
    """Whether there is a host that says when dives begin: then pressure begins none."""

    time_ms: int
    is_there: bool


@dataclass(frozen=True, slots=True)
class SelfTested:
    """The self-test is done, passed or not: an instrument that is not well dives all the same."""

    time_ms: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The messages of the dive are in the outbox, or wait in its log."""

    time_ms: int


@dataclass(frozen=True, slots=True)
class LinkDone:
    """The link has done what it could."""

    time_ms: int


@dataclass(frozen=True, slots=True)
class PowerWished:
    """The host wishes to cut power."""

    time_ms: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing has happened but that time has passed."""

    time_ms: int


Event = PressureRead | PhaseGiven | Stop | HostStands | SelfTested | Closed | LinkDone | PowerWished | Tick

STATE_OF_PHASE = {Phase.DESCENT: State.DESCENT, Phase.PARK: State.PARK, Phase.ASCENT: State.ASCENT}
PHASE_OF_STATE = {state: phase for phase, state in STATE_OF_PHASE.items()}
WAITING = (State.SELF_TEST, State.STANDBY, State.TRANSMIT, State.SLEEP)
"""States in which a dive can begin."""


@dataclass(frozen=True, slots=True)
class Mission:
    """State of the mission, and what is needed to tell the next one.

    Attributes
    ----------
    state
        Where it stands.
    extreme_dbar
        Deepest pressure of a descent, shallowest of an ascent.
    anchor_dbar, anchor_ms
        Since `anchor_ms` the pressure has stayed within `turn_dbar` of `anchor_dbar`.
    has_host
        Whether a host says when dives begin.
    since_ms
        When a waiting state was entered; None when nobody has said the time since.
    """

    state: State = State.STANDBY
    extreme_dbar: float = math.nan
    anchor_dbar: float = math.nan
    anchor_ms: int = 0
    has_host: bool = False
    since_ms: int | None = None

    @property
    def phase(self) -> Phase | None:
        """Phase of the profile, or None outside a dive."""
        return PHASE_OF_STATE.get(self.state)


def step(mission: Mission, event: Event, config: MissionConfig) -> tuple[Mission, tuple[Command, ...]]:
    """Next mission and the commands that follow from one event.

    From every state of a dive there is a way to `SURFACE` (a `Stop`, or a rise above `stop_dbar`), from there
    to a waiting state (`Closed`), and from each of these a dive can begin.
    """
    match event:
        case Stop():
            if mission.state not in PHASE_OF_STATE:
                return mission, ()
            return replace(mission, state=State.SURFACE), (Command.END_DIVE,)
        case PhaseGiven(time_ms, phase):
            return _enter(mission, STATE_OF_PHASE[phase], math.nan, time_ms)
        case PressureRead(time_ms, pressure_dbar):
            if not math.isfinite(pressure_dbar):
                return mission, ()
            return _on_pressure(mission, time_ms, pressure_dbar, config)
        case HostStands(_, is_there):
            return replace(mission, has_host=is_there), ()
        case PowerWished():
            return mission, (Command.LET_GO,)
        case SelfTested(time_ms) if mission.state is State.SELF_TEST:
            return _wait(mission, State.STANDBY, time_ms), ()
        case Closed(time_ms) if mission.state is State.SURFACE:
            return _wait(mission, State.TRANSMIT, time_ms), (Command.TRANSMIT,)
        case LinkDone(time_ms) if mission.state is State.TRANSMIT:
            return _wait(mission, State.STANDBY, time_ms), ()
        case Tick(time_ms):
            return _on_time(mission, time_ms, config)
    return mission, ()


def _on_time(mission: Mission, time_ms: int, config: MissionConfig) -> tuple[Mission, tuple[Command, ...]]:
    if mission.state not in WAITING:
        return mission, ()
    if mission.since_ms is None or time_ms < mission.since_ms:  # the clock was set
        return replace(mission, since_ms=time_ms), ()
    waited_s = (time_ms - mission.since_ms) / 1000
    if mission.state is State.TRANSMIT and waited_s >= config.transmit_s:
        return _wait(mission, State.STANDBY, time_ms), ()
    if (
        mission.state is State.STANDBY
        and config.sleep_after_s is not None
        and waited_s >= config.sleep_after_s
    ):
        return _wait(mission, State.SLEEP, time_ms), (Command.SLEEP,)
    return mission, ()


def _wait(mission: Mission, state: State, time_ms: int) -> Mission:
    return Mission(state, has_host=mission.has_host, since_ms=time_ms)


def _on_pressure(
    mission: Mission, time_ms: int, p: float, config: MissionConfig
) -> tuple[Mission, tuple[Command, ...]]:
    if mission.state is State.SURFACE:
        return mission, ()
    if mission.state in WAITING:
        if p < config.start_dbar or mission.has_host:
            return mission, ()
        return _enter(mission, State.DESCENT, p, time_ms)
    if math.isnan(mission.extreme_dbar):
        mission = replace(mission, extreme_dbar=p, anchor_dbar=p, anchor_ms=time_ms)
    if abs(p - mission.anchor_dbar) > config.turn_dbar:
        moved = replace(mission, anchor_dbar=p, anchor_ms=time_ms)
    else:
        moved = mission
    match mission.state:
        case State.DESCENT:
            deepest = max(p, mission.extreme_dbar)
            if p < deepest - config.turn_dbar:
                return _enter(mission, State.ASCENT, p, time_ms)
            if time_ms - moved.anchor_ms >= 1000 * config.park_after_s:
                return _enter(mission, State.PARK, p, time_ms)
            return replace(moved, extreme_dbar=deepest), ()
        case State.PARK:
            if p < mission.extreme_dbar - config.turn_dbar:
                return _enter(mission, State.ASCENT, p, time_ms)
            if p > mission.extreme_dbar + config.turn_dbar:
                return _enter(mission, State.DESCENT, p, time_ms)
            return moved, ()
        case _:
            shallowest = min(p, mission.extreme_dbar)
            if p <= config.stop_dbar:
                return replace(moved, state=State.SURFACE), (Command.END_DIVE,)
            if p > shallowest + config.turn_dbar:
                return _enter(mission, State.DESCENT, p, time_ms)
            return replace(moved, extreme_dbar=shallowest), ()


def _enter(mission: Mission, state: State, p: float, time_ms: int) -> tuple[Mission, tuple[Command, ...]]:
    if mission.state in (state, State.SURFACE):
        return mission, ()
    start = (Command.START_DIVE,) if mission.state in WAITING else ()
    return Mission(state, p, p, time_ms, mission.has_host), (*start, Command.ENTER_PHASE)
