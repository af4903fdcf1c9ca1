"""`seston flash bundle`: its file installs, upgrades and goes back, for real, on a small board.

`make test-flash` fetches the wheels, and runs this: whole environments are made again and again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

from tests.edge.inference.made_libraries import make_library
from tests.tools.conftest import LOCK, WHEELS
from tests.tools.small_board import Board
from tests.tools.test_simulate import seston
from tools.flashing.installer import build
from tools.flashing.on_board.payload import Payload

pytestmark = pytest.mark.flash


def install(board: Board, name: str, *options: str):
    return board.run("sh", f"/media/{name}.run", "--no-selftest", *options)


def test_the_same_tree_and_lock_give_the_same_bytes(lock, wanted, media, tmp_path):
    file, again = build(wanted, tmp_path, WHEELS, lock)
    assert again == lock
    digest = hashlib.sha256((media / "a.run").read_bytes()).hexdigest()
    assert (tmp_path / f"{file.name}.sha256").read_text() == f"{digest}  {file.name}\n"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == digest


def test_what_is_inside(media):
    payload = Payload(media / "a.run")
    names = {one.name for one in payload.manifest.of("wheel")}
    assert {"seston", "numpy", "opencv-python-headless", "ai-edge-litert"} <= names
    assert not names & {"tensorflow", "keras", "opencv-python", "matplotlib"}
    assert (media / "a.run").stat().st_size < 160e6
    with zipfile.ZipFile(media / "a.run") as inside:
        assert inside.testzip() is None


def test_a_board_with_a_version(board):
    assert (board.root / "etc/seston/float.toml").read_text().startswith("# Configuration of this float")
    unit = (board.root / "etc/systemd/system/seston.service").read_text()
    assert "ExecStart=/opt/seston/current/venv/bin/seston run" in unit
    assert "SupplementaryGroups=dialout video gpio plugdev apex\n" in unit
    assert "\nseston:" in (board.root / "etc/passwd").read_text()
    said = board.run("/usr/local/bin/seston", "bundle", "verify", "demo")
    assert (said.code, "goldens" in said.out) == (0, True)
    sums = board.run("sh", "-c", "cd /opt/seston/current && sha256sum --quiet -c files.sha256")
    assert (sums.code, sums.out) == (0, "")


def test_the_same_again_changes_nothing_and_mends_what_is_missing(board):
    before = {one: one.lstat().st_mtime_ns for one in (board.root / "opt").rglob("*") if one.name != ".lock"}
    said = install(board, "a")
    assert (said.code, said.out.splitlines()[-1]) == (0, "Nothing was to be done.")
    for one, stamp in before.items():
        assert one.is_dir() or one.lstat().st_mtime_ns == stamp, one
    (board.root / "etc/udev/rules.d/60-seston.rules").unlink()
    assert "wrote /etc/udev/rules.d/60-seston.rules" in install(board, "a").out


def test_upgrade_rollback_and_a_damaged_version(board):
    a, config = board.current, board.root / "etc/seston/float.toml"
    config.write_text(config.read_text().replace('platform = "float"', 'platform = "float 17"'))
    said = install(board, "b")
    assert said.code == 0, said.err
    b = board.current
    assert a != b
    assert board.versions == {a, b}
    assert "float 17" in config.read_text(), "a person's"
    assert 'platform = "float"' in config.with_name("float.toml.new").read_text()
    # What version a does not know was added under b: it gets back what it ran with.
    config.write_text(config.read_text() + "\nnot_a_key = 1\n")
    back = board.run("/usr/local/sbin/seston-rollback")
    assert back.code == 0, back.err
    assert (board.current, "not_a_key" in config.read_text()) == (a, False)
    assert "not_a_key" in config.with_name("float.toml.newer").read_text()
    assert board.run("sh", "/media/a.run", "--rollback").code == 0
    assert board.current == b
    # A file of the version that runs is damaged: it goes back and forth no more, and is made anew beside.
    site = next((board.home / "versions" / b / "venv/lib").glob("python*/site-packages"))
    (site / "edge/service.py").write_text("")
    said = install(board, "b")
    assert said.code == 0, said.err
    assert "edge/service.py is damaged" in said.out
    assert board.current == f"{b}.2"
    assert board.versions == {a, f"{b}.2"}, "one goes back to the one before, not to a damaged one"
    assert install(board, "b").out.splitlines()[-1] == "Nothing was to be done."
    assert board.run("/usr/local/sbin/seston-rollback").code == 0
    assert board.current == a


def test_a_configuration_that_the_version_does_not_take_changes_nothing(board, media):
    (media / "bad.toml").write_text('bundle = "nobody"\n')
    was = board.current
    said = install(board, "a", "--config", "/media/bad.toml")
    assert said.code == 2
    assert "nothing was changed" in said.err
    assert board.current == was


OWN = """
bundle = "/opt/seston/current/models/mine.seston"
platform = "float 17"
optics_file = "optics.toml"
[classify]
accelerator = "/opt/seston/current/libs/libedgetpu.so.1"
"""
OPTICS = """
[optics]
pixel_um = 73.0
image_volume_l = 0.7
threshold = 22
aa_um2 = 2300.0
exp = 1.136
"""


def package(library: Path, folder: Path) -> Path:
    """A Debian package with the library in it, as Google's is made."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb")
    place = folder / "tree/usr/lib/x86_64-linux-gnu/libedgetpu.so.1.0"
    place.parent.mkdir(parents=True)
    library.rename(place)
    place.with_name("libedgetpu.so.1").symlink_to(place.name)
    control = folder / "tree/DEBIAN/control"
    control.parent.mkdir()
    control.write_text("Package: libedgetpu1-std\nVersion: 16.0\nArchitecture: amd64\n"
                       "Maintainer: a test <a@example.org>\nDescription: a library\n")  # fmt: skip
    subprocess.run(
        ["dpkg-deb", "--build", folder / "tree", folder / "tpu.deb"], check=True, capture_output=True
    )
    return folder / "tpu.deb"


def test_a_model_keys_and_a_library_of_ones_own(wanted, tmp_path, media):
    """All that `seston flash bundle` takes, typed as a person does, and what becomes of it on the board."""
    shutil.copy(str(files("edge.inference") / "bundles/demo.seston"), tmp_path / "mine.seston")
    (tmp_path / "float.toml").write_text(OWN)
    (tmp_path / "optics.toml").write_text(OPTICS)
    keys = ("--keys", tmp_path / "keys")
    for words in (("new", "--fleet"), ("new", "--unit", "float-17"), ("install", "float-17", tmp_path)):
        code, said = seston("keys", *words, *keys)
        assert code == 0, said
    deb = package(make_library(tmp_path / "libedgetpu.so.1"), tmp_path)
    code, said = seston(
        "flash", "bundle", "--config", tmp_path / "float.toml", "--model", tmp_path / "mine.seston",
        "--keys", tmp_path / "keys.toml", "--edgetpu", deb, "--arch", "x86_64",
        *(word for one in wanted.pythons for word in ("--python", one)),
        "--lock", LOCK, "--wheels", WHEELS, "--out", tmp_path / "out",
    )  # fmt: skip
    assert code == 0, said
    (file,) = (tmp_path / "out").glob("*.run")
    board = Board(tmp_path / "board", file.parent)
    done = board.run("sh", f"/media/{file.name}")
    assert done.code == 0, done.err
    assert "configuration: of float 17; model demo gives its" in done.out
    library = board.home / "versions" / board.current / "libs/libedgetpu.so.1"
    assert library.read_bytes()[:4] == b"\x7fELF"
    record = json.loads((board.root / "var/lib/seston/selftest.json").read_text())
    found = {check["name"]: check for check in record["checks"]}
    assert "/opt/seston/current/libs/libedgetpu.so.1" in found["tpu library"]["message"]
    assert found["tpu library"]["status"] == found["keys"]["status"] == "good"
    assert (board.root / "var/lib/seston/keys.toml").read_bytes() == (tmp_path / "keys.toml").read_bytes()
    assert (board.root / "var/lib/seston/keys.toml").stat().st_uid == int(
        next(line for line in (board.root / "etc/passwd").read_text().splitlines() if "seston" in line).split(
            ":"
        )[2]
    )
    assert (board.root / "etc/seston/optics.toml").read_text() == OPTICS
    # Keys of a float at sea are its own: a file with others lays them beside.
    (board.root / "var/lib/seston/keys.toml").write_text("")
    again = board.run("sh", f"/media/{file.name}", "--no-selftest")
    assert again.out.splitlines()[-1] == "Nothing was to be done."
    assert (board.root / "var/lib/seston/keys.toml").read_text() == ""
    assert (board.root / "var/lib/seston/keys.toml.new").read_bytes() == (tmp_path / "keys.toml").read_bytes()
    (board.root / "var/lib/seston/keys.toml").unlink()
    again = board.run("sh", f"/media/{file.name}", "--no-selftest")
    assert again.out.splitlines()[-1] == "seston 0.1.0 is installed.", "keys that were lost are there again"
    assert (board.root / "var/lib/seston/keys.toml").read_bytes() == (tmp_path / "keys.toml").read_bytes()
