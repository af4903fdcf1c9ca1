"""`seston uvp6`: be the float that hosts a UVP6, or an instrument that passes for one; and UVP6 projects."""

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
from firmware_bridge.uvp6 import cts5
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
from firmware_bridge.uvp6.slices import lpm_slices, taxo_slices
from tools.uvp6_instrument import instrument
from tools.uvp6_project import check, convert

FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def uvp6() -> None:
    """Host a UVP6 or what passes for one, be such an instrument, or check and convert UVP6 projects."""


for _command in (instrument, check, convert):
    uvp6.add_command(_command)


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
@click.option(
    "--cts5",
    "cts5_folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write lpm.bin, taxo.bin and black.bin here, as a CTS5 float sends them.",
)
@click.option(
    "--phase", type=click.Choice(cts5.PHASES), default="ASCENT", show_default=True, help="Of --cts5."
)
def host(
    port: str,
    baud: int,
    acquisition: str,
    minutes: float,
    no_clock: bool,
    raw: Path | None,
    slices: Path | None,
    cts5_folder: Path | None,
    phase: str,
) -> None:
    """Check the instrument on PORT, set its clock, start it, show its frames, and stop it.

    Exit code 1 when it does not answer, or never stopped.
    """
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: stopped.append(received))
    SerialTransport(port, baud).close()  # a wrong port is told at once
    session = _Session(Host(acquisition), no_clock, raw.open("w", encoding="ascii") if raw else None)
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
        f"{len(session.lpm)} lit blocs, {session.n_taxo} with objects, {len(session.black)} black; "
        f"{session.host.malformed} lines were malformed"
    )
    if slices is not None:
        _write_slices(session.lpm, slices)
    if cts5_folder is not None:
        session.write_cts5(cts5_folder, phase)
    if session.host.step is Step.MUTE:
        raise SystemExit(1)


class _Session:
    """What the host has done and gathered."""

    def __init__(self, host: Host, no_clock: bool, raw: TextIO | None) -> None:
        self.host, self.raw = host, raw
        self.lpm: list[LpmFrame] = []
        self.taxo: list[tuple[TaxoFrame, LpmFrame]] = []
        self.black: list[BlackFrame] = []
        self._unpaired: TaxoFrame | None = None
        self.is_over = False
        self._no_clock = no_clock

    def go_on(self, *, is_time: bool) -> None:
        """Give the next command when the last is done."""
        self.is_over = self.host.step is Step.MUTE or (self.host.step is Step.READY and is_time)
        self.host.go_on(None if self._no_clock else _now(), wanted=not is_time)

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
                if self._unpaired is not None and self._unpaired.n_images == frame.n_images:
                    self.taxo.append((self._unpaired, frame))  # else one of two blocs' lines was lost
                self._unpaired = None
                click.echo(
                    f"{frame.at.date} {frame.at.time}  {frame.pressure_dbar:8.2f} dbar  "
                    f"{sum(frame.counts)} particles in {frame.n_images} images"
                )
            case TaxoFrame():
                self._unpaired = frame  # it belongs to the LPM frame that comes next
            case _:
                self.black.append(frame)

    @property
    def n_taxo(self) -> int:
        """Blocs with objects."""
        return sum(bool(taxo.objects) for taxo, _ in self.taxo)

    def write_cts5(self, folder: Path, phase: str) -> None:
        """Write the records of a CTS5 float, a file a type."""
        folder.mkdir(parents=True, exist_ok=True)
        files = {
            "lpm": cts5.lpm_file(list(lpm_slices(self.lpm)), phase),
            "taxo": cts5.taxo_file(list(taxo_slices(self.taxo)), phase),
            "black": cts5.black_file(self.black, phase),
        }
        for name, file in files.items():
            (folder / f"{name}.bin").write_bytes(cts5.write_file(file))


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
