"""Compares what two machines found: the same bytes, but for fast kernels, which may be one unit apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FAST = "xnnpack/"
"""Outputs that may differ by one unit, where the winner is clear."""
BY_SCORE = " by score "
"""What may differ, because it follows from such outputs; it is told, and decides nothing."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Lines for people, and whether all is as it must be."""

    lines: tuple[str, ...]
    is_right: bool


def compare(here: Path, there: Path) -> Comparison:
    """Compare two files of `tests.board.findings`."""
    with np.load(here) as one, np.load(there) as other:
        a, b = dict(one), dict(other)
    lines, is_right = [], True
    for name in sorted(a.keys() ^ b.keys()):
        lines.append(f"DIFFERENT {name}: only one machine has it")
        is_right = False
    parts: dict[str, list[str]] = {}
    for name in sorted(a.keys() & b.keys()):
        if name.startswith(FAST):
            line, good = _compare_outputs(a[name], b[name])
            lines.append(f"{'within 1 ' if good else 'DIFFERENT'} {name}: {line}")
            is_right &= good
        elif a[name].dtype == b[name].dtype and a[name].tobytes() == b[name].tobytes():
            parts.setdefault("/".join(name.split("/")[:2]), []).append(name)
        else:
            may = BY_SCORE in f" {name.split('/')[-1]} "
            lines.append(f"{'may differ' if may else 'DIFFERENT'} {name}: {_difference(a[name], b[name])}")
            is_right &= may
    told = (f"same      {part}: {_count(names)}" for part, names in parts.items())
    return Comparison((*told, *lines), is_right)


def _count(names: Iterable[str]) -> str:
    n = len(list(names))
    return "1 table" if n == 1 else f"{n} tables"


def _compare_outputs(a: NDArray[np.int8], b: NDArray[np.int8]) -> tuple[str, bool]:
    """int8 outputs, (N, k): how many vignettes have the same, by how much others differ, who wins."""
    if a.shape != b.shape:
        return f"shapes {a.shape} and {b.shape}", False
    apart = np.abs(a.astype(np.int64) - b).max(axis=1)
    ranked = np.sort(a.astype(np.int64), axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > 1
    other = a.argmax(axis=1) != b.argmax(axis=1)
    same = int((apart == 0).sum())
    line = (
        f"{100 * same / len(a):.1f} % of {len(a)} vignettes identical, others up to {apart.max()} apart; "
        f"{other.sum()} other winners, {(other & clear).sum()} of them where it was clear"
    )
    return line, bool(apart.max() <= 1 and not (other & clear).any())


def _difference(a: Array, b: Array) -> str:
    if a.shape != b.shape:
        return f"shapes {a.shape} and {b.shape}"
    if a.dtype.kind in "US":
        where = np.flatnonzero(a != b)
        first = int(where[0]) if a.ndim and len(where) else ()
        return f"{len(where)} of {a.size}, first {str(a[first])[:90]} and {str(b[first])[:90]}"
    unlike = ~((a == b) | ((a != a) & (b != b)))  # noqa: PLR0124 NaN
    first = np.flatnonzero(unlike.ravel())[:1]
    if not first.size:
        return f"types {a.dtype} and {b.dtype}, or signs of zero"
    x, y = a.ravel()[first[0]], b.ravel()[first[0]]
    return f"{unlike.sum()} of {a.size}, first number {first[0]}: {x!r} and {y!r}"
