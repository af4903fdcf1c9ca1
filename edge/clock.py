"""Time aboard: a clock that never jumps, and what is known of UTC."""

from __future__ import annotations

import secrets
import time
from typing import Protocol

from edge.frame import Stamp
from edge.timeline import Fix


class Clock(Protocol):
    """The machine's clocks; a test or a simulation gives others."""

    def utc_ms(self) -> int:
        """What the machine takes for UTC, milliseconds since 1970."""

    def monotonic_s(self) -> float:
        """Seconds that never jump."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """See `Clock`."""

    def utc_ms(self) -> int:
        """See `Clock`."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """See `Clock`."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        time.sleep(seconds)


class WallClock:
    """UTC as this run of the board knows it: what the machine said at the start, or somebody told since.

    Between two times told it runs with the monotonic clock: whoever sets the machine's date meanwhile changes
    nothing.

    Attributes
    ----------
    boot
        This run, drawn at random: two runs cannot be taken for one.
    """

    def __init__(self, clock: Clock) -> None:
        self.boot = secrets.randbelow((1 << 32) - 1) + 1
        self._clock = clock
        self._began_s = clock.monotonic_s()
        self._utc_at_start_ms = clock.utc_ms()

    def stamp(self, at_s: float | None = None) -> Stamp:
        """This moment by the clock that never jumps, or one that this clock has told (`monotonic_s`)."""
        at_s = self._clock.monotonic_s() if at_s is None else at_s
        return Stamp(self.boot, max(0, round(1000 * (at_s - self._began_s))))

    def now_ms(self) -> int:
        """UTC, milliseconds since 1970, as far as it is known."""
        return self._utc_at_start_ms + self.stamp().monotonic_ms

    def is_told(self, utc_ms: int) -> Fix:
        """What somebody says UTC is now, as a fix."""
        return Fix(self.stamp(), utc_ms)

    def set(self, fix: Fix) -> None:
        """Take a fix of this run as the truth from now on."""
        self._utc_at_start_ms = fix.utc_ms - fix.stamp.monotonic_ms

    def error_ms(self, fix: Fix) -> int:
        """How far this clock was ahead at a fix of this run."""
        return self._utc_at_start_ms + fix.stamp.monotonic_ms - fix.utc_ms

    def not_before(self, utc_ms: int) -> None:
        """It is later than this: a clock that was set back by a power cut goes on from there."""
        behind_ms = utc_ms - self.now_ms()
        if behind_ms > 0:
            self._utc_at_start_ms += behind_ms
