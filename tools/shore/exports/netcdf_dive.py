"""What is known of a whole dive, and of the instrument in it, as variables of the netCDF file.

Every number has its provenance beside it. `netcdf` writes the file. Names and units are CF's where it has
any.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge.telemetry.decoded import DecodedDive, Provenance
from edge.telemetry.health import HealthField
from edge.telemetry.replies import Verdict
from edge.telemetry.summary import ESD_PERCENTS
from edge.telemetry.whole_dive import doubt_of, esd_quantiles_of, health_codes, replies_of

PROVENANCE_FLAGS = {
    "standard_name": "status_flag",
    "flag_values": np.array(list(Provenance), dtype=np.int8),
    "flag_meanings": "missing_or_not_sent lossless aggregated rounded_to_a_step companded_within_an_interval",
}
_HEALTH = {
    "battery_mv": ("battery_voltage", "mV"),
    "board_temperature_min_c": ("board_temperature_min", "degree_Celsius"),
    "board_temperature_max_c": ("board_temperature_max", "degree_Celsius"),
    "disk_free_mb": ("disk_free", "1e6"),
    "restarts": ("restarts", "1"),
    "over_exposed_frames": ("over_exposed_frames", "1"),
    "worst_sharpness": ("worst_sharpness", "1e-3"),
    "messages_waiting": ("messages_waiting", "1"),
    "lit_grey_centi": ("lit_mean_grey", "1e-2"),
    "unlit_grey_centi": ("unlit_mean_grey", "1e-2"),
    "noise_threshold": ("noise_threshold", "1"),
    "dirt_permille": ("dirt_share", "1e-3"),
    "drift_permille": ("drift", "1e-3"),
    "clock_off_s": ("clock_correction_max", "s"),
    "memory_mb": ("memory_max", "1e6"),
    "written_mb": ("written_to_disk", "1e6"),
    "classifier_restarts": ("classifier_restarts", "1"),
}
"""Name and unit of each field of health; bytes have no unit of their own in UDUNITS, so they are a number."""


def whole_dive_variables(dive: DecodedDive) -> dict[str, Any]:
    """Sizes within taxa, expected wrong names, health, replies."""
    variables = _health(dive) | _replies(dive)
    if dive.codebook.taxa:
        variables |= _sizes(dive) | _doubt(dive)
    return variables


def _sizes(dive: DecodedDive) -> dict[str, Any]:
    taxa = {taxon.label: i for i, taxon in enumerate(dive.codebook.taxa)}
    shape = len(taxa), len(ESD_PERCENTS)
    values, provenance = np.full(shape, np.nan), np.zeros(shape, dtype=np.int8)
    for sizes in esd_quantiles_of(dive):
        if sizes.is_known:
            row = taxa[sizes.taxon.label]
            provenance[row] = Provenance.ROUNDED
            values[row] = sizes.esd_um or np.nan
    return _pair(
        "taxon_esd_quantile",
        ("taxon", "quantile"),
        values,
        provenance,
        units="um",
        long_name="quantiles of the equivalent spherical diameter of the particles of a living taxon",
        comment="by nearest rank, each the middle of one of 16 steps an octave; missing where the taxon "
        "is not known to live, and, with rounded as its provenance, where no particle of it was seen",
    )


def _doubt(dive: DecodedDive) -> dict[str, Any]:
    told = doubt_of(dive)
    values = np.array([np.nan if wrong is None else wrong for wrong in told], dtype=np.float64)
    provenance = [Provenance.MISSING if wrong is None else Provenance.ROUNDED for wrong in told]
    return _pair(
        "NB_OBJECT_CATEGORY_expected_wrong",
        "taxon",
        values,
        np.array(provenance, dtype=np.int8),
        units="1",
        long_name="number of the classified particles of a taxon whose name is expected to be wrong",
        comment="sum of 1 less the calibrated probability of each answer as it was given; it assumes water "
        "like that of the images the model was tested on",
    )


def _health(dive: DecodedDive) -> dict[str, Any]:
    variables: dict[str, Any] = {}
    for field, code in health_codes(dive):
        name, unit = _HEALTH[field.name]
        value = field.value(code)
        fine = Provenance.ROUNDED if field.unit else Provenance.LOSSLESS
        variables |= _pair(
            name,
            (),
            np.float64(np.nan if value is None else value),
            np.int8(Provenance.MISSING if code is None else fine),
            units=unit,
            long_name=field.words + (", in bytes" if field.unit == "MB" else ""),
            comment=_comment(field),
        )
    return variables


def _comment(field: HealthField) -> str:
    """Range and precision, and how unknown differs from missing."""
    return (
        f"{field.minimum} to {field.maximum} in steps of {field.step}; "
        "a missing value whose provenance is not missing was not known on board"
    )


def _replies(dive: DecodedDive) -> dict[str, Any]:
    replies = replies_of(dive)
    if not replies:
        return {}
    flags = {
        "long_name": "what became of a command from shore",
        "coverage_content_type": "auxiliaryInformation",
        "flag_values": np.array(list(Verdict), dtype=np.int8),
        "flag_meanings": " ".join(verdict.name.lower() for verdict in Verdict),
    }
    detail = {
        "units": "1",
        "long_name": "detail of the reply; its meaning depends on the command",
        "coverage_content_type": "auxiliaryInformation",
    }
    counters = np.array([reply.counter for reply in replies], dtype=np.float64)
    text = "counter of the command that is answered"
    return {
        "reply": (
            "reply",
            counters,
            {"units": "1", "long_name": text, "coverage_content_type": "coordinate"},
        ),
        "reply_verdict": ("reply", np.array([reply.verdict for reply in replies], dtype=np.int8), flags),
        "reply_detail": ("reply", np.array([reply.detail for reply in replies], dtype=np.int32), detail),
    }


def _pair(name: str, dims: Any, values: Any, provenance: Any, **attributes: str) -> dict[str, Any]:
    """A variable, and where it comes from."""
    beside = f"{name}_provenance"
    told: dict[str, Any] = {"ancillary_variables": beside, "coverage_content_type": "auxiliaryInformation"}
    if "taxon" in dims:
        told["coordinates"] = "taxon_name taxon_lsid"
    where = {"long_name": f"where {name} comes from", "coverage_content_type": "qualityInformation"}
    return {name: (dims, values, attributes | told), beside: (dims, provenance, where | PROVENANCE_FLAGS)}
