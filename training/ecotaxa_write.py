"""An EcoTaxa archive, written: a zip that EcoTaxa imports, and that `training.ecotaxa` reads back.

All that EcoTaxa's importer would refuse is refused here, in one sentence, before anything is written.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from training.ecotaxa import CATEGORY, CATEGORY_ID, FILE_NAME, STATUS, STATUSES, is_table

Pixels = NDArray[np.uint8]
PREFIXES = ("object", "acq", "process", "sample")
MOST_TEXT = 250
MOST_COLUMNS = {"object [f]": 500, "object [t]": 20, "sample [t]": 60, "acq [t]": 30, "process [t]": 30}
"""Columns of one's own that EcoTaxa has room for."""
_IDS = tuple(f"{prefix}_id" for prefix in PREFIXES)
_NUMBERS = ("img_rank", "object_lat", "object_lon", "object_depth_min", "object_depth_max", CATEGORY_ID)
_TEXTS = (
    *_IDS,
    FILE_NAME,
    "object_date",
    "object_time",
    "object_link",
    CATEGORY,
    STATUS,
    *(f"object_annotation_{what}" for what in ("person_name", "person_email", "date", "time", "hierarchy")),
    "acq_instrument",
    "sample_dataportal_descriptor",
)
_FORMS = {
    "object_date": re.compile(r"\d{8}"),
    "object_time": re.compile(r"\d{6}"),
    "object_annotation_date": re.compile(r"\d{8}"),
    "object_annotation_time": re.compile(r"\d{6}"),
    FILE_NAME: re.compile(r"(?!/)(?!.*\.\.)[^\\]+\.(png|jpg|jpeg)"),
}
_FORM_WORDS = {
    "date": "YYYYMMDD",
    "time": "HHMMSS",
    "name": "a path in the zip ending in .png, .jpg or .jpeg",
}
_RANGES = {"object_lat": 90.0, "object_lon": 180.0}
Cell = str | int | float | None


def write_archive(
    path: str | PathLike[str],
    rows: Sequence[Mapping[str, Cell]],
    images: Mapping[str, bytes | Pixels],
    *,
    table: str = "ecotaxa_seston.tsv",
) -> Path:
    """Write a zip that EcoTaxa imports; nothing is in place unless it is whole.

    Parameters
    ----------
    path
        Of the zip.
    rows
        One an image, cells by column; a row may lack some, None and NaN are empty. A column of one's own is
        of numbers when it is an object's and holds nothing else.
    images
        By `img_file_name`: PNG or JPEG bytes, or uint8 (height, width), which becomes a PNG. Asked for one
        at a time, in the order of the rows.
    table
        Name of the table.

    Returns
    -------
    `path`.

    Raises
    ------
    InputError
        With the row, the column and the remedy, when EcoTaxa would refuse it; or when it cannot be written.
    """
    target = Path(path)
    if not is_table(table) or "/" in table or not table.startswith("ecotaxa"):
        raise InputError(f"the table {table!r} would not be found", file=path, remedy="call it ecotaxa_*.tsv")
    types = _column_types(rows, path)
    names = _check_rows(rows, types, images, path)
    beside = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(beside, "w") as archive:
            archive.writestr(_entry(table, zipfile.ZIP_DEFLATED), _table_bytes(rows, types))
            for name in names:
                image = images[name]
                archive.writestr(_entry(name), image if isinstance(image, bytes) else encode_png(image))
        os.replace(beside, target)
    except OSError as cause:
        raise InputError(
            f"cannot be written ({cause.strerror})", file=path, remedy="check folder and disk"
        ) from cause
    finally:
        with suppress(OSError):
            beside.unlink()
    return target


def _column_types(rows: Sequence[Mapping[str, Cell]], path: str | PathLike[str]) -> dict[str, str]:
    """Type, [f] or [t], of every column, in the order in which they come."""
    columns = dict.fromkeys((FILE_NAME, "img_rank", "object_id"))
    numbers: dict[str, bool] = {}
    for row in rows:
        columns.update(dict.fromkeys(row))
        for name, cell in row.items():
            if cell is not None:
                numbers[name] = numbers.get(name, True) and isinstance(cell, int | float | np.number)
    for name in columns:
        prefix = name.partition("_")[0]
        if not re.fullmatch(r"[a-z]+_\S(.*\S)?", name) or name != name.lower():
            raise _refused("is no name like object_area, in lower case", path, name)
        if prefix not in PREFIXES and name not in _NUMBERS + _TEXTS:
            raise _refused(f"begins with none of {', '.join(PREFIXES)}", path, name)
    used = {name.partition("_")[0] for name in columns} & set(PREFIXES)
    lacking = sorted(f"{prefix}_id" for prefix in used if f"{prefix}_id" not in columns)
    if lacking:
        raise _refused("is lacking, and there are columns that begin like it", path, lacking[0], "add it")
    types = {}
    for name in columns:
        own_number = name.startswith("object_") and name not in _TEXTS and numbers.get(name, False)
        types[name] = "[f]" if name in _NUMBERS or own_number else "[t]"
    own = Counter(
        f"{name.partition('_')[0]} {kind}" for name, kind in types.items() if name not in _NUMBERS + _TEXTS
    )
    for what, count in own.items():
        if count > MOST_COLUMNS[what]:
            raise _refused(
                f"has {count} columns of its own of type {what[-3:]}, EcoTaxa takes {MOST_COLUMNS[what]}",
                path,
                what.partition(" ")[0],
                "leave some out",
            )
    return types


def _check_rows(
    rows: Sequence[Mapping[str, Cell]],
    types: Mapping[str, str],
    images: Mapping[str, bytes | Pixels],
    path: str | PathLike[str],
) -> list[str]:
    """Names of the images, once each, in the order of the rows."""
    seen: set[tuple[str, str]] = set()
    ranks: set[tuple[str, str]] = set()
    sample_of: dict[str, str] = {}
    for number, row in enumerate(rows, start=3):
        cells = {name: _text(row.get(name)) for name in types}
        for name, problem in _faults(cells, types):
            raise _refused(problem, path, f"row {number}: {name}")
        image, thing, rank = cells[FILE_NAME], cells["object_id"], cells["img_rank"]
        if image not in images:
            raise _refused(
                f"{image!r} is not among the images", path, f"row {number}: {FILE_NAME}", "give it"
            )
        if (thing, image) in seen or (thing, rank) in ranks:
            raise _refused(
                f"object {thing} has image {image} or rank {rank!r} already", path, f"row {number}: object_id"
            )
        seen.add((thing, image))
        ranks.add((thing, rank))
        acquisition, sample = cells.get("acq_id", ""), cells.get("sample_id", "")
        if acquisition and sample_of.setdefault(acquisition, sample) != sample:
            raise _refused(
                f"the acquisition {acquisition} is of sample {sample_of[acquisition]} in another row",
                path,
                f"row {number}: acq_id",
            )
    if not rows:
        raise _refused("there are no rows", path, None, "give one an image")
    names = list(dict.fromkeys(_text(row[FILE_NAME]) for row in rows))
    unused = sorted(set(images) - set(names))
    if unused:
        raise _refused(f"the image {unused[0]!r} is in no row", path, None, "add its row")
    return names


def _faults(cells: Mapping[str, str], types: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Column and problem of what EcoTaxa would refuse in a row."""
    for name, text in cells.items():
        if not text:
            if name == FILE_NAME or name in _IDS:
                yield name, "is empty"
        elif types[name] == "[f]":
            try:
                value = float(text)
            except ValueError:
                value = math.inf
            if not abs(value) <= _RANGES.get(name, math.nextafter(math.inf, 0)):
                yield name, f"{text!r} is no number in its range"
        elif len(text) > MOST_TEXT:
            yield name, f"is {len(text)} characters long, EcoTaxa takes {MOST_TEXT}"
        elif name in _FORMS and not _FORMS[name].fullmatch(text):
            yield name, f"{text!r} is not {_FORM_WORDS[name.rpartition('_')[2]]}"
    category = cells.get(CATEGORY, "") or cells.get(CATEGORY_ID, "")
    status = cells.get(STATUS, "")
    if status and status not in STATUSES:
        yield STATUS, f"{status!r} is none of {', '.join(STATUSES)}"
    if bool(category) != bool(status):
        yield STATUS, "category and status need each other"


def _text(cell: Cell) -> str:
    """What stands in the table."""
    if cell is None or (isinstance(cell, float | np.floating) and math.isnan(cell)):
        return ""
    if isinstance(cell, float | np.floating):
        return repr(float(cell))
    return str(cell)


def _table_bytes(rows: Sequence[Mapping[str, Cell]], types: Mapping[str, str]) -> bytes:
    """The table; UTF-8 is marked, as the importer takes what is not marked for Latin-1."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter="\t", lineterminator="\n")
    writer.writerow(types)
    writer.writerow(types.values())
    writer.writerows([_text(row.get(name)) for name in types] for row in rows)
    text = buffer.getvalue()
    return text.encode("ascii" if text.isascii() else "utf-8-sig")


def _entry(name: str, how: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    """A member with a fixed time: the same contents are the same bytes."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = how
    entry.external_attr = 0o644 << 16
    return entry


def encode_png(pixels: Pixels) -> bytes:
    """PNG file of grey pixels, uint8 (height, width)."""
    return bytes(cv2.imencode(".png", pixels)[1])


def _refused(
    problem: str, path: str | PathLike[str], field: str | None, remedy: str = "correct it"
) -> InputError:
    return InputError(problem, file=path, field=field, remedy=remedy)
