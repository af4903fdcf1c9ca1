"""Signals that end an installation: a person's, or those of a terminal that is unplugged."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import NoReturn

from tools.flashing.on_board.refusal import Refusal

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Interrupted(Refusal):
    """One of them came: what was begun is taken away on the way out."""


def end_with_a_sentence() -> None:
    """Raise `Interrupted` in the main thread when one comes."""
    for number in ENDING:
        signal.signal(number, _raise)


@contextlib.contextmanager
def wait() -> Iterator[None]:
    """Let them wait: what belongs together is done to its end, or taken back as a whole."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def _raise(number: int, _: object) -> NoReturn:
    raise Interrupted(f"interrupted ({signal.Signals(number).name})")
