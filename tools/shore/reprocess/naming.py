"""The pictures of a source, part by part through a classifier; what it says of a part is one file.

A part is a run of pictures by number, the same however many workers there are.
"""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.durable import write_durably
from edge.errors import BundleError, ImageError
from edge.inference.bundle import load_bundle
from edge.inference.classifier import Answers, Classifier
from edge.log_reader import LogReader
from edge.vision.vignette import decode_vignette
from training.datasets import ImageStore

PART_SIZE = 512
"""Pictures of a part: a second or two of work, so that what Dask adds to each does not count."""


_NONE = np.zeros((0, 1), dtype=np.float32)
NO_ANSWERS = Answers(_NONE, _NONE, _NONE[:, 0], np.zeros(0, dtype=np.int64))


class Pictures(Protocol):
    """Vignettes by number."""

    def __len__(self) -> int: ...

    def read(self, number: int) -> NDArray[np.uint8] | None:
        """White on black, uint8 (height, width); None where none was kept. Raises `ImageError`."""

    def file(self, number: int) -> str:
        """What a person finds it by."""


class DivePictures:
    """Vignettes in the log of a dive; `told` is the log's place in the archive, for people."""

    def __init__(self, log: LogReader, n_particles: int, told: Path) -> None:
        self._log, self._n, self._told = log, n_particles, told
        self._kept = log.vignette_numbers()

    def __len__(self) -> int:
        return self._n

    def read(self, number: int) -> NDArray[np.uint8] | None:
        """See `Pictures`."""
        if number not in self._kept:
            return None
        try:
            return decode_vignette(self._log.vignette(number))
        except ValueError:
            raise ImageError(
                "is damaged", file=self._told, field=self.file(number), remedy="copy the dive again"
            ) from None

    def file(self, number: int) -> str:
        """See `Pictures`."""
        return f"vignette of particle {number}"


class StoredPictures:
    """Images of a zip, or of a folder alone, not of those in it."""

    def __init__(self, store: ImageStore, *, invert: bool) -> None:
        self._store, self._invert = store, invert
        flat = store.path.is_dir()
        self._names = [name for name in store.names if not (flat and "/" in name)]

    def __len__(self) -> int:
        return len(self._names)

    def read(self, number: int) -> NDArray[np.uint8] | None:
        """See `Pictures`."""
        pixels = self._store.read(self._names[number])
        return 255 - pixels if self._invert else pixels

    def file(self, number: int) -> str:
        """See `Pictures`."""
        return self._names[number]


@functools.lru_cache(maxsize=1)
def classifier_of(bundle: Path, sha256: str) -> Classifier:
    """The classifier of this process, with one thread; raises `BundleError` when it is of another bundle."""
    cv2.setNumThreads(1)
    found = load_bundle(bundle)
    if found.sha256 != sha256:
        raise BundleError(
            f"is another bundle here ({found.sha256[:12]}) than where the run began ({sha256[:12]})",
            file=bundle,
            remedy="give a file that all workers see, and do not change it meanwhile",
        )
    return Classifier(found, threads=1)


def name_part(pictures: Pictures, first: int, stop: int, classifier: Classifier, file: Path) -> None:
    """Name pictures `first` to `stop - 1`, and write into `file` what was said, whole or not at all."""
    rows, found, faults = [], [], []
    for number in range(first, min(stop, len(pictures))):
        try:
            pixels = pictures.read(number)
        except ImageError as error:
            faults.append((number, f"{error.problem}; {error.remedy}"))
            continue
        if pixels is not None:
            rows.append(number)
            found.append(pixels)
    answers = classifier.answer(found)
    data = io.BytesIO()
    np.savez(
        data, rows=np.array(rows, dtype=np.int64), faults=np.array(json.dumps(faults)), **answers._asdict(),
    )  # fmt: skip
    write_durably(file, data.getvalue())


def parts_of(n: int) -> Iterator[tuple[int, int]]:
    """First and last number, the last not included, of each part of n pictures."""
    return ((first, min(first + PART_SIZE, n)) for first in range(0, n, PART_SIZE))


def read_parts(files: list[Path], n: int) -> tuple[NDArray[np.int64], Answers, list[tuple[int, str]]]:
    """What was said of n pictures.

    Returns
    -------
    rows
        int64 (n,): which of the answers is a picture's, -1 where it has none.
    answers
        Of all that were named, in the order of their numbers.
    faults
        Number and reason of each picture that is damaged.
    """
    rows = np.full(n, -1, dtype=np.int64)
    named: list[NDArray[np.int64]] = []
    columns: list[Answers] = []
    faults: list[tuple[int, str]] = []
    for file in files:
        with np.load(file, allow_pickle=False) as part:
            named.append(part["rows"])
            columns.append(Answers(*(part[name] for name in Answers._fields)))
            faults += [(number, reason) for number, reason in json.loads(str(part["faults"]))]
    if not columns:
        return rows, NO_ANSWERS, faults
    order = np.concatenate(named)
    rows[order] = np.arange(len(order))
    return rows, Answers(*(np.concatenate(column) for column in zip(*columns, strict=True))), faults
