"""`python -m tests.board.installer`: the installer on an emulated aarch64, on Debian 12 and 13, for real.

On Debian's own systems (`emulated_root`, configured) it installs, does nothing the second time, gives the
golden answers and is whole. It takes minutes, and root; without them it says why and is no failure.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from tests.board import debian
from tests.board.__main__ import LIMIT_S, PYTHONS, say
from tests.board.emulated import EmulatedRoot, emulated_root
from tests.board.errors import CannotEmulateError

PACKAGES = ("python3", "passwd", "udev", "systemd")
INSTALL = """
set -e
sh /media/*-aarch64.run --no-selftest
sh /media/*-aarch64.run --no-selftest | tee /tmp/again
tail -n 1 /tmp/again | grep -qx 'Nothing was to be done.'
seston --version
seston bundle verify darkfield
! seston-rollback
cd /opt/seston/current
sha256sum --quiet -c files.sha256
du -sm .
"""


def main() -> int:
    """Exit code 1 when an installation fails, 0 when none does or it cannot be found out."""
    parser = argparse.ArgumentParser(prog="python -m tests.board.installer", description=__doc__)
    parser.add_argument("--dir", type=Path, default=debian.ROOT / "out/board", help="where systems are kept")
    parser.add_argument(
        "--suite", choices=PYTHONS, action="append", help="Debian release; both when left out"
    )
    asked = parser.parse_args()
    folder = asked.dir.resolve()
    media = folder / "installer"
    words = ["flash", "bundle", "--out", str(media), "--wheels", str(debian.ROOT / "out/flash/wheels")]
    subprocess.run(
        [sys.executable, "-c", "from tools.cli import main; main()", *words], cwd=debian.ROOT, check=True
    )
    failed = 0
    for suite in asked.suite or PYTHONS:
        try:
            machine = emulated_root(folder / f"{suite}-configured", suite, PACKAGES, configured=True)
        except CannotEmulateError as reason:
            say(f"installer: skipped: {reason}")
            return 0
        failed |= int(not _installs(machine, folder / f"{suite}-installed", media, suite))
    return failed


def _installs(machine: EmulatedRoot, folder: Path, media: Path, suite: str) -> bool:
    """Install on a copy of the system, which stays as it is."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["cp", "-a", str(machine.root), str(folder)], check=True)
    board = replace(machine, root=folder, binds={"/media": media})
    begun_s = time.monotonic()
    code = board.run(["sh", "-c", INSTALL], timeout_s=LIMIT_S).returncode
    say(f"{suite}: {'FAILED' if code else 'good'}, {time.monotonic() - begun_s:.0f} s")
    shutil.rmtree(folder)
    return code == 0


if __name__ == "__main__":
    sys.exit(main())
