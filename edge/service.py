"""The process aboard: waits for a dive, runs it, hands its messages over, waits for the next.

A minimal first version: one thread, a camera asked frame by frame, pressure from a serial line, messages into
a folder. All decisions are `mission`'s and `instrument`'s; here are only the ends: clock, camera, port, disk.
"""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import msgspec

from edge.cameras.v4l2 import V4L2Camera
from edge.config import CameraKind, Config
from edge.divelog import DiveLog
from edge.errors import SestonError
from edge.frame import Frame, FrameOutcome
from edge.health import read_health
from edge.inference.bundle import Bundle
from edge.instrument import (
    Instrument,
    begin_dive,
    climatology_in,
    codebook_in,
    config_of,
    priorities_of,
    read_climatology,
)
from edge.mission import Command, Mission, PressureRead, State, Stop, step
from edge.outbox import Outbox
from edge.recording import INFO_FILE, SENSORS_FILE, open_recording
from edge.sensors.serial import SerialPressure

STANDBY_POLL_S = 0.5
HEALTH_EVERY_S = 600
"""Time between two readings of battery, temperature and disk during a dive."""


class Clock(Protocol):
    """Time as the service sees it; a test or a simulation gives another."""

    def utc_ms(self) -> int:
        """UTC, milliseconds since 1970."""

    def monotonic_s(self) -> float:
        """Seconds that never jump."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's clocks."""

    def utc_ms(self) -> int:
        """UTC, milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass(slots=True)
class _Dive:
    log: DiveLog
    instrument: Instrument
    next_frame: int
    folder: Path
    health_due_s: float = -math.inf


class Service:
    """The instrument between power-on and power-off.

    Parameters
    ----------
    config
        Complete, with optics.
    bundle
        The model.
    folder
        Where relative folders of the configuration begin; holds the outbox.
    say
        Takes one line for a person at every change.
    clock
        The machine's, unless a test gives another.
    """

    def __init__(
        self,
        config: Config,
        bundle: Bundle,
        folder: Path,
        say: Callable[[str], None],
        clock: Clock | None = None,
    ) -> None:
        self._config = config
        self._bundle = bundle
        self._say = say
        self._clock = clock or SystemClock()
        self._dives = folder / config.run.dives_dir
        self._messages = folder / config.run.messages_dir
        self._dives.mkdir(parents=True, exist_ok=True)
        self._messages.mkdir(parents=True, exist_ok=True)
        self._outbox = Outbox(self._dives / "outbox.sqlite")
        self._pressure = SerialPressure(config.run.pressure, self._clock.monotonic_s)
        self._frames = _open_camera(config)
        # What is wrong in these is known on deck too.
        self._climatology = read_climatology(config)
        priorities_of(config.telemetry)
        self._mission = Mission()
        self._dive = self._resume()

    def run(self, stop: Callable[[], bool]) -> None:
        """Work until `stop` says so, or a replayed camera has no more frames.

        A stop in the middle of a dive commits what was taken; the next start goes on with the same dive.
        """
        period_s = 1 / self._config.run.camera.frame_rate_hz
        due_s = self._clock.monotonic_s()
        self.deliver()
        while not stop():
            if self._dive is None and not self._wait_for_dive():
                self._clock.sleep(STANDBY_POLL_S)
                due_s = self._clock.monotonic_s()
                continue
            frame = next(self._frames, None)
            if frame is None:
                self._mission, _ = step(self._mission, Stop(self._clock.utc_ms()), self._config.mission)
                self._end_dive()
                break
            self._take(frame)
            due_s = max(due_s + period_s, self._clock.monotonic_s() - period_s)
            self._clock.sleep(max(0.0, due_s - self._clock.monotonic_s()))
        if self._dive is not None:
            self._dive.log.close()
            self._say(f"stopped in dive {self._dive.folder.name}; the next start goes on with it")
        self._pressure.close()
        self._outbox.close()

    def deliver(self) -> None:
        """Hand every waiting message to the folder: durable there before it is marked delivered."""
        try:
            for message in self._outbox.waiting():
                self._outbox.attempted(message.dive, message.part)
                _write_durably(self._messages / f"{message.dive:05d}-{message.part:03d}.msg", message.data)
                self._outbox.delivered(message.dive, message.part, self._clock.utc_ms())
        except (SestonError, OSError) as error:
            self._say(f"messages wait in the outbox: {error}")

    def _wait_for_dive(self) -> bool:
        """Look at the pressure once; begin a dive when the mission says so."""
        reading = self._pressure.read()
        pressure_dbar = math.nan if reading is None else reading.pressure_dbar
        now_ms = self._clock.utc_ms()
        self._mission, commands = step(
            self._mission, PressureRead(now_ms, pressure_dbar), self._config.mission
        )
        if Command.START_DIVE not in commands:
            return False
        number = _next_number(self._dives)
        folder = self._dives / f"{number:05d}"
        folder.mkdir()
        log = begin_dive(
            folder / "dive.sqlite", self._config, self._bundle, dive_number=number, time_ms=now_ms,
            climatology=self._climatology,
        )  # fmt: skip
        self._dive = _Dive(log, self._instrument(log, self._config, self._mission), 0, folder)
        self._say(f"dive {folder.name} begins at {pressure_dbar:.1f} dbar")
        return True

    def _take(self, frame: Frame) -> None:
        dive = self._dive
        assert dive is not None
        reading = self._pressure.read()
        environment = dict(frame.environment)
        pressure_dbar = math.nan
        if reading is not None:
            pressure_dbar = reading.pressure_dbar
            found = {"temperature_c": reading.temperature_c, "salinity": reading.salinity}
            environment |= {name: value for name, value in found.items() if value is not None}
        before = dive.instrument.mission.state
        dive.instrument.take(
            replace(
                frame,
                index=dive.next_frame,
                time_ms=self._clock.utc_ms(),
                pressure_dbar=pressure_dbar,
                phase=None,
                environment=environment,
            )
        )
        dive.next_frame += 1
        self._mission = dive.instrument.mission
        if self._mission.state is not before:
            self._say(f"{self._mission.state} at {pressure_dbar:.1f} dbar, frame {dive.next_frame - 1}")
        if self._clock.monotonic_s() >= dive.health_due_s:
            self._log_health(dive)
        if self._mission.state is State.SURFACE:
            self._end_dive()

    def _log_health(self, dive: _Dive) -> None:
        """Log how the board fares."""
        dive.health_due_s = self._clock.monotonic_s() + HEALTH_EVERY_S
        try:
            waiting = len(self._outbox.waiting())
        except sqlite3.Error:
            waiting = None
        self._log_input(dive.log, "health", msgspec.to_builtins(read_health(dive.folder, waiting)))

    def _log_input(self, log: DiveLog, kind: str, data: dict[str, object]) -> None:
        """Log what shapes the messages, unless they are made: those a link may have must stay as they are.

        A disk that has no room for it stops nothing.
        """
        try:
            if not log.messages():
                log.add_input(self._clock.utc_ms(), kind, data)
        except SestonError as error:
            self._say(f"the log misses an input ({kind}): {error}")

    def _end_dive(self) -> None:
        dive, self._dive = self._dive, None
        self._mission = Mission()
        if dive is None:
            return
        name, number = dive.folder.name, int(dive.folder.name)
        self._log_health(dive)
        try:
            messages = dive.instrument.finish().messages
            self._outbox.put(number, messages, self._clock.utc_ms())
            codebook = codebook_in(dive.log)
            # One file a codebook: messages of an older configuration stay readable.
            _write_durably(self._messages / f"codebook-{codebook.sha256[:12]}.json", codebook.to_json())
            climatology = climatology_in(dive.log)
            if climatology is not None:
                file = self._messages / f"climatology-{climatology.sha256[:12]}.json"
                _write_durably(file, climatology.to_json())
            dive.log.set_meta("ended_ms", self._clock.utc_ms())
            total = sum(map(len, messages))
            self._say(f"dive {name} ended: {dive.next_frame} frames, {total} bytes in messages")
        except (SestonError, OSError) as error:
            self._say(f"dive {name} has sent nothing yet, the next start tries again: {error}")
        dive.log.close()
        self.deliver()

    def _resume(self) -> _Dive | None:
        """The last dive, if it has not ended: its mission is rebuilt from the pressures in its log."""
        folders = sorted(f for f in self._dives.iterdir() if f.is_dir() and f.name.isdigit())
        if not folders:
            return None
        try:
            log = DiveLog.open(folders[-1], vignette_quota_mb=self._config.log.vignette_quota_mb)
        except SestonError as error:
            self._say(f"the last dive is left as it is: {error}")
            return None
        if log.has_meta("ended_ms"):
            log.close()
            return None
        config = config_of(log)
        mission, frames = Mission(State.DESCENT), 0
        for record in log.records():
            mission, _ = step(mission, PressureRead(record.time_ms, record.pressure_dbar), config.mission)
            frames = record.index + 1
        self._mission = mission
        self._log_input(log, "restart", {"frames": frames})
        if log.meta("bundle")["sha256"] != self._bundle.sha256:
            self._say("the last dive began with another bundle: it ends here, as it is")
        dive = _Dive(log, self._instrument(log, config, mission), frames, folders[-1])
        if mission.state is State.SURFACE or log.meta("bundle")["sha256"] != self._bundle.sha256:
            self._dive = dive
            self._end_dive()
            return None
        self._say(f"dive {folders[-1].name} goes on after {frames} frames")
        return dive

    def _instrument(self, log: DiveLog, config: Config, mission: Mission) -> Instrument:
        return Instrument(config, self._bundle, log, mission=mission)


def _open_camera(config: Config) -> Iterator[Frame]:
    """Open the configured camera at once: a wrong one is known on deck. Its frames come when asked."""
    camera = config.run.camera
    if camera.kind is CameraKind.V4L2:
        return _capture(V4L2Camera(camera), camera.source)
    source = Path(camera.source)
    described, has_sensors = (source / INFO_FILE).is_file(), (source / SENSORS_FILE).is_file()
    recording = open_recording(
        source,
        fps=None if described else camera.frame_rate_hz,
        pressure=None if has_sensors else (0.0, 0.0),  # aboard, pressure comes from the port
    )
    return recording.frames()


def _capture(device: V4L2Camera, name: str) -> Iterator[Frame]:
    """Frames of a device for ever; where it gives none, a dropped frame."""
    try:
        while True:
            pixels = device.capture()
            fault = FrameOutcome.DROPPED if pixels is None else None
            note = "the camera gave no frame" if pixels is None else ""
            yield Frame(0, 0, math.nan, True, pixels, name, fault=fault, note=note)
    finally:
        device.close()


def _next_number(dives: Path) -> int:
    """One more than the last dive on disk, modulo 65536."""
    numbers = [int(f.name) for f in dives.iterdir() if f.is_dir() and f.name.isdigit()]
    return (max(numbers, default=-1) + 1) % 65536


def _write_durably(file: Path, data: bytes) -> None:
    """Temporary file, fsync, rename, fsync of the folder: whole or not at all."""
    temporary = file.with_name(file.name + ".part")
    with temporary.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
