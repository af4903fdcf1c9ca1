"""The pictures of a model card, as SVG: confusion matrix and reliability diagram. Pure.

Right answers are blue and mistakes orange, so that colour-blind eyes tell them apart; darker is more.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Shares of a true class's images between which a colour stays the same."""
RIGHT = ("#e1edf5", "#bfd9e8", "#8cbad6", "#5297c1", "#2170a3", "#0b3f6b")
WRONG = ("#fdeedd", "#fbd2a4", "#f4a862", "#dd7a24", "#b25208", "#74300a")
MANY_CLASSES = 40


def colour_key() -> list[tuple[str, str, str]]:
    """Legend of the matrix: percent of the row, colour of right answers, colour of mistakes."""
    words = [f"{100 * low:g}–{100 * high:g}" for low, high in pairwise(LEVELS)]
    return list(zip(words, RIGHT, WRONG, strict=True))


def confusion_svg(
    confusion: NDArray[np.int64], names: Sequence[str], clusters: Sequence[tuple[int, int]] = ()
) -> tuple[str, float]:
    """Picture of a (k, k) confusion matrix, rows the true classes; colour by share of the row.

    Returned with the share of its width that the labels take.

    Parameters
    ----------
    confusion, names
        In the order in which they are shown.
    clusters
        [first, last) of classes that belong together: they get a frame.
    """
    k = len(names)
    cell, font = (18, 11.5) if k <= MANY_CLASSES else (9, 8.5)
    margin = 14 + round(0.56 * font * min(max(len(name) for name in names), 40))
    end = margin + k * cell
    true = confusion.sum(axis=1)
    share = confusion / np.maximum(true, 1)[:, np.newaxis]
    level = np.searchsorted(LEVELS, share, side="left") - 1
    diagonal = np.eye(k, dtype=np.bool_)
    parts = [f'<rect width="{k}" height="{k}" fill="#fff"/>']
    empty = "".join(f"M0 {i}h{k}v1H0z" for i in np.flatnonzero(true == 0).tolist())
    parts.append(f'<path class="empty" d="{empty}"/>' if empty else "")
    for where, colours in ((diagonal, RIGHT), (~diagonal, WRONG)):
        for i, colour in enumerate(colours):
            chosen = np.argwhere(where & (level == i) & (confusion > 0)).tolist()
            squares = "".join(f"M{column} {row}h1v1h-1z" for row, column in chosen)
            parts.append(f'<path fill="{colour}" d="{squares}"/>' if squares else "")
    lines = "".join(f"M0 {i}h{k}M{i} 0v{k}" for i in range(k + 1))
    frames = "".join(
        f"M{first} {first}h{last - first}v{last - first}h{first - last}z" for first, last in clusters
    )
    parts.append(f'<path class="grid" d="{lines}"/><path class="clusters" d="{frames}"/>')
    parts.append('<path class="cross" d=""/>')
    labels = []
    for i, name in enumerate(names):
        at, text = (
            margin + (i + 0.5) * cell + 0.35 * font,
            escape(name if len(name) <= 40 else name[:39] + "…"),
        )
        kind = "" if true[i] else ' class="quiet"'
        labels.append(f'<text x="{margin - 5}" y="{at:.1f}" text-anchor="end"{kind}>{text}</text>')
        labels.append(f'<text transform="translate({at:.1f} {margin - 5}) rotate(-90)"{kind}>{text}</text>')
    picture = (
        f'<svg id="matrix" xmlns="http://www.w3.org/2000/svg" width="{end + 2}" height="{end + 2}" '
        f'viewBox="0 0 {end + 2} {end + 2}" data-margin="{margin}" data-cell="{cell}" role="img" '
        f'aria-label="Confusion matrix of {k} classes; the most frequent mistakes are listed below it">'
        f'<g font-size="{font}">{"".join(labels)}</g>'
        f'<g transform="translate({margin} {margin}) scale({cell})">{"".join(parts)}</g></svg>'
    )
    return picture, margin / (end + 2)


def reliability_svg(facts: dict[str, Any]) -> str:
    """How often answers of a score are right: images, mean score and share right, by bin of the score."""
    n, score, right = (np.array(facts[name], dtype=np.float64) for name in ("n", "score", "right"))
    side, left, top, low = 300, 46, 8, 60
    bottom = top + side
    width = side / len(n)
    parts = []
    for tick in (0, 0.2, 0.4, 0.6, 0.8, 1):
        x, y = left + tick * side, bottom - tick * side
        parts.append(f'<path class="grid" d="M{left} {y:g}h{side}M{x:g} {top}v{side}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:g}" text-anchor="end">{tick:g}</text>')
        parts.append(f'<text x="{x:g}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<path class="ideal" d="M{left} {bottom}L{left + side} {top}"/>')
    points = []
    for i in np.flatnonzero(n).tolist():
        x, y = left + score[i] * side, bottom - right[i] * side
        words = f"{n[i]:.0f} images, score {score[i]:.2f}: {100 * right[i]:.0f} % right"
        points.append(f"{x:.1f} {y:.1f}")
        parts.append(f'<path class="gap" d="M{x:.1f} {y:.1f}V{bottom - score[i] * side:.1f}"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{words}</title></circle>')
        height = low * n[i] / n.max()
        parts.append(
            f'<rect x="{left + i * width + 1:.1f}" y="{bottom + 44 + low - height:.1f}" '
            f'width="{width - 2:.1f}" height="{height:.1f}"><title>{words}</title></rect>'
        )
    parts.append(f'<path class="line" d="M{"L".join(points)}"/>' if points else "")
    parts.append(f'<text x="{left + side / 2}" y="{bottom + 32}" text-anchor="middle">score</text>')
    for words, middle in (("share right", top + side / 2), ("images", bottom + 44 + low / 2)):
        turn = f"translate(12 {middle:g}) rotate(-90)"
        parts.append(f'<text transform="{turn}" text-anchor="middle">{words}</text>')
    return (
        f'<svg class="reliability" xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="0 0 {left + side + 12} {bottom + 48 + low}" role="img" '
        f'aria-label="Reliability diagram">{"".join(parts)}</svg>'
    )
