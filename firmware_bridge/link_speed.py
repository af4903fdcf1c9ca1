"""The speed of a port that a reader raises for a while: back to its own after silence. Pure.

Not the link: nothing of the session depends on it. Both ends keep the same rule, so that both are at the
port's own speed again, whatever was lost between them.
"""

from __future__ import annotations

from firmware_bridge.link import Peer
from firmware_bridge.sans_io import Line

FALL_BACK_S = 4.0
"""Silence after which a port has its own speed again: longer than until a frame is tried again."""


class SpeedKeeper:
    """One end.

    Parameters
    ----------
    line
        Whose port has a speed of its own.
    own_baud
        That speed; 0 where there is none, and then nothing is ever changed.
    """

    def __init__(self, line: Line[object], own_baud: int) -> None:
        self._line, self._own_baud = line, own_baud
        self._heard_s, self._frames = 0.0, 0
        self.baud = own_baud

    def go_to(self, baud: int, now_s: float) -> None:
        """Both have agreed on another speed."""
        if not self._own_baud or baud == self.baud:
            return
        self._line.set_speed(baud)
        self.baud, self._heard_s = baud, now_s

    def look(self, peer: Peer, now_s: float) -> None:
        """Look whether anything was heard; call it often."""
        frames = peer.counts.frames
        if frames != self._frames:
            self._frames, self._heard_s = frames, now_s
        elif self.baud != self._own_baud and now_s - self._heard_s > FALL_BACK_S:
            self.go_to(self._own_baud, now_s)
            peer.line_is_back(now_s)
