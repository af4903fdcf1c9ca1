"""An installation that is cut off, ended, or has no room: a sentence, and what ran before still runs.

On a small board, with whole environments: `make test-flash`.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.board import debian
from tests.board.errors import CannotEmulateError
from tests.tools.small_board import Board, namespaces
from tools.flashing.on_board.payload import Payload

pytestmark = pytest.mark.flash
N_KILLS = 3
LONGEST_S = 1800


def other(board: Board, media: Path) -> str:
    """Name of the installer whose version does not run."""
    return "a" if Payload(media / "b.run").digest[:12] in board.current else "b"


def still_runs(board: Board, was: str) -> None:
    assert board.current == was
    assert (board.home / "versions" / was / "complete").is_file()
    said = board.run("/usr/local/bin/seston", "--version")
    assert (said.code, said.out) == (0, "seston, version 0.1.0\n")


def there(board: Board) -> Callable[[str], list[Path]]:
    """Files in versions that are not whole."""
    versions = board.home / "versions"

    def find(pattern: str) -> list[Path]:
        return [
            one
            for one in versions.glob(pattern)
            if not (versions / one.relative_to(versions).parts[0] / "complete").exists()
        ]

    return find


UNPACKED, INSTALLED = "*/wheels/*.whl", "*/venv/lib/python*/site-packages/numpy"
TRIED = ".trial-*/float.toml"


@pytest.mark.parametrize(
    ("instant", "number"),
    [
        pytest.param(UNPACKED, signal.SIGTERM, id="wheels are unpacked"),
        pytest.param(INSTALLED, signal.SIGTERM, id="pip installs"),
        pytest.param(INSTALLED, signal.SIGINT, id="pip installs, by a person"),
        pytest.param(TRIED, signal.SIGHUP, id="it is tried, the terminal goes"),
    ],
)
def test_ended_by_a_signal_it_takes_away_what_it_began(board, media, instant, number):
    was, before = board.current, board.versions
    with board.begin("sh", f"/media/{other(board, media)}.run", "--no-selftest") as child:
        find, until_s = there(board), time.monotonic() + LONGEST_S
        while not find(instant):
            assert child.poll() is None, child.communicate()
            assert time.monotonic() < until_s
            time.sleep(0.01)
        (inside,) = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        os.kill(int(inside), number)
        out, err = child.communicate(timeout=LONGEST_S)
    assert child.returncode == 2, out + err
    assert err == f"seston: interrupted ({number.name}); {was} is the version that runs.\n"
    assert board.versions == before
    still_runs(board, was)


def test_cut_off_at_any_instant_a_whole_version_runs(board, media):
    chance = random.Random(17)
    for _ in range(N_KILLS):
        was, name = board.current, other(board, media)
        with board.begin("sh", f"/media/{name}.run", "--no-selftest") as child:
            find, until_s = there(board), time.monotonic() + LONGEST_S
            while not find("*/wheels"):  # it has begun
                assert time.monotonic() < until_s
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 4))
            is_over = child.poll() is not None
            child.kill()
            child.communicate()
        assert not is_over, "this machine is too fast: kill it sooner"
        still_runs(board, was)
    said = board.run("sh", f"/media/{name}.run", "--no-selftest")
    assert said.code == 0, said.err
    assert board.current != was
    assert len(board.versions) == 2
    assert all((board.home / "versions" / one / "complete").is_file() for one in board.versions)


def test_too_little_room_is_refused_before_anything_is_written(media, tmp_path):
    small = Board(tmp_path / "board", media, opt_mb=100)
    script = "sh /media/a.run --no-selftest; code=$?; find /opt | wc -l; exit $code"
    said = small.run("sh", "-c", script)
    assert said.code == 2
    assert "/opt/seston has 1" in said.err
    assert "MB are needed" in said.err
    assert int(said.out) <= 3, "nothing but its folder and its lock"


FILLS = """
sh /media/a.run --no-selftest & installer=$!
until ls -d /opt/seston/versions/*/venv/lib/python*/site-packages/numpy >/tmp/begun 2>&1; do sleep 0.05; done
fallocate -l "$(($(df --output=avail -B1 /opt | tail -1) - 5000000))" /opt/full
wait $installer; code=$?
ls -A /opt/seston/versions; ls -d /opt/seston/current 2>&1
exit $code
"""


def test_a_disk_that_fills_up_on_the_way_leaves_nothing_behind(media, tmp_path):
    said = Board(tmp_path / "board", media, opt_mb=1500).run("sh", "-c", FILLS)
    assert said.code == 2, said
    assert "No space left on device" in said.err
    assert "nothing was changed" in said.err
    assert said.out.splitlines()[1:] == ["ls: cannot access '/opt/seston/current': No such file or directory"]


def test_under_a_clock_at_1970_the_same_is_installed(board, media, tmp_path):
    library = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
    if library is None:
        pytest.skip("needs libfaketime")
    old = Board(tmp_path / "board", media)
    assert old.run("true").code == 0
    (old.root / "etc/ld.so.preload").write_text(f"{library}\n")
    (old.root / "etc/faketimerc").write_text("@1970-01-01 00:00:30\n")
    assert old.run("date", "+%Y").out == "1970\n"
    said = old.run("sh", "/media/a.run")
    assert said.code == 0, said.err
    assert "1970-01-01" in next(line for line in said.out.splitlines() if " clock " in line)
    if old.current != board.current:
        assert board.run("sh", "/media/a.run", "--no-selftest").code == 0
    sums = [one.home / "versions" / old.current / "files.sha256" for one in (old, board)]
    assert sums[0].read_bytes() == sums[1].read_bytes()


THIRTY_TWO = """
set -e
mount --bind "$2" "$1/media"
mount --rbind /proc "$1/proc"
mount --rbind /dev "$1/dev"
shift_root=$1; shift 2
exec chroot "$shift_root" "$@"
"""


def test_a_32_bit_system_on_a_64_bit_processor_is_refused(media, tmp_path):
    """A real one: Debian's for i386, unpacked, on this machine's kernel."""
    folder = tmp_path / "i386"
    try:
        debian.unpack(folder, "bookworm", debian.PYTHON_PACKAGES, arch="i386")
    except CannotEmulateError as reason:
        pytest.skip(str(reason))
    root = folder / "root"
    (root / "media").mkdir(exist_ok=True)
    for words in (["sh", "/media/a.run"], ["python3", "-I", "-B", "/media/a.run"]):
        command = [*namespaces(), "sh", "-c", THIRTY_TWO, "enter", str(root), str(media), *words]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        assert said.returncode == 2, said
        assert "a 32-bit one on a 64-bit processor; write the 64-bit system to the card" in said.stderr
    assert not (root / "opt").exists() or not list((root / "opt").iterdir())
