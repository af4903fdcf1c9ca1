"""What must hold of a service's folder whenever power or the process may have gone."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path

import numpy as np

from edge.divelog import DiveLog
from edge.frame import CLASSIFIED_OUTCOMES
from edge.logged import summarise
from edge.salvage import is_damaged
from tests.durability.aboard import Promises


def judge(folder: Path, promised: Promises) -> None:
    """Look at a copy, so that the process finds what the cut left."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place)
        (copy / "dives").mkdir()
        for one in (folder / "dives").glob("outbox.sqlite*"):
            shutil.copy(one, copy / "dives" / one.name)
        logs = {}
        dives = sorted(one for one in (folder / "dives").iterdir() if one.is_dir())
        for number, one in enumerate(dives):
            assert int(one.name) == number, "dives are numbered without gaps"
            if one.name in promised.judged:
                continue
            shutil.copytree(
                one, copy / "dives" / one.name, ignore=shutil.ignore_patterns("*.ballast", "*-shm")
            )
            logs[one.name] = _judge_log(copy / "dives" / one.name, promised, is_last=one is dives[-1])
        names = {one.name for one in dives}
        assert set(promised.frames) <= names, "a dive is gone"
        _judge_outbox(copy / "dives" / "outbox.sqlite", folder / "messages", logs, promised)
        promised.judged |= {name for name, is_ended in logs.items() if is_ended is not None}


def _judge_log(folder: Path, promised: Promises, *, is_last: bool) -> list[bytes] | None:
    """Messages of an ended dive, or None."""
    file = folder / "dive.sqlite"
    if is_last and not file.exists():
        assert folder.name not in promised.frames
        return None
    assert not is_damaged(file, int(folder.name)), f"{folder.name} is damaged"
    with DiveLog.open(folder) as log:
        records = list(log.records())
        assert [one.index for one in records] == list(range(len(records)))
        assert len(records) >= promised.frames[folder.name], f"frames of {folder.name} are gone"
        particles = list(log.particles())
        assert {one.frame for one in particles} <= {one.index for one in records}
        assert sum(len(one.taxa) for one in records) == len(particles)
        profile = summarise(log).profile
        assert profile.outcomes().sum() == len(records)
        named = [one for one in records if one.outcome in CLASSIFIED_OUTCOMES]
        counts = np.bincount(np.concatenate([np.zeros(0, int), *(one.taxa for one in named)]), minlength=1)
        assert (
            profile.taxa()[: len(counts)].tolist() == counts.tolist() if profile.phases else not counts.sum()
        )
        is_ended = log.has_meta("ended_ms")
        assert is_ended or (is_last and folder.name not in promised.ended), f"{folder.name} has not ended"
        return log.messages() if is_ended else None


def _judge_outbox(
    file: Path, messages: Path, logs: dict[str, list[bytes] | None], promised: Promises
) -> None:
    if not file.exists():
        assert not promised.put
        return
    with sqlite3.connect(file) as db:
        has_table = db.execute("SELECT COUNT(*) FROM sqlite_schema WHERE name = 'outbox'").fetchone()[0]
        rows = db.execute("SELECT dive, part, data, delivered_ms FROM outbox").fetchall() if has_table else []
    db.close()
    found = {(f"{dive:05d}", part): (data, delivered_ms) for dive, part, data, delivered_ms in rows}
    assert len(found) == len(rows)
    for dive, n in promised.put.items():
        assert [(dive, part) in found for part in range(n + 1)] == [True] * n + [False]
    for id_, (data, delivered_ms) in found.items():
        assert promised.data.setdefault(id_, data) == data, "a message has changed"
        assert delivered_ms is not None or id_ not in promised.delivered
    for dive, part in promised.delivered:
        assert (messages / f"{dive}-{part:03d}.msg").read_bytes() == promised.data[dive, part]
    for dive, made in logs.items():
        if made is not None:
            assert made == [found[dive, part][0] for part in range(len(made))], f"{dive} was made again"
