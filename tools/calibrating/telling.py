"""What `seston calibrate` says at its end: what was found and what it was before, and what is still to do."""

from __future__ import annotations

from pathlib import Path

import click

from tools.calibrating.optics_file import NEEDED, Draft
from tools.shore.report.command import shore_extra, write_page
from tools.shore.report.style import Figure


def finish(made: Draft, part: str, dry_run: bool) -> None:
    """Say what was found, what it was before and what is still to do; write the file."""
    record = made.calibration[part]
    for name, value in record.found.items():
        if made.optics.get(name) == value:
            error = record.standard_errors.get(name)
            known = "" if error is None else f" ± {error:.2g}"
            was = f" (was {record.previous[name]:g})" if name in record.previous else ""
            click.echo(f"{name} = {value:g}{known}{was}")
    for remark in record.remarks:
        click.echo(f"Note: {remark}")
    if dry_run:
        click.echo(f"{made.file} was left as it is.")
        return
    made.write()
    click.echo(f"Written to {made.file}.")
    say_state(made)


def say_state(draft: Draft) -> None:
    """Say what has to be calibrated again, and what is missing."""
    for sentence in draft.stale():
        click.echo(f"Note: {sentence}.")
    if draft.missing:
        ways = ", ".join(f"{name} (seston calibrate {NEEDED[name]})" for name in draft.missing)
        click.echo(f"Not complete yet: {ways}.")


def page(html: Path, title: str, made: Draft, part: str, figures: dict[str, tuple[Figure, str]]) -> None:
    """Write a calibration as a page."""
    from tools.calibrating.page import render

    with shore_extra("--html"):
        text = render(f"Calibration: {title.lower()}", made.calibration[part], figures)
    write_page(text, html, "choose another file with --html")
    click.echo(html)
