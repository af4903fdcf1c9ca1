"""What a study of corrected counts found: rows of numbers, the method they choose, the card's table. Pure.

How the samples are drawn and counted: `training.prevalence`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from training.evaluate import Floats

METHODS = ("highest", "decisions", "summed", "adjusted", "em", "posterior")
RAW = ("highest", "decisions")
"""No correction: taxa with the highest score counted, and decisions counted as they are sent."""
CORRECTIONS = ("posterior", "adjusted")
"""Those with intervals: from every score, and from the decisions as they are sent."""
REFERENCE = ("flat", 100)
"""The regime and number of objects that methods are ranked by."""
LEVEL = 0.9
WORSE = 0.01
"""A method that is further from the truth than raw counts by more than this, anywhere, is not chosen."""
COUNT_CLASSES = ((0, 0), (1, 2), (3, 9), (10, 29), (30, None))
_RESAMPLED = 1000


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One method in one regime with one number of objects, over all samples.

    Attributes
    ----------
    method, regime, objects
        Which.
    bray_curtis, bray_curtis_interval
        Mean Bray-Curtis distance of the counts from the truth, and its 90 % interval.
    excess, excess_interval
        By how much it exceeds that of the better raw counts on the same samples: negative is better.
    bias
        Mean over drawn taxa and halves of the absolute mean error, as a share of all objects.
    coverage, coverage_present
        Share of drawn taxa whose true count is in the 90 % interval: all, and those with an object at least.
    coverage_by_count
        The same by true count ("1-2").
    width
        Mean width of the intervals, objects. These four are empty for a method without intervals.
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
        For `edge.quantification.count_from_scores` and `correct_counts`.
    taxa_drawn
        How many taxa had images enough to be drawn, on average over the halves.
    least_images
        Taxa with fewer images in a half were not drawn.
    bias_by_taxon
        Mean signed error of each taxon as a share of all objects, by method, in the reference regime.
    halves, draws
        Halves that were drawn from, and samples from each of them in each regime.
    """

    rows: tuple[Row, ...] = ()
    chosen: str = RAW[0]
    score_spread: float = 0.0
    decision_spread: float = 0.0
    taxa_drawn: float = 0.0
    least_images: int = 0
    bias_by_taxon: dict[str, tuple[float, ...]] = msgspec.field(default_factory=dict)
    halves: int = 0
    draws: int = 0

    def row(self, method: str, regime: str, objects: int) -> Row:
        """The row of a method; raises `KeyError` when it is not there."""
        for row in self.rows:
            if (row.method, row.regime, row.objects) == (method, regime, objects):
                return row
        raise KeyError((method, regime, objects))


class Draws(NamedTuple):
    """All samples of one regime and number of objects.

    Attributes
    ----------
    truth
        (halves, draws, n_taxa), objects.
    estimates
        By method, (halves, draws, n_taxa); more columns where parents and `unclassified` are counted too.
    low, high
        By method, of those with intervals: (halves, draws, n_taxa).
    which
        bool (halves, 1, n_taxa): the taxa that could be drawn.
    """

    truth: Floats
    estimates: dict[str, Floats]
    low: dict[str, Floats]
    high: dict[str, Floats]
    which: NDArray[np.bool_]

    def inside(self, method: str) -> NDArray[np.bool_]:
        """Whether the true count is in the method's interval, (halves, draws, n_taxa)."""
        return np.asarray((self.low[method] <= self.truth) & (self.truth <= self.high[method]))


def choose_method(rows: Sequence[Row]) -> str:
    """The method to send and show.

    Of the corrections with intervals (`posterior` from scores, `adjusted` from decisions) the one with the
    lowest mean Bray-Curtis distance in the reference regime. It must be closer to the truth there than the
    better raw counts (the 90 % interval of the excess, on the same samples, below 0), and in no regime and
    number of objects worse: by no more than 0.01, and not measurably (the interval reaches 0). If neither is,
    raw counts: `highest`.
    """
    passing = []
    for method in CORRECTIONS:
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
        name = f"{REFERENCE[0]}, {REFERENCE[1]}"
        columns[f"{name}, from"], columns[f"{name}, to"] = row.bray_curtis_interval
        columns["bias"] = row.bias
        if row.coverage is not None:
            columns |= {"inside": row.coverage, "inside_if_present": row.coverage_present, "width": row.width}
        table[method] = dict(sorted(columns.items()))  # as JSON will have them
    regime, objects = REFERENCE
    return {
        **dict(sorted(table.items())),
        "chosen": f"Sent and shown: {found.chosen}.",
        "method": "Mean Bray-Curtis distance of counts from the truth by regime and number of objects (0 is "
        "best). From and to (its 90 % interval), bias (mean over taxa, share of all objects), true counts "
        "inside the 90 % interval of a count, and its "
        f"width in objects: {regime}, {objects}. Corrections were fitted to one half of the held-back groups "
        f"and measured on the other, {found.halves} times with {found.draws} samples each; taxa with fewer "
        f"than {found.least_images} images in a half were not drawn ({found.taxa_drawn:.0f} were).",
    }


def make_rows(drawn: Draws, regime: str, size: int, seed: int) -> list[Row]:
    """Every method's row of one regime and number of objects; `seed` is that of the bootstrap."""
    distance = {name: distances(estimate, drawn.truth) for name, estimate in drawn.estimates.items()}
    raw = min((float(distance[name].mean()), name) for name in RAW)[1]
    found = []
    for name in drawn.estimates:
        excess = distance[name] - distance[raw]
        more: Mapping[str, Any] = _coverage(drawn, name) if name in drawn.low else {}
        error = np.abs(mean_errors(drawn, name).mean(axis=1) / size)
        found.append(
            Row(
                method=name,
                regime=regime,
                objects=size,
                bray_curtis=round(float(distance[name].mean()), 4),
                bray_curtis_interval=_interval(distance[name], seed),
                excess=round(float(excess.mean()), 4),
                excess_interval=_interval(excess, seed),
                bias=round(float(error[drawn.which[:, 0]].mean()), 5),
                **more,
            )
        )
    return found


def mean_errors(drawn: Draws, name: str) -> Floats:
    """Errors of a method's counts of the taxa, (halves, draws, n_taxa), objects."""
    return np.asarray(drawn.estimates[name][:, :, : drawn.truth.shape[2]] - drawn.truth)


def distances(estimate: Floats, truth: Floats) -> Floats:
    """Bray-Curtis distance of each sample, (halves, draws).

    What is counted as a parent or as `unclassified` is as wrong as what is counted as another taxon.
    """
    padded = np.zeros_like(estimate)
    padded[:, :, : truth.shape[2]] = truth
    return np.asarray(np.abs(estimate - padded).sum(axis=2) / (estimate + padded).sum(axis=2))


def coverage_by_count(drawn: Draws, name: str) -> dict[str, float]:
    """Share of intervals of drawn taxa that hold the true count, by true count; classes that occur."""
    inside, which = drawn.inside(name), np.broadcast_to(drawn.which, drawn.truth.shape)
    found = {}
    for least, most in COUNT_CLASSES:
        there = which & (drawn.truth >= least) & (drawn.truth <= (np.inf if most is None else most))
        if there.any():
            last = "+" if most is None else f"-{most}" if most > least else ""
            found[f"{least}{last}"] = round(float(inside[there].mean()), 3)
    return found


def _coverage(drawn: Draws, name: str) -> dict[str, Any]:
    """Coverage and width of a method's intervals of the drawn taxa."""
    inside, which = drawn.inside(name), np.broadcast_to(drawn.which, drawn.truth.shape)
    return {
        "coverage": round(float(inside[which].mean()), 4),
        "coverage_present": round(float(inside[which & (drawn.truth > 0)].mean()), 4),
        "coverage_by_count": coverage_by_count(drawn, name),
        "width": round(float((drawn.high[name] - drawn.low[name])[which].mean()), 3),
    }


def _interval(values: Floats, seed: int) -> tuple[float, float]:
    """90 % interval of the mean of (halves, draws): draws halves, then samples within them, again and again.

    Cluster bootstrap (Davison and Hinkley 1997, Bootstrap Methods and their Application, section 3.8):
    samples from one half share what was fitted to the other.
    """
    rng = np.random.default_rng(seed)
    halves, draws = values.shape
    rows = rng.integers(halves, size=(_RESAMPLED, halves, 1))
    means = values[rows, rng.integers(draws, size=(_RESAMPLED, halves, draws))].mean(axis=(1, 2))
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return round(float(low), 4), round(float(high), 4)
