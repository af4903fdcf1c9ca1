"""Frames of the native link: COBS between zero bytes, with a CRC-16 each; CRC-32 over whole objects. Pure.

Not the link: what a frame says is `link_wire`'s. COBS after Cheshire and Baker, "Consistent Overhead Byte
Stuffing" (1999), by the package `cobs`.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Iterator

from cobs import cobs

MAX_BODY_BYTES = 240
"""Longest body: with its CRC it needs one COBS block, so a frame is always its body and four bytes."""
FRAME_EXTRA_BYTES = 4
"""What a frame adds to its body: one byte of COBS, two of CRC, the zero at its end."""
END = b"\x00"


def crc16(data: bytes) -> int:
    """CRC-16/IBM-3740, also named CCITT-FALSE: polynomial 0x1021, start 0xFFFF, nothing reflected.

    >>> hex(crc16(b"123456789"))
    '0x29b1'
    """
    return binascii.crc_hqx(data, 0xFFFF)


def crc32(data: bytes, so_far: int = 0) -> int:
    """CRC-32/ISO-HDLC, that of zip and Ethernet; `so_far` is that of the bytes before.

    >>> hex(crc32(b"6789", crc32(b"12345")))
    '0xcbf43926'
    """
    return zlib.crc32(data, so_far)


def encode_frame(body: bytes) -> bytes:
    """Frame of a body of 1 to `MAX_BODY_BYTES` bytes, with the zero at its end."""
    if not 1 <= len(body) <= MAX_BODY_BYTES:
        raise ValueError(f"a body of {len(body)} bytes; 1 to {MAX_BODY_BYTES} can be framed")
    return bytes(cobs.encode(body + crc16(body).to_bytes(2, "big")) + END)


class Deframer:
    """Cut a stream of bytes into the bodies of good frames; keeps less than one frame.

    After any garbage the next zero begins anew: at most the frame that the garbage touched is lost.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._overlong = False

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """Bodies in order; None in the place of a damaged or overlong frame. Zeros in a row say nothing."""
        pieces = data.split(END)
        for i, piece in enumerate(pieces):
            room = MAX_BODY_BYTES + FRAME_EXTRA_BYTES - 1 - len(self._held)
            self._overlong |= len(piece) > room
            self._held += piece[:room]
            if i == len(pieces) - 1:
                return
            held, overlong = bytes(self._held), self._overlong
            self._held.clear()
            self._overlong = False
            if held:
                yield None if overlong else decode_frame(held)


def decode_frame(encoded: bytes) -> bytes | None:
    """Body of a frame without its zero, or None when it is damaged or empty."""
    try:
        decoded = bytes(cobs.decode(encoded))
    except cobs.DecodeError:
        return None
    body, sent = decoded[:-2], decoded[-2:]
    return body if body and crc16(body).to_bytes(2, "big") == sent else None
