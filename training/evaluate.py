"""How good a model is on images it has not seen; from that its temperature and thresholds. NumPy alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.inference.classifier import softmax
from edge.taxonomy import TaxonTree

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MIN_ANSWERS = 10
"""A taxon answered less often on held-back images gets the threshold of all taxa together."""
HIGHEST_THRESHOLD = 0.9
"""Where no threshold gives the wanted precision, answers surer than this still stand."""


def confusion_matrix(truth: Ints, answers: Ints, n_rows: int, n_columns: int) -> Ints:
    """Counts, int64 (n_rows, n_columns), by true label and by answer."""
    return np.bincount(truth * n_columns + answers, minlength=n_rows * n_columns).reshape(n_rows, n_columns)


def summarize(confusion: Ints) -> dict[str, float]:
    """Accuracy, balanced accuracy and macro-F1 of a (k, k) confusion matrix; the latter over classes that
    occur.

    Balanced accuracy is the mean recall, macro-F1 the mean of 2 TP / (true + answered).
    """
    hits, true, answered = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    there = true > 0
    f1 = 2 * hits[there] / (true[there] + answered[there])
    return {
        "accuracy": float(hits.sum() / max(1, true.sum())),
        "balanced_accuracy": float(np.mean(hits[there] / true[there])),
        "macro_f1": float(np.mean(f1)),
    }


def score_logits(logits: NDArray[np.floating], labels: Ints) -> dict[str, float]:
    """`summarize` of the highest logits, (n, k), against labels (n,)."""
    k = logits.shape[1]
    return summarize(confusion_matrix(labels, logits.argmax(axis=1), k, k))


def fit_temperature(logits: Floats, labels: Ints) -> float:
    """Temperature with the lowest mean negative log-likelihood (Guo et al. 2017, arXiv 1706.04599).

    Golden-section search over its logarithm; logits (n, k), labels (n,).
    """
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        highest = scaled.max(axis=1)
        total = highest + np.log(np.exp(scaled - highest[:, np.newaxis]).sum(axis=1))
        return float(np.mean(total - scaled[rows, labels]))

    low, high = math.log(0.05), math.log(20.0)
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    loss_left, loss_right = loss(left), loss(right)
    while high - low > 1e-4:
        if loss_left <= loss_right:
            high, right, loss_right = right, left, loss_left
            left = high - ratio * (high - low)
            loss_left = loss(left)
        else:
            low, left, loss_left = left, right, loss_right
            right = low + ratio * (high - low)
            loss_right = loss(right)
    return round(math.exp((low + high) / 2), 4)


def calibration_error(scores: NDArray[np.floating], labels: Ints, n_bins: int = 15) -> float:
    """Expected calibration error of probabilities (n, k): mean |accuracy - score| over equal bins."""
    score, right = scores.max(axis=1), scores.argmax(axis=1) == labels
    where = np.minimum((score * n_bins).astype(np.int64), n_bins - 1)
    gap = np.bincount(where, right.astype(np.float64) - score, minlength=n_bins)
    return float(np.abs(gap).sum() / len(labels))


def choose_thresholds(
    scores: NDArray[np.floating], labels: Ints, tree: TaxonTree, precision: float
) -> tuple[float, ...]:
    """Threshold of every counted taxon but `unclassified` for a wanted precision.

    For each taxon, of the images whose best label is it or lies below it, the lowest probability from which
    on the precision reaches what is wanted, with one success and one failure added (Laplace) so that a few
    lucky answers prove nothing. Never above `HIGHEST_THRESHOLD`.

    Parameters
    ----------
    scores, labels
        (n, k) probabilities and (n,) labels of held-back images.
    tree
        Of the bundle.
    precision
        Wanted, 0 to 1.
    """
    best = scores.argmax(axis=1)
    every = _threshold(scores.max(axis=1), best == labels, precision)
    thresholds = []
    for taxon in range(len(tree.counted) - 1):
        below = tree.members[:, taxon] > 0
        answered = below[best]
        if answered.sum() < MIN_ANSWERS:
            thresholds.append(every)
            continue
        probability = scores[answered] @ tree.members[:, taxon]
        thresholds.append(_threshold(probability, below[labels[answered]], precision))
    return tuple(thresholds)


def _threshold(probability: NDArray[np.floating], right: NDArray[np.bool_], precision: float) -> float:
    """Lowest probability with enough precision at and above it, rounded down to a thousandth."""
    order = np.argsort(-probability, kind="stable")
    hits = np.cumsum(right[order])
    good = (hits + 1) / (np.arange(1, len(order) + 1) + 2) >= precision
    if not good.any():
        return HIGHEST_THRESHOLD
    last = int(np.flatnonzero(good)[-1])
    if last == len(order) - 1:
        return 0.0
    return min(math.floor(1000 * float(probability[order[last]])) / 1000, HIGHEST_THRESHOLD)


def class_table(confusion: Ints, labels: Sequence[str], training_counts: Ints) -> str:
    """Markdown table: class, training images, held-back images, recall and precision."""
    rows = ["| class | trained on | held back | recall | precision |", "|---|---:|---:|---:|---:|"]
    hits, true, answered = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    for i, label in enumerate(labels):
        recall = f"{hits[i] / true[i]:.2f}" if true[i] else "-"
        right = f"{hits[i] / answered[i]:.2f}" if answered[i] else "-"
        rows.append(f"| {label} | {training_counts[i]} | {true[i]} | {recall} | {right} |")
    return "\n".join(rows)


def probabilities(logits: NDArray[np.floating], temperature: float) -> NDArray[np.float32]:
    """Calibrated probabilities of logits, float32 (n, k)."""
    return softmax(np.asarray(logits, dtype=np.float64) / temperature)
