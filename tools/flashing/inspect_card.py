"""`seston flash check`: what is on a card, read from its image without root, and whether it is as it must be.

Partitions by sfdisk, the first by mtools, the slot by debugfs: nothing is mounted. Every check is a line.
"""

from __future__ import annotations

import functools
import json
import lzma
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.errors import InputError
from edge.selftest import Status
from tools.flashing.card import SLOTS_AT, SLOTS_BYTES
from tools.flashing.inspect_system import CHECKS, Found, judged
from tools.flashing.programs import require, run
from tools.flashing.system_file import DISK_ID

NEEDED = ("sfdisk", "mcopy", "debugfs", "e2fsck", "zstd")
SECTOR = 512
FIRMWARE = (
    "bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat", "u-boot.bin", "config.txt",
    "boot.scr", "uboot.env", "bcm2711-rpi-4-b.dtb", "bcm2711-rpi-cm4-io.dtb", "bcm2837-rpi-3-b.dtb",
    "bcm2837-rpi-3-b-plus.dtb", "bcm2837-rpi-zero-2-w.dtb",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is, and the sentence."""

    name: str
    status: Status
    message: str


def inspect(path: Path) -> Iterator[Finding]:
    """Every check of the image of a card, as it is done; one that cannot be done is a finding too.

    Raises
    ------
    InputError
        When the file is none, or a program is missing.
    """
    require(NEEDED)
    with _plain(path) as image, tempfile.TemporaryDirectory(prefix="seston-check-") as folder:
        parts = partitions(image)
        yield _done("partitions", lambda: _partitions(parts))
        yield _done("slots", lambda: _slots(image))
        boot = Path(folder) / "boot"
        boot.mkdir()
        yield _done("firmware", lambda: _firmware(image, parts, boot))
        yield _done("unit", lambda: _unit(boot))
        root = Path(folder) / "root"
        root.mkdir()
        yield _done("file system", lambda: _slot(image, parts, root, Path(folder)))
        if not (root / "usr").is_dir():
            return  # there is nothing in it that the rest could look at
        for name, check in CHECKS:
            yield _done(name, functools.partial(check, root))


def partitions(image: Path) -> list[tuple[int, int, str]]:
    """Start and length of each partition in bytes, and its type.

    Raises `InputError` for a file that is no image.
    """
    try:
        table = json.loads(run(("sfdisk", "--json", image)))["partitiontable"]
    except (InputError, KeyError, ValueError) as cause:
        raise InputError(
            "has no table of partitions", file=image, remedy="is it the image of a card?"
        ) from cause
    if table.get("id", "").lower() != f"0x{DISK_ID}":
        raise InputError("is no card of seston", file=image, remedy="make one: seston flash image")
    return [(row["start"] * SECTOR, row["size"] * SECTOR, row["type"]) for row in table["partitions"]]


@contextmanager
def _plain(path: Path) -> Iterator[Path]:
    """The image, unpacked when it is compressed."""
    if path.suffix != ".xz":
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="seston-check-") as folder:
        plain = Path(folder) / path.stem
        try:
            with lzma.open(path) as packed, plain.open("wb") as out:
                while block := packed.read(1 << 20):
                    if block.count(0) == len(block):
                        out.seek(len(block), 1)
                    else:
                        out.write(block)
                out.truncate()
        except (lzma.LZMAError, EOFError) as cause:
            raise InputError(f"is damaged ({cause})", file=path, remedy="copy it again") from cause
        yield plain


def _done(name: str, check: Callable[[], Found]) -> Finding:
    try:
        status, message = check()
    except (InputError, OSError, ValueError) as error:
        status, message = Status.BAD, str(error)
    return Finding(name, status, message)


def _partitions(parts: list[tuple[int, int, str]]) -> Found:
    wanted = [("c", "firmware"), ("83", "slot A"), ("83", "slot B"), ("83", "data")]
    faults = [] if len(parts) == len(wanted) else [f"{len(parts)} partitions, {len(wanted)} are wanted"]
    faults += [f"{name} is of type {kind}" for (_, _, kind), (want, name) in zip(parts, wanted, strict=False)
               if kind != want]  # fmt: skip
    if len(parts) == len(wanted) and parts[1][1] != parts[2][1]:
        faults.append("the slots are not of one size")
    told = ", ".join(
        f"{name} {size >> 20} MB" for (_, size, _), (_, name) in zip(parts, wanted, strict=False)
    )
    return judged(faults, told)


def read_slots(record: bytes) -> dict[str, str]:
    """The record of the slots: U-Boot's, a CRC-32 and `name=value` with a zero after each.

    Raises `InputError` when its sum is wrong.
    """
    if len(record) != SLOTS_BYTES or struct.unpack("<I", record[:4])[0] != zlib.crc32(record[4:]):
        raise InputError("the record of the slots is damaged", remedy="write the card again")
    rows = record[4:].split(b"\0\0", 1)[0].split(b"\0")
    return dict(row.decode("ascii").split("=", 1) for row in rows if b"=" in row)


def _slots(image: Path) -> Found:
    with image.open("rb") as file:
        file.seek(SLOTS_AT)
        told = read_slots(file.read(SLOTS_BYTES))
    if told.get("seston_good") not in ("A", "B"):
        return Status.BAD, "no slot is good"
    trial = f", {told['seston_trial']} is on trial" if told.get("seston_trial") else ""
    return Status.GOOD, f"{told['seston_good']} is good{trial}"


def _firmware(image: Path, parts: list[tuple[int, int, str]], boot: Path) -> Found:
    inside = f"{image}@@{parts[0][0]}"
    try:
        run(("mcopy", "-s", "-n", "-m", "-i", inside, "::*", boot), {"MTOOLS_SKIP_CHECK": "1"})
    except InputError as cause:
        raise InputError("the first partition is damaged", remedy="write the card again") from cause
    missing = [name for name in FIRMWARE if not (boot / name).is_file()]
    faults = [f"{', '.join(missing)} not there"] if missing else []
    environment = (boot / "uboot.env").read_bytes() if (boot / "uboot.env").is_file() else b""
    if len(environment) > 4 and struct.unpack("<I", environment[:4])[0] != zlib.crc32(environment[4:]):
        faults.append("uboot.env is damaged")
    if b"bootdelay=-2" not in environment:
        faults.append("U-Boot would stop for a key, such as noise on the serial port")
    return judged(faults, "Pi 3, Zero 2 W, 4 and CM4; no key stops it")


def _unit(boot: Path) -> Found:
    unit = boot / "unit"
    names = sorted(path.name for path in unit.iterdir()) if unit.is_dir() else []
    faults = [f"{name} is not there" for name in ("hostname", "float.toml", "boot.txt") if name not in names]
    if not {"authorized_keys", "password"} & set(names):
        faults.append("nobody can log in: neither authorized_keys nor password")
    if faults:
        return Status.BAD, "; ".join(faults)
    password = (unit / "password").read_bytes() if "password" in names else b""
    if password and not password.startswith((b"$6$", b"$y$", b"$5$")):
        return Status.BAD, "the password is not a hash"
    ways = [word for name, word in (("password", "a password on the console"), ("authorized_keys", "a key"),
            ("deck.sha256", "a stick")) if name in names]  # fmt: skip
    keys = "obeys its keys" if "keys.toml" in names else "obeys nobody at sea"
    return Status.GOOD, f"{(unit / 'hostname').read_text().strip()}: {', '.join(ways)}; {keys}"


def _slot(image: Path, parts: list[tuple[int, int, str]], root: Path, work: Path) -> Found:
    """Slot A, checked and unpacked."""
    start, size, _ = parts[1]
    slot = work / "slot"
    with image.open("rb") as file, slot.open("wb") as out:
        file.seek(start)
        left = size
        while left and (block := file.read(min(left, 1 << 20))):
            left -= len(block)
            if block.count(0) == len(block):
                out.seek(len(block), 1)
            else:
                out.write(block)
        out.truncate(size)
    try:
        run(("e2fsck", "-f", "-n", slot))
    except InputError as cause:
        raise InputError("slot A is damaged", remedy="write the card again") from cause
    run(("debugfs", "-R", f"rdump / {root}", slot))
    used = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    slot.unlink()
    return Status.GOOD, f"whole, {used / 1e6:,.0f} MB of files in {size / 1e6:,.0f} MB"
