"""Two ends of the native link on a simulated line, with owners who keep what a reset must not lose."""

from __future__ import annotations

import random

from firmware_bridge.link import Delivered, ObjectReceived, Peer, Refused, Role
from firmware_bridge.link_objects import LinkObject
from firmware_bridge.link_wire import Header
from firmware_bridge.null_modem import Faults, NullModem

CLEAN = Faults()


class Owner:
    """One end's owner: what it sends, and what it has for good, survive a reset of its peer."""

    def __init__(self, role, to_send=(), max_object_bytes=1 << 16):
        self.role, self.max_object_bytes = role, max_object_bytes
        self.to_send = list(to_send)
        self.received, self.delivered, self.refused, self.events = [], [], [], []
        self.boots = 0
        self.partial = None
        self.boot()

    def boot(self):
        """A new peer, as after a reset; it offers all that it does not know to be delivered."""
        self.boots += 1
        self.peer = Peer(
            self.role,
            1000 * self.role + self.boots,
            max_object_bytes=self.max_object_bytes,
            stored=[Header.of(item.kind, item.object_id, item.data) for item in self.received],
            partial=self.partial,
        )
        for item in self.to_send:
            if item not in self.delivered and item not in [refused for refused, _ in self.refused]:
                self.peer.send(item)
        return self.peer

    def react(self, event):
        self.events.append(event)
        match event:
            case ObjectReceived(item):
                self.received.append(item)
                self.peer.stored(item)
            case Delivered(item):
                self.delivered.append(item)
            case Refused(item, reason):
                self.refused.append((item, reason))


class Pair:
    """Host and instrument tied together."""

    def __init__(self, host=None, instrument=None, *, faults=(CLEAN, CLEAN), baud=9600, seed=0):
        self.host = host or Owner(Role.HOST)
        self.instrument = instrument or Owner(Role.INSTRUMENT)
        self.owners = (self.host, self.instrument)
        peers = (self.host.peer, self.instrument.peer)
        self.line = NullModem(peers, baud=baud, faults=faults, seed=seed)

    def reset(self, end, *, keep_partial=False):
        owner = self.owners[end]
        owner.partial = owner.peer.partial if keep_partial else None
        self.line.peers[end] = owner.boot()

    def run(self, seconds, stop=lambda: False, react=None):
        def both(end, event):
            self.owners[end].react(event)
            if react is not None:
                react(end, event)

        self.line.run(self.line.now_s + seconds, both, stop)

    def all_delivered(self):
        return all(len(owner.delivered) + len(owner.refused) == len(owner.to_send) for owner in self.owners)


def messages(count, size=340, seed=1, kind=1):
    draw = random.Random(seed)
    return [LinkObject(kind, number, draw.randbytes(size)) for number in range(count)]
