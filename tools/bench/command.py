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

NAMES = ("segment", "classify", "pipeline", "train", "thumbnails")

LEAST_IMAGES = {"train": 512, "thumbnails": 1}


@click.command()
@click.argument("name", type=click.Choice(NAMES))
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write results here."
)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    help="train: images of the epoch (default 2000); thumbnails: images compared (default 200).",
)
@click.option(
    "--data", type=click.Path(path_type=Path), help="thumbnails: sorted dark-field images, a folder or zip."
)
def bench(name: str, json_file: Path | None, images: int | None, data: Path | None) -> None:
    """Measure speed and memory of one part, side by side with its alternatives, in one run."""
    from rich.console import Console
    from rich.table import Table

    if images is not None and name not in LEAST_IMAGES:
        raise click.UsageError(f"--images goes with `bench {'` and `bench '.join(LEAST_IMAGES)}`")
    if images is not None and images < LEAST_IMAGES[name]:
        raise click.UsageError(f"--images is {images}, `bench {name}` needs at least {LEAST_IMAGES[name]}")
    if data is not None and name != "thumbnails":
        raise click.UsageError("--data goes with `bench thumbnails`")
    given = {"images": images, "data": data}
    options = {key: value for key, value in given.items() if value is not None}
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
