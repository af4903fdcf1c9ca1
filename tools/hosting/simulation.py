"""A recording as a dive of the real service, on a simulated clock, with a simulated float or sky around it.

Nothing of the instrument is replaced but its clock, its camera's times and what carries the bytes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from edge.config import Config
from edge.ends import Pressure, Replay
from edge.errors import RecordingError
from edge.frame import Frame
from edge.inference.bundle import Bundle
from edge.instrument import Observer
from edge.recording import Recording
from edge.run_config import Delivery, HostConfig, HostKind, PressureConfig, PressureSource, RunConfig
from edge.service import Service
from edge.uvp6_host import ACQUISITION
from firmware_bridge.ctd import Reading
from firmware_bridge.iridium.emulator import SbdModem, Session, Sky
from firmware_bridge.null_modem import Faults, NullModem, SimulatedLine
from firmware_bridge.sans_io import Line, Peer
from tools.hosting.course import Course, course_of
from tools.hosting.exchange import Exchange
from tools.hosting.native import NativeFloat
from tools.hosting.native import Stage as FloatStage
from tools.hosting.uvp6 import Stage as Uvp6Stage
from tools.hosting.uvp6 import Uvp6Float

BAUD = 9600
BOOT_CLOCK_MS = 946_684_800_000
"""What the board's clock says at power-on: 2000-01-01, as one without a battery does."""
USUAL_SKY = Sky(fail=0.15, hidden=0.03, weak=0.2, ring_within=0.2)
ON_DECK_S = 120.0
PATIENCE_S = 6 * 3600.0
"""Longest time after the dive until all messages must have been taken."""


class SimulatedClock:
    """Time of a simulated line, as the service sees it."""

    def __init__(self) -> None:
        self.line: NullModem | None = None

    def monotonic_s(self) -> float:
        """Seconds since power-on."""
        return 0.0 if self.line is None else self.line.now_s

    def utc_ms(self) -> int:
        """What the board's own clock says."""
        return BOOT_CLOCK_MS + round(1000 * self.monotonic_s())

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        if self.line is not None:
            self.line.run(self.line.now_s + seconds)


@dataclass(frozen=True, slots=True)
class Taken:
    """What the other end has of a dive: the dive log, and the messages in the order in which they came."""

    log: Path
    messages: list[bytes]


@dataclass(frozen=True, slots=True)
class Stage:
    """A dive to be simulated.

    Attributes
    ----------
    recording, config, bundle
        As `seston simulate` has them.
    folder
        Of the instrument: must be new.
    exchange
        Where both ends note what is said.
    observe, progress
        Of each segmented frame; of each frame taken.
    faults
        What the line does to bytes, in both directions.
    """

    recording: Recording
    config: Config
    bundle: Bundle
    folder: Path
    exchange: Exchange
    observe: Observer | None = None
    progress: Callable[[Frame], None] = lambda frame: None
    faults: Faults = Faults()  # noqa: RUF009

    def replay(self, pressure: Pressure | None = None) -> Replay:
        """The recording's frames at their times."""
        recording = self.recording

        def period_s(frame: Frame) -> float:
            self.progress(frame)
            after = min(frame.index + 1, recording.n_frames - 1)
            return int(recording.time_ms[after] - recording.time_ms[frame.index]) / 1000

        return Replay(recording.frames(prefetch=True), period_s, self.observe, pressure)

    def service(
        self, run: RunConfig, clock: SimulatedClock, other: Peer[Any], replay: Replay, told: Any
    ) -> Service:
        """The real service, with `other` at the other end of its line; `told` takes that one's events."""

        def tie(peer: Peer[Any], port: str, baud: int) -> Line[Any]:
            clock.line = NullModem((peer, other), baud=baud, faults=(self.faults, self.faults))
            return SimulatedLine(clock.line, 0, told)

        return Service(
            msgspec.structs.replace(self.config, run=run),
            self.bundle,
            self.folder,
            lambda sentence: self.exchange.add(clock.monotonic_s(), "instrument's log", sentence),
            clock,
            tie,
            replay,
        )

    def end(self, is_over: bool, where: str, messages: list[bytes]) -> Taken:
        """What was taken; raises `RecordingError` when it never came to an end."""
        if not is_over:
            raise RecordingError(
                f"the dive did not end within {PATIENCE_S / 3600:.0f} hours after its last frame ({where})",
                file=self.recording.path,
                remedy="look at exchange.txt",
            )
        return Taken(self.folder / "dives" / "00000" / "dive.sqlite", messages)


def dive_with_native_float(stage: Stage) -> Taken:
    """Run a dive that a float on the native link commands."""
    told = stage.config.telemetry
    course = course_of(stage.recording, stage.config.mission)
    floating = NativeFloat(
        course,
        int(stage.recording.time_ms[0]),
        stage.exchange,
        (told.budget_bytes, told.message_bytes),
    )
    clock = SimulatedClock()
    run = RunConfig(
        host=HostConfig(HostKind.NATIVE, port="simulated", baud=BAUD),
        pressure=PressureConfig(PressureSource.HOST),
        deliver=Delivery.HOST,
    )
    service = stage.service(run, clock, floating, stage.replay(), lambda event: None)
    latest_s = course.end_s + PATIENCE_S
    service.run(lambda: floating.stage is FloatStage.OFF or clock.monotonic_s() > latest_s)
    is_over = floating.stage is FloatStage.OFF
    return stage.end(is_over, f"the float {floating.stage.value}", floating.messages)


def dive_with_uvp6_host(stage: Stage) -> Taken:
    """Run a dive of an instrument that a float takes for a UVP6; its own messages stay in their folder.

    What the float got stands in `uvp6.txt` of the instrument's folder.
    """
    course = course_of(stage.recording, stage.config.mission)
    floating = Uvp6Float(ACQUISITION, course, int(stage.recording.time_ms[0]), stage.exchange)
    clock = SimulatedClock()
    sensor = SimulatedPressure(course, stage.config.mission.start_dbar, clock)
    run = RunConfig(
        host=HostConfig(HostKind.UVP6, port="simulated", baud=38_400),
        pressure=PressureConfig(port="another"),
    )
    replay = sensor.from_first_frame(stage.replay(sensor))
    service = stage.service(run, clock, floating, replay, lambda event: None)
    latest_s = course.end_s + PATIENCE_S
    service.run(lambda: floating.stage is Uvp6Stage.OFF or clock.monotonic_s() > latest_s)
    (stage.folder / "uvp6.txt").write_text("".join(line + "\n" for line in floating.frames), encoding="ascii")
    messages = [file.read_bytes() for file in sorted((stage.folder / "messages").glob("*.msg"))]
    return stage.end(floating.stage is Uvp6Stage.OFF, f"the float {floating.stage.value}", messages)


def dive_with_sbd_modem(stage: Stage, sky: Sky | None = None, seed: int = 1) -> Taken:
    """Run a dive of an instrument on its own: a pressure sensor, and an Iridium modem under a sky."""
    course = course_of(stage.recording, stage.config.mission)
    clock = SimulatedClock()
    messages: dict[bytes, None] = {}
    on_deck_ms = int(stage.recording.time_ms[0]) - round(1000 * ON_DECK_S)
    modem = SbdModem(sky or USUAL_SKY, seed=seed, utc_ms_at_0=on_deck_ms)

    def told(session: Session) -> None:
        what = (
            "a look into the mailbox" if session.data is None else f"a message of {len(session.data)} bytes"
        )
        hidden = "; the modem believes that it failed" if session.is_hidden else ""
        stage.exchange.add(session.at_s, "gateway", f"{what}, {session.credits} credits{hidden}")
        if session.data is not None:
            messages[session.data] = None  # shore counts it once

    sensor = SimulatedPressure(course, stage.config.mission.start_dbar, clock)
    replay = stage.replay(sensor)
    run = RunConfig(deliver=Delivery.MODEM)
    service = stage.service(run, clock, modem, sensor.from_first_frame(replay), told)
    latest_s = course.end_s + PATIENCE_S
    service.run(lambda: clock.monotonic_s() > latest_s)
    return stage.end(clock.monotonic_s() <= latest_s, "the modem is not done", list(messages))


class SimulatedPressure:
    """A sensor on deck for two minutes, then on its course, whose time begins with the first frame."""

    def __init__(self, course: Course, start_dbar: float, clock: SimulatedClock) -> None:
        self._course, self._start_dbar, self._clock = course, start_dbar, clock
        self._began_s: float | None = None

    def from_first_frame(self, replay: Replay) -> Replay:
        """The same replay, whose first frame begins the course."""

        def frames() -> Iterator[Frame]:
            for frame in replay.frames:
                if self._began_s is None:
                    self._began_s = self._clock.monotonic_s()
                yield frame

        return replace(replay, frames=frames())

    def read(self) -> Reading | None:
        """See `edge.ends.Pressure`."""
        if self._began_s is None:
            return Reading(self._start_dbar if self._clock.monotonic_s() >= ON_DECK_S else 0.0)
        dive_s = self._clock.monotonic_s() - self._began_s
        pressure_dbar = self._course.pressure_at(dive_s)
        if pressure_dbar is None:
            return None
        return Reading(pressure_dbar, self._course.temperature_at(dive_s))

    def close(self) -> None:
        """Nothing is open."""


def new_folder(out: Path) -> Path:
    """The folder of the simulated instrument, empty."""
    folder = out / "float"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
