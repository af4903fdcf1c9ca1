"""Signed commands from shore, at most 270 bytes each: made on shore, read and verified aboard. Pure.

The layout is docs/commands.md's. Nothing of a command is looked at before its signature fits a key that is
known aboard; whether its counter has risen is for the owner of the counter to say (`edge.orders`).
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from firmware_bridge.command_bodies import BODY_BYTES, Order, Role, Unfit, pack_order, unpack_order
from firmware_bridge.settings import CommandError

COMMAND_BYTES = 270
"""Largest command: what a modem takes in one message towards the float."""
FORMAT = 0xC1
"""First byte: a command, version 1. No text and no `RB`, which a RockBLOCK takes for itself."""
CONTEXT = b"seston command 1\0"
"""Signed before the command: a signature made for anything else is none here."""
ADDRESS_BYTES, COUNTER_BYTES, SIGNATURE_BYTES = 8, 4, 64
HEAD_BYTES = 1 + ADDRESS_BYTES + COUNTER_BYTES + 1
MAX_COUNTER = (1 << 32) - 1
MAX_NAME_BYTES = 64
FLEET = bytes(ADDRESS_BYTES)
"""The address of every unit."""


@dataclass(frozen=True, slots=True)
class Command:
    """An order to a unit, or to all.

    Attributes
    ----------
    address
        `address_of` a unit's name, or `FLEET`.
    counter
        1 to 2 ** 32 - 1; higher than that of every command before with the same key.
    order
        What is to be done.
    """

    address: bytes
    counter: int
    order: Order


class Reason(enum.Enum):
    """Why bytes are no command to obey."""

    MALFORMED = "is no command of this version"
    FOREIGN = "is for another unit"
    SIGNATURE = "is not signed with a key known here"
    UNKNOWN = "is of a kind that is not known here"
    VALUE = "holds a value that cannot be used"


@dataclass(frozen=True, slots=True)
class Refused:
    """Bytes that are not obeyed.

    Attributes
    ----------
    reason, sentence
        Why, for programs and for people.
    counter
        As the bytes have it; None of malformed ones. Worth nothing unless `signer` is there.
    signer
        Whose key the signature fits, or None: then nothing in the bytes is to be believed.
    detail
        Of a value: the number of its setting, or 0.
    """

    reason: Reason
    sentence: str
    counter: int | None = None
    signer: Role | None = None
    detail: int = 0


@dataclass(frozen=True, slots=True)
class Verified:
    """A command, and whose key signed it."""

    command: Command
    signer: Role


def address_of(unit: str) -> bytes:
    """The address of a unit: the first 8 bytes of the SHA-256 of its name in UTF-8.

    Raises
    ------
    CommandError
        When the name is empty, or longer than 64 bytes.
    """
    name = unit.encode()
    if not 0 < len(name) <= MAX_NAME_BYTES:
        raise CommandError(f"The unit's name has {len(name)} bytes; use 1 to {MAX_NAME_BYTES}.")
    return hashlib.sha256(name).digest()[:ADDRESS_BYTES]


def fingerprint(public: bytes) -> bytes:
    """The first 8 bytes of the SHA-256 of a public key: what people compare."""
    return hashlib.sha256(public).digest()[:8]


def sign_command(command: Command, private: Ed25519PrivateKey) -> bytes:
    """The bytes of a command.

    Raises
    ------
    CommandError
        When a part of it is out of range, or it is longer than a message.
    """
    if len(command.address) != ADDRESS_BYTES:
        raise CommandError(f"The address has {len(command.address)} bytes; use {ADDRESS_BYTES}.")
    if not 1 <= command.counter <= MAX_COUNTER:
        raise CommandError(f"The counter is {command.counter}; use 1 to {MAX_COUNTER}.")
    kind, body = pack_order(command.order)
    if len(body) > BODY_BYTES:
        raise CommandError(
            f"The command has {len(body)} bytes of content, {BODY_BYTES} fit in a message; make two of it."
        )
    head = bytes((FORMAT,)) + command.address + command.counter.to_bytes(COUNTER_BYTES, "big")
    signed = head + bytes((kind,)) + body
    return signed + private.sign(CONTEXT + signed)


def read_command(data: bytes, unit: str, keys: Mapping[Role, bytes]) -> Verified | Refused:
    """Verify and read a command; any bytes give an answer. Never raises on what is in `data`.

    Parameters
    ----------
    data
        As they came.
    unit
        Name of the unit that reads.
    keys
        Public keys known aboard, 32 bytes each.
    """
    if not HEAD_BYTES + SIGNATURE_BYTES <= len(data) <= COMMAND_BYTES or data[0] != FORMAT:
        return Refused(Reason.MALFORMED, Reason.MALFORMED.value)
    signed, signature = data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:]
    address = signed[1 : 1 + ADDRESS_BYTES]
    counter = int.from_bytes(signed[1 + ADDRESS_BYTES : HEAD_BYTES - 1], "big")
    if address not in (FLEET, address_of(unit)):
        return Refused(Reason.FOREIGN, Reason.FOREIGN.value, counter)
    # A unit's key speaks to that unit alone: it is not tried on what is said to all.
    roles = (Role.FLEET,) if address == FLEET else (Role.UNIT, Role.FLEET)
    signer = next((role for role in roles if role in keys and _fits(keys[role], signed, signature)), None)
    if signer is None:
        return Refused(Reason.SIGNATURE, Reason.SIGNATURE.value, counter)
    order = unpack_order(signed[HEAD_BYTES - 1], signed[HEAD_BYTES:], signer)
    if isinstance(order, Unfit):
        reason = Reason.UNKNOWN if order.is_of_unknown_kind else Reason.VALUE
        return Refused(reason, order.sentence, counter, signer, order.detail)
    return Verified(Command(address, counter, order), signer)


def _fits(public: bytes, signed: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, CONTEXT + signed)
    except (InvalidSignature, ValueError):
        return False
    return True
