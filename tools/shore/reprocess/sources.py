"""What an archive holds: recordings, samples of UVP6 projects, dives, folders and zips of vignettes.

Names are read here, no content. What looks like a source and is none is told as a fault, never passed over.
"""

from __future__ import annotations

import enum
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edge.cameras.video import VIDEO_SUFFIXES
from edge.errors import InputError, RecordingError, SestonError
from edge.images import IMAGE_SUFFIXES
from edge.recording import FRAMES_FILE, FRAMES_FOLDER, INFO_FILE, SENSORS_FILE

LOG_FILE = "dive.sqlite"
RUN_FILE = "reprocess.json"
"""In a folder of results, which is never a part of an archive."""
_BLOCK_BYTES = 1 << 20


class Kind(enum.StrEnum):
    """What a source is."""

    RECORDING = "recording"
    UVP6 = "uvp6"
    DIVE = "dive"
    VIGNETTES = "vignettes"


@dataclass(frozen=True, slots=True)
class Source:
    """One thing to be processed.

    Attributes
    ----------
    kind, path
        What it is, and where.
    name
        Path within the archive, with forward slashes; unique.
    profile
        Which sample of a UVP6 project; "" else.
    size_bytes
        Of its files, to begin with the largest.
    """

    kind: Kind
    path: Path
    name: str
    profile: str = ""
    size_bytes: int = 0

    @property
    def label(self) -> str:
        """The name as one part of a path: what it is called in the results."""
        parts = self.name.replace("/", "--")
        plain = "".join(c if c.isalnum() or c in "._-" else "-" for c in parts).lstrip(".")
        if plain == parts and "--" not in self.name:
            return plain
        told = self.name.encode("utf-8", "surrogateescape")
        return f"{plain[:100]}-{hashlib.sha256(told).hexdigest()[:8]}"


class Fault(NamedTuple):
    """What could not be used: of which source, which file, why, and what became of it."""

    source: str
    file: str
    reason: str
    lost: str

    @classmethod
    def of(cls, source: str, error: Exception, lost: str) -> Fault:
        """Of an error, whose own words are taken where it is meant for people."""
        if isinstance(error, InputError):
            field = f"{error.field}: " if error.field else ""
            return cls(source, error.file or source, f"{field}{error.problem}; {error.remedy}", lost)
        name = getattr(error, "filename", None)
        told = str(error) if isinstance(error, SestonError) else f"{type(error).__name__}: {error}"
        return cls(source, str(name or source), told, lost)


NOT_USED = "the source was not used"


def find_sources(archive: Path) -> tuple[list[Source], list[Fault]]:
    """Sources of an archive, sorted by name, and what cannot be one.

    Raises
    ------
    InputError
        When the archive is not there, or nothing in it is a source.
    """
    if not archive.exists():
        raise InputError("is not there", file=archive, field="ARCHIVE", remedy="check the path")
    sources: list[Source] = []
    faults: list[Fault] = []
    for found in _walk(archive, archive):
        (sources if isinstance(found, Source) else faults).append(found)  # type: ignore[arg-type]
    if not sources:
        told = f" ({faults[0].file}: {faults[0].reason})" if faults else ""
        raise InputError(
            f"holds nothing that can be processed{told}",
            file=archive,
            field="ARCHIVE",
            remedy="give recordings (recording.toml), dives (dive.sqlite), UVP6 projects, or vignettes",
        )
    return sorted(sources, key=lambda one: one.name), faults


def _walk(path: Path, archive: Path) -> Iterator[Source | Fault]:
    name = path.name if path == archive else path.relative_to(archive).as_posix()
    if path.is_file():
        yield from _file(path, name)
        return
    try:
        entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        yield Fault.of(name, error, NOT_USED)
        return
    names = {entry.name for entry in entries}
    if RUN_FILE in names:
        return
    images = [entry for entry in entries if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()]
    if LOG_FILE in names:
        yield Source(Kind.DIVE, path, name, size_bytes=(path / LOG_FILE).stat().st_size)
    elif INFO_FILE in names:
        yield Source(Kind.RECORDING, path, name, size_bytes=sum(_sizes(path)))
    elif names & {FRAMES_FILE, SENSORS_FILE} or FRAMES_FOLDER in names:
        yield Fault(
            name, str(path), f"looks like a recording and has no {INFO_FILE}; copy it again", NOT_USED
        )
    elif _is_uvp6_folder(path, names):
        yield from _uvp6(path, name)
    else:
        if images:
            size = sum(entry.stat().st_size for entry in images)
            yield Source(Kind.VIGNETTES, path, name, size_bytes=size)
        for entry in entries:
            if entry not in images:
                yield from _walk(entry, archive)


def _is_uvp6_folder(path: Path, names: set[str]) -> bool:
    """Whether a folder is a whole project: one of lone casts is looked into file by file."""
    from tools.shore.uvp6_project.reader import is_project

    return bool(names & {"raw", "meta", "config"}) and is_project(path)


def _file(path: Path, name: str) -> Iterator[Source | Fault]:
    from tools.shore.uvp6_project.reader import is_project

    suffix = path.suffix.lower()
    if suffix == ".zip":
        if path.name.endswith("_Images.zip") and _particles_beside(path).is_file():
            return  # vignettes of the cast beside
        if is_project(path):
            yield from _uvp6(path, name)
        else:
            yield Source(Kind.VIGNETTES, path, name, size_bytes=path.stat().st_size)
    elif suffix in VIDEO_SUFFIXES:
        yield Fault(
            name, str(path), f"is a bare video; put it in a folder with a {INFO_FILE} and its pressure",
            NOT_USED,
        )  # fmt: skip
    elif suffix == ".sqlite":
        yield Fault(
            name, str(path), f"may be a dive's log; keep it as {LOG_FILE} in a folder of its own", NOT_USED
        )


def _particles_beside(images: Path) -> Path:
    return images.with_name(images.name.removesuffix("_Images.zip") + "_Particule.zip")


def _uvp6(path: Path, name: str) -> Iterator[Source | Fault]:
    """Samples of a project; those without images are no sources."""
    from tools.shore.uvp6_project.reader import read_project

    try:
        project = read_project(path)
    except SestonError as error:
        yield Fault.of(name, error, NOT_USED)
        return
    size = sum(_sizes(path))
    several = len(project.samples) > 1
    for sample in project.samples:
        part = f"{name}/{sample.id}" if several else name
        yield Source(Kind.UVP6, path, part, sample.id, size // len(project.samples))
    if not project.samples:
        yield Fault(name, str(path), "has no sample; export the project again", NOT_USED)


def _sizes(path: Path) -> Iterator[int]:
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            yield file.stat().st_size


def files_of(source: Source) -> list[Path]:
    """Every file that a source is read from, sorted."""
    path = source.path
    if source.kind is Kind.DIVE:
        found = [path / LOG_FILE, path / f"{LOG_FILE}-wal"]
    elif source.kind is Kind.VIGNETTES and path.is_dir():
        found = [file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES]
    elif path.is_dir():
        found = [file for file in path.rglob("*") if not _is_of_another(file.name, source.profile)]
    else:
        found = [path, *path.parent.glob(f"{path.name.removesuffix('_Particule.zip')}_Images.zip")]
    return sorted(file for file in found if file.is_file() and not file.name.startswith("."))


def _is_of_another(name: str, profile: str) -> bool:
    """Whether a file of a UVP6 project is of another of its samples: these are most of its bytes."""
    sample, mark, end = name.rpartition("_")
    return bool(profile and mark and end in ("Particule.zip", "Images.zip") and sample != profile)


def content_hash(source: Source) -> str:
    """SHA-256 of names and bytes of all that a source is read from, hexadecimal.

    Raises
    ------
    RecordingError
        When it is gone, or a file cannot be read.
    """
    digest = hashlib.sha256(f"{source.kind.value}\0{source.profile}\0".encode())
    if not source.path.exists():
        raise RecordingError(
            "is not there", file=source.path, remedy="keep the archive where all workers see it at this path"
        )
    for file in files_of(source):
        digest.update(os.path.relpath(file, source.path).encode("utf-8", "surrogateescape") + b"\0")
        inner = hashlib.sha256()
        try:
            with file.open("rb") as data:
                while block := data.read(_BLOCK_BYTES):
                    inner.update(block)
        except OSError as cause:
            raise RecordingError(
                f"cannot be read ({cause.strerror})", file=file, remedy="check the disk"
            ) from cause
        digest.update(inner.digest())
    return digest.hexdigest()
