"""From DirectIP's packets to arrivals: how long a packet is, and what it says. Opens nothing."""

from __future__ import annotations

from firmware_bridge.iridium.directip import REVISION, read_mo
from tools.shore.receiving.arrival import Arrival, Unreadable, check

HEAD_BYTES = 3
"""Revision and length."""


def packet_bytes(data: bytearray) -> int:
    """Bytes of the packet that begins here, as far as is known; only its head where it is none of ours.

    64 kB at most: SBD has messages of 1960 bytes, an emulated IMT modem has longer ones.
    """
    if len(data) < HEAD_BYTES or data[0] != REVISION:
        return HEAD_BYTES
    return HEAD_BYTES + int.from_bytes(data[1:HEAD_BYTES], "big")


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
