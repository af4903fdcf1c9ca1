"""DirectIP, how Iridium's gateway hands messages over on shore: packets as bytes, both ways. Pure.

A packet is revision 1, a length, then elements of an id, a length and a content; strange ones are left out.
Ids, layouts and sizes are those on which public readers of DirectIP agree (goby3, sbd-rs).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from firmware_bridge.errors import MisuseError

REVISION = 1
HEAD_BYTES = 3
"""Revision and length."""
MAX_MO_BYTES, MAX_MT_BYTES = 1960, 1890
"""Largest payloads of any SBD modem, from it and to it."""

_HEAD, _ELEMENT = struct.Struct(">BH"), struct.Struct(">BH")
_MO_HEADER, _MO_LOCATION = struct.Struct(">I15sBHHI"), struct.Struct(">BBHBHI")
_MT_HEADER, _MT_CONFIRMATION = struct.Struct(">I15sH"), struct.Struct(">I15sIh")
_IMEI = re.compile(rb"[0-9]{15}")
_MO_HEADER_ID, _MO_PAYLOAD_ID, _MO_LOCATION_ID, _MO_CONFIRMATION_ID = 0x01, 0x02, 0x03, 0x05
_MT_HEADER_ID, _MT_PAYLOAD_ID, _MT_CONFIRMATION_ID = 0x41, 0x42, 0x44
_SOUTH, _WEST = 0b10, 0b01
_MINUTE_STEPS, _DEGREE_STEPS = 1000, 60_000
"""Latitude and longitude travel in degrees and thousandths of a minute."""
FLUSH_QUEUE = 0x0001
"""Disposition flag: first forget what waits for the modem."""


@dataclass(frozen=True, slots=True)
class NotDirectIp:
    """Why bytes are no packet of the kind that was looked for."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Location:
    """Where the network saw a modem: degrees, and the radius of the circle of 80 %, km."""

    latitude_deg: float
    longitude_deg: float
    cep_km: int


@dataclass(frozen=True, slots=True)
class MoMessage:
    """A message from a modem.

    Attributes
    ----------
    imei
        15 digits.
    momsn, mtmsn
        The modem's number of this message, and of the one it got in the same session, or 0.
    time_s
        Of the session, UTC, seconds since 1970.
    payload
        None when the packet has none.
    session_status
        0 to 2: the session did its work.
    cdr
        The gateway's number of the session.
    location
        Or None.
    """

    imei: str
    momsn: int
    time_s: int
    payload: bytes | None
    session_status: int = 0
    mtmsn: int = 0
    cdr: int = 0
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class MtMessage:
    """A message to a modem; `message_id` is the sender's own number, 32 bits."""

    imei: str
    payload: bytes
    message_id: int = 0
    flags: int = 0


@dataclass(frozen=True, slots=True)
class MtConfirmation:
    """The gateway's answer to a message to a modem: a `status` below 0 is a refusal, else a place in line."""

    message_id: int
    imei: str
    reference: int
    status: int


def read_mo(data: bytes) -> MoMessage | NotDirectIp:
    """A message from a modem; any bytes give an answer. Never raises."""
    elements = _elements(data)
    if isinstance(elements, NotDirectIp):
        return elements
    header = elements.get(_MO_HEADER_ID, b"")
    if len(header) != _MO_HEADER.size:
        return NotDirectIp("has no header of a message from a modem")
    cdr, imei, status, momsn, mtmsn, time_s = _MO_HEADER.unpack(header)
    if not _IMEI.fullmatch(imei):
        return NotDirectIp("has no IMEI of 15 digits")
    payload = elements.get(_MO_PAYLOAD_ID)
    location = _location(elements.get(_MO_LOCATION_ID, b""))
    return MoMessage(imei.decode(), momsn, time_s, payload, status, mtmsn, cdr, location)


def write_mo(message: MoMessage) -> bytes:
    """The packet of a message from a modem, as the gateway writes it; raises `MisuseError`."""
    try:
        header = _MO_HEADER.pack(
            message.cdr,
            _imei(message.imei),
            message.session_status,
            message.momsn,
            message.mtmsn,
            message.time_s,
        )
    except struct.error as cause:
        raise MisuseError(f"The message cannot be written: {cause}.") from cause
    elements = [(_MO_HEADER_ID, header)]
    if message.location is not None:
        elements.append((_MO_LOCATION_ID, _pack_location(message.location)))
    if message.payload is not None:
        elements.append((_MO_PAYLOAD_ID, _payload(message.payload, MAX_MO_BYTES)))
    return _packet(elements)


def write_confirmation(accepted: bool) -> bytes:
    """What the gateway waits for after a message from a modem: it sends what was not accepted again."""
    return _packet([(_MO_CONFIRMATION_ID, bytes((accepted,)))])


def read_confirmation(data: bytes) -> bool | NotDirectIp:
    """Whether a message from a modem was accepted. Never raises."""
    elements = _elements(data)
    if isinstance(elements, NotDirectIp):
        return elements
    content = elements.get(_MO_CONFIRMATION_ID, b"")
    return content == b"\x01" if len(content) == 1 else NotDirectIp("has no confirmation")


def write_mt(imei: str, payload: bytes, *, message_id: int = 0, flags: int = 0) -> bytes:
    """The packet of a message to a modem; raises `MisuseError`."""
    try:
        header = _MT_HEADER.pack(message_id, _imei(imei), flags)
    except struct.error as cause:
        raise MisuseError(f"The message cannot be written: {cause}.") from cause
    return _packet([(_MT_HEADER_ID, header), (_MT_PAYLOAD_ID, _payload(payload, MAX_MT_BYTES))])


def read_mt(data: bytes) -> MtMessage | NotDirectIp:
    """A message to a modem, as a gateway reads it. Never raises."""
    elements = _elements(data)
    if isinstance(elements, NotDirectIp):
        return elements
    header, payload = elements.get(_MT_HEADER_ID, b""), elements.get(_MT_PAYLOAD_ID)
    if len(header) != _MT_HEADER.size or payload is None:
        return NotDirectIp("has no header, or no payload, of a message to a modem")
    message_id, imei, flags = _MT_HEADER.unpack(header)
    if not _IMEI.fullmatch(imei):
        return NotDirectIp("has no IMEI of 15 digits")
    return MtMessage(imei.decode(), payload, message_id, flags)


def read_mt_confirmation(data: bytes) -> MtConfirmation | NotDirectIp:
    """What the gateway answers to a message to a modem. Never raises."""
    elements = _elements(data)
    if isinstance(elements, NotDirectIp):
        return elements
    content = elements.get(_MT_CONFIRMATION_ID, b"")
    if len(content) != _MT_CONFIRMATION.size:
        return NotDirectIp("has no confirmation of a message to a modem")
    message_id, imei, reference, status = _MT_CONFIRMATION.unpack(content)
    return MtConfirmation(message_id, imei.decode("ascii", "replace"), reference, status)


def _elements(data: bytes) -> dict[int, bytes] | NotDirectIp:
    """Contents by id; of an id that is there twice, the first."""
    if len(data) < HEAD_BYTES or data[0] != REVISION:
        return NotDirectIp("is no packet of revision 1")
    if int.from_bytes(data[1:HEAD_BYTES], "big") != len(data) - HEAD_BYTES:
        return NotDirectIp("is not as long as it says")
    found: dict[int, bytes] = {}
    at = HEAD_BYTES
    while at < len(data):
        if at + _ELEMENT.size > len(data):
            return NotDirectIp("ends in the middle of an element")
        number, size = _ELEMENT.unpack_from(data, at)
        at += _ELEMENT.size
        if at + size > len(data):
            return NotDirectIp("ends in the middle of an element")
        found.setdefault(number, data[at : at + size])
        at += size
    return found


def _packet(elements: list[tuple[int, bytes]]) -> bytes:
    body = b"".join(_ELEMENT.pack(number, len(content)) + content for number, content in elements)
    return _HEAD.pack(REVISION, len(body)) + body


def _location(content: bytes) -> Location | None:
    """A place; None where there is none, or none on this planet."""
    if len(content) != _MO_LOCATION.size:
        return None
    flags, latitude, north, longitude, east, cep_km = _MO_LOCATION.unpack(content)
    latitude_steps = latitude * _DEGREE_STEPS + north
    longitude_steps = longitude * _DEGREE_STEPS + east
    if max(north, east) >= _DEGREE_STEPS or latitude_steps > 90 * _DEGREE_STEPS:
        return None
    if longitude_steps > 180 * _DEGREE_STEPS:
        return None
    return Location(
        (-latitude_steps if flags & _SOUTH else latitude_steps) / _DEGREE_STEPS,
        (-longitude_steps if flags & _WEST else longitude_steps) / _DEGREE_STEPS,
        cep_km,
    )


def _pack_location(location: Location) -> bytes:
    if not (-90 <= location.latitude_deg <= 90 and -180 <= location.longitude_deg <= 180):
        raise MisuseError(f"The message cannot be written: {location} is no place.")
    north, east = (round(d * _DEGREE_STEPS) for d in (location.latitude_deg, location.longitude_deg))
    flags = _SOUTH * (north < 0) | _WEST * (east < 0)
    return _MO_LOCATION.pack(
        flags, *divmod(abs(north), _DEGREE_STEPS), *divmod(abs(east), _DEGREE_STEPS), location.cep_km
    )


def _imei(imei: str) -> bytes:
    found = imei.encode("ascii", "replace")
    if not _IMEI.fullmatch(found):
        raise MisuseError(f"The IMEI is {imei!r}; use its 15 digits.")
    return found


def _payload(payload: bytes, limit_bytes: int) -> bytes:
    if not 0 < len(payload) <= limit_bytes:
        raise MisuseError(f"The payload has {len(payload)} bytes; use 1 to {limit_bytes}.")
    return payload
