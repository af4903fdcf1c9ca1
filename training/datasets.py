"""Sorted images on disk: a folder or zip with one folder a class becomes arrays. Reads only; sorts nothing.

A class folder is `Name` or `Name__EcotaxaID`. An image that cannot be used is listed with its reason, never
fatal.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError
from edge.images import IMAGE_SUFFIXES, decode_image
from edge.inference.bundle import image_hash
from edge.inference.preprocessing import Preprocessing, prepare
from edge.taxonomy import Taxon

Pixels = NDArray[np.uint8]


class ImageStore:
    """Images of a folder or zip, by name; names are paths inside it with forward slashes, sorted.

    Parameters
    ----------
    path
        Folder or zip.

    Raises
    ------
    ImageError
        When it is neither, cannot be opened, or holds no image.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self._zip: zipfile.ZipFile | None = None
        if self.path.is_dir():
            found = (file for file in self.path.rglob("*") if file.is_file())
            names = [file.relative_to(self.path).as_posix() for file in found]
        else:
            try:
                self._zip = zipfile.ZipFile(self.path)
            except FileNotFoundError:
                raise ImageError("is not there", file=path, remedy="check the path") from None
            except (OSError, zipfile.BadZipFile) as cause:
                raise ImageError(
                    f"is neither a folder nor a readable zip ({cause})", file=path, remedy="check the file"
                ) from cause
            names = [info.filename for info in self._zip.infolist() if not info.is_dir()]
        self.names: tuple[str, ...] = tuple(sorted(name for name in names if _is_image(name)))
        if not self.names:
            self.close()
            raise ImageError(
                "holds no image", file=path, remedy=f"give files ending in {', '.join(IMAGE_SUFFIXES)}"
            )

    def __enter__(self) -> ImageStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the zip."""
        if self._zip is not None:
            self._zip.close()

    def read(self, name: str) -> Pixels:
        """Grey pixels of one image, uint8 (height, width), as the file has them.

        Raises
        ------
        ImageError
            When it cannot be read or decoded.
        """
        where = f"{self.path}/{name}"
        try:
            data = (self.path / name).read_bytes() if self._zip is None else self._zip.read(name)
        except (
            OSError,
            zipfile.BadZipFile,
            zlib.error,
            RuntimeError,
            NotImplementedError,
            EOFError,
        ) as cause:
            raise ImageError(f"cannot be read ({cause})", file=where, remedy="copy it again") from cause
        return decode_image(data, where)


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not any(
        part.startswith(".") or part == "__MACOSX" for part in path.parts
    )


@dataclass(frozen=True, slots=True)
class Dataset:
    """Images of sorted classes, already through `prepare`.

    Attributes
    ----------
    name
        File name of the source.
    classes
        Taxa in the order of their folder names; parents and the living flag are not known here.
    files
        Names in the source, n of them.
    images
        uint8 (n, size_px, size_px, 1), white on black.
    labels
        int64 (n,), index into `classes`.
    hashes
        `image_hash` of the pixels as they are in the file, n of them.
    faults
        What was left out: a sentence an image.
    """

    name: str
    classes: tuple[Taxon, ...]
    files: tuple[str, ...]
    images: Pixels
    labels: NDArray[np.int64]
    hashes: tuple[bytes, ...]
    faults: tuple[str, ...]

    def select(self, which: NDArray[np.bool_]) -> Dataset:
        """The images where `which`, bool (n,), is true; the classes stay."""
        chosen = np.flatnonzero(which)
        return Dataset(
            self.name,
            self.classes,
            tuple(self.files[i] for i in chosen),
            self.images[chosen],
            self.labels[chosen],
            tuple(self.hashes[i] for i in chosen),
            self.faults,
        )


def parse_class(folder: str) -> Taxon:
    """Taxon of a class folder: `Name`, or `Name__EcotaxaID` where the id is a whole number."""
    name, separator, number = folder.rpartition("__")
    if separator and name and number.isascii() and number.isdigit():
        return Taxon(label=name, ecotaxa_id=int(number))
    return Taxon(label=folder)


def read_dataset(path: str | PathLike[str], spec: Preprocessing, *, invert: bool = False) -> Dataset:
    """Read a folder or zip of class folders.

    Parameters
    ----------
    path
        Folder or zip whose images lie in one folder a class.
    spec
        Preprocessing of the model to be trained.
    invert
        Whether the images are dark on white.

    Raises
    ------
    ImageError
        When there are not two classes with a usable image, or two folders give one label.
    """
    with ImageStore(path) as store:
        classes = _classes(store)
        index = {folder: i for i, folder in enumerate(classes)}
        files: list[str] = []
        images: list[Pixels] = []
        labels: list[int] = []
        hashes: list[bytes] = []
        faults: list[str] = []
        for name, pixels in _usable(store, faults):
            files.append(name)
            labels.append(index[PurePosixPath(name).parent.name])
            hashes.append(image_hash(pixels))
            images.append(prepare(255 - pixels if invert else pixels, spec))
    if len(set(labels)) < 2:
        raise ImageError(
            "holds fewer than two classes with a usable image",
            file=path,
            remedy="put the images into one folder a class",
        )
    return Dataset(
        Path(path).name,
        tuple(classes.values()),
        tuple(files),
        np.stack(images),
        np.array(labels, dtype=np.int64),
        tuple(hashes),
        tuple(faults),
    )


def _classes(store: ImageStore) -> dict[str, Taxon]:
    """Taxon by folder name, sorted by folder."""
    folders = sorted({PurePosixPath(name).parent.name for name in store.names} - {""})
    classes = {folder: parse_class(folder) for folder in folders}
    seen: dict[str, str] = {}
    for folder, taxon in classes.items():
        if taxon.label in seen:
            raise ImageError(
                f"has two folders for one class, {seen[taxon.label]} and {folder}",
                file=store.path,
                remedy="merge or rename one",
            )
        seen[taxon.label] = folder
    return classes


def _usable(store: ImageStore, faults: list[str]) -> Iterator[tuple[str, Pixels]]:
    """Images that can be learnt from; the others go to `faults`."""
    for name in store.names:
        try:
            pixels = store.read(name)
        except ImageError as error:
            faults.append(str(error))
            continue
        if PurePosixPath(name).parent.name == "":
            faults.append(f"{name}: lies in no class folder; move it into one.")
        elif pixels.min() == pixels.max():
            faults.append(f"{name}: is of one colour; remove it.")
        else:
            yield name, pixels


def class_counts(labels: NDArray[np.int64], classes: Sequence[Taxon]) -> NDArray[np.int64]:
    """Images a class, int64 (k,)."""
    return np.bincount(labels, minlength=len(classes)).astype(np.int64)
