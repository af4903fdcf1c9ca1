"""`seston climatology`: what dives of a region hold on average, as a file that floats and shore code with.

It makes messages shorter; where it is wrong, the float sees that and codes without it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click
import msgspec

from edge.divelog import DiveLog
from edge.logged import summarise
from edge.telemetry import DiveSummary, plan
from tools.shore.climatology import fit_climatology

PLENTY_BYTES = 1 << 24
MESSAGE_BYTES = 340


@click.command()
@click.argument("dives", metavar="DIVES...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("climatology.json"),
    show_default=True, help="File to write; name it in [telemetry] climatology.",
)  # fmt: skip
@click.option("--name", default="", help="The region in words.")
def climatology(dives: tuple[Path, ...], out: Path, name: str) -> None:
    """Learn a climatology from DIVES: folders made by simulate or run, or dive.sqlite files."""
    summaries = []
    for path in dives:
        with DiveLog.open(path) as log:
            summaries.append(summarise(log))
    learned = fit_climatology([(one.codebook, one.profile.phases) for one in summaries], name or out.stem)
    out.write_bytes(learned.to_json() + b"\n")
    click.echo(f"{out}: {learned.n_dives} dives, {len(learned.taxa)} taxa, {len(learned.sizes)} size classes")
    click.echo(f"sha256 {learned.sha256}")
    left_out = _left_out(summaries)
    if left_out is not None:
        flat, regional = left_out
        click.echo(
            f"Learned without the last dive, it codes that one in {regional} bytes; {flat} without it."
        )


def _left_out(summaries: list[DiveSummary]) -> tuple[int, int] | None:
    """Bytes of the last dive, flat and with what the others teach; None when there is but one."""
    if len(summaries) < 2:
        return None
    others = fit_climatology([(one.codebook, one.profile.phases) for one in summaries[:-1]], "others")
    book = msgspec.structs.replace(summaries[-1].codebook, climatology_sha256=others.sha256)
    flat = plan(summaries[-1], PLENTY_BYTES, MESSAGE_BYTES).n_bytes
    named = dataclasses.replace(summaries[-1], codebook=book)
    return flat, plan(named, PLENTY_BYTES, MESSAGE_BYTES, climatology=others).n_bytes
