"""Where samples of a netCDF file are: pressure, depth, time, place; and names of taxa and classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge.frame import FrameOutcome, Phase
from edge.telemetry.codebook import Codebook
from edge.telemetry.summary import ESD_PERCENTS
from tools.shore.ecotaxa.depth import depth_m
from tools.shore.exports.from_log import Frames
from tools.shore.exports.qc import FLAG_MEANINGS, Flag
from tools.shore.exports.tables import DiveTables, Floats, PhaseTables, Position

EPOCH = "seconds since 1970-01-01T00:00:00Z"
_TIME = {
    "standard_name": "time",
    "units": EPOCH,
    "calendar": "standard",
    "axis": "T",
    "units_metadata": "leap_seconds: none",
}
_COORDINATE = {"coverage_content_type": "coordinate"}
Variables = dict[str, tuple[Any, Any, dict[str, Any]]]


def profile_axes(dive: DiveTables) -> Variables:
    """Of the contiguous ragged array of descent and ascent."""
    phases = dive.profiles
    edges = np.concatenate([np.stack((one.edges[:-1], one.edges[1:]), axis=1) for one in phases])
    middles = np.concatenate([one.middles for one in phases])
    # The descent begins with the dive; an ascent is dated, as Argo's profiles are, when it ends.
    times = np.array([one.start_s if one.phase is Phase.DESCENT else one.end_s for one in phases])
    n = np.array([one.n for one in phases], dtype=np.int32)
    variables: Variables = {
        "profile_id": (
            "profile",
            [f"{dive.name} {one.phase.name.lower()}" for one in phases],
            {"long_name": "name of the profile", "cf_role": "profile_id"},
        ),
        "row_size": (
            "profile", n, {"long_name": "number of samples of the profile", "sample_dimension": "obs"},
        ),
        "direction": ("profile", [_direction(one.phase) for one in phases], _DIRECTION),
        "time": (
            "profile", times,
            _TIME | _COORDINATE | {"long_name": "begin of a descent, end of an ascent (UTC)"},
        ),
        "PRES": (
            "obs", middles,
            _pressure("pressure in the middle of the bin") | {"bounds": "PRES_bounds"},
        ),
        "PRES_bounds": (("obs", "bound"), edges.astype(np.float64), {}),
        "depth": ("obs", _depth(dive, middles), _depth_facts(dive)),
        "phase": ("obs", np.repeat([np.int8(one.phase) for one in phases], n), _PHASE),
    }  # fmt: skip
    return variables | _place([dive.position_of(one) for one in phases], "profile")


def park_axes(dive: DiveTables, park: PhaseTables) -> Variables:
    """Of the time series of the park."""
    edges = np.stack((park.edges[:-1], park.edges[1:]), axis=1).astype(np.float64)
    variables: Variables = {
        "station": (
            (), f"{dive.name} park",
            {"long_name": "name of the time series", "cf_role": "timeseries_id"},
        ),
        "time": (
            "obs", park.start_s + park.middles,
            _TIME | _COORDINATE
            | {"long_name": "time in the middle of the bin (UTC)", "bounds": "time_bounds"}
            | ({"ancillary_variables": "time_uncertainty time_QC"}),
        ),
        "time_bounds": (("obs", "bound"), park.start_s + edges, {}),
        "time_uncertainty": (
            (), np.float64(park.time_off_s),
            {
                "long_name": "by how much all times of the park together may be wrong", "units": "s",
                "comment": "messages tell when a dive began and ended: the park is put in the middle of what "
                "its length leaves free",
                "coverage_content_type": "qualityInformation",
            },
        ),
        "time_QC": ((), np.int8(_time_flag(park)), _flag_facts("time")),
        "time_in_park": (
            "obs", park.middles,
            {"units": "s", "long_name": "time since the park began, in the middle of the bin",
             "bounds": "time_in_park_bounds", "coverage_content_type": "coordinate"},
        ),
        "time_in_park_bounds": (("obs", "bound"), edges, {}),
        "phase": ("obs", np.full(park.n, np.int8(Phase.PARK)), _PHASE),
    }  # fmt: skip
    if np.isfinite(park.pressure_dbar).any():
        told = _pressure("mean pressure of the frames of the bin")
        del told["axis"]
        variables["PRES"] = ("obs", park.pressure_dbar, told | {"coordinates": "time lat lon"})
        depth = _depth_facts(dive) | {"coordinates": "time lat lon"}
        variables["depth"] = ("obs", _depth(dive, park.pressure_dbar), depth)
    return variables | _place([dive.position_of(park)], ())


def frame_axes(dive: DiveTables, frames: Frames) -> Variables:
    """Of the trajectory whose samples are frames."""
    variables: Variables = {
        "trajectory": (
            (), f"{dive.name} frames", {"long_name": "name of the trajectory", "cf_role": "trajectory_id"},
        ),
        "time": ("obs", frames.time_ms / 1000, _TIME | _COORDINATE | {"long_name": "time (UTC)"}),
        "PRES": ("obs", frames.pressure_dbar, _pressure("pressure of the frame")),
        "depth": ("obs", _depth(dive, frames.pressure_dbar), _depth_facts(dive)),
        "phase": ("obs", frames.phase.astype(np.int8), _PHASE),
        "frame_number": (
            "obs", frames.number.astype(np.int32),
            {"long_name": "number of the frame in the dive, from 0", "units": "1",
             "coverage_content_type": "referenceInformation"},
        ),
    }  # fmt: skip
    phases = {int(one.phase): dive.position_of(one) for one in dive.phases}
    whole = dive.position_of(None)
    return variables | _place([phases.get(one, whole) for one in frames.phase.tolist()], "obs")


def dive_axes(dive: DiveTables) -> Variables:
    """Of a file in which no phase along depth is known: the place alone."""
    return _place([dive.position_of(None)], ())


def label_variables(codebook: Codebook) -> Variables:
    """Names along the dimensions that are not samples."""
    limits = np.array(codebook.optics.size_class_limits_um)
    taxa = codebook.taxa
    variables: Variables = {
        "outcome_name": (
            "outcome", [one.label for one in FrameOutcome],
            {"long_name": "outcome of a frame"} | _REFERENCE,
        ),
        "size_class": (
            "size_class", limits,
            {"units": "um", "long_name": "lower limit of the size class, equivalent spherical diameter; the "
             "last class is open"} | _COORDINATE,
        ),
        "quantile": (
            "quantile", np.array(ESD_PERCENTS) / 100, {"units": "1", "long_name": "quantile"} | _COORDINATE,
        ),
    }  # fmt: skip
    if taxa:
        living = [-1 if one.living is None else int(one.living) for one in taxa]
        variables |= {
            "taxon_name": (
                "taxon", [one.label for one in taxa],
                {"long_name": "taxon as the model names it", "standard_name": "biological_taxon_name"}
                | _REFERENCE,
            ),
            "taxon_lsid": (
                "taxon", [lsid(one.aphia_id) for one in taxa],
                {"long_name": "identifier of the taxon in WoRMS, empty where nobody gave one",
                 "standard_name": "biological_taxon_lsid"} | _REFERENCE,
            ),
            "ECOTAXA_CATEGORY_ID": (
                "taxon", np.array([one.ecotaxa_id or -1 for one in taxa], dtype=np.int32),
                {"long_name": "id of the taxon in EcoTaxa, -1 where not given", "units": "1"} | _REFERENCE,
            ),
            "taxon_living": (
                "taxon", np.array(living, dtype=np.int8),
                {"long_name": "whether the taxon is alive",
                 "flag_values": np.array([-1, 0, 1], dtype=np.int8),
                 "flag_meanings": "unknown not_living living"} | _REFERENCE,
            ),
        }  # fmt: skip
    return variables


def lsid(aphia_id: int | None) -> str:
    """A taxon's identifier in the World Register of Marine Species, "" where it is not known."""
    return "" if aphia_id is None else f"urn:lsid:marinespecies.org:taxname:{aphia_id}"


_REFERENCE = {"coverage_content_type": "referenceInformation"}
_DIRECTION = {
    "long_name": "direction of the profile",
    "flag_values": np.array([0, 1], dtype=np.int8),
    "flag_meanings": "descending ascending",
    "comment": "Argo's DIRECTION: D, A",
} | _REFERENCE
_PHASE = {
    "long_name": "phase of the dive",
    "flag_values": np.array(list(Phase), dtype=np.int8),
    "flag_meanings": " ".join(phase.name.lower() for phase in Phase),
} | _REFERENCE


def _direction(phase: Phase) -> np.int8:
    return np.int8(phase is Phase.ASCENT)


def _pressure(words: str) -> dict[str, Any]:
    return {
        "standard_name": "sea_water_pressure", "long_name": words, "units": "dbar", "positive": "down",
        "axis": "Z", "ancillary_variables": "PRES_QC PRES_QC_reason",
    } | _COORDINATE  # fmt: skip


def _depth(dive: DiveTables, pressure_dbar: Floats) -> Floats:
    return depth_m(pressure_dbar, dive.place.latitude_deg)


def _depth_facts(dive: DiveTables) -> dict[str, Any]:
    latitude = dive.place.latitude_deg
    how = "at 45 degrees, for the latitude is not known: wrong by 0.3 % at most"
    if latitude is not None:
        how = f"at latitude {latitude:g}"
    return {
        "standard_name": "depth", "long_name": "depth", "units": "m", "positive": "down",
        "comment": f"from PRES by TEOS-10 (gsw.z_from_p), {how}",
    } | _COORDINATE  # fmt: skip


def _place(positions: Sequence[Position], dims: Any) -> Variables:
    """Latitude and longitude with flag, error and source; missing where nobody knows them."""

    def laid(values: list[Any], kind: Any = np.float64) -> Any:
        return kind(values[0]) if dims == () else np.array(values, dtype=kind)

    is_known = any(one.is_known for one in positions)
    words = [one.words for one in positions]
    by_frame = dims == "obs"  # a text a frame would be larger than all the rest
    beside = "POSITION_QC position_uncertainty" + ("" if by_frame else " position_source")
    found: Variables = {}
    for name, values, standard, units in (
        ("lat", [one.latitude_deg for one in positions], "latitude", "degrees_north"),
        ("lon", [one.longitude_deg for one in positions], "longitude", "degrees_east"),
    ):
        told = {
            "standard_name": standard, "long_name": standard, "units": units,
            "axis": "Y" if name == "lat" else "X",
            "ancillary_variables": beside,
            "comment": "where the float was between its fixes nobody knows" if is_known else "not known",
        } | _COORDINATE  # fmt: skip
        if by_frame:
            told["source"] = "; ".join(dict.fromkeys(words))
        found[name] = (dims, laid(values), told)
    flag = _flag_facts("position") | {
        "comment": "0: as it was given; 1, 2: a fix at the surface at that time; 3: Argo's test 5 (drifts of "
        "3 m/s and more); 8: away from a fix; land was not tested"
    }
    found["POSITION_QC"] = (dims, laid([one.flag for one in positions], np.int8), flag)
    found["position_uncertainty"] = (
        dims, laid([one.radius_km for one in positions]),
        {
            "long_name": "radius of the error of the position", "units": "km",
            "comment": "as who made the fixes states it, or the scatter of the fixes where that is larger; "
            "missing where nobody says it, and of an estimate",
            "coverage_content_type": "qualityInformation",
        },
    )  # fmt: skip
    if not by_frame:
        found["position_source"] = (
            dims, words[0] if dims == () else words,
            {"long_name": "where the position is from", "coverage_content_type": "qualityInformation"},
        )  # fmt: skip
    return found


def _time_flag(park: PhaseTables) -> int:
    if np.isnan(park.start_s):
        return Flag.MISSING
    return Flag.GOOD if park.time_off_s == 0 else Flag.ESTIMATED


def _flag_facts(of: str) -> dict[str, Any]:
    return {
        "long_name": f"quality flag of {of}, Argo reference table 2", "standard_name": "quality_flag",
        "flag_values": np.array(list(Flag), dtype=np.int8), "flag_meanings": FLAG_MEANINGS,
        "coverage_content_type": "qualityInformation",
    }  # fmt: skip
