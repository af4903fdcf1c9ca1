"""What a session's MO status means, and what to do about it: the whole table. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Action(enum.Enum):
    """What follows a session."""

    SENT = "sent"
    RETRY = "retry"
    """Soon, with the usual back-off."""
    SAME_AGAIN = "same again"
    """Nobody knows whether it was delivered: the same bytes go again, and shore counts them once."""
    WAIT_LONG = "wait long"
    WAIT_REGISTRATION = "wait for registration"
    ALARM = "alarm"
    """It may come right by itself, and a person should know: retry seldom."""
    HOLD = "hold"
    """This message, or this modem, will not go: it is kept and nothing more is tried with it."""


LONG_S, REGISTRATION_S, ALARM_S = 600.0, 180.0, 1800.0
PAUSE_S: dict[Action, float] = {
    Action.WAIT_LONG: LONG_S,
    Action.WAIT_REGISTRATION: REGISTRATION_S,
    Action.ALARM: ALARM_S,
    Action.HOLD: ALARM_S,
}
"""After those the pause is always the same; after all others it is `Radio`'s, which grows."""


@dataclass(frozen=True, slots=True)
class Status:
    """One MO status."""

    action: Action
    words: str


STATUSES: dict[int, Status] = {
    0: Status(Action.SENT, "delivered"),
    1: Status(Action.SENT, "delivered; the message to the float was too big"),
    2: Status(Action.SENT, "delivered; the location was not updated"),
    3: Status(Action.SENT, "delivered, by a reserved code"),
    4: Status(Action.SENT, "delivered, by a reserved code"),
    5: Status(Action.RETRY, "failed, by a reserved code"),
    6: Status(Action.RETRY, "failed, by a reserved code"),
    7: Status(Action.RETRY, "failed, by a reserved code"),
    8: Status(Action.RETRY, "failed, by a reserved code"),
    10: Status(Action.SAME_AGAIN, "the gateway did not answer in time"),
    11: Status(Action.WAIT_LONG, "the gateway's queue is full"),
    12: Status(Action.HOLD, "the message has too many segments"),
    13: Status(Action.SAME_AGAIN, "the session did not complete"),
    14: Status(Action.HOLD, "a segment has a wrong size"),
    15: Status(Action.HOLD, "access is denied"),
    16: Status(Action.HOLD, "the modem is locked"),
    17: Status(Action.SAME_AGAIN, "the gateway did not answer (session timeout)"),
    18: Status(Action.SAME_AGAIN, "the connection was lost"),
    19: Status(Action.SAME_AGAIN, "the link failed"),
    32: Status(Action.RETRY, "no network"),
    33: Status(Action.ALARM, "antenna fault"),
    34: Status(Action.ALARM, "the radio is switched off"),
    35: Status(Action.RETRY, "the modem is busy"),
    36: Status(Action.WAIT_REGISTRATION, "three minutes since the last registration must pass"),
}
UNKNOWN = Status(Action.SAME_AGAIN, "a status that is not known")
"""Of 9, 20 to 31, and all that later modems may say: nobody knows, so the same again."""


def status_of(code: int) -> Status:
    """The row of a code."""
    return STATUSES.get(code, UNKNOWN)
