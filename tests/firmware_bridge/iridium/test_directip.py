"""DirectIP's packets: the layout to the byte, round trips, and hostile bytes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.iridium.directip import (
    MAX_MT_BYTES,
    MoMessage,
    MtMessage,
    read_confirmation,
    read_mo,
    read_mt,
    read_mt_confirmation,
    write_confirmation,
    write_mo,
    write_mt,
    write_mt_confirmation,
)

pytestmark = pytest.mark.board

IMEI = "300234010753370"


def test_a_packet_is_laid_out_as_the_gateway_does_it():
    message = MoMessage(IMEI, 12345, 1_700_000_000, b"hello", 0, 7, 99, -43.5, 7.25, 3)
    header = (
        b"\x01"
        + struct.pack(">H", 28)
        + struct.pack(">I15sBHHI", 99, IMEI.encode(), 0, 12345, 7, 1_700_000_000)
    )
    location = b"\x03" + struct.pack(">H", 11) + struct.pack(">BBHBHI", 2, 43, 30_000, 7, 15_000, 3)
    payload = b"\x02" + struct.pack(">H", 5) + b"hello"
    body = header + location + payload
    assert write_mo(message) == b"\x01" + struct.pack(">H", len(body)) + body
    assert read_mo(write_mo(message)) == message


@given(
    st.integers(0, 65535), st.integers(0, 2**32 - 1), st.binary(max_size=340), st.integers(0, 255),
    st.none() | st.tuples(st.integers(-5_400_000, 5_400_000), st.integers(-10_800_000, 10_800_000)),
)  # fmt: skip
def test_a_message_comes_back(momsn, time_s, payload, status, place):
    where = (None, None, None) if place is None else (place[0] / 60_000, place[1] / 60_000, 5)
    found = read_mo(write_mo(MoMessage(IMEI, momsn, time_s, payload, status, 1, 2, *where)))
    assert (found.momsn, found.time_s, found.payload, found.status) == (momsn, time_s, payload, status)
    if place is None:
        assert found.latitude_deg is None
    else:
        assert found.latitude_deg == pytest.approx(where[0])
        assert found.longitude_deg == pytest.approx(where[1])


@given(st.binary(max_size=MAX_MT_BYTES), st.integers(0, 2**32 - 1), st.integers(0, 65535))
def test_a_message_to_a_float_comes_back(payload, message_id, flags):
    assert read_mt(write_mt(IMEI, payload, message_id, flags)) == MtMessage(IMEI, payload, message_id, flags)


def test_confirmations():
    assert write_confirmation(True) == bytes.fromhex("01000405000101")
    assert read_confirmation(write_confirmation(True))
    assert not read_confirmation(write_confirmation(False))
    assert not read_confirmation(b"\x01\x00\x00")
    told = write_mt_confirmation(MtMessage(IMEI, b"a", 41), 7, -3)
    assert read_mt_confirmation(told) == (41, -3)
    assert isinstance(read_mt_confirmation(write_confirmation(True)), str)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_message_or_a_sentence(data):
    for read in (read_mo, read_mt, read_mt_confirmation):
        read(data)
    read_confirmation(data)


@given(st.binary(max_size=340), st.data())
def test_a_damaged_packet_is_told_or_read_as_it_is(payload, data):
    packet = bytearray(write_mo(MoMessage(IMEI, 1, 2, payload)))
    at = data.draw(st.integers(0, len(packet) - 1))
    packet[at] ^= data.draw(st.integers(1, 255))
    found = read_mo(bytes(packet))
    assert isinstance(found, (str, MoMessage))
    assert isinstance(read_mo(bytes(packet[:-1])), str)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is no packet"), (b"\x02\x00\x00", "is no packet"), (b"\x01\x00\x05", "another length"),
        (b"\x01\x00\x03\x01\x00\x09", "within an element"), (b"\x01\x00\x00", "no header"),
        (b"\x01\x00\x06\x07\x00\x00\x07\x00\x00", "twice"),
    ],
)  # fmt: skip
def test_each_fault_is_said(data, why):
    assert why in read_mo(data)


def test_an_element_of_later_days_is_passed_over():
    packet = write_mo(MoMessage(IMEI, 1, 2, b"abc"))
    longer = packet[3:] + b"\x77\x00\x02xy"
    found = read_mo(b"\x01" + struct.pack(">H", len(longer)) + longer)
    assert found.payload == b"abc"
