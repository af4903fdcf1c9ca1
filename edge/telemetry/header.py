"""What stands around the body of a message: mark, codebook, dive, part, CRC. Pure.

A header stands alone: it says which codebook reads the message, and where it belongs.
"""

from __future__ import annotations

import binascii
import enum
import zlib
from dataclasses import dataclass

from edge.errors import MessageError
from edge.telemetry.codebook import FORMAT, ID_BYTES, Codebook

SHORT_BELOW_BYTES = 64
"""Links with messages below this take the short header."""
MIN_MESSAGE_BYTES = 23
"""Any single cell of any table fits in a message of this size."""
MAX_PARTS = 1 << 16
"""Most messages of a sending."""

_MARK, _SHORT = 0x80, 0x40
_CRC_BYTES, _SHORT_CRC_BYTES = 4, 2


class MessageKind(enum.IntEnum):
    """What is in a message."""

    FLAT = 0
    """Tables, coded as if nothing were known of the region."""
    REGIONAL = 1
    """Tables, coded with the climatology that the codebook names."""
    PARITY = 2
    """Parity of the messages of a sending."""
    PICTURE = 3
    """The picture of a particle."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a message says of itself.

    Attributes
    ----------
    codebook_id
        Start of the codebook's hash: 2 bytes, 1 on short links.
    dive_number
        On short links modulo 256.
    part, n_parts
        Number of the message from 0, and how many messages of tables the sending has; of a parity or a
        picture its number among these.
    kind, is_short
        What is in it, and whether the header is that of short links.
    """

    codebook_id: bytes
    dive_number: int
    part: int
    n_parts: int
    kind: MessageKind = MessageKind.FLAT
    is_short: bool = False

    def is_of(self, dive_number: int) -> bool:
        """Whether it may be of a dive: short links tell its number modulo 256 alone."""
        return self.dive_number == (dive_number & 0xFF if self.is_short else dive_number)


def header_bytes(part: int, parts_bytes: int, *, is_short: bool = False) -> int:
    """Bytes of header and CRC of a part, when the number of parts is written in `parts_bytes`."""
    numbers = len(_varint(part)) + parts_bytes
    return (1 + 1 + 1 + _SHORT_CRC_BYTES if is_short else 1 + ID_BYTES + 2 + _CRC_BYTES) + numbers


def pack(header: Header, body: bytes, codebook: Codebook, parts_bytes: int = 1) -> bytes:
    """A message: mark, kind and version; codebook; dive; part; number of parts - 1; body; CRC of it all."""
    short = header.is_short
    mark = _MARK | _SHORT * short | header.kind << 4 | FORMAT
    dive = (header.dive_number & 0xFF).to_bytes(1, "big") if short else header.dive_number.to_bytes(2, "big")
    numbers = _varint(header.part) + _varint(header.n_parts - 1, parts_bytes)
    data = bytes((mark,)) + header.codebook_id + dive + numbers + body
    return data + _crc(data, codebook, short)


def unpack(data: bytes) -> tuple[Header, bytes]:
    """Header and body of a message, whose CRC is not looked at yet (`check`).

    Raises
    ------
    MessageError
        With the reason: not a message of ours, or another version.
    """
    short = bool(data and data[0] & _SHORT)
    if len(data) < header_bytes(0, 1, is_short=short) or not data[0] & _MARK:
        raise bad_message("is not a message of this instrument", "leave it out")
    if data[0] & 0x0F != FORMAT:
        raise bad_message(f"is of version {data[0] & 0x0F}, {FORMAT} is read here", "update seston")
    kind = MessageKind(data[0] >> 4 & 3)
    after_id = 1 + (1 if short else ID_BYTES)
    after_dive = after_id + (1 if short else 2)
    body = data[after_dive : -_SHORT_CRC_BYTES if short else -_CRC_BYTES]
    part, body = _take_varint(body)
    last_part, body = _take_varint(body)
    if last_part >= MAX_PARTS:
        raise bad_message(f"is one of {last_part + 1} parts, {MAX_PARTS} can be sent", "leave it out")
    if part > last_part and kind is not MessageKind.PARITY:
        raise bad_message(f"is part {part + 1} of {last_part + 1}", "leave it out")
    number = int.from_bytes(data[after_id:after_dive], "big")
    return Header(data[1:after_id], number, part, last_part + 1, kind, short), body


def uncovered_bytes(*, is_short: bool) -> int:
    """Bytes at the start of a message that parity does not cover: all messages of a sending share them."""
    return 3 if is_short else 1 + ID_BYTES + 2


def lead_of(parity: bytes) -> tuple[bytes, int]:
    """From a parity message: the start of the messages that it covers, and the number of parity messages."""
    header, body = unpack(parity)
    if not body or not body[0] & 0x7F:
        raise bad_message("is a parity message without content", "leave it out")
    kind = MessageKind(body[0] >> 7)
    mark = parity[0] & ~(3 << 4) | kind << 4
    return bytes((mark,)) + parity[1 : uncovered_bytes(is_short=header.is_short)], body[0] & 0x7F


def parity_lead(n_parity: int, kind: MessageKind) -> bytes:
    """First byte of the body of a parity message: their number, and of which kind the others are."""
    return bytes((n_parity | kind << 7,))


def check(data: bytes, codebook: Codebook) -> None:
    """Refuse a message whose CRC does not fit, which is begun with the codebook's hash."""
    short = bool(data[0] & _SHORT)
    size = _SHORT_CRC_BYTES if short else _CRC_BYTES
    if _crc(data[:-size], codebook, short) != data[-size:]:
        raise bad_message("is damaged: its CRC does not fit", "ask for it again")


def codebook_id(codebook: Codebook, *, is_short: bool) -> bytes:
    """Start of the codebook's hash, as messages carry it."""
    return codebook.id[:1] if is_short else codebook.id


def _crc(data: bytes, codebook: Codebook, short: bool) -> bytes:
    """CRC of the codebook's hash and the message: a header holds too little of the hash to tell all apart."""
    whole = bytes.fromhex(codebook.sha256) + data
    if short:
        return binascii.crc_hqx(whole, 0xFFFF).to_bytes(_SHORT_CRC_BYTES, "big")
    return zlib.crc32(whole).to_bytes(_CRC_BYTES, "big")


def _varint(value: int, width: int = 1) -> bytes:
    """LEB128, seven bits a byte, low first; padded to `width` bytes."""
    out = bytearray()
    while value >= 0x80 or len(out) < width - 1:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _take_varint(data: bytes) -> tuple[int, bytes]:
    value = 0
    for i in range(min(4, len(data))):
        value |= (data[i] & 0x7F) << (7 * i)
        if data[i] < 0x80:
            return value, data[i + 1 :]
    raise bad_message("has a part number without end", "leave it out")


def bad_message(problem: str, remedy: str) -> MessageError:
    """Why a message is not used, and what to do."""
    return MessageError(problem, remedy=remedy)
