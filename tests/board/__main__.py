"""`make board`: telemetry on an emulated aarch64 gives the bytes that it gives here.

Debian's Python for arm64 and the aarch64 wheels of what telemetry needs are unpacked into a folder and run by
QEMU: no root, no container, nothing installed. Where that cannot be had it says why and is no failure.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[2]
PYTHON_PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
WHEELS = ("numpy", "msgspec", "reedsolo", "pytest", "hypothesis")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
QEMU = "qemu-aarch64-static"
GOLDEN = ("tests/edge/telemetry", "-k", "silence or golden")
LIMIT_S = 280


class CannotEmulateError(Exception):
    """This machine lacks something, or a registry did not answer: a reason to skip."""


def main() -> int:
    """Exit code 1 when a byte differs, 0 when none does or it cannot be found out."""
    parser = argparse.ArgumentParser(prog="python -m tests.board", description=__doc__)
    parser.add_argument("--dir", type=Path, default=ROOT / "out" / "board", help="where the board's files go")
    parser.add_argument("--cpu", default="cortex-a53", help="as QEMU names it; that of a Pi Zero 2 or Pi 3")
    arguments = parser.parse_args()
    try:
        board = prepare(arguments.dir.resolve(), arguments.cpu)
    except CannotEmulateError as reason:
        say(f"board: skipped: {reason}")
        return 0
    here, there = hashes([sys.executable]), hashes(board)
    for name, digest in here.items():
        say(f"{'same     ' if there[name] == digest else 'DIFFERENT'} {digest[:16]} {name}")
    say(f"golden vectors on aarch64, {arguments.cpu}:")
    golden = run([*board, "-m", "pytest", "-p", "no:cacheprovider", *GOLDEN])
    return int(here != there or golden.returncode != 0)


def prepare(folder: Path, cpu: str) -> list[str]:
    """Command that runs the board's Python; what it needs is fetched once."""
    if platform.system() != "Linux" or not all(map(shutil.which, ("apt-get", "dpkg", "dpkg-deb"))):
        raise CannotEmulateError("apt-get and dpkg are needed to get Debian's packages")
    if platform.machine() == "aarch64":
        raise CannotEmulateError("this machine is aarch64 itself, `make test` tests it")
    ready = folder / "ready"
    if not ready.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _fetch_debian(folder)
        _fetch_wheels(folder)
        ready.touch()
    path = os.pathsep.join(map(str, (folder / "site", ROOT)))
    environment = [f"PYTHONPATH={path}", "PYTHONDONTWRITEBYTECODE=1", "PYTHONNOUSERSITE=1"]
    given = [word for setting in environment for word in ("-E", setting)]
    qemu = shutil.which(QEMU) or str(folder / QEMU)
    return [qemu, "-cpu", cpu, "-L", str(folder / "root"), *given, str(_python(folder))]


def hashes(python: Sequence[str]) -> dict[str, str]:
    """What `tests.board.hashes` says there."""
    done = run([*python, "-m", "tests.board.hashes"], stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(f"board: {python[0]} ended with {done.returncode}")
    found: dict[str, str] = json.loads(done.stdout)
    return found


def run(command: Sequence[str], stdout: int | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run in the repository, for a limited time."""
    return subprocess.run(command, cwd=ROOT, stdout=stdout, check=False, timeout=LIMIT_S)


def _fetch_debian(folder: Path) -> None:
    """Python for arm64 with all it depends on, and QEMU, by an apt that knows nothing of this machine's."""
    for name in ("lists/partial", "archives/partial", "root"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    host = _output(["dpkg", "--print-architecture"]).strip()
    settings = (
        "APT::Architecture=arm64", "APT::Architectures::=arm64", f"APT::Architectures::={host}",
        f"Dir::State={folder}", f"Dir::State::lists={folder}/lists", f"Dir::State::status={folder}/status",
        f"Dir::Cache={folder}", "APT::Install-Recommends=false", "APT::Sandbox::User=root",
        "Debug::NoLocking=true",
    )  # fmt: skip
    apt = ["apt-get", "-qq", *(word for setting in settings for word in ("-o", setting))]
    # A source that has no arm64 fails here; whether the others suffice is seen below.
    subprocess.run([*apt, "update"], check=False, capture_output=True, timeout=LIMIT_S)
    _output([*apt, "install", "--yes", "--download-only", *PYTHON_PACKAGES])
    for package in sorted((folder / "archives").glob("*.deb")):
        _output(["dpkg-deb", "-x", str(package), str(folder / "root")])
    if not shutil.which(QEMU):
        _output([*apt, "download", f"qemu-user-static:{host}"], cwd=folder)
        (package,) = folder.glob("qemu-user-static*.deb")
        unpacked = folder / "qemu"
        _output(["dpkg-deb", "-x", str(package), str(unpacked)])
        (unpacked / "usr" / "bin" / QEMU).rename(folder / QEMU)
        shutil.rmtree(unpacked)
        package.unlink()


def _fetch_wheels(folder: Path) -> None:
    """Wheels for that Python, unpacked side by side."""
    version = _python(folder).name.removeprefix("python")
    wanted = [word for name in PLATFORMS for word in ("--platform", name)]
    wanted += ["--python-version", version, "--implementation", "cp", "--only-binary", ":all:"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    _output([*pip, *wanted, "--dest", str(folder / "wheels"), *WHEELS])
    for wheel in (folder / "wheels").glob("*.whl"):
        with ZipFile(wheel) as archive:
            archive.extractall(folder / "site")


def _python(folder: Path) -> Path:
    found = sorted((folder / "root" / "usr" / "bin").glob("python3.*[0-9]"))
    if not found:
        raise CannotEmulateError("Debian's packages brought no Python")
    return found[-1]


def _output(command: Sequence[str], cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(
            command, cwd=cwd, check=True, capture_output=True, text=True, errors="replace", timeout=LIMIT_S
        )
    except (OSError, subprocess.SubprocessError) as cause:
        said = getattr(cause, "stderr", None) or str(cause)
        raise CannotEmulateError(f"{command[0]} failed: {str(said).strip().splitlines()[-1]}") from cause
    return done.stdout


def say(line: str) -> None:
    """A line for people, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
