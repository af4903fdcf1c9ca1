"""What `seston run` needs beyond a dive, as a configuration says it: camera, host, pressure, modem, folders.

The part of `edge.config` that is about what the instrument is tied to; what is done in a dive is there.
"""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec

from edge.structs import Length, Section
from firmware_bridge.ctd import QUANTITIES, LineFormat


class CameraKind(enum.StrEnum):
    """Cameras that `seston run` can drive."""

    REPLAY = "replay"
    V4L2 = "v4l2"
    PICAMERA2 = "picamera2"
    GENICAM = "genicam"


class Trigger(enum.StrEnum):
    """Who says when a frame is taken."""

    FREE = "free"
    SOFTWARE = "software"
    HARDWARE = "hardware"


class Drop(enum.StrEnum):
    """Which frame is given up when nobody has time for all."""

    OLDEST = "oldest"
    NEWEST = "newest"


class CameraConfig(Section, frozen=True):
    """Where `seston run` takes frames from (docs/cameras.md).

    Attributes
    ----------
    kind, source
        `replay` with the folder of a recording; `v4l2` with a device such as /dev/video0; `picamera2` with
        the number of a camera on a Raspberry Pi; `genicam` with the address, name or serial number of a
        camera of GigE Vision or USB3 Vision, or nothing for the first that is found.
    frame_rate_hz
        Frames a second asked of the camera.
    width_px, height_px
        Size of a frame asked of the camera; none leaves it.
    exposure_us, gain
        Fixed exposure, and gain (in dB for `genicam`, a factor for `picamera2`, the driver's own number for
        `v4l2`); none leaves them.
    pixel_format
        `Mono8` for `genicam`, four letters such as `GREY` or `YUYV` for `v4l2`; nothing leaves it.
    trigger, trigger_line
        The camera itself (`free`), we (`software`) or a signal on its line (`hardware`); of `genicam` alone.
    packet_bytes
        Size of packets on the network; none leaves it.
    queue_frames, drop
        Frames that may wait while others are looked at, and which of them is dropped when one more comes.
    strobe
        Who lights: the `camera`, the `host`, or we on a line of a GPIO chip (`gpio:17`, `gpio:gpiochip4:17`).
    black_every
        One of so many frames is taken without light, to know the noise; 0: none.
    """

    kind: CameraKind = CameraKind.V4L2
    source: str = "/dev/video0"
    frame_rate_hz: Length = 1.0
    width_px: Annotated[int, msgspec.Meta(ge=16, le=16_384)] | None = None
    height_px: Annotated[int, msgspec.Meta(ge=16, le=16_384)] | None = None
    exposure_us: Annotated[float, msgspec.Meta(gt=0, le=1e7)] | None = None
    gain: Annotated[float, msgspec.Meta(ge=0, le=1000)] | None = None
    pixel_format: Annotated[str, msgspec.Meta(max_length=32)] = ""
    trigger: Trigger = Trigger.FREE
    trigger_line: Annotated[str, msgspec.Meta(min_length=1, max_length=32)] = "Line1"
    packet_bytes: Annotated[int, msgspec.Meta(ge=220, le=16_384)] | None = None
    queue_frames: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    drop: Drop = Drop.OLDEST
    strobe: Annotated[str, msgspec.Meta(pattern="^(camera|host|gpio:(gpiochip[0-9]+:)?[0-9]{1,3})$")] = (
        "camera"
    )
    black_every: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0

    def __post_init__(self) -> None:
        if (self.width_px is None) != (self.height_px is None):
            raise ValueError("width_px and height_px go together")
        if self.trigger is not Trigger.FREE and self.kind is not CameraKind.GENICAM:
            raise ValueError(f'trigger "{self.trigger}" needs kind "genicam"')
        if self.kind is CameraKind.GENICAM and self.pixel_format not in ("", "Mono8"):
            raise ValueError(f'pixel_format is "{self.pixel_format}"; a genicam gives Mono8')
        if self.kind is CameraKind.V4L2 and len(self.pixel_format) not in (0, 4):
            raise ValueError(f'pixel_format is "{self.pixel_format}"; a v4l2 has four letters, such as GREY')
        if self.black_every and not (self.trigger is Trigger.SOFTWARE and self.strobe.startswith("gpio:")):
            raise ValueError('black_every needs trigger "software" and a strobe on a gpio line')


class HostKind(enum.StrEnum):
    """Who commands `seston run`."""

    NONE = "none"
    NATIVE = "native"
    UVP6 = "uvp6"


class HostConfig(Section, frozen=True):
    """The float's side of the line that commands the instrument.

    Attributes
    ----------
    kind
        `none`: pressure alone decides; `native`: a float on the native link (docs/link.md); `uvp6`: a float
        that hosts a UVP6.
    port, baud
        Serial device or pty and its speed; or, on the bench, tcp:HOST:PORT.
    """

    kind: HostKind = HostKind.NONE
    port: str = "/dev/ttyAMA0"
    baud: Annotated[int, msgspec.Meta(ge=300)] = 9600


_SWITCH = "(gpio:(gpiochip[0-9]+:)?[0-9]{1,3}|file:/[^ ]+)"


class DeckConfig(Section, frozen=True):
    """The network port of the deck, for logs and updates (docs/fetch.md); none by default.

    Attributes
    ----------
    switch
        What has to be set on deck for it: a line of a GPIO chip that is pulled up and set at ground
        (`gpio:17`, `gpio:gpiochip4:17`), or a file that is there when it is set
        (`file:/media/deck/seston.key`); several with spaces between, any of which is enough. Without one, a
        signed command alone opens it.
    listen
        Address and port of this machine, such as that of its USB cable: 192.168.7.2:4573. Without it nothing
        is ever opened.
    """

    switch: Annotated[
        str,
        msgspec.Meta(pattern=f"^({_SWITCH}( {_SWITCH})*)?$", max_length=1000),
    ] = ""
    listen: Annotated[str, msgspec.Meta(pattern="^(|[^:\\s]+:[0-9]{1,5})$", max_length=300)] = ""

    def __post_init__(self) -> None:
        if self.switch and not self.listen:
            raise ValueError("listen is missing: where the port is while the switch is set")


class PressureSource(enum.StrEnum):
    """Where pressure comes from."""

    PORT = "port"
    HOST = "host"


class Delivery(enum.StrEnum):
    """Who takes the messages."""

    FOLDER = "folder"
    HOST = "host"
    MODEM = "modem"


class ModemKind(enum.StrEnum):
    """Satellite modems that are driven."""

    SBD = "sbd"
    IMT = "imt"
    RUDICS = "rudics"


IMT_BAUD = 230_400


class ModemConfig(Section, frozen=True):
    """The satellite modem of a platform that has nobody else to drive it.

    Attributes
    ----------
    kind
        `sbd`: Iridium 9602 or 9603; `imt`: RockBLOCK 9704; `rudics`: a modem with data calls.
    port, baud
        Serial device or pty, and its speed: that of `imt` is 230400.
    number
        That `rudics` calls.
    radio_s
        Seconds that the radio may be on, looking for a signal or in sessions, each time at the surface.
    """

    kind: ModemKind = ModemKind.SBD
    port: str = "/dev/ttyUSB0"
    baud: Annotated[int, msgspec.Meta(ge=300)] = 19_200
    number: Annotated[str, msgspec.Meta(pattern="^[0-9]{0,20}$")] = ""
    radio_s: Length = 900.0

    def __post_init__(self) -> None:
        if self.kind is ModemKind.RUDICS and not self.number:
            raise ValueError("number is missing; rudics calls one")
        if self.kind is ModemKind.IMT and self.baud != IMT_BAUD:
            raise ValueError(f"baud is {self.baud}; a RockBLOCK 9704 speaks at {IMT_BAUD}")


class PressureConfig(Section, frozen=True):
    """Where `seston run` takes pressure from.

    Attributes
    ----------
    source
        `port`: lines of a sensor or a float on a port of its own; `host`: the host of `[run.host]` tells it.
    port, baud
        Serial device or pty of the sensor, and its speed.
    stale_s
        A reading older than this is not used: frames then have no pressure.
    format
        Of the lines: `pressure-first` (P, T, S), `sbe41`, `sbe37`, `sbe49` or `rbr`.
    columns
        Order of the line's numbers where it is not the format's, as RBR's is the unit's own: pressure_dbar,
        temperature_c, salinity, conductivity, other.
    """

    source: PressureSource = PressureSource.PORT
    format: LineFormat = LineFormat.PRESSURE_FIRST
    columns: tuple[str, ...] = ()
    port: str = "/dev/ttyAMA0"
    baud: Annotated[int, msgspec.Meta(ge=300)] = 9600
    stale_s: Length = 10.0

    def __post_init__(self) -> None:
        unknown = [name for name in self.columns if name not in QUANTITIES]
        if unknown:
            raise ValueError(f"columns names {unknown[0]}; {', '.join(QUANTITIES)} are known")
        if self.columns and self.columns.count("pressure_dbar") != 1:
            raise ValueError("columns must name pressure_dbar once")


class RunConfig(Section, frozen=True):
    """What `seston run` needs beyond a dive: camera, host, pressure, folders.

    Attributes
    ----------
    deliver
        Who takes the messages: a `folder` (`messages_dir`), the `host`, or the `modem`.
    deck
        Where logs may be fetched on deck.
    """

    camera: CameraConfig = CameraConfig()
    host: HostConfig = HostConfig()
    pressure: PressureConfig = PressureConfig()
    deliver: Delivery = Delivery.FOLDER
    modem: ModemConfig = ModemConfig()
    deck: DeckConfig = DeckConfig()
    messages_dir: str = "messages"
    dives_dir: str = "dives"

    def __post_init__(self) -> None:
        is_native = self.host.kind is HostKind.NATIVE
        if self.pressure.source is PressureSource.HOST and not is_native:
            raise ValueError('pressure.source "host" needs host.kind "native"')
        if self.deliver is Delivery.HOST and not is_native:
            raise ValueError('deliver "host" needs host.kind "native"')
        if (
            self.host.kind is not HostKind.NONE
            and self.pressure.source is PressureSource.PORT
            and self.pressure.port == self.host.port
        ):
            raise ValueError(f"host and pressure cannot both have the port {self.host.port}")
