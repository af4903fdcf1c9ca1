"""A live camera: a thread follows its device, and the instrument takes the frames when it has time.

Whatever a device does, raise, hang, fall silent, or be unplugged for an hour, the dive goes on: its frames
are missing, each with its sentence, and it is opened again, at once, then after a pause that doubles.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator

from edge.cameras.camera import CameraError, Device, Shot
from edge.cameras.ledger import Ledger, Taken, patience_s
from edge.cameras.queue import FrameQueue
from edge.cameras.strobe import Strobe
from edge.clock import WallClock
from edge.errors import SestonError
from edge.frame import Frame, FrameOutcome
from edge.run_config import CameraConfig, Trigger

OpenDevice = Callable[[float], Device]
"""Opens the device for so many frames a second."""

LONGEST_PAUSE_S = 60.0
STALL_S = 5.0
"""A device is opened again after this silence, or twice what makes a frame missing if that is longer."""
POLL_S = 0.2
"""How soon the thread notices that it is to stop."""
JOIN_S = 3.0
STUCK_S = 60.0
"""A driver that has not come back for so long hangs."""
_MOST_NEWS = 100


class LiveCamera:
    """See `edge.cameras.camera.Camera`.

    Parameters
    ----------
    config
        Of the camera.
    open_device
        Called here, so that a wrong camera is known on deck, and again whenever it is lost.
    strobe
        What lights.
    wall
        Makes the frames' stamps.
    monotonic_s
        The clock of `wall`.
    say
        Takes a line for a person, always in the instrument's thread.
    must_open
        Whether a camera that cannot be opened now is refused; otherwise it is an alarm, and it is opened in
        the next dive.

    Raises
    ------
    SestonError
        When it must open, and does not.
    """

    def __init__(
        self,
        config: CameraConfig,
        open_device: OpenDevice,
        strobe: Strobe,
        wall: WallClock,
        monotonic_s: Callable[[], float],
        say: Callable[[str], None],
        *,
        must_open: bool = True,
    ) -> None:
        self._config, self._open_device, self._strobe = config, open_device, strobe
        self._wall, self._monotonic_s, self._say = wall, monotonic_s, say
        self._opened_hz = config.frame_rate_hz
        self._device: Device | None = None
        try:
            self._device = open_device(config.frame_rate_hz)
        except SestonError as error:
            if must_open:
                raise
            say(f"ALARM: there is no camera: {error}")
        for note in () if self._device is None else self._device.notes:
            say(f"the camera {note}")
        self._follower: _Follower | None = None
        self._left: _Follower | None = None
        self._has_worked = False

    @property
    def is_over(self) -> bool:
        """See `Camera`: never."""
        return False

    @property
    def is_stuck(self) -> bool:
        """See `Camera`."""
        return self._has_worked and any(one and one.hangs_s > STUCK_S for one in (self._follower, self._left))

    def start(self, frame_rate_hz: float, black_every: int | None = None) -> None:
        """See `Camera`."""
        self.stop()
        device, self._device = self._device, None
        if device is not None and frame_rate_hz != self._opened_hz:
            _let_go(device)
            device = None
        self._follower = _Follower(
            self._config,
            frame_rate_hz,
            black_every,
            device,
            self._open_device,
            self._strobe,
            self._monotonic_s,
        )

    def next_frame(self, wait_s: float) -> Frame | None:
        """See `Camera`."""
        if self._follower is None:
            return None
        while self._follower.news:
            self._say(self._follower.news.popleft())
        taken = self._follower.take(wait_s)
        if taken is None:
            return None
        self._has_worked |= taken.fault is not FrameOutcome.DROPPED
        return Frame(
            0, 0, math.nan, taken.lit, taken.pixels, self._config.source, fault=taken.fault, note=taken.note,
            stamp=self._wall.stamp(taken.taken_s),
        )  # fmt: skip

    def period_s(self, frame: Frame) -> float:
        """See `Camera`: the camera keeps the time."""
        return 0.0

    def stop(self) -> None:
        """See `Camera`. A device that hangs is left to its thread, which lets it go when it comes back."""
        if self._follower is not None:
            if not self._follower.stop():
                self._left = self._follower
            self._follower = None

    def close(self) -> None:
        """See `Camera`."""
        self.stop()
        if self._device is not None:
            _let_go(self._device)
            self._device = None
        with contextlib.suppress(OSError):
            self._strobe.close()


class _Follower:
    """The thread of one dive, and what it has found."""

    def __init__(
        self,
        config: CameraConfig,
        rate_hz: float,
        black_every: int | None,
        device: Device | None,
        open_device: OpenDevice,
        strobe: Strobe,
        monotonic_s: Callable[[], float],
    ) -> None:
        self._config, self._rate_hz, self._device = config, rate_hz, device
        self._open_device, self._strobe, self._monotonic_s = open_device, strobe, monotonic_s
        self._black_every = config.black_every if black_every is None else black_every
        self._stall_s = max(STALL_S, 2 * patience_s(rate_hz))
        self._queue = FrameQueue(config.queue_frames, config.drop)
        self._ledger = Ledger(rate_hz, monotonic_s())
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._pause_s = 0.0
        self._problem = ""
        self._asked_s: float | None = None  # since when the device has not come back
        self.news: deque[str] = deque(maxlen=_MOST_NEWS)
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def take(self, wait_s: float) -> Taken | None:
        """The next frame. What a silent or hanging device owes is found here, not in its thread."""
        with self._lock:
            for missing in self._ledger.passed(self._monotonic_s()):
                self._queue.put(missing)
        return self._queue.take(wait_s)

    @property
    def hangs_s(self) -> float:
        """For how long its device has not come back."""
        asked_s = self._asked_s
        return 0.0 if asked_s is None else self._monotonic_s() - asked_s

    def stop(self) -> bool:
        """End the thread, unless its device hangs: then False."""
        self._ended.set()
        self._thread.join(JOIN_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        """Follow the device until the dive has ended, opening it as often as needed."""
        follow = self._trigger_and_follow if self._config.trigger is Trigger.SOFTWARE else self._follow
        while not self._ended.is_set():
            try:
                with self._asking():
                    device = self._device = self._device or self._open_device(self._rate_hz)
                with self._lock:
                    self._ledger.reopened(device.shape)
                with self._asking():
                    device.start()
                follow(device)
            except Exception as error:  # noqa: BLE001 a maker's library may raise anything; the dive goes on
                if str(error) != self._problem:
                    self.news.append(f"the camera is lost: {error}")
                self._problem = str(error)
            if self._device is not None:
                with self._asking():
                    _let_go(self._device)
                self._device = None
            self._ended.wait(self._pause_s)
            self._pause_s = min(max(1.0, 2 * self._pause_s), LONGEST_PAUSE_S)

    def _follow(self, device: Device) -> None:
        """Take what comes, with the light on: nobody says when the next frame is taken."""
        self._strobe.set(lit=True)
        try:
            while (shot := self._next_within(device, self._stall_s)) is not None:
                self._came(shot)
        finally:
            self._strobe.set(lit=False)

    def _trigger_and_follow(self, device: Device) -> None:
        """One frame at a time, so that we know which was lit; a trigger without a frame loses the device."""
        due_s, count, black_every = self._monotonic_s(), 0, self._black_every
        while not self._ended.wait(max(0.0, due_s - self._monotonic_s())):
            count += 1
            lit = not black_every or count % black_every != 0
            self._strobe.set(lit=lit)
            try:
                with self._asking():
                    device.trigger()
                shot = self._next_within(device, patience_s(self._rate_hz))
            finally:
                self._strobe.set(lit=False)
            if shot is None:
                return
            self._came(shot, lit=lit)
            due_s = max(due_s + 1 / self._rate_hz, self._monotonic_s())

    def _next_within(self, device: Device, wait_s: float) -> Shot | None:
        """The next shot; None when the dive ends meanwhile."""
        until_s = self._monotonic_s() + wait_s
        while not self._ended.is_set():
            with self._asking():
                shot = device.next_shot(POLL_S)
            if shot is not None:
                return shot
            if self._monotonic_s() > until_s:
                raise _silent(self._config, wait_s)
        return None

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """The device is asked for something, and may not come back."""
        self._asked_s = self._monotonic_s()
        try:
            yield
        finally:
            self._asked_s = None

    def _came(self, shot: Shot, *, lit: bool = True) -> None:
        with self._lock:
            for entry in self._ledger.came(shot, lit=lit):
                self._queue.put(entry)
        self._pause_s = 0.0
        if self._problem:
            self.news.append("the camera is back")
            self._problem = ""


def _silent(config: CameraConfig, seconds: float) -> CameraError:
    return CameraError(
        f"gave no frame for {seconds:.1f} s", file=config.source, field="run.camera",
        remedy="check its cable and its power",
    )  # fmt: skip


def _let_go(device: Device) -> None:
    """Close a device that may be gone, or broken."""
    with contextlib.suppress(Exception):
        device.close()
