"""Counts along the bins of a profile as a dyadic tree: the total first, then ever finer halves. Pure.

Each node's count is split between its upper and lower half with a beta-binomial law whose expected share
comes from what both sides know already: the bins next to it, the columns before it. Lossless to any height,
cut at any bin. After wavelet-like multiresolution models of Poisson counts (Kolaczyk 1999).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from edge.telemetry.range_coder import Coder
from edge.telemetry.split_law import ONE, split

MAX_COUNT = (1 << 42) - 1
"""Largest count of a column."""

Levels = list[list[int]]
"""Counts of the nodes of a tree by level, from the root down."""

_LENGTH_BASE = tuple(max(1, 48 >> max(0, (length - 12) // 2)) for length in range(MAX_COUNT.bit_length() + 1))
_LENGTH_NEAR = (160, 120, 48, 16)
"""Frequencies of a total's bit length: by itself, and by its distance to that of the column before."""


@dataclass(frozen=True, slots=True)
class SplitParameters:
    """What is expected of the halves of a node, by the scale of the node. A table, so that it can be learned.

    Scale s holds nodes whose span (dbar, or what the caller counts in) is above 2 ** (s - 1), at most 2 ** s.

    Attributes
    ----------
    own
        Weight of the node's own density against that of its neighbours, sixteenths.
    damping
        Counts added to both halves before they are compared: noise of the neighbours.
    near
        Strength of an expectation made from neighbours, sixteenths.
    alone
        Strength where no neighbour is known: the first split of a column, sixteenths.
    trust
        Weight of the counts of earlier columns in the expectation, 256ths; 0 where columns are independent.
    limit
        Upper limit of the strength however much earlier columns tell, sixteenths.
    """

    own: tuple[int, ...]
    damping: tuple[int, ...]
    near: tuple[int, ...]
    alone: tuple[int, ...]
    trust: int = 0
    limit: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Grid:
    """Bins [first, last) of a phase and the dyadic tree over them.

    Node i of level h covers bins [i * 2**h, (i + 1) * 2**h) of the phase, as far as they are in the range: a
    cell of height h is the same bins in whatever message it travels.

    Attributes
    ----------
    first, last
        The range of bins.
    height
        Level of the cells, the leaves of the tree; 0 is single bins.
    cuts
        By level, from the root's down to `height`: the bins at which its nodes begin, and `last`.
    widths
        By level: the nodes' widths.
    splits
        By level, without the last: (width of the left half, width of the right half, scale) of each node. A
        half of width 0 lies outside the range, and there is nothing to split.
    """

    first: int
    last: int
    height: int
    cuts: tuple[tuple[int, ...], ...]
    widths: tuple[tuple[int, ...], ...]
    splits: tuple[tuple[tuple[int, int, int], ...], ...]

    @property
    def cells(self) -> tuple[int, ...]:
        """The bins at which the cells begin, and `last`."""
        return self.cuts[-1]


@functools.lru_cache(maxsize=256)
def grid(edges: tuple[int, ...], first: int, last: int, height: int) -> Grid:
    """Tree over bins [first, last) of a phase, down to `height` or the root, whichever is lower.

    `edges` are those of all bins of the phase, in a unit in which patches have some known size (dbar).
    """
    root = root_level(first, last)
    height = min(height, root)
    cuts = tuple(_cuts(first, last, level) for level in range(root, height - 1, -1))
    widths = tuple(tuple(edges[b] - edges[a] for a, b in itertools.pairwise(level)) for level in cuts)
    splits = []
    for level in range(root, height, -1):
        nodes = []
        for start, stop in itertools.pairwise(cuts[root - level]):
            middle = (start >> level << level) + (1 << level >> 1)
            middle = min(max(middle, start), stop)
            left, right = edges[middle] - edges[start], edges[stop] - edges[middle]
            nodes.append((left, right, (left + right - 1).bit_length()))
        splits.append(tuple(nodes))
    return Grid(first, last, height, cuts, widths, tuple(splits))


def root_level(first: int, last: int) -> int:
    """Level of the smallest dyadic node that holds bins [first, last)."""
    return (first ^ (last - 1)).bit_length()


def _cuts(first: int, last: int, level: int) -> tuple[int, ...]:
    return first, *range(((first >> level) + 1) << level, last, 1 << level), last


def sum_levels(tree: Grid, column: Sequence[int]) -> Levels:
    """Counts of the nodes of a tree, by level, from the counts of all bins of the phase."""
    sums = [0, *itertools.accumulate(column)]
    return [[sums[b] - sums[a] for a, b in itertools.pairwise(level)] for level in tree.cuts]


def code_column(
    coder: Coder, tree: Grid, law: SplitParameters, others: Levels | None, known: Levels | None, before: int
) -> Levels:
    """Code one column of counts over a tree; returns its counts by level, the cells last.

    Parameters
    ----------
    others
        Sums by node of the columns coded before over the same tree, or None.
    known
        When encoding, the counts by level (`sum_levels`); None when decoding.
    before
        Total of the column before, or -1.
    """
    levels = [[code_total(coder, before, known[0][0] if known else 0)]]
    for depth in range(len(tree.splits)):
        told = others[depth + 1] if others and law.trust else None
        levels.append(
            code_level(coder, tree, law, depth, levels[depth], told, known[depth + 1] if known else None)
        )
    return levels


def code_level(
    coder: Coder,
    tree: Grid,
    law: SplitParameters,
    depth: int,
    parents: Sequence[int],
    others: Sequence[int] | None,
    known: Sequence[int] | None,
) -> list[int]:
    """Code the splits of one level; returns the counts of the level below."""
    widths, half_widths = tree.widths[depth], tree.widths[depth + 1]
    children: list[int] = []
    for i, (w_left, w_right, scale) in enumerate(tree.splits[depth]):
        n = parents[i]
        if not (w_left and w_right):
            children.append(n)
            continue
        if n == 0:
            children += (0, 0)
            continue
        s = min(scale, len(law.near) - 1)
        at, width = len(children), w_left + w_right
        if at or i + 1 < len(parents):
            # Density of each half: a mean of the node's own and of what is known next to that half.
            mine = (n << 20) // width
            own = ((law.own[s] * n + ONE * law.damping[s]) << 20) // (ONE * width)
            upper = (children[-1] << 20) // half_widths[at - 1] if at else mine
            lower = (parents[i + 1] << 20) // widths[i + 1] if i + 1 < len(parents) else mine
            left_weight = w_left * (own + upper)
            share = (left_weight << 16) // (left_weight + w_right * (own + lower))
            strength = law.near[s]
        else:
            share = (w_left << 16) // width
            strength = law.alone[s]
        if others is not None:
            told = law.trust * (others[at] + others[at + 1]) >> 4  # in sixteenths, as `strength`
            share = (share * strength + (law.trust * others[at] << 12)) // (strength + told)
            strength += told
            strength = max(1, strength * law.limit[s] // (strength + law.limit[s]))
        left = split(coder, n, known[at] if known else 0, strength, share)
        children += (left, n - left)
    return children


def add_levels(a: Levels | None, b: Levels) -> Levels:
    """Sums node by node; None is nothing yet."""
    return b if a is None else [[x + y for x, y in zip(p, q, strict=True)] for p, q in zip(a, b, strict=True)]


def code_total(coder: Coder, before: int, value: int) -> int:
    """Code a total, 0 to `MAX_COUNT`: its bit length, then its bits. `before` is the one before it, or -1."""
    length = coder.symbol(_length_bounds(before.bit_length() if before >= 0 else -1), value.bit_length())
    if length < 2:
        return length
    return (1 << (length - 1)) + coder.uniform(1 << (length - 1), value - (1 << (length - 1)))


@functools.lru_cache(maxsize=64)
def _length_bounds(before: int) -> Sequence[int]:
    weights = list(_LENGTH_BASE)
    if before >= 0:
        for length in range(len(weights)):
            distance = abs(length - before)
            weights[length] += _LENGTH_NEAR[distance] if distance < len(_LENGTH_NEAR) else 0
    return (0, *itertools.accumulate(weights))
