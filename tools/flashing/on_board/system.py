"""What a version needs outside its folder: user, service, rules for devices, commands; systemd's help."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tools.flashing.on_board import places
from tools.flashing.on_board.environment import clean_environment
from tools.flashing.on_board.machine import is_systemd_running
from tools.flashing.on_board.refusal import Refusal

SYSTEM = "system"
"""Folder of a version: its own unit and rules, put in place when it is switched to."""
START_LIMIT_S = 960
"""Longer than TimeoutStartSec= of the unit."""


def prepare_user(epoch_s: int) -> None:
    """The user of the service, the groups that devices belong to, and its folder."""
    environment = clean_environment(epoch_s, Path("/tmp"))
    if not _has_user():
        _must(["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", str(places.DATA),
               "--shell", "/usr/sbin/nologin", places.USER], environment)  # fmt: skip
    there = {one.gr_name: one.gr_mem for one in grp.getgrall()}
    for group in places.GROUPS:
        if group not in there:  # Debian has no gpio and no apex: the rules would name nobody
            _must(["groupadd", "--system", group], environment)
        if places.USER not in there.get(group, []):
            _must(["usermod", "--append", "--groups", group, places.USER], environment)
    places.DATA.mkdir(parents=True, exist_ok=True)
    user = pwd.getpwnam(places.USER)
    if places.DATA.stat().st_uid != user.pw_uid:
        os.chown(places.DATA, user.pw_uid, user.pw_gid)


def as_user(command: Sequence[object], *, is_shown: bool, limit_s: float) -> tuple[int, str]:
    """Run a command of a version as the service's user; exit code, and what it said if not shown."""
    user = pwd.getpwnam(places.USER)
    groups = [one.gr_gid for one in grp.getgrall() if places.USER in one.gr_mem]
    environment = clean_environment(0, places.DATA)
    del environment["SOURCE_DATE_EPOCH"], environment["TMPDIR"]
    environment |= {"HOME": str(places.DATA), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [str(word) for word in command], env=environment, cwd="/", check=False, timeout=limit_s,
            text=True,
            stdout=None if is_shown else subprocess.PIPE, stderr=None if is_shown else subprocess.STDOUT,
            user=user.pw_uid, group=user.pw_gid, extra_groups=groups,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 124, f"it took longer than {limit_s:g} s"
    return done.returncode, done.stdout or ""


def lay_down(version: Path, unit: bytes, rules: bytes) -> None:
    """Keep a version's unit and rules in its folder."""
    folder = version / SYSTEM
    folder.mkdir(exist_ok=True)
    (folder / places.UNIT.name).write_bytes(unit)
    (folder / places.RULES.name).write_bytes(rules)


def put_in_place(version: Path) -> list[str]:
    """Unit, rules and commands of a version where the system looks for them; what was changed.

    A service that a person disabled or masked stays so: it is enabled when its unit is new.
    """
    changed = []
    is_new = not os.path.lexists(places.UNIT)
    for place in (places.UNIT, places.RULES):
        wanted = (version / SYSTEM / place.name).read_bytes()
        if place.is_symlink() or (place.is_file() and place.read_bytes() == wanted):
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        places.write(place, wanted)
        changed.append(str(place))
    for place, target in (
        (places.COMMAND, places.CURRENT / "venv/bin/seston"),
        (places.ROLLBACK, places.BIN / "seston-rollback"),
    ):
        if not place.is_symlink() or place.readlink() != target:
            place.parent.mkdir(parents=True, exist_ok=True)
            places.link(place, target)
            changed.append(str(place))
    if is_new:
        places.WANTS.parent.mkdir(parents=True, exist_ok=True)
        places.link(places.WANTS, places.UNIT)
    if changed:
        _reload()
    return changed


def is_enabled() -> bool:
    """Whether the service is started with the machine."""
    return places.WANTS.is_symlink()


def is_running() -> bool:
    """Whether the service runs, or is being started."""
    if not is_systemd_running():
        return False
    return _call(["systemctl", "is-active", places.UNIT.name], 60)[1].strip() in {"active", "activating"}


def stop() -> None:
    """Stop the service, so that nobody else has camera and ports."""
    if is_systemd_running():
        _call(["systemctl", "stop", places.UNIT.name], START_LIMIT_S)


def start() -> str | None:
    """Start the service and wait until it says that it is ready; a reason when it does not."""
    _call(["systemctl", "reset-failed", places.UNIT.name], 60)
    code, said = _call(["systemctl", "restart", places.UNIT.name], START_LIMIT_S)
    if code == 0:
        return None
    _call(["systemctl", "stop", places.UNIT.name], START_LIMIT_S)
    return said.strip().splitlines()[0].rstrip(".") if said.strip() else f"systemctl ended with {code}"


def _reload() -> None:
    if is_systemd_running():
        _call(["systemctl", "daemon-reload"], 60)
    if Path("/run/udev/control").exists() and shutil.which("udevadm"):
        _call(["udevadm", "control", "--reload"], 60)
        _call(["udevadm", "trigger", "--action=change"], 60)


def _has_user() -> bool:
    try:
        pwd.getpwnam(places.USER)
    except KeyError:
        return False
    return True


def _must(command: list[str], environment: dict[str, str]) -> None:
    code, said = _call(command, 60, environment)
    if code:
        raise Refusal(
            f"{command[0]} ended with {code} ({said.strip()}); make the user {places.USER} by hand."
        )


def _call(command: list[str], limit_s: float, environment: dict[str, str] | None = None) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False, timeout=limit_s,
        )  # fmt: skip
    except FileNotFoundError:
        return 127, f"{command[0]} is not there"
    except subprocess.TimeoutExpired:
        return 124, f"{' '.join(command)} took longer than {limit_s:g} s"
    return done.returncode, done.stdout
