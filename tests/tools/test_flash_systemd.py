"""The installed service under a real systemd: it is ready, comes back, and gives way when it does not start.

In a container that systemd starts, with whole environments: `make test-flash`.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.tools.booted_board import LIMIT_S, BootedBoard, debian_of
from tests.tools.conftest import ROOT
from tools.flashing.on_board.payload import Payload

pytestmark = pytest.mark.flash
DROP_IN = "etc/systemd/system/seston.service.d/fails.conf"
FAILS = """[Service]
ExecStartPre=/bin/sh -c 'case $(readlink /opt/seston/current) in *%s*) %s; esac'
"""


@pytest.fixture(scope="module")
def board(media, tmp_path_factory):
    """A board that runs version a."""
    archive = debian_of(ROOT / "out/flash/debian")
    with BootedBoard(archive, tmp_path_factory.mktemp("booted") / "root", media) as booted:
        said = booted.run("sh", "/media/a.run")
        assert said.code == 0, said.err
        assert said.out.splitlines()[-2:] == ["The service runs.", "seston 0.1.0 is installed."]
        yield booted


def digest(media, name):
    return Payload(media / f"{name}.run").digest[:12]


def other(board, media):
    """Name of the installer whose version does not run."""
    return "a" if digest(media, "b") in board.current else "b"


def spoil(board, what, does):
    """Let the service of one version do something else before it starts; nothing: let it be."""
    place = board.root / DROP_IN
    place.parent.mkdir(exist_ok=True)
    place.write_text(FAILS % (what, does) if what else "")
    board.run("systemctl", "daemon-reload")


def is_ready(board):
    """Whether the service has said so, and its process is of the version that runs."""
    program = board.run("sh", "-c", f"tr '\\0' ' ' </proc/{board.show('MainPID')}/cmdline").out
    return board.show("ActiveState") == "active" and f"/versions/{board.current}/venv/bin/python" in program


def test_the_service_is_ready_and_survives_a_restart_and_a_kill(board):
    assert is_ready(board)
    assert board.show("Type") == "notify"
    assert board.show("NRestarts") == "0"
    first = board.show("MainPID")
    assert board.run("systemctl", "restart", "seston").code == 0
    assert is_ready(board)
    second = board.show("MainPID")
    assert second != first
    assert board.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "seston").code == 0
    until_s = time.monotonic() + LIMIT_S
    while board.show("NRestarts") != "1" or not is_ready(board):
        assert time.monotonic() < until_s
        time.sleep(0.2)
    assert board.run("stat", "-c", "%U", f"/proc/{board.show('MainPID')}").out == "seston\n"


def test_a_version_that_does_not_become_ready_gives_way_to_the_one_before(board, media):
    was, name, before = board.current, other(board, media), board.versions
    spoil(board, digest(media, name), "exit 1")
    config = board.root / "etc/seston/float.toml"
    mine = config.read_bytes()
    (media / "new.toml").write_bytes(mine + b"\n# new\n")
    said = board.run("sh", f"/media/{name}.run", "--no-selftest", "--config", "/media/new.toml")
    assert said.code == 2
    assert "the service does not become ready (Job for seston.service failed" in said.err
    assert said.err.endswith(f"; {was} runs again.\n")
    assert (board.current, config.read_bytes(), board.versions) == (was, mine, before)
    assert not config.with_name("float.toml.old").exists()
    assert is_ready(board)


def test_ended_while_the_new_one_starts_the_one_before_runs_again(board, media):
    was, name, before = board.current, other(board, media), board.versions
    spoil(board, digest(media, name), "sleep 600")
    with board.begin("sh", f"/media/{name}.run", "--no-selftest") as child:
        until_s = time.monotonic() + LIMIT_S
        while board.current == was or board.show("ActiveState") != "activating":
            assert child.poll() is None, child.communicate()
            assert time.monotonic() < until_s
            time.sleep(0.1)
        (inside,) = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split() or (child.pid,)
        os.kill(int(inside), signal.SIGHUP)
        _, err = child.communicate(timeout=LIMIT_S)
    assert (child.returncode, err) == (2, f"seston: interrupted (SIGHUP); {was} runs again.\n")
    assert (board.current, board.versions) == (was, before)
    assert is_ready(board)


def test_power_that_goes_while_the_new_one_starts(board, media):
    """A whole version is there at the next start; the same file again brings the one that it has."""
    was, name = board.current, other(board, media)
    with board.begin("sh", f"/media/{name}.run", "--no-selftest") as child:
        until_s = time.monotonic() + LIMIT_S
        while board.current == was:
            assert child.poll() is None, child.communicate()
            assert time.monotonic() < until_s
            time.sleep(0.01)
        board.cut_power()
        child.communicate()
    (board.root / DROP_IN).unlink()
    board.power_on()
    assert is_ready(board), "the new version was tried before it was switched to"
    said = board.run("sh", f"/media/{name}.run", "--no-selftest")
    assert said.code == 0, said.err
    assert said.out.splitlines()[-2:] == ["The service runs.", "seston 0.1.0 is installed."]
    back = board.run("/usr/local/sbin/seston-rollback")
    assert back.code == 0, back.err
    assert board.current == was
    assert is_ready(board)


def test_a_service_that_a_person_disabled_stays_so(board, media):
    assert board.run("systemctl", "disable", "--now", "seston").code == 0
    said = board.run("sh", f"/media/{other(board, media)}.run", "--no-selftest")
    assert said.code == 0, said.err
    assert "The service is not started." in said.out
    assert board.show("ActiveState") == "inactive"
    assert board.show("UnitFileState") == "disabled"
