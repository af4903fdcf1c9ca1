"""Writes commands-1.json anew: `python -m tests.golden.make_commands`, for a new version alone.

The keys are the first two of RFC 8032, section 7.1: they are secret to nobody.
"""

from __future__ import annotations

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.telemetry.missing import Request, encode_request
from firmware_bridge.command_bodies import (
    Announce,
    AskMissing,
    OpenDeck,
    Order,
    Part,
    Reset,
    Role,
    RotateKey,
    Set,
    What,
)
from firmware_bridge.commands import FLEET, Command, address_of, sign_command
from firmware_bridge.settings import make_settings

FILE = Path(__file__).parent / "commands-1.json"
UNIT = "float-17"
PRIVATE = {
    Role.UNIT: bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"),
    Role.FLEET: bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"),
}
ZONES = {"profile.bins_dbar": ((0, 5), (200, 20)), "profile.max_dbar": 1000, "run.camera.frame_rate_hz": 0.25}
THRESHOLDS = {"optics.threshold": 22, "classify.min_esd_um": 620.5, "vision.blur_sharpness": 0.0375}
ORDERS: dict[str, tuple[Role, bytes, int, Order]] = {
    "budget": (Role.UNIT, address_of(UNIT), 1, Set(make_settings({"telemetry.budget_bytes": 2000}))),
    "schedule": (Role.UNIT, address_of(UNIT), 300, Set(make_settings(ZONES))),
    "thresholds": (
        Role.FLEET, FLEET, 1_780_000_000,
        Set(make_settings(THRESHOLDS)),
    ),
    "missing": (
        Role.UNIT, address_of(UNIT), 301,
        AskMissing(encode_request([Request(12, 6, ((1, 2), (4, 6))), Request(13, 0, ())]).data),
    ),
    "rotate-unit-key": (Role.FLEET, address_of(UNIT), 302, RotateKey(Role.UNIT, bytes(range(32)))),
    "announce": (
        Role.UNIT, address_of(UNIT), 303, Announce(What.CONFIGURATION, 200, bytes(range(32)), b"first bytes"),
    ),
    "part": (Role.UNIT, address_of(UNIT), 303, Part(11, b"the next bytes")),
    "open-deck": (Role.UNIT, address_of(UNIT), 304, OpenDeck(30)),
    "reset": (Role.FLEET, FLEET, 4_294_967_295, Reset()),
}  # fmt: skip


NAMES_OF_ORDERS = sorted(ORDERS)


def private_key(role: Role) -> Ed25519PrivateKey:
    """The private half of a key of the vectors."""
    return Ed25519PrivateKey.from_private_bytes(PRIVATE[role])


def public_key(role: Role) -> bytes:
    """The public half."""
    return private_key(role).public_key().public_bytes_raw()


def golden_command(name: str) -> bytes:
    """A command of the vectors, signed."""
    role, address, counter, order = ORDERS[name]
    return sign_command(Command(address, counter, order), private_key(role))


def main() -> None:
    """Write keys and commands."""
    kept = {
        "unit": UNIT,
        "private": {role.name.lower(): key.hex() for role, key in PRIVATE.items()},
        "public": {role.name.lower(): public_key(role).hex() for role in PRIVATE},
        "commands": {
            name: {
                "signer": role.name.lower(),
                "counter": counter,
                "order": repr(order),
                "hex": golden_command(name).hex(),
            }
            for name, (role, _, counter, order) in ORDERS.items()
        },
    }
    FILE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
