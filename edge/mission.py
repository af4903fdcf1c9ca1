"""The dive as a state machine: (mission, event) -> (mission, commands). Pure; a first version.

It tells the phases from pressure, or takes them from a recording or host that knows them. It does not drive
cameras or links: it says what should happen, and `instrument` does it.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace

from edge.config import MissionConfig
from edge.frame import Phase


class State(enum.StrEnum):
    """Where the dive stands."""

    STANDBY = "standby"
    DESCENT = "descent"
    PARK = "park"
    ASCENT = "ascent"
    SURFACE = "surface"


class Command(enum.StrEnum):
    """What the instrument should do now."""

    START_DIVE = "start-dive"
    ENTER_PHASE = "enter-phase"
    END_DIVE = "end-dive"


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


Event = PressureRead | PhaseGiven | Stop

STATE_OF_PHASE = {Phase.DESCENT: State.DESCENT, Phase.PARK: State.PARK, Phase.ASCENT: State.ASCENT}
PHASE_OF_STATE = {state: phase for phase, state in STATE_OF_PHASE.items()}


@dataclass(frozen=True, slots=True)
class Mission:
    """State of the dive, and what is needed to tell the next one.

    Attributes
    ----------
    state
        Where the dive stands.
    extreme_dbar
        Deepest pressure of a descent, shallowest of an ascent.
    anchor_dbar, anchor_ms
        Since `anchor_ms` the pressure has stayed within `turn_dbar` of `anchor_dbar`.
    """

    state: State = State.STANDBY
    extreme_dbar: float = math.nan
    anchor_dbar: float = math.nan
    anchor_ms: int = 0

    @property
    def phase(self) -> Phase | None:
        """Phase of the profile, or None outside a dive."""
        return PHASE_OF_STATE.get(self.state)


def step(mission: Mission, event: Event, config: MissionConfig) -> tuple[Mission, tuple[Command, ...]]:
    """Next mission and the commands that follow from one event.

    Every state has a way to `SURFACE` (a `Stop`, or a rise above `stop_dbar`); only a new mission leaves it.
    """
    if mission.state is State.SURFACE:
        return mission, ()
    match event:
        case Stop():
            ended = replace(mission, state=State.SURFACE)
            return ended, () if mission.state is State.STANDBY else (Command.END_DIVE,)
        case PhaseGiven(time_ms, phase):
            return _enter(mission, STATE_OF_PHASE[phase], math.nan, time_ms)
        case PressureRead(time_ms, pressure_dbar):
            if not math.isfinite(pressure_dbar):
                return mission, ()
            return _on_pressure(mission, time_ms, pressure_dbar, config)


def _on_pressure(
    mission: Mission, time_ms: int, p: float, config: MissionConfig
) -> tuple[Mission, tuple[Command, ...]]:
    if mission.state is State.STANDBY:
        if p < config.start_dbar:
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
    if mission.state is state:
        return mission, ()
    start = (Command.START_DIVE,) if mission.state is State.STANDBY else ()
    return Mission(state, p, p, time_ms), (*start, Command.ENTER_PHASE)
