"""Brings a signed update to an instrument within reach, over its serial port or the deck's network port.

A visitor's end of the native link, as `tools.fetching`'s is: he brings what is signed, and commands nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from edge.telemetry.replies import Verdict
from firmware_bridge.link import Delivered, ObjectReceived, Refused
from firmware_bridge.link_objects import LinkObject
from firmware_bridge.link_records import Ask, Reason, Runs, Topic
from firmware_bridge.link_wire import VISITOR, Capability
from firmware_bridge.transport import PortLine, open_transport
from tools.fetching import GO_ON, SILENT_S, FetchError, Reader, visiting_peer

OUTCOME_S = 240.0
"""Longest time for an update to be tried and started; a dive makes it longer, and then nobody waits."""
ASK_EVERY_S = 1.0

_REFUSALS = {
    Reason.TOO_LARGE: ("takes nothing as large as this", "train a smaller model"),
    Reason.DAMAGED: ("got it damaged again and again", "check the cable"),
    Reason.UNWANTED: (
        "does not want it: it knows no key that signed it, or has had it",
        "look with seston update status, and at the keys that are installed (docs/keys.md)",
    ),
    Reason.NO_ROOM: ("has no room for it", "free its disk: fetch dives, and delete them"),
}


class UpdateError(FetchError):
    """An update cannot be brought, or not now."""


class Bringer:
    """Brings objects, and asks what runs.

    Parameters
    ----------
    port, baud
        Serial port and its speed, or tcp:HOST:PORT.
    """

    def __init__(self, port: str, baud: int) -> None:
        self._port = port
        own_baud = 0 if port.startswith("tcp:") else baud
        self._peer = visiting_peer(VISITOR)
        self._line = PortLine(self._peer, lambda: open_transport(port, baud))
        self._link = Reader(self._peer, self._line, port, own_baud=own_baud)

    def open(self) -> None:
        """Wait for the instrument; `FetchError` when nobody answers, or one that takes no updates."""
        self._line.carry(0.0)
        self._link.open()
        told = self._peer.peer
        if told is None or not told.capabilities & Capability.UPDATES:
            raise UpdateError("takes no updates", file=self._port, remedy="install a newer seston aboard")

    def hurry(self, bauds: Sequence[int]) -> None:
        """See `Reader.hurry`."""
        self._link.hurry(bauds)

    def close(self) -> None:
        """Leave the port at its own speed, and let it go."""
        self._link.close()
        self._line.close()

    def bring(self, items: Sequence[LinkObject], report: Callable[[int], None] = lambda came: None) -> None:
        """Bring objects, one after another; returns when the instrument has them all durably.

        Raises `UpdateError` when it refuses one, and when nothing is heard.
        """
        for item in items:
            self._peer.send(item)
        until_s, heard, done = time.monotonic() + SILENT_S, self._peer.counts.frames, 0
        while done < len(items):
            for event in self._link.carry():
                match event:
                    case Delivered():
                        done += 1
                    case Refused(_, reason):
                        problem, remedy = _REFUSALS[reason]
                        raise UpdateError(problem, file=self._port, remedy=remedy)
                    case ObjectReceived(item):
                        self._peer.refuse(item, Reason.UNWANTED)  # it is for the float, and waits for it
            report(sum(len(item.data) for item in items[:done]) + self._peer.arrived_bytes)
            if self._peer.counts.frames != heard:
                heard, until_s = self._peer.counts.frames, time.monotonic() + SILENT_S
            elif time.monotonic() > until_s:
                raise UpdateError("does not say anything any more", file=self._port, remedy=GO_ON)

    def runs(self, within_s: float = SILENT_S) -> Runs:
        """What runs aboard, and what became of the last update; waits for one that starts anew."""
        until_s, asked_s = time.monotonic() + within_s, 0.0
        while time.monotonic() < until_s:
            if self._peer.is_open and not self._line.fault and time.monotonic() - asked_s > ASK_EVERY_S:
                asked_s = time.monotonic()
                self._peer.say(Ask(Topic.UPDATES))
            for event in self._line.carry(0.2):
                if isinstance(event, Runs):
                    return event
        raise UpdateError(
            f"does not say what runs within {within_s:.0f} s", file=self._port,
            remedy="ask again with seston update status",
        )  # fmt: skip

    def outcome(self, counter: int, sha256: str, within_s: float = OUTCOME_S) -> tuple[Runs, bool]:
        """What becomes of an update that is aboard, and whether it runs; at last what is known by then."""
        mark, until_s = int(sha256[:16], 16), time.monotonic() + within_s
        while True:
            told = self.runs(max(until_s - time.monotonic(), SILENT_S))
            does_run = mark in (told.model, told.configuration)
            is_decided = told.counter != counter or told.verdict != Verdict.WAITS
            if does_run or is_decided or time.monotonic() > until_s:
                return told, does_run
            self._line.carry(ASK_EVERY_S)
