"""DirectIP packets: written and read again, against bytes from outside, and whatever comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.errors import MisuseError
from firmware_bridge.iridium.directip import (
    MAX_MO_BYTES,
    MAX_MT_BYTES,
    Location,
    MoMessage,
    MtConfirmation,
    MtMessage,
    NotDirectIp,
    read_confirmation,
    read_mo,
    read_mt,
    read_mt_confirmation,
    write_confirmation,
    write_mo,
    write_mt,
)

pytestmark = pytest.mark.board

IMEI = "300034010123450"
HEADER = bytes.fromhex("01001c") + bytes(3) + b"\x07" + IMEI.encode() + bytes.fromhex("00d4310000436539c8")
places = st.builds(
    Location,
    st.integers(-90 * 60_000, 90 * 60_000).map(lambda steps: steps / 60_000),
    st.integers(-180 * 60_000, 180 * 60_000).map(lambda steps: steps / 60_000),
    st.integers(0, 2000),
)
messages = st.builds(
    MoMessage,
    st.from_regex("[0-9]{15}", fullmatch=True),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.none() | st.binary(min_size=1, max_size=MAX_MO_BYTES),
    st.integers(0, 255),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.none() | places,
)


@given(messages)
def test_messages_from_modems_are_read_as_written(message):
    assert read_mo(write_mo(message)) == message


@given(
    st.binary(min_size=1, max_size=MAX_MT_BYTES), st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFF),
)  # fmt: skip
def test_messages_to_modems_are_read_as_written(payload, number, flags):
    packet = write_mt(IMEI, payload, message_id=number, flags=flags)
    assert read_mt(packet) == MtMessage(IMEI, payload, number, flags)


def test_a_message_to_a_modem_to_the_byte():
    """The example that public writers quote: a payload of 70 bytes, 97 bytes after revision and length."""
    packet = write_mt(IMEI, bytes(70), message_id=int.from_bytes(b"Msg1", "big"))
    assert packet.hex() == (
        "010061" "410015" + b"Msg1".hex() + IMEI.encode().hex() + "0000" "420046" + "00" * 70
    )  # fmt: skip


def test_a_message_from_a_modem_to_the_byte():
    location = bytes.fromhex("03000b022b61a807cb2000000003")
    body = HEADER + location + bytes.fromhex("020003") + b"abc"
    found = read_mo(b"\x01" + len(body).to_bytes(2, "big") + body)
    assert found == MoMessage(IMEI, 54321, 1130707400, b"abc", 0, 0, 7, Location(-2605 / 60, 472 / 60, 3))


def test_confirmations_to_the_byte():
    assert write_confirmation(True).hex() == "01000405000101"
    assert write_confirmation(False).hex() == "01000405000100"
    assert read_confirmation(write_confirmation(True)) is True
    assert read_confirmation(write_confirmation(False)) is False
    answer = bytes.fromhex("01001c440019") + b"Msg1" + IMEI.encode() + bytes.fromhex("00000009fffb")
    assert read_mt_confirmation(answer) == MtConfirmation(0x4D736731, IMEI, 9, -5)


def test_what_is_not_known_is_passed_over_and_a_place_that_is_none_is_left_out():
    strange = bytes.fromhex("7f0002") + b"??" + bytes.fromhex("03000b005b000000000000000001")
    body = HEADER + strange
    found = read_mo(b"\x01" + len(body).to_bytes(2, "big") + body)
    assert found.payload is None
    assert found.location is None


@given(st.binary(max_size=200), st.binary(max_size=40), st.integers(0, 100))
def test_any_bytes_are_a_packet_or_none(data, noise, cut):
    good = write_mo(MoMessage(IMEI, 1, 2, b"abc", location=Location(1.0, 2.0, 3)))
    framed = b"\x01" + len(data).to_bytes(2, "big") + data
    for one in (data, framed, good[:cut] + noise + good[cut:], good[:cut]):
        for read in (read_mo, read_mt, read_confirmation, read_mt_confirmation):
            found = read(one)
            assert not isinstance(found, NotDirectIp) or found.sentence
            if isinstance(found, MoMessage):
                assert len(found.imei) == 15


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda: write_mt("12", b"a"), "15 digits"),
        (lambda: write_mt(IMEI, b""), "0 bytes"),
        (lambda: write_mt(IMEI, bytes(MAX_MT_BYTES + 1)), "use 1 to 1890"),
        (lambda: write_mt(IMEI, b"a", message_id=-1), "cannot be written"),
        (lambda: write_mo(MoMessage(IMEI, 70_000, 0, None)), "cannot be written"),
        (lambda: write_mo(MoMessage("３" * 15, 1, 0, None)), "15 digits"),
        (lambda: write_mo(MoMessage(IMEI, 1, 0, None, location=Location(91.0, 0.0, 1))), "no place"),
    ],
)
def test_what_cannot_be_written_is_a_sentence(write, words):
    with pytest.raises(MisuseError, match=words):
        write()
