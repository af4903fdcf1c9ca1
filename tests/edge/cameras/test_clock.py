"""Time of a frame from the camera's clock, which drifts, jumps, stands still or begins again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.cameras.clock import CREDIBLE_S, N_FRAMES, CameraClock

pytestmark = pytest.mark.board


@given(st.lists(st.tuples(st.none() | st.integers(-(2**63), 2**64), st.floats(0, 1e6)), max_size=60))
def test_whatever_the_camera_says_times_never_go_back_nor_ahead(frames):
    clock, last_s = CameraClock(), -1.0
    for device_ns, arrived_s in sorted(frames, key=lambda frame: frame[1]):
        taken_s = clock.taken_s(device_ns, arrived_s)
        assert last_s <= taken_s <= arrived_s
        last_s = taken_s


def test_a_frame_that_comes_late_was_taken_when_the_camera_says():
    clock = CameraClock()
    told = [
        clock.taken_s(5_000_000_000 + i * 1_000_000_000, 100.0 + i + late)
        for i, late in enumerate([0, 0.3, 2.5])
    ]
    assert told == pytest.approx([100.0, 101.0, 102.0])


@pytest.mark.parametrize("jump_s", [-1e6, -3.0, 5.0, 1e6, -0.5])
def test_a_jump_of_the_cameras_clock_is_over_within_a_window(jump_s):
    clock = CameraClock()
    for i in range(3 * N_FRAMES):
        device_s = 1000.0 + i + (jump_s if i > N_FRAMES else 0.0)
        taken_s = clock.taken_s(round(1e9 * device_s), float(i))
    assert taken_s == pytest.approx(i, abs=1e-6)


def test_drift_of_100_ppm_costs_milliseconds():
    clock = CameraClock()
    for i in range(36_000):
        taken_s = clock.taken_s(round(1e9 * i * (1 - 1e-4)), float(i))
        assert i - taken_s < 0.002


def test_a_clock_that_stands_still_and_none_at_all_leave_the_arrival():
    clock = CameraClock()
    assert [clock.taken_s(7, t) for t in (1.0, 2.0, 5.0)] == [1.0, 2.0, 5.0]
    assert clock.taken_s(None, 6.0) == 6.0


def test_what_would_be_too_old_says_that_the_clock_has_jumped():
    clock = CameraClock()
    clock.taken_s(0, 0.0)
    assert clock.taken_s(10**9, 2 + CREDIBLE_S) == 2 + CREDIBLE_S
