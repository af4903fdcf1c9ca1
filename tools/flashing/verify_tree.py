"""The installed instrument, file by file, against the hashes that its packages brought with them (RECORD)."""

from __future__ import annotations

import base64
import csv
import hashlib
import re
from pathlib import Path

from edge.selftest import Status

UNWANTED = {
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "matplotlib",
    "pandas",
    "xarray",
    "torch",
    "pip",
    "setuptools",
}


def verify_versions(opt: Path) -> tuple[Status, str]:
    """Every version below `/opt/seston` of a root that lies in a folder.

    Parameters
    ----------
    opt
        That folder, as it was unpacked: links in it may point out of it, and are not followed.
    """
    folders = sorted(path for path in (opt / "versions").glob("*") if path.is_dir())
    current = opt / "current"
    if not folders or not current.is_symlink():
        return Status.BAD, "seston is not installed"
    if current.readlink().name not in [folder.name for folder in folders]:
        return Status.BAD, f"{current.readlink()} is to run, and is not there"
    faults: list[str] = []
    packages: dict[str, int] = {}
    for folder in folders:
        for record in sorted(folder.rglob("*.dist-info/RECORD")):
            name = re.sub(r"[-_.]+", "-", record.parent.name.split("-")[0]).lower()
            packages[name] = 0
            for row in csv.reader(record.read_text(encoding="utf-8").splitlines()):
                packages[name] += 1
                if fault := _fault(record.parent.parent, *row[:2]):
                    faults.append(f"{folder.name}: {fault}")
    if there := sorted(UNWANTED & packages.keys()):
        faults.append(f"{', '.join(there)} on a board")
    if "seston" not in packages:
        faults.append("seston itself is not among its packages")
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        return Status.BAD, "; ".join(faults[:3]) + more
    return (
        Status.GOOD,
        f"{current.readlink().name}: {sum(packages.values())} files of {len(packages)} packages",
    )


def _fault(site: Path, name: str, told: str) -> str:
    """What is wrong with a file of a package, or nothing."""
    path = site / name
    if not path.is_file():
        return f"{name} is not there"
    if not told:
        return ""
    kind, _, digest = told.partition("=")
    found = base64.urlsafe_b64encode(hashlib.new(kind, path.read_bytes()).digest()).rstrip(b"=").decode()
    return "" if found == digest else f"{name} has another hash"
