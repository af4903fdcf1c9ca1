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
from firmware_bridge.errors import TransportError
from firmware_bridge.iridium.directip import MoMessage, read_confirmation, write_mo
from firmware_bridge.iridium.driver import Driver
from firmware_bridge.iridium.emulator import SbdModem
from firmware_bridge.iridium.imt import BAUD as IMT_BAUD
from firmware_bridge.iridium.imt import ImtDriver
from firmware_bridge.iridium.imt_emulator import ImtModem
from firmware_bridge.iridium.rudics import RudicsDriver
from firmware_bridge.iridium.rudics_emulator import Dialled, Event, HungUp, RudicsModem, ToShore
from firmware_bridge.iridium.sbd import SbdDriver
from firmware_bridge.iridium.sky import Session, Sky
from firmware_bridge.transport import PortLine, PtyTransport, SerialTransport, TcpTransport

DIRECTIP_TIMEOUT_S = 10.0
MAX_DIRECTIP_BYTES = 65_000
"""What a packet's 16 bits of length leave for a message."""
CARRY_S, CALL_CARRY_S = 0.2, 0.02
"""How long the port is served before shore's end of a call is looked at."""
KIND = click.Choice(["sbd", "imt", "rudics"])
SHARE = click.FloatRange(0, 1)
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def modem() -> None:
    """Emulate an Iridium modem, or send with one."""


@modem.command()
@click.option(
    "--kind", type=KIND, default="sbd", show_default=True, help="9602 or 9603; 9704; or a modem with calls."
)
@click.option("--fail", type=SHARE, default=0.0, help="Share of sessions that fail and say so.")
@click.option(
    "--hidden", type=SHARE, default=0.0, help="... that deliver and say that they failed; calls go dead."
)
@click.option("--mute", type=SHARE, default=0.0, help="... that end without an answer.")
@click.option("--hang", type=SHARE, default=0.0, help="... that leave the modem deaf.")
@click.option("--weak", type=SHARE, default=0.0, help="Share of looks at the signal that find almost none.")
@click.option(
    "--call-s",
    type=click.FloatRange(min=1.0),
    help="Mean seconds until a call is cut (rudics); default: never.",
)
@click.option("--fast", is_flag=True, help="Sessions of a second, not of half a minute; calls of 4 kB/s.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Write messages here, as .sbd files."
)
@click.option("--directip", metavar="HOST:PORT", help="Send messages there, as the gateway does.")
@click.option("--shore", metavar="HOST:PORT", help="Where calls go (rudics): `seston receive --rudics`.")
@click.option("--imei", default="300234010753370", show_default=True)
@click.option(
    "--mt",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="A message to the float.",
)
def emulate(
    kind: str,
    fail: float,
    hidden: float,
    mute: float,
    hang: float,
    weak: float,
    call_s: float | None,
    fast: bool,
    seed: int,
    out: Path | None,
    directip: str | None,
    shore: str | None,
    imei: str,
    mt: tuple[Path, ...],
) -> None:
    """Be a modem on a new pty, whose name is said, until stopped."""
    if (kind == "rudics") != (shore is not None):
        raise click.UsageError("--kind rudics and --shore go together: calls go there")
    if kind == "rudics" and (out or directip or mt):
        raise click.UsageError("--out, --directip and --mt are for sbd and imt: calls go to --shore alone")
    sky = Sky(fail=fail, hidden=hidden, mute=mute, hang=hang, weak=weak)
    if call_s is not None:
        sky = replace(sky, call_s=call_s)
    if fast:
        sky = replace(
            sky, session_s=(0.5, 1.5), signal_s=(0.1, 0.3), call_bytes_s=4000.0, delay_s=0.1
        )  # fmt: skip
    if shore is not None:
        _emulate_calls(RudicsModem(sky, seed=seed), *_address(shore))
        return
    peer: SbdModem | ImtModem
    if kind == "imt":
        peer = ImtModem(sky, seed=seed)
    else:
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
            for session in line.carry(CARRY_S):
                _pass_on(session, out, directip, imei)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise click.UsageError(f"--shore is {text}; HOST:PORT is expected")
    return host, int(port)


class Shore:
    """Shore's end of an emulated modem's calls: a TCP connection for each."""

    def __init__(self, modem: RudicsModem, host: str, port: int) -> None:
        self._modem, self._host, self._port = modem, host, port
        self._call: TcpTransport | None = None

    def on(self, event: Event) -> None:
        """Do at shore's end what the modem says."""
        match event:
            case Dialled(number):
                self._dialled(number)
            case ToShore(data) if self._call is not None:
                self._or_gone(lambda call: call.write(data))
            case HungUp():
                self.hang_up("the call is over")

    def carry(self) -> bool:
        """Bring what shore says; whether there is a call."""
        self._or_gone(lambda call: self._modem.from_shore(call.read()))
        return self._call is not None

    def hang_up(self, why: str) -> None:
        """Let the connection go."""
        if self._call is not None:
            click.echo(why)
            self._call.close()
            self._call = None

    def _dialled(self, number: str) -> None:
        try:
            self._call = TcpTransport.connect(self._host, self._port)
        except TransportError as error:
            click.echo(f"{number} is called: {error}")
            self._modem.refused()
            return
        click.echo(f"{number} is called: {self._host}:{self._port} answers")
        self._modem.connected()

    def _or_gone(self, act: Callable[[TcpTransport], None]) -> None:
        if self._call is None:
            return
        try:
            act(self._call)
        except TransportError:
            self.hang_up("shore has hung up")
            self._modem.shore_gone()


def _emulate_calls(peer: RudicsModem, host: str, port: int) -> None:
    stopped = _stop_on_signal()
    begun_s = time.monotonic()
    shore = Shore(peer, host, port)
    with PtyTransport() as pty:
        click.echo(f"modem on {pty.port}")
        line = PortLine(peer, lambda: pty, lambda: time.monotonic() - begun_s)
        while not stopped():
            for event in line.carry(CALL_CARRY_S if shore.carry() else CARRY_S):
                shore.on(event)
    shore.hang_up("stopped")


def _pass_on(session: Session, out: Path | None, directip: str | None, imei: str) -> None:
    """What the gateway does with a session."""
    size = 0 if session.data is None else len(session.data)
    hidden = "; the modem says that it failed" if session.is_hidden else ""
    bill = f", {session.credits} credits" if session.credits else ""
    click.echo(f"MOMSN {session.momsn}: {size} bytes{bill}{hidden}")
    if session.data is None:
        return
    if out is not None:
        write_durably(out / f"{imei}_{session.momsn:06d}.sbd", session.data)
    if directip is not None and size > MAX_DIRECTIP_BYTES:
        click.echo(f"DirectIP: {size} bytes are more than a packet holds")
    elif directip is not None:
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
@click.option("--kind", type=KIND, default="sbd", show_default=True)
@click.option("--number", default="", help="That rudics calls.")
@click.option("--baud", type=int, help="Default: 19200, of imt 230400.")
@click.option("--outbox", type=click.Path(dir_okay=False, path_type=Path), help="Send what waits in it.")
@click.option(
    "--radio-s", type=float, default=900.0, show_default=True, help="Seconds that the radio may be on."
)
@click.option(
    "--received", type=click.Path(file_okay=False, path_type=Path), help="Write messages from shore here."
)
def send(
    port: str,
    files: tuple[Path, ...],
    kind: str,
    number: str,
    baud: int | None,
    outbox: Path | None,
    radio_s: float,
    received: Path | None,
) -> None:
    """Send FILES, or what waits in an outbox, by the modem on PORT; look for messages from shore."""
    if (kind == "rudics") != bool(number):
        raise click.UsageError("--kind rudics and --number go together: it is called")
    driver = _driver(kind, number)
    speed = baud or (IMT_BAUD if kind == "imt" else 19_200)
    for file in files:
        if not 1 <= file.stat().st_size <= driver.max_message_bytes:
            raise click.UsageError(
                f"{file} has {file.stat().st_size} bytes; 1 to {driver.max_message_bytes} can be sent"
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

    SerialTransport(port, speed).close()  # a wrong port is told at once
    with (
        tempfile.TemporaryDirectory(prefix="seston-") as folder,
        Outbox(outbox or Path(folder) / "outbox.sqlite") as box,
    ):
        if files:
            box.put(0, [file.read_bytes() for file in files], time.time_ns() // 1_000_000)
        line = PortLine(driver, lambda: SerialTransport(port, speed))
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


def _driver(kind: str, number: str) -> Driver:
    match kind:
        case "imt":
            return ImtDriver(jitter=random.random)
        case "rudics":
            return RudicsDriver(number, random.randrange(1, 1 << 32), jitter=random.random)
        case _:
            return SbdDriver(jitter=random.random)


def _stop_on_signal() -> Callable[[], bool]:
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: stopped.append(received))
    return lambda: bool(stopped)
