"""A host of a UVP6, or of an instrument that speaks as one: checks, starts, and gathers its frames. Pure."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from firmware_bridge.errors import MisuseError
from firmware_bridge.sans_io import NEVER_S
from firmware_bridge.uvp6.lines import (
    Configuration,
    DataFrame,
    Generation,
    Instant,
    read_configuration,
    read_frame,
)
from firmware_bridge.uvp6.splitter import Splitter

ANSWER_S = 5.0
TRIES = 4


class Step(enum.Enum):
    """What the host waits for."""

    HARDWARE = "hardware"
    HALT = "halt"
    """It is busy with an acquisition that this host does not know of: its own, from before a reset."""
    CONFIGURATION = "configuration"
    CLOCK = "clock"
    READY = "ready"
    START = "start"
    RUNNING = "running"
    STOP = "stop"
    MUTE = "mute"


@dataclass(frozen=True, slots=True)
class Known:
    """The instrument has told who it is, and which configuration it has."""

    hardware: Configuration
    acquisition: Configuration


@dataclass(frozen=True, slots=True)
class Begun:
    """The acquisition has begun."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The instrument has stopped."""


@dataclass(frozen=True, slots=True)
class Busy:
    """An acquisition was running when this host came: it is being stopped, since whose it is is not known."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """The instrument has begun anew in the middle of an acquisition: it is to be started again."""


@dataclass(frozen=True, slots=True)
class Came:
    """A frame of data."""

    frame: DataFrame
    line: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that says nothing."""

    line: str
    why: str


@dataclass(frozen=True, slots=True)
class Fault:
    """The instrument says an error: 44 is an over-exposed bloc, 20 to 22 its power, 30 to 33 our command."""

    code: int


@dataclass(frozen=True, slots=True)
class Mute:
    """No answer, tried several times: to what."""

    command: str


Event = Known | Begun | Ended | Busy | Restarted | Came | Malformed | Fault | Mute
_FINDS_IT_BUSY = (Step.HARDWARE, Step.CONFIGURATION, Step.CLOCK, Step.START)
_ASKS_ON_HARDWARE = (Step.HARDWARE, Step.HALT, Step.RUNNING, Step.STOP, Step.MUTE)


class Host:
    """A host, as a `sans_io.Peer`: it checks the instrument by itself, and starts and stops it when asked.

    Parameters
    ----------
    acquisition
        Name of the configuration to start with.
    """

    def __init__(self, acquisition: str) -> None:
        self.step = Step.HARDWARE
        self.malformed = 0
        self._name = acquisition
        self._splitter = Splitter()
        self._out = bytearray()
        self._events: list[Event] = []
        self._now_s = 0.0
        self._due_s = 0.0
        self._tries = 0
        self._command = ""
        self._is_timed = True
        """Whether `due_s` is that of the last command: its owner asks at a time that is not told here."""
        self._is_clock_told = False
        self._hardware: Configuration | None = None
        self._acquisition: Configuration | None = None

    @property
    def generation(self) -> Generation | None:
        """Firmware of the instrument, once it is known."""
        return None if self._hardware is None else self._hardware.generation

    def go_on(self, at: Instant | None, *, wanted: bool) -> str:
        """Give the next command on the way to an acquisition, or out of one, when the last is done.

        To be called again and again: an instrument that has begun anew gets the time and is started again.

        Parameters
        ----------
        at
            The time to set its clock to; None leaves its clock alone.
        wanted
            Whether there is to be an acquisition.

        Returns
        -------
        str
            The command that it gave, or an empty string.
        """
        match self.step:
            case Step.READY if wanted and at is not None and not self._is_clock_told:
                self.set_clock(at)
            case Step.READY if wanted:
                self.start()
            case Step.RUNNING if not wanted:
                self.stop()
            case _:
                return ""
        return self._command

    def start(self, at: Instant | None = None) -> None:
        """Start the acquisition, and tell the time where there is one."""
        if self.step is not Step.READY:
            raise MisuseError(f"the instrument is not ready, it is {self.step.value}")
        told = "" if at is None else f",{at.date},{at.time}"
        self._ask(Step.START, f"$start:{self._name}{told};")

    def set_clock(self, at: Instant) -> None:
        """Set the instrument's clock."""
        if self.step is not Step.READY:
            raise MisuseError(f"the instrument is not ready, it is {self.step.value}")
        self._is_clock_told = True
        self._ask(Step.CLOCK, f"$RTCset:{at.date},{at.time};")

    def stop(self) -> None:
        """Stop the acquisition; the command goes until it is acknowledged."""
        self._ask(Step.STOP, "$stop;")

    def receive(self, data: bytes, now_s: float) -> Sequence[Event]:
        """See `sans_io.Peer`."""
        self._now_s = max(self._now_s, now_s)
        self._events = []
        for line in self._splitter.feed(data):
            self._on(line)
        if self._is_timed and self._due_s <= self._now_s:
            self._on_due()
        if not self._is_timed:
            self._is_timed, self._due_s = True, self._now_s + ANSWER_S
        return self._events

    def to_send(self, limit_bytes: int) -> bytes:
        """See `sans_io.Peer`."""
        taken = bytes(self._out[:limit_bytes])
        del self._out[: len(taken)]
        return taken

    def due_s(self) -> float:
        """See `sans_io.Peer`."""
        return self._due_s if self._is_timed else self._now_s

    def _ask(self, step: Step, command: str) -> None:
        self.step, self._command, self._tries = step, command, 0
        self._send()

    def _send(self) -> None:
        self._tries += 1
        self._out += self._command.encode("ascii") + b"\r\n"
        self._is_timed = False

    def _settle(self, step: Step) -> None:
        self.step, self._due_s, self._is_timed = step, NEVER_S, True

    def _on_due(self) -> None:
        if not self._command:
            self._ask(Step.HARDWARE, "$hwconfcheck;")
        elif self._tries < TRIES:
            self._send()
        else:
            self._settle(Step.MUTE)
            self._events.append(Mute(self._command))

    def _on(self, line: str) -> None:
        bare = line.removeprefix("$")
        if bare.startswith(("LPM_DATA", "BLACK_DATA", "TAXO_DATA")):
            frame = read_frame(bare)
            if isinstance(frame, str):
                self._mar(line, frame)
            else:
                self._events.append(Came(frame, bare))
                if self.step is Step.START:  # its acknowledgement was lost
                    self._begun()
            return
        if bare.startswith(("HW_CONF", "ACQ_CONF", "TAXO_CONF")):
            self._on_configuration(line)
            return
        match bare:
            case "startack;" if self.step is Step.START:
                self._begun()
            case "stopack;" if self.step is Step.STOP:
                self._settle(Step.READY)
                self._events.append(Ended())
            case "stopack;" if self.step is Step.HALT:
                self._ask(Step.HARDWARE, "$hwconfcheck;")
            case _ if bare.startswith("starterr:") and bare[9:-1].isdigit():
                self._on_error(int(bare[9:-1]))
            case _ if bare.startswith("RTCset:") and self.step is Step.CLOCK:
                self._settle(Step.READY)
            case "autocheckpassed;" | "startack;" | "stopack;":
                return
            case _ if bare.startswith(("RTC", "VERSION", "POWERPU")):
                return
            case _:
                self._mar(line, "nothing that a UVP6 says")

    def _begun(self) -> None:
        self._settle(Step.RUNNING)
        self._events.append(Begun())

    def _on_error(self, code: int) -> None:
        self._events.append(Fault(code))
        if self.step in (Step.STOP, Step.HALT) and code == 33:
            if self._tries == 1:  # the usual answer to the first of them; later ones are tried again in time
                self._send()
        elif self.step is Step.START and code == 33 and self._tries > 1:
            self._begun()  # the first was heard, its acknowledgement lost
        elif self.step in _FINDS_IT_BUSY and code == 33:
            self._is_clock_told = False
            self._events.append(Busy())
            self._ask(Step.HALT, "$stop;")
        elif self.step is Step.START and code == 31:
            self._settle(Step.READY)
        elif self.step is Step.CLOCK:
            self._settle(Step.READY)  # a UVP6 that does not know the command keeps its own clock

    def _on_configuration(self, line: str) -> None:
        found = read_configuration(line, self.generation)
        if isinstance(found, str):
            self._mar(line, found)
            return
        if found.kind == "HW_CONF":
            self._hardware = found
            is_unasked = line.startswith("HW_CONF")  # it has been switched on
            self._is_clock_told &= not is_unasked
            if self.step in (Step.RUNNING, Step.STOP):
                self._events.append(Restarted())
            if self.step in _ASKS_ON_HARDWARE or (is_unasked and self.step is not Step.CONFIGURATION):
                self._ask(Step.CONFIGURATION, f"$confcheck:{self._name};")
        elif found.kind == "ACQ_CONF" and self.step is Step.CONFIGURATION:
            self._acquisition = found
            self._settle(Step.READY)
            assert self._hardware is not None
            self._events.append(Known(self._hardware, found))

    def _mar(self, line: str, why: str) -> None:
        self.malformed += 1
        self._events.append(Malformed(line[:200], why))
