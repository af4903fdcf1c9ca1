"""What science can have of a dive that is known from its messages alone: counts by size class and taxon."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path

import numpy as np

from edge.errors import InputError, MessageError
from edge.frame import SIZED_OUTCOMES, Phase
from edge.optics import Optics
from edge.quantification import EstimatedCounts
from edge.telemetry.decoded import DecodedDive
from edge.telemetry.summary import Quantity
from tools.shore.decode import CLIMATOLOGIES, CODEBOOKS, SUFFIXES, read_messages
from tools.shore.receiving.products import known_files
from tools.shore.report.curves import Curves, pool_starts, reading_width_dbar, shore_curves
from tools.shore.science.layers import Layer, Scope, SeenDive
from tools.shore.science.reading import Options, number
from tools.shore.science.spectra import Particles

CANNOT = (
    "Only messages are at hand: each particle is taken for the geometric mean of its size class, and the "
    "open last class is left out.",
    "From messages there is no biovolume or carbon of taxa, no morphospace, no orientation and no table of "
    "frames: these need the dive's log.",
)


def find_messages(folder: Path) -> Path | None:
    """Where the messages of a dive lie: its folder, or ``messages`` in it; None where there are none."""
    for place in (folder, folder / "messages"):
        if place.is_dir() and any(file.suffix.lower() in SUFFIXES for file in place.iterdir()):
            return place
    return None


def decode_folder(folder: Path) -> tuple[DecodedDive, tuple[str, ...]]:
    """The one dive whose messages lie in a folder, and remarks; codebooks may lie above it.

    Raises `InputError` where there is no message, or several dives, and `MessageError` where none can be.
    """
    place = find_messages(folder)
    if place is None:
        raise InputError(
            "has neither a dive.sqlite nor messages", file=folder, remedy="name the folder of a dive"
        )
    decoding, refused = read_messages(
        [place], known_files(place, CODEBOOKS), known_files(place, CLIMATOLOGIES)
    )
    if len(decoding.dives) > 1:
        numbers = ", ".join(str(one.dive_number) for one in decoding.dives)
        raise MessageError(
            f"holds messages of dives {numbers}", file=place, remedy="put each dive into a folder of its own"
        )
    dive = decoding.dives[0]
    said = [f"{sentence[0].upper()}{sentence[1:]}." for sentence in (dive.missing_sentence(),) if sentence]
    said += [f"{len(refused)} files were not used: {refused[0][0].name} {refused[0][1]}"] if refused else []
    return dive, tuple(said)


def session_of(folder: Path) -> tuple[int | None, float | None, float | None]:
    """Time (UTC ms), latitude and longitude of the first session that the network tells of, or None."""
    place = find_messages(folder)
    found: list[tuple[int, float | None, float | None]] = []
    for file in sorted(place.glob("*.json")) if place else []:
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            moment = datetime.datetime.fromisoformat(told["time"])
            latitude, longitude = told.get("latitude_deg"), told.get("longitude_deg")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        found.append((round(moment.timestamp() * 1000), number(latitude), number(longitude)))
    return min(found, key=lambda one: one[0], default=(None, None, None))


def read_message_dive(folder: Path, options: Options | None = None) -> SeenDive:
    """Everything that the messages of a dive tell."""
    dive, said = decode_folder(folder)
    optics = dive.codebook.optics
    options = options or Options()
    least_um = float(optics.esd_um(options.min_area_px))
    limits = np.array(optics.size_class_limits_um)
    started_ms, latitude_deg, longitude_deg = session_of(folder)
    layers = _layers(dive, options.layer_dbar, least_um)
    return SeenDive(
        name=f"{dive.codebook.platform or 'dive'} {dive.dive_number}",
        number=dive.dive_number,
        platform=dive.codebook.platform,
        started_ms=started_ms,
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        optics=optics,
        taxa=dive.codebook.taxa,
        layers=layers or _whole(dive, least_um),
        least_um=least_um,
        edges_um=limits[limits >= least_um],
        named=None,
        corrected=_corrected(dive),
        cannot=(*CANNOT, *said),
    )


def _layers(dive: DecodedDive, width_dbar: int | None, least_um: float) -> tuple[Layer, ...]:
    """Layers in which both sizes and taxa are known; a cell that was sent is never made finer."""
    curves = shore_curves(dive)
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
    """The dive as one layer, where totals alone came."""
    sizes, is_known = dive.totals(Quantity.SIZES)
    taxa, _ = dive.totals(Quantity.TAXA)
    outcomes, frames_known = dive.totals(Quantity.FRAMES)
    if not frames_known:
        return ()
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
