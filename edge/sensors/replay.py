"""Pressure and other sensors from a recording's sensors.csv, interpolated to the times of frames.

Nothing is invented: across a gap that is too long, and outside the record, a value is missing (NaN).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import RecordingError
from edge.tables import read_table

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SensorTable:
    """Readings against time.

    Attributes
    ----------
    time_s
        Seconds since the recording's start, float64 (n,), not falling.
    columns
        Readings by name with unit (``pressure_dbar``, ``temperature_c``...), float64 (n,), NaN where none.
    """

    time_s: Floats
    columns: Mapping[str, Floats]

    def at(self, time_s: Floats, max_gap_s: float) -> dict[str, Floats]:
        """Every column at some times, float64 (m,) each.

        Linear between two readings at most `max_gap_s` apart; before the first and after the last reading
        that one holds for one sampling interval (their median, at most `max_gap_s`); NaN elsewhere.
        """
        return {name: _interpolate(self.time_s, v, time_s, max_gap_s) for name, v in self.columns.items()}


def read_sensors(path: Path) -> SensorTable:
    """Read sensors.csv: `time_s`, `pressure_dbar` and any other columns; empty cells and NaN are missing.

    Raises `RecordingError` naming row and column: a column missing, a cell that is no number, times missing
    or out of order, no reading at all.
    """
    table = read_table(path, required=("time_s", "pressure_dbar"))
    time_s = table.numbers("time_s")
    table.check_rising("time_s", time_s)
    columns = {name: table.numbers(name, missing=True) for name in table.columns if name != "time_s"}
    if not np.isfinite(columns["pressure_dbar"]).any():
        raise RecordingError(
            "holds no pressure at all", file=path, field="column pressure_dbar", remedy="write the readings"
        )
    return SensorTable(time_s, columns)


def _interpolate(time_s: Floats, values: Floats, at_s: Floats, max_gap_s: float) -> Floats:
    known = np.isfinite(values)
    t, v = time_s[known], values[known]
    if t.size == 0:
        return np.full(at_s.shape, np.nan)
    found = np.interp(at_s, t, v)
    hold = min(max_gap_s, float(np.median(np.diff(t)))) if t.size > 1 else 0.0
    after = np.clip(np.searchsorted(t, at_s, side="left"), 0, t.size - 1)
    before = np.clip(np.searchsorted(t, at_s, side="right") - 1, 0, t.size - 1)
    gap_s = t[after] - t[before]  # 0 on a reading, and outside
    found[(gap_s > max_gap_s) | (at_s < t[0] - hold) | (at_s > t[-1] + hold)] = np.nan
    return np.asarray(found, dtype=np.float64)
