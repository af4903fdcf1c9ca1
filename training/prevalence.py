"""How well counts are corrected when prevalence is not the training set's: a study under drawn prevalences.

Held-back images are split by group into halves again and again. Temperature, thresholds, the prevalence that
scores imply and the matrix are fitted to one half; samples are drawn from the other. So the numbers hold for
images of other acquisitions than those the correction was fitted to. What is corrected how:
`edge.quantification`. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.inference.classifier import softmax
from edge.quantification import EstimatedCounts, correct_counts, count_from_scores, em_prevalence
from training.calibration import Counting, calibrate, judge
from training.calibration import halves as second_half
from training.count_table import (
    CORRECTIONS,
    METHODS,
    REFERENCE,
    Draws,
    Row,
    Study,
    choose_method,
    coverage_by_count,
    make_rows,
    mean_errors,
)
from training.evaluate import KEEP, Floats, HeldBack, Ints, confusion_matrix

REGIMES = ("flat", "usual", "dominated", "few")
SIZES = (20, 100)
SPLITS, DRAWS, SEED = 3, 12, 20_260
LEAST_IMAGES = 10
"""Taxa with fewer images in a half are not drawn: one image many times over is no population."""
SPREADS = (0.0, 0.15, 0.3, 0.45, 0.6, 0.8)
SPREAD_REGIMES = ("flat", "dominated")
"""Spreads are chosen where there are rare taxa and common ones."""
COVERAGE = 0.9
NEWTON_STEPS = 25
DOMINANT = 0.8
FEW = 0.1


class Fitted(NamedTuple):
    """What corrections need to know of a model.

    Attributes
    ----------
    implied, usual
        float64 (n_taxa,), from `fit_implied`.
    matrix
        int64 (n_taxa, m), images by true taxon and decision.
    """

    implied: Floats
    usual: Floats
    matrix: Ints


class _Half(NamedTuple):
    """One half of the held-back images to draw from, and what was fitted to the other."""

    fitted: Fitted
    scores: NDArray[np.float32]
    decisions: Ints
    pools: tuple[Ints, ...]
    drawn: Ints


def fit_implied(scores: NDArray[np.floating], taxa: Ints, *, ridge: float = 3.0) -> tuple[Floats, Floats]:
    """The prevalence at which scores are right, and that of the images themselves.

    A network that was trained with balanced classes, or whose logits were shifted, gives probabilities for
    some other sea than that of its images. To the log-scores of each taxon is added what makes the true taxa
    likeliest: a multiple of the logarithm of its prevalence, the same for all, and a bias of its own, both
    held to 0 by a ridge (bias-corrected calibration: Alexandari et al. 2020, arXiv 1901.06852). The
    prevalence of the images less what was added is what the scores imply.

    Parameters
    ----------
    scores, taxa
        (N, n_taxa) probabilities and int64 (N,) true taxa of held-back images.
    ridge
        Weight of the squared biases: a taxon with fewer images than this is believed little.

    Returns
    -------
    Implied and usual prevalence, float64 (n_taxa,), above 0, adding up to 1.
    """
    log_scores = np.log(np.maximum(np.asarray(scores, dtype=np.float64), 1e-12))
    n_taxa = log_scores.shape[1]
    images = np.bincount(taxa, minlength=n_taxa)
    usual = (images + 0.5) / (images + 0.5).sum()
    rarity = np.log(usual) - np.log(usual).mean()
    # What is added is `ways @ found`; one image's worth holds the multiple, which nothing else does where
    # all taxa but one without images are equally common.
    ways, held = np.column_stack([np.eye(n_taxa), rarity]), np.append(np.full(n_taxa, ridge), 1.0)
    found = np.zeros(n_taxa + 1)
    for _ in range(NEWTON_STEPS):
        shifted = softmax(log_scores + ways @ found).astype(np.float64)
        slope = ways.T @ (shifted.sum(axis=0) - images) + held * found
        curvature = ways.T @ (np.diag(shifted.sum(axis=0)) - shifted.T @ shifted) @ ways + np.diag(held)
        step = np.linalg.solve(curvature, slope)
        found -= step / max(1.0, float(np.abs(ways @ step).max()))
    implied = usual * np.exp(-ways @ found)
    return implied / implied.sum(), usual


def study(
    held_back: HeldBack,
    counting: Counting,
    *,
    precision: float,
    keep: float = KEEP,
    regimes: Sequence[str] = REGIMES,
    sizes: Sequence[int] = SIZES,
    splits: int = SPLITS,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Study:
    """Count samples drawn at many prevalences by every method.

    Regimes: `flat`, prevalence drawn from a flat Dirichlet; `usual`, that of the images; `dominated`, one
    taxon has 80 % and the others what is drawn; `few`, drawn from a Dirichlet of 0.1, so that most objects
    are of a few taxa. The reference regime is always among them.

    Methods: `highest` and `decisions`, raw counts of the taxon with the highest score and of what is sent;
    `summed` probabilities; `adjusted`, `correct_counts` of the decisions; `em`, the maximum that EM finds;
    `posterior`, `count_from_scores`.

    Parameters
    ----------
    held_back, counting
        Answers of a model to N images, and how classes become taxa.
    precision, keep
        For thresholds and reject, as `training.calibration.calibrate`.
    sizes
        Numbers of objects.
    splits, draws
        How often the groups are split into halves, and samples a half, regime and size. Spreads are chosen on
        splits of their own.

    Raises
    ------
    ValueError
        When a regime is unknown.
    """

    def crossed(numbers: range) -> list[_Half]:
        found = (_halve(held_back, counting, number, precision, keep) for number in numbers)
        return [half for pair in found for half in pair]

    halves = crossed(range(splits))
    if not halves:
        return Study(least_images=LEAST_IMAGES)
    others = crossed(range(splits, splits + (splits + 1) // 2)) or halves
    few = -(-draws // 2)  # it is chosen from all counts together: fewer samples do
    spreads = {method: _choose_spread(method, others, few, seed) for method in CORRECTIONS}
    rows: list[Row] = []
    bias_by_taxon: dict[str, tuple[float, ...]] = {}
    for regime, size in dict.fromkeys((REFERENCE, *((r, n) for r in regimes for n in sizes))):
        drawn = _draw_all(halves, regime, size, draws, seed, spreads)
        rows += make_rows(drawn, regime, size, seed)
        if (regime, size) == REFERENCE:
            for method in METHODS:
                error = mean_errors(drawn, method).mean(axis=(0, 1)) / size
                bias_by_taxon[method] = tuple(round(float(value), 5) for value in error)
    return Study(
        rows=tuple(rows),
        chosen=choose_method(rows),
        score_spread=spreads["posterior"],
        decision_spread=spreads["adjusted"],
        taxa_drawn=round(float(np.mean([len(half.drawn) for half in halves])), 1),
        least_images=LEAST_IMAGES,
        bias_by_taxon=bias_by_taxon,
        halves=len(halves),
        draws=draws,
    )


def _halve(
    held_back: HeldBack, counting: Counting, number: int, precision: float, keep: float
) -> list[_Half]:
    """Both halves of one split, each with what was fitted to the other; none where taxa are too few."""
    second = second_half([f"{number}:{group}" for group in held_back.groups])
    taxa = counting.taxa_of(held_back.labels)
    n_taxa, n_decisions = counting.tree.n_labels, len(counting.tree.counted)
    counts = [np.bincount(taxa[half], minlength=n_taxa) for half in (second, ~second)]
    drawn = np.flatnonzero(np.minimum(*counts) >= LEAST_IMAGES)
    if len(drawn) < 2:
        return []
    found = []
    for test in (second, ~second):
        fit = ~test
        calibration = calibrate(
            held_back.int8_logits[fit], held_back.labels[fit], counting, precision=precision, keep=keep
        )
        answers = judge(held_back.int8_logits, calibration, counting).answers
        scores, decisions = answers.taxon_scores, answers.decisions
        implied, usual = fit_implied(scores[fit], taxa[fit])
        matrix = confusion_matrix(taxa[fit], decisions[fit], n_taxa, n_decisions)
        pools = tuple(np.flatnonzero(test & (taxa == taxon)) for taxon in range(n_taxa))
        found.append(_Half(Fitted(implied, usual, matrix), scores, decisions, pools, drawn))
    return found


def draw_prevalence(regime: str, images: Ints, rng: np.random.Generator) -> Floats:
    """Prevalence, (t,), of taxa with the given numbers of images in a regime of `study`; or `ValueError`."""
    n = len(images)
    if regime == "flat":
        return rng.dirichlet(np.ones(n))
    if regime == "usual":
        return np.asarray(images / images.sum())
    if regime == "dominated":
        prevalence = (1 - DOMINANT) * rng.dirichlet(np.ones(n))
        prevalence[rng.integers(n)] += DOMINANT
        return prevalence
    if regime == "few":
        return rng.dirichlet(np.full(n, FEW))
    raise ValueError(f"the regime {regime!r} is unknown; there are {', '.join(REGIMES)}")


def _draw_all(
    halves: Sequence[_Half],
    regime: str,
    size: int,
    draws: int,
    seed: int,
    spreads: Mapping[str, float],
    methods: Sequence[str] = METHODS,
) -> Draws:
    """Draw samples from every half and count them by every method; spreads by method."""
    n_taxa, n_decisions = halves[0].fitted.matrix.shape
    shape = len(halves), draws
    ends = [method for method in methods if method in CORRECTIONS]
    drawn = Draws(
        np.zeros((*shape, n_taxa)),
        {name: np.zeros((*shape, n_decisions if name == "decisions" else n_taxa)) for name in methods},
        {name: np.zeros((*shape, n_taxa)) for name in ends},
        {name: np.zeros((*shape, n_taxa)) for name in ends},
        np.zeros((len(halves), 1, n_taxa), dtype=np.bool_),
    )
    for i, half in enumerate(halves):
        rng = np.random.default_rng((seed, i, size, *regime.encode()))
        images = np.array([len(half.pools[taxon]) for taxon in half.drawn])
        drawn.which[i, 0, half.drawn] = True
        for j in range(draws):
            objects = rng.multinomial(size, draw_prevalence(regime, images, rng))
            drawn.truth[i, j, half.drawn] = objects
            chosen = np.concatenate(
                [rng.choice(half.pools[taxon], n) for taxon, n in zip(half.drawn, objects, strict=True)]
            )
            for name in methods:
                counted = _count(name, half, chosen, spreads)
                if isinstance(counted, EstimatedCounts):
                    drawn.estimates[name][i, j] = counted.count
                    drawn.low[name][i, j], drawn.high[name][i, j] = counted.low, counted.high
                else:
                    drawn.estimates[name][i, j] = counted
    return drawn


def _count(
    name: str, half: _Half, chosen: Ints, spreads: Mapping[str, float]
) -> EstimatedCounts | NDArray[Any]:
    """Counts of the chosen images by one method."""
    fitted, scores = half.fitted, half.scores[chosen]
    n_taxa, n_decisions = fitted.matrix.shape
    if name == "highest":
        return np.bincount(scores.argmax(axis=1), minlength=n_taxa)
    if name == "summed":
        return np.asarray(scores.sum(axis=0, dtype=np.float64))
    if name == "em":
        return len(chosen) * em_prevalence(np.maximum(scores / fitted.implied, 1e-12))
    if name == "posterior":
        return count_from_scores(scores, fitted.implied, fitted.usual, spread=spreads[name])
    decided = np.bincount(half.decisions[chosen], minlength=n_decisions)
    if name == "decisions":
        return decided
    return correct_counts(decided, fitted.matrix, fitted.usual, spread=spreads[name])


def _choose_spread(name: str, halves: Sequence[_Half], draws: int, seed: int) -> float:
    """The smallest spread with which the method's intervals cover 90 % of the true counts.

    The mean over classes of true count, so that common taxa weigh as much as the many rare.
    """
    for spread in SPREADS:
        covered: list[float] = []
        for regime in SPREAD_REGIMES:
            drawn = _draw_all(halves, regime, REFERENCE[1], draws, seed + 1, {name: spread}, (name,))
            covered += coverage_by_count(drawn, name).values()
        if np.mean(covered) >= COVERAGE:
            return spread
    return SPREADS[-1]
