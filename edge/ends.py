"""The ends of the instrument: where frames, pressure and commands come from, where messages go.

The configuration names them; a simulation gives others (`Tie`, `Replay`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edge.cameras.camera import Camera, Device
from edge.cameras.capture import LiveCamera
from edge.cameras.genicam import GenicamCamera
from edge.cameras.picamera import PiCamera
from edge.cameras.replay import ReplayCamera
from edge.cameras.strobe import LateStrobe, open_strobe
from edge.cameras.v4l2 import V4L2Camera
from edge.clock import Clock, WallClock
from edge.config import Config
from edge.errors import BundleError, SestonError
from edge.fetching import Shelf
from edge.frame import Frame
from edge.hosts import Host, NativeHost, NoHost
from edge.inference.bundle import Bundle
from edge.inference.classifier import Classifier, Namer, Nobody
from edge.inference.worker import WorkerClassifier
from edge.instrument import Observer
from edge.intake import Intake
from edge.logged import optics_of
from edge.recording import INFO_FILE, SENSORS_FILE, open_recording
from edge.run_config import CameraConfig, CameraKind, HostKind, ModemConfig, ModemKind
from edge.uvp6_host import Uvp6Host, personality_of
from firmware_bridge.ctd import Reading
from firmware_bridge.errors import TransportError
from firmware_bridge.iridium.driver import Driver
from firmware_bridge.iridium.imt import ImtDriver
from firmware_bridge.iridium.rudics import RudicsDriver
from firmware_bridge.iridium.sbd import SbdDriver
from firmware_bridge.link import ALL_CAPABILITIES
from firmware_bridge.link import Peer as LinkPeer
from firmware_bridge.link_records import Role
from firmware_bridge.link_wire import VISITOR, Capability
from firmware_bridge.sans_io import Line, Peer
from firmware_bridge.transport import PortLine, open_transport

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


def tie_to_ports(monotonic_s: Callable[[], float], alarm: Callable[[str], None] | None = None) -> Tie:
    """Ties to real ports; raises `TransportError` when one cannot be opened: that is known on deck.

    With an `alarm` it takes that sentence, and the port is opened again and again.
    """

    def tie(peer: Peer[Any], port: str, baud: int) -> Line[Any]:
        line = PortLine(peer, lambda: open_transport(port, baud), monotonic_s)
        line.carry(0.0)
        if line.fault and alarm is None:
            raise TransportError(line.fault)
        if line.fault and alarm is not None:
            alarm(f"ALARM: {line.fault}")
        return line

    return tie


def open_host(
    config: Config, bundle: Bundle, clock: Clock, wall: WallClock, tie: Tie, shelf: Shelf, intake: Intake
) -> Host:
    """Who commands, as configured; on the native link logs may be asked for too, and updates brought."""
    host = config.run.host
    if host.kind is HostKind.NONE:
        return NoHost(clock.sleep)
    if host.kind is HostKind.UVP6:
        optics = optics_of(config)
        uvp6 = personality_of(config, optics, bundle.counted_taxa, bundle.sha256, wall.now_ms)
        line = tie(uvp6, host.port, host.baud)
        return Uvp6Host(uvp6, line, optics, bundle.counted_taxa, config.log.frames_per_bloc)
    own_baud = 0 if host.port.startswith("tcp:") else host.baud
    more = VISITOR | (Capability.SPEED if own_baud else 0)
    peer = LinkPeer(
        Role.INSTRUMENT, wall.boot, capabilities=ALL_CAPABILITIES | more, stored=intake.headers(),
        partial=intake.partial(), judge=intake.judge,
    )  # fmt: skip
    return NativeHost(
        peer, tie(peer, host.port, host.baud), clock.monotonic_s, stale_s=config.run.pressure.stale_s,
        shelf=shelf, intake=intake, own_baud=own_baud,
    )  # fmt: skip


def open_driver(modem: ModemConfig, boot: int) -> Driver:
    """Our end of the configured modem's line."""
    match modem.kind:
        case ModemKind.SBD:
            return SbdDriver(jitter=random.random)
        case ModemKind.IMT:
            return ImtDriver(jitter=random.random)
        case ModemKind.RUDICS:
            return RudicsDriver(modem.number, boot, jitter=random.random)


def open_classifier(
    config: Config, bundle: Bundle, say: Callable[[str], None], *, is_replay: bool, is_alone: bool = False
) -> Namer:
    """Who names particles: aboard a process of its own; a replay is named here, the same each time.

    Raises `BundleError` when this machine does not give the bundle's golden outputs; alone at sea that is an
    alarm, and sizes alone are counted.
    """
    told = config.classify
    try:
        if is_replay or not told.own_process:
            return Classifier(bundle, threads=told.threads)
        return WorkerClassifier(
            bundle, threads=told.threads, accelerator=told.accelerator, timeout_s=told.timeout_s, say=say
        )
    except BundleError as error:
        if not is_alone:
            raise
        say(f"ALARM: nothing is classified, sizes alone are counted: {error}")
        return Nobody()


def open_camera(
    camera: CameraConfig,
    wall: WallClock,
    monotonic_s: Callable[[], float],
    say: Callable[[str], None],
    *,
    must_open: bool = True,
) -> Camera:
    """Open the configured camera at once: a wrong one is known on deck. Its frames come from a dive on."""
    if camera.kind is not CameraKind.REPLAY:
        strobe = open_strobe(camera.strobe) if must_open else LateStrobe(lambda: open_strobe(camera.strobe))
        try:
            return LiveCamera(
                camera, lambda hz: _open_device(camera, hz), strobe, wall, monotonic_s, say,
                must_open=must_open,
            )  # fmt: skip
        except SestonError:
            strobe.close()
            raise
    source = Path(camera.source)
    described, has_sensors = (source / INFO_FILE).is_file(), (source / SENSORS_FILE).is_file()
    recording = open_recording(
        source,
        fps=None if described else camera.frame_rate_hz,
        pressure=None if has_sensors else (0.0, 0.0),  # aboard, pressure comes from the port
    )
    return ReplayCamera(recording.frames())


def _open_device(camera: CameraConfig, frame_rate_hz: float) -> Device:
    match camera.kind:
        case CameraKind.PICAMERA2:
            return PiCamera(camera, frame_rate_hz)
        case CameraKind.GENICAM:
            return GenicamCamera(camera, frame_rate_hz)
        case _:
            return V4L2Camera(camera, frame_rate_hz)
