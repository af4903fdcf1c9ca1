"""How a model's held-back images look to it, by the name it gives them: where drift is measured from."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.drift import Appearance, Reference
from edge.errors import InputError
from edge.inference.bundle import Bundle, pack_bundle
from edge.inference.classifier import Answers, Classifier, answer_logits, n_numbers
from training.calibration import Counting
from training.datasets import Dataset


def reference_of(answers: Answers, numbers: NDArray[np.uint8], counting: Counting) -> Reference:
    """Reference from the answers to held-back images and their numbers, uint8 (N, n); n may be 0."""
    appearance = Appearance(len(counting.tree.counted))
    appearance.add(
        answers.decisions, numbers.reshape(len(answers.decisions), -1), answers.taxon_scores.max(axis=1)
    )
    return appearance.reference()


def with_reference(bundle: Bundle, data: Dataset, *, step: Callable[[int, int], None] | None = None) -> bytes:
    """The bundle with a reference made from those of the images that it was not trained on.

    Raises
    ------
    InputError
        When it was trained on all of them.
    """
    unseen = [i for i, one in enumerate(data.hashes) if one not in bundle.training_hashes]
    if not unseen:
        raise InputError(
            f"holds no image that {bundle.name} was not trained on",
            file=data.name,
            remedy="give other images",
        )
    classifier = Classifier(bundle)
    numbers = data.numbers[unseen][:, : n_numbers(bundle)]
    logits = np.empty((len(unseen), len(bundle.classes)))
    for row, i in enumerate(unseen):
        logits[row] = classifier.logits_of(data.images[i], data.numbers[i])
        if step is not None:
            step(row + 1, len(unseen))
    answers = answer_logits(bundle, logits, numbers)
    counting = Counting(np.array(bundle.manifest.class_taxon), bundle.tree)
    reference = reference_of(answers, numbers, counting)
    return pack_bundle(
        msgspec.structs.replace(bundle.manifest, reference=reference),
        bundle.model, bundle.golden_inputs, bundle.golden_outputs, tuple(bundle.training_hashes), bundle.card,
        bundle.run, bundle.compiled,
    )  # fmt: skip
