"""`seston export netcdf`, `odv`, `dwca`: dives from logs or messages. Work: `tools.shore.exports`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge.errors import InputError

if TYPE_CHECKING:
    from tools.shore.exports.about import About
    from tools.shore.exports.dives import Source, Wishes
    from tools.shore.exports.netcdf_files import Written

FILE, PATH = click.Path(dir_okay=False, path_type=Path), click.Path(path_type=Path)
_OPTIONS = (
    click.option("--lat", type=click.FloatRange(-90, 90), help="Latitude of all dives, degrees north."),
    click.option("--lon", type=click.FloatRange(-180, 180), help="Longitude of all dives, degrees east."),
    click.option(
        "--positions", type=FILE,
        help="CSV with lat, lon, and a sample (name or number) or a time: where dives or floats were.",
    ),
    click.option(
        "--about", type=FILE,
        help="TOML: who made the data, licence and so on, by ACDD's names; [unit.NAME] for one unit.",
    ),
    click.option("--cruise", default="", help="Name of the cruise, where the recording has none."),
    click.option("--codebook", "codebooks", multiple=True, type=PATH, help="As for seston decode."),
    click.option("--climatology", "climatologies", multiple=True, type=PATH, help="As for seston decode."),
)  # fmt: skip


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Arguments and options of every export of dives."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return click.argument("dives", metavar="DIVE|MESSAGES...", nargs=-1, required=True, type=PATH)(command)


@click.command()
@_shared
@click.option("--out", type=PATH, default=Path("netcdf"), show_default=True,
              help="Folder; several dives get a folder each in it.")  # fmt: skip
@click.option("--received", multiple=True, type=PATH,
              help="Messages as shore received them, to compare the log with.")  # fmt: skip
@click.option("--attribute", "attributes", multiple=True, metavar="NAME=VALUE",
              help="A global attribute, say creator_name=...; wins over --about.")  # fmt: skip
@click.option("--no-frames", is_flag=True, help="Do not write frames.nc, the log frame by frame.")
def netcdf(
    dives: tuple[Path, ...], out: Path, received: tuple[Path, ...], attributes: tuple[str, ...],
    no_frames: bool, about: Path | None, **said: Any,
) -> None:  # fmt: skip
    """Write dives as netCDF (CF, ACDD): from a log (a folder with dive.sqlite) delayed mode, else real time.

    profile.nc holds descent, ascent and the whole dive, park.nc the park, frames.nc each frame of a log. A
    delayed-mode file takes the place of a real-time one and says what changed, cell by cell.
    """
    from tools.shore.exports.dives import read_dives
    from tools.shore.exports.netcdf_files import write_dives

    extra = _attributes(attributes)
    sources, faults = read_dives(dives, _wishes(**said, received=received))
    refusals: list[InputError] = []
    written = 0
    for done in write_dives(sources, out, _about(about), extra, with_frames=not no_frames):
        if isinstance(done, InputError):
            refusals.append(done)
        else:
            written += 1
            _tell(done)
    _end([*faults, *map(str, refusals)], refusals if not written else [])


@click.command()
@_shared
@click.option("--out", type=FILE, default=Path("dives.odv.txt"), show_default=True, help="File to write.")
def odv(dives: tuple[Path, ...], out: Path, about: Path | None, **said: Any) -> None:
    """Write dives as one Ocean Data View spreadsheet, with Argo's quality flags."""
    from tools.shore.exports.dives import read_dives
    from tools.shore.exports.odv import write_odv

    told = _about(about)
    sources, faults = read_dives(dives, _wishes(**said))
    done = write_odv([one.dive for one in sources], out, _of_all(told, sources))
    click.echo(f"{out}: {done.stations:,} stations, {done.samples:,} samples, {done.columns} variables.")
    _tell_places(sources)
    for remark in done.remarks:
        click.echo(f"Remark: {remark}")
    _end(faults, [])


@click.command()
@_shared
@click.option("--out", type=FILE, default=Path("dives.dwca.zip"), show_default=True, help="Zip to write.")
@click.option("--attribute", "attributes", multiple=True, metavar="NAME=VALUE",
              help="title, creator_name, license ... of the data set; wins over --about.")  # fmt: skip
def dwca(
    dives: tuple[Path, ...], out: Path, attributes: tuple[str, ...], about: Path | None, **said: Any
) -> None:
    """Write dives as a Darwin Core Archive for OBIS: events, occurrences, measurements."""
    from tools.shore.exports.dives import read_dives
    from tools.shore.exports.dwca import write_dwca

    facts, told = _attributes(attributes), _about(about)
    sources, faults = read_dives(dives, _wishes(**said))
    done = write_dwca([one.dive for one in sources], out, _of_all(told, sources) | facts)
    click.echo(
        f"{out}: {done.events:,} events, {done.occurrences:,} occurrences, {done.measurements:,} "
        "measurements."
    )
    _tell_places(sources)
    for remark in done.remarks:
        click.echo(f"Remark: {remark}")
    _end(faults, [])


def _wishes(
    lat: float | None,
    lon: float | None,
    positions: Path | None,
    cruise: str,
    codebooks: tuple[Path, ...],
    climatologies: tuple[Path, ...],
    received: tuple[Path, ...] = (),
) -> Wishes:
    from tools.shore.dives import Place
    from tools.shore.exports.dives import Wishes
    from tools.shore.exports.positions import NO_POSITIONS, Positions, read_positions

    if (lat is None) != (lon is None):
        raise click.UsageError("--lat and --lon go together")
    known = NO_POSITIONS if positions is None else read_positions(positions)
    if lat is not None:
        known = Positions({"": Place(lat, lon), **known.places}, known.fixes)
    return Wishes(known, cruise, codebooks, climatologies, received)


def _about(file: Path | None) -> About:
    from tools.shore.exports.about import About, read_about

    return About() if file is None else read_about(file)


def _of_all(about: About, sources: list[Source]) -> dict[str, str]:
    """Facts of a file that holds several dives."""
    from tools.shore.exports.about import of_all

    return of_all(about.of(one.dive.codebook.platform) for one in sources)


def _attributes(given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for one in given:
        name, is_set, value = one.partition("=")
        if not is_set or not name.isidentifier():
            raise click.UsageError(f"--attribute {one}: give NAME=VALUE, the name in letters, digits and _")
        found[name] = value
    return found


def _tell(done: Written) -> None:
    dive = done.source.dive
    mode = {"R": "real time, from messages", "D": "delayed mode, from the log"}[dive.mode.value]
    click.echo(f"{dive.name} ({mode}): {', '.join(map(str, done.files))}")
    if done.replaced:
        click.echo(f"  replaces {done.replaced}")
    for sentence in done.since:
        click.echo(f"  since that one: {sentence}")
    if dive.mode.value == "D" and done.source.said is None:
        click.echo("  no message of it is at hand: nothing to compare with; give --received")
    if done.changes:
        click.echo("  what the messages said, and what the log holds:")
    for change in done.changes:
        click.echo(f"  {change.sentence()}")
    _tell_places([done.source])


def _tell_places(sources: list[Source]) -> None:
    for one in sources:
        if one.dive.place.latitude_deg is None:
            click.echo(
                f"  {one.dive.name}: its place is not known: no latitude and longitude, depth as at 45 "
                "degrees; give --lat and --lon, or --positions."
            )


def _end(faults: list[str], refusals: list[InputError]) -> None:
    """Say what was left out: exit code 2 when that is all, 1 when some of it was written."""
    if refusals:
        raise refusals[0]
    for fault in faults:
        click.echo(f"left out: {fault}", err=True)
    if faults:
        raise SystemExit(1)
