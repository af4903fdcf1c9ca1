"""`seston update`: another model or configuration for a unit, by cable or as messages (docs/update.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edge.config import Config, load_config
from edge.durable import write_durably
from edge.errors import BundleError, SestonError
from edge.inference.bundle import Bundle, load_bundle
from edge.logged import codebook_of, optics_of, read_climatology
from edge.sent_config import pack_config
from edge.telemetry.replies import Verdict
from edge.update_store import Failure
from firmware_bridge.command_bodies import FIRST_BYTES, PART_BYTES, Announce, Part, What
from firmware_bridge.commands import Command, sign_command
from firmware_bridge.link_objects import LinkObject
from firmware_bridge.link_records import Runs
from firmware_bridge.link_wire import Kind
from tools.command import Signed, sign_order, signing_options, write_command

LARGEST_MODEL_BYTES = 1 << 22
"""What the link takes (`firmware_bridge.link.Peer`)."""
SPEEDS = (921_600, 460_800, 230_400, 115_200, 57_600)

_FAILURES = {
    Failure.OTHER_BYTES: "what came is not what was announced",
    Failure.UNFIT: "it does not do there what it must; the journal aboard says what",
    Failure.REPLACED: "another was announced after it",
}


def way_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--to` and `--baud`: the cable."""
    function = click.option(
        "--baud", type=click.IntRange(300), default=9600, show_default=True,
        help="Speed of a serial port: [run.host] baud.",
    )(function)  # fmt: skip
    return click.option(
        "--to", "port", metavar="PORT",
        help="Bring it now: a serial port, or tcp:HOST:PORT of the deck. Else files to send are written.",
    )(function)  # fmt: skip


@click.group()
def update() -> None:
    """Give a unit another model or configuration; what does not prove itself there, it leaves by itself."""


@update.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path),
    help="Configuration of the unit: write the codebook that its messages then need.",
)  # fmt: skip
@way_options
@signing_options
def model(file: Path, config_file: Path | None, port: str | None, baud: int, **options: Any) -> None:
    """Give a unit the model bundle FILE.

    The command is small and goes by any way; the bundle itself by the float's serial port, or by cable.
    """
    from edge.inference.classifier import Classifier

    bundle = load_bundle(file)
    data = bundle.path.read_bytes()
    if len(data) > LARGEST_MODEL_BYTES:
        raise BundleError(
            f"has {len(data):,} bytes, and a unit takes {LARGEST_MODEL_BYTES:,}", file=file,
            remedy="train a smaller one, or install it with seston flash bundle --model",
        )  # fmt: skip
    Classifier(bundle)  # gives the goldens here, or says why not
    config = None if config_file is None else load_config(config_file)
    signed = _announce(What.MODEL, data, f"model {bundle.name}", **options)
    _write_codebook(config, bundle, signed.file.parent)
    if port is not None:
        _bring(port, baud, signed, data)
    else:
        click.echo(
            f"Then {file} itself, as an object of kind {Kind.MODEL:d} of the link (docs/update.md),"
            " or all of it by cable: the same command with --to."
        )


@update.command("config")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--bundle", "bundle_file", help="Model of the unit, where it is another than FILE names.")
@way_options
@signing_options
def configuration(file: Path, bundle_file: str | None, port: str | None, baud: int, **options: Any) -> None:
    """Give a unit the configuration FILE, with the optics file that it names.

    Without --to, FILE becomes some messages towards the float, the first with the command.
    """
    config = load_config(file)
    optics_of(config)
    data = pack_config(file)
    signed = _announce(What.CONFIGURATION, data, f"configuration {file.name}", **options)
    try:
        _write_codebook(config, load_bundle(bundle_file or config.bundle), signed.file.parent)
    except SestonError as error:
        click.echo(f"No codebook is written: {error}")
    if port is not None:
        _bring(port, baud, signed, data)
        return
    written = _write_parts(signed, data)
    click.echo(
        "That is all of it: one message." if not written
        else f"{written + 1} messages in all; they may come in any order after the first."
    )  # fmt: skip


@update.command()
@click.argument("port")
@click.option("--baud", type=click.IntRange(300), default=9600, show_default=True,
              help="Speed of a serial port: [run.host] baud.")  # fmt: skip
def status(port: str, baud: int) -> None:
    """Ask the instrument at PORT what it runs, and what became of the last update."""
    from tools.updating import Bringer

    link = Bringer(port, baud)
    try:
        link.open()
        told = link.runs()
    finally:
        link.close()
    click.echo(f"Model {told.model:016x}; configuration {_of_unit(told.configuration)}.")
    click.echo(_sentence(told, told.counter))


def _announce(what: What, data: bytes, told: str, **options: Any) -> Signed:
    first = data[:FIRST_BYTES] if what is What.CONFIGURATION else b""
    sha256 = hashlib.sha256(data).digest()
    order = Announce(what, len(data), sha256, first)
    return sign_order(order, f"{told}, {len(data):,} bytes, SHA-256 {sha256.hex()[:16]}", **options)


def _write_parts(signed: Signed, data: bytes) -> int:
    """Write the parts of a configuration that the command has no room for; returns how many."""
    command = signed.made
    address = command.data[1:9]
    offsets = range(FIRST_BYTES, len(data), PART_BYTES)
    for number, at in enumerate(offsets, 2):
        part = Part(at, data[at : at + PART_BYTES])
        signed_part = sign_command(Command(address, command.counter, part), signed.private)
        file = signed.file.with_stem(f"{signed.file.stem}-part-{number}")
        click.echo(f"Message {number}: {len(signed_part)} bytes, in {file}.")
        write_command(file, signed_part, command.counter, signed.imei)
    return len(offsets)


def _write_codebook(config: Config | None, bundle: Bundle, folder: Path) -> None:
    if config is None or config.optics is None:
        click.echo("Messages of later dives need another codebook: have it written with --config.")
        return
    codebook = codebook_of(config, bundle, read_climatology(config))
    place = folder / f"codebook-{codebook.sha256[:12]}.json"
    write_durably(place, codebook.to_json())
    click.echo(f"Codebook of later dives: {place}.")


def _bring(port: str, baud: int, signed: Signed, data: bytes) -> None:
    """Bring command and update by cable, and say what becomes of it."""
    from rich.progress import Progress

    from tools.updating import Bringer

    counter = signed.made.counter
    what = What(signed.made.data[14])
    items = [LinkObject(Kind.COMMAND, counter, signed.made.data), LinkObject(what, counter, data)]
    if what is What.CONFIGURATION and len(data) <= FIRST_BYTES:
        items = items[:1]
    link = Bringer(port, baud)
    try:
        link.open()
        if what is What.MODEL and not port.startswith("tcp:"):
            link.hurry([speed for speed in SPEEDS if speed > baud])
        with Progress(transient=True) as bar:
            task = bar.add_task(f"to {port}", total=sum(len(item.data) for item in items))
            link.bring(items, lambda came: bar.update(task, completed=came))
        click.echo("It is aboard: it is tried beside what runs, and then runs, between two dives.")
        told, does_run = link.outcome(counter, hashlib.sha256(data).hexdigest())
    finally:
        link.close()
    if does_run:
        click.echo("It runs, on trial: two starts that fail, and what was before runs again.")
    click.echo(_sentence(told, counter))
    if told.counter == counter and told.verdict in (Verdict.FAILED, Verdict.RETURNED):
        raise click.exceptions.Exit(2)


def _of_unit(mark: int) -> str:
    return f"{mark:016x}, from shore" if mark else "of the unit's own file"


def _sentence(told: Runs, counter: int | None) -> str:
    """What became of an update."""
    if told.counter is None:
        return "No update has come."
    if told.counter != counter:
        return f"Update {told.counter} came after it."
    name, detail = f"Update {told.counter}", told.detail
    match told.verdict:
        case Verdict.DONE:
            return f"{name} has proven itself."
        case Verdict.WAITS if detail:
            return (
                f"{name} is waited for: {detail:,} bytes{' or more' if detail == 0xFFFF else ''} are missing."
            )
        case Verdict.WAITS:
            return f"{name} is there, and has not proven itself yet: 20 frames of a dive, or ten minutes."
        case Verdict.RETURNED:
            return f"{name} was tried {detail} times, and left: what was before it runs."
        case Verdict.FAILED:
            why = _FAILURES[Failure(detail)] if detail in tuple(Failure) else "no updates are taken there"
            return f"{name} was not taken: {why}."
    return f"{name} stands in a way that is not known here ({told.verdict})."
