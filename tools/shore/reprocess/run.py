"""A run over an archive: which step comes next, and who does it: this process, or workers of Dask.

What comes next does not depend on who does it, and no result on what came next.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edge.durable import write_durably
from edge.errors import InputError
from tools.shore.reprocess.job import DONE, FORMAT, WORK, Finished, Job, Ready, failed
from tools.shore.reprocess.sources import RUN_FILE, Fault, Kind, Source, find_sources
from tools.shore.reprocess.work import UNFINISHED, begin, finish, name

LOCK, FAILURES = ".lock", "failures.parquet"
WAITING_PER_WORKER = 2
"""Steps handed out for each worker: the next is at hand when one is done."""
OPEN_PER_WORKER = 2
"""Sources begun and not finished for each worker: what they need on the disk is bounded by it."""
QUIET = {
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.admin.tick.interval": "1s",
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.worker.profile.enabled": False,
}
"""Dask looks after itself less often: that is most of what it costs, 4 % of a core else, and 1 % so."""
Answer = Ready | Finished | None
VERSION = version("seston")
_VERSION = (
    '__import__("importlib.metadata").metadata.version("seston"), '
    '__import__("tools.shore.reprocess.job", fromlist=["FORMAT"]).FORMAT'
)
"""What a worker is asked, in words that it understands whichever seston it has."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call that a worker makes, of these arguments and the job."""

    work: Callable[..., Answer]
    source: Source
    args: tuple[Any, ...]


class Course:
    """Steps of a run, in order; whoever does them brings back the answers. Does no work itself.

    Parameters
    ----------
    sources
        The largest are begun first, and before all those that are one long step.
    most_open
        Sources that may be begun and not finished.

    Attributes
    ----------
    n_sources
        In all.
    finished
        Sources that are through.
    n_objects
        Named so far.
    """

    def __init__(self, sources: Iterable[Source], most_open: int) -> None:
        whole = (Kind.RECORDING, Kind.UVP6)
        self._new = deque(sorted(sources, key=lambda one: (one.kind not in whole, -one.size_bytes, one.name)))
        self.n_sources = len(self._new)
        self._most_open, self._n_open = most_open, 0
        self._due: deque[Step] = deque()
        self._left: dict[str, int] = {}
        self._done: dict[str, float] = {}
        self.finished: list[Finished] = []
        self.n_objects = 0

    @property
    def n_through(self) -> float:
        """Sources that are through, and what is done of those that are not."""
        return len(self.finished) + sum(self._done.values())

    def next(self) -> Step | None:
        """A step that can be done now; None when others must be done before, or nothing is left."""
        if self._due:
            return self._due.popleft()
        if self._new and self._n_open < self._most_open:
            self._n_open += 1
            source = self._new.popleft()
            return Step(begin, source, (source,))
        return None

    def take(self, step: Step, answer: Answer) -> None:
        """What became of a step."""
        source = step.source
        if isinstance(answer, Finished):
            if step.work is name and self._left.pop(source.name, None) is None:
                return  # another part of it was refused before
            self._due = deque(one for one in self._due if one.source is not source)
            self._done.pop(source.name, None)
            self._n_open -= 1
            self.finished.append(answer)
            if step.work is begin:
                self.n_objects += answer.objects
        elif isinstance(answer, Ready):
            self._left[source.name] = len(answer.parts)
            self._due.extend(Step(name, source, (answer, *part)) for part in answer.parts)
        elif source.name in self._left:
            ready, first, stop = step.args
            self.n_objects += stop - first
            self._left[source.name] -= 1
            self._done[source.name] = 1 - (self._left[source.name] + 1) / (len(ready.parts) + 1)
            if not self._left[source.name]:
                self._due.append(Step(finish, source, (ready,)))


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run came to.

    Attributes
    ----------
    finished
        By name of the source.
    frames
        Of all sources, by outcome.
    faults
        Sorted; also those of an earlier run whose results stand.
    strays
        Labels whose results are there and whose source is not, any more.
    """

    finished: tuple[Finished, ...]
    frames: Counter[str]
    faults: tuple[Fault, ...]
    strays: tuple[str, ...] = field(default=())

    @property
    def failed(self) -> list[Finished]:
        """Sources of which nothing could be used."""
        return [one for one in self.finished if one.is_failed]

    @property
    def objects(self) -> int:
        """Particles that have a name."""
        return sum(one.objects for one in self.finished)


Watch = Callable[[Course], None]
Doer = Callable[[Job, Course], Iterator[tuple[Step, Answer]]]
"""Has steps of the course done, and yields each with its answer, until there are none."""


def reprocess(archive: Path, job: Job, doer: Doer, n_workers: int, watch: Watch) -> Summary:
    """Process what an archive holds into the folder of the job, and go on where an earlier run was cut off.

    Raises
    ------
    InputError
        When nothing in the archive is a source, or the folder holds results of other settings.
    """
    sources, strange = find_sources(archive.absolute())  # workers may be in another folder
    with _folder_of(job):
        course = Course(sources, OPEN_PER_WORKER * n_workers)
        watch(course)
        for step, answer in doer(job, course):
            course.take(step, answer)
            watch(course)
        summary = _sum_up(job, course, sources, strange)
        from tools.shore.reprocess.tables import faults_table, parquet_of

        write_durably(job.out / FAILURES, parquet_of(faults_table(summary.faults)))
        if not summary.failed:  # what was named of those is not named again
            shutil.rmtree(job.out / WORK)
    return summary


def do_here(job: Job, course: Course) -> Iterator[tuple[Step, Answer]]:
    """Do all steps in this process, one after another."""
    while (step := course.next()) is not None:
        yield step, step.work(job, *step.args)


def do_on(client: Any, n_workers: int) -> Doer:
    """Who has the steps done by workers of Dask; a step whose worker dies is done again by another.

    What died with several workers may only have been beside what killed them: it is done again alone.
    """

    def do(job: Job, course: Course) -> Iterator[tuple[Step, Answer]]:
        from distributed import KilledWorker, as_completed

        out: dict[str, Step] = {}
        suspects, alone = deque[Step](), list[Step]()
        done = as_completed(loop=client.loop)

        def submit(step: Step) -> None:
            future = client.submit(step.work, job, *step.args, pure=False)
            out[future.key] = step
            done.add(future)

        def hand_out() -> None:
            while len(out) < WAITING_PER_WORKER * n_workers and (step := course.next()) is not None:
                submit(step)
            if suspects and not out:
                alone.append(suspects.popleft())
                submit(alone[-1])

        hand_out()
        for future in done:
            step = out.pop(future.key)
            if future.cancelled():
                raise InputError(
                    "has gone", field="the scheduler of Dask", remedy="run again: it goes on where it was"
                )
            error = future.exception()
            if isinstance(error, KilledWorker) and step in alone:
                error = _killer(step.source)
            answer = future.result() if error is None else failed(step.source, error)
            future.release()
            if isinstance(error, KilledWorker):
                suspects.append(step)
            else:
                yield step, answer
            hand_out()

    return do


def _killer(source: Source) -> InputError:
    return InputError(
        "ends every process that works on it, by a crash or for want of memory", file=source.path,
        remedy="look at it alone, with --workers 0",
    )  # fmt: skip


@contextmanager
def local_client(n_workers: int, dashboard_port: int, scratch: Path) -> Iterator[Any]:
    """A client of workers on this machine alone, one process each, with one thread."""
    import dask
    from distributed import Client, LocalCluster

    _be_quiet()
    with (
        dask.config.set(QUIET),
        LocalCluster(
            n_workers=n_workers, threads_per_worker=1, processes=True, host="127.0.0.1",
            dashboard_address=f"127.0.0.1:{dashboard_port}", local_directory=str(scratch), silence_logs=50,
            memory_limit=0,  # nothing lies in Dask's memory, and a worker paused for others' would not go on
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        yield client


@contextmanager
def remote_client(address: str) -> Iterator[Any]:
    """A client of a scheduler that runs already; its workers must see archive, bundle and results.

    Raises
    ------
    InputError
        When it does not answer, has no workers, or one that has not this seston.
    """
    from distributed import Client

    _be_quiet()
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError, ImportError, TypeError) as cause:
        raise InputError(
            f"{address} does not answer ({cause})", field="--scheduler",
            remedy="start it with `dask scheduler`, and give its tcp:// address",
        ) from cause  # fmt: skip
    with client:
        if not client.nthreads():
            raise InputError(
                f"{address} has no workers", field="--scheduler", remedy="start some with `dask worker`"
            )
        for worker, found in client.run(eval, _VERSION, on_error="return").items():
            if found != (VERSION, FORMAT):
                told = f" ({found})" if isinstance(found, Exception) else ""
                raise InputError(
                    f"the worker {worker} has another seston than this process, or none{told}",
                    field="--scheduler", remedy="start it with the same",
                )  # fmt: skip
        yield client


def _be_quiet() -> None:
    """What matters comes back as an answer."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)


@contextmanager
def _folder_of(job: Job) -> Iterator[None]:
    """The folder of the results for this run alone, if it has the settings of what is there."""
    try:
        (job.out / WORK).mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise InputError(
            f"cannot be made ({cause.strerror})", file=job.out, field="--out", remedy="choose another"
        ) from cause
    lock = os.open(job.out / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                "is in use by another run", file=job.out, field="--out", remedy="wait, or choose another"
            ) from None
        told = json.dumps(
            {"bundle_sha256": job.bundle_sha256, "format": FORMAT, "settings": job.settings}, indent=1
        )
        file = job.out / RUN_FILE
        if file.is_file() and file.read_text(encoding="utf-8") != told + "\n":
            raise InputError(
                "holds results of another model or of other settings", file=job.out, field="--out",
                remedy="choose another folder: what is there stays comparable",
            )  # fmt: skip
        write_durably(file, told.encode() + b"\n")
        for begun in (job.out / WORK).glob(f"{UNFINISHED}*"):
            shutil.rmtree(begun, ignore_errors=True)
        yield
    finally:
        os.close(lock)


def _sum_up(job: Job, course: Course, sources: list[Source], strange: list[Fault]) -> Summary:
    finished = tuple(sorted(course.finished, key=lambda one: one.source))
    frames: Counter[str] = Counter()
    for one in finished:
        frames.update(one.frames)
    faults = sorted({*strange, *(fault for one in finished for fault in one.faults)})
    known = {source.label for source in sources}
    strays = sorted(file.stem for file in (job.out / DONE).glob("*.json") if file.stem not in known)
    return Summary(finished, frames, tuple(faults), tuple(strays))
