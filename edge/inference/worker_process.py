"""The process in which the network runs: it may hang, be killed or die with its accelerator.

Started by `edge.inference.worker`, which says what each message means; it ends when that one goes. It does
not import OpenCV: what it gets is prepared, in memory that both share.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import BundleError
from edge.inference.engine import Engine

NICENESS = 5
OOM_SCORE = 500
"""When memory runs out the kernel takes this process, not the one that has the dive."""


@dataclass(frozen=True, slots=True)
class Start:
    """What to load, and the layout of the shared memory: so many pictures, numbers and totals."""

    model: bytes
    n_views: int
    threads: int
    delegate: str | None
    n_slots: int
    side_px: int
    n_numbers: int
    n_outputs: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded; what it is like."""

    side_px: int
    n_outputs: int
    n_numbers: int
    output_scale: float
    output_zero_point: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The model or the accelerator cannot be used; the process ends."""

    problem: str
    field: str | None
    remedy: str


@dataclass(frozen=True, slots=True)
class Run:
    """Compute the totals of these slots; of one view alone where `is_golden`."""

    ticket: int
    slots: tuple[int, ...]
    is_golden: bool = False


@dataclass(frozen=True, slots=True)
class Ran:
    """They are computed, in so many seconds."""

    ticket: int
    seconds: float


class SharedArrays:
    """Pictures, numbers and totals by slot, in memory that two processes see.

    Attributes
    ----------
    pictures, numbers, totals
        uint8 (n_slots, side, side, 1), uint8 (n_slots, n_numbers), int64 (n_slots, n_outputs).
    """

    def __init__(self, file: int, start: Start) -> None:
        n = start.n_slots
        totals_bytes, pictures_bytes = 8 * n * start.n_outputs, n * start.side_px**2
        size_bytes = totals_bytes + pictures_bytes + n * start.n_numbers
        os.ftruncate(file, size_bytes)
        memory = np.frombuffer(mmap.mmap(file, size_bytes), dtype=np.uint8)
        totals, pictures, numbers = np.split(memory, (totals_bytes, totals_bytes + pictures_bytes))
        self.totals = totals.view(np.int64).reshape(n, start.n_outputs)
        self.pictures = pictures.reshape(n, start.side_px, start.side_px, 1)
        self.numbers = numbers.reshape(n, start.n_numbers)


def main() -> None:
    """Load what `Start` says, then do what each `Run` says, until the other end is gone."""
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)  # the service ends by itself, and then this
    os.nice(NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE), encoding="ascii")
    connection = Connection(int(sys.argv[1]))
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _serve(connection, int(sys.argv[2]))


def _serve(connection: Connection[Any, Any], file: int) -> None:
    start: Start = connection.recv()
    try:
        engine = Engine(start.model, start.n_views, start.threads, delegate=start.delegate)
    except BundleError as error:
        connection.send(Refused(error.problem, error.field, error.remedy))
        return
    model = engine.model
    connection.send(
        Ready(model.side_px, model.n_outputs, model.n_numbers, model.output_scale, model.output_zero_point)
    )
    memory = SharedArrays(file, start)
    while True:
        run: Run = connection.recv()
        begun_s = time.monotonic()
        for slot in run.slots:
            picture, numbers = memory.pictures[slot], memory.numbers[slot]
            memory.totals[slot] = (engine.infer if run.is_golden else engine.total)(picture, numbers)
        connection.send(Ran(run.ticket, time.monotonic() - begun_s))
