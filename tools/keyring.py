"""Keys and counters on shore: one folder that signs commands. Its owner alone can read the private halves.

A ledger keeps every command made, so that no counter is used twice and a float's answer can be looked up.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.database import connect
from edge.durable import sync_folder, write_durably
from edge.errors import InputError
from firmware_bridge.command_bodies import KEY_BYTES, Order, Role
from firmware_bridge.commands import FLEET, MAX_COUNTER, Command, address_of, fingerprint, sign_command

PRIVATE, PUBLIC = ".key", ".pub"
LEDGER_FILE = "ledger.sqlite"
NEXT, RETIRED = "next", "retired"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS commands (
    counter INTEGER PRIMARY KEY,
    made_ms INTEGER NOT NULL,
    unit TEXT,                          -- NULL: all of the fleet
    signer TEXT NOT NULL,               -- fingerprint of the key
    told TEXT NOT NULL,
    data BLOB NOT NULL
);
"""

Passphrase = Callable[[Path], str]
"""Asks a person for the passphrase of a file."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose key: a unit's by its name, or the fleet's."""

    unit: str | None = None

    def __post_init__(self) -> None:
        if self.unit is not None and not _NAME.fullmatch(self.unit):
            raise InputError(
                f"is {self.unit!r}, which is no name of a unit",
                field="--unit",
                remedy="use 1 to 64 letters, digits, points, hyphens and underscores",
            )

    @property
    def role(self) -> Role:
        """What the key may do."""
        return Role.FLEET if self.unit is None else Role.UNIT

    @property
    def label(self) -> str:
        """As people say it."""
        return "fleet" if self.unit is None else f"unit {self.unit}"

    @property
    def place(self) -> Path:
        """File of its key without the ending, within a folder of keys."""
        return Path("fleet") if self.unit is None else Path("units") / self.unit


@dataclass(frozen=True, slots=True)
class Made:
    """A signed command, and its line of the ledger."""

    counter: int
    made_ms: int
    unit: str | None
    signer: str
    told: str
    data: bytes


class Keyring:
    """A folder of keys with its ledger; made when it is missing.

    Raises
    ------
    InputError
        Everywhere, when a file is missing, there already, or cannot be used: it names the file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new(self, owner: Owner, passphrase: str | None = None, *, within: str = "") -> bytes:
        """Make a key, durably, and return its public half; one that is there is never replaced."""
        file = self._file(owner, within)
        if file.exists():
            raise InputError("is there already", file=file, remedy="use `seston keys rotate` for a new one")
        for folder in reversed([file.parent, *file.parent.parents]):
            if not folder.exists():
                folder.mkdir(mode=0o700)
                sync_folder(folder.parent)
        private = Ed25519PrivateKey.generate()
        public = private.public_key().public_bytes_raw()
        how: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase:
            how = serialization.BestAvailableEncryption(passphrase.encode())
        pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
        # The public half first: a private half that is there is whole.
        write_durably(file.with_name(file.name.removesuffix(PRIVATE) + PUBLIC), public.hex().encode() + b"\n")
        write_durably(file, pem, mode=0o600)
        return public

    def public(self, owner: Owner, *, within: str = "") -> bytes | None:
        """The public half, or None when there is no such key."""
        file = self._file(owner, within, PUBLIC)
        if not file.exists():
            return None
        try:
            public = bytes.fromhex(file.read_text(encoding="ascii"))
        except ValueError:
            public = b""
        if len(public) != KEY_BYTES:
            raise InputError("holds no public key", file=file, remedy="restore it from your copy")
        return public

    def coming(self, owner: Owner) -> bytes | None:
        """The public half of the next key, or None when there is none whose private half is here."""
        return self.public(owner, within=NEXT) if self._file(owner, NEXT).exists() else None

    def private(self, owner: Owner, ask: Passphrase) -> Ed25519PrivateKey:
        """The private half."""
        return load_private(self._file(owner), ask)

    def owners(self) -> list[Owner]:
        """Whose keys are here: the fleet's first, then units by name."""
        found = [Owner()] if (self.folder / f"fleet{PUBLIC}").exists() else []
        names = sorted(file.name.removesuffix(PUBLIC) for file in (self.folder / "units").glob(f"*{PUBLIC}"))
        return found + [Owner(name) for name in names]

    def advance(self, owner: Owner) -> bytes:
        """Let the next key be the key, and keep the old one among the retired; returns the public half."""
        old, new = self.public(owner), self.coming(owner)
        place = self._file(owner).parent
        if new is None and self._file(owner, NEXT, PUBLIC).exists():  # cut off before its last step
            new = self.public(owner, within=NEXT)
        if new is None:
            raise InputError(
                "has no next key", field=owner.label, remedy="make one with `seston keys rotate`"
            )
        retired = self.folder / RETIRED
        retired.mkdir(mode=0o700, exist_ok=True)
        for ending, mode in ((PRIVATE, 0o600), (PUBLIC, 0o644)):
            file, follower = self._file(owner, "", ending), self._file(owner, NEXT, ending)
            kept = retired / f"{fingerprint(old or b'').hex()}{ending}"
            if file.exists() and old is not None and not kept.exists():
                write_durably(kept, file.read_bytes(), mode=mode)
            if follower.exists():
                follower.replace(file)
                sync_folder(place)
        return new

    def make(
        self,
        order: Order,
        unit: str | None,
        private: Ed25519PrivateKey,
        told: str,
        now_ms: int,
        counter: int | None = None,
    ) -> Made:
        """Sign an order and keep it in the ledger.

        The counter is one more than the last, or the seconds since 1970 when that is more: so a lost ledger,
        or two people with a copy each, do no harm.
        """
        address = FLEET if unit is None else address_of(unit)
        signer = fingerprint(private.public_key().public_bytes_raw()).hex()
        with self._ledger() as db:
            (last,) = db.execute("SELECT max(counter) FROM commands").fetchone()
            if counter is None:
                counter = max((last or 0) + 1, now_ms // 1000)
            if not 1 <= counter <= MAX_COUNTER:
                raise InputError(
                    f"is {counter}", field="--counter", remedy=f"use 1 to {MAX_COUNTER}, and check the clock"
                )
            if db.execute("SELECT 1 FROM commands WHERE counter = ?", (counter,)).fetchone():
                raise InputError(
                    f"{counter} has been used", field="--counter", remedy=f"use {last + 1} or more"
                )
            data = sign_command(Command(address, counter, order), private)
            made = Made(counter, now_ms, unit, signer, told, data)
            db.execute(
                "INSERT INTO commands VALUES (?, ?, ?, ?, ?, ?)",
                (counter, now_ms, unit, signer, told, data),
            )
        return made

    def made(self) -> list[Made]:
        """Every command made, the oldest first."""
        if not (self.folder / LEDGER_FILE).exists():
            return []
        with self._ledger() as db:
            rows = db.execute(
                "SELECT counter, made_ms, unit, signer, told, data FROM commands ORDER BY counter"
            ).fetchall()
        return [Made(*row) for row in rows]

    def _file(self, owner: Owner, within: str = "", ending: str = PRIVATE) -> Path:
        return self.folder / within / f"{owner.place}{ending}"

    @contextlib.contextmanager
    def _ledger(self) -> Iterator[sqlite3.Connection]:
        """The ledger in one transaction."""
        file = self.folder / LEDGER_FILE
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.closing(connect(file)) as db:
                db.executescript(_SCHEMA)
                db.execute("BEGIN IMMEDIATE")
                with db:
                    yield db
        except sqlite3.Error as cause:
            raise InputError(
                f"cannot be used as a ledger ({cause})", file=file, remedy="check the disk or restore it"
            ) from cause


def load_private(file: Path, ask: Passphrase) -> Ed25519PrivateKey:
    """A private key from its PEM file; asks for the passphrase when it has one."""
    try:
        pem = file.read_bytes()
    except FileNotFoundError:
        raise InputError(
            "is not there", file=file, remedy="make it with `seston keys new`, or see docs/keys.md"
        ) from None
    except OSError as cause:
        raise InputError(f"cannot be read ({cause})", file=file, remedy="check your rights") from cause
    try:
        try:
            key = serialization.load_pem_private_key(pem, None)
        except TypeError:
            key = serialization.load_pem_private_key(pem, ask(file).encode())
    except (ValueError, UnsupportedAlgorithm):
        raise InputError(
            "is no private key, or the passphrase is another", file=file, remedy="try again, or use your copy"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError("is not an Ed25519 key", file=file, remedy="make one with `seston keys new`")
    return key
