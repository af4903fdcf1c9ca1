"""The columns of a table in their order, and the cells that are the same for all objects of a phase."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from edge.frame import Phase
from tools.shore.dives import Place
from tools.shore.ecotaxa import rules
from tools.shore.ecotaxa.columns import LOGGED, MEASURED, OWN_TEXTS
from tools.shore.ecotaxa.depth import MIDDLE_LATITUDE_DEG
from tools.shore.ecotaxa.dive import Dive, software, stamp, utc, water_of
from tools.shore.ecotaxa.legend import Legend

_HEAD = (
    "img_file_name", "img_rank", "object_id", "object_lat", "object_lon", "object_date", "object_time",
    "object_depth_min", "object_depth_max", "object_annotation_category", "object_annotation_category_id",
    "object_annotation_status", *OWN_TEXTS,
)  # fmt: skip
NUMBERS = tuple(column.name for column in (*MEASURED, *LOGGED))
"""Object columns of numbers that are not predefined."""
_NO_NUMBER = re.compile("nan|-?inf")
_FORM = "\t".join(["%.7g"] * len(NUMBERS))
_ACQ = (
    "acq_id", "acq_instrument", "acq_sn", "acq_volimage", "acq_aa", "acq_exp", "acq_pixel", "acq_threshold",
    "acq_smzoo", "acq_ratio", "acq_phase", "acq_images", "acq_volume_l", "acq_unnamed", "acq_pressure_min",
    "acq_pressure_max",
)  # fmt: skip
_PROCESS = (
    "process_id", "process_software", "process_date", "process_time", "process_model", "process_model_sha256",
    "process_pixel", "process_particle_pixel_size_mm", "process_depth",
    *(f"process_{name}" for name in Legend().settings()),
)  # fmt: skip
_SAMPLE = (
    "sample_id", "sample_profileid", "sample_cruise", "sample_ship", "sample_stationid", "sample_bottomdepth",
    "sample_comment", "sample_sampletype", "sample_integrationtime", "sample_argoid", "sample_sampledatetime",
)  # fmt: skip
COLUMNS = (*_HEAD, *NUMBERS, *_ACQ, *_PROCESS, *_SAMPLE)
"""Columns of every table, in their order."""


def fixed_cells(dive: Dive, phase: Phase, place: Place, legend: Legend, given: Mapping[str, str]) -> str:
    """Cells of acquisition, process and sample, the same for all objects of a phase; `given` go before."""
    optics, facts, water = dive.optics, dive.recording, water_of(dive, phase)
    instrument = facts.get("instrument")
    started = utc(dive.started_ms)
    is_known = place.latitude_deg is not None
    latitude = place.latitude_deg if is_known else MIDDLE_LATITUDE_DEG
    is_series = {part.phase for part in dive.summary.profile.phases} == {Phase.PARK}
    cells: dict[str, object] = {
        "acq_id": f"{dive.name}_{phase.name.lower()}",
        "acq_instrument": "seston",
        "acq_sn": instrument.get("unit") if isinstance(instrument, dict) else "",
        "acq_volimage": optics.image_volume_l,
        "acq_aa": optics.area_unit_um2 / 1e6,
        "acq_exp": optics.exp,
        "acq_pixel": optics.pixel_um,
        "acq_threshold": optics.threshold,
        "acq_smzoo": dive.config.classify.min_esd_um,
        "acq_ratio": dive.config.vision.vignette_box_ratio,
        "acq_phase": phase.name.lower(),
        "acq_images": water.images,
        "acq_volume_l": water.volume_l,
        "acq_unnamed": water.unnamed,
        "acq_pressure_min": water.least_dbar,
        "acq_pressure_max": water.most_dbar,
        "process_id": dive.identity,
        "process_software": software(),
        "process_date": f"{started:%Y%m%d}",
        "process_time": f"{started:%H%M%S}",
        "process_model": dive.bundle.get("name"),
        "process_model_sha256": dive.bundle.get("sha256"),
        "process_pixel": optics.pixel_um,
        "process_particle_pixel_size_mm": optics.pixel_um / 1000,
        "process_depth": f"TEOS-10 at latitude {latitude:.4f}{'' if is_known else ', assumed'}",
        **{f"process_{name}": value for name, value in legend.settings().items()},
        "sample_id": dive.name,
        "sample_profileid": facts.get("profile") or dive.name,
        "sample_cruise": facts.get("cruise"),
        "sample_ship": facts.get("ship"),
        "sample_sampletype": "T" if is_series else "P",
        "sample_integrationtime": dive.config.profile.park_bin_s if is_series else "",
        "sample_argoid": dive.platform,
        "sample_sampledatetime": stamp(dive.started_ms),
        **given,
    }  # fmt: skip
    names = (*_ACQ, *_PROCESS, *_SAMPLE, *(name for name in given if name not in COLUMNS))
    return "\t".join(_cell(cells.get(name)) for name in names)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return _number(value) if isinstance(value, float) else clean(str(value))


def number_cells(values: Sequence[float]) -> str:
    """Cells of `NUMBERS`."""
    text = _FORM % tuple(values)
    return _NO_NUMBER.sub("", text) if "n" in text else text


def _number(value: float) -> str:
    """Seven digits, nothing for NaN."""
    return f"{value:.7g}" if math.isfinite(value) else ""


def clean(text: str) -> str:
    """Text as a cell can hold it: no tabs, line ends or quotes, and not longer than EcoTaxa has room."""
    return " ".join(text.replace('"', "'").split())[: rules.MOST_TEXT]
