"""Means along the bins of a profile: whole steps, as differences from the cell before. Pure, in integers.

For what is known coarsely and is not a count: temperature, grey, size. A cell without readings is absent,
which is not the same as missing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.telemetry.range_coder import Coder
from edge.telemetry.summary import Quantity

Ints = NDArray[np.int64]

TEMPERATURE_STEP_MC = 50
GREY_STEP_CENTI = 100
_FIRST_GUESS = {Quantity.TEMPERATURE: 200, Quantity.GREY: 80, Quantity.ESD: 112}
_MAX_LENGTH = 24
"""Bit length of the largest difference."""
_LIMIT = 1 << (_MAX_LENGTH - 3)
_LEARNED, _FORGET_ABOVE = 24, 4096


def to_steps(quantity: Quantity, sums: Ints, numbers: Ints) -> list[int | None]:
    """Means as whole steps, None where there is no reading.

    Parameters
    ----------
    sums, numbers
        Sums of the readings and their number, int64 (n,): thousandths of a degree Celsius for temperature,
        hundredths of a grey for grey, um for ESD.
    """
    steps: list[int | None] = []
    for total, n in zip(sums.tolist(), numbers.tolist(), strict=True):
        if n == 0:
            steps.append(None)
            continue
        match quantity:
            case Quantity.TEMPERATURE:
                step = _nearest(total, n * TEMPERATURE_STEP_MC)
            case Quantity.GREY:
                step = _nearest(total, n * GREY_STEP_CENTI)
            case _:
                step = to_log_step(_nearest(total, n))
        steps.append(min(max(step, -_LIMIT), _LIMIT))
    return steps


def from_step(quantity: Quantity, step: int) -> tuple[float, float]:
    """Value of a step and half its width: degrees Celsius, grey (0-255), or um."""
    match quantity:
        case Quantity.TEMPERATURE:
            return step * TEMPERATURE_STEP_MC / 1000, TEMPERATURE_STEP_MC / 2000
        case Quantity.GREY:
            return step * GREY_STEP_CENTI / 100, GREY_STEP_CENTI / 200
        case _:
            low, width = from_log_step(step)
            return low + (width - 1) / 2, width / 2


def _nearest(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def to_log_step(value: int) -> int:
    """Steps of 1 up to 31, then 16 an octave: at most 3.2 % from the middle of a step."""
    exponent = max(0, value.bit_length() - 5)
    return (exponent << 4) + (value >> exponent)


def from_log_step(step: int) -> tuple[int, int]:
    """Lowest value of a step and how many values it holds."""
    step = max(0, min(step, 1000))
    exponent = max(0, (step >> 4) - 1)
    return (step - (exponent << 4)) << exponent, 1 << exponent


class MeanModel:
    """What has been learned in a message about one quantity; the same on both sides."""

    __slots__ = ("_absent", "_lengths")

    def __init__(self) -> None:
        self._absent = [[2, 2], [2, 2]]
        self._lengths = [max(2, 24 >> max(0, i - 2)) for i in range(_MAX_LENGTH + 1)]

    def copy(self) -> MeanModel:
        """An independent copy, to come back to."""
        other = MeanModel()
        other._absent = [list(pair) for pair in self._absent]
        other._lengths = list(self._lengths)
        return other

    def code(
        self,
        coder: Coder,
        quantity: Quantity,
        n: int,
        known: Sequence[int | None] | None,
        before: Sequence[int | None] | None,
    ) -> list[int | None]:
        """Code one column of `n` cells; `known` when encoding; `before` is the column before it, or None."""
        cells: list[int | None] = []
        last: int | None = None
        absent = 0
        for i in range(n):
            value = known[i] if known is not None else 0
            context = self._absent[absent]
            here, gone = context
            absent = coder.symbol((0, here, here + gone), int(value is None))
            context[absent] += _LEARNED
            if here + gone + _LEARNED > _FORGET_ABOVE:
                context[:] = _halved(context)
            if absent:
                cells.append(None)
                continue
            guess = last
            if guess is None and before is not None:
                guess = before[i] if i < len(before) and before[i] is not None else _first(before)
            if guess is None:
                guess = _FIRST_GUESS[quantity]
            difference = (value or 0) - guess
            folded = self._number(coder, 2 * difference if difference >= 0 else -2 * difference - 1)
            last = guess + (folded >> 1 if folded % 2 == 0 else -(folded + 1 >> 1))
            cells.append(last)
        return cells

    def _number(self, coder: Coder, value: int) -> int:
        bounds = list(itertools.accumulate(self._lengths, initial=0))
        length = coder.symbol(bounds, value.bit_length())
        self._lengths[length] += _LEARNED
        if bounds[-1] + _LEARNED > _FORGET_ABOVE:
            self._lengths = _halved(self._lengths)
        if length < 2:
            return length
        half = 1 << (length - 1)
        return half + coder.uniform(half, (value - half) % half)


def _halved(counts: list[int]) -> list[int]:
    return [(count + 1) >> 1 for count in counts]


def _first(cells: Sequence[int | None]) -> int | None:
    return next((cell for cell in cells if cell is not None), None)
