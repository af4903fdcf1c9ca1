"""The images of a sequence as a UVP6 writes them: `_data.txt`, and `particules.csv` of a Particule.zip.

A line HW_CONF, one ACQ_CONF, perhaps one TAXO_CONF, then a row an image::

    20220518-042127-468,1.68,31.75,1:1,3079,31.8,10.4;2,424,39.9,17.4;
    20210428-134956-1,-0.05,21.38,1:OVER_EXPOSED,22.2%;
    TAXO:2,13,19738,91,13,4633,105;

time, pressure (dbar) or nan, temperature inside the instrument (C), lit or not, then of each area (px) its
particles, mean and spread of their grey; a TAXO line belongs to the row above it. Firmware of 2021 and before
leaves lines blank between them. Lines are kept as they were written, so that writing gives the same bytes.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.uvp6.lines import Configuration, Generation, read_configuration
from tools.shore.uvp6_project.texts import instant, number

CONFIGURATIONS = ("HW_CONF", "ACQ_CONF", "TAXO_CONF")
OVER_EXPOSED, EMPTY_IMAGE, TAXO = "OVER_EXPOSED", "EMPTY_IMAGE", "TAXO"
_WHOLE, _REAL = r"[0-9]{1,9}", r"[0-9]{1,6}(?:\.[0-9]{1,6})?"
_BLOCK = f"{_WHOLE},{_WHOLE},{_REAL},{_REAL}"
_BODY = re.compile(f"{_BLOCK}(?:;{_BLOCK})*")


class ImageRow(NamedTuple):
    """One image: number of its line, and texts as they stand; `taxo` is what follows ``TAXO:``, or None."""

    line: int
    time: str
    pressure: str
    temperature: str
    light: str
    body: str
    taxo: str | None = None

    @property
    def is_lit(self) -> bool:
        """Whether the light was on."""
        return self.light == "1"


class BadLine(NamedTuple):
    """A line that cannot be used: its number, its text, what is wrong, and whether it is an image's."""

    line: int
    text: str
    problem: str
    is_image: bool


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Particles of an image by area.

    Attributes
    ----------
    area_px, count
        Areas, rising, and how many of each, int64 (n,).
    mean_grey, sd_grey
        Of their pixels, float64 (n,).
    """

    area_px: NDArray[np.int64]
    count: NDArray[np.int64]
    mean_grey: NDArray[np.float64]
    sd_grey: NDArray[np.float64]

    @property
    def columns(self) -> tuple[NDArray[Any], ...]:
        """Area, count, mean and spread of the grey."""
        return self.area_px, self.count, self.mean_grey, self.sd_grey


NO_PARTICLES = Spectrum(
    np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DataFile:
    """Images of a sequence, or of a part of it.

    Attributes
    ----------
    configurations
        The lines HW_CONF, ACQ_CONF and TAXO_CONF by kind, those that are there, without the `;` at their end.
    rows
        Images in the order of capture.
    bad
        Lines that cannot be used. They are kept, and are written again where they stood.
    blank_after
        Kinds of lines that a blank line follows: the configurations', and `row`.
    newline
        What lines end in.
    """

    configurations: dict[str, str]
    rows: tuple[ImageRow, ...]
    bad: tuple[BadLine, ...] = ()
    blank_after: frozenset[str] = frozenset()
    newline: str = "\n"

    @property
    def generation(self) -> Generation | None:
        """Of the firmware, told by the length of HW_CONF; None for one that is not known here."""
        found = self.configuration("HW_CONF")
        return None if isinstance(found, str) else found.generation

    def configuration(self, kind: str) -> Configuration | str:
        """A configuration by the vendor's names, or a sentence on why it cannot be read."""
        line = self.configurations.get(kind)
        if line is None:
            return f"there is no {kind} line"
        if kind != "ACQ_CONF":
            return read_configuration(line)
        return read_configuration(line, self.generation)


def read_data(text: str) -> DataFile:
    """Read a file; lines that are neither configuration nor image are in `bad`."""
    configurations: dict[str, str] = {}
    rows: list[ImageRow] = []
    bad: list[BadLine] = []
    blank_after: set[str] = set()
    last = ""
    for at, raw in enumerate(text.rstrip().split("\n"), start=1):
        line = raw.strip()
        if not line:
            blank_after |= {last} - {""}
            continue
        kind = line.removesuffix(";").partition(",")[0].lstrip("$")
        if kind in CONFIGURATIONS and kind not in configurations:
            configurations[kind] = line.removesuffix(";").lstrip("$")
            last = kind
            continue
        last = "row"
        if line.startswith(f"{TAXO}:"):
            problem = _problem_of_taxo(line)
            is_behind_bad = bool(bad) and (not rows or bad[-1].line > rows[-1].line)
            if problem or not rows or rows[-1].taxo is not None or is_behind_bad:
                problem = problem or "is a TAXO line without an image of its own above it"
                bad.append(BadLine(at, line, problem, is_image=False))
            else:
                rows[-1] = rows[-1]._replace(taxo=line[len(TAXO) + 1 : -1])
            continue
        found = _read_row(at, line)
        if isinstance(found, ImageRow):
            rows.append(found)
        else:
            bad.append(BadLine(at, line, found, is_image=line[:1].isdigit()))
    newline = "\r\n" if "\r\n" in text else "\n"
    return DataFile(configurations, tuple(rows), tuple(bad), frozenset(blank_after), newline)


def write_data(data: DataFile) -> str:
    """The file's text; reading it gives `data` again, numbers of lines apart."""
    lines: list[str] = []

    def add(kind: str, *texts: str) -> None:
        lines.extend(texts)
        if kind in data.blank_after:
            lines.append("")

    for kind in CONFIGURATIONS:
        if kind in data.configurations:
            add(kind, f"{data.configurations[kind]};")
    bad = list(reversed(data.bad))
    for row in data.rows:
        while bad and bad[-1].line < row.line:
            add("row", bad.pop().text)
        add("row", f"{row.time},{row.pressure},{row.temperature},{row.light}:{row.body};")
        if row.taxo is not None:
            add("row", f"{TAXO}:{row.taxo};")
    for one in reversed(bad):
        add("row", one.text)
    while lines and not lines[-1]:
        lines.pop()
    return "".join(line + data.newline for line in lines)


def _read_row(at: int, line: str) -> ImageRow | str:
    """An image, or why the line is none."""
    if not line.endswith(";"):
        return "does not end in ;, as if the file had been copied only in part"
    head, _, body = line[:-1].partition(":")
    cells = head.split(",")
    if len(cells) != 4:
        perhaps = " (perhaps with commas in its numbers)" if len(cells) > 4 else ""
        return f"has {len(cells)} values before the colon{perhaps}, and not time,pressure,temperature,light"
    moment = instant(cells[0])
    if isinstance(moment, str):
        return moment
    for what, text in (("pressure", cells[1]), ("temperature", cells[2])):
        if number(text) is None and text.strip().lower() != "nan":
            return f"holds {text!r} where its {what} should be"
    if cells[3] not in ("0", "1"):
        return f"holds {cells[3]!r} where 1 says that it was lit, and 0 that it was not"
    if not (body.startswith(OVER_EXPOSED) or body == EMPTY_IMAGE or _BODY.fullmatch(body)):
        return "is not a list of area,count,mean,sd"
    return ImageRow(at, cells[0], cells[1], cells[2], cells[3], body)


def _problem_of_taxo(line: str) -> str:
    """What is wrong with a line ``TAXO:n,(class,volume,grey)*;``, or nothing."""
    if not line.endswith(";"):
        return "does not end in ;, as if the file had been copied only in part"
    cells = line[len(TAXO) + 1 : -1].split(",")
    if not all(re.fullmatch(_WHOLE, cell) for cell in cells):
        return "is not whole numbers: how many objects, then class, volume and grey of each"
    if len(cells) != 1 + 3 * int(cells[0]):
        return f"says {int(cells[0])} objects and lists {(len(cells) - 1) / 3:g}"
    return ""


def spectrum_of(body: str) -> Spectrum | str | None:
    """Particles of an image by area; None when it was over-exposed; a sentence when it is no histogram."""
    if body.startswith(OVER_EXPOSED):
        return None
    if body == EMPTY_IMAGE:
        return NO_PARTICLES
    if not _BODY.fullmatch(body):
        return "is not a list of area,count,mean,sd"
    table = np.array(body.replace(";", ",").split(","), dtype=np.float64).reshape(-1, 4)
    area, count = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
    if area[0] < 1 or (np.diff(area) <= 0).any():
        return "is not a list of area,count,mean,sd with rising areas"
    return Spectrum(area, count, table[:, 2], table[:, 3])


def body_of(spectrum: Spectrum) -> str:
    """A histogram as the UVP6 writes it: greys with one decimal."""
    columns = (column.tolist() for column in spectrum.columns)
    parts = (f"{area},{count},{mean:.1f},{sd:.1f}" for area, count, mean, sd in zip(*columns, strict=True))
    return ";".join(parts) or EMPTY_IMAGE


def parse_head(row: ImageRow) -> tuple[float, float, float]:
    """UTC in s since 1970, pressure in dbar and temperature in C (or NaN) of an image that was read."""
    moment = instant(row.time)
    assert not isinstance(moment, str)
    pressure, temperature = (
        math.nan if value is None else value for value in map(number, (row.pressure, row.temperature))
    )
    return moment[0].timestamp(), pressure, temperature


def taxo_of(row: ImageRow) -> list[tuple[int, int, int]]:
    """Class, volume (px3) and mean grey of each object of an image."""
    cells = [int(cell) for cell in (row.taxo or "0").split(",")[1:]]
    return [(cells[i], cells[i + 1], cells[i + 2]) for i in range(0, len(cells), 3)]
