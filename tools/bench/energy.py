"""Joules of a float's cycle, and days on a battery, from what a frame costs and where it is taken. Pure.

The schedule is the instrument's own (`edge.schedule`): zones by phase and pressure. The float sinks and rises
at one speed and rests between; the board is on while it sinks and rises, and in the park phase if it
parks in a zone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from edge.config import Config
from edge.frame import Phase
from edge.schedule import ELSEWHERE, Schedule
from tools.bench.boards import Board, Machine

SECONDS_A_DAY = 86_400.0
PARK_DBAR = 1000.0
SURFACE_DBAR = 200.0
"""Above it frames are as at the surface, below as in a real cast."""
MEMORY_STAGES = ("capture", "background", "threshold")
"""What reads whole frames and computes little: it goes with the speed of memory."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a frame costs where it was measured.

    Attributes
    ----------
    cpu_s
        Processor time by stage, s.
    written_bytes
        That the disk was made to write.
    """

    cpu_s: Mapping[str, float]
    written_bytes: float


@dataclass(frozen=True, slots=True)
class Cycle:
    """What a float does again and again.

    Attributes
    ----------
    days
        From dive to dive.
    dive_dbar
        Deepest.
    speed_dbar_s
        Of sinking and rising.
    """

    days: float = 10.0
    dive_dbar: float = 1000.0
    speed_dbar_s: float = 0.1


@dataclass(frozen=True, slots=True)
class Spent:
    """What a cycle costs: frames, time that the board is on and busy, s, bytes written, and energy, J."""

    frames: float
    on_s: float
    busy_s: float
    written_bytes: float
    idle_j: float
    busy_j: float
    frame_j: float
    late_share: float

    @property
    def joules(self) -> float:
        """All of it."""
        return self.idle_j + self.busy_j + self.frame_j


def seconds_on(board: Board, cost: Cost, here: Machine) -> float:
    """Processor time of a frame on one core of a board, s: an estimate from published numbers."""
    by_core, by_memory = here.mips / board.mips, here.memcpy_mb_s / board.memcpy_mb_s
    return sum(
        seconds * (max(by_core, by_memory) if stage in MEMORY_STAGES else by_core)
        for stage, seconds in cost.cpu_s.items()
    )


def spend(
    config: Config, cycle: Cycle, board: Board, here: Machine, costs: Mapping[tuple[bool, bool], Cost]
) -> Spent:
    """Add up a cycle, one dbar at a time.

    Parameters
    ----------
    config
        For zones, the camera's frame rate, and the energy of a frame's camera and light (`budget.frame_j`).
    costs
        By (at the surface, classified).
    """
    schedule = Schedule(config)
    park_dbar = min(PARK_DBAR, cycle.dive_dbar)
    has_park = schedule.at(Phase.PARK, park_dbar).zone != ELSEWHERE
    camera_s = 1 / config.run.camera.frame_rate_hz
    step_s = 1 / cycle.speed_dbar_s
    transit_s = 2 * cycle.dive_dbar * step_s
    park_s = max(0.0, cycle.days * SECONDS_A_DAY - transit_s)
    places = [
        (phase, dbar + 0.5, step_s)
        for phase in (Phase.DESCENT, Phase.ASCENT)
        for dbar in range(math.ceil(cycle.dive_dbar))
    ]
    if has_park:
        places.append((Phase.PARK, park_dbar, park_s))
    frames = busy_s = written = late = 0.0
    for phase, dbar, seconds in places:
        orders = schedule.at(phase, dbar)
        n = seconds / (camera_s if orders.period_s is None else orders.period_s)
        cost = costs[dbar < SURFACE_DBAR, orders.classify]
        each_s = seconds_on(board, cost, here)
        taken = min(n, seconds / each_s)
        frames, busy_s, late = frames + taken, busy_s + taken * each_s, late + n - taken
        written += taken * cost.written_bytes
    on_s = transit_s + (park_s if has_park else 0.0)
    budget = config.mission.budget
    return Spent(
        frames, on_s, busy_s, written, on_s * board.idle_w, busy_s * board.core_w, frames * budget.frame_j,
        late / max(frames + late, 1e-9),
    )  # fmt: skip


def days_on(battery_wh: float, cycle: Cycle, spent: Spent, off_w: float = 0.0) -> float:
    """Days that a battery lasts; `off_w` is what is taken while the board is off."""
    off_j = off_w * max(0.0, cycle.days * SECONDS_A_DAY - spent.on_s)
    return battery_wh * 3600 / (spent.joules + off_j) * cycle.days
