"""The process aboard: waits for a dive, runs it, hands its messages over, waits for the next.

One thread, but for a live camera's own: a camera asked frame by frame; a host on a line, or pressure alone;
messages to the host, to a satellite modem, or into a folder. What decides is `mission`, `instrument` and
`orders`; what is open is `ends`'; the dive itself is `diving`'s; here is who is asked when.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from edge import mission
from edge.cameras.replay import ReplayCamera
from edge.clock import Clock, SystemClock, WallClock
from edge.config import Config, TelemetryConfig
from edge.courier import Courier
from edge.deck import Deck, deck_flag
from edge.dive import Dive
from edge.dive_end import finish
from edge.divelog_schema import LoggedFrame
from edge.diving import Diving
from edge.ends import (
    Pressure,
    Replay,
    Tie,
    open_camera,
    open_classifier,
    open_driver,
    open_host,
    tie_to_ports,
)
from edge.errors import SestonError
from edge.fetching import Shelf
from edge.frame import Frame, Phase
from edge.hosts import (
    BudgetSaid,
    DiveBeginSaid,
    DiveEndSaid,
    MessagesWanted,
    MessageTaken,
    Noted,
    PhaseSaid,
    PowerWished,
    Said,
    Standing,
    TimeSaid,
)
from edge.inference.bundle import Bundle
from edge.links import ModemLink
from edge.live import Live, LiveState
from edge.logged import priorities_of, read_climatology
from edge.mission import (
    Closed,
    Command,
    HostStands,
    LinkDone,
    PhaseGiven,
    PressureRead,
    State,
    Tick,
)
from edge.orders import DeckOpened, MessagesQueued, Orders
from edge.outbox import Outbox
from edge.run_config import Delivery, PressureSource
from edge.sensors.serial import SerialPressure
from edge.trial import TrialWatch
from edge.updates import Updates, intake_of
from edge.watchdog import Watchdog
from firmware_bridge.ctd import Reading
from firmware_bridge.iridium.clock import utc_ms_of

STANDBY_POLL_S, SLEEP_POLL_S = 0.5, 5.0
LONGEST_POLL_S = 20.0
"""Well below what the watchdog allows, however far off the next frame is."""
CAMERA_POLL_S = 0.05
"""How long the host is served between two looks for a frame."""


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
    watchdog
        Hears that the service goes forward: in a dive and between dives, whenever host and modem were served
        or a frame was looked at, whatever became of it. A camera whose driver hangs keeps it from that.
    updates
        Keeps models and configurations from shore, and says what runs; without it none are taken.
    is_alone
        At sea, a camera or port that cannot be opened is an alarm, and is tried again and again; where
        somebody looks on it is refused, so that it is known on deck.
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
        watchdog: Watchdog | None = None,
        updates: Updates | None = None,
        *,
        is_alone: bool = False,
    ) -> None:
        self._watchdog = watchdog or Watchdog({})
        self._live = Live(folder, (taxon.label for taxon in bundle.counted_taxa))
        say = self._live.listen(say)
        self._say = say
        self._clock = clock or SystemClock()
        self._wall = WallClock(self._clock)
        self._run = config.run
        dives, messages = folder / config.run.dives_dir, folder / config.run.messages_dir
        dives.mkdir(parents=True, exist_ok=True)
        messages.mkdir(parents=True, exist_ok=True)
        self._outbox = Outbox(dives / "outbox.sqlite")
        self._orders = Orders(
            folder, config, self._outbox.requeue, updates, "" if updates is None else updates.mark
        )
        for problem in self._orders.problems:
            say(problem)
        self._trial = TrialWatch(updates, self._clock, self._watchdog, say, self._orders.sync_updates)
        tie = tie or tie_to_ports(self._clock.monotonic_s, say if is_alone else None)
        shelf = Shelf(dives, lambda: self._diving.dive is not None)
        intake = intake_of(updates, self._obey, bundle)
        self._host = open_host(self._orders.config, bundle, self._clock, self._wall, tie, shelf, intake)
        self._deck = Deck(
            config.run.deck, shelf, intake, self._wall.boot, self._read_pressure, self._clock.monotonic_s,
            say, deck_flag(), must_open=not is_alone,
        )  # fmt: skip
        modem = self._open_modem(tie) if config.run.deliver is Delivery.MODEM else None
        self._courier = Courier(
            self._outbox, config.run.deliver, messages, self._host, modem, self._wall.now_ms, say
        )
        self._host_phase: Phase | None = None
        self._wished: Phase | None = None
        self._host_budget: BudgetSaid | None = None
        self._pressure: Pressure | None = None if replay is None else replay.pressure
        if self._pressure is None and config.run.pressure.source is PressureSource.PORT:
            self._pressure = SerialPressure(
                config.run.pressure, self._clock.monotonic_s, must_open=not is_alone
            )
        namer = open_classifier(config, bundle, say, is_replay=replay is not None, is_alone=is_alone)
        camera = (
            open_camera(config.run.camera, self._wall, self._clock.monotonic_s, say, must_open=not is_alone)
            if replay is None
            else ReplayCamera(replay.frames, replay.period_s)
        )
        # What is wrong in these is known on deck too.
        climatology = read_climatology(config)
        priorities_of(config.telemetry)
        self._diving = Diving(
            dives, bundle, climatology, camera, namer, None if replay is None else replay.observe,
            self._wall, self._clock, self._watchdog, self._live, say, config.mission,
        )  # fmt: skip
        self._resume()

    def run(self, stop: Callable[[], bool]) -> None:
        """Work until `stop` says so, or a replayed camera has no more frames and no host ends its dive.

        A stop in the middle of a dive commits what was taken; the next start goes on with the same dive.
        """
        due_s = self._clock.monotonic_s()
        is_over = False
        self._watchdog.ready()
        self._surface()
        self._trial.begin()
        while not stop() and not self.is_behind:
            if is_over and self._diving.dive is None and self._host.is_silent and self._courier.is_done:
                break
            if self._diving.dive is None or self._host.is_cutting or (is_over and not self._host.is_silent):
                self._stand_by(may_begin=not is_over)
                due_s = self._clock.monotonic_s()
                continue
            frame = self._diving.camera.next_frame(0.0)
            if frame is None and not self._diving.camera.is_over:
                self._poll(CAMERA_POLL_S)
                continue
            if frame is None:
                is_over = True
                if self._host.is_silent:
                    self._end_dive()
                    continue
                self._say("the camera has no more frames: the host ends the dive")
                continue
            dive, begun_s = self._diving.dive, self._clock.monotonic_s()
            self._take(dive, frame)
            dive.instrument.was_busy(self._clock.monotonic_s() - begun_s)
            self._went_on()
            self._diving.keep_schedule()
            period_s = self._diving.camera.period_s(frame)
            due_s = max(due_s + period_s, self._clock.monotonic_s() - period_s)
            self._serve_until(due_s)
        if self._diving.dive is not None:
            self._diving.dive.close()
            self._say(f"stopped in dive {self._diving.dive.folder.name}; the next start goes on with it")
        self._trial.end()
        self.close()

    def close(self) -> None:
        """Let camera, ports and files go."""
        if not self.is_behind:
            self._watchdog.stopping()
        self._diving.close()
        if self._pressure is not None:
            self._pressure.close()
        self._host.close()
        self._deck.close()
        self._courier.close()
        self._orders.close()

    @property
    def is_behind(self) -> bool:
        """Whether it ended because another model or configuration is to run: it is to be started anew."""
        return self._trial.is_behind

    @property
    def _config(self) -> Config:
        """Of the next dive: as it came from the file, with what shore set, and the host's budget."""
        config = self._orders.config
        if self._host_budget is None:
            return config
        return msgspec.structs.replace(config, telemetry=self._within(config.telemetry, self._host_budget))

    def _open_modem(self, tie: Tie) -> ModemLink:
        modem = self._run.modem
        driver = open_driver(modem, self._wall.boot)
        return ModemLink(
            self._outbox, driver, tie(driver, modem.port, modem.baud),
            self._now_ms, self._obey, say=self._say, on_ticks=self._on_network_time,
        )  # fmt: skip

    def _surface(self) -> None:
        """At the surface: hand over what waits."""
        self._courier.surface(self._run.modem.radio_s)
        self._tell_standing()

    def _poll(self, wait_s: float) -> None:
        """Serve modem, host, and whoever fetches logs or looks on, for at most so long."""
        self._live.tell(self._live_state)
        for said in self._host.poll(self._deck.poll(self._courier.poll(min(wait_s, LONGEST_POLL_S)))):
            self._on(said)
        self._went_on()
        is_idle = self._diving.dive is None and self._diving.mission.state in (State.STANDBY, State.SLEEP)
        self._trial.look(
            has_host=not self._host.is_silent, is_classifier_well=not self._diving.namer.restarts,
            is_idle=is_idle and not self._host.is_cutting,
        )  # fmt: skip

    def _went_on(self) -> None:
        """Something went forward."""
        if not self._diving.camera.is_stuck:
            dive = self._diving.dive
            told = "" if dive is None else f", dive {dive.folder.name}, {dive.next_frame} frames"
            self._watchdog.went_on(f"{self._diving.mission.state}{told}")

    def _now_ms(self) -> int:
        return self._wall.now_ms()

    def _stand_by(self, *, may_begin: bool) -> None:
        """Serve host and modem for a moment; begin the dive that the host or pressure asks for."""
        self._poll(SLEEP_POLL_S if self._diving.mission.state is State.SLEEP else STANDBY_POLL_S)
        if self._diving.dive is not None:
            return
        now_ms = self._now_ms()
        if self._diving.mission.state is State.TRANSMIT and self._courier.is_done:
            self._happened(LinkDone(now_ms))
        self._happened(HostStands(now_ms, not self._host.is_silent))
        self._happened(Tick(now_ms))
        if not may_begin or self._host.is_cutting:
            return
        reading = self._read_pressure()
        pressure_dbar = math.nan if reading is None else reading.pressure_dbar
        self._begin_if(PressureRead(now_ms, pressure_dbar), f"at {pressure_dbar:.1f} dbar")
        if self._diving.dive is None and self._wished is not None:  # one that could not begin before
            self._begin_if(PhaseGiven(now_ms, self._wished), "by the host")

    def _serve_until(self, until_s: float) -> None:
        """Serve the host until it is time for the next frame, or the dive has ended."""
        while self._diving.dive is not None:
            self._poll(max(0.0, until_s - self._clock.monotonic_s()))
            if self._clock.monotonic_s() >= until_s:
                return

    def _on(self, said: Said) -> None:
        """What the host said."""
        match said:
            case PhaseSaid(phase):
                self._host_phase = phase
                if self._diving.dive is None:
                    self._wish(phase, f"in {phase.name.lower()} by the host")
            case DiveBeginSaid():
                if self._diving.dive is None:
                    self._wish(Phase.DESCENT, "by the host")
            case DiveEndSaid():
                self._host_phase = self._wished = None
                self._end_dive()
            case TimeSaid(utc_ms):
                self._is_told(utc_ms, "host")
            case BudgetSaid():
                self._set_budget(said)
            case PowerWished():
                self._happened(mission.PowerWished(self._now_ms()))
            case MessageTaken(dive, part):
                self._courier.is_taken(dive, part)
                self._tell_standing()
            case MessagesWanted():
                self._courier.hand_over()
            case Noted(sentence):
                self._say(sentence)

    def _happened(self, event: mission.Event) -> None:
        """Step the mission, between dives or with what begins and ends none, and do what it says."""
        for command in self._diving.happened(event, self._config.mission):
            match command:
                case Command.TRANSMIT:
                    self._surface()
                case Command.SLEEP:
                    self._say("nothing was asked for: the instrument sleeps until a dive begins")
                case Command.LET_GO:
                    self._commit_all()

    def _wish(self, phase: Phase, why: str) -> None:
        """The host wishes a dive."""
        self._wished = phase
        self._begin_if(PhaseGiven(self._now_ms(), phase), why)

    def _obey(self, data: bytes) -> None:
        """Take bytes from shore, verified or not."""
        outcome = self._orders.take(data, self._now_ms())
        self._say(outcome.sentence)
        if self._diving.dive is not None:
            self._diving.dive.note("command", {"data": data.hex(), "outcome": outcome.sentence})
        if isinstance(outcome.change, MessagesQueued):
            self._courier.hand_over()
            self._tell_standing()
        elif isinstance(outcome.change, DeckOpened):
            self._deck.open_for(outcome.change.minutes)

    def _on_network_time(self, ticks: int) -> None:
        utc_ms = utc_ms_of(ticks, self._clock.utc_ms())
        if utc_ms is not None:
            self._is_told(utc_ms, "network")

    def _is_told(self, utc_ms: int, source: str) -> None:
        """Somebody says what time it is: a dive writes it down, and its times are put right from it."""
        fix = self._wall.is_told(utc_ms)
        if self._diving.dive is None:
            self._wall.set(fix)
        else:
            self._diving.dive.is_told(fix, source)

    def _set_budget(self, said: BudgetSaid) -> None:
        try:
            telemetry = self._within(self._orders.config.telemetry, said)
        except ValueError as error:
            self._say(f"the host's budget is not used: {error}")
            return
        self._host_budget = said
        if self._diving.dive is not None:
            self._diving.dive.note("budget", msgspec.to_builtins(telemetry))

    def _within(self, telemetry: TelemetryConfig, budget: BudgetSaid) -> TelemetryConfig:
        """Raises ValueError when no message fits."""
        changed = {"budget_bytes": budget.budget_bytes, "message_bytes": budget.message_bytes}
        return msgspec.convert({**msgspec.to_builtins(telemetry), **changed}, TelemetryConfig)

    def _commit_all(self) -> None:
        """Before power may be cut."""
        try:
            if self._diving.dive is not None:
                self._tell_seen(self._diving.dive.instrument.close_bloc())
        except SestonError as error:
            self._say(f"power is not let go: {error}")
            return
        self._host.let_go()

    def _tell_standing(self) -> None:
        waiting = self._courier.waiting()
        if waiting is None:
            return
        dive = self._diving.dive
        is_done = dive is None and self._diving.last_number is not None
        self._host.stands(
            Standing(
                State.SURFACE if is_done else self._diving.mission.state,
                self._diving.last_number,
                0 if dive is None else dive.next_frame,
                min(waiting[0], 0xFFFF),
                waiting[1],
                self._diving.health,
            )
        )

    def _live_state(self) -> LiveState:
        """Where it stands, for who looks."""
        dive, waiting = self._diving.dive, self._courier.waiting()
        return LiveState(
            state=self._diving.mission.state.value,
            dive=None if dive is None else dive.number,
            frames=0 if dive is None else dive.next_frame,
            period_s=self._diving.asked_period_s or 1 / self._run.camera.frame_rate_hz,
            waiting=None if waiting is None else waiting[0],
            restarts=getattr(self._diving.namer, "restarts", None),
            pace_s=self._diving.namer.pace_s,
            spent={} if dive is None else dive.instrument.spent,
        )

    def _read_pressure(self) -> Reading | None:
        return self._host.reading() if self._pressure is None else self._pressure.read()

    def _begin_if(self, event: PressureRead | PhaseGiven, why: str) -> None:
        """Begin a dive when the mission says so; one that cannot begin is tried again."""
        if not self._diving.begin(event, self._config) or self._diving.dive is None:
            return
        self._wished = None
        self._courier.dive()
        self._tell_standing()
        self._say(f"dive {self._diving.dive.folder.name} begins {why}")

    def _take(self, dive: Dive, frame: Frame) -> None:
        reading = self._read_pressure()
        self._trial.frames += 1
        phase = None if self._host.is_silent else self._host_phase
        self._tell_seen(self._diving.take(dive, frame, reading, phase))
        self._tell_standing()
        if self._diving.is_health_due:
            self._log_health(dive)
        if self._diving.mission.state is State.SURFACE:
            self._end_dive()

    def _tell_seen(self, settled: Sequence[LoggedFrame]) -> None:
        """Tell the host of frames that have their outcome."""
        for logged in settled:
            self._host.seen(logged)

    def _log_health(self, dive: Dive) -> None:
        waiting = self._courier.waiting()
        self._diving.log_health(dive, None if waiting is None else waiting[0])

    def _end_dive(self) -> None:
        """Make the messages of the dive, queue them, and hand them over."""
        dive = self._diving.end()
        if dive is None:
            return
        self._log_health(dive)
        finish(
            dive, self._orders, self._courier, self._say, self._tell_seen,
            lambda: self._diving.making_messages(dive),
        )  # fmt: skip
        dive.close()
        self._happened(Closed(self._now_ms()))

    def _resume(self) -> None:
        """Go on with the last dive, or end it, if it has not ended; end those before it that have not."""
        for dive in self._diving.resume(self._config.log.vignette_quota_mb):
            if dive.mission.state is State.SURFACE:
                self._end_dive()
            else:
                self._diving.keep_schedule()
                self._say(f"dive {dive.folder.name} goes on after {dive.next_frame} frames")
