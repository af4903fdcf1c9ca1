"""What the tables of a whole decoded dive say, as typed records in their units. Pure.

A number whose message is missing is unknown here: it is never taken for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.taxonomy import Taxon
from edge.telemetry.decoder import DecodedDive
from edge.telemetry.health import Health
from edge.telemetry.means import from_log_step
from edge.telemetry.replies import Reply, replies_from_codes
from edge.telemetry.summary import ESD_PERCENTS, MAX_ESD_STEP, Quantity, living_taxa, n_columns

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SizesOfTaxon:
    """Size distribution within one living taxon.

    Attributes
    ----------
    taxon
        The taxon.
    is_known
        False when its numbers are not at hand.
    esd_um
        Its quantiles by `ESD_PERCENTS`, um, each the middle of its step; empty when it is not known or no
        particle was seen.
    """

    taxon: Taxon
    is_known: bool
    esd_um: tuple[float, ...] = ()


def row_of(dive: DecodedDive, quantity: Quantity) -> list[int | None] | None:
    """Columns of a table of the whole dive, None where one is not at hand; None when nothing is."""
    table = dive.whole.get(quantity)
    if table is None:
        return None
    row: list[int | None] = [None] * n_columns(dive.codebook, quantity)
    for column, value in zip(table.column.tolist(), table.value.tolist(), strict=True):
        row[column] = value
    return row


def esd_quantiles_of(dive: DecodedDive) -> list[SizesOfTaxon] | None:
    """Sizes within every living taxon, in the codebook's order; None when nothing is at hand."""
    row = row_of(dive, Quantity.ESD_QUANTILES)
    if row is None:
        return None
    return [
        sizes_from_codes(dive.codebook.taxa[taxon], row[at : at + len(ESD_PERCENTS)])
        for taxon, at in zip(
            living_taxa(dive.codebook.taxa), range(0, len(row), len(ESD_PERCENTS)), strict=True
        )
    ]


def sizes_from_codes(taxon: Taxon, codes: list[int | None]) -> SizesOfTaxon:
    """Sizes of a taxon from the numbers that travelled."""
    known = [code for code in codes if code is not None]
    steps = np.cumsum([min(code, MAX_ESD_STEP + 1) for code in known]) - 1
    if len(known) < len(codes) or not known or steps[-1] > MAX_ESD_STEP:
        return SizesOfTaxon(taxon, False)
    if steps[0] < 0:
        return SizesOfTaxon(taxon, steps[-1] < 0)
    return SizesOfTaxon(taxon, True, tuple(middle_um(step) for step in steps.tolist()))


def middle_um(step: int) -> float:
    """Middle of a log step of ESD, um."""
    low, width = from_log_step(step)
    return low + (width - 1) / 2


def doubt_of(dive: DecodedDive) -> list[int | None] | None:
    """Expected number of wrong names by taxon, None where it is not at hand; None when nothing is."""
    return row_of(dive, Quantity.DOUBT)


def health_of(dive: DecodedDive) -> Health | None:
    """Health of the instrument; a field is None where the board did not know it or it is not at hand."""
    row = row_of(dive, Quantity.HEALTH)
    return None if row is None else Health.from_codes(row)


def replies_of(dive: DecodedDive) -> tuple[Reply, ...]:
    """Replies to commands, those of which every number is at hand."""
    row = row_of(dive, Quantity.REPLIES)
    return () if row is None else replies_from_codes(row)
