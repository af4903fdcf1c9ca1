"""On an emulated Pi: a stick opens the deck. Then, and only then, it has an ssh and a port for its dives."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.board.pi import EmulatedPi, run
from tests.board.telling import must, told

ADDRESS, DECK_PORT, SSH_PORT = "192.168.7.2", 4573, 22
KEY, STRANGE_KEY = "deck.key", "strange.key"
SSH_KEY = "id_ed25519"
LISTENING = 'cat /proc/net/{tcp,tcp6,udp,udp6} | awk \'$4 == "0A" || $4 == "07"\''
WITHIN_S = 300
_FIRST_SECTOR = 2048


def make_keys(unit: Path) -> None:
    """Those that a unit's file names, and a stick's of another unit."""
    (unit / KEY).write_text("the stick of float 17, thirty characters and more\n", encoding="ascii")
    (unit / STRANGE_KEY).write_text("the stick of float 18, thirty characters and more\n", encoding="ascii")
    (unit / SSH_KEY).unlink(missing_ok=True)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "deck", "-f", unit / SSH_KEY)


def open_the_deck(pi: EmulatedPi, unit: Path, folder: Path) -> None:
    """A stick of another unit opens nothing; its own does, until it is taken out."""
    must(not pi.run(LISTENING), "something listens before a stick is in")
    with told("a stick of another unit: nothing opens"):
        pi.plug_in(_stick(folder, unit / STRANGE_KEY))
        pi.until("journalctl -b -o cat --no-pager -u 'seston-stick@*'", _has("another unit's key"), WITHIN_S)
        pi.wait(5)
        must(not pi.run(LISTENING), "the stick of another unit opens something")
        pi.pull_out()
    with told("its own stick: ssh, and the port for dives"):
        pi.plug_in(_stick(folder, unit / KEY))
        ports = {f":{port:04X}" for port in (SSH_PORT, DECK_PORT)}
        pi.until(LISTENING, lambda said: ports <= set(re.findall(r":[0-9A-F]{4}(?= 0)", said)), WITHIN_S)
    with told("the dive over the network"):
        dives = folder / "fetched"
        seston = Path(sys.executable).with_name("seston")
        where = f"tcp:127.0.0.1:{pi.forwarded[DECK_PORT]}"
        run(seston, "fetch", where, "--without-vignettes", "--out", dives)
        found = list(dives.glob("*/dive.sqlite"))
        must(len(found) == 1, f"fetched {found}")
    with told("a login by ssh, which goes with the stick"):
        ssh = subprocess.Popen(
            ["ssh", "-i", unit / SSH_KEY, "-p", str(pi.forwarded[SSH_PORT]), "-o", "StrictHostKeyChecking=no",
             "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "deck@127.0.0.1",
             "hostname; exec sleep 600"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert ssh.stdout is not None
        name = ssh.stdout.readline().strip()
        if name != "float-17":
            ssh.kill()
            raise AssertionError(f"ssh says {name!r}: {ssh.communicate()[1]}")
        pi.pull_out()
        ssh.wait(WITHIN_S)
        ssh.communicate()
    pi.until(LISTENING, lambda said: not said, WITHIN_S)


def _stick(folder: Path, key: Path) -> Path:
    """As a person makes one: a partition of FAT by its name, and the file on it."""
    stick = folder / f"{key.stem}.stick"
    stick.unlink(missing_ok=True)
    run("truncate", "--size", "64M", stick)
    subprocess.run(
        ["sfdisk", "--quiet", stick], input=f"start={_FIRST_SECTOR}, type=c\n", text=True, check=True
    )
    run("mkfs.vfat", "-n", "SESTON-DECK", f"--offset={_FIRST_SECTOR}", stick, (64 << 10) - _FIRST_SECTOR // 2)
    run("mcopy", "-i", f"{stick}@@{_FIRST_SECTOR * 512}", key, f"::{KEY}")
    return stick


def _has(words: str) -> Callable[[str], bool]:
    return lambda said: words in said
