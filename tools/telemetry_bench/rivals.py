"""What others make of the same counts: compressors at their strongest, and the records of a CTS5 float.

Compressors are given every advantage: one stream a dive without checks, the serialisation that suits them
best, and, to Zstandard, a dictionary of other dives of the region.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.uvp6 import cts5

Ints = NDArray[np.int64]
Serialise = Callable[[Ints], bytes]
Compress = Callable[[bytes], bytes]

DICTIONARY_BYTES = 32 << 10
N_TRAINING_DIVES = 100
_LZMA = [
    {
        "id": lzma.FILTER_LZMA1,
        "preset": 9 | lzma.PRESET_EXTREME,
        "dict_size": 1 << 20,
        "lc": 0,
        "lp": 0,
        "pb": 0,
    }
]


def varint(counts: Ints) -> bytes:
    """LEB128: one byte up to 127."""
    out = bytearray()
    for value in counts.ravel().tolist():
        left = value
        while left >= 0x80:
            out.append(left & 0x7F | 0x80)
            left >>= 7
        out.append(left)
    return bytes(out)


def uint16(counts: Ints) -> bytes:
    """Little-endian, 65535 at most."""
    if counts.size and int(counts.max()) > 0xFFFF:
        return uint32(counts)
    return counts.astype("<u2").tobytes()


def uint32(counts: Ints) -> bytes:
    """Little-endian, for counts that 16 bits do not hold."""
    return counts.astype("<u4").tobytes()


def planes(counts: Ints) -> bytes:
    """All low bytes, then all bytes above them."""
    raw = np.frombuffer(uint16(counts), dtype=np.uint8)
    return raw.reshape(counts.size, -1).T.tobytes()


def gaps(counts: Ints) -> bytes:
    """Of the cells that hold something: how many empty ones come before, and the count; both LEB128."""
    flat = counts.ravel()
    filled = np.flatnonzero(flat)
    return varint(np.column_stack((np.diff(filled, prepend=-1) - 1, flat[filled])))


SERIALISATIONS: dict[str, Serialise] = {
    "varint": varint, "uint16": uint16, "planes": planes, "gaps": gaps,
}  # fmt: skip
ORDERS: dict[str, Callable[[Ints], Ints]] = {
    "by bin": lambda counts: counts,
    "by column": lambda counts: np.ascontiguousarray(counts.T),
}


def _zlib(data: bytes) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    return coder.compress(data) + coder.flush()


def _lzma(data: bytes) -> bytes:
    return lzma.compress(data, lzma.FORMAT_RAW, filters=_LZMA)


def _brotli(data: bytes) -> bytes:
    import brotli

    packed: bytes = brotli.compress(data, quality=11, lgwin=24)
    return packed


def _zstd(samples: Sequence[bytes]) -> Compress:
    """Zstandard at 22 without magic, size or check; with a dictionary when there are samples to train on."""
    import zstandard

    options = {
        "format": zstandard.FORMAT_ZSTD1_MAGICLESS, "write_content_size": 0, "write_checksum": 0,
        "write_dict_id": 0,
    }  # fmt: skip
    parameters = zstandard.ZstdCompressionParameters.from_level(22, **options)
    if not samples:
        return zstandard.ZstdCompressor(compression_params=parameters).compress
    dictionary = zstandard.train_dictionary(DICTIONARY_BYTES, list(samples), level=22)
    return zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters).compress


@dataclass(frozen=True, slots=True)
class Rival:
    """A compressor over some dives.

    Attributes
    ----------
    name
        Of the compressor.
    serialisation
        The one with the least bytes over all dives.
    n_bytes
        Mean bytes a dive.
    by_serialisation
        Mean bytes of each serialisation.
    """

    name: str
    serialisation: str
    n_bytes: float
    by_serialisation: Mapping[str, float]


def compress_all(tables: Sequence[Ints], training: Sequence[Ints]) -> list[Rival]:
    """Every compressor on tables of counts, int64 (n_bins, n_columns), in the serialisation it likes best.

    `training` are tables of other dives, for the dictionary; none, no dictionary.
    """
    bytes_by: dict[str, dict[str, float]] = {}
    for order_name, order in ORDERS.items():
        for name, serialise in SERIALISATIONS.items():
            data = [serialise(order(table)) for table in tables]
            contenders: dict[str, Compress] = {
                "zlib-9": _zlib, "LZMA": _lzma, "brotli-11": _brotli, "zstd-22": _zstd([])
            }  # fmt: skip
            if training:
                contenders["zstd-22, dictionary"] = _zstd([serialise(order(table)) for table in training])
            for rival, compress in contenders.items():
                sizes = [len(compress(one)) for one in data]
                bytes_by.setdefault(rival, {})[f"{name} {order_name}"] = float(np.mean(sizes))
    rivals = []
    for rival, found in bytes_by.items():
        best = min(found, key=lambda name: found[name])
        rivals.append(Rival(rival, best, found[best], found))
    return rivals


def cts5_taxo(
    counts: Ints,
    n_images: Ints,
    pressure_dbar: NDArray[np.float64],
    volume_px3: NDArray[np.float64],
    grey: NDArray[np.float64],
) -> bytes:
    """The averaged TAXO records of a dive as a CTS5 float writes them: one a bin, empty or not, no file head.

    Parameters
    ----------
    counts
        int64 (n_bins, n_taxa), at most 40 taxa; what is above 255 is cut to it, for the record has a byte.
    n_images, pressure_dbar
        (n_bins,).
    volume_px3, grey
        Means of each cell, float64 (n_bins, n_taxa); read where the count is above 0.
    """
    records = []
    for b, row in enumerate(counts):
        taxa = tuple(
            cts5.TaxonRecord(
                taxon, int(row[taxon]), float(volume_px3[b, taxon]), round(float(grey[b, taxon]))
            )
            for taxon in np.flatnonzero(row).tolist()
        )
        records.append(cts5.TaxoRecord(_SECONDS_A_BIN, float(pressure_dbar[b]), int(n_images[b]), taxa))
    return b"".join(map(cts5.encode, records))


_SECONDS_A_BIN = 50
"""Of 5 dbar at 0.1 dbar/s. It costs two bytes whatever it is."""
