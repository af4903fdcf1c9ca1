"""`seston modem` and `seston uvp6 host` as people run them: real processes on real ptys."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from edge.divelog import DiveLog
from edge.frame import SIZED_OUTCOMES
from firmware_bridge.transport import PortLine, PtyTransport
from firmware_bridge.uvp6.cts5 import read_file
from firmware_bridge.uvp6.lines import BlackFrame, LpmFrame, TaxoFrame, read_frame
from firmware_bridge.uvp6.personality import Started
from tests.firmware_bridge.uvp6.test_uvp6 import BLACK_LINE, LPM_LINE, TAXO_LINE, Talk
from tests.tools.made_dive import make_dive
from tools.uvp6_instrument import logged_frames

COMMAND = [sys.executable, "-u", "-c", "from tools.cli import main; main()"]


@contextlib.contextmanager
def started(*arguments):
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def run(*arguments, seconds=60):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=seconds, check=False
    )


def test_messages_go_by_an_emulated_modem_to_a_receiver_and_orders_come_back(tmp_path):
    sent = [os.urandom(340), b"short"]
    for i, data in enumerate(sent):
        (tmp_path / f"{i}.bin").write_bytes(data)
    (tmp_path / "order.mt").write_bytes(b"order")
    fleet = tmp_path / "fleet"
    with started("receive", "--directip", 0, "--folder", fleet) as receiver:
        port = re.search(r"directip on \S+:(\d+)", next(iter(receiver.stdout.readline, "")))[1]
        options = ("--fast", "--out", tmp_path / "sbd", "--mt", tmp_path / "order.mt")
        with started("modem", "emulate", *options, "--directip", f"127.0.0.1:{port}") as modem:
            pty = re.search(r"modem on (\S+)", modem.stdout.readline())[1]
            files = tmp_path / "0.bin", tmp_path / "1.bin"
            done = run("modem", "send", pty, *files, "--received", tmp_path / "mt")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 delivered, 0 of 0 bytes wait, 1 came" in done.stdout
    assert {file.read_bytes() for file in (tmp_path / "sbd").glob("*.sbd")} == set(sent)
    assert (tmp_path / "mt" / "001.mt").read_bytes() == b"order"
    kept = [file.read_bytes() for file in fleet.rglob("*") if file.is_file() and file.stat().st_size <= 340]
    assert all(data in kept for data in sent)


@pytest.mark.slow
def test_an_emulated_9704_takes_long_messages_to_the_same_receiver(tmp_path):
    sent = [os.urandom(20_000), b"short"]
    for i, data in enumerate(sent):
        (tmp_path / f"{i}.bin").write_bytes(data)
    (tmp_path / "order.mt").write_bytes(b"order")
    fleet = tmp_path / "fleet"
    with started("receive", "--directip", 0, "--folder", fleet) as receiver:
        port = re.search(r"directip on \S+:(\d+)", next(iter(receiver.stdout.readline, "")))[1]
        options = ("--kind", "imt", "--fast", "--out", tmp_path / "sbd", "--mt", tmp_path / "order.mt")
        with started("modem", "emulate", *options, "--directip", f"127.0.0.1:{port}") as modem:
            pty = re.search(r"modem on (\S+)", modem.stdout.readline())[1]
            files = tmp_path / "0.bin", tmp_path / "1.bin"
            options = ("--kind", "imt", "--radio-s", 10, "--received", tmp_path / "mt")
            done = run("modem", "send", pty, *files, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 delivered, 0 of 0 bytes wait, 1 came" in done.stdout
    assert {file.read_bytes() for file in (tmp_path / "sbd").glob("*.sbd")} == set(sent)
    assert (tmp_path / "mt" / "001.mt").read_bytes() == b"order"
    kept = [file.read_bytes() for file in fleet.rglob("*.sbd")]
    assert sorted(kept) == sorted(sent)


@pytest.mark.parametrize(("words", "told"), [
    (("emulate", "--kind", "rudics"), "--kind rudics and --shore go together"),
    (("emulate", "--shore", "localhost:1"), "--kind rudics and --shore go together"),
    (("emulate", "--kind", "rudics", "--shore", "localhost"), "HOST:PORT is expected"),
    (("emulate", "--kind", "rudics", "--shore", "localhost:1", "--out", "x"), "are for sbd and imt"),
    (("send", "/dev/no-such-port", "--kind", "rudics"), "--kind rudics and --number go together"),
])  # fmt: skip
def test_what_does_not_go_together_is_told(words, told):
    done = run("modem", *words)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())


@pytest.mark.parametrize("size", [0, 341])
def test_a_file_that_no_session_takes_is_told_before_anything_is_sent(tmp_path, size):
    (tmp_path / "a.bin").write_bytes(b"x" * size)
    done = run("modem", "send", "/dev/no-such-port", tmp_path / "a.bin")
    assert done.returncode == 2
    assert "1 to 340 can be sent" in done.stderr
    (tmp_path / "a.bin").write_bytes(b"x")
    assert run("modem", "send", "/dev/no-such-port", tmp_path / "a.bin").returncode == 2


def test_a_host_leads_an_instrument_and_writes_what_it_sent(tmp_path):
    talk, sent, interrupted = Talk(), False, False
    with PtyTransport() as pty:
        line = PortLine(talk.uvp6, lambda: pty)
        options = ("--raw", tmp_path / "raw.txt", "--slices", tmp_path / "slices.csv")
        with started("uvp6", "host", pty.port, *options) as host:
            until = time.monotonic() + 30
            while host.poll() is None and time.monotonic() < until:
                for event in line.carry(0.05):
                    if isinstance(event, Started) and not sent:
                        sent = True
                        talk.uvp6.send_black(read_frame(BLACK_LINE))
                        for _ in range(3):
                            talk.uvp6.send_lit(read_frame(LPM_LINE), read_frame(TAXO_LINE))
                # Once: a second one may meet the interpreter on its way out, and then ends it otherwise.
                if sent and not interrupted and time.monotonic() > until - 27:
                    interrupted = True
                    host.send_signal(signal.SIGINT)
            said, _ = host.communicate(timeout=20)
    assert host.returncode == 0, said
    assert "3 lit blocs, 3 with objects, 1 black; 0 lines were malformed" in said
    assert "error 33" in said
    assert (tmp_path / "raw.txt").read_text().splitlines() == [BLACK_LINE, *[TAXO_LINE, LPM_LINE] * 3]
    rows = (tmp_path / "slices.csv").read_text().splitlines()
    assert len(rows) == 2, "three blocs of one slice"
    assert rows[1].startswith("20220223,040052,1554.09,3,23.69,99,0,12,")


def test_an_instrument_that_does_not_answer_is_told():
    with PtyTransport() as pty:
        done = run("uvp6", "host", pty.port, seconds=60)
    assert done.returncode == 1
    assert "no answer to $hwconfcheck;" in done.stdout


def test_host_and_instrument_together(tmp_path):
    dive = make_dive(tmp_path / "dive", frames=(60, 2, 30)) / "dive.sqlite"
    with started("uvp6", "instrument", dive, "--pty", "--speed", 500) as instrument:
        pty = re.search(r"UVP6 on (\S+)", instrument.stdout.readline())[1]
        files = (
            "--raw",
            tmp_path / "raw.txt",
            "--slices",
            tmp_path / "slices.csv",
            "--cts5",
            tmp_path / "cts5",
        )
        done = run("uvp6", "host", pty, *files, "--minutes", 0.2)
        instrument.send_signal(signal.SIGTERM)
        said, _ = instrument.communicate(timeout=20)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 lines were malformed" in done.stdout
    assert "92 frames; 0 lines were too many" in said
    frames = [read_frame(line) for line in (tmp_path / "raw.txt").read_text().splitlines()]
    lpm = [frame for frame in frames if isinstance(frame, LpmFrame)]
    taxo = [frame for frame in frames if isinstance(frame, TaxoFrame)]
    with DiveLog.open(dive) as log:
        logged = list(logged_frames(log))
    sized = [one for one in logged if one.record.outcome in SIZED_OUTCOMES]
    assert isinstance(frames[0], BlackFrame)
    assert len(taxo) == len(lpm)
    assert sum(frame.n_images for frame in lpm) == len(sized), "the last bloc goes though it is not full"
    assert sum(len(frame.objects) for frame in taxo) > 20
    lpm_file = read_file((tmp_path / "cts5" / "lpm.bin").read_bytes())
    assert sum(one.n_images for one in lpm_file.records) == sum(frame.n_images for frame in lpm)
    taxo_file = read_file((tmp_path / "cts5" / "taxo.bin").read_bytes())
    n_objects = sum(taxon.count for one in taxo_file.records for taxon in one.taxa)
    assert n_objects == sum(len(frame.objects) for frame in taxo)
    black = [frame for frame in frames if isinstance(frame, BlackFrame)]
    assert len(read_file((tmp_path / "cts5" / "black.bin").read_bytes()).records) == len(black)
    assert len((tmp_path / "slices.csv").read_text().splitlines()) == len(lpm_file.records) + 1


def test_an_instrument_needs_one_port(tmp_path):
    (tmp_path / "dive.sqlite").write_bytes(b"no log")
    done = run("uvp6", "instrument", tmp_path / "dive.sqlite")
    assert done.returncode == 2
    assert "either --pty or --port" in done.stderr
    done = run("uvp6", "instrument", tmp_path / "dive.sqlite", "--pty")
    assert done.returncode == 2
    assert "dive.sqlite" in done.stderr
    assert "Traceback" not in done.stderr
