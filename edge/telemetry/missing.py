"""What shore asks for again, missing parts of dives in a few bytes, and what the float answers. Pure.

Only the body of a request: who may ask, and how it travels, is the business of signed commands. Parts are
those that the headers of messages number: parity and pictures are not asked for, unless with all of a dive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edge.errors import InputError, MessageError
from edge.telemetry.header import MessageKind, unpack

REQUEST_BYTES = 270
"""Longest body: what a modem takes in one message towards the float."""
MAX_PARTS = 1 << 16
_MAX_VARINT_BYTES = 3

Range = tuple[int, int]
"""Parts [first, last)."""


@dataclass(frozen=True, slots=True)
class Request:
    """Missing parts of one dive.

    Attributes
    ----------
    dive_number
        0 to 65535.
    n_parts
        Parts of the sending, as its messages say it: parts of another cut of the dive are not these. 0 when
        no message came: then the whole dive is asked for, and `ranges` is empty.
    ranges
        Missing parts as [first, last), in order, with something at hand between them.
    """

    dive_number: int
    n_parts: int
    ranges: tuple[Range, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.dive_number <= 0xFFFF:
            raise _refuse("dive_number", f"is {self.dive_number}", "use 0 to 65535")
        if not 0 <= self.n_parts <= MAX_PARTS:
            raise _refuse("n_parts", f"is {self.n_parts}", f"use 0 to {MAX_PARTS}")
        end = -1
        for first, last in self.ranges:
            if not end < first < last <= self.n_parts:
                raise _refuse(
                    "ranges", f"holds {first}..{last} after {end} of {self.n_parts}", "merge and sort them"
                )
            end = last
        if bool(self.n_parts) != bool(self.ranges):
            raise _refuse("ranges", "is empty", "leave the dive out, or give 0 parts to ask for all of it")

    @classmethod
    def of_parts(cls, dive_number: int, n_parts: int, parts: Iterable[int]) -> Request:
        """Request for single parts, in any order."""
        ranges: list[Range] = []
        for part in sorted(set(parts)):
            if ranges and ranges[-1][1] == part:
                ranges[-1] = ranges[-1][0], part + 1
            else:
                ranges.append((part, part + 1))
        return cls(dive_number, n_parts, tuple(ranges))


@dataclass(frozen=True, slots=True)
class EncodedRequest:
    """Bytes of a request, and what of it had no room in them: empty when all is said."""

    data: bytes
    left_out: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """Messages asked for and at hand, in the order asked for, and what is not at hand.

    Attributes
    ----------
    parts
        Dive number and part of each message.
    messages
        The messages.
    absent
        What was asked for in vain.
    """

    parts: tuple[tuple[int, int], ...]
    messages: tuple[bytes, ...]
    absent: tuple[Request, ...]


def encode_request(requests: Sequence[Request], limit_bytes: int = REQUEST_BYTES) -> EncodedRequest:
    """Body of a request.

    Parameters
    ----------
    requests
        One for a dive, the oldest dive first. When not everything fits, earlier dives come before later ones
        and, within a dive, longer ranges before shorter, and lower parts before higher.
    limit_bytes
        Room for the body, at most `REQUEST_BYTES`.

    Raises
    ------
    InputError
        When a dive is asked for twice.
    """
    limit_bytes = min(limit_bytes, REQUEST_BYTES)
    if len({request.dive_number for request in requests}) < len(requests):
        raise _refuse("requests", "holds a dive twice", "ask for one transmission of a dive")
    body, before = b"", 0
    left_out = []
    for request in requests:
        room = limit_bytes - len(body)
        kept, rest = _what_fits(request, before, room)
        if kept is not None:
            body += _dive(kept, before)
            before = request.dive_number
        if rest is not None:
            left_out.append(rest)
    return EncodedRequest(body, tuple(left_out))


def decode_request(data: bytes) -> tuple[Request, ...]:
    """The requests in a body.

    Raises
    ------
    MessageError
        When the bytes are not what `encode_request` writes.
    """
    if len(data) > REQUEST_BYTES:
        raise _bad(f"is {len(data)} bytes long, a request has at most {REQUEST_BYTES}")
    requests: list[Request] = []
    at, number = 0, 0
    while at < len(data):
        step, at = _take(data, at)
        n_parts, at = _take(data, at)
        if step > 0xFFFF or n_parts > MAX_PARTS:
            raise _bad("holds a dive number or a number of parts out of range")
        number = (number + step) & 0xFFFF
        ranges: list[Range] = []
        if n_parts:
            n_more, at = _take(data, at)
            end = -1
            for _ in range(n_more + 1):  # ends at the end of the data, whatever the number
                code, at = _take(data, at)
                longer, at = _take(data, at) if code & 1 else (-1, at)
                first = end + 1 + (code >> 1)
                end = first + 2 + longer
                if end > n_parts:
                    raise _bad(f"asks for part {end} of {n_parts}")
                ranges.append((first, end))
        requests.append(Request(number, n_parts, tuple(ranges)))
    if len({request.dive_number for request in requests}) < len(requests):
        raise _bad("asks for a dive twice")
    return tuple(requests)


def answer(requests: Iterable[Request], stored: Mapping[int, Sequence[bytes | None]]) -> Answer:
    """Exactly those messages that are asked for and at hand.

    Parameters
    ----------
    stored
        By dive number, its messages in the order of parts; None where a message is no longer there.
    """
    parts: list[tuple[int, int]] = []
    messages: list[bytes] = []
    absent: list[Request] = []
    for request in requests:
        have = stored.get(request.dive_number, ())
        if not have or request.n_parts not in (0, _n_parts(have)):
            absent.append(request)
            continue
        gone = []
        for first, last in request.ranges or ((0, len(have)),):
            for part in range(first, last):
                message = have[part] if part < len(have) else None
                if message is None:
                    gone.append(part)
                else:
                    parts.append((request.dive_number, part))
                    messages.append(message)
        if gone:
            absent.append(Request.of_parts(request.dive_number, request.n_parts or len(have), gone))
    return Answer(tuple(parts), tuple(messages), tuple(absent))


def _n_parts(messages: Sequence[bytes | None]) -> int:
    """How many messages of tables a sending has, as the first of them that is there says."""
    for message in messages:
        try:
            header = unpack(message or b"")[0]
        except MessageError:
            continue
        if header.kind is not MessageKind.PICTURE:
            return header.n_parts
    return len(messages)


def _what_fits(request: Request, before: int, room: int) -> tuple[Request | None, Request | None]:
    """The part of a request that fits in some bytes, and the rest; None for nothing."""
    if len(request.ranges) <= room and len(_dive(request, before)) <= room:
        return request, None
    kept: list[Range] = []
    # A range takes a byte at least: no more than `room` of them need to be tried.
    by_length = sorted(request.ranges, key=lambda r: (r[0] - r[1], r[0]))
    for one in by_length[: max(0, room)]:
        more = sorted([*kept, one])
        if len(_dive(Request(request.dive_number, request.n_parts, tuple(more)), before)) <= room:
            kept = more
    if not kept:
        return None, request
    rest = sorted(set(request.ranges) - set(kept))
    number, n_parts = request.dive_number, request.n_parts
    return Request(number, n_parts, tuple(kept)), Request(number, n_parts, tuple(rest))


def _dive(request: Request, before: int) -> bytes:
    """One dive: step from the dive before, number of parts, number of ranges - 1, then each range.

    A range is its distance from the end of the one before, less the part at hand that must lie there, times
    two, and one more when it is longer than a part: then its length - 2 follows.
    """
    out = bytearray(_varint((request.dive_number - before) & 0xFFFF) + _varint(request.n_parts))
    if request.ranges:
        out += _varint(len(request.ranges) - 1)
    end = -1
    for first, last in request.ranges:
        length = last - first
        out += _varint((first - end - 1) << 1 | (length > 1))
        if length > 1:
            out += _varint(length - 2)
        end = last
    return bytes(out)


def _varint(value: int) -> bytes:
    """LEB128, seven bits a byte, low first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _take(data: bytes, at: int) -> tuple[int, int]:
    """A varint and where the next one begins; only the shortest writing of a number is read."""
    value = 0
    for i in range(_MAX_VARINT_BYTES):
        if at + i >= len(data):
            raise _bad("ends in the middle")
        byte = data[at + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            if i and not byte:
                raise _bad("holds a number that is written too long")
            return value, at + i + 1
    raise _bad("holds a number without end")


def _refuse(field: str, problem: str, remedy: str) -> InputError:
    return InputError(problem, field=field, remedy=remedy)


def _bad(problem: str) -> MessageError:
    return MessageError(problem, field="request", remedy="encode it again with this version of seston")
