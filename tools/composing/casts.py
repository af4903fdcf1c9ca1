"""Real UVP6 casts from EcoPart's `Particule.zip`: every image's area histogram, pressure and temperature.

After the layout of `particules.csv` (HW_CONF line, ACQ_CONF line, one row an image; a blank line between rows
in old firmware). Rows are parsed when asked for: a cast has some ten thousand.
"""

from __future__ import annotations

import configparser
import datetime
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.errors import RecordingError
from edge.frame import FrameOutcome, Phase
from edge.optics import Optics
from edge.recording import Instrument, Position, RecordingInfo
from edge.structs import to_struct
from tools.composing.plan import NO_SMALL, FramePlan, Large, Plan, Spectrum, spread_faults

TABLE, METADATA = "particules.csv", "metadata.ini"
_REMEDY = "export the cast again"


@dataclass(frozen=True, slots=True)
class Cast:
    """A cast, its rows not yet parsed.

    Attributes
    ----------
    path
        The zip.
    optics
        From HW_CONF.
    unit, cruise, profile, position
        From HW_CONF and the metadata, empty or None when they do not say.
    time_s
        UTC, s since 1970, float64 (n,), not falling.
    pressure_dbar, temperature_c
        float64 (n,), NaN where the row says so.
    lit
        bool (n,).
    lines
        Number of each row in particules.csv, for messages, and its text after the colon.
    """

    path: Path
    optics: Optics
    unit: str
    cruise: str
    profile: str
    position: Position | None
    time_s: NDArray[np.float64]
    pressure_dbar: NDArray[np.float64]
    temperature_c: NDArray[np.float64]
    lit: NDArray[np.bool_]
    lines: tuple[tuple[int, str], ...]

    def __len__(self) -> int:
        return len(self.lines)

    def spectrum(self, i: int) -> Spectrum | None:
        """Area histogram of one image; None when it was over-exposed. Raises `RecordingError`."""
        number, text = self.lines[i]
        if text.startswith("OVER_EXPOSED"):
            return None
        if text.startswith("EMPTY_IMAGE"):
            return NO_SMALL
        try:
            table = np.array(
                [[float(v) for v in part.split(",")] for part in text.split(";") if part.strip()]
            )
            area, count, mean, sd = table.reshape(-1, 4).T if table.size else np.full((4, 1), -1.0)
        except ValueError:  # no numbers, or not by fours
            area = count = mean = sd = np.array([-1.0])
        if (
            (area < 1).any()
            or (count < 0).any()
            or not np.isfinite(mean + sd).all()
            or (np.diff(area) <= 0).any()
        ):
            raise RecordingError(
                "is not a list of area,count,mean,sd with rising areas",
                file=self.path,
                field=f"{TABLE} line {number}",
                remedy=_REMEDY,
            )
        return Spectrum(area.astype(np.int64), count.astype(np.int64), mean, sd)


def read_cast(path: Path) -> Cast:
    """Read a `Particule.zip`; `RecordingError` names the member and the line at fault."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
            if TABLE not in members:
                raise RecordingError(f"holds no {TABLE}", file=path, remedy="give a Particule.zip of EcoPart")
            text = archive.read(TABLE).decode("latin-1")
            ini = archive.read(METADATA).decode("latin-1") if METADATA in members else ""
    except FileNotFoundError:
        raise RecordingError("is not there", file=path, remedy="check the path") from None
    except (OSError, zipfile.BadZipFile) as cause:
        raise RecordingError(f"cannot be read as a zip ({cause})", file=path, remedy=_REMEDY) from cause
    hardware = None
    rows: list[tuple[float, float, float, bool]] = []
    lines: list[tuple[int, str]] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip().rstrip(";")
        if line.startswith("HW_CONF,"):
            hardware = line.split(",")
        elif line and not line.startswith(("ACQ_CONF,", "TAXO_CONF,", "TAXO:")):
            head, _, body = line.partition(":")
            rows.append(_parse_head(head, path, number))
            lines.append((number, body))
    if hardware is None:
        raise RecordingError("has no HW_CONF line", file=path, field=TABLE, remedy=_REMEDY)
    if not rows:
        raise RecordingError("has no images", file=path, field=TABLE, remedy=_REMEDY)
    time_s, pressure, temperature, lit = (np.array(column) for column in zip(*rows, strict=True))
    about = _parse_ini(ini)
    return Cast(
        path=path,
        optics=_parse_optics(hardware, path),
        unit=hardware[1],
        cruise=about.get("cruise", ""),
        profile=about.get("profileid", path.stem),
        position=_parse_position(about),
        # Images are in the order of capture; the clock of old firmware may step back by some milliseconds.
        time_s=np.maximum.accumulate(time_s.astype(np.float64)),
        pressure_dbar=pressure.astype(np.float64),
        temperature_c=temperature.astype(np.float64),
        lit=lit.astype(np.bool_),
        lines=tuple(lines),
    )


def _parse_head(head: str, path: Path, number: int) -> tuple[float, float, float, bool]:
    """Time (s), pressure, temperature, lit of ``20220518-042127-468,1.68,31.75,1``."""
    try:
        stamp, pressure, temperature, light = head.split(",")
        day, clock, *more = stamp.split("-")
        moment = datetime.datetime.strptime(day + clock, "%Y%m%d%H%M%S").replace(tzinfo=datetime.UTC)
        # Three digits are milliseconds; fewer number the images within a second.
        milliseconds = int(more[0]) if more and len(more[0]) == 3 else 0
        return moment.timestamp() + milliseconds / 1000, float(pressure), float(temperature), light == "1"
    except ValueError:
        raise RecordingError(
            "is not time,pressure,temperature,light",
            file=path,
            field=f"{TABLE} line {number}",
            remedy=_REMEDY,
        ) from None


def _parse_optics(hardware: list[str], path: Path) -> Optics:
    """Optics from HW_CONF, read from its end, where all generations of the firmware agree."""
    values = hardware[:-1] if hardware[-1].startswith("ver") else hardware
    try:
        threshold, aa_um2, exp, pixel_um, volume_l = (float(value) for value in values[-26:-21])
        limits = tuple(float(value) for value in values[-18:])
    except ValueError:
        raise RecordingError(
            "does not end as a UVP6 writes it", file=path, field=f"{TABLE} HW_CONF", remedy=_REMEDY
        ) from None
    data: dict[str, Any] = {
        "threshold": int(threshold), "aa_um2": aa_um2, "exp": exp, "pixel_um": pixel_um,
        "image_volume_l": volume_l, "size_class_limits_um": limits,
    }  # fmt: skip
    return to_struct(data, Optics, file=path, error=RecordingError)


def _parse_ini(text: str) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    return dict(parser["sample_metadata"]) if parser.has_section("sample_metadata") else {}


def _parse_position(about: dict[str, str]) -> Position | None:
    """Position from ``43°48 08``, read as degrees, minutes, seconds, or from decimal degrees."""

    def degrees(text: str) -> float:
        match = re.fullmatch(r"\s*(-?)(\d+)\D+(\d+)(?:\D+(\d+))?\s*", text)
        if match is None or "." in text:
            return float(text)
        sign, whole, minutes, seconds = match.groups()
        return round((int(whole) + int(minutes) / 60 + int(seconds or 0) / 3600) * (-1 if sign else 1), 5)

    try:
        data = {"latitude_deg": degrees(about["latitude"]), "longitude_deg": degrees(about["longitude"])}
        return msgspec.convert(data, Position)
    except (KeyError, ValueError):
        return None


def plan_cast(
    cast: Cast, n_frames: int, min_area_px: int, shares: dict[FrameOutcome, float], seed: int
) -> Plan:
    """Plan `n_frames` frames evenly along a cast, each with its image's histogram; phase descent.

    Particles of `min_area_px` and more become large ones, to be replaced by vignettes of about that area.
    """
    n = min(n_frames, len(cast))
    chosen = np.unique(np.linspace(0, len(cast) - 1, n).round().astype(int))
    outcomes = spread_faults(len(chosen), shares, cast.lit[chosen], np.random.default_rng((seed, 1)))
    start_s = float(np.floor(cast.time_s[chosen[0]]))
    frames = []
    for i, by_chance in zip(chosen, outcomes, strict=True):
        found, outcome = cast.spectrum(int(i)), by_chance
        if found is None:
            found, outcome = NO_SMALL, FrameOutcome.OVER_EXPOSED
        elif not cast.lit[i]:
            outcome = FrameOutcome.UNLIT
        large_from = int(np.searchsorted(found.area_px, min_area_px))
        small = Spectrum(*(column[:large_from] for column in _columns(found)))
        large = tuple(
            Large(None, float(area))
            for area in np.repeat(found.area_px[large_from:], found.count[large_from:])[::-1]
        )
        frames.append(FramePlan(float(cast.time_s[i] - start_s), Phase.DESCENT, outcome, small, large))
    rate_hz = max(1, len(frames) - 1) / max(1.0, frames[-1].time_s - frames[0].time_s)
    info = RecordingInfo(
        frame_rate_hz=float(f"{rate_hz:.6g}"),
        start_utc=datetime.datetime.fromtimestamp(start_s, tz=datetime.UTC),
        instrument=Instrument(unit=cast.unit),
        optics=cast.optics,
        position=cast.position,
        cruise=cast.cruise,
        profile=cast.profile,
    )
    # Sensors at one reading a second, and at every frame that was chosen.
    kept = np.unique(np.concatenate((chosen, np.unique(np.floor(cast.time_s), return_index=True)[1])))
    kept = kept[(kept >= chosen[0]) & (kept <= chosen[-1])]
    sensors = {
        "time_s": cast.time_s[kept] - start_s,
        "pressure_dbar": cast.pressure_dbar[kept],
        "temperature_c": cast.temperature_c[kept],
    }
    return Plan(info, tuple(frames), sensors)


def _columns(spectrum: Spectrum) -> tuple[Any, ...]:
    return spectrum.area_px, spectrum.count, spectrum.mean_grey, spectrum.sd_grey
