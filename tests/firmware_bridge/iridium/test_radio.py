"""Time, pauses and silence of a modem's radio."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.iridium.radio import BACKOFF_S, MUTE_AFTER, Radio
from firmware_bridge.sans_io import NEVER_S

pytestmark = pytest.mark.board


def test_time_passes_only_while_it_is_on():
    radio = Radio(100.0)
    assert radio.left_s(50.0) == 100.0
    radio.turn(True, 50.0)
    assert radio.left_s(60.0) == 90.0
    radio.turn(True, 60.0)
    radio.turn(False, 80.0)
    assert radio.left_s(1000.0) == 70.0
    radio.turn(True, 1000.0)
    assert radio.left_s(1071.0) == -1.0
    assert radio.wait_s(1071.0) == NEVER_S
    radio.turn(False, 1071.0)
    radio.renew()
    assert radio.left_s(2000.0) == 100.0
    radio.renew(5.0)
    assert radio.left_s(2000.0) == 5.0
    radio.renew(0.0)
    assert radio.wait_s(2000.0) == NEVER_S


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1000)), max_size=30))
def test_what_is_used_is_the_sum_of_the_times_it_was_on(turns):
    radio, now, used = Radio(1e6), 0, 0
    for is_on, lasts in turns:
        radio.turn(is_on, now)
        now += lasts
        used += lasts * is_on
        assert radio.left_s(now) == 1e6 - used


def test_a_spent_radio_is_told_once_until_it_is_renewed():
    radio = Radio(0.0)
    assert [radio.tell_spent() for _ in range(3)] == [True, False, False]
    radio.renew()
    assert [radio.tell_spent() for _ in range(2)] == [True, False]


def test_a_radio_without_a_limit_is_never_spent():
    radio = Radio()
    radio.turn(True, 0.0)
    assert radio.wait_s(1e9) == 0.0


@pytest.mark.parametrize("luck", [0.0, 0.5, 1.0])
def test_pauses_grow_to_the_longest_and_begin_anew_when_all_went_well(luck):
    radio, now = Radio(jitter=lambda: luck), 10.0
    for pause in (*BACKOFF_S, BACKOFF_S[-1]):
        again = radio.back_off(now)
        assert again == pytest.approx(now + pause * (1 + luck))
        assert radio.wait_s(now + 1.0) == pytest.approx(again - now - 1.0)
        now = again
        assert radio.wait_s(now) == 0.0
    radio.failures = 0
    assert radio.pause_s() == pytest.approx(BACKOFF_S[0] * (1 + luck))


def test_a_pause_that_something_else_sets_counts_no_failure():
    radio = Radio()
    assert radio.rest(15.0, 100.0) == 115.0
    assert radio.wait_s(110.0) == 5.0
    assert radio.failures == 0


def test_power_is_cycled_after_so_many_commands_in_a_row_without_an_answer():
    radio = Radio()
    assert [radio.is_mute() for _ in range(2 * MUTE_AFTER)] == [*[False] * (MUTE_AFTER - 1), True] * 2
    radio.is_mute()
    radio.answered()
    assert [radio.is_mute() for _ in range(MUTE_AFTER)] == [*[False] * (MUTE_AFTER - 1), True]
