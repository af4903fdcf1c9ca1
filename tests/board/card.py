"""`python -m tests.board.card`: a card is made as a person makes it, and an emulated Pi starts from it.

It has to answer the native link on its serial port and run a dive of a recording through a power cut. Each
step says how long it took.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.frame import Phase
from firmware_bridge.transport import PortLine, open_transport
from tests.board import debian
from tests.board.pi import EmulatedPi, PiError, run
from tools.hosting.course import Course
from tools.hosting.exchange import Exchange
from tools.hosting.native import NativeFloat, Stage

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
frame_rate_hz = 1.0

[run.host]
kind = "native"
port = "/dev/ttyAMA0"
baud = 9600

[run.pressure]
source = "host"
"""
UNIT = """
hostname = "float-17"
config = "float.toml"

[login]
password_file = "password.txt"
"""
MOST_UNITS, MOST_MEMORY_MB, MOST_CARD_MB = 25, 200, 1000
BOOT_S = 600


def main() -> int:
    """Exit code 0 when a card does all that it must."""
    parser = argparse.ArgumentParser(prog="python -m tests.board.card", description=__doc__)
    parser.add_argument("--dir", type=Path, default=debian.ROOT / "out" / "card", help="where all of it goes")
    parser.add_argument("--system", type=Path, help="one that is there already, instead of making one")
    parser.add_argument("--twice", action="store_true", help="make the system twice, and compare the bytes")
    asked = parser.parse_args()
    folder = asked.dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    system = asked.system or _make_system(folder, "one")
    if asked.twice:
        with _told("the same system again"):
            again = _make_system(folder, "two")
            _must(_sha256(again) == _sha256(system), "two builds of the system differ")
    image = _make_card(folder, system)
    with _told("what is on the card, read without root"):
        print(_run(*SESTON, "flash", "check", f"{image}.xz"), end="")  # noqa: T201
    pi_folder = folder / "pi"
    shutil.rmtree(pi_folder, ignore_errors=True)
    pi_folder.mkdir()
    with EmulatedPi(image, pi_folder) as pi:
        _first_start(pi)
        _dive(pi)
    return 0


def _make_system(folder: Path, name: str) -> Path:
    out = folder / f"{name}.system"
    with _told("the installer, wheels from the net"):
        _run(*SESTON, "flash", "bundle", "--out", folder / "installer", "--wheels", folder / "wheels")
    (installer,) = (folder / "installer").glob("*.run")
    with _told("the system, packages from the net"):
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
    _run(*SESTON, "compose", data / "recording", "--frames", 60)
    hashes = []
    for name in ("first", "second"):
        image = folder / f"{name}.img"
        with _told(f"the {name} card"):
            _run(*SESTON, "flash", "image", unit / "unit.toml", "--system", system, "--data", data, "--out",
                 f"{image}.xz")  # fmt: skip
        hashes.append(_sha256(Path(f"{image}.xz")))
    _must(hashes[0] == hashes[1], "two builds of the card differ")
    megabytes = Path(f"{image}.xz").stat().st_size / 1e6
    _must(megabytes < MOST_CARD_MB, f"the card has {megabytes:.0f} MB")
    print(f"          {megabytes:.0f} MB compressed, the same bytes twice: {hashes[0][:16]}")  # noqa: T201
    run("xz", "--decompress", "--keep", "--force", f"{image}.xz")
    return image


def _first_start(pi: EmulatedPi) -> None:
    with _told("from power to a login"):
        pi.power_on()
        pi.login(PASSWORD, BOOT_S)
    with _told("the service, ready"):
        pi.until("systemctl is-active seston", lambda said: "active" in said.split(), 300)
    before = _units_before(pi)
    print(f"          {len(before)} units of systemd start before seston: {' '.join(before)}")  # noqa: T201
    _must(len(before) <= MOST_UNITS, f"{len(before)} units start before seston")
    memory_mb = int(pi.run("systemctl show -P MemoryPeak seston")) / 1e6
    print(f"          {memory_mb:.0f} MB at most so far")  # noqa: T201
    _must(memory_mb < MOST_MEMORY_MB, f"the service has {memory_mb:.0f} MB")
    print(pi.run("systemd-analyze; systemd-analyze critical-chain seston.service"))  # noqa: T201
    size_mb = int(pi.run("df --output=size -BM /var/lib/seston | tail -1").strip().rstrip("M"))
    _must(size_mb > 1500, f"the data partition has {size_mb} MB: it did not grow")
    _must(pi.run("hostname") == "float-17", "it has another name")
    listening = pi.run('cat /proc/net/{tcp,tcp6,udp,udp6} | awk \'$4 == "0A" || $4 == "07"\'')
    _must(not listening, f"something listens: {listening}")
    _must(not pi.run("cat /proc/swaps | tail -n +2"), "there is swap")
    failed = pi.run("systemctl list-units --failed --plain --no-legend")
    _must(not failed, f"units failed: {failed}")


def _units_before(pi: EmulatedPi) -> list[str]:
    """Units started before the instrument: no devices, slices, targets or scopes, which run nothing."""
    shown = pi.run(
        "for u in $(systemctl list-units --all --plain --no-legend --state=active | cut -d' ' -f1); do "
        "echo $u $(systemctl show -P ActiveEnterTimestampMonotonic $u); done"
    )
    rows = [row.split() for row in shown.splitlines() if len(row.split()) == 2]
    at_us = {name: int(value) for name, value in rows if value.isdigit()}
    kinds = (".service", ".mount", ".socket", ".automount", ".swap", ".path", ".timer")
    own_us = int(pi.run("systemctl show -P InactiveExitTimestampMonotonic seston.service"))
    return sorted(name for name, when in at_us.items() if name.endswith(kinds) and 0 < when < own_us)


def _dive(pi: EmulatedPi) -> None:
    """A float leads it through a dive; power goes in the middle of it."""
    course = Course(
        time_s=_array(0, 120, 240), pressure_dbar=_array(0, 300, 0), temperature_c=_array(14, 13, 14),
        phases=((0.0, Phase.DESCENT), (120.0, Phase.ASCENT)), end_s=240.0,
    )  # fmt: skip
    exchange = Exchange()
    controller = NativeFloat(course, 1_780_000_000_000, exchange)
    cut = False
    with _told("a dive with a power cut in the middle"):
        line = PortLine(controller, lambda: open_transport(pi.host_port, 9600))
        until_s = time.monotonic() + 1800
        while controller.stage is not Stage.OFF and time.monotonic() < until_s:
            line.carry(0.5)
            pi.wait(0.01)
            if (
                controller.stage is Stage.DIVES
                and not cut
                and time.monotonic() - controller.dive_began_s > 100
            ):
                line.close()
                pi.cut_power()
                pi.power_on()
                cut = True
                line = PortLine(controller, lambda: open_transport(pi.host_port, 9600))
        line.close()
    last = "\n".join(map(str, exchange.said[-20:]))
    _must(controller.stage is Stage.OFF, f"the dive did not end:\n{last}")
    print(f"          {len(controller.messages)} messages, {sum(map(len, controller.messages))} bytes")  # noqa: T201


def _array(*values: float):
    import numpy as np

    return np.array(values, dtype=np.float64)


def _run(*command: object) -> str:
    import subprocess

    words = [str(word) for word in command]
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=debian.ROOT)
    _must(done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _must(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise PiError(otherwise)


@contextmanager
def _told(what: str) -> Iterator[None]:
    begun_s = time.monotonic()
    yield
    print(f"{time.monotonic() - begun_s:6.0f} s  {what}", flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
