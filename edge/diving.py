"""Camera, classifier and mission, and the dive they make: begun, fed, ended, gone on with after a restart.

Who asks for a dive, and who gets its messages, is the `service`'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from edge import dive as dives
from edge.cameras.camera import Camera
from edge.clock import Clock, WallClock
from edge.config import Config, MissionConfig
from edge.dive import Dive
from edge.divelog_schema import LoggedFrame
from edge.errors import SestonError
from edge.frame import Frame, Phase
from edge.health import read_health
from edge.inference.bundle import Bundle
from edge.inference.classifier import Namer
from edge.instrument import Observer
from edge.live import Live
from edge.mission import Command, Event, Mission, SelfTested, State, Stop, step
from edge.telemetry.climatology import Climatology
from edge.telemetry.health import HealthReading
from edge.watchdog import Watchdog
from firmware_bridge.ctd import Reading

HEALTH_EVERY_S = 600
"""Time between two readings of battery, temperature and disk during a dive."""
BEGIN_AGAIN_S = 30.0
"""Time until a dive that could not begin, for want of room on the disk, is tried again."""
LONG_STEP_S = 1800.0
"""Time to begin a dive on a disk that is full of old ones, or to make the messages of a long one, at most."""


class Diving:
    """The dive in progress, if there is one, and what makes dives.

    Parameters
    ----------
    folder
        Of all dives.
    bundle, climatology
        What dives begin with.
    camera, namer
        Where frames come from, and who names particles; closed with it.
    observe
        As `Instrument` takes it.
    watchdog
        Grants the time that a long step takes.
    mission_config
        Of the configuration, for the mission's first step.

    Attributes
    ----------
    dive
        In progress, or None.
    last_number
        Of the newest dive on the disk, or None.
    mission
        Where it stands, in a dive and between dives.
    health
        As it was read last.
    """

    def __init__(
        self,
        folder: Path,
        bundle: Bundle,
        climatology: Climatology | None,
        camera: Camera,
        namer: Namer,
        observe: Observer | None,
        wall: WallClock,
        clock: Clock,
        watchdog: Watchdog,
        live: Live,
        say: Callable[[str], None],
        mission_config: MissionConfig,
    ) -> None:
        self._folder, self._bundle, self._climatology = folder, bundle, climatology
        self.camera, self.namer, self._observe = camera, namer, observe
        self._wall, self._clock, self._watchdog = wall, clock, watchdog
        self._live, self._say = live, say
        self.mission, _ = step(Mission(State.SELF_TEST), SelfTested(wall.now_ms()), mission_config)
        self.last_number = dives.last_number(folder)
        self.health = HealthReading()
        self.dive: Dive | None = None
        self._begin_due_s = self._health_due_s = -math.inf
        self._asked: tuple[float | None, int | None] | None = None

    @property
    def asked_period_s(self) -> float | None:
        """What the camera was asked for: seconds from a frame to the next; None where none was asked for."""
        return None if self._asked is None else self._asked[0]

    def happened(self, event: Event, config: MissionConfig) -> Sequence[Command]:
        """Step the mission with what begins and ends no dive; returns what is to be done."""
        self.mission, commands = step(self.mission, event, config)
        return commands

    def begin(self, event: Event, config: Config) -> bool:
        """Begin a dive if the mission says so, and say whether; one that cannot begin is tried again."""
        begun, commands = step(self.mission, event, config.mission)
        if Command.START_DIVE not in commands or self._clock.monotonic_s() < self._begin_due_s:
            return False
        try:
            with self._watchdog.at_most(LONG_STEP_S, "beginning a dive"):
                self.dive = dives.begin(
                    self._folder, config, self._bundle, self._wall, self._say, mission=begun,
                    climatology=self._climatology, namer=self.namer, live=self._live, observe=self._observe,
                )  # fmt: skip
        except SestonError as error:
            self._begin_due_s = self._clock.monotonic_s() + BEGIN_AGAIN_S
            self._say(f"ALARM: the dive cannot begin: {error}")
            return False
        self.namer.renew()
        self.mission, self.last_number = begun, self.dive.number
        self._begin_due_s = self._health_due_s = -math.inf
        self._asked = None
        self.keep_schedule()
        return True

    def resume(self, quota_mb: float) -> Iterator[Dive]:
        """Each dive that has not ended, the last of them last: it is the one in progress until the next."""
        for dive in dives.resume(
            self._folder, self._bundle, self._wall, self._say, quota_mb=quota_mb, observe=self._observe,
            namer=self.namer, live=self._live,
        ):  # fmt: skip
            self.dive, self.mission = dive, dive.mission
            yield dive

    def take(
        self, dive: Dive, frame: Frame, reading: Reading | None, phase: Phase | None
    ) -> list[LoggedFrame]:
        """Let the dive in progress look at a frame, as `Dive.take` does, and say when its phase changes."""
        before = dive.mission.state
        settled = dive.take(frame, reading, phase)
        self.mission = dive.mission
        if self.mission.state is not before:
            where = "an unknown pressure" if reading is None else f"{reading.pressure_dbar:.1f} dbar"
            self._say(f"{self.mission.state} at {where}, frame {dive.next_frame - 1}")
        return settled

    def keep_schedule(self) -> None:
        """Ask the camera for what the schedule says of this place, when that is news."""
        if self.dive is None:
            return
        orders = self.dive.instrument.orders
        wanted = orders.period_s, orders.black_every
        if wanted != self._asked:
            self._asked = wanted
            default_hz = self.dive.config.run.camera.frame_rate_hz
            self.camera.start(
                default_hz if orders.period_s is None else 1 / orders.period_s, orders.black_every
            )

    @property
    def is_health_due(self) -> bool:
        """Whether it is time to look how the board fares."""
        return self._clock.monotonic_s() >= self._health_due_s

    def log_health(self, dive: Dive, n_waiting: int | None) -> None:
        """Log how the board fares; `n_waiting` messages are in the outbox."""
        self._health_due_s = self._clock.monotonic_s() + HEALTH_EVERY_S
        self.health = read_health(
            dive.folder, n_waiting, dirt_permille=dive.instrument.dirt_permille,
            classifier_restarts=self.namer.restarts,
        )  # fmt: skip
        dive.note("health", msgspec.to_builtins(self.health))
        dive.note("spent", {**dive.instrument.spent})

    def end(self) -> Dive | None:
        """Take no more frames; returns the dive that was in progress, whose messages are to be made."""
        dive, self.dive = self.dive, None
        self.camera.stop()
        if dive is not None:
            self.mission, _ = step(dive.mission, Stop(self._wall.now_ms()), dive.config.mission)
        return dive

    def making_messages(self, dive: Dive) -> AbstractContextManager[None]:
        """Within it, making the messages of a dive may take long."""
        return self._watchdog.at_most(LONG_STEP_S, f"making the messages of dive {dive.folder.name}")

    def close(self) -> None:
        """Let camera and classifier go."""
        self.camera.close()
        self.namer.close()
