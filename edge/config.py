"""One TOML holds everything a person may choose for a dive; it is stored whole in the dive log.

Unknown keys and values out of range are refused with the key's name: a unit stands in every name, so a
wrong unit is an unknown key. Optics may also come from a recording; those in the configuration win.
"""

from __future__ import annotations

import enum
import itertools
from os import PathLike
from pathlib import Path
from typing import Annotated

import msgspec

from edge.calibration import Calibration, OpticsFile
from edge.errors import ConfigError
from edge.optics import Optics
from edge.run_config import Delivery, ModemKind, RunConfig
from edge.structs import Fraction, Length, Section, read_toml


class Background(enum.StrEnum):
    """What is taken away from a frame before segmentation."""

    NONE = "none"
    FLAT_FIELD = "flat-field"
    RUNNING_MEDIAN = "running-median"


class VisionConfig(Section, frozen=True):
    """How frames are judged and segmented.

    Attributes
    ----------
    background, flat_field, median_frames
        Background; the image file of a flat field; frames in the running median.
    over_exposed_fraction
        A lit frame is over-exposed when more than this share of its pixels is foreground.
    saturated_fraction
        A lit frame from which a background was taken, and any of bright field, is over-exposed too when more
        than this share of its pixels is 255 as the camera gave it. 1 turns the check off (a scanner's white).
    dark_mean_grey
        A lit frame is dark (the light failed) when its mean grey, as the camera gave it, is at most this, and
        in dark field also nothing is above threshold. 0 turns the check off: a clean dark-field frame may be
        black. Mean grey and saturation are taken from every eighth row.
    blur_sharpness
        A frame is blurred when the sharpness of its larger particles is below this (see
        `edge.vision.quality`). 0 turns the check off.
    vignette_box_ratio, vignette_margin_px
        A vignette is the particle's box times this (the UVP6's Appendices_ratio), and so many pixels more on
        every side. A model is only as good as its vignettes are like those it was trained on.
    blank_others
        Blank the pixels of other particles in a vignette.
    mask_dirt
        Leave out what stays at one place while the water goes by (`edge.vision.dirt`); how much it was stands
        in the log, frame by frame.
    """

    background: Background = Background.NONE
    flat_field: str | None = None
    median_frames: Annotated[int, msgspec.Meta(ge=3, le=31)] = 9
    over_exposed_fraction: Fraction = 0.1
    saturated_fraction: Fraction = 0.5
    dark_mean_grey: Annotated[float, msgspec.Meta(ge=0, le=255)] = 0.0
    blur_sharpness: Fraction = 0.0
    vignette_box_ratio: Annotated[float, msgspec.Meta(ge=1, le=3)] = 1.5
    vignette_margin_px: Annotated[int, msgspec.Meta(ge=0, le=64)] = 4
    blank_others: bool = True
    mask_dirt: bool = True


class Overload(enum.StrEnum):
    """Which particles are classified when there is no time for all."""

    FRACTION = "fraction"
    LARGEST = "largest"


class ClassifyConfig(Section, frozen=True):
    """Which particles are classified.

    Attributes
    ----------
    min_esd_um
        Particles of at least this ESD are measured in full, cut out and classified.
    threads
        Threads of the interpreter.
    overload
        When there is no time for all: `fraction`, some by chance, so that concentrations stay true for every
        taxon; or `largest`, the largest, so that rare large ones are not missed and small taxa come out too
        scarce.
    per_second
        Particles that may be classified in a second, to save energy; none sets no bound but that of time.
    backlog_s
        Longest time that classification may be behind the frames, aboard, s.
    own_process
        Whether `seston run` classifies in a process of its own, which may hang or die.
    timeout_s
        That process is ended when it takes longer for one frame than this and five times the usual, s.
    accelerator
        Library of an Edge TPU, such as `libedgetpu.so.1`; it is tried first, the processor when it fails.
    """

    min_esd_um: Length = 620.0
    threads: Annotated[int, msgspec.Meta(ge=1, le=8)] = 1
    overload: Overload = Overload.FRACTION
    per_second: Annotated[float, msgspec.Meta(gt=0, le=1e6)] | None = None
    backlog_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 2.0
    own_process: bool = True
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 10.0
    accelerator: str | None = None


class ProfileConfig(Section, frozen=True):
    """Depth bins of the profile.

    Attributes
    ----------
    bins_dbar
        Pairs (from this pressure, bin of this height), rising, both in whole dbar.
    max_dbar
        Depth of the last bin's lower edge; deeper frames fall into the last bin.
    park_bin_s
        Length of a bin of the park phase, s.
    """

    bins_dbar: tuple[tuple[int, Annotated[int, msgspec.Meta(ge=1)]], ...] = (
        (0, 5), (100, 10), (500, 20), (1000, 40),
    )  # fmt: skip
    max_dbar: Annotated[int, msgspec.Meta(ge=1, le=6000)] = 2000
    park_bin_s: Annotated[int, msgspec.Meta(ge=1)] = 3600

    def __post_init__(self) -> None:
        starts = [start for start, _ in self.bins_dbar]
        if not starts or starts[0] != 0 or any(b <= a for a, b in itertools.pairwise(starts)):
            raise ValueError("bins_dbar must begin at 0 dbar and rise")
        if self.max_dbar <= starts[-1]:
            raise ValueError("max_dbar must lie below the last entry of bins_dbar")

    def edges_dbar(self) -> list[int]:
        """Edges of the bins, whole dbar, from the surface to `max_dbar`."""
        edges = [0]
        stops = [start for start, _ in self.bins_dbar[1:]] + [self.max_dbar]
        for (_, height), stop in zip(self.bins_dbar, stops, strict=True):
            while edges[-1] < stop:
                edges.append(min(edges[-1] + height, stop))
        return edges


class PhaseName(enum.StrEnum):
    """A part of a dive, as a configuration names it."""

    DESCENT = "descent"
    PARK = "park"
    ASCENT = "ascent"


DEEPEST_DBAR = 12_000.0


class ZoneConfig(Section, frozen=True):
    """What is done in a part of the water; the first zone that a frame lies in counts.

    Attributes
    ----------
    phases
        Of the dive.
    from_dbar, to_dbar
        Pressures, the second not included. A frame without pressure lies in no zone of descent or ascent; in
        the park phase it lies in the first of that phase.
    frame_rate_hz
        Frames a second; that of the camera when it is not given.
    frames_per_bloc
        Frames between two commits; that of the log when it is not given.
    black_every
        One of so many frames is taken without light, to know the noise; 0 is never, and none is as
        `run.camera` has it. It needs a camera that we trigger.
    classify
        Whether larger particles are named; else they are counted by size alone, and as not named.
    save
        Whether their vignettes are kept.
    share
        Of the dive's budget, against the other zones'.
    """

    phases: tuple[PhaseName, ...] = tuple(PhaseName)
    from_dbar: Annotated[float, msgspec.Meta(ge=0, le=DEEPEST_DBAR)] = 0.0
    to_dbar: Annotated[float, msgspec.Meta(gt=0, le=DEEPEST_DBAR)] = DEEPEST_DBAR
    frame_rate_hz: Annotated[float, msgspec.Meta(gt=0, le=100)] | None = None
    frames_per_bloc: Annotated[int, msgspec.Meta(ge=1, le=255)] | None = None
    black_every: Annotated[int, msgspec.Meta(ge=0, le=100_000)] | None = None
    classify: bool = True
    save: bool = True
    share: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 1.0

    def __post_init__(self) -> None:
        if self.from_dbar >= self.to_dbar:
            raise ValueError(f"from_dbar {self.from_dbar:g} must be less than to_dbar {self.to_dbar:g}")
        if not self.phases:
            raise ValueError("phases are empty: leave the key out for all of them")


class BudgetConfig(Section, frozen=True):
    """What a dive may cost; none sets no bound. Each zone has its share, kept for it all through the dive.

    Attributes
    ----------
    classify_s
        Time for classification, s; a zone that has used up its share counts sizes alone.
    vignettes_mb
        Vignettes; a zone that has used up its share keeps no more.
    energy_j
        Energy; a zone that has used up its share takes a frame at `rest_frame_rate_hz`, and counts sizes
        alone.
    rest_frame_rate_hz
        See `energy_j`.
    idle_w, busy_w, frame_j
        What the energy is reckoned from: power of the instrument at rest, what a busy processor takes beyond
        that, W; camera and light for a frame, J. `seston bench power` measures the times behind them.
    """

    classify_s: Annotated[float, msgspec.Meta(ge=0)] | None = None
    vignettes_mb: Annotated[float, msgspec.Meta(ge=0)] | None = None
    energy_j: Annotated[float, msgspec.Meta(ge=0)] | None = None
    rest_frame_rate_hz: Annotated[float, msgspec.Meta(gt=0, le=100)] = 1 / 60
    idle_w: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 1.0
    busy_w: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 1.5
    frame_j: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 0.5


class MissionConfig(Section, frozen=True):
    """What is done where, and how phases are told from pressure when nobody says them.

    Attributes
    ----------
    start_dbar
        The descent begins when pressure passes this (a recording replayed by `simulate` begins at once).
    turn_dbar
        A change of pressure by this much against the running extreme is a change of direction.
    park_after_s
        Pressure within `turn_dbar` for this long is the park phase.
    stop_dbar
        The dive ends when an ascent passes this.
    transmit_s
        Longest time after a dive that is given to transmission before the next is waited for, s.
    sleep_after_s
        Time without a dive after which the camera is switched off until the next begins, s; none is never.
    zones
        What is done where: `[[mission.zones]]`. Elsewhere all is done at the camera's frame rate.
    budget
        What a dive may cost.
    """

    start_dbar: float = 2.0
    turn_dbar: Length = 10.0
    park_after_s: Length = 1800.0
    stop_dbar: float = 1.0
    transmit_s: Length = 6 * 3600.0
    sleep_after_s: Length | None = None
    zones: tuple[ZoneConfig, ...] = ()
    budget: BudgetConfig = BudgetConfig()


SBD_BYTES = 340
"""Longest message of an Iridium 9602 or 9603."""
LEAST_WITH_PARITY_BYTES = 31
"""Smallest message with which parity may be asked for."""


class TelemetryConfig(Section, frozen=True):
    """What may be sent.

    Attributes
    ----------
    message_bytes
        Largest message the link takes (340 for Iridium SBD).
    budget_bytes
        Largest sum of all messages of a dive.
    parity_messages
        How many messages more are sent, so that as many of all may be lost without loss of content.
    climatology
        File of what dives of the region hold on average (`seston climatology`); shore needs it too.
    worth
        Worth of the tables against each other, by their names in `seston plan`; 0 leaves one out.
    worth_taxa
        By label: how many times a taxon's counts are worth those of another.
    worth_depths_dbar
        (from, to, how many times the counts between them are worth others).
    pictures
        Most pictures of particles sent, when everything else has gone.
    layered
        Send size spectra companded first and what makes them exact last: for links that are often cut.
    """

    message_bytes: Annotated[int, msgspec.Meta(ge=23, le=60_000)] = 340
    budget_bytes: Annotated[int, msgspec.Meta(ge=23, le=10_000_000)] = 2000
    parity_messages: Annotated[int, msgspec.Meta(ge=0, le=32)] = 0
    climatology: str | None = None
    worth: dict[str, Annotated[int, msgspec.Meta(ge=0, le=1000)]] = msgspec.field(default_factory=dict)
    worth_taxa: dict[str, Annotated[int, msgspec.Meta(ge=1, le=1000)]] = msgspec.field(default_factory=dict)
    worth_depths_dbar: tuple[tuple[int, int, Annotated[int, msgspec.Meta(ge=1, le=1000)]], ...] = ()
    pictures: Annotated[int, msgspec.Meta(ge=0, le=64)] = 16
    layered: bool = False

    def __post_init__(self) -> None:
        if self.parity_messages and self.message_bytes < LEAST_WITH_PARITY_BYTES:
            raise ValueError(
                f"parity_messages needs message_bytes of {LEAST_WITH_PARITY_BYTES} or more: a shorter "
                "link has no room for both"
            )


class LogConfig(Section, frozen=True):
    """What is kept on board.

    Attributes
    ----------
    frames_per_bloc
        Frames between two commits: what a power cut may cost.
    vignette_quota_mb
        Room for vignettes of one dive; when it is used up, the least valuable make room for better ones, and
        the log counts those that are not kept.
    keep_free_mb
        When less of the disk is free, the oldest ended dives lose their vignettes.
    """

    frames_per_bloc: Annotated[int, msgspec.Meta(ge=1, le=255)] = 10
    vignette_quota_mb: Annotated[float, msgspec.Meta(ge=0)] = 500.0
    keep_free_mb: Annotated[float, msgspec.Meta(ge=0)] = 200.0


class Config(Section, frozen=True):
    """The whole configuration. Every section has defaults; optics may come from the recording.

    Attributes
    ----------
    platform
        Name or serial number of the instrument; it travels in the codebook.
    bundle
        Name of a shipped bundle (`demo`, `darkfield`) or the path of a bundle file.
    optics_file
        File of `seston calibrate`, beside the configuration, that gives the optics in place of `[optics]`.
    calibration
        How the optics were found (docs/calibrate.md); kept in the dive log, read by nobody aboard.
    """

    platform: str = ""
    bundle: str = "darkfield"
    optics: Optics | None = None
    optics_file: str | None = None
    calibration: dict[str, Calibration] = msgspec.field(default_factory=dict)
    vision: VisionConfig = VisionConfig()
    classify: ClassifyConfig = ClassifyConfig()
    profile: ProfileConfig = ProfileConfig()
    mission: MissionConfig = MissionConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    log: LogConfig = LogConfig()
    run: RunConfig = RunConfig()

    def __post_init__(self) -> None:
        by_sbd = self.run.deliver is Delivery.MODEM and self.run.modem.kind is ModemKind.SBD
        if by_sbd and self.telemetry.message_bytes > SBD_BYTES:
            raise ValueError(
                f"telemetry.message_bytes is {self.telemetry.message_bytes}; the modem takes {SBD_BYTES}"
            )


def load_config(path: str | PathLike[str]) -> Config:
    """Read a configuration file and its optics file; raises `ConfigError` with file, key and remedy."""
    config = read_toml(path, Config, error=ConfigError)
    if config.optics_file is None:
        return config
    if config.optics is not None or config.calibration:
        raise ConfigError(
            "is given, and so is [optics] or [calibration]",
            file=path,
            field="optics_file",
            remedy="keep one of them",
        )
    held = read_toml(Path(path).parent / config.optics_file, OpticsFile, error=ConfigError)
    return msgspec.structs.replace(config, optics=held.optics, calibration=held.calibration)
