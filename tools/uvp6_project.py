"""`seston uvp6 check`, `convert`; `seston export uvp6`, `ecopart`: UVP6 projects, EcoPart.

The work is in `tools.shore.uvp6_project`; here options meet.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sized
from pathlib import Path

import click
import msgspec

from edge.errors import InputError, RecordingError
from edge.recording import Position
from firmware_bridge.uvp6.lines import Generation

PATH = click.Path(path_type=Path)
GENERATIONS = {"2021": Generation.V2021, "2022.01": Generation.V2022_01, "2022.02": Generation.V2022_02}
_cruise = click.option("--cruise", default="", help="Name of the cruise; else as the recording has it.")
_latitude = click.option("--latitude", type=click.FloatRange(-90, 90), help="Where the dives were, degrees.")
_longitude = click.option("--longitude", type=click.FloatRange(-180, 360), help="East is positive.")


@click.command()
@click.argument("path", metavar="PROJECT|ZIP", type=PATH)
def check(path: Path) -> None:
    """Check a UVP6 project, a part of one, or a folder of EcoPart's real-time files.

    A sentence a fault: file, line, field and remedy. Exit code 1 when there is one, else 0.
    """
    from tools.shore.uvp6_project.ecopart import is_remote

    faults, remarks, what = _check_remote(path) if is_remote(path) else _check_project(path)
    for fault in faults:
        click.echo(fault)
    for remark in remarks:
        click.echo(f"Remark: {remark}")
    click.echo(f"{what}: {_n(faults, 'fault')}, {_n(remarks, 'remark')}.")
    if faults:
        raise SystemExit(1)


def _check_project(path: Path) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    from tools.shore.uvp6_project.cast import images_of
    from tools.shore.uvp6_project.check import check_project
    from tools.shore.uvp6_project.reader import read_project

    project = read_project(path)
    found = check_project(project)
    datas = []
    for sample in project.samples:
        with contextlib.suppress(InputError):  # one without images was said above
            datas.append(images_of(project, sample)[1])
    kinds = sorted({data.generation.value if data.generation else "not known" for data in datas})
    what = (
        f"{path}: {_n(project.samples, 'sample')}, {sum(len(data.rows) for data in datas)} images, firmware "
        f"{', '.join(kinds) or 'not known'}"
    )
    return found.faults, found.remarks, what


def _check_remote(path: Path) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    from tools.shore.uvp6_project.ecopart import check_remote, read_remote

    samples, faults = read_remote(path)
    remarks: list[str] = []
    for sample in samples:
        found, told = check_remote(sample)
        faults += found
        remarks += told
    return tuple(faults), tuple(remarks), f"{path}: {_n(samples, 'sample')} of floats"


@click.command()
@click.argument("path", metavar="PROJECT|ZIP", type=PATH)
@click.option("--to", "generation", type=click.Choice(list(GENERATIONS)), required=True, help="Firmware.")
@click.option("--out", type=PATH, required=True, help="New folder.")
def convert(path: Path, generation: str, out: Path) -> None:
    """Write a UVP6 project in the words of another firmware generation; nothing is lost.

    What the other generation has no place for is kept beside, and comes back when it is converted back.
    """
    from tools.shore.uvp6_project.generations import convert_project
    from tools.shore.uvp6_project.reader import read_project
    from tools.shore.uvp6_project.writer import write_project

    project = read_project(path)
    written = write_project(convert_project(project, GENERATIONS[generation]), out)
    for fault in project.faults:
        click.echo(f"As it was: {fault}")
    click.echo(f"{out}: {len(written)} files, firmware {GENERATIONS[generation].value}.")


@click.command()
@click.argument("dives", metavar="DIVE...", nargs=-1, required=True, type=PATH)
@click.option("--out", type=PATH, required=True, help="New folder; its name is the project's.")
@_cruise
@click.option("--ship", default="", help="What carried the float.")
@_latitude
@_longitude
def export(
    dives: tuple[Path, ...],
    out: Path,
    cruise: str,
    ship: str,
    latitude: float | None,
    longitude: float | None,
) -> None:
    """Make a UVP6 project of DIVE... (folders with dive.sqlite), for EcoPart and EcoTaxa."""
    from tools.shore.uvp6_project.dive import read_dive
    from tools.shore.uvp6_project.from_dive import project_of
    from tools.shore.uvp6_project.writer import write_project

    position = _position(latitude, longitude)
    parts = [
        part
        for dive in dives
        for part in read_dive(dive, cruise=cruise, position=position, with_vignettes=True)
    ]
    project, left_out = project_of(parts, out.name, ship)
    write_project(project, out)
    n_images = sum(len(data.rows) for data in project.sequences.values())
    click.echo(f"{out}: {_n(project.samples, 'sample')}, {n_images} images.")
    if left_out:
        told = ", ".join(f"{n} {label}" for label, n in left_out.items())
        click.echo(f"A UVP6 has no word for {told} frames: they are left out, and no volume counts for them.")


@click.command()
@click.argument("dives", metavar="DIVE...", nargs=-1, required=True, type=PATH)
@click.option("--out", type=PATH, required=True, help="Folder; files that are there are written anew.")
@_latitude
@_longitude
def ecopart(dives: tuple[Path, ...], out: Path, latitude: float | None, longitude: float | None) -> None:
    """Write EcoPart's real-time files (META, LPM, BLACK, TAXO2, CTD) of DIVE... (folders)."""
    from tools.shore.uvp6_project.dive import read_dive
    from tools.shore.uvp6_project.ecopart import write_remote
    from tools.shore.uvp6_project.remote_dive import remote_of

    position = _position(latitude, longitude)
    parts = [part for dive in dives for part in read_dive(dive, position=position)]
    samples, remarks = remote_of(parts)
    files = {name: content for sample in samples for name, content in write_remote(sample).items()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (out / name).write_bytes(content)
    except OSError as cause:
        raise RecordingError(
            f"cannot be written ({cause.strerror})", file=out, field="--out", remedy="choose another"
        ) from cause
    for remark in remarks:
        click.echo(f"Remark: {remark}")
    click.echo(f"{out}: {_n(samples, 'sample')}, {len(files)} files.")


def _n(things: Sized, word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


def _position(latitude: float | None, longitude: float | None) -> Position | None:
    if (latitude is None) != (longitude is None):
        raise InputError(
            "go together, and one is missing", field="--latitude and --longitude", remedy="give both"
        )
    if latitude is None:
        return None
    return msgspec.convert({"latitude_deg": latitude, "longitude_deg": longitude}, Position)
