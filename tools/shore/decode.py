"""`seston decode`: messages back to profiles, as CSV and netCDF, with what is missing said.

Messages may be any subset, in any order, of any dives; files that are no message are named and left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cv2

from edge.errors import MessageError
from edge.telemetry.climatology import Climatology, load_climatology
from edge.telemetry.codebook import Codebook, load_codebook
from edge.telemetry.decoded import DecodedDive, Provenance
from edge.telemetry.decoder import Decoding, decode_messages
from edge.telemetry.missing import Request, encode_request
from edge.telemetry.summary import Quantity
from tools.shore.exports.tidy_csv import NAMES, write_csv

if TYPE_CHECKING:
    from tools.shore.exports.about import About
    from tools.shore.exports.positions import Positions

SUFFIXES = (".msg", ".sbd", ".bin")
CODEBOOKS, CLIMATOLOGIES = "codebook*.json", "climatology*.json"
MAX_FILE_BYTES = 1 << 20
"""A larger file is no message."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What `decode_files` made.

    Attributes
    ----------
    dives
        By codebook and number.
    refused
        File and reason, of each file that was not used.
    duplicates
        Messages that were there twice.
    written
        Files written.
    note
        A sentence when netCDF could not be written, or "".
    """

    dives: tuple[DecodedDive, ...]
    refused: tuple[tuple[Path, str], ...]
    duplicates: int
    written: tuple[Path, ...]
    note: str


@dataclass(frozen=True, slots=True)
class ShoreFiles:
    """What shore knows beside the messages, a file each, all optional.

    Attributes
    ----------
    fleet
        Registry of `seston fleet`: what the messages ask for is taken from it.
    positions
        Where dives and floats were (`exports.positions`).
    about
        Who made the data (`exports.about`).
    """

    fleet: Path | None = None
    positions: Path | None = None
    about: Path | None = None


def decode_files(
    paths: Iterable[Path],
    out: Path,
    codebooks: Iterable[Path] = (),
    climatologies: Iterable[Path] = (),
    shore: ShoreFiles | None = None,
) -> Decoded:
    """Decode message files or folders of them into `out`: profile.csv, profile.nc, park.nc of each dive.

    Parameters
    ----------
    paths
        Files, or folders with ``*.msg``, ``*.sbd``, ``*.bin``; every ``codebook*.json`` beside them is used.
    out
        Folder to write to; made if missing.
    codebooks, climatologies
        Further files of each; every ``climatology*.json`` beside the messages is used too.
    shore
        What else is known.

    Raises
    ------
    MessageError
        When no file can be used, with the reason.
    InputError
        When a file of `shore` is wrong.
    """
    from tools.shore.exports.about import About, read_about
    from tools.shore.exports.positions import NO_POSITIONS, read_positions

    shore = shore or ShoreFiles()
    about = About() if shore.about is None else read_about(shore.about)
    known = NO_POSITIONS if shore.positions is None else read_positions(shore.positions)
    paths = list(paths)
    result, refused = read_messages(paths, codebooks, climatologies, fleet=shore.fleet)
    messages = message_files(paths)
    written: list[Path] = []
    note = ""
    for dive, folder in zip(result.dives, dive_folders(result.dives, out), strict=True):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_csv(dive, folder / "profile.csv")
            written.append(folder / "profile.csv")
            written += _write_pictures(dive, folder / "pictures")
            made, note = _write_netcdf(dive, folder, messages, known, about)
            written += made
        except OSError as cause:
            raise MessageError(
                f"cannot be written ({cause})", file=folder, remedy="free some room, or choose another --out"
            ) from cause
    return Decoded(result.dives, tuple(refused), result.duplicates, tuple(written), note)


def read_messages(
    paths: Iterable[Path],
    codebooks: Iterable[Path] = (),
    climatologies: Iterable[Path] = (),
    at_hand: Sequence[Codebook | Climatology] = (),
    fleet: Path | None = None,
) -> tuple[Decoding, list[tuple[Path, str]]]:
    """What message files or folders of them say, and each file that was not used with the reason.

    As `decode_files`, which writes it; `at_hand` are codebooks and climatologies that are read already, and
    `fleet` is a registry that has more.
    """
    files, folders = _find(paths)
    books = _load(codebooks, folders, CODEBOOKS, load_codebook)
    known = _load(climatologies, folders, CLIMATOLOGIES, load_climatology)
    books += [one for one in at_hand if isinstance(one, Codebook)]
    known += [one for one in at_hand if isinstance(one, Climatology)]
    result, refused = _decode(files, books, known, fleet)
    if not result.dives and not refused:
        raise MessageError(
            "tells nothing without other messages of its dive: it is parity or a picture", file=files[0],
            remedy="wait for more of them",
        )  # fmt: skip
    if not result.dives:
        file, reason = refused[0]
        problem, _, remedy = reason.rstrip(".").partition("; ")
        others = f", and {len(files) - 1} other files cannot be used either" if len(files) > 1 else ""
        raise MessageError(problem + others, file=file, remedy=remedy or "give the messages of a dive")
    return result, refused


def _write_pictures(dive: DecodedDive, folder: Path) -> list[Path]:
    """Pictures of particles as PNG files, named by number, taxon, reason, pressure and ESD."""
    written = []
    for number, picture in enumerate(dive.pictures):
        label = dive.codebook.taxa[picture.taxon].label if picture.taxon >= 0 else "unclassified"
        where = "" if picture.pressure_dbar is None else f"_{picture.pressure_dbar}dbar"
        words = f"{number:02d}_{label}_{picture.reason.label}{where}_{picture.esd_um}um.png"
        folder.mkdir(exist_ok=True)
        file = folder / re.sub(r"[^\w.+-]+", "-", words)
        done, data = cv2.imencode(".png", picture.pixels)
        if done:
            file.write_bytes(data.tobytes())
            written.append(file)
    return written


def _write_netcdf(
    dive: DecodedDive, folder: Path, messages: Sequence[Path], known: Positions, about: About
) -> tuple[list[Path], str]:
    from tools.shore.exports.positions import located
    from tools.shore.exports.tables import from_messages

    try:
        from tools.shore.exports.netcdf import PROFILE, write_netcdf
        from tools.shore.exports.netcdf_save import is_delayed

        if is_delayed(folder / PROFILE):
            why = "it was made from the log, which knows more than messages, or is damaged"
            return [], f"{folder / PROFILE} stays: {why}."
        tables = located(from_messages(dive), messages, known)
        return write_netcdf(tables, folder, about.of(dive.codebook.platform)), ""
    except ImportError as missing:
        return [], f"No netCDF: {missing.name or missing}; pip install 'seston[shore]'."


def dive_folders(dives: Sequence[DecodedDive], out: Path) -> list[Path]:
    """One dive goes into `out` itself; several into a folder each."""
    if len(dives) == 1:
        return [out]
    numbers = [dive.dive_number for dive in dives]
    names = [
        f"dive-{n:05d}" + (f"-{dive.codebook.sha256[:6]}" if numbers.count(n) > 1 else "")
        for n, dive in zip(numbers, dives, strict=True)
    ]
    return [out / name for name in names]


def message_files(paths: Iterable[Path]) -> list[Path]:
    """The files of `read_messages`; [] of none."""
    given = list(paths)
    return _find(given)[0] if given else []


def _find(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Message files, and the folders that hold them."""
    files: dict[Path, None] = {}
    folders: dict[Path, None] = {}
    for path in map(Path, paths):
        if path.is_dir():
            found = sorted(
                file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file()
            )
            if not found:
                raise MessageError(
                    f"holds no {', '.join('*' + suffix for suffix in SUFFIXES)}",
                    file=path,
                    remedy="give the folder of the messages",
                )
            files |= dict.fromkeys(found)
            beside = path
        elif path.is_file():
            files[path] = None
            beside = path.parent
        else:
            raise MessageError("does not exist", file=path, remedy="check the path")
        folders[beside] = None
    if not files:
        raise MessageError("no file was given", field="MESSAGES", remedy="give message files or folders")
    return list(files), list(folders)


def _load(
    given: Iterable[Path], folders: Iterable[Path], pattern: str, load: Callable[..., Any]
) -> list[Any]:
    """What the given files, and those in the folders, hold, by the function that reads their bytes."""
    found = []
    paths = [*map(Path, given), *(file for folder in folders for file in sorted(folder.glob(pattern)))]
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError as cause:
            raise MessageError(f"cannot be read ({cause})", file=path, remedy="check the path") from cause
        found.append(load(data, file=str(path)))
    return found


def _decode(
    files: Sequence[Path],
    books: Sequence[Codebook],
    climatologies: Sequence[Climatology],
    fleet: Path | None,
) -> tuple[Decoding, list[tuple[Path, str]]]:
    read: list[Path] = []
    messages: list[bytes] = []
    refused: list[tuple[Path, str]] = []
    for file in files:
        try:
            if file.stat().st_size > MAX_FILE_BYTES:
                refused.append((file, f"is larger than {MAX_FILE_BYTES} bytes and no message"))
                continue
            messages.append(file.read_bytes())
            read.append(file)
        except OSError as cause:
            refused.append((file, f"cannot be read ({cause})"))
    if fleet is not None:
        from tools.shore.fleet.registry import Registry

        with Registry(fleet) as registry:
            more_books, more_climatologies = registry.keys_to(messages)
        books, climatologies = [*books, *more_books], [*climatologies, *more_climatologies]
    result = decode_messages(messages, books, climatologies)
    refused += [(read[position], reason) for position, reason in result.refused]
    return result, refused


FLEET = click.option(
    "--fleet", type=click.Path(dir_okay=False, path_type=Path),
    help="Registry of seston fleet: codebooks and climatologies are taken from it by hash.",
)  # fmt: skip
ABOUT = click.option(
    "--about", type=click.Path(dir_okay=False, path_type=Path),
    help="TOML: who made the data, licence and so on, for the netCDF.",
)  # fmt: skip
"""Options of whoever decodes."""


@click.command()
@click.argument("messages", metavar="MESSAGES...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--codebook", "codebooks", multiple=True, type=click.Path(path_type=Path),
    help="Codebook file; codebook*.json beside the messages is found without it. May be repeated.",
)  # fmt: skip
@click.option(
    "--climatology", "climatologies", multiple=True, type=click.Path(path_type=Path),
    help="Climatology file; climatology*.json beside the messages is found without it. May be repeated.",
)  # fmt: skip
@FLEET
@click.option(
    "--positions", type=click.Path(dir_okay=False, path_type=Path),
    help="CSV with lat, lon and a sample or a time: where dives, or the float, were.",
)  # fmt: skip
@ABOUT
@click.option(
    "--request", type=click.Path(dir_okay=False, path_type=Path),
    help="Write what to ask the float for again, at most 270 bytes: the body of a command.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out/shore"), show_default=True,
    help="Folder for profile.csv and profile.nc; several dives get a folder each.",
)  # fmt: skip
def decode(
    messages: tuple[Path, ...],
    codebooks: tuple[Path, ...],
    climatologies: tuple[Path, ...],
    fleet: Path | None,
    positions: Path | None,
    about: Path | None,
    request: Path | None,
    out: Path,
) -> None:
    """Decode MESSAGES (files, or folders with *.msg, *.sbd, *.bin) into CSV and netCDF."""
    from rich.console import Console

    console = Console()
    done = decode_files(messages, out, codebooks, climatologies, ShoreFiles(fleet, positions, about))
    for dive in done.dives:
        console.print(dive_table(dive))
        if sentence := dive.missing_sentence():
            console.print(f"[yellow]{sentence[0].upper() + sentence[1:]}.[/yellow]")
    for file, reason in done.refused:
        console.print(f"Not used: {file} {reason}", highlight=False, soft_wrap=True, markup=False)
    if done.duplicates:
        were = "message was" if done.duplicates == 1 else "messages were"
        console.print(f"{done.duplicates} {were} there twice; each was counted once.")
    if done.note:
        console.print(done.note, markup=False)
    if request is not None:
        asked = encode_request(
            [
                Request.of_parts(dive.dive_number, dive.n_parts, dive.missing())
                for dive in done.dives
                if not dive.is_complete
            ]
        )
        request.write_bytes(asked.data)
        console.print(f"Request: {request}, {len(asked.data)} bytes", highlight=False, soft_wrap=True)
        for left in asked.left_out:
            console.print(f"[yellow]No room to ask for all of dive {left.dive_number}: ask again.[/yellow]")
    for file in done.written:
        console.print(f"Written: {file}", highlight=False, soft_wrap=True, markup=False)


def dive_table(dive: DecodedDive) -> Any:
    """What is known of a dive, for people: a row a table, with its total and how finely it is known."""
    from rich.table import Table

    table = Table(
        "phase", "quantity", "total", "lossless", "companded", "aggregated", "missing",
        title=f"Dive {dive.dive_number}",
    )  # fmt: skip
    scopes: list[tuple[str, dict[Quantity, Any]]] = [("dive", dive.whole)] if dive.whole else []
    scopes += [(phase.phase.name.lower(), phase.tables) for phase in dive.phases.values()]
    for name, tables in scopes:
        for quantity, known in tables.items():
            sources = known.dense()[1]
            shares = [
                f"{100 * float((sources == kind).mean()):.0f} %"
                for kind in (
                    Provenance.ROUNDED if quantity.is_mean else Provenance.LOSSLESS,
                    Provenance.COMPANDED,
                    Provenance.AGGREGATED,
                    Provenance.MISSING,
                )
            ]
            total = "" if quantity.is_mean or quantity.is_of_dive else str(int(known.value.sum()))
            total = total if known.is_exact else f"about {total}"
            table.add_row(name, NAMES[quantity].replace("_", " "), total, *shares)
        table.add_section()
    return table
