"""Phases from pressure; every state finds its way to the surface."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge.config import MissionConfig
from edge.frame import Phase
from edge.mission import (
    Closed,
    Command,
    HostStands,
    LinkDone,
    Mission,
    PhaseGiven,
    PowerWished,
    PressureRead,
    SelfTested,
    State,
    Stop,
    Tick,
    step,
)

pytestmark = pytest.mark.board
CONFIG = MissionConfig()


def drive(pressures, *, seconds=60, mission=None):
    """States after each pressure, and every command given."""
    mission, states, commands = mission or Mission(), [], []
    for i, p in enumerate(pressures):
        mission, new = step(mission, PressureRead(1000 * seconds * i, p), CONFIG)
        states.append(mission.state)
        commands += new
    return mission, states, commands


def test_a_whole_dive():
    down = [0.0, 1.0, *range(5, 1001, 5)]
    park = [1000.0 + (i % 3) for i in range(120)]
    up = [*range(995, 0, -5), 0.5]
    mission, states, commands = drive([*down, *park, *up])
    assert states[0] is State.STANDBY
    order = [s for i, s in enumerate(states) if i == 0 or s is not states[i - 1]]
    assert order == [State.STANDBY, State.DESCENT, State.PARK, State.ASCENT, State.SURFACE]
    assert commands == [
        Command.START_DIVE, Command.ENTER_PHASE, Command.ENTER_PHASE, Command.ENTER_PHASE, Command.END_DIVE,
    ]  # fmt: skip
    assert mission.phase is None


def test_a_wave_is_no_ascent():
    _, states, _ = drive([100 + 4 * math.sin(i) + i for i in range(50)])
    assert set(states) == {State.DESCENT}


def test_park_then_deeper_is_a_descent_again():
    _, states, _ = drive([500.0] * 40 + list(range(500, 900, 10)))
    assert states[39] is State.PARK
    assert states[-1] is State.DESCENT


def test_nan_is_no_news():
    before, _, _ = drive(range(10, 100, 5))
    after, commands = step(before, PressureRead(10**9, math.nan), CONFIG)
    assert after == before
    assert commands == ()


def test_a_given_phase_wins():
    mission, commands = step(Mission(), PhaseGiven(0, Phase.ASCENT), CONFIG)
    assert mission.phase is Phase.ASCENT
    assert commands == (Command.START_DIVE, Command.ENTER_PHASE)


@given(st.lists(st.floats(-5, 6000) | st.just(math.nan), max_size=60), st.integers(0, 3600))
def test_there_is_always_a_way_home(pressures, seconds):
    mission, _, commands = drive(pressures, seconds=seconds)
    assert commands.count(Command.START_DIVE) <= 1
    ended, last = step(mission, Stop(10**9), CONFIG)
    assert ended.state is (State.STANDBY if mission.state is State.STANDBY else State.SURFACE)
    assert (commands + list(last)).count(Command.END_DIVE) == commands.count(Command.START_DIVE)


def test_between_dives_it_transmits_then_waits_then_sleeps():
    config = MissionConfig(sleep_after_s=3600)
    mission, commands = step(Mission(State.ASCENT), Stop(0), config)
    assert commands == (Command.END_DIVE,)
    mission, commands = step(mission, Closed(1000), config)
    assert (mission.state, commands) == (State.TRANSMIT, (Command.TRANSMIT,))
    done, _ = step(mission, LinkDone(2000), config)
    late, _ = step(mission, Tick(1000 + 6 * 3600_000), config)
    assert done.state is late.state is State.STANDBY
    for at_ms, state in ((2000 + 3599_999, State.STANDBY), (2000 + 3600_000, State.SLEEP)):
        mission, commands = step(done, Tick(at_ms), config)
        assert mission.state is state
    assert commands == (Command.SLEEP,)
    assert step(mission, PressureRead(0, 50.0), config)[1][0] is Command.START_DIVE
    assert step(done, Tick(10**12), CONFIG)[0].state is State.STANDBY, "it sleeps only where it was told to"


def test_with_a_host_pressure_begins_no_dive():
    mission, _ = step(Mission(), HostStands(0, is_there=True), CONFIG)
    assert step(mission, PressureRead(0, 50.0), CONFIG) == (mission, ())
    assert step(mission, PhaseGiven(0, Phase.DESCENT), CONFIG)[1][0] is Command.START_DIVE
    mission, _ = step(mission, HostStands(0, is_there=False), CONFIG)
    assert step(mission, PressureRead(0, 50.0), CONFIG)[1][0] is Command.START_DIVE


class AnyMission(RuleBasedStateMachine):
    """Whatever happens, in any order, at any time told: no dead end, always a way home."""

    def __init__(self):
        super().__init__()
        self.config = MissionConfig(sleep_after_s=100.0)
        self.mission, self.dives, self.now_ms = Mission(State.SELF_TEST), 0, 0

    def happen(self, event):
        before = self.mission
        self.mission, commands = step(self.mission, event, self.config)
        was, is_in = before.phase is not None, self.mission.phase is not None
        assert (Command.START_DIVE in commands) == (is_in and not was)
        assert (Command.END_DIVE in commands) == (was and not is_in)
        assert (Command.TRANSMIT in commands) == (
            self.mission.state is State.TRANSMIT and before.state is State.SURFACE
        )
        assert (Command.LET_GO in commands) == isinstance(event, PowerWished)
        if isinstance(event, PowerWished):
            assert self.mission == before
        return commands

    @rule(passed_ms=st.integers(-(10**7), 10**8))
    def time_passes_or_jumps(self, passed_ms):
        self.now_ms += passed_ms
        self.happen(Tick(self.now_ms))

    @rule(dbar=st.floats(-5, 6000) | st.just(math.nan))
    def pressure(self, dbar):
        commands = self.happen(PressureRead(self.now_ms, dbar))
        assert not (self.mission.has_host and Command.START_DIVE in commands)

    @rule(phase=st.sampled_from(list(Phase)))
    def phase(self, phase):
        self.happen(PhaseGiven(self.now_ms, phase))

    @rule(there=st.booleans())
    def host(self, there):
        self.happen(HostStands(self.now_ms, there))

    @rule(event=st.sampled_from([Stop, SelfTested, Closed, LinkDone, PowerWished]))
    def event(self, event):
        self.happen(event(self.now_ms))

    @invariant()
    def there_is_a_way_home_and_a_next_dive(self):
        """The host is gone, pressure rises, messages are queued, the link gives up, pressure sinks."""
        mission, at = self.mission, self.now_ms
        events = [HostStands(at, is_there=False), *(PressureRead(at, p) for p in (6100.0, 300.0, 0.5))]
        events += [Closed(at), Tick(at), Tick(at + 10**8), SelfTested(at), PressureRead(at, 40.0)]
        seen = []
        for event in events:
            mission, commands = step(mission, event, self.config)
            seen += commands
        assert mission.state is State.DESCENT
        assert Command.START_DIVE in seen
        assert (Command.END_DIVE in seen) == (self.mission.state is not State.SURFACE)


AnyMission.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_any_mission = AnyMission.TestCase
