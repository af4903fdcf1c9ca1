"""Health of the instrument: every field within its budget, and what a dive's readings come to."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InputError
from edge.telemetry.health import (
    HEALTH_FIELDS,
    Condition,
    Health,
    HealthReading,
    sum_up,
    sum_up_condition,
)
from tests.edge.telemetry.dives import healths

pytestmark = pytest.mark.board


FIELDS = [(kind, field) for kind in (Health, Condition) for field in kind.FIELDS]
BY_FIELD = pytest.mark.parametrize(("kind", "field"), FIELDS, ids=[field.name for _, field in FIELDS])


@given(st.one_of(healths(), healths(Condition)))
def test_the_shore_knows_it_to_the_precision_stated(health):
    known = health.from_codes(health.codes())
    for field in health.FIELDS:
        put, got = getattr(health, field.name), getattr(known, field.name)
        assert (put is None) == (got is None)
        if put is not None:
            assert abs(got - put) <= field.step / 2
            assert field.minimum <= got <= field.maximum
    assert known == health.rounded() == known.rounded()


@BY_FIELD
def test_both_ends_travel_and_what_lies_beyond_names_the_field(kind, field):
    for value in (field.minimum, field.maximum):
        code = kind(**{field.name: value}).codes()[kind.FIELDS.index(field)]
        assert 1 <= code <= field.largest_code
        assert field.value(code) == value
    for value in (field.minimum - 1, field.maximum + 1):
        with pytest.raises(InputError, match=rf"health\.{field.name}: is {value}, .* can be sent"):
            kind(**{field.name: value})


@given(st.lists(st.one_of(st.none(), st.integers(-5, 1 << 42)), min_size=8, max_size=8))
def test_numbers_that_nobody_sent_are_unknown(codes):
    health = Health.from_codes(codes)
    for field, code in zip(HEALTH_FIELDS, codes, strict=True):
        assert (getattr(health, field.name) is None) == (code is None or not 1 <= code <= field.largest_code)


def test_nothing_known_is_all_zeros():
    assert Health().codes() == [0] * len(HEALTH_FIELDS)
    assert [field.name for field in HEALTH_FIELDS] == [f.name for f in dataclasses.fields(Health)]


@BY_FIELD
def test_whatever_was_read_is_held_within_what_can_be_sent(kind, field):
    low, high = kind.held(**{field.name: -1e30}), kind.held(**{field.name: 1e30})
    assert getattr(low, field.name) == field.minimum
    assert getattr(high, field.name) == field.maximum
    assert kind.held(**{field.name: float("nan")}) == kind.held(**{field.name: None}) == kind()


def test_counters_that_begin_anew_with_their_process_go_on():
    told = [(100, 2), (130, 2), (10, 1), (25, 1)]
    readings = [
        HealthReading(written_mb=mb, classifier_restarts=n, memory_mb=mb, dirt_permille=n) for mb, n in told
    ]
    found = sum_up_condition(
        [*readings, HealthReading()], lit_grey_centi=1234.4, unlit_grey_centi=None, noise_threshold=7,
        drift_permille=81, clock_off_ms=2_499,
    )  # fmt: skip
    assert found == Condition(
        lit_grey_centi=1234, noise_threshold=7, dirt_permille=1, drift_permille=81, clock_off_s=2,
        memory_mb=130, written_mb=55, classifier_restarts=1,
    )  # fmt: skip


def test_readings_of_a_dive_add_up():
    readings = [
        HealthReading(battery_mv=13_300, board_temperature_c=21, disk_free_mb=900, messages_waiting=7),
        HealthReading(board_temperature_c=4),
        HealthReading(battery_mv=12_900, board_temperature_c=9, disk_free_mb=880, messages_waiting=3),
        HealthReading(),
    ]
    assert sum_up(readings, restarts=2, over_exposed_frames=5, worst_sharpness=0.0734) == Health(
        battery_mv=12_900, board_temperature_min_c=4, board_temperature_max_c=21, disk_free_mb=880,
        restarts=2, over_exposed_frames=5, worst_sharpness=73, messages_waiting=3,
    )  # fmt: skip


@given(
    st.lists(st.builds(HealthReading, **dict.fromkeys(HealthReading.__struct_fields__, st.integers()))),
    st.integers(0), st.integers(0), st.one_of(st.none(), st.floats(0, 1), st.just(float("nan"))),
)  # fmt: skip
def test_no_reading_can_stop_a_dive(readings, restarts, over_exposed, sharp):
    health = sum_up(readings, restarts=restarts, over_exposed_frames=over_exposed, worst_sharpness=sharp)
    assert health.restarts == min(restarts, 65_535)
    possible = [r.board_temperature_c for r in readings if -55 <= r.board_temperature_c <= 150]
    assert health.board_temperature_max_c == max(possible, default=None)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("battery_mv", 12_345, "12.35 V"),
        ("board_temperature_min_c", -2, "-2 °C"),
        ("disk_free_mb", 1_234_567, "1,234.57 GB"),
        ("worst_sharpness", 73, "0.073"),
        ("over_exposed_frames", 12_000, "12,000"),
        ("restarts", None, "–"),
        ("lit_grey_centi", 305, "3.05 of 255"),
    ],
)
def test_people_read_units(name, value, text):
    assert next(field for _, field in FIELDS if field.name == name).text(value) == text
