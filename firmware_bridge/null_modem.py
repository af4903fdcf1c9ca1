"""Two peers on one simulated line, on a simulated clock: loses, flips, doubles, delays and cuts, from a seed.

Not a transport: nothing is opened and nobody waits; ten days at sea pass in seconds.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from firmware_bridge.sans_io import Peer

BITS_PER_BYTE = 10
"""8N1: a start bit, eight bits, a stop bit."""
CHUNK_BYTES = 16
"""Bytes that travel together: what a UART's buffer holds."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What one direction of a line does to bytes.

    Attributes
    ----------
    flip, lose
        Chance of one byte to arrive with one bit turned, or not at all.
    double
        Chance of a chunk of bytes to arrive twice.
    noise
        Chance of a chunk to be followed by 1 to 8 bytes of noise.
    delay_s
        Longest delay of a chunk; chunks never overtake one another.
    cuts
        Times [from, to) in seconds, when nothing arrives.
    """

    flip: float = 0.0
    lose: float = 0.0
    double: float = 0.0
    noise: float = 0.0
    delay_s: float = 0.0
    cuts: tuple[tuple[float, float], ...] = ()

    def damage(self, chunk: bytes, draw: random.Random) -> bytes:
        """What arrives of a chunk."""
        arrived = bytearray()
        for byte in chunk:
            if self.lose and draw.random() < self.lose:
                continue
            turned = 1 << draw.randrange(8) if self.flip and draw.random() < self.flip else 0
            arrived.append(byte ^ turned)
        if self.double and draw.random() < self.double:
            arrived *= 2
        if self.noise and draw.random() < self.noise:
            arrived += draw.randbytes(draw.randint(1, 8))
        return bytes(arrived)

    def is_cut(self, at_s: float) -> bool:
        """Whether the line is cut at a time."""
        return any(start <= at_s < end for start, end in self.cuts)


class NullModem:
    """A line between two peers.

    Parameters
    ----------
    peers
        Both ends. They may be replaced in `peers` while the line runs: a reset.
    baud
        Bits a second; a byte takes ten.
    faults
        From the first to the second, and back.
    seed
        Of all that is drawn.
    now_s
        Time at the start.

    Attributes
    ----------
    now_s
        The simulated time.
    sent_bytes
        Bytes that each end has put on the line.
    """

    def __init__(
        self,
        peers: tuple[Peer[Any], Peer[Any]],
        *,
        baud: int,
        faults: tuple[Faults, Faults] = (Faults(), Faults()),
        seed: int = 0,
        now_s: float = 0.0,
    ) -> None:
        self.peers = list(peers)
        self.now_s = now_s
        self.sent_bytes = [0, 0]
        self._byte_s = BITS_PER_BYTE / baud
        self._faults = faults
        self._draw = random.Random(seed)
        self._free_s = [now_s, now_s]
        self._last_arrival_s = [now_s, now_s]
        self._flying: list[tuple[float, int, int, bytes]] = []
        self._n_chunks = 0

    def run(
        self,
        until_s: float,
        react: Callable[[int, Any], None] = lambda end, event: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Let time pass until `until_s`, or until `stop` says so.

        Parameters
        ----------
        react
            Called with the end, 0 or 1, and each of its events; what it makes the peers do goes on at once.
        """
        for end in (0, 1):
            self._give(end, b"", react)
        while not stop():
            self._load()
            times = [peer.due_s() for peer in self.peers]
            if self._flying:
                times.append(self._flying[0][0])
            # A line that is busy now takes the next bytes when it is free.
            times += [free for free in self._free_s if free > self.now_s]
            next_s = max(min(times), self.now_s)
            if next_s > until_s:
                self.now_s = until_s
                return
            self.now_s = next_s
            if self._flying and self._flying[0][0] <= next_s:
                _, _, end, data = heapq.heappop(self._flying)
                self._give(end, data, react)
            for end in (0, 1):
                if self.peers[end].due_s() <= next_s:
                    self._give(end, b"", react)

    def _give(self, end: int, data: bytes, react: Callable[[int, Any], None]) -> None:
        for event in self.peers[end].receive(data, self.now_s):
            react(end, event)

    def _load(self) -> None:
        """Put bytes of both ends on the lines that are free."""
        for end in (0, 1):
            if self._free_s[end] > self.now_s:
                continue
            chunk = self.peers[end].to_send(CHUNK_BYTES)
            if not chunk:
                continue
            self.sent_bytes[end] += len(chunk)
            faults = self._faults[end]
            self._free_s[end] = self.now_s + len(chunk) * self._byte_s
            at_s = self._free_s[end] + (self._draw.random() * faults.delay_s if faults.delay_s else 0.0)
            at_s = self._last_arrival_s[end] = max(at_s, self._last_arrival_s[end])
            arrived = faults.damage(chunk, self._draw)
            if arrived and not faults.is_cut(at_s):
                self._n_chunks += 1
                heapq.heappush(self._flying, (at_s, self._n_chunks, 1 - end, arrived))


class SimulatedLine:
    """One end of a null modem as a `sans_io.Line`; simulated time passes while it carries.

    Parameters
    ----------
    end
        Which of the modem's peers it is, 0 or 1.
    others
        Called with each event of the other one.

    Attributes
    ----------
    fault
        As of `transport.PortLine`: a simulated port never fails.
    """

    fault = ""

    def __init__(self, modem: NullModem, end: int, others: Callable[[Any], None]) -> None:
        self._modem, self._end, self._others = modem, end, others

    def carry(self, wait_s: float) -> Sequence[Any]:
        """See `sans_io.Line`."""
        events: list[Any] = []

        def react(end: int, event: Any) -> None:
            if end == self._end:
                events.append(event)
            else:
                self._others(event)

        self._modem.run(self._modem.now_s + wait_s, react, lambda: bool(events))
        return events

    def set_speed(self, baud: int) -> None:
        """A simulated line keeps its speed."""

    def close(self) -> None:
        """Nothing is open."""
