"""What a dive's log holds for readers of a UVP6: its frames by phase, and what each sample is called."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge.config import Config
from edge.divelog import DiveLog
from edge.divelog_schema import Particle
from edge.errors import RecordingError
from edge.frame import Phase
from edge.logged import config_of, optics_of
from edge.optics import Optics
from edge.profile import FrameRecord
from edge.recording import Position
from edge.taxonomy import Taxon
from edge.telemetry import Codebook
from edge.uvp6_host import configurations_of
from edge.vision.morphology import MEASURES
from firmware_bridge.uvp6.lines import Configuration
from tools.shore.uvp6_project.replay import INTERNAL_TEMPERATURE
from tools.shore.uvp6_project.tables import (
    CTD_PRESSURE,
    CTD_SALINITY,
    CTD_TEMPERATURE,
    CTD_TIME,
    TextTable,
    make_table,
)

PHASES = {Phase.DESCENT: "DES", Phase.PARK: "PAR", Phase.ASCENT: "ASC"}
"""Ends of samples' ids, as the makers of floats write them."""
_GREY = [measure.name for measure in MEASURES].index("mean_grey")


@dataclass(frozen=True, slots=True)
class DiveImage:
    """A frame of a dive: its record, whether it was lit, a note, other sensors, its classified particles."""

    record: FrameRecord
    lit: bool
    note: str
    environment: Mapping[str, float]
    particles: tuple[Particle, ...]

    @property
    def internal_c(self) -> float:
        """Temperature inside the instrument, NaN where nobody read it."""
        return self.environment.get(INTERNAL_TEMPERATURE, math.nan)


@dataclass(frozen=True, slots=True)
class DivePart:
    """One phase of a dive: it becomes a sample.

    Attributes
    ----------
    id
        Of the sample: platform, profile or number of the dive, and phase; letters, digits and hyphens alone,
        for EcoPart parts names at underscores.
    phase, images
        Its frames, in the order of capture.
    config, optics, taxa
        Of the dive.
    configurations
        HW_CONF, ACQ_CONF and TAXO_CONF that say what the instrument is.
    cruise, position
        As the recording has them, or as they were given.
    """

    id: str
    phase: Phase
    images: tuple[DiveImage, ...]
    config: Config
    optics: Optics
    taxa: tuple[Taxon, ...]
    configurations: tuple[Configuration, Configuration, Configuration]
    cruise: str
    position: Position

    @property
    def unit(self) -> str:
        """Serial number."""
        return self.configurations[0].values["Camera_ref"]

    @property
    def times(self) -> list[str]:
        """Time of each image as a UVP6 writes it, its name: of two alike the later is a millisecond later."""
        found: list[str] = []
        last = -1
        for image in self.images:
            last = max(last + 1, image.record.time_ms)
            found.append(time_of(last))
        return found


def read_dive(
    path: Path, *, cruise: str = "", position: Position | None = None, with_vignettes: bool = False
) -> list[DivePart]:
    """Parts of a dive.

    Raises
    ------
    SestonError
        When it is no dive, or where it was is not known.
    """
    with DiveLog.open(path) as log:
        config = config_of(log)
        optics = optics_of(config)
        codebook = msgspec.convert(log.meta("codebook"), Codebook)
        told = log.meta("recording")
        if position is None and told.get("position"):
            position = msgspec.convert(told["position"], Position)
        if position is None:
            raise RecordingError(
                "does not say where it was",
                file=path,
                field="position",
                remedy="give --latitude and --longitude",
            )
        rows = {row["frame"]: row for row in log.frames()}
        particles: dict[int, list[Particle]] = {}
        for particle in log.particles(with_vignettes=with_vignettes):
            particles.setdefault(particle.frame, []).append(particle)
        images: dict[Phase, list[DiveImage]] = {}
        for record in log.records():
            row = rows[record.index]
            environment = msgspec.json.decode(row["environment"], type=dict[str, float])
            own = tuple(particles.get(record.index, ()))
            images.setdefault(record.phase, []).append(
                DiveImage(record, bool(row["lit"]), row["note"], environment, own)
            )
        number = log.meta("dive_number")
    configurations = configurations_of(config, optics, codebook.taxa, codebook.bundle_sha256)
    who = f"{plain(config.platform) or 'seston'}-{plain(told.get('profile', '')) or f'{number:05d}'}"
    return [
        DivePart(
            f"{who}-{PHASES[phase]}", phase, tuple(images[phase]), config, optics,
            tuple(codebook.taxa), configurations, cruise or told.get("cruise", ""), position,
        )
        for phase in Phase
        if phase in images
    ]  # fmt: skip


def plain(text: str) -> str:
    """A text as a part of a name: letters, digits and hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")


def check_ids(parts: Sequence[DivePart]) -> None:
    """Refuse two samples of one id; raises `RecordingError`."""
    seen: set[str] = set()
    for part in parts:
        if part.id in seen:
            raise RecordingError(
                f"two dives become sample {part.id}",
                field="DIVE",
                remedy="export one at a time, or rename one",
            )
        seen.add(part.id)


def utc(time_ms: int) -> datetime.datetime:
    """UTC of a time in ms since 1970."""
    return datetime.datetime.fromtimestamp(time_ms / 1000, datetime.UTC)


def time_of(time_ms: int) -> str:
    """A time as a UVP6 writes it, with milliseconds."""
    return f"{utc(time_ms // 1000 * 1000):%Y%m%d-%H%M%S}-{time_ms % 1000:03d}"


def ctd_of(part: DivePart) -> TextTable | None:
    """What the dive's sensors said at each frame, as a CTD cast; None when they said nothing of the water."""
    rows = []
    for image in part.images:
        record, salinity = image.record, image.environment.get("salinity", math.nan)
        if not math.isnan(record.pressure_dbar) and not math.isnan(record.temperature_c):
            time = utc(record.time_ms // 1000 * 1000)
            rows.append([
                f"{time:%Y%m%d%H%M%S}{record.time_ms % 1000:03d}", f"{record.pressure_dbar:.2f}",
                f"{record.temperature_c:.3f}", "" if math.isnan(salinity) else f"{salinity:.4f}",
            ])  # fmt: skip
    columns = (CTD_TIME, CTD_PRESSURE, CTD_TEMPERATURE, CTD_SALINITY)
    return make_table(columns, rows, "\t") if rows else None


def objects_of(image: DiveImage, part: DivePart, classes: dict[int, int]) -> list[tuple[int, int, int]]:
    """Class, volume (px3, of the sphere of its ESD) and mean grey of particles of taxa that have a class."""
    return [
        (
            classes[one.taxon],
            round(math.pi / 6 * (one.esd_um / part.optics.pixel_um) ** 3),
            min(max(round(float(one.measures[_GREY])), 0), 255),
        )
        for one in image.particles
        if one.taxon in classes
    ]
