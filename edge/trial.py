"""The watch over updates while the service works: what on trial has proven itself, and when one is tried."""

from __future__ import annotations

import math
from collections.abc import Callable

from edge.clock import Clock
from edge.errors import SestonError
from edge.updates import Updates
from edge.watchdog import Watchdog

SETTLE_AFTER_S = 3.0
"""Between an update that is whole and its trial, so that who brought it hears that it is here."""
AGAIN_S = 30.0
"""Until one that could not be tried, for want of room on the disk, is tried again."""
LONGEST_S = 1800.0


class TrialWatch:
    """Looks after updates between two steps of the service.

    Parameters
    ----------
    updates
        What is looked after; None: nothing is.
    tell
        Called when an update stands otherwise than it was last said.

    Attributes
    ----------
    frames
        Looked at since the start.
    is_behind
        Whether another model or configuration is to run: the service is to end, and to be started anew.
    """

    def __init__(
        self,
        updates: Updates | None,
        clock: Clock,
        watchdog: Watchdog,
        say: Callable[[str], None],
        tell: Callable[[], None],
    ) -> None:
        self._updates, self._clock, self._watchdog, self._say, self._tell = (
            updates, clock, watchdog, say, tell,
        )  # fmt: skip
        self.frames, self.is_behind = 0, False
        self._was_host_heard = False
        self._ready_s, self._due_s = math.inf, -math.inf

    def begin(self) -> None:
        """The service is ready."""
        self._ready_s = self._clock.monotonic_s()

    def look(self, *, has_host: bool, is_classifier_well: bool, is_idle: bool) -> None:
        """See whether what is on trial has proven itself; while nothing else is done, try what came."""
        updates = self._updates
        if updates is None:
            return
        self._was_host_heard = self._was_host_heard or has_host
        now_s = self._clock.monotonic_s()
        try:
            updates.prove(
                frames=self.frames, ready_s=now_s - self._ready_s, was_host_heard=self._was_host_heard,
                is_classifier_well=is_classifier_well,
            )  # fmt: skip
            if not (updates.is_unsettled and is_idle):
                self._due_s = now_s + SETTLE_AFTER_S
            elif now_s >= self._due_s:
                with self._watchdog.at_most(LONGEST_S, "trying an update"):
                    self.is_behind = updates.settle(has_host=has_host)
        except SestonError as error:
            self._say(f"updates wait: {error}")
            self._due_s = now_s + AGAIN_S
        if updates.has_news:
            self._tell()

    def end(self) -> None:
        """The service ends: a start that somebody ends was no try."""
        if self._updates is not None and not self.is_behind:
            self._updates.forgive()
