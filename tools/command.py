"""`seston command`: signed commands as files for the gateway to send: a payload, or a DirectIP message.

What may be set, and in which steps, is `firmware_bridge.settings`'s table; the options are made from it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.durable import write_durably
from edge.errors import InputError, MessageError
from edge.structs import to_struct
from edge.telemetry.climatology import load_climatology
from edge.telemetry.codebook import Codebook, load_codebook
from edge.telemetry.decoder import decode_messages
from edge.telemetry.missing import EncodedRequest, Request, decode_request, encode_request
from firmware_bridge.command_bodies import (
    BODY_BYTES,
    MAX_DECK_MINUTES,
    AskMissing,
    OpenDeck,
    Order,
    Reset,
    Role,
    Set,
)
from firmware_bridge.iridium.directip import write_mt
from firmware_bridge.settings import FIELDS, Field, Row, Settings, Value, make_settings
from tools.keyring import Keyring, Made, Owner, load_private
from tools.keys import ask_passphrase, keyring_option, owner_of, owner_options
from tools.shore.decode import CLIMATOLOGIES, CODEBOOKS, MAX_FILE_BYTES, SUFFIXES
from tools.shore.receiving.products import known_files
from tools.shore.receiving.store import DIVE

GROUPS = {"budget": range(1, 16), "schedule": range(16, 32), "thresholds": range(32, 64)}
"""Which settings a command sets, by their numbers."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A command that was made: its line of the ledger, the key that signed it, its file, and its modem."""

    made: Made
    private: Ed25519PrivateKey
    file: Path
    imei: str | None


def _rows(_context: click.Context, option: click.Parameter, value: str | None) -> tuple[Row, ...] | None:
    """Rows of numbers from ``0:5,200:20``."""
    if value is None:
        return None
    try:
        return tuple(tuple(int(number) for number in row.split(":")) for row in value.split(",") if row)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not rows such as 0:5,200:20", param=option) from None


def _is_of_codebook(key: str) -> bool:
    return key.partition(".")[0] in ("profile", "optics")


def _option(field: Field) -> Callable[..., Any]:
    name = field.key.rpartition(".")[2]
    flag = f"--{name.replace('_', '-')}"
    text = f"{field.key}, {field.least} to {field.most}"
    if field.is_switch:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=field.key)
    if field.columns:
        return click.option(flag, name, callback=_rows, help=f"{text}: rows of {field.columns}, a:b,c:d")
    kind = click.INT if field.steps == 1 else click.FLOAT
    steps = "" if field.steps == 1 else f" in steps of {1 / field.steps:g}"
    return click.option(flag, name, type=kind, help=text + steps)


def signing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Who is commanded, who signs, and where the command goes."""
    for option in (
        click.option(
            "--imei", help="Write a DirectIP message to this modem too, beside the payload, as .mt."
        ),
        click.option(
            "--out", type=click.Path(dir_okay=False, path_type=Path),
            help="File of the payload; default: command-<counter>.sbd.",
        ),
        click.option("--counter", type=int, help="Use this counter; default: one more than the last."),
        click.option(
            "--key", type=click.Path(dir_okay=False, path_type=Path),
            help="Sign with this private key, such as a retired one.",
        ),
        click.option(
            "--sign-with", type=click.Choice(["unit", "fleet"]),
            help="Whose key signs; default: the unit's for a unit, the fleet's for all.",
        ),
        keyring_option,
    ):  # fmt: skip
        function = option(function)
    return owner_options(function)


@click.group()
def command() -> None:
    """Make signed commands to floats at sea."""


def _add_group(name: str, numbers: range, text: str) -> None:
    fields = [field for field in FIELDS if field.number in numbers]

    def make(codebook: Path | None = None, **options: Any) -> None:
        values: dict[str, Value] = {}
        for field in fields:
            value = options.pop(field.key.rpartition(".")[2])
            if value is not None:
                values[field.key] = value
        settings = make_settings(values)
        changed = None if codebook is None else changed_codebook(_read_codebook(codebook), settings)
        told = ", ".join(f"{key} = {value}" for key, value in settings)
        signed = sign_order(Set(settings), told, **options)
        if changed is not None:
            place = signed.file.parent / f"codebook-{changed.sha256[:12]}.json"
            write_durably(place, changed.to_json())
            click.echo(f"Codebook of later dives: {place}.")
        elif any(_is_of_codebook(key) for key in values):
            click.echo("Messages of later dives need another codebook: have it written with --codebook.")

    made = signing_options(make)
    if any(_is_of_codebook(field.key) for field in fields):
        made = click.option(
            "--codebook", type=click.Path(dir_okay=False, path_type=Path),
            help="Codebook of the unit: write the one that it has afterwards beside the command.",
        )(made)  # fmt: skip
    for field in reversed(fields):
        made = _option(field)(made)
    command.command(name, help=text)(made)


_add_group("budget", GROUPS["budget"], "Say what may be sent of a dive.")
_add_group("schedule", GROUPS["schedule"], "Set depth zones, the mission's limits and the frame rate.")
_add_group("thresholds", GROUPS["thresholds"], "Set what counts as a particle, and as a bad frame.")


@command.command()
@click.argument("messages", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--dive", "dives", type=click.IntRange(0, 0xFFFF), multiple=True, help="Ask for this dive alone."
)
@signing_options
def missing(messages: Path, dives: tuple[int, ...], **options: Any) -> None:
    """Ask for what is missing.

    MESSAGES is a folder of messages that came, with the codebook beside them, or the file that `seston decode
    --request` wrote.
    """
    asked = _read_request(messages) if messages.is_file() else _missing_in(messages, dives)
    if not asked.data:
        click.echo("Nothing is missing; no command is made.")
        return
    wanted = ", ".join(str(one.dive_number) for one in decode_request(asked.data))
    sign_order(AskMissing(asked.data), f"send again what is missing of dive {wanted}", **options)
    for left in asked.left_out:
        click.echo(f"No room to ask for all of dive {left.dive_number}: ask again when this has come.")


@command.command()
@signing_options
def reset(**options: Any) -> None:
    """Let the unit forget every setting and every update from shore."""
    sign_order(Reset(), "forget settings and updates from shore", **options)


@command.command()
@click.option(
    "--minutes", type=click.IntRange(0, MAX_DECK_MINUTES), required=True, help="For so long; 0 closes it."
)
@signing_options
def deck(minutes: int, **options: Any) -> None:
    """Open the network port of the deck for a while, as if its switch were set.

    Not under water, and not in a dive; a restart of the unit closes it.
    """
    sign_order(OpenDeck(minutes), f"open the deck for {minutes} min", **options)


@command.command("list")
@keyring_option
def list_commands(keyring: Keyring) -> None:
    """List the commands made, with their counters: the answers of floats name these."""
    for one in keyring.made():
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(one.made_ms // 1000))
        click.echo(f"{one.counter}  {when} UTC  {Owner(one.unit).label}: {one.told} (key {one.signer})")


def sign_order(
    order: Order,
    told: str,
    *,
    unit: str | None,
    fleet: bool,
    keyring: Keyring,
    sign_with: str | None,
    key: Path | None,
    counter: int | None,
    out: Path | None,
    imei: str | None,
) -> Signed:
    """Sign an order, write its files, and say so."""
    owner = owner_of(unit, fleet)
    if imei is not None and not re.fullmatch("[0-9]{15}", imei):
        raise InputError(f"is {imei!r}", field="--imei", remedy="give the 15 digits on the modem")
    private = _signer(owner, keyring, sign_with, key)
    made = keyring.make(order, owner.unit, private, told, time.time_ns() // 1_000_000, counter)
    file = out or Path(f"command-{made.counter}.sbd")
    click.echo(f"Command {made.counter} to {owner.label}, {len(made.data)} bytes, in {file}: {told}.")
    write_command(file, made.data, made.counter, imei)
    return Signed(made, private, file, imei)


def write_command(file: Path, data: bytes, counter: int, imei: str | None) -> None:
    """Write a command, and the DirectIP message that takes it to a modem."""
    write_durably(file, data)
    if imei is not None:
        envelope = file.with_suffix(".mt")
        write_durably(envelope, write_mt(imei, data, message_id=counter))
        click.echo(f"DirectIP message to {imei}: {envelope}.")


def _signer(owner: Owner, keyring: Keyring, sign_with: str | None, key: Path | None) -> Ed25519PrivateKey:
    if key is not None:
        return load_private(key, ask_passphrase)
    if sign_with == "unit" and owner.role is Role.FLEET:
        raise click.UsageError("a unit's key does not command the fleet")
    return keyring.private(Owner() if sign_with == "fleet" else owner, ask_passphrase)


def _read_request(file: Path) -> EncodedRequest:
    """A request that was written before, cut to what a command has room for."""
    data = file.read_bytes()
    requests = decode_request(data)
    return EncodedRequest(data, ()) if len(data) <= BODY_BYTES else encode_request(requests, BODY_BYTES)


def _missing_in(folder: Path, dives: Sequence[int]) -> EncodedRequest:
    """What messages in a folder leave open."""
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and f.is_file())
    messages = [file.read_bytes() for file in files if file.stat().st_size <= MAX_FILE_BYTES]
    books = [load_codebook(f.read_bytes(), file=str(f)) for f in _beside(folder, CODEBOOKS)]
    known = [load_climatology(f.read_bytes(), file=str(f)) for f in _beside(folder, CLIMATOLOGIES)]
    decoded = decode_messages(messages, books, known)
    if not decoded.dives:
        reason = f" (the first {decoded.refused[0][1].rstrip('.')})" if decoded.refused else ""
        raise MessageError(
            f"holds no messages that can be decoded{reason}",
            file=folder,
            remedy="put messages and their codebook there",
        )
    requests = [
        Request.of_parts(dive.dive_number, dive.n_parts, dive.missing())
        for dive in decoded.dives
        if not dive.is_complete and (not dives or dive.dive_number in dives)
    ]
    return encode_request(requests, BODY_BYTES)


def _beside(folder: Path, pattern: str) -> list[Path]:
    """Files beside messages; those of a receiver's dive lie further up too."""
    further = known_files(folder, pattern) if folder.name.startswith(DIVE) else []
    return [*sorted(folder.glob(pattern)), *further]


def _read_codebook(file: Path) -> Codebook:
    try:
        return load_codebook(file.read_bytes(), file=str(file))
    except OSError as cause:
        raise InputError(f"cannot be read ({cause})", file=file, remedy="check the path") from cause


def changed_codebook(codebook: Codebook, settings: Settings) -> Codebook:
    """The codebook of a unit after it has obeyed.

    Raises
    ------
    InputError
        When the settings do not fit it: the float would refuse them too.
    """
    tree = msgspec.to_builtins(codebook)
    for key, value in settings:
        if _is_of_codebook(key):
            section, _, name = key.partition(".")
            tree[section][name] = value
    return to_struct(tree, Codebook, file=None, error=InputError)
