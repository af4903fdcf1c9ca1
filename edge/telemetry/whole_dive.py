"""What the tables of a whole decoded dive say, as typed records in their units. Pure.

A number whose message is missing is unknown here: it is never taken for nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from edge.taxonomy import Taxon
from edge.telemetry.decoded import DecodedDive
from edge.telemetry.health import Condition, Health, HealthField
from edge.telemetry.means import from_log_step
from edge.telemetry.replies import Reply, replies_from_codes
from edge.telemetry.summary import ESD_PERCENTS, MAX_ESD_STEP, NO_ESD, Quantity, living_taxa, n_columns


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

    @classmethod
    def from_codes(cls, taxon: Taxon, codes: Sequence[int | None]) -> SizesOfTaxon:
        """Sizes of a taxon from the numbers that travelled, None where one is not at hand. Never raises."""
        known = [min(code, MAX_ESD_STEP + 2) for code in codes if code is not None]
        steps = [total - 1 for total in itertools.accumulate(known)]
        if len(known) < len(codes) or not steps or steps[-1] > MAX_ESD_STEP:
            return cls(taxon, False)
        if steps[0] == NO_ESD:
            return cls(taxon, steps[-1] == NO_ESD)
        return cls.from_steps(taxon, steps)

    @classmethod
    def from_steps(cls, taxon: Taxon, steps: Sequence[int]) -> SizesOfTaxon:
        """Sizes of a taxon from log steps, all `NO_ESD` where there was no particle."""
        found = [from_log_step(step) for step in steps if step != NO_ESD]
        return cls(taxon, True, tuple(low + (width - 1) / 2 for low, width in found))


def row_of(dive: DecodedDive, quantity: Quantity) -> list[int | None]:
    """Columns of a table of the whole dive, as they travelled; None where one is not at hand."""
    row: list[int | None] = [None] * n_columns(dive.codebook, quantity)
    table = dive.whole.get(quantity)
    if table is not None:
        for column, value in zip(table.column.tolist(), table.value.tolist(), strict=True):
            row[column] = value
    return row


def esd_quantiles_of(dive: DecodedDive) -> list[SizesOfTaxon]:
    """Sizes within every living taxon, in the codebook's order."""
    taxa, n = dive.codebook.taxa, len(ESD_PERCENTS)
    row = row_of(dive, Quantity.ESD_QUANTILES)
    return [
        SizesOfTaxon.from_codes(taxa[taxon], row[n * i : n * (i + 1)])
        for i, taxon in enumerate(living_taxa(taxa))
    ]


def doubt_of(dive: DecodedDive) -> list[int | None]:
    """Expected number of wrong names by taxon; None where it is not at hand."""
    return row_of(dive, Quantity.DOUBT)


def health_of(dive: DecodedDive) -> Health | None:
    """Health of the instrument; a field is None where the board did not know it or it is not at hand."""
    return Health.from_codes(row_of(dive, Quantity.HEALTH)) if Quantity.HEALTH in dive.whole else None


def health_codes(dive: DecodedDive) -> list[tuple[HealthField, int | None]]:
    """Every number of health and condition as it travelled, with its field; None where it is not at hand."""
    both = ((Health, Quantity.HEALTH), (Condition, Quantity.CONDITION))
    return [one for kind, quantity in both for one in zip(kind.FIELDS, row_of(dive, quantity), strict=True)]


def condition_of(dive: DecodedDive) -> Condition | None:
    """What camera, model and process came to; None as in `health_of`."""
    told = Quantity.CONDITION in dive.whole
    return Condition.from_codes(row_of(dive, Quantity.CONDITION)) if told else None


def replies_of(dive: DecodedDive) -> tuple[Reply, ...]:
    """Replies to commands, those of which every number is at hand."""
    return replies_from_codes(row_of(dive, Quantity.REPLIES))
