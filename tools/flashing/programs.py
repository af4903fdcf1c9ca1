"""Programs of Debian that make and read images: all there, or one sentence; a failure with its last words."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge.errors import InputError

PACKAGE_OF = {
    "arch-test": "arch-test", "bmaptool": "bmap-tools", "debugfs": "e2fsprogs", "e2fsck": "e2fsprogs",
    "genimage": "genimage", "mcopy": "mtools", "mkenvimage": "u-boot-tools", "mke2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mkimage": "u-boot-tools", "mmdebstrap": "mmdebstrap", "openssl": "openssl", "sfdisk": "fdisk",
    "qemu-aarch64-static": "qemu-user-static", "xz": "xz-utils", "zstd": "zstd",
}  # fmt: skip
"""The package that brings a program."""
_ADMIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def require(names: Sequence[str]) -> None:
    """See that programs are there.

    Raises
    ------
    InputError
        Naming the packages that bring those that are not.
    """
    missing = [name for name in names if shutil.which(name, path=_path()) is None]
    if missing:
        packages = " ".join(sorted({PACKAGE_OF[name] for name in missing}))
        raise InputError(f"{', '.join(missing)} not found", remedy=f"apt-get install {packages}")


def run(
    command: Sequence[str | Path],
    environment: Mapping[str, str] | None = None,
    *,
    given: bytes | None = None,
    good: Sequence[int] = (0,),
    log: Path | None = None,
) -> bytes:
    """Run a program; what it wrote on standard output. With `log` all that it says goes there, as it says it.

    Raises
    ------
    InputError
        When it ends with another code than a good one, with the last line that it wrote.
    """
    words = [str(word) for word in command]
    told = {**os.environ, **(environment or {}), "PATH": _path()}
    entry = subprocess.DEVNULL if given is None else None
    if log is None:
        done = subprocess.run(words, env=told, input=given, stdin=entry, capture_output=True, check=False)
        said = (done.stderr + done.stdout).decode(errors="replace")
    else:
        with log.open("wb") as file:
            done = subprocess.run(
                words, env=told, input=given, stdin=entry, stdout=file, stderr=subprocess.STDOUT, check=False
            )
        said = log.read_text(errors="replace")
    if done.returncode not in good:
        lines = said.strip().splitlines()
        faults = [line for line in lines if "error" in line.lower() or line.startswith("E:")] or lines
        raise InputError(
            f"{command[0]} ended with {done.returncode}: {faults[0] if faults else 'it said nothing'}",
            file=log, remedy="mend that and try again",
        )  # fmt: skip
    return done.stdout or b""


def _path() -> str:
    """Where programs are, those of the administrator too: mke2fs needs no root to make a file."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), *_ADMIN))
