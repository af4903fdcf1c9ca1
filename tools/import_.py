"""`seston import`: what a person sorted comes back as a training set and a score. Here only the commands."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tools.shore.ecotaxa.back import Matched
    from tools.shore.ecotaxa.scoring import Rate, Score

SHOWN = 20
"""Lines of what was left out that are printed."""


@click.group(name="import")
def import_() -> None:
    """Take back what a person sorted."""


@import_.command()
@click.argument("export", type=click.Path(path_type=Path))
@click.option(
    "--dives",
    "-d",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="A dive that was exported (its folder); may be given again.",
)
@click.argument("more", metavar="[DIVE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("sorted"),
    show_default=True,
    help="Folder to write.",
)
@click.option(
    "--taxa",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The CSV that the export was made with: what EcoTaxa calls the model's taxa.",
)
def ecotaxa(
    export: Path, dives: tuple[Path, ...], more: tuple[Path, ...], out: Path, taxa: Path | None
) -> None:
    """Match EXPORT, a zip or table from EcoTaxa, with its dives.

    Into the folder OUT go: `sorted`, what was validated, a folder a category, for `seston train`;
    `score.json` and `score.html`, how good the model at sea was; `left-out.csv`, what could not be used, with
    file, row and field.
    """
    from tools.shore.ecotaxa import page, scoring
    from tools.shore.ecotaxa.back import SORTED_FOLDER, match_dives
    from tools.shore.ecotaxa.names import read_categories
    from tools.shore.ecotaxa.sorted import read_sorted
    from tools.shore.report.command import shore_extra, write_page

    with shore_extra("import ecotaxa"):
        import jinja2  # noqa: F401 before anything is written
    given = {} if taxa is None else read_categories(taxa)
    found = match_dives(read_sorted(export), [*dives, *more], out, given)
    score = scoring.score(found)
    notes = _notes(found, score)
    out.mkdir(parents=True, exist_ok=True)
    (out / "score.json").write_text(
        json.dumps(scoring.as_dict(found, score, export.name), indent=1) + "\n", encoding="utf-8"
    )
    with (out / "left-out.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file", "row", "field", "what"), *found.faults])
    write_page(page.render(found, score, export.name, notes), out / "score.html", "choose another --out")
    _tell(found, score, notes)
    n = found.written.total()
    click.echo(f"{out / SORTED_FOLDER}: {n:,} images of {len(found.written)} categories, for `seston train`")
    for name in ("score.html", "score.json", "left-out.csv"):
        click.echo(out / name)
    for fault in found.faults[:SHOWN]:
        click.echo(f"left out: {fault}", err=True)
    if len(found.faults) > SHOWN:
        click.echo(f"left out: ... and {len(found.faults) - SHOWN:,} more, in left-out.csv", err=True)


def _notes(found: Matched, score: Score) -> list[str]:
    """What a reader must know of the score."""
    notes = []
    others = {status: n for status, n in found.statuses.items() if status != "validated"}
    if others:
        told = ", ".join(f"{n:,} {status or 'without a status'}" for status, n in sorted(others.items()))
        notes.append(f"Only validated objects are scored; {told} are not.")
    for reason, n in found.unmatched.most_common():
        notes.append(f"{n:,} objects of the export are {reason}; they are left out.")
    if score.unseen:
        told = ", ".join(f"{label} ({n:,})" for label, n in sorted(score.unseen.items(), key=lambda x: -x[1]))
        notes.append(f"Nothing was validated of these decisions, which count as decided: {told}.")
    if len(found.models) > 1:
        notes.append(f"{len(found.models)} models were at sea; they are scored together.")
    if not found.judged:
        notes.append("Nothing was validated: there is no score and no training set.")
    new = [row.label for row in score.taxa if row.is_new]
    if new:
        notes.append(
            f"The model has no such names: {', '.join(new)}. If EcoTaxa only calls its taxa so, give --taxa."
        )
    return notes


def _tell(found: Matched, score: Score, notes: list[str]) -> None:
    """Print the score."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    from tools.shore.ecotaxa.page import percent, span

    console = Console(width=None if sys.stdout.isatty() else 130)  # a file or a pipe has no width
    click.echo(
        f"{len(found.judged):,} validated of {found.counted.total():,} particles; at sea:"
        f" {', '.join(found.models)}"
    )
    for name, words in (
        ("right", "as sorted"), ("coarse", "a parent of it"), ("unclassified", "unclassified"),
        ("wrong", "otherwise"), ("finer", "finer than sorted"),
    ):  # fmt: skip
        rate = score.of(name)
        if rate.hits:
            click.echo(f"  decided {words}: {percent(rate)}, {span(rate)}; {rate.hits:,}")
    columns = "precision (90 %)", "recall (90 %)", "on board", "expected", "decided", "sorted"
    table = Table(Column("taxon", overflow="fold"), *columns)
    for row in score.taxa:
        rates = _rate(row.precision), _rate(row.recall)
        label = escape(row.label) + (" (new)" if row.is_new else "")
        counts = f"{row.board:,}", f"{row.expected:,.0f}", f"{row.validated:,}", f"{row.sorted:,}"
        table.add_row(label, *rates, *counts)
    if score.taxa:
        console.print(table)
    mistakes = [(n, *pair) for pair, n in score.confusion.items() if pair[0] != pair[1]]
    for n, truth, answer in sorted(mistakes, key=lambda item: (-item[0], *item[1:]))[:5]:
        click.echo(f"  {truth} decided as {answer}: {n:,}")
    for note in notes:
        click.echo(note)


def _rate(rate: Rate) -> str:
    return f"{rate.rate:.2f} ({rate.low:.2f}-{rate.high:.2f})" if rate.n else ""
