"""Small CSV tables with a header: sensors, frames, truth. Every fault names file, row and column.

Not a data frame: columns are lists of text until somebody asks for numbers.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import RecordingError


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file in memory: `columns` by name, each a list of as many cells of text."""

    path: Path
    columns: dict[str, list[str]]
    n_rows: int

    def fault(self, row: int, column: str, problem: str, remedy: str) -> RecordingError:
        """The error for one cell; `row` counts from 0, people count the header as row 1."""
        return RecordingError(problem, file=self.path, field=f"row {row + 2}, column {column}", remedy=remedy)

    def numbers(self, column: str, *, missing: bool = False) -> NDArray[np.float64]:
        """A column as float64 (n_rows,); empty cells and NaN are NaN if allowed to be `missing`."""
        cells = self.columns[column]
        try:
            values = np.array(cells, dtype=np.float64)
        except ValueError:
            values = np.array([self._number(i, column) for i in range(self.n_rows)], dtype=np.float64)
        for row in np.flatnonzero(~np.isfinite(values)):
            if np.isinf(values[row]) or not missing:
                raise self.fault(
                    int(row),
                    column,
                    f"holds {cells[row]!r} where a number is needed",
                    "write the number" if not missing else "write the number, or leave the cell empty",
                )
        return values

    def _number(self, row: int, column: str) -> float:
        text = self.columns[column][row].strip()
        if not text:
            return float("nan")
        try:
            return float(text)
        except ValueError:
            raise self.fault(
                row, column, f"holds {text!r}, which is no number", "use digits and a decimal point"
            ) from None

    def check_rising(self, column: str, values: NDArray[np.float64]) -> None:
        """Refuse a column of times that go back, naming the first row that does."""
        back = np.flatnonzero(np.diff(values) < 0)
        if back.size:
            row = int(back[0]) + 1
            raise self.fault(
                row, column, f"{values[row]:g} comes after {values[row - 1]:g}", "sort the rows by time"
            )


def read_table(path: Path, required: Sequence[str], known: Sequence[str] | None = None) -> Table:
    """Read a CSV file that has a header.

    Parameters
    ----------
    path
        The file, UTF-8, comma separated; blank lines are passed over.
    required
        Columns that must be there.
    known
        All columns that may be there; None when any may.

    Raises
    ------
    RecordingError
        Unreadable, no header, a column missing, unknown or twice there, or a row of another length.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise RecordingError(f"cannot be read ({cause})", file=path, remedy="check the file") from cause
    if not rows:
        raise RecordingError("is empty", file=path, remedy=f"write a header: {','.join(required)}")
    header = [name.strip() for name in rows[0]]
    for name in required:
        if name not in header:
            raise RecordingError(
                "is missing", file=path, field=f"column {name}", remedy=f"the header is {','.join(header)}"
            )
    for i, name in enumerate(header):
        if not name or name in header[:i]:
            raise RecordingError(
                "has no name" if not name else "is there twice",
                file=path,
                field=f"column {name or i + 1}",
                remedy="give every column a name of its own",
            )
        if known is not None and name not in known:
            raise RecordingError(
                "is not known here",
                file=path,
                field=f"column {name}",
                remedy=f"columns are {','.join(known)}",
            )
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise RecordingError(
                f"has {len(row)} cells, the header has {len(header)}",
                file=path,
                field=f"row {number}",
                remedy="complete the row",
            )
    cells = list(zip(*rows[1:], strict=True)) or [()] * len(header)
    return Table(
        path, {name: list(column) for name, column in zip(header, cells, strict=True)}, len(rows) - 1
    )
