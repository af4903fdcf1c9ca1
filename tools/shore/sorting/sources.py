"""Where images to sort come from: a folder, a zip, or a dive; one after the other, as bytes and pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError, SestonError
from edge.images import decode_image
from edge.inference.bundle import Bundle, image_hash
from edge.inference.classifier import Classifier
from edge.log_reader import LogReader
from edge.vision.vignette import decode_vignette
from tools.shore.sorting.embedding import Embedder
from tools.shore.sorting.work import NewImage, Work
from training.datasets import ImageStore
from training.legend import crop_legend

CHUNK = 256
"""Images in memory at a time, and in one transaction."""
LOG = "dive.sqlite"


class Raw(NamedTuple):
    """An image: its name, the bytes of its file, its pixels white on black; or what is wrong with it."""

    file: str
    data: bytes
    pixels: NDArray[np.uint8] | None
    fault: str = ""


class Told(NamedTuple):
    """What became of a source: images taken now, there already, and left out, (file, sentence)."""

    n_new: int
    n_known: int
    faults: list[tuple[str, str]]


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
                pixels = crop_legend(decode_image(data, f"{path}/{name}"))
            except SestonError as error:
                yield Raw(name, b"", None, str(error))
                continue
            if pixels.min() == pixels.max():
                yield Raw(name, b"", None, f"{name}: is of one colour; remove it.")
                continue
            yield Raw(name, data, 255 - pixels if invert else pixels)


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
                yield Raw(name, data, decode_vignette(data))
            except ValueError:
                yield Raw(name, b"", None, f"{path}: vignette {number} is damaged; it is left out.")


def add_source(
    work: Work, path: Path, bundle: Bundle, embedder: Embedder, classifier: Classifier, *, invert: bool
) -> Iterator[Told]:
    """Take a source into a work file, chunk by chunk, each committed; tells how far it is after each."""
    source = str(path.resolve())
    known = work.known_files(source)
    n_new, faults = 0, list[tuple[str, str]]()
    chunk: list[Raw] = []

    def flush() -> int:
        rows = new_images(chunk, bundle, embedder, classifier)
        twins = work.add(source, rows)
        faults.extend((one, f"{one}: is the same image as {other}; it is left out.") for one, other in twins)
        chunk.clear()
        return len(rows) - len(twins)

    for raw in read_source(path, known, invert=invert):
        if raw.pixels is None:
            faults.append((raw.file, raw.fault))
            continue
        chunk.append(raw)
        if len(chunk) == CHUNK:
            n_new += flush()
            yield Told(n_new, len(known), faults)
    n_new += flush()
    work.put_faults(source, faults)
    yield Told(n_new, len(known), faults)


def new_images(
    raws: Sequence[Raw], bundle: Bundle, embedder: Embedder, classifier: Classifier
) -> list[NewImage]:
    """Embed and classify images that could be read."""
    vignettes = [raw.pixels for raw in raws if raw.pixels is not None]
    totals, answers = embedder.totals(vignettes), classifier.answer(vignettes)
    return [
        NewImage(
            raw.file,
            image_hash(pixels),
            bundle.classes[int(scores.argmax())],
            float(scores.max()),
            float(evidence),
            total,
            raw.data,
        )
        for raw, pixels, scores, evidence, total in zip(
            raws, vignettes, answers.scores, answers.evidence, totals, strict=True
        )
    ]
