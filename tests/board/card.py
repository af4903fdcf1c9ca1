"""`python -m tests.board.card`: a card is made as a person makes it, and an emulated Pi starts from it.

It has to answer the native link on its serial port, run a dive of a recording through a power cut, open its
deck for a stick, take a new system and go back from it, and leave those that cannot start, or whose
instrument does not run. Each step says how long it took.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.board import debian
from tests.board.card_deck import LISTENING, make_keys, open_the_deck
from tests.board.card_dive import dive
from tests.board.card_slots import (
    leave_a_broken_one,
    leave_one_without_instrument,
    make_updates,
    update_and_go_back,
)
from tests.board.pi import EmulatedPi, run
from tests.board.telling import must, told

SESTON = (Path(sys.executable).with_name("seston"),)
PASSWORD = "correct horse 17"
FLOAT = """
bundle = "demo"

[optics]
pixel_um = 73.0
image_volume_l = 0.6
threshold = 21
aa_um2 = 2300.0
exp = 1.136

[run]
deliver = "host"

[run.camera]
kind = "replay"
source = "/var/lib/seston/recording"
frame_rate_hz = 0.1

[run.host]
kind = "native"
port = "/dev/ttyAMA0"
baud = 9600

[run.pressure]
source = "host"

[run.deck]
switch = "file:/run/seston-stick"
listen = "192.168.7.2:4573"
"""
UNIT = """
hostname = "float-17"
config = "float.toml"
# QEMU's Pi starts anew as soon as its watchdog is set, and two drivers quarrel about its network.
kernel = "systemd.watchdog_sec=0 modprobe.blacklist=cdc_subset"

[login]
password_file = "password.txt"
authorized_keys = "id_ed25519.pub"
stick_key = "deck.key"

[network]
address = "192.168.7.2/24"
jumbo_frames = false
"""
MOST_UNITS, MOST_MEMORY_MB, MOST_CARD_MB = 25, 200, 1000
BOOT_S = 600


def main() -> int:
    """Exit code 0 when a card does all that it must."""
    parser = argparse.ArgumentParser(prog="python -m tests.board.card", description=__doc__)
    parser.add_argument("--dir", type=Path, default=debian.ROOT / "out" / "card", help="where all of it goes")
    parser.add_argument("--system", type=Path, help="one that is there already, instead of making one")
    parser.add_argument("--card", type=Path, help="the image of one that this has made before, in --dir")
    parser.add_argument("--twice", action="store_true", help="make the system twice, and compare the bytes")
    asked = parser.parse_args()
    # Ended by a signal it leaves as by an exception, and takes the emulated Pi with it.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    folder = asked.dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    image = asked.card or _make_card(folder, _make_systems(folder, asked.system, twice=asked.twice))
    with told("what is on the card, read without root"):
        print(_run(*SESTON, "flash", "check", f"{image}.xz"), end="")  # noqa: T201
    pi_folder = folder / "pi"
    shutil.rmtree(pi_folder, ignore_errors=True)
    pi_folder.mkdir()
    with EmulatedPi(image, pi_folder) as pi:
        _first_start(pi)
        dive(pi)
        pi.login(PASSWORD, BOOT_S)
        _dive_is_kept(pi)
        open_the_deck(pi, folder / "unit", pi_folder)
        update_and_go_back(pi, PASSWORD)
        leave_one_without_instrument(pi, PASSWORD)
        leave_a_broken_one(pi, PASSWORD)
    return 0


def _make_systems(folder: Path, given: Path | None, *, twice: bool) -> Path:
    system = given or _make_system(folder, "one")
    if twice:
        with told("the same system again"):
            again = _make_system(folder, "two")
            must(_sha256(again) == _sha256(system), "two builds of the system differ")
    return system


def _make_system(folder: Path, name: str) -> Path:
    out = folder / f"{name}.system"
    with told("the installer, wheels from the net"):
        _run(*SESTON, "flash", "bundle", "--out", folder / "installer", "--wheels", folder / "wheels")
    (installer,) = (folder / "installer").glob("*.run")
    with told("the system, packages from the net"):
        print(_run(*SESTON, "flash", "system", "--installer", installer, "--out", out).splitlines()[-1])  # noqa: T201
    return out


def _make_card(folder: Path, system: Path) -> Path:
    """The card of a unit that replays a recording; made twice, and the same."""
    unit, data = folder / "unit", folder / "data"
    for place in (unit, data):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
    (unit / "unit.toml").write_text(UNIT)
    (unit / "float.toml").write_text(FLOAT)
    (unit / "password.txt").write_text(f"{PASSWORD}\n")
    make_keys(unit)
    _run(*SESTON, "compose", data / "recording", "--frames", 60)
    with told("two updates"):
        make_updates(system, data, folder / "updates")
    hashes = []
    for name in ("first", "second"):
        image = folder / f"{name}.img"
        with told(f"the {name} card"):
            _run(*SESTON, "flash", "image", unit / "unit.toml", "--system", system, "--data", data, "--out",
                 f"{image}.xz")  # fmt: skip
        hashes.append(_sha256(Path(f"{image}.xz")))
    must(hashes[0] == hashes[1], "two builds of the card differ")
    megabytes = Path(f"{image}.xz").stat().st_size / 1e6
    must(megabytes < MOST_CARD_MB, f"the card has {megabytes:.0f} MB")
    print(f"          {megabytes:.0f} MB compressed, the same bytes twice: {hashes[0][:16]}")  # noqa: T201
    run("xz", "--decompress", "--keep", "--force", f"{image}.xz")
    return image


def _first_start(pi: EmulatedPi) -> None:
    with told("from power to a login"):
        pi.power_on()
        pi.login(PASSWORD, BOOT_S)
    with told("the service, ready"):
        pi.until("systemctl is-active seston", lambda said: "active" in said.split(), 300)
    must(pi.run("systemctl show -P NRestarts seston") == "0", "the service did not stay at its first start")
    before = _units_before(pi)
    print(f"          {len(before)} units of systemd start before seston: {' '.join(before)}")  # noqa: T201
    must(len(before) <= MOST_UNITS, f"{len(before)} units start before seston")
    memory_mb = int(pi.run("systemctl show -P MemoryPeak seston")) / 1e6
    print(f"          {memory_mb:.0f} MB at most so far")  # noqa: T201
    must(memory_mb < MOST_MEMORY_MB, f"the service has {memory_mb:.0f} MB")
    print(pi.run("systemd-analyze; systemd-analyze critical-chain seston.service"))  # noqa: T201
    size_mb = int(pi.run("df --output=size -BM /var/lib/seston | tail -1").strip().rstrip("M"))
    must(size_mb > 1500, f"the data partition has {size_mb} MB: it did not grow")
    must(pi.run("hostname") == "float-17", "it has another name")
    listening = pi.run(LISTENING)
    must(not listening, f"something listens: {listening}")
    must(not pi.run("cat /proc/swaps | tail -n +2"), "there is swap")
    failed = pi.run("systemctl list-units --failed --plain --no-legend")
    must(not failed, f"units failed: {failed}")


def _dive_is_kept(pi: EmulatedPi) -> None:
    """One dive, whole: not a second one after the cut; and nothing of the file systems was lost by it."""
    dives = pi.run("ls -d /var/lib/seston/dives/*/").split()
    must(len(dives) == 1, f"there are dives {dives}")
    journal = pi.run("journalctl -k --no-pager | grep -i 'ext4-fs error' || true")
    must(not journal, f"the file system says {journal}")


def _units_before(pi: EmulatedPi) -> list[str]:
    """Units started before the instrument, those too that have ended; no devices, slices, targets, scopes."""
    own_us = int(pi.run("systemctl show -P InactiveExitTimestampMonotonic seston.service"))
    shown = pi.run("systemctl show --property=Id,ActiveState,ActiveEnterTimestampMonotonic '*'")
    names = set()
    for block in shown.split("\n\n"):
        unit = dict(row.split("=", 1) for row in block.split())
        if unit["ActiveState"] == "active" and int(unit["ActiveEnterTimestampMonotonic"]) < own_us:
            names.add(unit["Id"])
    for line in pi.run("journalctl -b -o cat --no-pager _PID=1").splitlines():
        if line.startswith("Starting seston.service"):
            break
        if found := re.match(r"(?:Starting|Started|Mounting|Listening on|Set up automount) (\S+?)\.+$", line):
            names.add(found.group(1))
    kinds = (".service", ".mount", ".socket", ".automount", ".swap", ".path", ".timer")
    return sorted(name for name in names if name.endswith(kinds))


def _run(*command: object) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=debian.ROOT)
    must(done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
