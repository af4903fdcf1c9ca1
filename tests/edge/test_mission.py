"""Phases from pressure; every state finds its way to the surface."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import MissionConfig
from edge.frame import Phase
from edge.mission import Command, Mission, PhaseGiven, PressureRead, State, Stop, step

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
    assert ended.state is State.SURFACE
    assert (commands + list(last)).count(Command.END_DIVE) == commands.count(Command.START_DIVE)
