"""`make board` and `make test-board`: what must be the same on x86-64 and aarch64, and tests on the latter.

An emulated board (`emulated`) and this machine work on the same recordings, vignettes and dive logs, and what
they find is compared; with `--tests` the tests marked `board` run there too. Where nothing can be emulated it
says why and is no failure.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edge.divelog import DiveLog
from edge.logged import plan_messages
from tests.board import debian, findings
from tests.board.comparing import compare
from tests.board.emulated import EmulatedRoot, emulated_root
from tests.board.errors import CannotEmulateError
from tests.board.inputs import make_inputs

ROOT = debian.ROOT
LIMIT_S = 3600
TWO_AT_A_TIME = ("-n", "2", "--dist", "worksteal", "--durations", "20")
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
"""Of the Debian releases that Raspberry Pi OS is made of."""


def main() -> int:
    """Exit code 1 when something differs or fails, 0 when nothing does or it cannot be found out."""
    parser = argparse.ArgumentParser(prog="python -m tests.board", description=__doc__)
    parser.add_argument("--dir", type=Path, default=ROOT / "out" / "board", help="where the board's files go")
    parser.add_argument("--suite", choices=PYTHONS, default="bookworm", help="Debian release of the board")
    parser.add_argument(
        "--shared", type=Path, default=ROOT.parent / "shared", help="where data/ with real images is"
    )
    parser.add_argument("--tests", action="store_true", help="run the tests marked `board` there too")
    parser.add_argument("pytest", nargs="*", help="after --: for pytest, and nothing else is done")
    arguments = parser.parse_args()
    # Ended by a signal it leaves as by an exception, and takes the emulated processes with it.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    folder = arguments.dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _told("a Debian for arm64, Python and wheels"):
            board = prepare(folder, arguments.suite, arguments.shared)
    except CannotEmulateError as reason:
        say(f"board: skipped: {reason}")
        return 0
    is_right = True
    if not arguments.pytest:
        is_right = compare_with(board, folder, arguments.suite, arguments.shared / "data")
    if arguments.tests or arguments.pytest:
        with _told("tests marked `board`, emulated"):
            is_right &= test(board, arguments.pytest, folder / "pytest-cache")
    return int(not is_right)


def prepare(folder: Path, suite: str, shared: Path) -> EmulatedRoot:
    """The board, made once, with this repository, its wheels and the real images inside."""
    board = emulated_root(folder / suite, suite)
    site = debian.fetch_wheels(folder, PYTHONS[suite])
    places = [ROOT, folder, *([shared.absolute()] if shared.is_dir() else [])]
    binds = {str(place): place for place in places}  # the same paths there: logs name files
    binds[f"/usr/local/lib/python{PYTHONS[suite]}/dist-packages"] = site
    environment = {
        "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": "/var/cache/python",
        "PYTHONNOUSERSITE": "1", "HYPOTHESIS_STORAGE_DIRECTORY": "/tmp/hypothesis",
    }  # fmt: skip
    return replace(board, binds=binds, environment=environment)


def compare_with(board: EmulatedRoot, folder: Path, suite: str, data: Path) -> bool:
    """Let both find what there is in the same inputs, and say whether it is the same."""
    with _told("recordings, and dives of them here"):
        for missing in make_inputs(folder / "inputs", data):
            say(f"skipped   {missing}")
    there = folder / f"dives-{suite}"
    shutil.rmtree(there, ignore_errors=True)
    with _told("the findings here"):
        findings.find(folder / "inputs", None, folder / "here.npz")
    with _told("the findings on the board, and dives there"):
        places = map(str, (folder / "inputs", there, folder / f"{suite}.npz"))
        command = ["python3", "-m", "tests.board.findings", *places]
        done = board.run(command, str(ROOT), timeout_s=LIMIT_S)
    if done.returncode:
        say(f"DIFFERENT the board's findings ended with {done.returncode}")
        return False
    compared = compare(folder / "here.npz", folder / f"{suite}.npz")
    for line in compared.lines:
        say(line)
    is_right = compared.is_right
    for dive in sorted(there.iterdir()):
        with DiveLog.open(dive) as log:
            same = list(plan_messages(log).messages) == log.messages()
        say(f"{'same     ' if same else 'DIFFERENT'} messages made here of the board's log of {dive.name}")
        is_right &= same
    return is_right


def test(board: EmulatedRoot, chosen: list[str], cache: Path) -> bool:
    """Run the tests there that are marked `board`, or those of them that are chosen.

    Those that fail run a second time, one after the other: where everything takes ten to fifty times longer
    and the machine is busy, waits run out that never would on a board.
    """
    command = ["python3", "-m", "pytest", "-p", "tests.board.plugin", "-o", f"cache_dir={cache}"]
    command += ["-m", "board", *(chosen or [*TWO_AT_A_TIME, "tests"])]
    code = board.run(command, str(ROOT), timeout_s=LIMIT_S).returncode
    if code == pytest.ExitCode.TESTS_FAILED:
        say("those that failed, a second time:")
        code = board.run([*command, "-n", "0", "--last-failed"], str(ROOT), timeout_s=LIMIT_S).returncode
    return code == 0


@contextmanager
def _told(what: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    say(f"{time.monotonic() - begun:7.1f} s {what}")


def say(line: str) -> None:
    """A line for people, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
