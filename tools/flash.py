"""`seston flash`: what goes onto a board. A thin end of `tools.flashing`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from edge.durable import write_durably
from tools.flashing.image_commands import check, image, system

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
DEFAULT_EPOCH_S = 1_767_225_600
"""2026-01-01: what is installed is dated so, where SOURCE_DATE_EPOCH does not say otherwise."""


@click.group()
def flash() -> None:
    """Make what goes onto a board: an installer that needs no network, or the card of a unit."""


for command in (system, image, check):
    flash.add_command(command)


@flash.command()
@click.option("--out", type=FOLDER, default=Path("out/flash"), show_default=True, help="Where the file goes.")
@click.option("--config", type=FILE, help="Configuration of the float; it is the board's first.")
@click.option(
    "--model", "models", type=FILE, multiple=True, help="A bundle that is not shipped; may be repeated."
)
@click.option("--keys", type=FILE, help="keys.toml, as seston keys install writes it.")
@click.option("--edgetpu", type=FILE, help="libedgetpu.so.1 or its Debian package, for a Coral.")
@click.option("--lock", "lock_file", type=click.Path(dir_okay=False, path_type=Path),
              help="Wheels to take, by their hashes; written where it is not there.")  # fmt: skip
@click.option("--wheels", type=FOLDER, default=Path("out/flash/wheels"), show_default=True,
              help="Where fetched wheels are kept.")  # fmt: skip
@click.option("--python", "pythons", multiple=True, default=("3.11", "3.13"), show_default=True,
              type=click.Choice(["3.11", "3.12", "3.13", "3.14"]), help="Pythons of the boards.")  # fmt: skip
@click.option("--arch", type=click.Choice(["aarch64", "x86_64"]), default="aarch64", show_default=True)
def bundle(
    out: Path, config: Path | None, models: tuple[Path, ...], keys: Path | None, edgetpu: Path | None,
    lock_file: Path | None, wheels: Path, pythons: tuple[str, ...], arch: str,
) -> None:  # fmt: skip
    """Make the installer: one file for a Raspberry Pi or another 64-bit Debian board, without a network."""
    import msgspec

    from tools.flashing.installer import Wanted, build
    from tools.flashing.wheels import read_lock

    epoch_s = int(os.environ.get("SOURCE_DATE_EPOCH", DEFAULT_EPOCH_S))
    wanted = Wanted(arch, tuple(sorted(pythons)), config, models, keys, edgetpu, epoch_s)
    lock = read_lock(lock_file) if lock_file is not None and lock_file.exists() else None
    file, used = build(wanted, out, wheels, lock)
    if lock_file is not None and lock is None:
        write_durably(lock_file, msgspec.json.format(msgspec.json.encode(used)) + b"\n")
    click.echo((out / f"{file.name}.sha256").read_text(), nl=False)
    click.echo(f"{file.stat().st_size / 1e6:.1f} MB. On the board: sudo sh {file.name}")
