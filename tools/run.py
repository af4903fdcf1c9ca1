"""`seston run`: the instrument as it runs aboard. A thin end of `edge.service`."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from edge.config import load_config
from edge.inference.bundle import load_bundle
from edge.logged import optics_of
from edge.service import Service
from edge.watchdog import Watchdog


@click.command()
@click.option(
    "--config", "config_file", required=True, type=click.Path(path_type=Path), help="Configuration (TOML)."
)
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), default=Path(),
    help="Where dives and messages go; the configuration's folders begin here.",
)  # fmt: skip
@click.option(
    "--alone", is_flag=True,
    help="At sea: a camera or port that is not there is an alarm and is tried again, not refused.",
)  # fmt: skip
def run(config_file: Path, folder: Path, alone: bool) -> None:
    """Run the instrument: wait for a dive, take frames, and leave its messages in a folder.

    SIGTERM or Ctrl-C stops it; what was committed is kept, and the next start goes on with the same dive.
    """
    config = load_config(config_file)
    optics_of(config)
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: stopped.append(received))
    service = Service(
        config, load_bundle(config.bundle), folder, say=click.echo, watchdog=Watchdog(), is_alone=alone
    )
    service.run(stop=lambda: bool(stopped))
