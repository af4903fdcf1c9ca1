"""Writes a UVP6 project: whole, or not at all, in a new folder. The same project gives the same bytes."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from edge.errors import RecordingError
from tools.shore.uvp6_project.model import METADATA, PARTICLES, Particles, Project
from tools.shore.uvp6_project.rows import write_data
from tools.shore.uvp6_project.tables import write_text_table
from tools.shore.uvp6_project.texts import encode


def write_project(project: Project, folder: Path) -> list[Path]:
    """Write a project into a folder that is not there yet; returns the files.

    Raises
    ------
    RecordingError
        When the folder is there, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RecordingError("is there already", file=folder, field="--out", remedy="name a new folder")
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    written = []
    try:
        for name, content in contents(project):
            file = part / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            written.append(folder / name)
        if folder.exists():
            folder.rmdir()
        os.replace(part, folder)
    except OSError as cause:
        raise RecordingError(
            f"cannot be written ({cause.strerror})", file=folder, remedy="free the disk, or choose another"
        ) from cause
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return written


def contents(project: Project) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file of a project."""
    yield from project.texts.items()
    if project.header is not None:
        yield project.header[0], write_text_table(project.header[1])
    for name, data in project.sequences.items():
        yield name, encode(write_data(data))
    for name, table in project.ctds.items():
        yield name, write_text_table(table)
    for sample in project.samples:
        if sample.particles is not None:
            yield sample.particles.name, particle_zip(sample.particles)
        if sample.images is not None:
            yield sample.images.name, sample.images.data()
    for name, read in project.others.items():
        yield name, read()


def particle_zip(particles: Particles) -> bytes:
    """A `*_Particule.zip`."""
    members = {PARTICLES: encode(write_data(particles.data))}
    if particles.metadata:
        members[METADATA] = encode(particles.metadata)
    return zip_of(members)


def zip_of(members: Mapping[str, bytes]) -> bytes:
    """A zip whose members have a fixed time: the same contents are the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name)
            is_packed = PurePosixPath(name).suffix.lower() in (".png", ".jpg", ".jpeg")
            entry.compress_type = zipfile.ZIP_STORED if is_packed else zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return out.getvalue()
