"""The words about the instrument itself: its health, and what became of commands from shore. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.telemetry.health import HEALTH_FIELDS, Health
from edge.telemetry.replies import Reply


@dataclass(frozen=True, slots=True)
class HealthRow:
    """One number of the instrument's health, on board and on shore; "–" where nobody there knows it."""

    words: str
    board: str
    shore: str


def health_rows(board: Health | None, shore: Health | None) -> list[HealthRow]:
    """What either knows, in the order in which it is sent."""
    rows = []
    for field in HEALTH_FIELDS:
        values = [None if one is None else getattr(one, field.name) for one in (board, shore)]
        if any(value is not None for value in values):
            rows.append(HealthRow(field.words, *(field.text(value) for value in values)))
    return rows


def unknown_health(board: Health | None) -> str:
    """A sentence about what the board did not know of itself, or ""."""
    names = [field.words for field in HEALTH_FIELDS if board is None or getattr(board, field.name) is None]
    return f"Not known on board: {'; '.join(names)}." if names else ""


def reply_rows(board: Sequence[Reply], shore: Sequence[Reply]) -> list[tuple[Reply, bool]]:
    """Every reply, in the order of sending, and whether it came to shore."""
    return [(reply, reply in shore) for reply in board]
