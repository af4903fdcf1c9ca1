"""`seston keys`: the keys that sign commands: made on shore, installed aboard, replaced over the link.

What to do when one is lost or stolen: docs/keys.md.
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
from edge.installed_keys import KEYS_FILE
from firmware_bridge.command_bodies import Role, RotateKey
from firmware_bridge.commands import fingerprint
from tools.keyring import NEXT, Keyring, Owner, load_private


def keyring_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--keys`: the folder that signs."""
    return click.option(
        "--keys", "keyring", type=click.Path(file_okay=False, path_type=Path), default=Path("keys"),
        show_default=True, callback=lambda _context, _option, value: Keyring(value),
        help="Folder of the private keys and of the ledger of commands.",
    )(function)  # fmt: skip


def owner_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--unit NAME` or `--fleet`."""
    function = click.option("--fleet", is_flag=True, help="The whole fleet.")(function)
    return click.option("--unit", metavar="NAME", help="One unit, by its name.")(function)


def owner_of(unit: str | None, fleet: bool) -> Owner:
    """Whose, as the two options say it."""
    if (unit is None) != fleet:
        raise click.UsageError("give either --unit NAME or --fleet")
    return Owner(unit)


def ask_passphrase(file: Path) -> str:
    """Ask the person at the keyboard."""
    answer: str = click.prompt(f"Passphrase of {file}", hide_input=True, err=True)
    return answer


def _new_passphrase(wanted: bool) -> str | None:
    if not wanted:
        return None
    answer: str = click.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True)
    return answer


passphrase_option = click.option(
    "--passphrase", is_flag=True, help="Ask for a passphrase and encrypt the new key with it."
)


@click.group()
def keys() -> None:
    """Make, install, replace and list the keys that sign commands."""


@keys.command()
@owner_options
@passphrase_option
@keyring_option
def new(unit: str | None, fleet: bool, passphrase: bool, keyring: Keyring) -> None:
    """Make the key of a unit or of the fleet."""
    owner = owner_of(unit, fleet)
    public = keyring.new(owner, _new_passphrase(passphrase))
    click.echo(f"Key of {owner.label}: {fingerprint(public).hex()}, in {keyring.folder}. Keep a copy of it.")


@keys.command()
@click.argument("unit", metavar="NAME")
@click.argument("board", type=click.Path(exists=True, file_okay=False, path_type=Path))
@keyring_option
def install(unit: str, board: Path, keyring: Keyring) -> None:
    """Write the public keys for unit NAME into BOARD, the folder that `seston run` works in."""
    found = {
        "unit_key": keyring.public(Owner(unit)),
        "fleet_key": keyring.public(Owner()),
    }
    if not any(found.values()):
        raise InputError(
            f"holds no key of unit {unit} and none of the fleet",
            file=keyring.folder,
            remedy=f"make one with `seston keys new --unit {unit}`",
        )
    when = datetime.now(UTC).isoformat(timespec="microseconds")
    lines = [f'unit = "{unit}"', f'installed = "{when}"']
    lines += [f'{name} = "{public.hex()}"' for name, public in found.items() if public is not None]
    write_durably(board / KEYS_FILE, ("\n".join(lines) + "\n").encode())
    told = [f"{name.removesuffix('_key')} {fingerprint(key).hex()}" for name, key in found.items() if key]
    click.echo(f"Installed in {board / KEYS_FILE}: {', '.join(told)}.")


@keys.command()
@owner_options
@click.option(
    "--sign-with", type=click.Choice(["unit", "fleet"]),
    help="Whose key signs; the fleet's where the unit's is lost. Default: the key that is replaced.",
)  # fmt: skip
@click.option(
    "--key", type=click.Path(dir_okay=False, path_type=Path),
    help="A retired private key, which a float obeys still: tell it the key of today.",
)  # fmt: skip
@click.option("--done", is_flag=True, help="The float has answered `done`: sign with the new key now.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File of the command to send.")
@passphrase_option
@keyring_option
def rotate(
    unit: str | None,
    fleet: bool,
    sign_with: str | None,
    key: Path | None,
    done: bool,
    out: Path | None,
    passphrase: bool,
    keyring: Keyring,
) -> None:
    """Replace a key: make the next one and the command that tells it to the float.

    Send the command; when the float's report answers it with `done`, call this again with --done. Without
    --done it may be called again: it signs the same next key once more. A float that has missed all this
    obeys the old key still: --key keys/retired/... signs with that one.
    """
    owner = owner_of(unit, fleet)
    if key is not None and (done or sign_with is not None):
        raise click.UsageError("--key goes with neither --done nor --sign-with")
    if done:
        public = keyring.advance(owner)
        click.echo(f"The key of {owner.label} is {fingerprint(public).hex()} now; the old one is kept.")
        return
    if sign_with == "unit" and owner.role is Role.FLEET:
        raise click.UsageError("a unit's key cannot replace the fleet's")
    signer = Owner() if sign_with == "fleet" else owner
    if key is None:
        private = keyring.private(signer, ask_passphrase)
        public = keyring.coming(owner) or keyring.new(owner, _new_passphrase(passphrase), within=NEXT)
    else:
        private, public = load_private(key, ask_passphrase), _known(keyring, owner)
    mark = fingerprint(public).hex()
    order = RotateKey(owner.role, public)
    told = f"replace the key of {owner.label} by {mark}"
    made = keyring.make(order, owner.unit, private, told, time.time_ns() // 1_000_000)
    file = out or Path(f"command-{made.counter}.sbd")
    write_durably(file, made.data)
    click.echo(f"Command {made.counter}, {len(made.data)} bytes, in {file}: {told}.")


def _known(keyring: Keyring, owner: Owner) -> bytes:
    """The public half of today's key."""
    public = keyring.public(owner)
    if public is None:
        raise InputError(
            f"holds no key of {owner.label}", file=keyring.folder, remedy="make one with `seston keys new`"
        )
    return public


@keys.command("list")
@keyring_option
def list_keys(keyring: Keyring) -> None:
    """List the keys by their fingerprints."""
    found = keyring.owners()
    if not found:
        click.echo(f"No keys in {keyring.folder}.")
    for owner in found:
        public, coming = keyring.public(owner), keyring.coming(owner)
        line = f"{owner.label}: {fingerprint(public).hex()}" if public else owner.label
        click.echo(line + (f", next {fingerprint(coming).hex()}" if coming else ""))
