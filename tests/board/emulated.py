"""An emulated board: Debian for arm64 in a folder, and a way to run commands in it (`namespace`)."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.board import debian, namespace
from tests.board.errors import CannotEmulateError

QEMU = "qemu-aarch64-static"


@dataclass(frozen=True, slots=True)
class EmulatedRoot:
    """An arm64 system whose programs run here.

    Attributes
    ----------
    root
        Its folder: what is `root / "etc"` here is `/etc` inside. What a command changes there stays, except
        below /tmp and /run, which are empty at every start.
    qemu
        The emulator.
    binds
        Folders of this machine that are seen inside: by their place inside.
    environment
        What commands find in their environment beside `namespace.ENVIRONMENT`; nothing goes in from here.
    """

    root: Path
    qemu: str
    binds: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, argv: Sequence[str], cwd: str = "/") -> list[str]:
        """Command line that runs another inside; for `subprocess`, from any folder."""
        line = [sys.executable, namespace.__file__, str(self.root), "--qemu", self.qemu, "--cwd", cwd]
        for there, here in self.binds.items():
            line += ["--bind", str(here), there]
        for name, value in self.environment.items():
            line += ["--env", f"{name}={value}"]
        return [*line, "--", *argv]

    def run(
        self, argv: Sequence[str], cwd: str = "/", *, capture: bool = False, timeout_s: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside and wait for it; its output is kept when `capture`."""
        return subprocess.run(
            self.command(argv, cwd), stdin=subprocess.DEVNULL, capture_output=capture, text=True,
            errors="replace", check=False, timeout=timeout_s,
        )  # fmt: skip


def emulated_root(
    folder: Path,
    suite: str = "bookworm",
    packages: Sequence[str] = debian.PYTHON_PACKAGES,
    *,
    configured: bool = False,
) -> EmulatedRoot:
    """An emulated board in a folder; made once, and there the next time.

    Parameters
    ----------
    folder
        Where it goes; `folder / "root"` is the system.
    suite
        Debian's: bookworm has Python 3.11, trixie 3.13.
    packages
        What it must have, with all that they depend on.
    configured
        A whole system by mmdebstrap, with dpkg's and apt's state, users and groups, and its packages' scripts
        run: two minutes and more, as root. Otherwise packages are only unpacked, which does to run Python.

    Raises
    ------
    CannotEmulateError
        This machine lacks something, or a registry did not answer.
    """
    qemu = _emulator(folder)
    made = EmulatedRoot(folder / "root", qemu)
    ready = folder / "ready"
    wanted = " ".join([suite, *packages, *(["configured"] if configured else [])])
    if not ready.exists() or ready.read_text(encoding="ascii") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if configured:
            debian.bootstrap(folder, suite, packages, EmulatedRoot(Path("/"), qemu))
        else:
            debian.unpack(folder, suite, packages)
        namespace.write_board_files(made.root)
        said = made.run(["/usr/bin/uname", "-m"], capture=True)
        if said.returncode == namespace.TOO_OLD:
            raise CannotEmulateError(
                f"Linux {platform.release()} gives a user namespace no binfmt_misc (6.7 does, where allowed)"
            )
        if said.stdout.strip() != "aarch64":
            reason = (said.stderr.strip().splitlines() or [f"exit code {said.returncode}"])[-1]
            raise CannotEmulateError(f"an arm64 program does not run in a user namespace here: {reason}")
        ready.write_text(wanted, encoding="ascii")
    return made


def _emulator(folder: Path) -> str:
    if platform.system() != "Linux":
        raise CannotEmulateError("Linux is needed")
    if platform.machine() == "aarch64":
        raise CannotEmulateError("this machine is aarch64 itself, `make test` tests it")
    for program in ("unshare", "setpriv", "chroot", "mount", QEMU):
        if not shutil.which(program):
            raise CannotEmulateError(f"{program} is needed (.ci/packages installs it)")
    found = shutil.which(QEMU)
    assert found
    return found
