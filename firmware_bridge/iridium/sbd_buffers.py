"""What is known of an SBD modem's two buffers and of its numbers: what it holds, what is unread. Pure.

Sending does not clear what it holds to send; reading does not clear what came; power empties both. Its number
of messages sent (MOMSN) grows on a completed session alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_bridge.iridium.at import numbers_after

NUMBERS = 1 << 16
MAX_BAD_READS = 3
"""So often a message that comes damaged out of the modem is read again."""


@dataclass(slots=True)
class Buffers:
    """One modem's.

    Attributes
    ----------
    momsn
        Of the next session; None while it is not known.
    written
        Id of the message that the modem holds to send.
    may_hold
        Whether it may hold one at all, whosever.
    unread
        Number (MTMSN) of a message from shore that is to be read, and how many more wait at the gateway.
    """

    momsn: int | None = None
    written: int | None = None
    may_hold: bool = True
    unread: tuple[int, int] | None = None
    _read_mtmsn: int = -1
    _bad_reads: int = 0

    def forget(self) -> None:
        """The modem had no power."""
        self.momsn = self.written = self.unread = None
        self.may_hold = True

    def on_numbers(self, text: bytes) -> bool:
        """Take the line of `+SBDS`; False for any other."""
        numbers = numbers_after(b"+SBDS:", text, 4)
        if numbers is None:
            return False
        self.may_hold, self.momsn = bool(numbers[0]), numbers[1] % NUMBERS
        if numbers[2] and numbers[3] != self._read_mtmsn:
            self.unread = (numbers[3], 0)  # of a session whose end was not heard
        return True

    def completed(self, momsn: int) -> None:
        """A session with this number has completed."""
        self.momsn = (momsn + 1) % NUMBERS

    def had_completed(self, tried: int) -> bool:
        """Whether the session of an attempt of which no end is known had completed."""
        return self.momsn == (tried + 1) % NUMBERS

    def came(self, mtmsn: int, queued: int) -> None:
        """A session has brought a message from shore."""
        self.unread, self._bad_reads = (mtmsn, queued), 0

    def read(self, *, is_good: bool) -> bool:
        """A message was read: whether that is the end of it; a damaged one is read again, not for ever."""
        if not is_good and self._bad_reads < MAX_BAD_READS:
            self._bad_reads += 1
            return False
        self._bad_reads = 0
        self._read_mtmsn, self.unread = (-1 if self.unread is None else self.unread[0]), None
        return True
