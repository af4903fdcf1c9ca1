"""Records over the native link, one at a time, each until it is acknowledged; and when to try again. Pure.

Not the link: who may say which record is `link`'s. A record has a number; the one that was taken last is
acknowledged again and not taken twice.
"""

from __future__ import annotations

from typing import Any

from firmware_bridge.link_records import Record
from firmware_bridge.link_wire import Numbered, RecordTaken
from firmware_bridge.sans_io import NEVER_S

RETRY_S, LONGEST_RETRY_S = 3.0, 30.0
NUMBERS = 256


class Retry:
    """When to try again: later each time, up to a bound."""

    def __init__(self, first_s: float = RETRY_S, longest_s: float = LONGEST_RETRY_S) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self.forget()

    def forget(self) -> None:
        """Nothing is waited for, and nothing has failed."""
        self.wait_s, self.due_s = self._first_s, NEVER_S

    def start(self, now_s: float) -> None:
        """Something was sent."""
        self.due_s = now_s + self.wait_s

    def fail(self) -> None:
        """It was in vain: wait longer after the next try."""
        self.wait_s, self.due_s = min(2 * self.wait_s, self._longest_s), NEVER_S

    def hurry(self, now_s: float) -> None:
        """Try now, if something is waited for: the line is back."""
        if self.due_s != NEVER_S:
            self.wait_s, self.due_s = self._first_s, now_s


class RecordChannel:
    """Both directions of one end.

    Attributes
    ----------
    retry
        Timer of the record on its way.
    """

    def __init__(self) -> None:
        self.retry = Retry()
        self.restart()

    def restart(self) -> None:
        """Forget all: a session begins anew."""
        self._queue: dict[type[Any], Record] = {}
        self._sent: Record | None = None
        self._number = 0
        self._pending = False
        self._taken: int | None = None
        self._taken_pending = False
        self.retry.forget()

    def add(self, record: Record) -> None:
        """Queue a record in the place of an older one of its class that has not gone out."""
        self._queue.pop(type(record), None)
        self._queue[type(record)] = record

    def holds(self, record: type[Any]) -> bool:
        """Whether one of this class is not yet acknowledged."""
        return record in self._queue or isinstance(self._sent, record)

    def next_body(self, now_s: float) -> Numbered | RecordTaken | None:
        """What to send now."""
        if self._taken_pending and self._taken is not None:
            self._taken_pending = False
            return RecordTaken(self._taken)
        if self._sent is None and self._queue:
            self._sent = self._queue.pop(next(iter(self._queue)))
            self._pending = True
        if self._sent is None or not self._pending:
            return None
        self._pending = False
        self.retry.start(now_s)
        return Numbered(self._number, self._sent)

    def on_taken(self, number: int) -> Record | None:
        """The record that is acknowledged now."""
        if self._sent is None or number != self._number:
            return None
        taken, self._sent = self._sent, None
        self._number = (self._number + 1) % NUMBERS
        self.retry.forget()
        return taken

    def on_numbered(self, numbered: Numbered) -> Record | None:
        """Take a record; None when it was taken before."""
        self._taken_pending = True
        if numbered.number == self._taken:
            return None
        self._taken = numbered.number
        return numbered.record

    def on_due(self) -> None:
        """Nothing was heard in time: send it again."""
        self._pending = True
        self.retry.fail()
