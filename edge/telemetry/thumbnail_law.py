"""How likely each detail of a picture is, given those already known: a small network in integers. Pure.

Its weights were fitted on dark-field pictures (`training/thumbnails.py`) and are part of the wire format, as
are the features it looks at: they hold for encoder and decoder alike.
"""

from __future__ import annotations

import functools
import math
import zlib
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from edge.telemetry.thumbnail_weights import WEIGHTS
from edge.telemetry.wavelet import Ints

N_PHASES = 4
"""A band is coded in four turns, so that most details have known ones on all sides."""
PHASES = ((0, 0), (1, 1), (0, 1), (1, 0))
"""First row and first column of each turn, which takes every second of both."""
N_FEATURES = 25
N_SIGN_FEATURES = 5
N_LEVELS = 48
"""How large a detail is expected to be, in so many steps."""
N_SIGN_LEVELS = 24
ROOT_VALUES, N_ROOTS = 160, 40
MAX_MAGNITUDE = 15
"""Larger ones are told by what they are larger by."""
COST_ONE = 256
"""A bit, in the unit of costs."""
HIDDEN_BITS, LEVEL_BITS, SIGN_BITS = 6, 16, 10
"""Fractions of what a hidden unit, a level and a level of the sign are made of."""
SIGN_ONE = 16
"""A detail of one step among the features of the sign."""


def log_table(n: int, per_octave: int) -> Ints:
    """floor(per_octave * log2(1 + i)) for i below n, exactly."""
    return np.array([((1 + i) ** per_octave).bit_length() - 1 for i in range(n)], dtype=np.int64)


_MAGNITUDE_LOG = log_table(MAX_MAGNITUDE + 1, 16)
_RATIO_LOG = log_table(1 << 12, 8)


@dataclass(frozen=True, slots=True, eq=False)
class Law:
    """The network and its tables.

    Attributes
    ----------
    first, first_bias, second, second_bias
        int64 (turn, hidden, feature), (turn, hidden), (turn, hidden), (turn,), in 2 ** -6.
    bounds
        int64 (N_LEVELS, MAX_MAGNITUDE + 2): cumulative frequencies of the magnitudes.
    sign
        int64 (2, turn, N_SIGN_FEATURES), of bands along one side and along both.
    sign_bounds
        int64 (N_SIGN_LEVELS, 3): cumulative frequencies of positive and negative.
    root_bounds
        int64 (N_ROOTS + 1,): cumulative frequencies of the values of the last lowpass band, by equal shares.
    costs, sign_costs
        int64, bits of each magnitude and sign of each level, in 1 / `COST_ONE`.
    """

    first: Ints
    first_bias: Ints
    second: Ints
    second_bias: Ints
    bounds: Ints
    sign: Ints
    sign_bounds: Ints
    root_bounds: Ints
    costs: Ints
    sign_costs: Ints

    def level(self, phase: int, features: Ints) -> Ints:
        """Expected size, int64 (n,) below `N_LEVELS`, from features (n, N_FEATURES)."""
        hidden = (features @ self.first[phase].T + self.first_bias[phase]) >> HIDDEN_BITS
        out = np.maximum(hidden, hidden >> 3) @ self.second[phase] + self.second_bias[phase]
        return np.asarray(np.minimum(np.maximum(out >> LEVEL_BITS, 0), N_LEVELS - 1))

    def sign_level(self, phase: int, both: bool, features: Ints) -> Ints:
        """Expected sign, int64 (n,) below `N_SIGN_LEVELS`, from features (n, N_SIGN_FEATURES)."""
        out = (features @ self.sign[int(both), phase]) >> SIGN_BITS
        return np.asarray(np.minimum(np.maximum(out + N_SIGN_LEVELS // 2, 0), N_SIGN_LEVELS - 1))


def costs_of(bounds: Ints) -> Ints:
    """Bits of each symbol of each table, in 1 / `COST_ONE`, rounded down."""
    rows = []
    for row in bounds.tolist():
        total = row[-1] ** COST_ONE
        rows.append([(total // (b - a) ** COST_ONE).bit_length() - 1 for a, b in pairwise(row)])
    return np.array(rows, dtype=np.int64)


class BandContext:
    """What is known of a band before and while it is coded.

    Inside, a band along y is turned so that it lies as one along x; so are the details that come and go.

    Parameters
    ----------
    shape
        (h, w) of the band.
    low
        int64, the lowpass band of the same level.
    parent
        int64, details of the next coarser level, of the same kind; may be empty.
    siblings
        Bands of this level already known, of any size.
    kind
        0 along x, 1 along y, 2 along both.
    depth
        Splits from the picture's own size, from 0.
    step, step_index
        Of the quantiser, here and for the whole picture.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        low: Ints,
        parent: Ints,
        siblings: tuple[Ints, ...],
        kind: int,
        depth: int,
        step: int,
        step_index: int,
    ) -> None:
        self._kind = kind
        if kind == 1:
            shape, low, parent = shape[::-1], low.T, parent.T
            siblings = tuple(one.T for one in siblings)
        self._known = np.zeros((shape[0] + 4, shape[1] + 4), dtype=np.int64)
        fixed, self._curve = _low_features(low, shape, step)
        if kind == 2:
            turned, curve = _low_features(low.T, shape[::-1], step)
            fixed = fixed + turned.transpose(0, 2, 1)
            self._curve = self._curve + curve.T
        above = np.zeros(shape, dtype=np.int64)
        if parent.size:
            above = _fit(parent.repeat(2, axis=0).repeat(2, axis=1), shape)
        beside = [_fit(one, shape) for one in siblings]
        rest = np.empty((12, *shape), dtype=np.int64)
        rest[0], rest[1] = _logs(above), _around(_logs(above))
        rest[2] = sum((_logs(one) for one in beside), start=np.zeros(shape, dtype=np.int64))
        rest[3] = sum((_around(_logs(one)) for one in beside), start=np.zeros(shape, dtype=np.int64))
        rest[4:] = 0
        rest[4 + min(depth, 4)] = 64
        if kind:
            rest[8 + kind] = 64
        rest[11] = step_index
        self._fixed = np.concatenate((fixed, rest))
        self._above = above

    def features(self, phase: int) -> tuple[Ints, Ints]:
        """Features of the details of a turn, int64 (n, N_FEATURES) and (n, N_SIGN_FEATURES)."""
        top, left = PHASES[phase]
        fixed = self._fixed[:, top::2, left::2]
        known, logs = self._known, _logs(self._known)

        def at(values: Ints, dy: int, dx: int) -> Ints:
            rows, columns = values.shape[0] - 4, values.shape[1] - 4
            return values[2 + top + dy : 2 + rows + dy : 2, 2 + left + dx : 2 + columns + dx : 2]

        x, y = at(logs, 0, -1) + at(logs, 0, 1), at(logs, -1, 0) + at(logs, 1, 0)
        corners = at(logs, -1, -1) + at(logs, -1, 1) + at(logs, 1, -1) + at(logs, 1, 1)
        far_x, far_y = at(logs, 0, -2) + at(logs, 0, 2), at(logs, -2, 0) + at(logs, 2, 0)
        near = np.stack((x, y, corners, far_x, far_y))
        sums = (
            at(known, 0, -1) + at(known, 0, 1),
            at(known, -1, 0) + at(known, 1, 0),
            at(known, -1, -1) + at(known, 1, 1) + at(known, -1, 1) + at(known, 1, -1),
            self._above[top::2, left::2],
        )
        signs = np.concatenate(
            (np.minimum(np.maximum(sums, -4), 4), self._curve[np.newaxis, top::2, left::2])
        )
        magnitude = np.concatenate((near, fixed)).reshape(N_FEATURES, -1).T
        return magnitude, SIGN_ONE * signs.reshape(N_SIGN_FEATURES, -1).T

    def expect(self, law: Law, phase: int) -> tuple[Ints, Ints]:
        """Levels of the magnitudes and signs of a turn, int64 (n,) each."""
        features, sign_features = self.features(phase)
        return law.level(phase, features), law.sign_level(phase, self._kind == 2, sign_features)

    def put(self, phase: int, details: Ints) -> None:
        """Make the details of a turn known."""
        top, left = PHASES[phase]
        part = self._known[2 + top : -2 : 2, 2 + left : -2 : 2]
        part[...] = details.reshape(part.shape)

    @property
    def details(self) -> Ints:
        """All details of the band, int64 (h, w), once every turn was put."""
        found = self._known[2:-2, 2:-2]
        return found.T if self._kind == 1 else found


def _logs(values: Ints) -> Ints:
    return np.asarray(_MAGNITUDE_LOG[np.minimum(np.abs(values), MAX_MAGNITUDE)])


def _around(values: Ints) -> Ints:
    padded = np.pad(values, 1)
    return np.asarray(padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:])


def _fit(values: Ints, shape: tuple[int, int]) -> Ints:
    """Cut, or repeat the last row and column, to a shape."""
    rows = np.minimum(np.arange(shape[0]), values.shape[0] - 1)
    columns = np.minimum(np.arange(shape[1]), values.shape[1] - 1)
    return np.asarray(values[rows[:, np.newaxis], columns])


def _low_features(low: Ints, shape: tuple[int, int], step: int) -> tuple[Ints, Ints]:
    """Slopes and brightness of the lowpass band where the details along x lie, (8, h, w); and a curvature."""
    h, w = shape
    rows = np.clip(np.arange(-1, h + 2), 0, low.shape[0] - 1)
    columns = np.clip(np.arange(-1, w + 2), 0, low.shape[1] - 1)
    padded = low[rows[:, np.newaxis], columns]
    middle = padded[1 : h + 1]
    a, b, c, d = (middle[:, i : i + w] for i in range(4))
    up, down = padded[:h], padded[2 : h + 2]
    across = down[:, 1 : w + 1] + down[:, 2 : w + 2] - up[:, 1 : w + 1] - up[:, 2 : w + 2]
    bend = down[:, 1 : w + 1] + down[:, 2 : w + 2] + up[:, 1 : w + 1] + up[:, 2 : w + 2] - 2 * b - 2 * c
    curve = b + c - a - d
    told = (c - b, a - 2 * b + c, b - 2 * c + d, d - 3 * c + 3 * b - a, across, bend, b + c, d - a)
    features = np.stack(
        [_RATIO_LOG[np.minimum(16 * np.abs(one) // step, len(_RATIO_LOG) - 1)] for one in told]
    )
    return features, np.clip(2 * curve // step, -8, 8)


@functools.cache
def shipped() -> Law:
    """The law of the wire format."""
    return unpack(WEIGHTS)


def _shapes(n_hidden: int) -> tuple[tuple[int, ...], ...]:
    """Arrays of a law in the order of `pack`; tables as frequencies."""
    return (
        (N_PHASES, n_hidden, N_FEATURES), (N_PHASES, n_hidden), (N_PHASES, n_hidden), (N_PHASES,),
        (N_LEVELS, MAX_MAGNITUDE + 1), (2, N_PHASES, N_SIGN_FEATURES), (N_SIGN_LEVELS, 2), (N_ROOTS,),
    )  # fmt: skip


def pack(law: Law) -> str:
    """A law as text; `unpack` reads it."""
    arrays = (
        law.first, law.first_bias, law.second, law.second_bias, np.diff(law.bounds), law.sign,
        np.diff(law.sign_bounds), np.diff(law.root_bounds),
    )  # fmt: skip
    flat = np.concatenate([one.ravel() for one in arrays]).astype("<i4")
    by_byte = flat.view(np.uint8).reshape(-1, 4).T.tobytes()  # alike bytes side by side pack better
    return zlib.compress(by_byte, 9).hex()


def unpack(text: str) -> Law:
    """The law that `pack` wrote."""
    by_byte = np.frombuffer(zlib.decompress(bytes.fromhex(text)), dtype=np.uint8)
    flat = np.ascontiguousarray(by_byte.reshape(4, -1).T).view("<i4").ravel().astype(np.int64)
    fixed = sum(math.prod(shape) for shape in _shapes(0))
    n_hidden = (len(flat) - fixed) // (N_PHASES * (N_FEATURES + 2))
    arrays = []
    for shape in _shapes(n_hidden):
        arrays.append(flat[: math.prod(shape)].reshape(shape))
        flat = flat[math.prod(shape) :]
    first, first_bias, second, second_bias, magnitudes, sign, signs, roots = arrays
    bounds, sign_bounds, root_bounds = (
        np.concatenate((np.zeros((*one.shape[:-1], 1), dtype=np.int64), one.cumsum(axis=-1)), axis=-1)
        for one in (magnitudes, signs, roots)
    )
    return Law(
        first, first_bias, second, second_bias, bounds, sign, sign_bounds, root_bounds,
        costs_of(bounds), costs_of(sign_bounds),
    )  # fmt: skip
