"""Flags after Argo's scheme, their reasons, and the Poisson interval: against published numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.frame import FrameOutcome, Phase
from edge.telemetry.summary import Quantity
from tests.edge.telemetry.dives import simulated_dive, with_extras
from tools.shore.dives import lossless_dive
from tools.shore.exports.qc import (
    FLAG_OF,
    Flag,
    PhaseQc,
    Reason,
    flags_of,
    pressure_reasons,
    spikes,
)
from tools.shore.exports.tables import Cells, from_messages


@pytest.fixture(scope="module")
def dive():
    return from_messages(lossless_dive(with_extras(simulated_dive())))


def with_frames(dive, **by_outcome):
    """The descent, each of its samples with these frames alone; and of every table but frames what it had."""
    phase = dive.profiles[0]
    frames = np.zeros_like(phase.cells[Quantity.FRAMES].values)
    for name, n in by_outcome.items():
        frames[:, FrameOutcome[name.upper()]] = n
    return dataclasses.replace(phase, cells=phase.cells | {Quantity.FRAMES: Cells.exact(frames)})


def test_every_reason_has_a_flag():
    assert set(FLAG_OF) == set(Reason)
    assert flags_of(np.zeros(3, dtype=np.int64)).tolist() == [Flag.GOOD] * 3


@given(st.lists(st.sampled_from(list(Reason)), min_size=1, max_size=5))
def test_more_reasons_never_make_a_flag_better(reasons):
    rank = [Flag.GOOD, Flag.PROBABLY_GOOD, Flag.ESTIMATED, Flag.PROBABLY_BAD, Flag.BAD, Flag.MISSING]
    bits = 0
    worst = 0
    for reason in reasons:
        bits |= int(reason)
        now = rank.index(Flag(int(flags_of(np.array([bits]))[0])))
        assert now == max(worst, rank.index(FLAG_OF[reason]))
        worst = now


@pytest.mark.parametrize(
    ("temperatures", "pressures", "flagged"),
    [
        ([5, 11, 5], [100, 200, 300], []),  # exactly 6 degrees: the manual says "exceeds"
        ([5, 11.0001, 5], [100, 200, 300], [1]),
        ([5, -1.0001, 5], [100, 200, 300], [1]),
        ([5, 7, 5], [500, 600, 700], []),
        ([5, 7.0001, 5], [500, 600, 700], [1]),
        ([5, 7.0001, 5], [400, 499.9, 700], []),
        ([5, 8, 12, 17], [100, 200, 300, 400], []),  # a slope is no spike
        ([5, float("nan"), 12, 5], [100, 150, 200, 300], [2]),
        ([5, 11.0001], [100, 200], []),
    ],
)
def test_spikes_are_argos_test_9(temperatures, pressures, flagged):
    found = spikes(np.array(temperatures, dtype=np.float64), np.array(pressures, dtype=np.float64))
    assert np.flatnonzero(found).tolist() == flagged


def test_pressures_are_argos_tests_6_and_19():
    dbar = np.array([-5.001, -5, -2.4, -2.39, 0, 660, 660.1, np.nan])
    flags = flags_of(pressure_reasons(dbar, 600.0)).tolist()
    assert flags == [4, 3, 3, 1, 1, 1, 3, 1]


@pytest.mark.parametrize("celsius", [-2.51, 40.01])
def test_a_temperature_no_sea_has_is_bad(dive, celsius):
    phase = dive.profiles[0]
    values = phase.cells[Quantity.TEMPERATURE].values.copy()
    values[3] = celsius
    changed = dataclasses.replace(phase, cells=phase.cells | {Quantity.TEMPERATURE: Cells.exact(values)})
    flags = flags_of(PhaseQc(dive, changed).of(Quantity.TEMPERATURE))[:, 0]
    assert flags[3] == Flag.BAD
    assert PhaseQc(dive, changed).of(Quantity.TEMPERATURE)[3, 0] & Reason.TEMPERATURE_OUT_OF_RANGE


@pytest.mark.parametrize(
    ("frames", "reason", "flag"),
    [
        ({"analysed": 20, "unlit": 2}, None, Flag.GOOD),
        ({"over_exposed": 20}, Reason.NOTHING_LOOKED_AT, Flag.MISSING),
        ({"analysed": 20, "dark": 1}, Reason.LIGHT_FAILED, Flag.PROBABLY_GOOD),
        ({"analysed": 20, "blurred": 3}, Reason.SOME_FRAMES_IN_TROUBLE, Flag.PROBABLY_GOOD),
        ({"analysed": 9, "dropped": 10}, Reason.MOST_FRAMES_IN_TROUBLE, Flag.PROBABLY_BAD),
        ({"analysed": 20, "duplicate": 20}, None, Flag.GOOD),
        ({"analysed": 2}, Reason.FEW_FRAMES, Flag.PROBABLY_GOOD),
    ],
)
def test_frames_in_trouble_are_told(dive, frames, reason, flag):
    clean = dataclasses.replace(dive, decoded=dataclasses.replace(dive.decoded, whole={}))
    phase = with_frames(dive, **frames)
    quiet = Cells.exact(np.zeros_like(phase.cells[Quantity.NOISE].values))
    many = Cells.exact(np.full_like(phase.cells[Quantity.SIZES].values, 50.0))
    unnamed = (
        {Quantity.UNNAMED: Cells.exact(np.zeros((phase.n, 1)))} if Quantity.UNNAMED in phase.cells else {}
    )
    cells = phase.cells | {Quantity.NOISE: quiet, Quantity.SIZES: many} | unnamed
    phase = dataclasses.replace(phase, cells=cells, unplaced=np.zeros(len(FrameOutcome)))
    alone = dataclasses.replace(clean, phases=(phase, with_unlit(phase)))
    reasons = PhaseQc(alone, phase).of(Quantity.SIZES)
    assert set(flags_of(reasons).ravel().tolist()) == {flag}
    assert reason is None or (reasons & reason).all()


def with_unlit(phase):
    """The same as an ascent with unlit frames without noise: then the noise of the dive is known."""
    frames = np.zeros_like(phase.cells[Quantity.FRAMES].values)
    frames[:, FrameOutcome.UNLIT] = 1
    return dataclasses.replace(
        phase, phase=Phase.ASCENT, cells=phase.cells | {Quantity.FRAMES: Cells.exact(frames)}
    )


def test_noise_that_nobody_measured_and_noise_that_is_most_of_it_are_told(dive):
    phase = with_frames(dive, analysed=20)
    without = dataclasses.replace(dive, phases=(phase,))
    assert (PhaseQc(without, phase).of(Quantity.SIZES) & Reason.NOISE_NOT_MEASURED).all()
    phase = with_frames(dive, analysed=20, unlit=1)
    counts = np.full_like(phase.cells[Quantity.SIZES].values, 100.0)
    noise = np.zeros_like(counts)
    noise[:, 0], noise[:, 1], noise[:, 2] = 3, 1, 0.4  # 20 frames let expect 60, 20, 8 of 100
    cells = phase.cells | {Quantity.SIZES: Cells.exact(counts), Quantity.NOISE: Cells.exact(noise)}
    phase = dataclasses.replace(phase, cells=cells)
    found = PhaseQc(dataclasses.replace(dive, phases=(phase,)), phase).of(Quantity.SIZES)
    assert (found[:, 0] & Reason.MOST_OF_IT_NOISE).all()
    assert (found[:, 1] & Reason.SOME_OF_IT_NOISE).all()
    assert not (found[:, 1] & Reason.MOST_OF_IT_NOISE).any()
    assert not (found[:, 2] & (Reason.SOME_OF_IT_NOISE | Reason.MOST_OF_IT_NOISE)).any()


def test_frames_without_pressure_make_every_bin_less_sure(dive):
    phase = with_frames(dive, analysed=10)
    lost = np.zeros(len(FrameOutcome))
    lost[FrameOutcome.ANALYSED] = 10 * phase.n
    phase = dataclasses.replace(phase, unplaced=lost)
    assert (PhaseQc(dive, phase).of_pressure() & Reason.FRAMES_WITHOUT_PRESSURE).all()
