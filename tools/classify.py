"""`seston classify`: vignettes of a folder or zip into a CSV of taxa, decisions and probabilities."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.errors import ImageError, InputError
from edge.optics import Polarity

if TYPE_CHECKING:
    from edge.inference.bundle import Bundle
    from edge.inference.classifier import Answers

CHUNK = 256
"""Images in memory at a time."""


@click.command()
@click.argument("images", metavar="FOLDER|ZIP", type=click.Path(path_type=Path))
@click.option(
    "--bundle", "path_or_name", required=True, help="A bundle's file, or the name of a shipped one."
)
@click.option(
    "--csv", "csv_file", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Write here."
)
@click.option(
    "--polarity",
    type=click.Choice([item.value for item in Polarity]),
    default=Polarity.DARK_FIELD.value,
    show_default=True,
    help="bright-field images are inverted first.",
)
@click.option(
    "--level",
    type=click.Choice(["taxon", "class"]),
    default="taxon",
    show_default=True,
    help="What is told: the taxa that are counted, or all classes that the network tells apart.",
)
@click.option(
    "--threads", default=1, show_default=True, type=click.IntRange(1, 64), help="Of the interpreter."
)
def classify(
    images: Path, path_or_name: str, csv_file: Path, polarity: str, level: str, threads: int
) -> None:
    """Classify every image in a folder or zip, however deep, and write one row each.

    Columns: file (as in the folder or zip), taxon (of the highest probability; with --level class the class),
    decision (the counted taxon after reject, thresholds and roll-up), score (the highest probability), then
    one probability a taxon or class. What cannot be read is named on
    stderr and left out.
    """
    from edge.inference.bundle import load_bundle
    from edge.inference.classifier import Classifier
    from training.datasets import ImageStore

    bundle = load_bundle(path_or_name)
    classifier = Classifier(bundle, threads=threads)
    invert = polarity == Polarity.BRIGHT_FIELD
    n_good = n_bad = 0
    beside = csv_file.with_name(csv_file.name + ".part")
    with ImageStore(images) as store:
        try:
            with beside.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                by_class = level == "class"
                labels = bundle.classes if by_class else [taxon.label for taxon in bundle.taxa]
                writer.writerow(["file", "taxon", "decision", "score", *labels])
                for start in range(0, len(store.names), CHUNK):
                    names, vignettes = [], []
                    for name in store.names[start : start + CHUNK]:
                        try:
                            pixels = store.read(name)
                        except ImageError as error:
                            n_bad += 1
                            click.echo(f"left out: {error}", err=True)
                            continue
                        names.append(name)
                        vignettes.append(255 - pixels if invert else pixels)
                    writer.writerows(_rows(bundle, names, labels, classifier.answer(vignettes)))
                    n_good += len(names)
            if n_good == 0:
                raise ImageError("holds no image that can be read", file=images, remedy="check the files")
            os.replace(beside, csv_file)
        except OSError as cause:
            raise InputError(
                f"cannot be written ({cause})", file=csv_file, remedy="check the folder and the disk"
            ) from cause
        finally:
            beside.unlink(missing_ok=True)
    left_out = f", {n_bad} left out" if n_bad else ""
    click.echo(f"{n_good} images classified{left_out}: {csv_file}")


def _rows(bundle: Bundle, names: list[str], labels: Sequence[str], answers: Answers) -> list[list[str]]:
    """CSV rows of one chunk, at the level that the labels are of."""
    scores = answers.scores if labels is bundle.classes else answers.taxon_scores
    best = scores.argmax(axis=1)
    return [
        [
            name,
            labels[b],
            bundle.counted_taxa[d].label,
            f"{row[b]:.5f}",
            *(f"{value:.5f}" for value in row.tolist()),
        ]
        for name, b, d, row in zip(names, best, answers.decisions, scores, strict=True)
    ]
