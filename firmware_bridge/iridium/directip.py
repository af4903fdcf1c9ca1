"""DirectIP, the gateway's packets: messages from a float (MO) and to it (MT), written and read. Pure.

Revision 1: a byte of revision, 16 bits of length, then elements of an id, 16 bits of length, and content.
Reading gives what a packet says or a sentence on why it says nothing; it never raises. Elements that are not
known are passed over, as the specification wants.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

REVISION = 1
_HEAD = struct.Struct(">BH")
_MO_HEADER, _MO_PAYLOAD, _MO_LOCATION, _MO_CONFIRMATION = 0x01, 0x02, 0x03, 0x05
_MT_HEADER, _MT_PAYLOAD, _MT_CONFIRMATION = 0x41, 0x42, 0x44
_MO_HEADER_FORM = struct.Struct(">I15sBHHI")
_MO_LOCATION_FORM = struct.Struct(">BBHBHI")
_MT_HEADER_FORM = struct.Struct(">I15sH")
_MT_CONFIRMATION_FORM = struct.Struct(">I15sIh")
_WEST, _SOUTH = 1, 2
_MINUTE_PARTS = 1000
MAX_MT_BYTES = 1890


@dataclass(frozen=True, slots=True)
class MoMessage:
    """A message from a float.

    Attributes
    ----------
    imei
        Of the modem, 15 digits.
    momsn
        The modem's number of the message, modulo 65536.
    time_s
        When the session ended, seconds since 1970 UTC.
    payload
        Its bytes; empty for a session without a message.
    status
        Of the session: 0 to 2 with a message that is whole.
    mtmsn, cdr
        The gateway's numbers of the message that went the other way, and of its record.
    latitude_deg, longitude_deg, cep_km
        Where the constellation saw the modem, and how well; None when it does not say.
    """

    imei: str
    momsn: int
    time_s: int
    payload: bytes
    status: int = 0
    mtmsn: int = 0
    cdr: int = 0
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    cep_km: int | None = None


@dataclass(frozen=True, slots=True)
class MtMessage:
    """A message to a float: `message_id` is the sender's own number, `flags` the gateway's dispositions."""

    imei: str
    payload: bytes
    message_id: int = 0
    flags: int = 0


def write_mo(message: MoMessage) -> bytes:
    """The packet of a message, as the gateway sends it."""
    header = _MO_HEADER_FORM.pack(
        message.cdr, message.imei.encode("ascii"), message.status, message.momsn, message.mtmsn,
        message.time_s,
    )  # fmt: skip
    elements = [(_MO_HEADER, header)]
    if message.latitude_deg is not None and message.longitude_deg is not None:
        latitude, longitude = (_degrees(value) for value in (message.latitude_deg, message.longitude_deg))
        sides = _WEST * (message.longitude_deg < 0) | _SOUTH * (message.latitude_deg < 0)
        elements.append(
            (_MO_LOCATION, _MO_LOCATION_FORM.pack(sides, *latitude, *longitude, message.cep_km or 0))
        )
    if message.payload:
        elements.append((_MO_PAYLOAD, message.payload))
    return _packet(elements)


def read_mo(data: bytes) -> MoMessage | str:
    """The message in one whole packet, or why there is none."""
    found = _elements(data)
    if isinstance(found, str):
        return found
    header = found.get(_MO_HEADER)
    if header is None or len(header) != _MO_HEADER_FORM.size:
        return "has no header of a message from a float"
    cdr, imei, status, momsn, mtmsn, time_s = _MO_HEADER_FORM.unpack(header)
    if not imei.isdigit():
        return "has an IMEI that is no number"
    place: tuple[float | None, float | None, int | None] = (None, None, None)
    told = found.get(_MO_LOCATION)
    if told is not None and len(told) == _MO_LOCATION_FORM.size:
        sides, north, north_parts, east, east_parts, cep_km = _MO_LOCATION_FORM.unpack(told)
        latitude = north + north_parts / (60 * _MINUTE_PARTS)
        longitude = east + east_parts / (60 * _MINUTE_PARTS)
        if latitude <= 90 and longitude <= 180:
            place = (
                -latitude if sides & _SOUTH else latitude, -longitude if sides & _WEST else longitude, cep_km
            )  # fmt: skip
    payload = found.get(_MO_PAYLOAD, b"")
    return MoMessage(imei.decode("ascii"), momsn, time_s, payload, status, mtmsn, cdr, *place)


def write_confirmation(taken: bool) -> bytes:
    """What a receiver answers to a message: taken for good, or not."""
    return _packet([(_MO_CONFIRMATION, bytes([taken]))])


def read_confirmation(data: bytes) -> bool:
    """Whether the receiver has taken the message; False for anything else."""
    found = _elements(data)
    return not isinstance(found, str) and found.get(_MO_CONFIRMATION) == b"\x01"


def write_mt(imei: str, payload: bytes, message_id: int = 0, flags: int = 0) -> bytes:
    """The packet of a message to a float, as its sender gives it to the gateway."""
    header = _MT_HEADER_FORM.pack(message_id, imei.encode("ascii"), flags)
    return _packet([(_MT_HEADER, header), (_MT_PAYLOAD, payload)])


def read_mt(data: bytes) -> MtMessage | str:
    """The message in one whole packet, or why there is none."""
    found = _elements(data)
    if isinstance(found, str):
        return found
    header = found.get(_MT_HEADER)
    if header is None or len(header) != _MT_HEADER_FORM.size:
        return "has no header of a message to a float"
    message_id, imei, flags = _MT_HEADER_FORM.unpack(header)
    if not imei.isdigit():
        return "has an IMEI that is no number"
    payload = found.get(_MT_PAYLOAD, b"")
    if len(payload) > MAX_MT_BYTES:
        return f"has {len(payload)} bytes of payload; {MAX_MT_BYTES} can be sent"
    return MtMessage(imei.decode("ascii"), payload, message_id, flags)


def write_mt_confirmation(message: MtMessage, reference: int, status: int) -> bytes:
    """What the gateway answers to a message for a float: its place in the queue, or below 0 why not."""
    told = _MT_CONFIRMATION_FORM.pack(message.message_id, message.imei.encode("ascii"), reference, status)
    return _packet([(_MT_CONFIRMATION, told)])


def read_mt_confirmation(data: bytes) -> tuple[int, int] | str:
    """The sender's number and the place in the queue, below 0 an error; or why there is no answer."""
    found = _elements(data)
    if isinstance(found, str):
        return found
    told = found.get(_MT_CONFIRMATION)
    if told is None or len(told) != _MT_CONFIRMATION_FORM.size:
        return "is no confirmation"
    message_id, _, _, status = _MT_CONFIRMATION_FORM.unpack(told)
    return message_id, status


def _packet(elements: list[tuple[int, bytes]]) -> bytes:
    body = b"".join(_HEAD.pack(kind, len(content)) + content for kind, content in elements)
    return _HEAD.pack(REVISION, len(body)) + body


def _elements(data: bytes) -> dict[int, bytes] | str:
    """Elements by id, or why this is no packet."""
    if len(data) < _HEAD.size or data[0] != REVISION:
        return "is no packet of DirectIP revision 1"
    if int.from_bytes(data[1:3], "big") != len(data) - _HEAD.size:
        return "has another length than it says"
    found: dict[int, bytes] = {}
    at = _HEAD.size
    while at < len(data):
        if at + _HEAD.size > len(data):
            return "ends within an element"
        kind, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        if at + length > len(data):
            return "ends within an element"
        if kind in found:
            return "has an element twice"
        found[kind] = data[at : at + length]
        at += length
    return found


def _degrees(value: float) -> tuple[int, int]:
    """Whole degrees, and thousandths of a minute."""
    parts = round(abs(value) * 60 * _MINUTE_PARTS)
    return divmod(parts, 60 * _MINUTE_PARTS)
