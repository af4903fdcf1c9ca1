"""What of the configuration shore may change, and how it travels: a table with least, most and steps. Pure.

The table is the budget of bits, as in DCCL. Keys are the configuration's, but this floor does not know it:
whether values fit together is judged aboard, by the configuration itself (`edge.orders`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from firmware_bridge.errors import BridgeError

Row = tuple[int, ...]
Value = int | float | bool | tuple[Row, ...]
Settings = tuple[tuple[str, Value], ...]
"""Keys with their values, in the order of their numbers."""

MAX_ROWS = 32
_MAX_VARINT_BYTES = 5


class CommandError(BridgeError):
    """A command cannot be made as it was asked for."""


@dataclass(frozen=True, slots=True)
class Field:
    """One setting.

    Attributes
    ----------
    number
        1 to 255; it travels: never renumber.
    key
        Place in the configuration, e.g. ``telemetry.budget_bytes``.
    least, most
        Of the value, both allowed; of every number of a list.
    steps
        Steps a unit: the value travels as a whole number of these.
    columns
        Numbers in a row of a list; 0 for a single value.
    is_switch
        On or off.
    """

    number: int
    key: str
    least: int
    most: int
    steps: int = 1
    columns: int = 0
    is_switch: bool = False


FIELDS = (
    Field(1, "telemetry.budget_bytes", 23, 10_000_000),
    Field(2, "telemetry.message_bytes", 23, 60_000),
    Field(3, "telemetry.parity_messages", 0, 32),
    Field(4, "telemetry.pictures", 0, 64),
    Field(5, "telemetry.layered", 0, 1, is_switch=True),
    Field(6, "telemetry.worth_depths_dbar", 0, 6000, columns=3),
    Field(16, "profile.bins_dbar", 0, 6000, columns=2),
    Field(17, "profile.max_dbar", 1, 6000),
    Field(18, "profile.park_bin_s", 1, 10_000_000),
    Field(19, "mission.start_dbar", 0, 6000, steps=10),
    Field(20, "mission.stop_dbar", 0, 6000, steps=10),
    Field(21, "mission.turn_dbar", 0, 6000, steps=10),
    Field(22, "mission.park_after_s", 1, 10_000_000),
    Field(23, "run.camera.frame_rate_hz", 0, 100, steps=1000),
    Field(32, "optics.threshold", 0, 254),
    Field(33, "classify.min_esd_um", 1, 100_000, steps=10),
    Field(34, "vision.over_exposed_fraction", 0, 1, steps=10_000),
    Field(35, "vision.saturated_fraction", 0, 1, steps=10_000),
    Field(36, "vision.dark_mean_grey", 0, 255, steps=100),
    Field(37, "vision.blur_sharpness", 0, 1, steps=10_000),
)
BY_KEY = {field.key: field for field in FIELDS}
BY_NUMBER = {field.number: field for field in FIELDS}


@dataclass(frozen=True, slots=True)
class SettingsFault:
    """Why bytes are no settings: a sentence, and the number of the setting, or 0."""

    sentence: str
    number: int = 0


def make_settings(values: Mapping[str, Value]) -> Settings:
    """Settings in the order in which they travel.

    Raises
    ------
    CommandError
        When there is none, or one is not known, out of range or finer than can be sent: it names the key.
    """
    if not values:
        raise CommandError("No setting is given; give one at least.")
    for key, value in values.items():
        if key not in BY_KEY:
            raise CommandError(f"{key}: shore cannot change it; use one of {', '.join(sorted(BY_KEY))}.")
        _raw(BY_KEY[key], value)
    return tuple(sorted(values.items(), key=lambda item: BY_KEY[item[0]].number))


def pack_settings(settings: Settings) -> bytes:
    """Each setting's number, then its value, or how many rows and then the rows; raises `CommandError`."""
    out = bytearray()
    for key, value in make_settings(dict(settings)):
        field = BY_KEY[key]
        rows = _raw(field, value)
        out.append(field.number)
        if field.columns:
            out += varint(len(rows))
        for row in rows:
            for number in row:
                out += varint(number)
    return bytes(out)


def unpack_settings(data: bytes) -> Settings | SettingsFault:
    """What `pack_settings` wrote; anything else is a fault. Never raises."""
    found: list[tuple[str, Value]] = []
    at, last = 0, 0
    while at < len(data):
        field = BY_NUMBER.get(data[at])
        if field is None:
            return SettingsFault(f"sets number {data[at]}, which is not known here", data[at])
        if field.number <= last:
            return SettingsFault(f"sets {field.key} twice or out of order", field.number)
        last = field.number
        numbers = _take(data, at + 1, field)
        if numbers is None:
            return SettingsFault(f"ends in the middle of {field.key}, or has too much of it", field.number)
        raw, at = numbers
        least, most = field.least * field.steps, field.most * field.steps
        if not all(least <= number <= most for number in raw):
            return SettingsFault(
                f"sets {field.key} to what is not within {field.least} to {field.most}", last
            )
        found.append((field.key, _value(field, raw)))
    return tuple(found) if found else SettingsFault("sets nothing")


def varint(value: int) -> bytes:
    """LEB128, seven bits a byte, low first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _raw(field: Field, value: Value) -> list[Row]:
    """The whole numbers of a value, as rows of one where it is single; raises `CommandError`."""
    rows = value if isinstance(value, tuple) else ((value,),)
    if isinstance(value, tuple) != bool(field.columns) or len(rows) > MAX_ROWS:
        wanted = f"at most {MAX_ROWS} rows of {field.columns} numbers" if field.columns else "one number"
        raise CommandError(f"{field.key}: is {value}; give {wanted}.")
    found = []
    for row in rows:
        if field.columns and len(row) != field.columns:
            raise CommandError(f"{field.key}: has a row {row}; give {field.columns} numbers a row.")
        for number in row:
            if not field.least <= number <= field.most:  # also what is not a number
                raise CommandError(f"{field.key}: is {number}; use {field.least} to {field.most}.")
            if round(number * field.steps) / field.steps != number:
                raise CommandError(f"{field.key}: is {number}; give it in steps of {1 / field.steps:g}.")
        found.append(tuple(round(number * field.steps) for number in row))
    return found


def _value(field: Field, raw: list[int]) -> Value:
    if field.columns:
        return tuple(tuple(raw[i : i + field.columns]) for i in range(0, len(raw), field.columns))
    if field.is_switch:
        return bool(raw[0])
    return raw[0] if field.steps == 1 else raw[0] / field.steps


def _take(data: bytes, at: int, field: Field) -> tuple[list[int], int] | None:
    """The numbers of a value, and where the next setting begins; None when they are not there."""
    n_numbers = 1
    if field.columns:
        counted = take_varint(data, at)
        if counted is None or counted[0] > MAX_ROWS:
            return None
        n_numbers, at = counted[0] * field.columns, counted[1]
    numbers = []
    for _ in range(n_numbers):
        taken = take_varint(data, at)
        if taken is None:
            return None
        numbers.append(taken[0])
        at = taken[1]
    return numbers, at


def take_varint(data: bytes, at: int) -> tuple[int, int] | None:
    """A number and where the next one begins; None when it does not end, or is written too long."""
    value = 0
    for i in range(_MAX_VARINT_BYTES):
        if at + i >= len(data):
            return None
        byte = data[at + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return None if i and not byte else (value, at + i + 1)
    return None
