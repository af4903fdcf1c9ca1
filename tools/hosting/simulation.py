"""A recording as a dive of the real service, on a simulated clock, with a simulated float that commands it.

Nothing of the instrument is replaced but its clock, its camera's times and what carries the bytes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from edge.config import Config, Delivery, HostConfig, HostKind, PressureConfig, PressureSource, RunConfig
from edge.errors import RecordingError
from edge.frame import Frame
from edge.inference.bundle import Bundle
from edge.instrument import Observer
from edge.recording import Recording
from edge.service import Replay, Service
from firmware_bridge.link import Event as LinkEvent
from firmware_bridge.link import Peer as LinkPeer
from firmware_bridge.null_modem import Faults, NullModem, SimulatedLine
from firmware_bridge.sans_io import Line
from tools.hosting.course import course_of
from tools.hosting.exchange import Exchange
from tools.hosting.native import NativeFloat, Stage

BAUD = 9600
BOOT_CLOCK_MS = 946_684_800_000
"""What the board's clock says at power-on: 2000-01-01, as one without a battery does."""
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


def dive_with_native_float(
    recording: Recording,
    config: Config,
    bundle: Bundle,
    folder: Path,
    exchange: Exchange,
    *,
    observe: Observer | None = None,
    progress: Callable[[Frame], None] = lambda frame: None,
    faults: Faults | None = None,
) -> tuple[Path, list[bytes]]:
    """Run a dive that a float on the native link commands.

    Parameters
    ----------
    folder
        Of the instrument: must be new.
    exchange
        Where the float notes what is said.
    faults
        What the line does to bytes, in both directions.

    Returns
    -------
    The dive log, and the messages that the float took, in the order in which they came.

    Raises
    ------
    RecordingError
        When the float never got to the end.
    """
    told = config.telemetry
    start_ms = int(recording.time_ms[0])
    course = course_of(recording, config.mission)
    floating = NativeFloat(course, start_ms, exchange, (told.budget_bytes, told.message_bytes))
    clock = SimulatedClock()

    def tie(peer: LinkPeer) -> Line[LinkEvent]:
        clean = faults or Faults()
        clock.line = NullModem((peer, floating), baud=BAUD, faults=(clean, clean))
        return SimulatedLine(clock.line, 0, lambda event: None)

    def period_s(frame: Frame) -> float:
        progress(frame)
        after = min(frame.index + 1, recording.n_frames - 1)
        return int(recording.time_ms[after] - recording.time_ms[frame.index]) / 1000

    service = Service(
        msgspec.structs.replace(config, run=_RUN),
        bundle,
        folder,
        lambda sentence: exchange.add(clock.monotonic_s(), "instrument's log", sentence),
        clock,
        tie,
        Replay(recording.frames(prefetch=True), period_s, observe),
    )
    latest_s = course.end_s + PATIENCE_S
    service.run(lambda: floating.stage is Stage.OFF or clock.monotonic_s() > latest_s)
    if floating.stage is not Stage.OFF:
        raise RecordingError(
            f"the float did not get to the end of the dive within {PATIENCE_S / 3600:.0f} hours after it "
            f"(it {floating.stage.value})",
            file=recording.path,
            remedy="look at exchange.txt",
        )
    return folder / "dives" / "00000" / "dive.sqlite", floating.messages


_RUN = RunConfig(
    host=HostConfig(HostKind.NATIVE, port="simulated", baud=BAUD),
    pressure=PressureConfig(PressureSource.HOST),
    deliver=Delivery.HOST,
)


def new_folder(out: Path) -> Path:
    """The folder of the simulated instrument, empty."""
    folder = out / "float"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
