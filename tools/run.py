"""`seston run`: the instrument as it runs aboard. A thin end of `edge.service`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click

from edge.config import Config, load_config
from edge.errors import DiveLogError, SestonError
from edge.inference.bundle import Bundle, load_bundle
from edge.logged import optics_of
from edge.service import Service
from edge.updates import Updates
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
    When another model or configuration has come from shore, it starts itself anew between dives.
    """
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: stopped.append(received))
    updates, config, bundle = _what_runs(config_file, folder)
    is_on_trial = updates is not None and updates.is_on_trial
    try:
        service = Service(
            config, bundle, folder, say=click.echo, watchdog=Watchdog(), updates=updates,
            is_alone=alone and not is_on_trial,
        )  # fmt: skip
    except SestonError as error:
        if not is_on_trial or stopped:
            raise
        click.echo(f"ALARM: an update on trial does not start: {error}")
        _start_anew()
    service.run(stop=lambda: bool(stopped))
    if service.is_behind and not stopped:
        click.echo("starts anew, for what is to run is another")
        _start_anew()


def _what_runs(config_file: Path, folder: Path) -> tuple[Updates | None, Config, Bundle]:
    """The unit's own model and configuration, or those that an update brought."""
    try:
        updates = Updates(folder, config_file, click.echo)
        running = updates.begin()
    except DiveLogError as error:
        click.echo(f"ALARM: no updates are taken, and what the unit was sent to sea with runs: {error}")
        config = load_config(config_file)
        optics_of(config)
        return None, config, load_bundle(config.bundle)
    optics_of(running.config)
    return updates, running.config, running.bundle


def _start_anew() -> None:
    """Be this program from its beginning, under the same number: who watches over it need not know."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
