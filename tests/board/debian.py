"""Debian's packages for arm64 and aarch64 wheels in a folder; nothing is installed on this machine."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

from tests.board.errors import CannotEmulateError

if TYPE_CHECKING:
    from tests.board.emulated import EmulatedRoot

ROOT = Path(__file__).resolve().parents[2]
PYTHON_PACKAGES = (
    "python3-minimal", "libpython3-stdlib", "libstdc++6", "base-files", "bash", "coreutils", "dash",
    "findutils", "grep", "mount", "procps", "sed", "util-linux",
)  # fmt: skip
TEST_WHEELS = ("hypothesis", "pytest", "pytest-xdist", "scikit-image", "scipy")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
LIMIT_S, BOOTSTRAP_LIMIT_S = 600, 3600
_SOURCES = (Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d"))


def unpack(folder: Path, suite: str, packages: Sequence[str], arch: str = "arm64") -> None:
    """Packages with all they depend on, unpacked below `folder / "root"`, by an apt of its own settings.

    No root is needed, and no package's script is run: there are no users but root.
    """
    if not all(map(shutil.which, ("apt-get", "dpkg", "dpkg-deb", "tar"))):
        raise CannotEmulateError("apt-get and dpkg are needed to get Debian's packages")
    for name in ("lists/partial", "archives/partial", "root/etc", "sources"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    _write_sources(folder / "sources", suite)
    host = _output(["dpkg", "--print-architecture"]).strip()
    settings = (
        f"APT::Architecture={arch}", f"APT::Architectures::={arch}", f"APT::Architectures::={host}",
        f"Dir::State={folder}", f"Dir::State::lists={folder}/lists", f"Dir::State::status={folder}/status",
        "Dir::Etc::sourcelist=/dev/null", f"Dir::Etc::sourceparts={folder}/sources",
        f"Dir::Cache={folder}", "APT::Install-Recommends=false", "APT::Sandbox::User=root",
        "Debug::NoLocking=true", f"APT::Default-Release={suite}",
    )  # fmt: skip
    apt = ["apt-get", "-qq", *(word for setting in settings for word in ("-o", setting))]
    # A source that has none of these fails here; whether the others suffice is seen below.
    subprocess.run([*apt, "update"], check=False, capture_output=True, timeout=LIMIT_S)
    _output([*apt, "install", "--yes", "--download-only", *packages])
    root = folder / "root"
    for name in ("bin", "lib", "sbin"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for package in sorted((folder / "archives").glob("*.deb")):
        _output(
            ["sh", "-c", 'dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"', "sh",
             str(package), str(root)]
        )  # fmt: skip
    for name in ("proc", "sys", "dev", "tmp", "run", "root"):
        (root / name).mkdir(exist_ok=True)
    for name, line in (("passwd", "root:x:0:0:root:/root:/bin/bash\n"), ("group", "root:x:0:\n")):
        (root / "etc" / name).write_text(line, encoding="ascii")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n", encoding="ascii")
    for name in ("archives", "lists"):
        shutil.rmtree(folder / name)


def bootstrap(folder: Path, suite: str, packages: Sequence[str], machine: EmulatedRoot) -> None:
    """A configured system below `folder / "root"`, by mmdebstrap in the namespace; as root alone."""
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        raise CannotEmulateError("root and mmdebstrap are needed for a configured system")
    command = ["mmdebstrap", "--mode=root", "--arch=arm64", "--variant=minbase", "--quiet"]
    # A namespace of users without one of the network may not mount a /sys; no package here asks for it.
    command += ["--skip=chroot/mount/sys", f"--include={','.join(packages)}", suite, str(folder / "root")]
    _output(machine.command(command), BOOTSTRAP_LIMIT_S)


def fetch_wheels(folder: Path, version: str) -> Path:
    """Folder of this project's board dependencies and what tests need, for aarch64 and a Python, unpacked."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    packages = [*project["dependencies"], *TEST_WHEELS]
    known = hashlib.sha256("\n".join([version, project["version"], *packages]).encode()).hexdigest()[:12]
    site = folder / f"wheels-{known}"
    if site.exists():
        return site
    wanted = [word for name in PLATFORMS for word in ("--platform", name)]
    wanted += ["--python-version", version, "--implementation", "cp", "--only-binary", ":all:"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    for name in ("wheels", "part"):
        shutil.rmtree(folder / name, ignore_errors=True)
    _output([*pip, *wanted, "--dest", str(folder / "wheels"), *packages])
    for wheel in (folder / "wheels").glob("*.whl"):
        with ZipFile(wheel) as archive:
            archive.extractall(folder / "part")
    _say_installed(folder / "part", project["name"], project["version"])
    (folder / "part").rename(site)
    shutil.rmtree(folder / "wheels")
    return site


def _say_installed(site: Path, name: str, version: str) -> None:
    """This project's own entry among the installed: its command says its version."""
    told = site / f"{name}-{version}.dist-info"
    told.mkdir()
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (told / "METADATA").write_text(text, encoding="ascii")


def _write_sources(folder: Path, suite: str) -> None:
    """This machine's Debian sources, for another suite."""
    files = [
        one for place in _SOURCES for one in (place.glob("*") if place.is_dir() else [place]) if one.is_file()
    ]
    with Path("/etc/os-release").open(encoding="utf-8") as told:
        own = next(
            (line.partition("=")[2].strip() for line in told if line.startswith("VERSION_CODENAME=")), suite
        )
    for file in files:
        if file.suffix in {".list", ".sources"}:
            text = re.sub(rf"\b{re.escape(own)}\b", suite, file.read_text(encoding="utf-8"))
            (folder / file.name).write_text(text, encoding="utf-8")


def _output(command: Sequence[str], limit_s: float = LIMIT_S) -> str:
    try:
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, errors="replace", timeout=limit_s
        )
    except (OSError, subprocess.SubprocessError) as cause:
        said = str(getattr(cause, "stderr", None) or cause)
        raise CannotEmulateError(f"{command[0]} failed: {said.strip().splitlines()[-1]}") from cause
    return done.stdout
