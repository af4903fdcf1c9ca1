"""What every protocol of this floor is: it gets bytes and the time, and gives events and bytes. Pure.

It opens nothing and never waits. `transport` ties one to a port, `null_modem` ties two to each other.
The idea is h11's (python-hyper), with time passed in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, TypeVar

Event_co = TypeVar("Event_co", covariant=True)

NEVER_S = math.inf
"""`due_s` of a peer that waits for nothing."""


class Peer(Protocol[Event_co]):
    """One end of a line.

    Whatever arrives, no call raises, hangs or keeps more than the peer's own bound of bytes. What its owner
    may not ask for in a state raises `MisuseError`.
    """

    def receive(self, data: bytes, now_s: float) -> Sequence[Event_co]:
        """Take what arrived until `now_s`, monotonic seconds; `b""` when only time has passed.

        The same bytes cut otherwise give the same events. A `now_s` before the last counts as the last.
        """

    def to_send(self, limit_bytes: int) -> bytes:
        """Take at most `limit_bytes` of what is to be sent, in order; empty when there is nothing."""

    def due_s(self) -> float:
        """When `receive` must be called though nothing arrived; `NEVER_S` when nothing is waited for."""


class Line(Protocol[Event_co]):
    """A peer tied to what carries its bytes, real or simulated."""

    def carry(self, wait_s: float) -> Sequence[Event_co]:
        """Carry bytes both ways for at most so long; back at once with what the peer says, if it does.

        Never raises: a port that fails is tried again.
        """

    def set_speed(self, baud: int) -> None:
        """Give the port another speed once what was written has left; nothing where there is none.

        A port that is opened again has its own speed.
        """

    def close(self) -> None:
        """Let go of what carries the bytes."""
