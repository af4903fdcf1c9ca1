"""What a fleet's page, or a comparison, needs of each dive: from its log, or from its messages alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.errors import InputError, SestonError
from edge.frame import SIZED_OUTCOMES
from edge.telemetry.health import Condition, Health
from edge.telemetry.summary import Quantity
from edge.telemetry.whole_dive import condition_of, health_of
from tools.shore.decode import SUFFIXES
from tools.shore.dives import LOG, LoggedDive, open_dive
from tools.shore.science.analysis import Science, analyse
from tools.shore.science.carbon import Relations
from tools.shore.science.from_messages import from_messages
from tools.shore.science.reading import read_log

NO_DIVE = ("other", "aside", "inbox")
"""Folders of `seston receive` that hold messages of no dive."""


@dataclass(frozen=True, slots=True)
class Digest:
    """One dive in short.

    Attributes
    ----------
    path
        Its folder, or its log.
    science
        Without the particles one by one.
    from_log
        Whether the log was at hand; else messages alone.
    sent_bytes, n_messages
        Of all messages that were sent, or that came.
    budget_bytes
        What was allowed; None where only messages are at hand.
    frames, sized_frames
        Captured, and those in which every particle was counted; None where that is not known.
    health, condition
        Of the instrument, None where unknown.
    """

    path: Path
    science: Science
    from_log: bool
    sent_bytes: int
    n_messages: int
    budget_bytes: int | None
    frames: int | None
    sized_frames: int | None
    health: Health | None
    condition: Condition | None

    @property
    def platform(self) -> str:
        """Name of the float, or a word for one without."""
        return self.science.seen.platform or "unnamed float"

    @property
    def number(self) -> int:
        """Of the dive."""
        return self.science.seen.number

    @property
    def started_ms(self) -> int | None:
        """UTC; None where nobody knows."""
        return self.science.seen.started_ms


def digest(path: Path, relations: Relations) -> Digest:
    """A dive in short; raises `SestonError`s in a sentence where it cannot be read."""
    with open_dive(path) as dive:
        decoded = dive.decoded
        outcomes, known = decoded.totals(Quantity.FRAMES)
        if isinstance(dive, LoggedDive):
            science = _lightened(analyse(read_log(dive), relations, correct_layers=False))
            sizes, budget = list(map(len, dive.log.messages())), dive.config.telemetry.budget_bytes
            health, condition = dive.summary.health, dive.summary.condition
        else:
            science = analyse(from_messages(dive), relations)
            sizes, budget = list(map(len, dive.messages.values())), None
            health, condition = health_of(decoded), condition_of(decoded)
        return Digest(
            path,
            science,
            isinstance(dive, LoggedDive),
            sum(sizes),
            len(sizes),
            budget,
            int(outcomes.sum()) if known else None,
            int(outcomes[list(SIZED_OUTCOMES)].sum()) if known else None,
            health,
            condition,
        )


def _lightened(science: Science) -> Science:
    return dataclasses.replace(
        science, seen=dataclasses.replace(science.seen, named=None, frames={}), shapes=None
    )


def find_dives(folders: Iterable[Path]) -> list[Path]:
    """Dives in some folders and below: those with a log, and those with messages alone. Sorted, each once."""
    found: dict[Path, None] = {}
    for folder in folders:
        if not folder.is_dir():
            raise InputError("is no folder", file=folder, field="--fleet", remedy="name folders of dives")
        logs = {file.parent for file in sorted(folder.rglob(LOG))}
        found |= dict.fromkeys(sorted(logs))
        for file in sorted(folder.rglob("*")):
            place = file.parent
            if file.suffix.lower() not in SUFFIXES or place.name in NO_DIVE:
                continue
            of = place.parent if place.name == "messages" else place
            if of not in logs and place not in logs:
                found[of] = None
    return list(found)


def read_fleet(paths: Sequence[Path], relations: Relations) -> tuple[list[Digest], list[str]]:
    """Dives in the order of platform and time, and a sentence on each that was not taken.

    Of a dive that is there as a log and as messages the log is taken.
    """
    taken: dict[tuple[str, int], Digest] = {}
    said = []
    for path in paths:
        try:
            one = digest(path, relations)
        except SestonError as error:
            said.append(str(error))
            continue
        key = one.platform, one.number
        other = taken.get(key)
        if other is None or (one.from_log and not other.from_log):
            taken[key] = one
        aside = other if taken[key] is one else one
        if aside is not None:
            said.append(
                f"{aside.path}: dive {one.number} of {one.platform} is there twice; {taken[key].path} "
                "is shown."
            )
    ordered = sorted(
        taken.values(), key=lambda d: (d.platform, d.started_ms is None, d.started_ms or 0, d.number)
    )
    return ordered, said
