"""Ties the outbox to a satellite modem: what is sent next, and what is written down before and after.

At least once: an attempt is durable before its session, a delivery before the next message is taken. What the
modem does is the driver's (`firmware_bridge.iridium.driver`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.errors import DiveLogError
from edge.outbox import Outbox, Queued
from firmware_bridge.iridium import sbd_words as words
from firmware_bridge.iridium.driver import Driver
from firmware_bridge.sans_io import Line

ACCESS_CODES = (15, 16)
"""Statuses that no other message would change: the unit is not allowed to send."""


@dataclass(slots=True)
class Counts:
    """What a link has done since its start."""

    attempts: int = 0
    delivered: int = 0
    failed: int = 0
    received: int = 0
    damaged: int = 0
    power_cycles: int = 0


class ModemLink:
    """One modem.

    Parameters
    ----------
    outbox
        Of messages that wait. Those longer than a session takes are told once and passed over.
    driver, line
        Of the modem, and what carries its bytes.
    utc_ms
        For the outbox.
    on_command
        Takes bytes from shore; they are not verified.
    on_ticks
        Takes network time.
    cycle_power
        Takes the modem's power and gives it again; None when nobody can.
    say
        Takes one line for a person.
    """

    def __init__(
        self,
        outbox: Outbox,
        driver: Driver,
        line: Line[words.Event],
        utc_ms: Callable[[], int],
        on_command: Callable[[bytes], None],
        *,
        say: Callable[[str], None] = lambda sentence: None,
        on_ticks: Callable[[int], None] = lambda ticks: None,
        cycle_power: Callable[[], None] | None = None,
    ) -> None:
        self.counts = Counts()
        self._outbox, self._driver, self._line = outbox, driver, line
        self._utc_ms, self._say = utc_ms, say
        self._on_command, self._on_ticks, self._cycle_power = on_command, on_ticks, cycle_power
        self._message: Queued | None = None
        self._undone: Callable[[], None] | None = None
        self._held: set[int] = set()
        self._is_barred = self._is_open = self._is_unread = False
        driver.renew(0.0)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way, and nothing will be before something new happens."""
        return self._driver.is_idle

    def open(self, radio_s: float) -> None:
        """The surface is reached: send what waits, look for mail, with so many seconds of radio at most."""
        self._is_open = True
        self._driver.renew(radio_s)
        self._driver.check_mailbox()

    def close(self) -> None:
        """The surface is left: no session is begun any more."""
        self._is_open = False
        self._driver.renew(0.0)

    def release(self) -> None:
        """Let the port go."""
        self._line.close()

    def poll(self, wait_s: float) -> None:
        """Serve the modem for at most so long."""
        self._feed()
        for event in self._line.carry(wait_s):
            self._on(event)
        self._feed()

    def _feed(self) -> None:
        """Finish what the disk refused before; then give the driver its next message."""
        if self._undone is not None:
            self._durably(self._undone)
        if self._undone is not None or not self._is_open or self._is_barred or not self._driver.is_free:
            return
        try:
            waiting = self._outbox.waiting(len(self._held) + 1)
        except DiveLogError as error:
            if not self._is_unread:
                self._say(f"the outbox waits for the disk: {error}")
            self._is_unread = True
            return
        self._is_unread = False
        for message in waiting:
            if message.number in self._held:
                continue
            if len(message.data) > self._driver.max_message_bytes:
                self._held.add(message.number)
                self._say(
                    f"message {message.part} of dive {message.dive} has {len(message.data)} bytes, "
                    f"{self._driver.max_message_bytes} can be sent: it waits for another link"
                )
                continue
            self._message = message
            self._driver.send(message.number, message.data, message.tried)
            return

    def _on(self, event: words.Event) -> None:
        message = self._message
        match event:
            case words.Attempt(_, momsn) if message is not None:
                self.counts.attempts += 1
                self._durably(lambda: self._begin(message, momsn))
            case words.Sent(_, momsn) if message is not None:
                self.counts.delivered += 1
                self._message = None
                self._durably(lambda: self._outbox.delivered(message.dive, message.part, self._utc_ms()))
                self._say(f"message {message.part} of dive {message.dive} is delivered (MOMSN {momsn})")
            case words.Failed(_, reason, _, alarm) if message is not None:
                self.counts.failed += 1
                self._durably(lambda: self._outbox.failed(message.dive, message.part))
                self._say(
                    ("ALARM: " if alarm else "") + f"message {message.part} was not delivered: {reason}"
                )
            case words.Held(_, code, reason) if message is not None:
                self._message = None
                self._held.add(message.number)
                self._is_barred = self._is_barred or code in ACCESS_CODES
                self._durably(lambda: self._outbox.failed(message.dive, message.part))
                self._say(f"ALARM: message {message.part} of dive {message.dive} is held: {reason}")
            case words.Received(data):
                self.counts.received += 1
                self._on_command(data)
            case words.Damaged(mtmsn):
                self.counts.damaged += 1
                self._say(f"ALARM: a message from shore (MTMSN {mtmsn}) came damaged: it must be sent again")
            case words.NetworkTime(ticks):
                self._on_ticks(ticks)
            case words.CyclePower():
                self.counts.power_cycles += 1
                self._say("the modem is mute: its power is cycled")
                if self._cycle_power is not None:
                    self._cycle_power()
                self._driver.powered()
            case words.Spent():
                self._say("the radio's time is used up: what waits goes the next time")

    def _begin(self, message: Queued, momsn: int) -> None:
        self._outbox.attempted(message.dive, message.part, momsn)
        self._driver.recorded()

    def _durably(self, write: Callable[[], None]) -> None:
        """Write it down; what the disk refuses is tried again before anything else is done."""
        try:
            write()
            self._undone = None
        except DiveLogError as error:
            if self._undone is None:
                self._say(f"the outbox waits for the disk: {error}")
            self._undone = write
