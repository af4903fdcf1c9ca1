"""When a frame was taken, on our clock, from the camera's clock and the time of arrival. Pure.

A frame never arrives before it is taken, and some hardly later: the least difference between the clocks among
the newest frames is taken for theirs, so a constant delay remains. A camera's clock may begin anywhere,
drift, jump and begin again; what it says is never taken for later than the arrival, nor for earlier than the
frame before.
"""

from __future__ import annotations

import math
from collections import deque

N_FRAMES = 16
"""Frames among which the least difference is sought: soon enough for drift, many enough for jitter."""
CREDIBLE_S = 30.0
"""A frame that would be older than this at arrival says that the camera's clock has jumped."""


class CameraClock:
    """Brings one camera's times to our clock."""

    def __init__(self) -> None:
        self._differences_s: deque[float] = deque(maxlen=N_FRAMES)
        self._device_ns: int | None = None
        self._newest_s = -math.inf

    def forget(self) -> None:
        """The camera was opened anew: its clock may be another."""
        self._differences_s.clear()
        self._device_ns = None

    def taken_s(self, device_ns: int | None, arrived_s: float) -> float:
        """Monotonic time of a frame, by the camera's time of it (None where it has none) and its arrival."""
        last_ns, self._device_ns = self._device_ns, device_ns
        is_set_back = device_ns is None or (last_ns is not None and device_ns <= last_ns)
        if is_set_back:  # or stands still: no clock
            self._differences_s.clear()
        found_s = arrived_s if device_ns is None else self._mapped_s(device_ns, arrived_s)
        self._newest_s = max(self._newest_s, min(found_s, arrived_s))
        return self._newest_s

    def _mapped_s(self, device_ns: int, arrived_s: float) -> float:
        difference_s = arrived_s - device_ns / 1e9
        if self._differences_s and difference_s - min(self._differences_s) > CREDIBLE_S:
            self._differences_s.clear()
        self._differences_s.append(difference_s)
        return arrived_s - (difference_s - min(self._differences_s))
