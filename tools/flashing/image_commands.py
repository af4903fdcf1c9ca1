"""`seston flash system|image|check`: the system of a board, the card of a unit, and what is on a card."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)
DEFAULT_EPOCH_S = 1_767_225_600


@click.command()
@click.option("--installer", required=True, type=FILE, help="As seston flash bundle writes it.")
@click.option("--out", required=True, type=NEW_FILE, help="The system: NAME.system.")
@click.option(
    "--mirror", "mirrors", multiple=True,
    help="A line of sources.list in place of Debian's, as of snapshot.debian.org; may be repeated.",
)  # fmt: skip
@click.option(
    "--key", "key_file", type=FILE, help="Private key that signs it: units with keys take no other."
)
def system(installer: Path, out: Path, mirrors: tuple[str, ...], key_file: Path | None) -> None:
    """Make the system of a board: Debian with the instrument in it, for a card or as the update of one.

    From the same packages of Debian and the same installer come the same bytes; a line of snapshot.debian.org
    holds Debian's packages where they were.
    """
    from tools.flashing.system import build_system
    from tools.flashing.system_file import System
    from tools.keyring import load_private
    from tools.keys import ask_passphrase

    key = None if key_file is None else load_private(key_file, ask_passphrase)
    build_system(installer, out, click.echo, mirrors=mirrors, epoch_s=_epoch_s(), key=key)
    told = System(out).manifest
    click.echo(
        f"{out}: {told.name}, {out.stat().st_size / 1e6:,.0f} MB, {len(told.packages)} packages of Debian"
    )


@click.command()
@click.argument("unit_file", type=FILE)
@click.option("--system", "system_file", required=True, type=FILE, help="As seston flash system writes it.")
@click.option("--out", required=True, type=NEW_FILE, help="The image: NAME.img.xz, or NAME.img.")
@click.option(
    "--data", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of files for /var/lib/seston, such as a recording to replay.",
)  # fmt: skip
def image(unit_file: Path, system_file: Path, out: Path, data: Path | None) -> None:
    """Make the card of one unit: UNIT_FILE says its name, its configuration, and who may log in."""
    from tools.flashing.card import build_card
    from tools.flashing.system_file import System
    from tools.flashing.unit_file import read_unit

    out.parent.mkdir(parents=True, exist_ok=True)
    unit = read_unit(unit_file)
    build_card(System(system_file), unit, out.absolute(), click.echo, epoch_s=_epoch_s(), data=data)
    plain = out.with_suffix("") if out.suffix == ".xz" else out
    click.echo(f"{out}: {out.stat().st_size / 1e6:,.0f} MB. Write it with Raspberry Pi Imager, or")
    click.echo(f"  sudo bmaptool copy --bmap {plain}.bmap {out} /dev/sdX")


@click.command()
@click.argument("file", type=FILE)
def check(file: Path) -> None:
    """Show what is on the image of a card, and whether it is as it must be; exit code 1 when not.

    It is read, not mounted: no root is needed.
    """
    from edge.selftest import Status
    from tools.flashing.inspect_card import inspect

    is_good = True
    for found in inspect(file):
        is_good &= found.status is not Status.BAD
        click.echo(f"{found.status:4}  {found.name:12} {found.message}")
    if not is_good:
        sys.exit(1)


def _epoch_s() -> int:
    return int(os.environ.get("SOURCE_DATE_EPOCH", DEFAULT_EPOCH_S))
