"""What an outbox needs of a satellite modem's driver, whatever the modem speaks. Pure."""

from __future__ import annotations

from typing import Protocol

from firmware_bridge.iridium.sbd_words import Event
from firmware_bridge.sans_io import Peer


class Driver(Peer[Event], Protocol):
    """A driver: one message at a time, told as `Attempt`, then `Sent`, `Failed` or `Held`."""

    max_message_bytes: int

    @property
    def is_free(self) -> bool:
        """Whether a message may be given."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way, and nothing will be before its owner says something."""

    def send(self, message_id: int, data: bytes, tried: int | None = None) -> None:
        """Take a message.

        Parameters
        ----------
        message_id
            The owner's own.
        data
            1 to `max_message_bytes` bytes.
        tried
            `Attempt.momsn` of the last attempt of which no end is known, from before a power cut; or None.
        """

    def recorded(self) -> None:
        """The attempt is durable: it may begin."""

    def check_mailbox(self) -> None:
        """Ask for messages from shore when nothing else is to be sent; with SBD it costs a credit."""

    def renew(self, radio_s: float | None = None) -> None:
        """Allow the radio its time again, or another one; with 0 nothing is begun any more."""

    def powered(self) -> None:
        """The modem has power again, or anew: what it knew is gone."""
