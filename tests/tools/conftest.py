"""Installers for the tests of `seston flash bundle`, of wheels that `make test-flash` has fetched."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from edge.errors import InputError
from tests.tools.small_board import Board
from tools.flashing.installer import Wanted, build
from tools.flashing.wheels import Lock, read_lock

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"
"""The board's: this machine's, as its distribution brings it."""
LOCK, WHEELS = ROOT / "out/flash/lock-x86_64.json", ROOT / "out/flash/wheels"
HOW = "make test-flash fetches them"
EPOCH_S = 1_767_225_600


@pytest.fixture(scope="session")
def lock() -> Lock:
    asked = 'import sys, platform; print("%d.%d" % sys.version_info[:2], platform.machine())'
    try:
        python, arch = subprocess.run(
            [PYTHON, "-I", "-c", asked], capture_output=True, text=True, check=True
        ).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"needs {PYTHON}, the one of the distribution")
    if arch != "x86_64":
        pytest.skip("the small board is an x86-64")
    if not LOCK.is_file():
        pytest.skip(f"needs wheels that were fetched before: {HOW}")
    found = read_lock(LOCK)
    if not all(python in one.pythons for one in found.wheels):
        pytest.skip(f"the wheels kept are not for Python {python}: {HOW}")
    return found


@pytest.fixture(scope="session")
def wanted(lock) -> Wanted:
    """What every installer here has inside."""
    return Wanted("x86_64", tuple(lock.wheels[0].pythons), epoch_s=EPOCH_S)


@pytest.fixture(scope="session")
def made(lock, tmp_path_factory):
    """Makes an installer of these wheels, as `name`.run in a folder."""

    def make(wanted: Wanted, folder: Path, name: str) -> Path:
        try:
            file, _ = build(wanted, tmp_path_factory.mktemp(name), WHEELS, lock)
        except InputError as reason:
            if "pip" in str(reason.field):
                pytest.skip(str(reason))
            raise
        return file.rename(folder / f"{name}.run")

    return make


@pytest.fixture(scope="session")
def media(wanted, made, tmp_path_factory) -> Path:
    """Two versions, one a second younger than the other."""
    folder = tmp_path_factory.mktemp("media")
    for name, epoch_s in (("a", EPOCH_S), ("b", EPOCH_S + 1)):
        made(replace(wanted, epoch_s=epoch_s), folder, name)
    return folder


@pytest.fixture(scope="module")
def board(media, tmp_path_factory) -> Board:
    """A board that has version a."""
    fresh = Board(tmp_path_factory.mktemp("board"), media)
    done = fresh.run("sh", "/media/a.run")
    assert done.code == 0, done.err
    assert "NOT READY: camera, host." in done.out, "hardware that is missing is told, and stops nothing"
    return fresh
