"""Images to sort become embeddings in a work file: chunk by chunk, each committed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from edge.inference.bundle import Bundle
from edge.inference.classifier import Classifier
from tools.shore.sorting.embedding import Embedder
from tools.shore.sorting.work import NewImage, Work
from training.unsorted import Raw, read_source

CHUNK = 256
"""Images in memory at a time, and in one transaction."""


class Told(NamedTuple):
    """What became of a source: images taken now, there already, and left out, (file, sentence)."""

    n_new: int
    n_known: int
    faults: list[tuple[str, str]]


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
            raw.hash,
            bundle.classes[int(scores.argmax())],
            float(scores.max()),
            float(evidence),
            total,
            raw.data,
        )
        for raw, scores, evidence, total in zip(raws, answers.scores, answers.evidence, totals, strict=True)
    ]
