"""`seston plan`: what would be sent of a dive in a budget, layer by layer, and what more bytes would buy.

The plan is the instrument's own, made anew from the log; nothing is sent or changed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from edge.config import TelemetryConfig
from edge.divelog import DiveLog
from edge.errors import DiveLogError
from edge.logged import plan_within, summarise
from edge.structs import to_struct
from edge.telemetry import Plan
from edge.telemetry.codebook import Codebook

NEXT_BYTES = 340
"""How many more bytes are asked about: one message of Iridium SBD."""


@click.command("plan")
@click.argument("dive", type=click.Path(path_type=Path))
@click.option("--message-bytes", type=click.IntRange(1), help="Largest message; that of the dive by default.")
@click.option("--budget-bytes", type=click.IntRange(1), help="All messages; that of the dive by default.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page with the picture of bytes against error.",
)
def plan_dive(dive: Path, message_bytes: int | None, budget_bytes: int | None, html: Path | None) -> None:
    """Show what would be sent of DIVE, a folder made by simulate or run, or its dive.sqlite."""
    with DiveLog.open(dive) as log:
        summary = summarise(log)
        given = to_struct(log.inputs("budget")[-1][1], TelemetryConfig, file=log.path, error=DiveLogError)
        message_bytes = message_bytes or given.message_bytes
        budget_bytes = budget_bytes or given.budget_bytes
        budget = msgspec.structs.replace(given, message_bytes=message_bytes, budget_bytes=budget_bytes)
        planned = plan_within(log, budget)
        more = plan_within(log, msgspec.structs.replace(budget, budget_bytes=budget_bytes + NEXT_BYTES))
    _show(planned, summary.codebook, budget_bytes, message_bytes)
    _show_next(planned, more, summary.codebook)
    if html is None:
        return
    from tools.planning.page import render
    from tools.planning.sweep import sweep
    from tools.shore.report.command import shore_extra, write_page

    with shore_extra("--html"):
        page = render(summary, sweep(summary, message_bytes), planned, message_bytes)
    write_page(page, html, "choose another file with --html")
    click.echo(html)


def _show(planned: Plan, codebook: Codebook, budget_bytes: int, message_bytes: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from tools.planning import words

    n = len(planned.messages)
    table = Table(
        title=f"{planned.n_bytes} of {budget_bytes} bytes in {n} message{'s' * (n != 1)} "
        f"of at most {message_bytes}"
    )
    for name in words.COLUMNS:
        table.add_column(name, justify="right" if name in ("height", "cells", "bytes") else "left")
    for row in words.rows(planned, codebook):
        table.add_row(*row)
    console = Console(width=None if sys.stdout.isatty() else 110)  # a file or a pipe has no width
    console.print(table)
    if planned.n_pictures:
        console.print(f"The last {planned.n_pictures} of the messages are pictures of particles.")
    if planned.is_regional:
        console.print("Coded with the climatology, which makes the messages say more.")
    console.print(
        f"Worth by the stated utility: {planned.worth:,}; no plan of as many bits can have more than "
        f"{planned.worth_bound:,}."
    )


def _show_next(planned: Plan, more: Plan, codebook: Codebook) -> None:
    from tools.planning import words

    if words.is_lossless(planned.layers):
        shown = more.n_pictures - planned.n_pictures
        bought = f"{shown} more picture{'s' * (shown != 1)}" if shown > 0 else "nothing"
        click.echo(f"Everything is sent bin by bin: more bytes buy {bought}.")
        return
    found = words.changes(planned, more, codebook)
    spent = more.n_bytes - planned.n_bytes
    if not found:
        click.echo(f"The next {NEXT_BYTES} bytes buy nothing finer.")
        return
    click.echo(f"The next {NEXT_BYTES} bytes ({spent} would be used) buy:")
    for line in found:
        click.echo(f"  {line}")
