"""`seston uvp6 host`: be the float that hosts a UVP6, or an instrument that passes for one."""

from __future__ import annotations

import csv
import datetime
import math
import signal
import time
from pathlib import Path
from typing import TextIO

import click

from firmware_bridge.transport import PortLine, SerialTransport
from firmware_bridge.uvp6.host import (
    Begun,
    Busy,
    Came,
    Ended,
    Fault,
    Host,
    Known,
    Malformed,
    Mute,
    Restarted,
    Step,
)
from firmware_bridge.uvp6.lines import BlackFrame, Instant, LpmFrame, TaxoFrame
from firmware_bridge.uvp6.slices import lpm_slices

FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def uvp6() -> None:
    """Host a UVP6, or an instrument that passes for one."""


@uvp6.command()
@click.argument("port")
@click.option("--baud", type=int, default=38_400, show_default=True)
@click.option("--acquisition", default="ACQ_SESTON", show_default=True, help="Configuration to start with.")
@click.option("--minutes", type=float, default=math.inf, help="Stop after so long; else Ctrl-C does.")
@click.option("--no-clock", is_flag=True, help="Leave the instrument's clock as it is.")
@click.option(
    "--raw", type=click.Path(dir_okay=False, path_type=Path), help="Write lines of data here, as they come."
)
@click.option(
    "--slices", type=click.Path(dir_okay=False, path_type=Path), help="Write depth slices here (CSV)."
)
def host(
    port: str,
    baud: int,
    acquisition: str,
    minutes: float,
    no_clock: bool,
    raw: Path | None,
    slices: Path | None,
) -> None:
    """Check the instrument on PORT, set its clock, start it, show its frames, and stop it.

    Exit code 1 when it does not answer, or never stopped.
    """
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: stopped.append(received))
    SerialTransport(port, baud).close()  # a wrong port is told at once
    session = _Session(Host(acquisition), not no_clock, raw.open("w", encoding="ascii") if raw else None)
    line = PortLine(session.host, lambda: SerialTransport(port, baud))
    until_s = time.monotonic() + 60 * minutes
    try:
        while not session.is_over:
            for event in line.carry(0.2):
                session.on(event)
            if line.fault:
                raise click.ClickException(line.fault)
            session.go_on(is_time=bool(stopped) or time.monotonic() >= until_s)
    finally:
        line.close()
        if session.raw is not None:
            session.raw.close()
    click.echo(
        f"{len(session.lpm)} lit blocs, {session.n_taxo} with objects, {session.n_black} black; "
        f"{session.host.malformed} lines were malformed"
    )
    if slices is not None:
        _write_slices(session.lpm, slices)
    if session.host.step is Step.MUTE:
        raise SystemExit(1)


class _Session:
    """What the host has done and gathered."""

    def __init__(self, host: Host, sets_clock: bool, raw: TextIO | None) -> None:
        self.host, self.raw = host, raw
        self.lpm: list[LpmFrame] = []
        self.n_taxo = self.n_black = 0
        self.is_over = False
        self._sets_clock, self._stops = sets_clock, False

    def go_on(self, *, is_time: bool) -> None:
        """Give the next command when the last is done."""
        if self.host.step is Step.MUTE:
            self.is_over = True
        elif self.host.step is Step.READY:
            if is_time or self._stops:
                self.is_over = True
            elif self._sets_clock:
                self._sets_clock = False
                self.host.set_clock(_now())
            else:
                self.host.start()
        elif self.host.step is Step.RUNNING and is_time:
            self._stops = True
            self.host.stop()

    def on(self, event: object) -> None:
        """Show an event, and keep what is data."""
        match event:
            case Known(hardware, acquisition):
                camera, firmware = hardware.values["Camera_ref"], hardware.generation.value
                click.echo(f"{camera}, firmware {firmware}, {acquisition.values['Configuration_name']}")
            case Begun():
                click.echo("the acquisition has begun")
            case Ended():
                click.echo("stopped")
            case Busy():
                click.echo("an acquisition was running: it is being stopped first")
            case Restarted():
                click.echo("the instrument has begun anew")
            case Came(frame, line):
                if self.raw is not None:
                    self.raw.write(line + "\n")
                self._keep(frame)
            case Malformed(line, why):
                click.echo(f"malformed: {line[:60]} ({why})")
            case Fault(code):
                click.echo(f"error {code}")
            case Mute(command):
                click.echo(f"no answer to {command}")

    def _keep(self, frame: LpmFrame | TaxoFrame | BlackFrame) -> None:
        match frame:
            case LpmFrame():
                self.lpm.append(frame)
                click.echo(
                    f"{frame.at.date} {frame.at.time}  {frame.pressure_dbar:8.2f} dbar  "
                    f"{sum(frame.counts)} particles in {frame.n_images} images"
                )
            case TaxoFrame(_, objects):
                self.n_taxo += bool(objects)
            case _:
                self.n_black += 1


def _write_slices(frames: list[LpmFrame], file: Path) -> None:
    with file.open("w", newline="", encoding="ascii") as out:
        writer = csv.writer(out, lineterminator="\n")
        classes = range(1, 19)
        writer.writerow([
            "date", "time", "pressure_dbar", "n_images", "temperature_c",
            *(f"count_{i}" for i in classes), *(f"grey_{i}" for i in classes),
        ])  # fmt: skip
        for one in lpm_slices(frames):
            writer.writerow([
                one.at.date, one.at.time, f"{one.pressure_dbar:.2f}", one.n_images,
                f"{one.temperature_c:.2f}", *one.counts, *(f"{grey:.2f}" for grey in one.greys),
            ])  # fmt: skip


def _now() -> Instant:
    at = datetime.datetime.now(datetime.UTC)
    return Instant(at.year, at.month, at.day, at.hour, at.minute, at.second)
