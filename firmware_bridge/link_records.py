"""Records of the native link: what host and instrument tell each other in a few bytes, as one table. Pure.

Not the link: who may say what, when, and what follows is `link`'s. Every field has a lowest and highest
value; a record that is not exactly of the table is unreadable, never half read. Big-endian throughout.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass, fields
from typing import Any

from firmware_bridge.ctd import RANGES
from firmware_bridge.errors import MisuseError


class Role(enum.IntEnum):
    """Which end of the line: the host is the float, and master."""

    HOST = 1
    INSTRUMENT = 2

    @property
    def other(self) -> Role:
        """The end that listens to this one."""
        return Role.INSTRUMENT if self is Role.HOST else Role.HOST


class Phase(enum.IntEnum):
    """Phases of a dive, as a host names them."""

    DESCENT = 1
    PARK = 2
    ASCENT = 3


class DiveState(enum.IntEnum):
    """Where an instrument stands."""

    STANDBY = 0
    DESCENT = 1
    PARK = 2
    ASCENT = 3
    SURFACE = 4


class Reason(enum.IntEnum):
    """Why an object was refused."""

    TOO_LARGE = 1
    DAMAGED = 2
    UNWANTED = 3
    NO_ROOM = 4


class NoFetch(enum.IntEnum):
    """Why a log is not sent, or not any further."""

    DIVING = 1
    NOT_THERE = 2
    BEYOND_END = 3
    NO_ROOM = 4
    UNREADABLE = 5
    CHANGED = 6


class Topic(enum.IntEnum):
    """What a host may ask for."""

    STATUS = 1
    HEALTH = 2
    UPDATES = 3


@dataclass(frozen=True, slots=True)
class TimeIs:
    """UTC now, milliseconds since 1970."""

    utc_ms: int


@dataclass(frozen=True, slots=True)
class Ctd:
    """Pressure in 0.001 dbar, temperature in 0.0001 degrees C, practical salinity in 0.0001."""

    pressure_mdbar: int
    temperature_e4_c: int | None = None
    salinity_e4: int | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """Begin or go on with a phase; the number is the host's own of its cycle."""

    phase: Phase
    cycle: int | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """The dive is over."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What the host will send of the next dive: bytes in all, and the longest message its link takes."""

    budget_bytes: int
    message_bytes: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Status or health is wanted."""

    topic: Topic


@dataclass(frozen=True, slots=True)
class PowerWish:
    """The host wishes to cut power; what is not ready in `within_s` may be cut all the same."""

    within_s: int


@dataclass(frozen=True, slots=True)
class PowerStays:
    """The host takes its wish back."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """A file of a dive is wanted from an offset to its end; without a dive, the list of all (`link_logs`).

    What was wanted before is not any more.
    """

    dive: int | None
    form: int
    offset_bytes: int


@dataclass(frozen=True, slots=True)
class Speed:
    """The port should have this speed, until nothing is heard for some seconds (`link_speed`)."""

    baud: int


@dataclass(frozen=True, slots=True)
class Status:
    """How the instrument stands."""

    state: DiveState
    dive: int | None
    frames: int
    messages_waiting: int
    bytes_waiting: int


@dataclass(frozen=True, slots=True)
class Health:
    """How the board fares; None is not known."""

    battery_mv: int | None
    board_temperature_c: int | None
    disk_free_mb: int | None


@dataclass(frozen=True, slots=True)
class PowerWait:
    """Not yet: about `seconds` more."""

    seconds: int


@dataclass(frozen=True, slots=True)
class PowerSafe:
    """All is on disk: power may be cut."""


@dataclass(frozen=True, slots=True)
class FetchRefused:
    """What was wanted is not sent, or not any further."""

    dive: int | None
    form: int
    reason: NoFetch


@dataclass(frozen=True, slots=True)
class Runs:
    """What runs, and what became of the last update: see docs/update.md.

    Attributes
    ----------
    model, configuration
        First 8 bytes of their SHA-256; 0 for a configuration that is the unit's own file.
    counter
        Of the command that announced the last update; None without one.
    verdict, detail
        As the replies to shore have them (docs/wire-format.md).
    """

    model: int
    configuration: int
    counter: int | None
    verdict: int
    detail: int


@dataclass(frozen=True, slots=True)
class ObjectRefused:
    """The object of this transfer is not wanted again."""

    transfer: int
    reason: Reason


Record = (
    TimeIs | Ctd | Start | Stop | Budget | Ask | PowerWish | PowerStays | Fetch | Speed
    | Status | Health | PowerWait | PowerSafe | FetchRefused | Runs | ObjectRefused
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its `struct` code, lowest and highest value; `none` is what is sent for None.

    `meaning` is what the number is read as.
    """

    code: str
    low: int
    high: int
    none: int | None = None
    meaning: type[int] = int


@dataclass(frozen=True, slots=True)
class Spec:
    """One kind of record: number, class, who sends it (None: both), whether it is acknowledged, fields."""

    number: int
    record: type[Record]
    sender: Role | None
    acknowledged: bool
    fields: tuple[Field, ...] = ()


U8, U16, U32, U64 = (2**8 - 1, 2**16 - 1, 2**32 - 1, 2**64 - 1)
_LOWEST_I32 = -(2**31)
_DIVE = "H", 0, U16 - 1, U16


def _choice(meaning: type[enum.IntEnum]) -> Field:
    return Field("B", min(meaning), max(meaning), meaning=meaning)


def _ctd(name: str, scale: int, none: int | None) -> Field:
    low, high = RANGES[name]
    return Field("i", round(low * scale), round(high * scale), none)


SPECS = (
    Spec(1, TimeIs, Role.HOST, False, (Field("Q", 0, 2**48 - 1),)),
    Spec(2, Ctd, Role.HOST, False, (
        _ctd("pressure_dbar", 1000, None),
        _ctd("temperature_c", 10_000, _LOWEST_I32),
        _ctd("salinity", 10_000, _LOWEST_I32),
    )),
    Spec(16, Start, Role.HOST, True, (_choice(Phase), Field("H", 0, U16 - 1, U16))),
    Spec(17, Stop, Role.HOST, True),
    Spec(18, Budget, Role.HOST, True, (Field("I", 0, U32), Field("H", 1, U16))),
    Spec(19, Ask, Role.HOST, True, (_choice(Topic),)),
    Spec(20, PowerWish, Role.HOST, True, (Field("H", 0, U16),)),
    Spec(21, PowerStays, Role.HOST, True),
    Spec(22, Fetch, Role.HOST, True, (Field(*_DIVE), Field("B", 0, U8), Field("Q", 0, 2**48 - 1))),
    Spec(23, Speed, Role.HOST, True, (Field("I", 300, 4_000_000),)),
    Spec(32, Status, Role.INSTRUMENT, True, (
        _choice(DiveState), Field(*_DIVE), Field("I", 0, U32), Field("H", 0, U16),
        Field("I", 0, U32),
    )),
    Spec(33, Health, Role.INSTRUMENT, True, (
        Field("H", 0, U16 - 1, U16), Field("b", -127, 127, -128), Field("I", 0, U32 - 1, U32),
    )),
    Spec(34, PowerWait, Role.INSTRUMENT, True, (Field("H", 0, U16),)),
    Spec(35, PowerSafe, Role.INSTRUMENT, True),
    Spec(36, FetchRefused, Role.INSTRUMENT, True, (Field(*_DIVE), Field("B", 0, U8), _choice(NoFetch))),
    Spec(37, Runs, Role.INSTRUMENT, True, (
        Field("Q", 0, U64), Field("Q", 0, U64), Field("I", 1, U32, 0), Field("B", 0, U8), Field("H", 0, U16),
    )),
    Spec(48, ObjectRefused, None, True, (Field("B", 0, U8), _choice(Reason))),
)  # fmt: skip
SPEC_OF_NUMBER = {spec.number: spec for spec in SPECS}
SPEC_OF_CLASS: dict[type[Any], Spec] = {spec.record: spec for spec in SPECS}


def pack_record(record: Record) -> bytes:
    """Number and fields; `MisuseError` names a field that is out of range."""
    spec = SPEC_OF_CLASS[type(record)]
    values = []
    for field, told in zip(spec.fields, fields(record), strict=True):
        value = getattr(record, told.name)
        if value is None and field.none is not None:
            value = field.none
        elif not isinstance(value, int) or not field.low <= value <= field.high:
            raise MisuseError(
                f"{type(record).__name__}.{told.name} is {value!r}; {field.low} to {field.high} can be sent"
            )
        values.append(value)
    return bytes([spec.number]) + _form(spec).pack(*values)


def unpack_record(rest: bytes, sender: Role, *, acknowledged: bool) -> Record | None:
    """The record, or None when that `sender` cannot say it so."""
    spec = SPEC_OF_NUMBER.get(rest[0])
    if spec is None or spec.sender not in (None, sender) or spec.acknowledged is not acknowledged:
        return None
    form = _form(spec)
    if len(rest) - 1 != form.size:
        return None
    values: list[int | None] = []
    for field, value in zip(spec.fields, form.unpack(rest[1:]), strict=True):
        if field.none is not None and value == field.none:
            values.append(None)
        elif field.low <= value <= field.high:
            values.append(field.meaning(value))
        else:
            return None
    make: Any = spec.record
    return make(*values)  # type: ignore[no-any-return]


def _form(spec: Spec) -> struct.Struct:
    return struct.Struct(">" + "".join(field.code for field in spec.fields))
