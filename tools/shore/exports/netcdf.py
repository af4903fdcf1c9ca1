"""A dive as netCDF-4 after CF and ACDD: `profile.nc` along depth, `park.nc` along time, `frames.nc` by frame.

CF lets a file hold one kind of discrete sampling geometry. Descent and ascent are two profiles; the park, of
which messages tell times and no pressures, is a time series of its own. Names are those of the Argo decoder
for the UVP6 where it has one (capitals); the others are this instrument's. Needs the shore extra.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge.frame import CLASSIFIED_OUTCOMES, N_OUTCOMES, SIZED_OUTCOMES, FrameOutcome
from edge.telemetry.summary import Quantity
from tools.shore.exports.netcdf_axes import (
    dive_axes,
    frame_axes,
    label_variables,
    park_axes,
    profile_axes,
)
from tools.shore.exports.netcdf_dive import PROVENANCE_FLAGS, whole_dive_variables
from tools.shore.exports.netcdf_facts import global_attributes
from tools.shore.exports.netcdf_save import save
from tools.shore.exports.qc import FLAG_MEANINGS, Flag, PhaseQc, Reason, Reasons, flags_of
from tools.shore.exports.tables import INTERVAL_LEVEL, Cells, DiveTables, PhaseTables
from tools.shore.science.intervals import poisson

Variables = dict[str, tuple[Any, Any, dict[str, Any]]]
PROFILE, PARK, FRAMES = "profile.nc", "park.nc", "frames.nc"


@dataclass(frozen=True, slots=True)
class Name:
    """How a table is called in the file: variable, its second dimension or "", unit, words, kind (ACDD)."""

    variable: str
    dimension: str
    units: str
    words: str
    standard_name: str = ""
    comment: str = ""
    more: Mapping[str, str] = field(default_factory=dict)


_NUMBER = "number_of_observations"
"""CF's name for how many observations, here frames or particles, other numbers are derived from."""
NAMES: dict[Quantity, Name] = {
    Quantity.FRAMES: Name("frames", "outcome", "1", "number of frames by outcome", _NUMBER),
    Quantity.SIZES: Name(
        "NB_SIZE_SPECTRA_PARTICLES", "size_class", "1", "number of particles by size class", _NUMBER
    ),
    Quantity.GREY: Name(
        "GREY_SIZE_SPECTRA_PARTICLES", "size_class", "1", "mean grey level of the particles, 0 to 255"
    ),
    Quantity.NOISE: Name(
        "BLACK_NB_SIZE_SPECTRA_PARTICLES", "size_class", "1",
        "number of particles by size class in unlit frames: the noise of the camera", _NUMBER,
    ),
    Quantity.TAXA: Name(
        "NB_OBJECT_CATEGORY", "taxon", "1", "number of classified particles by taxon", _NUMBER,
        comment="as the model named them; see NB_OBJECT_CATEGORY_corrected_total",
    ),
    Quantity.ESD: Name(
        "taxon_mean_esd", "taxon", "um", "mean equivalent spherical diameter of the classified particles"
    ),
    Quantity.UNNAMED: Name(
        "not_classified_count", "", "1",
        "number of particles large enough to be classified that were not, for want of time",
        "number_of_missing_observations",
    ),
    Quantity.TEMPERATURE: Name(
        "TEMP", "", "degree_Celsius", "mean temperature of the water", "sea_water_temperature",
        more={"units_metadata": "temperature: on_scale"},
    ),
}  # fmt: skip
"""Counts are sums over the images of a sample, as Argo's: divide by images and image volume."""

IMAGES = {
    "NB_IMAGE_PARTICLES": (SIZED_OUTCOMES, "number of images in which every particle was counted"),
    "NB_IMAGE_CATEGORY": (CLASSIFIED_OUTCOMES, "number of images in which the larger particles were named"),
    "BLACK_NB_IMAGE_PARTICLES": ((FrameOutcome.UNLIT,), "number of images without light, for the noise"),
}
CONCENTRATIONS = {
    Quantity.SIZES: ("CONCENTRATION_LPM", "number concentration of particles by size class", ""),
    Quantity.TAXA: (
        "CONCENTRATION_CATEGORY", "number concentration of classified particles by taxon",
        "number_concentration_of_biological_taxon_in_sea_water",
    ),
}  # fmt: skip
_LABELS = {"taxon": "taxon_name taxon_lsid", "size_class": "", "outcome": "outcome_name", "": ""}


def write_netcdf(dive: DiveTables, folder: Path, extra: Mapping[str, Any] | None = None) -> list[Path]:
    """Write a dive into a folder that is there; returns the files.

    `profile.nc` is always written, for it holds what is known of the whole dive; `park.nc` where the dive has
    a park. `extra` are more global attributes, which win.

    Raises `ImportError` where a package of the shore extra is not installed.
    """
    import h5netcdf  # noqa: F401  (named here, so that the error is about it)

    made = [(PROFILE, profile_dataset(dive, extra))]
    if dive.park is not None:
        made.append((PARK, park_dataset(dive, extra)))
    for name, data in made:
        save(data, folder / name)
    if dive.park is None:
        (folder / PARK).unlink(missing_ok=True)
    return [folder / name for name, _ in made]


def profile_dataset(dive: DiveTables, extra: Mapping[str, Any] | None = None) -> Any:
    """Descent and ascent as profiles (contiguous ragged array), and all of the whole dive."""
    phases = dive.profiles
    variables: Variables = dict(profile_axes(dive)) if phases else dict(dive_axes(dive))
    if phases:
        variables |= _samples(dive, phases, "time lat lon PRES depth")
        variables |= _pressure_flags(dive, phases)
    variables |= _totals(dive) | whole_dive_variables(dive.decoded)
    return _dataset(dive, variables, "profile" if phases else "", extra)


def park_dataset(dive: DiveTables, extra: Mapping[str, Any] | None = None) -> Any:
    """The park as a time series."""
    park = dive.park
    if park is None:
        raise ValueError("the dive has no park")
    variables = dict(park_axes(dive, park)) | _samples(dive, (park,), "time lat lon")
    if np.isfinite(park.pressure_dbar).any():
        variables |= _pressure_flags(dive, (park,))
    return _dataset(dive, variables, "timeSeries", extra)


def frames_dataset(
    dive: DiveTables, frames: Any, tables: PhaseTables, extra: Mapping[str, Any] | None = None
) -> Any:
    """Every frame as a sample along the way of the float; `frames` and `tables` as `from_log` makes them."""
    variables = dict(frame_axes(dive, frames))
    variables |= _samples(dive, (tables,), "time lat lon PRES depth", is_frames=True)
    variables |= _pressure_flags(dive, (tables,), is_frames=True)
    return _dataset(dive, variables, "trajectory", extra)


def _dataset(dive: DiveTables, variables: Variables, feature: str, extra: Mapping[str, Any] | None) -> Any:
    import xarray as xr

    sizes = {d: n for dims, data, _ in variables.values() for d, n in _sizes(dims, data)}
    labels = {name: one for name, one in label_variables(dive.codebook).items() if one[0] in sizes}
    return xr.Dataset(variables | labels, attrs=global_attributes(dive, variables, feature, extra or {}))


def _sizes(dims: Any, data: Any) -> list[tuple[str, int]]:
    names = (dims,) if isinstance(dims, str) else dims
    return list(zip(names, np.shape(data), strict=True))


def _samples(
    dive: DiveTables, phases: Sequence[PhaseTables], coordinates: str, *, is_frames: bool = False
) -> Variables:
    """All tables over the samples of some phases, one phase after another."""
    variables: Variables = {}
    qc = [PhaseQc(dive, phase, is_frames=is_frames) for phase in phases]
    reasons: dict[Quantity, Reasons] = {}
    cells: dict[Quantity, Cells] = {}
    for quantity, name in NAMES.items():
        if not any(quantity in phase.cells for phase in phases):
            continue
        width = next(phase.cells[quantity].values.shape[1] for phase in phases if quantity in phase.cells)
        parts = [phase.cells.get(quantity) or Cells.unknown(phase.n, width) for phase in phases]
        cells[quantity] = _joined(parts)
        if quantity is not Quantity.FRAMES:
            reasons[quantity] = np.concatenate(
                [
                    one.of(quantity) if quantity in phase.cells else np.zeros((phase.n, width), np.int64)
                    for one, phase in zip(qc, phases, strict=True)
                ]
            )
        variables |= _table(name, cells[quantity], reasons.get(quantity), coordinates, is_frames=is_frames)
    frames = cells[Quantity.FRAMES].values
    for variable, (outcomes, words) in IMAGES.items():
        n = frames[:, [int(one) for one in outcomes]].sum(axis=1)
        variables[variable] = ("obs", n, _attributes(words, "1", coordinates) | {"standard_name": _NUMBER})
    for kind, what in (
        ("sized", "in which every particle was counted"),
        ("classified", "in which the larger particles were classified"),
    ):
        litres = np.concatenate([getattr(phase, f"volume_{kind}_l") for phase in phases])
        told = _attributes(f"volume of water {what}", "L", coordinates)
        if kind == "classified":
            told["comment"] = (
                "where only some of them were, it is less by that share: to pool samples, weigh their "
                "concentrations with volume_sized"
            )
        variables[f"volume_{kind}"] = ("obs", litres, told)
    for quantity, (variable, words, standard) in CONCENTRATIONS.items():
        if quantity in cells:
            litres = variables["volume_sized" if quantity is Quantity.SIZES else "volume_classified"][1]
            variables |= _concentration(
                NAMES[quantity], cells[quantity], litres, variable, words, standard, coordinates
            )
    return variables


def _joined(parts: Sequence[Cells]) -> Cells:
    """One phase after another, the cells numbered on."""
    offset, numbers = 0, []
    for part in parts:
        numbers.append(np.where(part.cell < 0, -1, part.cell + offset))
        offset += int(part.cell.max(initial=-1)) + 1
    columns = [
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("values", "provenance", "low", "high")
    ]
    return Cells(columns[0], columns[1], np.concatenate(numbers), columns[2], columns[3])


def _table(
    name: Name, cells: Cells, reasons: Reasons | None, coordinates: str, *, is_frames: bool
) -> Variables:
    """A table with its flags, provenance, cells and limits beside it."""
    at: Any = ("obs", name.dimension) if name.dimension else "obs"

    def laid(array: Any) -> Any:
        return array if name.dimension else array[:, 0]

    told = _attributes(name.words, name.units, coordinates, name.dimension)
    named = {"standard_name": name.standard_name} if name.standard_name else {}
    told |= {**named, **name.more}
    comments = [name.comment] if name.comment else []
    values = cells.values
    beside: Variables = {}
    v = name.variable
    if reasons is not None:
        # Nothing counted where nothing was looked at is no count.
        values = np.where((reasons & int(Reason.NOTHING_LOOKED_AT)) != 0, np.nan, values)
        beside |= _flags(v, at, laid(reasons))
    if not is_frames:
        words = f"where {v} comes from"
        beside[f"{v}_provenance"] = (
            at, laid(cells.provenance.astype(np.int8)), _quality(words) | PROVENANCE_FLAGS,
        )  # fmt: skip
        words = f"number of the cell: samples of one cell of {v} are known only together; -1 none"
        beside[f"{v}_cell"] = (at, laid(cells.cell.astype(np.int32)), _quality(words) | {"units": "1"})
        for end, array, which in (("low", cells.low, "least"), ("high", cells.high, "most")):
            words = f"{which} that {v} of the instrument can be: what rounding, companding and cells leave"
            told_end = _quality(words) | {"units": name.units} | named | dict(name.more)
            beside[f"{v}_{end}"] = (at, laid(array), told_end)
        if name.units == "1" and name.variable != "GREY_SIZE_SPECTRA_PARTICLES":
            comments.append("the count of an aggregated cell is shared evenly over its samples")
    if comments:
        told["comment"] = "; ".join(comments)
    if beside:
        told["ancillary_variables"] = " ".join(beside)
    return {v: (at, laid(values), told)} | beside


def _concentration(
    name: Name, cells: Cells, litres: Any, variable: str, words: str, standard: str, coordinates: str
) -> Variables:
    """Count over water, with the 95 % Poisson interval about all that the count can have been."""
    at = ("obs", name.dimension)
    water = np.where(litres > 0, litres, np.nan)[:, None]
    ends = poisson(cells.low, INTERVAL_LEVEL)[0], poisson(cells.high, INTERVAL_LEVEL)[1]
    told = _attributes(words, "L-1", coordinates, name.dimension)
    if standard:
        told["standard_name"] = standard
    told["ancillary_variables"] = (
        f"{name.variable}_QC {name.variable}_QC_reason {variable}_low {variable}_high"
    )
    told["comment"] = (
        f"{name.variable} over the water that was looked at; missing where there was none. "
        f"Its flags are those of {name.variable}."
    )
    found: Variables = {variable: (at, cells.values / water, told)}
    for end, array, which in (("low", ends[0], "lower"), ("high", ends[1], "upper")):
        text = (
            f"{which} end of the 95 % Poisson interval of {variable}, about all counts from "
            f"{name.variable}_low to {name.variable}_high"
        )
        named = {"standard_name": standard} if standard else {}
        found[f"{variable}_{end}"] = (at, array / water, _quality(text) | {"units": "L-1"} | named)
    return found


def _pressure_flags(dive: DiveTables, phases: Sequence[PhaseTables], *, is_frames: bool = False) -> Variables:
    reasons = [PhaseQc(dive, phase, is_frames=is_frames).of_pressure() for phase in phases]
    return _flags("PRES", "obs", np.concatenate(reasons))


def _flags(name: str, at: Any, reasons: Reasons) -> Variables:
    """Argo's flag, and why."""
    flag = _quality(f"quality flag of {name}, Argo reference table 2") | {
        "standard_name": "quality_flag",
        "flag_values": np.array(list(Flag), dtype=np.int8),
        "flag_meanings": FLAG_MEANINGS,
        "conventions": "Argo reference table 2",
    }
    why = _quality(f"why {name}_QC is not 1") | {
        "standard_name": "quality_flag",
        "flag_masks": np.array([int(one) for one in Reason], dtype=np.int32),
        "flag_meanings": " ".join(str(one.name).lower() for one in Reason),
    }
    return {
        f"{name}_QC": (at, flags_of(reasons), flag),
        f"{name}_QC_reason": (at, reasons.astype(np.int32), why),
    }


def _attributes(words: str, units: str, coordinates: str, dimension: str = "") -> dict[str, Any]:
    at = " ".join(one for one in (coordinates, _LABELS[dimension]) if one)
    return {
        "long_name": words, "units": units, "coordinates": at,
        "coverage_content_type": "physicalMeasurement",
    }  # fmt: skip


def _quality(words: str) -> dict[str, Any]:
    return {"long_name": words, "coverage_content_type": "qualityInformation"}


def _totals(dive: DiveTables) -> Variables:
    """Sums over the dive, which may be known where the samples are not."""
    decoded = dive.decoded
    variables: Variables = {}

    def told(words: str, dimension: str, comment: str = "") -> dict[str, Any]:
        found = {
            "long_name": words, "units": "1", "standard_name": _NUMBER,
            "coverage_content_type": "physicalMeasurement",
        }  # fmt: skip
        if _LABELS[dimension]:
            found["coordinates"] = _LABELS[dimension]
        return found | ({"comment": comment} if comment else {})

    for quantity in (Quantity.FRAMES, Quantity.TAXA, Quantity.SIZES):
        name = NAMES[quantity]
        sums, complete = decoded.totals(quantity)
        if sums.size:
            known = "all of the dive" if complete else "as far as messages are at hand"
            about = told(f"{name.words}, whole dive", name.dimension, known)
            variables[f"{name.variable}_total"] = (name.dimension, sums.astype(np.float64), about)
    corrected = decoded.corrected()
    if corrected is not None:
        texts = (
            "number of classified particles by taxon, whole dive, corrected for what the classifier confuses",
            "lower end of the 90 % interval of the corrected number",
            "upper end of the 90 % interval of the corrected number",
        )
        for suffix, counts, text in zip(("", "_low", "_high"), corrected[0], texts, strict=True):
            values = np.where(corrected[1], counts, np.nan)
            variables[f"NB_OBJECT_CATEGORY_corrected_total{suffix}"] = ("taxon", values, told(text, "taxon"))
    unplaced = np.full(N_OUTCOMES, np.nan)
    if dive.phases:
        unplaced = np.sum([phase.unplaced for phase in dive.phases], axis=0)
    text = "number of frames without pressure, in no bin"
    variables["frames_without_pressure"] = ("outcome", unplaced, told(text, "outcome"))
    return variables
