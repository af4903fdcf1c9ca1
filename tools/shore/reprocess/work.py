"""The three steps of a source: make ready, name part by part, finish. Each runs anywhere, and may run again.

What a step has made lies in a file that is whole or not there, under a hash of the source's content, of the
bundle and of the settings: a step that finds it has nothing to do. Steps of a source know each other by files
alone, so workers share a folder and nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import shutil
import sqlite3
import tempfile
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from edge.divelog import DiveLog
from edge.durable import PART, sync_file, sync_folder, write_durably
from edge.errors import RecordingError, SestonError
from edge.frame import FrameOutcome
from edge.inference.bundle import Bundle
from edge.log_reader import LogReader
from edge.logged import codebook_in
from edge.recording import Recording
from tools.shore.dives import LoggedDive
from tools.shore.exports.from_log import from_log
from tools.shore.exports.netcdf import write_netcdf
from tools.shore.exports.netcdf_facts import iso
from tools.shore.exports.tables import DiveTables
from tools.shore.reprocess.naming import (
    DivePictures,
    Pictures,
    StoredPictures,
    classifier_of,
    name_part,
    parts_of,
    read_parts,
)
from tools.shore.reprocess.renaming import rename_dive, take_log
from tools.shore.reprocess.sources import LOG_FILE, NOT_USED, Fault, Kind, Source, content_hash

P = ParamSpec("P")
T = TypeVar("T")
FORMAT = 1
"""Of the results: another one makes everything anew."""
WORK, DONE, READY = "work", "done", "ready.json"
UNFINISHED = ".begun-"
"""Start of the name of a folder that is not whole yet; what a killed run left of one may be deleted."""
NOT_NAMED = "the particle is not named"
NOT_COUNTED = "the frame is counted as corrupt"
UNUSABLE = (SestonError, OSError, sqlite3.Error, zipfile.BadZipFile, ValueError, ImportError, MemoryError)
"""What a source that is damaged may raise; anything else is our fault, and is told as such by the run."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is the same for all sources of a run.

    Attributes
    ----------
    out
        Folder of the results, which all workers see.
    bundle, bundle_sha256
        The model's file, and what it must be.
    config
        Configuration for recordings, or None.
    settings
        Hash of the settings that results depend on.
    invert
        Pictures of folders and zips are dark on bright.
    keep_dives
        Keep the logs of the dives.
    """

    out: Path
    bundle: Path
    bundle_sha256: str
    config: Path | None
    settings: str
    invert: bool
    keep_dives: bool

    def key(self, content: str) -> str:
        """Name of a source's work: of its content, the bundle and the settings."""
        told = json.dumps([FORMAT, content, self.bundle_sha256, self.settings])
        return hashlib.sha256(told.encode()).hexdigest()

    def place(self, source: Source, key: str) -> Path:
        """Folder of what is not finished yet of a source."""
        return self.out / WORK / f"{source.label}.{key[:16]}"

    def marker(self, source: Source) -> Path:
        """The file that says that a source is finished."""
        return self.out / DONE / f"{source.label}.json"


@dataclass(frozen=True, slots=True)
class Ready:
    """A source that can be named.

    Attributes
    ----------
    source, key
        Which, and the name of its work.
    n_pictures
        To be named; 0 of a recording, whose frames were named as they came.
    is_done
        It was finished before.
    """

    source: Source
    key: str
    n_pictures: int = 0
    is_done: bool = False

    @property
    def parts(self) -> list[tuple[int, int]]:
        """First and last number of each part."""
        return list(parts_of(self.n_pictures))


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of a source; a fault that is `fatal` left nothing of it."""

    source: Source
    objects: int = 0
    frames: dict[str, int] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    is_failed: bool = False


_ALONE = threading.Lock()
"""Interpreter, SQLite and HDF5 are not for two threads: a worker with several does one step at a time."""


def _one_at_a_time(step: Callable[P, T]) -> Callable[P, T]:
    @functools.wraps(step)
    def locked(*args: P.args, **named: P.kwargs) -> T:
        with _ALONE:
            return step(*args, **named)

    return locked


def failed(source: Source, error: Exception) -> Finished:
    """A source that could not be used."""
    return Finished(source, faults=(Fault.of(source.name, error, NOT_USED),), is_failed=True)


@_one_at_a_time
def make_ready(job: Job, source: Source) -> Ready | Finished:
    """Have a source's log at hand: that of a dive is copied, a recording is replayed into one."""
    try:
        key = job.key(content_hash(source))
        if _is_done(job, source, key):
            return Ready(source, key, is_done=True)
        place = job.place(source, key)
        if not place.is_dir():
            _begin_anew(job, source, place)
        return Ready(source, key, json.loads((place / READY).read_bytes())["n_pictures"])
    except UNUSABLE as error:
        return failed(source, error)


@_one_at_a_time
def name_pictures(job: Job, ready: Ready, first: int, stop: int) -> Finished | None:
    """Name a part of the pictures; a `Finished` says why it cannot be."""
    file = _part(job, ready, first)
    try:
        if not file.is_file():
            classifier = classifier_of(job.bundle, job.bundle_sha256)
            with _pictures(job, ready) as pictures:
                name_part(pictures, first, stop, classifier, file)
    except UNUSABLE as error:
        return failed(ready.source, error)
    return None


@_one_at_a_time
def finish(job: Job, ready: Ready) -> Finished:
    """Put the parts together and write the results of a source; the marker comes last."""
    try:
        marker = job.marker(ready.source)
        if not _is_done(job, ready.source, ready.key):  # by a worker that died before it could say so
            _finish(job, ready, marker)
            shutil.rmtree(job.place(ready.source, ready.key), ignore_errors=True)
        told = json.loads(marker.read_bytes())
        faults = tuple(Fault(*row) for row in told["faults"])
        return Finished(ready.source, told["objects"], told["frames"], faults)
    except UNUSABLE as error:
        return failed(ready.source, error)


def _begin_anew(job: Job, source: Source, place: Path) -> None:
    """Make the folder of a source's work; it has its name when it is whole."""
    place.parent.mkdir(parents=True, exist_ok=True)
    begun = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=place.parent))
    try:
        write_durably(begun / READY, json.dumps(_begin(job, source, begun)).encode())
        if not place.is_dir():  # a worker that was given up may have been faster
            begun.rename(place)
            sync_folder(place.parent)
    finally:
        shutil.rmtree(begun, ignore_errors=True)


def _begin(job: Job, source: Source, place: Path) -> dict[str, Any]:
    """What is written of a source that is ready."""
    log, faults = place / LOG_FILE, list[Fault]()
    if source.kind is Kind.VIGNETTES:
        with _stored(source, invert=job.invert) as pictures:
            return {"n_pictures": len(pictures), "faults": []}
    if source.kind is Kind.DIVE:
        lost = take_log(source.path / LOG_FILE, log)
        if lost is not None:
            n, first = lost.kept["frames"], lost.first_lost
            told = f"is damaged: {n} frames are kept, the first that is not is {first}"
            faults.append(Fault(source.name, str(source.path / LOG_FILE), told, "its frames are lost"))
        with LogReader.look_into(log) as read:
            return {"n_pictures": sum(1 for _ in read.named()), "faults": faults}
    return {"n_pictures": 0, "faults": _replay(job, source, log)}


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
    told = recording.faults if isinstance(recording, CastRecording) else ()
    return [Fault(source.name, str(source.path), one.rstrip("."), "left out") for one in told]


def _finish(job: Job, ready: Ready, marker: Path) -> None:
    from tools.shore.reprocess import tables

    source, place = ready.source, job.place(ready.source, ready.key)
    bundle = classifier_of(job.bundle, job.bundle_sha256).bundle
    told = json.loads((place / READY).read_bytes())
    faults = [Fault(*row) for row in told["faults"]]
    files: dict[str, bytes | Path] = {}
    frames: Counter[str] = Counter()
    rows, answers, damaged = read_parts(
        [_part(job, ready, first) for first, _ in ready.parts], ready.n_pictures
    )
    with _pictures(job, ready) as pictures:
        faults += [Fault(source.name, pictures.file(number), why, NOT_NAMED) for number, why in damaged]
        if source.kind is Kind.VIGNETTES:
            numbers = [number for number in range(ready.n_pictures) if rows[number] >= 0]
            named = [pictures.file(number) for number in numbers]
            at = tables.partition("", source.label)
            found = tables.pictures_table(source.name, named, numbers, answers, bundle)
            files[f"objects/{at}/part.parquet"] = tables.parquet_of(found)
            _publish(job, source, ready.key, marker, files, len(named), frames, faults)
            return
    before: list[str | None]
    log_file = place / LOG_FILE
    if source.kind is Kind.DIVE:
        log_file = place / "renamed.sqlite"
        with LogReader.look_into(place / LOG_FILE) as old:
            labels = [taxon.label for taxon in codebook_in(old).taxa]
        before = [labels[i] for i in rename_dive(place / LOG_FILE, log_file, bundle, rows, answers)]
        n_absent = int((rows < 0).sum()) - len(damaged)
        if n_absent:
            faults.append(
                Fault(source.name, LOG_FILE, f"{n_absent} vignettes were not kept aboard", NOT_NAMED)
            )
    with DiveLog.open(log_file) as log:
        n = sum(1 for _ in log.named())
        if source.kind is not Kind.DIVE:
            before = [None] * n
        dive = from_log(LoggedDive(log))
        recording = log.meta("recording") if log.has_meta("recording") else {}
        unit = recording.get("instrument", {}).get("unit") or codebook_in(log).platform
        at = tables.partition(unit, source.label)
        files[f"objects/{at}/part.parquet"] = tables.parquet_of(tables.objects_of(log, source.name, before))
        files[f"frames/{at}/part.parquet"] = tables.parquet_of(tables.frames_of(log, source.name))
        files[f"bins/{at}/part.parquet"] = tables.parquet_of(tables.bins_of(dive.decoded, source.name))
        faults += [
            Fault(source.name, row["source"], row["note"].rstrip("."), NOT_COUNTED)
            for row in log.frames()
            if row["outcome"] == FrameOutcome.CORRUPT
        ]
        frames.update({outcome.label: count for outcome, count in log.outcomes().items()})
    for made in write_netcdf(dive, place, _dates(dive)):
        files[f"netcdf/{at}/{made.name}"] = made
    if job.keep_dives:
        files[f"dives/{source.label}/{LOG_FILE}"] = log_file
    _publish(job, source, ready.key, marker, files, n, frames, faults)


def _dates(dive: DiveTables) -> dict[str, str]:
    """The same archive and bundle make the same bytes: a file's dates are those of its dive."""
    return {"date_created": iso(dive.start_s or 0)}


def _publish(
    job: Job,
    source: Source,
    key: str,
    marker: Path,
    files: dict[str, bytes | Path],
    objects: int,
    frames: Counter[str],
    faults: list[Fault],
) -> None:
    """Give every result its name, and say last that they are there; those of an earlier content go."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        for name in json.loads(marker.read_bytes())["files"].keys() - files.keys():
            (job.out / name).unlink(missing_ok=True)
    marker.unlink(missing_ok=True)
    sizes = {}
    for name, content in files.items():
        place = job.out / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            part = place.with_name(place.name + PART)
            shutil.copyfile(content, part)
            sync_file(part)
            part.replace(place)
            sync_folder(place.parent)
        else:
            write_durably(place, content)
        sizes[name] = place.stat().st_size
    told = {
        "source": source.name, "kind": source.kind.value, "key": key, "objects": objects,
        "frames": dict(sorted(frames.items())), "faults": sorted(faults), "files": sizes,
    }  # fmt: skip
    marker.parent.mkdir(exist_ok=True)
    write_durably(marker, json.dumps(told, indent=1, sort_keys=True).encode() + b"\n")


def _is_done(job: Job, source: Source, key: str) -> bool:
    """Whether a source has its results, of this content, all of them."""
    try:
        told = json.loads(job.marker(source).read_bytes())
        sizes = {name: (job.out / name).stat().st_size for name in told["files"]}
    except (OSError, ValueError, KeyError):
        return False
    return bool(told["key"] == key and sizes == told["files"])


@contextlib.contextmanager
def _pictures(job: Job, ready: Ready) -> Iterator[Pictures]:
    source = ready.source
    if source.kind is Kind.VIGNETTES:
        with _stored(source, invert=job.invert) as stored:
            yield stored
        return
    with LogReader.look_into(job.place(source, ready.key) / LOG_FILE) as log:
        yield DivePictures(log, ready.n_pictures, source.path / LOG_FILE)


@contextlib.contextmanager
def _stored(source: Source, *, invert: bool) -> Iterator[StoredPictures]:
    from training.datasets import ImageStore

    with ImageStore(source.path) as store:
        yield StoredPictures(store, invert=invert)


def _part(job: Job, ready: Ready, first: int) -> Path:
    return job.place(ready.source, ready.key) / f"named-{first:09d}.npz"


def model_of(job: Job) -> Bundle:
    """The model that works; raises `BundleError` when it does not reproduce its golden outputs."""
    return classifier_of(job.bundle, job.bundle_sha256).bundle
