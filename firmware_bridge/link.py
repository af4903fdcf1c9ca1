"""One end of the native link between a float, which is master, and the instrument: docs/link.md. Pure.

Not a judge of what it carries: commands, models and configurations arrive as bytes with a kind, and whoever
takes them checks their signature. Bodies are `link_wire`'s, records `link_records`', objects `link_objects`'.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from firmware_bridge.errors import MisuseError
from firmware_bridge.framing import MAX_BODY_BYTES, Deframer, encode_frame
from firmware_bridge.link_channel import RecordChannel, Retry
from firmware_bridge.link_objects import (
    WIDE_WINDOW_PIECES,
    WINDOW_PIECES,
    LinkObject,
    ObjectReceiver,
    ObjectSender,
    Reply,
)
from firmware_bridge.link_records import (
    SPEC_OF_CLASS,
    ObjectRefused,
    PowerSafe,
    PowerStays,
    PowerWait,
    PowerWish,
    Reason,
    Record,
    Role,
    Start,
    pack_record,
)
from firmware_bridge.link_wire import (
    LOWEST_VERSION,
    VERSION,
    Body,
    Capability,
    Header,
    Hello,
    Numbered,
    Piece,
    Progress,
    RecordTaken,
    pack,
    unpack,
)

HELLO_EVERY_S, LONGEST_HELLO_S = 1.0, 8.0
SILENT_AFTER_TRIES = 3
ALL_CAPABILITIES = Capability.MESSAGES | Capability.UPLOADS | Capability.CTD | Capability.POWER


class Power(enum.Enum):
    """Where both ends stand about cutting power."""

    STAYS = "stays"
    WISHED = "wished"
    WAITING = "waiting"
    SAFE = "safe"


POWER_AFTER: dict[tuple[Power, type[Record]], Power] = {
    **{(power, PowerWish): Power.WISHED for power in Power},
    **{(power, PowerStays): Power.STAYS for power in Power},
    **{(power, Start): Power.STAYS for power in Power},
    (Power.WISHED, PowerWait): Power.WAITING,
    (Power.WAITING, PowerWait): Power.WAITING,
    (Power.WISHED, PowerSafe): Power.SAFE,
    (Power.WAITING, PowerSafe): Power.SAFE,
}
"""What follows when either end says a record. An answer that is not here has no wish: it may not be said, and
who hears it does nothing."""
_POWER_RECORDS = {record for _, record in POWER_AFTER}


@dataclass(frozen=True, slots=True)
class Opened:
    """A session begins: all records said before are forgotten, so an owner says again what holds.

    `was_reset`: the other end had another boot id before. Objects go on by themselves.
    """

    peer: Hello
    was_reset: bool


@dataclass(frozen=True, slots=True)
class WrongVersion:
    """The other end speaks no version that is spoken here; no session begins."""

    version: int
    lowest_version: int


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing is answered; tries go on, seldom."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The other end is heard again."""


@dataclass(frozen=True, slots=True)
class ObjectReceived:
    """An object is whole and its CRC-32 right: the owner says `stored` or `refuse`."""

    item: LinkObject


@dataclass(frozen=True, slots=True)
class Delivered:
    """The other end has stored it for good."""

    item: LinkObject


@dataclass(frozen=True, slots=True)
class Refused:
    """The other end does not want it; it is not sent again."""

    item: LinkObject
    reason: Reason


Event = Opened | WrongVersion | Silent | Heard | ObjectReceived | Delivered | Refused | Record


@dataclass(slots=True)
class Counts:
    """Of this end, since its start."""

    frames: int = 0
    damaged: int = 0
    unreadable: int = 0
    timeouts: int = 0


class Peer:
    """One end. Keeps at most one object that arrives, the objects to send, and a record of each kind.

    Parameters
    ----------
    role
        Which end.
    boot_id
        Any number from 1 to 2 ** 32 - 1 that differs from the last boot's: a counter or a random number.
    capabilities
        What the owner cares for.
    max_object_bytes
        Larger objects are refused.
    stored
        Headers of objects stored before, newest last; the last 64 are known again and not taken twice.
    partial
        `partial` of the peer before the reset, if it was kept.
    judge
        Why an object is not wanted, by its header: it is refused before its bytes have come; None takes it.
    """

    def __init__(
        self,
        role: Role,
        boot_id: int,
        *,
        capabilities: int = ALL_CAPABILITIES,
        max_object_bytes: int = 1 << 22,
        stored: Iterable[Header] = (),
        partial: tuple[Header, bytes] | None = None,
        judge: Callable[[Header], Reason | None] = lambda header: None,
    ) -> None:
        if not 1 <= boot_id < 1 << 32:
            raise MisuseError(f"boot_id is {boot_id}; 1 to 4294967295 can be sent")
        self.role = role
        self.boot_id = boot_id
        self.counts = Counts()
        self.power = Power.STAYS
        self.is_open = False
        self._capabilities = capabilities
        self._now_s = 0.0
        self._deframer = Deframer()
        self._out = bytearray()
        self._peer: Hello | None = None
        self._refused_version: tuple[int, int] | None = None
        self._was_reset = False
        self._hello_pending = True
        self._hello_retry = Retry(HELLO_EVERY_S, LONGEST_HELLO_S)
        self._tries_in_vain = 0
        self._sender = ObjectSender()
        self._receiver = ObjectReceiver(max_object_bytes, stored, partial, judge)
        self._notes: dict[type[Any], Record] = {}
        self._records = RecordChannel()

    @property
    def peer(self) -> Hello | None:
        """What the other end last said of itself."""
        return self._peer

    @property
    def waiting(self) -> tuple[LinkObject, ...]:
        """Objects that the other end has not stored yet, in order."""
        return self._sender.waiting

    @property
    def partial(self) -> tuple[Header, bytes] | None:
        """What has arrived of an object that is not whole, to be kept over a reset; None without one."""
        return self._receiver.partial

    @property
    def arrived_bytes(self) -> int:
        """Of the first object that waits: how much of it has arrived at the other end."""
        return self._sender.arrived_bytes

    def say(self, record: Record) -> None:
        """Say a record. One of the same kind that has not gone out yet is replaced; the newest is true.

        Time and CTD are not acknowledged, and fall away while no session is open; all others go on until they
        are acknowledged or a session begins anew.
        """
        spec = SPEC_OF_CLASS[type(record)]
        if spec.sender is not self.role:
            raise MisuseError(f"{type(record).__name__} is not said by the {self.role.name.lower()}")
        pack_record(record)
        if type(record) in _POWER_RECORDS:
            power = POWER_AFTER.get((self.power, type(record)))
            if power is None:
                raise MisuseError(f"{type(record).__name__} while power {self.power.value}: nobody asked")
            self.power = power
        if spec.acknowledged:
            self._records.add(record)
        elif self.is_open:
            self._notes[type(record)] = record

    def has_told(self, kind: type[Record]) -> bool:
        """Whether no record of a class waits for its acknowledgement."""
        return not self._records.holds(kind)

    def send(self, item: LinkObject) -> None:
        """Queue an object, in a session or before it; `Delivered` or `Refused` tells its end."""
        self._sender.add(item)

    def stored(self, item: LinkObject) -> None:
        """The owner has a received object for good: the other end may forget it."""
        self._receiver.stored(item.kind, item.object_id)

    def refuse(self, item: LinkObject, reason: Reason) -> None:
        """The owner does not want a received object."""
        self._receiver.refuse(item.kind, item.object_id, reason)
        self._tell_refusal()

    def line_is_back(self, now_s: float) -> None:
        """The line was away and is there again: what waits for an answer is tried at once."""
        self._now_s = max(self._now_s, now_s)
        for retry in (self._hello_retry, self._records.retry, self._sender.retry):
            retry.hurry(self._now_s)

    def begin_again(self, boot_id: int) -> None:
        """Be as after a reset, with another boot id: whoever is on the line now begins a session anew.

        For an end that has spoken with somebody else meanwhile, of whom the one before knows nothing.
        """
        self.boot_id, self._peer, self.is_open = boot_id, None, False
        self.power = Power.STAYS
        self._notes.clear()
        self._records.restart()
        self._sender.restart(0)
        self._receiver.restart()
        self._hello_retry.forget()
        self._hello_pending = True

    def receive(self, data: bytes, now_s: float) -> Sequence[Event]:
        """Take what arrived; see `sans_io.Peer`."""
        self._now_s = max(self._now_s, now_s)
        events: list[Event] = []
        for body in self._deframer.feed(data):
            if body is None:
                self.counts.damaged += 1
                if self.is_open:
                    self._receiver.on_damage()
                continue
            read = unpack(body, self.role.other)
            if read is None:
                self.counts.unreadable += 1
                continue
            self.counts.frames += 1
            if isinstance(read, Hello):
                events += self._on_hello(read)
            elif self.is_open:
                events += self._on_heard() + self._on_body(read)
        return events + self._on_time()

    def to_send(self, limit_bytes: int) -> bytes:
        """Take what is to be sent; see `sans_io.Peer`."""
        while len(self._out) < limit_bytes:
            body = self._next_body()
            if body is None:
                break
            if isinstance(body, Hello):
                self._out += b"\x00"  # ends whatever the line or an earlier boot has left with the other end
            self._out += encode_frame(pack(body))
        taken = bytes(self._out[:limit_bytes])
        del self._out[: len(taken)]
        return taken

    def due_s(self) -> float:
        """When `receive` must be called; see `sans_io.Peer`."""
        if not self.is_open:
            return self._hello_retry.due_s
        return min(self._records.retry.due_s, self._sender.retry.due_s)

    # What arrives

    def _on_hello(self, hello: Hello) -> list[Event]:
        if hello.lowest_version > VERSION or hello.version < LOWEST_VERSION:
            versions = hello.version, hello.lowest_version
            events: list[Event] = [] if versions == self._refused_version else [WrongVersion(*versions)]
            self._refused_version = versions
            return events
        if self._peer is None or self._peer.boot_id != hello.boot_id:
            self._begin_anew(hello)
        events = self._on_heard()
        opens = hello.peer_boot_id == self.boot_id
        if opens and not self.is_open:
            self.is_open = True
            self._hello_retry.forget()
            events.append(Opened(hello, self._was_reset))
        if not (opens and hello.is_open):
            self._hello_pending = True
        return events

    def _begin_anew(self, hello: Hello) -> None:
        self._was_reset = self._peer is not None
        self._peer = hello
        self.is_open = False
        self._hello_retry.forget()
        is_wide = hello.capabilities & self._capabilities & Capability.LOGS
        self._sender.restart(
            min(hello.max_body_bytes, MAX_BODY_BYTES), WIDE_WINDOW_PIECES if is_wide else WINDOW_PIECES
        )
        self._receiver.restart()
        if self._was_reset:
            self.power = Power.STAYS
            self._notes.clear()
            self._records.restart()

    def _on_heard(self) -> list[Event]:
        was_silent = self._tries_in_vain >= SILENT_AFTER_TRIES
        self._tries_in_vain = 0
        if not was_silent:
            return []
        # The line is back: no need to wait for the end of a long back-off.
        self._records.retry.hurry(self._now_s)
        self._sender.retry.hurry(self._now_s)
        return [Heard()]

    def _on_body(self, body: Body) -> list[Event]:
        match body:
            case Piece():
                item = self._receiver.on_piece(body)
                self._tell_refusal()
                return [] if item is None else [ObjectReceived(item)]
            case Progress():
                return [Delivered(item) for item in self._sender.on_progress(body, self._now_s)]
            case RecordTaken():
                if isinstance(self._records.on_taken(body.number), ObjectRefused):
                    self._receiver.refusal_known()
                return []
            case Numbered():
                record = self._records.on_numbered(body)
                return [] if record is None else self._on_record(record)
            case Hello():
                return []
            case _:
                return [body]

    def _on_record(self, record: Record) -> list[Event]:
        if isinstance(record, ObjectRefused):
            item = self._sender.on_refused(record.transfer)
            return [] if item is None else [Refused(item, record.reason)]
        if type(record) in _POWER_RECORDS:
            power = POWER_AFTER.get((self.power, type(record)))
            if power is None:
                return []
            self.power = power
        return [record]

    def _on_time(self) -> list[Event]:
        if not self.is_open:
            if self._hello_retry.due_s <= self._now_s:
                self._hello_retry.fail()
                self._hello_pending = True
            return []
        before = self.counts.timeouts
        if self._records.retry.due_s <= self._now_s:
            self._records.on_due()
            self.counts.timeouts += 1
        if self._sender.retry.due_s <= self._now_s:
            self._sender.on_due()
            self.counts.timeouts += 1
        if self.counts.timeouts == before:
            return []
        self._tries_in_vain += 1
        return [Silent()] if self._tries_in_vain == SILENT_AFTER_TRIES else []

    # What is to be sent

    def _next_body(self) -> Body | None:
        """The most urgent body; composed when there is room for it on the line, so never stale."""
        if self._hello_pending:
            self._hello_pending = False
            if not self.is_open:
                self._hello_retry.start(self._now_s)
            return self._hello()
        if not self.is_open:
            return None
        if self._receiver.reply is not Reply.NOTHING:
            return self._receiver.answer()
        told = self._records.next_body(self._now_s)
        if told is not None:
            return told
        if self._notes:
            return self._notes.pop(min(self._notes, key=lambda note: SPEC_OF_CLASS[note].number))
        return self._sender.next_piece(self._now_s)

    def _hello(self) -> Hello:
        return Hello(
            VERSION, LOWEST_VERSION, self.role, self.is_open, self.boot_id,
            0 if self._peer is None else self._peer.boot_id,
            MAX_BODY_BYTES, self._receiver.max_object_bytes, self._capabilities,
        )  # fmt: skip

    def _tell_refusal(self) -> None:
        """Once: a refusal goes as a record, so that no object counts as stored that was not."""
        reason = self._receiver.refusing
        if reason is not None and not self._records.holds(ObjectRefused):
            self._records.add(ObjectRefused(self._receiver.transfer, reason))
