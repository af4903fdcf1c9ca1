"""The work file of a sorting: images, embeddings, and every decision with who and when, in one SQLite file.

Each decision is on the disk before it is answered; the state is a pure replay of them (`sorted_state`).
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.database import connect, transaction
from edge.errors import InputError

FORMAT = 1
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE images (
  image INTEGER PRIMARY KEY, source TEXT NOT NULL, file TEXT NOT NULL, hash BLOB NOT NULL UNIQUE,
  class TEXT NOT NULL, score REAL NOT NULL, evidence REAL NOT NULL, embedding BLOB NOT NULL,
  UNIQUE (source, file));
CREATE TABLE files (image INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE faults (source TEXT NOT NULL, file TEXT NOT NULL, what TEXT NOT NULL);
CREATE TABLE decisions (
  step INTEGER PRIMARY KEY, utc TEXT NOT NULL, who TEXT NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL,
  undone_utc TEXT, undone_by TEXT);
"""


class NewImage(NamedTuple):
    """An image to keep.

    Attributes
    ----------
    file
        Its name in its source.
    hash
        `edge.inference.bundle.image_hash` of its pixels.
    guess, score, evidence
        The bundle's class of the highest probability, that probability, and `evidence`.
    totals
        int16 (d,), of `Embedder.totals`.
    data
        The bytes of its file.
    """

    file: str
    hash: bytes
    guess: str
    score: float
    evidence: float
    totals: NDArray[np.int16]
    data: bytes


class Decision(NamedTuple):
    """What was decided; `data` is what `sorted_state` reads of its kind."""

    step: int
    utc: str
    who: str
    kind: str
    data: dict[str, Any]


class Images(NamedTuple):
    """All images, in the order of their numbers.

    Attributes
    ----------
    image
        int64 (n,), their numbers, rising.
    source, file, guess
        n texts each.
    score, evidence
        float64 (n,).
    totals
        int16 (n, d).
    """

    image: NDArray[np.int64]
    source: list[str]
    file: list[str]
    guess: list[str]
    score: NDArray[np.float64]
    evidence: NDArray[np.float64]
    totals: NDArray[np.int16]


class Work:
    """An open work file; use `create` or `open`.

    Attributes
    ----------
    path
        The file.
    """

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db, self.path = db, path

    @classmethod
    @contextlib.contextmanager
    def create(cls, path: Path, meta: dict[str, Any]) -> Iterator[Work]:
        """Open a work file, made when it is not there.

        Raises
        ------
        InputError
            When it is there and is not a work file, or of another bundle.
        """
        is_new = not path.exists() or path.stat().st_size == 0
        with cls._opened(path, is_new=is_new) as work:
            if is_new:
                with work._changing() as db:
                    for statement in _TABLES.split(";\n"):
                        db.execute(statement)
                    told = {"format": FORMAT, **meta}
                    rows = [(key, json.dumps(value)) for key, value in told.items()]
                    db.executemany("INSERT INTO meta VALUES (?, ?)", rows)
            work._check()
            work._expect(meta)
            yield work

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path) -> Iterator[Work]:
        """Open one that is there; raises `InputError` when it is not, or is something else."""
        if not path.is_file():
            raise InputError("is not there", file=path, remedy="make one with `seston sort embed`")
        with cls._opened(path, is_new=False) as work:
            work._check()
            yield work

    @classmethod
    @contextlib.contextmanager
    def _opened(cls, path: Path, *, is_new: bool) -> Iterator[Work]:
        try:
            if is_new:
                path.parent.mkdir(parents=True, exist_ok=True)
            else:
                _expect_sqlite(path)
            with contextlib.closing(connect(path)) as db:
                yield cls(db, path)
        except sqlite3.Error as cause:
            raise InputError(
                f"cannot be read ({cause})", file=path, remedy="copy it again, or give another work file"
            ) from cause

    def _check(self) -> None:
        try:
            found = self.meta("format")
        except sqlite3.Error:
            found = None
        if found != FORMAT:
            raise InputError(
                "is not a work file of this version", file=self.path, remedy="give one of `seston sort embed`"
            )

    def _expect(self, meta: dict[str, Any]) -> None:
        """Refuse to add what was made otherwise."""
        if self.meta("bundle_sha256") != meta["bundle_sha256"]:
            raise InputError(
                f"was made with bundle {self.meta('bundle')} ({str(self.meta('bundle_sha256'))[:12]}), not"
                f" with {meta['bundle']} ({meta['bundle_sha256'][:12]})",
                file=self.path,
                field="bundle",
                remedy="give that bundle, or another --out",
            )
        for key, value in meta.items():
            if self.meta(key) != value:
                raise InputError(
                    f"is {self.meta(key)!r} in it, {value!r} was given",
                    file=self.path,
                    field=key,
                    remedy="give the same, or another --out",
                )

    def _changing(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        return _changing(self._db, self.path)

    def meta(self, key: str) -> Any:
        """A fact of the file; None when it has none."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def known_files(self, source: str) -> set[str]:
        """Files of a source that are in."""
        return {row[0] for row in self._db.execute("SELECT file FROM images WHERE source = ?", (source,))}

    def add(self, source: str, images: Iterable[NewImage]) -> list[tuple[str, str]]:
        """Keep images of a source; returns (file, the file whose twin it is) of those that are in already."""
        twins = []
        with self._changing() as db:
            for one in images:
                found = db.execute("SELECT file FROM images WHERE hash = ?", (one.hash,)).fetchone()
                if found is not None:
                    twins.append((one.file, found[0]))
                    continue
                row = (source, one.file, one.hash, one.guess, one.score, one.evidence, _bytes(one.totals))
                done = db.execute(
                    "INSERT INTO images (source, file, hash, class, score, evidence, embedding)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    row,
                )
                db.execute("INSERT INTO files VALUES (?, ?)", (done.lastrowid, one.data))
        return twins

    def put_faults(self, source: str, faults: Iterable[tuple[str, str]]) -> None:
        """Say what of a source was left out, (file, sentence); what was said before is forgotten."""
        with self._changing() as db:
            db.execute("DELETE FROM faults WHERE source = ?", (source,))
            db.executemany("INSERT INTO faults VALUES (?, ?, ?)", ((source, *one) for one in faults))

    def faults(self) -> list[tuple[str, str, str]]:
        """Source, file and sentence of all that was left out."""
        return list(self._db.execute("SELECT source, file, what FROM faults ORDER BY rowid"))

    def images(self) -> Images:
        """All but the bytes of the files; raises `InputError` when there is no image, or it is damaged."""
        rows = self._db.execute(
            "SELECT image, source, file, class, score, evidence, embedding FROM images ORDER BY image"
        ).fetchall()
        if not rows:
            raise InputError("holds no image", file=self.path, remedy="add some with `seston sort embed`")
        image, source, file, guess, score, evidence, totals = zip(*rows, strict=True)
        size = len(totals[0])
        if size == 0 or any(len(one) != size for one in totals):
            raise InputError(
                "is damaged: its embeddings differ in length", file=self.path, remedy="make it again"
            )
        return Images(
            np.array(image, dtype=np.int64),
            list(source),
            list(file),
            list(guess),
            np.array(score, dtype=np.float64),
            np.array(evidence, dtype=np.float64),
            np.frombuffer(b"".join(totals), dtype="<i2").reshape(len(rows), -1),
        )

    def hashes(self) -> list[bytes]:
        """`image_hash` of every image, in the order of `images`."""
        return [bytes(row[0]) for row in self._db.execute("SELECT hash FROM images ORDER BY image")]

    def n_images(self) -> int:
        """How many images are in."""
        return int(self._db.execute("SELECT COUNT(*) FROM images").fetchone()[0])

    def file_bytes(self, image: int) -> bytes | None:
        """The bytes of an image's file, by its number; None when there is none."""
        row = self._db.execute("SELECT data FROM files WHERE image = ?", (image,)).fetchone()
        return None if row is None else bytes(row[0])

    def decisions(self) -> list[Decision]:
        """All that stand, in their order."""
        rows = self._db.execute(
            "SELECT step, utc, who, kind, data FROM decisions WHERE undone_utc IS NULL ORDER BY step"
        )
        return [Decision(step, utc, who, kind, json.loads(data)) for step, utc, who, kind, data in rows]

    def history(self) -> list[tuple[int, str, str, str, str | None, str | None]]:
        """Step, time, who, kind, and when and by whom it was undone, of every decision ever made."""
        return list(
            self._db.execute(
                "SELECT step, utc, who, kind, undone_utc, undone_by FROM decisions ORDER BY step"
            )
        )

    def decide(self, utc: str, who: str, kind: str, data: dict[str, Any]) -> Decision:
        """Write a decision; it is on the disk when this returns."""
        with self._changing() as db:
            told = json.dumps(data, separators=(",", ":"))
            done = db.execute(
                "INSERT INTO decisions (utc, who, kind, data) VALUES (?, ?, ?, ?)", (utc, who, kind, told)
            )
        return Decision(int(done.lastrowid or 0), utc, who, kind, data)

    def undo(self, utc: str, who: str) -> int | None:
        """Take back the last decision that stands; returns its step, None when there is none."""
        with self._changing() as db:
            row = db.execute("SELECT MAX(step) FROM decisions WHERE undone_utc IS NULL").fetchone()
            if row[0] is not None:
                db.execute(
                    "UPDATE decisions SET undone_utc = ?, undone_by = ? WHERE step = ?", (utc, who, row[0])
                )
        return None if row[0] is None else int(row[0])


@contextlib.contextmanager
def _changing(db: sqlite3.Connection, path: Path) -> Iterator[sqlite3.Connection]:
    with transaction(db, path):
        yield db


def _bytes(totals: NDArray[np.int16]) -> bytes:
    return totals.astype("<i2").tobytes()


def _expect_sqlite(path: Path) -> None:
    """Refuse what is no database before SQLite makes a WAL beside it."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as cause:
        raise InputError(f"cannot be read ({cause.strerror})", file=path, remedy="check the file") from cause
    if head != b"SQLite format 3\0":
        raise InputError("is not a work file", file=path, remedy="give one of `seston sort embed`")
