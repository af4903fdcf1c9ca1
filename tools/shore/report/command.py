"""`seston report`: one HTML page of a dive. Here only the command; `page` says what is on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import click

from edge.errors import InputError
from tools.shore.report.dive import read_dive
from tools.shore.report.page import render
from tools.shore.report.shore import look_from_shore

MAX_VIGNETTES = 12


def write_report(
    dive: str | PathLike[str], out: str | PathLike[str] | None = None, *, max_vignettes: int = MAX_VIGNETTES
) -> Path:
    """Write the page of a dive and return its path.

    Parameters
    ----------
    dive
        Folder of a dive, or its dive.sqlite.
    out
        File to write; report.html beside the log when None.
    max_vignettes
        Vignettes shown of each taxon at most.

    Raises
    ------
    DiveLogError
        When it is no dive, or damaged.
    InputError
        When the page cannot be written.
    ImportError
        When plotly or jinja2 is missing: ``pip install 'seston[shore]'``.
    """
    found = read_dive(dive, max_vignettes=max_vignettes)
    shore = look_from_shore(
        found.messages,
        found.codebook,
        found.summary.dive_number,
        len(found.logged_messages),
        found.climatology,
    )
    page = render(found, shore)
    target = found.path.parent / "report.html" if out is None else Path(out)
    write_page(page, target, "choose another file with --out")
    return target


def write_page(page: str, target: Path, remedy: str) -> None:
    """Write a page, whole or not at all: a reader never meets half of it. Raises `InputError`."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        part.write_text(page, encoding="utf-8")
        part.replace(target)
    except OSError as cause:
        raise InputError(f"cannot be written ({cause.strerror})", file=target, remedy=remedy) from cause


@contextlib.contextmanager
def shore_extra(command: str) -> Iterator[None]:
    """Turn a missing plotly or jinja2 into one sentence that names the extra. Raises `InputError`."""
    try:
        yield
    except ImportError as missing:
        if (missing.name or "").partition(".")[0] not in ("plotly", "jinja2"):
            raise
        raise InputError(
            f"needs {missing.name}", field=command, remedy="pip install 'seston[shore]'"
        ) from missing


@click.command()
@click.argument("dive", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="File to write; DIVE/report.html by default.")
@click.option(
    "--max-vignettes",
    type=click.IntRange(0),
    default=MAX_VIGNETTES,
    show_default=True,
    help="Vignettes shown of each taxon at most.",
)
def report(dive: Path, out: Path | None, max_vignettes: int) -> None:
    """Make one self-contained HTML page of DIVE, a folder made by simulate or run, or its dive.sqlite."""
    with shore_extra("report"):
        page = write_report(dive, out, max_vignettes=max_vignettes)
    click.echo(page)
