"""When frames were taken, once somebody has told the time. Pure.

A board's own clock may start at any date and is corrected late: a frame is stamped with the boot and the
milliseconds since it, on a clock that never jumps. What the host or the network says of UTC is a fix: UTC at
one such stamp. Fixes are inputs of the log, and applied whenever the log is read.
"""

from __future__ import annotations

import itertools
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.frame import Stamp

LONGEST_GAP_MS = 30 * 86_400_000
"""A board is not without power for longer in the middle of a dive; a clock that says so is wrong."""


@dataclass(frozen=True, slots=True)
class Fix:
    """UTC (ms since 1970) at a stamp, as somebody told it who knows."""

    stamp: Stamp
    utc_ms: int


def utc_of(
    stamps: Sequence[Stamp | None], board_utc_ms: Sequence[int], fixes: Sequence[Fix]
) -> NDArray[np.int64]:
    """UTC of frames in the order of capture, int64 (n,), never going back.

    Within a boot UTC minus monotonic time runs straight from fix to fix (a board's clock drifts) and is that
    of the nearest one before the first and after the last. A boot without a fix keeps its own dates, unless
    they cannot be: later than those of the boot after it, earlier than those of the boot before it, or months
    away. Then it is moved as a whole to where that one begins or has ended. A frame without a stamp keeps its
    time.

    Parameters
    ----------
    stamps
        Of the frames.
    board_utc_ms
        What the board took for UTC when it took them.
    fixes
        In any order; of two at one stamp the later in the list counts.
    """
    boots = np.array([-1 if stamp is None else stamp.boot for stamp in stamps], dtype=np.int64)
    monotonic_ms = np.array([0 if stamp is None else stamp.monotonic_ms for stamp in stamps], dtype=np.int64)
    return utc_at(boots, monotonic_ms, np.array(board_utc_ms, dtype=np.int64), fixes)


def utc_at(
    boots: NDArray[np.int64],
    monotonic_ms: NDArray[np.int64],
    board_utc_ms: NDArray[np.int64],
    fixes: Sequence[Fix],
) -> NDArray[np.int64]:
    """As `utc_of`, with the stamps in columns, all int64 (n,): boot -1 is no stamp."""
    times = board_utc_ms.copy()
    runs = _runs(boots)
    seen = set(np.unique(boots).tolist())
    told = [fix for fix in fixes if fix.stamp.boot in seen]
    if told:
        fixed = [_fix(times, run, boots, monotonic_ms, told) for run in runs]
        _place(times, runs, fixed)
    return np.maximum.accumulate(times) if len(times) else times


def _runs(boots: NDArray[np.int64]) -> list[slice]:
    """Stretches of frames of one boot."""
    edges = [0, *(np.flatnonzero(np.diff(boots)) + 1).tolist(), len(boots)]
    return [slice(a, b) for a, b in itertools.pairwise(edges) if b > a]


def _fix(
    times: NDArray[np.int64],
    run: slice,
    boots: NDArray[np.int64],
    monotonic_ms: NDArray[np.int64],
    fixes: Sequence[Fix],
) -> bool:
    """Apply the fixes of one stretch; whether there are any."""
    known = {fix.stamp.monotonic_ms: fix.utc_ms for fix in fixes if fix.stamp.boot == boots[run.start]}
    if not known:
        return False
    at = sorted(known)
    offset_ms = [known[moment] - moment for moment in at]
    moments = map(int, monotonic_ms[run])
    times[run] = np.fromiter((now + _between(at, offset_ms, now) for now in moments), dtype=np.int64)
    return True


def _between(at: Sequence[int], values: Sequence[int], now: int) -> int:
    """Value at `now`, straight between those at the moments `at`; in integers, the same on every machine."""
    after = bisect(at, now)
    if after in (0, len(at)):
        return values[min(after, len(at) - 1)]
    (a, b), (u, v) = at[after - 1 : after + 1], values[after - 1 : after + 1]
    return u + (v - u) * (now - a) // (b - a)


def _place(times: NDArray[np.int64], runs: Sequence[slice], fixed: Sequence[bool]) -> None:
    """Move stretches whose dates nobody confirmed between those whose dates are known."""
    known = list(fixed)
    for i in range(len(runs) - 2, -1, -1):
        late_ms = int(times[runs[i].stop - 1] - times[runs[i + 1].start])
        if not known[i] and known[i + 1] and not -LONGEST_GAP_MS <= late_ms <= 0:
            times[runs[i]] -= late_ms
            known[i] = True
    for i in range(1, len(runs)):
        early_ms = int(times[runs[i - 1].stop - 1] - times[runs[i].start])
        if not known[i] and known[i - 1] and not -LONGEST_GAP_MS <= early_ms <= 0:
            times[runs[i]] += early_ms
            known[i] = True
