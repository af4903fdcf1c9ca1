"""Frames from an AVI or MP4 file, as grey, one at a time. No time or pressure: `edge.recording` has them.

A frame that the file's header promises and that cannot be decoded is an error in its place, never left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from edge.errors import ImageError, RecordingError

VIDEO_SUFFIXES = (".avi", ".mp4")


@contextmanager
def open_video(file: Path) -> Iterator[cv2.VideoCapture]:
    """An opened video, released at the end; `RecordingError` when OpenCV cannot open it."""
    capture = cv2.VideoCapture(str(file))
    try:
        if not capture.isOpened():
            raise RecordingError("cannot be opened as a video", file=file, remedy="copy the video again")
        yield capture
    finally:
        capture.release()


def read_video(file: Path, n_frames: int) -> Iterator[NDArray[np.uint8] | ImageError]:
    """Frames of a video as grey; those that its header promises and it does not hold are errors."""
    with open_video(file) as capture:
        for i in range(n_frames):
            good, pixels = capture.read()
            if not good:
                yield ImageError(
                    f"frame {i} of {n_frames} cannot be decoded", file=file, remedy="copy it again"
                )
            else:
                yield to_grey(pixels)


def to_grey(pixels: MatLike) -> NDArray[np.uint8]:
    """Grey uint8 (height, width) of what a video or a camera gave, grey or BGR."""
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    return np.asarray(grey, dtype=np.uint8)
