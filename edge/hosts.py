"""Who commands the instrument: a float on the native link, or nobody, and then pressure alone decides.

A host is asked for what it said, and told what the instrument does. What it may decide is when a dive begins
and ends, its phases, time and budget; configuration and model only by what is signed (`edge.intake`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edge.divelog_schema import LoggedFrame
from edge.fetching import QUEUED, LogServer, Shelf
from edge.frame import Phase
from edge.intake import Intake, nothing_taken
from edge.mission import State
from edge.outbox import Queued
from edge.telemetry.health import HealthReading
from firmware_bridge import link_records as wire
from firmware_bridge.ctd import RateCheck, Reading
from firmware_bridge.link import (
    Delivered,
    Heard,
    ObjectReceived,
    Opened,
    Power,
    Refused,
    Silent,
    WrongVersion,
)
from firmware_bridge.link import Event as LinkEvent
from firmware_bridge.link import Peer as LinkPeer
from firmware_bridge.link_objects import MAX_QUEUED, LinkObject
from firmware_bridge.link_speed import SpeedKeeper
from firmware_bridge.link_wire import VISITOR, Kind
from firmware_bridge.sans_io import Line

VISITOR_GONE_S = 30.0
"""A visitor who says nothing for so long is not there any more."""
CEASED_S = 300.0
"""A host that told pressure and has not for so long is not there."""
KEEP_EVERY_S = 30.0
"""Time after which what has come of an update is kept, so that our reset costs no more."""
_NUMBERS, _TIMES = 1 << 24, 1 << 8


@dataclass(frozen=True, slots=True)
class PhaseSaid:
    """The host says which phase of the dive it is in; out of a dive, one begins."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class DiveBeginSaid:
    """The host says that a dive begins, and no more: pressure tells its phases."""


@dataclass(frozen=True, slots=True)
class DiveEndSaid:
    """The host says that the dive is over."""


@dataclass(frozen=True, slots=True)
class TimeSaid:
    """UTC now, milliseconds since 1970."""

    utc_ms: int


@dataclass(frozen=True, slots=True)
class BudgetSaid:
    """What the host will send of a dive: bytes in all, and the longest message."""

    budget_bytes: int
    message_bytes: int


@dataclass(frozen=True, slots=True)
class PowerWished:
    """The host wishes to cut power."""


@dataclass(frozen=True, slots=True)
class MessageTaken:
    """The host has a message for good."""

    dive: int
    part: int


@dataclass(frozen=True, slots=True)
class MessagesWanted:
    """A host that takes messages has come."""


@dataclass(frozen=True, slots=True)
class Noted:
    """Something for the log, in a sentence."""

    sentence: str


Said = (
    PhaseSaid | DiveBeginSaid | DiveEndSaid | TimeSaid | BudgetSaid | PowerWished | MessageTaken
    | MessagesWanted | Noted
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """How the instrument stands, for a host that asks."""

    state: State = State.STANDBY
    dive: int | None = None
    frames: int = 0
    messages_waiting: int = 0
    bytes_waiting: int = 0
    health: HealthReading = field(default_factory=HealthReading)


class Host(Protocol):
    """The other end of the line that commands the instrument."""

    @property
    def is_silent(self) -> bool:
        """Whether there is nobody who says when a dive begins and ends: then pressure decides."""

    @property
    def is_cutting(self) -> bool:
        """Whether power may be cut at any moment: nothing new is begun."""

    def poll(self, wait_s: float) -> Sequence[Said]:
        """Serve the line for at most so long, and back at once with what the host said."""

    def reading(self) -> Reading | None:
        """Pressure from the host, or None when there is none that is fresh and that can be (`RateCheck`)."""

    def stands(self, standing: Standing) -> None:
        """Tell how the instrument stands."""

    def offer(self, messages: Sequence[Queued]) -> Sequence[Queued]:
        """Hand messages over, those that are not on their way; `MessageTaken` tells when the host has one.

        Returns those that are on their way now and were not before.
        """

    def seen(self, frame: LoggedFrame) -> None:
        """A frame of the dive has its outcome."""

    def let_go(self) -> None:
        """All is on disk: power may be cut if the host wishes it."""

    def close(self) -> None:
        """Let the line go."""


class NoHost:
    """Nobody commands; pressure decides."""

    is_silent, is_cutting = True, False

    def __init__(self, sleep: Callable[[float], None]) -> None:
        self._sleep = sleep

    def poll(self, wait_s: float) -> Sequence[Said]:
        """Wait: nobody says anything."""
        self._sleep(wait_s)
        return ()

    def reading(self) -> Reading | None:
        """None: there is no host."""
        return None

    def stands(self, standing: Standing) -> None:
        """Nobody to tell."""

    def offer(self, messages: Sequence[Queued]) -> Sequence[Queued]:
        """Nobody to take them."""
        return ()

    def seen(self, frame: LoggedFrame) -> None:
        """Nobody to tell."""

    def let_go(self) -> None:
        """Nobody who asks."""

    def close(self) -> None:
        """Nothing to let go."""


class NativeHost:
    """A float on the native link (docs/link.md).

    Parameters
    ----------
    peer, line
        Our end of the link, and what carries its bytes.
    monotonic_s
        The clock that readings grow old by.
    stale_s
        A reading older than this is none.
    shelf
        Logs that may be asked for, also by a visitor, who commands nothing.
    intake
        Takes commands and updates, also a visitor's.
    own_baud
        Speed of the port, where it has one.
    """

    def __init__(
        self,
        peer: LinkPeer,
        line: Line[LinkEvent],
        monotonic_s: Callable[[], float],
        *,
        stale_s: float,
        shelf: Shelf | None = None,
        intake: Intake | None = None,
        own_baud: int = 0,
    ) -> None:
        self._peer, self._line = peer, line
        self._intake = intake or nothing_taken()
        self._keep_due_s = monotonic_s() + KEEP_EVERY_S
        self._logs = None if shelf is None else LogServer(peer, shelf)
        self._speed = SpeedKeeper(line, own_baud)
        self._visitor_frames, self._visitor_heard_s, self._is_intruded = 0, 0.0, False
        self._monotonic_s, self._stale_s = monotonic_s, stale_s
        self._reading: Reading | None = None
        self._read_s = self._told_s = 0.0
        self._rate = RateCheck()
        self._standing = Standing()
        self._offered: dict[int, tuple[int, int]] = {}
        self._is_lost = True

    @property
    def is_silent(self) -> bool:
        """See `Host`: the link notices it when something is not answered; else when pressure has ceased."""
        has_ceased = self._reading is not None and self._monotonic_s() - self._told_s > CEASED_S
        return self._is_lost or has_ceased

    @property
    def is_cutting(self) -> bool:
        """See `Host`."""
        return self._peer.power is Power.SAFE

    def poll(self, wait_s: float) -> Sequence[Said]:
        """See `Host`."""
        said: list[Said] = []
        if self._logs is not None:
            self._logs.go_on()
        self._speed.look(self._peer, self._monotonic_s())
        if self._is_visitor and self._visitor_has_gone():
            self._peer.begin_again(secrets.randbelow((1 << 32) - 1) + 1)
        for event in self._line.carry(wait_s):
            said += self._on(event)
            if self._logs is not None:
                self._logs.take(event)
            self._intake.take(self._peer, event)
        if self._monotonic_s() >= self._keep_due_s:
            self._keep_due_s = self._monotonic_s() + KEEP_EVERY_S
            self._intake.keep_partial(self._peer.partial)
        return said

    def reading(self) -> Reading | None:
        """See `Host`."""
        fresh = self._reading is not None and self._monotonic_s() - self._read_s <= self._stale_s
        return self._reading if fresh else None

    def stands(self, standing: Standing) -> None:
        """See `Host`."""
        self._standing = standing

    def offer(self, messages: Sequence[Queued]) -> Sequence[Queued]:
        """See `Host`; those that the link has no room for are to be offered again."""
        if self._is_visitor:
            return ()
        waiting = self._peer.waiting
        held = {item.object_id for item in waiting if item.kind == Kind.MESSAGE}
        room = MAX_QUEUED - QUEUED - len(waiting)
        added: list[Queued] = []
        for message in messages:
            object_id = message.number % _NUMBERS * _TIMES + message.asked % _TIMES
            if object_id in held or len(added) >= room:
                continue
            held.add(object_id)
            self._offered[object_id] = (message.dive, message.part)
            self._peer.send(LinkObject(Kind.MESSAGE, object_id, message.data))
            added.append(message)
        return added

    def seen(self, frame: LoggedFrame) -> None:
        """The link tells messages, not frames."""

    def close(self) -> None:
        """See `Host`."""
        self._line.close()

    def let_go(self) -> None:
        """See `Host`."""
        if self._peer.power in (Power.WISHED, Power.WAITING):
            self._peer.say(wire.PowerSafe())

    @property
    def _is_visitor(self) -> bool:
        """Whether the other end is none that commands, but somebody who asks for logs or brings an update."""
        told = self._peer.peer
        return told is not None and bool(told.capabilities) and not told.capabilities & ~VISITOR

    def _visitor_has_gone(self) -> bool:
        """Whether the visitor is silent, or who speaks now is none: a float that knows nothing of him.

        Then that float must begin a session anew, which it does when we have another boot id.
        """
        frames, now_s = self._peer.counts.frames, self._monotonic_s()
        if frames != self._visitor_frames or self._peer.waiting:
            self._visitor_frames, self._visitor_heard_s = frames, now_s
        return self._is_intruded or now_s - self._visitor_heard_s > VISITOR_GONE_S

    def _on(self, event: LinkEvent) -> list[Said]:
        if self._is_visitor and not isinstance(event, Opened):
            is_his = isinstance(
                event,
                wire.Fetch
                | wire.Speed
                | wire.Ask
                | ObjectReceived
                | Delivered
                | Refused
                | Heard
                | WrongVersion,
            )
            self._is_intruded = self._is_intruded or not is_his
        match event:
            case Opened() if self._is_visitor:
                self._is_lost, self._is_intruded = True, False
                return [Noted("a visitor is here, and no host: pressure decides")]
            case Silent() | Heard() if self._is_visitor:
                return []
            case Opened(_, was_reset):
                self._is_lost = False
                came = "the host was reset and is back" if was_reset else "the host is on the line"
                return [Noted(came), MessagesWanted()]
            case Silent():
                self._is_lost = True
                return [Noted("the host does not answer: pressure decides until it does")]
            case Heard():
                self._is_lost = False
                return [Noted("the host answers again")]
            case WrongVersion(version, lowest):
                return [Noted(f"the host speaks the link's versions {lowest} to {version}: none of ours")]
            case Delivered(item) | Refused(item) if item.kind == Kind.MESSAGE:
                taken = self._offered.pop(item.object_id, None)
                if taken is None or (isinstance(event, Refused) and self._is_visitor):
                    return []
                if isinstance(event, Refused):
                    return [
                        Noted(f"the host refuses message {taken[1]} of dive {taken[0]}: {event.reason.name}")
                    ]
                return [MessageTaken(*taken)]
            case ObjectReceived() | Delivered() | Refused():
                return []
            case _:
                return self._on_record(event)

    def _on_record(self, record: wire.Record) -> list[Said]:
        match record:
            case wire.Ctd(pressure_mdbar, temperature, salinity):
                now_s = self._told_s = self._monotonic_s()
                if not self._rate.accepts(pressure_mdbar / 1e3, now_s):
                    complaint = self._rate.complaint(now_s)
                    return [Noted(complaint)] if complaint else []
                self._reading = Reading(
                    pressure_mdbar / 1e3,
                    None if temperature is None else temperature / 1e4,
                    None if salinity is None else salinity / 1e4,
                )
                self._read_s = now_s
            case wire.TimeIs(utc_ms):
                return [TimeSaid(utc_ms)]
            case wire.Start(phase):
                return [PhaseSaid(PHASES[wire.Phase(phase)])]
            case wire.Stop():
                return [DiveEndSaid()]
            case wire.Budget(budget_bytes, message_bytes):
                return [BudgetSaid(budget_bytes, message_bytes)]
            case wire.PowerWish():
                return [PowerWished()]
            case wire.Speed(baud):
                self._speed.go_to(baud, self._monotonic_s())
            case wire.Ask(topic):
                self._answer(wire.Topic(topic))
        return []

    def _answer(self, topic: wire.Topic) -> None:
        now, told = self._standing, self._standing.health
        if topic is wire.Topic.UPDATES:
            return  # the intake's
        if topic is wire.Topic.HEALTH:
            self._peer.say(wire.Health(told.battery_mv, told.board_temperature_c, told.disk_free_mb))
            return
        self._peer.say(
            wire.Status(STATES[now.state], now.dive, now.frames, now.messages_waiting, now.bytes_waiting)
        )


PHASES = {
    wire.Phase.DESCENT: Phase.DESCENT,
    wire.Phase.PARK: Phase.PARK,
    wire.Phase.ASCENT: Phase.ASCENT,
}
STATES = {
    State.STANDBY: wire.DiveState.STANDBY,
    State.DESCENT: wire.DiveState.DESCENT,
    State.PARK: wire.DiveState.PARK,
    State.ASCENT: wire.DiveState.ASCENT,
    State.SURFACE: wire.DiveState.SURFACE,
    State.TRANSMIT: wire.DiveState.SURFACE,
    State.SELF_TEST: wire.DiveState.STANDBY,
    State.SLEEP: wire.DiveState.STANDBY,
}
