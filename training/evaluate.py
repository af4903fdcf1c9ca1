"""How good a model is on images it has not seen, and what is fitted to them. NumPy alone.

Temperature, thresholds and reject must not be measured on what they were fitted to: `training.calibration`
crosses the two halves of the held-back part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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
KEEP = 0.98
"""Share of the held-back images that the reject lets pass."""
N_BINS = 15
"""Bins of a calibration error and of a reliability diagram."""
COUNTED_OBJECTS, PREVALENCES, PREVALENCE_SEED = 100, 200, 20_260


@dataclass(frozen=True, slots=True, eq=False)
class HeldBack:
    """What a model and the network it was made from say of images that trained neither.

    Attributes
    ----------
    int8_logits, float_logits
        float64 (N, k); the latter None where there is no float network.
    labels
        int64 (N,), true class.
    groups
        Acquisition of each image, or its file name where that is not known: N names. Images of one group are
        alike, so groups are what intervals resample.
    numbers
        uint8 (N, N_NUMBERS), what the model took beside the images; (N, 0) for one that takes nothing.
    """

    int8_logits: Floats
    float_logits: Floats | None
    labels: Ints
    groups: tuple[str, ...]
    numbers: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.uint8))

    @property
    def n_classes(self) -> int:
        """Number of classes, k."""
        return int(self.int8_logits.shape[1])

    def __len__(self) -> int:
        """Number of images, N."""
        return len(self.labels)


def confusion_matrix(truth: Ints, answers: Ints, n_rows: int, n_columns: int) -> Ints:
    """Counts, int64 (n_rows, n_columns), by true label and by answer."""
    return np.bincount(truth * n_columns + answers, minlength=n_rows * n_columns).reshape(n_rows, n_columns)


def summarize(confusion: Ints) -> dict[str, float]:
    """Accuracy, balanced accuracy, macro-F1 and mean precision of a (k, k) confusion matrix.

    All but accuracy are means over the classes that occur: of recall, of 2 TP / (true + answered), and of
    precision, which is 0 for a class that is never answered. Without any image all are 0.
    """
    hits, true, answered = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    there = true > 0
    n = max(1, int(there.sum()))
    hits, each, said = hits[there], true[there], answered[there]
    return {
        "accuracy": float(hits.sum() / max(1, true.sum())),
        "balanced_accuracy": float((hits / each).sum() / n),
        "macro_f1": float((2 * hits / (each + said)).sum() / n),
        "mean_precision": float((hits / np.maximum(said, 1)).sum() / n),
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


def reliability(scores: NDArray[np.floating], labels: Ints) -> tuple[Ints, Floats, Floats]:
    """Images, mean highest score and share of right answers in each of `N_BINS` equal bins of that score.

    Parameters
    ----------
    scores, labels
        (N, k) probabilities and (N,) labels.

    Returns
    -------
    int64, float64 and float64 (N_BINS,); 0 in a bin without images.
    """
    score, right = scores.max(axis=1).astype(np.float64), scores.argmax(axis=1) == labels
    where = np.minimum((score * N_BINS).astype(np.int64), N_BINS - 1)
    n = np.bincount(where, minlength=N_BINS)
    shares = [np.bincount(where, values, N_BINS) / np.maximum(n, 1) for values in (score, right)]
    return n, shares[0], shares[1]


def calibration_error(scores: NDArray[np.floating], labels: Ints) -> float:
    """Expected calibration error of probabilities (N, k): mean |right - score| over the bins.

    Naeini et al. 2015 (AAAI 29), by the number of images in each of `reliability`'s bins.
    """
    n, score, right = reliability(scores, labels)
    return float((n * np.abs(right - score)).sum() / max(1, n.sum()))


def bray_curtis(labels: Ints, answers: Ints, seed: int = PREVALENCE_SEED) -> float:
    """Mean Bray-Curtis distance of counts from the truth, where the classes are as common as chance has it.

    Each of 200 samples has 100 objects at prevalences drawn from a flat Dirichlet over the classes that have
    images; an object is an image of its class, drawn with replacement, and is counted as it was answered.

    Parameters
    ----------
    labels, answers
        int64 (N,).
    """
    if len(labels) == 0:
        return 0.0
    rng = np.random.default_rng(seed)
    classes, n = np.unique(labels, return_counts=True)
    prevalence = rng.dirichlet(np.ones(len(classes)), PREVALENCES)
    true = rng.multinomial(COUNTED_OBJECTS, prevalence)  # (samples, classes)
    chosen = np.repeat(np.tile(np.arange(len(classes)), PREVALENCES), true.ravel())
    first = np.concatenate([[0], np.cumsum(n)[:-1]])
    images = first[chosen] + (rng.random(chosen.size) * n[chosen]).astype(np.int64)
    counted = answers[np.argsort(labels, kind="stable")[images]]
    k = int(max(labels.max(), answers.max())) + 1
    sample = np.repeat(np.arange(PREVALENCES), COUNTED_OBJECTS)
    both = [confusion_matrix(sample, names, PREVALENCES, k) for names in (classes[chosen], counted)]
    return float(np.abs(both[0] - both[1]).sum(axis=1).mean() / (2 * COUNTED_OBJECTS))


def auroc(known: NDArray[np.floating], unknown: NDArray[np.floating]) -> float:
    """Chance that a known image has more evidence than an unknown one, ties counted as half (Mann-Whitney).

    Parameters
    ----------
    known, unknown
        Evidence, (n,) and (m,), at least one each.
    """
    ordered = np.sort(unknown)
    below = np.searchsorted(ordered, known, "left") + np.searchsorted(ordered, known, "right")
    return float(below.sum() / (2 * len(known) * len(unknown)))


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
        (N, n) probabilities of the taxa and (N,) taxa of held-back images.
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


def choose_least_evidence(evidence: NDArray[np.floating], keep: float = KEEP) -> float:
    """Evidence that a share `keep` of the held-back images reaches, rounded down to four digits.

    Parameters
    ----------
    evidence
        (N,), from `edge.inference.classifier.evidence`.
    """
    return math.floor(1e4 * float(np.quantile(evidence, 1 - keep, method="lower"))) / 1e4


def probabilities(logits: NDArray[np.floating], temperature: float) -> NDArray[np.float32]:
    """Calibrated probabilities of logits, float32 (n, k)."""
    return softmax(np.asarray(logits, dtype=np.float64) / temperature)


def plain(value: Any, digits: int = 4) -> Any:
    """Numbers, however nested, for JSON: rounded, NumPy's as Python's own, None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(item, digits) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist(), digits)
    if isinstance(value, list | tuple):
        return [plain(item, digits) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item(), digits)
    if isinstance(value, float):
        return round(value, digits) if math.isfinite(value) else None
    return value
