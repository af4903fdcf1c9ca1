"""What a check found in an archive, counted and in words."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from tools.shore.ecotaxa.rules import RULES, Finding, Verdict

MOST_KEPT = 1000
"""Findings of one rule that are kept; all are counted."""


@dataclass
class Report:
    """What was found in an archive.

    Attributes
    ----------
    name
        Of the archive.
    findings
        At most `MOST_KEPT` of each rule, in the order of files and rows.
    counts
        All, by name of the rule.
    rows, objects, images, samples, acquisitions, tables
        What it holds.
    statuses
        Rows by status; "" for none.
    bad_rows, bad_columns
        By table: rows and columns that EcoTaxa would refuse.
    """

    name: str
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    objects: int = 0
    images: int = 0
    samples: int = 0
    acquisitions: int = 0
    tables: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    bad_rows: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    bad_columns: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, rule: str, what: str, *, file: str = "", row: int | None = None, field: str = "") -> None:
        """Count a finding, and keep it while there are few."""
        found = RULES[rule]
        self.counts[rule] += 1
        if self.counts[rule] <= MOST_KEPT:
            self.findings.append(Finding(found, file, row, field, what))
        if found.verdict is Verdict.REFUSED and file:
            if row is not None:
                self.bad_rows[file].add(row)
            elif field:
                self.bad_columns[file].add(field)

    def of(self, verdict: Verdict) -> int:
        """Findings of one verdict."""
        return sum(n for name, n in self.counts.items() if RULES[name].verdict is verdict)

    @property
    def is_refused(self) -> bool:
        """Whether EcoTaxa would not import it as it is."""
        return self.of(Verdict.REFUSED) > 0

    def verdict(self) -> str:
        """What EcoTaxa would do, in a sentence."""
        refused, asked, changed = (self.of(one) for one in (Verdict.REFUSED, Verdict.ASKED, Verdict.CHANGED))
        if refused:
            return f"EcoTaxa refuses it: {refused:,} places are wrong."
        after = f" after asking a person about {asked:,} name{'s' if asked > 1 else ''}" if asked else ""
        but = f", but not as it stands in {changed:,} place{'s' if changed > 1 else ''}" if changed else ""
        return f"EcoTaxa imports it{after}{but}."

    def holds(self) -> str:
        """What is in it, in a line."""
        statuses = ", ".join(
            f"{n:,} {status or 'without a status'}" for status, n in sorted(self.statuses.items())
        )
        return (
            f"{_some(self.objects, 'object')}, {_some(self.images, 'image')}, {_some(self.rows, 'row')}"
            f" ({statuses or 'none'}), {_some(self.samples, 'sample')},"
            f" {_some(self.acquisitions, 'acquisition')}, {_some(self.tables, 'table')}"
        )

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "archive": self.name,
            "verdict": self.verdict(),
            "refused": self.is_refused,
            "rows": self.rows, "objects": self.objects, "images": self.images, "samples": self.samples,
            "acquisitions": self.acquisitions, "tables": self.tables, "statuses": dict(self.statuses),
            "rules": {
                name: {"verdict": RULES[name].verdict.value, "says": RULES[name].says,
                       "source": RULES[name].source, "found": n}
                for name, n in self.counts.items()
            },
            "findings": [
                {"rule": one.rule.name, "file": one.file, "row": one.row, "field": one.field,
                 "what": one.what}
                for one in self.findings
            ],
        }  # fmt: skip


def _some(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
