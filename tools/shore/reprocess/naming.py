"""The pictures of a source, part by part through a classifier; what it says of a part is one file.

A part is a run of pictures by number, the same however many workers there are.
"""

from __future__ import annotations

import contextlib
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
from edge.recording import FRAMES_FOLDER, INFO_FILE
from edge.vision.vignette import decode_vignette
from tools.shore.reprocess.sources import LOG_FILE, Kind, Source
from training.datasets import ImageStore

PART_SIZE = 2048
"""Pictures of a part: some seconds of work, so that what Dask adds to each does not count."""
BATCH_SIZE = 128
"""Pictures that are in memory at a time."""
LOOKED_AT, FRAME_PX = 5, 1_000_000
"""Pictures of a folder or zip that are looked at first; from this area on, pictures all alike are frames."""
BRIGHT = 128
"""Median of a picture that is mostly bright water."""

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


@contextlib.contextmanager
def open_pictures(source: Source, place: Path, n_pictures: int, *, invert: bool) -> Iterator[Pictures]:
    """Pictures of a source: of a dive, those in the copy of its log in the folder `place`."""
    if source.kind is Kind.VIGNETTES:
        with ImageStore(source.path) as store:
            yield StoredPictures(store, invert=invert)
    else:
        with LogReader.look_into(place / LOG_FILE) as log:
            yield DivePictures(log, n_pictures, source.path / LOG_FILE)


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


def check_vignettes(pictures: Pictures, source: Source) -> None:
    """Raise `ImageError` when pictures of a folder or zip, to judge by some, are no vignettes on black."""
    seen = []
    for number in range(0, len(pictures), max(1, len(pictures) // LOOKED_AT)):
        with contextlib.suppress(ImageError):  # it is told where it is to be named
            if (pixels := pictures.read(number)) is not None:
                seen.append(pixels)
    if len(seen) < 2:
        return
    height, width = seen[0].shape
    if height * width >= FRAME_PX and {one.shape for one in seen} == {(height, width)}:
        raise ImageError(
            f"holds frames, to judge by {len(seen)} of {len(pictures)}: all are {width} x {height} px",
            file=source.path, remedy=f"put them into {FRAMES_FOLDER}/ beside a {INFO_FILE}",
        )  # fmt: skip
    if all(np.median(one) >= BRIGHT for one in seen):
        raise ImageError(
            "holds images whose background is bright, as --polarity has them", file=source.path,
            remedy="give the other --polarity",
        )  # fmt: skip


def name_part(pictures: Pictures, first: int, stop: int, classifier: Classifier, file: Path) -> None:
    """Name pictures `first` to `stop - 1`, and write into `file` what was said, whole or not at all."""
    rows, said, faults = list[int](), list[Answers](), list[tuple[int, str]]()
    for begin in range(first, stop, BATCH_SIZE):
        found = []
        for number in range(begin, min(begin + BATCH_SIZE, stop)):
            try:
                pixels = pictures.read(number)
            except ImageError as error:
                faults.append((number, f"{error.problem}; {error.remedy}"))
                continue
            if pixels is not None:
                rows.append(number)
                found.append(pixels)
        said.append(classifier.answer(found))
    answers = _joined(said)
    data = io.BytesIO()
    np.savez(
        data, rows=np.array(rows, dtype=np.int64), faults=np.array(json.dumps(faults)), **answers._asdict(),
    )  # fmt: skip
    write_durably(file, data.getvalue())


def parts_of(n: int) -> Iterator[tuple[int, int]]:
    """First and last number, the last not included, of each part of n pictures."""
    return ((first, min(first + PART_SIZE, n)) for first in range(0, n, PART_SIZE))


def part_file(place: Path, first: int) -> Path:
    """What was said of the part that begins with picture `first`."""
    return place / f"named-{first:09d}.npz"


def read_parts(place: Path, n: int) -> tuple[NDArray[np.int64], Answers, list[tuple[int, str]]]:
    """What was said of n pictures, from the files of their parts.

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
    named, said, faults = list[NDArray[np.int64]](), list[Answers](), list[tuple[int, str]]()
    for first, _ in parts_of(n):
        with np.load(part_file(place, first), allow_pickle=False) as part:
            named.append(part["rows"])
            said.append(Answers(*(part[name] for name in Answers._fields)))
            faults += [(number, reason) for number, reason in json.loads(str(part["faults"]))]
    if not said:
        return rows, NO_ANSWERS, faults
    order = np.concatenate(named)
    rows[order] = np.arange(len(order))
    return rows, _joined(said), faults


def _joined(said: list[Answers]) -> Answers:
    return Answers(*(np.concatenate(column) for column in zip(*said, strict=True)))
