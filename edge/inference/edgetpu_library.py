"""Which file is the library of an Edge TPU on this machine, and what it is: architecture, package, answers.

It is never loaded here: `ask` has it loaded by a child, since it may abort its process, or hang.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.inference.ending import ending

LIBRARY = "libedgetpu.so.1"
FOLDERS = (
    "usr/lib/aarch64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "opt/seston/current/libs",  # where the installer of `seston flash bundle` puts it
    "opt/seston/lib",
)
"""Where a library named without a folder is looked for, before the loader's cache (ldconfig)."""
MACHINES = {(2, 183): "aarch64", (2, 62): "x86_64", (1, 40): "arm (32 bit)", (1, 3): "x86 (32 bit)"}
"""Class and e_machine of an ELF file of little-endian bytes, by the name that the kernel says."""
ROOT = Path("/")
PATIENCE_S = 20.0
_LDCONFIG = ("/sbin/ldconfig", "/usr/sbin/ldconfig")
_PROBE = Path(__file__).with_name("edgetpu_probe.py")


def architecture_of(data: bytes) -> str | None:
    """Machine that an ELF file is for, from its first 20 bytes; None when it is no such file."""
    if len(data) < 20 or data[:4] != b"\x7fELF" or data[5] != 1:
        return None
    machine = int.from_bytes(data[18:20], "little")
    return MACHINES.get((data[4], machine), f"machine {machine}")


def own_architecture() -> str:
    """Architecture of this process, which need not be the kernel's."""
    return _architecture_of_file(Path(sys.executable)) or platform.machine()


@dataclass(frozen=True, slots=True)
class Found:
    """A library that is there, and the machine it is for; None when it is no library."""

    file: Path
    architecture: str | None

    @property
    def fits(self) -> bool:
        """Whether this process can load it."""
        return self.architecture == own_architecture()


def find(name: str, root: Path = ROOT) -> Found | None:
    """The library of that name or path: the first that fits this process, or else the first.

    Parameters
    ----------
    name
        A path, taken as it is; or a name such as `libedgetpu.so.1`, looked for in `FOLDERS`, then in the
        loader's cache.
    root
        The file system that is looked at; the cache is looked at only in the running one.
    """
    if "/" in name:
        places = [Path(name)]
    else:
        places = [root / folder / name for folder in FOLDERS] + (_cached(name) if root == ROOT else [])
    found = [Found(file, _architecture_of_file(file)) for file in places if file.is_file()]
    return next((one for one in found if one.fits), found[0] if found else None)


def package_of(file: Path, root: Path = ROOT) -> tuple[str, str] | None:
    """Name and version of the Debian package that brought a library; None when none did."""
    base, wanted = root / "var/lib/dpkg", file.resolve()
    try:
        lists = sorted((base / "info").glob("libedgetpu*.list"))
        owners = [
            one.stem.partition(":")[0]
            for one in lists
            if any(
                wanted == (root / line.lstrip("/")).resolve()
                for line in one.read_text(encoding="utf-8").splitlines()
                if "/libedgetpu.so" in line
            )
        ]
        status = (base / "status").read_text(encoding="utf-8") if owners else ""
    except (OSError, UnicodeDecodeError):
        return None
    for stanza in status.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Status): (.*)$", stanza, re.MULTILINE))
        if fields.get("Package") in owners and fields.get("Status", "").endswith(" installed"):
            return fields["Package"], fields.get("Version", "")
    return None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a library says when it is loaded and asked.

    Attributes
    ----------
    version
        Of `edgetpu_version`; None when it has no such function, or did not come so far.
    devices
        What `edgetpu_list_devices` lists, "usb PATH" or "pci PATH"; None likewise.
    is_delegate
        Whether the runtime can take it: it has both functions of a delegate.
    makes_delegate
        Whether it made one, which takes a device.
    problem
        What went wrong, in words; "" when nothing did. That no delegate was made is not in it.
    said
        What it said about the delegate, or on its error output, last.
    """

    version: str | None = None
    devices: tuple[str, ...] | None = None
    is_delegate: bool = False
    makes_delegate: bool = False
    problem: str = ""
    said: str = ""

    @property
    def runtime_version(self) -> int | None:
        """N of "RuntimeVersion(N)" in the version; None when it is not told."""
        found = re.search(r"RuntimeVersion\((\d+)\)", self.version or "")
        return int(found[1]) if found else None


def ask(file: Path, patience_s: float = PATIENCE_S) -> Answer:
    """Load the library in a child, for at most so long, and hear what it says."""
    ours, theirs = os.pipe()
    ended = ""
    try:
        with os.fdopen(ours, "rb") as heard:
            try:
                done = subprocess.run(
                    [sys.executable, "-I", str(_PROBE), str(file), str(theirs)], pass_fds=(theirs,),
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                    timeout=patience_s, check=False,
                )  # fmt: skip
                errors = done.stderr
                if done.returncode:
                    ended = ending(done.returncode)
            except subprocess.TimeoutExpired as late:
                errors, ended = late.stderr or b"", f"it gave no answer within {patience_s:g} s"
            os.close(theirs)
            theirs = -1
            lines = heard.read().decode("utf-8", "replace").splitlines()
    finally:
        if theirs >= 0:
            os.close(theirs)
    told: dict[str, Any] = {}
    for line in lines:
        told |= json.loads(line)
    last = next(
        (line for line in reversed(errors.decode("utf-8", "replace").splitlines()) if line.strip()), ""
    )
    problem = str(told.get("problem", ""))
    if ended:
        problem = f"{ended} while {told.get('doing', 'it was started')}"
    devices = told.get("devices")
    return Answer(
        version=told.get("version"),
        devices=None if devices is None else tuple(devices),
        is_delegate=bool(told.get("is_delegate")),
        makes_delegate=bool(told.get("makes_delegate")),
        problem=problem,
        said=(str(told.get("said", "")) or last).strip()[:200],
    )


def _architecture_of_file(file: Path) -> str | None:
    try:
        with file.open("rb") as opened:
            return architecture_of(opened.read(20))
    except OSError:
        return None


def _cached(name: str) -> list[Path]:
    """Files of that name in the loader's cache."""
    for program in _LDCONFIG:
        try:
            done = subprocess.run([program, "-p"], capture_output=True, text=True, check=False, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            continue
        return in_cache(done.stdout, name)
    return []


def in_cache(text: str, name: str) -> list[Path]:
    """Files of that name in what `ldconfig -p` prints."""
    rows = (line.partition(" => ") for line in text.splitlines())
    return [Path(file.strip()) for row, _, file in rows if file and row.split()[:1] == [name]]
