"""From DirectIP's packets to arrivals: how long a packet is, and what it says. Opens nothing."""

from __future__ import annotations

from firmware_bridge.iridium.directip import HEAD_BYTES, MAX_MO_BYTES, REVISION, NotDirectIp, read_mo
from tools.shore.receiving.arrival import Arrival, Unreadable, check

MAX_PACKET_BYTES = MAX_MO_BYTES + 2048
"""All elements but the payload are some 60 bytes; more than this is none of ours."""


def packet_bytes(data: bytearray) -> int:
    """Bytes of the packet that begins here, as far as is known; only its head where it is none of ours."""
    if len(data) < HEAD_BYTES or data[0] != REVISION:
        return HEAD_BYTES
    length = HEAD_BYTES + int.from_bytes(data[1:HEAD_BYTES], "big")
    return length if length <= MAX_PACKET_BYTES else HEAD_BYTES


def read_packet(data: bytes) -> Arrival | Unreadable:
    """The message in a packet. Never raises."""
    found = read_mo(data)
    if isinstance(found, NotDirectIp):
        return Unreadable(found.sentence)
    place = found.location
    return check(
        Arrival(
            found.imei,
            found.momsn,
            found.time_s,
            found.payload or b"",
            "directip",
            place.latitude_deg if place else None,
            place.longitude_deg if place else None,
            place.cep_km if place else None,
        )
    )
