"""Which Edge TPU is on this machine's buses, and who may use it: from /sys, /dev and the rules of udev."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

FRESH, USED = ("1a6e", "089a"), ("18d1", "9302")
"""Vendor and product of a Coral on USB: until its first use since it was plugged in, and after it."""
PCIE = ("1ac1", "089a")
RULE = Path(__file__).parent.parent / "udev" / "60-seston.rules"
RULE_FOLDERS = ("etc/udev/rules.d", "run/udev/rules.d", "usr/local/lib/udev/rules.d", "usr/lib/udev/rules.d",
                "lib/udev/rules.d")  # fmt: skip
USB3_MBIT_S = 5000


@dataclass(frozen=True, slots=True)
class Device:
    """An Edge TPU on a bus.

    Attributes
    ----------
    ids
        Vendor and product: `FRESH`, `USED` or `PCIE`.
    place
        On its bus, as /sys names it.
    node
        The file by which it is used; None when nothing made one.
    mbit_s
        Speed of its USB port; None when it is not told.
    """

    ids: tuple[str, str]
    place: str
    node: Path | None
    mbit_s: float | None = None


def devices(root: Path = Path("/")) -> list[Device]:
    """All that are there, on USB first."""
    found = []
    for place in sorted((root / "sys/bus/usb/devices").glob("*")):
        ids = (_read(place / "idVendor"), _read(place / "idProduct"))
        if ids in (FRESH, USED):
            bus, number, speed = (_number(place / name) for name in ("busnum", "devnum", "speed"))
            node = root / f"dev/bus/usb/{int(bus or 0):03d}/{int(number or 0):03d}"
            found.append(Device(ids, place.name, node if node.exists() else None, speed))
    nodes = iter(sorted((root / "dev").glob("apex_[0-9]*")))
    for place in sorted((root / "sys/bus/pci/devices").glob("*")):
        ids = (_read(place / "vendor").removeprefix("0x"), _read(place / "device").removeprefix("0x"))
        if ids == PCIE:
            found.append(Device(ids, place.name, next(nodes, None)))
    # A Coral board has a node, and perhaps hides its bus.
    return found + [Device(PCIE, node.name, node) for node in nodes]


def may_use(node: Path, uid: int, gids: Collection[int]) -> bool:
    """Whether a user may read and write a node, by its owner, group and mode."""
    told = node.stat()
    if uid in (0, told.st_uid):
        return uid == 0 or told.st_mode & stat.S_IRWXU >= stat.S_IRUSR | stat.S_IWUSR
    wanted = 0o060 if told.st_gid in gids else 0o006
    return told.st_mode & wanted == wanted


def own_rights(node: Path) -> bool:
    """Whether this process may read and write a node."""
    return may_use(node, os.geteuid(), {os.getegid(), *os.getgroups()})


def rules_for(ids: tuple[str, str], root: Path = Path("/")) -> list[Path]:
    """Files of udev's rules that speak of such a device."""
    return [
        file
        for folder in RULE_FOLDERS
        for file in sorted((root / folder).glob("*.rules"))
        if any(_speaks_of(line, ids) for line in _text(file).splitlines())
    ]


def _speaks_of(line: str, ids: tuple[str, str]) -> bool:
    if line.lstrip().startswith("#") or not re.search(r"\b(GROUP|MODE|TAG)\b", line):
        return False
    if ids == PCIE:
        return '"apex"' in line
    vendor, product = ids
    told = re.search(r'idProduct\}=="([^"]*)"', line)
    return f'idVendor}}=="{vendor}"' in line and (told is None or told[1] == product)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _read(file: Path) -> str:
    return _text(file).strip().lower()


def _number(file: Path) -> float | None:
    try:
        return float(_read(file))
    except ValueError:
        return None
