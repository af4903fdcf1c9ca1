"""Size spectra along the bins of a profile, row by row, each count by what is around it. Pure, in integers.

A count is expected from the same size class in the rows before, and from how the smaller classes of its own
row differ from what was expected of them; around that it is negative-binomial. Exact, or companded at a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.telemetry.count_law import MEAN_ONE, SPREAD_ONE, code_count, middle_of
from edge.telemetry.range_coder import Coder

_SCALE_LENGTHS = 44
_SCALE_BITS = 3


@dataclass(frozen=True, slots=True)
class RowLaw:
    """How well the counts of a row are known from those around it.

    Attributes
    ----------
    decay
        Weight of a row against the next, 256ths.
    own, shared
        Counts that the expectation weighs against those of the rows before, and against those of the smaller
        classes, 64ths.
    spread, spread_own, spread_shared
        Relative variance of a count beyond chance: by itself, and for each count that was seen in the rows
        before and in the row, 65536ths.
    """

    decay: int
    own: int
    shared: int
    spread: int
    spread_own: int
    spread_shared: int


class Rows:
    """Rows of one table through a coder, one after another, in either direction."""

    __slots__ = ("_den", "_expected", "_num", "_seen", "law", "step")

    def __init__(self, law: RowLaw, n_columns: int, step: int) -> None:
        self.law, self.step = law, step
        self._seen = [0] * n_columns
        self._expected = [0] * n_columns
        self._num = self._den = 0

    def code(self, coder: Coder, masses: Sequence[int], known: Sequence[int] | None) -> list[int]:
        """Code the next row; returns the companded counts.

        Parameters
        ----------
        masses
            What is expected of each column, in any unit that is one for all rows; all above 0.
        known
            The companded counts, when encoding.
        """
        law, step = self.law, self.step
        if not self._den:
            counts = 0 if known is None else sum(middle_of(index, step) for index in known)
            self._num, self._den = _code_scale(coder, counts), sum(masses)
        num, den, seen, expected = self._num, self._den, self._seen, self._expected
        own_prior, shared_prior = law.own * MEAN_ONE >> 6, law.shared * MEAN_ONE >> 6
        decay, row_seen, row_expected = law.decay, shared_prior, shared_prior
        row = []
        for j, mass in enumerate(masses):
            base = mass * num // den
            info = expected[j] + own_prior
            own = base * (seen[j] + own_prior) // info
            mean = own * row_seen // row_expected
            spread = (
                law.spread + law.spread_own * MEAN_ONE // info + law.spread_shared * MEAN_ONE // row_expected
            )
            index = code_count(
                coder, known[j] if known is not None else 0, max(mean, 1), min(spread, 8 * SPREAD_ONE), step
            )
            row.append(index)
            count = (middle_of(index, step) if step else index) * MEAN_ONE
            row_seen += count
            row_expected += own
            seen[j] = (seen[j] * decay >> 8) + count
            expected[j] = (expected[j] * decay >> 8) + base
        return row


def _code_scale(coder: Coder, total: int) -> int:
    """About how many counts the first row has, in 1024ths: bit length, then three bits."""
    length = coder.uniform(_SCALE_LENGTHS, min(total.bit_length(), _SCALE_LENGTHS - 1))
    if length == 0:
        return MEAN_ONE // 2
    extra = max(length - 1 - _SCALE_BITS, 0)
    free = length - 1 - extra
    top = coder.uniform(1 << free, (total >> extra) & ((1 << free) - 1)) if free else 0
    return ((((1 << free) + top) << extra) + ((1 << extra) >> 1)) * MEAN_ONE
