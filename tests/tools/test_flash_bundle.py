"""`seston flash bundle`: its file installs, upgrades, goes back and refuses, for real, on a small board.

The wheels are those that an earlier build kept in out/flash: none are fetched here.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from edge.errors import InputError
from tests.tools.small_board import Board
from tools.cli import main
from tools.flashing.installer import Wanted, build
from tools.flashing.on_board import machine
from tools.flashing.on_board.payload import Payload
from tools.flashing.on_board.refusal import Refusal
from tools.flashing.wheels import Lock, read_lock

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"
"""The board's: this machine's, as its distribution brings it."""
LOCK, WHEELS = ROOT / "out/flash/lock-x86_64.json", ROOT / "out/flash/wheels"
HOW = "seston flash bundle --arch x86_64 --python {} --lock out/flash/lock-x86_64.json"
N_KILLS = 2


@pytest.fixture(scope="module")
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
        pytest.skip(f"needs wheels that a build has kept: {HOW.format(python)}")
    found = read_lock(LOCK)
    if not all(python in one.pythons for one in found.wheels):
        pytest.skip(f"the wheels kept are not for Python {python}: {HOW.format(python)}")
    return found


@pytest.fixture(scope="module")
def media(lock, tmp_path_factory) -> Path:
    """Two versions, one a second younger than the other, and a damaged copy's place."""
    folder = tmp_path_factory.mktemp("media")
    wanted = Wanted("x86_64", tuple(lock.wheels[0].pythons), epoch_s=1_767_225_600)
    for name, epoch_s in (("a", wanted.epoch_s), ("b", wanted.epoch_s + 1)):
        try:
            file, _ = build(replace(wanted, epoch_s=epoch_s), folder / name, WHEELS, lock)
        except InputError as reason:
            if "pip" in str(reason.field):
                pytest.skip(str(reason))
            raise
        file.rename(folder / f"{name}.run")
    return folder


@pytest.fixture(scope="module")
def board(media, tmp_path_factory) -> Board:
    """A board that has version a."""
    fresh = Board(tmp_path_factory.mktemp("board"), media)
    done = fresh.run("sh", "/media/a.run")
    assert done.code == 0, done.err
    assert "NOT READY: camera, host." in done.out, "hardware that is missing is told, and stops nothing"
    return fresh


def install(board: Board, name: str, *options: str):
    return board.run("sh", f"/media/{name}.run", "--no-selftest", *options)


def test_the_same_tree_and_lock_give_the_same_bytes(lock, media, tmp_path):
    wanted = Wanted("x86_64", tuple(lock.wheels[0].pythons), epoch_s=1_767_225_600)
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


def test_a_configuration_that_the_version_does_not_take_changes_nothing(board, media):
    (media / "bad.toml").write_text('bundle = "nobody"\n')
    was = board.current
    said = install(board, "a", "--config", "/media/bad.toml")
    assert said.code == 2
    assert "nothing was changed" in said.err
    assert board.current == was


@pytest.mark.parametrize("where", ["head", "sum", "wheel", "end", "cut off", "cut off in the head"])
def test_a_file_that_is_not_whole_is_refused(media, tmp_path, where):
    whole = (media / "a.run").read_bytes()
    with zipfile.ZipFile(media / "a.run") as inside:
        wheel = next(one for one in inside.infolist() if one.filename.endswith(".whl")).header_offset + 5000
    place = {
        "head": whole.index(b"umask"),
        "sum": whole.index(b"SHA256=") + 9,
        "wheel": wheel,
        "end": len(whole) - 9,
    }
    if where == "cut off":
        data = whole[:-1000]
    elif where == "cut off in the head":
        data = whole[: whole.index(b"said=")]
    else:
        data = bytearray(whole)
        data[place[where]] ^= 1
    file = tmp_path / "t.run"
    file.write_bytes(data)
    done = subprocess.run(["sh", str(file), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    # Damaged in the script, it may be one no longer: the shell says so, and runs nothing.
    script = where in ("head", "sum", "cut off in the head")
    assert "copy it anew" in done.stderr or (script and "yntax error" in done.stderr)


def test_another_machine_is_refused(media):
    words = ["setarch", "linux32", "sh", str(media / "a.run"), "--check"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the file is for x86_64" in done.stderr
    manifest = Payload(media / "a.run").manifest
    for wrong, said in (
        ({"pythons": ("3.9",)}, "the file has Python 3.9"),
        ({"arch": "aarch64"}, "take the file for x86_64"),
        ({"glibc": "2.99"}, "glibc 2.99 is needed"),
    ):
        fitting = {"pythons": (machine.this_python(),), "arch": "x86_64", "glibc": "2.17"}
        with pytest.raises(Refusal, match=said):
            machine.refuse_another(msgspec.convert({**asdict(manifest), **fitting, **wrong}, type(manifest)))


def asdict(manifest):
    return json.loads(msgspec.json.encode(manifest))


def test_a_32_bit_system_on_a_64_bit_processor_is_refused(media, monkeypatch):
    manifest = Payload(media / "a.run").manifest
    monkeypatch.setattr(machine.struct, "calcsize", lambda _: 4)
    with pytest.raises(Refusal, match="write the 64-bit system to the card"):
        machine.refuse_another(manifest)


def test_a_full_disk_is_refused_before_anything_is_written(media, tmp_path):
    board = Board(tmp_path / "board", media, opt_mb=100)
    script = "sh /media/a.run --no-selftest; code=$?; find /opt | wc -l; exit $code"
    said = board.run("sh", "-c", script)
    assert said.code == 2
    assert "/opt/seston has 1" in said.err
    assert "MB are needed" in said.err
    assert int(said.out) <= 3, "nothing but its folder and its lock"


def test_cut_off_at_any_instant_a_whole_version_runs(board, media):
    chance = random.Random(17)
    for _ in range(N_KILLS):
        was = board.current
        name = "a" if Payload(media / "b.run").digest[:12] in was else "b"
        with board.begin("sh", f"/media/{name}.run", "--no-selftest") as child:
            with pytest.raises(subprocess.TimeoutExpired):
                child.communicate(timeout=chance.uniform(0.8, 5.0))
            child.kill()
            child.communicate()
        assert (board.home / "versions" / board.current / "complete").is_file()
        assert board.run("/usr/local/bin/seston", "--version").code == 0
        assert board.current == was
    said = install(board, name)
    assert said.code == 0, said.err
    assert all((board.home / "versions" / one / "complete").is_file() for one in board.versions)
    assert len(board.versions) == 2
    assert board.current != was


def test_a_configuration_without_its_model_is_refused_when_built(tmp_path, capsys):
    config = tmp_path / "float.toml"
    config.write_text(
        'bundle = "mine.seston"\n[optics]\npixel_um = 73.0\nimage_volume_l = 0.7\nthreshold = 22\n'
    )
    with pytest.raises(SystemExit) as ended:
        main(["flash", "bundle", "--config", str(config), "--out", str(tmp_path)])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"{config}: bundle: is mine.seston, which is not inside; give --model mine.seston" in said
    assert not list(tmp_path.glob("*.run"))


SYSTEMCTL = """#!/bin/sh
echo "$@" >>/opt/systemctl.log
case "$1 $(readlink /opt/seston/current)" in
"restart "*"$(cat /opt/broken)"*) echo "Job for seston.service failed."; exit 1 ;;
esac
"""
"""Stands in for systemd, which does not run behind chroot; what /opt/broken names does not start."""


def test_a_service_that_does_not_become_ready_brings_the_version_before_back(board, media):
    was = board.current
    name, other = ("a", "b") if Payload(media / "b.run").digest[:12] in was else ("b", "a")
    (media / "systemctl").write_text(SYSTEMCTL)
    (media / "systemctl").chmod(0o755)
    (board.root / "opt/broken").write_text(Payload(media / f"{name}.run").digest[:12])
    given = "mount -t tmpfs none /run; mkdir -p /run/systemd/system; "
    given += "mount --bind /media/systemctl /usr/bin/systemctl; "
    config = (board.root / "etc/seston/float.toml").read_bytes()
    (media / "new.toml").write_bytes(config + b"\n# new\n")
    said = board.run("sh", "-c", given + f"sh /media/{name}.run --no-selftest --config /media/new.toml")
    assert said.code == 2
    assert f"the service does not become ready: Job for seston.service failed.; {was} runs again." in said.err
    assert (board.current, (board.root / "etc/seston/float.toml").read_bytes()) == (was, config)
    failed = f"{Payload(media / f'{name}.run').digest[:12]}-cp"
    assert not any(failed in one and "." not in one.partition(failed)[2] for one in board.versions)
    # Cut off between the switch and the start: the same file again starts it.
    (board.home / ".switching").write_text("\n")
    said = board.run("sh", "-c", given + f"sh /media/{other}.run --no-selftest")
    assert said.code == 0, said.err
    assert "The service runs." in said.out
    log = (board.root / "opt/systemctl.log").read_text().splitlines()
    assert log[-3:] == [f"{verb} seston.service" for verb in ("stop", "reset-failed", "restart")]
