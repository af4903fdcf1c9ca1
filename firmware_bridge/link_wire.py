"""Bodies of the native link's frames: hello, pieces of objects and their progress, records. Pure.

Not the link: who may say what, when, and what follows is `link`'s. A body that is not exactly as written here
is unreadable, never half read. Big-endian throughout.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

from firmware_bridge.framing import MAX_BODY_BYTES, crc32
from firmware_bridge.link_records import Record, Role, pack_record, unpack_record

VERSION = 1
"""Highest version of the link spoken here."""
LOWEST_VERSION = 1

MAX_OBJECT_BYTES = 0xFF_FFFF


class Capability(enum.IntFlag):
    """What an end can do beyond the least."""

    MESSAGES = 1
    UPLOADS = 2
    CTD = 4
    POWER = 8
    LOGS = 16
    """An instrument sends logs that are asked for."""
    SPEED = 32
    """An instrument can change the speed of its port."""
    UPDATES = 64
    """An instrument takes updates that a signed command has announced."""


VISITOR = Capability.LOGS | Capability.UPDATES
"""A host that has nothing beyond these is no float: somebody reads logs, or brings updates."""


class Kind(enum.IntEnum):
    """What an object is. The link delivers the bytes of any kind; it opens and trusts none."""

    MESSAGE = 1
    CONFIGURATION = 2
    COMMAND = 3
    MODEL = 4
    CLIMATOLOGY = 5
    LOG_LIST = 16
    LOG_PART = 17
    LOG_END = 18


SESSION_KINDS = range(16, 32)
"""Objects of these kinds are of one session: when it is over, they are not sent again."""


@dataclass(frozen=True, slots=True)
class Hello:
    """Who speaks, and what it can take; `peer_boot_id` is 0 while the other's is not known."""

    version: int
    lowest_version: int
    role: Role
    is_open: bool
    boot_id: int
    peer_boot_id: int
    max_body_bytes: int
    max_object_bytes: int
    capabilities: int


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of an object before its bytes: `object_id` names it for ever, across resets."""

    kind: int
    object_id: int
    length_bytes: int
    crc32: int

    @classmethod
    def of(cls, kind: int, object_id: int, data: bytes) -> Header:
        """Header of an object's bytes."""
        return cls(kind, object_id, len(data), crc32(data))


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of an object. `tour` counts how often its sender went back, modulo 16; a header stands at 0."""

    tour: int
    transfer: int
    offset_bytes: int
    header: Header | None
    payload: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """All before this place has arrived, and all objects before this transfer are stored.

    With `go_back`, the tour of the last piece seen: what followed this place was lost.
    """

    transfer: int
    offset_bytes: int
    go_back: int | None = None


@dataclass(frozen=True, slots=True)
class Numbered:
    """A record that is acknowledged."""

    number: int
    record: Record


@dataclass(frozen=True, slots=True)
class RecordTaken:
    """The record of this number has arrived."""

    number: int


Body = Hello | Piece | Progress | Numbered | RecordTaken | Record


# First byte of a body. The low half of a piece's and a go-back's is the tour.
_HELLO, _PIECE, _PROGRESS, _GO_BACK, _NUMBERED, _TAKEN, _NOTE = 0x01, 0x10, 0x20, 0x30, 0x40, 0x41, 0x42
_HELLO_FORM = struct.Struct(">BBBBIIBIH")
_OPEN_FLAG = 1
_HEADER_FORM = struct.Struct(">BIII")
PIECE_BYTES = 5
"""Of a piece's body before its payload: first byte, transfer, offset."""
HEADER_BYTES = _HEADER_FORM.size
LEAST_BODY_BYTES = 32
"""Longest body that every end takes."""


def pack(body: Body) -> bytes:
    """Bytes of a body; `MisuseError` names a field that is out of range."""
    match body:
        case Hello():
            return bytes([_HELLO]) + _HELLO_FORM.pack(
                body.version, body.lowest_version, body.role, _OPEN_FLAG * body.is_open, body.boot_id,
                body.peer_boot_id, body.max_body_bytes, body.max_object_bytes, body.capabilities,
            )  # fmt: skip
        case Piece():
            place = bytes([_PIECE | body.tour, body.transfer]) + body.offset_bytes.to_bytes(3, "big")
            header = body.header
            if header is None:
                return place + body.payload
            numbers = header.kind, header.object_id, header.length_bytes, header.crc32
            return place + _HEADER_FORM.pack(*numbers) + body.payload
        case Progress():
            first = _PROGRESS if body.go_back is None else _GO_BACK | body.go_back
            return bytes([first, body.transfer]) + body.offset_bytes.to_bytes(3, "big")
        case Numbered():
            return bytes([_NUMBERED, body.number]) + pack_record(body.record)
        case RecordTaken():
            return bytes([_TAKEN, body.number])
        case _:
            return bytes([_NOTE]) + pack_record(body)


def unpack(body: bytes, sender: Role) -> Body | None:
    """What a body says, or None when that `sender` cannot say it so."""
    first, rest = body[0], body[1:]
    if first == _HELLO:
        return _unpack_hello(rest, sender)
    tour = first & 0x0F
    match first & 0xF0:
        case 0x10 if len(rest) >= PIECE_BYTES - 1:
            return _unpack_piece(tour, rest)
        case 0x20 | 0x30 if len(rest) == PIECE_BYTES - 1 and (first >= _GO_BACK or not tour):
            go_back = tour if first >= _GO_BACK else None
            return Progress(rest[0], int.from_bytes(rest[1:], "big"), go_back)
    if first == _NUMBERED and len(rest) > 1:
        record = unpack_record(rest[1:], sender, acknowledged=True)
        return None if record is None else Numbered(rest[0], record)
    if first == _TAKEN and len(rest) == 1:
        return RecordTaken(rest[0])
    return unpack_record(rest, sender, acknowledged=False) if first == _NOTE and rest else None


def _unpack_hello(rest: bytes, sender: Role) -> Hello | None:
    """A longer hello is a later version's: what follows is not ours to read."""
    if len(rest) < _HELLO_FORM.size:
        return None
    version, lowest, role, flags, boot, peer_boot, max_body, max_object, capabilities = _HELLO_FORM.unpack(
        rest[: _HELLO_FORM.size]
    )
    fits = max_body >= LEAST_BODY_BYTES and 1 <= lowest <= version and boot and role == sender
    if not fits:
        return None
    is_open = bool(flags & _OPEN_FLAG)
    largest = min(max_body, MAX_BODY_BYTES)
    return Hello(version, lowest, sender, is_open, boot, peer_boot, largest, max_object, capabilities)


def _unpack_piece(tour: int, rest: bytes) -> Piece | None:
    transfer, offset, payload = rest[0], int.from_bytes(rest[1:4], "big"), rest[4:]
    if offset:
        return Piece(tour, transfer, offset, None, payload)
    if len(payload) < HEADER_BYTES:
        return None
    header = Header(*_HEADER_FORM.unpack(payload[:HEADER_BYTES]))
    if not 1 <= header.length_bytes <= MAX_OBJECT_BYTES:
        return None
    return Piece(tour, transfer, 0, header, payload[HEADER_BYTES:])
