"""What a full disk costs: vignettes, the least valuable first; never frames, messages or facts.

Within a dive a quota decides, by what a vignette may teach; across dives a reserve of the whole disk, which
the oldest ended dives give back.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import math
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.database import connect, connect_to_build, connect_to_read, finish_building
from edge.divelog_schema import SCHEMA, SCHEMA_VERSION, Particle, checksum, salt_of, upgrade
from edge.durable import sync_file, sync_folder
from edge.errors import DiveLogError
from edge.salvage import is_damaged

MIDDLE_ESD_UM = 1000.0
"""Size whose share of a vignette's worth is one half."""
TABLES = ("meta", "frames", "particles", "inputs", "messages")
"""All but vignettes."""


def worth_of(particle: Particle, seen: Mapping[int, int]) -> float:
    """What the vignette of a particle may teach, 0 to 4.

    A quarter each for what the model has not seen the like of, for a taxon that is rare in this dive (`seen`:
    particles before it by taxon), for a name that is not sure, and for size.
    """
    evidence = particle.evidence
    novel = 0.0 if math.isnan(evidence) else 1 / (1 + max(evidence, 0.0))
    rare = 1 / math.sqrt(1 + seen.get(particle.taxon, 0))
    unsure = 1 - float(np.max(particle.scores))
    large = particle.esd_um / (particle.esd_um + MIDDLE_ESD_UM)
    return novel + rare + unsure + large


@dataclass(frozen=True, slots=True)
class Offer:
    """A vignette that may be kept: the number of its particle, and what it is worth."""

    number: int
    png: bytes
    worth: float


class Triage:
    """Which vignettes of a dive are kept within its quota: the most valuable, whenever they come.

    Deterministic from what is in the log: after a restart it goes on as if there had been none.
    """

    def __init__(self, db: sqlite3.Connection, quota_bytes: float) -> None:
        rows = db.execute("SELECT worth, particle, LENGTH(png) FROM vignettes")
        self._kept: list[tuple[float, int, int]] = list(rows)
        heapq.heapify(self._kept)
        self._room = quota_bytes - sum(size for _, _, size in self._kept)

    def choose(self, offers: Sequence[Offer]) -> tuple[list[Offer], list[int]]:
        """Offers to keep, and numbers of kept ones that must go for them. Nothing changes before `settle`."""
        room, kept = self._room, list(self._kept)  # a heap as well
        chosen: dict[int, Offer] = {}
        gone: list[int] = []
        for offer in offers:
            lost = []
            while kept and len(offer.png) > room and kept[0][0] < offer.worth:
                lost.append(heapq.heappop(kept))
                room += lost[-1][2]
            if len(offer.png) > room:
                for one in lost:
                    heapq.heappush(kept, one)
                    room -= one[2]
                continue
            for _, number, _ in lost:
                if chosen.pop(number, None) is None:
                    gone.append(number)
            chosen[offer.number] = offer
            room -= len(offer.png)
            heapq.heappush(kept, (offer.worth, offer.number, len(offer.png)))
        return list(chosen.values()), gone

    def settle(self, kept: Sequence[Offer], gone: Sequence[int]) -> None:
        """What was chosen is in the log now."""
        if gone:
            lost = set(gone)
            self._room += sum(size for _, number, size in self._kept if number in lost)
            self._kept = [one for one in self._kept if one[1] not in lost]
            heapq.heapify(self._kept)
        for offer in kept:
            heapq.heappush(self._kept, (offer.worth, offer.number, len(offer.png)))
            self._room -= len(offer.png)


@dataclass(frozen=True, slots=True)
class Freed:
    """A dive whose vignettes are deleted: its folder's name, their number, and the bytes that came free."""

    dive: str
    vignettes: int
    freed_bytes: int


class Reserve:
    """Room on the disk for what must never be lost.

    Parameters
    ----------
    dives
        Folder of the dives' folders.
    keep_free_mb
        When less is free, the oldest ended dives lose their vignettes, one after another.
    """

    def __init__(self, dives: Path, keep_free_mb: float) -> None:
        self._dives, self._keep_free_bytes = dives, keep_free_mb * 1e6
        self._done: set[str] = set()

    def keep(self, most: int | None = None) -> list[Freed]:
        """Free what is needed, if it can be, of so many dives at most; says what was deleted."""
        freed: list[Freed] = []
        for folder in sorted(f for f in self._dives.iterdir() if f.is_dir() and f.name.isdigit()):
            if shutil.disk_usage(self._dives).free >= self._keep_free_bytes or len(freed) == most:
                break
            if folder.name in self._done:
                continue
            found = drop_vignettes(folder / "dive.sqlite")
            if found is None:
                continue
            self._done.add(folder.name)
            if found.vignettes:
                freed.append(found)
        return freed


def drop_vignettes(file: Path) -> Freed | None:
    """Write the log of an ended dive anew without its vignettes, which the log then counts.

    None when the dive has not ended, or the log cannot be read or written: then it is as it was. The new log
    is as small as what is left, and takes the place of the other in one step.
    """
    new = file.with_name(file.name + ".new")
    before = 0
    try:
        if not file.is_file() or not has_ended(file):
            return None
        if not _has_vignettes(file):
            return Freed(file.parent.name, 0, 0)
        if is_damaged(file, int(file.parent.name)):  # reads all of it
            return None
        before = file.stat().st_size
        new.unlink(missing_ok=True)
        n = copy_without_vignettes(file, new, ended_only=True, counted_as="vignettes_deleted")
        if n is None or n == 0 or file.with_name(file.name + "-wal").exists():
            new.unlink(missing_ok=True)
            return None if n is None else Freed(file.parent.name, 0, 0)
        sync_file(new)
        new.replace(file)
        sync_folder(file.parent)
        return Freed(file.parent.name, n, before - file.stat().st_size)
    except (OSError, sqlite3.Error, ValueError, TypeError, DiveLogError):
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        return None


def has_ended(file: Path) -> bool:
    """Whether the log of a dive says that its messages were made and kept; may raise `sqlite3.Error`."""
    with contextlib.closing(connect_to_read(file, with_wal=True)) as db:
        return db.execute("SELECT 1 FROM meta WHERE key = 'ended_ms'").fetchone() is not None


def _has_vignettes(file: Path) -> bool:
    with contextlib.closing(connect_to_read(file, with_wal=True)) as db:
        return db.execute("SELECT 1 FROM vignettes LIMIT 1").fetchone() is not None


def copy_without_vignettes(file: Path, new: Path, *, ended_only: bool, counted_as: str) -> int | None:
    """Copy a log, brought up to this version first, but for its vignettes, which a fact of the copy counts.

    Returns how many it lacks: 0 when there is none, and then no copy is made; None when this version cannot
    read the log, or the dive has not ended and `ended_only`. May raise `sqlite3.Error`, `ValueError` and
    `TypeError`.
    """
    with contextlib.closing(connect(file)) as db:
        return _copy_without_vignettes(db, new, ended_only=ended_only, counted_as=counted_as)


def _copy_without_vignettes(
    db: sqlite3.Connection, new: Path, *, ended_only: bool, counted_as: str
) -> int | None:
    (version,) = db.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    if upgrade(db, json.loads(version)) != SCHEMA_VERSION:
        return None
    meta = dict(db.execute("SELECT key, value FROM meta"))
    if ended_only and "ended_ms" not in meta:
        return None
    (n,) = db.execute("SELECT COUNT(*) FROM vignettes").fetchone()
    if not n:
        return 0
    with contextlib.closing(connect_to_build(new)) as empty:
        empty.executescript(SCHEMA)
    db.execute("ATTACH ? AS new", (str(new),))
    db.execute("PRAGMA new.journal_mode=OFF")
    db.execute("PRAGMA new.synchronous=OFF")
    db.execute("BEGIN")
    for table in TABLES:
        columns = ", ".join(row[1] for row in db.execute(f"PRAGMA new.table_info({table})"))
        db.execute(f"INSERT INTO new.{table} ({columns}) SELECT {columns} FROM main.{table}")
    row = (counted_as, json.dumps(int(n) + json.loads(meta.get(counted_as, "0"))))
    db.execute("INSERT OR REPLACE INTO new.meta VALUES (?, ?, ?)", (*row, checksum(salt_of(meta), *row)))
    db.execute("COMMIT")
    db.execute("DETACH new")
    with contextlib.closing(connect_to_build(new)) as made:
        finish_building(made)
    return int(n)


def bytes_written_so_far() -> int:
    """Bytes that this process has had the disk write (`write_bytes` of Linux's /proc); 0 where unknown."""
    try:
        told = Path("/proc/self/io").read_text(encoding="ascii")
        return int(dict(line.split(": ") for line in told.splitlines())["write_bytes"])
    except (OSError, ValueError, KeyError):
        return 0
