"""The installer's own file, read: a script with a zip behind it, and in that a manifest of all the rest."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.flashing.on_board.refusal import Refusal

MANIFEST = "manifest.json"
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One file inside: its name there, hash, size; `kind` is wheel, pip, etc, model, keys, lib or rules.

    `python` is the version that a wheel is for, nothing for all; `unpacked_bytes` what it takes installed.
    """

    file: str
    sha256: str
    size: int
    kind: str
    name: str = ""
    version: str = ""
    python: str = ""
    unpacked_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is inside, for what machine, and the second (since 1970) that everything installed is dated."""

    version: str
    arch: str
    glibc: str
    epoch_s: int
    pythons: tuple[str, ...]
    entries: tuple[Entry, ...]

    def of(self, kind: str, python: str = "") -> list[Entry]:
        """Files of one kind, for one Python."""
        return [one for one in self.entries if one.kind == kind and one.python in ("", python)]


class Payload:
    """The file that was started. Raises `Refusal` when it is not what it was when it was made."""

    def __init__(self, file: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
            data = self._zip.read(MANIFEST)
        except (OSError, zipfile.BadZipFile, KeyError) as cause:
            raise Refusal(f"{file} is damaged ({cause}); copy it anew.") from cause
        self.file = file
        self.digest = hashlib.sha256(data).hexdigest()
        """Of the manifest, which has the hash of everything else: it names what is installed."""
        self.manifest = manifest_of(json.loads(data))

    def read(self, entry: Entry) -> bytes:
        """A small file, whole."""
        return b"".join(self._chunks(entry))

    def copy(self, entry: Entry, folder: Path) -> Path:
        """Put a file into a folder, under its own name."""
        place = folder / Path(entry.file).name
        with place.open("wb") as out:
            for chunk in self._chunks(entry):
                out.write(chunk)
        return place

    def program(self) -> dict[str, bytes]:
        """The installer's own modules: what stays on the board for `seston-rollback`."""
        return {name: self._zip.read(name) for name in self._zip.namelist() if name.endswith(".py")}

    def _chunks(self, entry: Entry) -> Iterator[bytes]:
        seen = hashlib.sha256()
        try:
            with self._zip.open(entry.file) as stream:
                while chunk := stream.read(CHUNK):
                    seen.update(chunk)
                    yield chunk
        except (OSError, zipfile.BadZipFile, KeyError) as cause:
            raise Refusal(f"{self.file}: {entry.file} is damaged ({cause}); copy the file anew.") from cause
        if seen.hexdigest() != entry.sha256:
            raise Refusal(
                f"{self.file}: {entry.file} is not what it was when it was made; copy the file anew."
            )


def manifest_of(told: dict[str, Any]) -> Manifest:
    """Manifest from its JSON."""
    entries = tuple(Entry(**one) for one in told["entries"])
    rest = {key: value for key, value in told.items() if key != "entries"}
    return Manifest(**{**rest, "pythons": tuple(told["pythons"])}, entries=entries)
