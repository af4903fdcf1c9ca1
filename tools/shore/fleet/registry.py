"""One SQLite file that only grows: contents by their SHA-256, and which unit each belongs to.

A content is stored as the bytes that its hash is of: a codebook or climatology as canonical JSON, a bundle
and a file of optics as they are, a key as its public half. So nothing can be replaced, adding twice changes
nothing, and every row proves itself. There is no WAL: a backup is one file.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from edge.durable import sync_folder
from edge.errors import InputError, MessageError
from edge.telemetry.climatology import Climatology, load_climatology
from edge.telemetry.codebook import Codebook, load_codebook
from edge.telemetry.header import unpack

FORMAT = 1
LEAST_PREFIX = 4
"""Hexadecimal digits of a hash that a person must give."""
_SCHEMA = f"""
CREATE TABLE contents (
    sha256 TEXT PRIMARY KEY,        -- of data, hexadecimal
    kind TEXT NOT NULL,             -- Kind
    data BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE names (                -- as it was added: the same content may come from several places
    sha256 TEXT NOT NULL REFERENCES contents (sha256),
    unit TEXT NOT NULL,             -- whose; empty when it is nobody's
    name TEXT NOT NULL,             -- for people
    added_ms INTEGER NOT NULL,      -- UTC
    PRIMARY KEY (sha256, unit, name)
) WITHOUT ROWID;
CREATE TRIGGER contents_stay BEFORE DELETE ON contents BEGIN SELECT RAISE(ABORT, 'nothing is deleted'); END;
CREATE TRIGGER contents_last BEFORE UPDATE ON contents BEGIN SELECT RAISE(ABORT, 'nothing is changed'); END;
CREATE TRIGGER names_stay BEFORE DELETE ON names BEGIN SELECT RAISE(ABORT, 'nothing is deleted'); END;
CREATE TRIGGER names_last BEFORE UPDATE ON names BEGIN SELECT RAISE(ABORT, 'nothing is changed'); END;
PRAGMA user_version = {FORMAT};
"""


class Kind(enum.StrEnum):
    """What a content is."""

    CODEBOOK = "codebook"
    CLIMATOLOGY = "climatology"
    BUNDLE = "bundle"
    OPTICS = "optics"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Content:
    """One thing to be kept.

    Attributes
    ----------
    kind, data
        What, and its bytes.
    name, unit
        What people call it; whose it is, or "".
    """

    kind: Kind
    data: bytes
    name: str
    unit: str = ""

    @property
    def sha256(self) -> str:
        """Hash of the bytes, hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the registry: as it was added."""

    sha256: str
    kind: Kind
    unit: str
    name: str
    added_ms: int
    n_bytes: int


class Registry:
    """The registry of a fleet. Not for several threads.

    Parameters
    ----------
    file
        The SQLite file.
    create
        Make it when it is not there.

    Raises
    ------
    InputError
        Everywhere, when the file is missing, is no registry, or the disk refuses.
    """

    def __init__(self, file: Path, *, create: bool = False) -> None:
        self.file = file
        is_new = not file.exists() or not file.stat().st_size
        if is_new and not create:
            raise InputError(
                "is not there", file=file, field="--fleet", remedy="make it with `seston fleet add`"
            )
        with self._sentences():
            self._db = sqlite3.connect(file, isolation_level=None)
            self._db.execute("PRAGMA synchronous=EXTRA")
            if is_new:
                self._db.executescript("BEGIN IMMEDIATE;" + _SCHEMA + "COMMIT;")
                sync_folder(file.absolute().parent)
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version != FORMAT:
            self._db.close()
            raise InputError(
                f"is {version}, {FORMAT} is read here", file=file, field="version of the registry",
                remedy="give a file that `seston fleet add` made, or update seston",
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def add(self, contents: Iterable[Content], now_ms: int) -> list[Content]:
        """Keep contents, all or none; returns those that were not there, or not of this unit and name."""
        new = []
        with self._sentences():
            self._db.execute("BEGIN IMMEDIATE")
            with self._db:
                for one in contents:
                    self._db.execute(
                        "INSERT OR IGNORE INTO contents VALUES (?, ?, ?)", (one.sha256, one.kind, one.data)
                    )
                    done = self._db.execute(
                        "INSERT OR IGNORE INTO names VALUES (?, ?, ?, ?)",
                        (one.sha256, one.unit, one.name, now_ms),
                    )
                    if done.rowcount:
                        new.append(one)
        return new

    def entries(self) -> list[Entry]:
        """Every line, by unit, kind and time."""
        with self._sentences():
            rows = self._db.execute(
                "SELECT sha256, kind, unit, name, added_ms, LENGTH(data)"
                " FROM names JOIN contents USING (sha256) ORDER BY unit, kind, added_ms, sha256, name"
            ).fetchall()
        return [Entry(sha256, Kind(kind), *rest) for sha256, kind, *rest in rows]

    def data(self, sha256: str) -> bytes:
        """Bytes of a content; raises `InputError` when it is not there, or is not what was added."""
        with self._sentences():
            row = self._db.execute("SELECT data FROM contents WHERE sha256 = ?", (sha256,)).fetchone()
        if row is None:
            raise InputError("is not in the registry", file=self.file, field=sha256, remedy="add it")
        if hashlib.sha256(row[0]).hexdigest() != sha256:
            raise InputError(
                "is not what was added any more", file=self.file, field=sha256, remedy="take your backup"
            )
        return bytes(row[0])

    def starting(self, prefix: str, kind: Kind | None = None) -> list[str]:
        """Hashes that begin so."""
        with self._sentences():
            rows = self._db.execute(
                "SELECT sha256, kind FROM contents WHERE sha256 >= ? AND sha256 < ? ORDER BY sha256",
                (prefix, prefix + "g"),
            ).fetchall()
        return [sha256 for sha256, found in rows if kind in (None, found)]

    def keys_to(self, messages: Iterable[bytes]) -> tuple[list[Codebook], list[Climatology]]:
        """Codebooks that messages ask for by the start of a hash, and the climatologies that these name."""
        starts = set()
        for data in messages:
            with contextlib.suppress(MessageError):  # the decoder says what is wrong with it
                starts.add(unpack(data)[0].codebook_id.hex())
        hashes = sorted({one for start in starts for one in self.starting(start, Kind.CODEBOOK)})
        books = [load_codebook(self.data(one), file=f"{self.file}: {one}") for one in hashes]
        wanted = sorted({book.climatology_sha256 for book in books} - {""})
        return books, [
            load_climatology(self.data(one), file=f"{self.file}: {one}")
            for one in wanted
            if self.starting(one, Kind.CLIMATOLOGY)
        ]

    def faults(self) -> list[str]:
        """What is wrong with the file and its contents, a sentence each."""
        with self._sentences():
            told = [row[0] for row in self._db.execute("PRAGMA integrity_check")]
            rows = self._db.execute("SELECT sha256, kind FROM contents ORDER BY sha256").fetchall()
        faults = [f"{self.file}: {one}" for one in told if one != "ok"]
        return faults + [fault for sha256, kind in rows for fault in self._faults_of(sha256, kind)]

    def lacks(self) -> list[str]:
        """What codebooks name and is not here, a sentence each; messages may need a climatology."""
        told = []
        for sha256 in self.starting("", Kind.CODEBOOK):
            with contextlib.suppress(InputError):  # `faults` says it
                book = load_codebook(self.data(sha256))
                for kind, named in (
                    (Kind.CLIMATOLOGY, book.climatology_sha256),
                    (Kind.BUNDLE, book.bundle_sha256),
                ):
                    if named and not self.starting(named, kind):
                        of = f"codebook {sha256[:12]} of {book.platform or 'no unit'}"
                        told.append(f"{of} names {kind} {named[:12]}, which is not here; add it")
        return told

    def back_up(self, file: Path) -> None:
        """Copy the registry, as it is now, into a new file."""
        if file.exists():
            raise InputError("is there already", file=file, remedy="give a new file")
        with self._sentences(), contextlib.closing(sqlite3.connect(file)) as other:
            self._db.backup(other)
        sync_folder(file.absolute().parent)

    def _faults_of(self, sha256: str, kind: str) -> Iterator[str]:
        from tools.shore.fleet.contents import check_content

        try:
            check_content(Kind(kind), self.data(sha256))
        except (InputError, ValueError) as error:
            told = str(error)
            yield told if told.startswith(str(self.file)) else f"{self.file}: {kind} {sha256[:12]}: {told}"

    @contextlib.contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as cause:
            raise InputError(
                f"cannot be used as a registry ({cause})", file=self.file, field="--fleet",
                remedy="check the file and the disk, or take your backup",
            ) from cause  # fmt: skip
