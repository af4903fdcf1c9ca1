"""Where profiles were, by rules worked by hand and by files on disk; and who made the data."""

from __future__ import annotations

import dataclasses
import json
import math
import zipfile
from datetime import UTC, datetime
from xml.etree import ElementTree as Xml

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InputError
from edge.frame import Phase
from edge.telemetry.planner import plan
from tests.edge.telemetry.dives import simulated_dive, with_extras
from tests.tools.shore.exported import seston
from tools.shore.decode import ShoreFiles, decode_files
from tools.shore.dives import Place, lossless_dive
from tools.shore.exports.about import About, Facts, of_all, read_about
from tools.shore.exports.positions import Fix, Positions, located, read_positions
from tools.shore.exports.qc import Flag
from tools.shore.exports.tables import from_messages
from tools.shore.receiving.arrival import Arrival
from tools.shore.receiving.products import decode_dive
from tools.shore.receiving.store import Store

IMEI = "300234010753370"
HOUR = 3600.0


@pytest.fixture(scope="module")
def summary():
    return with_extras(simulated_dive())


@pytest.fixture(scope="module")
def dive(summary):
    return from_messages(lossless_dive(summary))


def ends(dive):
    """Begin of the descent, end of the ascent, UTC."""
    return float(dive.start_s), float(dive.end_s)


def phase(dive, which):
    return next(one for one in dive.phases if one.phase is which)


def at(dive, which=Phase.ASCENT):
    return dive.position_of(phase(dive, which))


def with_fixes(dive, *fixes):
    return located(dive, (), Positions(fixes=fixes))


def test_close_fixes_are_weighed_by_their_radius(dive):
    _, end = ends(dive)
    # Weights 1 and 1/4: (10.0 * 1 + 10.5 * 0.25) / 1.25 = 10.1; the one of 5 km is not looked at.
    found = at(with_fixes(
        dive, Fix(end + 60, 10.0, 20.0, 1.0), Fix(end + 120, 10.5, 20.5, 2.0), Fix(end + 180, 50.0, 60.0, 5.0)
    ))  # fmt: skip
    assert (found.latitude_deg, found.longitude_deg) == pytest.approx((10.1, 20.1))
    assert found.flag == Flag.GOOD
    assert 30 < found.radius_km < 50, "their scatter is larger than what the network says"
    assert found.words == "satellite network, 2 fixes 1.5 min after its end"


def test_without_a_close_one_the_best_stands_and_is_probably_good(dive):
    _, end = ends(dive)
    found = at(with_fixes(dive, Fix(end + 60, 10.0, 20.0, 40.0), Fix(end + 120, 11.0, 21.0, 8.0)))
    assert (found.latitude_deg, found.longitude_deg, found.radius_km) == (11.0, 21.0, 8.0)
    assert found.flag == Flag.PROBABLY_GOOD
    silent = at(with_fixes(dive, Fix(end + 60, 10.0, 20.0)))
    assert (silent.flag, math.isnan(silent.radius_km)) == (Flag.NO_QC, True), "the network states no error"


def test_gps_goes_before_the_network(dive):
    _, end = ends(dive)
    found = at(with_fixes(dive, Fix(end + 60, 10.0, 20.0, 1.0), Fix(end + 900, 10.2, 20.2, is_gps=True)))
    assert (found.latitude_deg, found.flag) == (10.2, Flag.GOOD)
    assert found.words.startswith("GPS, fix 15 min after")


def test_a_descent_is_where_it_began_and_the_park_on_the_way(dive):
    start, end = ends(dive)
    there = with_fixes(dive, Fix(start - HOUR, 10.0, 179.9, 2.0), Fix(end + HOUR, 10.0, -179.9, 2.0))
    descent, park, ascent = (at(there, one) for one in (Phase.DESCENT, Phase.PARK, Phase.ASCENT))
    assert (descent.longitude_deg, descent.flag) == (179.9, Flag.GOOD)
    assert (ascent.longitude_deg, ascent.flag) == (-179.9, Flag.GOOD)
    assert park.flag == Flag.ESTIMATED
    assert abs(park.longitude_deg) > 179.9, "over the date line"
    assert math.isnan(park.radius_km)
    assert there.place == Place(10.0, 179.9), "the dive's own is the first of the best"


def test_away_from_a_fix_it_is_estimated_and_after_a_month_not_known(dive):
    _, end = ends(dive)
    late = with_fixes(dive, Fix(end + 10 * 86400, 10.0, 20.0, 2.0))
    assert (at(late).latitude_deg, at(late).flag) == (10.0, Flag.ESTIMATED)
    assert "10 d after its end" in at(late).words
    later = with_fixes(dive, Fix(end + 40 * 86400, 10.0, 20.0, 2.0))
    assert not at(later).is_known
    assert at(later).flag == Flag.MISSING
    assert later.place.latitude_deg is None


def test_a_drift_that_is_too_fast_is_probably_bad_at_both_ends(dive):
    start, end = ends(dive)
    reach_km = 3.0 * (end - start) / 1000
    for far_km, flag in ((0.9 * reach_km, Flag.GOOD), (1.1 * reach_km + 4, Flag.PROBABLY_BAD)):
        north = math.degrees(far_km / 6371.0)
        there = with_fixes(dive, Fix(start, 0.0, 20.0, 2.0), Fix(end, north, 20.0, 2.0))
        assert {at(there, one).flag for one in (Phase.DESCENT, Phase.ASCENT)} == {flag}, far_km
    assert "too far to drift" in at(there).words


def test_what_a_person_says_of_a_dive_wins(dive):
    _, end = ends(dive)
    told = Positions({str(dive.decoded.dive_number): Place(1.0, 2.0)}, (Fix(end, 10.0, 20.0, 2.0),))
    found = at(located(dive, (), told))
    assert (found.latitude_deg, found.longitude_deg, found.flag) == (1.0, 2.0, Flag.NO_QC)
    assert at(dive).flag == Flag.MISSING


def test_another_floats_fixes_are_not_this_ones(dive):
    _, end = ends(dive)
    assert not at(with_fixes(dive, Fix(end, 10.0, 20.0, 2.0, unit="300000000000000"))).is_known
    book = msgspec.structs.replace(dive.codebook, platform="f7")
    mine = dataclasses.replace(dive, decoded=dataclasses.replace(dive.decoded, codebook=book))
    assert at(with_fixes(mine, Fix(end, 10.0, 20.0, 2.0, unit="f7"))).is_known


@given(
    st.lists(
        st.builds(
            Fix, st.floats(0, 4e9), st.floats(-90, 90), st.floats(-180, 180),
            st.one_of(st.just(math.nan), st.floats(0, 2000)), st.booleans(),
        ),
        max_size=6,
    )
)  # fmt: skip
def test_any_fixes_give_a_place_on_earth_or_none_whatever_their_order(fixes):
    dive = _DIVE
    one, other = with_fixes(dive, *fixes), with_fixes(dive, *reversed(fixes))
    for a, b in zip(one.phases, other.phases, strict=True):
        here, there = one.position_of(a), other.position_of(b)
        assert here.is_known == there.is_known
        if here.is_known:
            assert -90 <= here.latitude_deg <= 90
            assert -180 <= here.longitude_deg <= 180
            assert here.latitude_deg == pytest.approx(there.latitude_deg, abs=1e-6)


_DIVE = from_messages(lossless_dive(with_extras(simulated_dive())))


# --- tables of a person


def test_a_table_has_places_and_fixes(tmp_path):
    table = tmp_path / "positions.csv"
    table.write_text(
        "sample,time,lat,lon,radius_km,unit\n12,,1.5,2.5,,\n,2025-03-04T12:00:00Z,-3,4,0.01,f7\n"
        ",2025-03-04 12:00,5,6,,\n",
        encoding="utf-8",
    )
    found = read_positions(table)
    assert found.places == {"12": Place(1.5, 2.5)}
    first, second = found.fixes
    assert (first.time_s, first.radius_km, first.unit, first.is_gps) == (1741089600.0, 0.01, "f7", True)
    assert (second.time_s, second.unit) == (1741089600.0, "")


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (",,1,2,,", "sample"), (",noon,1,2,,", "time"), ("12,,91,2,,", "lat"), ("12,,1,nan,,", "lon"),
        ("12,,1,2,-1,", "radius_km"), ("12,,1,,,", "lon"),
    ],
)  # fmt: skip
def test_a_bad_row_is_a_sentence(tmp_path, row, column):
    table = tmp_path / "positions.csv"
    table.write_text(f"sample,time,lat,lon,radius_km,unit\n{row}\n", encoding="utf-8")
    with pytest.raises(InputError, match=rf"positions.csv: row 2: {column}: is "):
        read_positions(table)


# --- messages as they are received


def received(folder, summary, sessions):
    """The messages of a dive in a receiver's folder, in sessions of (s after its end, lat, lon, radius)."""
    end = ends(from_messages(lossless_dive(summary)))[1]
    store = Store(folder)
    for i, message in enumerate(plan(summary, 10**5, 340).messages):
        off, lat, lon, radius = sessions[i % len(sessions)]
        store.take(Arrival(IMEI, i, int(end + off), message, "directip", lat, lon, radius), b"")
    store.close()
    (folder / "codebook.json").write_bytes(summary.codebook.to_json())
    return next((folder / IMEI).glob("dive-*"))


def opened(path):
    xr = pytest.importorskip("xarray", reason="needs the shore extra")
    pytest.importorskip("gsw", reason="needs the shore extra")
    with xr.open_dataset(path, engine="h5netcdf") as data:
        return data.load()


def test_a_received_dive_is_where_the_network_saw_the_modem(tmp_path, summary):
    folder = received(tmp_path, summary, [(600, 43.5, -7.5, 3.0), (1200, 43.5, -7.5, 30.0)])
    told, complete = decode_dive(folder)
    assert complete, told
    data = opened(folder / "profile.nc")
    ascent = data.direction.values.tolist().index(1)
    assert float(data.lat[ascent]) == 43.5
    assert data.POSITION_QC.values.tolist()[ascent] == Flag.GOOD
    assert float(data.position_uncertainty[ascent]) == 3.0
    assert str(data.position_source.values[ascent]).startswith("satellite network")
    descent = 1 - ascent
    assert data.POSITION_QC.values.tolist()[descent] == Flag.ESTIMATED, "nobody saw where it began"
    assert math.isnan(float(data.position_uncertainty[descent]))
    assert data.attrs["geospatial_bounds"].startswith("POINT (43.5")
    assert "at latitude 43.5" in data.depth.attrs["comment"]


def test_a_session_of_the_dive_before_says_where_this_one_began(tmp_path, summary):
    folder = received(tmp_path, summary, [(600, 43.5, -7.5, 3.0)])
    start = ends(from_messages(lossless_dive(summary)))[0]
    before = folder.with_name(f"dive-{summary.dive_number - 1:05d}")
    before.mkdir()
    when = datetime.fromtimestamp(start - 1800, UTC).isoformat()
    told = {"imei": IMEI, "time": when, "latitude_deg": 43.0, "longitude_deg": -7.0, "cep_km": 4}
    (before / "1-1-1.json").write_text(json.dumps(told), encoding="utf-8")
    (before / "2-2-2.json").write_text("[]", encoding="utf-8")
    (before / "3-3-3.json").write_text(json.dumps(told | {"latitude_deg": 999}), encoding="utf-8")
    decode_dive(folder)
    data = opened(folder / "profile.nc")
    descent = data.direction.values.tolist().index(0)
    assert (float(data.lat[descent]), int(data.POSITION_QC[descent])) == (43.0, Flag.GOOD)
    assert data.attrs["geospatial_bounds"] == "LINESTRING (43.000000 -7.000000, 43.500000 -7.500000)"


def test_decode_takes_a_table_and_who_made_the_data(tmp_path, summary):
    folder = tmp_path / "messages"
    folder.mkdir()
    for i, message in enumerate(plan(summary, 10**5, 340).messages):
        (folder / f"{i:03d}.msg").write_bytes(message)
    (folder / "codebook.json").write_bytes(summary.codebook.to_json())
    table, about = tmp_path / "positions.csv", tmp_path / "about.toml"
    table.write_text(f"sample,lat,lon\n{summary.dive_number},1.5,2.5\n", encoding="utf-8")
    about.write_text(
        'creator_name = "A. Person"\nlicense = "CC-BY-4.0"\n'
        f'[unit."{summary.codebook.platform}"]\nproject = "Own"\n',
        encoding="utf-8",
    )
    shore = ShoreFiles(positions=table, about=about)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    decode_files([folder], tmp_path / "out", shore=shore)
    data = opened(tmp_path / "out/profile.nc")
    assert set(data.lat.values.tolist()) == {1.5}
    assert set(data.POSITION_QC.values.tolist()) == {Flag.NO_QC}
    said = [data.attrs[name] for name in ("creator_name", "license", "project")]
    assert said == ["A. Person", "CC-BY-4.0", "Own"]
    assert before == {file.name: file.read_bytes() for file in folder.iterdir()}, (
        "nothing of it is in a message"
    )
    about.write_text('creator_nam = "A. Person"\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"about.toml: creator_nam: .*creator_name"):
        decode_files([folder], tmp_path / "out2", shore=shore)
    assert not (tmp_path / "out2").exists()


# --- one file of who made the data, for all exports


def test_one_file_says_who_made_the_data_in_every_format(tmp_path, summary):
    pytest.importorskip("gsw", reason="needs the shore extra")
    folder = received(tmp_path, summary, [(600, 43.5, -7.5, 3.0)])
    about = tmp_path / "about.toml"
    about.write_text(
        'title = "Dives <&>"\ncreator_name = "A. Person"\ncreator_email = "a@example.org"\n'
        'institution = "Sea Institute"\nproject = "Eyes"\nlicense = "cc-by-4.0"\n',
        encoding="utf-8",
    )
    words = (folder, "--codebook", tmp_path / "codebook.json", "--about", about)
    for kind, name in (("netcdf", "nc"), ("odv", "dives.txt"), ("dwca", "dives.zip")):
        code, told = seston("export", kind, *words, "--out", tmp_path / name)
        assert code == 0, told
    data = opened(tmp_path / "nc/profile.nc")
    assert data.attrs["creator_email"] == "a@example.org"
    assert data.attrs["institution"] == "Sea Institute"
    lines = (tmp_path / "dives.txt").read_text(encoding="utf-8").split("\n")
    assert "//<Creator>A. Person (a@example.org)</Creator>" in lines
    assert "//<Owner1>Sea Institute</Owner1>" in lines
    assert "//license: cc-by-4.0" in lines
    labels = next(line for line in lines if line.startswith("Cruise\t")).split("\t")
    at_column = labels.index("Position uncertainty [km]")
    rows = [line.split("\t") for line in lines if "-ASC\t" in line or "-DES\t" in line]
    told = {row[1][-3:]: (row[5], row[at_column], row[at_column + 1]) for row in rows}
    assert told == {"ASC": ("43.500000", "3", "1"), "DES": ("43.500000", "", "8")}
    with zipfile.ZipFile(tmp_path / "dives.zip") as archive:
        eml = Xml.fromstring(archive.read("eml.xml"))
        events = archive.read("event.txt").decode().splitlines()
    assert eml.findtext("dataset/title") == "Dives <&>"
    assert eml.findtext("dataset/creator/individualName/surName") == "A. Person"
    assert eml.findtext("dataset/creator/electronicMailAddress") == "a@example.org"
    assert eml.findtext("dataset/project/title") == "Eyes"
    link = eml.find("dataset/intellectualRights/para/ulink")
    assert link.get("url") == "http://creativecommons.org/licenses/by/4.0/legalcode"
    columns = events[0].split("\t")
    ascents = [dict(zip(columns, row.split("\t"), strict=True)) for row in events[1:] if "_ascent" in row]
    assert {one["coordinateUncertaintyInMeters"] for one in ascents} == {"3000"}
    assert {one["decimalLatitude"] for one in ascents} == {"43.500000"}
    assert all("Argo flag 1" in one["georeferenceRemarks"] for one in ascents)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('creator_email = "nobody"\n', "creator_email: "), ('license = ""\n', "license: "),
        ('[unit."f7"]\nlicence = "CC0-1.0"\n', "perhaps `license` is meant"), ("license =\n", "is not TOML"),
    ],
)  # fmt: skip
def test_a_wrong_file_of_who_made_the_data_is_a_sentence(tmp_path, text, sentence):
    about = tmp_path / "about.toml"
    about.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=sentence) as refused:
        read_about(about)
    assert "about.toml" in str(refused.value)


def test_facts_of_a_unit_win_and_those_of_several_dives_are_listed():
    about = About(license="CC0-1.0", project="A", unit={"f7": Facts(project="B")})
    assert about.of("f7") == {"project": "B", "license": "CC0-1.0"}
    assert about.of("f8") == {"project": "A", "license": "CC0-1.0"}
    assert of_all([about.of("f7"), about.of("f8"), about.of("f9")]) == {
        "project": "B; A", "license": "CC0-1.0",
    }  # fmt: skip
