"""What becomes of messages: the outbox, and how it is emptied into a host, a modem or a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from edge.durable import write_durably
from edge.errors import SestonError
from edge.hosts import Host
from edge.links import ModemLink
from edge.outbox import Outbox
from edge.run_config import Delivery
from edge.telemetry.climatology import Climatology
from edge.telemetry.codebook import Codebook

OFFERED_AT_ONCE = 32
"""Messages that are handed to a host at a time."""


class Courier:
    """Hands messages over: durable at the other end before they are marked delivered.

    Parameters
    ----------
    outbox
        Of all dives; closed with the courier.
    deliver
        To whom.
    folder
        For messages that go nowhere else, and for what reads messages.
    host, modem
        The ends; the modem is None where there is none.
    """

    def __init__(
        self,
        outbox: Outbox,
        deliver: Delivery,
        folder: Path,
        host: Host,
        modem: ModemLink | None,
        now_ms: Callable[[], int],
        say: Callable[[str], None],
    ) -> None:
        self._outbox, self._deliver, self._folder = outbox, deliver, folder
        self._host, self._modem = host, modem
        self._now_ms, self._say = now_ms, say

    @property
    def is_done(self) -> bool:
        """Whether the modem has done what it could."""
        return self._modem is None or self._modem.is_idle

    def put(
        self, dive: int, messages: Sequence[bytes], codebook: Codebook, region: Climatology | None
    ) -> bool:
        """Queue a dive's messages, and leave beside them what reads them, one file a version of it.

        False when the disk refuses: they are then sent from memory, and wait for nobody after a restart.
        """
        try:
            self._outbox.put(dive, messages, self._now_ms())
        except SestonError as error:
            self._say(f"ALARM: the messages of dive {dive:05d} are in memory alone: {error}")
            self._outbox.go_on_in_memory()
            self._outbox.put(dive, messages, self._now_ms())
        try:
            write_durably(self._folder / f"codebook-{codebook.sha256[:12]}.json", codebook.to_json())
            if region is not None:
                write_durably(self._folder / f"climatology-{region.sha256[:12]}.json", region.to_json())
        except OSError as error:
            self._say(f"what reads the messages is not beside them: {error}")
            return False
        return self._outbox.is_durable

    def surface(self, radio_s: float) -> None:
        """At the surface: hand over what waits, with so many seconds of radio."""
        if self._modem is not None:
            self._modem.open(radio_s)
        self.hand_over()

    def dive(self) -> None:
        """No radio any more."""
        if self._modem is not None:
            self._modem.close()

    def poll(self, wait_s: float) -> float:
        """Serve the modem for at most so long; returns what is left of it for others."""
        if self.is_done or self._modem is None:
            return wait_s
        self._modem.poll(wait_s)
        return 0.0

    def hand_over(self) -> None:
        """Hand waiting messages to the host or into the folder; the modem takes them by itself."""
        try:
            if self._deliver is Delivery.HOST:
                for message in self._host.offer(self._outbox.waiting(OFFERED_AT_ONCE)):
                    self._outbox.attempted(message.dive, message.part)
            elif self._deliver is Delivery.FOLDER:
                for message in self._outbox.waiting():
                    self._outbox.attempted(message.dive, message.part)
                    write_durably(self._folder / f"{message.dive:05d}-{message.part:03d}.msg", message.data)
                    self._outbox.delivered(message.dive, message.part, self._now_ms())
        except (SestonError, OSError) as error:
            self._say(f"messages wait in the outbox: {error}")

    def is_taken(self, dive: int, part: int) -> None:
        """The host has a message for good."""
        try:
            self._outbox.delivered(dive, part, self._now_ms())
        except SestonError as error:
            self._say(f"a message will be handed over again: {error}")
        self.hand_over()

    def waiting(self) -> tuple[int, int] | None:
        """Messages that wait and their bytes, or None when the outbox cannot be read.

        A dive goes on without its outbox; `hand_over` says what is wrong.
        """
        try:
            return self._outbox.waiting_bytes()
        except SestonError:
            return None

    def close(self) -> None:
        """Let port and file go."""
        if self._modem is not None:
            self._modem.release()
        self._outbox.close()
