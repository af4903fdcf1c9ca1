"""Temperature, thresholds and reject, fitted to one half of the held-back part and measured on the other.

What ships is fitted to all of it; what is reported is pooled from both halves, so that it does not flatter.
Halves are of groups: images of one acquisition are alike. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.inference.bundle import sum_classes
from edge.inference.classifier import Answers, evidence
from edge.taxonomy import TaxonTree
from training.evaluate import (
    KEEP,
    Floats,
    HeldBack,
    Ints,
    choose_least_evidence,
    choose_thresholds,
    confusion_matrix,
    fit_temperature,
    probabilities,
    summarize,
)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What turns logits into decisions.

    Attributes
    ----------
    temperature, thresholds, least_evidence
        As in `edge.inference.bundle.Manifest`.
    """

    temperature: float
    thresholds: tuple[float, ...]
    least_evidence: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Counting:
    """How classes become counted taxa.

    Attributes
    ----------
    class_taxon
        Taxon of each class, (k,).
    tree
        Of the taxa.
    """

    class_taxon: Sequence[int] | Ints
    tree: TaxonTree

    def taxa_of(self, labels: Ints) -> Ints:
        """Taxon of each class label, int64 (N,)."""
        return np.asarray(self.class_taxon, dtype=np.int64)[labels]

    def taxon_scores(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of the taxa, float32 (N, n), from those of the classes, (N, k)."""
        return sum_classes(scores, [int(taxon) for taxon in self.class_taxon], self.tree.n_labels)

    @property
    def unclassified(self) -> int:
        """Index of `unclassified` among the counted taxa."""
        return len(self.tree.counted) - 1


class Judged(NamedTuple):
    """Answers to N images, and which were rejected.

    Attributes
    ----------
    answers
        Scores, evidence and decisions.
    rejected
        bool (N,): too little evidence.
    crossed
        Whether nothing was fitted to the images it was measured on.
    """

    answers: Answers
    rejected: NDArray[np.bool_]
    crossed: bool


def calibrate(
    logits: Floats, labels: Ints, counting: Counting, *, precision: float, keep: float = KEEP
) -> Calibration:
    """Fit temperature, thresholds for a wanted precision of decisions, and the reject.

    Parameters
    ----------
    logits, labels
        float64 (N, k) and int64 (N,).
    precision
        Wanted, 0 to 1.
    keep
        Share of the images that the reject lets pass.
    """
    temperature = fit_temperature(logits, labels)
    taxa = counting.taxon_scores(probabilities(logits, temperature))
    thresholds = choose_thresholds(taxa, counting.taxa_of(labels), counting.tree, precision)
    return Calibration(temperature, thresholds, choose_least_evidence(evidence(logits, temperature), keep))


def judge(logits: Floats, calibration: Calibration, counting: Counting) -> Judged:
    """What a bundle with this calibration makes of logits, float64 (N, k)."""
    scores = probabilities(logits, calibration.temperature)
    taxa = counting.taxon_scores(scores)
    seen = evidence(logits, calibration.temperature)
    least = -np.inf if calibration.least_evidence is None else calibration.least_evidence
    rejected = ~(seen >= least)
    decisions = counting.tree.decide(taxa, calibration.thresholds)
    decisions[rejected] = counting.unclassified
    return Judged(Answers(scores, taxa, seen, decisions), rejected, crossed=False)


def halves(groups: Sequence[str]) -> NDArray[np.bool_]:
    """Which half each image is in, bool (N,), by the SHA-256 of its group: the same for every model."""
    second = {group: hashlib.sha256(group.encode()).digest()[-1] % 2 == 1 for group in set(groups)}
    return np.array([second[group] for group in groups], dtype=np.bool_)


def cross_judge(held_back: HeldBack, counting: Counting, *, precision: float, keep: float = KEEP) -> Judged:
    """Answers to every held-back image with what was fitted to the half that it is not in.

    Where all groups are in one half, fit and measure on the same images; `crossed` then is false.
    """
    logits, labels, second = held_back.int8_logits, held_back.labels, halves(held_back.groups)
    if second.all() or not second.any():
        return judge(logits, calibrate(logits, labels, counting, precision=precision, keep=keep), counting)
    order = np.concatenate([np.flatnonzero(second), np.flatnonzero(~second)])
    parts = []
    for half in (second, ~second):
        fitted = calibrate(logits[~half], labels[~half], counting, precision=precision, keep=keep)
        parts.append(judge(logits[half], fitted, counting))
    back = np.argsort(order)
    answers = Answers(
        np.concatenate([part.answers.scores for part in parts])[back],
        np.concatenate([part.answers.taxon_scores for part in parts])[back],
        np.concatenate([part.answers.evidence for part in parts])[back],
        np.concatenate([part.answers.decisions for part in parts])[back],
    )
    return Judged(answers, np.concatenate([part.rejected for part in parts])[back], crossed=True)


def decision_scores(judged: Judged, taxa: Ints, counting: Counting) -> dict[str, float]:
    """How good the answers are as taxa.

    Accuracy and balanced accuracy of the taxon with the highest score; of the decisions the share that is
    `unclassified`, the share rejected for lack of evidence (part of the former), and the share of the others
    that is right, as the taxon itself or a parent of it.

    Parameters
    ----------
    taxa
        True taxa, int64 (N,), N at least 1.
    """
    answers, n = judged.answers, counting.tree.n_labels
    best = summarize(confusion_matrix(taxa, answers.taxon_scores.argmax(axis=1), n, n))
    named = answers.decisions != counting.unclassified
    right = counting.tree.members[taxa[named], answers.decisions[named]]
    return {
        "taxon_accuracy": best["accuracy"],
        "taxon_balanced_accuracy": best["balanced_accuracy"],
        "unclassified": float(1 - named.mean()),
        "rejected": float(judged.rejected.mean()),
        "decided_precision": float(right.mean()) if named.any() else 0.0,
    }
