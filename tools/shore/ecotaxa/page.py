"""The score of the model at sea as one HTML page that needs no network, in the report's look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge.taxonomy import UNCLASSIFIED
from tools.shore.ecotaxa.back import Matched
from tools.shore.ecotaxa.scoring import Rate, Score
from tools.shore.report.page import fill

MOST_FAULTS = 50
_WORDS = {
    "right": "decided as sorted",
    "coarse": "decided for a parent of it",
    "unclassified": "left unclassified",
    "wrong": "decided otherwise",
    "finer": "decided finer than sorted",
}


def render(found: Matched, score: Score, export: str, notes: Sequence[str]) -> str:
    """The page as text. Raises `ImportError` when jinja2 is missing."""
    columns, matrix = confusion_table(score.confusion)
    context = {
        "title": "The model at sea, as sorted in EcoTaxa",
        "where": f"{export}; {', '.join(found.models)}; {len(found.judged):,} validated of"
        f" {found.counted.total():,} particles",
        "numbers": [(words, percent(score.of(name)), span(score.of(name))) for name, words in _WORDS.items()],
        "notes": notes,
        "taxa": score.taxa,
        "most": max((max(row.board, row.expected) for row in score.taxa), default=0) or 1,
        "bray_curtis": score.bray_curtis,
        "unclassified": found.counted[UNCLASSIFIED],
        "columns": columns,
        "matrix": matrix,
        "mistakes": found.mistakes,
        "faults": [str(fault) for fault in found.faults[:MOST_FAULTS]],
        "more_faults": max(0, len(found.faults) - MOST_FAULTS),
    }
    return fill("tools.shore.ecotaxa", "page.html", {}, context)


Row = tuple[str, list[tuple[int, float, bool]]]


def confusion_table(confusion: Mapping[tuple[str, str], int]) -> tuple[list[str], list[Row]]:
    """Columns, and rows of (particles, share of the row, whether it is that label); the frequent first."""
    by_truth: dict[str, int] = {}
    by_answer: dict[str, int] = {}
    for (truth, answer), n in confusion.items():
        by_truth[truth] = by_truth.get(truth, 0) + n
        by_answer[answer] = by_answer.get(answer, 0) + n
    rows = sorted(by_truth, key=lambda label: (-by_truth[label], label))
    columns = [label for label in rows if label in by_answer]
    columns += sorted(set(by_answer) - set(columns), key=lambda label: (-by_answer[label], label))
    return columns, [
        (
            truth,
            [
                (n := confusion.get((truth, answer), 0), n / by_truth[truth], truth == answer)
                for answer in columns
            ],
        )
        for truth in rows
    ]


def percent(rate: Rate) -> str:
    """A rate in words."""
    return f"{100 * rate.rate:.0f} %" if rate.n else "-"


def span(rate: Rate) -> str:
    """Its interval in words."""
    return f"{100 * rate.low:.0f} to {100 * rate.high:.0f} % (90 %)" if rate.n else ""
