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
from edge.telemetry.split_law import ONE as _ONE
from edge.telemetry.split_law import split

MAX_COUNT = (1 << 42) - 1
"""Largest count of a column."""

Levels = list[list[int]]
"""Counts of the nodes of a tree by level, from the root down."""

_LENGTH_BASE = tuple(max(1, 48 >> max(0, (length - 12) // 2)) for length in range(MAX_COUNT.bit_length() + 1))
_LENGTH_NEAR = (160, 120, 48, 16)
"""Frequencies of a total's bit length: by itself, and by its distance to that of the column before."""


@dataclass(frozen=True, slots=True)
class SplitLaw:
    """What is expected of the halves of a node, by the scale of the node. A table, so that it can be learned.

    Scale s holds nodes whose span (dbar, or what the caller counts in) is above 2 ** (s - 1), at most 2 ** s.
    A half is expected to hold more than its share of the climatology where the node and what is next to that
    half do; the weights say how much the neighbours count against the node itself.

    Attributes
    ----------
    beside, before, after
        Weights of the half above a node, of the one above that, and of the node below, 64ths.
    strength
        How sure the expectation is: sum of the parameters of the Beta law, 64ths.
    """

    beside: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    strength: tuple[int, ...]


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
    scales
        By level, without the last: the scale of each node that has two halves, -1 of those with one.
    """

    first: int
    last: int
    height: int
    cuts: tuple[tuple[int, ...], ...]
    scales: tuple[tuple[int, ...], ...]

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
    scales = []
    for level in range(root, height, -1):
        nodes = []
        for start, stop in itertools.pairwise(cuts[root - level]):
            middle = (start >> level << level) + (1 << level >> 1)
            two = start < middle < stop
            nodes.append((edges[stop] - edges[start] - 1).bit_length() if two else -1)
        scales.append(tuple(nodes))
    return Grid(first, last, height, cuts, tuple(scales))


def root_level(first: int, last: int) -> int:
    """Level of the smallest dyadic node that holds bins [first, last)."""
    return (first ^ (last - 1)).bit_length()


def _cuts(first: int, last: int, level: int) -> tuple[int, ...]:
    return first, *range(((first >> level) + 1) << level, last, 1 << level), last


def sum_levels(tree: Grid, column: Sequence[int]) -> Levels:
    """Sums of the nodes of a tree, by level, from the values of all bins of the phase."""
    sums = [0, *itertools.accumulate(column)]
    return [[sums[b] - sums[a] for a, b in itertools.pairwise(level)] for level in tree.cuts]


def code_column(
    coder: Coder,
    tree: Grid,
    law: SplitLaw,
    masses: Levels,
    known: Levels | None,
    total: int,
) -> Levels:
    """Code one column of counts over a tree, its total apart; returns its counts by level, the cells last.

    Parameters
    ----------
    masses
        Sums by node of what is expected, in any unit; all above 0 (`sum_levels`).
    known
        When encoding, the counts by level (`sum_levels`); None when decoding.
    total
        The count of the root.
    """
    levels = [[total]]
    for depth in range(len(tree.scales)):
        levels.append(
            code_level(coder, tree, law, masses, depth, levels, known[depth + 1] if known else None)
        )
    return levels


def code_level(
    coder: Coder,
    tree: Grid,
    law: SplitLaw,
    masses: Levels,
    depth: int,
    levels: Levels,
    known: Sequence[int] | None,
) -> list[int]:
    """Code the splits of one level; returns the counts of the level below.

    Counts are compared with what the masses expect of them, given the total of the column; one count is added
    to both, so that a neighbour without counts says little.
    """
    total, whole = levels[0][0], masses[0][0]
    parents, above, below = levels[depth], masses[depth], masses[depth + 1]
    children: list[int] = []
    n_parents, last_scale = len(parents), len(law.strength) - 1
    for i, scale in enumerate(tree.scales[depth]):
        n = parents[i]
        at = len(children)
        if scale < 0:
            children.append(n)
            continue
        if n == 0:
            children += (0, 0)
            continue
        s = min(scale, last_scale)
        left_mass, right_mass = below[at], below[at + 1]
        left_seen = right_seen = _ONE * (n + 1)
        left_due = right_due = _ONE * above[i]
        if at:
            weight = law.beside[s]
            left_seen += weight * children[-1]
            left_due += weight * below[at - 1]
            if at > 1:
                weight = law.before[s]
                left_seen += weight * children[-2]
                left_due += weight * below[at - 2]
        if i + 1 < n_parents:
            weight = law.after[s]
            right_seen += weight * parents[i + 1]
            right_due += weight * above[i + 1]
        left = left_mass * left_seen * (right_due * total // whole + _ONE)
        share = (left << 16) // (left + right_mass * right_seen * (left_due * total // whole + _ONE))
        strength = law.strength[s]
        count = split(coder, n, known[at] if known else 0, strength, share)
        children += (count, n - count)
    return children


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
