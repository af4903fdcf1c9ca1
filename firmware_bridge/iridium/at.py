"""A modem's bytes cut into what a driver waits for: lines, or a block of binary. Pure, bounded.

A ring may stand anywhere between or within lines; it is taken out first. Binary is never searched for lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LINE_BYTES = 256
MAX_BLOCK_BYTES = 2 + 1960 + 2
RING = b"SBDRING"
_RING = re.compile(rb"(\r\n)?" + RING + rb"(\r\n)?")
"""With its own line ends, so that a line that it stood in is whole again."""


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line without its ends; never empty."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Ring:
    """A message waits at the gateway."""


@dataclass(frozen=True, slots=True)
class Block:
    """A message as `+SBDRB` gives it; None when its checksum or length was wrong."""

    data: bytes | None


Token = TextLine | Ring | Block


class Tokens:
    """Cuts a stream. `expect_block` says that a block comes next."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._is_block = self._is_skipping = False

    def expect_block(self) -> None:
        """What comes next is length, bytes and checksum."""
        self._is_block = True

    def forget(self) -> None:
        """Begin anew: the modem was reset, or nothing came in time."""
        self._held.clear()
        self._is_block = self._is_skipping = False

    def feed(self, data: bytes) -> list[Token]:
        """What is whole now."""
        self._held += data
        tokens: list[Token] = []
        while (token := self._next()) is not None:
            tokens.append(token)
        if not self._is_block and len(self._held) > MAX_LINE_BYTES:
            # Noise: thrown away up to its end; a ring that has begun is kept.
            self._is_skipping = True
            del self._held[: 1 - len(RING)]
        return tokens

    def _next(self) -> Token | None:
        if self._is_block:
            return self._next_block()
        while True:
            ring = _RING.search(self._held)
            end = _line_end(self._held)
            if ring is not None and (end < 0 or ring.start() <= end):
                del self._held[ring.start() : ring.end()]
                return Ring()
            if end < 0:
                return None
            line = bytes(self._held[:end]).strip()
            del self._held[: end + 1]
            is_noise, self._is_skipping = self._is_skipping or len(line) > MAX_LINE_BYTES, False
            if line and not is_noise:
                return TextLine(line)

    def _next_block(self) -> Block | None:
        if len(self._held) < 2:
            return None
        length = int.from_bytes(self._held[:2], "big")
        if length > MAX_BLOCK_BYTES - 4:
            self.forget()
            return Block(None)
        if len(self._held) < length + 4:
            return None
        data, total = bytes(self._held[2 : 2 + length]), self._held[2 + length : 4 + length]
        del self._held[: length + 4]
        self._is_block = False
        return Block(data if checksum(data) == bytes(total) else None)


def checksum(data: bytes) -> bytes:
    """The 16-bit sum of the bytes, high byte first."""
    return (sum(data) & 0xFFFF).to_bytes(2, "big")


def numbers_after(name: bytes, text: bytes, count: int) -> tuple[int, ...] | None:
    """Numbers of a line that begins with a name, exactly so many; None for any other line."""
    if not text.startswith(name):
        return None
    try:
        found = tuple(int(part) for part in text[len(name) :].split(b","))
    except ValueError:
        return None
    return found if len(found) == count and all(abs(n) < 1 << 17 for n in found) else None


class NumberLine:
    """A line of numbers that may come in two: a ring stood within, and came in pieces itself."""

    def __init__(self, name: bytes, count: int) -> None:
        self._name, self._count = name, count
        self._broken = b""

    def forget(self) -> None:
        """Another answer begins."""
        self._broken = b""

    def read(self, text: bytes) -> tuple[int, ...] | None:
        """The numbers when the line is whole; None for any other."""
        whole = numbers_after(self._name, self._broken + text, self._count)
        numbers = whole or numbers_after(self._name, text, self._count)
        if numbers is None:
            self._broken = text if text.startswith(self._name) else b""
        return numbers


def _line_end(held: bytearray) -> int:
    ends = [at for at in (held.find(b"\r"), held.find(b"\n")) if at >= 0]
    return min(ends, default=-1)
