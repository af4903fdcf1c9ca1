"""Pressure lines: whole, byte by byte, with garbage between."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.ctd import AGREEING, LineFormat, LineSplitter, RateCheck, Reading, parse_line

pytestmark = pytest.mark.board


@pytest.mark.parametrize(
    ("line", "reading"),
    [
        (b"12.34", Reading(12.34)),
        (b"1234.56, 12.3456, 35.1234", Reading(1234.56, 12.3456, 35.1234)),
        (b"-0.05, 21.38", Reading(-0.05, 21.38)),
    ],
)
def test_readings(line, reading):
    assert parse_line(line) == reading


@pytest.mark.parametrize(
    "line", [b"", b"S>", b"1e3", b"nan", b"9999", b"12,99", b"1,2,3,4", b"12;5", b"\xff12"]
)
def test_anything_else_is_no_reading(line):
    assert parse_line(line) is None


@given(st.binary(max_size=600), st.integers(1, 40))
def test_lines_do_not_depend_on_how_bytes_arrive(noise, step):
    stream = noise + b"\n100.25\r\n" + noise + b"\n7, 8\r\n"
    whole, pieces = LineSplitter(), LineSplitter()
    together = whole.feed(stream)
    apart = [line for i in range(0, len(stream), step) for line in pieces.feed(stream[i : i + step])]
    assert together == apart
    assert whole.overlong == pieces.overlong
    assert b"100.25" in together
    assert together[-1] == b"7, 8"


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_memory_is_bounded(chunks):
    splitter = LineSplitter(limit=64)
    for chunk in chunks:
        for line in splitter.feed(chunk):
            assert len(line) <= 64
        assert len(splitter._held) <= 64


@given(st.binary(max_size=80))
def test_arbitrary_bytes_never_raise(line):
    reading = parse_line(line)
    assert reading is None or -20 <= reading.pressure_dbar <= 7000


SBE41, SBE37, SBE49, RBR = LineFormat.SBE41, LineFormat.SBE37, LineFormat.SBE49, LineFormat.RBR


@pytest.mark.parametrize(
    ("line_format", "line", "reading"),
    [
        (SBE41, b"1554.09, 12.3456, 35.1234", Reading(1554.09, 12.3456, 35.1234)),
        (SBE41, b"  -0.05, 21.3800, 35.0001", Reading(-0.05, 21.38, 35.0001)),
        (
            SBE37,
            b" 23.7658,  0.00019,   -0.062,   0.0115, 05 Nov 2014, 11:19:40",
            Reading(-0.062, 23.7658, 0.0115),
        ),
        (SBE37, b" 23.7658, 4.50019, 62.5, 05 Nov 2014, 11:19:40", Reading(62.5, 23.7658)),
        (SBE49, b"23.7658, 4.80019, 10.062, 35.0115, 1532.10", Reading(10.062, 23.7658, 35.0115)),
        (SBE49, b"23.7658, 4.80019, 10.062", Reading(10.062, 23.7658)),
        (RBR, b"2021-03-04 05:06:07.000, 42.1, 12.5, 1003.2", Reading(1003.2, 12.5)),
    ],
)
def test_lines_as_their_makers_write_them(line_format, line, reading):
    assert parse_line(line, line_format) == reading
    assert reading.is_strict


@pytest.mark.parametrize(
    ("line_format", "line", "pressure_dbar"),
    [
        (SBE41, b"S>1554.1,12.3,35.1", 1554.1),
        (SBE41, b"1554.09 12.3456 35.1234", 1554.09),
        (SBE49, b"# 23.7 4.8 10.06 35.01", 10.06),
        (SBE37, b"23.7658,4.5,62.5,05 Nov 2014, 11:19:40", 62.5),
        (LineFormat.PRESSURE_FIRST, b"P:12.5 dbar", 12.5),
        (RBR, b"2021-03-04T05:06:07, 42.1 12.5 1003.2", 1003.2),
    ],
)
def test_small_deviations_are_read_and_said(line_format, line, pressure_dbar):
    reading = parse_line(line, line_format)
    assert reading.pressure_dbar == pressure_dbar
    if line != b"23.7658,4.5,62.5,05 Nov 2014, 11:19:40":
        assert not reading.is_strict


@pytest.mark.parametrize(
    ("line_format", "line"),
    [
        (SBE49, b"23.7, 4.8"),  # no pressure
        (SBE41, b"99.0, 12.3456, 99.1234"),  # no sea is so salt
        (SBE37, b"23.7, abc, 10.0"),
        (RBR, b"2021-03-04 05:06:07.000, 42.1"),
        (SBE41, b"1, 2, 3, 4, 5, 6, 7"),
    ],
)
def test_what_is_no_line_of_its_format(line_format, line):
    assert parse_line(line, line_format) is None


def test_the_order_of_columns_may_be_the_units_own():
    order = ("temperature_c", "other", "pressure_dbar", "salinity")
    reading = parse_line(b"2021-03-04 05:06:07.000, 12.5, 7.1, 1003.2, 35.1", RBR, order)
    assert (reading.pressure_dbar, reading.temperature_c, reading.salinity) == (1003.2, 12.5, 35.1)


@given(st.sampled_from(LineFormat), st.binary(max_size=120))
def test_arbitrary_bytes_of_any_format_never_raise(line_format, line):
    reading = parse_line(line, line_format)
    assert reading is None or -20 <= reading.pressure_dbar <= 7000


def test_a_jump_is_refused_once_and_believed_when_it_stays():
    check = RateCheck()
    assert check.accepts(100.0, 0.0)
    assert check.accepts(101.0, 1.0)
    assert not check.accepts(6000.0, 2.0)
    assert check.accepts(102.0, 3.0)
    assert check.refused == 1
    answers = [check.accepts(500.0 + i, 4.0 + i) for i in range(AGREEING)]
    assert answers == [False] * (AGREEING - 1) + [True]
    assert check.accepts(505.0, 8.0)


def test_after_a_long_silence_the_next_reading_is_believed():
    check = RateCheck()
    assert check.accepts(100.0, 0.0)
    assert check.accepts(1900.0, 3600.0)


@given(st.lists(st.tuples(st.floats(-20, 7000), st.floats(0, 100)), max_size=50))
def test_the_rate_check_never_refuses_for_ever(readings):
    check, now = RateCheck(), 0.0
    for pressure, wait in readings:
        now += wait
        check.accepts(pressure, now)
    assert any(check.accepts(50.0, now + i) for i in range(AGREEING + 1))
