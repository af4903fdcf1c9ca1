"""Recordings on disk: a folder with recording.toml, a bare folder of images, or a bare video; and its truth.

Reading is lazy, one frame at a time. A frame that cannot be read is a corrupt frame, never a missing one; a
recording that cannot be understood is refused before the dive. What becomes of frames is decided elsewhere.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Annotated, Any

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.cameras.video import VIDEO_SUFFIXES, open_video, read_video
from edge.errors import ImageError, RecordingError
from edge.frame import Frame, FrameOutcome, Phase
from edge.images import IMAGE_SUFFIXES, read_image
from edge.optics import Optics
from edge.sensors.replay import read_sensors
from edge.structs import Length, Section, read_toml
from edge.tables import read_table
from edge.truth import TRUTH_FILE, Truth, read_truth

__all__ = [
    "Instrument", "Position", "Recording", "RecordingInfo", "Truth", "open_recording", "read_image",
    "write_info",
]  # fmt: skip

INFO_FILE, SENSORS_FILE, FRAMES_FILE, FRAMES_FOLDER = "recording.toml", "sensors.csv", "frames.csv", "frames"
FRAME_COLUMNS = ("file", "time_s", "lit", "phase")
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class Instrument(Section, frozen=True):
    """Names of what recorded: the unit and its camera."""

    unit: str = ""
    camera: str = ""


class Position(Section, frozen=True):
    """Where, decimal degrees, north and east positive."""

    latitude_deg: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    longitude_deg: Annotated[float, msgspec.Meta(ge=-180, le=360)]


class RecordingInfo(Section, frozen=True):
    """The file recording.toml.

    Attributes
    ----------
    frame_rate_hz
        Frames a second; times in frames.csv win.
    start_utc
        Time of the first frame's clock, ISO 8601 with its zone; `time_s` everywhere counts from it.
    optics
        Of the unit; None leaves them to the configuration.
    bits_per_pixel
        Bits used in 16-bit image files.
    sensor_gap_s
        Sensors are not interpolated across a longer gap: frames in it have no pressure.
    cruise, platform, profile
        Ids, as the owner writes them.
    """

    frame_rate_hz: Length
    start_utc: Annotated[datetime.datetime, msgspec.Meta(tz=True)]
    instrument: Instrument = Instrument()
    optics: Optics | None = None
    position: Position | None = None
    bits_per_pixel: Annotated[int, msgspec.Meta(ge=9, le=16)] = 16
    sensor_gap_s: Length = 60.0
    cruise: str = ""
    platform: str = ""
    profile: str = ""


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that was understood; `frames()` reads it.

    Attributes
    ----------
    path
        As it was opened.
    info
        Metadata; made up from the arguments for a bare folder or video.
    names
        Name of every frame in the order of capture: its file, or ``dive.avi#12`` in a video.
    time_ms, pressure_dbar, lit, phases
        Of each frame: int64, float64 (NaN when unknown), bool (n,), and known phases (or None).
    environment
        Other sensors at each frame, by name with unit, each float64 (n,).
    files
        Image files in the order of capture, or the one video.
    """

    path: Path
    info: RecordingInfo
    names: tuple[str, ...]
    time_ms: NDArray[np.int64]
    pressure_dbar: NDArray[np.float64]
    lit: NDArray[np.bool_]
    phases: tuple[Phase | None, ...]
    environment: Mapping[str, NDArray[np.float64]]
    files: tuple[Path, ...]

    @property
    def n_frames(self) -> int:
        """Frames, readable or not."""
        return len(self.names)

    @property
    def optics(self) -> Optics | None:
        """Optics of the recording, None when it does not say."""
        return self.info.optics

    def frames(self, *, prefetch: bool = False) -> Iterator[Frame]:
        """Every frame in the order of capture, read when asked for.

        One that cannot be read, or whose size differs from the first that could, comes without pixels, with
        fault CORRUPT and a note. With `prefetch`, a thread reads one frame ahead.
        """
        return _ahead(self._read_frames()) if prefetch else self._read_frames()

    def truth(self) -> Truth | None:
        """The truth beside the frames, or None; raises `RecordingError` when it cannot be read."""
        folder = self.path if self.path.is_dir() else self.path.parent
        return read_truth(folder, self.names) if (folder / TRUTH_FILE).is_file() else None

    def _read_frames(self) -> Iterator[Frame]:
        size: tuple[int, ...] | None = None
        for i, found in enumerate(self._read_pixels()):
            pixels, note = (None, str(found)) if isinstance(found, ImageError) else (found, "")
            if pixels is not None:
                size = size or pixels.shape
                if pixels.shape != size:
                    note = (
                        f"{self.names[i]}: is {pixels.shape[1]} x {pixels.shape[0]} px, the first frame is "
                        f"{size[1]} x {size[0]} px; record with one size."
                    )
                    pixels = None
            yield Frame(
                index=i,
                time_ms=int(self.time_ms[i]),
                pressure_dbar=float(self.pressure_dbar[i]),
                lit=bool(self.lit[i]),
                pixels=pixels,
                source=self.names[i],
                phase=self.phases[i],
                environment={name: float(values[i]) for name, values in self.environment.items()},
                fault=FrameOutcome.CORRUPT if pixels is None else None,
                note=note,
            )

    def _read_pixels(self) -> Iterator[NDArray[np.uint8] | ImageError]:
        if _is_video(self.files[0]):
            yield from read_video(self.files[0], self.n_frames)
            return
        for file in self.files:
            try:
                pixels: NDArray[np.uint8] | ImageError = read_image(file, self.info.bits_per_pixel)
            except ImageError as error:
                pixels = error
            yield pixels


def open_recording(
    path: str | PathLike[str],
    *,
    fps: float | None = None,
    pressure: tuple[float, float] | None = None,
    start_utc: datetime.datetime | None = None,
) -> Recording:
    """Open a recording; every frame's time and pressure are known before the first is read.

    Parameters
    ----------
    path
        A folder with recording.toml, a bare folder of images (or with a folder `frames`), or a video.
    fps
        Frames a second of a bare folder; of a bare video, instead of what its file says.
    pressure
        (first, last) in dbar, linear over the frames, where there is no sensors.csv.
    start_utc
        Start of a bare recording; 1970 when nobody says it.

    Raises
    ------
    RecordingError
        Nothing there, no frames, metadata missing or twice given, a faulty table.
    """
    path = Path(path)
    if not path.exists():
        raise RecordingError("is not there", file=path, remedy="check the path")
    files, names, video_fps = _find_frames(path)
    info = _read_info(path, fps, start_utc, video_fps)
    if (path / FRAMES_FILE).is_file():
        table = _read_frame_table(path / FRAMES_FILE, names, fixed=_is_video(files[0]))
        if not _is_video(files[0]):
            files = [files[0].with_name(name) for name in table.names]
    else:
        n = len(names)
        table = _FrameTable(names, np.arange(n) / info.frame_rate_hz, np.ones(n, dtype=np.bool_), [None] * n)
    readings = _read_pressure(path, pressure, table.time_s, info.sensor_gap_s)
    start_ms = round(info.start_utc.timestamp() * 1000)
    return Recording(
        path=path,
        info=info,
        names=tuple(table.names),
        time_ms=start_ms + np.rint(1000 * table.time_s).astype(np.int64),
        pressure_dbar=readings.pop("pressure_dbar"),
        lit=table.lit,
        phases=tuple(table.phases),
        environment=readings,
        files=tuple(files),
    )


def _read_pressure(
    path: Path, pressure: tuple[float, float] | None, time_s: NDArray[np.float64], max_gap_s: float
) -> dict[str, NDArray[np.float64]]:
    """Sensors at the frames' times: from sensors.csv, or a straight line of pressure."""
    if (path / SENSORS_FILE).is_file():
        if pressure is not None:
            raise RecordingError(
                "gives the pressure", file=path / SENSORS_FILE, remedy="leave --pressure out"
            )
        return read_sensors(path / SENSORS_FILE).at(time_s, max_gap_s)
    if pressure is None:
        raise RecordingError(
            "has no sensors.csv, so its pressure is unknown",
            file=path,
            remedy="give --pressure START:END in dbar",
        )
    if not all(map(math.isfinite, pressure)):
        raise RecordingError(
            "is not a number", file=path, field="--pressure", remedy="give START:END in dbar, such as 0:100"
        )
    return {"pressure_dbar": np.linspace(*pressure, len(time_s))}


def _read_info(
    path: Path, fps: float | None, start_utc: datetime.datetime | None, video_fps: float
) -> RecordingInfo:
    """Metadata from recording.toml, or made up for a bare folder or video."""
    if (path / INFO_FILE).is_file():
        if fps is not None:
            raise RecordingError(
                "gives frame_rate_hz", file=path / INFO_FILE, remedy="leave --fps out, or change it there"
            )
        return read_toml(path / INFO_FILE, RecordingInfo, error=RecordingError)
    rate = fps if fps is not None else video_fps
    if not (math.isfinite(rate) and rate > 0):
        if fps is not None:
            raise RecordingError(
                f"is {fps:g}", file=path, field="--fps", remedy="give frames a second, more than 0"
            )
        raise RecordingError(
            "has no recording.toml, so its frame rate is unknown", file=path, remedy="give --fps"
        )
    return RecordingInfo(frame_rate_hz=rate, start_utc=start_utc or _EPOCH)


def _is_video(file: Path) -> bool:
    return file.suffix.lower() in VIDEO_SUFFIXES


def _natural(file: Path) -> tuple[object, ...]:
    """Sort key: frame_2 comes before frame_10."""
    parts = re.split(r"(\d+)", file.name)
    return (*(int(part) if i % 2 else part for i, part in enumerate(parts)),)


def _find_frames(path: Path) -> tuple[list[Path], list[str], float]:
    """Image files in natural order or one video; names of the frames; a video's own frame rate (or 0)."""
    if path.is_dir():
        found = [file for file in path.iterdir() if file.is_file()]
        inner = path / FRAMES_FOLDER
        pictures = list(inner.iterdir()) if inner.is_dir() else found
        images = sorted((file for file in pictures if file.suffix.lower() in IMAGE_SUFFIXES), key=_natural)
        videos = [file for file in found if _is_video(file)]
    elif _is_video(path):
        images, videos = [], [path]
    else:
        raise RecordingError(
            "is neither a folder nor an AVI or MP4 video", file=path, remedy="name the recording's folder"
        )
    if (images and videos) or len(videos) > 1:
        raise RecordingError(
            f"holds {len(images)} images and {len(videos)} videos",
            file=path,
            remedy="a recording is either images or one video",
        )
    if videos:
        with open_video(videos[0]) as capture:
            n_frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            rate = float(capture.get(cv2.CAP_PROP_FPS))
        if n_frames < 1:
            raise RecordingError("holds no frames", file=videos[0], remedy="copy the video again")
        return videos, [f"{videos[0].name}#{i}" for i in range(n_frames)], rate
    if not images:
        raise RecordingError(
            "holds no frames",
            file=path,
            remedy=f"put images ({', '.join(IMAGE_SUFFIXES)}) in it, or in a folder `{FRAMES_FOLDER}` of it",
        )
    return images, [file.name for file in images], 0.0


def _ahead(frames: Iterator[Frame]) -> Iterator[Frame]:
    """Read one frame ahead in a thread of its own (OpenCV decodes without Python's lock)."""
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(next, frames, None)
        while (frame := pending.result()) is not None:
            pending = pool.submit(next, frames, None)
            yield frame


_PHASES = {"": None, **{phase.name.lower(): phase for phase in Phase}}
_LIT = {"": True, "1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True, slots=True)
class _FrameTable:
    """Name, time, light and phase of every frame in the order of capture."""

    names: list[str]
    time_s: NDArray[np.float64]
    lit: NDArray[np.bool_]
    phases: list[Phase | None]


def _read_frame_table(path: Path, found: Sequence[str], *, fixed: bool) -> _FrameTable:
    """Read frames.csv; `found` are the frames on disk, `fixed` in their order when they are a video's.

    A frame listed and not on disk will be a corrupt one; one on disk and not listed is refused, since nobody
    could say when it was taken.
    """
    table = read_table(path, required=("file", "time_s"), known=FRAME_COLUMNS)
    time_s = table.numbers("time_s")
    table.check_rising("time_s", time_s)
    names = table.columns["file"]
    for row, name in enumerate(names):
        if not name or "/" in name or "\\" in name:
            raise table.fault(row, "file", f"holds {name!r}", f"write a file's name in `{FRAMES_FOLDER}`")

    def words(column: str, known: Mapping[str, Any]) -> list[Any]:
        cells = table.columns.get(column, [""] * table.n_rows)
        for row, cell in enumerate(cells):
            if cell.strip().lower() not in known:
                choices = ", ".join(word for word in known if word)
                raise table.fault(row, column, f"holds {cell!r}", f"write one of {choices}, or nothing")
        return [known[cell.strip().lower()] for cell in cells]

    lit = np.array(words("lit", _LIT), dtype=np.bool_)
    phases = words("phase", _PHASES)
    astray = sorted(set(found) - set(names))
    if astray:
        raise RecordingError(
            f"does not list {astray[0]}", file=path, field="column file", remedy="list every frame"
        )
    if fixed and names != found:
        raise RecordingError(
            f"lists other frames than the video's {len(found)}",
            file=path,
            field="column file",
            remedy=f"list {found[0]} to {found[-1]}, in this order",
        )
    return _FrameTable(names, time_s, lit, phases)


def write_info(folder: str | PathLike[str], info: RecordingInfo) -> None:
    """Write recording.toml into a folder, so that reading it gives `info` again."""
    data = {key: value for key, value in msgspec.to_builtins(info).items() if value not in (None, "", {})}
    tables = {key: value for key, value in data.items() if isinstance(value, dict)}
    # JSON's text of a string, a number or a list of numbers is TOML too.
    lines = [
        f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in data.items() if key not in tables
    ]
    for key, table in tables.items():
        lines += [
            "",
            f"[{key}]",
            *(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in table.items()),
        ]
    (Path(folder) / INFO_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
