"""The two systems of a card, on the board: which runs, a new one into the other, and back.

A new system is on trial: U-Boot tries it twice at most (card/boot.cmd), and it is kept when the instrument
runs on it (rootfs/usr/lib/seston/judge-trial). Until then the old one is what the card starts by itself.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edge.errors import InputError
from tools.flashing.programs import run
from tools.flashing.system_file import CONTEXT, DISK_ID, System

TRIES = 2
RECORD = Path("/etc/fw_env.config")
"""Says fw_printenv and fw_setenv where the record of the slots is."""
STARTED_WITH = Path("/proc/cmdline")
PARTITION = {"A": 2, "B": 3}
_MAGIC_AT, _MAGIC = 1024 + 56, b"\x53\xef"
"""Of ext4 in its first block of the file system."""


@dataclass(frozen=True, slots=True)
class Slots:
    """What the card's record says, and what runs.

    Attributes
    ----------
    running
        A or B.
    good
        What starts by itself.
    trial, left
        What has been written and is not known to be good, or nothing; how often it may still be tried.
    """

    running: str
    good: str
    trial: str
    left: int

    @property
    def other(self) -> str:
        """The slot that does not run."""
        return "B" if self.running == "A" else "A"


def read_slots(started_with: Path = STARTED_WITH, record: Path = RECORD) -> Slots:
    """Of this machine, unless other files are given than it has.

    Raises
    ------
    InputError
        When it was not started from a card of seston, or its record cannot be read.
    """
    found = re.search(r"seston\.slot=([AB])", started_with.read_text(encoding="ascii"))
    if found is None:
        raise InputError(
            "this machine has no slots",
            remedy="use the installer on it: it keeps the version before by itself",
        )
    told = _read(record)
    return Slots(
        found.group(1),
        told.get("seston_good", "A"),
        told.get("seston_trial", ""),
        int(told.get("seston_left") or 0),
    )


def set_slots(good: str, trial: str = "", left: int = 0, record: Path = RECORD) -> None:
    """Write the record: one sector, old or new.

    Raises
    ------
    InputError
        When it does not say so afterwards.
    """
    wanted = {"seston_good": good, "seston_trial": trial, "seston_left": str(left) if trial else ""}
    # An empty value takes a name away.
    run(
        ("fw_setenv", "--config", record, "--script", "-"),
        given="".join(f"{name}={value}\n" for name, value in wanted.items()).encode(),
    )
    os.sync()
    found = _read(record)
    if any(found.get(name, "") != value for name, value in wanted.items()):
        raise InputError("the record of the slots was not written", remedy="the card fails: write a new one")


def write_other(
    path: Path, keys: Mapping[str, bytes], say: Callable[[str], None], *, unsigned: bool = False
) -> str:
    """Write a system into the slot that does not run, and put it on trial; its name.

    Parameters
    ----------
    path
        As `seston flash system` writes it.
    keys
        Public keys that count on this unit, by whose they are; where there are some, the file must be signed.
    unsigned
        Whether one without a good signature is taken all the same.

    Raises
    ------
    InputError
        When the file is none, is damaged or is not signed, or the slot is too small or fails: the old system
        is what starts.
    """
    slots = read_slots()
    system = System(path)
    manifest = system.manifest
    if keys and not unsigned:
        _require_signature(system, keys, path)
    device = _device(slots.other)
    room_bytes = int((Path("/sys/class/block") / device.resolve().name / "size").read_text()) * 512
    if manifest.bytes > room_bytes:
        raise InputError(
            f"has {manifest.bytes:,} bytes, slot {slots.other} has {room_bytes:,}",
            file=path, remedy="write a new card",
        )  # fmt: skip
    if slots.trial:
        set_slots(slots.good)  # what was on trial is overwritten now
    say(f"{manifest.name} is written into slot {slots.other}: {manifest.bytes / 1e6:,.0f} MB, some minutes")
    begun_s = time.monotonic()
    system.unpack(device)
    say(f"written and read back in {time.monotonic() - begun_s:.0f} s")
    set_slots(slots.good if slots.good != slots.other else slots.running, slots.other, TRIES)
    return manifest.name


def _read(record: Path) -> dict[str, str]:
    rows = run(("fw_printenv", "--config", record)).decode("ascii").splitlines()
    return dict(row.split("=", 1) for row in rows if "=" in row)


def _require_signature(system: System, keys: Mapping[str, bytes], path: Path) -> None:
    signature = system.signature
    for public in keys.values():
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, CONTEXT + system.manifest_bytes)
        except (InvalidSignature, ValueError):
            continue
        return
    problem = "is not signed" if not signature else "is signed with no key of this unit"
    raise InputError(
        problem, file=path, remedy="make it with seston flash system --key KEY, or give --unsigned on deck"
    )


def roll_back() -> str:
    """Make the other system the one that starts; the slot.

    Raises
    ------
    InputError
        When there is none in it.
    """
    slots = read_slots()
    with _device(slots.other).open("rb") as file:
        file.seek(_MAGIC_AT)
        if file.read(2) != _MAGIC:
            raise InputError(f"slot {slots.other} is empty", remedy="there is nothing to go back to")
    set_slots(slots.other)
    return slots.other


def _device(slot: str) -> Path:
    return Path(f"/dev/disk/by-partuuid/{DISK_ID}-{PARTITION[slot]:02}")
