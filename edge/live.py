"""What somebody on the bench may see of an instrument at work: its newest frame, and where it stands.

Nothing is made unless somebody looks: who looks touches a file, and its date is read once a second. Then, at
most once a second, a frame is left in memory (a file under /dev/shm) as the camera gave it, beside it one in
trouble; another process draws them. Nothing that counts comes this way, and what goes wrong stops no dive.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.divelog_schema import LoggedFrame
from edge.durable import PART
from edge.frame import Frame, FrameOutcome
from edge.optics import Optics
from edge.vision.segmentation import Regions

EVERY_S = 1.0
"""Least time between two looks at whether anybody looks, between two frames and between two states."""
FRESH_S = 10.0
"""Whoever has touched the file in this time still looks."""
MAX_REGIONS = 500
"""Boxes that are shown of a frame: the largest."""
MAX_SAID = 20
UNTROUBLED = (FrameOutcome.ANALYSED, FrameOutcome.EMPTY, FrameOutcome.UNLIT)
WANTED, FRAME, TROUBLE, STATE = "wanted", "frame", "trouble", "state"
_MAGIC = b"seston-live-1\n"
_MEMORY = Path("/dev/shm")
T = TypeVar("T")


class LiveParticle(msgspec.Struct, frozen=True):
    """A particle that was classified: its box, its taxon, and how sure that is.

    `guess` is the label with the highest score, and `score` its probability; an unsure answer has a taxon
    above it, or none.
    """

    x_px: int
    y_px: int
    width_px: int
    height_px: int
    esd_um: int
    taxon: str
    guess: str
    score: float


class LiveFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One frame with its outcome; its pixels lie behind it, unless it has none.

    Attributes
    ----------
    written_s
        By the machine's monotonic clock, which all its processes share.
    frame, time_ms, pressure_dbar, phase, outcome, note, lit, source, sharpness, dirt, unnamed
        As the log has them; pressure is None where none is known.
    optics
        What sizes and the scale are reckoned from.
    n_regions
        Of any size; None where nobody looked for particles.
    regions
        Left, top, width, height and area, px, of the largest: `MAX_REGIONS` at most.
    particles
        Those that were classified.
    height_px, width_px
        Of the picture; 0 where there is none.
    """

    written_s: float
    frame: int
    time_ms: int
    pressure_dbar: float | None
    phase: str
    outcome: str
    note: str
    lit: bool
    source: str
    sharpness: float | None
    dirt: int
    unnamed: int
    optics: Optics
    n_regions: int | None
    regions: tuple[tuple[int, int, int, int, int], ...]
    particles: tuple[LiveParticle, ...]
    height_px: int
    width_px: int


class LiveState(msgspec.Struct, frozen=True, kw_only=True):
    """Where the service stands.

    Attributes
    ----------
    state
        Of the mission.
    dive, frames
        Number of the dive in progress, or None, and frames taken in it.
    period_s
        Time from a frame to the next.
    waiting
        Messages without a link, or None when that is not known.
    restarts, pace_s
        How often the classifier's process was lost, and what a vignette takes, s; None where nobody knows.
    spent
        Of the dive's budget, by good and zone.
    written_s, pid
        As in `LiveFrame`, and the process: `Live.tell` knows them.
    said
        The newest sentences for a person, each with its time as `written_s`.
    """

    state: str
    dive: int | None = None
    frames: int = 0
    period_s: float = 1.0
    waiting: int | None = None
    restarts: int | None = None
    pace_s: float | None = None
    spent: dict[str, list[float]] = msgspec.field(default_factory=dict)
    written_s: float = 0.0
    pid: int = 0
    said: tuple[tuple[float, str], ...] = ()


class Live:
    """The instrument's end. For one thread, but for `listen`'s.

    Parameters
    ----------
    folder
        Where the instrument keeps its data: who looks names it too.
    taxa
        Labels of what is counted, by their numbers.
    monotonic_s
        The machine's clock, also where a dive's time is simulated.
    """

    def __init__(
        self, folder: Path, taxa: Iterable[str], monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._place, self._taxa, self._monotonic_s = live_folder(folder), tuple(taxa), monotonic_s
        self._said: deque[tuple[float, str]] = deque(maxlen=MAX_SAID)
        self._is_looked_at = False
        self._look_due_s = self._state_due_s = -np.inf
        self._frame_due_s = {FRAME: -np.inf, TROUBLE: -np.inf}

    def listen(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """What takes sentences for a person, so that they are seen here too."""

        def hear(sentence: str) -> None:
            self._said.append((self._monotonic_s(), sentence))
            say(sentence)

        return hear

    @property
    def is_looked_at(self) -> bool:
        """Whether anybody looks; found out once a second."""
        now_s = self._monotonic_s()
        if now_s >= self._look_due_s:
            self._look_due_s = now_s + EVERY_S
            self._is_looked_at = _is_wanted(self._place)
        return self._is_looked_at

    def wants_frame(self, outcome: FrameOutcome) -> bool:
        """Whether a frame, of this outcome so far, is to be shown: then its pixels must be kept.

        One in trouble waits for no other's turn.
        """
        now_s, place = self._monotonic_s(), _place_of(outcome)
        if not self.is_looked_at or now_s < self._frame_due_s[place]:
            return False
        self._frame_due_s[place] = now_s + EVERY_S
        return True

    def show(self, frame: Frame, logged: LoggedFrame, regions: Regions | None, optics: Optics) -> None:
        """Show a frame, whatever its outcome."""
        record, pixels = logged.record, frame.pixels
        shape = (0, 0) if pixels is None else pixels.shape
        shown = LiveFrame(
            written_s=self._monotonic_s(), frame=record.index, time_ms=record.time_ms,
            pressure_dbar=record.pressure_dbar, phase=record.phase.name.lower(), outcome=record.outcome.label,
            note=logged.note, lit=logged.lit, source=logged.source, sharpness=logged.sharpness,
            dirt=record.dirt, unnamed=record.unnamed, optics=optics,
            n_regions=None if regions is None else len(regions),
            regions=() if regions is None else _largest(regions),
            particles=tuple(
                LiveParticle(
                    one.x_px, one.y_px, one.width_px, one.height_px, one.esd_um, self._taxa[one.taxon],
                    self._taxa[int(np.argmax(one.scores))], float(np.max(one.scores)),
                )
                for one in logged.particles
            ),
            height_px=shape[0], width_px=shape[1],
        )  # fmt: skip
        self._write(_place_of(record.outcome), shown, pixels)

    def tell(self, state: Callable[[], LiveState]) -> None:
        """Say where the instrument stands, when somebody looks and it is time."""
        now_s = self._monotonic_s()
        if self.is_looked_at and now_s >= self._state_due_s:
            self._state_due_s = now_s + EVERY_S
            told = msgspec.structs.replace(state(), written_s=now_s, pid=os.getpid(), said=tuple(self._said))
            self._write(STATE, told, None)

    def _write(self, name: str, told: msgspec.Struct, pixels: NDArray[np.uint8] | None) -> None:
        """Leave a file, whole or not at all; nothing is synced, for it is worth a second."""
        part = self._place / (name + PART)
        try:
            head = msgspec.json.encode(told)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            with os.fdopen(os.open(part, flags, 0o644), "wb") as out:
                out.write(_MAGIC + len(head).to_bytes(4, "big") + head)
                if pixels is not None:
                    out.write(np.ascontiguousarray(pixels).data)
            part.replace(self._place / name)
        except (OSError, ValueError):
            return  # no room, nobody there any more, or a name that is no text: the next one may do


def live_folder(folder: Path) -> Path:
    """Where an instrument of a folder leaves what it shows: in memory, where the machine has such a place."""
    if not os.access(_MEMORY, os.W_OK | os.X_OK):
        return folder / "live"
    return _MEMORY / f"seston-{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]}"


def ask(place: Path) -> None:
    """Ask an instrument to show what it does, for the next `FRESH_S`. Raises `OSError`."""
    place.mkdir(mode=0o700, exist_ok=True)
    (place / WANTED).touch()


def read_live(place: Path, kind: type[T], name: str) -> tuple[T, NDArray[np.uint8] | None] | None:
    """A `LiveFrame` with its pixels, uint8 (height, width), or a `LiveState`; None for a torn one or none."""
    try:
        data = (place / name).read_bytes()
        head_at = len(_MAGIC) + 4
        if data[: len(_MAGIC)] != _MAGIC:
            return None
        body_at = head_at + int.from_bytes(data[len(_MAGIC) : head_at], "big")
        told = msgspec.json.decode(data[head_at:body_at], type=kind)
    except (OSError, ValueError):
        return None
    shape = (told.height_px, told.width_px) if isinstance(told, LiveFrame) else (0, 0)
    pixels = np.frombuffer(data, np.uint8, offset=min(body_at, len(data)))
    if body_at > len(data) or min(shape) < 0 or pixels.size != shape[0] * shape[1]:
        return None
    return told, pixels.reshape(shape) if pixels.size else None


def _place_of(outcome: FrameOutcome) -> str:
    return FRAME if outcome in UNTROUBLED else TROUBLE


def _is_wanted(place: Path) -> bool:
    try:
        is_folder = stat.S_ISDIR(place.lstat().st_mode)  # a link may lead anywhere
        return is_folder and abs(time.time() - (place / WANTED).stat().st_mtime) < FRESH_S
    except OSError:
        return False


def _largest(regions: Regions) -> tuple[tuple[int, int, int, int, int], ...]:
    """Boxes and areas, the largest first."""
    chosen = np.argsort(-regions.area_px, kind="stable")[:MAX_REGIONS]
    columns = (regions.x_px, regions.y_px, regions.width_px, regions.height_px, regions.area_px)
    return tuple(zip(*(column[chosen].tolist() for column in columns), strict=True))
