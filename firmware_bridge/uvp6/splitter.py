"""Cuts a UVP6's stream at its semicolons, in either direction. Pure, bounded."""

from __future__ import annotations

from firmware_bridge.uvp6.lines import MAX_LINE_BYTES


class Splitter:
    """Lines end with `;`; CR, LF and what is not ASCII are passed over. A longer line is noise, and counted.

    Parameters
    ----------
    begins
        A character that a line begins with, if it has one: what stands before it is noise.
    """

    def __init__(self, begins: str = "", limit_bytes: int = MAX_LINE_BYTES) -> None:
        self.noise = 0
        self._begins, self._limit = begins, limit_bytes
        self._held = ""
        self._is_skipping = False

    def feed(self, data: bytes) -> list[str]:
        """Whole lines, with their `;` and without spaces around."""
        lines = []
        for piece in data.decode("latin1").replace("\r", "").replace("\n", "").split(";")[:-1]:
            lines += self._end(piece)
        rest = data.decode("latin1").replace("\r", "").replace("\n", "").rpartition(";")[2]
        self._hold(rest)
        return lines

    def forget(self) -> None:
        """Throw away what has begun."""
        self._held, self._is_skipping = "", False

    def _hold(self, text: str) -> None:
        if self._is_skipping:
            return
        self._held += text
        if len(self._held) > self._limit:
            self._held, self._is_skipping = "", True

    def _end(self, piece: str) -> list[str]:
        self._hold(piece)
        line, skipped = self._held.strip(), self._is_skipping
        self.forget()
        if self._begins:
            # A command that was not finished when the next one began was lost on the way.
            at = line.rfind(self._begins)
            if at > 0 or (at < 0 and line):
                self.noise += 1
            line = line[at:] if at >= 0 else ""
        if skipped or not line.isascii() or not line.isprintable():
            self.noise += 1
            return []
        return [line + ";"] if line else []
