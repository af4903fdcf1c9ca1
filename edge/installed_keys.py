"""The public keys aboard, as `seston keys install` wrote them: whose commands a board obeys, and its name."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import msgspec

from edge.errors import ConfigError
from edge.structs import Section, read_toml
from firmware_bridge.command_bodies import Role

KEYS_FILE = "keys.toml"

HexKey = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class InstalledKeys(Section, frozen=True):
    """What `seston keys install` writes into the board's folder.

    Attributes
    ----------
    unit
        Name that commands are addressed to.
    installed
        When, for people, and so that no two installations are the same file: what replaced a key over the
        link ends with the installation that it came after.
    unit_key, fleet_key
        Public keys, 64 hexadecimal digits; None where there is none.
    """

    unit: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    installed: str = ""
    unit_key: HexKey | None = None
    fleet_key: HexKey | None = None

    def by_role(self) -> dict[Role, bytes]:
        """Keys as bytes."""
        told = {Role.UNIT: self.unit_key, Role.FLEET: self.fleet_key}
        return {role: bytes.fromhex(key) for role, key in told.items() if key is not None}


def read_installed(folder: Path) -> tuple[InstalledKeys | None, bytes]:
    """Keys of a board, and a hash that tells this installation from others; None when there are none.

    Raises
    ------
    ConfigError
        When the file is damaged.
    """
    file = folder / KEYS_FILE
    if not file.exists():
        return None, b""
    found = read_toml(file, InstalledKeys, error=ConfigError)
    return found, hashlib.sha256(file.read_bytes()).digest()
