"""From DirectIP's packets to arrivals: how long a packet is, and what it says. Opens nothing."""

from __future__ import annotations

from firmware_bridge.iridium.directip import REVISION, read_mo
from tools.shore.receiving.arrival import Arrival, Unreadable, check

HEAD_BYTES = 3
"""Revision and length."""
MAX_PACKET_BYTES = 4096
"""The longest payload of a modem has 1960 bytes, all else some 60."""


def packet_bytes(data: bytearray) -> int:
    """Bytes of the packet that begins here, as far as is known; only its head where it is none of ours."""
    if len(data) < HEAD_BYTES or data[0] != REVISION:
        return HEAD_BYTES
    length = HEAD_BYTES + int.from_bytes(data[1:HEAD_BYTES], "big")
    return length if length <= MAX_PACKET_BYTES else HEAD_BYTES


def read_packet(data: bytes) -> Arrival | Unreadable:
    """The message in a packet. Never raises."""
    found = read_mo(data)
    if isinstance(found, str):
        return Unreadable(found)
    return check(
        Arrival(
            found.imei,
            found.momsn,
            found.time_s,
            found.payload,
            "directip",
            found.latitude_deg,
            found.longitude_deg,
            found.cep_km,
        )
    )
