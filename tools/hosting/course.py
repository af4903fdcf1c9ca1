"""The course of a recorded dive, as the float that made it knew it: pressure and phase in time. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.config import MissionConfig
from edge.frame import Phase
from edge.mission import Mission, PhaseGiven, PressureRead, State, step
from edge.recording import Recording


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """A dive in time.

    Attributes
    ----------
    time_s, pressure_dbar
        Where the pressure is known, float64 (n,), seconds since the first frame.
    phases
        (from second, phase), in order; the first at 0.
    end_s
        When the dive is over.
    temperature_c
        Float64 (n,), NaN where it is not known.
    """

    time_s: NDArray[np.float64]
    pressure_dbar: NDArray[np.float64]
    phases: tuple[tuple[float, Phase], ...]
    end_s: float
    temperature_c: NDArray[np.float64]

    def pressure_at(self, t_s: float) -> float | None:
        """Pressure at a time, dbar; None when the recording knows none."""
        if not len(self.time_s):
            return None
        return float(np.interp(t_s, self.time_s, self.pressure_dbar))

    def temperature_at(self, t_s: float) -> float | None:
        """Temperature at a time, degrees C; None when the recording knows none."""
        if not np.isfinite(self.temperature_c).any():
            return None
        known = np.isfinite(self.temperature_c)
        return float(np.interp(t_s, self.time_s[known], self.temperature_c[known]))


def course_of(recording: Recording, config: MissionConfig) -> Course:
    """The course of a recording: its own phases where it has them, else those that pressure tells."""
    time_s = (recording.time_ms - recording.time_ms[0]) / 1000
    known = np.isfinite(recording.pressure_dbar)
    found = recording.pressure_dbar[known]
    rising = found.size > 0 and found[-1] < found[0] == found.max()
    mission = Mission(State.ASCENT if rising else State.DESCENT)
    phases: list[tuple[float, Phase]] = []
    for t_s, time_ms, p, given in zip(
        time_s.tolist(),
        recording.time_ms.tolist(),
        recording.pressure_dbar.tolist(),
        recording.phases,
        strict=True,
    ):
        event = PressureRead(time_ms, p) if given is None else PhaseGiven(time_ms, given)
        mission, _ = step(mission, event, config)
        phase = mission.phase
        if phase is not None and (not phases or phases[-1][1] is not phase):
            phases.append((t_s if phases else 0.0, phase))
    temperature = recording.environment.get("temperature_c", np.full(len(time_s), np.nan))
    return Course(time_s[known], found, tuple(phases), float(time_s[-1]), temperature[known])
