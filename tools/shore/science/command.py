"""`seston science`: what a dive says of the sea, as tidy tables and figures. Here only the command."""

from __future__ import annotations

import math
from pathlib import Path

import click


@click.command()
@click.argument("dive", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write to; DIVE/science by default.")
@click.option(
    "--ctd", type=click.Path(path_type=Path),
    help="Readings of a CTD: CSV, tab-separated, or netCDF (Argo's too); met by time, else by pressure.",
)  # fmt: skip
@click.option(
    "--relations", "own", type=click.Path(path_type=Path),
    help="Your own relations from size to carbon and flux (TOML): they are added, and win.",
)  # fmt: skip
@click.option(
    "--layer-dbar", type=click.IntRange(1, 2000), help="Height of the layers; as the dive needs by default."
)
@click.option(
    "--min-area-px", type=click.IntRange(1, 10_000), default=2, show_default=True,
    help="Smaller particles are left out: those of one pixel are noise.",
)  # fmt: skip
@click.option(
    "--up-deg", type=click.FloatRange(-360, 360), default=90.0, show_default=True,
    help="Where up is in the image, degrees counter-clockwise from its right.",
)  # fmt: skip
@click.option("--no-figures", is_flag=True, help="Write tables alone.")
def science(
    dive: Path,
    out: Path | None,
    ctd: Path | None,
    own: Path | None,
    layer_dbar: int | None,
    min_area_px: int,
    up_deg: float,
    no_figures: bool,
) -> None:
    """Spectra, biovolume, carbon, flux, slope, shapes and orientation of DIVE, with intervals.

    DIVE is a folder with a dive.sqlite, or with messages: of those less can be had, and that is said.
    """
    from rich.console import Console
    from rich.table import Table

    from tools.shore.dives import open_dive
    from tools.shore.science.files import read_relations, write_tables
    from tools.shore.science.reading import Options
    from tools.shore.science.study import study

    with open_dive(dive) as opened:
        found, plots = study(
            opened, read_relations(own), Options(min_area_px, layer_dbar), ctd=ctd, up_deg=up_deg,
            with_pictures=not no_figures,
        )  # fmt: skip
    folder = out or (dive if dive.is_dir() else dive.parent) / "science"
    written = write_tables(found, folder)
    if not no_figures:
        from tools.shore.report.static import write_figures

        written += write_figures(plots, folder / "figures")
    console = Console()
    table = Table("taxon", "counted", "per m³", "carbon, mg m⁻³", "conversion", title=found.seen.name)
    for row in sorted(found.taxa[0][1], key=lambda one: -one.count):
        if row.count:
            table.add_row(
                row.label, f"{row.count:,}", _range(1000, row.per_l, row.per_l_low, row.per_l_high),
                _range(1, row.ug_c_per_l, row.ug_c_per_l_low, row.ug_c_per_l_high), row.conversion,
            )  # fmt: skip
    if table.row_count:
        console.print(table)
    else:
        console.print(f"{found.seen.name}: no particle was named.", highlight=False, markup=False)
    for scope, relation, flux in found.fluxes:
        if scope.phase is None:
            console.print(
                f"Flux after {relation.name}: {_ends(flux.value, flux.low, flux.high)} mg C m⁻² d⁻¹",
                highlight=False,
            )
    for scope, slope in found.slopes:
        if scope.phase is None:
            console.print(
                f"Slope by {slope.method}: {_ends(slope.value, slope.low, slope.high)}", highlight=False
            )
    for remark in found.remarks:
        console.print(f"- {remark}", highlight=False, markup=False)
    console.print(f"{len(written)} files in {folder}", highlight=False, soft_wrap=True, markup=False)


def _range(scale: float, value: float, low: float, high: float) -> str:
    return "–" if not math.isfinite(value) else _ends(scale * value, scale * low, scale * high)


def _ends(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return "not known"
    middle, least, most = (f"{one:,.0f}" if abs(one) >= 100 else f"{one:#.3g}" for one in (value, low, high))
    return f"{middle} ({least} to {most})"
