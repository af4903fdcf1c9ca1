"""Whether an image of an archive is one that EcoTaxa's importer opens (ecotaxa_back BO/Image.py)."""

from __future__ import annotations

import cv2
import numpy as np

from edge.errors import ImageError
from edge.images import decode_image
from tools.shore.ecotaxa import rules
from tools.shore.ecotaxa.source import UNREADABLE, Source


def look(source: Source, name: str) -> tuple[str | None, str | None]:
    """Kind of an image (PNG, JPEG, GIF or None), and what is wrong with it or None."""
    if name not in source:
        return None, "is not there"
    try:
        data = source.read(name)
    except UNREADABLE as error:
        return None, f"cannot be read ({error})"
    kind = next((kind for mark, kind in rules.IMAGE_KINDS.items() if data.startswith(mark)), None)
    if kind is None:
        return None, "is no PNG, JPEG or GIF"
    if kind == "GIF":
        return kind, _gif_fault(data)
    try:
        decode_image(data, name)
    except ImageError as error:
        return kind, error.problem
    return kind, None


def _gif_fault(data: bytes) -> str | None:
    if not data.rstrip(b"\0").endswith(b";"):
        return "is truncated"
    found, frames = cv2.imdecodemulti(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    return None if found and len(frames) else "cannot be decoded"
