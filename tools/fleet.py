"""`seston fleet add`, `list`, `show`, `check`, `backup`: what messages of any year are read with.

`seston decode --fleet` and `seston receive --fleet` take from it what a message asks for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from edge.durable import write_durably
from edge.errors import InputError
from tools.shore.fleet.contents import contents_of
from tools.shore.fleet.registry import LEAST_PREFIX, Content, Entry, Kind, Registry

PATH = click.Path(path_type=Path)


def fleet_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--fleet`: the registry."""
    return click.option(
        "--fleet", "file", type=click.Path(dir_okay=False, path_type=Path), default=Path("fleet.sqlite"),
        show_default=True, help="The registry, one file.",
    )(function)  # fmt: skip


@click.group()
def fleet() -> None:
    """Keep what messages are read with: codebooks, climatologies, bundles, optics, public keys."""


@fleet.command()
@click.argument("paths", metavar="FILE|FOLDER...", nargs=-1, required=True, type=PATH)
@click.option("--unit", default="", help="Whose it is; a codebook says it itself.")
@fleet_option
def add(paths: tuple[Path, ...], unit: str, file: Path) -> None:
    """Add codebooks, climatologies, bundles, optics, public keys, or what dives have of these.

    What is there already stays as it is; nothing is ever replaced. The registry is made when it is missing.
    """
    found: dict[tuple[str, str, str], Content] = {}
    for path in paths:
        for one in contents_of(path, unit):
            found.setdefault((one.sha256, one.unit, one.name), one)
    with Registry(file, create=True) as registry:
        new = registry.add(found.values(), time.time_ns() // 1_000_000)
        lacks = registry.lacks()
    for one in new:
        of = f" of {one.unit}" if one.unit else ""
        click.echo(f"added: {one.kind} {one.sha256[:12]} {one.name}{of}")
    click.echo(f"{file}: {len(new)} added, {len(found) - len(new)} there before.")
    for sentence in lacks:
        click.echo(f"Remark: {sentence}.")


@fleet.command("list")
@click.option("--kind", type=click.Choice([one.value for one in Kind]), help="Of one kind alone.")
@click.option("--unit", help="Of one unit alone.")
@fleet_option
def list_(kind: str | None, unit: str | None, file: Path) -> None:
    """List what there is, by unit."""
    with Registry(file) as registry:
        entries = registry.entries()
    _show([one for one in entries if kind in (None, one.kind) and unit in (None, one.unit)])


@fleet.command()
@click.argument("what", metavar="HASH|UNIT")
@click.option("--write", "target", type=PATH, help="Write the content into this file.")
@fleet_option
def show(what: str, target: Path | None, file: Path) -> None:
    """Show one content by the start of its hash, or all of a unit."""
    with Registry(file) as registry:
        entries = registry.entries()
        of_unit = [one for one in entries if one.unit == what]
        found = [one for one in entries if len(what) >= LEAST_PREFIX and one.sha256.startswith(what.lower())]
        hashes = sorted({one.sha256 for one in found})
        if not of_unit and not hashes:
            raise InputError(
                f"has no unit {what}, and no hash of {LEAST_PREFIX} or more digits begins so", file=file,
                remedy="see `seston fleet list`",
            )  # fmt: skip
        if target is not None:
            if len(hashes) != 1:
                raise InputError(
                    f"is {len(hashes)} contents", field=what, remedy="give more digits of one hash"
                )
            data = registry.data(hashes[0])
            is_key = found[0].kind is Kind.KEY
            write_durably(target, data.hex().encode() + b"\n" if is_key else data)
            click.echo(f"{target}: {found[0].kind} {hashes[0]}")
            return
    _show(of_unit or found)


@fleet.command()
@fleet_option
def check(file: Path) -> None:
    """Check the file, and every content against its hash; exit code 1 when something is wrong.

    What a codebook names and is not there is a remark.
    """
    with Registry(file) as registry:
        faults, lacks, n = registry.faults(), registry.lacks(), len({e.sha256 for e in registry.entries()})
    for sentence in faults:
        click.echo(sentence)
    for sentence in lacks:
        click.echo(f"Remark: {sentence}.")
    click.echo(f"{file}: {n} contents, {len(faults)} faults, {len(lacks)} remarks.")
    if faults:
        raise SystemExit(1)


@fleet.command()
@click.argument("target", metavar="FILE", type=PATH)
@fleet_option
def backup(target: Path, file: Path) -> None:
    """Copy the registry into a new FILE, whoever is adding to it meanwhile."""
    with Registry(file) as registry:
        registry.back_up(target)
    click.echo(f"{target}: a copy of {file}")


def _show(entries: list[Entry]) -> None:
    """Print lines of the registry as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("unit", "kind", "SHA-256", "name", "added (UTC)", "bytes")
    for one in entries:
        added = datetime.fromtimestamp(one.added_ms / 1000, UTC).strftime("%Y-%m-%d")
        table.add_row(one.unit, one.kind.value, one.sha256[:16], one.name, added, str(one.n_bytes))
    Console().print(table)
