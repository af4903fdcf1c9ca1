"""The wheels inside an installer: resolved once, locked by their hashes, the same at the next build.

pip resolves and fetches, as the person's pip is set up; this asks it for another machine's wheels.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

import msgspec
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from edge.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("edge", "firmware_bridge", "tools", "training")
GLIBC = ("2_28", "2_27", "2_17")
"""Newest glibc that wheels may ask for, and older ones: Raspberry Pi OS of 2023 has 2.36."""
UNWANTED = (
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "matplotlib",
    "pandas",
    "scipy",
    "opencv-python",
    "pyqt5",
)
"""What a board must not carry: training, plots, windows."""
LIMIT_S = 1800


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel, and the Python it is for (nothing: all)."""

    file: Path
    name: str
    version: str
    python: str
    sha256: str
    unpacked_bytes: int


class Locked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a lock: a file and the Pythons that it is for."""

    file: str
    name: str
    version: str
    sha256: str
    pythons: list[str]


class Lock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a build took from elsewhere: wheels by their hashes, and what made seston's own wheel."""

    arch: str
    setuptools: str
    wheels: list[Locked]


def read_lock(file: Path) -> Lock:
    """A lock; raises `InputError`."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Lock)
    except (OSError, msgspec.MsgspecError) as cause:
        raise InputError(
            f"is no lock ({cause})", file=file, remedy="delete it, and it is written anew"
        ) from cause


def dependencies() -> list[str]:
    """What the board carries, as pyproject.toml says."""
    told = tomllib.loads((_tree() / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[str] = told["project"]["dependencies"]
    return found


def own_wheel(folder: Path, epoch_s: int, setuptools: str | None) -> tuple[Path, str]:
    """Seston's own wheel, the same bytes for the same tree, and the setuptools that made it."""
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary) / "seston"
        tree.mkdir()
        for room in ROOMS:
            shutil.copytree(
                _tree() / room, tree / room, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copyfile(_tree() / name, tree / name)
        for place in tree.rglob("*"):
            place.chmod(0o755 if place.is_dir() else 0o644)
        more = {"SOURCE_DATE_EPOCH": str(epoch_s), "PYTHONHASHSEED": "0"}
        if setuptools:
            constraint = Path(temporary) / "constraint.txt"
            constraint.write_text(f"setuptools=={setuptools}\n")
            more["PIP_CONSTRAINT"] = str(constraint)
        _pip(["wheel", "--no-deps", "--wheel-dir", str(folder), str(tree)], more)
    (wheel,) = folder.glob("seston-*.whl")
    return wheel, _generator(wheel)


def fetch(pythons: Sequence[str], arch: str, folder: Path, lock: Lock | None) -> list[Wheel]:
    """The wheels of the dependencies, and pip's own, for each Python.

    Parameters
    ----------
    folder
        Where they are kept; what a lock names is not fetched again.
    lock
        What to take; without one, the newest that fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if lock is None:
        return _shared(
            (python, file)
            for python in pythons
            for file in _resolve(python, arch, folder, [*dependencies(), "pip"])
        )
    there = {one.file: folder / one.file for one in lock.wheels}
    for python in pythons:
        missing = [
            one for one in lock.wheels if python in one.pythons and _digest(there[one.file]) != one.sha256
        ]
        if missing:
            asked = [f"{one.name}=={one.version} --hash=sha256:{one.sha256}" for one in missing]
            _resolve(python, arch, folder, asked, is_locked=True)
    for one in lock.wheels:
        if _digest(there[one.file]) != one.sha256:
            raise InputError(
                "cannot be had any more", field=one.file, remedy="delete the lock for newer ones"
            )
    return _shared(
        (python, there[one.file]) for one in lock.wheels for python in one.pythons if python in pythons
    )


def lock_of(wheels: Iterable[Wheel], arch: str, pythons: Sequence[str], setuptools: str) -> Lock:
    """What `fetch` is given to take the same again."""
    lines = [
        Locked(
            one.file.name, one.name, one.version, one.sha256, [one.python] if one.python else list(pythons)
        )
        for one in wheels
    ]
    return Lock(arch, setuptools, sorted(lines, key=lambda one: (one.name, one.file)))


def wheel_of(file: Path, python: str) -> Wheel:
    """Facts of a wheel file."""
    name, version, _, _ = parse_wheel_filename(file.name)
    with zipfile.ZipFile(file) as inside:
        members = inside.infolist()
    blocks = sum(-(-one.file_size // 4096) * 4096 for one in members)
    # Byte code is about as large as its source.
    code = sum(-(-one.file_size // 4096) * 4096 for one in members if one.filename.endswith(".py"))
    return Wheel(file, name, str(version), python, _digest(file) or "", blocks + code)


def check_closed(wheels: Sequence[Wheel], python: str, arch: str) -> None:
    """Raise `InputError` unless every wheel's requirements are inside too, and nothing unwanted is.

    pip judges markers by its own Python, not by the board's, so this does it again.
    """
    here = {canonicalize_name(one.name): one for one in wheels if one.python in ("", python)}
    if unwanted := sorted(set(UNWANTED) & set(here)):
        raise InputError(
            f"needs {', '.join(unwanted)}", field="installer", remedy="keep the board's packages few"
        )
    board = {
        "python_version": python, "python_full_version": f"{python}.0", "platform_machine": arch,
        "sys_platform": "linux", "os_name": "posix", "platform_system": "Linux", "extra": "",
        "implementation_name": "cpython", "platform_python_implementation": "CPython",
    }  # fmt: skip
    for one in here.values():
        for line in _metadata(one.file).get_all("Requires-Dist") or []:
            needed = Requirement(line)
            if needed.marker is not None and not needed.marker.evaluate(board):
                continue
            found = here.get(canonicalize_name(needed.name))
            if found is None or not needed.specifier.contains(found.version, prereleases=True):
                raise InputError(
                    f"needs {needed} on Python {python}, which is not inside", field=one.file.name,
                    remedy="delete the lock, and build again",
                )  # fmt: skip


def least_glibc(wheels: Iterable[Wheel]) -> str:
    """Oldest glibc that all wheels run with, such as `2.28`."""
    needed = (2, 17)
    for one in wheels:
        tags = parse_wheel_filename(one.file.name)[3]
        found = [re.match(r"manylinux_(\d+)_(\d+)_", tag.platform) for tag in tags]
        asked = [(int(one[1]), int(one[2])) for one in found if one]
        if asked:
            needed = max(needed, min(asked))
    return "{}.{}".format(*needed)


def _resolve(
    python: str, arch: str, folder: Path, asked: Sequence[str], *, is_locked: bool = False
) -> list[Path]:
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        (place / "requirements.txt").write_text("".join(f"{line}\n" for line in asked))
        platforms = [f"manylinux_{one}_{arch}" for one in GLIBC] + [f"manylinux2014_{arch}"]
        words = [word for one in platforms for word in ("--platform", one)]
        if is_locked:
            words += ["--no-deps", "--require-hashes"]
        _pip([
            "download", *words, "--python-version", python, "--implementation", "cp",
            "--only-binary", ":all:", "--dest", str(place / "wheels"),
            "--requirement", str(place / "requirements.txt"),
        ], {})  # fmt: skip
        found = []
        for file in sorted((place / "wheels").glob("*.whl")):
            kept = folder / file.name
            part = folder / f"{file.name}.part"
            shutil.copyfile(file, part)
            part.replace(kept)
            found.append(kept)
        return found


def _shared(found: Iterable[tuple[str, Path]]) -> list[Wheel]:
    """One `Wheel` a file: those that several Pythons take are for all."""
    takers: dict[Path, list[str]] = {}
    for python, file in found:
        takers.setdefault(file, []).append(python)
    n = len({python for those in takers.values() for python in those})
    wheels = []
    for file, those in sorted(takers.items()):
        for python in [""] if len(those) == n else those:
            wheels.append(wheel_of(file, python))
    return wheels


def _pip(words: list[str], more: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pip", words[0], "--quiet", "--disable-pip-version-check", *words[1:]]
    done = subprocess.run(
        command, env={**os.environ, **more}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False, timeout=LIMIT_S,
    )  # fmt: skip
    if done.returncode:
        said = [line for line in done.stdout.splitlines() if "ERROR" in line] or done.stdout.splitlines()[-1:]
        raise InputError(
            f"ended with {done.returncode} ({' '.join(said).strip()})", field=f"pip {words[0]}",
            remedy="check the network and pip's settings, or give the lock and the wheels of another build",
        )  # fmt: skip


def _generator(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as inside:
        (name,) = (one for one in inside.namelist() if one.endswith(".dist-info/WHEEL"))
        said = re.search(r"^Generator: setuptools \((\S+)\)$", inside.read(name).decode(), re.MULTILINE)
    return said[1] if said else ""


def _metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as inside:
        (name,) = (one for one in inside.namelist() if one.endswith(".dist-info/METADATA"))
        return HeaderParser().parsestr(inside.read(name).decode())


def _digest(file: Path) -> str | None:
    if not file.is_file():
        return None
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _tree() -> Path:
    if not (ROOT / "pyproject.toml").is_file():
        raise InputError("is no checkout", file=ROOT, remedy="build an installer in a checkout of seston")
    return ROOT
