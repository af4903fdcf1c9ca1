"""The log of a dive again, its particles named by another model: frames, sizes and measures stay.

A particle whose vignette is not kept cannot be named anew. It goes from the named to the unnamed of its
frame, and the volume in which particles were named becomes less by that share, as when a board has no time.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.database import connect_to_build, connect_to_read, finish_building
from edge.divelog import DiveLog
from edge.divelog_schema import (
    FRAME_COLUMNS,
    N_FRAME_COLUMNS,
    N_PARTICLE_COLUMNS,
    PARTICLE_COLUMNS,
    SCHEMA,
    Row,
    checksum,
    frames_with_particles,
    marks,
    salt_of,
)
from edge.durable import sync_file
from edge.errors import DiveLogError
from edge.inference.bundle import Bundle
from edge.inference.classifier import Answers
from edge.log_reader import LogReader
from edge.logged import codebook_of, config_of, correct_dive
from edge.salvage import Salvaged, is_damaged, salvage

_UNNAMED = [name.strip() for name in FRAME_COLUMNS.split(",")].index("unnamed")
_COLUMNS = [name.strip() for name in PARTICLE_COLUMNS.split(",")]
_TAXON, _TOP, _SCORE, _SCORES, _EVIDENCE, _NUMBERS = (
    _COLUMNS.index(name) for name in ("taxon", "top", "score", "scores", "evidence", "numbers")
)
_FRAMES_AT_ONCE = 256


def take_log(log: Path, place: Path) -> Salvaged | None:
    """Copy a dive's log, with what is in its WAL, and bring the copy up to this version.

    The archive is only read. A copy that is damaged becomes one of what can be trusted.

    Returns
    -------
    What was lost of it, or None when it is whole.

    Raises
    ------
    DiveLogError
        When nothing of it can be trusted.
    """
    for end in ("", "-wal"):
        beside = log.with_name(log.name + end)
        if beside.is_file():
            shutil.copyfile(beside, place.with_name(place.name + end))
    lost = _salvage_if_damaged(place, log)
    with _sentences_about(log), DiveLog.open(place) as copy:
        copy.checkpoint()
    # Nothing else is to be read with the copy: what a salvage has put aside goes too.
    for stray in place.parent.glob(f"{place.name}[.-]*"):
        stray.unlink()
    return lost


def _salvage_if_damaged(copy: Path, log: Path) -> Salvaged | None:
    number, started_ms = 0, 0
    with (
        contextlib.suppress(sqlite3.Error, ValueError, TypeError),
        contextlib.closing(connect_to_read(copy, with_wal=True)) as db,
    ):
        meta = dict(db.execute("SELECT key, value FROM meta"))
        number, started_ms = int(json.loads(meta["dive_number"])), int(json.loads(meta["started_ms"]))
    with contextlib.suppress(DiveLogError):  # what cannot be opened cannot be trusted either
        if not is_damaged(copy, number):
            return None
    with _sentences_about(log):
        found = salvage(copy, time_ms=started_ms)
    if found is None:
        raise DiveLogError("is no dive log, or is damaged beyond use", file=log, remedy="copy it again")
    return found


@contextlib.contextmanager
def _sentences_about(log: Path) -> Any:
    """What is wrong with the copy is wrong with the log in the archive."""
    try:
        yield
    except DiveLogError as error:
        raise DiveLogError(error.problem, file=log, field=error.field, remedy=error.remedy) from error


def rename_dive(old: Path, new: Path, bundle: Bundle, rows: NDArray[np.int64], answers: Answers) -> list[int]:
    """Write the log `new`: that of `old`, its particles named by `answers`.

    Parameters
    ----------
    rows
        int64 (n_particles,): which of the answers is a particle's; -1 where its vignette is not at hand.

    Returns
    -------
    Of each particle that stays, its taxon in the old log (index of the counted taxa there).
    """
    before: list[int] = []
    new.unlink(missing_ok=True)
    with (
        contextlib.closing(connect_to_read(old, with_wal=False)) as source,
        contextlib.closing(connect_to_build(new)) as db,
    ):
        meta = _facts(LogReader(source, old), dict(source.execute("SELECT key, value FROM meta")), bundle)
        salt = salt_of(meta)
        db.executescript("BEGIN IMMEDIATE;" + SCHEMA)
        sealed = [(key, value, checksum(salt, key, value)) for key, value in meta.items()]
        db.executemany(f"INSERT INTO meta VALUES ({marks(3)})", sealed)
        numbers: dict[int, int] = {}
        frames = frames_with_particles(source)
        while bloc := list(itertools.islice(frames, _FRAMES_AT_ONCE)):
            _copy_frames(db, bloc, salt, rows, answers, numbers, before)
        for number, worth, png in source.execute("SELECT particle, worth, png FROM vignettes ORDER BY 1"):
            if number in numbers:
                row = numbers[number], worth, checksum(salt, numbers[number], png, worth), png
                db.execute(f"INSERT INTO vignettes (particle, worth, checksum, png) VALUES ({marks(4)})", row)
        for row in source.execute("SELECT time_ms, kind, data FROM inputs ORDER BY input").fetchall():
            db.execute(
                f"INSERT INTO inputs (time_ms, kind, data, checksum) VALUES ({marks(4)})",
                (*row, checksum(salt, *row)),
            )
        db.execute("COMMIT")
        finish_building(db)
    with DiveLog.open(new) as log:
        try:
            corrected = correct_dive(log)
        except (ValueError, MemoryError) as error:  # as at the end of a dive
            corrected = None
            log.set_meta("correction_failed", str(error))
        log.set_meta("corrected", None if corrected is None else corrected.tolist())
        log.checkpoint()
    sync_file(new)
    return before


def _facts(log: LogReader, told: dict[str, str], bundle: Bundle) -> dict[str, str]:
    """Facts of the dive, as rows hold them, those of the model anew; the old messages' climatology goes."""
    anew = {
        "codebook": msgspec.to_builtins(codebook_of(config_of(log), bundle)),
        "climatology": None,
        "bundle": {"name": bundle.name, "sha256": bundle.sha256},
        "correction": msgspec.to_builtins(bundle.manifest.correction),
        "reference": msgspec.to_builtins(bundle.manifest.reference),
        "bundle_before": log.meta("bundle"),
    }
    kept = {key: value for key, value in told.items() if key not in ("corrected", "correction_failed")}
    return kept | {key: json.dumps(value, sort_keys=True) for key, value in anew.items()}


def _copy_frames(
    db: sqlite3.Connection,
    bloc: Sequence[tuple[Row, list[Row], int | None]],
    salt: int,
    rows: NDArray[np.int64],
    answers: Answers,
    numbers: dict[int, int],
    before: list[int],
) -> None:
    """Write frames with their particles; `numbers` and `before` grow by those that stay."""
    frames, particles = [], []
    for row, found, _ in bloc:
        kept = []
        for particle in found:
            answer = int(rows[particle[0]])
            if answer >= 0:
                numbers[particle[0]] = len(numbers)
                before.append(particle[_TAXON])
                kept.append(_named(particle, numbers[particle[0]], answers, answer))
        frame = list(row)
        frame[_UNNAMED] += len(found) - len(kept)
        frames.append((*frame, checksum(salt, frame, kept)))
        particles += kept
    db.executemany(
        f"INSERT INTO frames ({FRAME_COLUMNS}, checksum) VALUES ({marks(N_FRAME_COLUMNS + 1)})", frames
    )
    db.executemany(
        f"INSERT INTO particles ({PARTICLE_COLUMNS}) VALUES ({marks(N_PARTICLE_COLUMNS)})", particles
    )


def _named(particle: Row, number: int, answers: Answers, i: int) -> Row:
    """A particle's row with another number and name."""
    scores = np.asarray(answers.taxon_scores[i], dtype="<f4")
    top = int(scores.argmax())
    row = [number, *particle[1:]]
    row[_TAXON], row[_TOP], row[_SCORE] = int(answers.decisions[i]), top, float(scores[top])
    row[_SCORES], row[_EVIDENCE] = scores.tobytes(), float(answers.evidence[i]) + 0.0
    row[_NUMBERS] = answers.numbers[i].tobytes() or None
    return tuple(row)
