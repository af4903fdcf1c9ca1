"""How good the model at sea was, as the sorted objects tell: precision, recall, confusion, counts. Pure.

A decision for a parent is right for all below it; one finer than what the person said cannot be judged. Where
not all objects were validated, those validated of a decision stand for all of it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from edge.taxonomy import UNCLASSIFIED, Taxon
from tools.shore.ecotaxa.back import Judged, Matched

Z = 1.6448536269514722
"""Quantile of the normal law for 90 %."""
KINDS = ("right", "coarse", "unclassified", "wrong", "finer")
"""What a decision may be to what was sorted."""


class Rate(NamedTuple):
    """A share of n with its 90 % interval; NaN where n is 0."""

    hits: int
    n: int
    rate: float
    low: float
    high: float


class TaxonScore(NamedTuple):
    """One taxon.

    Attributes
    ----------
    label, is_new
        Which; new to the model, which has no such name.
    precision
        Of the validated particles decided so, those that are it or below it; finer ones left out.
    recall
        Of those sorted as it, those decided so.
    as_parent, unclassified, wrong
        What became of the others sorted as it.
    finer
        Sorted as it and decided below it: nobody can tell.
    board
        Particles decided so in the dives.
    validated, sorted
        Of the validated ones: decided so, and sorted as it.
    expected
        Of all particles of the dives, those that are it, if the validated ones stand for the others.
    """

    label: str
    is_new: bool
    precision: Rate
    recall: Rate
    as_parent: int
    unclassified: int
    wrong: int
    finer: int
    board: int
    validated: int
    sorted: int
    expected: float


class Score(NamedTuple):
    """The whole score.

    Attributes
    ----------
    taxa
        The most frequent in the sorted first.
    shares
        Of the validated, by `KINDS`: decided as sorted, as a parent of it, not at all, otherwise, finer.
    confusion
        Validated particles by (sorted, decided).
    unseen
        Decisions of which nothing was validated, and how many particles they are: they count as decided.
    bray_curtis
        Distance of the counts on board from the expected ones, `unclassified` left out of both.
    """

    taxa: tuple[TaxonScore, ...]
    shares: Mapping[str, Rate]
    confusion: Mapping[tuple[str, str], int]
    unseen: Mapping[str, int]
    bray_curtis: float

    def of(self, kind: str) -> Rate:
        """Share of one of `KINDS`."""
        return self.shares[kind]


def wilson(hits: int, n: int) -> Rate:
    """A share and its 90 % interval, particles taken for independent (Wilson 1927, JASA 22, 209)."""
    if n == 0:
        return Rate(0, 0, math.nan, math.nan, math.nan)
    share, z2 = hits / n, Z * Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return Rate(hits, n, share, max(0.0, middle - half), min(1.0, middle + half))


def score(found: Matched) -> Score:
    """Score the model at sea on what was validated."""
    ancestors = {label: _ancestors(label, found.taxa) for label in found.taxa}
    confusion = Counter((one.truth, one.answer) for one in found.judged)
    kinds: Counter[str] = Counter()
    by_truth: dict[str, Counter[str]] = defaultdict(Counter)
    right_of: Counter[str] = Counter()
    finer_of: Counter[str] = Counter()
    for (truth, answer), n in confusion.items():
        kind = _kind(truth, answer, ancestors)
        kinds[kind] += n
        by_truth[truth][kind] += n
        if kind in ("right", "coarse"):
            right_of[answer] += n
        elif kind == "finer":
            finer_of[answer] += n
    expected, unseen = _expected(found)
    labels = sorted(
        {*by_truth, *(label for label in found.counted if label != UNCLASSIFIED)},
        key=lambda label: (-sum(by_truth[label].values()), -found.counted[label], label),
    )
    n = len(found.judged)
    return Score(
        tuple(
            TaxonScore(
                label,
                label not in found.taxa,
                wilson(right_of[label], found.seen_validated[label] - finer_of[label]),
                wilson(by_truth[label]["right"], sum(by_truth[label].values()) - by_truth[label]["finer"]),
                by_truth[label]["coarse"],
                by_truth[label]["unclassified"],
                by_truth[label]["wrong"],
                by_truth[label]["finer"],
                found.counted[label],
                found.seen_validated[label],
                sum(by_truth[label].values()),
                expected.get(label, 0.0),
            )
            for label in labels
        ),
        {kind: wilson(kinds[kind], n) for kind in KINDS},
        confusion,
        unseen,
        _bray_curtis(found.counted, expected),
    )


def _kind(truth: str, answer: str, ancestors: Mapping[str, Sequence[str]]) -> str:
    """What a decision is to what was sorted."""
    if answer == truth:
        return "right"
    if answer == UNCLASSIFIED:
        return "unclassified"
    if answer in ancestors.get(truth, ()):
        return "coarse"
    return "finer" if truth in ancestors.get(answer, ()) else "wrong"


def _ancestors(label: str, taxa: Mapping[str, Taxon]) -> tuple[str, ...]:
    """Labels above one, the nearest first."""
    found: list[str] = []
    at = taxa.get(label)
    while at is not None and at.parent is not None and at.parent not in found:
        found.append(at.parent)
        at = taxa.get(at.parent)
    return tuple(found)


def _expected(found: Matched) -> tuple[dict[str, float], dict[str, int]]:
    """Particles of the dives by what they are, and those of decisions that nobody looked at."""
    expected: dict[str, float] = defaultdict(float)
    unseen = {}
    for (truth, answer), n in Counter((one.truth, one.answer) for one in found.judged).items():
        expected[truth] += n * found.counted[answer] / found.seen_validated[answer]
    for answer, n in found.counted.items():
        if not found.seen_validated[answer]:
            unseen[answer] = n
            expected[answer] += n
    return dict(expected), unseen


def _bray_curtis(board: Mapping[str, int], expected: Mapping[str, float]) -> float:
    labels = (set(board) | set(expected)) - {UNCLASSIFIED}
    total = sum(board.get(label, 0) + expected.get(label, 0.0) for label in labels)
    apart = sum(abs(board.get(label, 0) - expected.get(label, 0.0)) for label in labels)
    return apart / total if total else 0.0


def as_dict(found: Matched, score: Score, export: str) -> dict[str, Any]:
    """All of it as plain data, NaN as None."""

    def rate(one: Rate) -> dict[str, Any]:
        values = {"rate": one.rate, "low": one.low, "high": one.high}
        return {"hits": one.hits, "n": one.n} | {
            name: None if math.isnan(value) else round(value, 4) for name, value in values.items()
        }

    return {
        "export": export,
        "models": dict(found.models),
        "particles": found.counted.total(),
        "statuses": dict(found.statuses),
        "unmatched": dict(found.unmatched),
        "interval": "90 %, Wilson, particles taken for independent",
        "all": {kind: rate(score.of(kind)) for kind in KINDS},
        "bray_curtis": round(score.bray_curtis, 4),
        "unseen": dict(score.unseen),
        "taxa": [
            {
                **one._asdict(),
                "precision": rate(one.precision),
                "recall": rate(one.recall),
                "expected": round(one.expected, 2),
            }
            for one in score.taxa
        ],
        "confusion": [
            {"sorted": truth, "decided": answer, "n": n}
            for (truth, answer), n in sorted(score.confusion.items(), key=lambda item: -item[1])
        ],
        "judged": [Judged._asdict(one) for one in found.judged],
    }
