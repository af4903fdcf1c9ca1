"""What a person sorted in EcoTaxa, read from an export: a category and a status by object id. Images are not.

An export as it comes (general, backup, annotations alone; UTF-8 or Latin-1), the table of one, or half a zip.
What is wrong in it is listed with file, row and field; the rest counts.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike
from typing import NamedTuple

from edge.errors import InputError
from tools.shore.ecotaxa import cells
from tools.shore.ecotaxa.check import as_text
from tools.shore.ecotaxa.source import UNREADABLE, Source
from training.ecotaxa import CATEGORY, CATEGORY_ID, OBJECT_ID, STATUS, STATUSES, EcotaxaRow

_KEPT = (OBJECT_ID, CATEGORY, CATEGORY_ID, STATUS)
_DISCARDED = "x"
"""How an export writes `discarded`: the letter as it is (ecotaxa_back API_operations/exports)."""


class Fault(NamedTuple):
    """What is left out, and where it stands: row as a spreadsheet counts, None where it is no row."""

    file: str
    row: int | None
    field: str
    what: str

    def __str__(self) -> str:
        """A line."""
        places = (self.file, "" if self.row is None else f"row {self.row}", self.field)
        return ": ".join([*(place for place in places if place), self.what])


class Sorted(NamedTuple):
    """What the export says of an object; `status` is one of EcoTaxa's or "", `identity` a category's id."""

    category: str
    identity: int | None
    status: str
    file: str
    row: int


@dataclass
class Export:
    """An export that was read.

    Attributes
    ----------
    name
        Of its file.
    objects
        By object id.
    faults
        What is left out, and why.
    """

    name: str
    objects: dict[str, Sorted] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def read_sorted(path: str | PathLike[str]) -> Export:
    """Read an export; raises `InputError` when there is no object in it."""
    with Source(path) as source:
        export = Export(source.path.name)
        if source.damage:
            export.faults.append(Fault(source.path.name, None, "", source.damage))
        tables = source.tables()
        contradicted: set[str] = set()
        for table in tables:
            try:
                with source.open(table) as stream, as_text(stream) as text:
                    rows = csv.reader(text, delimiter="\t", quotechar='"')
                    _read_table(table, rows, export, contradicted)
            except (csv.Error, *UNREADABLE) as cause:
                export.faults.append(Fault(table, None, "", f"cannot be read to its end ({cause})"))
    if not tables:
        raise InputError(
            "holds no ecotaxa*.tsv", file=path, remedy="give an export of EcoTaxa, or a table of one"
        )
    for thing in contradicted:
        del export.objects[thing]
    if not export.objects:
        why = f" ({export.faults[0]})" if export.faults else ""
        raise InputError(
            f"holds no object{why}", file=path, remedy="export the project again, with annotations"
        )
    return export


def _read_table(table: str, rows: Iterator[list[str]], export: Export, contradicted: set[str]) -> None:
    header = [name.strip(" \t").lower() for name in next(rows, [])]
    index = {name: i for i, name in enumerate(header) if name in _KEPT}
    if OBJECT_ID not in index:
        export.faults.append(Fault(table, 1, OBJECT_ID, "is not there; the table is left out"))
        return
    for number, row in enumerate(rows, start=2):
        if not any(row) or (number == 2 and all(cell.strip() in ("[f]", "[t]", "") for cell in row)):
            continue
        values = {name: _text(row[i]) for name, i in index.items() if i < len(row)}
        found = _sorted(EcotaxaRow(table, number, values), export.faults)
        thing = values.get(OBJECT_ID, "")
        if found is None or thing in contradicted:
            continue
        before = export.objects.setdefault(thing, found)
        if before[:3] != found[:3]:
            contradicted.add(thing)
            what = f"{thing} is {found.category!r} here and {before.category!r} in row {before.row}"
            export.faults.append(Fault(table, number, OBJECT_ID, f"{what}; it is left out"))


def _sorted(row: EcotaxaRow, faults: list[Fault]) -> Sorted | None:
    """What a row says, or None with a fault."""

    def fault(name: str, what: str) -> None:
        faults.append(Fault(row.table, row.number, name, f"{what}; the row is left out"))

    if not row.object_id:
        fault(OBJECT_ID, "is empty")
        return None
    status = "discarded" if row.status == _DISCARDED else row.status
    if status and status not in STATUSES:
        fault(STATUS, f"is {status!r}, none of {', '.join(STATUSES)}")
        return None
    told = row.values.get(CATEGORY_ID, "")
    if told and row.category_id is None and not cells.is_empty_number(told):
        fault(CATEGORY_ID, f"is {told!r}, no whole number above 0")
        return None
    if status and not row.category:
        fault(CATEGORY, f"is empty, and the object is {status}")
        return None
    return Sorted(row.category, row.category_id, status, row.table, row.number)


def _text(cell: str) -> str:
    """A cell's text: what is UTF-8 without its mark is put right."""
    text = cell.strip()
    return text.encode("latin-1").decode("utf-8") if cells.is_garbled(text) else text
