"""How the instrument itself fared in a dive: a typed record and its bit budget. Pure; reads no sensor.

The schema is the budget, as in DCCL: every field has a minimum, a maximum and a precision, and travels as one
small number of which 0 is "unknown". What is read aboard (`edge.health`) is a `HealthReading`; those of a
dive are summed up here.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import msgspec

from edge.errors import InputError


@dataclass(frozen=True, slots=True)
class HealthField:
    """What one number of `Health` may be.

    Attributes
    ----------
    name
        Of the attribute in `Health`.
    minimum, maximum
        Smallest and largest value, in the unit of the name.
    step
        Precision: values travel as multiples of it above the minimum.
    unit
        As people write it; "" for numbers without one.
    words
        What it is, for people.
    """

    name: str
    minimum: int
    maximum: int
    step: int
    unit: str
    words: str

    @property
    def largest_code(self) -> int:
        """Code of the maximum; codes begin at 1, and 0 is unknown."""
        return 1 + -(-(self.maximum - self.minimum) // self.step)

    def code(self, value: int | None) -> int:
        """Number that travels: the nearest step, the upper of two; 0 for None."""
        if value is None:
            return 0
        return 1 + (2 * (value - self.minimum) + self.step) // (2 * self.step)

    def value(self, code: int | None) -> int | None:
        """Value of a number that travelled; None for 0, for what no encoder writes, and for None."""
        if code is None or not 1 <= code <= self.largest_code:
            return None
        return min(self.minimum + (code - 1) * self.step, self.maximum)

    def held(self, value: float | None) -> int | None:
        """A value rounded and held within the limits; None for what is no number."""
        if value is None or not math.isfinite(value):
            return None
        return min(max(round(value), self.minimum), self.maximum)

    def text(self, value: int | None) -> str:
        """A value as people read it; a dash for None."""
        if value is None:
            return "–"
        match self.unit:
            case "mV":
                return f"{value / 1000:.2f} V"
            case "MB":
                return f"{value / 1000:,.2f} GB"
            case "‰":
                return f"{value / 1000:.3f}"
            case "grey":
                return f"{value / 100:.2f} of 255"
            case "":
                return f"{value:,}"
            case unit:
                return f"{value} {unit}"


HEALTH_FIELDS = (
    HealthField("battery_mv", 0, 60_000, 10, "mV", "lowest battery voltage"),
    HealthField("board_temperature_min_c", -55, 150, 1, "°C", "lowest temperature of the board"),
    HealthField("board_temperature_max_c", -55, 150, 1, "°C", "highest temperature of the board"),
    HealthField("disk_free_mb", 0, 1 << 24, 16, "MB", "free disk at the last reading"),
    HealthField("restarts", 0, 65_535, 1, "", "restarts during the dive"),
    HealthField("over_exposed_frames", 0, (1 << 24) - 1, 1, "", "over-exposed frames"),
    HealthField("worst_sharpness", 0, 1000, 1, "‰", "sharpness of the least sharp frame"),
    HealthField("messages_waiting", 0, 65_535, 1, "", "messages of earlier dives waiting for a link"),
)
"""The columns of `Quantity.HEALTH`. Their order and limits are part of the wire format."""


CONDITION_FIELDS = (
    HealthField("lit_grey_centi", 0, 25_500, 5, "grey", "mean grey of frames with light"),
    HealthField("unlit_grey_centi", 0, 25_500, 5, "grey", "mean grey of frames without light"),
    HealthField("noise_threshold", 0, 255, 1, "", "threshold that ends the noise of frames without light"),
    HealthField("dirt_permille", 0, 1000, 1, "‰", "share of the view that dirt covers"),
    HealthField("drift_permille", 0, 1000, 1, "‰", "drift from what the model was tested on"),
    HealthField("clock_off_s", 0, (1 << 32) - 1, 1, "s", "largest correction of the clock"),
    HealthField("memory_mb", 0, 65_535, 1, "MB", "largest memory of the process"),
    HealthField("written_mb", 0, 1 << 24, 1, "MB", "written to the disk"),
    HealthField("classifier_restarts", 0, 65_535, 1, "", "restarts of the classifier"),
)
"""The columns of `Quantity.CONDITION`; as for `HEALTH_FIELDS`."""


class Record:
    """Numbers of which each has its field, and may be unknown: what `Health` and `Condition` have in common.

    Raises
    ------
    InputError
        When a value lies outside its limits: it names the field.
    """

    __slots__ = ()
    FIELDS: ClassVar[tuple[HealthField, ...]] = ()

    def __post_init__(self) -> None:
        for field in self.FIELDS:
            value = getattr(self, field.name)
            if value is not None and not field.minimum <= value <= field.maximum:
                raise InputError(
                    f"is {value}, {field.minimum} to {field.maximum} {field.unit}".rstrip() + " can be sent",
                    field=f"health.{field.name}",
                    remedy="check where it was read",
                )

    def codes(self) -> list[int]:
        """The numbers that travel, in the order of the fields."""
        return [field.code(getattr(self, field.name)) for field in self.FIELDS]

    @classmethod
    def from_codes(cls, codes: Sequence[int | None]) -> Self:
        """Record from numbers that travelled, None where one is not at hand. Never raises."""
        return cls(**{field.name: field.value(code) for field, code in zip(cls.FIELDS, codes, strict=True)})

    @classmethod
    def held(cls, **values: float | None) -> Self:
        """Record of what was read, whatever it was: rounded, and held within what can be sent."""
        known = {field.name: field for field in cls.FIELDS}
        return cls(**{name: known[name].held(value) for name, value in values.items()})

    def rounded(self) -> Self:
        """As the shore will know it."""
        return self.from_codes(self.codes())


@dataclass(frozen=True, slots=True)
class Health(Record):
    """Health of the instrument in one dive; None is unknown. Limits are in `HEALTH_FIELDS`.

    Attributes
    ----------
    battery_mv
        Lowest voltage that was read.
    board_temperature_min_c, board_temperature_max_c
        Lowest and highest reading of the hottest thermal zone.
    disk_free_mb
        Room for the dive's folder at the last reading, megabytes (10 ** 6 bytes).
    restarts
        Starts of the instrument that went on with this dive.
    over_exposed_frames
        Frames with that outcome, with or without pressure.
    worst_sharpness
        Of the least sharp frame, thousandths of the sharpness of `edge.vision.quality`.
    messages_waiting
        Messages of earlier dives without a link at the last reading.
    """

    FIELDS: ClassVar[tuple[HealthField, ...]] = HEALTH_FIELDS
    battery_mv: int | None = None
    board_temperature_min_c: int | None = None
    board_temperature_max_c: int | None = None
    disk_free_mb: int | None = None
    restarts: int | None = None
    over_exposed_frames: int | None = None
    worst_sharpness: int | None = None
    messages_waiting: int | None = None


@dataclass(frozen=True, slots=True)
class Condition(Record):
    """What camera, model and process came to in one dive; None is unknown. Limits are in `CONDITION_FIELDS`.

    Attributes
    ----------
    lit_grey_centi, unlit_grey_centi
        Mean grey of the frames that could be judged, with and without light, hundredths of a grey level.
    noise_threshold
        Median of that of the frames without light (`edge.vision.quality`).
    dirt_permille
        At the last reading.
    drift_permille
        Of what was classified (`edge.drift`).
    clock_off_s
        By how much the times of frames had to be put right.
    memory_mb
        Largest memory of the process (10 ** 6 bytes).
    written_mb
        What the process had the disk write during the dive (10 ** 6 bytes).
    classifier_restarts
        How often the classifier's process was lost.
    """

    FIELDS: ClassVar[tuple[HealthField, ...]] = CONDITION_FIELDS
    lit_grey_centi: int | None = None
    unlit_grey_centi: int | None = None
    noise_threshold: int | None = None
    dirt_permille: int | None = None
    drift_permille: int | None = None
    clock_off_s: int | None = None
    memory_mb: int | None = None
    written_mb: int | None = None
    classifier_restarts: int | None = None


class HealthReading(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was read at one moment of a dive; None is unknown. The `health` inputs of a dive log.

    Attributes
    ----------
    battery_mv, disk_free_mb, messages_waiting
        As in `Health`.
    board_temperature_c
        Of the hottest thermal zone.
    dirt_permille
        Share of the view that dirt covers.
    memory_mb
        Largest memory of the process since it began.
    written_mb, classifier_restarts
        Since the process began: they begin anew when it does.
    """

    battery_mv: int | None = None
    board_temperature_c: int | None = None
    disk_free_mb: int | None = None
    messages_waiting: int | None = None
    dirt_permille: int | None = None
    memory_mb: int | None = None
    written_mb: int | None = None
    classifier_restarts: int | None = None


def sum_up(
    readings: Sequence[HealthReading],
    *,
    restarts: int,
    over_exposed_frames: int,
    worst_sharpness: float | None,
) -> Health:
    """Health of a dive from its readings, in the order of time, and from what its log counts.

    A voltage or temperature that no sensor can mean is left out; a number above what can be sent is sent as
    the largest. Nothing that was read can stop a dive from going out.

    Parameters
    ----------
    worst_sharpness
        Sharpness of the least sharp frame, 0 to 1; None when no frame had any.
    """
    voltages = _possible("battery_mv", readings, "battery_mv")
    degrees = _possible("board_temperature_min_c", readings, "board_temperature_c")
    return Health.held(
        battery_mv=min(voltages, default=None),
        board_temperature_min_c=min(degrees, default=None),
        board_temperature_max_c=max(degrees, default=None),
        disk_free_mb=_last(readings, "disk_free_mb"),
        restarts=restarts,
        over_exposed_frames=over_exposed_frames,
        worst_sharpness=None if worst_sharpness is None else 1000 * worst_sharpness,
        messages_waiting=_last(readings, "messages_waiting"),
    )


def sum_up_condition(
    readings: Sequence[HealthReading],
    *,
    lit_grey_centi: float | None,
    unlit_grey_centi: float | None,
    noise_threshold: float | None,
    drift_permille: int | None,
    clock_off_ms: int,
) -> Condition:
    """Condition of a dive from its readings, in the order of time, and from what its log tells."""
    return Condition.held(
        lit_grey_centi=lit_grey_centi,
        unlit_grey_centi=unlit_grey_centi,
        noise_threshold=noise_threshold,
        dirt_permille=_last(readings, "dirt_permille"),
        drift_permille=drift_permille,
        clock_off_s=clock_off_ms / 1000,
        memory_mb=max(_known(readings, "memory_mb"), default=None),
        written_mb=_counted(_known(readings, "written_mb")),
        classifier_restarts=_counted(_known(readings, "classifier_restarts")),
    )


for _record in (Health, Condition):
    assert [one.name for one in _record.FIELDS] == [one.name for one in dataclasses.fields(_record)]


def _known(readings: Sequence[HealthReading], name: str) -> list[int]:
    return [value for one in readings if (value := getattr(one, name)) is not None]


def _last(readings: Sequence[HealthReading], name: str) -> int | None:
    found = _known(readings, name)
    return found[-1] if found else None


def _possible(name: str, readings: Sequence[HealthReading], read: str) -> list[int]:
    field = next(one for one in HEALTH_FIELDS if one.name == name)
    return [value for value in _known(readings, read) if field.minimum <= value <= field.maximum]


def _counted(values: Sequence[int]) -> int | None:
    """What a counter that begins anew with its process has counted since the first reading."""
    if not values:
        return None
    return sum(b - a if b >= a else b for a, b in itertools.pairwise(values))
