"""What dives of a region hold on average, learned from dives at hand, for the coder of the next ones.

Counts are averaged by depth and smoothed where few were seen. A dive counts as much as another, whatever it
holds, so that one bloom does not become the region.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.frame import Phase
from edge.profile import PhaseProfile
from edge.telemetry.climatology import MAX_MEAN, MEAN_ONE, Climatology
from edge.telemetry.codebook import Codebook
from edge.telemetry.expectation import MAX_SHIFT

Floats = NDArray[np.float64]

STEP_DBAR = 5
_NARROW_STEPS, _WIDE_STEPS = 1.0, 5.0
"""Standard deviations of the smoothing where much was seen, and where little was."""
_ENOUGH = 15.0
"""Counts seen around a depth at which the narrow smoothing weighs as much as the wide one."""
_FLOOR = 1e-3
_ROUNDS = 4
_LEAST_SPREAD = 0.05


def fit_climatology(dives: Sequence[tuple[Codebook, Sequence[PhaseProfile]]], name: str) -> Climatology:
    """Climatology of the descents and ascents of some dives of one region.

    Taxa are known by their labels; size classes are learned when all dives have the same limits. Internal
    waves heave the water: dives are shifted to where they fit the mean of all best, before the mean is taken
    that is kept.

    Raises
    ------
    InputError
        When there is no phase with depth among them.
    """
    parts = [
        (codebook, part) for codebook, phases in dives for part in phases if part.phase is not Phase.PARK
    ]
    if not parts:
        raise InputError("hold no descent and no ascent", field="DIVES", remedy="give dives with pressure")
    n_steps = -(-max(int(part.edges[-1]) for _, part in parts) // STEP_DBAR)
    labels = sorted({taxon.label for codebook, _ in parts for taxon in codebook.taxa})
    tables = [
        _by_step(_by_label(codebook, part, labels), part.edges, n_steps) for codebook, part in parts if labels
    ]
    taxa = _aligned_mean(tables) if labels else np.zeros((n_steps, 0))
    totals = [[float(np.nansum(table[:, k])) for table in tables if np.isfinite(table[0, k])]
              for k in range(len(labels))]  # fmt: skip
    limits = {codebook.optics.size_class_limits_um for codebook, _ in parts}
    sizes: tuple[tuple[int, ...], ...] = ()
    if len(limits) == 1:
        spectra = [_by_step(part.lpm.astype(np.float64), part.edges, n_steps) for _, part in parts]
        sizes = tuple(_whole(column) for column in _aligned_mean(spectra).T)
    return Climatology(
        name=name,
        n_dives=len(dives),
        step_dbar=STEP_DBAR,
        taxa={label: _whole(taxa[:, k]) for k, label in enumerate(labels)},
        size_class_limits_um=next(iter(limits)) if sizes else (),
        sizes=sizes,
        total_spread=_spread(totals),
    )


def _by_label(codebook: Codebook, part: PhaseProfile, labels: Sequence[str]) -> Floats:
    """Counts of the taxa in the order of labels, float64 (n_bins, n_labels); NaN for those not counted."""
    column = {taxon.label: k for k, taxon in enumerate(codebook.taxa)}
    nothing = np.full(part.n_bins, np.nan)
    return np.stack(
        [part.taxa[:, column[n]].astype(np.float64) if n in column else nothing for n in labels], 1
    )


def _by_step(table: Floats, edges: NDArray[np.int64], n_steps: int) -> Floats:
    """A table by steps, float64 (n_steps, n_columns); NaN below where the dive went."""
    at = np.arange(n_steps + 1) * STEP_DBAR
    below = np.concatenate((np.zeros((1, table.shape[1])), np.cumsum(table, axis=0)))
    found = np.stack([np.diff(np.interp(at, edges, column)) for column in below.T], 1)
    found[at[1:] > edges[-1]] = np.nan
    return found


def _aligned_mean(tables: Sequence[Floats]) -> Floats:
    """Smoothed mean of tables shifted to fit each other, float64 (n_steps, n_columns)."""
    shifts = [0] * len(tables)
    mean = _mean(tables, shifts)
    for _ in range(_ROUNDS if len(tables) > 1 else 0):
        shifts = [_best_shift(table, mean) for table in tables]
        middle = round(float(np.mean(shifts)))
        shifts = [shift - middle for shift in shifts]
        mean = _mean(tables, shifts)
    return mean


def _best_shift(table: Floats, mean: Floats) -> int:
    """How many steps deeper than the mean a dive's water lies: where its counts are likeliest."""
    counts = np.nan_to_num(table)
    scores = {}
    for shift in range(-MAX_SHIFT, MAX_SHIFT + 1):
        rate = _moved(mean, shift) + _FLOOR
        scores[shift] = float((counts * np.log(rate / rate.sum(axis=0))).sum())
    return max(scores, key=lambda shift: (scores[shift], -abs(shift)))


def _moved(table: Floats, shift: int) -> Floats:
    """A table moved some steps deeper; its first and last step reach as far as is asked."""
    return table[np.clip(np.arange(len(table)) - shift, 0, len(table) - 1)]


def _mean(tables: Sequence[Floats], shifts: Sequence[int]) -> Floats:
    """Smoothed mean over the dives that reach a step."""
    moved = np.stack([_moved(table, -shift) for table, shift in zip(tables, shifts, strict=True)])
    reached = np.isfinite(moved)
    n = reached.sum(axis=0)
    mean = np.where(reached, moved, 0).sum(axis=0) / np.maximum(n, 1)
    return np.stack([_smooth(mean[:, k], n[:, k].astype(np.float64)) for k in range(mean.shape[1])], 1)


def _smooth(mean: Floats, n: Floats) -> Floats:
    """Mean counts, wider smoothed where few were seen."""
    narrow, wide = _blur(mean, _NARROW_STEPS), _blur(mean, _WIDE_STEPS)
    seen = narrow * n
    weight = seen / (seen + _ENOUGH)
    return weight * narrow + (1 - weight) * wide


def _blur(values: Floats, sd_steps: float) -> Floats:
    """Gaussian smoothing that keeps the ends' level, float64 (n,)."""
    reach = int(4 * sd_steps)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sd_steps) ** 2)
    padded = np.pad(values, reach, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")


def _whole(mean: Floats) -> tuple[int, ...]:
    return tuple(min(int(x), MAX_MEAN) for x in np.rint(MEAN_ONE * (mean + _FLOOR)))


def _spread(totals: Sequence[Sequence[float]]) -> int:
    """Relative variance of totals from dive to dive beyond chance: the mean over taxa, weighted by counts."""
    weights, found = [], []
    for dives in totals:
        mean = float(np.mean(dives))
        if len(dives) > 1 and mean > 0:
            found.append((float(np.var(dives, ddof=1)) - mean) / mean**2)
            weights.append(mean / (mean + _ENOUGH))
    spread = float(np.average(found, weights=weights)) if found else 1.0
    return round(65536 * min(max(spread, _LEAST_SPREAD), 8.0))
