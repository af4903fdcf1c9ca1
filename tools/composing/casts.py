"""A recording along a real UVP6 cast: every chosen image's size spectrum, pressure and temperature."""

from __future__ import annotations

import datetime

import numpy as np

from edge.frame import FrameOutcome, Phase
from edge.recording import Instrument, RecordingInfo
from tools.composing.plan import FramePlan, Large, Plan, spread_faults
from tools.shore.uvp6_project.cast import Cast
from tools.shore.uvp6_project.rows import NO_PARTICLES, Spectrum


def plan_cast(
    cast: Cast, n_frames: int, min_area_px: int, shares: dict[FrameOutcome, float], seed: int
) -> Plan:
    """Plan `n_frames` frames evenly along a cast, each with its image's histogram; phase descent.

    Particles of `min_area_px` and more become large ones, to be replaced by vignettes of about that area.
    """
    n = min(n_frames, len(cast))
    chosen = np.unique(np.linspace(0, len(cast) - 1, n).round().astype(int))
    outcomes = spread_faults(len(chosen), shares, cast.lit[chosen], np.random.default_rng((seed, 1)))
    start_s = float(np.floor(cast.time_s[chosen[0]]))
    frames = []
    for i, by_chance in zip(chosen, outcomes, strict=True):
        found, outcome = cast.spectrum(int(i)), by_chance
        if found is None:
            found, outcome = NO_PARTICLES, FrameOutcome.OVER_EXPOSED
        elif not cast.lit[i]:
            outcome = FrameOutcome.UNLIT
        large_from = int(np.searchsorted(found.area_px, min_area_px))
        small = Spectrum(*(column[:large_from] for column in found.columns))
        large = tuple(
            Large(None, float(area))
            for area in np.repeat(found.area_px[large_from:], found.count[large_from:])[::-1]
        )
        frames.append(FramePlan(float(cast.time_s[i] - start_s), Phase.DESCENT, outcome, small, large))
    rate_hz = max(1, len(frames) - 1) / max(1.0, frames[-1].time_s - frames[0].time_s)
    info = RecordingInfo(
        frame_rate_hz=float(f"{rate_hz:.6g}"),
        start_utc=datetime.datetime.fromtimestamp(start_s, tz=datetime.UTC),
        instrument=Instrument(unit=cast.unit),
        optics=cast.optics,
        position=cast.position,
        cruise=cast.cruise,
        profile=cast.profile,
    )
    # Sensors at one reading a second, and at every frame that was chosen.
    kept = np.unique(np.concatenate((chosen, np.unique(np.floor(cast.time_s), return_index=True)[1])))
    kept = kept[(kept >= chosen[0]) & (kept <= chosen[-1])]
    sensors = {
        "time_s": cast.time_s[kept] - start_s,
        "pressure_dbar": cast.pressure_dbar[kept],
        "temperature_c": cast.temperature_c[kept],
    }
    return Plan(info, tuple(frames), sensors)
