"""Counts by taxon corrected for what the classifier confuses, each with a 90 % interval. Pure, NumPy alone.

Prevalence at sea is not that of the training set, so counting answers is biased. Two corrections, both
Bayesian: from every score (`count_from_scores`, which the board uses at the end of a dive) and from decision
counts alone (`correct_counts`, measured to be worse than raw counts with weak classifiers: only the study of
a bundle uses it). Both rest on one sampler and answer for the taxa of the model; parents and `unclassified`
get nothing. Of many objects a sample is looked at, and the intervals hold what that leaves open. Not here:
what is fitted to held-back images (`training.prevalence`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LEVEL = 0.9
"""Chance that an interval is meant to hold the true count."""
SEED = 20_260
CHAINS, WARM_UP, KEPT, APART = 40, 25, 4, 3
"""Chains side by side; steps before the first sample; samples a chain; steps between two."""
SHAKES, SHAKEN_STEPS = 3, 10
"""How often each chain's likelihood is shaken for the interval, and the steps it is given to settle."""
EVEN = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Prior objects a taxon where all taxa are alike: from few taxa in the water to all of them."""
USUAL = (30.0, 100.0, 300.0, 1000.0)
"""Prior objects altogether where taxa are as common as they usually are."""
USUAL_ODDS = 4.0
"""How much likelier usual water is than any other, before anything is seen."""
_KEPT_SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_STRENGTHS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
LIMIT = 3000
"""Most objects whose scores are looked at: of more, so many are drawn."""
_BLOCK = 512
"""Objects at a time: the arrays of a block stay in the cache."""


@dataclass(frozen=True, slots=True, eq=False)
class EstimatedCounts:
    """Corrected counts of N objects.

    Attributes
    ----------
    count
        int64 (n_taxa,), adding up to N: of all such counts the one with the least expected Bray-Curtis
        distance.
    low, high
        int64 (n_taxa,): ends of the 90 % interval of each count; `count` lies within.
    """

    count: Ints
    low: Ints
    high: Ints


class Rows(Protocol):
    """Rows that need not all be in memory: so many, and those of some numbers, rising, as an array."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: Ints, /) -> NDArray[np.floating]: ...


def count_from_scores(
    scores: NDArray[np.floating] | Rows,
    implied: Floats,
    usual: Floats,
    *,
    spread: float = 0.0,
    seed: int = SEED,
) -> EstimatedCounts:
    """Counts by taxon from every score: the posterior of what EM finds the maximum of.

    Scores are turned into likelihoods by dividing by the prevalence they imply (Saerens et al. 2002, Neural
    Computation 14, 21), and prevalence is drawn with the counts by Gibbs sampling. With few objects the
    maximum itself collapses onto a few taxa; the posterior does not.

    Of more than `LIMIT` objects so many are drawn without replacement; with every sample of their counts the
    others are drawn from the prevalence that comes with it. Counts still add up to N, time and memory hardly
    grow with N, and intervals hold the error of the drawing too: plus or minus 1.5 % of N at most.

    Parameters
    ----------
    scores
        (N, n_taxa) calibrated probabilities.
    implied
        (n_taxa,) prevalence at which the scores are right, all above 0 (`training.prevalence.fit_implied`).
    usual
        (n_taxa,) prevalence of usual water, all above 0: that of the held-back images.
    spread
        By how much (a standard deviation, in natural logarithms) the odds of a taxon's scores are off in
        one piece of water or another: it widens the intervals.
    seed
        Of the sampling: the same scores give the same counts.
    """
    rng = np.random.default_rng(seed)
    n = len(scores)
    rest = max(0, n - LIMIT)
    looked_at = scores[np.sort(rng.choice(n, LIMIT, replace=False)) if rest else np.arange(n)]
    likelihood = _safe(np.asarray(looked_at, dtype=np.float64) / implied)
    return _sample(likelihood, np.ones(len(likelihood), dtype=np.int64), usual, spread, rng, rest)


def correct_counts(
    decision_counts: Ints,
    matrix: NDArray[np.integer] | Floats,
    usual: Floats,
    *,
    spread: float = 0.0,
    seed: int = SEED,
) -> EstimatedCounts:
    """Counts by taxon from counts of decisions.

    Each chain has a matrix of its own, drawn from what the held-back counts leave open (`shrink_rows`), so
    that intervals hold its uncertainty.

    Parameters
    ----------
    decision_counts
        int64 (m,) objects by decision: the taxa, parents, `unclassified` last.
    matrix
        (n_taxa, m) held-back images by true taxon and by decision, in the same order.
    usual, spread, seed
        As for `count_from_scores`.
    """
    rng = np.random.default_rng(seed)
    seen = np.flatnonzero(decision_counts)
    rows = shrink_rows(matrix) + np.asarray(matrix, dtype=np.float64)
    chances = _dirichlet(np.broadcast_to(rows, (CHAINS, *rows.shape)), rng)[:, :, seen]
    likelihood = np.ascontiguousarray(chances.transpose(0, 2, 1))
    return _sample(likelihood, np.asarray(decision_counts, dtype=np.int64)[seen], usual, spread, rng)


def em_prevalence(likelihood: Floats, *, pseudo_count: float = 0.0, steps: int = 200) -> Floats:
    """Prevalence with the highest likelihood, by expectation-maximisation (Saerens et al. 2002).

    Parameters
    ----------
    likelihood
        (N, n_taxa) of each object under each taxon, up to a factor a row; N at least 1.
    pseudo_count
        Objects added to each taxon: above 0 no taxon dies out.
    steps
        Iterations.

    Returns
    -------
    float64 (n_taxa,), adding up to 1.
    """
    prevalence = np.full(likelihood.shape[1], 1 / likelihood.shape[1])
    for _ in range(steps):
        joint = likelihood * prevalence
        joint /= joint.sum(axis=1, keepdims=True)
        prevalence = joint.sum(axis=0) + pseudo_count
        prevalence /= prevalence.sum()
    return prevalence


def shrink_rows(matrix: NDArray[np.integer] | Floats) -> Floats:
    """What is known of a row of the matrix before its own images are looked at: Dirichlet parameters.

    All rows share a shape: a part `unclassified`, a part right, and the rest over the other decisions as the
    wrong ones of all taxa together fall. How large the right part is, and how many images the shape is worth,
    is what makes the matrix likeliest (empirical Bayes, Dirichlet-multinomial likelihood; Minka 2000,
    Estimating a Dirichlet distribution): where rows are alike, rare ones are shrunk more.

    Parameters
    ----------
    matrix
        (n_taxa, m) held-back images by true taxon and by decision, `unclassified` last.

    Returns
    -------
    float64 (n_taxa, m), above 0; to be added to the counts.
    """
    counts = np.asarray(matrix, dtype=np.float64)
    n, m = counts.shape
    own, images = np.arange(n), counts.sum(axis=1)
    wrong = counts.copy()
    wrong[own, own] = 0
    fall = wrong.sum(axis=0) + 0.5
    others = np.tile(fall, (n, 1))
    others[own, own] = 0
    others[:, -1] = 0
    others /= np.maximum(others.sum(axis=1, keepdims=True), 1e-12)
    unsure = (counts[:, -1].sum() + 0.5) / (images.sum() + 1)
    best, found = -np.inf, np.full((n, m), 1 / m)
    for kept in _KEPT_SHARES:
        shape = (1 - unsure) * (1 - kept) * others
        shape[own, own] = (1 - unsure) * kept
        shape[:, -1] = unsure
        shape = np.maximum(shape, 1e-9)
        for strength in _STRENGTHS:
            rows = strength * shape
            # Taxa without images say nothing here, and every term of theirs is 0.
            evidence = float(
                (_log_gamma(rows + counts) - _log_gamma(rows)).sum()
                - (_log_gamma(rows.sum(axis=1) + images) - _log_gamma(rows.sum(axis=1))).sum()
            )
            if evidence > best:
                best, found = evidence, rows
    return found


def _sample(
    likelihood: Floats, times: Ints, usual: Floats, spread: float, rng: np.random.Generator, rest: int = 0
) -> EstimatedCounts:
    """Gibbs sampling of counts, prevalence and prior in turn, all chains side by side.

    The prior is a Dirichlet, itself unknown: even or usual, and of any of several strengths. For the
    intervals the likelihood of each taxon is then multiplied by a chance factor a chain; the prior stays what
    the unshaken chain found, so that a shake is not mistaken for strange water.

    Parameters
    ----------
    likelihood
        (rows, n_taxa), the same for all chains, a row an object; or (CHAINS, rows, n_taxa).
    times
        int64 (rows,), objects that each row stands for.
    usual
        (n_taxa,).
    rest
        Objects that nothing is known of but that they are of the same water.
    """
    n, n_taxa = int(times.sum()) + rest, likelihood.shape[-1]
    if n == 0:
        none = np.zeros(n_taxa, dtype=np.int64)
        return EstimatedCounts(none, none, none)
    priors, log_weights = _priors(np.asarray(usual, dtype=np.float64))
    start = _start(likelihood if likelihood.ndim == 2 else likelihood.mean(axis=0), times)
    if likelihood.ndim == 2:
        likelihood = np.ascontiguousarray(likelihood.T)
    prevalence = np.tile(start, (CHAINS, 1))
    samples = []
    for step in range(WARM_UP + KEPT * APART):
        counts = _draw_counts(likelihood, times, prevalence, rng)
        prior = priors[_draw_prior(counts, priors, log_weights, rng)]
        prevalence = _dirichlet(prior + counts, rng)
        if step >= WARM_UP and (step - WARM_UP) % APART == 0:
            samples.append(counts + rng.multinomial(rest, prevalence))
    settled = np.concatenate(samples)
    shaken = []
    for _ in range(SHAKES if spread > 0 else 0):
        factor = np.exp(spread * rng.standard_normal((CHAINS, n_taxa)) - spread**2 / 2)
        for _ in range(SHAKEN_STEPS):
            counts = _draw_counts(likelihood, times, prevalence * factor, rng)
            prevalence = _dirichlet(prior + counts, rng)
        shaken.append(counts + rng.multinomial(rest, prevalence))
    count = _least_distance(settled, n)
    ends = np.quantile(
        np.concatenate(shaken) if shaken else settled,
        [(1 - LEVEL) / 2, (1 + LEVEL) / 2],
        axis=0,
        method="nearest",
    ).astype(np.int64)
    return EstimatedCounts(count, np.minimum(ends[0], count), np.maximum(ends[1], count))


def _priors(usual: Floats) -> tuple[Floats, Floats]:
    """Dirichlet parameters of each prior, (h, n_taxa), and the logarithms of their weights, (h,)."""
    even = [np.full(len(usual), objects) for objects in EVEN]
    known = [objects * usual / usual.sum() + 1e-3 for objects in USUAL]
    weights = [1 / len(EVEN)] * len(EVEN) + [USUAL_ODDS / len(USUAL)] * len(USUAL)
    return np.stack(even + known), np.log(weights)


def _start(likelihood: Floats, times: Ints) -> Floats:
    """A prevalence to begin with, (n_taxa,): some steps of EM."""
    prevalence = np.full(likelihood.shape[1], 1 / likelihood.shape[1])
    for _ in range(20):
        joint = likelihood * prevalence
        joint *= (times / joint.sum(axis=1))[:, np.newaxis]
        prevalence = joint.sum(axis=0) + 0.5
        prevalence /= prevalence.sum()
    return prevalence


def _draw_counts(likelihood: Floats, times: Ints, weights: Floats, rng: np.random.Generator) -> Ints:
    """Taxon of every object given prevalence, as counts, int64 (CHAINS, n_taxa).

    Parameters
    ----------
    likelihood
        (n_taxa, objects), the same for all chains; or (CHAINS, rows, n_taxa), each row `times` objects.
    weights
        (CHAINS, n_taxa).
    """
    if likelihood.ndim == 3:
        joint = likelihood * weights[:, np.newaxis]
        joint /= joint.sum(axis=2, keepdims=True)
        return np.asarray(rng.multinomial(times, joint).sum(axis=1), dtype=np.int64)
    n_taxa, n = likelihood.shape
    at = rng.random((len(weights), n))
    taxon = np.zeros(at.shape, dtype=np.int64)
    for first in range(0, n, _BLOCK):
        block = slice(first, first + _BLOCK)
        known, point, after = likelihood[:, block], at[:, block], taxon[:, block]
        total, each = np.zeros(point.shape), np.empty(point.shape)
        for k in range(n_taxa):
            total += np.multiply(weights[:, k, np.newaxis], known[k], out=each)
        point *= total
        total[:] = 0
        for k in range(n_taxa - 1):
            total += np.multiply(weights[:, k, np.newaxis], known[k], out=each)
            after += total <= point
    taxon += n_taxa * np.arange(len(weights))[:, np.newaxis]
    return np.bincount(taxon.ravel(), minlength=len(weights) * n_taxa).reshape(-1, n_taxa)


def _draw_prior(counts: Ints, priors: Floats, log_weights: Floats, rng: np.random.Generator) -> Ints:
    """Which prior each chain's counts, (CHAINS, n_taxa), come from, int64 (CHAINS,).

    By the Dirichlet-multinomial probability of the counts; the factor that all priors share is left out.
    """
    n = counts.sum(axis=1)[:, np.newaxis]
    each = _log_gamma(priors + counts[:, np.newaxis]) - _log_gamma(priors)
    total = priors.sum(axis=1)
    log_chance = each.sum(axis=2) + _log_gamma(total) - _log_gamma(total + n) + log_weights
    chance = np.exp(log_chance - log_chance.max(axis=1, keepdims=True)).cumsum(axis=1)
    at = rng.random((len(counts), 1)) * chance[:, -1:]
    return np.asarray(np.minimum((chance <= at).sum(axis=1), len(priors) - 1), dtype=np.int64)


def _least_distance(samples: Ints, n: int) -> Ints:
    """Counts adding up to n with the least expected sum of absolute differences from the samples.

    That sum, twice n times the Bray-Curtis distance, is least where every taxon's count is at the same
    quantile of its samples: the one at which they add up to n. Between two levels the units go by largest
    remainder.

    Parameters
    ----------
    samples
        int64 (some, n_taxa), each row adding up to n.
    """
    ordered = np.sort(samples, axis=0)
    totals = ordered.sum(axis=1)
    level = int(np.searchsorted(totals, n, side="right")) - 1
    count: Ints = ordered[level]
    missing = n - int(totals[level])
    if missing == 0:
        return count
    room = ordered[level + 1] - count
    share = room * (missing / room.sum())
    whole = count + share.astype(np.int64)
    whole[np.argsort(-(share % 1), kind="stable")[: n - int(whole.sum())]] += 1
    return np.asarray(whole)


def _dirichlet(parameters: Floats, rng: np.random.Generator) -> Floats:
    """One draw a row of Dirichlet parameters."""
    drawn = np.maximum(rng.standard_gamma(parameters), 1e-300)
    return np.asarray(drawn / drawn.sum(axis=-1, keepdims=True))


def _safe(likelihood: Floats) -> Floats:
    """Rows scaled to a highest value of 1; one without a positive finite value tells nothing: all 1."""
    clean = np.where(np.isfinite(likelihood) & (likelihood > 0), likelihood, 0)
    highest = clean.max(axis=1, initial=0, keepdims=True)
    return np.where(highest > 0, clean / np.where(highest > 0, highest, 1), 1.0) + 1e-12


def _log_gamma(x: Floats) -> Floats:
    """Logarithm of the gamma function, x above 0, to about 1e-9.

    Stirling's series (Abramowitz and Stegun 1964, 6.1.41) at x + 8, brought down by the recurrence.
    """
    product = x.copy()
    for k in range(1, 8):
        product *= x + k
    y = x + 8
    series = 1 / (12 * y) - 1 / (360 * y**3) + 1 / (1260 * y**5)
    return np.asarray((y - 0.5) * np.log(y) - y + 0.5 * np.log(2 * np.pi) + series - np.log(product))
