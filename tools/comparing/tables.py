"""The tables that a person reads, in the shape of "How deep is enough?" in Panaiotis et al. 2026.

Earth Syst. Sci. Data 18, 945.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

Table = tuple[str, list[str], list[list[str]]]
"""Title, columns, rows."""


def make_tables(contenders: Sequence[dict[str, Any]]) -> list[Table]:
    """Tables of what `tools.comparing.scores.score_all` gives: all classes, living ones, rare ones."""
    names = {"accuracy": "accuracy", "mean_precision": "precision", "balanced_accuracy": "balanced accuracy"}
    names |= {"macro_f1": "macro-F1", "bray_curtis": "Bray-Curtis"}
    columns = ["model", "kB", *names.values(), "ms", "P"]
    rows = []
    for row in contenders:
        size = "-" if row["size_bytes"] is None else f"{row['size_bytes'] / 1000:,.0f}"
        rest = ("-" if value is None else f"{value:.2f}" for value in (row["ms"], row["first_is_better"]))
        rows.append([row["name"], size, *(_cell(row["scores"]["all"].get(name)) for name in names), *rest])
    tables: list[Table] = [("All classes", columns, rows)]
    names.pop("bray_curtis")
    for group, title in (("living", "Living classes alone"), ("rare", "Rare living classes alone")):
        rows = [[row["name"], *(_cell(row["scores"][group].get(x)) for x in names)] for row in contenders]
        tables.append((title, ["model", *names.values()], rows))
    return tables


def _cell(score: tuple[float, float, float] | None) -> str:
    if score is None or math.isnan(score[0]):
        return "-"
    return f"{score[0]:.3f} ({score[1]:.2f}-{score[2]:.2f})"


def show(tables: Sequence[Table], notes: Sequence[str]) -> None:
    """Print tables and notes."""
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console(width=None if sys.stdout.isatty() else 150)  # a file or a pipe has no width
    for title, columns, rows in tables:
        table = RichTable(*columns, title=title)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for note in notes:
        console.print(f"- {note}", highlight=False, markup=False)


def markdown(tables: Sequence[Table], notes: Sequence[str]) -> str:
    """Tables and notes as Markdown."""
    lines = []
    for title, columns, rows in tables:
        lines += [f"**{title}**", "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        lines += [*(f"| {' | '.join(row)} |" for row in rows), ""]
    return "\n".join([*lines, *(f"- {note}" for note in notes), ""])
