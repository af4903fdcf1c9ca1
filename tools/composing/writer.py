"""A composed recording on disk: PNG frames, tables, truth. The same frames give the same bytes."""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from edge.frame import FrameOutcome
from edge.optics import Optics
from edge.recording import FRAME_COLUMNS, FRAMES_FILE, FRAMES_FOLDER, SENSORS_FILE, write_info
from edge.truth import TRUTH_COLUMNS, TRUTH_FILE, TRUTH_FRAMES_COLUMNS, TRUTH_FRAMES_FILE
from tools.composing.painter import Planted
from tools.composing.plan import FramePlan, Plan


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """PNG of a grey image, uint8 (height, width): no filter, fastest deflate.

    OpenCV's writer filters lines, which costs dark, noisy frames four times the time and six times the size.
    """
    height, width = pixels.shape
    lines = np.zeros((height, width + 1), dtype=np.uint8)  # each line begins with its filter, 0: none
    lines[:, 1:] = pixels
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.data, 1)), (b"IEND", b""))
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in chunks:
        parts += [
            struct.pack(">I", len(data)),
            kind,
            data,
            struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))),
        ]
    return b"".join(parts)


class RecordingWriter:
    """Writes a composed recording, a frame at a time; used as a context.

    Encoding runs in a thread beside the painting of the next frame; one frame waits at most. The folder gets
    its name when everything is in it: what was broken off never looks like a recording.
    """

    def __init__(self, folder: Path, plan: Plan, optics: Optics) -> None:
        self._final = folder
        self._folder = folder.with_name(folder.name + ".partial")
        self._plan = plan
        self._optics = optics
        self._pool = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None
        self._rows = [",".join(FRAME_COLUMNS)]
        self._outcomes = [",".join(TRUTH_FRAMES_COLUMNS)]
        self.n_bytes = 0

    def __enter__(self) -> RecordingWriter:
        shutil.rmtree(self._folder, ignore_errors=True)
        (self._folder / FRAMES_FOLDER).mkdir(parents=True)
        write_info(self._folder, self._plan.info)
        names, columns = zip(*self._plan.sensors.items(), strict=True)
        rows = (",".join(_number(value) for value in row) for row in zip(*columns, strict=True))
        self._write(SENSORS_FILE, (",".join(names), *rows))
        self._truth = (self._folder / TRUTH_FILE).open("w", encoding="utf-8", newline="\n")
        self._truth.write(",".join(TRUTH_COLUMNS) + "\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._truth.close()
        self._pool.shutdown(wait=True)
        try:
            if kind is None:
                self._finish()
                self._write(FRAMES_FILE, self._rows)
                self._write(TRUTH_FRAMES_FILE, self._outcomes)
                self._folder.rename(self._final)  # over an empty folder, or a new one
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, index: int, frame: FramePlan, pixels: NDArray[np.uint8], planted: Planted) -> None:
        """Write one frame and its truth."""
        self._finish()
        name = f"{index:05d}.png"
        self._pending = self._pool.submit(self._write_frame, name, pixels, frame.outcome)
        phase = "" if frame.phase is None else frame.phase.name.lower()
        lit = 0 if frame.outcome is FrameOutcome.UNLIT else 1
        self._rows.append(f"{name},{frame.time_s:.3f},{lit},{phase}")
        empty = frame.outcome is FrameOutcome.ANALYSED and not len(planted)
        self._outcomes.append(f"{name},{(FrameOutcome.EMPTY if empty else frame.outcome).label}")
        if lit:  # what an unlit frame shows is noise, not particles
            self._truth.writelines(_truth_rows(name, planted, self._optics))

    def _write_frame(self, name: str, pixels: NDArray[np.uint8], outcome: FrameOutcome) -> None:
        data = encode_png(pixels)
        if outcome is FrameOutcome.CORRUPT:  # as a full card or a power cut leaves it
            data = data[: len(data) * 3 // 5]
        (self._folder / FRAMES_FOLDER / name).write_bytes(data)
        self.n_bytes += len(data)

    def _finish(self) -> None:
        if self._pending is not None:
            self._pending.result()

    def _write(self, name: str, lines: Iterable[str]) -> None:
        (self._folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}".rstrip("0").rstrip(".")


def _truth_rows(name: str, planted: Planted, optics: Optics) -> Iterable[str]:
    esd_um = optics.esd_um(planted.area_px).tolist()
    n_large = len(planted.labels)
    labels = [*planted.labels, *[""] * (len(planted) - n_large)]
    sources = [*planted.sources, *["blob"] * (len(planted) - n_large)]
    boxes, areas = planted.boxes.tolist(), planted.area_px.tolist()
    for (x, y, w, h), area, esd, label, source in zip(boxes, areas, esd_um, labels, sources, strict=True):
        yield f"{name},{x},{y},{w},{h},{area},{esd:.1f},{_cell(label)},{_cell(source)}\n"


def _cell(text: str) -> str:
    """A CSV cell, quoted where it must be."""
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text
