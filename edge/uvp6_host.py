"""A float that hosts a UVP6, hosting us: its commands begin and end a dive, and it gets a frame a bloc.

Confidence, corrected counts and all that a UVP6 cannot say stay in our own messages, which nobody takes over
this line. Classes of a UVP6 are numbers 0 to 39: a taxon's is its column; what the model does not name goes
without a class, and is in the size spectrum as all particles are. What a UVP6 does with a bloc that is not
full when it is stopped, its specification does not say: ours goes then, with as many images as it has.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence

import numpy as np

from edge.config import Config
from edge.divelog_schema import LoggedFrame
from edge.errors import ConfigError
from edge.frame import SIZED_OUTCOMES, FrameOutcome
from edge.hosts import DiveBeginSaid, DiveEndSaid, Noted, Said, Standing, TimeSaid
from edge.optics import Optics
from edge.outbox import Queued
from edge.taxonomy import UNCLASSIFIED, Taxon
from edge.vision.morphology import MEASURES
from firmware_bridge.ctd import Reading
from firmware_bridge.sans_io import Line
from firmware_bridge.uvp6.lines import (
    ACQ_FIELDS,
    HW_FIELDS,
    MAX_IMAGES,
    N_CLASSES,
    N_TAXA,
    TAXO_FIELDS,
    BlackFrame,
    Configuration,
    Generation,
    Instant,
    LpmFrame,
    TaxoFrame,
    TaxoObject,
)
from firmware_bridge.uvp6.personality import ClockSet, Event, Personality, Refused, Started, Stopped

FIRMWARE = Generation.V2022_02
ACQUISITION, TAXONOMY = "ACQ_SESTON", "TAXO_SESTON"
SILENT_S = 3600.0
"""A host that has said nothing for so long is not there, unless an acquisition that it began goes on: in that
it has nothing to say. Long enough for one that checks the instrument and starts it later; short beside the
days between two dives, so that pressure begins the next one."""
_MEAN_GREY = [measure.name for measure in MEASURES].index("mean_grey")


class Uvp6Host:
    """See `edge.hosts.Host`.

    Parameters
    ----------
    personality, line
        Our part, and what carries its bytes.
    optics, taxa
        Of the dives: sizes and classes of what is sent.
    frames_per_bloc
        Lit frames of a bloc.
    """

    is_cutting = False

    def __init__(
        self,
        personality: Personality,
        line: Line[Event],
        optics: Optics,
        taxa: Sequence[Taxon],
        frames_per_bloc: int,
    ) -> None:
        self._uvp6, self._line = personality, line
        self._optics = optics
        self._columns = {i for i, taxon in enumerate(taxa) if taxon.label != UNCLASSIFIED and i < N_TAXA}
        self._per_bloc = frames_per_bloc
        self._lit: list[LoggedFrame] = []
        self._unlit: list[LoggedFrame] = []
        self._newest: list[LoggedFrame] = []
        self._has_black = self._is_running = False
        self._there_s = -math.inf
        self._was_silent = True
        personality.before_stop = self._send_rest

    @property
    def is_silent(self) -> bool:
        """See `Host` and `SILENT_S`."""
        return self._uvp6.now_s - max(self._there_s, self._uvp6.heard_s) > SILENT_S

    def poll(self, wait_s: float) -> Sequence[Said]:
        """See `Host`."""
        said: list[Said] = []
        for event in self._line.carry(wait_s):
            said += self._on(event)
        return [*self._tell_whether_silent(), *said]

    def reading(self) -> Reading | None:
        """None: a UVP6 has a pressure sensor of its own."""
        return None

    def stands(self, standing: Standing) -> None:
        """A UVP6 is not asked."""

    def offer(self, messages: Sequence[Queued]) -> Sequence[Queued]:
        """A UVP6 hands nothing over."""
        return ()

    def let_go(self) -> None:
        """Nobody asks."""

    def close(self) -> None:
        """See `Host`."""
        self._line.close()

    def seen(self, frame: LoggedFrame) -> None:
        """See `Host`: a bloc goes when it is full, or when the light changes."""
        if not self._is_running:
            return
        if not self.is_silent:  # a dive that pressure began says nothing of the host
            self._there_s = self._uvp6.now_s
        self._newest = [frame]
        if frame.record.outcome is FrameOutcome.UNLIT:
            self._send_lit()
            self._unlit.append(frame)
            if len(self._unlit) >= MAX_IMAGES:
                self._send_black()
            return
        self._send_black()
        self._lit.append(frame)
        if len(self._lit) >= self._per_bloc:
            self._send_lit()

    def _on(self, event: Event) -> list[Said]:
        match event:
            case Started(_, at):
                self._is_running, self._has_black = True, False
                self._lit.clear()
                self._unlit.clear()
                clock: list[Said] = [] if at is None else [TimeSaid(_utc_ms(at))]
                return [*clock, DiveBeginSaid()]
            case Stopped():
                self._is_running = False
                return [DiveEndSaid()]
            case ClockSet(at):
                return [TimeSaid(_utc_ms(at))]
            case Refused(command, code):
                return [] if command == "stop" else [Noted(f"the host's ${command}; was answered {code}")]

    def _tell_whether_silent(self) -> list[Said]:
        if self._was_silent == self.is_silent:
            return []
        self._was_silent = self.is_silent
        if self._was_silent:
            return [Noted(f"the host has said nothing for {SILENT_S:.0f} s: pressure decides until it does")]
        return [Noted("the host is on the line")]

    # Blocs

    def _send_rest(self) -> None:
        """The bloc in the making, lit or not."""
        self._send_lit()
        if self._unlit:
            self._send_black()

    def _send_black(self) -> None:
        """Noise; an acquisition begins with it, with no image where none was taken unlit."""
        frames, self._unlit = self._unlit, []
        if frames or not self._has_black:
            where = _where(frames or self._newest)
            self._uvp6.send_black(
                BlackFrame(*where, len(frames), _temperature(frames or self._newest), self._counts(frames)[0])
            )
            self._has_black = True

    def _send_lit(self) -> None:
        frames, self._lit = self._lit, []
        if not frames:
            return
        sized = [frame for frame in frames if frame.record.outcome in SIZED_OUTCOMES]
        counts, greys = self._counts(sized)
        lpm = LpmFrame(*_where(frames), len(sized), _temperature(frames), counts, greys)
        if not sized and any(frame.record.outcome is FrameOutcome.OVER_EXPOSED for frame in frames):
            self._uvp6.send_over_exposed(lpm, classifies=True)
            return
        self._uvp6.send_lit(lpm, TaxoFrame(len(sized), tuple(self._objects(sized))))

    def _counts(self, frames: Sequence[LoggedFrame]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        counts, centi = np.zeros(N_CLASSES, dtype=np.int64), np.zeros(N_CLASSES, dtype=np.int64)
        for frame in frames:
            found, greys = frame.record.histogram.by_class(self._optics)
            counts += found
            centi += greys
        means = (centi + 50 * np.maximum(counts, 1)) // (100 * np.maximum(counts, 1))
        return tuple(counts.tolist()), tuple(means.tolist())

    def _objects(self, frames: Sequence[LoggedFrame]) -> list[TaxoObject]:
        objects = []
        for frame in frames:
            for particle in frame.particles:
                if particle.taxon in self._columns:
                    esd_px = particle.esd_um / self._optics.pixel_um
                    grey = min(max(round(float(particle.measures[_MEAN_GREY])), 0), 255)
                    objects.append(TaxoObject(particle.taxon, round(math.pi / 6 * esd_px**3), grey))
        return objects


def personality_of(
    config: Config, optics: Optics, counted: Sequence[Taxon], bundle_sha256: str, utc_ms: Callable[[], int]
) -> Personality:
    """Our part as a UVP6, with configurations that say how we really are; raises `ConfigError` as they do."""
    hardware, acquisition, taxonomy = configurations_of(config, optics, counted, bundle_sha256)
    return Personality(hardware, {ACQUISITION: acquisition}, {TAXONOMY: taxonomy}, lambda: _instant(utc_ms()))


def configurations_of(
    config: Config, optics: Optics, counted: Sequence[Taxon], bundle_sha256: str
) -> tuple[Configuration, Configuration, Configuration]:
    """HW_CONF, ACQ_CONF and TAXO_CONF of an instrument that runs with a configuration.

    Raises
    ------
    ConfigError
        When the size classes are not 18: a UVP6 knows no others.
    """
    if optics.n_size_classes != N_CLASSES:
        raise ConfigError(
            f"has {optics.n_size_classes} size classes, a UVP6 has {N_CLASSES}",
            field="optics.size_class_limits_um",
            remedy="use 18, or host.kind native",
        )
    hardware = dict.fromkeys(HW_FIELDS[FIRMWARE], "0")
    hardware |= {
        "Camera_ref": _text(config.platform) or "seston",
        "Default_acquisition_configuration": ACQUISITION,
        "Baud_Rate": str({9600: 0, 19_200: 1, 38_400: 2}.get(config.run.host.baud, 2)),
        "Threshold": str(optics.threshold),
        "Aa": f"{optics.area_unit_um2:g}",
        "Exp": f"{optics.exp:g}",
        "Pixel_Size": f"{optics.pixel_um:g}",
        "Image_volume": f"{optics.image_volume_l:g}",
        "Version": "ver2022.02",
    }
    names = [name for name in hardware if name.startswith("Lower_limit")]
    limits = zip(names, optics.size_class_limits_um, strict=True)
    hardware |= {name: f"{limit:g}" for name, limit in limits}
    acquisition = dict.fromkeys(ACQ_FIELDS[FIRMWARE], "0")
    acquisition |= {
        "Configuration_name": ACQUISITION,
        "PT_mode": "2",
        "Acquisition_frequency": f"{config.run.camera.frame_rate_hz:g}",
        "Frames_per_bloc": str(config.log.frames_per_bloc),
        "Result_sending": "1",
        "Save_images": "2",
        "Vignetting_lower_limit_size": f"{config.classify.min_esd_um:g}",
        "Appendices_ratio": f"{config.vision.vignette_box_ratio:g}",
        "Taxo_conf": TAXONOMY,
    }
    taxa = counted[:N_TAXA]
    ids = [str(taxon.ecotaxa_id or 0).zfill(5) for taxon in taxa]
    taxonomy = dict(
        zip(
            TAXO_FIELDS,
            [TAXONOMY, bundle_sha256[:15], "65535", str(len(taxa)), *ids, *["00000"] * (N_TAXA - len(ids))],
            strict=True,
        )
    )
    return (
        Configuration("HW_CONF", FIRMWARE, hardware),
        Configuration("ACQ_CONF", FIRMWARE, acquisition),
        Configuration("TAXO_CONF", FIRMWARE, taxonomy),
    )


def _text(words: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() and c not in ",;$" else "_" for c in words)


def _where(frames: Sequence[LoggedFrame]) -> tuple[float, Instant]:
    """Mean pressure of a bloc, and the time of its first frame."""
    known = [frame.record.pressure_dbar for frame in frames if math.isfinite(frame.record.pressure_dbar)]
    pressure_dbar = sum(known) / len(known) if known else math.nan
    return round(pressure_dbar, 2), _instant(frames[0].record.time_ms)


def _temperature(frames: Sequence[LoggedFrame]) -> float:
    known = [frame.record.temperature_c for frame in frames if math.isfinite(frame.record.temperature_c)]
    return round(sum(known) / len(known), 2) if known else math.nan


def _instant(utc_ms: int) -> Instant:
    at = datetime.datetime.fromtimestamp(utc_ms // 1000, datetime.UTC)
    return Instant(at.year, at.month, at.day, at.hour, at.minute, at.second)


def _utc_ms(at: Instant) -> int:
    told = datetime.datetime(at.year, at.month, at.day, at.hour, at.minute, at.second, tzinfo=datetime.UTC)
    return round(1000 * told.timestamp())
