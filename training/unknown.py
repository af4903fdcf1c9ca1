"""Classes that are left out of the training, to measure how well a model sees that they are new to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.inference.classifier import evidence
from training.datasets import Dataset
from training.evaluate import HeldBack, auroc, choose_least_evidence, fit_temperature, probabilities
from training.fit import Examples
from training.taxonomy_file import Taxonomy


def leave_out(data: Dataset, names: Sequence[str]) -> tuple[Dataset, Examples]:
    """Data without some classes, and the images of these; their labels mean nothing.

    Raises
    ------
    InputError
        When a name is no class, or fewer than two classes are left.
    """
    classes = data.taxonomy.classes
    strange = [name for name in names if name not in classes]
    if strange or len(classes) - len(set(names)) < 2:
        raise InputError(
            f"names {strange[0]}, which is no class" if strange else "leaves fewer than two classes",
            file=data.name,
            field="data.leave_out",
            remedy=f"choose among {', '.join(classes)}",
        )
    stay = [i for i, name in enumerate(classes) if name not in names]
    new = np.full(len(classes), -1, dtype=np.int64)
    new[stay] = np.arange(len(stay))
    labels = new[data.labels]
    known = labels >= 0
    chosen = np.flatnonzero(known)
    groups = data.acquisitions
    less = dataclasses.replace(
        data,
        taxonomy=_without(data.taxonomy, stay),
        files=tuple(data.files[i] for i in chosen),
        images=data.images[known],
        numbers=data.numbers[known],
        sizes_px=data.sizes_px[known],
        labels=labels[known],
        hashes=tuple(data.hashes[i] for i in chosen),
        acquisitions=None if groups is None else tuple(groups[i] for i in chosen),
        pixels=None if data.pixels is None else tuple(data.pixels[i] for i in chosen),
    )
    return less, Examples(data.images[~known], data.numbers[~known], labels[~known])


def _without(taxonomy: Taxonomy, stay: Sequence[int]) -> Taxonomy:
    """The taxonomy with some of its classes; a taxon or parent that nothing belongs to any more goes."""
    used = sorted({int(taxonomy.class_taxon[i]) for i in stay})
    taxa = tuple(taxonomy.taxa[i] for i in used)
    classes = tuple(taxonomy.classes[i] for i in stay)
    up = {taxon.label: taxon.parent for taxon in (*taxonomy.taxa, *taxonomy.parents)}
    needed: set[str] = set()
    for taxon in taxa:
        above = taxon.parent
        while above is not None and above not in needed:
            needed.add(above)
            above = up[above]
    there = {taxon.label for taxon in taxa}
    # A taxon that is left out may still be the parent of one that stays.
    parents = tuple(taxon for taxon in (*taxonomy.taxa, *taxonomy.parents) if taxon.label in needed - there)
    to_class = {source: name if name in classes else "" for source, name in taxonomy.source_to_class.items()}
    return Taxonomy(
        classes,
        taxa,
        np.array([used.index(int(taxonomy.class_taxon[i])) for i in stay], dtype=np.int64),
        parents,
        to_class,
        {source: taxonomy.source_classes[source] if name else "" for source, name in to_class.items()},
        taxonomy.limits,
    )


def measure_unknown(
    held_back: HeldBack, unknown_logits: NDArray[np.float64], names: Sequence[str], keep: float
) -> dict[str, Any]:
    """How well evidence, and for comparison the highest score, tell unknown images from held-back known ones.

    Parameters
    ----------
    held_back
        Of the known classes.
    unknown_logits
        float64 (m, k), of the classes left out.
    names
        Of these.
    keep
        Share of the known images that the reject lets pass.

    Returns
    -------
    For the facts of a bundle: areas under the ROC curve, and the share of the unknown that is rejected.
    """
    temperature = fit_temperature(held_back.int8_logits, held_back.labels)
    seen, new = (evidence(logits, temperature) for logits in (held_back.int8_logits, unknown_logits))
    sure, unsure = (
        probabilities(logits, temperature).max(axis=1) for logits in (held_back.int8_logits, unknown_logits)
    )
    return {
        "classes left out": ", ".join(names),
        "images of them": len(new),
        "area under the ROC curve, evidence": round(auroc(seen, new), 4),
        "area under the ROC curve, highest score": round(auroc(sure, unsure), 4),
        "share rejected": round(float(np.mean(new < choose_least_evidence(seen, keep))), 4),
    }
