"""The example float, on an emulated Cortex-M3, leads the real instrument's end over TCP, from hello to dark.

The line of the second dive is bad, and the instrument starts again in the middle of it.
"""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import time
import zlib

import pytest

from firmware_bridge.errors import TransportError
from firmware_bridge.link import Delivered, Opened, Peer
from firmware_bridge.link_records import (
    Ask,
    Budget,
    Ctd,
    DiveState,
    Phase,
    PowerSafe,
    PowerWait,
    PowerWish,
    Role,
    Start,
    Status,
    Stop,
    TimeIs,
)
from firmware_bridge.null_modem import Faults
from firmware_bridge.transport import TcpTransport, serve
from tests.firmware_bridge.link_lines import messages
from tests.firmware_bridge.test_link_c import CORTEX_M3, LINK, SOURCES, STRICT, has_string_h, needed, run

pytestmark = pytest.mark.slow

PATIENCE_S = 60.0
MESSAGES = messages(5, 340)


@pytest.fixture(scope="module")
def firmware(tmp_path_factory):
    """The example, built as main.c says."""
    has_string_h(needed("arm-none-eabi-gcc", "qemu-system-arm"))
    built = tmp_path_factory.mktemp("float") / "float.elf"
    example = SOURCES / "example_float"
    run(
        "arm-none-eabi-gcc", *CORTEX_M3, *STRICT[:5], "-nostartfiles", "-T", str(example / "board.ld"),
        str(LINK), *map(str, sorted(example.glob("*.c"))), "-o", str(built),
    )  # fmt: skip
    return built


class BadLine:
    """A transport that damages what passes, both ways."""

    def __init__(self, transport, faults, seed):
        self._transport, self._faults, self._draw = transport, faults, random.Random(seed)

    def read(self):
        return self._faults.damage(self._transport.read(), self._draw)

    def room_bytes(self):
        return self._transport.room_bytes()

    def write(self, data):
        self._transport.write(self._faults.damage(data, self._draw))

    def wait(self, seconds):
        self._transport.wait(seconds)

    def close(self):
        self._transport.close()


class Instrument:
    """Answers as an instrument does; what it has heard and what is delivered survive its resets."""

    def __init__(self):
        self.boots, self.heard, self.delivered, self.state = 0, [], [], DiveState.STANDBY
        self.boot()

    def boot(self):
        self.boots += 1
        self.peer = Peer(Role.INSTRUMENT, self.boots)
        if self.state is DiveState.SURFACE:
            self._offer()

    def _offer(self):
        for item in MESSAGES:
            if item not in self.delivered:
                self.peer.send(item)

    def react(self, event):
        self.heard.append(event)
        match event:
            case Start(phase, 117):
                self.state = DiveState(phase)
            case Stop() if self.state is not DiveState.SURFACE:
                self.state = DiveState.SURFACE
                self._offer()
            case Delivered(item):
                self.delivered.append(item)
            case Ask():
                waiting = self.peer.waiting
                size = sum(len(item.data) for item in waiting)
                self.peer.say(Status(self.state, 3, 100, len(waiting), size))
            case PowerWish():
                self.peer.say(PowerWait(1))
                self.peer.say(PowerSafe())


def dive(firmware, instrument, faults=None, until=None):
    """One life of the float, and what it logged; `until` tells when the instrument is reset."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(20)
        port = listener.getsockname()[1]
        qemu = subprocess.Popen(
            ["qemu-system-arm", "-M", "mps2-an385", "-display", "none", "-monitor", "none",
             "-serial", f"tcp:127.0.0.1:{port}", "-semihosting-config", "enable=on,target=native",
             "-kernel", str(firmware)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            # The float closes the line when it is dark.
            with TcpTransport(listener.accept()[0], "float") as line, contextlib.suppress(TransportError):
                transport = line if faults is None else BadLine(line, faults, 1)
                give_up_s = time.monotonic() + PATIENCE_S
                while time.monotonic() < give_up_s and qemu.poll() is None:
                    resets = until is not None and instrument.boots == 1
                    serve(
                        instrument.peer, transport, instrument.react, poll_s=0.02,
                        stop=lambda r=resets: (r and until()) or time.monotonic() > give_up_s,
                    )  # fmt: skip
                    instrument.boot()
            # A dive that has not ended is not waited for.
            return qemu.communicate(timeout=5)[0].split("\n"), qemu.returncode
        finally:
            qemu.kill()
            qemu.communicate()


STATES = ["state 1", "state 2", "state 3", "state 4", "state 5"]


def of(log, *words):
    return [line for line in log if line.startswith(words)]


def test_a_dive_from_hello_to_dark(firmware):
    instrument = Instrument()
    log, code = dive(firmware, instrument)
    assert (log[-2:], code) == (["power off", ""], 0)
    assert of(log, "state") == STATES
    assert of(log, "message ", "crc") == [
        line for item in MESSAGES for line in (f"message {item.object_id}", f"crc {zlib.crc32(item.data)}")
    ]
    assert of(log, "damaged") == ["damaged 0"]
    assert instrument.delivered == MESSAGES
    heard = [event for event in instrument.heard if not isinstance(event, Ctd | Delivered | Ask)]
    assert isinstance(heard[0], Opened)
    assert heard[1] == Budget(4000, 340)
    assert isinstance(heard[2], TimeIs)
    assert heard[3] == Start(Phase.DESCENT, 117)
    assert heard[4:] == [Start(Phase.PARK, 117), Start(Phase.ASCENT, 117), Stop(), PowerWish(60)]
    pressures = [event.pressure_mdbar for event in instrument.heard if isinstance(event, Ctd)]
    assert len(pressures) > 15
    deepest = pressures.index(200_000)
    assert pressures[:deepest] == sorted(pressures[:deepest])
    assert pressures[deepest:] == sorted(pressures[deepest:], reverse=True)


def test_a_dive_on_a_bad_line_with_a_reset_of_the_instrument(firmware):
    instrument = Instrument()
    faults = Faults(flip=3e-3, lose=1e-3)
    log, code = dive(firmware, instrument, faults, until=lambda: len(instrument.delivered) == 2)
    assert (log[-2:], code) == (["power off", ""], 0)
    assert instrument.boots == 2
    assert of(log, "opened")[:2] == ["opened 0", "opened 1"]
    assert of(log, "message ") == [f"message {item.object_id}" for item in MESSAGES]
    assert of(log, "crc") == [f"crc {zlib.crc32(item.data)}" for item in MESSAGES]
    assert of(log, "damaged") != ["damaged 0"]
    assert sorted(item.object_id for item in instrument.delivered) == [0, 1, 2, 3, 4]
