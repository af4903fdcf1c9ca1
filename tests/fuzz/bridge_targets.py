"""What is fuzzed of the ground floor: every port takes any bytes, in any pieces, at any times.

An input is pieces, each with a byte before it that says how much later it comes. Whatever comes, nothing is
raised, what waits to be sent stays bounded, and what is believed carries a checksum or a signature.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.fetching import QUEUED, LogServer, Shelf
from firmware_bridge.command_bodies import Reset, Role
from firmware_bridge.commands import Command, Verified, address_of, read_command, sign_command
from firmware_bridge.framing import encode_frame
from firmware_bridge.iridium.directip import (
    MoMessage,
    read_confirmation,
    read_mo,
    read_mt,
    read_mt_confirmation,
    write_mo,
    write_mt,
)
from firmware_bridge.iridium.driver import Driver
from firmware_bridge.iridium.emulator import SbdModem
from firmware_bridge.iridium.imt import ImtDriver
from firmware_bridge.iridium.imt_emulator import ImtModem
from firmware_bridge.iridium.rudics import RudicsDriver
from firmware_bridge.iridium.rudics_emulator import Dialled, RudicsModem
from firmware_bridge.iridium.sbd import SbdDriver
from firmware_bridge.iridium.sbd_words import Attempt, CyclePower
from firmware_bridge.link import ObjectReceived, Peer
from firmware_bridge.link_logs import End as LogEnd
from firmware_bridge.link_logs import (
    Part,
    Row,
    pack_end,
    pack_list,
    pack_part,
    unpack_end,
    unpack_list,
    unpack_part,
)
from firmware_bridge.link_records import DiveState, Fetch, Status
from firmware_bridge.link_records import Role as End
from firmware_bridge.link_wire import Hello, Numbered, Progress, pack
from firmware_bridge.uvp6.cts5 import decode as decode_cts5
from firmware_bridge.uvp6.host import Host
from firmware_bridge.uvp6.lines import ACQ_FIELDS, HW_FIELDS, Configuration, Generation, Instant
from firmware_bridge.uvp6.personality import Personality
from tests.fuzz.inputs import Reader, joined

UNIT = "float 17"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEYS = {Role.UNIT: PRIVATE.public_key().public_bytes_raw()}
MOST_TO_SEND_BYTES = 200_000


def timed(data: bytes) -> Iterator[tuple[float, bytes]]:
    """Pieces with the time at which they come."""
    now_s = 0.0
    for piece in Reader(data).pieces():
        now_s += (piece[0] if piece else 0) ** 2 / 100
        yield now_s, piece[1:]


def link(data: bytes) -> None:
    """Both ends of the native link hear the same."""
    ends = [Peer(role, 7, max_object_bytes=4096) for role in End]
    for now_s, piece in timed(data):
        for end in ends:
            for event in end.receive(piece, now_s):
                if isinstance(event, ObjectReceived):
                    assert len(event.item.data) <= 4096
                    end.stored(event.item)
            assert len(end.to_send(1 << 20)) < MOST_TO_SEND_BYTES


@functools.cache
def shelf() -> Shelf:
    """One dive of 50 bytes, and a file that is none's."""
    folder = Path(tempfile.mkdtemp(prefix="seston-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "dives/00001").mkdir(parents=True)
    (folder / "dives/00001/dive.sqlite").write_bytes(bytes(range(50)))
    (folder / "secret").write_bytes(b"secret")
    return Shelf(folder / "dives", lambda: False)


def logs(data: bytes) -> None:
    """Bodies in good frames of an open session ask for logs; and the other end reads them as answers."""
    peer = Peer(End.INSTRUMENT, 7, capabilities=31)
    peer.receive(encode_frame(pack(Hello(1, 1, End.HOST, True, 9, 7, 240, 1 << 22, 16))), 0.0)
    server = LogServer(peer, shelf())
    for now_s, piece in timed(data):
        for event in peer.receive(encode_frame(piece[:240] or b"\0"), now_s):
            server.take(event)
        assert len(peer.waiting) <= QUEUED
        assert b"secret" not in peer.to_send(1 << 20)
        rows, part, end = unpack_list(piece), unpack_part(piece), unpack_end(piece)
        assert rows is None or unpack_list(pack_list(rows)) == rows
        assert part is None or part.offset_bytes + len(part.data) <= part.size_bytes
        assert end is None or pack_end(end) == piece


def modem(data: bytes) -> None:
    """The drivers hear it as their modem's words, the modems as a driver's."""
    drivers: tuple[Driver, ...] = SbdDriver(), ImtDriver(), RudicsDriver("0088160000500", 7)
    emulated, json_modem, caller = SbdModem(), ImtModem(), RudicsModem()
    for driver in drivers:
        driver.send(1, b"x" * 340)
        driver.check_mailbox()
    for now_s, piece in timed(data):
        for driver in drivers:
            for event in driver.receive(piece, now_s):
                if isinstance(event, Attempt):
                    driver.recorded()
                elif isinstance(event, CyclePower):
                    driver.powered()
        emulated.receive(piece, now_s)
        json_modem.receive(piece, now_s)
        for call in caller.receive(piece, now_s):
            if isinstance(call, Dialled):
                caller.connected()
        caller.from_shore(piece)
        for peer in (*drivers, emulated, json_modem, caller):
            assert len(peer.to_send(1 << 20)) < MOST_TO_SEND_BYTES


def uvp6(data: bytes) -> None:
    """A host's commands, and an instrument's lines."""
    latest = Generation.V2022_02
    hardware = Configuration("HW_CONF", latest, dict.fromkeys(HW_FIELDS[latest], "1"))
    acquisition = Configuration("ACQ_CONF", latest, dict.fromkeys(ACQ_FIELDS[latest], "1"))
    ours = Personality(hardware, {"1": acquisition}, {}, lambda: Instant(2026, 1, 2, 3, 4, 5))
    host = Host("1")
    for now_s, piece in timed(data):
        for peer in (ours, host):
            peer.receive(piece, now_s)
            assert len(peer.to_send(1 << 20)) < MOST_TO_SEND_BYTES
    for kind in (0x1B, 0x1C, 0x1D):
        decode_cts5(data, kind)


def packets(data: bytes) -> None:
    """What comes over a network or a satellite: only what is signed is a command."""
    for piece in Reader(data).pieces():
        found = read_command(piece, UNIT, KEYS)
        if isinstance(found, Verified):
            assert sign_command(found.command, PRIVATE) == piece
        for read in (read_mo, read_mt, read_mt_confirmation, read_confirmation):
            read(piece)


BRIDGE_TARGETS = {"link": link, "logs": logs, "modem": modem, "uvp6": uvp6, "packets": packets}


def bridge_seeds(target: str) -> list[bytes]:
    """Good input to begin with."""
    if target == "link":
        ends = [Peer(role, 7) for role in End]
        body = pack(Numbered(1, Status(DiveState.STANDBY, None, 0, 0, 0)))
        hellos = [end.to_send(1000) for end in ends]
        return [joined([b"\x01" + hello for hello in hellos]), joined([b"\x01" + encode_frame(body)])]
    if target == "logs":
        asked = [Fetch(None, 0, 0), Fetch(1, 1, 3), Fetch(1, 2, 0), Fetch(2, 4, 1 << 40)]
        told = [pack_list([Row(1, 1, 50, b"12345678", None, 0, False)])]
        told += [
            pack_part(Part(1, 1, b"12345678", 50, 3, b"abc")),
            pack_end(LogEnd(1, 1, b"12345678", 50, bytes(32))),
        ]
        bodies = [pack(Numbered(n, record)) for n, record in enumerate(asked)]
        bodies += [pack(Progress(n, 0)) for n in range(1, 4)]
        return [joined([b"\x01" + body for body in bodies]), joined([b"\x01" + one for one in told])]
    if target == "modem":
        lines = [b"\r\nOK\r\n", b"\r\n+SBDS: 0, 7, 0, -1\r\n\r\nOK\r\n", b"\r\n+CSQ:4\r\n\r\nOK\r\n"]
        lines += [b"\r\nREADY\r\n", b"\r\n0\r\n\r\nOK\r\n", b"\r\n+SBDIX: 0, 7, 1, 3, 5, 0\r\n\r\nOK\r\n"]
        lines += [b"\x00\x05hello\x02\x14\r\nOK\r\n", b"AT+SBDWB=5\r", b"hello\x02\x14", b"AT+SBDIX\r"]
        words = [b"AT\rATE0\rATDT1\r", b"\r\nCONNECT 9600\r\n", b"+++", b"ATH\r", b"\r\nNO CARRIER\r\n"]
        told = [b'200 apiVersion {"supported_versions": [{"major": 1, "minor": 7, "patch": 0}]}\r']
        told += [
            f"200 {target} {{}}\r".encode() for target in ("apiVersion", "simConfig", "operationalState")
        ]
        told += [b'299 constellationState {"constellation_visible": true, "signal_bars": 4}\r']
        told += [b'200 messageOriginate {"topic_id": 244, "request_reference": 1, "message_id": 1}\r']
        told += [b"GET apiVersion {}\r", b'PUT operationalState {"state": "active"}\r']
        seeds = [joined([b"\x20" + line for line in found]) for found in (lines, words, told)]
        return [*seeds, joined([b"\x01" + b"".join(lines)])]
    if target == "uvp6":
        words = [b"$hwconfcheck;", b"$start:1,20260102,030405;", b"$stop;$stop;", b"$starterr:33;$stopack;"]
        return [joined([b"\x01" + word for word in words])]
    command = sign_command(Command(address_of(UNIT), 7, Reset()), PRIVATE)
    imei = "300234010753370"
    return [joined([command]), joined([write_mo(MoMessage(imei, 1, 2, b"abc")), write_mt(imei, b"abc")])]
