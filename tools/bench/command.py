"""`seston bench NAME`: run one benchmark, print its table, write its JSON.

A benchmark is a module here with `bench() -> dict` of title, columns, rows, notes and numbers; its options
are keywords. It measures all contenders side by side in one run and judges nothing: the reader does.
"""

from __future__ import annotations

import importlib
import json
import platform
import sys
from pathlib import Path

import click

NAMES = ("segment", "classify", "pipeline", "train")


@click.command()
@click.argument("name", type=click.Choice(NAMES))
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write results here."
)
@click.option("--images", type=click.IntRange(min=512), help="train: images of the epoch (default 2000).")
def bench(name: str, json_file: Path | None, images: int | None) -> None:
    """Measure speed and memory of one part, side by side with its alternatives, in one run."""
    from rich.console import Console
    from rich.table import Table

    if images is not None and name != "train":
        raise click.UsageError("--images goes with `bench train`")
    options = {} if images is None else {"images": images}
    result = importlib.import_module(f"tools.bench.{name}").bench(**options)
    table = Table(*result["columns"], title=result["title"])
    for row in result["rows"]:
        table.add_row(*(cell if isinstance(cell, str) else f"{cell:.4g}" for cell in row))
    console = Console(width=None if sys.stdout.isatty() else 130)  # a file or a pipe has no width
    console.print(table)
    for note in result["notes"]:
        console.print(f"- {note}", highlight=False)
    if json_file is not None:
        machine = {"python": platform.python_version(), "machine": platform.machine()}
        json_file.write_text(json.dumps({"machine": machine, **result}, indent=1) + "\n", encoding="utf-8")
        console.print(f"written to {json_file}")
