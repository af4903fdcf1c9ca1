"""Pressure and CTD lines of floats and sensors, sans-IO: bytes in, readings out. Pure.

Orders of columns differ between makers and cannot be told from the numbers, so the format is named; values
out of range are refused, never passed on.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass


class LineFormat(enum.StrEnum):
    """Formats that are read."""

    PRESSURE_FIRST = "pressure-first"
    """`P[, T[, S]]` in dbar, degrees C and practical salinity: plain host lines, and the SBE 41's
    `PPPP.PP, TT.TTTT, SS.SSSS`."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading; what the line does not hold is None."""

    pressure_dbar: float
    temperature_c: float | None = None
    salinity: float | None = None


RANGES = {"pressure_dbar": (-20.0, 7000.0), "temperature_c": (-3.0, 45.0), "salinity": (0.0, 45.0)}
"""What the sea and a sensor on deck can give; anything else is noise on the line."""

_NUMBER = re.compile(rb"[+-]?(\d{1,6}(\.\d{0,6})?|\.\d{1,6})")


class LineSplitter:
    """Cut a stream of bytes into lines; keeps at most `limit` bytes of an unfinished one.

    A longer line is noise (a wrong baud rate, say): it is thrown away up to its end and counted.
    """

    def __init__(self, limit: int = 256) -> None:
        self.limit = limit
        self.overlong = 0
        self._held = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes]:
        """Finished lines in `data` and what was held before, without their ends; blank ones left out."""
        lines = []
        pieces = data.replace(b"\r", b"\n").split(b"\n")
        for i, piece in enumerate(pieces):
            if not self._skipping:
                self._held += piece
                if len(self._held) > self.limit:
                    self.overlong += 1
                    self._skipping = True
                    self._held.clear()
            if i < len(pieces) - 1:
                if self._held.strip():
                    lines.append(bytes(self._held.strip()))
                self._held.clear()
                self._skipping = False
        return lines


def parse_line(line: bytes, line_format: LineFormat = LineFormat.PRESSURE_FIRST) -> Reading | None:
    """Reading of one line, or None when it is not exactly of the format or a value is out of range."""
    del line_format  # one format so far; named by the caller all the same
    cells = [cell.strip() for cell in line.split(b",")]
    if not 1 <= len(cells) <= len(RANGES) or not all(_NUMBER.fullmatch(cell) for cell in cells):
        return None
    values = [float(cell) for cell in cells]
    for value, (low, high) in zip(values, RANGES.values(), strict=False):
        if not low <= value <= high:
            return None
    return Reading(*values)
