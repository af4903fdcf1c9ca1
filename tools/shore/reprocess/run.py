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
from pathlib import Path
from typing import Any

from edge.durable import write_durably
from edge.errors import InputError
from tools.shore.reprocess.sources import RUN_FILE, Fault, Kind, Source, find_sources
from tools.shore.reprocess.work import (
    DONE,
    FORMAT,
    UNFINISHED,
    WORK,
    Finished,
    Job,
    Ready,
    failed,
    finish,
    make_ready,
    name_pictures,
)

LOCK, FAILURES = ".lock", "failures.parquet"
WAITING_PER_WORKER = 3
"""Steps handed out for each worker: the next is at hand when one is done."""
OPEN_PER_WORKER = 2
"""Sources begun and not finished for each worker: what they need on the disk is bounded by it."""
QUIET = {"distributed.worker.profile.enabled": False, "distributed.admin.system-monitor.gil.enabled": False}
"""Dask looks at its workers less often: that is most of what it costs."""
Answer = Ready | Finished | None


@dataclass(frozen=True, slots=True)
class Step:
    """One call that a worker makes."""

    work: Callable[..., Answer]
    source: Source
    args: tuple[Any, ...] = ()
    n_pictures: int = 0


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
    n_pictures
        Pictures named so far.
    """

    def __init__(self, sources: Iterable[Source], most_open: int) -> None:
        whole = (Kind.RECORDING, Kind.UVP6)
        self._new = deque(sorted(sources, key=lambda one: (one.kind not in whole, -one.size_bytes, one.name)))
        self.n_sources = len(self._new)
        self._most_open, self._n_open = most_open, 0
        self._due: deque[Step] = deque()
        self._left: dict[str, int] = {}
        self.finished: list[Finished] = []
        self.n_pictures = 0

    def next(self) -> Step | None:
        """A step that can be done now; None when others must be done before, or nothing is left."""
        if self._due:
            return self._due.popleft()
        if self._new and self._n_open < self._most_open:
            self._n_open += 1
            source = self._new.popleft()
            return Step(make_ready, source)
        return None

    def take(self, step: Step, answer: Answer) -> None:
        """What became of a step."""
        name = step.source.name
        if isinstance(answer, Finished):
            if step.work is name_pictures and self._left.pop(name, None) is None:
                return  # another part of it was refused before
            self._due = deque(one for one in self._due if one.source.name != name)
            self._n_open -= 1
            self.finished.append(answer)
        elif isinstance(answer, Ready):
            parts = answer.parts
            self._left[name] = len(parts)
            self._due.extend(
                Step(name_pictures, step.source, (answer, first, stop), stop - first) for first, stop in parts
            )
            if not parts:
                self._due.append(Step(finish, step.source, (answer,)))
        elif name in self._left:
            self.n_pictures += step.n_pictures
            self._left[name] -= 1
            if not self._left[name]:
                self._due.append(Step(finish, step.source, step.args[:1]))


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
Runner = Callable[[Job, Course, Watch], None]


def reprocess(archive: Path, job: Job, runner: Runner, n_workers: int, watch: Watch) -> Summary:
    """Process what an archive holds into the folder of the job, and go on where an earlier run was cut off.

    Raises
    ------
    InputError
        When nothing in the archive is a source, or the folder holds results of other settings.
    """
    sources, strange = find_sources(archive)
    with _folder_of(job):
        course = Course(sources, max(1, OPEN_PER_WORKER * n_workers))
        watch(course)
        runner(job, course, watch)
        summary = _sum_up(job, course, sources, strange)
        from tools.shore.reprocess.tables import faults_table, parquet_of

        write_durably(job.out / FAILURES, parquet_of(faults_table(summary.faults)))
        if not summary.failed:  # what was named of those is not named again
            shutil.rmtree(job.out / WORK)
    return summary


def run_here(job: Job, course: Course, watch: Watch) -> None:
    """Do all steps in this process, one after another."""
    while (step := course.next()) is not None:
        try:
            answer = step.work(job, *_arguments(step))
        except Exception as error:  # noqa: BLE001 our own fault in one source must not stop the others
            answer = failed(step.source, error)
        course.take(step, answer)
        watch(course)


def run_on(client: Any, n_workers: int) -> Runner:
    """Who has the steps done by workers of Dask; a step whose worker dies is done again by another."""

    def run(job: Job, course: Course, watch: Watch) -> None:
        from distributed import as_completed

        out: dict[str, Step] = {}
        done = as_completed(loop=client.loop)

        def hand_out() -> None:
            while len(out) < WAITING_PER_WORKER * n_workers and (step := course.next()) is not None:
                future = client.submit(step.work, job, *_arguments(step), pure=False)
                out[future.key] = step
                done.add(future)

        hand_out()
        for future in done:
            step = out.pop(future.key)
            if future.cancelled():
                raise InputError(
                    "has gone", field="the scheduler of Dask", remedy="run again: it goes on where it was"
                )
            error = future.exception()
            course.take(step, future.result() if error is None else failed(step.source, error))
            future.release()
            watch(course)
            hand_out()

    return run


@contextmanager
def local_client(n_workers: int, dashboard_port: int, scratch: Path) -> Iterator[Any]:
    """A client of workers on this machine alone, one process each, with one thread."""
    import dask
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters comes back as an answer
    with (
        dask.config.set(QUIET),
        LocalCluster(
            n_workers=n_workers, threads_per_worker=1, processes=True, host="127.0.0.1",
            dashboard_address=f"127.0.0.1:{dashboard_port}", local_directory=str(scratch), silence_logs=50,
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        yield client


@contextmanager
def remote_client(address: str) -> Iterator[Any]:
    """A client of a scheduler that runs already; its workers must see archive, bundle and results."""
    from distributed import Client

    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as cause:
        raise InputError(
            f"{address} does not answer ({cause})", field="--scheduler",
            remedy="start it with `dask scheduler`, and give its tcp:// address",
        ) from cause  # fmt: skip
    with client:
        if not client.nthreads():
            raise InputError(
                f"{address} has no workers", field="--scheduler", remedy="start some with `dask worker`"
            )
        yield client


def _arguments(step: Step) -> tuple[Any, ...]:
    return step.args or (step.source,)


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
    finished = tuple(sorted(course.finished, key=lambda one: one.source.name))
    frames: Counter[str] = Counter()
    for one in finished:
        frames.update(one.frames)
    faults = sorted({*strange, *(fault for one in finished for fault in one.faults)})
    known = {source.label for source in sources}
    strays = sorted(file.stem for file in (job.out / DONE).glob("*.json") if file.stem not in known)
    return Summary(finished, frames, tuple(faults), tuple(strays))
