"""Where everything is on a board: a person edits /etc, a dive leaves /var/lib, the program is in /opt."""

from __future__ import annotations

import os
from pathlib import Path

HOME = Path("/opt/seston")
VERSIONS = HOME / "versions"
CURRENT = HOME / "current"
"""The version that runs: the one link that says so, replaced in one step."""
PREVIOUS = HOME / "previous"
"""What it was before; for people, and a hint for `versions.previous`."""
BIN = HOME / "bin"
LOCK = HOME / ".lock"
SWITCHING = HOME / ".switching"
"""There from a switch until the new version has shown that it runs."""
COMMAND = Path("/usr/local/bin/seston")
ROLLBACK = Path("/usr/local/sbin/seston-rollback")
ETC = Path("/etc/seston")
CONFIG = ETC / "float.toml"
DATA = Path("/var/lib/seston")
KEYS = DATA / "keys.toml"
UNIT = Path("/etc/systemd/system/seston.service")
WANTS = Path("/etc/systemd/system/multi-user.target.wants/seston.service")
RULES = Path("/etc/udev/rules.d/60-seston.rules")
USER = "seston"
GROUPS = ("dialout", "video", "gpio", "plugdev", "apex")


def write(file: Path, data: bytes, mode: int = 0o644) -> None:
    """Write or replace a file in one step; when this returns, it is on the disk."""
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        out.write(data)
        out.flush()
        os.fchmod(out.fileno(), mode)
        os.fsync(out.fileno())
    part.replace(file)
    sync(file.parent)


def link(place: Path, target: Path | str) -> None:
    """Let `place` point to `target`, in one step."""
    part = place.with_name(f".{place.name}.part")
    part.unlink(missing_ok=True)
    part.symlink_to(target)
    part.replace(place)
    sync(place.parent)


def sync(folder: Path) -> None:
    """Bring a folder's names to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
