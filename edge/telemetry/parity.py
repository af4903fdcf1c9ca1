"""Parity messages: any few lost messages of a transmission are computed from those that came. Pure.

A Reed-Solomon code over GF(256) across messages, byte by byte: it fills gaps, and finds no errors; a restored
message is to be checked by its own CRC. Whether parity is worth its bytes is the planner's choice.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import reedsolo

LENGTH_BYTES = 2
"""A parity body is as long as the longest message it covers, and this."""
MAX_PARITY = 32
"""Most parity messages of one transmission: restoring takes time with the square of what a header claims."""
MAX_DATA = 1 << 16
"""Most data messages of one transmission."""
MAX_MESSAGE_BYTES = 0xFFFF
_CODEWORD = 255
"""Data and parity symbols that one codeword of GF(256) holds."""


def parity_bodies(messages: Sequence[bytes], n_parity: int) -> list[bytes]:
    """Bodies of the parity messages of a transmission.

    Any `n_parity` of data and parity messages may be lost and all data are restored, as long as both together
    are at most 255. Beyond that they are dealt in turn to the fewest groups that will do, each with a code of
    its own, so that a run of losses is spread: any n_parity // groups of a group may be lost. Overhead:
    `n_parity` times the longest message and `LENGTH_BYTES`, headers not counted.

    Parameters
    ----------
    messages
        The data messages, 0 to `MAX_MESSAGE_BYTES` bytes each, in the order of their parts.
    n_parity
        Number of parity messages, 0 to `MAX_PARITY`.

    Raises
    ------
    ValueError
        When there is no message, or one is too long, or either number is out of range.
    """
    if not 1 <= len(messages) <= MAX_DATA or max(map(len, messages)) > MAX_MESSAGE_BYTES:
        raise ValueError(f"1 to {MAX_DATA} messages of at most {MAX_MESSAGE_BYTES} bytes can be covered")
    if not 0 <= n_parity <= MAX_PARITY:
        raise ValueError(f"n_parity is {n_parity}, 0 to {MAX_PARITY} can be made")
    if not n_parity:
        return []
    bodies = [b""] * n_parity
    for group in _groups(len(messages), n_parity):
        members = [messages[part] for part in group.parts]
        width = LENGTH_BYTES + max(map(len, members))
        rows = [_row(message, width) for message in members]
        for index, body in zip(group.checks, _encode(rows, len(group.checks)), strict=True):
            bodies[index] = body
    return bodies


def restore(
    n_data: int, present: Mapping[int, bytes], parity: Mapping[int, bytes], n_parity: int
) -> dict[int, bytes]:
    """Missing data messages by part; none where too many are missing. Never raises.

    Time and memory are bounded by what is given and by `MAX_PARITY`, whatever a header claims. What does not
    fit together restores nothing; where parity is left over, it must agree. The caller checks each CRC.

    Parameters
    ----------
    n_data, n_parity
        Numbers of messages of the transmission, as their headers say.
    present
        Data messages at hand, by part from 0.
    parity
        Bodies of the parity messages at hand, by index from 0.
    """
    restored: dict[int, bytes] = {}
    if not (1 <= n_data <= MAX_DATA and 1 <= n_parity <= MAX_PARITY):
        return restored
    for group in _groups(n_data, n_parity):
        rows = {index: parity[index] for index in group.checks if index in parity}
        here = {part: message for part, message in present.items() if part in group.parts}
        if 0 < len(group.parts) - len(here) <= len(rows):
            restored |= _restore_group(group, here, rows)
    return restored


class _Group(NamedTuple):
    """Messages under one code: every so many-th part of the data, and index of the parity."""

    parts: range
    checks: range


def _groups(n_data: int, n_parity: int) -> list[_Group]:
    """The fewest groups whose codewords are short enough; with one parity message each, any length is."""
    n = 1
    while n < n_parity and -(-n_data // n) + -(-n_parity // n) > _CODEWORD:
        n += 1
    # Parity goes on in turn where the data end: a run of losses is spread also across that border.
    return [_Group(range(i, n_data, n), range((i - n_data) % n, n_parity, n)) for i in range(n)]


def _row(message: bytes, width: int) -> bytes:
    return (len(message).to_bytes(LENGTH_BYTES, "big") + message).ljust(width, b"\0")


def _message(row: bytes) -> bytes | None:
    """The message in a row; None when it is not a row of ours."""
    length = int.from_bytes(row[:LENGTH_BYTES], "big")
    message = row[LENGTH_BYTES : LENGTH_BYTES + length]
    return message if len(message) == length and _row(message, len(row)) == row else None


@functools.lru_cache(maxsize=4)
def _code(n_parity: int) -> reedsolo.RSCodec:
    """The code, by all that defines it: field x^8 + x^4 + x^3 + x^2 + 1, roots 2^0 .. 2^(n_parity - 1)."""
    return reedsolo.RSCodec(n_parity, nsize=_CODEWORD, fcr=0, prim=0x11D, generator=2, c_exp=8)


def _encode(rows: Sequence[bytes], n_parity: int) -> list[bytes]:
    if n_parity == 1:
        return [_xor(rows)]
    code = _code(n_parity)
    checks = [bytes(code.encode(bytes(column))[len(rows) :]) for column in zip(*rows, strict=True)]
    return [bytes(row) for row in zip(*checks, strict=True)]


def _xor(rows: Sequence[bytes]) -> bytes:
    """The code of one parity symbol: rows of any number."""
    total = functools.reduce(operator.xor, (int.from_bytes(row, "big") for row in rows))
    return total.to_bytes(len(rows[0]), "big")


def _restore_group(
    group: _Group, present: Mapping[int, bytes], parity: Mapping[int, bytes]
) -> dict[int, bytes]:
    """Missing parts of one group, of which as many parity rows are at hand, or more."""
    widths = {len(row) for row in parity.values()}
    width = min(widths)
    longest = max(map(len, present.values()), default=0)
    if len(widths) > 1 or not longest + LENGTH_BYTES <= width <= MAX_MESSAGE_BYTES + LENGTH_BYTES:
        return {}
    nothing = bytes(width)
    rows = [_row(present[part], width) if part in present else nothing for part in group.parts]
    rows += [parity.get(index, nothing) for index in group.checks]
    lost = [i for i, part in enumerate(group.parts) if part not in present]
    if len(group.checks) == 1:
        found = [_xor(rows)]
    else:
        n = len(group.parts)
        lost_checks = [n + i for i, index in enumerate(group.checks) if index not in parity]
        try:
            found = _decode(rows, n, lost, lost_checks)
        except reedsolo.ReedSolomonError:
            return {}
    messages = {group.parts[i]: _message(row) for i, row in zip(lost, found, strict=True)}
    return {part: message for part, message in messages.items() if message is not None}


def _decode(
    rows: Sequence[bytes], n_data: int, lost: Sequence[int], lost_checks: Sequence[int]
) -> list[bytes]:
    """The lost data rows."""
    code = _code(len(rows) - n_data)
    erased = [*lost, *lost_checks]
    columns = []
    for column in zip(*rows, strict=True):
        whole = code.decode(bytes(column), erase_pos=erased, only_erasures=True)[0]
        columns.append([whole[i] for i in lost])
    return [bytes(row) for row in zip(*columns, strict=True)]
