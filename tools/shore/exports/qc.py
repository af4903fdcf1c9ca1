"""Quality flags after Argo's scheme, each with its reasons as bits: rules that run without a person. Pure.

Flags are those of Argo's reference table 2. Tests 6 (global range), 9 (spike) and 19 (deepest pressure) are
those of the Argo Quality Control Manual for CTD and Trajectory Data, version 3.3 (doi 10.13155/33951),
section 2.1; the others are this instrument's own, for a camera has faults that a CTD has not. Trouble never
looks like empty water: where nothing was looked at, the flag is 9 and there is no number.
"""

from __future__ import annotations

import enum
import functools
import math
import operator

import numpy as np
from numpy.typing import NDArray

from edge.dive_checks import DIRTY_PERMILLE
from edge.frame import CLASSIFIED_OUTCOMES, SIZED_OUTCOMES, FrameOutcome, Phase
from edge.telemetry.decoded import Provenance
from edge.telemetry.summary import Quantity
from edge.telemetry.whole_dive import condition_of
from tools.shore.exports.tables import Cells, DiveTables, Floats, Ints, PhaseTables


class Flag(enum.IntEnum):
    """Argo's reference table 2."""

    NO_QC = 0
    GOOD = 1
    PROBABLY_GOOD = 2
    PROBABLY_BAD = 3
    BAD = 4
    CHANGED = 5
    NOT_USED_6 = 6
    NOT_USED_7 = 7
    ESTIMATED = 8
    MISSING = 9


FLAG_MEANINGS = (
    "no_qc_performed good_data probably_good_data probably_bad_data_that_are_potentially_correctable "
    "bad_data value_changed not_used_6 not_used_7 estimated_value missing_value"
)


class Reason(enum.IntFlag):
    """Why a flag is not 1."""

    PRESSURE_BELOW_MINUS_5_DBAR = 1 << 0
    PRESSURE_BELOW_MINUS_2_4_DBAR = 1 << 1
    PRESSURE_BEYOND_DEEPEST_BIN = 1 << 2
    FRAMES_WITHOUT_PRESSURE = 1 << 3
    TEMPERATURE_OUT_OF_RANGE = 1 << 4
    TEMPERATURE_SPIKE = 1 << 5
    NOT_AT_HAND = 1 << 6
    NOTHING_LOOKED_AT = 1 << 7
    WATER_NOT_KNOWN = 1 << 8
    KNOWN_WITH_OTHER_BINS_ALONE = 1 << 9
    FEW_FRAMES = 1 << 10
    SOME_FRAMES_IN_TROUBLE = 1 << 11
    MOST_FRAMES_IN_TROUBLE = 1 << 12
    LIGHT_FAILED = 1 << 13
    NOISE_NOT_MEASURED = 1 << 14
    SOME_OF_IT_NOISE = 1 << 15
    MOST_OF_IT_NOISE = 1 << 16
    NOT_ALL_CLASSIFIED = 1 << 17
    MODEL_DRIFT = 1 << 18
    DIRTY_LENS = 1 << 19


FLAG_OF = {
    Reason.PRESSURE_BELOW_MINUS_5_DBAR: Flag.BAD,
    Reason.PRESSURE_BELOW_MINUS_2_4_DBAR: Flag.PROBABLY_BAD,
    Reason.PRESSURE_BEYOND_DEEPEST_BIN: Flag.PROBABLY_BAD,
    Reason.FRAMES_WITHOUT_PRESSURE: Flag.PROBABLY_GOOD,
    Reason.TEMPERATURE_OUT_OF_RANGE: Flag.BAD,
    Reason.TEMPERATURE_SPIKE: Flag.BAD,
    Reason.NOT_AT_HAND: Flag.MISSING,
    Reason.NOTHING_LOOKED_AT: Flag.MISSING,
    Reason.WATER_NOT_KNOWN: Flag.PROBABLY_GOOD,
    Reason.KNOWN_WITH_OTHER_BINS_ALONE: Flag.ESTIMATED,
    Reason.FEW_FRAMES: Flag.PROBABLY_GOOD,
    Reason.SOME_FRAMES_IN_TROUBLE: Flag.PROBABLY_GOOD,
    Reason.MOST_FRAMES_IN_TROUBLE: Flag.PROBABLY_BAD,
    Reason.LIGHT_FAILED: Flag.PROBABLY_GOOD,
    Reason.NOISE_NOT_MEASURED: Flag.PROBABLY_GOOD,
    Reason.SOME_OF_IT_NOISE: Flag.PROBABLY_GOOD,
    Reason.MOST_OF_IT_NOISE: Flag.PROBABLY_BAD,
    Reason.NOT_ALL_CLASSIFIED: Flag.PROBABLY_GOOD,
    Reason.MODEL_DRIFT: Flag.PROBABLY_GOOD,
    Reason.DIRTY_LENS: Flag.PROBABLY_GOOD,
}
"""The flag that each reason brings; of several the one first in `_WORST_FIRST` stands."""
_WORST_FIRST = (Flag.MISSING, Flag.BAD, Flag.PROBABLY_BAD, Flag.ESTIMATED, Flag.PROBABLY_GOOD)

LEAST_DBAR, LOW_DBAR, DEEPEST_SHARE = -5.0, -2.4, 1.1
LEAST_C, MOST_C = -2.5, 40.0
SPIKE_C, DEEP_SPIKE_C, DEEP_DBAR = 6.0, 2.0, 500.0
LEAST_FRAMES = 3
SOME_SHARE, MOST_SHARE = 0.1, 0.5
DRIFT_PERMILLE = 200
"""From where `seston health` asks somebody to look, too."""
TROUBLE = (
    FrameOutcome.DARK, FrameOutcome.OVER_EXPOSED, FrameOutcome.BLURRED, FrameOutcome.DROPPED,
    FrameOutcome.LATE, FrameOutcome.CORRUPT,
)  # fmt: skip
"""Lit frames of which nothing was counted; a duplicate is none, for its water was counted."""
_PRESSURE = (
    Reason.PRESSURE_BELOW_MINUS_5_DBAR | Reason.PRESSURE_BELOW_MINUS_2_4_DBAR
    | Reason.PRESSURE_BEYOND_DEEPEST_BIN | Reason.FRAMES_WITHOUT_PRESSURE
)  # fmt: skip

Reasons = NDArray[np.int64]


def flags_of(reasons: Reasons) -> NDArray[np.int8]:
    """Flag of each cell from its reasons, int8, same shape; good where there is none."""
    flags = np.full(reasons.shape, Flag.GOOD, dtype=np.int8)
    for flag in reversed(_WORST_FIRST):
        mask = functools.reduce(operator.or_, (int(one) for one, its in FLAG_OF.items() if its is flag))
        flags[(reasons & mask) != 0] = flag
    return flags


def pressure_reasons(pressure_dbar: Floats, deepest_dbar: float) -> Reasons:
    """Tests 6 and 19 of single pressures, int64, same shape; NaN has none.

    `deepest_dbar` is where the configured bins end: beyond 110 % of it a pressure is not believed.
    """
    found = np.zeros(pressure_dbar.shape, dtype=np.int64)
    found[pressure_dbar < LEAST_DBAR] = Reason.PRESSURE_BELOW_MINUS_5_DBAR
    between = (pressure_dbar >= LEAST_DBAR) & (pressure_dbar <= LOW_DBAR)
    found[between] = Reason.PRESSURE_BELOW_MINUS_2_4_DBAR
    found[pressure_dbar > DEEPEST_SHARE * deepest_dbar] |= int(Reason.PRESSURE_BEYOND_DEEPEST_BIN)
    return found


def spikes(temperature_c: Floats, pressure_dbar: Floats) -> NDArray[np.bool_]:
    """Test 9 along a profile, bool (n,): ``|V2 - (V3 + V1) / 2| - |(V3 - V1) / 2|`` above 6 or 2 degrees.

    The smaller limit holds from 500 dbar on. Samples without a temperature are stepped over; where the
    pressure is not known the larger limit holds.
    """
    found = np.zeros(temperature_c.shape, dtype=np.bool_)
    there = np.flatnonzero(np.isfinite(temperature_c))
    if there.size < 3:
        return found
    t, p = temperature_c[there], pressure_dbar[there][1:-1]
    test = np.abs(t[1:-1] - (t[2:] + t[:-2]) / 2) - np.abs((t[2:] - t[:-2]) / 2)
    found[there[1:-1]] = test > np.where(p >= DEEP_DBAR, DEEP_SPIKE_C, SPIKE_C)
    return found


class PhaseQc:
    """Reasons of one phase; what is asked often is found once."""

    def __init__(self, dive: DiveTables, phase: PhaseTables, *, is_frames: bool = False) -> None:
        """`is_frames`: samples are single frames, of which none is few."""
        self._dive, self._phase, self._is_frames = dive, phase, is_frames
        self._condition = condition_of(dive.decoded)
        self._found: dict[Quantity, Reasons] = {}

    @functools.cached_property
    def pressure(self) -> Reasons:
        """Of the axis, int64 (n,)."""
        phase = self._phase
        found = np.zeros(phase.n, dtype=np.int64)
        if phase.pressure_reasons.size:
            found |= phase.pressure_reasons
        placed = phase.cells[Quantity.FRAMES].values.sum(
            where=np.isfinite(phase.cells[Quantity.FRAMES].values)
        )
        unplaced = phase.unplaced.sum()
        if phase.phase is not Phase.PARK and unplaced >= SOME_SHARE * (placed + unplaced) and unplaced > 0:
            found |= int(Reason.FRAMES_WITHOUT_PRESSURE)
        return found

    def of_pressure(self) -> Reasons:
        """Of `PRES`, int64 (n,)."""
        missing = np.where(np.isnan(self._phase.pressure_dbar), int(Reason.NOT_AT_HAND), 0)
        return np.asarray(self.pressure | missing, dtype=np.int64)

    def of(self, quantity: Quantity) -> Reasons:
        """Of a table, int64 (n, n_columns); not to be changed."""
        if quantity not in self._found:
            self._found[quantity] = self._of(quantity)
        return self._found[quantity]

    def _of(self, quantity: Quantity) -> Reasons:
        phase = self._phase
        cells = phase.cells[quantity]
        found = _of_cells(cells)
        if quantity is Quantity.TEMPERATURE:
            values = cells.values[:, 0]
            out = (values < LEAST_C) | (values > MOST_C)
            found[out, 0] |= int(Reason.TEMPERATURE_OUT_OF_RANGE)
            found[spikes(values, phase.pressure_dbar), 0] |= int(Reason.TEMPERATURE_SPIKE)
            # Water has its temperature however many frames looked at it.
            return np.asarray(found | (self.pressure & ~int(Reason.FRAMES_WITHOUT_PRESSURE))[:, None])
        found |= self.pressure[:, None]
        n = self.looked(quantity)
        is_named = quantity in (Quantity.TAXA, Quantity.ESD)
        nothing = (n == 0) | (is_named & (phase.volume_classified_l == 0))  # none of many may have been named
        found[nothing] |= int(Reason.NOTHING_LOOKED_AT)
        found[np.isnan(n)] |= int(Reason.WATER_NOT_KNOWN)
        if not self._is_frames:
            found[(n > 0) & (n < LEAST_FRAMES)] |= int(Reason.FEW_FRAMES)
        if quantity is Quantity.NOISE:
            return found
        found |= self._trouble(is_named=is_named)[:, None]
        if quantity in (Quantity.SIZES, Quantity.GREY):
            found |= self._noise
        if is_named:
            if Quantity.UNNAMED in phase.cells:
                found[phase.cells[Quantity.UNNAMED].values[:, 0] > 0] |= int(Reason.NOT_ALL_CLASSIFIED)
            drift = None if self._condition is None else self._condition.drift_permille
            if drift is not None and drift > DRIFT_PERMILLE:
                found |= int(Reason.MODEL_DRIFT)
        dirt = None if self._condition is None else self._condition.dirt_permille
        if dirt is not None and dirt >= DIRTY_PERMILLE:
            found |= int(Reason.DIRTY_LENS)
        return found

    def looked(self, quantity: Quantity) -> Floats:
        """Frames by sample in which this was looked for, float64 (n,); NaN where they are not known."""
        match quantity:
            case Quantity.NOISE:
                return self._phase.frames([FrameOutcome.UNLIT])
            case Quantity.TAXA | Quantity.ESD | Quantity.UNNAMED:
                return self._phase.frames(CLASSIFIED_OUTCOMES)
            case _:
                return self._phase.frames(SIZED_OUTCOMES)

    def _trouble(self, *, is_named: bool) -> Reasons:
        """By sample: lit frames that were of no use; a failed inference costs names alone."""
        phase = self._phase
        bad, good = phase.frames(TROUBLE), phase.frames(SIZED_OUTCOMES)
        if is_named:
            bad = bad + phase.frames([FrameOutcome.INFERENCE_FAILED])
            good = phase.frames(CLASSIFIED_OUTCOMES)
        found = np.zeros(phase.n, dtype=np.int64)
        found[(bad > SOME_SHARE * (bad + good)) & (bad > 0)] |= int(Reason.SOME_FRAMES_IN_TROUBLE)
        found[bad > MOST_SHARE * (bad + good)] |= int(Reason.MOST_FRAMES_IN_TROUBLE)
        found[phase.frames([FrameOutcome.DARK]) > 0] |= int(Reason.LIGHT_FAILED)
        return found

    @functools.cached_property
    def _noise(self) -> Reasons:
        """By size class: what unlit frames of the whole dive let expect, against what was counted."""
        phase = self._phase
        counts = phase.cells[Quantity.SIZES].values
        found = np.zeros(counts.shape, dtype=np.int64)
        rate = noise_per_frame(self._dive)
        if rate is None:
            found |= int(Reason.NOISE_NOT_MEASURED)
            return found
        expected = rate[None, :] * phase.frames(SIZED_OUTCOMES)[:, None]
        found[(counts > 0) & (expected > SOME_SHARE * counts)] |= int(Reason.SOME_OF_IT_NOISE)
        found[(counts > 0) & (expected > MOST_SHARE * counts)] |= int(Reason.MOST_OF_IT_NOISE)
        return found


def noise_per_frame(dive: DiveTables) -> Floats | None:
    """Particles by size class in an unlit frame of this dive, float64 (n,); None where nobody can tell."""
    total, frames = np.zeros(dive.codebook.optics.n_size_classes), 0.0
    for phase in dive.phases:
        unlit = phase.frames([FrameOutcome.UNLIT])
        noise = phase.cells[Quantity.NOISE].values
        known = np.isfinite(unlit) & np.isfinite(noise).all(axis=1)
        total += noise[known].sum(axis=0)
        frames += float(unlit[known].sum())
    return total / frames if frames > 0 and math.isfinite(frames) else None


def _of_cells(cells: Cells) -> Ints:
    found = np.zeros(cells.values.shape, dtype=np.int64)
    found[cells.provenance == Provenance.MISSING] |= int(Reason.NOT_AT_HAND)
    found[np.isnan(cells.values) & (cells.provenance != Provenance.MISSING)] |= int(Reason.NOTHING_LOOKED_AT)
    found[cells.provenance == Provenance.AGGREGATED] |= int(Reason.KNOWN_WITH_OTHER_BINS_ALONE)
    return found
