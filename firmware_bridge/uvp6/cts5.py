"""Records in which a CTS5 float sends a UVP6's slices: LPM, TAXO and BLACK, version 2, both ways. Pure.

A file is its type, two tags, the epoch of its first record in the phases that move, and its records; that the
type is the very first byte, and that a file has one pair of tags, no document says in words. Little-endian.
After the Argo data processing document (doi 10.13155/99280). What a record cannot hold is cut,
as the float does it: a count of a taxon above 255, a pressure or temperature out of range.
"""

from __future__ import annotations

import calendar
import itertools
import math
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from firmware_bridge.uvp6.lines import BlackFrame, Instant
from firmware_bridge.uvp6.slices import LpmSlice, TaxoSlice

LPM_TYPE, TAXO_TYPE, BLACK_TYPE = 0x1B, 0x1C, 0x1D
PAD = 0x1A
N_CLASSES, N_BLACK = 18, 5
MAX_TAXA = 40
_LPM = struct.Struct("<HHHH18f18B")
_TAXO_HEAD = struct.Struct("<HHHB")
_TAXON = struct.Struct("<BBfB")
_BLACK = struct.Struct("<IHBH5H")
LPM_BYTES, BLACK_BYTES = _LPM.size, _BLACK.size
_U16 = 0xFFFF
PHASES = ("DESCENT", "PARK", "DEEP_PROFILE", "SHORT_PARK", "ASCENT", "SURFACE")
TIMED_PHASES = ("DESCENT", "DEEP_PROFILE", "ASCENT")
"""Their files carry an epoch, and their records seconds after the one before."""
TREATMENTS = ("RW", "AM", "DW")
_HEAD = re.compile(rb"([\x1b-\x1d])\[([A-Z_]{1,16})\]\((RW|AM|DW)\)")


@dataclass(frozen=True, slots=True)
class LpmRecord:
    """A slice of particles: seconds since the one before, dbar, images, degrees C, counts and mean greys."""

    after_s: int
    pressure_dbar: float
    n_images: int
    temperature_c: float
    counts: tuple[float, ...]
    greys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TaxonRecord:
    """Objects of a class: at most 255 of them, their mean volume in px3, their mean grey."""

    taxon: int
    count: int
    volume_px3: float
    grey: int


@dataclass(frozen=True, slots=True)
class TaxoRecord:
    """A slice of objects."""

    after_s: int
    pressure_dbar: float
    n_images: int
    taxa: tuple[TaxonRecord, ...]


@dataclass(frozen=True, slots=True)
class BlackRecord:
    """A bloc of noise: epoch, dbar, images, degrees C, and the counts of the five smallest classes."""

    epoch_s: int
    pressure_dbar: float
    n_images: int
    temperature_c: float
    counts: tuple[int, ...]


Record = LpmRecord | TaxoRecord | BlackRecord


@dataclass(frozen=True, slots=True)
class File:
    """One phase's records of one type.

    Attributes
    ----------
    kind
        `LPM_TYPE`, `TAXO_TYPE` or `BLACK_TYPE`.
    phase, treatment
        One of `PHASES` and of `TREATMENTS`; the records known here are AM, averaged.
    epoch_s
        Of the first record, seconds since 1970, in `TIMED_PHASES`; BLACK records have their own.
    records
        Of that type.
    """

    kind: int
    phase: str
    treatment: str
    epoch_s: int | None
    records: tuple[Record, ...]


def write_file(file: File) -> bytes:
    """Bytes of a file; raises ValueError for a phase, treatment or epoch that it cannot have."""
    if file.phase not in PHASES or file.treatment not in TREATMENTS:
        raise ValueError(f"[{file.phase}]({file.treatment}) is not known")
    if _has_epoch(file.kind, file.phase) != (file.epoch_s is not None):
        raise ValueError(f"an epoch of type {file.kind:#x} in {file.phase} is missing, or is one too many")
    head = bytes([file.kind]) + f"[{file.phase}]({file.treatment})".encode("ascii")
    epoch = b"" if file.epoch_s is None else struct.pack("<I", file.epoch_s)
    return head + epoch + b"".join(encode(record) for record in file.records)


def read_file(data: bytes) -> File | str:
    """A file, or why the bytes are none."""
    head = _HEAD.match(data)
    phase = "" if head is None else head[2].decode("ascii")
    if head is None or phase not in PHASES:
        return "does not begin with a type, a phase in [] and a treatment in ()"
    kind, at, epoch_s = head[1][0], head.end(), None
    if _has_epoch(kind, phase):
        if at + 4 > len(data):
            return "ends within its epoch"
        epoch_s, at = struct.unpack_from("<I", data, at)[0], at + 4
    records = decode(data[at:], kind)
    if isinstance(records, str):
        return records
    return File(kind, phase, head[3].decode("ascii"), epoch_s, tuple(records))


def _has_epoch(kind: int, phase: str) -> bool:
    return phase in TIMED_PHASES and kind != BLACK_TYPE


def lpm_file(slices: Sequence[LpmSlice], phase: str) -> File:
    """Slices of particles; counts are sums over the slice's images, as the shore divides them."""
    records = tuple(
        LpmRecord(
            after_s, _known(one.pressure_dbar), one.n_images, _known(one.temperature_c),
            tuple(map(float, one.counts)), tuple(min(round(grey), 255) for grey in one.greys),
        )
        for one, after_s in zip(slices, _after_s(one.at for one in slices), strict=True)
    )  # fmt: skip
    return _file(LPM_TYPE, phase, slices, records)


def taxo_file(slices: Sequence[TaxoSlice], phase: str) -> File:
    """Slices of objects; counts above 255 are cut, as the float does it."""
    records = tuple(
        TaxoRecord(
            after_s, _known(one.pressure_dbar), one.n_images,
            tuple(
                TaxonRecord(t.taxon, min(t.count, 255), t.volume_px3, min(round(t.grey), 255))
                for t in one.taxa
            ),
        )
        for one, after_s in zip(slices, _after_s(one.at for one in slices), strict=True)
    )  # fmt: skip
    return _file(TAXO_TYPE, phase, slices, records)


def black_file(frames: Sequence[BlackFrame], phase: str) -> File:
    """Noise, bloc by bloc."""
    records = tuple(
        BlackRecord(
            epoch_of(one.at), _known(one.pressure_dbar), one.n_images, _known(one.temperature_c),
            one.counts[:N_BLACK],
        )
        for one in frames
    )  # fmt: skip
    return File(BLACK_TYPE, phase, "AM", None, records)


def _file(
    kind: int, phase: str, slices: Sequence[LpmSlice] | Sequence[TaxoSlice], records: tuple[Record, ...]
) -> File:
    first_s = epoch_of(slices[0].at) if slices else 0
    return File(kind, phase, "AM", first_s if _has_epoch(kind, phase) else None, records)


def epoch_of(at: Instant) -> int:
    """Seconds since 1970."""
    return calendar.timegm((at.year, at.month, at.day, at.hour, at.minute, at.second))


def _after_s(times: Iterable[Instant]) -> list[int]:
    """Seconds since the record before, 0 of the first; a clock that was set back counts as 0."""
    epochs = [epoch_of(at) for at in times]
    return [0] * bool(epochs) + [min(max(b - a, 0), _U16) for a, b in itertools.pairwise(epochs)]


def _known(value: float) -> float:
    """A record has no code for what is not known: the lowest one stands for it."""
    return -math.inf if math.isnan(value) else value


def pressure_code(pressure_dbar: float) -> int:
    """(dbar + 100) * 10, cut to 16 bits."""
    return round(min(max((pressure_dbar + 100) * 10, 0), _U16))


def temperature_code(temperature_c: float) -> int:
    """(degrees C + 5) * 1000, cut to 16 bits."""
    return round(min(max((temperature_c + 5) * 1000, 0), _U16))


def encode(record: Record) -> bytes:
    """Bytes of a record, without a file's head; raises ValueError for more than 40 taxa."""
    match record:
        case LpmRecord():
            greys = [min(max(grey, 0), 255) for grey in record.greys]
            return _LPM.pack(
                min(record.after_s, _U16), pressure_code(record.pressure_dbar), min(record.n_images, _U16),
                temperature_code(record.temperature_c), *record.counts, *greys,
            )  # fmt: skip
        case TaxoRecord():
            if len(record.taxa) > MAX_TAXA:
                raise ValueError(f"a TAXO record has {len(record.taxa)} taxa; {MAX_TAXA} can be sent")
            head = _TAXO_HEAD.pack(
                min(record.after_s, _U16), pressure_code(record.pressure_dbar), min(record.n_images, _U16),
                len(record.taxa),
            )  # fmt: skip
            return head + b"".join(
                _TAXON.pack(one.taxon, min(one.count, 255), one.volume_px3, min(max(one.grey, 0), 255))
                for one in record.taxa
            )
        case BlackRecord():
            return _BLACK.pack(
                record.epoch_s, pressure_code(record.pressure_dbar), min(record.n_images, 255),
                temperature_code(record.temperature_c), *(min(count, _U16) for count in record.counts),
            )  # fmt: skip


def decode(data: bytes, kind: int) -> list[Record] | str:
    """Records of one type one after another, padding at the end passed over; or why they are none."""
    found: list[Record] = []
    at = 0
    while set(data[at:]) - {PAD}:
        made = _decode_one(data, at, kind)
        if isinstance(made, str):
            return made
        record, at = made
        found.append(record)
    return found


def _decode_one(data: bytes, at: int, kind: int) -> tuple[Record, int] | str:
    match kind:
        case 0x1B if at + LPM_BYTES <= len(data):
            after, p, n, t, *rest = _LPM.unpack_from(data, at)
            counts, greys = rest[:N_CLASSES], rest[N_CLASSES:]
            return LpmRecord(after, _dbar(p), n, _celsius(t), tuple(counts), tuple(greys)), at + LPM_BYTES
        case 0x1D if at + BLACK_BYTES <= len(data):
            epoch, p, n, t, *counts = _BLACK.unpack_from(data, at)
            return BlackRecord(epoch, _dbar(p), n, _celsius(t), tuple(counts)), at + BLACK_BYTES
        case 0x1C if at + _TAXO_HEAD.size <= len(data):
            after, p, n, n_taxa = _TAXO_HEAD.unpack_from(data, at)
            at += _TAXO_HEAD.size
            if n_taxa > MAX_TAXA or at + n_taxa * _TAXON.size > len(data):
                return "a TAXO record has more taxa than there are bytes"
            taxa = [TaxonRecord(*_TAXON.unpack_from(data, at + i * _TAXON.size)) for i in range(n_taxa)]
            return TaxoRecord(after, _dbar(p), n, tuple(taxa)), at + n_taxa * _TAXON.size
        case 0x1B | 0x1C | 0x1D:
            return "ends within a record"
    return f"type {kind:#x} is not known; 0x1b, 0x1c and 0x1d are"


def _dbar(code: int) -> float:
    return round(code / 10 - 100, 1)


def _celsius(code: int) -> float:
    return round(code / 1000 - 5, 3)
