"""The zip of an export, as a stream: images as they come, tables at the end; a new zip when one is full.

Nothing is in place unless all of it is whole. The same contents are the same bytes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from edge.errors import InputError

_PACKED_SHARE = 0.2
"""A table shrinks to less than this; told apart only when a zip is nearly full."""
_ENTRY_BYTES = 130
"""Headers of a member beside twice its name."""


class Parts:
    """Zips of at most so many bytes, with one table a sample in each.

    Parameters
    ----------
    target
        `x.zip`; when it takes several, they are `x-1.zip`, `x-2.zip` ...
    header
        The first two lines of every table.
    most_bytes
        Of one zip.

    Attributes
    ----------
    written
        The zips, once closed without an error.
    """

    def __init__(self, target: Path, header: Sequence[str], most_bytes: int) -> None:
        self._target, self._header, self._most_bytes = target, "\n".join(header) + "\n", most_bytes
        self._zip: zipfile.ZipFile | None = None
        self._beside: list[Path] = []
        self._table: IO[bytes] | None = None
        self._sample = ""
        self._packed = self._rows = 0.0
        self.written: tuple[Path, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
                self._publish()
        except OSError as cause:
            raise self._refused(cause) from cause
        finally:
            self._abandon()

    def add(self, sample: str, rows: Sequence[str], images: Sequence[tuple[str, bytes]]) -> None:
        """Add an object: its rows, without line ends, and its images by `img_file_name`.

        Raises `InputError` when the disk refuses.
        """
        size = sum(len(data) + 2 * len(name) + 2 * len(sample) + _ENTRY_BYTES for name, data in images)
        lines = "".join(f"{row}\n" for row in rows).encode()
        try:
            if self._zip is not None and self._bytes() + size + _PACKED_SHARE * len(lines) > self._most_bytes:
                self._finish()
            if self._zip is None:
                self._begin()
            if sample != self._sample:
                self._close_table()
                self._open_table(sample)
            assert self._zip is not None
            assert self._table is not None
            for name, data in images:
                _store(self._zip, _entry(f"{sample}/{name}"), data)
            self._table.write(lines)
        except OSError as cause:
            raise self._refused(cause) from cause
        self._packed += size
        self._rows += len(lines)

    def _bytes(self) -> float:
        return self._packed + _PACKED_SHARE * self._rows + 1000

    def _begin(self) -> None:
        self._target.parent.mkdir(parents=True, exist_ok=True)
        beside = self._target.with_name(f"{self._target.name}.{len(self._beside) + 1}.part")
        self._beside.append(beside)
        self._zip = zipfile.ZipFile(beside, "w")
        self._packed = self._rows = 0.0

    def _open_table(self, sample: str) -> None:
        self._sample = sample
        self._table = tempfile.TemporaryFile(dir=self._target.parent)  # noqa: SIM115 until the sample ends
        self._table.write(b"\xef\xbb\xbf" + self._header.encode())

    def _close_table(self) -> None:
        if self._table is not None and self._zip is not None:
            self._table.seek(0)
            part = len(self._beside)
            name = f"{self._sample}/ecotaxa_{self._sample}{f'_part{part}' if part > 1 else ''}.tsv"
            with self._zip.open(_entry(name, packed=True), "w", force_zip64=True) as member:
                shutil.copyfileobj(self._table, member, 1 << 20)
            self._table.close()
        self._table, self._sample = None, ""

    def _finish(self) -> None:
        self._close_table()
        if self._zip is not None:
            self._zip.close()
        self._zip = None

    def _publish(self) -> None:
        names = [self._target]
        if len(self._beside) > 1:
            stem, suffix = self._target.stem, self._target.suffix
            numbers = range(1, len(self._beside) + 1)
            names = [self._target.with_name(f"{stem}-{number}{suffix}") for number in numbers]
        for beside, name in zip(self._beside, names, strict=True):
            os.replace(beside, name)
        self.written = tuple(names)

    def _abandon(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._table is not None:
                self._table.close()
            if self._zip is not None:
                self._zip.close()
        for beside in self._beside:
            with contextlib.suppress(OSError):
                beside.unlink()

    def _refused(self, cause: OSError) -> InputError:
        return InputError(
            f"cannot be written ({cause.strerror})", file=self._target, remedy="check folder and disk"
        )


def _store(into: zipfile.ZipFile, entry: zipfile.ZipInfo, data: bytes) -> None:
    """As `writestr`, whose bytes these are, in half its time: it goes back to write each header twice."""
    file = into.fp
    assert file is not None
    entry.file_size = entry.compress_size = len(data)
    entry.CRC, entry.header_offset = zlib.crc32(data), into.start_dir
    file.seek(into.start_dir)
    file.write(entry.FileHeader(zip64=False) + data)
    into.start_dir = file.tell()
    into.filelist.append(entry)
    into.NameToInfo[entry.filename] = entry


def _entry(name: str, *, packed: bool = False) -> zipfile.ZipInfo:
    """A member with a fixed time; images are packed already."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    entry.external_attr = 0o644 << 16
    return entry
