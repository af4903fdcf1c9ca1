"""`seston modem`: an emulated Iridium modem to test floats and instruments against; and to send with one."""

from __future__ import annotations

import random
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click

from edge.durable import write_durably
from edge.links import ModemLink
from edge.outbox import Outbox
from firmware_bridge.iridium.directip import MoMessage, read_confirmation, write_mo
from firmware_bridge.iridium.emulator import SbdModem, Session, Sky
from firmware_bridge.iridium.sbd import SbdDriver
from firmware_bridge.iridium.sbd_words import MAX_MESSAGE_BYTES
from firmware_bridge.transport import PortLine, PtyTransport, SerialTransport

DIRECTIP_TIMEOUT_S = 10.0
SHARE = click.FloatRange(0, 1)
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def modem() -> None:
    """Emulate an Iridium modem, or send with one."""


@modem.command()
@click.option("--fail", type=SHARE, default=0.0, help="Share of sessions that fail and say so.")
@click.option("--hidden", type=SHARE, default=0.0, help="... that deliver and say that they failed.")
@click.option("--mute", type=SHARE, default=0.0, help="... that end without an answer.")
@click.option("--hang", type=SHARE, default=0.0, help="... that leave the modem deaf.")
@click.option("--weak", type=SHARE, default=0.0, help="Share of looks at the signal that find almost none.")
@click.option("--fast", is_flag=True, help="Sessions of a second, not of half a minute.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Write messages here, as .sbd files."
)
@click.option("--directip", metavar="HOST:PORT", help="Send messages there, as the gateway does.")
@click.option("--imei", default="300234010753370", show_default=True)
@click.option(
    "--mt",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="A message to the float.",
)
def emulate(
    fail: float,
    hidden: float,
    mute: float,
    hang: float,
    weak: float,
    fast: bool,
    seed: int,
    out: Path | None,
    directip: str | None,
    imei: str,
    mt: tuple[Path, ...],
) -> None:
    """Be a modem on a new pty, whose name is said, until stopped."""
    sky = Sky(fail=fail, hidden=hidden, mute=mute, hang=hang, weak=weak)
    if fast:
        sky = replace(sky, session_s=(0.5, 1.5), signal_s=(0.1, 0.3))
    peer = SbdModem(sky, seed=seed, utc_ms_at_0=time.time_ns() // 1_000_000)
    peer.gateway.to_float.extend(file.read_bytes() for file in mt)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    stopped = _stop_on_signal()
    begun_s = time.monotonic()
    with PtyTransport() as pty:
        click.echo(f"modem on {pty.port}")
        line = PortLine(peer, lambda: pty, lambda: time.monotonic() - begun_s)
        while not stopped():
            for session in line.carry(0.2):
                _pass_on(session, out, directip, imei)


def _pass_on(session: Session, out: Path | None, directip: str | None, imei: str) -> None:
    """What the gateway does with a session."""
    size = 0 if session.data is None else len(session.data)
    hidden = "; the modem says that it failed" if session.is_hidden else ""
    click.echo(f"MOMSN {session.momsn}: {size} bytes, {session.credits} credits{hidden}")
    if session.data is None:
        return
    if out is not None:
        write_durably(out / f"{imei}_{session.momsn:06d}.sbd", session.data)
    if directip is not None:
        packet = write_mo(MoMessage(imei, session.momsn, time.time_ns() // 1_000_000_000, session.data))
        host, _, port = directip.rpartition(":")
        try:
            with socket.create_connection((host, int(port)), DIRECTIP_TIMEOUT_S) as line:
                line.sendall(packet)
                taken = read_confirmation(line.recv(64))
        except (OSError, ValueError) as error:
            click.echo(f"DirectIP: {directip} does not take it ({error})")
            return
        click.echo("DirectIP: confirmed" if taken else "DirectIP: not confirmed")


@modem.command()
@click.argument("port")
@click.argument("files", nargs=-1, type=FILE)
@click.option("--baud", type=int, default=19_200, show_default=True)
@click.option("--outbox", type=click.Path(dir_okay=False, path_type=Path), help="Send what waits in it.")
@click.option(
    "--radio-s", type=float, default=900.0, show_default=True, help="Seconds that the radio may be on."
)
@click.option(
    "--received", type=click.Path(file_okay=False, path_type=Path), help="Write messages from shore here."
)
def send(
    port: str, files: tuple[Path, ...], baud: int, outbox: Path | None, radio_s: float, received: Path | None
) -> None:
    """Send FILES, or what waits in an outbox, by the modem on PORT; look for messages from shore."""
    for file in files:
        if not 1 <= file.stat().st_size <= MAX_MESSAGE_BYTES:
            raise click.UsageError(
                f"{file} has {file.stat().st_size} bytes; 1 to {MAX_MESSAGE_BYTES} can be sent"
            )
    stopped = _stop_on_signal()
    if received is not None:
        received.mkdir(parents=True, exist_ok=True)
    came: list[bytes] = []

    def take(data: bytes) -> None:
        came.append(data)
        click.echo(f"a message of {len(data)} bytes from shore")
        if received is not None:
            write_durably(received / f"{len(came):03d}.mt", data)

    SerialTransport(port, baud).close()  # a wrong port is told at once
    with (
        tempfile.TemporaryDirectory(prefix="seston-") as folder,
        Outbox(outbox or Path(folder) / "outbox.sqlite") as box,
    ):
        if files:
            box.put(0, [file.read_bytes() for file in files], time.time_ns() // 1_000_000)
        driver = SbdDriver(jitter=random.random)
        line = PortLine(driver, lambda: SerialTransport(port, baud))
        link = ModemLink(box, driver, line, lambda: time.time_ns() // 1_000_000, take, say=click.echo)
        link.open(radio_s)
        link.poll(0.0)
        while not stopped() and not link.is_idle:
            link.poll(0.5)
        left, left_bytes = box.waiting_bytes()
        link.release()
    click.echo(f"{link.counts.delivered} delivered, {left} of {left_bytes} bytes wait, {len(came)} came")
    if left:
        raise SystemExit(1)


def _stop_on_signal() -> Callable[[], bool]:
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: stopped.append(received))
    return lambda: bool(stopped)
