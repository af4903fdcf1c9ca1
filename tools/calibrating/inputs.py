"""What a person hands to `seston calibrate` beside pictures: tables and numbers, each fault in a sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from edge.errors import InputError
from edge.tables import read_table
from tools.calibrating.reference import Reference
from tools.calibrating.sheet import mean_thickness, measure_sheet


def measured_sheet(
    sheet: Path, edge: float, remarks: list[str]
) -> tuple[float, float | None, list[dict[str, float | str]]]:
    """Thickness, its standard error, and a row a place."""
    if not 0.05 <= edge <= 0.95:
        raise InputError(f"is {edge:g}", field="--edge", remedy="give a share of the light from 0.05 to 0.95")
    table = read_table(sheet, ("position_mm", "light"), ("position_mm", "light", "place"))
    position, light = table.numbers("position_mm"), table.numbers("light")
    places = np.array(table.columns.get("place", [""] * table.n_rows))
    sheets = {
        str(place): measure_sheet(position[places == place], light[places == place], edge, file=str(sheet))
        for place in dict.fromkeys(places.tolist())
    }
    if not sheets:
        raise InputError("has no rows", file=sheet, remedy="write position_mm and light, a row a position")
    thickness, se = mean_thickness(sheets)
    values = [one.thickness_mm for one in sheets.values()]
    if len(sheets) == 1:
        remarks.append("Measured at one place: nobody knows how much the thickness differs over the view.")
    elif max(values) > 1.3 * min(values):
        remarks.append(
            f"The sheet is {min(values):.1f} to {max(values):.1f} mm thick over the view: align it."
        )
    rows: list[dict[str, float | str]] = [
        {"place": place or "-", "thickness_mm": one.thickness_mm, "equivalent_mm": one.equivalent_mm}
        for place, one in sheets.items()
    ]
    return thickness, None if math.isnan(se) else se, rows


def listed_beads(sources: Sequence[Path], esd_um: Sequence[float]) -> list[tuple[Path, float, float]]:
    """Recordings with diameter and what is left open of it, from the command or a table."""
    if len(sources) == 1 and sources[0].suffix.lower() == ".csv":
        if esd_um:
            raise click.UsageError("the table gives the diameters: leave --esd-um out")
        table = read_table(sources[0], ("recording", "esd_um"), ("recording", "esd_um", "esd_sd_um"))
        diameters = table.numbers("esd_um")
        sd = table.numbers("esd_sd_um") if "esd_sd_um" in table.columns else 0 * diameters
        names = [sources[0].parent / name for name in table.columns["recording"]]
        listed = list(zip(names, diameters.tolist(), sd.tolist(), strict=True))
    elif len(sources) != len(esd_um):
        raise click.UsageError(f"{len(sources)} recordings and {len(esd_um)} --esd-um: give one for each")
    else:
        listed = [(path, value, 0.0) for path, value in zip(sources, esd_um, strict=True)]
    if not listed:
        raise InputError("has no rows", file=sources[0], remedy="write recording and esd_um, a row a size")
    for path, value, sd_um in listed:
        if not (math.isfinite(value) and value > 0 and 0 <= sd_um < value / 2):
            raise InputError(
                f"is {value:g} um, known to {sd_um:g} um", file=path, field="esd_um",
                remedy="give the beads' diameter in um, as their certificate has it",
            )  # fmt: skip
    return listed


def read_reference(file: Path) -> Reference:
    """What a reference instrument counted, from its table."""
    table = read_table(
        file, ("esd_min_um", "esd_max_um"),
        ("esd_min_um", "esd_max_um", "concentration_per_l", "count", "volume_l"),
    )  # fmt: skip
    columns = set(table.columns)
    if not ("concentration_per_l" in columns or {"count", "volume_l"} <= columns):
        raise InputError(
            "has neither concentration_per_l nor count and volume_l", file=file, field="header",
            remedy="add what the reference counted",
        )  # fmt: skip
    lower, upper = table.numbers("esd_min_um"), table.numbers("esd_max_um")
    count = table.numbers("count") if "count" in columns else np.full(table.n_rows, math.inf)
    if "concentration_per_l" in columns:
        per_l = table.numbers("concentration_per_l")
    else:
        litres = table.numbers("volume_l")
        for empty in np.flatnonzero(litres <= 0).tolist():
            raise table.fault(empty, "volume_l", f"holds {litres[empty]:g}", "write litres above 0")
        per_l = count / litres
    for row in range(table.n_rows):
        if not 0 < lower[row] < upper[row]:
            raise table.fault(
                row,
                "esd_max_um",
                f"{upper[row]:g} does not follow {lower[row]:g}",
                "write um, the larger second",
            )
        if row and lower[row] < upper[row - 1]:
            raise table.fault(
                row,
                "esd_min_um",
                f"{lower[row]:g} lies in the class before",
                "sort classes that do not overlap",
            )
        if per_l[row] < 0 or count[row] < 0:
            raise table.fault(row, "concentration_per_l", "is below 0", "write what was counted")
    return Reference(lower, upper, per_l, count)


def two_numbers(text: str, option: str) -> tuple[int, int]:
    """`11x8` as 11 and 8."""
    match = re.fullmatch(r"([0-9]{1,5})\s*[x×]\s*([0-9]{1,5})", text.strip())
    if match is None or not (int(match[1]) and int(match[2])):
        raise InputError(f"is {text!r}", field=option, remedy="give two whole numbers, such as 11x8")
    return int(match[1]), int(match[2])


def positive(value: float, option: str) -> None:
    """Refuse what is no number above 0."""
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"is {value:g}", field=option, remedy="give a number above 0")
