"""Taxa of some water: numbers, biovolume and carbon a litre, with what counting and naming leave open. Pure.

Three intervals, all at one level. Counting: what a Poisson number of encounters leaves open. Naming: what the
classifier confuses (`edge.quantification`). Both: from the low end of the one at the low end of the other to
the high end at the high end, which holds more than it says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge.quantification import LEVEL, EstimatedCounts
from tools.shore.science.carbon import NO_CONVERSION, Conversion, carbon_ug, conversion_of
from tools.shore.science.intervals import poisson, weighted
from tools.shore.science.spectra import Floats, Ints, sphere_mm3


@dataclass(frozen=True, slots=True)
class TaxonRow:
    """One taxon in some water; NaN where it is not known.

    Attributes
    ----------
    label, conversion
        The taxon; the conversion's name, or ``no conversion``.
    count, volume_l
        Particles named so, and the water in which the larger ones were named.
    per_l, per_l_low, per_l_high
        As counted, with the counting interval.
    corrected, corrected_low, corrected_high
        Count put right for what the model confuses, with the naming interval.
    corrected_per_l, both_low, both_high
        The same a litre, with both intervals together.
    mm3_per_l (_low, _high), ug_c_per_l (_low, _high)
        Biovolume of spheres and carbon of those named so, with the counting interval.
    corrected_ug_c_per_l (_low, _high)
        Carbon times corrected / counted, with both intervals: it takes those that the model got wrong for as
        heavy as those that it got right.
    """

    label: str
    conversion: str
    count: int
    volume_l: float
    per_l: float
    per_l_low: float
    per_l_high: float
    corrected: float
    corrected_low: float
    corrected_high: float
    corrected_per_l: float
    both_low: float
    both_high: float
    mm3_per_l: float
    mm3_per_l_low: float
    mm3_per_l_high: float
    ug_c_per_l: float
    ug_c_per_l_low: float
    ug_c_per_l_high: float
    corrected_ug_c_per_l: float
    corrected_ug_c_per_l_low: float
    corrected_ug_c_per_l_high: float


def taxon_rows(
    labels: Sequence[str],
    taxon: Ints,
    esd_um: Floats,
    volume_l: float,
    conversions: Sequence[Conversion],
    corrected: EstimatedCounts | None,
    level: float = LEVEL,
) -> list[TaxonRow]:
    """A row a taxon, in the order of `labels`.

    Parameters
    ----------
    labels
        Counted taxa.
    taxon, esd_um
        (n,) index in `labels` and ESD of every named particle in this water.
    volume_l
        In which they were named.
    corrected
        Of the same particles, for the first taxa of `labels`; parents and `unclassified` get none.
    """
    litres = volume_l if volume_l > 0 else math.nan
    rows = []
    for i, label in enumerate(labels):
        sizes = esd_um[taxon == i]
        n = len(sizes)
        low, high = poisson(n, level)
        mm3 = _summed(sphere_mm3(sizes), litres, level)
        conversion = conversion_of(label, conversions)
        carbon = (math.nan,) * 3
        if conversion is not None:
            carbon = _summed(carbon_ug(conversion, sizes), litres, level)
        right = [math.nan] * 3
        if corrected is not None and i < len(corrected.count):
            told = [int(one[i]) for one in (corrected.count, corrected.low, corrected.high)]
            if n == 0 or any(told):  # else its particles were shared out among other taxa
                right = [float(one) for one in told]
        both_low, both_high = float(poisson(right[1], level)[0]), float(poisson(right[2], level)[1])
        times = [one / n if n else math.nan for one in right]
        corrected_carbon = (one * by for one, by in zip(carbon, times, strict=True))
        numbers = (
            n / litres, float(low) / litres, float(high) / litres,
            *right, right[0] / litres, both_low / litres, both_high / litres, *mm3, *carbon,
            *corrected_carbon,
        )  # fmt: skip
        name = NO_CONVERSION if conversion is None else conversion.name
        rows.append(TaxonRow(label, name, n, volume_l, *numbers))
    return rows


def _summed(each: Floats, litres: float, level: float) -> tuple[float, float, float]:
    """A sum over particles a litre, with its interval; where none was seen, its upper end is not known."""
    total = float(each.sum())
    if not each.size:
        return 0.0 / litres, 0.0 / litres, math.nan
    low, high = weighted(total, float((each**2).sum()), float(each.max()), level)
    return total / litres, float(low) / litres, float(high) / litres


def carbon_total(rows: Sequence[TaxonRow]) -> tuple[float, float]:
    """Carbon of all taxa with a conversion, ug C a litre, and their share of the named particles."""
    known = [row for row in rows if math.isfinite(row.ug_c_per_l)]
    total = sum(row.count for row in rows)
    share = sum(row.count for row in known) / total if total else math.nan
    return sum(row.ug_c_per_l for row in known), share
