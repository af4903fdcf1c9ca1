"""A dive in progress: its folder, its log, its instrument; begun, gone on with after a restart, ended."""

from __future__ import annotations

import contextlib
import math
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from edge.clock import WallClock
from edge.config import Config
from edge.divelog import DiveLog
from edge.divelog_schema import LoggedFrame
from edge.durable import sync_folder
from edge.errors import DiveLogError, SestonError
from edge.frame import Frame, Phase
from edge.images import read_image
from edge.inference.bundle import Bundle
from edge.inference.classifier import Namer
from edge.instrument import Instrument, Observer
from edge.live import Live
from edge.logged import begin_dive, config_of
from edge.mission import Mission, PhaseGiven, PressureRead, State, step
from edge.salvage import finish_salvage, is_damaged, salvage
from edge.storage import Freed, Reserve, has_ended
from edge.telemetry.climatology import Climatology
from edge.timeline import Fix
from firmware_bridge.ctd import Reading

CLOCK_TOLERANCE_MS = 2000
MOST_FIXES = 100
"""Times that are written down in one dive: a host that is mad about the time fills no disk."""
N_DIVES = 65536
MOST_LEFT_BEHIND = 8
"""Dives before the last that are looked at, whether they have ended."""


class Dive:
    """One dive.

    Attributes
    ----------
    folder
        Named by the dive's number.
    config
        What it runs with, to its end.
    instrument, log
        See `edge.instrument`, `edge.divelog`.
    next_frame
        Number of the frame that comes next.
    """

    def __init__(
        self,
        folder: Path,
        log: DiveLog,
        config: Config,
        bundle: Bundle,
        wall: WallClock,
        say: Callable[[str], None],
        *,
        mission: Mission,
        next_frame: int = 0,
        observe: Observer | None = None,
        namer: Namer | None = None,
        spent: dict[str, list[float]] | None = None,
        live: Live | None = None,
    ) -> None:
        flat = config.vision.flat_field
        self.folder, self.log, self.config, self.next_frame = folder, log, config, next_frame
        self.instrument = Instrument(
            config, bundle, log, mission=mission, observe=observe, namer=namer, spent=spent, live=live,
            flat_field=None if flat is None else read_image(flat),
        )  # fmt: skip
        self._wall, self._say = wall, say
        self._fix: Fix | None = None
        self._n_fixes = 0
        self._salvaged = log.salvaged
        self._is_refused = self._is_full = False
        self._reserve = Reserve(folder.parent, config.log.keep_free_mb)

    @property
    def number(self) -> int:
        """Of the dive, 0 to 65535."""
        return int(self.folder.name)

    @property
    def mission(self) -> Mission:
        """Where it stands."""
        return self.instrument.mission

    def take(self, frame: Frame, reading: Reading | None, phase: Phase | None) -> list[LoggedFrame]:
        """Look at a frame, at the pressure read now, in the phase that a host may give.

        It was taken when its stamp says, if it has one of this run, and else now. Returns what
        `Instrument.take` does.
        """
        environment = dict(frame.environment)
        if reading is not None:
            found = {"temperature_c": reading.temperature_c, "salinity": reading.salinity}
            environment |= {name: value for name, value in found.items() if value is not None}
        self.next_frame += 1
        now, now_ms = self._wall.stamp(), self._wall.now_ms()
        stamp = now if frame.stamp is None or frame.stamp.boot != now.boot else frame.stamp
        settled = self.instrument.take(
            replace(
                frame,
                index=self.next_frame - 1,
                time_ms=now_ms - (now.monotonic_ms - stamp.monotonic_ms),
                stamp=stamp,
                pressure_dbar=math.nan if reading is None else reading.pressure_dbar,
                phase=phase,
                environment=environment,
            )
        )
        self._tell_log()
        if self.next_frame % self.config.log.frames_per_bloc == 0:
            self.freed(self._reserve.keep(most=1))
        return settled

    def freed(self, dives: Sequence[Freed]) -> None:
        """Say and log which dives gave their vignettes for room on the disk."""
        for one in dives:
            freed_mb = one.freed_bytes / 1e6
            self._say(f"dive {one.dive} gave its {one.vignettes} vignettes for {freed_mb:.1f} MB of disk")
            told = {"dive": one.dive, "vignettes": one.vignettes, "bytes": one.freed_bytes}
            self.note("storage", told)

    def mark_ended(self) -> None:
        """The messages are queued: nothing is left to do for this dive."""
        log = self.log
        log.checkpoint()
        self._tell_log()
        log.set_facts(
            {
                "ended_ms": self._wall.now_ms(),
                "bytes_written": log.bytes_written,
                "payload_bytes": log.payload_bytes,
            }
        )

    def _tell_log(self) -> None:
        log = self.log
        if bool(log.refusal) is not self._is_refused:
            self._is_refused, self._is_full = not self._is_refused, log.disk_full
            self._say(
                f"ALARM: the disk does not take dive {self.folder.name} ({log.refusal}): it waits in memory"
                if self._is_refused
                else f"the disk takes dive {self.folder.name} again"
            )
        elif log.disk_full is not self._is_full:
            self._is_full = log.disk_full
            self._say(f"ALARM: the disk is full: dive {self.folder.name} keeps no more vignettes")
        if self.log.salvaged is not self._salvaged:
            self._salvaged = self.log.salvaged
            if self._salvaged is not None:
                self._say(f"dive {self.folder.name}: {self._salvaged.sentence}")

    def note(self, kind: str, data: dict[str, object]) -> None:
        """Log what shapes the messages, unless they are made: those a link may have must stay as they are.

        A disk that does not take it stops nothing.
        """
        self._write(kind, lambda: self.log.add_input(self._wall.now_ms(), kind, data))

    def is_told(self, fix: Fix, source: str) -> None:
        """Somebody says what time it is: written down when it is news."""
        if self._fix is None:
            off_ms = abs(self._wall.error_ms(fix))
        else:
            passed_ms = fix.stamp.monotonic_ms - self._fix.stamp.monotonic_ms
            off_ms = abs(self._fix.utc_ms + passed_ms - fix.utc_ms)
        if off_ms <= CLOCK_TOLERANCE_MS or self._n_fixes == MOST_FIXES:
            return
        self._fix = fix
        self._n_fixes += 1
        self._say(f"the clock is {off_ms / 1000:.0f} s off, says the {source}")
        self._write("clock", lambda: self.log.add_fix(fix, source))

    def close(self) -> None:
        """Commit, and take what was said of the time as true from now on."""
        self.log.close()
        if self._fix is not None:
            self._wall.set(self._fix)

    def _write(self, kind: str, write: Callable[[], None]) -> None:
        try:
            if not self.log.messages():
                write()
        except SestonError as error:
            self._say(f"the log misses an input ({kind}): {error}")


def begin(
    dives: Path,
    config: Config,
    bundle: Bundle,
    wall: WallClock,
    say: Callable[[str], None],
    *,
    mission: Mission,
    climatology: Climatology | None,
    observe: Observer | None = None,
    namer: Namer | None = None,
    live: Live | None = None,
) -> Dive:
    """Begin the next dive in a folder of its own; raises `SestonError`, and then there is no folder."""
    freed = Reserve(dives, config.log.keep_free_mb).keep()
    folder = dives / f"{next_number(dives):05d}"
    try:
        folder.mkdir()
        sync_folder(dives)
    except OSError as cause:
        raise DiveLogError(
            f"cannot be made ({cause.strerror})", file=folder, remedy="free the disk"
        ) from None
    try:
        log = begin_dive(
            folder / "dive.sqlite", config, bundle, dive_number=int(folder.name), time_ms=wall.now_ms(),
            climatology=climatology,
        )  # fmt: skip
        dive = Dive(
            folder, log, config, bundle, wall, say, mission=mission, observe=observe, namer=namer, live=live
        )
        dive.freed(freed)
        return dive
    except (SestonError, OSError):
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
        raise


def resume(
    dives: Path,
    bundle: Bundle,
    wall: WallClock,
    say: Callable[[str], None],
    *,
    quota_mb: float,
    observe: Observer | None = None,
    namer: Namer | None = None,
    live: Live | None = None,
) -> Iterator[Dive]:
    """The dives that have not ended: those before the last, whose messages could not be made, then the last.

    The mission of the last is rebuilt from what its log says, and it goes on. The others have to end, as has
    one that began with another bundle: their missions are at the surface. A log that is damaged goes on with
    what can be read of it; one that cannot be opened is left as it is. Each is opened when it is asked for.
    """
    folders = _folders(dives)[-1 - MOST_LEFT_BEHIND :]
    for folder in folders:
        is_last = folder == folders[-1]
        if is_last or _is_left_behind(folder):
            dive = _resumed(
                folder, bundle, wall, say, quota_mb=quota_mb, observe=observe, namer=namer, live=live,
                has_to_end=not is_last,
            )  # fmt: skip
            if dive is not None:
                yield dive


def _is_left_behind(folder: Path) -> bool:
    """Whether a dive before the last, whose log can be read, has not ended."""
    try:
        return not has_ended(folder / "dive.sqlite")
    except sqlite3.Error:
        return False


def _resumed(
    folder: Path,
    bundle: Bundle,
    wall: WallClock,
    say: Callable[[str], None],
    *,
    quota_mb: float,
    observe: Observer | None,
    namer: Namer | None,
    live: Live | None,
    has_to_end: bool,
) -> Dive | None:
    try:
        log = _open(folder, wall, say, quota_mb)
    except (SestonError, OSError) as error:
        say(f"dive {folder.name} is left as it is: {error}")
        return None
    if log is None:
        return None
    if log.has_meta("ended_ms"):
        log.close()
        return None
    try:
        config = config_of(log)
        mission, next_frame, newest_ms = _replay(log, config)
        if not log.inputs("budget"):  # lost with a damaged log
            log.add_input(newest_ms, "budget", msgspec.to_builtins(config.telemetry))
    except SestonError as error:
        log.close()
        say(f"dive {folder.name} is left as it is: {error}")
        return None
    wall.not_before(newest_ms)
    if has_to_end or log.inputs("end"):
        mission = replace(mission, state=State.SURFACE)
    elif log.meta("bundle")["sha256"] != bundle.sha256:
        say(f"dive {folder.name} began with another bundle: it ends here, as it is")
        mission = replace(mission, state=State.SURFACE)
    dive = Dive(
        folder, log, config, bundle, wall, say, mission=mission, next_frame=next_frame, observe=observe,
        namer=namer, live=live, spent=spent[-1][1] if (spent := log.inputs("spent")) else None,
    )  # fmt: skip
    dive.note("restart", {"frames": next_frame})
    return dive


def _open(folder: Path, wall: WallClock, say: Callable[[str], None], quota_mb: float) -> DiveLog | None:
    """The log in a dive's folder; of a damaged one, what can be read. None when that is nothing."""
    file, number = folder / "dive.sqlite", int(folder.name)
    finish_salvage(file)
    if not file.exists() and not any(folder.glob("dive.sqlite.damaged*")):
        shutil.rmtree(folder)  # power went before it began
        return None
    if file.is_file() and is_damaged(file, number):
        found = salvage(file, time_ms=wall.now_ms(), dive_number=number)
        if found is None:
            say(f"the log of dive {folder.name} was damaged, and nothing of it can be used: it is kept aside")
            return None
        say(f"dive {folder.name}: {found.sentence}")
    return DiveLog.open(folder, vignette_quota_mb=quota_mb)


def next_number(dives: Path) -> int:
    """One more than the last dive on disk, modulo 65536."""
    folders = _folders(dives)
    return (int(folders[-1].name) + 1) % N_DIVES if folders else 0


def last_number(dives: Path) -> int | None:
    """Number of the last dive on disk."""
    folders = _folders(dives)
    return int(folders[-1].name) if folders else None


def _folders(dives: Path) -> list[Path]:
    return sorted(f for f in dives.iterdir() if f.is_dir() and f.name.isdigit())


def _replay(log: DiveLog, config: Config) -> tuple[Mission, int, int]:
    """Mission, number of the next frame, and the newest time known to a log."""
    mission, frames, newest_ms = Mission(State.DESCENT), 0, int(log.meta("started_ms"))
    for record in log.records():
        mission, _ = step(mission, PressureRead(record.time_ms, record.pressure_dbar), config.mission)
        # What a host said counts more; what pressure said is the same.
        mission, _ = step(mission, PhaseGiven(record.time_ms, record.phase), config.mission)
        frames, newest_ms = record.index + 1, max(newest_ms, record.time_ms)
    return mission, frames, newest_ms
