"""On an emulated Pi: a new system that is kept, the way back, and two that are left.

One cannot start, and in one the instrument does not run.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.board.pi import EmulatedPi, run
from tests.board.telling import must, told
from tools.flashing.system import pack
from tools.flashing.system_file import System

NEW, BROKEN = "new.system", "broken.system"
MARK = "/etc/seston-new"
WRITE_S, BOOT_S, TRIAL_S = 1800, 900, 900


def make_updates(system: Path, folder: Path, work: Path) -> None:
    """Two systems made of one: with a file more, and with nothing but the kernel and what it starts from."""
    shutil.rmtree(work, ignore_errors=True)
    source = System(system)
    packages = "".join(f"{row}\n" for row in source.manifest.packages)
    for name in (NEW, BROKEN):
        there = work / name
        (there / "firmware").mkdir(parents=True)
        source.unpack_firmware(there / "firmware")
        (there / "packages.txt").write_text(packages, encoding="ascii")
        slot = there / "system.ext4"
        source.unpack(slot)
        if name == NEW:
            run("debugfs", "-w", "-R", f"write {__file__} {MARK}", slot)
        else:
            (there / "root").mkdir()
            run("debugfs", "-R", f"rdump /boot {there / 'root'}", slot)
            slot.unlink()
            run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", there / "root", slot, "64m")
        pack(there, folder / name, source.manifest.suite, None)
        shutil.rmtree(there)


def update_and_go_back(pi: EmulatedPi, password: str) -> None:
    """Slot B gets a new system, which is kept; then back to A by hand."""
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


def leave_one_without_instrument(pi: EmulatedPi, password: str) -> None:
    """Slot B, whose system has just run, is left after two tries when its instrument no longer does.

    Only the time is another: two minutes and not ten for it to prove itself.
    """
    pi.run(
        "mount PARTUUID=5e570a01-03 /mnt && cd /mnt && mkdir -p etc/systemd/system/seston.service.d && "
        "printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\n' "
        "> etc/systemd/system/seston.service.d/broken.conf && "
        "sed -i 's/seq 60/seq 12/' usr/lib/seston/judge-trial && cd / && umount /mnt"
    )
    pi.run("printf 'seston_good=A\\nseston_trial=B\\nseston_left=2\\n' | fw_setenv --script -")
    must("B is on trial" in pi.run("seston slot status"), "slot B is not on trial")
    with told("two tries of a slot whose instrument does not run, and a login in slot A"):
        pi.restart()
        pi.expect("seston: slot B has failed: back to A", 4 * TRIAL_S)
        _tried_twice(pi)
        pi.console = b""  # that of slot B asked for a login too
        pi.login(password, BOOT_S)
    _a_is_back(pi)


def leave_a_broken_one(pi: EmulatedPi, password: str) -> None:
    """A system that starts nothing, in slot B, is left after two tries."""
    with told("a broken system into slot B"):
        pi.run(f"seston slot update /var/lib/seston/{BROKEN}", WRITE_S)
    with told("two tries of slot B, and a login in slot A"):
        _restart(pi, password)
    _tried_twice(pi)
    _a_is_back(pi)


def _tried_twice(pi: EmulatedPi) -> None:
    tries = pi.console.count(b"seston: slot B seston.trial")
    must(tries == 2, f"slot B was tried {tries} times")
    must(b"seston: slot B has failed: back to A" in pi.console, "U-Boot does not say that it goes back")


def _a_is_back(pi: EmulatedPi) -> None:
    status = pi.run("seston slot status")
    must("A runs, A is good" in status and "trial" not in status, status)
    pi.until("systemctl is-active seston", lambda said: "active" in said.split(), BOOT_S)


def _restart(pi: EmulatedPi, password: str) -> None:
    pi.restart()
    pi.login(password, BOOT_S)
