"""The process aboard: waits for a dive, runs it, hands its messages over, waits for the next.

One thread: a camera asked frame by frame; a host on a line, or pressure alone; messages to the host,
to a satellite modem, or into a folder. All decisions are `mission`'s, `instrument`'s and `orders`'; here are
only the ends: clock, camera, ports, disk.
"""

from __future__ import annotations

import math
import random
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import msgspec

from edge.cameras.v4l2 import V4L2Camera
from edge.config import (
    CameraKind,
    Config,
    Delivery,
    HostKind,
    ModemKind,
    PressureSource,
    TelemetryConfig,
)
from edge.divelog import DiveLog
from edge.durable import write_durably
from edge.errors import SestonError
from edge.frame import Frame, FrameOutcome, Phase
from edge.health import read_health
from edge.hosts import (
    BudgetSaid,
    DiveBeginSaid,
    DiveEndSaid,
    Host,
    MessageTaken,
    NativeHost,
    NoHost,
    Noted,
    OrderCame,
    PhaseSaid,
    PowerWished,
    Said,
    Standing,
    TimeSaid,
)
from edge.images import read_image
from edge.inference.bundle import Bundle
from edge.instrument import (
    Instrument,
    Observer,
    begin_dive,
    climatology_in,
    codebook_in,
    config_of,
    optics_of,
    priorities_of,
    read_climatology,
    replies_in,
)
from edge.links import ModemLink
from edge.mission import Command, Mission, PhaseGiven, PressureRead, State, Stop, step
from edge.orders import MessagesQueued, Orders
from edge.outbox import Outbox
from edge.recording import INFO_FILE, SENSORS_FILE, open_recording
from edge.sensors.serial import SerialPressure
from edge.telemetry.health import HealthReading
from edge.uvp6_host import Uvp6Host, personality_of
from firmware_bridge.ctd import Reading
from firmware_bridge.errors import TransportError
from firmware_bridge.iridium.clock import utc_ms_of
from firmware_bridge.iridium.driver import Driver
from firmware_bridge.iridium.imt import ImtDriver
from firmware_bridge.iridium.rudics import RudicsDriver
from firmware_bridge.iridium.sbd import SbdDriver
from firmware_bridge.link import Peer as LinkPeer
from firmware_bridge.link_records import Role
from firmware_bridge.sans_io import Line, Peer
from firmware_bridge.transport import PortLine, open_transport

STANDBY_POLL_S = 0.5
OFFERED_AT_ONCE = 32
"""Messages that are handed to a host at a time."""
CLOCK_TOLERANCE_MS = 2000
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


Tie = Callable[[Peer[Any], str, int], Line[Any]]
"""Ties our end of a line to what carries its bytes: a port, at a speed."""


class Pressure(Protocol):
    """Where pressure comes from."""

    def read(self) -> Reading | None:
        """The newest reading, or None when there is none that is fresh. Never waits."""

    def close(self) -> None:
        """Let it go."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Frames with times of their own.

    Attributes
    ----------
    frames
        In the order of capture.
    period_s
        Seconds from a frame to the next.
    observe
        As `Instrument` takes it.
    pressure
        In place of the configured port.
    """

    frames: Iterator[Frame]
    period_s: Callable[[Frame], float]
    observe: Observer | None = None
    pressure: Pressure | None = None


@dataclass(slots=True)
class _Dive:
    log: DiveLog
    instrument: Instrument
    next_frame: int
    folder: Path
    health_due_s: float = -math.inf
    clock_differs: bool = False


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
        The machine's, unless a test or a simulation gives another.
    tie
        Ties host and modem to what carries their bytes; ports, unless a simulation gives another.
    replay
        A recording with its own times instead of the configured camera: a simulation's.
    """

    def __init__(
        self,
        config: Config,
        bundle: Bundle,
        folder: Path,
        say: Callable[[str], None],
        clock: Clock | None = None,
        tie: Tie | None = None,
        replay: Replay | None = None,
    ) -> None:
        self._bundle = bundle
        self._say = say
        self._clock = clock or SystemClock()
        self._dives = folder / config.run.dives_dir
        self._messages = folder / config.run.messages_dir
        self._dives.mkdir(parents=True, exist_ok=True)
        self._messages.mkdir(parents=True, exist_ok=True)
        self._outbox = Outbox(self._dives / "outbox.sqlite")
        self._orders = Orders(folder, config, self._outbox.requeue)
        for problem in self._orders.problems:
            say(problem)
        self._run = config.run
        tie = tie or self._tie_to_port
        self._utc_offset_ms = 0
        self._host = self._open_host(tie)
        self._modem = self._open_modem(tie) if config.run.deliver is Delivery.MODEM else None
        self._host_phase: Phase | None = None
        self._host_budget: BudgetSaid | None = None
        self._pressure: Pressure | None = None if replay is None else replay.pressure
        if self._pressure is None and config.run.pressure.source is PressureSource.PORT:
            self._pressure = SerialPressure(config.run.pressure, self._clock.monotonic_s)
        self._replay = replay
        self._frames = _open_camera(config) if replay is None else replay.frames
        # What is wrong in these is known on deck too.
        self._climatology = read_climatology(config)
        priorities_of(config.telemetry)
        self._mission = Mission()
        self._last_dive: int | None = None
        self._period_s = 1 / self._config.run.camera.frame_rate_hz
        self._health = HealthReading()
        self._dive = self._resume()

    def run(self, stop: Callable[[], bool]) -> None:
        """Work until `stop` says so, or a replayed camera has no more frames and no host ends its dive.

        A stop in the middle of a dive commits what was taken; the next start goes on with the same dive.
        """
        due_s = self._clock.monotonic_s()
        is_over = False
        self._surface()
        while not stop():
            if is_over and self._dive is None and self._host.is_silent and self._is_sent:
                break
            if self._dive is None or self._host.is_cutting or (is_over and not self._host.is_silent):
                self._stand_by(may_begin=not is_over)
                due_s = self._clock.monotonic_s()
                continue
            frame = next(self._frames, None)
            if frame is None:
                is_over = True
                if self._host.is_silent:
                    self._mission, _ = step(self._mission, Stop(self._now_ms()), self._config.mission)
                    self._end_dive()
                    continue
                self._say("the camera has no more frames: the host ends the dive")
                continue
            self._take(frame)
            period_s = self._period_s if self._replay is None else self._replay.period_s(frame)
            due_s = max(due_s + period_s, self._clock.monotonic_s() - period_s)
            self._serve_until(due_s)
        if self._dive is not None:
            self._dive.log.close()
            self._say(f"stopped in dive {self._dive.folder.name}; the next start goes on with it")
        self.close()

    def close(self) -> None:
        """Let ports and files go."""
        if self._pressure is not None:
            self._pressure.close()
        self._host.close()
        if self._modem is not None:
            self._modem.release()
        self._orders.close()
        self._outbox.close()

    def deliver(self) -> None:
        """Hand waiting messages on: durable at the other end before they are marked delivered."""
        try:
            if self._run.deliver is Delivery.HOST:
                for message in self._host.offer(self._outbox.waiting(OFFERED_AT_ONCE)):
                    self._outbox.attempted(message.dive, message.part)
            elif self._run.deliver is Delivery.FOLDER:
                for message in self._outbox.waiting():
                    self._outbox.attempted(message.dive, message.part)
                    name = f"{message.dive:05d}-{message.part:03d}.msg"
                    write_durably(self._messages / name, message.data)
                    self._outbox.delivered(message.dive, message.part, self._now_ms())
            self._tell_standing()
        except (SestonError, OSError) as error:
            self._say(f"messages wait in the outbox: {error}")

    @property
    def _config(self) -> Config:
        """Of the next dive: as it came from the file, with what shore set, and the host's budget."""
        config = self._orders.config
        if self._host_budget is None:
            return config
        return msgspec.structs.replace(config, telemetry=self._within(config.telemetry, self._host_budget))

    def _open_host(self, tie: Tie) -> Host:
        host = self._run.host
        if host.kind is HostKind.NONE:
            return NoHost(self._clock.sleep)
        if host.kind is HostKind.UVP6:
            config = self._orders.config
            uvp6 = personality_of(
                config, optics_of(config), self._bundle.counted_taxa, self._bundle.sha256, self._now_ms
            )
            return Uvp6Host(
                uvp6, tie(uvp6, host.port, host.baud), optics_of(config), self._bundle.counted_taxa,
                config.log.frames_per_bloc,
            )  # fmt: skip
        peer = LinkPeer(Role.INSTRUMENT, _boot_id())
        line = tie(peer, host.port, host.baud)
        return NativeHost(peer, line, self._clock.monotonic_s, stale_s=self._run.pressure.stale_s)

    def _open_modem(self, tie: Tie) -> ModemLink:
        modem = self._run.modem
        driver: Driver
        match modem.kind:
            case ModemKind.SBD:
                driver = SbdDriver(jitter=random.random)
            case ModemKind.IMT:
                driver = ImtDriver(jitter=random.random)
            case ModemKind.RUDICS:
                driver = RudicsDriver(modem.number, _boot_id(), jitter=random.random)
        return ModemLink(
            self._outbox, driver, tie(driver, modem.port, modem.baud),
            self._now_ms, self._obey, say=self._say, on_ticks=self._on_network_time,
        )  # fmt: skip

    def _tie_to_port(self, peer: Peer[Any], port: str, baud: int) -> Line[Any]:
        line = PortLine(peer, lambda: open_transport(port, baud), self._clock.monotonic_s)
        line.carry(0.0)
        if line.fault:  # a wrong port is known on deck
            raise TransportError(line.fault)
        return line

    @property
    def _is_sent(self) -> bool:
        """Whether the link has done what it could."""
        return self._modem is None or self._modem.is_idle

    def _surface(self) -> None:
        """At the surface: hand over what waits."""
        if self._modem is not None:
            self._modem.open(self._run.modem.radio_s)
        self.deliver()

    def _poll(self, wait_s: float) -> None:
        """Serve host and modem for at most so long."""
        if self._modem is not None and not self._modem.is_idle:
            self._modem.poll(wait_s)
            wait_s = 0.0
        for said in self._host.poll(wait_s):
            self._on(said)

    def _now_ms(self) -> int:
        return self._clock.utc_ms() + self._utc_offset_ms

    def _stand_by(self, *, may_begin: bool) -> None:
        """Serve host and modem for a moment; without a host, look at the pressure once."""
        self._poll(STANDBY_POLL_S)
        if self._dive is None and self._host.is_silent and may_begin:
            reading = self._read_pressure()
            pressure_dbar = math.nan if reading is None else reading.pressure_dbar
            self._begin_if(PressureRead(self._now_ms(), pressure_dbar), f"at {pressure_dbar:.1f} dbar")

    def _serve_until(self, until_s: float) -> None:
        """Serve the host until it is time for the next frame, or the dive has ended."""
        while self._dive is not None:
            self._poll(max(0.0, until_s - self._clock.monotonic_s()))
            if self._clock.monotonic_s() >= until_s:
                return

    def _on(self, said: Said) -> None:
        """What the host said."""
        match said:
            case PhaseSaid(phase):
                self._host_phase = phase
                if self._dive is None:
                    self._begin_if(PhaseGiven(self._now_ms(), phase), f"in {phase.name.lower()} by the host")
            case DiveBeginSaid():
                if self._dive is None:
                    self._begin_if(PhaseGiven(self._now_ms(), Phase.DESCENT), "by the host")
            case DiveEndSaid():
                self._host_phase = None
                self._end_dive()
            case TimeSaid(utc_ms):
                self._set_clock(utc_ms)
            case BudgetSaid():
                self._set_budget(said)
            case PowerWished():
                self._commit_all()
            case OrderCame(data):
                self._obey(data)
                self._host.took(said)
            case MessageTaken(dive, part):
                self._mark_delivered(dive, part)
            case Noted(sentence):
                self._say(sentence)

    def _obey(self, data: bytes) -> None:
        """Take bytes from shore, verified or not."""
        outcome = self._orders.take(data, self._now_ms())
        self._say(outcome.sentence)
        if self._dive is not None:
            self._log_input(self._dive.log, "command", {"data": data.hex(), "outcome": outcome.sentence})
        if isinstance(outcome.change, MessagesQueued):
            self.deliver()

    def _on_network_time(self, ticks: int) -> None:
        utc_ms = utc_ms_of(ticks, self._clock.utc_ms())
        if utc_ms is not None:
            self._set_clock(utc_ms)

    def _set_clock(self, utc_ms: int) -> None:
        """Take the host's time from the next dive on: the times of one dive are of one clock."""
        offset_ms = utc_ms - self._clock.utc_ms()
        if self._dive is None:
            self._utc_offset_ms = offset_ms
        elif abs(offset_ms - self._utc_offset_ms) > CLOCK_TOLERANCE_MS and not self._dive.clock_differs:
            self._dive.clock_differs = True
            self._log_input(self._dive.log, "clock", {"off_ms": offset_ms - self._utc_offset_ms})

    def _set_budget(self, said: BudgetSaid) -> None:
        try:
            telemetry = self._within(self._orders.config.telemetry, said)
        except ValueError as error:
            self._say(f"the host's budget is not used: {error}")
            return
        self._host_budget = said
        if self._dive is not None:
            self._log_input(self._dive.log, "budget", msgspec.to_builtins(telemetry))

    def _within(self, telemetry: TelemetryConfig, budget: BudgetSaid) -> TelemetryConfig:
        """Raises ValueError when no message fits."""
        changed = {"budget_bytes": budget.budget_bytes, "message_bytes": budget.message_bytes}
        return msgspec.convert({**msgspec.to_builtins(telemetry), **changed}, TelemetryConfig)

    def _commit_all(self) -> None:
        """Before power may be cut."""
        try:
            if self._dive is not None:
                self._dive.instrument.close_bloc()
        except SestonError as error:
            self._say(f"power is not let go: {error}")
            return
        self._host.let_go()

    def _mark_delivered(self, dive: int, part: int) -> None:
        try:
            self._outbox.delivered(dive, part, self._now_ms())
        except SestonError as error:
            self._say(f"a message will be handed over again: {error}")
        self.deliver()

    def _tell_standing(self) -> None:
        try:
            waiting, waiting_bytes = self._outbox.waiting_bytes()
        except SestonError:  # a dive goes on without its outbox; `deliver` says what is wrong
            return
        dive = self._dive
        is_done = dive is None and self._last_dive is not None
        self._host.stands(
            Standing(
                State.SURFACE if is_done else self._mission.state,
                self._last_dive,
                0 if dive is None else dive.next_frame,
                min(waiting, 0xFFFF),
                waiting_bytes,
                self._health,
            )
        )

    def _read_pressure(self) -> Reading | None:
        return self._host.reading() if self._pressure is None else self._pressure.read()

    def _begin_if(self, event: PressureRead | PhaseGiven, why: str) -> None:
        """Begin a dive when the mission says so."""
        config = self._config
        self._mission, commands = step(self._mission, event, config.mission)
        if Command.START_DIVE not in commands:
            return
        number = _next_number(self._dives)
        folder = self._dives / f"{number:05d}"
        folder.mkdir()
        log = begin_dive(
            folder / "dive.sqlite", config, self._bundle, dive_number=number, time_ms=event.time_ms,
            climatology=self._climatology,
        )  # fmt: skip
        self._dive = _Dive(log, self._instrument(log, config, self._mission), 0, folder)
        if self._modem is not None:
            self._modem.close()
        self._last_dive = number
        self._period_s = 1 / config.run.camera.frame_rate_hz
        self._tell_standing()
        self._say(f"dive {folder.name} begins {why}")

    def _take(self, frame: Frame) -> None:
        dive = self._dive
        assert dive is not None
        reading = self._read_pressure()
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
                time_ms=self._now_ms(),
                pressure_dbar=pressure_dbar,
                phase=None if self._host.is_silent else self._host_phase,
                environment=environment,
            )
        )
        if dive.instrument.newest is not None:
            self._host.seen(dive.instrument.newest)
        dive.next_frame += 1
        self._mission = dive.instrument.mission
        if self._mission.state is not before:
            self._say(f"{self._mission.state} at {pressure_dbar:.1f} dbar, frame {dive.next_frame - 1}")
        self._tell_standing()
        if self._clock.monotonic_s() >= dive.health_due_s:
            self._log_health(dive)
        if self._mission.state is State.SURFACE:
            self._end_dive()

    def _log_health(self, dive: _Dive) -> None:
        """Log how the board fares."""
        dive.health_due_s = self._clock.monotonic_s() + HEALTH_EVERY_S
        try:
            waiting: int | None = self._outbox.waiting_bytes()[0]
        except SestonError:
            waiting = None
        self._health = read_health(dive.folder, waiting)
        self._log_input(dive.log, "health", msgspec.to_builtins(self._health))

    def _log_input(self, log: DiveLog, kind: str, data: dict[str, object]) -> None:
        """Log what shapes the messages, unless they are made: those a link may have must stay as they are.

        A disk that has no room for it stops nothing.
        """
        try:
            if not log.messages():
                log.add_input(self._now_ms(), kind, data)
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
            self._log_replies(dive.log)
            messages = dive.instrument.finish().messages
            self._outbox.put(number, messages, self._now_ms())
            self._note_reported(dive.log)
            codebook = codebook_in(dive.log)
            # One file a codebook: messages of an older configuration stay readable.
            write_durably(self._messages / f"codebook-{codebook.sha256[:12]}.json", codebook.to_json())
            climatology = climatology_in(dive.log)
            if climatology is not None:
                file = self._messages / f"climatology-{climatology.sha256[:12]}.json"
                write_durably(file, climatology.to_json())
            dive.log.set_meta("ended_ms", self._now_ms())
            total = sum(map(len, messages))
            self._say(f"dive {name} ended: {dive.next_frame} frames, {total} bytes in messages")
        except (SestonError, OSError) as error:
            self._say(f"dive {name} has sent nothing yet, the next start tries again: {error}")
        dive.log.close()
        self._surface()

    def _log_replies(self, log: DiveLog) -> None:
        """Answers to shore go into the messages; without them these go all the same."""
        try:
            told = [[one.counter, one.verdict, one.detail] for one in self._orders.replies()]
        except sqlite3.Error as error:
            self._say(f"answers to shore wait: {error}")
            return
        self._log_input(log, "replies", {"replies": told})

    def _note_reported(self, log: DiveLog) -> None:
        try:
            self._orders.reported(replies_in(log))
        except SestonError as error:
            self._say(f"answers to shore will go again: {error}")

    def _resume(self) -> _Dive | None:
        """The last dive, if it has not ended: its mission is rebuilt from the pressures in its log."""
        folders = sorted(f for f in self._dives.iterdir() if f.is_dir() and f.name.isdigit())
        if not folders:
            return None
        self._last_dive = int(folders[-1].name)
        try:
            log = DiveLog.open(folders[-1], vignette_quota_mb=self._config.log.vignette_quota_mb)
        except SestonError as error:
            self._say(f"the last dive is left as it is: {error}")
            return None
        if log.has_meta("ended_ms"):
            log.close()
            return None
        config = config_of(log)
        self._period_s = 1 / config.run.camera.frame_rate_hz
        mission, frames = Mission(State.DESCENT), 0
        for record in log.records():
            mission, _ = step(mission, PressureRead(record.time_ms, record.pressure_dbar), config.mission)
            # What a host said counts more; what pressure said is the same.
            mission, _ = step(mission, PhaseGiven(record.time_ms, record.phase), config.mission)
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
        flat = config.vision.flat_field
        return Instrument(
            config, self._bundle, log, mission=mission,
            flat_field=None if flat is None else read_image(flat),
            observe=None if self._replay is None else self._replay.observe,
        )  # fmt: skip


def _boot_id() -> int:
    return secrets.randbelow((1 << 32) - 1) + 1


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
