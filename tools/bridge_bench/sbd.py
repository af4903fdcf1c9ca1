"""Many SBD sessions under a bad sky: does every message reach shore once, and what is billed for it?

The real outbox, link and driver against the emulated modem on a simulated clock. Power is cut at random
times: driver and modem lose what they know, the outbox file and the modem's numbers stay.
"""

from __future__ import annotations

import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edge.links import ModemLink
from edge.outbox import Outbox
from firmware_bridge.iridium.emulator import Gateway, SbdModem, Session, Sky
from firmware_bridge.iridium.sbd import SbdDriver
from firmware_bridge.null_modem import NullModem, SimulatedLine

BAUD = 19_200
N_SESSIONS = 10_000
PARTS_OF_DIVE = 8
BAD_SKY = Sky(fail=0.25, hidden=0.05, mute=0.04, hang=0.01, weak=0.2, ring_within=0.3)
"""A third of the sessions fail in some way; one in twenty of all is delivered and reported failed."""
MEAN_BETWEEN_CUTS_S = 1800.0
RADIO_S = 900.0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it.

    Attributes
    ----------
    sessions
        That were begun.
    messages, arrived, lost
        Put into the outbox, with a copy on shore at the end, and not.
    duplicates
        Copies on shore beyond the first: told by their id.
    credits
        Billed, of 50 bytes.
    least_credits
        Of the sessions that brought a message which shore did not have, or of which the sky had hidden that
        it had; and of a mailbox check for each time at the surface and each message to the float.
    cuts
        Of power.
    days
        Of simulated time.
    """

    sessions: int
    messages: int
    arrived: int
    lost: int
    duplicates: int
    credits: int
    least_credits: int
    cuts: int
    days: float

    @property
    def billed(self) -> float:
        """Times the least."""
        return self.credits / self.least_credits


def run(n_sessions: int = N_SESSIONS, sky: Sky = BAD_SKY, seed: int = 1) -> Result:
    """Send messages until so many sessions were begun, then whatever still waits."""
    with tempfile.TemporaryDirectory(prefix="seston-bench-") as folder:
        world = _World(Path(folder), sky, seed)
        while world.sessions < n_sessions:
            world.dive()
        world.finish()
        return world.result()


class _World:
    def __init__(self, folder: Path, sky: Sky, seed: int) -> None:
        self._folder, self._sky, self._seed = folder, sky, seed
        self._draw = random.Random(seed)
        self._gateway = Gateway()
        self._shore: dict[bytes, int] = {}
        self._sent: list[bytes] = []
        self._unsure: set[bytes] = set()
        self._dives = self._boots = 0
        self._now_s = 0.0
        self._credits = self._least = 0
        self._checks_due = self._cuts = 0
        self._cut_due_s = 0.0
        self._start()

    @property
    def sessions(self) -> int:
        """Begun so far."""
        return self._gateway.begun

    def dive(self) -> None:
        """Queue a dive's messages, and stay at the surface until they are sent or the radio rests."""
        parts = [
            b"%03d%02d" % (self._dives % 1000, part) + self._draw.randbytes(self._draw.randint(20, 335))
            for part in range(PARTS_OF_DIVE)
        ]
        self._outbox.put(self._dives & 0xFFFF, parts, 0)
        self._sent += parts
        self._dives += 1
        if self._draw.random() < 0.2:
            self._gateway.to_float.append(b"order" + self._draw.randbytes(20))
            self._checks_due += 1
        self._surface()

    def finish(self) -> None:
        """Surface again and again until nothing waits."""
        for _ in range(1000):
            if not self._outbox.waiting(1):
                return
            self._surface()

    def _surface(self) -> None:
        self._checks_due += 1
        self._link.open(RADIO_S)
        until_s = self._now_s + 6 * 3600
        while self._now_s < until_s:
            self._link.poll(min(60.0, max(0.0, self._cut_due_s - self._now_s)))
            self._now_s = self._modem_line.now_s
            if self._now_s >= self._cut_due_s:
                self._cuts += 1
                self._start()
                self._link.open(RADIO_S)
            if self._link.is_idle:
                break
        self._link.close()

    def _start(self) -> None:
        """Power: the outbox is opened as it was left; driver and modem know nothing."""
        if self._boots:
            self._outbox.close()
        self._boots += 1
        self._outbox: Outbox = Outbox(self._folder / "outbox.sqlite")
        modem = SbdModem(self._sky, seed=self._seed * 100_003 + self._boots, gateway=self._gateway)
        modem.power(self._now_s)
        driver = SbdDriver(radio_s=RADIO_S, jitter=random.Random(self._boots).random)
        driver.receive(b"", self._now_s)
        self._modem_line = NullModem((driver, modem), baud=BAUD, now_s=self._now_s)
        self._link = ModemLink(
            self._outbox, driver, SimulatedLine(self._modem_line, 0, self._on_session),
            lambda: round(1000 * self._now_s), lambda data: None,
            cycle_power=lambda: modem.power(self._modem_line.now_s),
        )  # fmt: skip
        self._cut_due_s = self._now_s + self._draw.expovariate(1 / MEAN_BETWEEN_CUTS_S)

    def _on_session(self, session: Session) -> None:
        """The gateway has completed a session."""
        self._credits += session.credits
        if session.data is None:
            if self._checks_due:
                self._checks_due -= 1
                self._least += session.credits
            return
        seen = self._shore.get(session.data, 0)
        self._shore[session.data] = seen + 1
        # What the sky hid has to be sent again by anybody.
        if not seen or session.data in self._unsure:
            self._least += session.credits
        if session.is_hidden:
            self._unsure.add(session.data)
        else:
            self._unsure.discard(session.data)

    def result(self) -> Result:
        arrived = sum(data in self._shore for data in self._sent)
        strangers = len(self._shore.keys() - set(self._sent))
        if strangers:
            raise RuntimeError(f"{strangers} messages reached shore that nobody sent")
        return Result(
            self.sessions, len(self._sent), arrived, len(self._sent) - arrived,
            sum(self._shore.values()) - len(self._shore), self._credits, self._least, self._cuts,
            self._now_s / 86_400,
        )  # fmt: skip


def table(result: Result) -> list[list[str]]:
    """Rows for a person."""
    return [
        ["sessions begun", f"{result.sessions:,}"],
        ["power cuts", f"{result.cuts:,}"],
        ["messages", f"{result.messages:,}"],
        ["arrived, counted once", f"{result.arrived:,}"],
        ["lost", f"{result.lost:,}"],
        ["copies on shore beyond the first", f"{result.duplicates:,}"],
        ["credits billed", f"{result.credits:,}"],
        ["... times the least", f"{result.billed:.3f}"],
        ["days of simulated time", f"{result.days:.1f}"],
    ]
