"""A small board to install on: this machine's /usr, read only, and all the rest its own, behind chroot.

The installer runs in it as root, for real; mounts and processes are in namespaces of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

HANGS_S = 1800
"""After which a command on the board hangs, however busy the machine is."""
ENTER = """
set -e
R=$1; RUN=$2; OPT_MB=$3; shift 3
for one in usr etc opt var/lib tmp dev proc sys run root media .local; do mkdir -p "$R/$one"; done
for one in bin sbin lib lib64; do [ -L "$R/$one" ] || ln -s "usr/$one" "$R/$one"; done
if [ ! -e "$R/etc/passwd" ]; then
  cp /etc/ld.so.cache /etc/login.defs "$R/etc/"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$R/etc/passwd"
  printf 'root:x:0:\\ndialout:x:20:\\nvideo:x:44:\\n' >"$R/etc/group"
fi
mount --bind /usr "$R/usr"
mount -o remount,bind,ro "$R/usr"
mount --bind "$R/.local" "$R/usr/local"
for one in dev proc sys; do mount --rbind "/$one" "$R/$one"; done
mount --bind "$RUN" "$R/media"
[ "$OPT_MB" = 0 ] || mount -t tmpfs -o "size=${OPT_MB}m" none "$R/opt"
chmod 755 "$R"
exec env -i PATH=/usr/bin:/usr/sbin chroot "$R" "$@"
"""


def namespaces() -> list[str]:
    """Command that gives a child namespaces of its own; skips where that is not to be had."""
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    if os.geteuid() != 0:
        command += ["--map-root-user", "--map-auto", "--user"]
    if not all(map(shutil.which, ("unshare", "chroot", "useradd", "sha256sum"))):
        pytest.skip("needs unshare, chroot and useradd")
    tried = subprocess.run(
        [*command, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"needs namespaces: {tried.stderr.decode().strip()}")
    return command


@dataclass(frozen=True)
class Said:
    """How a call ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Board:
    """Its disk is the folder `root`; the installers lie in `media`."""

    root: Path
    media: Path
    opt_mb: int = 0
    """Size of /opt in memory, for a full disk; 0: as large as the disk is."""

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start a command; killing it kills all that it started at once, as a cut of power does."""
        script = [
            *namespaces(),
            "sh",
            "-c",
            ENTER,
            "enter",
            str(self.root),
            str(self.media),
            str(self.opt_mb),
        ]
        return subprocess.Popen(
            [*script, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.media
        )

    def run(self, *words: str) -> Said:
        """Run a command on the board."""
        with self.begin(*words) as child:
            out, err = child.communicate(timeout=HANGS_S)
        return Said(child.returncode, out, err)

    @property
    def home(self) -> Path:
        """/opt/seston."""
        return self.root / "opt/seston"

    @property
    def current(self) -> str:
        """Name of the version that runs; nothing if there is none."""
        link = self.home / "current"
        return link.readlink().name if link.is_symlink() else ""

    @property
    def versions(self) -> set[str]:
        """Folders of versions, whole or not."""
        return {one.name for one in (self.home / "versions").glob("*")}
