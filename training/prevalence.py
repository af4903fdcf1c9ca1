"""How well counts are corrected when prevalence is not the training set's: a study under drawn prevalences.

Held-back images are split by group into halves again and again. Temperature, thresholds, the prevalence that
scores imply and the matrix are fitted to one half; samples are drawn from the other. So the numbers hold for
images of other acquisitions than those the correction was fitted to. What is corrected how:
`edge.quantification`. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.quantification import EstimatedCounts, correct_counts, count_from_scores, em_prevalence
from training.calibration import Counting, calibrate, judge
from training.evaluate import KEEP, Floats, HeldBack, Ints, confusion_matrix

METHODS = ("highest", "decisions", "summed", "adjusted", "em", "posterior")
RAW = ("highest", "decisions")
"""Counts without any correction: of the taxon with the highest score, and of the decisions as they are
sent."""
REGIMES = ("flat", "usual", "dominated", "few")
SIZES = (20, 100)
REFERENCE = ("flat", 100)
"""The regime and number of objects that methods are ranked by."""
SPLITS, DRAWS, SEED = 3, 20, 20_260
LEAST_IMAGES = 10
"""Taxa with fewer images in a half are not drawn: one image many times over is no population."""
SPREADS = (0.0, 0.2, 0.35, 0.5, 0.7)
COVERAGE, LEVEL = 0.9, 0.9
WORSE = 0.01
"""A method that is further from the truth than raw counts by more than this, anywhere, is not chosen."""
COUNT_CLASSES = ((0, 0), (1, 2), (3, 9), (10, 29), (30, 10**9))
_RESAMPLED = 1000
_DOMINANT = 0.8
_FEW = 0.1


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One method in one regime with one number of objects, over all draws.

    Attributes
    ----------
    method, regime, objects
        Which.
    bray_curtis, bray_curtis_interval
        Mean Bray-Curtis distance of the counts from the truth, and its 90 % interval.
    excess, excess_interval
        By how much it exceeds that of the better raw counts on the same draws: negative is better.
    bias
        Mean over drawn taxa of the absolute mean error, as a share of all objects.
    coverage, coverage_present
        Share of drawn taxa whose true count is in the 90 % interval: all, and those with at least one object.
    coverage_by_count
        The same by true count ("1-2").
    width
        Mean width of the intervals, objects. These four are None for a method without intervals.
    """

    method: str
    regime: str
    objects: int
    bray_curtis: float
    bray_curtis_interval: tuple[float, float]
    excess: float
    excess_interval: tuple[float, float]
    bias: float
    coverage: float | None = None
    coverage_present: float | None = None
    coverage_by_count: dict[str, float] = msgspec.field(default_factory=dict)
    width: float | None = None


class Study(msgspec.Struct, frozen=True, kw_only=True):
    """What a study found; JSON-able.

    Attributes
    ----------
    rows
        Every method in every regime and number of objects; none when too few images were held back.
    chosen
        The method to send and show (`choose_method`).
    score_spread, decision_spread
        For `count_from_scores` and `correct_counts`.
    taxa_drawn
        How many taxa had images enough to be drawn, on average over the halves.
    bias_by_taxon
        Mean signed error of each taxon as a share of all objects, by method, in the reference regime.
    splits, draws
        Halves that were fitted to, and samples drawn for each of them in each regime.
    """

    rows: tuple[Row, ...]
    chosen: str
    score_spread: float
    decision_spread: float
    taxa_drawn: float
    bias_by_taxon: dict[str, tuple[float, ...]]
    splits: int
    draws: int

    def row(self, method: str, regime: str, objects: int) -> Row:
        """The row of a method; raises `KeyError` when it is not there."""
        for row in self.rows:
            if (row.method, row.regime, row.objects) == (method, regime, objects):
                return row
        raise KeyError((method, regime, objects))


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


class _Draws(NamedTuple):
    """Truth and estimates of all draws of one regime: (halves, draws, taxa or decisions)."""

    truth: Floats
    estimates: dict[str, Floats]
    low: dict[str, Floats]
    high: dict[str, Floats]


def fit_implied(scores: NDArray[np.floating], taxa: Ints, *, ridge: float = 1.0) -> tuple[Floats, Floats]:
    """The prevalence at which scores are right, and that of the images themselves.

    A network that was trained with balanced classes, or whose logits were shifted, gives probabilities for
    some other sea than that of its images. A bias a taxon is added to the log-scores so that they
    add up to the number of images of each taxon (bias-corrected calibration, Alexandari et al. 2020, arXiv
    1901.06852), held
    to 0 by a ridge where images are few; the prevalence of the images, less that bias, is what is implied.

    Parameters
    ----------
    scores, taxa
        (N, n_taxa) probabilities and int64 (N,) true taxa of held-back images.
    ridge
        Weight of the squared bias.

    Returns
    -------
    Implied and usual prevalence, float64 (n_taxa,), above 0, adding up to 1.
    """
    probability = np.maximum(np.asarray(scores, dtype=np.float64), 1e-12)
    n_taxa = probability.shape[1]
    images = np.bincount(taxa, minlength=n_taxa)
    bias = np.zeros(n_taxa)
    for _ in range(100):
        shifted = probability * np.exp(bias)
        shifted /= shifted.sum(axis=1, keepdims=True)
        slope = shifted.sum(axis=0) - images + ridge * bias
        # The diagonal of the Hessian, and a damped step: it leaves out that the taxa depend on one another.
        bias -= 0.7 * slope / ((shifted * (1 - shifted)).sum(axis=0) + ridge)
    usual = (images + 0.5) / (images + 0.5).sum()
    implied = usual * np.exp(-bias)
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

    Regimes: `flat`, prevalence drawn from a flat Dirichlet; `usual`, that of the images;
    `dominated`, one taxon
    has 80 %; `few`, drawn from a Dirichlet of 0.1, so that most objects are of a few taxa. The reference
    regime is always among them.

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
    """

    def crossed(numbers: range) -> list[_Half]:
        found = (_halve(held_back, counting, number, precision, keep) for number in numbers)
        return [half for pair in found for half in pair]

    halves = crossed(range(splits))
    if not halves:
        return Study(
            rows=(), chosen=RAW[0],
            score_spread=0, decision_spread=0, taxa_drawn=0, bias_by_taxon={}, splits=0,
            draws=0,
        )  # fmt: skip
    others = crossed(range(splits, splits + max(1, splits // 2))) or halves
    spreads = tuple(_choose_spread(method, others, draws, seed) for method in ("adjusted", "posterior"))
    cells = [(regime, size) for regime in regimes for size in sizes]
    rows: list[Row] = []
    bias_by_taxon: dict[str, tuple[float, ...]] = {}
    for regime, size in dict.fromkeys((REFERENCE, *cells)):
        drawn = _draw_all(halves, regime, size, draws, seed, METHODS, spreads)
        rows += _rows(drawn, halves, regime, size, seed)
        if (regime, size) == REFERENCE:
            n_taxa = drawn.truth.shape[2]
            for method, estimate in drawn.estimates.items():
                error = (estimate[:, :, :n_taxa] - drawn.truth).mean(axis=(0, 1)) / size
                bias_by_taxon[method] = tuple(round(float(value), 5) for value in error)
    return Study(
        rows=tuple(rows),
        chosen=choose_method(rows),
        score_spread=spreads[1],
        decision_spread=spreads[0],
        taxa_drawn=float(np.mean([len(half.drawn) for half in halves])),
        bias_by_taxon=bias_by_taxon,
        splits=len(halves),
        draws=draws,
    )


def choose_method(rows: Sequence[Row]) -> str:
    """The method to send and show.

    Of the corrections that come with intervals (`posterior` from scores, `adjusted` from
    decisions) the one with
    the lowest mean Bray-Curtis distance in the reference regime, provided that in every regime and number of
    objects its distance exceeds that of the better raw counts by no more than 0.01 and not
    measurably (the 90 %
    interval of the excess, on the same draws, reaches 0). If neither passes, raw counts: `highest`.
    """
    passing = []
    for method in ("posterior", "adjusted"):
        mine = [row for row in rows if row.method == method]
        reference = [row for row in mine if (row.regime, row.objects) == REFERENCE]
        harmless = all(row.excess <= WORSE and row.excess_interval[0] <= 0 for row in mine)
        if reference and harmless and reference[0].excess_interval[1] < 0:
            passing.append((reference[0].bray_curtis, method))
    return min(passing)[1] if passing else RAW[0]


def as_facts(found: Study) -> dict[str, Any]:
    """A table by method for the model card, and sentences beside it."""
    if not found.rows:
        return {"method": "Too few images were held back to measure a correction of the counts."}
    cells = list(dict.fromkeys((row.regime, row.objects) for row in found.rows))
    table: dict[str, Any] = {}
    for method in METHODS:
        row = found.row(method, *REFERENCE)
        columns: dict[str, Any] = {
            f"{regime}, {objects}": found.row(method, regime, objects).bray_curtis
            for regime, objects in cells
        }
        columns["bias"] = row.bias
        if row.coverage is not None:
            columns |= {"in the 90 % interval": row.coverage, "width of it": row.width}
        table[method] = columns
    regime, objects = REFERENCE
    return {
        **table,
        "chosen": found.chosen,
        "method": "Mean Bray-Curtis distance of counts from the truth by regime and number of objects (0 is "
        f"best); bias, interval and its width in objects with {regime} prevalence and {objects} objects. "
        "Corrections were fitted to one half of the held-back acquisitions and measured on the other, "
        f"{found.splits} times with {found.draws} samples each; "
        f"taxa with fewer than {LEAST_IMAGES} images in a "
        f"half were not drawn ({found.taxa_drawn:.0f} were).",
    }


def _halve(
    held_back: HeldBack, counting: Counting, number: int, precision: float, keep: float
) -> list[_Half]:
    """Both halves of one split, each with what was fitted to the other; none where taxa to draw are
    lacking."""
    second_of = {
        group: hashlib.sha256(f"{number}:{group}".encode()).digest()[-1] % 2 == 1
        for group in set(held_back.groups)
    }
    second = np.array([second_of[group] for group in held_back.groups], dtype=np.bool_)
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
    """Prevalence of taxa with the given numbers of images, (t,), in a regime of `study`; raises
    `ValueError`."""
    n = len(images)
    if regime == "flat":
        return rng.dirichlet(np.ones(n))
    if regime == "usual":
        return np.asarray(images / images.sum())
    if regime == "dominated":
        prevalence = (1 - _DOMINANT) * rng.dirichlet(np.ones(n))
        prevalence[rng.integers(n)] += _DOMINANT
        return prevalence
    if regime == "few":
        return rng.dirichlet(np.full(n, _FEW))
    raise ValueError(f"the regime {regime!r} is unknown")


def _draw_all(
    halves: Sequence[_Half],
    regime: str,
    size: int,
    draws: int,
    seed: int,
    methods: Sequence[str],
    spreads: Sequence[float],
) -> _Draws:
    """Draw from every half and count by every method; `spreads` of decisions and of scores."""
    n_taxa, n_decisions = halves[0].fitted.matrix.shape
    shape = len(halves), draws
    truth = np.zeros((*shape, n_taxa))
    estimates = {
        method: np.zeros((*shape, n_decisions if method == "decisions" else n_taxa)) for method in methods
    }
    low = {method: np.zeros((*shape, n_taxa)) for method in methods if method in ("adjusted", "posterior")}
    high = {method: np.zeros_like(values) for method, values in low.items()}
    for i, half in enumerate(halves):
        rng = np.random.default_rng((seed, i, REGIMES.index(regime), size))
        images = np.array([len(half.pools[taxon]) for taxon in half.drawn])
        for j in range(draws):
            objects = rng.multinomial(size, draw_prevalence(regime, images, rng))
            truth[i, j, half.drawn] = objects
            chosen = np.concatenate(
                [rng.choice(half.pools[taxon], n) for taxon, n in zip(half.drawn, objects, strict=True)]
            )
            for method in methods:
                counted = _count(method, half, chosen, spreads)
                if isinstance(counted, EstimatedCounts):
                    estimates[method][i, j] = counted.count
                    low[method][i, j], high[method][i, j] = counted.low, counted.high
                else:
                    estimates[method][i, j] = counted
    return _Draws(truth, estimates, low, high)


def _count(
    method: str, half: _Half, chosen: Ints, spreads: Sequence[float]
) -> EstimatedCounts | NDArray[Any]:
    """Counts of the chosen images by one method."""
    fitted, scores = half.fitted, half.scores[chosen]
    n_taxa, n_decisions = fitted.matrix.shape
    if method == "highest":
        return np.asarray(np.bincount(scores.argmax(axis=1), minlength=n_taxa))
    if method == "summed":
        return np.asarray(scores.sum(axis=0, dtype=np.float64))
    if method == "em":
        return np.asarray(len(chosen) * em_prevalence(np.maximum(scores / fitted.implied, 1e-12)))
    if method == "posterior":
        return count_from_scores(scores, fitted.implied, fitted.usual, spread=spreads[1])
    decided = np.bincount(half.decisions[chosen], minlength=n_decisions)
    if method == "decisions":
        return decided
    return correct_counts(decided, fitted.matrix, fitted.usual, spread=spreads[0])


def _choose_spread(method: str, halves: Sequence[_Half], draws: int, seed: int) -> float:
    """The smallest spread with which intervals cover 90 % of the true counts in the reference regime."""
    for spread in SPREADS:
        drawn = _draw_all(halves, *REFERENCE, draws, seed + 1, (method,), (spread, spread))
        inside = (drawn.low[method] <= drawn.truth) & (drawn.truth <= drawn.high[method])
        if np.mean([inside[i][:, half.drawn].mean() for i, half in enumerate(halves)]) >= COVERAGE:
            return spread
    return SPREADS[-1]


def _rows(drawn: _Draws, halves: Sequence[_Half], regime: str, size: int, seed: int) -> list[Row]:
    """Every method's row of one regime and number of objects."""
    distance = {
        method: _distance(estimate, drawn.truth, size) for method, estimate in drawn.estimates.items()
    }
    raw = min((float(distance[method].mean()), method) for method in RAW if method in distance)[1]
    n_taxa = drawn.truth.shape[2]
    which = np.zeros((len(halves), 1, n_taxa), dtype=np.bool_)
    for i, half in enumerate(halves):
        which[i, 0, half.drawn] = True
    found = []
    for method, estimate in drawn.estimates.items():
        error = (estimate[:, :, :n_taxa] - drawn.truth).mean(axis=1) / size
        excess = distance[method] - distance[raw]
        more: Mapping[str, Any] = {}
        if method in drawn.low:
            more = _coverage(drawn.truth, drawn.low[method], drawn.high[method], which)
        found.append(
            Row(
                method=method,
                regime=regime,
                objects=size,
                bray_curtis=round(float(distance[method].mean()), 4),
                bray_curtis_interval=_interval(distance[method], seed),
                excess=round(float(excess.mean()), 4),
                excess_interval=_interval(excess, seed),
                bias=round(float(np.abs(error)[which[:, 0]].mean()), 5),
                **more,
            )
        )
    return found


def _distance(estimate: Floats, truth: Floats, size: int) -> Floats:
    """Bray-Curtis distance of each draw, (halves, draws); parents and `unclassified` are right when empty."""
    padded = np.zeros_like(estimate)
    padded[:, :, : truth.shape[2]] = truth
    return np.asarray(np.abs(estimate - padded).sum(axis=2) / (2 * size))


def _coverage(truth: Floats, low: Floats, high: Floats, which: NDArray[np.bool_]) -> dict[str, Any]:
    """Coverage and width of intervals of the drawn taxa, bool (halves, 1, n_taxa)."""
    inside = (low <= truth) & (truth <= high)
    drawn = np.broadcast_to(which, truth.shape)
    by_count = {}
    for least, most in COUNT_CLASSES:
        there = drawn & (truth >= least) & (truth <= most)
        name = (
            str(least) if least == most else f"{least}-{most}" if most < COUNT_CLASSES[-1][1] else f"{least}+"
        )
        if there.any():
            by_count[name] = round(float(inside[there].mean()), 3)
    return {
        "coverage": round(float(inside[drawn].mean()), 4),
        "coverage_present": round(float(inside[drawn & (truth > 0)].mean()), 4),
        "coverage_by_count": by_count,
        "width": round(float((high - low)[drawn].mean()), 3),
    }


def _interval(values: Floats, seed: int) -> tuple[float, float]:
    """90 % interval of the mean of (halves, draws): draws halves, then samples within them, again and again.

    Cluster bootstrap (Davison and Hinkley 1997, Bootstrap Methods and their Application, section
    3.8): samples from one half share what was fitted to the other.
    """
    rng = np.random.default_rng(seed)
    halves, draws = values.shape
    rows = rng.integers(halves, size=(_RESAMPLED, halves, 1))
    means = values[rows, rng.integers(draws, size=(_RESAMPLED, halves, draws))].mean(axis=(1, 2))
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return round(float(low), 4), round(float(high), 4)
