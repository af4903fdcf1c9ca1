"""A run's settings, and what stands between the steps of a source: values that travel between processes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tools.shore.reprocess.naming import parts_of
from tools.shore.reprocess.sources import NOT_USED, Fault, Kind, Source

FORMAT = 2
"""Of the results and of what lies in the folder of work: another one makes everything anew."""
WORK, DONE = "work", "done"


@dataclass(frozen=True, slots=True)
class Job:
    """What is the same for all sources of a run.

    Attributes
    ----------
    out
        Folder of the results, which all workers see.
    bundle, bundle_sha256
        The model's file, and what it must be.
    config
        Configuration for recordings, or None.
    settings
        Hash of the settings that results depend on.
    invert
        Pictures of folders and zips are dark on bright.
    keep_dives
        Keep the logs of the dives.
    """

    out: Path
    bundle: Path
    bundle_sha256: str
    config: Path | None
    settings: str
    invert: bool
    keep_dives: bool

    def key(self, content: str) -> str:
        """Name of a source's work: of its content, the bundle and the settings."""
        told = json.dumps([FORMAT, content, self.bundle_sha256, self.settings])
        return hashlib.sha256(told.encode()).hexdigest()

    def place(self, source: Source, key: str) -> Path:
        """Folder of what is not finished yet of a source."""
        return self.out / WORK / f"{source.label}.{key[:16]}"

    def marker(self, source: Source) -> Path:
        """The file that says that a source is finished."""
        return self.out / DONE / f"{source.label}.json"

    def finished(self, source: Source, key: str) -> Finished | None:
        """What came of a source, when its results are there: of this content, all of them."""
        try:
            told = msgspec.json.decode(self.marker(source).read_bytes(), type=Finished)
            is_whole = all((self.out / name).stat().st_size == size for name, size in told.files.items())
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return told if is_whole and told.key == key else None


@dataclass(frozen=True, slots=True)
class Ready:
    """A source that can be named.

    Attributes
    ----------
    source, key
        Which, and the name of its work.
    n_pictures
        To be named; 0 of a recording, whose frames were named as they came.
    faults
        What was lost of it when it was made ready.
    """

    source: Source
    key: str
    n_pictures: int = 0
    faults: tuple[Fault, ...] = ()

    @property
    def parts(self) -> list[tuple[int, int]]:
        """First and last number of each part."""
        return list(parts_of(self.n_pictures))


class Finished(msgspec.Struct, frozen=True):
    """What came of a source, as its marker has it.

    Attributes
    ----------
    source, kind
        Name and kind.
    key
        Name of its work; "" where it failed.
    objects, frames
        Particles that have a name, and frames by outcome.
    files
        Results and their sizes, bytes.
    is_failed
        Nothing of it could be used: `faults` says why.
    """

    source: str
    kind: Kind
    key: str = ""
    objects: int = 0
    frames: dict[str, int] = {}
    faults: tuple[Fault, ...] = ()
    files: dict[str, int] = {}
    is_failed: bool = False


def failed(source: Source, error: Exception) -> Finished:
    """A source that could not be used."""
    return Finished(
        source.name, source.kind, faults=(Fault.of(source.name, error, NOT_USED),), is_failed=True
    )
