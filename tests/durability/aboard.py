"""The real service on small drawn frames, a thousand times as fast, in a world that outlives the process.

The world is shared memory: where the float is, and so its pressure, goes on across restarts. What the process
has promised goes through a pipe, which outlives it too.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from edge.clock import SystemClock
from edge.config import ClassifyConfig, Config, LogConfig, TelemetryConfig
from edge.dive import Dive
from edge.divelog import DiveLog
from edge.ends import Replay
from edge.inference.bundle import load_bundle
from edge.outbox import Outbox
from edge.run_config import RunConfig
from edge.service import Service
from firmware_bridge.ctd import Reading
from tests.edge.test_instrument import OPTICS, frame, scene

FRAMES_PER_BLOC = 3
TICKS_PER_DIVE = 40
SPEED = 1000
CONFIG = Config(
    bundle="demo", platform="durable", optics=OPTICS, classify=ClassifyConfig(own_process=False),
    log=LogConfig(frames_per_bloc=FRAMES_PER_BLOC, vignette_quota_mb=0.01, keep_free_mb=0),
    telemetry=TelemetryConfig(pictures=0, budget_bytes=600, message_bytes=100), run=RunConfig(),
)  # fmt: skip


class World:
    """Where the float is: it moves on by one tick whenever somebody asks for its pressure."""

    def __init__(self) -> None:
        self._held = mmap.mmap(-1, 8)

    @property
    def ticks(self) -> int:
        return struct.unpack("q", self._held[:])[0]

    def read(self) -> Reading:
        ticks = self.ticks
        self._held[:] = struct.pack("q", ticks + 1)
        at = ticks % TICKS_PER_DIVE
        return Reading(0.0 if at < 4 else 2.0 * min(at - 3, TICKS_PER_DIVE - at))

    def close(self) -> None:
        pass


class FastClock(SystemClock):
    """Time runs a thousand times as fast."""

    def __init__(self) -> None:
        self._began_s, self._utc_ms = time.monotonic(), super().utc_ms()

    def monotonic_s(self) -> float:
        return SPEED * (time.monotonic() - self._began_s)

    def utc_ms(self) -> int:
        return self._utc_ms + round(1000 * self.monotonic_s())

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / SPEED)


class Aboard:
    """What is loaded once: the model, and frames to look at."""

    def __init__(self) -> None:
        cv2.setNumThreads(1)
        self.bundle = load_bundle("demo")
        self.scenes = [scene(i, n_large=1 + i % 2)[:160] for i in range(7)]

    def run(
        self, folder: Path, world: World, promise: Callable[[str], None], stop: Callable[[], bool]
    ) -> list[str]:
        """Run the service until it should stop; returns what it said."""
        said: list[str] = []
        frames = (frame(i, self.scenes[i % len(self.scenes)]) for i in itertools.count())
        replay = Replay(frames, lambda _: 1.0, pressure=world)
        with promising(promise):
            Service(CONFIG, self.bundle, folder, said.append, FastClock(), replay=replay).run(stop)
        return said


@contextlib.contextmanager
def promising(promise: Callable[[str], None]):
    """Tell of everything that is durable, once the method that says so has returned."""

    def telling(kind, name, words):
        real = getattr(kind, name)

        def told(self, *args, **rest):
            said = words(self, *args, **rest)
            found = real(self, *args, **rest)
            if said and found is not False:
                promise(said)
            return found

        return kind, name, real, told

    replaced = [
        telling(DiveLog, "commit", lambda log: log._pending
                and f"frames {log.path.parent.name} {log._pending[-1].record.index + 1}"),
        telling(Dive, "mark_ended", lambda dive: f"ended {dive.folder.name}"),
        telling(Outbox, "put", lambda box, dive, messages, now_ms: f"put {dive:05d} {len(messages)}"),
        telling(Outbox, "delivered", lambda box, dive, part, now_ms: f"delivered {dive:05d} {part}"),
    ]  # fmt: skip
    for kind, name, _, told in replaced:
        setattr(kind, name, told)
    try:
        yield
    finally:
        for kind, name, real, _ in replaced:
            setattr(kind, name, real)


@dataclass
class Promises:
    """What the process has promised in all its lives."""

    frames: Counter[str] = field(default_factory=Counter)
    ended: set[str] = field(default_factory=set)
    put: dict[str, int] = field(default_factory=dict)
    delivered: set[tuple[str, int]] = field(default_factory=set)
    data: dict[tuple[str, int], bytes] = field(default_factory=dict)
    """Messages as they were first seen: they may never change."""
    judged: set[str] = field(default_factory=set)
    """Dives that have ended and were found right."""

    def hear(self, line: str) -> None:
        kind, dive, *number = line.split()
        match kind:
            case "frames":
                self.frames[dive] = max(self.frames[dive], int(number[0]))
            case "ended":
                self.ended.add(dive)
            case "put":
                self.put.setdefault(dive, int(number[0]))
            case "delivered":
                self.delivered.add((dive, int(number[0])))


def drain(pipe: int) -> list[str]:
    """Whole lines that are in a pipe."""
    data = b""
    with contextlib.suppress(BlockingIOError):
        while more := os.read(pipe, 1 << 16):
            data += more
    return data.decode().splitlines()
