"""All that must travel with a model, put into one file: goldens, calibration, scores, provenance, card."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.config import Section, to_struct
from edge.errors import BundleError, ConfigError
from edge.inference.bundle import GOLDEN_OUTPUTS, Bundle, Manifest, Provenance, pack_bundle, parse_bundle
from edge.inference.classifier import Classifier
from edge.inference.preprocessing import Preprocessing, prepare
from edge.taxonomy import Taxon, build_tree
from training.drawn_set import golden_inputs
from training.evaluate import (
    calibration_error,
    choose_thresholds,
    class_table,
    confusion_matrix,
    fit_temperature,
    probabilities,
    summarize,
)
from training.quantize import int8_outputs

PACKAGES = ("ai-edge-litert", "keras", "numpy", "opencv-python-headless", "tensorflow-cpu", "tensorflow")


class TaxonEntry(Section, frozen=True):
    """What a taxonomy file says of one taxon."""

    living: bool | None = None
    parent: str | None = None
    aphia_id: int | None = None
    ecotaxa_id: int | None = None


class TaxonomyFile(Section, frozen=True):
    """A taxonomy TOML: classes of the data set, parents that are no class, and what the card should say.

    Attributes
    ----------
    taxa
        By class label.
    parents
        By label.
    limits
        Known limits of a model trained on these data, one sentence each.
    """

    taxa: dict[str, TaxonEntry] = msgspec.field(default_factory=dict)
    parents: dict[str, TaxonEntry] = msgspec.field(default_factory=dict)
    limits: tuple[str, ...] = ()


def read_taxonomy(
    path: str | PathLike[str] | None, classes: Sequence[Taxon]
) -> tuple[tuple[Taxon, ...], tuple[Taxon, ...], tuple[str, ...]]:
    """Taxa, parents and limits: the data set's classes with what a taxonomy file adds to them.

    Raises
    ------
    ConfigError
        When the file cannot be read, names a class that the data set does not have, or its parents do not
        fit.
    """
    if path is None:
        return tuple(classes), (), ()
    try:
        text = Path(path).read_text(encoding="utf-8")
        table = to_struct(tomllib.loads(text), TaxonomyFile, file=path, error=ConfigError)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as cause:
        raise ConfigError(f"cannot be read ({cause})", file=path, remedy="check the file") from cause
    unknown = sorted(set(table.taxa) - {taxon.label for taxon in classes})
    if unknown:
        raise ConfigError(
            "is no class of the data set",
            file=path,
            field=f"taxa.{unknown[0]}",
            remedy="correct or remove it",
        )
    taxa = []
    for taxon in classes:
        entry = table.taxa.get(taxon.label, TaxonEntry())
        ids = taxon.ecotaxa_id if entry.ecotaxa_id is None else entry.ecotaxa_id
        taxa.append(
            Taxon(
                label=taxon.label,
                living=entry.living,
                parent=entry.parent,
                ecotaxa_id=ids,
                aphia_id=entry.aphia_id,
            )
        )
    parents = tuple(
        Taxon(
            label=label,
            living=entry.living,
            parent=entry.parent,
            ecotaxa_id=entry.ecotaxa_id,
            aphia_id=entry.aphia_id,
        )
        for label, entry in table.parents.items()
    )
    try:
        build_tree(taxa, parents)
    except ValueError as cause:
        raise ConfigError(str(cause), file=path, remedy="correct the taxonomy") from cause
    return tuple(taxa), parents, table.limits


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What training and conversion leave for the export.

    Attributes
    ----------
    name
        Of the bundle.
    model
        int8 TFLite flatbuffer.
    taxa, parents, limits
        From `read_taxonomy`.
    preprocessing
        That training used.
    int8_logits
        float64 (n, k), of the held-back images, by the int8 model.
    held_back_labels
        int64 (n,).
    training_hashes, training_counts
        `image_hash` of every training image, and images a class, int64 (k,).
    scores
        Further held-back scores by model, e.g. ``{"float": {...}}``.
    provenance
        Where it comes from.
    """

    name: str
    model: bytes
    taxa: tuple[Taxon, ...]
    parents: tuple[Taxon, ...]
    limits: tuple[str, ...]
    preprocessing: Preprocessing
    int8_logits: NDArray[np.float64]
    held_back_labels: NDArray[np.int64]
    training_hashes: tuple[bytes, ...]
    training_counts: NDArray[np.int64]
    scores: dict[str, dict[str, float]]
    provenance: Provenance


def make_bundle(trained: Trained, *, precision: float) -> bytes:
    """Calibrate, choose thresholds for a wanted precision, compute the goldens, and pack.

    Temperature and thresholds are fitted to the held-back images, as the card says.
    """
    k, labels = len(trained.taxa), trained.held_back_labels
    tree = build_tree(trained.taxa, trained.parents)
    temperature = fit_temperature(trained.int8_logits, labels)
    scores = probabilities(trained.int8_logits, temperature)
    thresholds = choose_thresholds(scores, labels, tree, precision)
    decided = tree.decide(scores, thresholds)
    confusion = confusion_matrix(labels, scores.argmax(axis=1), k, k)
    inputs = golden_inputs()
    prepared = np.stack([prepare(vignette, trained.preprocessing) for vignette in inputs])
    outputs = {kernels: int8_outputs(trained.model, prepared, kernels)[0] for kernels in GOLDEN_OUTPUTS}
    int8 = summarize(confusion) | {
        "calibration_error": calibration_error(scores, labels),
        "unclassified": float(np.mean(decided == len(tree.counted) - 1)),
        "decided_precision": _decided_precision(decided, labels, tree.members),
    }
    manifest = Manifest(
        name=trained.name,
        taxa=trained.taxa,
        parents=trained.parents,
        preprocessing=trained.preprocessing,
        temperature=temperature,
        thresholds=thresholds,
        confusion=_rows(confusion),
        decisions=_rows(confusion_matrix(labels, decided, k, len(tree.counted))),
        scores={
            model: {name: round(value, 4) for name, value in values.items()}
            for model, values in ({"int8": int8} | trained.scores).items()
        },
        golden_sizes=tuple((image.shape[0], image.shape[1]) for image in inputs),
        provenance=trained.provenance,
    )
    card = write_card(manifest, confusion, trained)
    return pack_bundle(manifest, trained.model, inputs, outputs, trained.training_hashes, card)


def publish_bundle(data: bytes, path: Path) -> Bundle:
    """Prove a bundle under both kernels, then put it in place whole or not at all.

    Raises
    ------
    BundleError
        When it cannot be read back, its goldens differ, or the file cannot be written.
    """
    bundle = parse_bundle(data, path)
    Classifier(bundle, kernels="reference")
    Classifier(bundle, kernels="xnnpack")
    beside = path.with_suffix(f"{path.suffix}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(data)
        os.replace(beside, path)
    except OSError as cause:
        raise BundleError(
            f"cannot be written ({cause})", file=path, remedy="check the folder and the disk"
        ) from cause
    return bundle


def packages() -> dict[str, str]:
    """Versions of what trains and converts, as far as installed, and of Python."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write_card(manifest: Manifest, confusion: NDArray[np.int64], trained: Trained) -> str:
    """The model card, Markdown."""
    provenance = manifest.provenance
    n_trained, n_held_back = int(trained.training_counts.sum()), int(confusion.sum())
    lines = [
        f"# {manifest.name}",
        "",
        f"int8 MobileNetV2, {manifest.preprocessing.size_px} x {manifest.preprocessing.size_px} grey, "
        f"{len(manifest.taxa)} classes, {len(trained.model) / 1000:.0f} kB.",
        "",
        "## Trained on",
        "",
        *(
            f"- {source.name}: {source.use}"
            + (f", {source.images} images" if source.images else "")
            + f". Licence: {source.licence}."
            for source in provenance.sources
        ),
        "",
        f"{n_trained} images trained the model, {n_held_back} were held back. Split {provenance.split}.",
        "",
        "## Held-back scores",
        "",
        "| model | accuracy | balanced accuracy | macro-F1 |",
        "|---|---:|---:|---:|",
    ]
    for model, values in manifest.scores.items():
        cells = (f"{values[name]:.3f}" for name in ("accuracy", "balanced_accuracy", "macro_f1"))
        lines.append(f"| {model} | {' | '.join(cells)} |")
    int8 = manifest.scores["int8"]
    lines += [
        "",
        f"Calibration error {int8['calibration_error']:.3f}. With thresholds and roll-up "
        f"{int8['unclassified']:.1%} of the held-back images end as unclassified; of the others "
        f"{int8['decided_precision']:.1%} are right (as the class itself or a parent of it). Temperature "
        "and thresholds were fitted to the same held-back images, so these three figures flatter the model.",
        "",
        class_table(confusion, [taxon.label for taxon in manifest.taxa], trained.training_counts),
        "",
        "## Known limits",
        "",
        *(f"- {limit}" for limit in trained.limits),
        "- Scores hold for images of the same camera and the same share of classes: check another camera, "
        "pixel size or sea on images sorted from it.",
        "- A vignette is scaled to the input: the network does not see how large the particle was.",
        "",
        "## Made by",
        "",
        f"`{provenance.command}`, seed {provenance.seed}, with "
        + ", ".join(f"{name} {number}" for name, number in sorted(provenance.packages.items()))
        + ".",
        "",
    ]
    return "\n".join(lines)


def _decided_precision(
    decided: NDArray[np.int64], labels: NDArray[np.int64], members: NDArray[np.float32]
) -> float:
    """Share of right decisions among those that are not `unclassified`."""
    named = decided != members.shape[1] - 1
    if not named.any():
        return 0.0
    return float(members[labels[named], decided[named]].mean())


def _rows(counts: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(count) for count in row) for row in counts)
