"""`seston slot`: the two systems of a card, on the board. A thin end of `tools.flashing.slots`."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def slot() -> None:
    """Show, update or go back between the two systems of this board's card."""


@slot.command()
def status() -> None:
    """Show which system runs, which starts, and what is on trial."""
    from tools.flashing.slots import read_slots

    slots = read_slots()
    click.echo(f"slot {slots.running} runs, {slots.good} is good")
    if slots.trial:
        click.echo(f"slot {slots.trial} is on trial; it may be tried {slots.left} times more")


@slot.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--unsigned", is_flag=True, help="Take one that no key of this unit has signed.")
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), default=Path("/var/lib/seston"),
    show_default=True, help="Where the unit's keys are.",
)  # fmt: skip
def update(file: Path, unsigned: bool, folder: Path) -> None:
    """Write a new system (seston flash system) beside the one that runs; the next start tries it."""
    from edge.installed_keys import read_installed
    from tools.flashing.slots import read_slots, write_other

    installed, _ = read_installed(folder)
    keys = {} if installed is None else {role.name: key for role, key in installed.by_role().items()}
    name = write_other(file, keys, click.echo, unsigned=unsigned)
    trial = read_slots().trial
    click.echo(f"{name} is on trial in slot {trial}: start the machine anew (systemctl reboot).")
    click.echo("It is kept when the instrument runs on it for a minute, and left after two starts without.")


@slot.command()
def rollback() -> None:
    """Start the other system from now on."""
    from tools.flashing.slots import roll_back

    click.echo(f"slot {roll_back()} starts from now on: start the machine anew (systemctl reboot)")
