"""A range coder: symbols with known frequencies to bytes and back. Pure, in integers.

It knows no model: frequencies come from the caller, the same on both sides. After Martin (1979), with the
carry held back as in LZMA, so that a byte once written is final and the encoder can step back cheaply.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edge.errors import MessageError

_WIDTH = 48
_LOW_MASK = (1 << (_WIDTH - 8)) - 1
_RENORM = 1 << (_WIDTH - 8)
_CARRY_SAFE = 0xFF << (_WIDTH - 8)
MAX_TOTAL = 1 << 16
"""Largest sum of frequencies of one symbol."""
_MAX_UNIFORM = 1 << 24
"""Equally likely values in one step; the range has at least 40 bits, so that almost nothing is lost."""

Mark = tuple[int, int, int, int, int]


class Coder(Protocol):
    """What a model sees: the same calls encode (the value is given) and decode (it is returned).

    A model written against this interface is its own inverse: encoder and decoder cannot drift apart.
    """

    def symbol(self, bounds: Sequence[int], value: int) -> int:
        """Code one symbol; `bounds` are cumulative frequencies, 0 first and their sum last."""

    def uniform(self, total: int, value: int) -> int:
        """Code one of `total` equally likely values."""


class RangeEncoder:
    """Writes symbols. `mark` and `rewind` step back to an earlier state at no cost."""

    __slots__ = ("_cache", "_low", "_out", "_pending", "_range")

    def __init__(self) -> None:
        self._low = 0
        self._range = 1 << _WIDTH
        self._cache = -1
        self._pending = 0
        self._out = bytearray()

    def symbol(self, bounds: Sequence[int], value: int) -> int:
        """Write symbol `value`: 0 <= value < len(bounds) - 1, with a frequency above 0."""
        start = bounds[value]
        part = self._range // bounds[-1]
        self._low += part * start
        self._range = part * (bounds[value + 1] - start)
        while self._range < _RENORM:
            self._range <<= 8
            self._shift()
        return value

    def uniform(self, total: int, value: int) -> int:
        """Write `value`, one of `total` equally likely ones, in steps of at most 24 bits."""
        if not 0 <= value < total:
            raise ValueError(f"{value} is not in 0..{total - 1}")
        if total > _MAX_UNIFORM:
            high = self.uniform((total + _MAX_UNIFORM - 1) // _MAX_UNIFORM, value // _MAX_UNIFORM)
            rest = min(_MAX_UNIFORM, total - high * _MAX_UNIFORM)
            return high * _MAX_UNIFORM + self.uniform(rest, value - high * _MAX_UNIFORM)
        part = self._range // total
        self._low += part * value
        self._range = part
        while self._range < _RENORM:
            self._range <<= 8
            self._shift()
        return value

    @property
    def bits(self) -> int:
        """Information written so far, bits, rounded up; differences of it are the cost of parts."""
        return (
            8 * (len(self._out) + self._pending + (self._cache >= 0)) + _WIDTH - self._range.bit_length() + 1
        )

    def mark(self) -> Mark:
        """State to come back to with `rewind`."""
        return self._low, self._range, self._cache, self._pending, len(self._out)

    def rewind(self, mark: Mark) -> None:
        """Forget everything written since `mark`."""
        self._low, self._range, self._cache, self._pending, length = mark
        del self._out[length:]

    def finish(self) -> bytes:
        """The shortest bytes that decode to what was written; the encoder may go on afterwards.

        Trailing zero bytes are not kept: the decoder reads zeros past the end.
        """
        mark = self.mark()
        tail = bytes(self._out)
        last = self._low + self._range - 1
        bit = _WIDTH
        while bit and ((self._low + (1 << bit) - 1) >> bit) << bit > last:
            bit -= 1
        self._low = ((self._low + (1 << bit) - 1) >> bit) << bit
        for _ in range(_WIDTH // 8 + 1):
            self._shift()
        result = bytes(self._out).rstrip(b"\0")
        self.rewind(mark)
        self._out[:] = tail
        return result

    def _shift(self) -> None:
        """Move the top byte of `low` out; 0xFF waits, for a carry may still come."""
        low = self._low
        if low < _CARRY_SAFE or low >> _WIDTH:
            carry = low >> _WIDTH
            if self._cache >= 0:
                self._out.append((self._cache + carry) & 0xFF)
            if self._pending:
                self._out.extend(bytes(((0xFF + carry) & 0xFF,)) * self._pending)
                self._pending = 0
            self._cache = (low >> (_WIDTH - 8)) & 0xFF
        else:
            self._pending += 1
        self._low = (low & _LOW_MASK) << 8


class RangeDecoder:
    """Reads symbols. Any bytes can be read: what no encoder writes raises `MessageError`."""

    __slots__ = ("_at", "_code", "_data", "_range")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = _WIDTH // 8
        self._code = int.from_bytes(data[: self._at].ljust(self._at, b"\0"), "big")
        self._range = 1 << _WIDTH

    def symbol(self, bounds: Sequence[int], value: int = 0) -> int:
        """Read a symbol; `value` is not looked at."""
        part = self._range // bounds[-1]
        target = self._code // part
        if target >= bounds[-1]:
            raise _foreign()
        low, high = 0, len(bounds) - 1
        while high - low > 1:
            middle = (low + high) // 2
            if bounds[middle] <= target:
                low = middle
            else:
                high = middle
        self._take(part, bounds[low], bounds[low + 1] - bounds[low])
        return low

    def uniform(self, total: int, value: int = 0) -> int:
        """Read one of `total` equally likely values; `value` is not looked at."""
        if total > _MAX_UNIFORM:
            high = self.uniform((total + _MAX_UNIFORM - 1) // _MAX_UNIFORM)
            return high * _MAX_UNIFORM + self.uniform(min(_MAX_UNIFORM, total - high * _MAX_UNIFORM))
        part = self._range // total
        found = self._code // part
        if found >= total:
            raise _foreign()
        self._take(part, found, 1)
        return found

    @property
    def exhausted(self) -> bool:
        """True when no byte is left over: what was read accounts for all of the data."""
        return self._at >= len(self._data)

    def _take(self, part: int, start: int, size: int) -> None:
        self._code -= part * start
        self._range = part * size
        while self._range < _RENORM:
            byte = self._data[self._at] if self._at < len(self._data) else 0
            self._at += 1
            self._code = self._code << 8 | byte
            self._range <<= 8


def _foreign() -> MessageError:
    return MessageError("holds bytes that this coder never writes", remedy="ask for the message again")
