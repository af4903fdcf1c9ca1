"""One look at an instrument at work, as the page needs it: plain data, and the newest picture as JPEG.

Nothing is done between two looks: a monitor that nobody looks at costs the board nothing.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frame import FrameOutcome
from edge.live import FRAME, STATE, TROUBLE, LiveFrame, LiveState, ask, live_folder, read_live
from edge.selftest import Check, board_checks
from tools.monitoring.checks import Light, View, checks, worst
from tools.monitoring.dive import DiveReader, DiveSoFar

AGAIN_S = 0.9
"""A look this soon after another one sees the same: many browsers cost as much as one."""
BOARD_EVERY_S = 5.0
MAX_PICTURES = 6
MAX_POINTS = 240
"""Of the curve of pressure against time."""
SHOWN_WIDTH_PX = 1280
JPEG_QUALITY = 85


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame to be drawn: its pixels, uint8 (height, width)."""

    pixels: NDArray[np.uint8]

    def jpeg(self, *, is_whole: bool) -> bytes:
        """As JPEG; reduced to `SHOWN_WIDTH_PX` unless the whole is wanted."""
        pixels, width_px = self.pixels, self.pixels.shape[1]
        if not is_whole and width_px > SHOWN_WIDTH_PX:
            height_px = max(1, round(pixels.shape[0] * SHOWN_WIDTH_PX / width_px))
            pixels = np.asarray(
                cv2.resize(pixels, (SHOWN_WIDTH_PX, height_px), interpolation=cv2.INTER_AREA), np.uint8
            )
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        return data.tobytes()

    def light(self) -> Light:
        """How bright it is, from every fourth row."""
        rows = self.pixels[::4]
        return Light(float(rows.mean()), int(rows.max()), float((rows == 255).mean()))


class Monitor:
    """Looks at the instrument of a folder. For several threads.

    Parameters
    ----------
    folder
        Where the instrument keeps its data.
    dives
        Folder of its dives, or of one dive.
    """

    def __init__(self, folder: Path, dives: Path) -> None:
        self._folder, self._place = folder, live_folder(folder)
        self._reader = DiveReader(dives)
        self._lock = threading.Lock()
        self._seen: dict[str, Any] = {}
        self._seen_s = self._board_s = self._since_s = -math.inf
        self._board: list[Check] = []
        self._pictures: dict[str, Picture] = {}
        self._frames: dict[str, LiveFrame] = {}
        self._state: LiveState | None = None

    def look(self) -> dict[str, Any]:
        """What the page shows."""
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._seen_s >= AGAIN_S:
                if now_s - self._seen_s > 10 * AGAIN_S:
                    self._since_s = now_s
                self._seen_s = now_s
                self._seen = self._look(now_s)
            return self._seen

    def picture(self, key: str) -> Picture | None:
        """A picture that a look named lately."""
        with self._lock:
            return self._pictures.get(key)

    def close(self) -> None:
        """Nobody looks any more: what was made for it goes."""
        with contextlib.suppress(OSError):
            for name in list(self._place.iterdir()):
                name.unlink()
            self._place.rmdir()

    def _look(self, now_s: float) -> dict[str, Any]:
        problem = self._ask()
        self._reader.look()
        self._take_up(now_s)
        frame = max(self._frames.values(), key=lambda one: one.written_s, default=None)
        picture = None if frame is None else self._pictures.get(_key(frame))
        view = View(
            now_s, self._since_s, self._state, frame, None if picture is None else picture.light(),
            _is_alive(self._state),
            self._reader.so_far, problem or self._reader.problem,
        )  # fmt: skip
        if now_s - self._board_s >= BOARD_EVERY_S:
            self._board = list(board_checks(self._folder, is_disk_tried=False))
            self._board_s = now_s
        found = [*checks(view), *self._board]
        dive, state = view.dive, view.state
        return {
            "platform": "" if dive is None else dive.platform,
            "folder": str(self._folder.resolve()),
            "status": worst(found).value,
            "state": state.state if state is not None and view.answers else None,
            "is_fresh": view.is_fresh,
            "answers": view.answers,
            "patience_s": view.patience_s,
            "checks": [
                {"name": one.name, "status": one.status.value, "message": one.message} for one in found
            ],
            "said": []
            if state is None
            else [
                {"ago_s": round(max(0.0, now_s - then_s)), "text": text} for then_s, text in state.said[::-1]
            ],
            "frame": None if frame is None else _frame(frame, now_s),
            "trouble": None if TROUBLE not in self._frames else _frame(self._frames[TROUBLE], now_s),
            "dive": None if dive is None else _dive(dive),
        }

    def _ask(self) -> str:
        try:
            is_new = not self._place.exists()
            ask(self._place)
            if is_new and os.geteuid() == 0:
                owner = self._folder.stat()  # a service that is not root's must get in
                os.chown(self._place, owner.st_uid, owner.st_gid)
        except OSError as error:
            return f"frames cannot be asked for ({error.strerror or error}): run this as who runs seston run"
        return ""

    def _take_up(self, now_s: float) -> None:
        """Take what the instrument has left; what is torn is passed over, and what was before stays."""
        told = read_live(self._place, LiveState, STATE)
        if told is not None and told[0].written_s <= now_s:
            self._state = told[0]
        for name in (FRAME, TROUBLE):
            found = read_live(self._place, LiveFrame, name)
            if found is None or found[0].written_s > now_s or found[0] == self._frames.get(name):
                continue
            self._frames[name], pixels = found
            if pixels is not None:
                self._pictures[_key(found[0])] = Picture(pixels)
        known = {_key(frame) for frame in self._frames.values()}
        for key in list(self._pictures)[:-MAX_PICTURES]:
            if key not in known:
                del self._pictures[key]


def _is_alive(state: LiveState | None) -> bool:
    if state is None or state.pid <= 0:
        return False
    try:
        os.kill(state.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True


def _key(frame: LiveFrame) -> str:
    return f"{frame.frame}-{frame.written_s:.3f}"


def _frame(frame: LiveFrame, now_s: float) -> dict[str, Any]:
    regions = np.array(frame.regions, dtype=np.int64).reshape(-1, 5)
    esd_um = np.rint(frame.optics.esd_um(regions[:, 4])).astype(np.int64)
    return {
        "key": _key(frame) if frame.width_px else None,
        "age_s": round(now_s - frame.written_s, 1),
        "frame": frame.frame,
        "time_ms": frame.time_ms,
        "pressure_dbar": frame.pressure_dbar,
        "phase": frame.phase,
        "outcome": frame.outcome,
        "note": frame.note,
        "source": frame.source,
        "width_px": frame.width_px,
        "height_px": frame.height_px,
        "pixel_um": frame.optics.pixel_um,
        "n_regions": frame.n_regions,
        "unnamed": frame.unnamed,
        "dirt": frame.dirt,
        "regions": np.column_stack([regions[:, :4], esd_um]).tolist(),
        "particles": [
            {
                "box": [one.x_px, one.y_px, one.width_px, one.height_px],
                "esd_um": one.esd_um, "taxon": one.taxon, "guess": one.guess, "score": round(one.score, 3),
            }
            for one in frame.particles
        ],
    }  # fmt: skip


def _dive(dive: DiveSoFar) -> dict[str, Any]:
    volume_l = dive.volume_sized_l
    limits = dive.optics.size_class_limits_um
    points = np.unique(np.linspace(0, max(0, len(dive.times_ms) - 1), MAX_POINTS).astype(np.int64))
    began_ms = dive.times_ms[0] if dive.times_ms else 0
    track = [
        [round((dive.times_ms[i] - began_ms) / 1000, 1), round(dive.pressures_dbar[i], 2)]
        for i in points.tolist()
        if dive.times_ms and math.isfinite(dive.pressures_dbar[i])
    ]
    order = np.argsort(-dive.counts, kind="stable")
    return {
        "number": dive.number,
        "bundle": dive.bundle,
        "frames": int(dive.outcomes.sum()),
        "has_ended": dive.has_ended,
        "volume_l": round(volume_l, 3),
        "taxa": [[dive.taxa[i], int(dive.counts[i])] for i in order.tolist() if dive.counts[i]],
        "outcomes": [[one.label, int(dive.outcomes[one])] for one in FrameOutcome if dive.outcomes[one]],
        "spectrum": [
            [low_um, int(n), round(n / volume_l, 4) if volume_l else None]
            for low_um, n in zip(limits, dive.spectrum.tolist(), strict=True)
        ],
        "track": track,
        "recent": [[seen.frame, seen.outcome.label] for seen in dive.recent],
        "trouble": [[seen.frame, seen.outcome.label, seen.note] for seen in reversed(dive.trouble)],
    }
