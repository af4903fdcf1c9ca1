"""The end of a dive: its messages are made, queued and handed over, with the answers to shore in them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from edge.courier import Courier
from edge.dive import Dive
from edge.divelog_schema import LoggedFrame
from edge.errors import SestonError
from edge.logged import climatology_in, codebook_in, replies_in
from edge.orders import Orders


def finish(
    dive: Dive,
    orders: Orders,
    courier: Courier,
    say: Callable[[str], None],
    tell_seen: Callable[[Sequence[LoggedFrame]], None],
    take_long: Callable[[], AbstractContextManager[None]],
) -> None:
    """Make the messages of a dive that is at the surface, and queue them.

    Whatever fails, the dive is not marked as ended, and the next start tries again.

    Parameters
    ----------
    tell_seen
        Takes the frames that get their outcome now.
    take_long
        Within it one step may take long.
    """
    dive.note("end", {})  # whoever goes on with it only makes its messages
    try:
        tell_seen(dive.instrument.close_bloc())
        _log_replies(dive, orders, say)
        with take_long():
            messages = dive.instrument.finish().messages
        is_kept = courier.put(dive.number, messages, codebook_in(dive.log), climatology_in(dive.log))
        _note_reported(dive, orders, say)
        if is_kept:  # or the next start makes them again
            dive.mark_ended()
        total = sum(map(len, messages))
        say(f"dive {dive.folder.name} ended: {dive.next_frame} frames, {total} bytes in messages")
    except (SestonError, OSError) as error:
        say(f"dive {dive.folder.name} has sent nothing yet, the next start tries again: {error}")


def _log_replies(dive: Dive, orders: Orders, say: Callable[[str], None]) -> None:
    """Answers to shore go into the messages; without them these go all the same."""
    try:
        told = [[one.counter, one.verdict, one.detail] for one in orders.replies()]
    except sqlite3.Error as error:
        say(f"answers to shore wait: {error}")
        return
    dive.note("replies", {"replies": told})


def _note_reported(dive: Dive, orders: Orders, say: Callable[[str], None]) -> None:
    try:
        orders.reported(replies_in(dive.log))
    except SestonError as error:
        say(f"answers to shore will go again: {error}")
