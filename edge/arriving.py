"""An object of the link that is not whole yet, kept so that our own reset need not begin it anew."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

from edge.durable import PART, sync_file, write_durably
from firmware_bridge.command_bodies import What
from firmware_bridge.link_wire import Header

_FILE = f"arriving{PART}"
_HEADER = struct.Struct(">BIII")

Partial = tuple[Header, bytes]


class Arriving:
    """One file in a folder: a header, and the bytes that have come. Nothing here ever raises for the disk."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE
        self._kept: tuple[Header, int] | None = None

    def read(self) -> Partial | None:
        """What had come before this start; the CRC-32 of the whole tells later whether it is right."""
        try:
            data = self._file.read_bytes()
        except OSError:
            return None
        if len(data) <= _HEADER.size:
            return None
        header = Header(*_HEADER.unpack(data[: _HEADER.size]))
        self._kept = header, len(data) - _HEADER.size
        return header, data[_HEADER.size :]

    def keep(self, partial: Partial | None) -> None:
        """Keep what has come of an update by now: what is new goes behind what is here of the same object."""
        if partial is None or partial[0].kind not in tuple(What):
            return
        header, data = partial
        kept_bytes = self._kept[1] if self._kept is not None and self._kept[0] == header else None
        try:
            if kept_bytes is None or kept_bytes > len(data):
                numbers = header.kind, header.object_id, header.length_bytes, header.crc32
                write_durably(self._file, _HEADER.pack(*numbers) + data)
            elif kept_bytes < len(data):
                with self._file.open("r+b") as out:
                    out.truncate(_HEADER.size + kept_bytes)  # what an append has left half done
                    out.seek(0, 2)
                    out.write(data[kept_bytes:])
                sync_file(self._file)
            self._kept = header, len(data)
        except OSError:
            self._kept = None

    def forget(self) -> None:
        """It is whole, and elsewhere."""
        self._kept = None
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)
