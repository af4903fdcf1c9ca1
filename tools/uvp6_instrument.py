"""`seston uvp6 instrument`: pass for a UVP6 on a line, with the frames of a dive that was recorded."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from edge.config import Config
from edge.divelog import DiveLog
from edge.divelog_schema import LoggedFrame
from edge.hosts import DiveBeginSaid, DiveEndSaid, Noted, Said, TimeSaid
from edge.telemetry import Codebook
from edge.uvp6_host import Uvp6Host, personality_of
from firmware_bridge.transport import PortLine, PtyTransport, SerialTransport

POLL_S = 0.2


@click.command()
@click.argument("dive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--pty", is_flag=True, help="Open a new pty, and say its name.")
@click.option("--port", help="Use this serial port.")
@click.option("--baud", type=int, default=38_400, show_default=True)
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Times as fast as the dive was.",
)
def instrument(dive: Path, pty: bool, port: str | None, baud: int, speed: float) -> None:
    """Answer a host as a UVP6, and send the blocs of DIVE (dive.sqlite) once it starts, until stopped.

    Each start begins the dive anew.
    """
    if pty == (port is not None):
        raise click.UsageError("give either --pty or --port")
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: stopped.append(received))
    with DiveLog.open(dive) as log:
        config = msgspec.convert(log.meta("config"), Config)
        codebook = msgspec.convert(log.meta("codebook"), Codebook)
        replay = _Replay(log, speed)
        personality = personality_of(
            config,
            codebook.optics,
            codebook.taxa,
            codebook.bundle_sha256,
            lambda: time.time_ns() // 1_000_000,
        )
        transport = PtyTransport() if port is None else SerialTransport(port, baud)
        click.echo(f"UVP6 on {transport.port}" if isinstance(transport, PtyTransport) else f"UVP6 on {port}")
        line = PortLine(personality, lambda: transport)
        host = Uvp6Host(personality, line, codebook.optics, codebook.taxa, config.log.frames_per_bloc)
        try:
            while not stopped:
                for said in host.poll(replay.wait_s()):
                    _tell(said)
                    replay.on(said)
                if line.fault:
                    raise click.ClickException(line.fault)
                for frame in replay.due():
                    host.seen(frame)
        finally:
            host.close()
    click.echo(f"{replay.n_seen} frames; {personality.dropped} lines were too many for the line")


class _Replay:
    """The dive's frames, at their own times since the first, or faster."""

    def __init__(self, log: DiveLog, speed: float) -> None:
        self.n_seen = 0
        self._log, self._speed = log, speed
        self._frames: Iterator[LoggedFrame] = iter(())
        self._next: LoggedFrame | None = None
        self._began_s, self._first_ms = 0.0, 0

    def on(self, said: Said) -> None:
        """Begin or end, as the host wishes it."""
        match said:
            case DiveBeginSaid():
                self._frames = logged_frames(self._log)
                self._next = next(self._frames, None)
                self._began_s = time.monotonic()
                self._first_ms = 0 if self._next is None else self._next.record.time_ms
            case DiveEndSaid():
                self._next = None

    def wait_s(self) -> float:
        """Until the next frame, and not longer than a signal may wait."""
        if self._next is None:
            return POLL_S
        return min(max(self._due_s(self._next) - time.monotonic(), 0.0), POLL_S)

    def due(self) -> Iterator[LoggedFrame]:
        """Frames whose time has come."""
        now_s = time.monotonic()
        while self._next is not None and self._due_s(self._next) <= now_s:
            frame, self._next = self._next, next(self._frames, None)
            self.n_seen += 1
            yield frame
            if self._next is None:
                click.echo("the dive is over; the host has not stopped yet")

    def _due_s(self, frame: LoggedFrame) -> float:
        return self._began_s + (frame.record.time_ms - self._first_ms) / 1000 / self._speed


def logged_frames(log: DiveLog) -> Iterator[LoggedFrame]:
    """Frames of a log with their particles, in the order of capture."""
    rest = log.particles()
    coming = next(rest, None)
    for record, row in zip(log.records(), log.frames(), strict=True):
        particles = []
        while coming is not None and coming.frame == record.index:
            particles.append(coming)
            coming = next(rest, None)
        yield LoggedFrame(
            record, bool(row["lit"]), row["source"], row["note"], {}, particles, row["sharpness"]
        )


def _tell(said: Said) -> None:
    match said:
        case DiveBeginSaid():
            click.echo("the host has started the acquisition")
        case DiveEndSaid():
            click.echo("the host has stopped the acquisition")
        case TimeSaid(utc_ms):
            click.echo(f"the host says it is {utc_ms // 1000} s since 1970")
        case Noted(sentence):
            click.echo(sentence)
