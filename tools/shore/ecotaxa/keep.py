"""Writes what is good of an archive: rows, columns and images that EcoTaxa would take."""

from __future__ import annotations

import csv
import io
import os
import posixpath
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from edge.errors import InputError
from tools.shore.ecotaxa.check import as_text
from tools.shore.ecotaxa.report import Report
from tools.shore.ecotaxa.source import UNREADABLE, Source


def keep_good(path: Path, report: Report, target: Path) -> str:
    """Write the rows for which EcoTaxa would not refuse it, with their images; what was kept, in words.

    Raises `InputError` when nothing is good, or it cannot be written.
    """
    if target.exists() and target.samefile(path):
        raise InputError("is the archive itself", file=target, remedy="choose another file with --keep")
    beside = target.with_name(f"{target.name}.part")
    kept = images = 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with Source(path) as source, zipfile.ZipFile(beside, "w") as archive:
            for table in source.tables():
                rows, names = _write_table(source, archive, table, report)
                kept, images = kept + rows, images + len(names)
                for name in sorted(names):
                    archive.writestr(_flat(name), source.read(name))
        if not kept:
            raise InputError("has no row that EcoTaxa would take", file=path, remedy="correct what is listed")
        os.replace(beside, target)
    except OSError as cause:
        raise InputError(
            f"cannot be written ({cause.strerror})", file=target, remedy="check the disk"
        ) from cause
    finally:
        with suppress(OSError):
            beside.unlink()
    return f"{target}: {kept:,} of {report.rows:,} rows and {images:,} images are good."


def _write_table(
    source: Source, archive: zipfile.ZipFile, table: str, report: Report
) -> tuple[int, set[str]]:
    """One table without its bad rows and columns; how many rows are left, and the images that they name."""
    kept, names, seen = 0, set(), report.bad_rows.get(table, set())
    with tempfile.TemporaryFile() as held:
        text = io.TextIOWrapper(held, encoding="utf-8-sig", newline="", write_through=True)
        writer = csv.writer(text, delimiter="\t", lineterminator="\n")
        with suppress(*UNREADABLE, csv.Error):  # rows up to the damage are good
            for number, row, image in _good(source, table, report.bad_columns.get(table, set())):
                if number not in seen:
                    writer.writerow(row)
                    kept += number > 2
                    if image:
                        names.add(image)
        if kept:
            text.flush()
            held.seek(0)
            with archive.open(_flat(table), "w", force_zip64=True) as member:
                shutil.copyfileobj(held, member, 1 << 20)
        text.detach()
    return kept, names if kept else set()


def _good(source: Source, table: str, bad_columns: set[str]) -> Iterator[tuple[int, list[str], str]]:
    """Number, cells and image's name of every row, header and types too, without bad columns."""
    with source.open(table) as stream, as_text(stream) as text:
        reader = csv.reader(text, delimiter="\t", quotechar='"')
        header = [name.strip(" \t").lower() for name in next(reader, [])]
        columns = [i for i, name in enumerate(header) if name and name not in bad_columns]
        image_at = header.index("img_file_name") if "img_file_name" in header else None
        yield 1, [header[i] for i in columns], ""
        for number, row in enumerate(reader, start=2):
            if row:
                image = row[image_at].strip() if image_at is not None and image_at < len(row) else ""
                name = posixpath.normpath(posixpath.join(posixpath.dirname(table), image)) if image else ""
                cells = [row[i] if i < len(row) else "" for i in columns]
                yield number, cells, name if number > 2 else ""


def _flat(name: str) -> str:
    """Name in the new zip: what lay in a zip lies in a folder of its name, not to be taken for one."""
    return name.replace("Images.zip/", "Images/")
