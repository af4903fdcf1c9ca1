"""What still decodes when messages are lost at random, without and with parity messages."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.telemetry import Codebook, Quantity, decode_messages

LOSS = 0.05
N_DRAWS = 500
MAX_PARITY = 3


@dataclass(frozen=True, slots=True)
class Content:
    """Messages of a dive, and how much of some tables each one holds when it comes alone.

    Attributes
    ----------
    messages
        In the order of sending.
    cells, objects
        Cells whose counts it tells and the particles in them, int64 (n_messages,).
    """

    messages: tuple[bytes, ...]
    cells: NDArray[np.int64]
    objects: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Survival:
    """Means over draws: share of cells and of particles that decode, and of dives that are whole.

    `parity_bytes` is what parity costs a dive, headers not counted.
    """

    cells: float
    objects: float
    whole: float
    parity_bytes: float


def content(messages: Sequence[bytes], codebook: Codebook, quantities: Collection[Quantity]) -> Content:
    """Decode every message by itself."""
    cells, objects = [], []
    for message in messages:
        (dive,) = decode_messages([message], [codebook])
        tables = [phase.tables[q] for phase in dive.phases.values() for q in quantities if q in phase.tables]
        cells.append(sum(int((table.last - table.first).sum()) for table in tables))
        objects.append(sum(int(table.value.sum()) for table in tables))
    return Content(tuple(messages), np.array(cells), np.array(objects))


def survive(dives: Sequence[Content], n_parity: int, seed: int = 1) -> Survival | None:
    """Lose messages of dives in turn, parity messages among them; None when parity is not here.

    The same messages are lost whatever `n_parity` is.
    """
    code = _parity() if n_parity else None
    if n_parity and code is None:
        return None
    parity = [code.parity_bodies(dive.messages, n_parity) if code else () for dive in dives]
    rng = np.random.default_rng(seed)
    known: dict[tuple[int, bytes], NDArray[np.bool_]] = {}
    shares = np.zeros((N_DRAWS, 3))
    for draw in range(N_DRAWS):
        which = draw % len(dives)
        dive, bodies = dives[which], parity[which]
        n = len(dive.messages)
        arrived = rng.random(n + MAX_PARITY) >= LOSS
        here = arrived[:n]
        if code and not here.all():
            pattern = which, arrived[: n + n_parity].tobytes()
            if pattern not in known:
                present = {i: dive.messages[i] for i in np.flatnonzero(here).tolist()}
                left = {i: bodies[i] for i in range(n_parity) if arrived[n + i]}
                known[pattern] = here | _restored(code, dive.messages, present, left, n_parity)
            here = known[pattern]
        shares[draw] = (
            dive.cells[here].sum() / dive.cells.sum(),
            dive.objects[here].sum() / max(1, dive.objects.sum()),
            here.all(),
        )
    parity_bytes = float(np.mean([sum(map(len, bodies)) for bodies in parity]))
    cells, objects, whole = shares.mean(axis=0).tolist()
    return Survival(cells, objects, whole, parity_bytes)


def _parity() -> Any:
    """The module of parity messages; None when this version, or what it needs, is not installed."""
    try:
        return importlib.import_module("edge.telemetry.parity")
    except ImportError:
        return None


def _restored(
    code: Any, messages: Sequence[bytes], present: dict[int, bytes], parity: dict[int, bytes], n_parity: int
) -> NDArray[np.bool_]:
    """Which messages parity brings back; one that comes back other than it was sent is an error."""
    back = np.zeros(len(messages), dtype=np.bool_)
    for part, message in code.restore(len(messages), present, parity, n_parity).items():
        if message != messages[part]:
            raise RuntimeError(f"parity made another message {part} than was sent")
        back[part] = True
    return back
