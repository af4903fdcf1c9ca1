"""A decoded dive as one tidy CSV: a row a cell, with its water and where the number comes from.

An aggregated cell is one row over its bins, never spread over finer ones. Standard library only: it works on
the instrument's board too.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge.frame import Phase
from edge.telemetry.decoded import ABSENT, DecodedDive, DecodedPhase, DecodedTable, Provenance, volume_l
from edge.telemetry.means import from_step
from edge.telemetry.summary import ESD_PERCENTS, Quantity, column_names
from edge.telemetry.whole_dive import doubt_of, esd_quantiles_of, health_codes, replies_of

COLUMNS = (
    "dive", "phase", "bin_from", "bin_to", "bin_unit", "quantity", "name", "value", "unit", "volume_l",
    "provenance", "value_low", "value_high",
)  # fmt: skip
NAMES = {
    Quantity.DIVE: "dive", Quantity.FRAMES: "frames", Quantity.UNPLACED: "frames_without_pressure",
    Quantity.TAXA: "taxon_count", Quantity.SIZES: "size_class_count", Quantity.NOISE: "noise_count",
    Quantity.TEMPERATURE: "temperature", Quantity.GREY: "size_class_mean_grey",
    Quantity.ESD: "taxon_mean_esd", Quantity.CORRECTED: "taxon_count_corrected",
    Quantity.ESD_QUANTILES: "taxon_esd", Quantity.DOUBT: "taxon_expected_wrong",
    Quantity.HEALTH: "health", Quantity.REPLIES: "reply",
    Quantity.UNNAMED: "not_classified_count", Quantity.CONDITION: "health",
}  # fmt: skip
UNITS = {Quantity.TEMPERATURE: "degree_Celsius", Quantity.ESD: "um"}
HEALTH_UNITS = {"": "1", "°C": "degree_Celsius", "‰": "1e-3", "grey": "1e-2"}
"""Units of health as files have them, where people write them otherwise."""
Row = tuple[str | int | float, ...]


def write_csv(dive: DecodedDive, path: Path) -> None:
    """Write one dive.

    Columns: dive, phase (`dive` for totals of all phases), bin_from, bin_to, bin_unit (dbar, or s since the
    park began), quantity, name (outcome, taxon, or lower ESD limit of a size class in um), value, unit,
    volume_l (litres behind a count; empty where the frames are not known as finely), provenance (lossless,
    aggregated, rounded, companded, missing, not-sent), value_low and value_high (between what a companded
    count lies, ends included; elsewhere empty). A mean of nothing has no row.

    Of the whole dive: taxon_count_corrected is what the counts are when what the classifier confuses is put
    right, with _low and _high its 90 % interval. taxon_esd_q05 to _q95 are quantiles of the ESD of the
    particles of a living taxon. taxon_expected_wrong is how many of its names are expected to be wrong.
    health is that of the instrument; what the board itself did not know has no row. reply_verdict and
    reply_detail answer the command whose counter is the name.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows(dive))


def rows(dive: DecodedDive) -> Iterator[Row]:
    """Rows of one dive, as `COLUMNS`."""
    for row in _rows(dive):
        yield (*row, "", "") if len(row) < len(COLUMNS) else row


def _rows(dive: DecodedDive) -> Iterator[Row]:
    for fact, value in dive.facts.items():
        yield (
            dive.dive_number, "dive", "", "", "", NAMES[Quantity.DIVE], fact.name.lower(), value,
            "s" if fact.name.endswith("_S") else "1", "", "lossless",
        )  # fmt: skip
    for quantity, table in dive.whole.items():
        if quantity is Quantity.CORRECTED:
            yield from _corrected_rows(dive)
        elif not quantity.is_of_dive:
            yield from _table_rows(dive, None, quantity, table)
    yield from _naming_rows(dive)
    yield from _instrument_rows(dive)
    for phase in dive.phases.values():
        for quantity in NAMES:
            if not quantity.is_of_dive and column_names(dive.codebook, quantity):
                table = phase.tables.get(quantity) or _nothing(dive, phase, quantity)
                yield from _table_rows(dive, phase, quantity, table)


def _corrected_rows(dive: DecodedDive) -> Iterator[Row]:
    """Corrected counts of the dive, and both ends of their interval."""
    found = dive.corrected()
    if found is None:
        return
    for suffix, counts in zip(("", "_low", "_high"), found[0].tolist(), strict=True):
        name = NAMES[Quantity.CORRECTED] + suffix
        for taxon, count, known in zip(dive.codebook.taxa, counts, found[1].tolist(), strict=True):
            if known:
                yield dive.dive_number, "dive", "", "", "", name, taxon.label, count, "1", "", "lossless"


def _naming_rows(dive: DecodedDive) -> Iterator[Row]:
    """Sizes within the living taxa, and expected numbers of wrong names."""
    for sizes in esd_quantiles_of(dive):
        if sizes.is_known and not sizes.esd_um:
            continue  # no particle of this taxon was seen
        values = sizes.esd_um or [None] * len(ESD_PERCENTS)
        for percent, value in zip(ESD_PERCENTS, values, strict=True):
            name = f"{NAMES[Quantity.ESD_QUANTILES]}_q{percent:02d}"
            yield _dive_row(dive, name, sizes.taxon.label, value, "um", "rounded")
    for taxon, wrong in zip(dive.codebook.taxa, doubt_of(dive), strict=True):
        yield _dive_row(dive, NAMES[Quantity.DOUBT], taxon.label, wrong, "1", "rounded")


def _instrument_rows(dive: DecodedDive) -> Iterator[Row]:
    """Health of the instrument, and replies to commands."""
    for field, code in health_codes(dive):
        value = field.value(code)
        if code is None or value is not None:
            source = "rounded" if field.unit else "lossless"
            unit = HEALTH_UNITS.get(field.unit, field.unit)
            yield _dive_row(dive, NAMES[Quantity.HEALTH], field.name, value, unit, source)
    for reply in replies_of(dive):
        for part, told in (("verdict", reply.verdict.label), ("detail", reply.detail)):
            name = f"{NAMES[Quantity.REPLIES]}_{part}"
            yield _dive_row(dive, name, str(reply.counter), told, "1" if part == "detail" else "", "lossless")


def _dive_row(
    dive: DecodedDive, quantity: str, name: str, value: str | float | None, unit: str, source: str
) -> Row:
    """A number of the whole dive; None is not at hand."""
    absent = "not-sent" if dive.is_complete else "missing"
    shown = ("", absent) if value is None else (value, source)
    return dive.dive_number, "dive", "", "", "", quantity, name, shown[0], unit, "", shown[1]


def _table_rows(
    dive: DecodedDive, phase: DecodedPhase | None, quantity: Quantity, table: DecodedTable
) -> Iterator[Row]:
    name = "dive" if phase is None else phase.phase.name.lower()
    placed = phase is not None and quantity.has_bins
    unit = ("s" if phase is not None and phase.phase is Phase.PARK else "dbar") if placed else ""
    volumes: dict[tuple[int, int], float] = {}
    sources = table.provenance
    low, high = table.limits()
    limits = {
        (int(table.column[i]), int(table.first[i])): (int(low[i]), int(high[i]))
        for i in np.flatnonzero(table.step)
    }

    def row(first: int, last: int, column: int, value: str | int | float, source: str) -> Row:
        volume: str | float = ""
        if phase is not None and placed and value != "":
            if (first, last) not in volumes:
                volumes[first, last] = volume_l(dive, phase, first, last, quantity)
            volume = volumes[first, last] if np.isfinite(volumes[first, last]) else ""
        edges = (
            (int(phase.edges[first]), int(phase.edges[last])) if phase is not None and placed else ("", "")
        )
        return (
            dive.dive_number, name, *edges, unit, NAMES[quantity], table.names[column], value,
            UNITS.get(quantity, "1"), volume, source, *limits.get((column, first), ("", "")),
        )  # fmt: skip

    known = zip(
        table.column.tolist(), table.first.tolist(), table.last.tolist(), table.value.tolist(), strict=True
    )
    cells = [
        (*cell, Provenance(int(source)).name.lower()) for cell, source in zip(known, sources, strict=True)
    ]
    absent = "not-sent" if dive.is_complete else "missing"
    cells += [(*gap, ABSENT, absent) for gap in _gaps(table)]
    for column, first, last, value, source in sorted(cells):
        if value == ABSENT and source != absent:
            continue
        shown: str | int | float = value
        if value == ABSENT:
            shown = ""
        elif quantity.is_mean:
            shown = from_step(quantity, value)[0]
        yield row(first, last, column, shown, source)


def _gaps(table: DecodedTable) -> Iterator[tuple[int, int, int]]:
    """Column, first bin, bin after the last of each run of bins of which nothing is known."""
    known = np.zeros((len(table.names), table.n_bins + 2), dtype=np.int8)
    known[:, [0, -1]] = 1
    for column, first, last in zip(table.column, table.first, table.last, strict=True):
        known[column, first + 1 : last + 1] = 1
    for column, line in enumerate(np.diff(known, axis=1)):
        starts, stops = np.flatnonzero(line == -1), np.flatnonzero(line == 1)
        for first, last in zip(starts.tolist(), stops.tolist(), strict=True):
            yield column, first, last


def _nothing(dive: DecodedDive, phase: DecodedPhase, quantity: Quantity) -> DecodedTable:
    none = np.zeros(0, dtype=np.int64)
    n_bins = phase.n_bins if quantity.has_bins else 1
    return DecodedTable(quantity, column_names(dive.codebook, quantity), n_bins, none, none, none, none, none)
