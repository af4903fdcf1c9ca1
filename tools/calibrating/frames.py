"""Particles of a recording as the instrument itself finds them: the loop of a dive, without names.

Its log is thrown away. So background, exposure, focus and dirt are judged as at sea, and a frame without an
outcome that counts gives neither particles nor volume.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.config import Config, MissionConfig, ZoneConfig
from edge.errors import RecordingError
from edge.frame import SIZED_OUTCOMES, Frame, FrameOutcome
from edge.inference.bundle import load_bundle
from edge.inference.classifier import Nobody
from edge.instrument import Instrument
from edge.logged import begin_dive, optics_of
from edge.mission import Mission, State
from edge.optics import Polarity
from edge.profile import FrameRecord
from edge.recording import INFO_FILE, SENSORS_FILE, Recording, open_recording, read_image
from edge.vision.background import BackgroundRemover
from edge.vision.segmentation import Regions
from tools.calibrating.light import MOST_FRAMES, Light, measure_light

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Particles:
    """All particles of a recording.

    Attributes
    ----------
    area_px, frame
        int64 (n,); frames count from 0 among those that were sized.
    on_border
        bool (n,).
    n_frames
        Frames that were sized.
    outcomes
        What became of all frames.
    shape
        Height and width of a frame, px.
    """

    area_px: Ints
    frame: Ints
    on_border: NDArray[np.bool_]
    n_frames: int
    outcomes: dict[FrameOutcome, int]
    shape: tuple[int, int]


def open_frames(path: Path) -> Recording:
    """A recording, or a bare folder of images or video of a laboratory: time and pressure do not matter."""
    is_bare = not (path / INFO_FILE).is_file() and path.is_dir()
    has_sensors = (path / SENSORS_FILE).is_file()
    return open_recording(path, fps=1.0 if is_bare else None, pressure=None if has_sensors else (0.0, 0.0))


def particles_of(recording: Recording, config: Config) -> Particles:
    """Segment every frame as at sea.

    Parameters
    ----------
    config
        Complete, with optics; its zones do not matter.

    Raises
    ------
    RecordingError
        No frame could be used.
    """
    areas: list[Ints] = []
    borders: list[NDArray[np.bool_]] = []
    shapes: list[tuple[int, int]] = []

    def observe(frame: Frame, _record: FrameRecord, regions: Regions) -> None:
        areas.append(regions.area_px)
        borders.append(regions.on_border)
        if frame.pixels is not None:
            shapes.append((frame.pixels.shape[0], frame.pixels.shape[1]))

    only_sizes = MissionConfig(zones=(ZoneConfig(classify=False, save=False),))
    config = msgspec.structs.replace(config, mission=only_sizes, bundle="demo")
    bundle = load_bundle(config.bundle)
    flat = config.vision.flat_field
    outcomes: Counter[FrameOutcome] = Counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        begin_dive(
            Path(folder) / "dive.sqlite", config, bundle, dive_number=0, time_ms=int(recording.time_ms[0])
        ) as log,
    ):
        instrument = Instrument(
            config, bundle, log, mission=Mission(State.DESCENT), namer=Nobody(), observe=observe,
            flat_field=None if flat is None else read_image(flat),
        )  # fmt: skip
        for frame in recording.frames(prefetch=True):
            outcomes.update(logged.record.outcome for logged in instrument.take(frame))
        outcomes.update(logged.record.outcome for logged in instrument.close_bloc())
    if not areas:
        told = ", ".join(f"{n} {outcome.label}" for outcome, n in sorted(outcomes.items()))
        raise RecordingError(
            f"holds no frame in which particles can be sized ({told})",
            file=recording.path,
            remedy="record lit frames, neither over-exposed nor blurred",
        )
    assert sum(outcomes[one] for one in SIZED_OUTCOMES) == len(areas)
    return Particles(
        area_px=np.concatenate(areas),
        frame=np.repeat(np.arange(len(areas)), [len(one) for one in areas]),
        on_border=np.concatenate(borders),
        n_frames=len(areas),
        outcomes=dict(outcomes),
        shape=shapes[0],
    )


def light_of(recording: Recording, config: Config) -> Light:
    """Light and noise of the first frames of a recording, whose ground is taken away as at sea."""
    optics, flat = optics_of(config), config.vision.flat_field
    remover = BackgroundRemover(config.vision, optics, None if flat is None else read_image(flat))
    raw: list[NDArray[np.uint8]] = []
    white: list[NDArray[np.uint8]] = []
    dark: list[NDArray[np.uint8]] = []
    for frame in recording.frames(prefetch=True):
        if frame.pixels is None:
            continue
        if frame.lit:
            ready = remover.ready
            seen = remover.remove(frame.pixels)
            if ready and len(raw) < MOST_FRAMES and not (raw and np.array_equal(raw[-1], frame.pixels)):
                raw.append(frame.pixels)
                white.append(seen)
        elif len(dark) < MOST_FRAMES:
            dark.append(frame.pixels)
    if not raw and not remover.ready:
        raise RecordingError(
            f"holds less lit frames than a running median of {config.vision.median_frames} is made of",
            file=recording.path,
            field="vision.median_frames",
            remedy="record more, of water that moves",
        )
    bright = optics.polarity is Polarity.BRIGHT_FIELD
    unlit = [] if bright else [remover.remove(one, learn=False) for one in dark]
    return measure_light(raw, white, unlit, bright_field=bright)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file; of a folder, that of the sorted names and sums of the files in it."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    lines = [
        f"{sha256_of(one)}  {one.relative_to(path).as_posix()}\n"
        for one in sorted(path.rglob("*"))
        if one.is_file()
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
