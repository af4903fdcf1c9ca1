"""What both ends of the link expect of a dive before they count: flat, or by the climatology. Pure.

Laws say how sure an expectation is; masses say where, in any unit, counts of a column are expected.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from edge.frame import Phase
from edge.telemetry.climatology import MEAN_ONE, Climatology, rebin
from edge.telemetry.codebook import Codebook
from edge.telemetry.count_tree import Levels, SplitLaw, grid, sum_levels
from edge.telemetry.integer_math import log2
from edge.telemetry.laws import (
    REGIONAL_SIZES,
    REGIONAL_TAXA,
    REGIONAL_TOTALS,
    SIZES,
    SPLITS,
    TOTALS,
)
from edge.telemetry.size_spectra import RowLaw
from edge.telemetry.summary import WHOLE_DIVE, Quantity, n_columns, tree_edges

_FALL = 1 << 20
"""Mass of the smallest size class where nothing is known; each next class has half: particles fall off so."""
_UNKNOWN_TOTAL = 1000 * MEAN_ONE
MAX_SHIFT = 12
"""Most steps of the climatology by which the water of a dive may lie deeper or shallower."""
_MOST = 1 << 20
Ints = NDArray[np.int64]
Masses = tuple[tuple[int, ...], ...]


class Expectation:
    """Laws and masses of a codebook, with or without a climatology; what was looked up is kept."""

    def __init__(self, codebook: Codebook, climatology: Climatology | None = None) -> None:
        self.codebook, self.climatology = codebook, climatology
        self._masses: dict[tuple[int, ...], Masses] = {}
        self._levels: dict[tuple[int, ...], Levels] = {}

    def is_regional(self, quantity: Quantity, scope: int) -> bool:
        """Whether the climatology says anything of a table."""
        if self.climatology is None or scope == Phase.PARK:
            return False
        if quantity is Quantity.TAXA:
            return bool(self.climatology.taxa)
        return quantity is Quantity.SIZES and (
            self.climatology.size_class_limits_um == self.codebook.optics.size_class_limits_um
        )

    def split_law(self, quantity: Quantity, scope: int) -> SplitLaw:
        """How the counts of a column split."""
        return REGIONAL_TAXA if self.is_regional(quantity, scope) else SPLITS[quantity]

    def row_law(self, quantity: Quantity, scope: int) -> RowLaw:
        """How the counts of a row are known."""
        regional = self.is_regional(quantity, scope)
        if quantity is Quantity.TAXA:
            return REGIONAL_TOTALS if regional else TOTALS
        return REGIONAL_SIZES if regional else SIZES

    def total(
        self, quantity: Quantity, scope: int, n_bins: int, shift: int, column: int, first: int, last: int
    ) -> int:
        """Mean count of bins [first, last) of a column, thousandths; 0 where it is not known."""
        if not self.is_regional(quantity, scope) or not self._knows(quantity, column):
            return 0
        return sum(self.masses(quantity, scope, n_bins, shift)[column][first:last])

    def masses(self, quantity: Quantity, scope: int, n_bins: int, shift: int) -> Masses:
        """What is expected of each column, bin by bin; all above 0.

        `shift` is how many steps deeper than in the climatology the water lies: heaved by internal waves, a
        layer keeps its particles.
        """
        key = quantity, scope, n_bins, shift
        if key not in self._masses:
            self._masses[key] = self._make_masses(quantity, scope, n_bins, shift)
        return self._masses[key]

    def best_shift(self, quantity: Quantity, scope: int, counts: Ints) -> int:
        """Shift at which the climatology tells the depths of some counts best, int64 (n_bins, n_columns)."""
        if not self.is_regional(quantity, scope) or scope == WHOLE_DIVE or not counts.any():
            return 0
        n_bins = len(counts)
        scores = []
        for shift in range(-MAX_SHIFT, MAX_SHIFT + 1):
            masses = np.array(self.masses(quantity, scope, n_bins, shift), dtype=np.int64).T
            share = log2(masses) - log2(masses.sum(axis=0))
            scores.append(int((np.minimum(counts, _MOST) * share).sum()))
        return max(
            range(-MAX_SHIFT, MAX_SHIFT + 1), key=lambda shift: (scores[shift + MAX_SHIFT], -abs(shift))
        )

    def levels(
        self,
        quantity: Quantity,
        scope: int,
        n_bins: int,
        shift: int,
        column: int,
        first: int,
        last: int,
        height: int,
    ) -> Levels:
        """Masses of a column by the nodes of its tree."""
        if not self.is_regional(quantity, scope):
            column = 0  # all columns alike
        key = quantity, scope, n_bins, shift, column, first, last, height
        if key not in self._levels:
            if len(self._levels) > 512:
                self._levels.clear()
            tree = grid(tree_edges(self.codebook, scope, n_bins), first, last, height)
            self._levels[key] = sum_levels(tree, self.masses(quantity, scope, n_bins, shift)[column])
        return self._levels[key]

    def _knows(self, quantity: Quantity, column: int) -> bool:
        assert self.climatology is not None
        return quantity is not Quantity.TAXA or (self.codebook.taxa[column].label in self.climatology.taxa)

    def _make_masses(self, quantity: Quantity, scope: int, n_bins: int, shift: int) -> Masses:
        columns = n_columns(self.codebook, quantity)
        if not self.is_regional(quantity, scope):
            if scope == WHOLE_DIVE:
                widths: tuple[int, ...] = (1,)
            else:
                edges = tree_edges(self.codebook, scope, n_bins)
                widths = tuple(b - a for a, b in itertools.pairwise(edges))
            if quantity in (Quantity.SIZES, Quantity.NOISE):
                return tuple(
                    tuple(width * max(1, _FALL >> column) for width in widths) for column in range(columns)
                )
            return (widths,) * columns
        climatology = self.climatology
        assert climatology is not None
        if scope == WHOLE_DIVE:
            edges = (0, self.codebook.profile.max_dbar)
        else:
            edges = self.codebook.edges(Phase(scope), n_bins)
        if quantity is Quantity.SIZES:
            return tuple(rebin(steps, climatology.step_dbar, edges, shift) for steps in climatology.sizes)
        known = climatology.taxa
        flat = tuple(max(1, (b - a) * _UNKNOWN_TOTAL // edges[-1]) for a, b in itertools.pairwise(edges))
        return tuple(
            rebin(known[taxon.label], climatology.step_dbar, edges, shift) if taxon.label in known else flat
            for taxon in self.codebook.taxa
        )
