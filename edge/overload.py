"""What is classified when there is no time for all: how many particles of a frame, and which. Pure.

Sizes are always counted whole. Who is left unnamed is written down with the frame, and the volume in which
particles were named is less by that share, so that concentrations stay true.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge.config import Overload

_GOLDEN, _MIX_1, _MIX_2, _WORD = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, (1 << 64) - 1


class Allowance:
    """Time for classification: what has passed since the last frame, and what was left before, up to a bound.

    Parameters
    ----------
    per_second
        Particles that may be classified in a second, for a budget of energy; None sets no bound.
    backlog_s
        Longest time that may be saved up, and so be waited for.
    """

    def __init__(self, per_second: float | None, backlog_s: float) -> None:
        self._least_s = 0.0 if per_second is None else 1 / per_second
        self._backlog_s = self._left_s = backlog_s
        self._last_ms: int | None = None

    def take(self, wanted: int, now_ms: int, pace_s: float | None) -> int:
        """How many of so many particles may be classified now, when one takes `pace_s`."""
        passed_s = 0.0 if self._last_ms is None else max(0, now_ms - self._last_ms) / 1000
        self._last_ms = now_ms
        each_s = max(self._least_s, pace_s or 0.0)
        # What is left of one particle's time is kept beside the bound: else it would be lost at every frame.
        self._left_s = min(self._left_s + passed_s, max(self._backlog_s, passed_s) + each_s)
        given = wanted if each_s == 0 else min(wanted, math.floor(self._left_s / each_s + 1e-9))
        self._left_s -= given * each_s
        return given


def choose(area_px: NDArray[np.integer], n: int, how: Overload, frame: int) -> NDArray[np.int64]:
    """Which n of a frame's particles are classified: indices, rising.

    The largest; or some drawn by a hash of frame and particle, which is as good as chance and the same
    whenever the frame is looked at again.
    """
    if n >= len(area_px):
        return np.arange(len(area_px), dtype=np.int64)
    if how is Overload.LARGEST:
        order = np.argsort(-np.asarray(area_px, dtype=np.int64), kind="stable")
    else:
        order = np.argsort([_hash(frame << 32 | i) for i in range(len(area_px))], kind="stable")
    return np.sort(order[:n]).astype(np.int64)


def _hash(value: int) -> int:
    """splitmix64 (Steele, Lea and Flood 2014): 63 bits that look like chance."""
    z = (value + 1) * _GOLDEN & _WORD
    z = (z ^ z >> 30) * _MIX_1 & _WORD
    z = (z ^ z >> 27) * _MIX_2 & _WORD
    return (z ^ z >> 31) >> 1
