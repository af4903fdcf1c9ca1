"""Dives as a Darwin Core Archive for OBIS: events cruise, dive, phase, sample; occurrences; measurements.

After the OBIS manual (manual.obis.org: event core, and its page on imaging data). A taxon gets a scientific
name's id only where the model's taxonomy has an AphiaID. It is absent only where that is really known:
counted exactly, in water that was looked at without trouble, with no particle left unnamed that it could be.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.frame import Phase
from edge.taxonomy import UNCLASSIFIED, Taxon
from edge.telemetry.decoded import Provenance
from edge.telemetry.summary import Quantity
from tools.shore.ecotaxa.depth import depth_m
from tools.shore.ecotaxa.dive import software
from tools.shore.exports.dwca_files import Extent, Row, write_archive
from tools.shore.exports.netcdf_axes import lsid
from tools.shore.exports.netcdf_facts import iso
from tools.shore.exports.qc import Flag, PhaseQc, flags_of
from tools.shore.exports.tables import (
    INTERVAL_LEVEL,
    DataMode,
    DiveTables,
    PhaseTables,
    Position,
    sample_name,
)
from tools.shore.science.intervals import poisson

P01, P06 = (
    "http://vocab.nerc.ac.uk/collection/P01/current/",
    "http://vocab.nerc.ac.uk/collection/P06/current/",
)
ABUNDANCE = {
    "measurementType": "Abundance of biological entity specified elsewhere per unit volume of the water body",
    "measurementTypeID": f"{P01}SDBIOL01/", "measurementUnit": "Number per cubic metre",
    "measurementUnitID": f"{P06}UPMM/",
}  # fmt: skip
TEMPERATURE = {
    "measurementType": "Temperature of the water body", "measurementTypeID": f"{P01}TEMPPR01/",
    "measurementUnit": "Degrees Celsius", "measurementUnitID": f"{P06}UPAA/",
}  # fmt: skip
VOLUME = {
    "measurementType": "Volume sampled of the water body", "measurementTypeID": f"{P01}VOLWBSMP/",
    "measurementUnit": "Cubic metres", "measurementUnitID": f"{P06}MCUB/",
}  # fmt: skip
SIZE = {"measurementType": "mean equivalent spherical diameter of the particles", "measurementUnit": "um"}
PROTOCOL = "in situ imaging by a camera on a profiling float; particles named on board by a neural network"


@dataclass(frozen=True, slots=True)
class Archive:
    """What was written, and what was left out, in words."""

    events: int
    occurrences: int
    measurements: int
    remarks: tuple[str, ...]


@dataclass
class _Rows:
    """Rows being gathered."""

    events: dict[str, Row] = field(default_factory=dict)
    occurrences: list[Row] = field(default_factory=list)
    measurements: list[Row] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    without_id: set[str] = field(default_factory=set)


def write_dwca(dives: Sequence[DiveTables], path: Path, facts: Mapping[str, str]) -> Archive:
    """Write dives into one archive.

    Raises `InputError` when it cannot be written; `ImportError` without gsw or SciPy.
    """
    rows = _Rows()
    for dive in dives:
        _add_dive(rows, dive)
    write_archive(
        path,
        (rows.events.values(), rows.occurrences, rows.measurements),
        facts,
        _extent(dives),
        _dates(dives),
    )
    return Archive(len(rows.events), len(rows.occurrences), len(rows.measurements), tuple(_remarks(rows)))


def _remarks(rows: _Rows) -> Iterator[str]:
    if rows.left_out:
        told = ", ".join(f"{name} ({n:,})" for name, n in rows.left_out.most_common())
        yield f"no organism, or not known to be one, so no occurrence: {told}."
    if rows.without_id:
        yield (
            f"without an AphiaID: {', '.join(sorted(rows.without_id))}. OBIS takes no occurrence without "
            "one: give the taxa their ids when you train the model."
        )


def _add_dive(rows: _Rows, dive: DiveTables) -> None:
    name = sample_name(dive)
    parent = ""
    if dive.cruise:
        parent = re.sub(r"[^A-Za-z0-9.-]+", "_", dive.cruise)
        rows.events.setdefault(parent, {"eventID": parent, "eventType": "cruise"})
    place = _place(dive.position_of(None))
    span = _span(dive.start_s, dive.end_s)
    mode = "from messages in real time" if dive.mode is DataMode.REAL_TIME else "from the recovered log"
    rows.events[name] = {
        "eventID": name, "parentEventID": parent, "eventType": "dive", "eventDate": span, **place,
        "eventRemarks": f"{dive.name}, {mode}; {dive.decoded.missing_sentence() or 'nothing is missing'}",
    }  # fmt: skip
    for phase in dive.phases:
        which = phase.phase.name.lower()
        event = f"{name}_{which}"
        own = (phase.start_s, phase.end_s)
        place = _place(dive.position_of(phase))
        date = _span(*own) if np.isfinite(own).all() and phase.time_off_s == 0 else span
        rows.events[event] = {
            "eventID": event, "parentEventID": name, "eventType": which, "eventDate": date, **place,
            "samplingProtocol": PROTOCOL,
        }  # fmt: skip
        _Samples(rows, dive, phase, event, {"eventDate": date, **place}).add()


class _Samples:
    """Samples of one phase, becoming rows."""

    def __init__(
        self, rows: _Rows, dive: DiveTables, phase: PhaseTables, parent: str, common: Mapping[str, str]
    ) -> None:
        self._rows, self._dive, self._phase = rows, dive, phase
        self._parent, self._common = parent, common
        self._depths = depth_m(phase.edges.astype(np.float64), dive.place.latitude_deg)
        self._qc = PhaseQc(dive, phase)

    def add(self) -> None:
        """Add them all."""
        for i in range(self._phase.n):
            self._measure(i, self._event(i, i + 1))
        if Quantity.TAXA in self._phase.cells:
            self._occur()

    def _event(self, first: int, last: int) -> str:
        """The event of samples [first, last), made where it is not there yet."""
        phase, is_park = self._phase, self._phase.phase is Phase.PARK
        low, high, unit = int(phase.edges[first]), int(phase.edges[last]), "s" if is_park else "dbar"
        event = f"{self._parent}_{low}-{high}{unit}"
        if event in self._rows.events:
            return event
        row = {
            "eventID": event, "parentEventID": self._parent, "eventType": "sample", **self._common,
            "samplingProtocol": PROTOCOL,
        }  # fmt: skip
        if not is_park:
            row["minimumDepthInMeters"] = f"{self._depths[first]:.2f}"
            row["maximumDepthInMeters"] = f"{self._depths[last]:.2f}"
        elif np.isfinite(phase.pressure_dbar[first:last]).all():
            depths = depth_m(phase.pressure_dbar[first:last], self._dive.place.latitude_deg)
            row["minimumDepthInMeters"] = f"{depths.min():.2f}"
            row["maximumDepthInMeters"] = f"{depths.max():.2f}"
        litres = float(phase.volume_classified_l[first:last].sum())
        if litres > 0:
            row |= {"sampleSizeValue": f"{litres:.6g}", "sampleSizeUnit": "litre"}
        elif litres == 0:
            row["eventRemarks"] = "nothing was looked at here, which says nothing of what was there"
        else:
            row["eventRemarks"] = "how much water was looked at is not known"
        self._rows.events[event] = row
        return event

    def _measure(self, i: int, event: str) -> None:
        """Temperature and water of a sample."""
        phase = self._phase
        cells = phase.cells.get(Quantity.TEMPERATURE)
        if cells is not None and np.isfinite(cells.values[i, 0]):
            flag = int(flags_of(self._qc.of(Quantity.TEMPERATURE))[i, 0])
            half = (cells.high[i, 0] - cells.low[i, 0]) / 2
            row = {
                "eventID": event, **TEMPERATURE, "measurementValue": f"{cells.values[i, 0]:.4g}",
                "measurementRemarks": f"Argo quality flag {flag}",
            }  # fmt: skip
            self._rows.measurements.append(row | ({"measurementAccuracy": f"{half:.3g}"} if half > 0 else {}))
        litres = float(phase.volume_classified_l[i])
        if np.isfinite(litres):
            self._rows.measurements.append(
                {"eventID": event, **VOLUME, "measurementValue": f"{litres / 1000:.6g}"}
            )

    def _occur(self) -> None:
        """Occurrences, a row a cell: cells of several samples are events of their own."""
        phase, taxa = self._phase, self._dive.codebook.taxa
        cells = phase.cells[Quantity.TAXA]
        flags = flags_of(self._qc.of(Quantity.TAXA))
        litres = phase.volume_classified_l
        for column, taxon in enumerate(taxa):
            if taxon.living is not True:
                self._rows.left_out[taxon.label] += int(np.nansum(cells.values[:, column]).round())
                continue
            numbers = cells.cell[:, column]
            for cell in np.unique(numbers[numbers >= 0]).tolist():
                where = np.flatnonzero(numbers == cell)
                first, last = int(where[0]), int(where[-1]) + 1
                count = round(float(cells.values[where, column].sum()))
                water = float(litres[first:last].sum())
                if count == 0 and not self._is_known_absent(first, last, column, flags):
                    continue
                self._add_occurrence(taxon, column, first, last, count, water)

    def _is_known_absent(self, first: int, last: int, column: int, flags: NDArray[np.int8]) -> bool:
        """Whether none of a taxon was there for sure, as far as this camera can see."""
        phase, taxa = self._phase, self._dive.codebook.taxa
        cells = phase.cells[Quantity.TAXA]
        if not (phase.volume_classified_l[first:last] > 0).all():
            return False
        if (cells.provenance[first:last, column] != Provenance.LOSSLESS).any():
            return False
        if (flags[first:last, column] != Flag.GOOD).any():
            return False
        might_be = [i for i, other in enumerate(taxa) if other.label in _names_above(taxa[column], taxa)]
        some = cells.values[first:last][:, might_be]
        known = cells.provenance[first:last][:, might_be] == Provenance.LOSSLESS
        return bool(known.all() and (some == 0).all())

    def _add_occurrence(
        self, taxon: Taxon, column: int, first: int, last: int, count: int, litres: float
    ) -> None:
        book = self._dive.codebook
        event = self._event(first, last)
        occurrence = f"{event}_{re.sub(r'[^A-Za-z0-9.-]+', '_', taxon.label)}_{column}"
        if taxon.aphia_id is None:
            self._rows.without_id.add(taxon.label)
        self._rows.occurrences.append(
            {
                "eventID": event, "occurrenceID": occurrence, "basisOfRecord": "MachineObservation",
                "occurrenceStatus": "present" if count else "absent", "scientificName": taxon.label,
                "scientificNameID": lsid(taxon.aphia_id), "individualCount": str(count),
                "verbatimIdentification": taxon.label,
                "identificationVerificationStatus": "PredictedByMachine",
                "identifiedBy": f"model {book.bundle_sha256[:12]}",
                "identificationReferences": f"model bundle sha256 {book.bundle_sha256} | {software()}",
                "occurrenceRemarks": "known over all of this range alone" if last - first > 1 else "",
            }
        )  # fmt: skip
        if litres > 0:
            low, high = (float(end) for end in poisson(count, INTERVAL_LEVEL))
            per_m3 = 1000 / litres
            self._rows.measurements.append(
                {
                    "eventID": event, "occurrenceID": occurrence, **ABUNDANCE,
                    "measurementValue": f"{count * per_m3:.6g}",
                    "measurementAccuracy": f"{low * per_m3:.4g} to {high * per_m3:.4g}",
                    "measurementRemarks": "accuracy: 95 % Poisson interval, without the classifier's errors",
                }
            )  # fmt: skip
        sizes = self._phase.cells.get(Quantity.ESD)
        if last - first == 1 and count and sizes is not None and np.isfinite(sizes.values[first, column]):
            value = {"measurementValue": f"{sizes.values[first, column]:.5g}"}
            self._rows.measurements.append({"eventID": event, "occurrenceID": occurrence, **SIZE, **value})


def _names_above(taxon: Taxon, taxa: Sequence[Taxon]) -> set[str]:
    """Labels that a particle of a taxon may have got when the model was not sure."""
    parents = {one.label: one.parent for one in taxa}
    found, at = {UNCLASSIFIED}, taxon.parent
    while at is not None and at not in found:
        found.add(at)
        at = parents.get(at)
    return found


def _place(position: Position) -> dict[str, str]:
    if not position.is_known:
        return {}
    found = {
        "decimalLatitude": f"{position.latitude_deg:.6f}",
        "decimalLongitude": f"{_east(position.longitude_deg):.6f}",
        "geodeticDatum": "EPSG:4326",
        "georeferenceRemarks": f"{position.words}; Argo flag {position.flag}",
    }
    if np.isfinite(position.radius_km):
        found["coordinateUncertaintyInMeters"] = f"{max(1, round(position.radius_km * 1000))}"
    return found


def _east(longitude_deg: float) -> float:
    """Longitude within -180 to 180."""
    return longitude_deg - 360 if longitude_deg > 180 else longitude_deg


def _span(start_s: float | None, end_s: float | None) -> str:
    """ISO 8601 interval, or one end of it, or nothing."""
    told = [iso(one) for one in (start_s, end_s) if one is not None and np.isfinite(one)]
    return "/".join(dict.fromkeys(told))


def _extent(dives: Sequence[DiveTables]) -> Extent | None:
    places = [
        (one.place.longitude_deg, one.place.latitude_deg)
        for one in dives
        if one.place.latitude_deg is not None and one.place.longitude_deg is not None
    ]
    if not places:
        return None
    lon, lat = [_east(one[0] or 0.0) for one in places], [one[1] or 0.0 for one in places]
    return min(lon), max(lon), min(lat), max(lat)


def _dates(dives: Sequence[DiveTables]) -> tuple[str, str] | None:
    times = [one for dive in dives for one in (dive.start_s, dive.end_s) if one is not None]
    return (iso(min(times))[:10], iso(max(times))[:10]) if times else None
