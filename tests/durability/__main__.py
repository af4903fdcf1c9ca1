"""`python -m tests.durability`: kill the process as often as you like, and see what it costs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tests.durability.kills import kill_again_and_again


@click.command()
@click.option("--kills", default=2000, show_default=True, help="How often.")
@click.option("--seed", default=1, show_default=True, help="Of the instants.")
@click.option("--most-s", default=float("inf"), help="Stop after so many seconds.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where the dives go; kept.")
def main(kills: int, seed: int, most_s: float, folder: Path | None) -> None:
    """Kill the service by SIGKILL at random instants through whole dives, and check every promise."""
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        tally = kill_again_and_again(place, kills, seed, most_s=most_s)
    table = Table(title=f"SIGKILL, seed {seed}", show_header=False)
    for row in tally.rows():
        table.add_row(*row)
    Console().print(table)


main()
