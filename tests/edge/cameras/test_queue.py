"""The queue against a list that forgets nothing: what goes in comes out, as a frame or as dropped."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.cameras.ledger import SILENT, Missing, Taken
from edge.cameras.queue import NO_TIME, FrameQueue
from edge.frame import FrameOutcome
from edge.run_config import Drop

pytestmark = pytest.mark.board

PIXELS = np.zeros((2, 2), np.uint8)
STEPS = st.lists(st.one_of(st.just("frame"), st.just("take"), st.integers(1, 5)), max_size=80)


@given(steps=STEPS, limit=st.integers(1, 5), drop=st.sampled_from(Drop))
def test_what_goes_in_comes_out_in_order_and_memory_is_bounded(steps, limit, drop):
    queue, model, out, expected, now = FrameQueue(limit, drop), [], [], [], 0
    for step in [*steps, *["take"] * 1000]:
        if step == "take":
            taken = queue.take()
            assert (taken is None) == (not model)
            if taken is None:
                continue
            out.append(taken)
            expected.append(model.pop(0))
        elif step == "frame":
            queue.put(Taken(now, PIXELS))
            kept = [i for i, entry in enumerate(model) if entry is not None]
            if len(kept) == limit:
                drops_new = drop is Drop.NEWEST
                model.append(None if drops_new else now)
                model[len(model) - 1 if drops_new else kept[0]] = None
            else:
                model.append(now)
            now += 1
        else:
            queue.put(Missing(step, now, now + step - 1, SILENT))
            model += [None] * step
            now += step
        assert queue.n_entries <= 2 * limit + 1
    assert [taken.taken_s if taken.pixels is not None else None for taken in out] == expected
    assert len(out) == now
    assert [taken.taken_s for taken in out] == pytest.approx(list(range(now)))
    assert all(
        taken.fault is FrameOutcome.DROPPED and taken.note in (SILENT, NO_TIME)
        for taken in out
        if taken.pixels is None
    )


def test_a_night_of_silence_is_one_entry():
    queue = FrameQueue(4, Drop.OLDEST)
    for hour in range(12):
        queue.put(Missing(3600, 3600.0 * hour, 3600.0 * hour + 3599, SILENT))
    assert queue.n_entries == 1
    assert sum(1 for _ in iter(queue.take, None)) == 12 * 3600


def test_who_waits_is_woken_by_the_next_frame():
    queue = FrameQueue(1, Drop.NEWEST)
    waker = threading.Timer(0.05, lambda: queue.put(Taken(1.0, PIXELS)))
    waker.start()
    assert queue.take(wait_s=30).taken_s == 1.0
    waker.join()
