"""EcoPart's real-time files made of dives: slices of 5 dbar, or of an hour in park, as EcoPart bins them.

Particles are sorted by EcoPart's own size classes from the areas in the log, whatever classes the dive had:
so the importer's assumption is true. Objects are over the images in which they were named; where only a share
of the larger particles was, over that share of them, so that concentrations stay true.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from edge.frame import CLASSIFIED_OUTCOMES, SIZED_OUTCOMES, FrameOutcome, Phase
from edge.profile import FrameRecord
from firmware_bridge.uvp6.lines import N_TAXA
from tools.shore.uvp6_project.dive import DiveImage, DivePart, check_ids, ctd_of, plain, utc
from tools.shore.uvp6_project.ecopart import (
    DEPTH,
    LIMITS_UM,
    TIME,
    RemoteSample,
    Slice,
    lpm_table,
    meta_of,
    taxo_table,
)
from tools.shore.uvp6_project.tables import TextTable

SLICE_DBAR, SLICE_MS = 5, 3_600_000


def remote_of(parts: Sequence[DivePart]) -> tuple[list[RemoteSample], list[str]]:
    """Samples of some parts of dives, and remarks, a sentence each.

    Raises
    ------
    RecordingError
        When two parts would be one sample.
    """
    check_ids(parts)
    samples, remarks = [], []
    for part in parts:
        sample, told = _sample(part)
        if sample is not None:
            samples.append(sample)
        remarks += told
    return samples, remarks


def _sample(part: DivePart) -> tuple[RemoteSample | None, list[str]]:
    remarks: list[str] = []
    unplaced = sum(_key_of(image.record) is None for image in part.images)
    if unplaced:
        remarks.append(f"{part.id}: {unplaced} frames have no pressure and belong to no slice.")
    position = part.position.latitude_deg, part.position.longitude_deg
    lit = [image for image in part.images if image.record.outcome in SIZED_OUTCOMES]
    unlit = [image for image in part.images if image.record.outcome is FrameOutcome.UNLIT]
    slices = [_counted(group, part) for group in _slices(lit)]
    if not slices:
        return None, [*remarks, f"{part.id}: has no frame whose particles were counted; it is left out."]
    tables: dict[str, TextTable] = {"LPM": lpm_table(slices, position)}
    if unlit:
        tables["BLACK"] = lpm_table([_counted(group, part) for group in _slices(unlit)], position)
    ctd = ctd_of(part)
    if ctd is not None:
        tables["CTD"] = ctd
    known = [i for i, taxon in enumerate(part.taxa) if taxon.ecotaxa_id]
    classes = {i: n for n, i in enumerate(known[:N_TAXA])}
    without = [taxon.label for i, taxon in enumerate(part.taxa) if i not in classes]
    named = [image for image in part.images if image.record.outcome in CLASSIFIED_OUTCOMES]
    if not classes:
        remarks.append(
            f"{part.id}: no taxon has an EcoTaxa id, so EcoPart could not read a TAXO2: none is written."
        )
    else:
        remarks.append(f"{part.id}: {len(without)} taxa have no class of EcoPart: {', '.join(without)}.")
        objects = [one for group in _slices(named) if (one := _named(group, classes)) is not None]
        tables["TAXO2"] = taxo_table(objects, position)
    ids = [part.taxa[i].ecotaxa_id or 0 for i in classes]
    meta = meta_of(part.configurations[0].values, ids)
    kind = TIME if part.phase is Phase.PARK else DEPTH
    return RemoteSample(part.id, plain(part.unit), kind, meta, tables), remarks


def _key_of(record: FrameRecord) -> int | None:
    """The slice of a frame; None without pressure."""
    if math.isnan(record.pressure_dbar):
        return None  # EcoPart reads no row without one
    if record.phase is Phase.PARK:
        return record.time_ms // SLICE_MS
    return math.floor(max(0.0, record.pressure_dbar) / SLICE_DBAR)


def _slices(images: Sequence[DiveImage]) -> Iterator[list[DiveImage]]:
    """Frames of each slice, in the order of their first ones."""
    groups: dict[int, list[DiveImage]] = {}
    for image in images:
        key = _key_of(image.record)
        if key is not None:
            groups.setdefault(key, []).append(image)
    yield from groups.values()


def _where(group: Sequence[DiveImage]) -> tuple[str, float, float]:
    """Time of the first frame, mean pressure and mean temperature."""
    pressure = _mean([max(0.0, image.record.pressure_dbar) for image in group])
    first = utc(group[0].record.time_ms)
    return f"{first:%Y%m%dT%H%M%S}", pressure, _mean([image.internal_c for image in group])


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _counted(group: Sequence[DiveImage], part: DivePart) -> Slice:
    optics = msgspec.structs.replace(part.optics, size_class_limits_um=LIMITS_UM)
    counts = np.zeros(len(LIMITS_UM), dtype=np.int64)
    centi = np.zeros(len(LIMITS_UM), dtype=np.int64)
    for image in group:
        found, greys = image.record.histogram.by_class(optics)
        counts += found
        centi += greys
    mean_grey = centi / np.maximum(counts, 1) / 100
    return Slice(*_where(group), len(group), counts.tolist(), mean_grey.tolist())


def _named(group: Sequence[DiveImage], classes: dict[int, int]) -> Slice | None:
    """Objects of a slice; None where no larger particle was named, though there were some."""
    objects, esd_um = np.zeros(len(classes)), np.zeros(len(classes))
    n_named = 0
    for image in group:
        n_named += len(image.record.taxa)
        for taxon, esd in zip(image.record.taxa.tolist(), image.record.esd_um.tolist(), strict=True):
            if taxon in classes:
                objects[classes[taxon]] += 1
                esd_um[classes[taxon]] += esd
    unnamed = sum(image.record.unnamed for image in group)
    if unnamed and not n_named:
        return None
    share = n_named / (n_named + unnamed) if unnamed else 1
    mean_mm = esd_um / np.maximum(objects, 1) / 1000
    counts = objects.astype(np.int64).tolist()
    return Slice(*_where(group), len(group) * share, objects=counts, esd_mm=mean_mm.tolist())
