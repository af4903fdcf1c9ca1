"""How the instrument itself fared in a dive: a typed record and its bit budget. Pure; reads no sensor.

The schema is the budget, as in DCCL: every field has a minimum, a maximum and a precision, and travels as one
small number of which 0 is "unknown". What is read aboard (`edge.health`) is a `HealthReading`; those of a
dive are summed up here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Health:
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

    Raises
    ------
    InputError
        When a value lies outside its limits: it names the field.
    """

    battery_mv: int | None = None
    board_temperature_min_c: int | None = None
    board_temperature_max_c: int | None = None
    disk_free_mb: int | None = None
    restarts: int | None = None
    over_exposed_frames: int | None = None
    worst_sharpness: int | None = None
    messages_waiting: int | None = None

    def __post_init__(self) -> None:
        for field in HEALTH_FIELDS:
            value = getattr(self, field.name)
            if value is not None and not field.minimum <= value <= field.maximum:
                raise InputError(
                    f"is {value}, {field.minimum} to {field.maximum} {field.unit}".rstrip() + " can be sent",
                    field=f"health.{field.name}",
                    remedy="check where it was read",
                )

    def codes(self) -> list[int]:
        """The numbers that travel, in the order of `HEALTH_FIELDS`."""
        return [field.code(getattr(self, field.name)) for field in HEALTH_FIELDS]

    @classmethod
    def from_codes(cls, codes: Sequence[int | None]) -> Health:
        """Health from numbers that travelled, None where one is not at hand. Never raises."""
        return cls(
            **{field.name: field.value(code) for field, code in zip(HEALTH_FIELDS, codes, strict=True)}
        )

    def rounded(self) -> Health:
        """As the shore will know it."""
        return Health.from_codes(self.codes())


class HealthReading(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was read at one moment of a dive; None is unknown. The `health` inputs of a dive log.

    Attributes
    ----------
    battery_mv, disk_free_mb, messages_waiting
        As in `Health`.
    board_temperature_c
        Of the hottest thermal zone.
    """

    battery_mv: int | None = None
    board_temperature_c: int | None = None
    disk_free_mb: int | None = None
    messages_waiting: int | None = None


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
    voltages = [one.battery_mv for one in readings if one.battery_mv is not None]
    degrees = [one.board_temperature_c for one in readings if one.board_temperature_c is not None]
    rooms = [one.disk_free_mb for one in readings if one.disk_free_mb is not None]
    queues = [one.messages_waiting for one in readings if one.messages_waiting is not None]
    voltages, degrees = _possible("battery_mv", voltages), _possible("board_temperature_min_c", degrees)
    sharp = worst_sharpness if worst_sharpness is not None and math.isfinite(worst_sharpness) else None
    return Health(
        battery_mv=min(voltages, default=None),
        board_temperature_min_c=min(degrees, default=None),
        board_temperature_max_c=max(degrees, default=None),
        disk_free_mb=_within("disk_free_mb", rooms[-1] if rooms else None),
        restarts=_within("restarts", restarts),
        over_exposed_frames=_within("over_exposed_frames", over_exposed_frames),
        worst_sharpness=_within("worst_sharpness", None if sharp is None else round(1000 * sharp)),
        messages_waiting=_within("messages_waiting", queues[-1] if queues else None),
    )


_BY_NAME = {field.name: field for field in HEALTH_FIELDS}
assert list(_BY_NAME) == [field.name for field in dataclasses.fields(Health)]


def _possible(name: str, values: Sequence[int]) -> list[int]:
    field = _BY_NAME[name]
    return [value for value in values if field.minimum <= value <= field.maximum]


def _within(name: str, value: int | None) -> int | None:
    field = _BY_NAME[name]
    return None if value is None else min(max(value, field.minimum), field.maximum)
