"""What is taken over a link, from whoever is at its other end: signed commands, and updates they announced.

Nothing here trusts a byte: a command carries its signature, an update has the SHA-256 that a command named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.arriving import Partial
from firmware_bridge.command_bodies import What
from firmware_bridge.link import Event, ObjectReceived, Peer
from firmware_bridge.link_objects import LinkObject
from firmware_bridge.link_records import Ask, Reason, Runs, Topic
from firmware_bridge.link_wire import Header, Kind


@dataclass(frozen=True, slots=True)
class Intake:
    """Who takes it, for every link of the instrument.

    Attributes
    ----------
    command
        Takes the bytes of a command; when it returns, they need not come again.
    wants
        Whether an update of this kind and length is waited for.
    update
        Keeps a whole update durably, or says why not.
    runs
        What runs, and what became of the last update.
    headers
        Objects that are here, newest last.
    partial, keep_partial
        What had come of an update before this start; and keeps what has come by now.
    """

    command: Callable[[bytes], None]
    wants: Callable[[int, int], bool]
    update: Callable[[LinkObject], Reason | None]
    runs: Callable[[], Runs]
    headers: Callable[[], list[Header]] = list
    partial: Callable[[], Partial | None] = lambda: None
    keep_partial: Callable[[Partial | None], None] = lambda partial: None

    def judge(self, header: Header) -> Reason | None:
        """Why an object is not wanted, by its header alone."""
        is_wanted = header.kind == Kind.COMMAND or self.wants(header.kind, header.length_bytes)
        return None if is_wanted else Reason.UNWANTED

    def take(self, peer: Peer, event: Event) -> None:
        """Take what the link says; events that are about something else change nothing."""
        match event:
            case ObjectReceived(item) if item.kind == Kind.COMMAND:
                self.command(item.data)
                peer.stored(item)
            case ObjectReceived(item):
                reason = self.update(item) if item.kind in tuple(What) else Reason.UNWANTED
                if reason is None:
                    peer.stored(item)
                else:
                    peer.refuse(item, reason)
            case Ask(Topic.UPDATES):
                peer.say(self.runs())


def nothing_taken() -> Intake:
    """The intake of an instrument that takes nothing."""
    return Intake(
        lambda data: None, lambda kind, length_bytes: False, lambda item: Reason.UNWANTED,
        lambda: Runs(0, 0, None, 0, 0),
    )  # fmt: skip
