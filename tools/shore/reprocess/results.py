"""The results of a source whose pictures are named: tables, profile, log; the marker that they are there."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge.divelog import DiveLog
from edge.durable import PART, sync_file, sync_folder, write_durably
from edge.frame import FrameOutcome
from edge.log_reader import LogReader
from edge.logged import codebook_in
from tools.shore.reprocess.job import Finished, Job, Ready
from tools.shore.reprocess.naming import classifier_of, open_pictures, read_parts
from tools.shore.reprocess.renaming import rename_dive
from tools.shore.reprocess.sources import LOG_FILE, Fault, Kind

NOT_NAMED = "the particle is not named"
NOT_COUNTED = "the frame is counted as corrupt"
Files = dict[str, bytes | Path]


def write_results(job: Job, ready: Ready) -> Finished:
    """Put the parts of a source together and write what comes of it; the marker comes last."""
    from tools.shore.reprocess import tables

    source, place = ready.source, job.place(ready.source, ready.key)
    bundle = classifier_of(job.bundle, job.bundle_sha256).bundle
    rows, answers, damaged = read_parts(place, ready.n_pictures)
    faults, before = list(ready.faults), list[str]()
    with open_pictures(source, place, ready.n_pictures, invert=job.invert) as pictures:
        faults += [Fault(source.name, pictures.file(number), why, NOT_NAMED) for number, why in damaged]
        if source.kind is Kind.VIGNETTES:
            numbers = [number for number in range(ready.n_pictures) if rows[number] >= 0]
            named = [pictures.file(number) for number in numbers]
            table = tables.pictures_table(source.name, named, numbers, answers, bundle)
            at = tables.partition("", source.label)
            files: Files = {f"objects/{at}/part.parquet": tables.parquet_of(table)}
            return _publish(job, ready, files, len(named), Counter(), faults)
    log_file = place / LOG_FILE
    if source.kind is Kind.DIVE:
        log_file, old = place / "renamed.sqlite", log_file
        before = _labels_of(old, rename_dive(old, log_file, bundle, rows, answers))
        n_absent = int((rows < 0).sum()) - len(damaged)
        if n_absent:
            told = f"{n_absent} vignettes were not kept aboard"
            faults.append(Fault(source.name, LOG_FILE, told, NOT_NAMED))
    return _of_log(job, ready, log_file, before, faults)


def _labels_of(log: Path, taxa: list[int]) -> list[str]:
    with LogReader.look_into(log) as old:
        labels = [taxon.label for taxon in codebook_in(old).taxa]
    return [labels[i] for i in taxa]


def _of_log(job: Job, ready: Ready, file: Path, before: Sequence[str], faults: list[Fault]) -> Finished:
    """Results of a dive, a recording or a sample: all are a log by now."""
    from tools.shore.dives import LoggedDive
    from tools.shore.exports.from_log import from_log
    from tools.shore.exports.netcdf import write_netcdf
    from tools.shore.exports.netcdf_facts import iso
    from tools.shore.reprocess import tables

    source, name = ready.source, ready.source.name
    files: Files = {}
    with DiveLog.open(file) as log:
        dive = from_log(LoggedDive(log))
        recording = log.meta("recording") if log.has_meta("recording") else {}
        unit = recording.get("instrument", {}).get("unit") or codebook_in(log).platform
        at = tables.partition(unit, source.label)
        objects = tables.objects_of(log, name, before)
        for what, table in (
            ("objects", objects),
            ("frames", tables.frames_of(log, name)),
            ("bins", tables.bins_of(dive.decoded, name)),
        ):
            files[f"{what}/{at}/part.parquet"] = tables.parquet_of(table)
        faults = faults + [
            Fault(name, row["source"], row["note"].rstrip("."), NOT_COUNTED)
            for row in log.frames()
            if row["outcome"] == FrameOutcome.CORRUPT
        ]
        frames = Counter({outcome.label: count for outcome, count in log.outcomes().items()})
    # The same archive and bundle make the same bytes: a file's dates are those of its dive.
    for made in write_netcdf(dive, file.parent, {"date_created": iso(dive.start_s or 0)}):
        files[f"netcdf/{at}/{made.name}"] = made
    if job.keep_dives:
        files[f"dives/{source.label}/{LOG_FILE}"] = file
    return _publish(job, ready, files, objects.num_rows, frames, faults)


def _publish(
    job: Job, ready: Ready, files: Files, objects: int, frames: Counter[str], faults: list[Fault]
) -> Finished:
    """Give every result its name, and say last that they are there; those of an earlier content go."""
    source, marker = ready.source, job.marker(ready.source)
    with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        earlier = msgspec.json.decode(marker.read_bytes(), type=Finished)
        for name in earlier.files.keys() - files.keys():
            (job.out / name).unlink(missing_ok=True)
    marker.unlink(missing_ok=True)
    sizes = {}
    for name, content in sorted(files.items()):
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
    finished = Finished(
        source.name, source.kind, ready.key, objects, dict(sorted(frames.items())), tuple(sorted(faults)),
        sizes,
    )  # fmt: skip
    marker.parent.mkdir(exist_ok=True)
    write_durably(marker, msgspec.json.format(msgspec.json.encode(finished), indent=1) + b"\n")
    return finished
