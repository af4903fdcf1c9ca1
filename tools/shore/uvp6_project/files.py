"""Files of a project by name, from a folder or a zip; and the members of a zip that was copied only in part.

A zip's index is at its end: of one that lacks it, members are read one after another from its beginning, as
their own heads describe them (PKWARE APPNOTE.TXT 6.3, sections 4.3.7 and 4.4), up to where it is torn.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from os import PathLike
from pathlib import Path, PurePosixPath

from edge.errors import RecordingError

MAX_MEMBER_BYTES = 1 << 30
"""A larger member is not unpacked: no table of a project is near it."""
_HEAD = struct.Struct("<4sHHHHHIIIHH")
_MAGIC = b"PK\x03\x04"
_HAS_DESCRIPTOR, _IS_ENCRYPTED, _IS_UTF8, _STORED, _DEFLATED = 0x8, 0x1, 0x800, 0, 8
_BLOCK_BYTES = 1 << 12
_UNREADABLE = (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError)


class Archive:
    """Members of a zip by name.

    Parameters
    ----------
    source
        The zip's file or bytes.
    place
        What it is called in sentences.
    name
        Its name in the project that it is of.

    Attributes
    ----------
    names
        Members, without folders and hidden ones, in the archive's order.
    faults
        What is wrong with it, a sentence each.
    """

    def __init__(self, source: Path | bytes, place: str, name: str = "") -> None:
        self.place, self.name = place, name or place
        self.faults: list[str] = []
        self._source = source
        self._zip: zipfile.ZipFile | None = None
        self._torn: dict[str, bytes] = {}
        self._partial = ""
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source)
            found = [info.filename for info in self._zip.infolist() if not info.is_dir()]
        except _UNREADABLE as cause:
            if isinstance(cause, FileNotFoundError):
                raise RecordingError("is not there", file=place, remedy="check the path") from None
            found = self._read_torn(cause)
        self.names = tuple(name for name in found if is_seen(name))

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def close(self) -> None:
        """Close the file."""
        if self._zip is not None:
            self._zip.close()

    def read(self, name: str) -> bytes:
        """Content of a member; of the one that a torn zip ends in, what is there. Raises `RecordingError`."""
        if self._zip is None:
            return self._torn[name]
        try:
            if self._zip.getinfo(name).file_size > MAX_MEMBER_BYTES:
                raise _unreadable(f"{self.place}/{name}", f"is larger than {MAX_MEMBER_BYTES} bytes")
            return self._zip.read(name)
        except _UNREADABLE as cause:
            raise _unreadable(f"{self.place}/{name}", f"cannot be read ({cause})") from cause

    def is_cut(self, name: str) -> bool:
        """Whether a member goes on in what is missing of a torn zip."""
        return name == self._partial

    def data(self) -> bytes:
        """The zip itself."""
        return self._source if isinstance(self._source, bytes) else self._source.read_bytes()

    def _read_torn(self, cause: Exception) -> list[str]:
        for name, content, is_whole in torn_members(self.data()):
            self._torn[name] = content
            if not is_whole:
                self._partial = name
        if not self._torn:
            raise RecordingError(
                f"cannot be read as a zip ({cause})", file=self.place, remedy="copy it again"
            ) from cause
        told = f"its last member, {self._partial}, is cut" if self._partial else "its index is missing"
        self.faults.append(
            f"{self.place}: was copied only in part: {len(self._torn)} members could be read, {told}; "
            "copy it again."
        )
        return list(self._torn)


def torn_members(data: bytes) -> Iterator[tuple[str, bytes, bool]]:
    """Name, content and whether it is whole, of each member of a zip from its beginning to where it ends."""
    at = 0
    while data[at : at + 4] == _MAGIC and len(data) - at >= _HEAD.size:
        _, _, flags, method, _, _, crc, packed, size, n_name, n_extra = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        name = data[at : at + n_name].decode("utf-8" if flags & _IS_UTF8 else "cp437", "replace")
        at += n_name + n_extra
        if flags & _IS_ENCRYPTED or method not in (_STORED, _DEFLATED) or len(data) < at:
            return
        is_known = not flags & _HAS_DESCRIPTOR
        if method == _STORED:
            if not is_known:  # nobody knows where it ends
                return
            content, after, is_whole = data[at : at + size], at + size, len(data) >= at + size
        else:
            end = min(len(data), at + packed) if is_known else len(data)
            try:
                content, after, is_whole = _unpacked(data, at, end)
            except zlib.error:
                return
            if len(content) > MAX_MEMBER_BYTES:
                return
            after = at + packed if is_known else after
        if is_whole and is_known and zlib.crc32(content) != crc:
            return
        if not name.endswith("/"):
            yield name, content, is_whole
        if not is_whole:
            return
        at = after
        if not is_known:  # a descriptor follows, with or without its mark
            at += 16 if data[at : at + 4] == b"PK\x07\x08" else 12


def _unpacked(data: bytes, at: int, end: int) -> tuple[bytes, int, bool]:
    """What is packed from `at` on, where that ends, and whether it is whole.

    It goes block by block: how much of the rest is not of this member is known at its end alone.
    """
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    content = bytearray()
    while at < end and not unpacker.eof and len(content) <= MAX_MEMBER_BYTES:
        block = unpacker.unconsumed_tail or data[at : min(end, at + _BLOCK_BYTES)]
        content += unpacker.decompress(block, MAX_MEMBER_BYTES + 1 - len(content))
        at += len(block) - len(unpacker.unconsumed_tail) - len(unpacker.unused_data)
    return bytes(content), at, unpacker.eof


class Files:
    """Files of a folder or zip: names are paths inside with forward slashes, sorted.

    Parameters
    ----------
    path
        Folder, zip, or one file, which is then the only one.

    Raises
    ------
    RecordingError
        When there is nothing, or nothing that can be read.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self.faults: list[str] = []
        self._zip: Archive | None = None
        if self.path.is_dir():
            found = (file for file in self.path.rglob("*") if file.is_file())
            names = [file.relative_to(self.path).as_posix() for file in found]
        elif not self.path.exists():
            raise RecordingError("is not there", file=path, remedy="check the path")
        elif self.path.suffix.lower() == ".zip" and not is_inner_zip(self.path.name):
            self._zip = Archive(self.path, str(self.path))
            self.faults += self._zip.faults
            names = [name for name in self._zip.names if is_safe(name)]
            unsafe = len(self._zip.names) - len(names)
            if unsafe:
                self.faults.append(f"{path}: holds {unsafe} files outside of it; they are left out.")
        else:
            names = [self.path.name]
        self.names = tuple(sorted(name for name in names if is_seen(name)))

    def place(self, name: str) -> str:
        """What a file is called in sentences."""
        return str(self.path) if self._is_one else f"{self.path}/{name}"

    def read(self, name: str) -> bytes:
        """Content of one file; raises `RecordingError`."""
        if self._zip is not None:
            return self._zip.read(name)
        try:
            return self._file(name).read_bytes()
        except OSError as cause:
            raise _unreadable(self.place(name), f"cannot be read ({cause.strerror})") from cause

    def archive(self, name: str) -> Archive:
        """A file that is a zip; raises `RecordingError` when nothing of it can be read."""
        source = self._file(name) if self._zip is None else self._zip.read(name)
        return Archive(source, self.place(name), name)

    def close(self) -> None:
        """Close the zip."""
        if self._zip is not None:
            self._zip.close()

    @property
    def _is_one(self) -> bool:
        return self._zip is None and not self.path.is_dir()

    def _file(self, name: str) -> Path:
        return self.path if self._is_one else self.path / name


def is_inner_zip(name: str) -> bool:
    """Whether a zip of this name is a part of a project, not a project."""
    return name.lower().endswith(("particule.zip", "images.zip"))


def is_seen(name: str) -> bool:
    """Whether a file is somebody's: not hidden, not a system's own."""
    parts = PurePosixPath(name).parts
    return not any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in parts)


def is_safe(name: str) -> bool:
    """Whether a name in a zip stays inside a folder that it is unpacked into."""
    path = PurePosixPath(name.replace("\\", "/"))
    return not path.is_absolute() and ".." not in path.parts and ":" not in name


def _unreadable(place: str, problem: str) -> RecordingError:
    return RecordingError(problem, file=place, remedy="copy it again")
