"""Judges an archive as EcoTaxa's importer would, without EcoTaxa: every rule of `rules`, file, row and field.

Rows are streamed; what is kept of them is a few bytes each. What only EcoTaxa's database knows (its taxonomy,
its users, what a project holds already) is told as what a person may be asked.
"""

from __future__ import annotations

import csv
import io
import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import PurePosixPath
from typing import IO

from edge.errors import InputError
from edge.images import IMAGE_SUFFIXES
from tools.shore.ecotaxa import cells, rules
from tools.shore.ecotaxa.legend import read_settings
from tools.shore.ecotaxa.pictures import look
from tools.shore.ecotaxa.report import Report
from tools.shore.ecotaxa.source import UNREADABLE, Source

_BOM = b"\xef\xbb\xbf"
_PLACES = {"object_lat": 90.0, "object_lon": 180.0}
_DATES = ("object_date", "object_annotation_date")
_TIMES = ("object_time", "object_annotation_time")
_OPTICS = ("acq_pixel", "acq_volimage", "object_depth_min", "object_depth_max")
_STATUS, _CATEGORY = "object_annotation_status", "object_annotation_category"
_CATEGORY_ID, _PERSON = "object_annotation_category_id", "object_annotation_person_name"


def check_archive(path: str | PathLike[str]) -> Report:
    """Judge an archive; raises `InputError` when nothing of it can be read."""
    with Source(path) as source:
        return _Check(source).run()


@dataclass(frozen=True)
class _Columns:
    """What the importer makes of a header: index of each column by name, and what kind of cells it has."""

    index: dict[str, int]
    numbers: tuple[tuple[int, str], ...]
    texts: tuple[tuple[int, str, int], ...]
    width: int

    def cell(self, row: list[str], name: str) -> str:
        at = self.index.get(name)
        return row[at].strip() if at is not None and at < len(row) else ""


class _Check:
    """One archive being judged."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._report = Report(source.path.name)
        self._pairs: dict[int, int] = {}
        self._ranks: set[int] = set()
        self._objects: set[int] = set()
        self._sample_of: dict[str, str] = {}
        self._images: dict[str, str | None] = {}
        self._own: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._once: set[tuple[str, str]] = set()
        self._unplaced = 0
        self._at = ("", 0)
        """Table and row at hand."""

    def run(self) -> Report:
        report, source = self._report, self._source
        if source.damage:
            report.add("archive-whole", source.damage)
        elif source.path.is_file() and source.path.stat().st_size > rules.UPLOAD_BYTES:
            report.add("archive-size", f"is {source.path.stat().st_size / 2**20:,.0f} MB large")
        for name, why in source.broken_nested.items():
            report.add("archive-whole", f"is no readable zip ({why})", file=name)
        tables = source.tables()
        report.tables = len(tables)
        if not tables:
            near = [n for n in source.names if PurePosixPath(n).suffix.lower() in (".tsv", ".txt", ".csv")]
            report.add("archive-table", f"holds {', '.join(near[:3]) or 'no table at all'}")
        if len(tables) > rules.MOST_TABLES:
            report.add("archive-tables", f"holds {len(tables):,} tables")
        for table in tables:
            self._table(table)
        if tables and not report.rows:
            report.add("archive-rows", "has no row with data")
        self._whole()
        return report

    def _whole(self) -> None:
        """What is to be said of the archive once all its rows are known."""
        report, source = self._report, self._source
        report.objects, report.images = len(self._objects), len(self._images)
        report.acquisitions, report.samples = len(self._sample_of), len(set(self._sample_of.values()))
        for (prefix, kind), names in self._own.items():
            most = rules.MOST_COLUMNS[prefix, kind]
            if len(names) > most:
                report.add(
                    "header-room", f"has {len(names)} {prefix} columns {kind}, there is room for {most}"
                )
        samples = len(self._own["sample", "[t]"])
        if rules.DOCUMENTED_SAMPLE_COLUMNS < samples <= rules.MOST_COLUMNS["sample", "[t]"]:
            report.add("header-samples", f"has {samples} sample columns")
        if self._unplaced:
            report.add("place-known", f"{self._unplaced:,} of {report.rows:,} rows have no latitude")
        for name in source.names:
            suffix = PurePosixPath(name).suffix.lower()
            if suffix in (*IMAGE_SUFFIXES, ".gif") and name not in self._images:
                report.add("image-unused", "is named by no row", file=name)
            if PurePosixPath(name).name == rules.NESTED_SETTINGS:
                self._settings(name)

    def _settings(self, name: str) -> None:
        """Settings of a legend: whether they count, and whether they can be read."""
        report, at_top = self._report, posixpath.dirname(name) in self._source.nested
        try:
            read_settings(self._source.read(name).decode("utf-8", "replace"), name)
        except InputError as error:
            if at_top:
                report.add("legend-readable", error.problem, file=name, field=error.field or "")
        except UNREADABLE as error:
            report.add("archive-whole", f"cannot be read ({error})", file=name)
        if not at_top:
            report.add(
                "legend-settings",
                "does not lie at the top of an *Images.zip within a folder or zip: no legend will be drawn",
                file=name,
            )

    def _say(self, rule: str, what: str, field: str = "") -> None:
        """A finding in the row at hand."""
        self._report.add(rule, what, file=self._at[0], row=self._at[1], field=field)

    def _table(self, table: str) -> None:
        report = self._report
        try:
            with self._source.open(table) as stream, as_text(stream) as text:
                self._rows(table, csv.reader(text, delimiter="\t", quotechar='"'))
        except csv.Error as error:
            report.add("table-readable", f"is no table ({error})", file=table)
        except UNREADABLE as error:
            report.add("table-readable", f"cannot be read ({error})", file=table)

    def _rows(self, table: str, reader: Iterator[list[str]]) -> None:
        report = self._report
        raw = next(reader, None)
        if raw is None or not any(raw):
            report.add("table-readable", "has no header", file=table)
            return
        header = [name.strip(" \t").lower() for name in raw]
        types = next(reader, [])
        columns = self._header(table, header, types)
        for number, row in enumerate(reader, start=3):
            if row:  # the importer's reader passes over lines without anything
                report.rows += 1
                self._at = (table, number)
                self._row(row, columns)

    def _header(self, table: str, header: list[str], types: list[str]) -> _Columns:
        report = self._report
        kinds = dict(zip(header, types, strict=False))
        data = [text for text in types if text.strip() not in ("[f]", "[t]", "")]
        if data:
            report.add("header-row2", f"holds {data[0]!r}, it is read as types", file=table, row=2)
        for name, n in Counter(header).items():
            if n > 1 and name:
                report.add("header-twice", f"stands {n} times", file=table, field=name)
        numbers, texts = [], []
        index = {name: i for i, name in enumerate(header)}
        for name, i in index.items():
            prefix, _, rest = name.partition("_")
            kind = "[t]"
            if not rest and "_" not in name:
                report.add(
                    "header-name", "is no name like object_area", file=table, field=name or "(no name)"
                )
                continue
            if name not in rules.PREDEFINED:
                if prefix not in rules.PREFIXES:
                    report.add("header-prefix", f"{prefix} is none of EcoTaxa's", file=table, field=name)
                    continue
                kind = kinds.get(name, "") if prefix == "object" else "[t]"
                if kind not in ("[f]", "[t]"):
                    report.add("header-type", f"has {kind!r} in row 2", file=table, field=name)
                    continue
                self._own[prefix, kind].add(name)
            if name in rules.NUMBERS or (name not in rules.PREDEFINED and kind == "[f]"):
                if name not in _PLACES:
                    numbers.append((i, name))
            else:
                texts.append((i, name, rules.MOST_TEXT_OF.get(name, rules.MOST_TEXT)))
        for prefix in rules.PREFIXES:
            if any(name.startswith(f"{prefix}_") for name in index) and f"{prefix}_id" not in index:
                report.add(
                    "header-id",
                    "is not there, other columns of its table are",
                    file=table,
                    field=f"{prefix}_id",
                )
        for name in _OPTICS:
            if name not in index:
                report.add("ecopart-optics", "is not there", file=table, field=name)
        return _Columns(index, tuple(numbers), tuple(texts), len(header))

    def _row(self, row: list[str], columns: _Columns) -> None:
        if len(row) > columns.width:
            self._say("cell-beyond", f"has {len(row)} cells, the header {columns.width}")
            return
        if len(row) < columns.width:
            self._say("cell-short", f"has {len(row)} cells, the header {columns.width}")
            row = [*row, *[""] * (columns.width - len(row))]
        for i, name in columns.numbers:
            text = row[i].strip()
            if not cells.is_empty_number(text) and cells.number(text) is None:
                hint = ": write a point" if cells.number(text.replace(",", ".", 1)) is not None else ""
                self._say("cell-number", f"{_short(text)} is no number{hint}", name)
        for i, name, most in columns.texts:
            text = row[i].strip()
            if len(text) > most:
                self._say("cell-length", f"is {len(text)} characters long, {most} fit", name)
            if not text.isascii() and cells.is_garbled(text):
                garbled = f"{_short(text.encode('latin-1').decode())} would become {_short(text)}"
                self._say("table-encoding", garbled, name)
        self._formed(row, columns)
        self._object(row, columns)
        self._named(row, columns)

    def _formed(self, row: list[str], columns: _Columns) -> None:
        """Places, dates and times."""
        for name, most in _PLACES.items():
            text = columns.cell(row, name)
            if not cells.is_empty_number(text):
                value = cells.degrees(text)
                if value is None or not -most <= value <= most:
                    self._say("cell-place", f"{_short(text)} is not within {most:g} degrees", name)
        self._unplaced += cells.is_empty_number(columns.cell(row, "object_lat"))
        for name in _DATES:
            text = columns.cell(row, name)
            if text and not cells.is_date(text):
                self._say("cell-date", f"{_short(text)} is no date", name)
        for name in _TIMES:
            text = columns.cell(row, name)
            read = cells.read_time(text) if text else None
            if text and read is None:
                self._say("cell-time", f"{_short(text)} is no time", name)
            elif text and cells.has_more_than_time(text):
                self._say("cell-zone", f"{_short(text)} is taken for {read} UTC", name)

    def _object(self, row: list[str], columns: _Columns) -> None:
        """Object, image, rank and acquisition."""
        thing, image = columns.cell(row, "object_id"), columns.cell(row, "img_file_name")
        if thing:
            self._objects.add(hash(thing))
        else:
            self._say("object-id", "is empty", "object_id")
        name = posixpath.normpath(posixpath.join(posixpath.dirname(self._at[0]), image)) if image else ""
        if not image:
            self._say("image-there", "names no image", "img_file_name")
        elif (fault := self._image(name)) is not None:
            rule = "image-opens" if name in self._source else "image-there"
            self._say(rule, f"{_short(image)} {fault}", "img_file_name")
        pair = hash((thing, image))
        if pair in self._pairs:
            self._say(
                "object-twice",
                f"{_short(thing)} with {_short(image)} stands in row {self._pairs[pair]} already",
                "object_id",
            )
        self._pairs.setdefault(pair, self._at[1])
        rank = columns.cell(row, "img_rank")
        if rank and thing:
            key = hash((thing, cells.number(rank)))
            if key in self._ranks:
                self._say("object-rank", f"{_short(thing)} has an image of rank {rank} already", "img_rank")
            self._ranks.add(key)
        sample, acquisition = columns.cell(row, "sample_id"), columns.cell(row, "acq_id")
        if sample and acquisition and self._sample_of.setdefault(acquisition, sample) != sample:
            self._say(
                "acq-sample",
                f"{_short(acquisition)} is of sample {_short(sample)} here, and was of"
                f" {_short(self._sample_of[acquisition])}",
                "acq_id",
            )

    def _named(self, row: list[str], columns: _Columns) -> None:
        """Status, category, person, and what EcoPart reads of the sample."""
        report, at = self._report, columns.index
        status = row[at[_STATUS]] if _STATUS in at else ""
        report.statuses[status.strip().lower()] += 1
        if status.strip() and status.strip() != "noid" and status.strip().lower() not in rules.STATUSES:
            self._say("status-known", f"{_short(status)} is none of {', '.join(rules.STATUSES)}", _STATUS)
        identity = columns.cell(row, _CATEGORY_ID)
        category = columns.cell(row, _CATEGORY) if _CATEGORY in at else identity
        if bool(category) != bool(status):
            what = (
                f"is {_short(status)} without a category" if status else f"{_short(category)} has no status"
            )
            self._say("status-category", what, _STATUS)
        if not cells.is_empty_number(identity):
            value = cells.number(identity)
            if value is not None and (value != value // 1 or not 0 < value < 2**31):
                self._say("category-id", f"{_short(identity)} is no whole number above 0", _CATEGORY_ID)
        elif category and self._first(_CATEGORY, category.lower()):
            self._say(
                "category-name",
                f"{_short(category)} has no id: a person is asked unless EcoTaxa has"
                " exactly one of this name",
                _CATEGORY,
            )
        person = columns.cell(row, _PERSON)
        if person and self._first(_PERSON, person.lower()):
            self._say(
                "person-known",
                f"{_short(person)}: a person is asked unless EcoTaxa knows the name or the e-mail",
                _PERSON,
            )
        kind = columns.cell(row, "sample_sampletype")
        if kind and kind not in rules.SAMPLE_TYPES and self._first("sample_sampletype", kind):
            self._say(
                "ecopart-type", f"{_short(kind)} is neither P (depth) nor T (time)", "sample_sampletype"
            )
        if kind == "T":
            seconds = cells.number(columns.cell(row, "sample_integrationtime") or "0")
            if (seconds is None or seconds <= 0) and self._first("T", columns.cell(row, "sample_id")):
                self._say(
                    "ecopart-type",
                    "is not above 0, and the sample is a time series",
                    "sample_integrationtime",
                )

    def _first(self, what: str, value: str) -> bool:
        """Whether this is seen for the first time."""
        is_new = (what, value) not in self._once
        self._once.add((what, value))
        return is_new

    def _image(self, name: str) -> str | None:
        """What is wrong with an image, or None; each is looked at once."""
        if name not in self._images:
            kind, self._images[name] = look(self._source, name)
            if kind == "GIF":
                self._report.add("image-gif", "is a GIF", file=name)
        return self._images[name]


def as_text(stream: IO[bytes]) -> io.TextIOWrapper:
    """A table's text as the importer decodes it: UTF-8 behind a BOM, else Latin-1."""
    buffered = io.BufferedReader(stream) if not hasattr(stream, "peek") else stream  # type: ignore[type-var]
    marked = buffered.peek(len(_BOM))[: len(_BOM)] == _BOM
    return io.TextIOWrapper(buffered, encoding="utf-8-sig" if marked else "latin-1", newline="")


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
