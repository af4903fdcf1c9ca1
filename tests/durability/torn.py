"""What one write may have left."""

from __future__ import annotations

import random

SECTOR_BYTES = 512


def torn(held: bytearray, kind: str, at: int, data: bytes, chance: random.Random | None = None) -> bytearray:
    """Bytes after one more write or truncation, of which only some sectors may have come to be."""
    if kind == "truncate":
        del held[at:]
        return held
    if chance is not None and chance.random() < 0.2:
        data = data[: SECTOR_BYTES * chance.randrange(1 + len(data) // SECTOR_BYTES)]
    if len(held) < at:
        held.extend(bytes(at - len(held)))
    held[at : at + len(data)] = data
    return held
