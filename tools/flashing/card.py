"""A card for one unit: firmware and the unit's files, slot A with a system, slot B empty, data.

genimage lays it out as its `card/genimage.cfg` says; nothing here needs root, or a board. The same system and
the same unit give the same bytes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from importlib.resources import as_file, files
from pathlib import Path

from tools.flashing.ext4 import settle_times
from tools.flashing.programs import require, run
from tools.flashing.system import SLOT_BYTES, UUIDS
from tools.flashing.system_file import DISK_ID, System

SLOTS_AT, SLOTS_BYTES = 512 << 10, 512
"""Where the record of the slots is on a card, and its length: boot.cmd and fw_env.config name the same."""
ENVIRONMENT_BYTES = 0x4000
"""Of U-Boot's own environment, as Debian builds it for the Pi."""
DATA_BYTES = 96 << 20
NEEDED = ("genimage", "mkimage", "mkenvimage", "mke2fs", "debugfs", "mkfs.vfat", "mcopy", "xz", "bmaptool")


def build_card(
    system: System,
    unit: Mapping[str, bytes],
    out: Path,
    say: Callable[[str], None],
    *,
    epoch_s: int,
    data: Path | None = None,
) -> None:
    """Write the image of a card, compressed where its name ends in .xz, and its block map beside it.

    Parameters
    ----------
    system
        For slot A.
    unit
        As `read_unit` gives it.
    out
        `NAME.img` or `NAME.img.xz`; the map is `NAME.img.bmap`.
    data
        Folder whose files are in /var/lib/seston from the start, such as a recording; None: nothing.
    epoch_s
        The time of every file on the first partition, seconds since 1970.

    Raises
    ------
    InputError
        When a program is missing or fails.
    """
    require(NEEDED)
    with tempfile.TemporaryDirectory(prefix="seston-card-", dir=out.parent) as folder:
        work = Path(folder)
        boot, inputs, made = work / "root" / "boot", work / "inputs", work / "made"
        for place in (boot / "unit", inputs, made):
            place.mkdir(parents=True)
        environment = {"SOURCE_DATE_EPOCH": str(epoch_s), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        _fill_boot(boot, system, unit, environment)
        for path in sorted(boot.rglob("*"), reverse=True):
            os.utime(path, (epoch_s, epoch_s))
        _made(("mkenvimage", "-s", str(SLOTS_BYTES), "-o", inputs / "slots.bin", "-"), b"seston_good=A\n")
        _data(inputs / "data.ext4", data, environment)
        say("the system is unpacked")
        system.unpack(inputs / "system.ext4")
        _boot_partition(boot, inputs / "boot.vfat", environment)
        layout = (files("tools.flashing") / "card" / "genimage.cfg").read_text(encoding="ascii")
        config = work / "genimage.cfg"
        config.write_text(layout.replace("@SLOT_BYTES@", str(SLOT_BYTES)), encoding="ascii")
        run(
            ("genimage", "--config", config, "--rootpath", work / "root", "--inputpath", inputs,
             "--outputpath", made, "--tmppath", work / "tmp"),
            environment,
        )  # fmt: skip
        card = made / "card.img"
        plain = out.with_suffix("") if out.suffix == ".xz" else out
        run(("bmaptool", "create", card, "--output", f"{plain}.bmap"))
        if out.suffix == ".xz":
            say(f"{card.stat().st_size / 1e6:,.0f} MB are compressed")
            # The size of a block is said, so that the bytes are the same on any number of cores.
            run(("xz", "--compress", "-2", "--threads=0", "--block-size=16MiB", card))
            card = card.with_name("card.img.xz")
        os.replace(card, out)


def _fill_boot(boot: Path, system: System, unit: Mapping[str, bytes], environment: Mapping[str, str]) -> None:
    ours = files("tools.flashing") / "card"
    system.unpack_firmware(boot)
    (boot / "config.txt").write_bytes((ours / "config.txt").read_bytes())
    with as_file(ours / "boot.cmd") as script:
        run(
            ("mkimage", "-q", "-A", "arm64", "-T", "script", "-n", "seston", "-d", script, boot / "boot.scr"),
            environment,
        )
    told = (ours / "uboot-env.txt").read_bytes()
    _made(("mkenvimage", "-s", str(ENVIRONMENT_BYTES), "-o", boot / "uboot.env", "-"), told)
    for name, data in sorted(unit.items()):
        (boot / "unit" / name).write_bytes(data)


def _boot_partition(boot: Path, out: Path, environment: Mapping[str, str]) -> None:
    """FAT, with files in the order of their names."""
    with out.open("wb") as file:
        file.truncate(64 << 20)
    run(("mkfs.vfat", "--invariant", "-F", "32", "-i", DISK_ID, "-n", "SESTON", out), environment)
    for path in sorted(boot.rglob("*")):
        name = f"::{path.relative_to(boot).as_posix()}"
        run(
            ("mmd", "-i", out, name) if path.is_dir() else ("mcopy", "-m", "-i", out, path, name), environment
        )


def _data(out: Path, data: Path | None, environment: Mapping[str, str]) -> None:
    """A file system that grows at the first start."""
    n_bytes = 0 if data is None else sum(path.stat().st_size + 8192 for path in data.rglob("*"))
    with out.open("wb") as file:
        file.truncate(DATA_BYTES + (n_bytes + (1 << 20)) // (1 << 20) * (1 << 20))
    uuid, times = UUIDS["data"], {"E2FSPROGS_FAKE_TIME": environment["SOURCE_DATE_EPOCH"]}
    # Room for the table of a card of 2 TB, so that it can grow while it is in use.
    extended = f"hash_seed={uuid},root_owner=0:0,resize={1 << 29},lazy_itable_init=0"
    content = () if data is None else ("-d", data)
    run(
        ("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-L", "seston-data", "-U", uuid, "-E", extended,
         "-m", "1", "-J", "size=32", *content, out),
        times,
    )  # fmt: skip
    settle_times(out, int(environment["SOURCE_DATE_EPOCH"]))


def _made(command: tuple[str | Path, ...], given: bytes) -> None:
    run(command, given=given)
