"""A decoded dive as one netCDF-4 file after the CF conventions: bins of all phases along one dimension.

Counts travel with the water they were counted in, so that concentrations are a division away, and every
cell with its provenance. Needs xarray and h5netcdf (the shore extra).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.frame import CLASSIFIED_OUTCOMES, N_OUTCOMES, SIZED_OUTCOMES, FrameOutcome, Phase
from edge.telemetry.decoded import DecodedDive, DecodedPhase, volume_l
from edge.telemetry.summary import DiveFact, Quantity, column_names
from tools.shore.exports.hdf5 import write_dataset
from tools.shore.exports.netcdf_dive import (
    PROVENANCE_FLAGS,
    whole_dive_coordinates,
    whole_dive_variables,
)

_VARIABLES: dict[Quantity, tuple[str, str, str, str]] = {
    Quantity.FRAMES: ("frames", "outcome", "1", "number of frames by outcome"),
    Quantity.TAXA: ("taxon_count", "taxon", "1", "number of classified particles by taxon"),
    Quantity.ESD: (
        "taxon_mean_esd", "taxon", "um", "mean equivalent spherical diameter of the classified particles",
    ),
    Quantity.SIZES: ("size_class_count", "size_class", "1", "number of particles by size class"),
    Quantity.GREY: ("size_class_mean_grey", "size_class", "1", "mean grey level of the particles, 0 to 255"),
    Quantity.NOISE: ("noise_count", "size_class", "1", "number of particles by size class in unlit frames"),
    Quantity.UNNAMED: (
        "not_classified_count", "", "1",
        "number of particles large enough to be classified that were not, for want of time",
    ),
    Quantity.TEMPERATURE: ("temperature", "", "degree_Celsius", "mean water temperature"),
}  # fmt: skip


COMPANDED = (Quantity.SIZES, Quantity.NOISE)
"""Counts by bins that may be sent within an interval."""


def write_netcdf(dive: DecodedDive, path: Path) -> None:
    """Write one dive; raises `ImportError` where xarray or h5netcdf is not installed.

    Dimensions: bin (phases one after another, shallow to deep or early to late), outcome, taxon, size_class,
    quantile (of the sizes within a taxon), reply (to commands). Health of the instrument has no dimension.
    Count of an aggregated cell: shared evenly over its bins, so that sums stay exact; bins of one cell have
    the same number in `*_cell`.
    """
    import h5netcdf  # noqa: F401  (named here, so that the error is about it)

    data = to_dataset(dive)
    coded = {
        name: {"zlib": True, "complevel": 4} for name, v in data.variables.items() if v.dtype.kind in "iuf"
    }
    partial = path.with_suffix(".partial")
    write_dataset(data, partial, coded)
    partial.replace(path)


def to_dataset(dive: DecodedDive) -> Any:
    """The dive as an `xarray.Dataset`."""
    import xarray as xr

    phases = list(dive.phases.values())
    variables: dict[str, Any] = dict(_axes(phases))
    for quantity, (name, dimension, unit, text) in _VARIABLES.items():
        is_there = quantity is not Quantity.UNNAMED or any(dive.has_unnamed(one.phase) for one in phases)
        if is_there and column_names(dive.codebook, quantity):
            variables |= _table(dive, phases, quantity, name, dimension, unit, text)
    values = variables["frames"][1]
    for kind, outcomes, what in (
        ("sized", SIZED_OUTCOMES, "in which every particle was counted"),
        ("classified", CLASSIFIED_OUTCOMES, "in which the larger particles were classified"),
    ):
        volume = values[:, [int(outcome) for outcome in outcomes]].sum(axis=1) * (
            dive.codebook.optics.image_volume_ul / 1e6
        )
        attributes = {"units": "L", "long_name": f"volume of water {what}"}
        if kind == "classified":
            volume = _in_share(dive, phases, volume)
            attributes["comment"] = (
                "where only some of them were, it is less by that share: to pool bins, weigh their "
                "concentrations with volume_sized"
            )
        variables[f"volume_{kind}"] = ("bin", volume, attributes)
    variables |= _totals(dive, phases) | whole_dive_variables(dive)
    return xr.Dataset(variables, _coordinates(dive) | whole_dive_coordinates(dive), _attributes(dive))


def _in_share(dive: DecodedDive, phases: list[DecodedPhase], volume: NDArray[np.float64]) -> Any:
    """Volume by bin in which the larger particles were classified; NaN where it is not known."""
    found, at = volume.copy(), 0
    for phase in phases:
        if dive.has_unnamed(phase.phase):
            for i in range(phase.n_bins):
                found[at + i] = volume_l(dive, phase, i, i + 1, Quantity.TAXA)
        at += phase.n_bins
    return found


def _axes(phases: list[DecodedPhase]) -> dict[str, Any]:
    """Where each bin is: phase, and pressure or time with bounds; NaN where the other one counts."""
    n = sum(phase.n_bins for phase in phases)
    bounds = {name: np.full((n, 2), np.nan) for name in ("pressure", "time_in_park")}
    which = np.zeros(n, dtype=np.int8)
    at = 0
    for phase in phases:
        name = "time_in_park" if phase.phase is Phase.PARK else "pressure"
        bounds[name][at : at + phase.n_bins] = np.stack((phase.edges[:-1], phase.edges[1:]), axis=1)
        which[at : at + phase.n_bins] = phase.phase
        at += phase.n_bins
    flags = {
        "long_name": "phase of the dive",
        "flag_values": np.array(list(Phase), dtype=np.int8),
        "flag_meanings": " ".join(phase.name.lower() for phase in Phase),
    }
    axes = {
        "pressure": {
            "units": "dbar", "standard_name": "sea_water_pressure", "positive": "down", "axis": "Z",
            "long_name": "pressure in the middle of the bin", "bounds": "pressure_bounds",
        },
        "time_in_park": {
            "units": "s", "long_name": "time since the park began, in the middle of the bin",
            "bounds": "time_in_park_bounds",
        },
    }  # fmt: skip
    variables: dict[str, Any] = {"phase": ("bin", which, flags)}
    for name, attributes in axes.items():
        variables[name] = ("bin", bounds[name].mean(axis=1), attributes)
        variables[f"{name}_bounds"] = (("bin", "bounds"), bounds[name])
    return variables


def _table(
    dive: DecodedDive,
    phases: list[DecodedPhase],
    quantity: Quantity,
    name: str,
    dimension: str,
    unit: str,
    text: str,
) -> dict[str, Any]:
    """A quantity over all bins, with provenance and cells beside it."""
    n_columns = len(column_names(dive.codebook, quantity))
    parts: list[tuple[Any, ...]] = []
    offset = 0
    for phase in phases:
        table = phase.tables.get(quantity)
        if table is None:
            shape = phase.n_bins, n_columns
            unknown = np.full(shape, np.nan)
            parts.append((unknown, np.zeros(shape, np.uint8), np.full(shape, -1, np.int64), unknown, unknown))
            continue
        values, provenance, cell = table.dense()
        ends = [table.laid_out(end) for end in table.limits()]
        parts.append((values, provenance, np.where(cell < 0, -1, cell + offset), *ends))
        offset += len(table.column)
    none = np.zeros((0, n_columns))
    joined = [np.concatenate([none, *column]) for column in zip(*parts, strict=True)] or [none] * 5
    dims: Any = ("bin", dimension) if dimension else "bin"
    values, provenance, cell, low, high = joined if dimension else [array[:, 0] for array in joined]
    beside = f"{name}_provenance {name}_cell"
    attributes = {"units": unit, "long_name": text, "ancillary_variables": beside}
    if quantity is Quantity.TEMPERATURE:
        attributes["standard_name"] = "sea_water_temperature"
    if not quantity.is_mean:
        attributes["comment"] = "the count of an aggregated cell is shared evenly over its bins"
    limits: dict[str, Any] = {}
    if quantity in COMPANDED:
        attributes["ancillary_variables"] += f" {name}_low {name}_high"
        for end, array, which in (("low", low, "least"), ("high", high, "most")):
            told = f"{which} that {name} can be: it differs where the count was companded"
            limits[f"{name}_{end}"] = (dims, array, {"units": unit, "long_name": told})
    return limits | {
        name: (dims, values, attributes),
        f"{name}_provenance": (
            dims,
            provenance.astype(np.int8),
            {"long_name": f"where {name} comes from"} | PROVENANCE_FLAGS,
        ),
        f"{name}_cell": (
            dims,
            cell.astype(np.int32),
            {"long_name": f"number of the cell: bins of one cell of {name} are known only together; -1 none"},
        ),
    }


def _totals(dive: DecodedDive, phases: list[DecodedPhase]) -> dict[str, Any]:
    """Sums over the dive, which may be known where the bins are not."""
    variables: dict[str, Any] = {}
    for quantity in (Quantity.FRAMES, Quantity.TAXA, Quantity.SIZES):
        name, dimension, unit, text = _VARIABLES[quantity]
        if column_names(dive.codebook, quantity):
            sums, complete = dive.totals(quantity)
            known = "all of the dive" if complete else "as far as messages are at hand"
            attributes = {"units": unit, "long_name": f"{text}, whole dive", "comment": known}
            variables[f"{name}_total"] = (dimension, sums, attributes)
    corrected = dive.corrected()
    if corrected is not None:
        texts = (
            "number of classified particles by taxon, whole dive, corrected for what the classifier confuses",
            "lower end of the 90 % interval of the corrected number",
            "upper end of the 90 % interval of the corrected number",
        )
        for suffix, counts, text in zip(("", "_low", "_high"), corrected[0], texts, strict=True):
            values = np.where(corrected[1], counts, np.nan)
            attributes = {"units": "1", "long_name": text}
            variables[f"taxon_count_corrected{suffix}"] = ("taxon", values, attributes)
    unplaced = np.full(N_OUTCOMES, np.nan)
    tables = [phase.tables.get(Quantity.UNPLACED) for phase in phases]
    if all(table is not None for table in tables):
        unplaced = np.sum([np.zeros(N_OUTCOMES), *(table.totals()[0] for table in tables if table)], axis=0)
    text = "number of frames without pressure, in no bin"
    variables["frames_without_pressure"] = ("outcome", unplaced, {"units": "1", "long_name": text})
    return variables


def _coordinates(dive: DecodedDive) -> dict[str, Any]:
    limits = np.array(dive.codebook.optics.size_class_limits_um)
    living = [-1 if taxon.living is None else int(taxon.living) for taxon in dive.codebook.taxa]
    coordinates: dict[str, Any] = {
        "outcome": (
            "outcome",
            [outcome.label for outcome in FrameOutcome],
            {"long_name": "outcome of a frame"},
        ),
        "size_class": (
            "size_class",
            limits,
            {"units": "um", "long_name": "lower limit of the size class, equivalent spherical diameter"},
        ),
    }
    if dive.codebook.taxa:
        labels = [taxon.label for taxon in dive.codebook.taxa]
        coordinates["taxon"] = ("taxon", labels, {"long_name": "taxon as the model names it"})
        coordinates["taxon_living"] = (
            "taxon",
            np.array(living, dtype=np.int8),
            {
                "long_name": "whether the taxon is alive",
                "flag_values": np.array([-1, 0, 1], dtype=np.int8),
                "flag_meanings": "unknown not_living living",
            },
        )
    return coordinates


def _attributes(dive: DecodedDive) -> dict[str, Any]:
    book = dive.codebook
    attributes: dict[str, Any] = {
        "Conventions": "CF-1.11, ACDD-1.3",
        "title": f"Particles and plankton counted in situ, dive {dive.dive_number}",
        "summary": "Counts of particles by size and of plankton by taxon, by depth, decoded from messages.",
        "platform": book.platform or "unknown",
        "dive_number": dive.dive_number,
        "codebook_sha256": book.sha256,
        "bundle_sha256": book.bundle_sha256,
        "image_volume_l": book.optics.image_volume_ul / 1e6,
        "missing_messages": dive.missing_sentence() or "none",
    }
    start = dive.facts.get(DiveFact.START_S)
    duration = dive.facts.get(DiveFact.DURATION_S)
    if start is not None and start < 1 << 37:
        attributes["time_coverage_start"] = (
            datetime.fromtimestamp(start, UTC).isoformat().replace("+00:00", "Z")
        )
    if duration is not None:
        attributes["time_coverage_duration"] = f"PT{duration}S"
    return attributes
