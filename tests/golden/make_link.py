"""Writes link-1.json anew: `python -m tests.golden.make_link`, for a new version alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from firmware_bridge.framing import Deframer, encode_frame
from firmware_bridge.link import Delivered, Event, ObjectReceived, Opened, Peer, Refused
from firmware_bridge.link_objects import LinkObject
from firmware_bridge.link_records import (
    SPEC_OF_CLASS,
    Ask,
    Budget,
    Ctd,
    DiveState,
    Fetch,
    FetchRefused,
    Health,
    NoFetch,
    ObjectRefused,
    Phase,
    PowerSafe,
    PowerStays,
    PowerWait,
    PowerWish,
    Reason,
    Record,
    Role,
    Runs,
    Speed,
    Start,
    Status,
    Stop,
    TimeIs,
    Topic,
    pack_record,
)
from firmware_bridge.link_wire import (
    Body,
    Header,
    Hello,
    Kind,
    Numbered,
    Piece,
    Progress,
    RecordTaken,
    pack,
    unpack,
)

FILE = Path(__file__).parent / "link-1.json"
STEP_MS = 125
"""Binary fractions of a second: no rounding of times decides what is said."""
HOST, INSTRUMENT = Role.HOST, Role.INSTRUMENT
HOST_BOOT, INSTRUMENT_BOOT = 0x01020304, 0xA0B0C0D0

BODIES: tuple[tuple[Role, Body], ...] = (
    (HOST, Hello(1, 1, HOST, False, HOST_BOOT, 0, 240, 65_536, 15)),
    (INSTRUMENT, Hello(1, 1, INSTRUMENT, True, INSTRUMENT_BOOT, HOST_BOOT, 240, 4_194_304, 15)),
    (INSTRUMENT, Piece(0, 0, 0, Header.of(Kind.MESSAGE, 0x00030001, b"seston"), b"seston")),
    (INSTRUMENT, Piece(15, 255, 0xFEDCBA, None, bytes(range(9)))),
    (HOST, Piece(3, 7, 6, None, b"")),
    (HOST, Progress(1, 340)),
    (HOST, Progress(0, 0, go_back=0)),
    (HOST, Progress(255, 0xFFFFFF, go_back=15)),
    (HOST, RecordTaken(0)),
    (HOST, TimeIs(1_700_000_000_123)),
    (HOST, Ctd(1_003_250, -15_000, 350_001)),
    (HOST, Ctd(-120)),
    (HOST, Numbered(0, Start(Phase.DESCENT, 117))),
    (HOST, Numbered(1, Start(Phase.PARK))),
    (HOST, Numbered(2, Stop())),
    (HOST, Numbered(3, Budget(4000, 340))),
    (HOST, Numbered(4, Ask(Topic.HEALTH))),
    (HOST, Numbered(5, PowerWish(120))),
    (HOST, Numbered(255, PowerStays())),
    (HOST, Numbered(6, Fetch(None, 0, 0))),
    (HOST, Numbered(7, Fetch(12, 1, 0x0102_0304_0506))),
    (HOST, Numbered(8, Speed(921_600))),
    (INSTRUMENT, Numbered(0, Status(DiveState.ASCENT, 12, 70_000, 9, 3060))),
    (INSTRUMENT, Numbered(1, Status(DiveState.STANDBY, None, 0, 0, 0))),
    (INSTRUMENT, Numbered(2, Health(11_850, -2, 58_000))),
    (INSTRUMENT, Numbered(3, Health(None, None, None))),
    (INSTRUMENT, Numbered(4, PowerWait(20))),
    (INSTRUMENT, Numbered(5, PowerSafe())),
    (INSTRUMENT, Numbered(6, FetchRefused(12, 1, NoFetch.DIVING))),
    (INSTRUMENT, Numbered(7, FetchRefused(None, 0, NoFetch.DIVING))),
    (INSTRUMENT, Numbered(8, Runs(0x0DF51B9000F0E325, 0x2460F5CA0ACE0FFF, 1_780_000_000, 6, 65_535))),
    (INSTRUMENT, Numbered(9, Runs(0xCA469EBDA4687239, 0, None, 0, 0))),
    (INSTRUMENT, Numbered(6, ObjectRefused(2, Reason.TOO_LARGE))),
)

UNREADABLE = (
    (HOST, "00", "no body begins so"),
    (HOST, "4300", "no body begins so"),
    (HOST, "2100000000", "progress without go back has no tour"),
    (HOST, "20000000", "a place too short"),
    (HOST, "400010040000", "no phase 4"),
    (HOST, "4000100100", "a cycle too short"),
    (HOST, "4000", "no record"),
    (HOST, "40001100", "stop has no fields"),
    (HOST, "421100", "stop is numbered"),
    (HOST, "40000100000000000000", "time is a note"),
    (HOST, "42017fffffffffffffff", "a time after the year 10889"),
    (HOST, "4202006acfc18000000080000000", "a pressure of 7000.001 dbar"),
    (HOST, "400016000c010001000000000000", "an offset of 2 ** 48"),
    (HOST, "4000170000012b", "a speed of 299 baud"),
    (HOST, "400016000c01", "a fetch without its offset"),
    (HOST, "400023", "the host does not say that power is safe"),
    (INSTRUMENT, "400011", "the instrument does not say stop"),
    (INSTRUMENT, "100000000001000000010000000000000000", "an object without bytes"),
    (INSTRUMENT, "100000000001000000010100000000000000", "an object of 2 ** 24 bytes"),
    (INSTRUMENT, "1000000000010000000100000001", "half a header"),
    (INSTRUMENT, "01010101000102030400000000f0000100000000", "a host's role from the instrument"),
    (INSTRUMENT, "01010102000000000000000000f0000100000000", "boot id 0"),
    (INSTRUMENT, "0101020200a0b0c0d000000000f000010000000f", "lowest version above the highest"),
    (INSTRUMENT, "0101010200a0b0c0d0000000001f000010000000", "takes bodies of 31 bytes alone"),
    (INSTRUMENT, "400024000c0100", "reason 0 of a fetch"),
    (INSTRUMENT, "400016000c010000000000000000", "the instrument fetches nothing"),
    (INSTRUMENT, "4000302000", "reason 0"),
)


class Exchange:
    """A host and an instrument, one step after another; what the host hears and says is kept.

    Parameters
    ----------
    damage
        By number of the step, what is done to the bytes of one direction or both.
    """

    def __init__(self, name: str, damage: dict[tuple[str, int], Callable[[bytes], bytes]] | None = None):
        self.name = name
        self.host = Peer(HOST, HOST_BOOT, max_object_bytes=65_536)
        self.instrument = Peer(INSTRUMENT, INSTRUMENT_BOOT, max_object_bytes=65_536)
        self.steps: list[dict[str, Any]] = []
        self.reactions: dict[type[Record], Callable[[], None]] = {}
        self._damage = damage or {}
        self._n = 0
        self._to_instrument = b""
        self._does: list[str] = []

    def say(self, record: Record) -> None:
        """The host's owner says a record before the next step."""
        self.host.say(record)
        self._does.append(f"say {pack_record(record).hex()}")

    def send(self, item: LinkObject) -> None:
        """The host's owner sends an object before the next step: one at a time, as a float does."""
        self.host.send(item)
        self._does.append(f"send {item.kind} {item.object_id} {item.data.hex()}")

    def reset_instrument(self) -> None:
        """The instrument starts again, with another boot id; objects that wait are offered again."""
        waiting = self.instrument.waiting
        self.instrument = Peer(INSTRUMENT, self.instrument.boot_id + 1, max_object_bytes=65_536)
        for item in waiting:
            self.instrument.send(item)

    def run(self, seconds: float) -> Exchange:
        """Step on."""
        for _ in range(round(seconds * 1000 / STEP_MS)):
            self._step()
        return self

    def _step(self) -> None:
        now_ms = self._n * STEP_MS
        for event in self.instrument.receive(self._to_instrument, now_ms / 1000):
            if isinstance(event, ObjectReceived):
                if event.item.kind == Kind.CLIMATOLOGY:
                    self.instrument.refuse(event.item, Reason.UNWANTED)
                else:
                    self.instrument.stored(event.item)
            elif type(event) in self.reactions:
                self.reactions[type(event)]()
        heard = self._damaged("instrument", self.instrument.to_send(4096))
        events = []
        for event in self.host.receive(heard, now_ms / 1000):
            events.append(in_words(event))
            if isinstance(event, ObjectReceived):
                self.host.stored(event.item)
        said = self.host.to_send(4096)
        self._to_instrument = self._damaged("host", said)
        if heard or said or events or self._does:
            self.steps.append(
                {
                    "at_ms": now_ms,
                    "does": self._does,
                    "hears": heard.hex(),
                    "events": events,
                    "says": said.hex(),
                }
            )
        self._does = []
        self._n += 1

    def _damaged(self, end: str, data: bytes) -> bytes:
        return self._damage.get((end, self._n), bytes)(data)


def in_words(event: Event) -> str:
    """One line an event, as the C harness prints it."""
    match event:
        case Opened(peer, was_reset):
            return f"opened {peer.boot_id} {int(was_reset)}"
        case ObjectReceived(item):
            return f"received {item.kind} {item.object_id} {item.data.hex()}"
        case Delivered(item):
            return f"delivered {item.kind} {item.object_id}"
        case Refused(item, reason):
            return f"refused {item.kind} {item.object_id} {int(reason)}"
    if type(event) in SPEC_OF_CLASS:
        return f"record {pack_record(event).hex()}"  # type: ignore[arg-type]
    return type(event).__name__.lower()


def text(number: int, size: int) -> bytes:
    """Bytes of a test object, zeros among them."""
    return bytes((i * (number + 3) + i // 7) % 251 for i in range(size))


def message(number: int, size: int) -> LinkObject:
    """A message of the instrument."""
    return LinkObject(Kind.MESSAGE, 0x00030000 + number, text(number, size))


def dive() -> Exchange:
    """From the first hello to the cut: what an uneventful dive looks like."""
    exchange = Exchange("a dive")
    instrument = exchange.instrument
    exchange.reactions = {
        Ask: lambda: instrument.say(Status(DiveState.SURFACE, 3, 4100, 3, 700)),
        PowerWish: lambda: instrument.say(PowerWait(2)),
    }
    exchange.run(0.5)
    exchange.say(Budget(4000, 340))
    exchange.say(TimeIs(1_700_000_000_123))
    exchange.say(Start(Phase.DESCENT, 117))
    exchange.run(0.5)
    for pressure_dbar in (5, 10):
        exchange.say(Ctd(1000 * pressure_dbar, 123_400, 350_010))
        exchange.run(0.5)
    exchange.say(Start(Phase.ASCENT, 117))
    exchange.say(Stop())
    exchange.run(0.5)
    exchange.say(Ask(Topic.STATUS))
    for number, size in enumerate((340, 1, 359)):
        instrument.send(message(number, size))
    exchange.run(1.0)
    exchange.say(PowerWish(60))
    exchange.run(0.5)
    instrument.say(PowerSafe())
    return exchange.run(0.5)


def uploads() -> Exchange:
    """Objects from the host: taken, refused, too large."""
    exchange = Exchange("uploads")
    exchange.send(LinkObject(Kind.MODEL, 7, text(7, 1500)))
    exchange.run(1.5)
    exchange.send(LinkObject(Kind.CLIMATOLOGY, 8, text(8, 10)))
    exchange.run(1.0)
    exchange.send(LinkObject(Kind.COMMAND, 9, text(9, 240)))
    exchange.run(1.0)
    exchange.instrument.send(message(1, 65_537))
    exchange.instrument.send(message(2, 2))
    return exchange.run(1.0)


def losses() -> Exchange:
    """Lost and damaged bytes in both directions, and a long silence."""

    def flip(place: int) -> Callable[[bytes], bytes]:
        return lambda data: data[:place] + bytes(b ^ 4 for b in data[place : place + 1]) + data[place + 1 :]

    def nothing(data: bytes) -> bytes:
        return data[:0]

    damage: dict[tuple[str, int], Callable[[bytes], bytes]] = {
        ("host", 0): nothing,
        ("instrument", 9): flip(60),
        ("instrument", 10): flip(300),
        ("host", 11): nothing,
        ("instrument", 12): lambda data: data + data,
        ("instrument", 13): lambda data: b"\x11\x22" + data,
        **{(end, n): nothing for end in ("host", "instrument") for n in range(30, 200)},
    }
    exchange = Exchange("losses and silence", damage)
    exchange.run(1.0)
    for number in range(4):
        exchange.instrument.send(message(number, 700))
    exchange.send(LinkObject(Kind.MODEL, 7, text(7, 2000)))
    exchange.run(2.0)
    exchange.say(Start(Phase.PARK))
    exchange.run(1.0)
    exchange.say(Ask(Topic.HEALTH))
    exchange.run(50.0)
    exchange.send(LinkObject(Kind.COMMAND, 8, text(8, 20)))
    return exchange.run(1.0)


def resets() -> Exchange:
    """The instrument starts again in the middle of a message and of an upload."""
    exchange = Exchange("resets of the instrument", {("instrument", 12): lambda data: data[:90]})
    exchange.run(1.0)
    exchange.instrument.send(message(1, 3000))
    exchange.send(LinkObject(Kind.CONFIGURATION, 5, text(5, 3000)))
    exchange.run(0.5)
    exchange.say(PowerWish(10))
    exchange.reset_instrument()
    exchange.run(3.0)
    exchange.reset_instrument()
    exchange.instrument.send(message(1, 3000))
    return exchange.run(3.0)


def make() -> dict[str, Any]:
    """Everything that the file holds."""
    streams = (
        ("two frames", encode_frame(b"\x41\x00") + encode_frame(b"\x41\x01")),
        ("zeros before, between and after", b"\0\0" + encode_frame(b"\x41\x00") + b"\0\0"),
        ("garbage takes the frame that it touches", b"garbage" + encode_frame(b"\x41\x00") * 2),
        ("one bit turned in the CRC", encode_frame(b"\x41\x00")[:-2] + b"\x01\0" + encode_frame(b"\x41\x01")),
        ("longer than any frame", b"\xff" * 300 + b"\0" + encode_frame(b"\x41\x01")),
        ("longest body", encode_frame(bytes(range(240)))),
        ("a body of zeros", encode_frame(bytes(240))),
        ("a CRC without a body", bytes([3, 0xFF, 0xFF, 0])),
        ("ends in the middle", encode_frame(b"\x41\x00") + encode_frame(b"\x41\x01")[:-1]),
    )
    return {
        "frames": [
            {"from": role.name.lower(), "says": repr(unpack(pack(body), role)), "body": pack(body).hex(),
             "frame": encode_frame(pack(body)).hex()}
            for role, body in BODIES
        ],
        "streams": [
            {"is": words, "bytes": data.hex(),
             "bodies": [None if body is None else body.hex() for body in Deframer().feed(data)]}
            for words, data in streams
        ],
        "unreadable": [
            {"from": role.name.lower(), "body": body, "why": why} for role, body, why in UNREADABLE
        ],
        "exchanges": [
            {"name": exchange.name, "boot_id": HOST_BOOT, "max_object_bytes": 65_536,
             "capabilities": 15, "steps": exchange.steps}
            for exchange in (dive(), uploads(), losses(), resets())
        ],
    }  # fmt: skip


def main() -> None:
    """Write the file."""
    FILE.write_text(json.dumps(make(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
