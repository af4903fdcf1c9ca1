"""Pressure and CTD lines of floats and sensors, sans-IO: bytes in, readings out. Pure.

Orders of columns differ between makers and cannot be told from the numbers, so the format is named. A line is
read strictly, as its maker's manual has it, or else leniently: the same numbers in the same order with
other spaces, a mark before or a word behind them; which of both is said. Values that the sea cannot have are
refused, and so are jumps that a float cannot make.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass


class LineFormat(enum.StrEnum):
    """Formats that are read, after the makers' manuals."""

    PRESSURE_FIRST = "pressure-first"
    """`P[, T[, S]]` in dbar, degrees C and practical salinity: a plain host's or a UVP6's own line."""
    SBE41 = "sbe41"
    """SBE 41 and 41CP: `PPPP.PP, TT.TTTT, SS.SSSS`."""
    SBE37 = "sbe37"
    """SBE 37, format 1: `T, C, P[, S[, SV]], dd Mmm yyyy, hh:mm:ss`; temperature first."""
    SBE49 = "sbe49"
    """SBE 49: `T, C, P[, S][, SV]`."""
    RBR = "rbr"
    """RBR, caltext01 to 04: a time, then the channels in the order of `outputformat channelslist`."""


QUANTITIES = ("pressure_dbar", "temperature_c", "salinity", "conductivity", "other")
"""What a column may be; `conductivity` and `other` are read and passed over."""
_P, _T, _S, _C, _O = QUANTITIES
COLUMNS: dict[LineFormat, tuple[str, ...]] = {
    LineFormat.PRESSURE_FIRST: (_P, _T, _S),
    LineFormat.SBE41: (_P, _T, _S),
    LineFormat.SBE37: (_T, _C, _P, _S, _O),
    LineFormat.SBE49: (_T, _C, _P, _S, _O),
    LineFormat.RBR: (_C, _T, _P),
}
"""Order of the numbers; that of RBR is the unit's own, and this only what is usual."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading; what the line does not hold is None. `is_strict`: the line was exactly its maker's."""

    pressure_dbar: float
    temperature_c: float | None = None
    salinity: float | None = None
    is_strict: bool = True


RANGES = {"pressure_dbar": (-20.0, 7000.0), "temperature_c": (-3.0, 45.0), "salinity": (0.0, 45.0)}
"""What the sea and a sensor on deck can give; anything else is noise on the line."""
MAX_RATE_DBAR_PER_S = 5.0
"""Faster than any float and any winch."""
AGREEING = 3
"""So many readings in a row that agree with each other are believed though they jumped."""
TELL_EVERY_S = 3600.0
"""What is wrong with a sensor or its line is wrong every second: it is said once in so long."""

_NUMBER = rb"[+-]?(?:\d{1,6}(?:\.\d{0,6})?|\.\d{1,6})"
_CELL = re.compile(_NUMBER)
_DATE = rb"\d{2} [A-Z][a-z]{2} \d{4}, \d{2}:\d{2}:\d{2}"
_RBR_TIME = rb"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?"
_STRICT = {
    LineFormat.PRESSURE_FIRST: re.compile(rb"(%b(?:, ?%b){0,2})" % (_NUMBER, _NUMBER)),
    LineFormat.SBE41: re.compile(rb" *(-?\d{1,4}\.\d{2}, *-?\d{1,2}\.\d{4}, *\d{1,2}\.\d{4})"),
    LineFormat.SBE37: re.compile(rb" *(%b(?:, *%b){2,4}), *%b" % (_NUMBER, _NUMBER, _DATE)),
    LineFormat.SBE49: re.compile(rb" *(%b(?:, *%b){2,4})" % (_NUMBER, _NUMBER)),
    LineFormat.RBR: re.compile(rb"%b((?:, ?%b){1,16})" % (_RBR_TIME, _NUMBER)),
}
_TIMES = re.compile(rb"%b|%b" % (_DATE, _RBR_TIME))
_MARK = re.compile(rb"^[#*>$ \t]*(?:S>|[A-Za-z]{1,8}[:=])?")


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


def parse_line(
    line: bytes, line_format: LineFormat = LineFormat.PRESSURE_FIRST, columns: Sequence[str] = ()
) -> Reading | None:
    """Reading of one line, strictly or leniently; None when it is neither, or a value is out of range.

    Parameters
    ----------
    columns
        `QUANTITIES` in the order of the line's numbers, where they are not the format's.
    """
    order = tuple(columns) or COLUMNS[line_format]
    strict = _STRICT[line_format].fullmatch(line)
    if strict is not None:
        return _reading(strict.group(1).split(b","), order, is_strict=True)
    bare = _MARK.sub(b"", _TIMES.sub(b"", line))
    cells = re.split(rb"[ \t]*,[ \t]*|[ \t]+", bare.strip(b", \t")) if bare.strip() else []
    numbers = []
    for cell in cells:
        if not _CELL.fullmatch(cell):
            break
        numbers.append(cell)
    # Words may follow the numbers that are wanted, never stand among them.
    wanted = order.index("pressure_dbar") + 1
    if len(numbers) < wanted or len(numbers) > len(order) or len(cells) - len(numbers) > 2:
        return None
    return _reading(numbers, order, is_strict=False)


def _reading(cells: Sequence[bytes], order: Sequence[str], *, is_strict: bool) -> Reading | None:
    found: dict[str, float] = {}
    for name, cell in zip(order, [cell.strip() for cell in cells if cell.strip()], strict=False):
        if name in RANGES:
            low, high = RANGES[name]
            value = float(cell)
            if not low <= value <= high:
                return None
            found[name] = value
    if "pressure_dbar" not in found:
        return None
    return Reading(
        found["pressure_dbar"], found.get("temperature_c"), found.get("salinity"), is_strict=is_strict
    )


class RateCheck:
    """Refuses a pressure that the float cannot have reached since the last one.

    Some readings in a row that agree with each other are believed again: then it was the last one that was
    wrong, or the line was silent for long.

    Attributes
    ----------
    refused
        Readings refused so far.
    """

    def __init__(self, max_dbar_per_s: float = MAX_RATE_DBAR_PER_S) -> None:
        self.refused = 0
        self._max = max_dbar_per_s
        self._tell_s = -math.inf
        self._last: tuple[float, float] | None = None
        self._doubtful: list[tuple[float, float]] = []

    def accepts(self, pressure_dbar: float, now_s: float) -> bool:
        """Whether a pressure may be, at a monotonic time in seconds."""
        here = now_s, pressure_dbar
        if self._last is None or self._agree(self._last, here):
            self._believe(here)
            return True
        if self._doubtful and not self._agree(self._doubtful[-1], here):
            self._doubtful.clear()
        self._doubtful.append(here)
        if len(self._doubtful) >= AGREEING:
            self._believe(here)
            return True
        self.refused += 1
        return False

    def complaint(self, now_s: float) -> str:
        """A sentence on the reading that was just refused; empty where one was told within `TELL_EVERY_S`."""
        if self._last is None or not self._doubtful or now_s < self._tell_s:
            return ""
        self._tell_s = now_s + TELL_EVERY_S
        return (
            f"a pressure of {self._doubtful[-1][1]:.1f} dbar cannot be reached from {self._last[1]:.1f} dbar "
            f"so soon: it is not used unless it stays, and this is not told again for {TELL_EVERY_S:.0f} s"
        )

    def _agree(self, a: tuple[float, float], b: tuple[float, float]) -> bool:
        # A second more: sensors average, and lines come in bunches.
        return abs(b[1] - a[1]) <= self._max * (max(0.0, b[0] - a[0]) + 1.0)

    def _believe(self, here: tuple[float, float]) -> None:
        self._last = here
        self._doubtful.clear()
