"""`seston unit`: the service of systemd for this machine, printed. It installs nothing."""

from __future__ import annotations

import grp
import re
import sys
from importlib.resources import files
from pathlib import Path

import click

from edge.errors import ConfigError

STATE = Path("/var/lib")
GROUPS = ("dialout", "video", "gpio", "plugdev", "apex")
"""Who may use ports, cameras, GPIO, devices on USB and a Coral on PCIe, where a machine has such groups."""


@click.command()
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), default=Path("/etc/seston/float.toml"),
    show_default=True, help="Configuration (TOML).",
)  # fmt: skip
@click.option("--user", default="seston", show_default=True, help="Who it runs as: a user of its own.")
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), default=Path("/var/lib/seston"),
    show_default=True, help="Where dives and messages go: the one place it writes to.",
)  # fmt: skip
@click.option(
    "--program", type=click.Path(path_type=Path), help="The `seston` it starts; this one if not said."
)
def unit(config_file: Path, user: str, folder: Path, program: Path | None) -> None:
    """Print the unit of systemd that runs the instrument on this machine."""
    click.echo(unit_for(config_file, user, folder, program), nl=False)


def unit_for(config_file: Path, user: str, folder: Path, program: Path | None = None) -> str:
    """The unit as text.

    Parameters
    ----------
    config_file, folder
        Where they are; made absolute.
    user
        Name.
    program
        The `seston` that it starts; the one beside this Python if not said.

    Raises `ConfigError` for a path that a unit cannot name.
    """
    there = {one.gr_name for one in grp.getgrall()}
    place = Path(_plain(folder))
    told = {
        "SESTON": _plain(program or Path(sys.executable).parent / "seston"),
        "CONFIG": _plain(config_file),
        "FOLDER": str(place),
        # Made, and given to the user, by systemd.
        "STATE": str(place.relative_to(STATE)) if place.is_relative_to(STATE) else "",
        "USER": user,
        "GROUPS": " ".join(one for one in GROUPS if one in there),
    }
    text = (files("edge") / "systemd" / "seston.service").read_text(encoding="utf-8")
    for name, value in told.items():
        text = text.replace(f"@{name}@", value)
    return text


def _plain(place: Path) -> str:
    """A path as it may stand in a unit, where blanks, %, $ and quotes have meanings of their own."""
    told = str(place.absolute())
    if not re.fullmatch(r"[\w/.+-]+", told):
        raise ConfigError(
            f"is {told}, which a unit cannot name",
            field="unit",
            remedy="use letters, digits and / . _ + - alone",
        )
    return told
