"""The float's end in C99 against the vectors and lines of the one in Python: real compilers, sanitizers."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import firmware_bridge
from firmware_bridge.framing import encode_frame
from firmware_bridge.link import Delivered, ObjectReceived, Opened, Refused, Silent
from firmware_bridge.link_objects import LinkObject
from firmware_bridge.link_records import (
    Ask,
    PowerSafe,
    PowerWish,
    Reason,
    Role,
    Topic,
    pack_record,
)
from firmware_bridge.link_wire import Hello, pack
from firmware_bridge.null_modem import Faults, NullModem
from firmware_bridge.sans_io import NEVER_S
from tests.firmware_bridge.link_lines import Owner, messages
from tests.golden.make_link import FILE

SOURCES = Path(firmware_bridge.__file__).parent / "c"
LINK = SOURCES / "seston_link.c"
HARNESS = Path(__file__).parent / "link_harness.c"
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow"]
CORTEX_M3 = ["-mcpu=cortex-m3", "-mthumb", "-Os", "-ffunction-sections"]
NEVER_MS = 2**32 - 1
KEPT = json.loads(FILE.read_text(encoding="utf-8"))


def needed(*programs):
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    return programs[0]


def has_string_h(compiler):
    """Whether there is a libc beside a compiler, or the test is skipped: Debian packs them apart."""
    done = subprocess.run(
        [compiler, "-E", "-"], input="#include <string.h>", capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"{compiler} finds no string.h (libnewlib-arm-none-eabi?)")


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The harness, with the address and undefined-behaviour sanitizers where the compiler has them."""
    needed("cc")
    built = tmp_path_factory.mktemp("link") / "harness"
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    empty = tmp_path_factory.mktemp("empty") / "empty.c"
    empty.write_text("int main(void) { return 0; }\n")
    probe = ["cc", *checks, str(empty), "-o", str(empty.with_suffix(""))]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        checks = []
    run("cc", *STRICT[:5], "-g", "-O1", *checks, str(LINK), str(HARNESS), "-o", str(built))
    return str(built)


class Harness:
    """The program, as a peer of a simulated line."""

    def __init__(self, program):
        self._process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._now_s = 0.0
        self._sent = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        complaint = self._process.stderr.read()
        self._process.stdout.close()
        self._process.stderr.close()
        assert self._process.wait(10) == 0, complaint

    def do(self, command):
        """Lines that the program answers."""
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        lines = []
        while (line := self._process.stdout.readline().rstrip("\n")) != ".":
            if not line and self._process.poll() is not None:
                pytest.fail(self._process.stderr.read())
            lines.append(line)
        return lines

    def init(self, boot_id, max_object_bytes=65_536):
        assert self.do(f"init {boot_id} {max_object_bytes}") == []

    def say(self, record):
        return self.do(f"say {pack_record(record).hex()}")

    def send(self, item):
        self._sent[item.object_id] = item
        return self.do(f"send {item.kind} {item.object_id} {item.data.hex()}")

    def receive(self, data, now_s):
        self._now_s = now_s
        return [self._event(line) for line in self.do(f"hear {round(now_s * 1000)} {data.hex()}")]

    def to_send(self, limit_bytes):
        (said,) = self.do(f"take {limit_bytes}")
        return bytes.fromhex(said)

    def due_s(self):
        due_ms = int(self.do("due")[0])
        return NEVER_S if due_ms == NEVER_MS else (round(self._now_s * 1000) + due_ms) / 1000

    def _event(self, line):
        verb, *words = line.split()
        match verb:
            case "received":
                return ObjectReceived(LinkObject(int(words[0]), int(words[1]), bytes.fromhex(words[2])))
            case "delivered":
                return Delivered(self._sent[int(words[1])])
            case "refused":
                return Refused(self._sent[int(words[1])], Reason(int(words[2])))
            case "silent":
                return Silent()
        return line


@pytest.fixture
def host(program):
    with Harness(program) as harness:
        yield harness


# The source


@pytest.mark.parametrize("compiler", ["gcc", "clang", "arm-none-eabi-gcc"])
def test_no_compiler_complains(compiler, tmp_path):
    needed(compiler)
    has_string_h(compiler)
    run(compiler, *STRICT, "-Os", "-c", str(LINK), "-o", str(tmp_path / "link.o"))


def test_cppcheck_finds_nothing():
    checks = "--enable=warning,style,performance,portability"
    run(needed("cppcheck"), "--std=c99", checks, "--error-exitcode=1", "--quiet", str(SOURCES))


def test_it_needs_of_libc_string_h_alone():
    included = [line.split()[1] for line in LINK.read_text().splitlines() if line.startswith("#include")]
    included += [
        line.split()[1]
        for line in (SOURCES / "seston_link.h").read_text().splitlines()
        if line.startswith("#include")
    ]
    assert set(included) == {'"seston_link.h"', "<string.h>", "<stddef.h>", "<stdint.h>"}


def test_it_is_small_on_a_cortex_m3(tmp_path):
    has_string_h(needed("arm-none-eabi-gcc", "arm-none-eabi-size"))
    link, one_peer = tmp_path / "link.o", tmp_path / "peer.o"
    run("arm-none-eabi-gcc", *CORTEX_M3, *STRICT, "-c", str(LINK), "-o", str(link))
    source = tmp_path / "peer.c"
    source.write_text('#include "seston_link.h"\nsl_peer peer;\n')
    run("arm-none-eabi-gcc", *CORTEX_M3, "-I", str(SOURCES), "-c", str(source), "-o", str(one_peer))
    code, data, bss = sizes(link)
    assert 1000 < code + data < 8192
    assert bss == 0
    assert 500 < sum(sizes(one_peer)[1:]) < 1024


def sizes(file):
    return [int(cell) for cell in run("arm-none-eabi-size", str(file)).splitlines()[1].split()[:3]]


# The vectors


def opened(host):
    host.init(5)
    hello = pack(Hello(1, 1, Role.INSTRUMENT, True, 7, 5, 240, 1000, 15))
    assert host.receive(encode_frame(hello), 0.0) == ["opened 7 0"]
    return host


@pytest.mark.parametrize("vector", KEPT["streams"], ids=lambda vector: vector["is"])
def test_a_stream_is_cut_so(host, vector):
    opened(host).receive(bytes.fromhex(vector["bytes"]), 1.0)
    damaged = int(host.do("counts")[0].split()[0])
    assert damaged == vector["bodies"].count(None)


def test_what_the_instrument_may_say_is_readable(host):
    said = [v for v in KEPT["frames"] if v["from"] == "instrument"]
    # A float asks for no log, and not what runs.
    to_visitors = [v for v in said if "FetchRefused" in v["says"] or "Runs" in v["says"]]
    assert len(said) > 5 + len(to_visitors)
    host.init(5)
    for vector in said:
        host.receive(bytes.fromhex(vector["frame"]), 1.0)
    assert host.do("counts") == [f"0 {len(to_visitors)} 0"]


@pytest.mark.parametrize("vector", [v for v in KEPT["unreadable"] if v["from"] == "instrument"],
                         ids=lambda vector: vector["why"])  # fmt: skip
def test_what_must_be_ignored_is(host, vector):
    assert opened(host).receive(encode_frame(bytes.fromhex(vector["body"])), 1.0) == []
    assert host.do("counts") == ["0 1 0"]


@pytest.mark.parametrize("exchange", KEPT["exchanges"], ids=lambda exchange: exchange["name"])
def test_it_replays_an_exchange(host, exchange):
    host.init(exchange["boot_id"], exchange["max_object_bytes"])
    for step in exchange["steps"]:
        for command in step["does"]:
            assert host.do(command) == []
        assert host.do(f"hear {step['at_ms']} {step['hears']}") == step["events"]
        assert host.to_send(4096).hex() == step["says"]


# Lines


@pytest.mark.parametrize(
    "record",
    [
        "1004ffff",
        "1000ffff",
        "12000000010000",
        "1303",
        "0100010000000000000000",
        "02ffffb1df8000000080000000",
    ],
)
def test_what_cannot_be_said_is_refused(host, record):
    opened(host)
    host.to_send(100)
    assert host.do(f"say {record}") == ["no"]
    assert host.to_send(100) == b""


@pytest.mark.parametrize("seed", range(6))
def test_every_object_arrives_once_over_a_bad_line_and_resets(host, seed):
    bad = Faults(flip=2e-3, lose=1e-3, double=0.05, noise=0.02, delay_s=0.1, cuts=((20.0, 45.0),))
    up, down = messages(6, 400, seed), messages(1, 3000, seed + 50, kind=4)[0]
    instrument = Owner(Role.INSTRUMENT, up)
    received, ended = [], []
    host.init(100)
    host.send(down)
    line = NullModem((host, instrument.peer), baud=9600, faults=(bad, bad), seed=seed)

    def react(end, event):
        if end == 1:
            instrument.react(event)
        elif isinstance(event, ObjectReceived):
            received.append(event.item)
        elif isinstance(event, Delivered | Refused):
            ended.append(event.item)

    line.run(4.0 + seed, react)
    line.peers[1] = instrument.boot()
    line.run(line.now_s + 3.0, react)
    host.init(101)  # the float was reset: what it stored, and the part of a message, are kept
    if not ended:
        host.send(down)
    line.run(20_000.0, react, lambda: len(instrument.delivered) == len(up) and bool(ended))
    assert sorted(received, key=lambda item: item.object_id) == up
    assert instrument.received == [down]
    assert ended == [down]


def test_its_owner_may_refuse_at_every_point(host):
    items = [LinkObject(101 + n, n, bytes([n]) * 500) for n in range(4)]
    large = LinkObject(1, 9, bytes(70_000))
    instrument = Owner(Role.INSTRUMENT, [*items, large, *messages(1)])
    host.init(1)
    bad = Faults(lose=1e-3)
    line = NullModem((host, instrument.peer), baud=9600, faults=(bad, bad), seed=2)
    line.run(
        500.0,
        lambda end, event: instrument.react(event) if end else None,
        lambda: len(instrument.delivered) == 2 and len(instrument.refused) == 4,
    )
    assert instrument.refused == [
        (items[0], Reason.UNWANTED),
        (items[1], Reason.UNWANTED),
        (items[2], Reason.NO_ROOM),
        (large, Reason.TOO_LARGE),
    ]
    assert instrument.delivered == [items[3], *messages(1)]


def test_host_and_instrument_agree_to_cut_power(host):
    instrument = Owner(Role.INSTRUMENT)
    host.init(1)
    line = NullModem((host, instrument.peer), baud=9600)
    events = []
    line.run(5.0, lambda end, event: events.append(event) if end == 0 else instrument.react(event))
    assert host.say(PowerWish(9)) == []
    assert host.say(Ask(Topic.STATUS)) == []
    line.run(7.0, lambda end, event: instrument.react(event) if end else None)
    instrument.peer.say(PowerSafe())
    line.run(9.0, lambda end, event: events.append(event) if end == 0 else None)
    assert isinstance(instrument.events[0], Opened)
    assert instrument.events[1:] == [PowerWish(9), Ask(Topic.STATUS)]
    assert events[-1] == "record 23"
    assert host.do("counts") == ["0 0 3"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_bytes_and_frames_do_no_harm(host, seed):
    host.init(1, 100_000)
    (told,) = host.do(f"fuzz {seed} 40000")
    opened, moved, damaged = map(int, told.split()[1::2])
    assert opened > 20_000
    assert moved > 1_000
    assert damaged > 1_000
