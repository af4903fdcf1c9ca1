"""What became of the commands from shore: replies that travel with a dive. Pure; knows no command.

At most `MAX_REPLIES` go with one dive, three numbers each; a slot without a reply is three zeros.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from edge.errors import InputError

MAX_REPLIES = 16
MAX_COUNTER = (1 << 32) - 1
MAX_DETAIL = (1 << 16) - 1
REPLY_PARTS = ("verdict", "counter", "detail")
"""The numbers of a reply, in the order in which they travel; the verdict one higher than it is."""


class Verdict(enum.IntEnum):
    """What became of a command. The numbers travel in messages: never renumber, only append."""

    DONE = 0
    REFUSED_SIGNATURE = 1
    """The signature is not that of a key known aboard."""
    REFUSED_REPLAY = 2
    """Its counter was used before."""
    REFUSED_VALUE = 3
    """A value is out of range; `Reply.detail` may say which."""
    UNKNOWN_COMMAND = 4
    FAILED = 5
    """It was allowed and could not be carried out."""
    WAITS = 6
    """An update is waited for, or on trial: its bytes that are still missing."""
    RETURNED = 7
    """An update was tried, and left for what was before it: how often it was tried."""

    @property
    def label(self) -> str:
        """The verdict as people write it, e.g. ``refused-signature``."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one command.

    Attributes
    ----------
    counter
        Of the command, 0 to 2 ** 32 - 1.
    verdict
        What became of it.
    detail
        0 to 65535; its meaning depends on the command.

    Raises
    ------
    InputError
        When a number is out of range: it names the field.
    """

    counter: int
    verdict: Verdict
    detail: int = 0

    def __post_init__(self) -> None:
        for name, value, largest in (
            ("counter", self.counter, MAX_COUNTER),
            ("verdict", self.verdict, max(Verdict)),
            ("detail", self.detail, MAX_DETAIL),
        ):
            if not 0 <= value <= largest:
                raise InputError(
                    f"is {value}, 0 to {largest} can be sent",
                    field=f"reply.{name}",
                    remedy="check how the command was answered",
                )


def reply_codes(replies: Sequence[Reply]) -> list[int]:
    """The numbers that travel: `REPLY_PARTS` of every slot."""
    codes = [code for reply in replies for code in (reply.verdict + 1, reply.counter, reply.detail)]
    return codes + [0] * (len(REPLY_PARTS) * MAX_REPLIES - len(codes))


def replies_from_codes(codes: Sequence[int | None]) -> tuple[Reply, ...]:
    """Replies from numbers that travelled, None where one is not at hand. Never raises.

    A reply is there when all its numbers are, and are such as an encoder writes.
    """
    found = []
    for at in range(0, len(codes), len(REPLY_PARTS)):
        verdict, counter, detail = codes[at : at + len(REPLY_PARTS)]
        if verdict is None or counter is None or detail is None:
            continue
        if 1 <= verdict <= len(Verdict) and 0 <= counter <= MAX_COUNTER and 0 <= detail <= MAX_DETAIL:
            found.append(Reply(counter, Verdict(verdict - 1), detail))
    return tuple(found)
