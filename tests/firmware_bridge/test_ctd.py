"""Pressure lines: whole, byte by byte, with garbage between."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.ctd import LineSplitter, Reading, parse_line

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
    "line", [b"", b"S>", b"1e3", b"nan", b"9999", b"12,99", b"1,2,3,4", b"12;5", b"\xff12", b"1,,2"]
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
