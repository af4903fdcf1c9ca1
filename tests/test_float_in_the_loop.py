"""Firmware in the loop: the example float, on an emulated Cortex-M3, leads a real `seston run` in a dive.

Two programs and a line between them, nothing else: the firmware is what main.c says how to build, the
instrument is the command that runs aboard.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import time
import zlib

import cv2
import pytest

from edge.divelog import DiveLog
from edge.frame import Phase
from edge.logged import codebook_in
from edge.outbox import Outbox
from edge.telemetry.codebook import load_codebook
from edge.telemetry.decoder import decode_messages
from tests.edge.test_instrument import scene
from tests.firmware_bridge.test_example_float import firmware  # noqa: F401

pytestmark = pytest.mark.slow

CONFIG = """
bundle = "demo"
platform = "float in the loop"
[optics]
pixel_um = 73
image_volume_l = 0.6
threshold = 21
aa_um2 = 2300
exp = 1.136
[log]
frames_per_bloc = 4
[run]
deliver = "host"
[run.camera]
kind = "replay"
source = "{frames}"
frame_rate_hz = 20
[run.host]
kind = "native"
port = "tcp:127.0.0.1:{port}"
[run.pressure]
source = "host"
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process, seconds=20):
    """Until somebody listens: qemu takes no second caller, so it is only looked whether the port is taken."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return
        time.sleep(0.05)
    pytest.fail("the emulated float does not listen")


def test_the_float_leads_the_real_instrument_through_a_dive(firmware, tmp_path):  # noqa: F811
    frames = tmp_path / "frames"
    frames.mkdir()
    for i in range(400):
        cv2.imwrite(str(frames / f"{i:03d}.png"), scene(i % 7))
    port = free_port()
    config = tmp_path / "float.toml"
    config.write_text(CONFIG.format(frames=frames, port=port))
    qemu = subprocess.Popen(
        ["qemu-system-arm", "-M", "mps2-an385", "-display", "none", "-monitor", "none",
         "-serial", f"tcp:127.0.0.1:{port},server=on,wait=on", "-semihosting-config",
         "enable=on,target=native", "-kernel", str(firmware)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    instrument = None
    try:
        wait_for(port, qemu)
        command = [sys.executable, "-u", "-c", "from tools.cli import main; main()", "run"]
        instrument = subprocess.Popen(
            [*command, "--config", str(config), "--folder", str(tmp_path)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        told, _ = qemu.communicate(timeout=90)
        instrument.send_signal(signal.SIGTERM)
        said, _ = instrument.communicate(timeout=30)
    finally:
        for process in (qemu, instrument):
            if process is not None and process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                process.communicate()
    log = told.split("\n")
    assert (log[-2:], qemu.returncode) == (["power off", ""], 0), told + said
    assert instrument.returncode == 0, said
    with DiveLog.open(tmp_path / "dives" / "00000") as dive:
        records, messages = list(dive.records()), dive.messages()
        book = load_codebook((tmp_path / "messages" / f"codebook-{dive_book(dive)}.json").read_bytes())
        budget = dive.inputs("budget")[-1][1]
    # What the float took is what the instrument made, whole.
    assert [line for line in log if line.startswith("crc ")] == [
        f"crc {zlib.crc32(data)}" for data in messages
    ]
    assert budget["budget_bytes"] == 4000
    with Outbox(tmp_path / "dives" / "outbox.sqlite") as box:
        assert box.waiting() == []
    # Pressure, phases and time are the float's.
    assert {record.phase for record in records} == {Phase.DESCENT, Phase.PARK, Phase.ASCENT}
    pressures = [record.pressure_dbar for record in records if not math.isnan(record.pressure_dbar)]
    assert len(pressures) >= len(records) - 3, "the dive began before the float had told its pressure"
    assert max(pressures) == pytest.approx(200.0)
    assert all(record.time_ms >= 1_764_158_400_000 for record in records)
    (shore,) = decode_messages(messages, [book]).dives
    assert shore.is_complete
    assert shore.outcomes().sum() == len(records) > 20


def dive_book(dive):
    """The start of the codebook's hash, which names its file."""
    return codebook_in(dive).sha256[:12]
