"""`seston fetch` from a real `seston run`, over a cable of two ptys and over TCP."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from edge.divelog import DiveLog
from edge.logged import plan_messages
from firmware_bridge import link_records as wire
from firmware_bridge.link import Peer
from firmware_bridge.transport import PortLine, open_transport
from tests.edge.test_instrument import scene
from tests.tools.aboard import Instrument, until
from tests.tools.cable import Cable
from tests.tools.made_dive import START_MS, make_dive
from tools.cli import main

pytestmark = pytest.mark.board
GOLDEN = Path(__file__).parents[1] / "golden"
OLD, NEW = "00003", "00012"


@pytest.fixture(scope="module")
def dives(tmp_path_factory):
    """Folder of two dives that have ended; one is of the first version of the log."""
    folder = tmp_path_factory.mktemp("aboard") / "dives"
    made = make_dive(folder / NEW, frames=(60, 10, 40), truth=False)
    shutil.rmtree(made / "messages")
    with DiveLog.open(made) as log:
        log.set_facts({"ended_ms": START_MS + 10**7})
    (folder.parent / "frames").mkdir()
    for i in range(40):
        cv2.imwrite(str(folder.parent / "frames" / f"{i:03d}.png"), scene(i % 3))
    (folder / OLD).mkdir()
    with sqlite3.connect(folder / OLD / "dive.sqlite") as db:
        db.executescript((GOLDEN / "divelog-1.sql").read_text(encoding="utf-8"))
    db.close()
    return folder


@pytest.fixture
def aboard(tmp_path, dives):
    folder = tmp_path / "float"
    folder.mkdir()
    with Cable() as cable:
        instrument = Instrument(folder, dives, cable)
        yield instrument
        instrument.stop()


def fetching(*arguments):
    """A process of `seston fetch`."""
    command = [sys.executable, "-c", "from tools.cli import main; main()", "fetch", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def fetch(*arguments):
    """Exit code, and what was said."""
    process = fetching(*arguments)
    out, error = process.communicate(timeout=120)
    return process.returncode, out + error


def listens(port):
    """Whether any process of this machine listens on a TCP port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


def test_what_is_aboard_comes_as_it_is_and_reads_as_aboard(aboard, tmp_path):
    port, out = aboard.cable.ashore, tmp_path / "out"
    code, said = fetch(port, "--out", out, "--list")
    assert code == 0, said
    assert "2025-03-04 12:00:00" in said
    assert not out.exists()
    code, said = fetch(port, "--out", out)
    assert code == 0, said
    assert "2 dives fetched." in said
    assert f"seston report {out / NEW}" in said
    for dive in (OLD, NEW):
        assert (out / dive / "dive.sqlite").read_bytes() == aboard.log(dive).read_bytes()
        assert not list((out / dive).glob("*.part"))
    with DiveLog.open(out / NEW) as log:
        assert log.messages() == list(plan_messages(log).messages) != []
        assert log.vignette_numbers()
    with DiveLog.open(out / OLD) as log:  # it becomes one of today
        assert log.meta("dive_number") == 7
        assert len(list(log.records())) > 0

    before = aboard.cable.to_shore_bytes
    code, said = fetch(port, "--out", out, "--all")
    assert (code, "0 dives fetched; 2 more were here." in said) == (0, True)
    assert aboard.cable.to_shore_bytes - before < 500
    code, said = fetch(port, "--out", tmp_path / "small", "--dive", 12, "--without-vignettes")
    assert code == 0, said
    with DiveLog.open(tmp_path / "small" / NEW) as log, DiveLog.open(out / NEW) as whole:
        assert log.messages() == whole.messages()
        assert not log.vignette_numbers()
    code, said = fetch(port, "--out", tmp_path / "small", "--dive", 12)
    assert "1 dive fetched." in said, "with its vignettes it is news"
    assert (tmp_path / "small" / NEW / "dive.sqlite").read_bytes() == aboard.log(NEW).read_bytes()
    code, said = fetch(port, "--out", out, "--dive", 99)
    assert (code, f"seston: {port}: has no dive 99; 3 to 12 are aboard, see --list." in said) == (2, True)


def test_killed_or_pulled_in_the_middle_it_goes_on_and_only_the_rest_comes(aboard, tmp_path):
    cable, out = aboard.cable, tmp_path / "out"
    size = aboard.log(NEW).stat().st_size
    cable.hold_after_bytes = 70_000
    process = fetching(cable.ashore, "--out", out, "--dive", 12, "--speed", 9600)
    parts = lambda: sum(file.stat().st_size for file in out.glob(f"{NEW}/*.part"))  # noqa: E731
    until(lambda: parts() >= 3 * 16_384, "the first parts come")
    process.kill()
    process.communicate()
    kept = parts()
    assert not (out / NEW / "dive.sqlite").exists()

    cable.hold_after_bytes, before = None, cable.to_shore_bytes
    cable.pull_after_bytes = before + 50_000
    code, said = fetch(cable.ashore, "--out", out, "--dive", 12, "--speed", 9600)
    assert code == 2
    assert "check cable and deck switch: the same command goes on from where it was" in said
    assert parts() > kept
    kept, before = parts(), cable.to_shore_bytes
    code, said = fetch(cable.ashore, "--out", out, "--dive", 12, "--speed", 9600)
    assert code == 0, said
    came = cable.to_shore_bytes - before
    assert size - kept < came < 1.05 * (size - kept) + 8000
    assert (out / NEW / "dive.sqlite").read_bytes() == aboard.log(NEW).read_bytes()


def test_a_line_that_turns_bits_brings_the_same_bytes(aboard, tmp_path):
    aboard.cable.flip = 2e-4
    code, said = fetch(aboard.cable.ashore, "--out", tmp_path / "out")
    assert code == 0, said
    for dive in (OLD, NEW):
        assert (tmp_path / "out" / dive / "dive.sqlite").read_bytes() == aboard.log(dive).read_bytes()


@pytest.mark.not_emulated("QEMU makes 0 baud of 921600")
@pytest.mark.parametrize(("highest", "found"), [(10**7, 921_600), (250_000, 230_400)])
def test_the_port_is_as_fast_as_the_cable_lets_it_and_its_own_speed_again_after(
    aboard, tmp_path, monkeypatch, highest, found
):
    aboard.cable.highest_baud = highest
    seen = set()

    def look(*_):
        seen.add(tuple(aboard.cable.speeds))

    monkeypatch.setattr("tools.fetch._advance", look)
    arguments = ["--out", str(tmp_path / "out"), "--dive", "12"]
    monkeypatch.setattr("tools.fetch.SPEEDS", (230_400,))
    with pytest.raises(SystemExit) as ended:
        main(["fetch", aboard.cable.ashore, *arguments])
    assert not ended.value.code
    assert seen == {(found, found)}
    assert (tmp_path / "out" / NEW / "dive.sqlite").read_bytes() == aboard.log(NEW).read_bytes()
    until(lambda: aboard.cable.speeds[0] == 9600, "nobody is heard any more")
    code, said = fetch(aboard.cable.ashore, "--list", "--out", tmp_path / "out")
    assert code == 0, said


def test_in_a_dive_nothing_is_sent_and_the_dive_goes_on(aboard, tmp_path):
    port, out = aboard.cable.ashore, tmp_path / "out"
    aboard.switch.touch()
    until(lambda: listens(aboard.tcp), "the switch is set")
    host_says(port, wire.Start(wire.Phase.DESCENT))
    until(lambda: "begins in descent by the host" in aboard.said(), "the dive begins")
    until(lambda: not listens(aboard.tcp), "a dive closes the port, though the switch is set")
    assert fetch(port, "--out", out) == (
        2, f"seston: {port}: is in a dive, and sends no logs; ask again when the dive has ended.\n",
    )  # fmt: skip
    assert "no host: pressure decides" in aboard.said()
    host_says(port, wire.Stop())
    until(lambda: "ended:" in aboard.said(), "the dive ends")
    code, said = fetch(port, "--out", out, "--dive", 13)
    assert code == 0, said
    with DiveLog.open(out / "00013") as log:
        assert log.messages() == list(plan_messages(log).messages)
        assert log.has_meta("ended_ms")
    until(lambda: listens(aboard.tcp), "the switch is still set")


def host_says(port, record):
    """A float takes the place of the reader on the line, and says something until it is heard."""
    peer = Peer(wire.Role.HOST, int(time.monotonic_ns() % 2**32) or 1)
    transport = open_transport(port, 9600)
    line = PortLine(peer, lambda: transport)
    peer.say(record)
    try:
        until(lambda: line.carry(0.05) is not None and not peer._records.holds(type(record)), record)
    finally:
        line.close()


def test_over_the_network_while_the_switch_is_set_and_never_otherwise(aboard, tmp_path):
    where, out = f"tcp:127.0.0.1:{aboard.tcp}", tmp_path / "out"
    assert fetch(aboard.cable.ashore, "--list")[0] == 0
    assert not listens(aboard.tcp)
    code, said = fetch(where, "--out", out)
    assert (code, "nobody answers" in said) == (2, True)

    aboard.switch.touch()
    until(lambda: listens(aboard.tcp), "the switch is set")
    assert f"the deck is open: logs are served on 127.0.0.1:{aboard.tcp}" in aboard.said()
    code, said = fetch(where, "--out", out)
    assert code == 0, said
    for dive in (OLD, NEW):
        assert (out / dive / "dive.sqlite").read_bytes() == aboard.log(dive).read_bytes()
    with socket.create_connection(("127.0.0.1", aboard.tcp)) as caller:
        aboard.switch.unlink()
        until(lambda: not listens(aboard.tcp), "the switch is not set")
        caller.settimeout(30)
        assert is_hung_up(caller)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", aboard.tcp))


def is_hung_up(caller):
    """Whether the other end closes the connection; what it had said before is read."""
    try:
        while caller.recv(4096):
            pass
    except ConnectionError:
        pass
    return True


def refused(capsys, *arguments):
    """What a command that ends with exit code 2 says."""
    with pytest.raises(SystemExit) as ended:
        main(["fetch", *map(str, arguments)])
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_nobody_there_is_a_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tools.fetching.HELLO_S", 0.2)
    with Cable() as cable:
        said = refused(capsys, cable.ashore)
        assert said.startswith(f"seston: {cable.ashore}: does not answer within 0 s; check cable, port and")
        assert refused(capsys, cable.ashore, "--dive", 1, "--new").startswith(
            "seston: --dive: does not go with"
        )
    assert "cannot be opened" in refused(capsys, tmp_path / "no-port")


@pytest.mark.parametrize("told", ["full before", "full in the middle"])
def test_a_disk_that_is_full_here_is_a_sentence(aboard, tmp_path, capsys, monkeypatch, told):
    if told == "full before":
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr("tools.fetch.shutil.disk_usage", lambda folder: usage._replace(free=1000))
        wanted = (
            "has 0 MB of room, and dive 3 needs 0; free some: the same command goes on from where it was."
        )
    else:

        def full(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("tools.fetching.sync_file", full)
        wanted = "out: has no room; free some: the same command goes on from where it was."
    assert wanted in refused(capsys, aboard.cable.ashore, "--out", tmp_path / "out")


def test_a_folder_with_another_dive_of_this_number_is_left_as_it_is(aboard, tmp_path, capsys):
    out = tmp_path / "out"
    code, said = fetch(aboard.cable.ashore, "--out", out, "--dive", 12)
    assert code == 0, said
    told = out / NEW / "fetched.json"
    told.write_text(told.read_text().replace(str(START_MS), str(START_MS + 86_400_000)))
    before = (out / NEW / "dive.sqlite").read_bytes()
    said = refused(capsys, aboard.cable.ashore, "--out", out)
    assert "holds another dive 12, of 2025-03-05 12:00:00, and this one is of 2025-03-04 12:00:00" in said
    assert (out / NEW / "dive.sqlite").read_bytes() == before
    told.write_text("{")
    assert "fetched.json: cannot be understood" in refused(capsys, aboard.cable.ashore, "--out", out)
