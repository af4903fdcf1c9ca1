"""Image files to grey pixels, as OpenCV's greyscale reading gives them; damage is told, never guessed over.

OpenCV versions differ in what they make of a truncated file (some give half an image): the end of the file
is therefore checked here first.
"""

from __future__ import annotations

import zlib
from os import PathLike
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_COPY = "copy the file again or remove it"


def read_image(path: str | PathLike[str], bits_per_pixel: int | None = None) -> NDArray[np.uint8]:
    """Read a PNG, TIFF, BMP or JPEG file as grey pixels.

    Colour becomes grey as ``cv2.imread(path, cv2.IMREAD_GRAYSCALE)`` does it. Grey of more than 8 bits is
    shifted down to 8.

    Parameters
    ----------
    path
        The file; its kind is told by its content, not its name.
    bits_per_pixel
        Bits that a 16-bit file really uses (9 to 16, e.g. 12 for a 12-bit camera); 16 by default. 8-bit files
        are not touched by it.

    Returns
    -------
    uint8 (height, width).

    Raises
    ------
    ImageError
        The file is missing, empty, truncated, damaged, no image, or brighter than `bits_per_pixel` allows.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise ImageError("is not there", file=path, remedy="check the path") from None
    except IsADirectoryError:
        raise ImageError("is a folder, not an image", file=path, remedy="name one image file") from None
    except OSError as cause:
        raise ImageError(f"cannot be read ({cause.strerror})", file=path, remedy="check the disk") from cause
    return decode_image(data, path, bits_per_pixel)


def decode_image(
    data: bytes, name: str | PathLike[str], bits_per_pixel: int | None = None
) -> NDArray[np.uint8]:
    """Like `read_image`, from the file's bytes (a member of an archive, say); `name` is for the sentence."""
    _check_whole(data, name)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.size == 0:
        raise ImageError("is damaged: its pixels cannot be decoded", file=name, remedy=_COPY)
    grey: NDArray[np.generic] = pixels
    if grey.dtype == np.uint8:
        return grey.astype(np.uint8, copy=False)
    if grey.dtype != np.uint16:
        raise ImageError(
            f"has {grey.dtype} pixels, 8 or 16 bit whole numbers were expected",
            file=name,
            remedy="save it as 8 or 16-bit grey",
        )
    deep = grey.astype(np.uint16, copy=False)
    bits = 16 if bits_per_pixel is None else bits_per_pixel
    brightest = int(deep.max())
    if brightest >> bits:
        raise ImageError(
            f"holds grey {brightest}, more than {bits} bits can",
            file=name,
            field="bits_per_pixel",
            remedy="set bits_per_pixel to what the camera gives",
        )
    return (deep >> np.uint16(bits - 8)).astype(np.uint8)


def _check_whole(data: bytes, name: str | PathLike[str]) -> None:
    """Refuse what is empty, no image, or ends too early."""
    if not data:
        raise ImageError("is empty", file=name, remedy=_COPY)
    if data.startswith(_PNG):
        fault = _png_fault(data)
    elif data.startswith(_JPEG):
        # Inside the scan every 0xFF is followed by 0x00 or a restart marker: this can only be the end.
        scan = data.find(b"\xff\xda")
        fault = None if scan >= 0 and data.find(b"\xff\xd9", scan) >= 0 else "is truncated"
    elif data.startswith(b"BM"):
        fault = _bmp_fault(data)
    elif data.startswith(_TIFF):
        fault = None  # its directory may stand anywhere: OpenCV's reader tells
    else:
        fault = "is not a PNG, TIFF, BMP or JPEG image"
    if fault:
        raise ImageError(fault, file=name, remedy=_COPY)


def _png_fault(data: bytes) -> str | None:
    """Walk the chunks of a PNG to its end, checking their sums (PNG specification, section 5.3)."""
    at = len(_PNG)
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        if zlib.crc32(memoryview(data)[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return "is damaged: a checksum in it is wrong"
        if data[at + 4 : at + 8] == b"IEND":
            return None
        at = end + 4
    return "is truncated"


def _bmp_fault(data: bytes) -> str | None:
    """Compare a BMP's length with its header (uncompressed kinds only)."""
    if len(data) < 54:
        return "is truncated"
    offset = int.from_bytes(data[10:14], "little")
    width = int.from_bytes(data[18:22], "little", signed=True)
    height = abs(int.from_bytes(data[22:26], "little", signed=True))
    bits, packed = int.from_bytes(data[28:30], "little"), int.from_bytes(data[30:34], "little")
    row = (abs(width) * bits + 31) // 32 * 4
    return "is truncated" if packed in (0, 3) and len(data) < offset + row * height else None
