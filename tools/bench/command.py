"""`seston bench NAME`: run one benchmark, print its table, write its JSON.

A benchmark is a module here with `bench() -> dict` of title, columns, rows, notes and numbers, or with a list
of tables in place of one; its options are keywords. It measures all contenders side by side in one run and
judges nothing: the reader does.
"""

from __future__ import annotations

import importlib
import json
import platform
import sys
from pathlib import Path

import click

NAMES = (
    "segment",
    "classify",
    "pipeline",
    "train",
    "telemetry",
    "thumbnails",
    "bridge",
    "power",
    "start",
    "shore",
)
OPTIONS = {
    "images": ("train", "thumbnails"),
    "data": ("thumbnails", "shore"),
    "part": ("shore",),
    "dives": ("telemetry",),
    "casts": ("telemetry",),
    "sessions": ("bridge",),
    "objects": ("shore",),
    "frames": ("power",),
    "board": ("power",),
    "battery_wh": ("power",),
    "config": ("power",),
    "cycle_days": ("power",),
    "dive_dbar": ("power",),
    "mips": ("power",),
}
"""Options of some benchmarks alone, and which."""
LEAST_IMAGES = {"train": 512}


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
    "--data",
    type=click.Path(path_type=Path),
    help="thumbnails: sorted dark-field images, a folder or zip; shore: sorted images, for the part sort.",
)
@click.option(
    "--part", type=click.Choice(["export", "report", "reprocess", "sort"]), help="shore: this part alone."
)
@click.option("--dives", type=click.IntRange(min=1), help="telemetry: dives of each load (default 20).")
@click.option(
    "--casts",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="telemetry: folder of *_Particule.zip (default: ../shared/data/uvp6_casts, if it is there).",
)
@click.option("--sessions", type=click.IntRange(min=1), help="bridge: SBD sessions (default 10000).")
@click.option("--objects", type=click.IntRange(min=10), help="shore: objects of the dive (default 100000).")
@click.option("--frames", type=click.IntRange(min=4), help="power: frames of a run (default 100).")
@click.option(
    "--board", type=click.Choice(["zero2w", "pi3", "pi4", "pi5", "coral"]), help="power: of the energy table."
)
@click.option("--battery-wh", type=click.FloatRange(min=0, min_open=True), help="power: battery (100).")
@click.option(
    "--config", type=click.Path(path_type=Path), help="power: configuration, for its zones and frame_j."
)
@click.option("--cycle-days", type=click.FloatRange(0.1, 3650), help="power: days from dive to dive (10).")
@click.option("--dive-dbar", type=click.FloatRange(1, 6000), help="power: depth of a dive (1000).")
@click.option(
    "--mips", type=click.IntRange(min=1), help="power: 7-zip MIPS of one core here; measured by default."
)
def bench(name: str, json_file: Path | None, **given: int | float | str | Path | None) -> None:
    """Measure one part (speed, memory, bytes), side by side with its alternatives, in one run."""
    from rich.console import Console
    from rich.table import Table

    options = {option: value for option, value in given.items() if value is not None}
    for option, value in options.items():
        if name not in OPTIONS[option]:
            raise click.UsageError(
                f"--{option.replace('_', '-')} goes with `bench {'` and `bench '.join(OPTIONS[option])}`"
            )
        if isinstance(value, int) and option == "images" and value < LEAST_IMAGES.get(name, 1):
            raise click.UsageError(f"--images is {value}, `bench {name}` needs at least {LEAST_IMAGES[name]}")
    result = importlib.import_module(f"tools.bench.{name}").bench(**options)
    console = Console(width=None if sys.stdout.isatty() else 130)  # a file or a pipe has no width
    for one in result.get("tables") or [result]:
        table = Table(*one["columns"], title=one["title"])
        for row in one["rows"]:
            table.add_row(*(cell if isinstance(cell, str) else f"{cell:.4g}" for cell in row))
        console.print(table)
    for note in result["notes"]:
        console.print(f"- {note}", highlight=False)
    if json_file is not None:
        machine = {"python": platform.python_version(), "machine": platform.machine()}
        json_file.write_text(json.dumps({"machine": machine, **result}, indent=1) + "\n", encoding="utf-8")
        console.print(f"written to {json_file}")
