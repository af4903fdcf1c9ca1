"""Frames: known checks, round trips in any cut, and recovery from garbage within one frame."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.framing import (
    FRAME_EXTRA_BYTES,
    MAX_BODY_BYTES,
    Deframer,
    crc16,
    crc32,
    encode_frame,
)

pytestmark = pytest.mark.board

BODIES = st.binary(min_size=1, max_size=MAX_BODY_BYTES)


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def test_the_checks_are_those_of_the_catalogue():
    """Check values of CRC-16/IBM-3740 and CRC-32/ISO-HDLC in Greg Cook's catalogue of parametrised CRCs."""
    assert crc16(b"123456789") == 0x29B1
    assert crc32(b"123456789") == 0xCBF43926
    assert crc32(b"6789", crc32(b"12345")) == 0xCBF43926


@given(st.lists(BODIES, max_size=5), st.lists(st.integers(min_value=0), max_size=8))
def test_bodies_come_back_in_any_cut(bodies, places):
    data = b"".join(encode_frame(body) for body in bodies)
    assert all(len(encode_frame(body)) == len(body) + FRAME_EXTRA_BYTES for body in bodies)
    deframer = Deframer()
    assert [found for part in cut(data, places) for found in deframer.feed(part)] == bodies


@given(st.binary(max_size=2000), BODIES, BODIES)
def test_any_garbage_costs_at_most_the_frame_it_touches(garbage, first, second):
    found = list(Deframer().feed(garbage + encode_frame(first) + encode_frame(second)))
    assert found[-1] == second
    after_a_zero = list(Deframer().feed(garbage + b"\x00" + encode_frame(first)))
    assert after_a_zero[-1] == first


@given(BODIES, st.data())
def test_a_turned_bit_is_seen(body, data):
    frame = bytearray(encode_frame(body))
    frame[data.draw(st.integers(0, len(frame) - 2))] ^= 1 << data.draw(st.integers(0, 7))
    frame += encode_frame(b"next")
    found = list(Deframer().feed(bytes(frame)))
    assert found[-1] == b"next"
    assert body not in found


def test_garbage_without_end_is_not_kept():
    deframer = Deframer()
    for _ in range(50):
        assert list(deframer.feed(b"\xa5" * 1000)) == []
    assert len(deframer._held) <= MAX_BODY_BYTES + FRAME_EXTRA_BYTES
    assert list(deframer.feed(b"\x00" + encode_frame(b"here"))) == [None, b"here"]


@pytest.mark.parametrize("body", [b"", bytes(MAX_BODY_BYTES + 1)])
def test_a_body_out_of_bounds_is_not_framed(body):
    with pytest.raises(ValueError, match="can be framed"):
        encode_frame(body)
    assert MAX_BODY_BYTES == 240
