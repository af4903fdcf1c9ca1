"""`seston export dwca`, read by python-dwca-reader, and by the rules of OBIS."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from collections import Counter

import numpy as np
import pytest

from edge.divelog import DiveLog
from edge.logged import codebook_in, summarise
from edge.telemetry.planner import plan
from tests.edge.telemetry.dives import simulated_dive
from tests.tools.made_dive import make_dive
from tests.tools.shore.exported import seston
from tests.tools.shore.test_decode import write

pytest.importorskip("gsw", reason="needs the shore extra")
DWC = "http://rs.tdwg.org/dwc/terms/"
OBIS = "http://rs.iobis.org/obis/terms/"
COPEPODA = 1080
"""Its AphiaID in WoRMS."""


@pytest.fixture(scope="module")
def dive(tmp_path_factory):
    """Many frames a bin, and a model that says nothing of drift: else no absence would be known."""
    folder = make_dive(tmp_path_factory.mktemp("dive") / "made", deepest_dbar=60)
    with sqlite3.connect(folder / "dive.sqlite") as db:
        (told,) = db.execute("SELECT value FROM meta WHERE key = 'codebook'").fetchone()
        book = json.loads(told)
        next(one for one in book["taxa"] if one["label"] == "copepod")["aphia_id"] = COPEPODA
        db.execute("UPDATE meta SET value = ? WHERE key = 'codebook'", (json.dumps(book),))
        db.execute("UPDATE meta SET value = 'null' WHERE key = 'reference'")
    return folder


@pytest.fixture(scope="module")
def rows(dive, tmp_path_factory):
    """Events, occurrences and measurements, each a list of dicts by full term."""
    reader = pytest.importorskip("dwca.read", reason="needs python-dwca-reader")
    out = tmp_path_factory.mktemp("archive") / "a.zip"
    code, told = seston("export", "dwca", dive, "--out", out, "--attribute", "title=Dives <&>")
    assert code == 0, told
    assert "without an AphiaID: " in told
    assert "copepod" not in told.split("without an AphiaID")[1]
    with reader.DwCAReader(str(out)) as archive:
        assert archive.descriptor.core.type == f"{DWC}Event"
        assert archive.metadata.find("dataset/title").text == "Dives <&>"
        events = [row.data | {"key": row.id} for row in archive]
        extensions = {one: [] for one in (f"{DWC}Occurrence", f"{OBIS}ExtendedMeasurementOrFact")}
        for row in archive:
            for one in row.extensions:
                extensions[one.rowtype].append(one.data | {f"{DWC}eventID": one.core_id})
    return events, extensions[f"{DWC}Occurrence"], extensions[f"{OBIS}ExtendedMeasurementOrFact"]


def test_events_are_a_tree(rows):
    events = {row[f"{DWC}eventID"]: row for row in rows[0]}
    assert len(events) == len(rows[0])
    kinds = {"cruise": "", "dive": "cruise", "descent": "dive", "park": "dive", "ascent": "dive"}
    for row in events.values():
        parent = row[f"{DWC}parentEventID"]
        kind = row[f"{DWC}eventType"]
        if kind == "cruise":
            assert parent == ""
        elif kind == "sample":
            assert events[parent][f"{DWC}eventType"] in ("descent", "park", "ascent")
            low, high = (float(row[f"{DWC}{end}imumDepthInMeters"]) for end in ("min", "max"))
            assert low <= high <= 320
        else:
            assert events[parent][f"{DWC}eventType"] == kinds[kind]
        if kind != "cruise":
            assert (row[f"{DWC}decimalLatitude"], row[f"{DWC}geodeticDatum"]) == ("43.416667", "EPSG:4326")
            assert row[f"{DWC}eventDate"].count("T") == 2, "an interval"
    assert Counter(row[f"{DWC}eventType"] for row in events.values())["dive"] == 1


def test_occurrences_are_what_was_counted(dive, rows):
    with DiveLog.open(dive) as log:
        taxa, profile = codebook_in(log).taxa, summarise(log).profile
    events = {row[f"{DWC}eventID"]: row for row in rows[0]}
    counted = Counter()
    for row in rows[1]:
        assert row[f"{DWC}eventID"] in events
        assert row[f"{DWC}basisOfRecord"] == "MachineObservation"
        assert row[f"{DWC}identificationVerificationStatus"] == "PredictedByMachine"
        n = int(row[f"{DWC}individualCount"])
        assert row[f"{DWC}occurrenceStatus"] == ("present" if n else "absent")
        counted[row[f"{DWC}scientificName"]] += n
        expected = f"urn:lsid:marinespecies.org:taxname:{COPEPODA}" * (
            row[f"{DWC}scientificName"] == "copepod"
        )
        assert row[f"{DWC}scientificNameID"] == expected
    assert len({row[f"{DWC}occurrenceID"] for row in rows[1]}) == len(rows[1])
    living = {one.label: int(n) for one, n in zip(taxa, profile.taxa(), strict=True) if one.living}
    assert {name: n for name, n in living.items() if n} == {name: n for name, n in counted.items() if n}


def test_a_taxon_is_absent_only_where_that_is_known(dive, rows):
    with DiveLog.open(dive) as log:
        taxa = [one.label for one in codebook_in(log).taxa]
        parts = {one.phase.name.lower(): one for one in summarise(log).profile.phases}
    absent = [row for row in rows[1] if row[f"{DWC}occurrenceStatus"] == "absent"]
    assert absent
    for row in absent:
        which, _, span = row[f"{DWC}eventID"].rpartition("_")
        part = parts[which.rpartition("_")[2]]
        i = part.edges.tolist().index(int(span.partition("-")[0]))
        assert part.volume_classified_ul[i] > 0
        assert part.taxa[i, taxa.index("unclassified")] == 0, "it may have been one of these"
        assert part.unnamed[i] == 0
        assert part.frames[i, [3, 4, 5, 6, 7, 9]].sum() <= 0.1 * part.frames[i].sum()
        if row[f"{DWC}scientificName"] == "bell":
            assert part.taxa[i, taxa.index("gelatinous")] == 0
    names = {row[f"{DWC}eventID"] for row in rows[1]}
    for row in rows[0]:
        if "nothing was looked at" in row[f"{DWC}eventRemarks"]:
            assert row[f"{DWC}sampleSizeValue"] == ""
            assert row[f"{DWC}eventID"] not in names


def test_measurements_are_abundance_with_its_interval_and_the_water(rows):
    events = {row[f"{DWC}eventID"]: row for row in rows[0]}
    occurrences = {row[f"{DWC}occurrenceID"]: row for row in rows[1]}
    kinds = Counter()
    for row in rows[2]:
        kind = row[f"{OBIS}measurementTypeID"].rstrip("/").rpartition("/")[2]
        kinds[kind] += 1
        event = events[row[f"{DWC}eventID"]]
        if kind == "SDBIOL01":
            count = int(occurrences[row[f"{DWC}occurrenceID"]][f"{DWC}individualCount"])
            litres = float(event[f"{DWC}sampleSizeValue"])
            value = float(row[f"{DWC}measurementValue"])
            assert value == pytest.approx(1000 * count / litres, rel=1e-4)
            low, high = map(float, row[f"{DWC}measurementAccuracy"].split(" to "))
            assert low <= value <= high
            assert row[f"{OBIS}measurementUnitID"].endswith("/P06/current/UPMM/")
        elif kind == "TEMPPR01":
            assert 0 < float(row[f"{DWC}measurementValue"]) < 20
        elif kind == "VOLWBSMP" and event[f"{DWC}sampleSizeValue"]:
            litres = float(event[f"{DWC}sampleSizeValue"])
            assert float(row[f"{DWC}measurementValue"]) == pytest.approx(litres / 1000)
    assert kinds["SDBIOL01"] == len(rows[1])
    assert set(kinds) == {"SDBIOL01", "TEMPPR01", "VOLWBSMP", ""}


def test_a_cell_of_many_bins_is_an_event_of_its_own(tmp_path):
    reader = pytest.importorskip("dwca.read", reason="needs python-dwca-reader")
    dive = simulated_dive()
    messages = write(tmp_path / "messages", dive, plan(dive, 900, 340).messages)
    assert seston("export", "dwca", messages, "--out", tmp_path / "a.zip")[0] == 0
    taxa, profile = dive.codebook.taxa, dive.profile
    with reader.DwCAReader(str(tmp_path / "a.zip")) as archive:
        found = [
            one.data | {f"{DWC}eventID": one.core_id}
            for row in archive
            for one in row.extensions
            if one.rowtype == f"{DWC}Occurrence"
        ]
    living = sum(int(n) for one, n in zip(taxa, profile.taxa(), strict=True) if one.living)
    assert sum(int(row[f"{DWC}individualCount"]) for row in found) == living
    assert any("over all of this range alone" in row[f"{DWC}occurrenceRemarks"] for row in found)


def test_the_same_dive_gives_the_same_bytes(dive, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1750000000")
    for name in ("a.zip", "b.zip"):
        assert seston("export", "dwca", dive, "--out", tmp_path / name)[0] == 0
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert sorted(archive.namelist()) == [
            "eml.xml", "event.txt", "extendedmeasurementorfact.txt", "meta.xml", "occurrence.txt",
        ]  # fmt: skip
        assert np.all([b"\r" not in archive.read(name) for name in archive.namelist()])
