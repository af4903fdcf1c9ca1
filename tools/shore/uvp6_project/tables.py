"""Tables of a project, as text cells: the header of samples (`meta/*header*.txt`), CTD casts, EcoPart's TSV.

Cells are kept as they stand; what they mean, and whether they may, is judged elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tools.shore.uvp6_project.texts import decode, encode

HEADER_COLUMNS = (
    "cruise", "ship", "filename", "profileid", "bottomdepth", "ctdrosettefilename", "latitude", "longitude",
    "firstimage", "volimage", "aa", "exp", "dn", "winddir", "windspeed", "seastate", "nebuloussness",
    "comment", "endimg", "yoyo", "stationid", "sampletype", "integrationtime", "argoid", "pixelsize",
    "sampledatetime", "constantdepth",
)  # fmt: skip
CTD_PRESSURE, CTD_TIME = "pressure [db]", "time [yyyymmddhhmmssmmm]"
CTD_TEMPERATURE, CTD_SALINITY = "temperature [degc]", "practical salinity [psu]"


@dataclass(frozen=True, slots=True)
class TextTable:
    """Rows of cells under a header.

    Attributes
    ----------
    columns
        Names as they stand in the file, without blanks around them.
    rows
        Cells, as many as the row has.
    lines
        Number of each row's line in the file; the header is on line 1.
    separator, newline, encoding
        Of the file.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    separator: str
    newline: str = "\n"
    encoding: str = "latin-1"

    def record(self, row: int) -> dict[str, str]:
        """Cells of a row by column in lower case; those that it lacks are not there."""
        cells = (cell.strip() for cell in self.rows[row])
        return dict(zip((name.lower() for name in self.columns), cells, strict=False))

    def records(self) -> list[dict[str, str]]:
        """All rows."""
        return [self.record(i) for i in range(len(self.rows))]


def make_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], separator: str, *, newline: str = "\n"
) -> TextTable:
    """A table that was not read from a file."""
    cells = tuple(tuple(row) for row in rows)
    return TextTable(tuple(columns), cells, tuple(range(2, len(cells) + 2)), separator, newline)


def read_text_table(data: bytes, separator: str) -> TextTable:
    """Read a table; blank lines are passed over."""
    text, encoding = decode(data)
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = [(at, line.rstrip("\r")) for at, line in enumerate(text.split("\n"), start=1) if line.strip()]
    columns = tuple(name.strip() for name in lines[0][1].split(separator)) if lines else ()
    return TextTable(
        columns,
        tuple(tuple(line.split(separator)) for _, line in lines[1:]),
        tuple(at for at, _ in lines[1:]),
        separator,
        newline,
        "latin-1" if encoding == "utf-8" and text.isascii() else encoding,
    )


def write_text_table(table: TextTable) -> bytes:
    """The file."""
    lines = [table.columns, *table.rows]
    text = "".join(table.separator.join(cells) + table.newline for cells in lines)
    return encode(text, table.encoding)


def shape_faults(table: TextTable, place: str) -> list[str]:
    """A sentence on each row without as many cells as the header, and on columns that are there twice."""
    faults = [
        f"{place}: line {line}: has {len(row)} cells, the header has {len(table.columns)}; complete the row."
        for line, row in zip(table.lines, table.rows, strict=True)
        if len(row) != len(table.columns)
    ]
    count = Counter(name.lower() for name in table.columns)
    twice = sorted(name for name, n in count.items() if n > 1 and name)
    return [*faults, *(f"{place}: column {name}: is there twice; take one away." for name in twice)]
