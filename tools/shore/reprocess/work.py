"""The three steps of a source: begin, name part by part, finish. Each runs anywhere, and may run again.

What a step has made lies in a file that is whole or not there, under a hash of the source's content, of the
bundle and of the settings: a step that finds it has nothing to do. Steps of a source know each other by files
alone, so workers share a folder and nothing else. A source of one part, as most are, is one step.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edge.durable import sync_folder, write_durably
from edge.errors import RecordingError
from edge.log_reader import LogReader
from edge.recording import Recording
from tools.shore.reprocess.job import Finished, Job, Ready, failed
from tools.shore.reprocess.naming import check_vignettes, classifier_of, name_part, open_pictures, part_file
from tools.shore.reprocess.renaming import take_log
from tools.shore.reprocess.results import write_results
from tools.shore.reprocess.sources import LOG_FILE, Fault, Kind, Source, content_hash

T = TypeVar("T")
READY = "ready.json"
UNFINISHED = ".begun-"
"""Start of the name of a folder that is not whole yet; what a killed run left of one may be deleted."""
_ALONE = threading.Lock()
"""Interpreter, SQLite and HDF5 are not for two threads: a worker with several does one step at a time."""


class Begun(msgspec.Struct, frozen=True):
    """What is known of a source when its folder of work is whole."""

    n_pictures: int = 0
    faults: tuple[Fault, ...] = ()


def _step(work: Callable[..., T]) -> Callable[..., T | Finished]:
    """A step ends in an answer: whatever is wrong with one source does not stop the others."""

    @functools.wraps(work)
    def done(job: Job, what: Source | Ready, *more: Any) -> T | Finished:
        with _ALONE:
            try:
                return work(job, what, *more)
            except Exception as error:  # noqa: BLE001 also our own faults, which are told with their type
                return failed(what.source if isinstance(what, Ready) else what, error)

    return done


@_step
def begin(job: Job, source: Source) -> Ready | Finished:
    """Have a source's log at hand: that of a dive is copied, a recording is replayed into one."""
    key = job.key(content_hash(source))
    if (finished := job.finished(source, key)) is not None:
        return finished
    place = job.place(source, key)
    if not place.is_dir():
        _begin_anew(job, source, place)
    begun = msgspec.json.decode((place / READY).read_bytes(), type=Begun)
    ready = Ready(source, key, begun.n_pictures, begun.faults)
    if len(ready.parts) > 1:
        return ready
    for part in ready.parts:
        _name(job, ready, *part)
    return _finish(job, ready)


@_step
def name(job: Job, ready: Ready, first: int, stop: int) -> None:
    """Name a part of the pictures."""
    _name(job, ready, first, stop)


@_step
def finish(job: Job, ready: Ready) -> Finished:
    """Put the parts together and write the results of a source."""
    return _finish(job, ready)


def _name(job: Job, ready: Ready, first: int, stop: int) -> None:
    place = job.place(ready.source, ready.key)
    if not part_file(place, first).is_file():
        classifier = classifier_of(job.bundle, job.bundle_sha256)
        with open_pictures(ready.source, place, ready.n_pictures, invert=job.invert) as pictures:
            name_part(pictures, first, stop, classifier, part_file(place, first))


def _finish(job: Job, ready: Ready) -> Finished:
    # A worker that died before it could say so may have finished it.
    finished = job.finished(ready.source, ready.key) or write_results(job, ready)
    shutil.rmtree(job.place(ready.source, ready.key), ignore_errors=True)
    return finished


def _begin_anew(job: Job, source: Source, place: Path) -> None:
    """Make the folder of a source's work; it has its name when it is whole."""
    place.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=place.parent))
    try:
        write_durably(folder / READY, msgspec.json.encode(_begin(job, source, folder)))
        if not place.is_dir():  # a worker that was given up may have been faster
            folder.rename(place)
            sync_folder(place.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _begin(job: Job, source: Source, place: Path) -> Begun:
    log = place / LOG_FILE
    if source.kind is Kind.VIGNETTES:
        with open_pictures(source, place, 0, invert=job.invert) as pictures:
            check_vignettes(pictures, source)
            return Begun(len(pictures))
    if source.kind is not Kind.DIVE:
        return Begun(faults=tuple(_replay(job, source, log)))
    faults: tuple[Fault, ...] = ()
    lost = take_log(source.path / LOG_FILE, log)
    if lost is not None:
        n, first = lost.kept["frames"], lost.first_lost
        told = f"is damaged: {n} frames are kept, the first that is not is {first}"
        faults = (Fault(source.name, str(source.path / LOG_FILE), told, "its frames are lost"),)
    with LogReader.look_into(log) as read:
        return Begun(sum(1 for _ in read.named()), faults)


def _replay(job: Job, source: Source, file: Path) -> list[Fault]:
    """Replay a recording or a sample frame after frame: background and dirt are of those before."""
    from tools.shore.uvp6_project.replay import CastRecording
    from tools.simulate import begin_replay, complete_config, open_replay, replay_into

    classifier = classifier_of(job.bundle, job.bundle_sha256)
    recording: Recording = open_replay(source.path, fps=None, pressure=None, profile=source.profile or None)
    config, is_nominal = complete_config(job.config, recording.info, bundle=classifier.bundle.name)
    if is_nominal:
        raise RecordingError(
            "does not say its optics", file=source.path, remedy="give --config with a section [optics]"
        )
    with begin_replay(recording, config, classifier.bundle, file) as log:
        replay_into(log, recording, config, classifier.bundle, prefetch=False)
        log.checkpoint()
    if not isinstance(recording, CastRecording):
        return []
    faults = [Fault(source.name, str(source.path), one.rstrip("."), "left out") for one in recording.faults]
    if recording.cast.vignettes is None:
        told = "has no vignettes beside it; copy its *_Images.zip"
        faults.append(Fault(source.name, str(source.path), told, "its particles are counted, none is named"))
    return faults
