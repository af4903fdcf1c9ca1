"""Global attributes of a netCDF file after ACDD-1.3: what, when, where, by whom, from what."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from tools.shore.ecotaxa.dive import software
from tools.shore.exports.qc import FLAG_OF
from tools.shore.exports.tables import DataMode, DiveTables

_KINDS = {"profile": "Profile", "timeSeries": "Station", "trajectory": "Trajectory"}
_WORDS = {
    DataMode.REAL_TIME: "decoded from the messages that the float sent",
    DataMode.DELAYED: "made from the recovered log of the dive, exactly as the instrument counted",
}


def global_attributes(
    dive: DiveTables,
    variables: Mapping[str, tuple[Any, Any, dict[str, Any]]],
    feature: str,
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """Attributes of a file; those in `extra` win, `history` is put before the one here.

    A `date_created` in it is taken for all dates, so that a file can be made again to the same bytes.
    """
    book = dive.codebook
    created = str(extra.get("date_created") or now())
    attributes: dict[str, Any] = {
        "Conventions": "CF-1.8, ACDD-1.3",
        "title": f"Particles and plankton counted in situ by a camera, {dive.name}",
        "summary": "Counts and concentrations of particles by size and of plankton by taxon, "
        f"{_WORDS[dive.mode]}. Every cell has its provenance, its uncertainty and a quality flag.",
        "keywords": "Earth Science > Biological Classification > Animals/Invertebrates > Zooplankton, "
        "Earth Science > Oceans > Ocean Optics > Turbidity, particles, size spectra, in situ imaging",
        "keywords_vocabulary": "GCMD Science Keywords, and free words",
        "id": re.sub(r"[^A-Za-z0-9.-]+", "_", f"{dive.name} {feature} {dive.mode.value}".strip()),
        "naming_authority": "not registered",
        "source": f"in situ camera on an autonomous float; {dive.source}",
        "processing_level": "counts by bin, automatic quality flags, not corrected by a person",
        "comment": "Missing is never zero: where nothing was looked at there is no number, the flag is 9.",
        "standard_name_vocabulary": "CF Standard Name Table v93",
        "data_mode": dive.mode.value,
        "data_mode_meaning": "Argo reference table 19: R real time, D delayed mode",
        "platform": book.platform or "unknown",
        "platform_vocabulary": "free text",
        "instrument": "in situ camera with image processing on board",
        "instrument_vocabulary": "free text",
        "project": dive.cruise or "unknown",
        "product_version": software(),
        "license": "not stated: ask the creator",
        "creator_name": "unknown", "creator_email": "unknown", "creator_url": "unknown",
        "publisher_name": "unknown", "publisher_email": "unknown", "publisher_url": "unknown",
        "institution": "unknown",
        "acknowledgement": "none given",
        "date_created": created, "date_modified": created, "date_issued": created,
        "date_metadata_modified": created,
        "dive_number": dive.decoded.dive_number,
        "codebook_sha256": book.sha256,
        "bundle_sha256": book.bundle_sha256,
        "image_volume_l": book.optics.image_volume_ul / 1e6,
        "pixel_um": book.optics.pixel_um,
        "missing_messages": dive.decoded.missing_sentence() or "none",
        "quality_control": "Argo reference table 2; flag by reason: "
        + ", ".join(f"{str(one.name).lower()} {flag.value}" for one, flag in FLAG_OF.items()),
        "references": "Argo Quality Control Manual for CTD and Trajectory Data v3.3 (doi 10.13155/33951); "
        "Picheral et al. 2022 (doi 10.1002/lom3.10475)",
    }  # fmt: skip
    if feature:
        attributes |= {"featureType": feature, "cdm_data_type": _KINDS[feature]}
    attributes |= _when(dive, variables) | _where(variables)
    attributes["history"] = f"{created} {attributes['product_version']}: {_WORDS[dive.mode]}"
    more = dict(extra)
    history = more.pop("history", "")
    if history:
        attributes["history"] = f"{history}\n{attributes['history']}"
    return attributes | more


def _when(dive: DiveTables, variables: Mapping[str, tuple[Any, Any, dict[str, Any]]]) -> dict[str, Any]:
    start_s: float | None = dive.start_s
    end_s: float | None = dive.end_s
    resolution_s = 0.0
    if start_s is not None and end_s is not None:
        resolution_s = end_s - start_s  # of profiles, each of which has one time
    if "time_in_park" in variables and dive.park is not None:
        start_s, end_s = dive.park.start_s, dive.park.start_s + float(dive.park.edges[-1])
        resolution_s = dive.codebook.profile.park_bin_s
    elif "frame_number" in variables and len(variables["time"][1]) > 1:
        resolution_s = float(np.median(np.diff(variables["time"][1])))
    found: dict[str, Any] = {}
    if start_s is not None and math.isfinite(start_s):
        found["time_coverage_start"] = iso(start_s)
        if end_s is not None and math.isfinite(end_s):
            found["time_coverage_end"] = iso(end_s)
            found["time_coverage_duration"] = f"PT{end_s - start_s:.0f}S"
            found["time_coverage_resolution"] = f"PT{resolution_s:g}S"
    return found


def _where(variables: Mapping[str, tuple[Any, Any, dict[str, Any]]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    lat, lon = (np.atleast_1d(variables[name][1]) for name in ("lat", "lon"))
    lat, lon = lat[np.isfinite(lat)], lon[np.isfinite(lon)]
    if not len(lat):
        found["position"] = "not known"
    else:
        places = list(dict.fromkeys(zip(lat.tolist(), lon.tolist(), strict=True)))
        words = ", ".join(f"{a:.6f} {b:.6f}" for a, b in places)
        west, east = float(lon.min()), float(lon.max())
        if east - west > 180:  # over the date line, where west is the larger number
            west, east = float(lon[lon > 0].min()), float(lon[lon < 0].max())
        found |= {
            "geospatial_bounds": f"{'LINESTRING' if len(places) > 1 else 'POINT'} ({words})",
            "geospatial_bounds_crs": "EPSG:4326",
            "geospatial_lat_min": float(lat.min()), "geospatial_lat_max": float(lat.max()),
            "geospatial_lat_units": "degrees_north",
            "geospatial_lon_min": west, "geospatial_lon_max": east, "geospatial_lon_units": "degrees_east",
        }  # fmt: skip
    if "depth" in variables and np.isfinite(variables["depth"][1]).any():
        depth = variables["depth"][1]
        found |= {
            "geospatial_vertical_min": float(np.nanmin(depth)),
            "geospatial_vertical_max": float(np.nanmax(depth)),
            "geospatial_vertical_units": "m", "geospatial_vertical_positive": "down",
            "geospatial_bounds_vertical_crs": "EPSG:5831",
        }  # fmt: skip
    return found


def iso(seconds: float) -> str:
    """UTC as ISO 8601 to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def now() -> str:
    """When the file is made; SOURCE_DATE_EPOCH, where it is set, makes the same bytes again."""
    told = os.environ.get("SOURCE_DATE_EPOCH", "")
    return iso(int(told) if told.isdecimal() else int(time.time()))
