"""The instrument as a UVP6: answers a host's commands as the vendor's does, and sends a frame a bloc. Pure.

What the specification does not show is ours and is said here: the answers to `$RTCread;`, `$RTCset:...;`,
`$POWERPUset:n;` and `$VERSION;` repeat the command's name with the value.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from firmware_bridge.errors import MisuseError
from firmware_bridge.sans_io import NEVER_S
from firmware_bridge.uvp6.lines import (
    N_CLASSES,
    BlackFrame,
    Configuration,
    Instant,
    LpmFrame,
    TaxoFrame,
    read_instant,
    write_configuration,
    write_frame,
)
from firmware_bridge.uvp6.splitter import Splitter

MAX_COMMAND_BYTES = 64
MAX_WAITING_BYTES = 1 << 17
"""Of frames that the line has not taken yet: at 38400 baud, half a minute."""
NO_TAXO = "NO_RE"
END = "\r\n"


class Code(enum.IntEnum):
    """Errors that a UVP6 tells."""

    INVALID_COMMAND = 30
    BAD_PARAMETERS = 31
    BUSY = 33
    OVER_EXPOSED = 44


class State(enum.Enum):
    """What it does."""

    AWAKE = "awake"
    ACQUIRING = "acquiring"
    STOPPING = "stopping"
    """It has heard `$stop;` once, and has said that it is busy."""


@dataclass(frozen=True, slots=True)
class Started:
    """An acquisition begins: with which configuration, and at which time the host says it is."""

    acquisition: Configuration
    at: Instant | None


@dataclass(frozen=True, slots=True)
class Stopped:
    """The acquisition is over."""


@dataclass(frozen=True, slots=True)
class ClockSet:
    """The host says what time it is."""

    at: Instant


@dataclass(frozen=True, slots=True)
class Refused:
    """A command was answered with an error."""

    command: str
    code: Code


Event = Started | Stopped | ClockSet | Refused


class Personality:
    """A UVP6, as a `sans_io.Peer`.

    Parameters
    ----------
    hardware
        HW_CONF; it is sent at power-on, unasked.
    acquisitions, taxonomies
        By configuration name.
    clock
        Gives UTC now.

    Attributes
    ----------
    dropped
        Frames that the line was too slow for.
    now_s, heard_s
        When it was last called, and when the host's last command came, seconds as `receive` has them.
    before_stop
        Called before an acquisition's end is acknowledged: the bloc in the making is still taken.
    """

    def __init__(
        self,
        hardware: Configuration,
        acquisitions: Mapping[str, Configuration],
        taxonomies: Mapping[str, Configuration],
        clock: Callable[[], Instant],
        *,
        version: str = "seston",
    ) -> None:
        self.state = State.AWAKE
        self.dropped = 0
        self.now_s, self.heard_s = 0.0, -math.inf
        self.before_stop: Callable[[], None] = lambda: None
        self._hardware, self._acquisitions, self._taxonomies = hardware, acquisitions, taxonomies
        self._clock, self._version = clock, version
        self._splitter = Splitter("$", MAX_COMMAND_BYTES)
        self._out = bytearray()
        self._events: list[Event] = []
        self._say(write_configuration(hardware))

    def receive(self, data: bytes, now_s: float) -> Sequence[Event]:
        """See `sans_io.Peer`."""
        self._events = []
        self.now_s = max(self.now_s, now_s)
        for line in self._splitter.feed(data):
            self._on_command(line[1:-1].strip())
        return self._events

    def to_send(self, limit_bytes: int) -> bytes:
        """See `sans_io.Peer`."""
        taken = bytes(self._out[:limit_bytes])
        del self._out[: len(taken)]
        return taken

    def due_s(self) -> float:
        """See `sans_io.Peer`."""
        return NEVER_S

    # What its owner gives

    def send_black(self, frame: BlackFrame) -> None:
        """An unlit bloc; an acquisition begins with one."""
        self._frames(frame)

    def send_lit(self, frame: LpmFrame, taxo: TaxoFrame | None = None) -> None:
        """A lit bloc: what was classified goes before what was counted."""
        self._frames(*([] if taxo is None else [taxo]), frame)

    def send_over_exposed(self, frame: LpmFrame, *, classifies: bool) -> None:
        """A bloc without one frame that could be analysed: its pressure and time count, nothing else."""
        empty = replace(frame, n_images=0, counts=(0,) * N_CLASSES, greys=(0,) * N_CLASSES)
        self._say(f"$starterr:{Code.OVER_EXPOSED};")
        self._frames(*([TaxoFrame(0)] if classifies else []), empty)

    def _frames(self, *frames: LpmFrame | BlackFrame | TaxoFrame) -> None:
        if self.state is State.AWAKE:
            raise MisuseError("no acquisition has been started")
        text = "".join(write_frame(frame) + END for frame in frames).encode("ascii")
        if len(self._out) + len(text) > MAX_WAITING_BYTES:
            self.dropped += len(frames)
            return
        self._out += text

    def _say(self, line: str) -> None:
        if len(self._out) < MAX_WAITING_BYTES:
            self._out += (line + END).encode("latin1")

    # Commands

    def _on_command(self, command: str) -> None:
        name, _, value = command.partition(":")
        handler = _COMMANDS.get((name, bool(value)))
        if handler is None:
            self._refuse(command, Code.INVALID_COMMAND)
            return
        self.heard_s = self.now_s
        if self.state is not State.AWAKE and name not in _WHILE_ACQUIRING:
            self._refuse(command, Code.BUSY)
        else:
            handler(self, value)

    def _refuse(self, command: str, code: Code) -> None:
        self._say(f"$starterr:{code};")
        self._events.append(Refused(command, code))

    def _hwconfcheck(self, value: str) -> None:
        self._say("$" + write_configuration(self._hardware))

    def _confcheck(self, value: str) -> None:
        self._check(self._acquisitions.get(value), f"confcheck:{value}")

    def _taxocheck(self, value: str) -> None:
        self._check(self._taxonomies.get(value), f"taxocheck:{value}")

    def _check(self, found: Configuration | None, command: str) -> None:
        if found is None:
            self._refuse(command, Code.BAD_PARAMETERS)
        else:
            self._say("$" + write_configuration(found))

    def _autocheck(self, value: str) -> None:
        self._say("$autocheckpassed;")

    def _start(self, value: str) -> None:
        name, *told = value.split(",")
        acquisition = self._acquisitions.get(name)
        at = read_instant(*told) if len(told) == 2 else None
        if acquisition is None or (told and at is None):
            self._refuse(f"start:{value}", Code.BAD_PARAMETERS)
            return
        taxo_name = acquisition.values.get("Taxo_conf", acquisition.values.get("Taxo_flag", NO_TAXO))
        taxonomy = self._taxonomies.get(taxo_name)
        self._say(write_configuration(acquisition))
        if taxonomy is not None:
            self._say(write_configuration(taxonomy))
        self._say("$startack;")
        self.state = State.ACQUIRING
        self._events.append(Started(acquisition, at))

    def _stop(self, value: str) -> None:
        if self.state is State.ACQUIRING:
            self.state = State.STOPPING
            self._refuse("stop", Code.BUSY)
            return
        if self.state is State.STOPPING:
            self.before_stop()
            self._events.append(Stopped())
        self.state = State.AWAKE
        self._say("$stopack;")

    def _rtc_read(self, value: str) -> None:
        now = self._clock()
        self._say(f"$RTCread:{now.date},{now.time};")

    def _rtc_set(self, value: str) -> None:
        told = value.split(",")
        at = read_instant(*told) if len(told) == 2 else None
        if at is None:
            self._refuse(f"RTCset:{value}", Code.BAD_PARAMETERS)
            return
        self._events.append(ClockSet(at))
        self._say(f"$RTCset:{at.date},{at.time};")

    def _tell_version(self, value: str) -> None:
        self._say(f"$VERSION:{self._version};")

    def _help(self, value: str) -> None:
        for name, takes in _COMMANDS:
            self._say(f"${name}{':' if takes else ''};")

    def _power_up(self, value: str) -> None:
        if re.fullmatch("[01]", value):
            self._say(f"$POWERPUset:{value};")
        else:
            self._refuse(f"POWERPUset:{value}", Code.BAD_PARAMETERS)


_COMMANDS: dict[tuple[str, bool], Callable[[Personality, str], None]] = {
    ("hwconfcheck", False): Personality._hwconfcheck,
    ("confcheck", True): Personality._confcheck,
    ("taxocheck", True): Personality._taxocheck,
    ("autocheck", False): Personality._autocheck,
    ("start", True): Personality._start,
    ("stop", False): Personality._stop,
    ("RTCread", False): Personality._rtc_read,
    ("RTCset", True): Personality._rtc_set,
    ("VERSION", False): Personality._tell_version,
    ("HELP", False): Personality._help,
    ("POWERPUset", True): Personality._power_up,
}
"""By name, and whether a value follows."""
_WHILE_ACQUIRING = {"stop"}
"""All others find it busy."""
