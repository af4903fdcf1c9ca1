"""On an emulated Pi: a new system that is kept, the way back, and one that cannot start, which is left."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.board.pi import EmulatedPi, run
from tests.board.telling import must, told
from tools.flashing.system import pack
from tools.flashing.system_file import System

NEW, BROKEN = "new.system", "broken.system"
MARK = "/etc/seston-new"
WRITE_S, BOOT_S, TRIAL_S = 1800, 600, 900


def make_updates(system: Path, folder: Path, work: Path) -> None:
    """Two systems made of one: with a file more, and without the program that the kernel starts first."""
    shutil.rmtree(work, ignore_errors=True)
    for name, edit in ((NEW, f"write {__file__} {MARK}"), (BROKEN, "rm /usr/lib/systemd/systemd")):
        there = work / name
        (there / "firmware").mkdir(parents=True)
        source = System(system)
        source.unpack(there / "system.ext4")
        source.unpack_firmware(there / "firmware")
        rows = "".join(f"{row}\n" for row in source.manifest.packages)
        (there / "packages.txt").write_text(rows, encoding="ascii")
        run("debugfs", "-w", "-R", edit, there / "system.ext4")
        pack(there, folder / name, source.manifest.suite, None)
        shutil.rmtree(there)


def update_and_go_back(pi: EmulatedPi, password: str) -> None:
    """Slot B gets a new system and is kept; rolled back to A; a broken one in B is left after two tries."""
    with told("a new system into slot B"):
        print(pi.run(f"seston slot update /var/lib/seston/{NEW}", WRITE_S))  # noqa: T201
    status = pi.run("seston slot status")
    must("A runs, A is good" in status and "B is on trial" in status, status)
    with told("from slot A to a login in slot B"):
        _restart(pi, password)
    status = pi.run("seston slot status")
    must("B runs, A is good" in status and "B is on trial" in status, status)
    pi.run(f"test -s {MARK}")
    with told("until slot B has proven itself"):
        pi.until("seston slot status", lambda said: "B is good" in said and "trial" not in said, TRIAL_S)
    with told("rolled back: to a login in slot A"):
        print(pi.run("seston slot rollback"))  # noqa: T201
        _restart(pi, password)
    status = pi.run("seston slot status")
    must("A runs, A is good" in status and "trial" not in status, status)
    with told("a broken system into slot B"):
        pi.run(f"seston slot update /var/lib/seston/{BROKEN}", WRITE_S)
    with told("two tries of slot B, and a login in slot A"):
        _restart(pi, password)
    tries = pi.console.count(b"seston: slot B seston.trial")
    must(tries == 2, f"slot B was tried {tries} times")
    must(b"seston: slot B has failed: back to A" in pi.console, "U-Boot does not say that it goes back")
    status = pi.run("seston slot status")
    must("A runs, A is good" in status and "trial" not in status, status)
    pi.until("systemctl is-active seston", lambda said: "active" in said.split(), BOOT_S)


def _restart(pi: EmulatedPi, password: str) -> None:
    pi.restart()
    pi.login(password, BOOT_S)
