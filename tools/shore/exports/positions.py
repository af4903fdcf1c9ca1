"""Where a float was: fixes of a satellite network or of a host's GPS, and what they say of a profile.

After the Argo decoder of Coriolis (`compute_profile_location_from_iridium_locations_ir_sbd`, and the one with
`location2`): of the network's fixes at the surface those with an error radius below 5 km are averaged,
weighted by 1 / radius squared (flag 1), else those with the least radius (flag 2); GPS goes before both.
Away from a fix a position is estimated (flag 8). Argo's test 5 stands: nothing drifts faster than 3 m/s.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge.errors import InputError, MessageError
from edge.frame import Phase
from edge.telemetry.decoded import DecodedDive
from edge.telemetry.header import unpack
from tools.shore.dives import Place
from tools.shore.exports.qc import Flag
from tools.shore.exports.tables import DiveTables, PhaseTables, Position, sample_name

SURFACE_S = 6 * 3600.0
"""A fix so long before a descent begins, or after an ascent ends, is of the same time at the surface."""
CLOCK_S = 600.0
"""By how much the clocks of float and network may differ."""
MOST_AGE_S = 30 * 86400.0
"""An older fix says nothing of a profile."""
CLOSE_KM = 5.0
FASTEST_M_S = 3.0
_EARTH_KM = 6371.0
_COLUMNS = ("sample", "time", "lat", "lon", "radius_km", "unit")
_DIVE = re.compile(r"dive-(\d+)")


@dataclass(frozen=True, slots=True)
class Fix:
    """One fix at the surface.

    Attributes
    ----------
    time_s
        UTC, seconds since 1970.
    latitude_deg, longitude_deg
        Degrees north and east.
    radius_km
        Of its error, as who made it says; NaN or 0 where nobody says it.
    is_gps
        GPS of the host, or the network's own estimate.
    unit
        IMEI or platform; "" is every dive's.
    """

    time_s: float
    latitude_deg: float
    longitude_deg: float
    radius_km: float = math.nan
    is_gps: bool = False
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Positions:
    """What a person's table says: places of dives by sample (name or number), and fixes."""

    places: Mapping[str, Place] = field(default_factory=dict)
    fixes: tuple[Fix, ...] = ()


NO_POSITIONS = Positions()


def read_positions(path: Path) -> Positions:
    """A CSV with lat and lon, and a sample or a time in each row; radius_km and unit where they are known.

    A time is ISO 8601, UTC where it does not say. Raises `InputError` by row and column.
    """
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise InputError(f"cannot be read ({cause})", file=path, remedy="check the path") from cause
    places: dict[str, Place] = {}
    fixes: list[Fix] = []
    for number, row in enumerate(rows, start=2):
        cell = {name: (row.get(name) or "").strip() for name in _COLUMNS}
        numbers = {
            "lat": _number(cell["lat"], -90, 90), "lon": _number(cell["lon"], -180, 180),
            "radius_km": _number(cell["radius_km"] or "0", 0, 20_000),
        }  # fmt: skip
        when = _seconds(cell["time"])
        wrong = [name for name, value in numbers.items() if value is None]
        wrong += ["time"] if cell["time"] and when is None else []
        wrong += [] if cell["sample"] or cell["time"] else ["sample"]
        if wrong:
            raise InputError(
                f"is {cell[wrong[0]]!r}", file=path, field=f"row {number}: {wrong[0]}",
                remedy="give lat and lon in degrees, with a point, and a sample or a time "
                "(2025-03-04T12:00:00Z)",
            )  # fmt: skip
        lat, lon, radius = (numbers[name] or 0.0 for name in ("lat", "lon", "radius_km"))
        if cell["sample"]:
            places[cell["sample"]] = Place(lat, lon)
        if when is not None:
            fixes.append(Fix(when, lat, lon, radius or math.nan, True, cell["unit"]))
    return Positions(places, tuple(fixes))


def sessions_beside(messages: Iterable[Path]) -> list[Fix]:
    """Fixes of the network that `seston receive` wrote beside messages and the modem's earlier ones."""
    folders: dict[Path, None] = {}
    for folder in {file.parent: None for file in messages}:
        folders[folder] = None
        if own := _DIVE.fullmatch(folder.name):
            for other in sorted(folder.parent.glob("dive-*")):
                found = _DIVE.fullmatch(other.name)
                if found and int(found[1]) < int(own[1]) and other.is_dir():
                    folders[other] = None
    sessions = (_session(file) for folder in folders for file in folder.glob("*.json"))
    return list(dict.fromkeys(one[1] for one in sessions if one is not None and one[1] is not None))


def _own_sessions(dive: DecodedDive, messages: Iterable[Path]) -> list[tuple[str, Fix | None]]:
    """IMEI and fix of the sessions in which a dive's own messages came."""
    found = []
    for file in messages:
        try:
            header, _ = unpack(file.read_bytes())
        except (MessageError, OSError):
            continue
        is_read = bytes.fromhex(dive.codebook.sha256).startswith(header.codebook_id)
        if is_read and header.is_of(dive.dive_number):
            found.append(_session(file.with_suffix(".json")))
    return [one for one in found if one is not None]


def located(dive: DiveTables, messages: Sequence[Path], known: Positions = NO_POSITIONS) -> DiveTables:
    """The dive with what is known of its position.

    A place that was given for it wins, then the one in its recording; then the fixes of the table and of
    the sessions beside the messages.
    """
    for key in (sample_name(dive), str(dive.decoded.dive_number), ""):
        if key in known.places:
            return replace(dive, place=known.places[key])
    if dive.place.latitude_deg is not None:
        return dive
    sessions = _own_sessions(dive.decoded, messages)
    own = sorted((fix for _, fix in sessions if fix is not None), key=lambda one: one.time_s)
    units = {"", dive.codebook.platform, *(imei for imei, _ in sessions)}
    fixes = [fix for fix in (*known.fixes, *sessions_beside(messages)) if fix.unit in units]
    if not fixes:
        return dive
    fixes.sort(key=lambda one: (one.time_s, not one.is_gps, one.latitude_deg, one.longitude_deg))
    heard_s = own[0].time_s if own else math.nan
    phases = _checked([replace(one, position=_of_phase(one, fixes, heard_s)) for one in dive.phases])
    best = min(
        (one.position for one in phases if one.position is not None and one.position.is_known),
        key=lambda one: _TRUST.index(one.flag), default=None,
    )  # fmt: skip
    if best is None:
        return dive
    return replace(dive, phases=phases, place=Place(best.latitude_deg, best.longitude_deg))


_TRUST = (Flag.GOOD, Flag.PROBABLY_GOOD, Flag.NO_QC, Flag.ESTIMATED, Flag.PROBABLY_BAD)


def _of_phase(phase: PhaseTables, fixes: Sequence[Fix], heard_s: float) -> Position:
    """Of one phase; `heard_s` is when its dive was first heard of, for a dive whose times did not come."""
    time_s, event = (phase.start_s + phase.end_s) / 2, "its middle"
    window: tuple[float, float] | None = None
    if phase.phase is Phase.DESCENT:
        time_s, event, window = phase.start_s, "its begin", (-SURFACE_S, CLOCK_S)
    elif phase.phase is Phase.ASCENT:
        time_s, event, window = phase.end_s, "its end", (-CLOCK_S, SURFACE_S)
    if math.isnan(time_s):
        return _estimated(fixes, heard_s, "its first message (its own time is not known)")
    if window is not None:
        there = [one for one in fixes if window[0] <= one.time_s - time_s <= window[1]]
        if there:
            return _station(there, time_s, event)
    return _estimated(fixes, time_s, event)


def _station(fixes: Sequence[Fix], time_s: float, event: str = "") -> Position:
    """Position from fixes of one time at the surface."""
    near = sorted(fixes, key=lambda one: abs(one.time_s - time_s))
    gps = [one for one in near if one.is_gps][:1]
    close = [one for one in near if 0 < one.radius_km < CLOSE_KM]
    sized = [one for one in near if one.radius_km > 0]
    if gps:
        used, flag, words = gps, Flag.GOOD, "GPS"
    elif close:
        used, flag, words = close, Flag.GOOD, "satellite network"
    elif sized:
        least = min(one.radius_km for one in sized)
        used, flag = [one for one in sized if one.radius_km == least], Flag.PROBABLY_GOOD
        words = "satellite network"
    else:
        used, flag, words = near[:1], Flag.NO_QC, "satellite network, which states no error"
    lat, lon = _mean(used)
    radius = min((one.radius_km for one in used), default=math.nan)
    if len(used) > 1:
        scatter = [_distance_km(lat, lon, one.latitude_deg, one.longitude_deg) ** 2 for one in used]
        radius = max(radius, math.sqrt(sum(scatter) / len(scatter)))
    when = sum(one.time_s for one in used) / len(used)
    n = f"{len(used)} fixes" if len(used) > 1 else "fix"
    return Position(lat, lon, int(flag), radius, f"{words}, {n} {_ago(when - time_s)} {event}", when)


def _estimated(fixes: Sequence[Fix], time_s: float, event: str) -> Position:
    """Between the last fixes before and the first after, or at the nearest."""
    before = [one for one in fixes if 0 <= time_s - one.time_s <= MOST_AGE_S]
    after = [one for one in fixes if 0 < one.time_s - time_s <= MOST_AGE_S]
    ends = []
    if before:
        at_s = before[-1].time_s
        ends.append(_station([one for one in before if at_s - one.time_s <= SURFACE_S], at_s))
    if after:
        at_s = after[0].time_s
        ends.append(_station([one for one in after if one.time_s - at_s <= SURFACE_S], at_s))
    if not ends:
        return Position.unknown()
    told = " and ".join(_ago(one.time_s - time_s) for one in ends)
    first, last = ends[0], ends[-1]
    gap_s = last.time_s - first.time_s
    share = (time_s - first.time_s) / gap_s if gap_s > 0 else 0.0
    lat = first.latitude_deg + share * (last.latitude_deg - first.latitude_deg)
    lon = _wrapped(first.longitude_deg + share * _wrapped(last.longitude_deg - first.longitude_deg))
    words = "on the way between fixes" if len(ends) == 2 else "as at a fix"
    return Position(lat, lon, int(Flag.ESTIMATED), math.nan, f"{words} {told} {event}")


def _checked(phases: Sequence[PhaseTables]) -> tuple[PhaseTables, ...]:
    """Argo's test 5: of two fixes too far apart for the time between nobody can tell which is wrong."""
    ends = [one.position for one in phases if one.position is not None and math.isfinite(one.position.time_s)]
    if len(ends) == 2:
        a, b = ends
        errors = sum(one.radius_km for one in ends if math.isfinite(one.radius_km))
        far_km = _distance_km(a.latitude_deg, a.longitude_deg, b.latitude_deg, b.longitude_deg) - errors
        if far_km > FASTEST_M_S * abs(b.time_s - a.time_s) / 1000:
            told = f"; {far_km:.0f} km from the dive's other end, too far to drift"
            return tuple(_doubted(one, told) if one.position in ends else one for one in phases)
    return tuple(phases)


def _doubted(phase: PhaseTables, told: str) -> PhaseTables:
    at = phase.position or Position.unknown()
    return replace(phase, position=replace(at, flag=int(Flag.PROBABLY_BAD), words=at.words + told))


def _mean(fixes: Sequence[Fix]) -> tuple[float, float]:
    """Mean of fixes whose radius is known, weighted, also across the date line; or the only one."""
    if len(fixes) == 1:
        return fixes[0].latitude_deg, fixes[0].longitude_deg
    weights = [one.radius_km**-2 for one in fixes]
    total, lon0 = sum(weights), fixes[0].longitude_deg
    lat = sum(w * one.latitude_deg for w, one in zip(weights, fixes, strict=True)) / total
    east = sum(w * _wrapped(one.longitude_deg - lon0) for w, one in zip(weights, fixes, strict=True)) / total
    return lat, _wrapped(lon0 + east)


def _wrapped(longitude_deg: float) -> float:
    return (longitude_deg + 180) % 360 - 180


def _distance_km(lat0: float, lon0: float, lat1: float, lon1: float) -> float:
    """Along the great circle, on a sphere."""
    a, b = math.radians(lat0), math.radians(lat1)
    h = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(math.radians(lon1 - lon0) / 2) ** 2
    return 2 * _EARTH_KM * math.asin(min(1.0, math.sqrt(h)))


def _ago(seconds: float) -> str:
    size = abs(seconds)
    for unit_s, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if size >= 1.5 * unit_s:
            return f"{size / unit_s:.3g} {unit} {'before' if seconds < 0 else 'after'}"
    return f"{size:.0f} s {'before' if seconds < 0 else 'after'}"


def _session(file: Path) -> tuple[str, Fix | None] | None:
    """Modem and fix of a session, no fix where the network said no place that is one; None: no session."""
    try:
        told: Any = json.loads(file.read_text(encoding="utf-8"))
        when, unit = _seconds(told["time"]), str(told["imei"])
        lat, lon = _number(told["latitude_deg"], -90, 90), _number(told["longitude_deg"], -180, 180)
        radius = _number(told.get("cep_km"), 0, 20_000)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if when is None or lat is None or lon is None:
        return unit, None
    return unit, Fix(when, lat, lon, radius or math.nan, False, unit)


def _number(value: Any, least: float, most: float) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if least <= number <= most else None


def _seconds(text: Any) -> float | None:
    """UTC from ISO 8601; None where it is none."""
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
