"""The words about the instrument itself: its health, and what became of commands from shore. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.drift import Drift
from edge.telemetry.health import Condition, HealthField, Record
from edge.telemetry.replies import Reply


@dataclass(frozen=True, slots=True)
class HealthRow:
    """One number of the instrument's health, on board and on shore; "–" where nobody there knows it."""

    words: str
    board: str
    shore: str


def health_rows(board: Record | None, shore: Record | None) -> list[HealthRow]:
    """What either knows, in the order in which it is sent."""
    rows = []
    for field in _fields(board, shore):
        values = [None if one is None else getattr(one, field.name) for one in (board, shore)]
        if any(value is not None for value in values):
            rows.append(HealthRow(field.words, *(field.text(value) for value in values)))
    return rows


def _fields(*records: Record | None) -> tuple[HealthField, ...]:
    return next((one.FIELDS for one in records if one is not None), ())


def remarks(condition: Condition | None, threshold: int, drift: Drift | None) -> list[str]:
    """What the numbers mean, where they do not say it themselves."""
    said = []
    if drift is not None and drift.permille is not None:
        parts = (("size", drift.size), ("grey", drift.grey), ("score", drift.score))
        alone = ", ".join(f"{name} {value / 1000:.3f}" for name, value in parts if value is not None)
        said.append(
            f"Drift of {drift.particles:,} particles: {alone}. 0 is like the images that the model was "
            "tested on, taxon by taxon, 1 has nothing in common with them; by chance it is up to "
            f"{drift.by_chance_permille / 1000:.3f}."
        )
    if condition is not None and (condition.noise_threshold or 0) > threshold:
        said.append(
            f"Without light, noise reaches grey {condition.noise_threshold}: the threshold of {threshold} "
            "counts it as particles."
        )
    return said


def unknown_health(*board: Record | None) -> str:
    """A sentence about what the board did not know of itself, or ""."""
    known = [one for one in board if one is not None]
    names = [field.words for one in known for field in one.FIELDS if getattr(one, field.name) is None]
    return f"Not known on board: {'; '.join(names)}." if names else ""


def reply_rows(board: Sequence[Reply], shore: Sequence[Reply]) -> list[tuple[Reply, bool]]:
    """Every reply, in the order of sending, and whether it came to shore."""
    return [(reply, reply in shore) for reply in board]
