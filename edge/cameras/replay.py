"""A recording in the place of a camera: its frames each when it is asked for; none is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edge.frame import Frame


class ReplayCamera:
    """See `edge.cameras.camera.Camera`.

    Parameters
    ----------
    frames
        In the order of capture.
    period_s
        Seconds from a frame to the next; None: as many a second as the dive asks for.
    """

    def __init__(self, frames: Iterator[Frame], period_s: Callable[[Frame], float] | None = None) -> None:
        self._frames, self._period_s = frames, period_s
        self._frame_rate_hz = 1.0
        self.is_over = False

    @property
    def is_stuck(self) -> bool:
        """See `Camera`: never, for who reads a file waits for it."""
        return False

    def start(self, frame_rate_hz: float, black_every: int | None = None) -> None:
        """See `Camera`."""
        self._frame_rate_hz = frame_rate_hz

    def next_frame(self, wait_s: float) -> Frame | None:
        """See `Camera`; never waits but to read."""
        frame = next(self._frames, None)
        self.is_over = frame is None
        return frame

    def period_s(self, frame: Frame) -> float:
        """See `Camera`."""
        return 1 / self._frame_rate_hz if self._period_s is None else self._period_s(frame)

    def stop(self) -> None:
        """See `Camera`; the recording goes on where it is."""

    def close(self) -> None:
        """See `Camera`; files are closed as they are read."""
