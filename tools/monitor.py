"""`seston monitor`: a page for the bench, of an instrument at work. A thin end of `tools.monitoring`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from edge.config import load_config
from edge.errors import ConfigError, InputError
from edge.run_config import RunConfig
from tools.local_page import LOCAL
from tools.monitoring.server import Server
from tools.monitoring.state import Monitor

NICENESS = 10


@click.command()
@click.argument("place", metavar="[FOLDER|CONFIG]", type=click.Path(path_type=Path), default=Path())
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), show_default="here",
    help="With CONFIG: where `seston run` keeps its data.",
)  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: any.")
@click.option(
    "--listen", metavar="ADDRESS", default="127.0.0.1", show_default=True,
    help="Serve others too: whoever reaches this address sees the page.",
)  # fmt: skip
def monitor(place: Path, folder: Path, port: int, listen: str) -> None:
    """Show the instrument at work in FOLDER, that of `seston run`, as a page for a browser on this machine.

    The newest frame with its particles, taxa, sizes, outcomes and health; nothing can be changed there. From
    a laptop on deck: ssh -L 8765:127.0.0.1:8765 pi@float, then http://127.0.0.1:8765. FOLDER may also be that
    of one dive.
    """
    folder, dives = _places(place, folder)
    os.nice(NICENESS)  # the instrument comes first
    if folder.stat().st_uid != os.geteuid() != 0:
        click.echo("seston: this is not the user of seston run: there may be no frames.", err=True)
    watched = Monitor(folder, dives)
    try:
        server = Server(watched, listen, port)
    except OSError as cause:
        raise InputError(
            f"is {port}, which cannot be had on {listen} ({cause.strerror or cause})",
            field="--port",
            remedy="choose another, or --port 0 for any",
        ) from None
    server.end_on_signals()
    if listen not in LOCAL:
        click.echo(
            f"seston: WARNING: whoever reaches {listen} sees this page, without password and in the clear.",
            err=True,
        )
    click.echo(
        f"http://{'127.0.0.1' if listen in LOCAL else listen}:{server.server_address[1]}  (Ctrl-C ends it)"
    )
    try:
        server.serve_forever()
    finally:
        server.server_close()
        watched.close()


def _places(place: Path, folder: Path) -> tuple[Path, Path]:
    """Folder of the data, and that of the dives in it, or of one dive."""
    if place.is_file():
        config = load_config(place)
        dives = folder / config.run.dives_dir
    elif (place / "dive.sqlite").is_file():
        folder = dives = place
    else:
        folder, dives = place, place / RunConfig().dives_dir
    if not folder.is_dir():
        raise ConfigError(
            "is no folder", file=folder, remedy="name the folder of seston run, or its configuration"
        )
    return folder, dives
