"""Reads a UVP6 project from a folder or a zip. Files are known by their names, wherever they lie.

So a project, a part of one, and a flat copy of its files read alike, and a single `*_Particule.zip` is a
project of one sample. What is good is kept, what is not is a sentence; only a place
without anything is refused.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from os import PathLike
from pathlib import Path, PurePosixPath

from edge.errors import RecordingError
from tools.shore.uvp6_project.files import Archive, Files
from tools.shore.uvp6_project.model import METADATA, PARTICLES, Particles, Project, Sample
from tools.shore.uvp6_project.rows import DataFile, read_data
from tools.shore.uvp6_project.tables import TextTable, read_text_table, shape_faults
from tools.shore.uvp6_project.texts import decode, read_sections

TEXT_FILE = re.compile(r"((HW|ACQ|TAXO)_.*|compute_vignette|cruise_info)\.txt", re.IGNORECASE)
HEADER_FILE = re.compile(r".*header.*\.txt", re.IGNORECASE)
DATA_FILE = re.compile(r".*_data\.txt", re.IGNORECASE)
PARTICLE_FILE = re.compile(r"(.+)_Particule\.zip", re.IGNORECASE)
IMAGE_FILE = re.compile(r"(.+)_Images\.zip", re.IGNORECASE)
CTD_FILE = re.compile(r"(.+)\.ctd", re.IGNORECASE)


def read_project(path: str | PathLike[str], only: str | None = None) -> Project:
    """Read a project; the images and vignettes of other samples than `only` one are left out if it is given.

    Raises
    ------
    RecordingError
        When there is nothing, or nothing of a UVP6.
    """
    return _Reading(Files(path), only).project()


def is_project(path: str | PathLike[str]) -> bool:
    """Whether a folder, zip or file looks like a UVP6 project or a part of one: names are read, no more."""
    path = Path(path)
    if not path.exists() or (path / "recording.toml").is_file():
        return False
    try:
        files = Files(path)
    except RecordingError:
        return PARTICLE_FILE.fullmatch(path.name) is not None
    try:
        return any(_is_image_list(name) for name in files.names)
    finally:
        files.close()


def _is_image_list(name: str) -> bool:
    base = PurePosixPath(name).name
    return base == PARTICLES or bool(PARTICLE_FILE.fullmatch(base) or DATA_FILE.fullmatch(base))


class _Reading:
    """A project in the making."""

    def __init__(self, files: Files, only: str | None) -> None:
        self._files, self._only = files, only
        self._faults: list[str] = list(files.faults)
        self._texts: dict[str, bytes] = {}
        self._headers: dict[str, TextTable] = {}
        self._sequences: dict[str, DataFile] = {}
        self._particles: dict[str, Particles] = {}
        self._images: dict[str, Archive] = {}
        self._ctds: dict[str, TextTable] = {}
        self._others: list[str] = []

    def project(self) -> Project:
        """All of it."""
        for name in self._files.names:
            try:
                self._take(name)
            except RecordingError as fault:
                self._faults.append(str(fault))
                self._others.append(name)
        if not (self._sequences or self._particles or self._headers or self._texts or self._images):
            raise RecordingError(
                "holds nothing of a UVP6 project" if not self._faults else self._faults[0].rstrip("."),
                file=None if self._faults else self._files.path,
                remedy="give a project's folder or zip, or a *_Particule.zip",
            )
        header = self._header()
        return Project(
            str(self._files.path),
            self._texts,
            header,
            tuple(self._samples(header)),
            self._sequences,
            self._ctds,
            {name: functools.partial(self._files.read, name) for name in self._others},
            tuple(self._faults),
        )

    def _take(self, name: str) -> None:
        base = PurePosixPath(name).name
        of_sample = PARTICLE_FILE.fullmatch(base) or IMAGE_FILE.fullmatch(base)
        if of_sample and self._only not in (None, of_sample[1]):
            return
        if TEXT_FILE.fullmatch(base):
            self._texts[name] = self._files.read(name)
        elif DATA_FILE.fullmatch(base):
            self._sequences[name] = self._read_data(
                decode(self._files.read(name))[0], self._files.place(name)
            )
        elif found := PARTICLE_FILE.fullmatch(base):
            self._once(self._particles, found[1], name)
            self._particles[found[1]] = self._read_particles(name)
        elif found := IMAGE_FILE.fullmatch(base):
            self._once(self._images, found[1], name)
            self._images[found[1]] = self._archive(name)
        elif base == PARTICLES:
            self._take_unpacked(name)
        elif base == METADATA:
            pass  # with its images
        elif CTD_FILE.fullmatch(base):
            self._ctds[name] = self._read_table(name, "\t")
        elif HEADER_FILE.fullmatch(base):
            self._headers[name] = self._read_table(name, ";")
        else:
            self._others.append(name)

    def _once(self, known: Iterable[str], sample: str, name: str) -> None:
        if sample in known:
            raise RecordingError(
                f"is of sample {sample}, as another file is", file=self._files.place(name), remedy="keep one"
            )

    def _archive(self, name: str) -> Archive:
        archive = self._files.archive(name)
        self._faults += archive.faults
        return archive

    def _read_particles(self, name: str) -> Particles:
        archive = self._archive(name)
        by_base = {PurePosixPath(member).name: member for member in archive.names}
        try:
            if PARTICLES not in by_base:
                raise RecordingError(
                    f"holds no {PARTICLES}", file=archive.place, remedy="export the sample again"
                )
            text = decode(archive.read(by_base[PARTICLES]))[0]
            metadata = decode(archive.read(by_base[METADATA]))[0] if METADATA in by_base else ""
        finally:
            archive.close()
        if not metadata:
            self._faults.append(f"{archive.place}: holds no {METADATA}; export the sample again.")
        place = f"{archive.place}/{PARTICLES}"
        return Particles(name, self._read_data(text, place), metadata, place)

    def _take_unpacked(self, name: str) -> None:
        """A sample whose zip somebody unpacked."""
        beside = PurePosixPath(name).with_name(METADATA).as_posix()
        metadata = decode(self._files.read(beside))[0] if beside in self._files.names else ""
        told = read_sections(metadata).get("sample_metadata", {}).get("profileid", "")
        sample = told or PurePosixPath(name).parent.name or self._files.path.stem
        self._once(self._particles, sample, name)
        place = self._files.place(name)
        data = self._read_data(decode(self._files.read(name))[0], place)
        packed = PurePosixPath(name).with_name(f"{sample}_Particule.zip").as_posix()
        self._particles[sample] = Particles(packed, data, metadata, place)

    def _read_data(self, text: str, place: str) -> DataFile:
        data = read_data(text)
        for one in data.bad:
            self._faults.append(f"{place}: line {one.line}: {one.problem}; it is left out.")
        for kind in ("HW_CONF", "ACQ_CONF", *({"TAXO_CONF"} & data.configurations.keys())):
            found = data.configuration(kind)
            if isinstance(found, str):
                self._faults.append(f"{place}: {kind}: {found}; copy the line from the instrument again.")
        if not data.rows:
            self._faults.append(f"{place}: has no images; export it again.")
        return data

    def _read_table(self, name: str, separator: str) -> TextTable:
        table = read_text_table(self._files.read(name), separator)
        self._faults += shape_faults(table, self._files.place(name))
        return table

    def _header(self) -> tuple[str, TextTable] | None:
        """The header that counts: the first by name."""
        names = sorted(self._headers)
        for name in names[1:]:
            self._faults.append(
                f"{self._files.place(name)}: is a second header beside {names[0]}, which counts; keep one."
            )
            self._others.append(name)
        return (names[0], self._headers[names[0]]) if names else None

    def _samples(self, header: tuple[str, TextTable] | None) -> list[Sample]:
        samples: list[Sample] = []
        ctds = {PurePosixPath(name).stem: table for name, table in self._ctds.items()}
        seen: set[str] = set()

        def add(sample: str, about: dict[str, str], line: int) -> None:
            seen.add(sample)
            own = self._particles.get(sample)
            images = self._images.get(sample)
            samples.append(Sample(sample, about, line, own, images, ctds.get(sample)))

        for line, about in zip(header[1].lines, header[1].records(), strict=True) if header else ():
            sample = about.get("profileid", "")
            if sample in seen or not sample:
                assert header is not None
                problem = f"holds {sample!r}, as a row before it does" if sample else "is empty"
                self._faults.append(
                    f"{self._files.place(header[0])}: line {line}, column profileid: {problem}; give every "
                    "sample an id of its own."
                )
            else:
                add(sample, about, line)
        for sample in sorted((self._particles.keys() | self._images.keys()) - seen):
            own = self._particles.get(sample)
            told = read_sections(own.metadata).get("sample_metadata", {}) if own else {}
            add(sample, {"profileid": sample, **{key.lower(): text for key, text in told.items()}}, 0)
        return samples
