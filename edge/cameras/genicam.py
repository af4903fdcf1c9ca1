"""A camera of GigE Vision or USB3 Vision, by Aravis in a process of its own.

Aravis is reached through PyGObject, a package of the system's Python and not of ours; and a driver in C that
hangs or dies takes no dive with it. The process is `genicam_process`, which says what goes over its pipes.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge.cameras.camera import CameraError, Shot
from edge.run_config import CameraConfig

SYSTEM_PYTHON = "/usr/bin/python3"
"""Where Debian's python3-gi is found."""
OPEN_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 2.0
MOST_BYTES = 1 << 28
"""Larger frames, and longer heads than one in 4096 of this, are none."""
PIPE_BYTES = 1 << 20
_HEAD = struct.Struct(">II")


class _Message(msgspec.Struct, frozen=True):
    """Of the process; which fields count says `kind`: ready, refused, frame or lost."""

    kind: str
    problem: str = ""
    field: str = ""
    remedy: str = ""
    notes: tuple[str, ...] = ()
    shape: tuple[int, int] | None = None
    number: int | None = None
    device_ns: int | None = None


class GenicamCamera:
    """See `edge.cameras.camera.Device`."""

    def __init__(self, config: CameraConfig, frame_rate_hz: float) -> None:
        self._config = config
        ours, theirs = os.pipe()
        try:
            self._process = subprocess.Popen(
                [SYSTEM_PYTHON, "-I", str(Path(__file__).with_name("genicam_process.py")),
                 _described(config, frame_rate_hz), str(theirs)],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                pass_fds=(theirs,), bufsize=0,
            )  # fmt: skip
        except OSError as cause:
            os.close(ours)
            raise CameraError(
                f"needs {SYSTEM_PYTHON}, which cannot be started ({cause.strerror})",
                field="run.camera.kind",
                remedy="install it with `apt install python3 python3-gi gir1.2-aravis-0.8`",
            ) from None
        finally:
            os.close(theirs)
        self._pipe = ours
        self._arrived = bytearray()
        _widen(ours)
        try:
            self.shape, self.notes = self._opened()
        except CameraError:
            self.close()
            raise

    def start(self) -> None:
        """See `Device`."""
        self._tell(b"s")

    def trigger(self) -> None:
        """See `Device`."""
        self._tell(b"t")

    def next_shot(self, wait_s: float) -> Shot | None:
        """See `Device`."""
        found = self._next_message(wait_s)
        if found is None:
            return None
        message, pixels = found
        if message.kind != "frame":
            raise self._error(message.problem or f"its process says {message.kind}", "", "")
        arrived_s = time.monotonic()
        if message.problem or message.shape is None:
            problem = message.problem or "it has no size"
            return Shot(None, arrived_s, message.number, message.device_ns, problem)
        height, width = message.shape
        if height < 1 or width < 1 or height * width != len(pixels):
            problem = f"it has {len(pixels)} bytes for {width} x {height} px"
            return Shot(None, arrived_s, message.number, message.device_ns, problem)
        frame = np.frombuffer(pixels, dtype=np.uint8).reshape(height, width)
        return Shot(frame, arrived_s, message.number, message.device_ns)

    def close(self) -> None:
        """See `Device`: the process lets the camera go, or is ended."""
        if self._pipe < 0:
            return
        # First: a process that waits for us to read goes on, and finds that nobody does.
        os.close(self._pipe)
        self._pipe = -1
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _opened(self) -> tuple[tuple[int, int] | None, tuple[str, ...]]:
        found = self._next_message(OPEN_TIMEOUT_S)
        if found is None:
            raise self._error(f"does not answer within {OPEN_TIMEOUT_S:g} s", "source", "")
        message, _ = found
        if message.kind != "ready":
            raise self._error(message.problem, message.field, message.remedy)
        return message.shape, message.notes

    def _next_message(self, wait_s: float) -> tuple[_Message, bytes] | None:
        """The next whole message; what has come of one that is not whole is kept."""
        until_s = time.monotonic() + wait_s
        while (found := self._cut()) is None:
            if not select.select([self._pipe], [], [], max(0.0, until_s - time.monotonic()))[0]:
                return None
            arrived = os.read(self._pipe, PIPE_BYTES)
            if not arrived:
                raise self._error("has lost its process", "", "")
            self._arrived += arrived
        return found

    def _cut(self) -> tuple[_Message, bytes] | None:
        """Cut the first message off what has arrived, if it is whole."""
        if len(self._arrived) < _HEAD.size:
            return None
        n_head, n_pixels = _HEAD.unpack_from(self._arrived)
        if n_head > MOST_BYTES >> 12 or n_pixels > MOST_BYTES:
            raise self._error("has a process that cannot be understood", "", "")
        begin, end = _HEAD.size + n_head, _HEAD.size + n_head + n_pixels
        if len(self._arrived) < end:
            return None
        try:
            message = msgspec.json.decode(self._arrived[_HEAD.size : begin], type=_Message)
        except msgspec.DecodeError:
            raise self._error("has a process that cannot be understood", "", "") from None
        pixels = bytes(memoryview(self._arrived)[begin:end])
        del self._arrived[:end]
        return message, pixels

    def _tell(self, command: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(command)
        except (OSError, ValueError):
            raise self._error("has lost its process", "", "") from None

    def _error(self, problem: str, field: str, remedy: str) -> CameraError:
        return CameraError(
            problem,
            file=self._config.source or "the first camera",
            field=".".join(filter(None, ("run.camera", field))),
            remedy=remedy or "check its cable and its power",
        )


def _described(config: CameraConfig, frame_rate_hz: float) -> str:
    told: dict[str, Any] = {**msgspec.to_builtins(config), "frame_rate_hz": frame_rate_hz}
    return json.dumps(told)


def _widen(pipe: int) -> None:
    """Fewer turns for a frame, where the system lets us."""
    import fcntl

    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
