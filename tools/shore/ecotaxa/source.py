"""Archives as people have them: a zip, a folder, a table alone, half a zip. Read as streams.

A UVP6's `*Images.zip` inside is looked into. Of half a zip all members are read that came over whole.
"""

from __future__ import annotations

import contextlib
import fnmatch
import io
import struct
import tempfile
import zipfile
import zlib
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, Self

from edge.errors import InputError
from tools.shore.ecotaxa.rules import NESTED_PATTERN, TABLE_PATTERNS

_LOCAL = struct.Struct("<4s5H3I2H")
_LOCAL_MARK = b"PK\x03\x04"
_IN_MEMORY = 1 << 26
UNREADABLE = (
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,
    NotImplementedError,
    EOFError,
    ValueError,
)
"""What reading a damaged member may raise."""


class _Whole(NamedTuple):
    """A member of half a zip that is whole: where its bytes are, how packed, and what they must be."""

    start: int
    packed: int
    method: int
    crc: int


class Source:
    """Files of an archive by name, with forward slashes, sorted, without hidden ones.

    Parameters
    ----------
    path
        Zip, folder, or one table, whose images are sought beside it.

    Attributes
    ----------
    names
        Of all files that can be read.
    damage
        Why not all of a zip can be read; "" when it is whole.
    nested, broken_nested
        Zips inside that are looked into, whose members are named `<zip>/<member>`; and why one is not.

    Raises
    ------
    InputError
        When it is not there, or nothing of it can be read.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self.damage = ""
        self.nested: dict[str, zipfile.ZipFile] = {}
        self.broken_nested: dict[str, str] = {}
        self._open = contextlib.ExitStack()
        self._zip: zipfile.ZipFile | None = None
        self._half: dict[str, _Whole] = {}
        self._folder: Path | None = None
        try:
            names = self._find()
            for name in [one for one in names if is_nested(one)]:
                names += self._look_into(name)
            self.names: tuple[str, ...] = tuple(sorted(name for name in names if _is_seen(name)))
        except BaseException:
            self.close()
            raise
        self._known = frozenset(self.names)

    def _find(self) -> list[str]:
        if self.path.is_dir():
            self._folder = self.path
            return [f.relative_to(self.path).as_posix() for f in self.path.rglob("*") if f.is_file()]
        if not self.path.is_file():
            raise InputError("is not there", file=self.path, remedy="check the path")
        if self.path.suffix.lower() in (".tsv", ".txt"):
            self._folder = self.path.parent
            return [self.path.name]
        try:
            self._zip = self._open.enter_context(zipfile.ZipFile(self.path))
            return [info.filename for info in self._zip.infolist() if not info.is_dir()]
        except (OSError, zipfile.BadZipFile) as cause:
            self._half = _whole_members(self.path)
            if not self._half:
                raise InputError(
                    f"is neither a folder, a table nor a readable zip ({cause})",
                    file=self.path,
                    remedy="copy or export it again",
                ) from cause
        self.damage = f"the zip is cut off: its list of files is missing, {len(self._half)} files are whole"
        return list(self._half)

    def _look_into(self, name: str) -> list[str]:
        try:
            held = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 open as long as the source
            self._open.callback(held.close)
            with self.open(name) as packed:
                while block := packed.read(1 << 20):
                    held.write(block)
            held.seek(0)
            inner = self._open.enter_context(zipfile.ZipFile(held))
        except UNREADABLE as cause:
            self.broken_nested[name] = str(cause)
            return []
        self.nested[name] = inner
        return [f"{name}/{info.filename}" for info in inner.infolist() if not info.is_dir()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the zips."""
        self._open.close()

    def __contains__(self, name: str) -> bool:
        """Whether a file is there; beside a table that was given alone, on the disk."""
        if name in self._known:
            return True
        alone = self._folder is not None and self._folder != self.path
        return alone and self._folder is not None and (self._folder / name).is_file()

    def tables(self) -> list[str]:
        """Names of the tables, as the importer's glob finds them; the one that was given alone, anyhow."""
        if self._folder is not None and self._folder != self.path:
            return list(self.names)
        return [name for name in self.names if is_table(name)]

    def open(self, name: str) -> IO[bytes]:
        """A file as a stream; raises one of `UNREADABLE`."""
        for place, inner in self.nested.items():
            if name.startswith(f"{place}/"):
                return inner.open(name[len(place) + 1 :])
        if self._zip is not None:
            return self._zip.open(name)
        if name in self._half:
            return io.BytesIO(_unpack(self.path, self._half[name]))
        if self._folder is None:
            raise FileNotFoundError(name)
        return (self._folder / name).open("rb")

    def read(self, name: str) -> bytes:
        """Content of a file; raises one of `UNREADABLE`."""
        with self.open(name) as stream:
            return stream.read()


def is_table(name: str) -> bool:
    """Whether the importer takes a file of this name for a table."""
    return any(fnmatch.fnmatchcase(PurePosixPath(name).name, pattern) for pattern in TABLE_PATTERNS)


def is_nested(name: str) -> bool:
    """Whether the importer looks into a zip of this name."""
    return fnmatch.fnmatchcase(PurePosixPath(name).name, NESTED_PATTERN)


def _is_seen(name: str) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _whole_members(path: Path) -> dict[str, _Whole]:
    """Members of a zip without its end, walked from local header to local header (APPNOTE 4.3.7).

    It stops at the first that does not say its length before its bytes, and leaves out the one cut off.
    """
    found: dict[str, _Whole] = {}
    with contextlib.suppress(OSError, struct.error, UnicodeDecodeError), path.open("rb") as file:
        size = path.stat().st_size
        while len(head := file.read(_LOCAL.size)) == _LOCAL.size and head.startswith(_LOCAL_MARK):
            _, _, flags, method, _, _, crc, packed, _, n_name, n_extra = _LOCAL.unpack(head)
            name = file.read(n_name).decode("utf-8" if flags & 0x800 else "cp437")
            file.seek(n_extra, io.SEEK_CUR)
            start = file.tell()
            if flags & 0x9 or method not in (0, 8) or packed == 0xFFFFFFFF or start + packed > size:
                break
            if not name.endswith("/"):
                found[name] = _Whole(start, packed, method, crc)
            file.seek(packed, io.SEEK_CUR)
    return found


def _unpack(path: Path, member: _Whole) -> bytes:
    with path.open("rb") as file:
        file.seek(member.start)
        data = file.read(member.packed)
    if member.method:
        data = zlib.decompressobj(-15).decompress(data)
    if zlib.crc32(data) != member.crc:
        raise zipfile.BadZipFile("bad checksum")
    return data
