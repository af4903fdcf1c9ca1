"""The file of one unit: its name, who may log in, what it runs with. What makes its card its own.

Nothing in it has a default that lets anybody in: a key or a password has to be given.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import msgspec

from edge.config import load_config
from edge.errors import ConfigError, InputError
from edge.installed_keys import InstalledKeys
from edge.logged import optics_of
from edge.structs import Section, read_toml
from tools.flashing.programs import require, run

LEAST_PASSWORD = 10
_SALT = 16

Name = Annotated[str, msgspec.Meta(pattern="^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
File = Annotated[str, msgspec.Meta(min_length=1)]


class Login(Section, frozen=True):
    """Who may log in as `deck`: on the serial console with a password, over the deck's network with a key.

    Attributes
    ----------
    authorized_keys
        File of public keys for ssh.
    password_file
        File whose first line is a password of ten characters or more, or the hash of one as in /etc/shadow.
    stick_key
        File that a stick named SESTON-DECK has as `deck.key`: it sets the switch `file:/run/seston-stick`.
    """

    authorized_keys: File | None = None
    password_file: File | None = None
    stick_key: File | None = None

    def __post_init__(self) -> None:
        if self.authorized_keys is None and self.password_file is None:
            raise ValueError("needs authorized_keys or password_file: there is no default password")


class Network(Section, frozen=True):
    """The wired network, for GigE cameras and the deck; without an address it takes a link-local one."""

    address: Annotated[str, msgspec.Meta(pattern="^(|[0-9.]+/[0-9]{1,2})$")] = ""
    jumbo_frames: bool = True


class UnitFile(Section, frozen=True):
    """One unit. Files are named from the folder of this one.

    Attributes
    ----------
    hostname
        Its name on the network, and on the console.
    serial
        Number of the instrument, for people.
    config
        What `seston run` works with.
    keys
        `keys.toml` as `seston keys install` writes it; None: it obeys nobody.
    console
        Serial console: the port and speed as the kernel writes them, or `none` when the header's port is the
        host's.
    kernel
        More for the kernel's command line.
    """

    hostname: Name
    config: File
    login: Login
    serial: Annotated[str, msgspec.Meta(max_length=64)] = ""
    keys: File | None = None
    console: Annotated[str, msgspec.Meta(pattern="^(none|tty[A-Za-z]+[0-9]+,[0-9]+)$")] = "ttyS1,115200"
    kernel: Annotated[str, msgspec.Meta(pattern="^[ -~]*$", max_length=300)] = ""
    network: Network = Network()


def read_unit(path: Path) -> dict[str, bytes]:
    """What goes into the folder `unit` of a card's first partition, by name.

    Raises
    ------
    ConfigError
        When the file, or one that it names, cannot be used: named file and key, and what to do.
    """
    unit = read_toml(path, UnitFile, error=ConfigError)

    def told(field: str, name: str) -> bytes:
        try:
            return (path.parent / name).read_bytes()
        except OSError as cause:
            raise ConfigError(
                f"{name} cannot be read ({cause.strerror})", file=path, field=field, remedy="check the path"
            ) from cause

    config = load_config(path.parent / unit.config)
    optics_of(config)
    found = {
        "hostname": f"{unit.hostname}\n".encode(),
        "float.toml": told("config", unit.config),
        "boot.txt": f"console={unit.console}\nmore={unit.kernel}\n".encode(),
        "10-wired.network": _network(unit.network).encode(),
    }
    if unit.serial:
        found["serial"] = f"{unit.serial}\n".encode()
    if unit.keys is not None:
        read_toml(path.parent / unit.keys, InstalledKeys, error=ConfigError)
        found["keys.toml"] = told("keys", unit.keys)
    login = unit.login
    if login.authorized_keys is not None:
        found["authorized_keys"] = _public_keys(told("login.authorized_keys", login.authorized_keys), path)
    if login.password_file is not None:
        found["password"] = _hash(told("login.password_file", login.password_file), unit.hostname, path)
    if login.stick_key is not None:
        key = told("login.stick_key", login.stick_key)
        if len(key) < _SALT:
            raise ConfigError(
                f"has {len(key)} bytes", file=path, field="login.stick_key",
                remedy="make one: head -c 32 /dev/urandom | base64 > deck.key",
            )  # fmt: skip
        found["deck.sha256"] = f"{hashlib.sha256(key).hexdigest()}\n".encode()
    return found


def _network(network: Network) -> str:
    lines = [
        "[Match]",
        "Name=eth* en*",
        "",
        "[Link]",
        *(["MTUBytes=9000"] if network.jumbo_frames else []),
        "",
    ]
    lines += ["[Network]", "DHCP=no", "IPv6AcceptRA=no", "LLMNR=no", "MulticastDNS=no"]
    lines += [f"Address={network.address}", "LinkLocalAddressing=no"] if network.address else [
        "LinkLocalAddressing=ipv4"
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _public_keys(data: bytes, file: Path) -> bytes:
    lines = [line for line in data.splitlines() if line.strip() and not line.lstrip().startswith(b"#")]
    if not lines or any(b"PRIVATE KEY" in line for line in lines):
        raise ConfigError(
            "has no public key" if not lines else "is a private key: never put it on a card",
            file=file, field="login.authorized_keys", remedy="name the .pub file of ssh-keygen",
        )  # fmt: skip
    return b"\n".join(lines) + b"\n"


def _hash(data: bytes, hostname: str, file: Path) -> bytes:
    """SHA-512 crypt. The salt is of the name: the same files make the same card, and no guess is cheaper."""
    first = data.split(b"\n", 1)[0].rstrip(b"\r")
    if first.startswith((b"$6$", b"$5$", b"$y$")):
        return first + b"\n"
    if len(first) < LEAST_PASSWORD:
        raise ConfigError(
            f"is {len(first)} characters long", file=file, field="login.password_file",
            remedy=f"use {LEAST_PASSWORD} or more",
        )  # fmt: skip
    salt = hashlib.sha256(b"seston deck\0" + hostname.encode()).hexdigest()[:_SALT]
    require(("openssl",))
    try:
        return run(("openssl", "passwd", "-6", "-salt", salt, "-stdin"), given=first + b"\n")
    except InputError as error:
        raise ConfigError(
            error.problem, file=file, field="login.password_file", remedy=error.remedy
        ) from error
