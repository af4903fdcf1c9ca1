"""How a host reduces blocs to depth slices, after the vendor's specification, section 7. Pure.

Time and place are the first bloc's; images, particles and objects are summed; pressure and temperature are
means of blocs; grey and volume are means weighted by objects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from firmware_bridge.uvp6.lines import N_CLASSES, BlackFrame, Instant, LpmFrame, TaxoFrame

_Item = TypeVar("_Item")

LPM_SLICES_DBAR = ((0.0, 0.0), (2.0, 5.0), (100.0, 10.0), (500.0, 20.0))
"""(from this pressure, height of a slice): raw to 2 dbar, then coarser."""
TAXO_SLICES_DBAR = ((0.0, 0.0), (2.0, 5.0), (100.0, 10.0), (500.0, 20.0), (1000.0, 40.0))


@dataclass(frozen=True, slots=True)
class LpmSlice:
    """Blocs of one slice, as LPM frames have them; greys are means, 0 of a class without particles."""

    pressure_dbar: float
    at: Instant
    n_images: int
    temperature_c: float
    counts: tuple[int, ...]
    greys: tuple[float, ...]
    n_blocs: int


@dataclass(frozen=True, slots=True)
class TaxonSlice:
    """Objects of one class in one slice: how many, their mean volume in px3, and their mean grey."""

    taxon: int
    count: int
    volume_px3: float
    grey: float


@dataclass(frozen=True, slots=True)
class TaxoSlice:
    """Classified objects of one slice; pressure and time are those of the LPM frames they came before."""

    pressure_dbar: float
    at: Instant
    n_images: int
    taxa: tuple[TaxonSlice, ...]


def slice_of(pressure_dbar: float, table: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """Both ends of the slice that a pressure lies in, dbar; None where every bloc is a slice of its own."""
    if math.isnan(pressure_dbar):
        return None
    begins, height = next((row for row in reversed(table) if pressure_dbar >= row[0]), table[0])
    if not height:
        return None
    n = int((pressure_dbar - begins) / height)
    return begins + n * height, begins + (n + 1) * height


def lpm_slices(
    frames: Iterable[LpmFrame], table: Sequence[tuple[float, float]] = LPM_SLICES_DBAR
) -> Iterator[LpmSlice]:
    """Slices in the order of capture; a change of slice, down or up, begins a new one."""
    for held in _grouped(frames, lambda frame: frame.pressure_dbar, table):
        yield reduce_lpm(held)


def taxo_slices(
    pairs: Iterable[tuple[TaxoFrame, LpmFrame]], table: Sequence[tuple[float, float]] = TAXO_SLICES_DBAR
) -> Iterator[TaxoSlice]:
    """Slices of TAXO frames with the LPM frame that followed each, which alone has pressure and time."""
    for held in _grouped(pairs, lambda pair: pair[1].pressure_dbar, table):
        n_images, taxa = reduce_taxa([taxo for taxo, _ in held])
        yield TaxoSlice(_mean([lpm.pressure_dbar for _, lpm in held]), held[0][1].at, n_images, taxa)


def _grouped(
    items: Iterable[_Item], pressure_of: Callable[[_Item], float], table: Sequence[tuple[float, float]]
) -> Iterator[list[_Item]]:
    held: list[_Item] = []
    place = None
    for item in items:
        at = slice_of(pressure_of(item), table)
        if held and (at is None or at != place):
            yield held
            held = []
        held.append(item)
        place = at
    if held:
        yield held


def reduce_lpm(frames: Sequence[LpmFrame]) -> LpmSlice:
    """One slice of at least one bloc."""
    counts = [sum(frame.counts[i] for frame in frames) for i in range(N_CLASSES)]
    greys = [
        sum(frame.counts[i] * frame.greys[i] for frame in frames) / counts[i] if counts[i] else 0.0
        for i in range(N_CLASSES)
    ]
    return LpmSlice(
        _mean([frame.pressure_dbar for frame in frames]), frames[0].at,
        sum(frame.n_images for frame in frames), _mean([frame.temperature_c for frame in frames]),
        tuple(counts), tuple(greys), len(frames),
    )  # fmt: skip


def reduce_taxa(frames: Sequence[TaxoFrame]) -> tuple[int, tuple[TaxonSlice, ...]]:
    """Images, and the classes that occur, rising."""
    found: dict[int, list[int]] = {}
    for frame in frames:
        for one in frame.objects:
            sums = found.setdefault(one.taxon, [0, 0, 0])
            sums[0] += 1
            sums[1] += one.volume_px3
            sums[2] += one.grey
    taxa = tuple(
        TaxonSlice(taxon, n, volume / n, grey / n) for taxon, (n, volume, grey) in sorted(found.items())
    )
    return sum(frame.n_images for frame in frames), taxa


def reduce_black(frames: Sequence[BlackFrame]) -> tuple[int, tuple[int, ...]]:
    """Images and counts of noise."""
    counts = tuple(sum(frame.counts[i] for frame in frames) for i in range(N_CLASSES))
    return sum(frame.n_images for frame in frames), counts


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
