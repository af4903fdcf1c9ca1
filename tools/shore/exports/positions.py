"""Where dives were, as a table that a person writes."""

from __future__ import annotations

import csv
from pathlib import Path

from edge.errors import InputError
from tools.shore.dives import Place


def read_positions(path: Path) -> dict[str, Place]:
    """Place by sample of a CSV with the columns sample, lat, lon; raises `InputError` by row and column."""
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as cause:
        raise InputError(f"cannot be read ({cause})", file=path, remedy="check the path") from cause
    places = {}
    for number, row in enumerate(rows, start=2):
        for name, most in (("sample", None), ("lat", 90.0), ("lon", 180.0)):
            text = (row.get(name) or "").strip()
            try:
                is_right = bool(text) if most is None else abs(float(text)) <= most
            except ValueError:
                is_right = False
            if not is_right:
                raise InputError(f"is {text!r}", file=path, field=f"row {number}: {name}",
                                 remedy="give sample, lat and lon in degrees, with a point")  # fmt: skip
        places[row["sample"].strip()] = Place(float(row["lat"]), float(row["lon"]))
    return places
