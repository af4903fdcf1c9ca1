"""Where images that nobody sorted come from: a folder, a zip, or a dive; as bytes, pixels, and prepared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError, InputError, SestonError
from edge.images import decode_image
from edge.inference.bundle import image_hash
from edge.inference.preprocessing import Preprocessing, prepare
from edge.log_reader import LogReader
from edge.vision.vignette import decode_vignette
from training.datasets import ImageStore
from training.legend import crop_legend

LOG = "dive.sqlite"


class Raw(NamedTuple):
    """An image: its name, the bytes of its file, its pixels white on black; or what is wrong with it.

    `hash` is `image_hash` of the pixels as they are in the file, legend and all, as a training keeps it.
    """

    file: str
    data: bytes
    pixels: NDArray[np.uint8] | None
    fault: str = ""
    hash: bytes = b""


def is_dive(path: Path) -> bool:
    """Whether a path is a dive: its folder, or its log."""
    return path.name == LOG or (path / LOG).is_file()


def read_source(path: Path, known: set[str], *, invert: bool) -> Iterator[Raw]:
    """Images of a folder, zip or dive that are not `known`, in the order of their names or of capture.

    Raises
    ------
    SestonError
        When there is no image at all, or the source cannot be read.
    """
    if is_dive(path):
        yield from _read_dive(path if path.name == LOG else path / LOG, known)
        return
    with ImageStore(path) as store:
        for name in store.names:
            if name in known:
                continue
            try:
                data = store.read_bytes(name)
                whole = decode_image(data, f"{path}/{name}")
            except SestonError as error:
                yield Raw(name, b"", None, str(error))
                continue
            pixels = crop_legend(whole)
            if pixels.min() == pixels.max():
                yield Raw(name, b"", None, f"{name}: is of one colour; remove it.")
                continue
            yield Raw(name, data, 255 - pixels if invert else pixels, hash=image_hash(whole))


def _read_dive(path: Path, known: set[str]) -> Iterator[Raw]:
    with LogReader.look_into(path) as log:
        numbers = sorted(log.vignette_numbers())
        if not numbers:
            raise ImageError(
                "keeps no vignette", file=path, remedy="give a dive whose log keeps them ([log] vignettes)"
            )
        for number in numbers:
            name = f"{number:07d}.png"
            if name in known:
                continue
            data = log.vignette(number)
            try:
                pixels = decode_vignette(data)
            except ValueError:
                yield Raw(name, b"", None, f"{path}: vignette {number} is damaged; it is left out.")
                continue
            yield Raw(name, data, pixels, hash=image_hash(pixels))


@dataclass(frozen=True, slots=True, eq=False)
class Unsorted:
    """Images without a label, already through `prepare`; the same image twice is there once.

    Attributes
    ----------
    name
        File name of the source.
    images
        uint8 (n, size_px, size_px, 1), white on black.
    hashes
        `image_hash` of each, n of them.
    faults
        What was left out: a sentence an image.
    """

    name: str
    images: NDArray[np.uint8]
    hashes: tuple[bytes, ...]
    faults: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the sorted hashes: which images these are, however they are named."""
        return hashlib.sha256(b"".join(sorted(self.hashes))).hexdigest()


def read_unsorted(path: str | PathLike[str], spec: Preprocessing, *, invert: bool = False) -> Unsorted:
    """Read images without a label.

    Parameters
    ----------
    path
        Folder or zip, whatever folders are in it, or a dive: its folder, or its log.
    spec
        Preprocessing of the model.
    invert
        Whether the images are dark on white; a dive's never are.

    Raises
    ------
    SestonError
        When the source cannot be read, or holds no usable image.
    """
    found: dict[bytes, NDArray[np.uint8]] = {}
    faults = []
    for raw in read_source(Path(path), set(), invert=invert):
        if raw.pixels is None:
            faults.append(raw.fault)
        elif raw.hash not in found:
            found[raw.hash] = prepare(raw.pixels, spec)
    if not found:
        raise InputError("holds no usable image", file=path, remedy="give a folder, zip or dive with images")
    return Unsorted(Path(path).name, np.stack(list(found.values())), tuple(found), tuple(faults))
