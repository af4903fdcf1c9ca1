"""A classifier in a process of its own: it may be slow, hang or die, and the dive goes on.

Pictures are prepared here and lie in shared memory; the process computes them in order. What is in its hands
when it dies or hangs has failed and is not tried again; what waited behind it goes to the next process, which
starts at once, then after a pause that doubles. An accelerator that fails twice is left for the processor.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edge
from edge.errors import BundleError
from edge.inference.bundle import Bundle
from edge.inference.classifier import (
    TOLERANCE,
    Named,
    answer_logits,
    check_fit,
    describe_for,
    n_numbers,
    not_reproduced,
)
from edge.inference.ending import ending
from edge.inference.engine import logits_of
from edge.inference.preprocessing import prepare
from edge.inference.worker_process import Ran, Ready, Refused, Run, SharedArrays, Start

N_SLOTS = 1024
"""Vignettes that may wait: some 10 MB."""
START_TIMEOUT_S = 60.0
LONGEST_PAUSE_S = 60.0
ACCELERATOR_TRIES = 2
"""Failures of an accelerator without a frame between them, after which the processor is taken."""
FIRST_TRIES = 3
"""Processes that may be lost before the first one is up."""
SLOWER = 5
"""A frame may take so many times what its vignettes take lately, and the timeout beyond that."""
PACE_WEIGHT = 0.2
"""Of the newest frame in the mean time that a vignette takes."""
_MAIN = "from edge.inference.worker_process import main; main()"


@dataclass(frozen=True, slots=True)
class _Job:
    ticket: int
    slots: tuple[int, ...]


class WorkerClassifier:
    """See `edge.inference.classifier.Namer`.

    Parameters
    ----------
    bundle
        The model; its goldens are computed at each start of the process.
    threads
        Of the runtime.
    accelerator
        Library of an accelerator that is tried first, or None.
    timeout_s
        Time for one frame, beyond what its vignettes take at the usual pace, until the process is ended.
    say
        Takes a line for a person when the process is lost or comes back.
    monotonic_s
        The clock that counts.

    Attributes
    ----------
    restarts
        How often the process was lost.
    pace_s
        Time that a vignette takes lately, s; at first as the goldens took.
    given_up
        Why the accelerator was given up, in words; "" when it was not.

    Raises
    ------
    BundleError
        When the processor refuses the model, or does not give its golden outputs, or when its process ends or
        hangs again and again before it has given them.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        threads: int = 1,
        accelerator: str | None = None,
        timeout_s: float = 10.0,
        say: Callable[[str], None] = lambda sentence: None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.bundle = bundle
        self.restarts = 0
        self.pace_s: float | None = None
        self.given_up = ""
        self._threads, self._timeout_s, self._say, self._monotonic_s = threads, timeout_s, say, monotonic_s
        self._wished = self._accelerator = accelerator
        self._accelerator_tries = ACCELERATOR_TRIES
        goldens = [self._prepared(image) for image in bundle.golden_inputs]
        self._golden_slots = tuple(range(N_SLOTS, N_SLOTS + len(goldens)))
        self._file = _shared_file()
        self._memory = SharedArrays(self._file, self._start())
        for slot, golden in zip(self._golden_slots, goldens, strict=True):
            self._memory.pictures[slot], self._memory.numbers[slot] = golden
        self._free = deque(range(N_SLOTS))
        self._jobs: deque[_Job] = deque()
        self._failed: deque[Named] = deque()
        self._tickets = 0
        self._ready: Ready | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        self._is_up = False
        self._since_s = self._due_s = monotonic_s()
        self._pause_s = 0.0
        self._refusal: BundleError | None = None
        self._lost_first, self._lost_how = 0, ""
        while not self._is_up:
            self._serve(1.0)
            if self._accelerator is None and (self._refusal is not None or self._lost_first >= FIRST_TRIES):
                self.close()
                raise self._refusal or BundleError(
                    f"{self._lost_how}, {FIRST_TRIES} times before its first answer",
                    file=bundle.path, remedy="use another bundle",
                )  # fmt: skip

    @property
    def room(self) -> int:
        """Vignettes that may be submitted now."""
        return len(self._free)

    @property
    def is_accelerated(self) -> bool:
        """Whether the accelerator computes."""
        return self._accelerator is not None

    def kill(self) -> None:
        """End the process as a crash would: what follows is noticed and answered as at sea."""
        if self._process is not None:
            self._process.kill()

    def submit(self, vignettes: Sequence[NDArray[np.uint8]]) -> int:
        """Hand over the vignettes of a frame, at most `room`; returns the ticket of the answer."""
        self._tickets += 1
        if self._is_up and not self._jobs:
            self._serve(0.0)  # one that died meanwhile takes no frame with it
        if self._process is None and self._monotonic_s() < self._due_s:
            self._failed.append(Named(self._tickets, None, "it is to be started again"))
            return self._tickets
        slots = tuple(self._free.popleft() for _ in vignettes)
        for slot, vignette in zip(slots, vignettes, strict=True):
            self._memory.pictures[slot], self._memory.numbers[slot] = self._prepared(vignette)
        job = _Job(self._tickets, slots)
        self._jobs.append(job)
        if self._is_up:
            if len(self._jobs) == 1:
                self._since_s = self._monotonic_s()
            self._send(Run(job.ticket, job.slots))
        return self._tickets

    def collect(self, wait_s: float = 0.0) -> list[Named]:
        """Answers that are there, after at most so long; each ticket has one, or a problem, once."""
        found = self._drain()
        if not found and (self._jobs or not self._is_up):
            found = self._serve(wait_s if self._jobs else 0.0)
        return found + self._drain()

    def renew(self) -> None:
        """A dive begins: an accelerator that was given up is tried again."""
        if self._accelerator != self._wished and not self._jobs:
            self._stop()
            self._is_up = False
            self._accelerator, self._accelerator_tries = self._wished, ACCELERATOR_TRIES
            self.given_up = ""
            self._due_s = self._monotonic_s()

    def close(self) -> None:
        """End the process."""
        self._stop()
        with contextlib.suppress(OSError):
            os.close(self._file)
        self._file = -1

    def _prepared(self, vignette: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        return prepare(vignette, self.bundle.preprocessing), describe_for(self.bundle, vignette)

    def _start(self) -> Start:
        spec = self.bundle.preprocessing
        compiled = None if self._accelerator is None else self.bundle.compiled
        return Start(
            compiled or self.bundle.model, spec.views, self._threads, self._accelerator,
            N_SLOTS + len(self._golden_slots), spec.size_px, n_numbers(self.bundle), len(self.bundle.classes),
        )  # fmt: skip

    def _drain(self) -> list[Named]:
        found = list(self._failed)
        self._failed.clear()
        return found

    def _serve(self, wait_s: float) -> list[Named]:
        """Hear the process for at most so long; start it, and end it, when it is time."""
        now_s = self._monotonic_s()
        if self._process is None:
            if now_s < self._due_s:
                time.sleep(min(wait_s, self._due_s - now_s))
                return []
            self._launch()
        found: list[Named] = []
        connection = self._connection
        assert connection is not None
        patience_s = self._patience_s()
        limit_s = self._since_s + patience_s
        try:
            if connection.poll(max(0.0, min(wait_s, limit_s - now_s))):
                found = self._on(connection.recv())
            elif self._monotonic_s() >= limit_s and (self._jobs or not self._is_up):
                self._lose(f"gave no answer within {patience_s:.3g} s")
        except (EOFError, OSError):
            self._lose(ending(None if self._process is None else self._process.wait()))
        return found

    def _patience_s(self) -> float:
        """How long the process may take for what it has in its hands: many vignettes are no hanging."""
        if not self._is_up:
            return START_TIMEOUT_S
        n = len(self._jobs[0].slots) if self._jobs else 0
        return self._timeout_s + SLOWER * n * (self.pace_s or 0.0)

    def _on(self, message: object) -> list[Named]:
        match message:
            case Ready():
                self._ready = message
                try:
                    check_fit(self.bundle, message)
                except BundleError as error:
                    self._refuse(error)
                    return []
                self._since_s = self._monotonic_s()
                self._send(Run(0, self._golden_slots, is_golden=True))
            case Refused(problem, field, remedy):
                file = self.bundle.path if field == "model.tflite" else None
                self._refuse(BundleError(problem, file=file, field=field, remedy=remedy))
            case Ran(0, seconds):
                if self.pace_s is None:  # known before the first frame: one that is too much is never tried
                    self.pace_s = seconds * self.bundle.preprocessing.views / len(self._golden_slots)
                self._check_goldens()
            case Ran(ticket, seconds) if self._jobs and self._jobs[0].ticket == ticket:
                return [self._finish(seconds)]
        return []

    def _finish(self, seconds: float) -> Named:
        job = self._jobs.popleft()
        assert self._ready is not None
        pace_s = seconds / max(len(job.slots), 1)
        self.pace_s = pace_s if self.pace_s is None else self.pace_s + PACE_WEIGHT * (pace_s - self.pace_s)
        spec = self.bundle.preprocessing
        totals, numbers = self._memory.totals[list(job.slots)], self._memory.numbers[list(job.slots)]
        logits = logits_of(totals, spec.views, self._ready.output_scale, self._ready.output_zero_point)
        self._free.extend(job.slots)
        self._since_s = self._monotonic_s()
        self._pause_s, self._accelerator_tries = 0.0, ACCELERATOR_TRIES
        return Named(job.ticket, answer_logits(self.bundle, logits, numbers))

    def _check_goldens(self) -> None:
        outputs = self._memory.totals[list(self._golden_slots)]
        difference = int(np.abs(outputs - self.bundle.golden_outputs["xnnpack"]).max())
        if difference > TOLERANCE["xnnpack"]:
            self._refuse(not_reproduced(self.bundle, difference, "xnnpack"))
            return
        self._is_up = True
        self._since_s = self._monotonic_s()
        if self.restarts:
            self._say("the classifier is back")
        for job in self._jobs:
            self._send(Run(job.ticket, job.slots))

    def _refuse(self, error: BundleError) -> None:
        self._refusal = error
        self._lose(str(error))

    def _lose(self, problem: str) -> None:
        """The process is gone or must go: what it had in its hands has failed."""
        self._stop()
        self.restarts += 1
        if self._accelerator is None:
            self._lost_first, self._lost_how = self._lost_first + 1, problem
        if self._is_up and self._jobs:
            job = self._jobs.popleft()
            self._free.extend(job.slots)
            self._failed.append(Named(job.ticket, None, problem))
        self._is_up = False
        if self._accelerator is not None:
            self._accelerator_tries -= 1
            if not self._accelerator_tries:
                self._say(f"the accelerator {self._accelerator} is given up: the processor classifies")
                self.given_up = problem
                self._accelerator, self._refusal, self._pause_s = None, None, 0.0
        self._say(f"the classifier is lost: {problem}; it starts again in {self._pause_s:g} s")
        self._due_s = self._monotonic_s() + self._pause_s
        if self._pause_s:
            while self._jobs:  # nobody waits that long
                job = self._jobs.popleft()
                self._free.extend(job.slots)
                self._failed.append(Named(job.ticket, None, problem))
        self._pause_s = min(max(1.0, 2 * self._pause_s), LONGEST_PAUSE_S)

    def _launch(self) -> None:
        ours, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, str(theirs.fileno()), str(self._file)],
            pass_fds=(theirs.fileno(), self._file),
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(_import_path())},
        )
        theirs.close()
        self._connection = Connection(ours.detach())
        self._since_s = self._monotonic_s()
        self._send(self._start())

    def _send(self, message: object) -> None:
        """Tell the process; one that is gone is noticed when it is heard."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.send(message)

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _shared_file() -> int:
    """A file in memory, without a name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("seston-vignettes")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _import_path() -> list[str]:
    """Where the process finds this package, and what this one does."""
    ours = str(Path(edge.__file__).parent.parent)
    told = os.environ.get("PYTHONPATH")
    return [ours, told] if told else [ours]
