"""All that must travel with a model, put into one file: goldens, calibration, scores, provenance, card."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import BundleError
from edge.inference.bundle import GOLDEN_OUTPUTS, Bundle, pack_bundle, parse_bundle
from edge.inference.classifier import Classifier
from edge.inference.engine import input_table
from edge.inference.litert import Int8Model, Kernels
from edge.inference.manifest import Correction, Manifest, Provenance
from edge.inference.preprocessing import Preprocessing, describe, prepare
from edge.taxonomy import build_tree
from training.calibration import Calibration, Counting, calibrate, cross_judge, judge
from training.card import write_card
from training.count_table import Study, as_facts
from training.drawn_set import golden_inputs
from training.evaluate import KEEP, HeldBack, plain
from training.prevalence import DRAWS, fit_implied, study
from training.reference import reference_of
from training.scores import decision_matrix, score
from training.taxonomy_file import Taxonomy

PACKAGES = ("ai-edge-litert", "keras", "numpy", "opencv-python-headless", "tensorflow-cpu", "tensorflow")

GOLDEN_PIXELS = 10_000
"""Larger drawn vignettes are no goldens: they weigh much and show a board nothing that others do not."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What training and conversion leave for the export.

    Attributes
    ----------
    name
        Of the bundle.
    model
        int8 TFLite flatbuffer.
    taxonomy
        Classes, taxa, parents, and what the card should say of their limits.
    preprocessing
        That training used.
    held_back
        What the model, and its float network, say of the held-back images; at least one.
    training_hashes, held_back_hashes
        `image_hash` of every image.
    training_counts
        Images that trained each class, int64 (k,).
    parity
        `training.parity.Parity.facts`; empty when nothing was compared.
    provenance
        Where it comes from.
    run
        TOML of the run.
    facts
        Whatever else was measured, by name: the card shows it.
    """

    name: str
    model: bytes
    taxonomy: Taxonomy
    preprocessing: Preprocessing
    held_back: HeldBack
    training_hashes: tuple[bytes, ...]
    held_back_hashes: tuple[bytes, ...]
    training_counts: NDArray[np.int64]
    parity: Mapping[str, Any]
    provenance: Provenance
    run: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def make_bundle(trained: Trained, *, precision: float, keep: float = KEEP, study_draws: int = DRAWS) -> bytes:
    """Calibrate, score, compute the goldens, write the card, and pack.

    Temperature, thresholds and reject are fitted to all held-back images. What the manifest says of them
    (decisions, and every score that depends on them) was measured on each half of those images with what was
    fitted to the other half.

    Parameters
    ----------
    precision
        Wanted of decisions: sets the thresholds.
    keep
        Share of the held-back images that the reject lets pass.
    study_draws
        Samples that the study of counts draws a half of the images, prevalence and number of objects.
    """
    taxonomy, held_back = trained.taxonomy, trained.held_back
    counting = Counting(taxonomy.class_taxon, build_tree(taxonomy.taxa, taxonomy.parents))
    shipped = calibrate(held_back.int8_logits, held_back.labels, counting, precision=precision, keep=keep)
    judged = cross_judge(held_back, counting, precision=precision, keep=keep)
    found = score(held_back, judged, counting)
    decisions = decision_matrix(judged, counting.taxa_of(held_back.labels), counting)
    inputs = [image for image in golden_inputs() if image.size <= GOLDEN_PIXELS]
    found.facts["classes"]["trained"] = plain(trained.training_counts)
    facts = {
        "limits": list(taxonomy.limits),
        "model_bytes": len(trained.model),
        "wanted": {"precision": precision, "keep": keep},
        "fingerprint": fingerprint((*trained.training_hashes, *trained.held_back_hashes)),
    }
    at_sea = judge(held_back.int8_logits, shipped, counting).answers
    studied = study(held_back, counting, precision=precision, keep=keep, draws=study_draws)
    facts["counts"] = as_facts(studied)
    if trained.parity:
        facts["parity"] = trained.parity
    manifest = Manifest(
        name=trained.name,
        classes=taxonomy.classes,
        taxa=taxonomy.taxa,
        class_taxon=tuple(taxonomy.class_taxon.tolist()),
        parents=taxonomy.parents,
        source_classes=dict(taxonomy.source_classes),
        preprocessing=trained.preprocessing,
        temperature=shipped.temperature,
        least_evidence=shipped.least_evidence,
        thresholds=shipped.thresholds,
        correction=_correction(held_back, counting, shipped, studied),
        reference=reference_of(at_sea, held_back.numbers, counting),
        confusion=_rows(found.confusion),
        decisions=_rows(decisions),
        scores=found.scores,
        facts=plain(dict(trained.facts), 6) | found.facts | plain(facts),
        golden_sizes=tuple((image.shape[0], image.shape[1]) for image in inputs),
        provenance=trained.provenance,
    )
    outputs = {
        kernels: golden_outputs(trained.model, inputs, trained.preprocessing, kernels)
        for kernels in GOLDEN_OUTPUTS
    }
    card = write_card(manifest)
    return pack_bundle(manifest, trained.model, inputs, outputs, trained.training_hashes, card, trained.run)


def _correction(
    held_back: HeldBack, counting: Counting, shipped: Calibration, studied: Study
) -> Correction | None:
    """How counts are corrected, fitted to all held-back images; None unless the study chose it."""
    if studied.chosen != "posterior":
        return None
    scores = judge(held_back.int8_logits, shipped, counting).answers.taxon_scores
    implied, usual = fit_implied(scores, counting.taxa_of(held_back.labels))
    return Correction(
        implied=tuple(map(float, implied)), usual=tuple(map(float, usual)), spread=studied.score_spread
    )


def golden_outputs(
    model: bytes, inputs: Sequence[NDArray[np.uint8]], spec: Preprocessing, kernels: Kernels
) -> NDArray[np.int8]:
    """Raw outputs, int8 (n, k), of a model for one view of each of n vignettes."""
    runner = Int8Model(model, kernels=kernels)
    table = input_table(runner.input_scale, runner.input_zero_point)
    return np.stack(
        [
            runner.run(
                table[prepare(image, spec)[np.newaxis]],
                table[describe(image, spec)[np.newaxis]] if runner.n_numbers else None,
            )
            for image in inputs
        ]
    )


def fingerprint(hashes: Sequence[bytes]) -> dict[str, Any]:
    """What a data set is recognised by: number of images and SHA-256 over their sorted hashes."""
    return {"images": len(hashes), "sha256": hashlib.sha256(b"".join(sorted(hashes))).hexdigest()}


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


def _rows(counts: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(count) for count in row) for row in counts)
