"""What is done at each depth, and what it may cost: the zones of a dive and the budget that they share. Pure.

A zone's share of a budget is kept for it: whatever another has used up, it can be spent in the zone, on the
way down or up. What is done less of is never hidden: a particle without a name is counted as such, a
vignette that is not kept is counted, and frames have their times.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from edge.config import Config, PhaseName, ZoneConfig
from edge.frame import Phase

ELSEWHERE = -1
"""Number of the zone outside all zones."""


class Good(enum.StrEnum):
    """What a budget is of."""

    CLASSIFY_S = "classify_s"
    VIGNETTE_BYTES = "vignette_bytes"
    ENERGY_J = "energy_j"


@dataclass(frozen=True, slots=True)
class Orders:
    """What is done with the next frame.

    Attributes
    ----------
    zone
        Number of the zone, or `ELSEWHERE`.
    period_s
        Time from this frame to the next; None is the camera's own.
    frames_per_bloc, black_every, classify, save
        As `ZoneConfig` has them.
    spent
        What the zone's share is used up of.
    """

    zone: int
    period_s: float | None
    frames_per_bloc: int
    black_every: int | None
    classify: bool
    save: bool
    spent: tuple[Good, ...] = ()


class Schedule:
    """The zones of a configuration, and what a dive has spent in each.

    Parameters
    ----------
    config
        Its `mission.zones` and `mission.budget`; camera and log where a zone says nothing.
    spent
        By good, what each zone has spent before a restart: see `spent`.
    """

    def __init__(self, config: Config, spent: dict[str, list[float]] | None = None) -> None:
        self._config, self._zones = config, config.mission.zones
        budget = config.mission.budget
        bounds = {
            Good.CLASSIFY_S: budget.classify_s,
            Good.VIGNETTE_BYTES: None if budget.vignettes_mb is None else budget.vignettes_mb * 1e6,
            Good.ENERGY_J: budget.energy_j,
        }
        self._bounds = {good: bound for good, bound in bounds.items() if bound is not None}
        shares = [zone.share for zone in self._zones] or [1.0]
        total = sum(shares) or 1.0
        # The last place is that of `ELSEWHERE`: nothing is kept for it, unless there are no zones.
        self._shares = [*(share / total for share in shares), 0.0] if self._zones else [1.0]
        self._spent = {good: [0.0] * len(self._shares) for good in Good}
        for good, amounts in (spent or {}).items():
            if good in self._spent and len(amounts) == len(self._shares):
                self._spent[Good(good)] = list(amounts)

    @property
    def spent(self) -> dict[str, list[float]]:
        """By good, what each zone has spent, for the log; last what was spent outside all zones."""
        return {good.value: list(amounts) for good, amounts in self._spent.items()}

    def at(self, phase: Phase, pressure_dbar: float) -> Orders:
        """What is done at a place."""
        number = self._zone(phase, pressure_dbar)
        config = self._config
        zone = ZoneConfig() if number == ELSEWHERE else self._zones[number]
        used_up = tuple(good for good in self._bounds if self.left(good, number) <= 0)
        is_tired = Good.ENERGY_J in used_up
        period_s = None if zone.frame_rate_hz is None else 1 / zone.frame_rate_hz
        if is_tired:
            period_s = max(period_s or 0.0, 1 / config.mission.budget.rest_frame_rate_hz)
        return Orders(
            number,
            period_s,
            zone.frames_per_bloc or config.log.frames_per_bloc,
            zone.black_every,
            zone.classify and not is_tired and Good.CLASSIFY_S not in used_up,
            zone.save and not is_tired and Good.VIGNETTE_BYTES not in used_up,
            used_up,
        )

    def spend(self, zone: int, good: Good, amount: float) -> None:
        """Something was spent in a zone."""
        self._spent[good][zone] += amount

    def left(self, good: Good, zone: int) -> float:
        """What may still be spent in a zone: all that is left, but for what is kept for the others."""
        bound = self._bounds.get(good)
        if bound is None:
            return math.inf
        spent = self._spent[good]
        zone %= len(spent)
        kept = sum(
            max(0.0, share * bound - used)
            for i, (share, used) in enumerate(zip(self._shares, spent, strict=True))
            if i != zone
        )
        return bound - sum(spent) - kept

    def _zone(self, phase: Phase, pressure_dbar: float) -> int:
        name = PhaseName(phase.name.lower())
        for i, zone in enumerate(self._zones):
            is_there = zone.from_dbar <= pressure_dbar < zone.to_dbar
            if name in zone.phases and (is_there or (phase is Phase.PARK and math.isnan(pressure_dbar))):
                return i
        return ELSEWHERE
