"""EcoTaxa archives, read: a zip or folder with `ecotaxa*.tsv` tables and the images they name.

Exports of every kind, import archives, and the UVP6's `*_Images.zip` are this one format. Writing one is the
part of `training.ecotaxa_write`, learning from it that of `training.datasets`.
"""

from __future__ import annotations

import csv
import io
import math
import posixpath
import re
from collections import Counter
from collections.abc import Collection, Iterator
from os import PathLike
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.images import decode_image
from training.stores import FileStore

Pixels = NDArray[np.uint8]

TABLE_NAME = re.compile(r"ecotaxa.*\.(tsv|txt)", re.IGNORECASE)
STATUSES = ("validated", "predicted", "dubious", "discarded")
ORIGINAL_RANK = 100
"""EcoTaxa shows a UVP6 vignette inverted and with a legend, and keeps the untouched image under this rank."""
_FIRST_LETTERS = {status[0]: status for status in STATUSES[:3]}
FILE_NAME, OBJECT_ID = "img_file_name", "object_id"
CATEGORY, CATEGORY_ID = "object_annotation_category", "object_annotation_category_id"
STATUS = "object_annotation_status"
NEEDED = (
    FILE_NAME,
    "img_rank",
    OBJECT_ID,
    CATEGORY,
    CATEGORY_ID,
    STATUS,
    "acq_id",
    "sample_id",
    "process_id",
)
"""Columns that have an attribute in `EcotaxaRow`."""


class EcotaxaRow(NamedTuple):
    """One row of a table: one image of one object.

    Attributes
    ----------
    table
        Name of the table in the archive.
    number
        Of the row in the file: the header is row 1.
    values
        Cells by column, without blanks around them; column names in lower case.
    """

    table: str
    number: int
    values: dict[str, str]

    @property
    def object_id(self) -> str:
        """Id of the object."""
        return self.values.get(OBJECT_ID, "")

    @property
    def acquisition(self) -> str:
        """`acq_id`."""
        return self.values.get("acq_id", "")

    @property
    def sample(self) -> str:
        """`sample_id`; of a UVP6 the profile."""
        return self.values.get("sample_id", "")

    @property
    def process(self) -> str:
        """`process_id`."""
        return self.values.get("process_id", "")

    @property
    def status(self) -> str:
        """One of `STATUSES`, "" where nobody and nothing named the object, or what stands there."""
        text = self.values.get(STATUS, "").lower()
        return _FIRST_LETTERS.get(text, text)

    @property
    def category_id(self) -> int | None:
        """EcoTaxa id of the category, where the table gives it."""
        value = to_number(self.values.get(CATEGORY_ID, ""))
        return int(value) if value is not None and value > 0 and value == int(value) else None

    @property
    def category(self) -> str:
        """Display name of the category; its id where the table gives no name; "" where there is none."""
        name = self.values.get(CATEGORY, "")
        return name if name or self.category_id is None else str(self.category_id)

    @property
    def rank(self) -> int:
        """Of the image among those of the object; 0 where it is not given."""
        value = to_number(self.values.get("img_rank", ""))
        return 0 if value is None else int(value)

    @property
    def image(self) -> str:
        """Path of the image from the table, with forward slashes."""
        return self.values.get(FILE_NAME, "").replace("\\", "/")

    def __str__(self) -> str:
        """Where it stands, for a sentence."""
        return f"{self.table}: row {self.number}"


class EcotaxaArchive:
    """A zip or folder with EcoTaxa tables; the images stay where they are until they are read.

    Parameters
    ----------
    path
        Zip or folder; `*Images.zip` in it are looked into.
    columns
        Columns to keep, `NEEDED` for learning; all when None.

    Attributes
    ----------
    rows
        All rows, in the order of tables and rows; also those with faults.
    faults
        What is wrong in it, a sentence each, with the row's number in its file.

    Raises
    ------
    InputError
        When there is no table, a table cannot be read, or no row has an image.
    """

    def __init__(self, path: str | PathLike[str], columns: Collection[str] | None = None) -> None:
        self.path = Path(path)
        self._store = FileStore(path)
        self._files = frozenset(self._store.names)
        try:
            tables = [name for name in self._store.names if is_table(name)]
            if not tables:
                raise InputError(
                    "holds no ecotaxa*.tsv",
                    file=path,
                    remedy="give an export of EcoTaxa or a UVP6 Images.zip",
                )
            self.rows: tuple[EcotaxaRow, ...] = tuple(
                row for table in tables for row in _read_table(self._store, table, columns)
            )
            if not self.rows:
                raise InputError("has no row", file=f"{path}/{tables[0]}", remedy="export the project again")
            if not any(self.image_name(row) for row in self.rows):
                raise InputError(
                    "holds none of the images that its tables name",
                    file=path,
                    remedy="export it again with images",
                )
        except BaseException:
            self.close()
            raise
        self.faults: tuple[str, ...] = tuple(self._find_faults())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the zip."""
        self._store.close()

    def image_name(self, row: EcotaxaRow) -> str | None:
        """Name in the archive of a row's image, or None when it is not there.

        It lies where the table says, seen from the table; some tools count from the top of the archive.
        """
        if row.image:
            for folder in (posixpath.dirname(row.table), ""):
                name = posixpath.normpath(posixpath.join(folder, row.image))
                if name in self._files:
                    return name
        return None

    def read_image(self, row: EcotaxaRow) -> Pixels:
        """Grey pixels of a row's image, uint8 (height, width), the legend still on it.

        Raises
        ------
        ImageError
            When it is not there, cannot be read or decoded.
        """
        name = self.image_name(row) or row.image
        return decode_image(self._store.read_bytes(name), f"{self.path}/{name}")

    def objects(self) -> list[EcotaxaRow]:
        """One row an object, that of its first image that is there.

        Where every object has its untouched image (rank 100), it is that one: the first is an inverted copy.
        """
        there = [row for row in self.rows if row.object_id and self.image_name(row) is not None]
        originals = {row.object_id: row for row in there if row.rank == ORIGINAL_RANK}
        first: dict[str, EcotaxaRow] = {}
        for row in there:
            if row.object_id not in first or row.rank < first[row.object_id].rank:
                first[row.object_id] = row
        return (
            [originals[thing] for thing in first]
            if originals.keys() == first.keys()
            else list(first.values())
        )

    def _find_faults(self) -> Iterator[str]:
        seen: set[tuple[str, str]] = set()
        sample_of: dict[str, str] = {}
        category_of: dict[str, str] = {}
        for row in self.rows:
            if not row.object_id:
                yield f"{row}: has no object_id; it is left out."
            if not row.image:
                yield f"{row}: names no image; it is left out."
            elif self.image_name(row) is None:
                yield f"{row}: the image {row.image} is not in the archive; it is left out."
            if row.image and (row.object_id, row.image) in seen:
                yield f"{row}: object {row.object_id} with image {row.image} stands there twice; once counts."
            seen.add((row.object_id, row.image))
            if row.category and not row.status:
                yield f"{row}: has a category ({row.category}) without a status; it counts as not validated."
            elif row.status and row.status not in STATUSES:
                yield f"{row}: has the status {row.status!r}, not one of EcoTaxa's; it is not validated."
            elif row.status and not row.category:
                yield f"{row}: is {row.status} without a category; it is left out."
            if category_of.setdefault(row.object_id, row.category) != row.category:
                yield f"{row}: object {row.object_id} is of two categories; that of the image taken counts."
            if row.acquisition and sample_of.setdefault(row.acquisition, row.sample) != row.sample:
                yield (
                    f"{row}: the acquisition {row.acquisition} is of sample {row.sample} here, and was of "
                    f"{sample_of[row.acquisition]}; EcoTaxa wants one."
                )


def is_table(name: str) -> bool:
    """Whether a file of this name is an EcoTaxa table."""
    return TABLE_NAME.fullmatch(PurePosixPath(name).name) is not None


def to_number(text: str) -> float | None:
    """Number in a cell, with a point or a comma before its decimals; None for anything else."""
    try:
        value = float(text.strip().replace(",", ".", 1))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _read_table(store: FileStore, table: str, columns: Collection[str] | None) -> Iterator[EcotaxaRow]:
    where = f"{store.path}/{table}"
    reader = csv.reader(io.StringIO(_decode(store.read_bytes(table)), newline=""), delimiter="\t")
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        while header and not header[-1]:
            header.pop()
        _check_header(header, where)
        kept = [(i, name) for i, name in enumerate(header) if columns is None or name in columns]
        shared: dict[str, str] = {}  # most cells of a table repeat: one object for each text
        for number, cells in enumerate(reader, start=2):
            if not any(cells) or (number == 2 and _is_types(cells)):
                continue
            if len(cells) > len(header) and any(cells[len(header) :]):
                raise InputError(
                    f"row {number} has {len(cells)} cells, the header has {len(header)}",
                    file=where,
                    remedy="export it again, or correct the row",
                )
            texts = [(name, cells[i].strip() if i < len(cells) else "") for i, name in kept]
            yield EcotaxaRow(table, number, {name: shared.setdefault(text, text) for name, text in texts})
    except csv.Error as cause:
        raise InputError(
            f"is no table ({cause}, near line {reader.line_num})", file=where, remedy="export it again"
        ) from cause


def _check_header(header: list[str], where: str) -> None:
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise InputError(f"has the column {twice[0]!r} twice", file=where, remedy="take one away")
    for name in (OBJECT_ID, FILE_NAME):
        if name not in header:
            raise InputError(
                f"has no column {name}", file=where, remedy="export it again, with images and tab-separated"
            )


def _is_types(cells: list[str]) -> bool:
    """Whether the row says numbers ([f]) or text ([t]) of every column."""
    return all(cell.strip().lower() in ("[f]", "[t]", "") for cell in cells)


def _decode(data: bytes) -> str:
    """Text of a table: EcoTaxa marks UTF-8; what is not marked may be either."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")
