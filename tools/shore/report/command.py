"""`seston report`: one HTML page of a dive, or of several. What is on it say `page` and `fleet`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path

import click

from edge.errors import InputError
from tools.shore.report.style import Figure

MAX_VIGNETTES = 12


def write_report(
    dive: str | PathLike[str],
    out: str | PathLike[str] | None = None,
    *,
    max_vignettes: int = MAX_VIGNETTES,
    before: Sequence[Path] = (),
    figures: Path | None = None,
    codebooks: Sequence[Path] = (),
    climatologies: Sequence[Path] = (),
) -> Path:
    """Write the page of a dive and return its path.

    Parameters
    ----------
    dive
        Folder of a dive, or its dive.sqlite; or its messages, a folder with them or one of them.
    out
        File to write; report.html beside the log or the messages when None.
    max_vignettes
        Vignettes shown of each taxon at most.
    before
        Dives to compare it with.
    figures
        Folder for every plot as PNG and PDF.
    codebooks, climatologies
        Further files to decode messages with, where there is no log.

    Raises
    ------
    DiveLogError, MessageError
        When the log is damaged, or no message can be used.
    InputError
        When it is no dive, or the page cannot be written.
    ImportError
        When a package of the extra is missing: ``pip install 'seston[shore]'``.
    """
    from tools.shore.dives import open_dive
    from tools.shore.report.digest import digest, read_fleet
    from tools.shore.report.dive import read_dive
    from tools.shore.report.page import content, render_content
    from tools.shore.report.shore import look_from_shore
    from tools.shore.science.files import shipped_relations
    from tools.shore.science.study import study

    relations = shipped_relations()
    with open_dive(Path(dive), codebooks, climatologies) as opened:
        found = read_dive(opened, max_vignettes=max_vignettes)
        studied = study(opened, relations, correct_layers=False)
    shore = look_from_shore(
        found.messages, found.codebook, found.meta["dive_number"], len(found.sent), found.climatology
    )
    compared = None
    if before:
        earlier, not_taken = read_fleet([path for path in before if path != Path(dive)], relations)
        compared = [*earlier, digest(found.path, relations)], not_taken
    plots, context = content(found, shore, studied, compared)
    folder = found.path if found.path.is_dir() else found.path.parent
    target = folder / "report.html" if out is None else Path(out)
    write_page(render_content(plots, context), target, "choose another file with --out")
    _write_figures(plots, figures)
    return target


def write_fleet_report(
    dives: Sequence[Path], out: Path, *, figures: Path | None = None
) -> tuple[Path, Sequence[str]]:
    """Write the page of several dives; return its path, and a sentence on each that was not taken.

    Raises `InputError` when none can be read, or the page cannot be written.
    """
    from tools.shore.report.digest import read_fleet
    from tools.shore.report.fleet import fleet_content, render_fleet_content
    from tools.shore.science.files import shipped_relations

    found, not_taken = read_fleet(dives, shipped_relations())
    if not found:
        raise InputError(
            f"has no dive that can be read ({not_taken[0] if not_taken else 'none is there'})",
            field="report",
            remedy="name dives, or folders of dives with --fleet",
        )
    plots, context = fleet_content(found, not_taken)
    write_page(render_fleet_content(plots, context), out, "choose another file with --out")
    _write_figures(plots, figures)
    return out, not_taken


def _write_figures(plots: Mapping[str, Figure], folder: Path | None) -> None:
    if folder is not None:
        from tools.shore.report.static import write_figures

        write_figures({name: plot for name, plot in plots.items() if "@" not in name}, folder)


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
    """Turn a missing package of the shore into one sentence that names the extra. Raises `InputError`."""
    try:
        yield
    except ImportError as missing:
        if (missing.name or "").partition(".")[0] not in ("plotly", "jinja2", "scipy", "matplotlib"):
            raise
        raise InputError(
            f"needs {missing.name}", field=command, remedy="pip install 'seston[shore]'"
        ) from missing


@click.command()
@click.argument("dives", metavar="DIVE|MESSAGES...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File to write; DIVE/report.html, or fleet.html, by default.",
)
@click.option(
    "--max-vignettes",
    type=click.IntRange(0),
    default=MAX_VIGNETTES,
    show_default=True,
    help="Vignettes shown of each taxon at most.",
)
@click.option(
    "--before", multiple=True, type=click.Path(path_type=Path),
    help="A dive to compare DIVE with: its folder, with a log or messages. May be repeated.",
)  # fmt: skip
@click.option("--fleet", is_flag=True, help="Each DIVE is a folder: all dives in it and below make one page.")
@click.option(
    "--codebook", "codebooks", multiple=True, type=click.Path(path_type=Path), help="As for seston decode.",
)  # fmt: skip
@click.option(
    "--climatology", "climatologies", multiple=True, type=click.Path(path_type=Path),
    help="As for seston decode.",
)  # fmt: skip
@click.option("--figures", type=click.Path(path_type=Path), help="Write every plot here too, as PNG and PDF.")
def report(
    dives: tuple[Path, ...],
    out: Path | None,
    max_vignettes: int,
    before: tuple[Path, ...],
    fleet: bool,
    codebooks: tuple[Path, ...],
    climatologies: tuple[Path, ...],
    figures: Path | None,
) -> None:
    """Make one self-contained HTML page of DIVE, a folder made by simulate or run, or its dive.sqlite.

    Where there is no log, of the MESSAGES that came: a folder with them. The page shows what they hold, and
    says what they do not. Several dives, or --fleet with folders of dives, make one page of all of them: map,
    time-depth sections, budgets, health, drift.
    """
    if (codebooks or climatologies) and (fleet or len(dives) > 1):
        raise click.UsageError("--codebook and --climatology go with one dive")
    if before and (fleet or len(dives) > 1):
        raise click.UsageError("--before compares one dive with others; it does not go with several")
    with shore_extra("report"):
        if not fleet and len(dives) == 1:
            page = write_report(
                dives[0], out, max_vignettes=max_vignettes, before=before, figures=figures,
                codebooks=codebooks, climatologies=climatologies,
            )  # fmt: skip
            click.echo(page)
            return
        from tools.shore.report.digest import find_dives

        page, not_taken = write_fleet_report(
            find_dives(dives) if fleet else list(dives), out or Path("fleet.html"), figures=figures
        )
    for sentence in not_taken:
        click.echo(f"Not used: {sentence}", err=True)
    click.echo(page)
