"""Lines of a UVP6: its configurations and its data, of three firmware generations, read and written. Pure.

After the vendor's serial specification (2023-11-23). Fields keep the vendor's names in `HW_FIELDS` and the
like, since files and hosts know them by these; our own records have units in their names. Reading gives a
record or a sentence on what is wrong; it never raises.
"""

from __future__ import annotations

import calendar
import enum
import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

N_CLASSES = 18
"""Size classes of a frame."""
N_TAXA = 40
"""EcoTaxa ids of a TAXO_CONF."""
MAX_IMAGES = 255
MAX_LINE_BYTES = 1 << 17
"""A TAXO line of 255 images with 25 objects each, where a UVP6 stops, takes some 90 kB."""

_CLASS_FIELDS = tuple(f"Lower_limit_size_class_{i}_um" for i in range(1, N_CLASSES + 1))
_HW_2021 = (
    "Camera_ref", "Acquisition_mode", "Default_acquisition_configuration",
    "Delay_after_power_up_on_time_mode", "Light_ref", "Correction_table_activation",
    "Time_between_lighting_power_up_and_trigger", "Time_between_lighting_trigger_and_acquisition",
    "Pressure_sensor_ref", "Pressure_offset", "Storage_capacity",
    "Minimum_remaining_memory_for_thumbnail_saving", "Baud_Rate", "IP_adress", "Black_level", "Shutter",
    "Gain", "Threshold", "Aa", "Exp", "Pixel_Size", "Image_volume", "Calibration_date",
    "Last_parameters_modification", "Operator_email", *_CLASS_FIELDS,
)  # fmt: skip
_HW_2022 = tuple(
    name for name in _HW_2021 if name not in ("Time_between_lighting_power_up_and_trigger", "IP_adress")
)
_ACQ = (
    "Configuration_name", "PT_mode", "Acquisition_frequency", "Frames_per_bloc",
    "Pressure_for_auto_start", "Pressure_difference_for_auto_stop", "Result_sending",
    "Save_synthetic_data_for_delayed_request", "Save_images", "Vignetting_lower_limit_size",
    "Appendices_ratio", "Interval_for_measuring_background_noise", "Image_nb_for_smoothing",
    "Analog_output_activation", "Gain_for_analog_out", "Maximal_internal_temperature", "Operator_email",
    "Taxo_conf",
)  # fmt: skip
_ACQ_2021 = (
    *_ACQ[:4], "Blocs_per_PT", *_ACQ[4:8], "Limit_lpm_detection_size", *_ACQ[8:15],
    "Minimum_object_number", *_ACQ[15:17], "Taxo_flag", "Remaining_memory",
)  # fmt: skip


class Generation(enum.Enum):
    """Firmware, told by the length of its HW_CONF: two of them have an ACQ_CONF of 22 fields."""

    V2021 = "2021 and before"
    V2022_01 = "2022.01"
    V2022_02 = "after 2022.01"


HW_FIELDS: dict[Generation, tuple[str, ...]] = {
    Generation.V2021: _HW_2021,
    Generation.V2022_01: _HW_2022,
    Generation.V2022_02: (*_HW_2022, "Version"),
}
ACQ_FIELDS: dict[Generation, tuple[str, ...]] = {
    Generation.V2021: _ACQ_2021,
    Generation.V2022_01: (*_ACQ, "Remaining_memory"),
    Generation.V2022_02: (*_ACQ, "Aux_mode", "Aux_param_1", "Aux_param_2", "Remaining_memory"),
}
TAXO_FIELDS = (
    "Configuration_name", "Model_reference", "Max_size_for_classification", "Model_nb_classes",
    *(f"Taxa_id_{i}" for i in range(1, N_TAXA + 1)),
)  # fmt: skip
_TEXT = re.compile(r"[ -+\--:<-~]*")
"""Printable ASCII but the comma and the semicolon."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration as it stands on the line: the vendor's names and texts.

    Attributes
    ----------
    kind
        HW_CONF, ACQ_CONF or TAXO_CONF.
    generation
        Of an HW_CONF or ACQ_CONF; a TAXO_CONF is the same in all.
    values
        Texts by the vendor's name, in order.
    """

    kind: str
    generation: Generation
    values: dict[str, str]

    def number(self, name: str) -> float | None:
        """A value as a number; None when it is none, or not there."""
        try:
            found = float(self.values[name])
        except (KeyError, ValueError):
            return None
        return found if math.isfinite(found) else None

    def class_limits_um(self) -> tuple[float, ...] | None:
        """Lower limits of the size classes of an HW_CONF, um, rising; None when they are not."""
        limits = [self.number(name) for name in _CLASS_FIELDS]
        known = tuple(limit for limit in limits if limit is not None)
        rises = all(a < b for a, b in itertools.pairwise(known))
        return known if len(known) == N_CLASSES and rises else None


def write_configuration(conf: Configuration) -> str:
    """The line, without what hosts put before it; raises ValueError for a text that would break it."""
    for name, text in conf.values.items():
        if not _TEXT.fullmatch(text):
            raise ValueError(f"{conf.kind}.{name} is {text!r}; printable ASCII without , and ; can be sent")
    return f"{conf.kind},{','.join(conf.values.values())};"


def read_configuration(line: str, generation: Generation | None = None) -> Configuration | str:
    """A configuration, or why the line is none.

    Parameters
    ----------
    line
        With or without `$` before and `;` after it.
    generation
        Of the HW_CONF that came before; needed for an ACQ_CONF of 22 fields.
    """
    kind, *values = line.strip().removeprefix("$").removesuffix(";").split(",")
    if kind == "TAXO_CONF":
        return _named(kind, {Generation.V2022_02: TAXO_FIELDS}, values)
    if kind == "HW_CONF":
        return _named(kind, HW_FIELDS, values)
    if kind == "ACQ_CONF":
        known = ACQ_FIELDS if generation is None else {generation: ACQ_FIELDS[generation]}
        return _named(kind, known, values)
    return f"{kind[:20]!r} is no configuration; HW_CONF, ACQ_CONF and TAXO_CONF are"


def _named(kind: str, known: dict[Generation, tuple[str, ...]], values: Sequence[str]) -> Configuration | str:
    fits = [generation for generation, names in known.items() if len(names) == len(values)]
    if not fits:
        counts = ", ".join(sorted({str(len(names)) for names in known.values()}))
        return f"{kind} has {len(values)} values; {counts} are known"
    if len(fits) > 1:
        return f"{kind} of {len(values)} values is of more than one firmware; read its HW_CONF first"
    return Configuration(kind, fits[0], dict(zip(known[fits[0]], values, strict=True)))


@dataclass(frozen=True, slots=True)
class Instant:
    """Date and time as the line has them: year, month, day, hour, minute, second, UTC by agreement."""

    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int

    @property
    def date(self) -> str:
        """YYYYMMDD."""
        return f"{self.year:04d}{self.month:02d}{self.day:02d}"

    @property
    def time(self) -> str:
        """HHMMSS."""
        return f"{self.hour:02d}{self.minute:02d}{self.second:02d}"


def read_instant(date: str, time: str) -> Instant | None:
    """Date and time, or None when they are none."""
    if not (re.fullmatch(r"[0-9]{8}", date) and re.fullmatch(r"[0-9]{6}", time)):
        return None
    found = Instant(
        int(date[:4]), int(date[4:6]), int(date[6:]), int(time[:2]), int(time[2:4]), int(time[4:])
    )
    if not (1 <= found.month <= 12 and found.hour < 24 and found.minute < 60 and found.second < 60):
        return None
    is_day = (
        1 <= found.day <= calendar.monthrange(found.year, found.month)[1] if found.year >= 2000 else False
    )
    return found if is_day else None


@dataclass(frozen=True, slots=True)
class LpmFrame:
    """Particles of a lit bloc.

    Attributes
    ----------
    pressure_dbar, temperature_c
        Two decimals on the line; NaN is written `nan`.
    at
        Of the bloc.
    n_images
        0 to 255; 0 of an over-exposed bloc.
    counts, greys
        By size class: particles, and their mean grey.
    """

    pressure_dbar: float
    at: Instant
    n_images: int
    temperature_c: float
    counts: tuple[int, ...]
    greys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BlackFrame:
    """Particles of an unlit bloc: noise."""

    pressure_dbar: float
    at: Instant
    n_images: int
    temperature_c: float
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TaxoObject:
    """One classified object: class 0 to 39, volume of the sphere of its ESD in px3, mean grey."""

    taxon: int
    volume_px3: int
    grey: int


@dataclass(frozen=True, slots=True)
class TaxoFrame:
    """Classified objects of the lit bloc whose LPM frame comes next."""

    n_images: int
    objects: tuple[TaxoObject, ...] = field(default=())


DataFrame = LpmFrame | BlackFrame | TaxoFrame


def write_frame(frame: DataFrame) -> str:
    """The line of a frame, with its `;`."""
    if isinstance(frame, TaxoFrame):
        objects = "".join(f",{one.taxon},{one.volume_px3},{one.grey}" for one in frame.objects)
        return f"TAXO_DATA,{frame.n_images}{objects};"
    kind = "LPM_DATA" if isinstance(frame, LpmFrame) else "BLACK_DATA"
    numbers = frame.counts + (frame.greys if isinstance(frame, LpmFrame) else ())
    head = (
        f"{kind},{frame.pressure_dbar:.2f},{frame.at.date},{frame.at.time},{frame.n_images},"
        f"{frame.temperature_c:.2f}"
    )
    return f"{head},{','.join(map(str, numbers))};"


def read_frame(line: str) -> DataFrame | str:
    """A data frame, or why the line is none."""
    text = line.strip()
    if len(text) > MAX_LINE_BYTES or not text.endswith(";"):
        return f"a frame ends with ; and is not longer than {MAX_LINE_BYTES} characters"
    kind, *cells = text[:-1].split(",")
    if kind == "TAXO_DATA":
        return _read_taxo(cells)
    if kind not in ("LPM_DATA", "BLACK_DATA"):
        return f"{kind[:20]!r} is no frame; LPM_DATA, TAXO_DATA and BLACK_DATA are"
    wanted = N_CLASSES * (2 if kind == "LPM_DATA" else 1)
    if len(cells) != 5 + wanted:
        return f"{kind} has {len(cells)} values; {5 + wanted} are known"
    pressure, at, temperature = _real(cells[0]), read_instant(cells[1], cells[2]), _real(cells[4])
    n_images = _whole(cells[3], MAX_IMAGES)
    numbers = [_whole(cell, 1 << 31) for cell in cells[5:]]
    if pressure is None or at is None or temperature is None or n_images is None or None in numbers:
        return f"{kind} has a value that is no number of its kind"
    known = tuple(number for number in numbers if number is not None)
    if kind == "BLACK_DATA":
        return BlackFrame(pressure, at, n_images, temperature, known)
    return LpmFrame(pressure, at, n_images, temperature, known[:N_CLASSES], known[N_CLASSES:])


def _read_taxo(cells: Sequence[str]) -> TaxoFrame | str:
    n_images = _whole(cells[0], MAX_IMAGES) if cells else None
    numbers = [_whole(cell, 1 << 40) for cell in cells[1:]]
    if n_images is None or len(numbers) % 3 or None in numbers:
        return "TAXO_DATA is not a number of images and three whole numbers an object"
    known = [number for number in numbers if number is not None]
    objects = tuple(TaxoObject(*known[i : i + 3]) for i in range(0, len(known), 3))
    if any(one.taxon >= N_TAXA or one.grey > 255 for one in objects):
        return "TAXO_DATA has a class above 39 or a grey above 255"
    return TaxoFrame(n_images, objects)


def _real(text: str) -> float | None:
    if text.lower() == "nan":
        return math.nan
    return float(text) if re.fullmatch(r"-?[0-9]{1,6}(\.[0-9]{1,6})?", text) else None


def _whole(text: str, most: int) -> int | None:
    if not re.fullmatch(r"[0-9]{1,13}", text):
        return None
    found = int(text)
    return found if found <= most else None
