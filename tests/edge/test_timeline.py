"""Times of frames: corrected by what somebody told, never going back, nothing lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.frame import Stamp
from edge.timeline import Fix, utc_of

pytestmark = pytest.mark.board
BOARD_MS = 946_684_800_000
UTC_MS = 1_790_000_000_000


def stamps(boot, *monotonic_ms):
    return [Stamp(boot, at) for at in monotonic_ms]


def test_without_a_fix_times_stay_and_never_go_back():
    assert utc_of(stamps(1, 0, 10, 20), [100, 90, 120], []).tolist() == [100, 100, 120]
    assert utc_of([], [], []).tolist() == []


def test_one_fix_moves_a_whole_boot_and_two_take_its_drift_out():
    frames, board = stamps(1, 0, 1000, 2000, 4000), [BOARD_MS + at for at in (0, 1000, 2000, 4000)]
    fix = Fix(Stamp(1, 1000), UTC_MS)
    assert (utc_of(frames, board, [fix]) - UTC_MS).tolist() == [-1000, 0, 1000, 3000]
    drifted = Fix(Stamp(1, 3000), UTC_MS + 2100)
    assert (utc_of(frames, board, [drifted, fix]) - UTC_MS).tolist() == [-1000, 0, 1050, 3100]


def test_a_fix_of_another_dive_changes_nothing():
    assert utc_of(stamps(1, 0), [BOARD_MS], [Fix(Stamp(2, 0), UTC_MS)]).tolist() == [BOARD_MS]


def test_a_boot_that_nobody_told_the_time_stands_between_those_that_were_told():
    """Power was cut twice; the board's clock begins at 2000 each time; the host spoke in the second run."""
    frames = [*stamps(1, 0, 1000), *stamps(2, 0, 1000), *stamps(3, 0, 1000)]
    board = [BOARD_MS, BOARD_MS + 1000] * 3
    found = utc_of(frames, board, [Fix(Stamp(2, 0), UTC_MS)]) - UTC_MS
    assert found.tolist() == [-1000, 0, 0, 1000, 1000, 2000]


def test_a_boot_whose_own_clock_fits_between_its_neighbours_keeps_it():
    frames = [*stamps(1, 0, 1000), *stamps(2, 0, 1000)]
    board = [UTC_MS - 60_000, UTC_MS - 59_000, BOARD_MS, BOARD_MS]
    found = utc_of(frames, board, [Fix(Stamp(2, 0), UTC_MS)]) - UTC_MS
    assert found.tolist() == [-60_000, -59_000, 0, 1000]


@given(
    runs=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 2**40), st.lists(st.integers(0, 10**6), max_size=5)),
        max_size=6,
    ),
    fixes=st.lists(
        st.builds(Fix, st.builds(Stamp, st.integers(0, 4), st.integers(0, 10**7)), st.integers(0, 2**42)),
        max_size=6,
    ),
)
def test_whatever_is_told_every_frame_has_a_time_and_none_goes_back(runs, fixes):
    frames, board = [], []
    for boot, began_ms, steps in runs:
        at = np.cumsum(steps).tolist()
        frames += stamps(boot, *at)
        board += [began_ms + one for one in at]
    found = utc_of(frames, board, fixes)
    assert len(found) == len(frames)
    assert (np.diff(found) >= 0).all()


@given(
    at=st.lists(st.integers(0, 10**9), min_size=1, max_size=20, unique=True).map(sorted),
    utc_ms=st.integers(10**12, 2 * 10**12),
    ppm=st.integers(-200, 200),
)
def test_a_clock_that_drifts_evenly_is_put_right_by_two_fixes(at, utc_ms, ppm):
    def truth(moment):
        return utc_ms + moment + moment * ppm // 1_000_000

    ends = [Fix(Stamp(1, moment), truth(moment)) for moment in (0, 10**9)]
    found = utc_of(stamps(1, *at), [0] * len(at), ends)
    assert max(abs(int(t) - truth(moment)) for t, moment in zip(found, at, strict=True)) <= 1
