"""What every modem's driver keeps of its radio: time that is left, pauses that grow, and silence. Pure.

Not the modem's words nor its steps: a driver says when its radio is on, what failed and what was answered,
and asks how long to wait.
"""

from __future__ import annotations

from collections.abc import Callable

from firmware_bridge.sans_io import NEVER_S

BACKOFF_S = (20.0, 60.0, 120.0, 300.0)
"""After the first failure 20 to 40 s, so that a fleet does not call at once; then these, up to double."""
MUTE_AFTER = 3
"""So many commands without an answer: power is cycled."""


class Radio:
    """One modem's.

    Parameters
    ----------
    radio_s
        Seconds that the radio may be on until `renew`.
    jitter
        Draws 0 to 1: what is added to a pause, as a share of it, so that a fleet does not call at once.

    Attributes
    ----------
    failures
        In a row; the owner puts it to 0 when something has gone well.
    """

    def __init__(self, radio_s: float = NEVER_S, jitter: Callable[[], float] = lambda: 0.5) -> None:
        self.failures = 0
        self._jitter = jitter
        self._allowed_s = self._left_s = radio_s
        self._on_since_s: float | None = None
        self._rest_until_s = 0.0
        self._is_spent_told = False
        self._unanswered = 0

    def renew(self, radio_s: float | None = None) -> None:
        """Allow the time again, or another one; 0 allows nothing."""
        if radio_s is not None:
            self._allowed_s = radio_s
        self._left_s, self._is_spent_told = self._allowed_s, False

    def turn(self, is_on: bool, now_s: float) -> None:
        """Say whether the radio is on from now."""
        self._left_s = self.left_s(now_s)
        self._on_since_s = now_s if is_on else None

    def left_s(self, now_s: float) -> float:
        """Seconds of radio that are left; below 0 when it was on for too long."""
        return self._left_s - (0.0 if self._on_since_s is None else now_s - self._on_since_s)

    def tell_spent(self) -> bool:
        """Whether the owner is to be told that the time is used up: once until `renew`."""
        was_told, self._is_spent_told = self._is_spent_told, True
        return not was_told

    def wait_s(self, now_s: float) -> float:
        """Seconds until something may be begun; `NEVER_S` when no time is left."""
        return NEVER_S if self.left_s(now_s) <= 0 else max(0.0, self._rest_until_s - now_s)

    def pause_s(self) -> float:
        """How long to wait after so many failures."""
        return BACKOFF_S[min(self.failures, len(BACKOFF_S) - 1)] * (1 + self._jitter())

    def rest(self, seconds: float, now_s: float) -> float:
        """Begin nothing for so long; returns when that ends."""
        self._rest_until_s = now_s + seconds
        return self._rest_until_s

    def back_off(self, now_s: float) -> float:
        """Something failed: rest, longer each time; returns when that ends."""
        until_s = self.rest(self.pause_s(), now_s)
        self.failures += 1
        return until_s

    def answered(self) -> None:
        """The modem has said something that was waited for."""
        self._unanswered = 0

    def is_mute(self) -> bool:
        """A command had no answer: whether it is time to cycle the modem's power. Counts anew then."""
        self._unanswered = (self._unanswered + 1) % MUTE_AFTER
        return self._unanswered == 0
