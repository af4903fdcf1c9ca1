"""What the water was like at every frame: from the log's own sensors, and from a CTD file where one is given.

Frames are met by time where the file's times reach over the dive, else by pressure. Nothing is invented: over
a gap that is too long, and outside the record, a value is missing.
"""

from __future__ import annotations

import csv
import datetime
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import InputError
from edge.sensors.replay import SensorTable

MAX_GAP_S, MAX_GAP_DBAR = 120.0, 50.0
NAMES = {
    "pressure_dbar": ("pressure_dbar", "pressure", "pres", "prdm", "pressure_db", "press", "p"),
    "temperature_c": ("temperature_c", "temperature", "temp", "t090c", "ctemp", "potential_temperature_c"),
    "salinity": ("salinity", "psal", "salinity_psu", "sal00", "practical_salinity", "practical_salinity_psu"),
    "oxygen_umol_kg": ("oxygen_umol_kg", "doxy", "oxygen", "sbox0mm_kg", "oxygen_umol_per_kg"),
    "chlorophyll_mg_m3": ("chlorophyll_mg_m3", "chla", "chlorophyll", "chloro_mg_m3", "chloro"),
    "fluorescence": ("fluorescence", "fluo", "fleco_afl", "fluorescence_chla", "fluorescence_v"),
}
"""Columns by the names that they go under; all others keep their own."""
TIMES = ("time_utc", "time", "juld", "datetime", "date_time")


@dataclass(frozen=True, slots=True)
class Cast:
    """Readings of a CTD: columns by name with unit, float64 (n,), `time_ms` UTC or NaN."""

    time_ms: np.ndarray
    columns: dict[str, np.ndarray]


def read_ctd(path: Path) -> Cast:
    """Read a CTD file: CSV or tab-separated text with a header, or netCDF (Argo's, or any with a pressure).

    Raises
    ------
    InputError
        When it cannot be read, or has no pressure.
    ImportError
        When netCDF is given and xarray or h5netcdf is missing.
    """
    if not path.is_file():
        raise InputError("is not there", file=path, field="--ctd", remedy="name a CSV or netCDF file")
    told = _netcdf(path) if path.suffix.lower() in (".nc", ".nc4", ".cdf") else _text(path)
    columns: dict[str, np.ndarray] = {}
    time_ms = np.full(0, math.nan)
    for name, values in told.items():
        key = _key(name)
        if key in TIMES or key.startswith("time_yyyy"):
            time_ms = _times(values)
            continue
        numbers = _numbers(values)
        if np.isfinite(numbers).any():
            known = next((ours for ours, theirs in NAMES.items() if key in theirs), key)
            columns.setdefault(known, numbers)
    if "pressure_dbar" not in columns:
        raise InputError(
            "holds no pressure", file=path, field="column pressure_dbar",
            remedy=f"call it pressure_dbar, or PRES; it has {', '.join(list(told)[:8]) or 'no column'}",
        )  # fmt: skip
    n = len(columns["pressure_dbar"])
    return Cast(time_ms if len(time_ms) == n else np.full(n, math.nan), columns)


def at_frames(
    cast: Cast, time_ms: np.ndarray, pressure_dbar: np.ndarray
) -> tuple[dict[str, np.ndarray], str]:
    """Every column of a cast but pressure at some frames, and whether they were met by time or pressure."""
    known = np.isfinite(cast.time_ms)
    wanted = {name: v for name, v in cast.columns.items() if name != "pressure_dbar"}
    times = cast.time_ms[known]
    if times.size > 1 and ((time_ms >= times.min()) & (time_ms <= times.max())).mean() > 0.5:
        order = np.argsort(times, kind="stable")
        table = SensorTable(times[order] / 1000, {k: v[known][order] for k, v in wanted.items()})
        return table.at(time_ms / 1000, MAX_GAP_S), "time"
    found = {}
    for name, values in wanted.items():
        good = np.isfinite(values) & np.isfinite(cast.columns["pressure_dbar"])
        levels, back = np.unique(cast.columns["pressure_dbar"][good], return_inverse=True)
        mean = np.bincount(back, values[good], len(levels)) / np.maximum(
            np.bincount(back, minlength=len(levels)), 1
        )
        found[name] = SensorTable(levels, {name: mean}).at(pressure_dbar, MAX_GAP_DBAR)[name]
    return found, "pressure"


def derived(
    columns: dict[str, np.ndarray], latitude_deg: float | None, longitude_deg: float | None
) -> dict[str, np.ndarray]:
    """Depth, and where temperature and salinity are known density, by TEOS-10 (`gsw`), of columns of frames.

    Where the position is not known: 45 degrees north, 0 east; depth is then wrong by 0.3 % at most, absolute
    salinity by some 0.02 g/kg.
    """
    import gsw

    latitude, longitude = 45.0 if latitude_deg is None else latitude_deg, longitude_deg or 0.0
    pressure = columns["pressure_dbar"]
    found = {"depth_m": np.asarray(-gsw.z_from_p(pressure, latitude))}
    if "salinity" in columns and np.isfinite(columns["salinity"]).any():
        salinity = gsw.SA_from_SP(columns["salinity"], np.maximum(pressure, 0), longitude, latitude)
        conservative = gsw.CT_from_t(salinity, columns["temperature_c"], np.maximum(pressure, 0))
        found |= {
            "absolute_salinity_g_kg": np.asarray(salinity),
            "conservative_temperature_c": np.asarray(conservative),
            "sigma0_kg_m3": np.asarray(gsw.sigma0(salinity, conservative)),
        }
    return found


def _key(name: str) -> str:
    """`Pressure [db]` becomes pressure_db."""
    return re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_")


def _text(path: Path) -> dict[str, list[str]]:
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) < 2 or "\0" in text:
        raise InputError(
            "holds no table", file=path, field="--ctd", remedy="give a header and rows of numbers"
        )
    mark = max(("\t", ";", ","), key=lines[0].count)
    rows = [row for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=mark)]
    header = [name.strip() for name in rows[0]]
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise InputError(
                f"has {len(row)} cells, the header has {len(header)}", file=path, field=f"row {number}",
                remedy="complete the row",
            )  # fmt: skip
    return {_plain(name): [row[i].strip() for row in rows[1:]] for i, name in enumerate(header)}


def _plain(name: str) -> str:
    """Names without the unit in brackets where they are known so."""
    bare = _key(re.sub(r"[\[(].*?[\])]", "", name))
    return bare if any(bare in theirs for theirs in NAMES.values()) or bare in TIMES else name


def _netcdf(path: Path) -> dict[str, Any]:
    import h5netcdf  # noqa: F401  (named here, so that the error is about it)
    import xarray

    try:
        with xarray.open_dataset(path, decode_times=True) as opened:
            data = opened.load()
    except (OSError, ValueError) as cause:
        raise InputError(
            f"cannot be read ({cause})", file=path, field="--ctd", remedy="give a netCDF-4 file"
        ) from cause
    if "N_PROF" in data.dims:
        data = data.isel(N_PROF=0)
    level = next(
        (data[name].dims for name in data.variables if _key(str(name)) in NAMES["pressure_dbar"]), None
    )
    found: dict[str, Any] = {}
    for name, values in data.variables.items():
        text = str(name)
        if level is None or values.dims != level or text.endswith(("_QC", "_ERROR", "_ADJUSTED")):
            continue
        better = data.variables.get(f"{text}_ADJUSTED")
        found[text] = values.values
        if better is not None and np.isfinite(_numbers(better.values)).any():
            found[text] = better.values
    return found


def _numbers(values: Any) -> np.ndarray:
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        return values.astype(np.float64)
    return np.array([_float(one) for one in values], dtype=np.float64)


def _float(text: Any) -> float:
    try:
        number = float(text)
    except (TypeError, ValueError):
        return math.nan
    return number if math.isfinite(number) and abs(number) < 1e6 else math.nan


def _times(values: Any) -> np.ndarray:
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        found = values.astype("datetime64[ms]").astype(np.int64).astype(np.float64)
        return np.where(np.isnat(values), math.nan, found)
    return np.array([_time_ms(str(one)) for one in values], dtype=np.float64)


def _time_ms(text: str) -> float:
    """UTC, ISO 8601 (without a zone it is UTC) or a UVP6's yyyymmddhhmmssmmm."""
    try:
        if re.fullmatch(r"\d{14}(\d{3})?", text):
            moment = datetime.datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=datetime.UTC)
            return moment.timestamp() * 1000 + int(text[14:] or 0)
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return math.nan
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp() * 1000
