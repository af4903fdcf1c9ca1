"""What science can have of a dive that is known from its messages alone: counts by size class and taxon."""

from __future__ import annotations

import math

import numpy as np

from edge.frame import SIZED_OUTCOMES, Phase
from edge.optics import Optics
from edge.quantification import EstimatedCounts
from edge.telemetry.decoded import DecodedDive
from edge.telemetry.summary import Quantity
from tools.shore.dives import MessageDive
from tools.shore.report.curves import Curves, curves_of, pool_starts, reading_width_dbar
from tools.shore.science.layers import Layer, Scope, SeenDive
from tools.shore.science.reading import Options
from tools.shore.science.spectra import Particles

CANNOT = (
    "Only messages are at hand: each particle is taken for the geometric mean of its size class, and the "
    "open last class is left out.",
    "From messages there is no biovolume or carbon of taxa, no morphospace, no orientation and no table of "
    "frames: these need the dive's log.",
)


def from_messages(told: MessageDive, options: Options | None = None) -> SeenDive:
    """Everything that the messages of a dive tell."""
    dive, options = told.decoded, options or Options()
    optics = dive.codebook.optics
    least_um = float(optics.esd_um(options.min_area_px))
    limits = np.array(optics.size_class_limits_um)
    return SeenDive(
        name=f"{dive.codebook.platform or 'dive'} {dive.dive_number}",
        number=dive.dive_number,
        platform=dive.codebook.platform,
        started_ms=told.started_ms,
        latitude_deg=told.place.latitude_deg,
        longitude_deg=told.place.longitude_deg,
        optics=optics,
        taxa=dive.codebook.taxa,
        layers=_layers(dive, options.layer_dbar, least_um) or _whole(dive, least_um),
        least_um=least_um,
        edges_um=limits[limits >= least_um],
        named=None,
        corrected=_corrected(dive),
        cannot=(*CANNOT, *told.remarks),
    )


def _layers(dive: DecodedDive, width_dbar: int | None, least_um: float) -> tuple[Layer, ...]:
    """Layers in which both sizes and taxa are known; a cell that was sent is never made finer."""
    curves = curves_of(dive)
    width = width_dbar or reading_width_dbar(curves.taxa)
    found = []
    for phase in Phase:
        if phase not in curves.spectrum or phase not in curves.taxa:
            continue
        sizes, taxa = curves.spectrum[phase], curves.taxa[phase]
        wanted = np.arange(sizes.n_bins)
        if phase is not Phase.PARK and width is not None:
            wanted = pool_starts(sizes.edges, width)
        cells = [one.first == np.arange(one.n_bins)[:, None] for one in (sizes, taxa)]
        shared = np.intersect1d(wanted, np.flatnonzero(np.all([one.all(axis=1) for one in cells], axis=0)))
        for start, stop in zip(shared.tolist(), [*shared[1:].tolist(), sizes.n_bins], strict=True):
            counted, litres = _sums(sizes, start, stop)
            named, named_l = _sums(taxa, start, stop)
            if counted is None or named is None:
                continue
            scope = Scope(phase, float(sizes.edges[start]), float(sizes.edges[stop]), True)
            found.append(
                Layer(
                    scope, round(litres / (dive.codebook.optics.image_volume_ul / 1e6)),
                    _particles(dive.codebook.optics, counted, litres, least_um),
                    int(named.sum()), 0, named_l, named,
                )
            )  # fmt: skip
    return tuple(found)


def _sums(curves: Curves, start: int, stop: int) -> tuple[np.ndarray | None, float]:
    """Counts of bins [start, stop) by column, and the water; None where one of them is not known."""
    own = curves.first[start:stop] == np.arange(start, stop)[:, None]
    counts, volume = curves.counts[start:stop], curves.volume_l[start:stop]
    if not (np.isfinite(counts[own]).all() and np.isfinite(volume[own]).all()):
        return None, math.nan
    litres = float(np.where(own, volume, 0)[:, 0].sum()) if counts.shape[1] else math.nan
    return np.where(own, counts, 0).sum(axis=0).round().astype(np.int64), litres


def _whole(dive: DecodedDive, least_um: float) -> tuple[Layer, ...]:
    """The dive as one layer, where totals alone came; of frames that are not known, no water and no count."""
    sizes, is_known = dive.totals(Quantity.SIZES)
    taxa, _ = dive.totals(Quantity.TAXA)
    outcomes, frames_known = dive.totals(Quantity.FRAMES)
    if not frames_known:
        outcomes, is_known, taxa = np.zeros_like(outcomes), False, np.zeros_like(taxa)
    n = int(sum(outcomes[one] for one in SIZED_OUTCOMES))
    litres = n * dive.codebook.optics.image_volume_ul / 1e6
    counted = sizes if is_known else np.zeros_like(sizes)
    sized = _particles(dive.codebook.optics, counted, litres if is_known else 0.0, least_um)
    return (Layer(Scope(None), n, sized, int(taxa.sum()), 0, litres, taxa),)


def _particles(optics: Optics, counted: np.ndarray, litres: float, least_um: float) -> Particles:
    """Particles at the geometric means of their classes, of those that hold no noise and are not open."""
    limits = np.array(optics.size_class_limits_um)
    taken = limits[:-1] >= least_um
    return Particles(np.sqrt(limits[:-1] * limits[1:])[taken], counted[:-1][taken], litres)


def _corrected(dive: DecodedDive) -> EstimatedCounts | None:
    found = dive.corrected()
    if found is None or not found[1].all():
        return None
    count, low, high = found[0]
    return EstimatedCounts(count, low, high)
