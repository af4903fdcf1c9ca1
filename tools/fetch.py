"""`seston fetch`: dives, vignettes and logs out of an instrument on deck, without opening its housing."""

from __future__ import annotations

import datetime
import errno
import functools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from edge.durable import write_durably
from firmware_bridge import link_logs as logs
from firmware_bridge.transport import PortLine, open_transport
from tools.fetching import GO_ON, ChangedError, FetchError, Reader, visiting_peer

TOLD = "fetched.json"
SPEEDS = (460_800, 230_400, 115_200, 57_600)
"""Tried in turn below the highest."""
MOST_BEGINNINGS = 3
"""Of a dive whose files change while they are fetched."""


class Fetched(msgspec.Struct, frozen=True):
    """What is known of a dive that is here as a whole (`fetched.json` beside it).

    Attributes
    ----------
    begun_ms, frames, is_ended
        Of the dive, as the list aboard had it.
    with_vignettes
        Whether the log came as it is.
    stamp
        Of the log aboard.
    sha256
        Of each file as it came, by name.
    """

    dive: int
    begun_ms: int | None
    frames: int
    is_ended: bool
    with_vignettes: bool
    stamp: str
    sha256: dict[str, str]


class Aboard:
    """The files of one dive, as the list has them."""

    def __init__(self, rows: Sequence[logs.Row]) -> None:
        self.rows = {row.form: row for row in rows}
        self.first = rows[0]
        self.dive = self.first.dive

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(row.size_bytes for row in self.rows.values())

    def is_here(self, have: Fetched | None, *, with_vignettes: bool) -> bool:
        """Whether all that would come has come before."""
        if have is None or (with_vignettes and not have.with_vignettes):
            return False
        now = self.first
        # A log that has lost its vignettes since, for room aboard, is no news.
        is_same = (have.begun_ms, have.frames, have.is_ended) == (now.begun_ms, now.frames, now.is_ended)
        return have.stamp == now.stamp.hex() or (now.begun_ms is not None and is_same)


@click.command()
@click.argument("port")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("fetched"), show_default=True,
    help="Folder for the dives.",
)  # fmt: skip
@click.option("--baud", type=click.IntRange(300), default=9600, show_default=True,
              help="Speed of a serial port: [run.host] baud.")  # fmt: skip
@click.option("--speed", type=click.IntRange(300, 4_000_000), default=921_600, show_default=True,
              help="Highest speed to try; that of --baud leaves the port as it is.")  # fmt: skip
@click.option("--list", "only_list", is_flag=True, help="Show what is aboard, and fetch nothing.")
@click.option(
    "--dive", "dives", type=click.IntRange(0), multiple=True, help="Fetch this dive. May be repeated."
)
@click.option("--all", "every", is_flag=True, help="Fetch all dives. Those that are here stay as they are.")
@click.option("--new", is_flag=True, help="Fetch the dives that are not here yet: the same, and the usual.")
@click.option(
    "--without-vignettes", is_flag=True, help="Leave out the pictures, which are most of the bytes."
)
def fetch(
    port: str, out: Path, baud: int, speed: int, only_list: bool, dives: tuple[int, ...], every: bool,
    new: bool, without_vignettes: bool,
) -> None:  # fmt: skip
    """Fetch the dives of an instrument from PORT, a serial port or tcp:HOST:PORT.

    The instrument runs (`seston run`), and no dive is under way. What was broken off goes on where it was
    with the same command.
    """
    from rich.console import Console

    console = Console()
    if dives and (every or new):
        raise FetchError("does not go with --all or --new", field="--dive", remedy="leave one of them out")
    peer = visiting_peer()
    transport = open_transport(port, baud)
    line = PortLine(peer, lambda: transport)
    reader = Reader(peer, line, port, own_baud=0 if port.startswith("tcp:") else baud)
    try:
        reader.open()
        aboard = _aboard(reader.rows())
        if only_list:
            _show(console, aboard, out)
            return
        reader.hurry([one for one in (speed, *SPEEDS) if baud < one <= speed])
        wanted = list(aboard.values()) if not dives else [_find(aboard, dive, port) for dive in dives]
        _fetch_all(console, reader, wanted, out, without_vignettes=without_vignettes)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FetchError("has no room", file=out, remedy=f"free some: {GO_ON}") from None
        raise
    finally:
        reader.close()
        line.close()


def _aboard(rows: Sequence[logs.Row]) -> dict[int, Aboard]:
    grouped: dict[int, list[logs.Row]] = {}
    for row in rows:
        grouped.setdefault(row.dive, []).append(row)
    return {dive: Aboard(found) for dive, found in grouped.items()}


def _find(aboard: dict[int, Aboard], dive: int, port: str) -> Aboard:
    if dive not in aboard:
        known = f"{min(aboard)} to {max(aboard)} are" if aboard else "none is"
        raise FetchError(f"has no dive {dive}", file=port, remedy=f"{known} aboard, see --list")
    return aboard[dive]


def _fetch_all(
    console: Any, reader: Reader, wanted: Sequence[Aboard], out: Path, *, without_vignettes: bool
) -> None:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )  # fmt: skip

    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    came: list[Path] = []
    n_here = 0
    with Progress(*columns, console=console, transient=True) as bar:
        for one in wanted:
            folder = out / f"{one.dive:05d}"
            have = _have(folder)
            _check_same_dive(one, have, folder)
            if one.is_here(have, with_vignettes=not without_vignettes):
                n_here += 1
                continue
            task = bar.add_task(f"dive {one.dive}", total=one.size_bytes)
            _fetch_dive(
                reader, one, folder, without_vignettes=without_vignettes,
                report=functools.partial(_advance, bar, task),
            )  # fmt: skip
            bar.remove_task(task)
            came.append(folder)
    for folder in came:
        size_bytes = sum(file.stat().st_size for file in folder.glob("dive.sqlite*"))
        console.print(f"{folder}: {size_bytes / 1e6:.2f} MB", highlight=False, soft_wrap=True)
    here = f"; {n_here} more {'was' if n_here == 1 else 'were'} here" if n_here else ""
    console.print(f"{len(came)} {'dive' if len(came) == 1 else 'dives'} fetched{here}.", highlight=False)
    if came:
        console.print(
            f"Go on with: seston report {came[-1]}, seston plan {came[-1]}", highlight=False, soft_wrap=True
        )


def _advance(bar: Any, task: Any, done: int, size: int) -> None:
    bar.update(task, completed=done, total=size)


def _fetch_dive(
    reader: Reader, one: Aboard, folder: Path, *, without_vignettes: bool, report: Callable[[int, int], None]
) -> None:
    """Bring all files of a dive here, the log first; what changes meanwhile is begun anew some times."""
    folder.mkdir(parents=True, exist_ok=True)
    for beginning in range(MOST_BEGINNINGS):
        try:
            _check_room(one, folder)
            summed = {}
            for form, row in one.rows.items():
                is_small = without_vignettes and form == logs.LOG
                asked = logs.WITHOUT_VIGNETTES if is_small else form
                file = folder / logs.file_name(form)
                summed[file.name] = reader.fetch(one.dive, asked, row.stamp, file, report)
            break
        except ChangedError:
            if beginning == MOST_BEGINNINGS - 1:
                raise
            one = _aboard(reader.rows()).get(one.dive, one)
    told = Fetched(
        one.dive, one.first.begun_ms, one.first.frames, one.first.is_ended, not without_vignettes,
        one.first.stamp.hex(), summed,
    )  # fmt: skip
    write_durably(folder / TOLD, msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")


def _have(folder: Path) -> Fetched | None:
    file = folder / TOLD
    try:
        told = msgspec.json.decode(file.read_bytes(), type=Fetched)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as cause:
        raise FetchError(
            f"cannot be understood ({cause})", file=file, remedy="delete it: the dive will be fetched anew"
        ) from None
    return told


def _check_same_dive(one: Aboard, have: Fetched | None, folder: Path) -> None:
    now_ms = one.first.begun_ms
    if have is not None and None not in (have.begun_ms, now_ms) and have.begun_ms != now_ms:
        raise FetchError(
            f"holds another dive {one.dive}, of {_utc(have.begun_ms)}, and this one is of {_utc(now_ms)}",
            file=folder, remedy="name another folder with --out",
        )  # fmt: skip


def _check_room(one: Aboard, folder: Path) -> None:
    there = sum(file.stat().st_size for file in folder.glob("*.part"))
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < one.size_bytes - there:
        raise FetchError(
            f"has {free_bytes / 1e6:.0f} MB of room, and dive {one.dive} needs {one.size_bytes / 1e6:.0f}",
            file=folder, remedy=f"free some: {GO_ON}",
        )  # fmt: skip


def _show(console: Any, aboard: dict[int, Aboard], out: Path) -> None:
    from rich.table import Table

    table = Table("dive", "begun (UTC)", "frames", "MB", "", "here", title="Dives aboard")
    for one in aboard.values():
        have = _have(out / f"{one.dive:05d}")
        if not one.is_here(have, with_vignettes=False):
            have = None
        state = "ended" if one.first.is_ended else "not ended"
        damaged = sum(form >= logs.DAMAGED and form % 2 == 0 for form in one.rows)
        if damaged:
            state += f", {damaged} damaged {'log' if damaged == 1 else 'logs'} beside it"
        here = ("yes" if have.with_vignettes else "without vignettes") if have is not None else ""
        table.add_row(
            str(one.dive), _utc(one.first.begun_ms), str(one.first.frames), f"{one.size_bytes / 1e6:.2f}",
            state, here,
        )  # fmt: skip
    console.print(table)


def _utc(time_ms: int | None) -> str:
    if time_ms is None:
        return "unknown"
    try:
        at = datetime.datetime.fromtimestamp(time_ms / 1000, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return "unknown"
    return f"{at:%Y-%m-%d %H:%M:%S}"
