"""A scenario: a dive written by hand, in TOML, from which frames are planned by chance (but repeatably).

Concentrations are those of a frame's volume; small particles follow a power law of area, as the casts of a
UVP6 do; taxa lie in layers. Every unit stands in its key's name.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.errors import ConfigError
from edge.frame import FrameOutcome, Phase
from edge.optics import Optics
from edge.recording import Instrument, Position, RecordingInfo
from edge.structs import Fraction, Length, Section, read_toml
from tools.composing.plan import FramePlan, Large, Plan, spread_faults
from tools.shore.uvp6_project.rows import Spectrum

FOLDER = Path(__file__).parent.parent / "scenarios"
Positive = Annotated[int, msgspec.Meta(ge=1)]
AtLeast0 = Annotated[float, msgspec.Meta(ge=0)]
Curve = tuple[tuple[float, float], ...]
"""Points (pressure in dbar, value); linear between them, constant outside."""


def check_curve(name: str, curve: Curve) -> None:
    """Refuse a curve without points, or whose pressures do not rise."""
    if not curve or any(b[0] <= a[0] for a, b in itertools.pairwise(curve)):
        raise ValueError(f"{name} must hold pairs (pressure in dbar, value) with rising pressures")


class Camera(Section, frozen=True):
    """Size of a frame and its ground: grey without light, haze in light, noise, fall of light outwards."""

    width_px: Annotated[int, msgspec.Meta(ge=64, le=16384)] = 2464
    height_px: Annotated[int, msgspec.Meta(ge=64, le=16384)] = 2056
    black_grey: AtLeast0 = 2.0
    haze_grey: AtLeast0 = 6.0
    noise_grey: AtLeast0 = 1.4
    light_fall: Fraction = 0.25


class Leg(Section, frozen=True):
    """Part of the dive: from one pressure to another, so many frames in so much time."""

    phase: str
    start_dbar: AtLeast0
    end_dbar: AtLeast0
    frames: Positive
    duration_s: Length

    def __post_init__(self) -> None:
        if self.phase not in PHASES:
            raise ValueError(f"phase must be one of {', '.join(PHASES)}")


class Layer(Section, frozen=True):
    """One taxon around one depth: `per_l` individuals a litre at `depth_dbar`, fewer away from it (Gaussian).

    Their ESD, um, follows a power law of number against size (exponent -3) between the two limits; a vignette
    has the size it has.
    """

    label: str
    per_l: AtLeast0
    depth_dbar: float
    spread_dbar: Length
    esd_um: tuple[Length, Length] = (700.0, 3000.0)

    def __post_init__(self) -> None:
        if self.esd_um[0] >= self.esd_um[1]:
            raise ValueError("esd_um must be a smaller and a larger size")


class Small(Section, frozen=True):
    """Small particles of a frame: how many of one pixel and of two, a power law of area beyond, by depth."""

    one_px: AtLeast0 = 2600.0
    two_px: AtLeast0 = 420.0
    slope: Annotated[float, msgspec.Meta(ge=1, le=5)] = 2.4
    max_area_px: Annotated[int, msgspec.Meta(ge=2, le=1000)] = 60
    mean_grey_above: Length = 10.0
    by_depth: Curve = ((0.0, 1.0),)
    unlit_one_px: AtLeast0 = 12.0

    def __post_init__(self) -> None:
        check_curve("by_depth", self.by_depth)


class Faults(Section, frozen=True):
    """Frames that go wrong: every `unlit_every`-th is unlit (0: none), and shares of all frames."""

    unlit_every: Annotated[int, msgspec.Meta(ge=0)] = 0
    over_exposed: Fraction = 0.0
    blurred: Fraction = 0.0
    corrupt: Fraction = 0.0

    @property
    def shares(self) -> dict[FrameOutcome, float]:
        """Share of each outcome."""
        return {
            FrameOutcome.OVER_EXPOSED: self.over_exposed,
            FrameOutcome.BLURRED: self.blurred,
            FrameOutcome.CORRUPT: self.corrupt,
        }


class Scenario(Section, frozen=True):
    """The whole file. A cast or vignettes replace what they know better (legs and small, or the taxa)."""

    name: str = "scenario"
    start_utc: Annotated[datetime.datetime, msgspec.Meta(tz=True)] = datetime.datetime(
        2025, 6, 1, 6, 0, tzinfo=datetime.UTC
    )
    position: Position | None = None
    cruise: str = ""
    platform: str = ""
    profile: str = ""
    instrument: Instrument = Instrument(unit="composed")
    optics: Optics = Optics(pixel_um=73, aa_um2=2300, exp=1.136, image_volume_l=0.6, threshold=21)
    classified_from_um: Length = 620.0
    camera: Camera = Camera()
    small: Small = Small()
    faults: Faults = Faults()
    legs: tuple[Leg, ...] = ()
    taxa: tuple[Layer, ...] = ()
    water: Mapping[str, Curve] = {}
    sensor_interval_s: Length = 10.0

    def __post_init__(self) -> None:
        ground = self.camera.black_grey + self.camera.haze_grey + 1
        if ground > self.optics.threshold:
            raise ValueError(f"optics.threshold must be at least {ground:g}, above black_grey and haze_grey")
        for name, curve in self.water.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in ("time_s", "pressure_dbar"):
                raise ValueError(f"water.{name} is no name of a sensor; write it as temperature_c is written")
            check_curve(f"water.{name}", curve)


PHASES = {phase.name.lower(): phase for phase in Phase}


def along(curve: Curve, pressure_dbar: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of a curve at some pressures, float64, same shape."""
    points = np.array(curve, dtype=np.float64)
    return np.asarray(np.interp(pressure_dbar, points[:, 0], points[:, 1]), dtype=np.float64)


def load_scenario(path: Path) -> Scenario:
    """Read a scenario; raises `ConfigError` naming file and key."""
    return read_toml(path, Scenario, error=ConfigError)


def check_labels(layers: Sequence[Layer], known: Sequence[str], file: Path) -> None:
    """Refuse a taxon that there is nothing to plant for."""
    for i, layer in enumerate(layers):
        if layer.label not in known:
            raise ConfigError(
                f"is {layer.label!r}, of which there are no particles",
                file=file,
                field=f"taxa[{i}].label",
                remedy=f"choose from {', '.join(known[:40])}",
            )


def layers_of(counts: Mapping[str, int], deepest_dbar: float, per_l: float = 8.0) -> tuple[Layer, ...]:
    """Layers for vignettes nobody wrote a scenario for: each class has its own depth, the common are common.

    Concentrations add up to about `per_l` on the average over depth; they go with the square root of counts.
    """
    weights = np.sqrt(np.array(list(counts.values()), dtype=np.float64))
    weights /= weights.sum()
    spread = max(30.0, deepest_dbar / 4)
    # The golden ratio spreads the depths of neighbouring classes evenly and apart.
    depths = deepest_dbar * np.modf(0.31 + 0.6180339887 * np.arange(len(weights)))[0]
    return tuple(
        Layer(label=label, per_l=round(2 * per_l * w, 4), depth_dbar=round(d), spread_dbar=spread)
        for label, w, d in zip(counts, weights.tolist(), depths.tolist(), strict=True)
    )


def share_frames(legs: Sequence[Leg], n: int | None) -> list[int]:
    """Frames of each leg; when `n` are asked for in all, in the legs' proportion, at least one each."""
    frames = [leg.frames for leg in legs]
    if n is None:
        return frames
    total = sum(frames)
    shared = [max(1, n * count // total) for count in frames]
    while sum(shared) > n:
        shared[int(np.argmax(shared))] -= 1
    shared[int(np.argmax(frames))] += n - sum(shared)
    return shared


def plan_scenario(scenario: Scenario, file: Path, n_frames: int | None, seed: int) -> Plan:
    """Plan every frame of a scenario; the same seed gives the same plan."""
    legs = scenario.legs
    if not legs:
        raise ConfigError("is missing", file=file, field="legs", remedy="write at least one [[legs]] table")
    if n_frames is not None and n_frames < len(legs):
        raise ConfigError(
            f"is {n_frames}, the scenario has {len(legs)} legs",
            field="--frames",
            remedy="ask for more frames",
        )
    starts = np.concatenate(([0.0], np.cumsum([leg.duration_s for leg in legs])))
    times: list[float] = []
    phases: list[Phase] = []
    for leg, start, n in zip(legs, starts, share_frames(legs, n_frames), strict=False):
        times += [float(start + (i + 0.5) / n * leg.duration_s) for i in range(n)]
        phases += [PHASES[leg.phase]] * n
    corner_dbar = [legs[0].start_dbar]
    corner_s = [0.0]
    for leg, start in zip(legs, starts, strict=False):
        if leg.start_dbar != corner_dbar[-1]:  # a jump between legs takes no time
            corner_s.append(float(start))
            corner_dbar.append(leg.start_dbar)
        corner_s.append(float(start + leg.duration_s))
        corner_dbar.append(leg.end_dbar)
    pressure = np.interp(times, corner_s, corner_dbar)
    n = len(times)
    unlit = np.zeros(n, dtype=np.bool_)
    if scenario.faults.unlit_every:
        unlit[:: scenario.faults.unlit_every] = True
    outcomes = spread_faults(n, scenario.faults.shares, ~unlit, np.random.default_rng((seed, 1)))
    frames = [
        _plan_frame(
            scenario,
            times[i],
            float(pressure[i]),
            phases[i],
            FrameOutcome.UNLIT if unlit[i] else outcomes[i],
            np.random.default_rng((seed, 2, i)),
        )
        for i in range(n)
    ]
    sensor_s = np.arange(0.0, corner_s[-1] + scenario.sensor_interval_s, scenario.sensor_interval_s)
    sensor_dbar = np.interp(sensor_s, corner_s, corner_dbar)
    sensors = {"time_s": sensor_s, "pressure_dbar": sensor_dbar}
    for name, curve in scenario.water.items():
        sensors[name] = along(curve, sensor_dbar)
    info = RecordingInfo(
        frame_rate_hz=float(f"{n / corner_s[-1]:.6g}"),
        start_utc=scenario.start_utc,
        instrument=scenario.instrument,
        optics=scenario.optics,
        position=scenario.position,
        sensor_gap_s=max(60.0, 2 * scenario.sensor_interval_s),
        cruise=scenario.cruise,
        platform=scenario.platform,
        profile=scenario.profile or scenario.name,
    )
    return Plan(info, tuple(frames), sensors)


def _plan_frame(
    scenario: Scenario,
    time_s: float,
    pressure_dbar: float,
    phase: Phase,
    outcome: FrameOutcome,
    rng: np.random.Generator,
) -> FramePlan:
    optics, small = scenario.optics, scenario.small
    grey = optics.threshold + small.mean_grey_above
    if outcome is FrameOutcome.UNLIT:
        noise = np.array([rng.poisson(small.unlit_one_px)], dtype=np.int64)
        ones = Spectrum(np.array([1]), noise, np.array([grey]), np.array([small.mean_grey_above]))
        return FramePlan(time_s, phase, outcome, ones, ())
    area = np.arange(1, small.max_area_px + 1, dtype=np.int64)
    mean = small.two_px * (area.astype(np.float64) / 2) ** -small.slope
    mean[0] = small.one_px
    count = rng.poisson(mean * along(small.by_depth, np.array(pressure_dbar))).astype(np.int64)
    # Larger ones are brighter (in casts by some 10 grey from one pixel to two, up to twice over threshold).
    above = small.mean_grey_above * (1 + 2.2 * (1 - area.astype(np.float64) ** -0.5))
    some = count > 0
    spectrum = Spectrum(area[some], count[some], optics.threshold + above[some], above[some])
    large = []
    for layer in scenario.taxa:
        per_l = layer.per_l * np.exp(-0.5 * ((pressure_dbar - layer.depth_dbar) / layer.spread_dbar) ** 2)
        low, high = layer.esd_um
        for u in rng.random(rng.poisson(per_l * optics.image_volume_l)):
            esd_um = (low**-2 + u * (high**-2 - low**-2)) ** -0.5
            large.append(Large(layer.label, area_of(optics, float(esd_um))))
    return FramePlan(time_s, phase, outcome, spectrum, tuple(large))


def area_of(optics: Optics, esd_um: float) -> float:
    """Area in pixels of an ESD: the inverse of `Optics.esd_um`."""
    return float((np.pi * esd_um**2 / 4 / optics.area_unit_um2) ** (1 / optics.exp))
