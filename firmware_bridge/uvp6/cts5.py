"""Records in which a CTS5 float sends a UVP6's slices: LPM, TAXO and BLACK, version 2, both ways. Pure.

Little-endian. After the Argo data processing document (doi 10.13155/99280). What a record cannot hold is cut,
as the float does it: a count of a taxon above 255, a pressure or temperature out of range.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

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


def pressure_code(pressure_dbar: float) -> int:
    """(dbar + 100) * 10, cut to 16 bits."""
    return min(max(round((pressure_dbar + 100) * 10), 0), _U16)


def temperature_code(temperature_c: float) -> int:
    """(degrees C + 5) * 1000, cut to 16 bits."""
    return min(max(round((temperature_c + 5) * 1000), 0), _U16)


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
