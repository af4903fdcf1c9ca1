"""A small board that systemd starts: Debian as this machine has it, in a container.

A real systemd is the first process there; power is cut by killing it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from tests.tools.small_board import Said

PACKAGES = "python3,passwd,udev,systemd,systemd-sysv,dbus"
LIMIT_S = 1800


def debian_of(folder: Path) -> Path:
    """An archive of Debian with systemd, of this machine's release; made once. Skips where it cannot be."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("mmdebstrap", "systemd-nspawn", "nsenter"))):
        pytest.skip("needs root, mmdebstrap and systemd-nspawn")
    told = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line
    )
    suite = told.get("VERSION_CODENAME", "").strip('"')
    if told.get("ID") != "debian" or not suite:
        pytest.skip("needs a Debian, whose packages the container gets")
    archive = folder / f"{suite}.tar"
    if not archive.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        part = archive.with_suffix(".part.tar")
        command = ["mmdebstrap", "--mode=root", "--variant=minbase", "--quiet", f"--include={PACKAGES}"]
        done = subprocess.run(
            [*command, suite, str(part)], capture_output=True, text=True, check=False, timeout=LIMIT_S
        )
        if done.returncode:
            pytest.skip(f"needs Debian's packages: {(done.stderr.strip().splitlines() or ['none'])[-1]}")
        part.rename(archive)
    return archive


class BootedBoard:
    """Its disk is the folder `root`, unpacked from `archive`; the installers lie in `media`.

    A context: off at its end.
    """

    def __init__(self, archive: Path, root: Path, media: Path) -> None:
        self.root, self._media = root, media
        root.mkdir()
        subprocess.run(["tar", "-C", str(root), "-xf", str(archive)], check=True)
        self._container: subprocess.Popen[bytes] | None = None
        self._first = 0

    def __enter__(self) -> Self:
        self.power_on()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut_power()

    def power_on(self) -> None:
        """Start it, and wait until systemd has started all that it does."""
        with (self.root.parent / f"{self.root.name}.log").open("ab") as log:
            self._container = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit",
                 f"--directory={self.root}", f"--machine=seston-{os.getpid()}",
                 f"--bind-ro={self._media}:/media"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        pid, until_s = self._container.pid, time.monotonic() + LIMIT_S
        while time.monotonic() < until_s:
            if self._container.poll() is not None:
                pytest.skip(f"systemd does not start in a container here: {log.name}")
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if children:
                self._first = int(children[0])
                with suppress(subprocess.TimeoutExpired):
                    if self.run("systemctl", "is-system-running", "--wait").out.strip() in {
                        "running",
                        "degraded",
                    }:
                        return
            time.sleep(0.1)
        raise AssertionError(f"it does not start: {log.name}")

    def cut_power(self) -> None:
        """Kill everything in it at once."""
        if self._container is not None:
            with suppress(ProcessLookupError):
                os.kill(self._first, 9)
            self._container.wait(timeout=LIMIT_S)
            self._container = None

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start a command in it."""
        enter = ["nsenter", "--target", str(self._first), *("-m", "-u", "-i", "-n", "-p", "-r", "-w")]
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        return subprocess.Popen(
            [*enter, "--", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=environment,
        )  # fmt: skip

    def run(self, *words: str) -> Said:
        """Run a command in it."""
        with self.begin(*words) as child:
            out, err = child.communicate(timeout=LIMIT_S)
        return Said(child.returncode, out, err)

    def show(self, what: str) -> str:
        """A property of the service, as systemd has it."""
        return self.run("systemctl", "show", "--property", what, "--value", "seston").out.strip()

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
