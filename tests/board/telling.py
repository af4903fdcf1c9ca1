"""What a long test says: how long each step took, and the sentence that ends it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.board.pi import PiError


def must(is_so: bool, otherwise: str) -> None:
    """Raise `PiError` with a sentence unless it is so."""
    if not is_so:
        raise PiError(otherwise)


@contextmanager
def told(what: str) -> Iterator[None]:
    """Say a step and its seconds when it is done."""
    begun_s = time.monotonic()
    yield
    print(f"{time.monotonic() - begun_s:6.0f} s  {what}", flush=True)  # noqa: T201
