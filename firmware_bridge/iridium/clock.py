"""Iridium's network time: ticks of 90 ms since an era began, and the modem does not say which. Pure.

Eras after Iridium's announcements: the second began 2014-05-11T14:23:55Z, the third 2025-02-14T18:14:17Z.
"""

from __future__ import annotations

import re

TICK_MS = 90
ERA_STARTS_MS = (1_399_818_235_000, 1_739_556_857_000)
"""UTC, milliseconds since 1970."""
MAX_DISAGREEMENT_MS = 400 * 86_400_000
"""A board's own clock that is further from every era's reading says nothing about the era."""
_ANSWER = re.compile(rb"-MSSTM:\s*([0-9a-fA-F]{1,8})")


def ticks_of(line: bytes) -> int | None:
    """Ticks in a modem's answer, or None: `no network service`, or no answer of this kind."""
    match = _ANSWER.fullmatch(line.strip())
    return int(match.group(1), 16) if match else None


def utc_ms_of(ticks: int, near_ms: int | None = None) -> int | None:
    """UTC of a network time, milliseconds since 1970.

    Parameters
    ----------
    ticks
        As the modem says them, below 2 ** 32.
    near_ms
        What the board's own clock says; the era nearest to it is taken. None, or the clock of a board that
        was never set: the newest era.

    Returns
    -------
    None when the board's clock is set and agrees with no era: then nobody knows.
    """
    readings = [start_ms + ticks * TICK_MS for start_ms in ERA_STARTS_MS]
    if near_ms is None or near_ms < ERA_STARTS_MS[0]:
        return readings[-1]
    nearest = min(readings, key=lambda reading: abs(reading - near_ms))
    return nearest if abs(nearest - near_ms) <= MAX_DISAGREEMENT_MS else None
