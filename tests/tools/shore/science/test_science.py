"""`seston science`: from the folder of a dive to tables and figures, with what cannot be had said."""

from __future__ import annotations

import csv
import json
import math
import shutil

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the shore extra")
pytest.importorskip("gsw", reason="needs the shore extra")
pytest.importorskip("matplotlib", reason="needs the shore extra")

from click.testing import CliRunner

from edge.divelog import DiveLog
from edge.errors import InputError
from edge.frame import CLASSIFIED_OUTCOMES, SIZED_OUTCOMES
from edge.logged import summarise
from tests.tools.made_dive import OPTICS, make_dive
from tools.bench.drawn_dive import make_dive as make_drawn_dive
from tools.cli import main
from tools.shore.dives import open_dive
from tools.shore.science.command import science
from tools.shore.science.files import shipped_relations, tables, write_tables
from tools.shore.science.reading import Options
from tools.shore.science.study import study as study_dive
from tools.shore.science.water import at_frames, derived, read_ctd

RELATIONS = shipped_relations()


@pytest.fixture(scope="module")
def dive(tmp_path_factory):
    return make_dive(tmp_path_factory.mktemp("dive"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return make_drawn_dive(tmp_path_factory.mktemp("drawn") / "dive", 1500, distinct=120)


def study(path, *args, **options):
    with open_dive(path) as opened:
        return study_dive(opened, *args, **options)


@pytest.fixture(scope="module")
def found(dive):
    return study(dive, RELATIONS)[0]


def rows_of(file):
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def test_layers_hold_every_particle_and_all_the_water(dive, found):
    with DiveLog.open(dive) as log:
        profile = summarise(log).profile
        histograms = [
            one
            for one in log.records()
            if one.outcome in SIZED_OUTCOMES and not math.isnan(one.pressure_dbar)
        ]
    # The park needs no pressure.
    with DiveLog.open(dive) as log:
        histograms += [
            one for one in log.records()
            if one.outcome in SIZED_OUTCOMES and math.isnan(one.pressure_dbar) and one.phase.name == "PARK"
        ]  # fmt: skip
    taken = sum(int(h.histogram.count[h.histogram.area_px >= 2].sum()) for h in histograms)
    assert sum(int(layer.sized.count.sum()) for layer in found.seen.layers) == taken
    sized_ul = sum(int(part.volume_sized_ul.sum()) for part in profile.phases)
    assert found.spectra[0][1].volume_l == pytest.approx(sized_ul / 1e6)
    named = np.sum([layer.taxa for layer in found.seen.layers], axis=0)
    np.testing.assert_array_equal(named, profile.taxa())
    assert [row.count for row in found.taxa[0][1]] == profile.taxa().tolist()


def test_parts_add_up_to_the_dive(found):
    whole = found.spectra[0][1]
    for kind in (False, True):
        parts = [s for scope, s in found.spectra[1:] if scope.is_layer is kind]
        np.testing.assert_array_equal(sum(s.count for s in parts), whole.count)
        assert sum(s.volume_l for s in parts) == pytest.approx(whole.volume_l)


def test_the_dive_is_corrected_as_the_board_corrected_it(found):
    told = found.seen.corrected
    rows = found.taxa[0][1]
    shared_out = [row for row in rows if math.isnan(row.corrected)]
    assert [row.label for row in shared_out] == ["gelatinous", "unclassified"], "unknown, not 0"
    kept = rows[: len(rows) - len(shared_out)]
    assert [row.corrected for row in kept] == told.count[: len(kept)].tolist()
    assert all(row.both_low <= row.corrected_low / row.volume_l + 1e-9 for row in kept)
    assert all(row.both_high >= row.corrected_high / row.volume_l - 1e-9 for row in kept)


def test_larger_ones_that_nobody_named_lessen_the_water(tmp_path):
    folder = make_dive(tmp_path / "dive", truth=False)
    before = study(folder, RELATIONS)[0].taxa[0][1][0]
    with DiveLog.open(folder) as log:
        n = sum(one.outcome in CLASSIFIED_OUTCOMES for one in log.records())
        outcomes = ",".join(str(int(one)) for one in CLASSIFIED_OUTCOMES)
        log._db.execute(f"UPDATE frames SET unnamed = 1 WHERE outcome IN ({outcomes})")
    after = study(folder, RELATIONS)[0].taxa[0][1][0]
    assert n > 100
    assert after.volume_l < 0.9 * before.volume_l
    assert after.per_l > before.per_l


def test_messages_alone_give_what_they_hold_and_say_what_not(dive, found, tmp_path):
    folder = shutil.copytree(dive / "messages", tmp_path / "messages")
    told, plots = study(folder, RELATIONS)
    with DiveLog.open(dive) as log:
        profile = summarise(log).profile
    first = OPTICS.size_class_limits_um.index(80.6)
    assert told.seen.edges_um[0] == 80.6, "the classes below hold particles of one pixel"
    assert told.spectra[0][1].count.tolist() == profile.lpm()[first:-1].tolist()
    assert told.spectra[0][1].volume_l == pytest.approx(found.spectra[0][1].volume_l)
    assert [row.count for row in told.taxa[0][1]] == profile.taxa().tolist()
    assert all(math.isnan(row.ug_c_per_l) and math.isnan(row.mm3_per_l) for row in told.taxa[0][1])
    assert [row.corrected for row in told.taxa[0][1]][:3] == [row.corrected for row in found.taxa[0][1]][:3]
    guidi = {
        scope.name: f.value
        for scope, one, f in told.fluxes
        if one.name == "Guidi 2008" and not scope.is_layer
    }
    exact = {
        scope.name: f.value
        for scope, one, f in found.fluxes
        if one.name == "Guidi 2008" and not scope.is_layer
    }
    assert guidi["dive"] == pytest.approx(exact["dive"], rel=0.25), "by class means it is near"
    assert told.shapes is None
    assert any("no morphospace" in remark for remark in told.remarks)
    assert set(plots) == {"science-numbers", "science-biovolume", "science-flux", "science-slope"}
    write_tables(told, tmp_path / "out")
    assert not (tmp_path / "out" / "orientation.csv").exists()


def test_a_lost_message_is_said(dive, tmp_path):
    folder = shutil.copytree(dive / "messages", tmp_path / "messages")
    sorted(folder.glob("*.msg"))[1].unlink()
    told, _ = study(folder, RELATIONS)
    assert any("missing" in remark for remark in told.remarks)


def test_totals_alone_are_one_layer(tmp_path):
    folder = make_dive(tmp_path / "dive", budget_bytes=60, truth=False) / "messages"
    told, _ = study(folder, RELATIONS)
    assert len(told.seen.layers) <= 1
    assert told.spectra[0][1].count.sum() >= 0


def test_carbon_shapes_and_orientation_of_drawn_particles(drawn):
    told, plots = study(drawn, RELATIONS)
    rows = {row.label: row for row in told.taxa[0][1]}
    assert rows["copepod"].ug_c_per_l > 0
    assert rows["bell"].conversion == "no conversion"
    assert math.isnan(rows["bell"].ug_c_per_l)
    assert told.shapes.places.shape[1] == 4
    assert 0.3 < told.shapes.space.share[:2].sum() < 1
    assert len(plots["science-shapes"]["layout"]["images"]) == len(told.shapes.examples) > 5
    whole = told.orientation[0][2]
    assert 0 < whole.n < 1500
    assert (
        sum(axes.n for scope, label, axes in told.orientation if label is None and scope.is_layer) == whole.n
    )


@pytest.mark.slow
def test_the_same_dive_gives_the_same_bytes(drawn, tmp_path):
    for name in ("a", "b"):
        done = CliRunner().invoke(science, [str(drawn), "--out", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
    files = sorted(file.relative_to(tmp_path / "a") for file in (tmp_path / "a").rglob("*") if file.is_file())
    assert {file.suffix for file in files} == {".csv", ".json", ".png", ".pdf"}
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_tables_are_tidy_and_say_their_sources(dive, tmp_path):
    done = CliRunner().invoke(
        science, [str(dive), "--out", str(tmp_path / "out"), "--no-figures", "--layer-dbar", "100"]
    )
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "out" / "figures").exists()
    taxa = rows_of(tmp_path / "out" / "taxa.csv")
    assert {row["scope"] for row in taxa} == {
        "dive",
        "descent",
        "park",
        "ascent",
        "descent layer",
        "park layer",
        "ascent layer",
    }
    layers = [row for row in taxa if row["scope"] == "descent layer" and row["taxon"] == "copepod"]
    assert [row["top_dbar"] for row in layers][:3] == ["0", "100", "200"]
    assert {row["conversion"] for row in taxa if row["taxon"] == "bell"} == {"no conversion"}
    assert {row["ug_c_per_l"] for row in taxa if row["taxon"] == "bell"} == {""}
    relations = rows_of(tmp_path / "out" / "relations.csv")
    used = {row["group"]: row["taxa"] for row in relations if row["taxa"]}
    assert used["copepods"] == "copepod"
    guidi = next(row for row in relations if row["group"] == "Guidi 2008")
    assert "Deep-Sea Research" in guidi["source"]
    assert "Fender" in guidi["checked"]
    frames = rows_of(tmp_path / "out" / "frames.csv")
    assert len(frames) == 300
    seen = [row for row in frames if float(row["volume_sized_l"]) > 0]
    assert sum(float(row["particles"]) for row in seen) > 0
    assert all(row["particles_per_l"] == "" for row in frames if float(row["volume_sized_l"]) == 0), (
        "not seen, not empty"
    )
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["flux_mg_c_m2_d"]["Guidi 2008"][1] < summary["flux_mg_c_m2_d"]["Guidi 2008"][0]


def test_small_ones_are_left_out_as_asked(dive):
    told = tables(study(dive, RELATIONS, Options(min_area_px=10))[0])
    header, rows = told["spectra.csv"]
    least = min(row[header.index("esd_from_um")] for row in rows)
    assert least >= float(OPTICS.esd_um(10)) * (1 - 1e-6)


# --- the water


def test_a_cast_is_met_by_pressure_or_by_time(tmp_path):
    file = tmp_path / "ctd.csv"
    file.write_text(
        "PRES;TEMP [degC];PSAL;DOXY;fluo\n"
        + "\n".join(f"{p};{20 - p / 50};38.{p:03d};{200 + p};0.5" for p in range(0, 200, 10))
    )
    found, by = at_frames(read_ctd(file), np.array([0.0, 1, 2, 3]), np.array([0.0, 15.0, 190.0, 400.0]))
    assert by == "pressure"
    np.testing.assert_allclose(found["temperature_c"], [20.0, 19.7, 16.2, np.nan])
    np.testing.assert_allclose(found["oxygen_umol_kg"], [200, 215, 390, np.nan])
    assert set(found) == {"temperature_c", "salinity", "oxygen_umol_kg", "fluorescence"}
    file.write_text(
        "time_utc,pressure_dbar,temperature_c\n2025-03-04T12:00:00Z,5,10\n"
        "2025-03-04T12:01:00+00:00,6,16\n2025-03-04T12:30:00,7,99\n"
    )
    start = 1_741_089_600_000
    found, by = at_frames(
        read_ctd(file), np.array([start, start + 30_000, start + 600_000.0]), np.array([500.0, 500, 500])
    )
    assert by == "time"
    np.testing.assert_allclose(found["temperature_c"], [10.0, 13.0, np.nan]), "nothing over a long gap"


def test_argos_netcdf_is_read_with_its_adjusted_values(tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    p = np.array([[5.0, 10.0, 20.0]])
    data = xarray.Dataset({
        "PRES": (("N_PROF", "N_LEVELS"), p), "TEMP": (("N_PROF", "N_LEVELS"), p * 0 + 15),
        "TEMP_ADJUSTED": (("N_PROF", "N_LEVELS"), p * 0 + 14), "TEMP_QC": (("N_PROF", "N_LEVELS"), p * 0 + 1),
        "CHLA": (("N_PROF", "N_LEVELS"), p / 10),
        "JULD": (("N_PROF",), np.array(["2025-03-04"], dtype="datetime64[ns]")),
    })  # fmt: skip
    data.to_netcdf(tmp_path / "R1_001.nc", engine="h5netcdf")
    found, by = at_frames(read_ctd(tmp_path / "R1_001.nc"), np.zeros(1), np.array([15.0]))
    assert by == "pressure"
    assert found == {"temperature_c": pytest.approx([14.0]), "chlorophyll_mg_m3": pytest.approx([1.5])}


def test_density_is_that_of_teos_10():
    gsw = pytest.importorskip("gsw")
    columns = {
        "pressure_dbar": np.array([100.0]),
        "temperature_c": np.array([13.6]),
        "salinity": np.array([38.1]),
    }
    found = derived(columns, 43.4, 7.9)
    salinity = gsw.SA_from_SP(38.1, 100.0, 7.9, 43.4)
    assert found["sigma0_kg_m3"][0] == pytest.approx(
        gsw.sigma0(salinity, gsw.CT_from_t(salinity, 13.6, 100.0))
    )
    assert found["depth_m"][0] == pytest.approx(99.2, abs=0.2)
    assert set(derived({"pressure_dbar": np.array([1.0])}, None, None)) == {"depth_m"}


def test_a_cast_comes_into_the_table_of_frames(dive, tmp_path):
    file = tmp_path / "ctd.tsv"
    file.write_text("Pressure [db]\tchla\n" + "\n".join(f"{p}\t{p / 100}" for p in range(0, 320, 5)))
    done = CliRunner().invoke(
        science, [str(dive), "--ctd", str(file), "--out", str(tmp_path / "out"), "--no-figures"]
    )
    assert done.exit_code == 0, done.output
    assert "was met by pressure" in done.output
    frames = rows_of(tmp_path / "out" / "frames.csv")
    some = [row for row in frames if row["chlorophyll_mg_m3"] and float(row["pressure_dbar"]) > 5]
    assert len(some) > 200
    assert all(
        float(row["chlorophyll_mg_m3"]) == pytest.approx(float(row["pressure_dbar"]) / 100, abs=1e-3)
        for row in some
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "holds no pressure"), ("", "holds no table"), ("pressure_dbar,t\n1\n", "row 2"),
        ("pressure_dbar,t\nx,y\n", "holds no pressure"),
    ],
)  # fmt: skip
def test_a_bad_cast_gets_a_sentence(tmp_path, text, words):
    (tmp_path / "ctd.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_ctd(tmp_path / "ctd.csv")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "is not there"),
        (["."], "has neither a dive.sqlite nor messages"),
        (["{dive}", "--ctd", "none.csv"], "is not there"),
        (["{dive}", "--relations", "bad.toml"], "carbon_share"),
        (["{dive}", "--out", "bad.toml/x"], "cannot be"),
    ],
)
def test_bad_input_gets_one_sentence(dive, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text(
        '[[carbon]]\nname = "x"\nlabels = ["x"]\nx = "area_mm2"\na = 1\nb = 1\n'
        'unit = "ug dry weight"\nsource = "me"\n'
    )
    with pytest.raises(SystemExit) as stop:
        main(["science", *(one.format(dive=dive) for one in arguments), "--no-figures"])
    assert stop.value.code == 2
    assert words in capsys.readouterr().err


def test_a_dive_of_nothing_is_still_a_dive(tmp_path):
    folder = make_dive(tmp_path / "dive", frames=(0, 0, 0), truth=False)
    done = CliRunner().invoke(science, [str(folder), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
