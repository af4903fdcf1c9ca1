"""`seston selftest` and `seston health`: on deck, does everything work; and how does the board fare."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from edge.accelerator_checks import accelerator_checks
from edge.config import ClassifyConfig, load_config
from edge.dive_checks import dive_checks
from edge.durable import write_durably
from edge.errors import DiveLogError, InputError
from edge.inference.bundle import load_bundle
from edge.log_reader import LogReader
from edge.logged import optics_of
from edge.selftest import Check, Status, board_checks, run_checks
from edge.updates import look_up

RECORD = "selftest.json"
COLOURS = {Status.GOOD: "green", Status.LOOK: "yellow", Status.BAD: "bold red", Status.NONE: "dim"}

folder_option = click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), default=Path(),
    help="Where `seston run` keeps its data.",
)  # fmt: skip


@click.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration (TOML).")
@folder_option
@click.option(
    "--accelerator", metavar="[LIBRARY]", is_flag=False, flag_value="",
    help="Only the Edge TPU, of this library or the configured one; needs no configuration.",
)  # fmt: skip
def selftest(config_file: Path | None, folder: Path, accelerator: str | None) -> None:
    """Try everything that a dive needs, in under a minute, and keep the record.

    Exit code 1 when something is BAD; what says `look` may be as it should be. `seston run` must not be
    running: camera and ports are tried for real. With --accelerator nothing else is tried, and no record is
    kept; it says what is missing, from the library to the rights, also where there is no Edge TPU.
    """
    if accelerator is not None:
        _accelerator(config_file, accelerator)
        return
    if config_file is None:
        raise click.UsageError("Missing option '--config'; only --accelerator can do without it.")
    folder.mkdir(parents=True, exist_ok=True)
    running = look_up(folder, config_file)
    config, bundle = running.config, running.bundle
    optics_of(config)
    begun = time.monotonic()
    checks = _show(
        itertools.chain(run_checks(config, bundle, folder), accelerator_checks(bundle, config.classify))
    )
    record = {
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "platform": config.platform,
        "seconds": round(time.monotonic() - begun, 1),
        "checks": [asdict(check) for check in checks],
    }
    write_durably(folder / RECORD, (json.dumps(record, indent=1) + "\n").encode())
    _conclude(checks, f"{record['seconds']} s, kept in {folder / RECORD}")


def _accelerator(config_file: Path | None, library: str) -> None:
    config = None if config_file is None else load_config(config_file)
    bundle = load_bundle("demo" if config is None else config.bundle)
    classify = ClassifyConfig() if config is None else config.classify
    _conclude(_show(accelerator_checks(bundle, classify, library)), "")


@click.command()
@folder_option
@click.option("--json", "as_json", is_flag=True, help="Every check as JSON.")
def health(folder: Path, as_json: bool) -> None:
    """Show how the board fares, and how the instrument fared in its last dive, or does in the one it is in.

    Nothing is switched on for it, and `seston run` may be running. FOLDER may also be that of one dive.
    """
    if not folder.is_dir():
        raise InputError(
            "is not there", file=folder, remedy="name the folder in which seston run keeps its data"
        )
    checks = itertools.chain(board_checks(folder), _of_last_dive(folder))
    if not as_json:
        _conclude(_show(checks), "")
    done = list(checks)
    click.echo(json.dumps([asdict(check) for check in done], indent=1))
    sys.exit(1 if any(check.status is Status.BAD for check in done) else 0)


def _of_last_dive(folder: Path) -> Iterator[Check]:
    numbered = [one for place in (folder, folder / "dives") for one in place.glob("[0-9]*/dive.sqlite")]
    alone = folder / "dive.sqlite"
    file = alone if alone.is_file() else max(numbered, key=lambda one: one.parent.name, default=None)
    if file is None:
        yield Check("dive", Status.NONE, "there is none in this folder")
        return
    try:
        with LogReader.look_into(file) as log:
            n = len(log.messages())
            made = f"{n} messages were made" if n else "no message is made yet"
            yield Check("dive", Status.GOOD, f"{log.meta('dive_number'):05d}, {made}; what follows is of it")
            yield from dive_checks(log)
    except DiveLogError as error:
        yield Check("dive", Status.BAD, str(error))


def _show(checks: Iterable[Check]) -> list[Check]:
    """A line a check, as each is done."""
    from rich.console import Console

    console = Console(highlight=False)
    done = []
    for check in checks:
        colour = COLOURS[check.status]
        console.print(f"[{colour}]{check.status.value:>5}[/{colour}]  {check.name:<12}", end="", markup=True)
        console.print(f"{check.seconds:6.1f} s  {check.message}", markup=False, soft_wrap=True)
        done.append(check)
    return done


def _conclude(checks: list[Check], more: str) -> None:
    bad = [check.name for check in checks if check.status is Status.BAD]
    look = [check.name for check in checks if check.status is Status.LOOK]
    click.echo()
    if bad:
        click.echo(f"NOT READY: {', '.join(bad)}.")
    elif look:
        click.echo(f"Ready, if this is as it should be: {', '.join(look)}.")
    else:
        click.echo("Ready.")
    if more:
        click.echo(more)
    sys.exit(1 if bad else 0)
