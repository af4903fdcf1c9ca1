"""Is this a machine that the installer is for? Asked before anything is written."""

from __future__ import annotations

import os
import platform
import shutil
import struct
import sys
from pathlib import Path

from tools.flashing.on_board import places
from tools.flashing.on_board.payload import Manifest
from tools.flashing.on_board.refusal import Refusal

RESERVE_BYTES = 64 << 20
"""Left free on the disk of /opt, for the system."""
LEAST_DATA_BYTES = 16 << 20
"""A board that has less for its dives is refused; the self-test asks for more (`edge.selftest`)."""


def refuse_another(manifest: Manifest) -> None:
    """Raise `Refusal` unless architecture, word size, Python and C library are those of the wheels."""
    machine = platform.machine()
    if machine != manifest.arch:
        raise Refusal(
            f"this machine is {machine}, the file is for {manifest.arch}; take the file for {machine}."
        )
    bits = struct.calcsize("P") * 8
    if bits != 64:
        raise Refusal(
            f"this system is a {bits}-bit one on a 64-bit processor; write the 64-bit system to the card, "
            "then install again."
        )
    python = this_python()
    if python not in manifest.pythons:
        raise Refusal(
            f"Python here is {python}, the file has Python {' and '.join(manifest.pythons)}; use a Debian or "
            "Raspberry Pi OS that has one of them."
        )
    name, _, there = (os.confstr("CS_GNU_LIBC_VERSION") or "another C library").partition(" ")
    if name != "glibc" or _numbers(there) < _numbers(manifest.glibc):
        raise Refusal(f"the system has {name} {there}, glibc {manifest.glibc} is needed; use a newer system.")


def refuse_little_space(manifest: Manifest) -> None:
    """Raise `Refusal` unless both disks have room for one version more."""
    need = needed_bytes(manifest) + RESERVE_BYTES
    for folder, bytes_needed in ((places.HOME, need), (places.DATA, LEAST_DATA_BYTES)):
        there = _first_there(folder)
        free = shutil.disk_usage(there).free
        if free < bytes_needed:
            raise Refusal(
                f"{folder} has {free // 10**6} MB free, {-(-bytes_needed // 10**6)} MB are needed; make room "
                "there, then install again."
            )


def needed_bytes(manifest: Manifest) -> int:
    """What one version takes while it is installed: files, what they unpack to, and byte code."""
    python = this_python()
    kinds = ("wheel", "pip", "model", "lib")
    inside = [one for kind in kinds for one in manifest.of(kind, python)]
    return sum(one.size + one.unpacked_bytes for one in inside)


def this_python() -> str:
    """Such as `3.11`."""
    return "{}.{}".format(*sys.version_info)


def is_systemd_running() -> bool:
    """Whether systemd runs this machine; in an image that is being made it does not."""
    return Path("/run/systemd/system").is_dir() and shutil.which("systemctl") is not None


def _first_there(folder: Path) -> Path:
    return next(one for one in (folder, *folder.parents) if one.exists())


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
