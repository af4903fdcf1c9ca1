"""What the recovered log changes of what the messages said, cell by cell; and of a file made before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.frame import Phase
from edge.telemetry.decoded import DecodedDive, DecodedTable
from edge.telemetry.summary import Quantity
from tools.shore.exports.tables import TABLES, DiveTables, Floats, PhaseTables

_WEIGHTS = {Quantity.GREY: Quantity.SIZES, Quantity.ESD: Quantity.TAXA, Quantity.TEMPERATURE: Quantity.FRAMES}
_SLACK = 1e-6
"""Of a limit: what the arithmetic of means may be off."""


@dataclass(frozen=True, slots=True)
class Change:
    """One variable.

    Attributes
    ----------
    variable
        As the netCDF file calls it.
    cells
        Cells that the messages had.
    changed
        Those whose number is another now.
    largest, typical
        Largest and median absolute difference of all these cells, in the variable's unit.
    outside
        Those whose true number lies outside the uncertainty that was stated, in words.
    new
        Samples that the messages did not have.
    """

    variable: str
    cells: int
    changed: int
    largest: float
    typical: float
    outside: tuple[str, ...]
    new: int

    def sentence(self, most: int = 5) -> str:
        """For people, with at most so many of the cells that lie outside."""
        if not self.cells:
            return f"{self.variable}: the messages had no cell of it, {self.new:,} numbers are new"
        told = (
            f"{self.variable}: {self.cells:,} cells, {self.changed:,} changed, largest difference "
            f"{self.largest:.4g}, typical {self.typical:.4g}, outside the stated uncertainty "
            f"{len(self.outside) or 'none'}"
        )
        if self.outside:
            more = len(self.outside) - most
            told += f" ({'; '.join(self.outside[:most])}{f'; and {more} more' if more > 0 else ''})"
        return told + (f"; {self.new:,} numbers are new" if self.new else "")


def compare(said: DecodedDive, dive: DiveTables, names: dict[Quantity, str]) -> list[Change]:
    """Compare what messages said with what the log holds, by quantity in the order of `names`."""
    now = {phase.phase: phase for phase in dive.phases}
    found = []
    for quantity in (one for one in names if one in TABLES):
        differences: list[Floats] = []
        outside: list[str] = []
        new = 0
        for gone in (one for one in said.phases.values() if one.phase not in now):
            if quantity in gone.tables:
                differences.append(np.full(len(gone.tables[quantity].column), np.nan))
                outside.append(f"{gone.phase.name.lower()}: it is not in the log")
        for phase in now.values():
            if quantity not in phase.cells:
                continue
            before = said.phases.get(phase.phase)
            table = None if before is None else before.tables.get(quantity)
            known = np.zeros(phase.cells[quantity].values.shape, dtype=np.bool_)
            if table is not None:
                some, where = _of_table(table, phase)
                differences.append(some)
                outside += where
                for column, first, last in zip(table.column, table.first, table.last, strict=True):
                    known[first:last, column] = True
            new += int((~known & np.isfinite(phase.cells[quantity].values)).sum())
        all_of_them = np.concatenate(differences) if differences else np.zeros(0)
        if all_of_them.size or new:
            found.append(_change(names[quantity], all_of_them, outside, new))
    return found


def compare_files(path: Path, data: Any, variables: Sequence[str]) -> tuple[str, ...]:
    """What an `xarray.Dataset` of profiles changes of a file with profiles of the same dive, by variable.

    Samples are met by phase and bin.
    """
    import xarray as xr

    with xr.open_dataset(path, engine="h5netcdf") as there:
        before = there.load()
    old, new = ({one: i for i, one in enumerate(_bins(part))} for part in (before, data))
    both = [one for one in old if one in new]
    told = [f"{len(new) - len(both):,} bins are new, {len(old) - len(both):,} are gone"]
    for name in (one for one in variables if one in before and one in data):
        if before[name].shape[1:] != data[name].shape[1:]:
            told.append(f"{name}: has other columns")
            continue
        was = before[name].values[[old[one] for one in both]]
        now = data[name].values[[new[one] for one in both]]
        n = int((~np.isclose(was, now, rtol=_SLACK, equal_nan=True)).sum())
        told.append(f"{name}: {was.size:,} numbers, {n:,} changed")
    return tuple(told)


def _bins(data: Any) -> list[tuple[int, float, float]]:
    if "PRES_bounds" not in data:
        return []
    edges = data["PRES_bounds"].values.tolist()
    return [(int(phase), *ends) for phase, ends in zip(data["phase"].values, edges, strict=True)]


def _change(name: str, differences: Floats, outside: list[str], new: int) -> Change:
    size = np.abs(differences[np.isfinite(differences)])
    return Change(
        name, int(differences.size), int((size > _SLACK).sum() + np.isnan(differences).sum()),
        float(size.max(initial=0.0)), float(np.median(size)) if size.size else 0.0, tuple(outside), new,
    )  # fmt: skip


def _of_table(table: DecodedTable, phase: PhaseTables) -> tuple[Floats, list[str]]:
    """Now less before of every cell (NaN where only one of them is a number), and those outside."""
    low, high = table.limits()
    before = table.values()
    differences = np.full(len(before), np.nan)
    outside = []
    for i, value in enumerate(before.tolist()):
        column, first, last = int(table.column[i]), int(table.first[i]), int(table.last[i])
        now = _number(phase, table.quantity, column, first, last)
        if np.isnan(value) and np.isnan(now):
            differences[i] = 0.0
            continue
        differences[i] = now - value
        slack = _SLACK * max(1.0, abs(value))
        if not low[i] - slack <= now <= high[i] + slack:
            place = f"{phase.phase.name.lower()} {_edges(table, phase, first, last)}"
            outside.append(f"{place} {table.names[column]}: {value:.6g}, now {now:.6g}")
    return differences, outside


def _number(phase: PhaseTables, quantity: Quantity, column: int, first: int, last: int) -> float:
    """What the log has of a cell; bins that it does not have hold nothing."""
    values = phase.cells[quantity].values[first:last, column]
    if not quantity.is_mean:
        return float(np.nansum(values))
    weights = phase.cells[_WEIGHTS[quantity]].values[first:last]
    weight = weights.sum(axis=1) if quantity is Quantity.TEMPERATURE else weights[:, column]
    there = np.isfinite(values) & (weight > 0)
    return float(np.average(values[there], weights=weight[there])) if there.any() else float("nan")


def _edges(table: DecodedTable, phase: PhaseTables, first: int, last: int) -> str:
    unit = "s" if phase.phase is Phase.PARK else "dbar"
    if last > phase.n:
        return f"bins {first + 1} to {last} of {table.n_bins}"
    return f"{phase.edges[first]}-{phase.edges[last]} {unit}"
