"""Every frame that a camera takes has one outcome, though it loses, delays, tears and repeats them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.cameras.camera import Shot
from edge.cameras.clock import N_FRAMES
from edge.cameras.ledger import SILENT, SKIPPED, WRAP_16, Ledger, Missing, Taken
from edge.frame import FrameOutcome

pytestmark = pytest.mark.board

PIXELS = np.zeros((3, 4), np.uint8)


def shot(at_s, number=None, **more):
    return Shot(more.pop("pixels", PIXELS), at_s, number=number, **more)


def faults(entries):
    return [entry.note if isinstance(entry, Missing) else entry.fault for entry in entries]


def count(entries):
    return sum(entry.count if isinstance(entry, Missing) else 1 for entry in entries)


FATES = st.tuples(st.sampled_from(["good", "good", "lost", "torn", "twice"]), st.floats(0, 8))


@given(
    fates=st.lists(FATES, max_size=N_FRAMES - 1), looks=st.lists(st.floats(0, 25), max_size=40),
    rate_hz=st.sampled_from([0.5, 1.0, 20.0]), offset_s=st.integers(0, 10**6),
    first=st.integers(0, 3 * WRAP_16),
)  # fmt: skip
def test_every_frame_is_told_once(fates, looks, rate_hz, offset_s, first):
    ledger, told = Ledger(rate_hz, 0.0, (3, 4)), []
    events, arrived_s, last, repeats = [], 0.0, 0, 0
    fates = [("good", 0.0), *fates]
    for i in range(10_000):
        due_s = i / rate_hz
        fate, delay_s = fates[i] if i < len(fates) else ("lost", 0.0)
        if i >= len(fates) and due_s > arrived_s:  # all that was under way is here: one more, and it is over
            fate = "good" if i else fate
        if fate == "lost":
            continue
        arrived_s, last = max(arrived_s, due_s + delay_s), i
        pixels, problem = (None, "torn") if fate == "torn" else (PIXELS, "")
        number, device_ns = first + i, round(1e9 * (offset_s + due_s))
        came = Shot(pixels, arrived_s, number, device_ns, problem)
        events += [(arrived_s, came)] * (2 if fate == "twice" else 1)
        repeats += fate == "twice"
        if i >= len(fates):
            break
    events += [(at_s, None) for at_s in looks if at_s <= arrived_s]
    for at_s, came in sorted(events, key=lambda event: event[0]):
        told += ledger.passed(at_s) if came is None else ledger.came(came)
    assert count(told) == last + 1 + repeats
    assert faults(told).count(FrameOutcome.DUPLICATE) == repeats
    told_frames = [entry.taken_s for entry in told if isinstance(entry, Taken)]
    assert told_frames == sorted(told_frames)


ANY_PIXELS = st.sampled_from(
    [
        None,
        PIXELS,
        PIXELS.T,
        np.zeros((3, 4, 3), np.uint8),
        np.zeros((3, 4), np.uint16),
        np.zeros((0, 4), np.uint8),
    ]
)
ANY_NUMBER = st.none() | st.integers(-5, 5) | st.integers(-(2**63), 2**64)


@given(st.lists(st.tuples(ANY_PIXELS, st.floats(0, 100), ANY_NUMBER, ANY_NUMBER), max_size=40))
def test_whatever_comes_each_shot_is_told_at_most_once_and_gaps_are_bounded_by_time(shots):
    ledger = Ledger(2.0, 0.0)
    for pixels, at_s, number, device_ns in sorted(shots, key=lambda one: one[1]):
        told = ledger.came(Shot(pixels, at_s, number, device_ns))
        assert sum(isinstance(entry, Taken) for entry in told) <= 1
        assert count(told) <= 64 + 3 * 2 * 100
        assert all(
            (entry.pixels is None) == (entry.fault is not None) for entry in told if isinstance(entry, Taken)
        )


def test_a_stall_of_ten_minutes_is_a_missing_frame_for_each_period():
    ledger = Ledger(1.0, 0.0)
    assert faults(ledger.came(shot(0.0, 1))) == [None]
    assert ledger.passed(2.9) == []
    told = [entry for at_s in range(1, 601) for entry in ledger.passed(float(at_s))]
    assert (count(told), set(faults(told))) == (599, {SILENT})
    assert (told[0].since_s, told[-1].until_s) == (1.0, 599.0)
    assert faults(ledger.came(shot(600.2, 601))) == [None]


def test_frames_that_the_cameras_count_leaves_out_are_missing():
    ledger = Ledger(10.0, 0.0)
    assert faults(ledger.came(shot(0.1, 65_533))) == [None]
    told = ledger.came(shot(0.4, 1))  # 65534 and 65535 are lost; after these comes 1
    assert faults(told) == [SKIPPED, None]
    assert (told[0].count, told[0].since_s, told[0].until_s) == (2, pytest.approx(0.2), pytest.approx(0.3))
    assert faults(ledger.came(shot(0.5, 2**60))) == [None], (
        "that many cannot be lost in 0.1 s: it counts anew"
    )
    ledger.reopened()
    assert faults(ledger.came(shot(0.6, 2**60 + 9))) == [None]


@pytest.mark.parametrize(
    ("pixels", "problem", "note"),
    [
        (PIXELS.T, "", "it is 3 x 4 px, 4 x 3 px were expected"),
        (None, "packets of it are missing", "packets of it are missing"),
        (np.zeros((3, 4, 3), np.uint8), "", "it is no grey frame of 8 bits"),
    ],
)
def test_a_torn_frame_is_corrupt_with_the_reason(pixels, problem, note):
    ledger = Ledger(1.0, 0.0)
    ledger.came(shot(0.0))
    (told,) = ledger.came(shot(1.0, pixels=pixels, problem=problem))
    assert (told.pixels, told.fault, told.note) == (None, FrameOutcome.CORRUPT, note)


def test_a_frame_that_comes_late_and_was_not_told_is_late():
    ledger = Ledger(1.0, 0.0)
    # A line that carries half of what the camera takes: each comes a second later than the one before.
    told = [entry for n in range(6) for entry in ledger.came(shot(2.0 * n, n, device_ns=10**9 * (7 + n)))]
    assert faults(told) == [None, None, None, None, FrameOutcome.LATE, FrameOutcome.LATE]
    assert told[-1].note == "the camera gave it 5.0 s late"
    assert [entry.taken_s for entry in told] == pytest.approx([0, 1, 2, 3, 4, 5])


def test_a_frame_that_was_told_as_missing_is_not_told_again():
    ledger = Ledger(1.0, 0.0)
    ledger.came(shot(0.0, 10, device_ns=1))
    assert count(ledger.passed(6.0)) == 5
    late = [ledger.came(shot(6.0, 10 + n, device_ns=10**9 * n)) for n in (1, 2, 3, 5)]
    assert late == [[], [], [], []]
    assert ledger.told_before == 4
    assert faults(ledger.came(shot(6.1, 16, device_ns=6 * 10**9))) == [None]
