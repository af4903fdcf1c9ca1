"""What `seston flash check` looks at in the file system of a slot, unpacked into a folder."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

from edge.selftest import Status
from tools.flashing.programs import run
from tools.flashing.verify_tree import verify_versions

Found = tuple[Status, str]
UNWANTED = re.compile(
    r"^(python3-tensorflow|tensorflow|gcc(-\d+)?|g\+\+.*|clang.*|make|build-essential|xserver-.*|xorg.*|x11-.*"
    r"|libgtk-.*|libqt\d.*|python3-pip|wpasupplicant|bluez|avahi-daemon|network-manager|rpcbind|cups.*)$"
)
"""Packages that no board carries: trainers, compilers, X11, radios, and what listens on a network."""
DRIVERS = {
    "usb-storage": "a stick", "scsi_mod": "a stick", "sd_mod": "a stick", "vfat": "a stick",
    "uvcvideo": "a UVC camera",
    "ftdi_sio": "a serial adapter", "cp210x": "a serial adapter", "pl2303": "a serial adapter",
    "ch341": "a serial adapter", "cdc-acm": "a modem on USB",
    "smsc95xx": "the network of a Pi 3 B", "lan78xx": "the network of a Pi 3 B+",
    "genet": "the network of a Pi 4",
    "bcm2835_wdt": "the watchdog",
}  # fmt: skip
"""Modules of the kernel that a unit works with."""
UNITS = ("seston.service", "seston-unit.service", "seston-trial.service", "seston-deck.path")
LISTENERS = (
    "ssh.service", "ssh.socket", "sshd.service", "systemd-resolved.service", "systemd-timesyncd.service"
)  # fmt: skip


def judged(faults: list[str], good: str) -> Found:
    """Bad with its faults, or good with a sentence."""
    return (Status.BAD, "; ".join(faults)) if faults else (Status.GOOD, good)


def _kernel(root: Path) -> Found:
    boot = root / "boot"
    names = ("vmlinuz.gz", "initrd.img")
    faults = [f"/boot/{name} is not there" for name in names if not (boot / name).exists()]
    if faults:
        return Status.BAD, "; ".join(faults)
    kernel = gzip.decompress((boot / "vmlinuz.gz").read_bytes())
    faults += [] if kernel[56:60] == b"ARM\x64" else ["the kernel is none of arm64"]
    inside = _initramfs(boot / "initrd.img")
    for wanted in (
        "scripts/init-bottom/overlay",
        "kernel/fs/overlayfs/overlay.ko",
        "mmc/host/sdhci-iproc.ko",
    ):
        faults += [] if wanted.encode() in inside else [f"the initramfs lacks {wanted}"]
    modules = root / "usr/lib/modules"
    drivers = {path.name.split(".ko")[0] for path in modules.rglob("*.ko*")}
    faults += [f"no driver {name} for {what}" for name, what in DRIVERS.items() if name not in drivers]
    versions = ", ".join(sorted(path.name for path in modules.glob("*")))
    return judged(faults, f"{versions}, root read-only under memory")


def _initramfs(path: Path) -> bytes:
    """Bytes of the archive: its names are in them as they are."""
    data = path.read_bytes()
    at = data.find(b"\x28\xb5\x2f\xfd")
    return data if at < 0 else data + run(("zstd", "-d", "-c", "-q"), given=data[at:], good=(0, 1))


def _packages(root: Path) -> Found:
    rows = (root / "usr/share/seston-packages.txt").read_text(encoding="ascii").split("\n")
    names = [row.split()[0] for row in rows if row]
    unwanted = [name for name in names if UNWANTED.match(name)]
    site = [path.name.lower() for path in root.glob("opt/seston/versions/*/**/site-packages/*")]
    trainers = [name for name in site if name in ("tensorflow", "keras", "pandas", "matplotlib", "torch")]
    return judged(
        [f"{', '.join(unwanted + trainers)} on a board"] if unwanted + trainers else [],
        f"{len(names)} of Debian, no compiler, no X11, no TensorFlow",
    )


def _seston(root: Path) -> Found:
    return verify_versions(root / "opt" / "seston")


def _units(root: Path) -> Found:
    wants = {path.name for path in root.glob("etc/systemd/system/*.wants/*")}
    missing = [name for name in UNITS if name not in wants]
    return judged([f"{', '.join(missing)} would not start"] if missing else [], f"{', '.join(UNITS)} start")


def _network(root: Path) -> Found:
    wants = {path.name for path in root.glob("etc/systemd/system/*.wants/*")}
    wrong = [name for name in LISTENERS if name in wants]
    faults = [f"{name} would listen on the network" for name in wrong]
    keys = sorted(path.name for path in root.glob("etc/ssh/ssh_host_*"))
    faults += [f"{', '.join(keys)}: every unit would have the same key"] if keys else []
    return judged(faults, "nothing listens but with the deck switch")


def _logins(root: Path) -> Found:
    faults = []
    for row in (root / "etc/shadow").read_text(encoding="ascii").split("\n"):
        name, _, rest = row.partition(":")
        secret = rest.split(":", 1)[0]
        if name and (secret == "" or secret.startswith("$")):
            what = "a password, the same in every unit" if secret else "no password: anybody gets in"
            faults.append(f"{name} has {what}")
    return judged(faults, "no password in the system")


def _memory(root: Path) -> Found:
    faults = []
    table = (root / "etc/fstab").read_text(encoding="utf-8")
    faults += ["there is swap"] if re.search(r"^[^#].*\sswap\s", table, re.MULTILINE) else []
    journal = (root / "etc/systemd/journald.conf.d/seston.conf").read_text(encoding="utf-8")
    faults += (
        [] if "Storage=volatile" in journal and "RuntimeMaxUse=" in journal else ["the journal has no bound"]
    )
    return judged(faults, "no swap, journal bounded and in memory")


CHECKS = (
    ("kernel", _kernel),
    ("packages", _packages),
    ("seston", _seston),
    ("units", _units),
    ("network", _network),
    ("logins", _logins),
    ("memory", _memory),
)
"""Each line of the check: its name, and what looks at the folder."""
