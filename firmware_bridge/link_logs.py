"""Logs over the native link: the list of an instrument's files, parts of one, and its end, as objects. Pure.

Not the link: these are objects as all others are, asked for by `Fetch`, of one session. Nothing is named on
the wire: a file is a dive and a form, so that no name can lead anywhere else. Big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

LIST_FORM, LOG, WITHOUT_VIGNETTES, WAL, DAMAGED = 0, 1, 2, 3, 4
"""Forms: of the list, the log, a copy of it without its vignettes, what was not written into it yet, and from
`DAMAGED` on, in pairs, logs that were found damaged and put aside, each with its WAL."""
MAX_FORM = 255
STAMP_BYTES, SHA256_BYTES = 8, 32
_ROW = struct.Struct(">HBBQQI8s")
_PART = struct.Struct(">HB8sQQ")
_END = struct.Struct(">HB8sQ32s")
_ENDED = 1
_NO_TIME = (1 << 64) - 1


def file_name(form: int) -> str:
    """Name of a form's file in the folder of its dive."""
    if form in (LOG, WITHOUT_VIGNETTES):
        return "dive.sqlite"
    if form == WAL:
        return "dive.sqlite-wal"
    if not DAMAGED <= form <= MAX_FORM:
        raise ValueError(f"form is {form}; {LOG} to {MAX_FORM} are files")
    which, is_wal = divmod(form - DAMAGED, 2)
    return f"dive.sqlite.damaged{which + 1 if which else ''}{'-wal' if is_wal else ''}"


@dataclass(frozen=True, slots=True)
class Row:
    """One file of a dive.

    Attributes
    ----------
    dive, form
        Which.
    size_bytes, stamp
        Another stamp means other bytes.
    begun_ms, frames
        Of the dive, UTC; None and 0 where the file does not say.
    is_ended
        Whether nothing was left to do for the dive.
    """

    dive: int
    form: int
    size_bytes: int
    stamp: bytes
    begun_ms: int | None
    frames: int
    is_ended: bool


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of a file, from an offset; `size_bytes` is that of the whole."""

    dive: int
    form: int
    stamp: bytes
    size_bytes: int
    offset_bytes: int
    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """All bytes of a file were sent; `sha256` is that of the whole."""

    dive: int
    form: int
    stamp: bytes
    size_bytes: int
    sha256: bytes


def pack_list(rows: Sequence[Row]) -> bytes:
    """Bytes of a list: how many, then each."""
    packed = bytearray(struct.pack(">I", len(rows)))
    for row in rows:
        begun_ms = _NO_TIME if row.begun_ms is None else row.begun_ms
        numbers = row.size_bytes, begun_ms, row.frames
        packed += _ROW.pack(row.dive, row.form, _ENDED * row.is_ended, *numbers, row.stamp)
    return bytes(packed)


def unpack_list(data: bytes) -> list[Row] | None:
    """The rows, or None when this is no list."""
    if len(data) < 4 or len(data) != 4 + _ROW.size * int.from_bytes(data[:4], "big"):
        return None
    rows = []
    for dive, form, flags, size_bytes, begun_ms, frames, stamp in _ROW.iter_unpack(data[4:]):
        if form in (LIST_FORM, WITHOUT_VIGNETTES):
            return None
        known_ms = None if begun_ms == _NO_TIME else begun_ms
        rows.append(Row(dive, form, size_bytes, stamp, known_ms, frames, bool(flags & _ENDED)))
    return rows


def pack_part(part: Part) -> bytes:
    """Bytes of a part."""
    return _PART.pack(part.dive, part.form, part.stamp, part.size_bytes, part.offset_bytes) + part.data


def unpack_part(data: bytes) -> Part | None:
    """The part, or None when this is none."""
    if len(data) <= _PART.size:
        return None
    dive, form, stamp, size_bytes, offset_bytes = _PART.unpack(data[: _PART.size])
    part = Part(dive, form, stamp, size_bytes, offset_bytes, data[_PART.size :])
    return part if part.offset_bytes + len(part.data) <= part.size_bytes else None


def pack_end(end: End) -> bytes:
    """Bytes of an end."""
    return _END.pack(end.dive, end.form, end.stamp, end.size_bytes, end.sha256)


def unpack_end(data: bytes) -> End | None:
    """The end, or None when this is none."""
    return End(*_END.unpack(data)) if len(data) == _END.size else None
