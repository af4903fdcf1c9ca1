"""`seston export netcdf`: what a compliance checker says, what replaces what, what is flagged and refused."""

from __future__ import annotations

import math
import re
import shutil
import sqlite3

import numpy as np
import pytest

from edge.divelog import DiveLog
from edge.frame import SIZED_OUTCOMES, FrameOutcome, Phase
from edge.logged import summarise
from edge.telemetry.decoded import Provenance
from tests.tools.made_dive import make_dive
from tests.tools.shore.exported import seston

xr = pytest.importorskip("xarray", reason="needs the shore extra")
pytest.importorskip("h5netcdf", reason="needs the shore extra")
pytest.importorskip("gsw", reason="needs the shore extra")

WITHOUT_STANDARD_NAME = re.compile(
    r"(CONCENTRATION_LPM|GREY_SIZE_SPECTRA_PARTICLES|taxon_mean_esd|NB_OBJECT_CATEGORY_expected_wrong)(_\w+)?"
    r"|\w+_cell|volume_(sized|classified)|taxon_esd_quantile|CONCENTRATION_CATEGORY_(low|high)"
    r"|time_in_park|time_uncertainty|frame_number|reply_detail|ECOTAXA_CATEGORY_ID"
    r"|battery_voltage|board_temperature_(min|max)|disk_free|restarts|over_exposed_frames|worst_sharpness"
    r"|messages_waiting|(un)?lit_mean_grey|noise_threshold|dirt_share|drift|clock_correction_max|memory_max"
    r"|written_to_disk|classifier_restarts"
)
"""Variables for which CF's table (v93) has no name: inventing one would break CF."""


@pytest.fixture(scope="module")
def dive(tmp_path_factory):
    return make_dive(tmp_path_factory.mktemp("dive") / "made")


@pytest.fixture(scope="module")
def delayed(dive, tmp_path_factory):
    out = tmp_path_factory.mktemp("delayed")
    assert seston("export", "netcdf", dive, "--out", out)[0] == 0
    return out


@pytest.fixture(scope="module")
def real_time(dive, tmp_path_factory):
    out = tmp_path_factory.mktemp("real")
    place = ("--lat", 43.4166667, "--lon", -7.8666667)
    assert seston("export", "netcdf", dive / "messages", "--out", out, *place)[0] == 0
    return out


def profile_of(dive):
    with DiveLog.open(dive) as log:
        return summarise(log).profile


def checked(path, suite):
    """Groups of what a checker found wrong: (weight, name, sentences)."""
    from compliance_checker.runner import CheckSuite

    CheckSuite.load_all_available_checkers()
    checks = CheckSuite()
    data = checks.load_dataset(str(path))
    results, errors = checks.run_all(data, [suite], [])[suite]
    assert not errors, errors
    found = []
    for one in results:
        right = one.value if isinstance(one.value, bool) else one.value[0] == one.value[1]
        if not right:  # what is right may say where it found what it looked for
            found.append((one.weight, one.name, tuple(one.msgs or ())))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["profile.nc", "park.nc", "frames.nc"])
@pytest.mark.parametrize("mode", ["real_time", "delayed"])
def test_the_compliance_checker_finds_no_fault(request, mode, name):
    pytest.importorskip("compliance_checker", reason="needs compliance-checker")
    path = request.getfixturevalue(mode) / name
    if not path.exists():
        assert (mode, name) == ("real_time", "frames.nc")
        return
    assert checked(path, "cf:1.8") == []
    wrong = []
    for weight, group, sentences in checked(path, "acdd:1.3"):
        named = re.search(r'variable "(\w+)" missing', str(group))
        if named and set(sentences) == {"standard_name"}:
            assert WITHOUT_STANDARD_NAME.fullmatch(named[1]), named[1]
        elif (mode, name) == ("real_time", "park.nc") and all("vertical" in one for one in sentences):
            continue  # messages do not say at which pressure it parked
        elif weight > 1:
            wrong.append((weight, group, sentences))
    assert wrong == []


def test_a_file_from_the_log_holds_what_the_instrument_counted(dive, delayed):
    parts = {part.phase: part for part in profile_of(dive).phases}
    along = [parts[Phase.DESCENT], parts[Phase.ASCENT]]
    with xr.open_dataset(delayed / "profile.nc", engine="h5netcdf") as data:
        assert data.attrs["data_mode"] == "D"
        assert data.attrs["featureType"] == "profile"
        assert data.row_size.values.tolist() == [part.n_bins for part in along]
        litres = np.concatenate([part.volume_sized_ul for part in along]) / 1e6
        np.testing.assert_allclose(data.volume_sized, litres, rtol=1e-12)
        seen = litres > 0
        counts = np.concatenate([part.lpm for part in along])
        assert data.NB_SIZE_SPECTRA_PARTICLES.values[seen].tolist() == counts[seen].tolist()
        np.testing.assert_allclose(data.CONCENTRATION_LPM.values[seen], counts[seen] / litres[seen, None])
        esd = np.concatenate(
            [part.taxa_esd_um_sum / np.where(part.taxa, part.taxa, np.nan) for part in along]
        )
        np.testing.assert_allclose(data.taxon_mean_esd, esd)
        np.testing.assert_array_equal(data.TEMP, np.concatenate([part.temperature_c() for part in along]))
        sized = [int(one) for one in SIZED_OUTCOMES]
        frames = np.concatenate([part.frames for part in along])
        assert data.NB_IMAGE_PARTICLES.values.tolist() == frames[:, sized].sum(axis=1).tolist()
    with xr.open_dataset(delayed / "park.nc", engine="h5netcdf") as data:
        assert np.nansum(data.NB_OBJECT_CATEGORY) == parts[Phase.PARK].taxa.sum()
        assert np.isfinite(data.PRES).any(), "the log knows it"


def test_frames_add_up_to_the_bins(dive, delayed):
    with (
        xr.open_dataset(delayed / "frames.nc", engine="h5netcdf") as frames,
        xr.open_dataset(delayed / "profile.nc", engine="h5netcdf") as bins,
    ):
        phase, pressure = frames.phase.values, frames.PRES.values
        edges = bins.PRES_bounds.values
        for name in ("NB_SIZE_SPECTRA_PARTICLES", "NB_OBJECT_CATEGORY", "BLACK_NB_SIZE_SPECTRA_PARTICLES"):
            for i in range(bins.sizes["obs"]):
                last = i + 1 == bins.sizes["obs"] or bins.phase[i] != bins.phase[i + 1]
                first = i == 0 or bins.phase[i] != bins.phase[i - 1]
                low = -math.inf if first else edges[i, 0]
                high = math.inf if last else edges[i, 1]
                inside = (phase == bins.phase.values[i]) & (pressure >= low) & (pressure < high)
                expected = np.nansum(bins[name].values[i])
                assert np.nansum(frames[name].values[inside]) == expected, (name, i)
        assert (np.diff(frames.time.values) > np.timedelta64(0)).all()


def test_what_was_counted_lies_within_what_the_messages_state(tmp_path):
    coarse = 0
    for budget in (900, 1300, 1700):
        made = make_dive(tmp_path / str(budget), budget_bytes=budget, seed=budget)
        for mode, path in (("R", made / "messages"), ("D", made)):
            assert (
                seston("export", "netcdf", path, "--no-frames", "--out", tmp_path / f"{budget}{mode}")[0] == 0
            )
        with (
            xr.open_dataset(tmp_path / f"{budget}R/profile.nc", engine="h5netcdf") as said,
            xr.open_dataset(tmp_path / f"{budget}D/profile.nc", engine="h5netcdf") as true,
        ):
            for name in ("NB_OBJECT_CATEGORY", "NB_SIZE_SPECTRA_PARTICLES", "frames"):
                known = np.isfinite(said[f"{name}_low"].values) & np.isfinite(true[name].values)
                value = true[name].values[known]
                assert (said[f"{name}_low"].values[known] <= value).all()
                assert (value <= said[f"{name}_high"].values[known]).all()
                coarse += int((said[f"{name}_provenance"].values == Provenance.AGGREGATED).sum())
            exact = said.NB_OBJECT_CATEGORY_provenance.values == Provenance.LOSSLESS
            exact &= said.NB_IMAGE_CATEGORY.values[:, None] > 0
            assert (said.CONCENTRATION_CATEGORY_low.values <= said.CONCENTRATION_CATEGORY.values)[exact].all()
            assert (said.CONCENTRATION_CATEGORY.values <= said.CONCENTRATION_CATEGORY_high.values)[
                exact
            ].all()
    assert coarse, "the budgets were too large to test anything"


def test_the_log_takes_the_place_of_the_messages_and_says_what_changed(dive, tmp_path):
    out = tmp_path / "out"
    code, told = seston("export", "netcdf", dive / "messages", "--out", out)
    assert code == 0
    assert "its place is not known" in told
    with xr.open_dataset(out / "profile.nc", engine="h5netcdf") as data:
        before = dict(data.attrs)
        assert before["data_mode"] == "R"
        assert data.lat.isnull().all()
        assert "latitude is not known" in data.depth.attrs["comment"]
    code, told = seston("export", "netcdf", dive, "--out", out)
    assert code == 0
    assert re.search(r"TEMP: \d+ cells, \d+ changed, largest difference 0\.02\d*, typical 0\.0\d+", told)
    assert "outside the stated uncertainty none" in told
    assert f"replaces {before['id']} sha256" in told
    with xr.open_dataset(out / "profile.nc", engine="h5netcdf") as data:
        assert data.attrs["data_mode"] == "D"
        assert data.attrs["history"].splitlines()[0] == before["history"]
        assert len(data.attrs["history"].splitlines()) == 2
        assert "NB_SIZE_SPECTRA_PARTICLES:" in data.attrs["comparison_with_real_time"]
        assert np.isfinite(data.lat).all(), "the log knows it"
    code, told = seston("export", "netcdf", dive / "messages", "--out", out)
    assert code == 2
    assert "was made from the log of this dive, which knows more" in told
    other = make_dive(tmp_path / "other", seed=9, deepest_dbar=120)
    with sqlite3.connect(other / "dive.sqlite") as db:
        db.execute("UPDATE meta SET value = '13' WHERE key = 'dive_number'")
    code, told = seston("export", "netcdf", other, "--out", out)
    assert code == 2
    assert "holds dive 12" in told


def test_cells_outside_their_stated_uncertainty_are_named(dive, tmp_path):
    """A log that lost frames after the messages were made: less is there than was said."""
    copy = tmp_path / "copy"
    shutil.copytree(dive, copy)
    with sqlite3.connect(copy / "dive.sqlite") as db:
        gone = [n for (n,) in db.execute("SELECT frame FROM frames WHERE phase = 0 AND pressure_dbar > 250")]
        marks = ", ".join("?" * len(gone))
        db.execute(
            "DELETE FROM vignettes WHERE particle IN"
            f" (SELECT particle FROM particles WHERE frame IN ({marks}))",
            gone,
        )
        db.execute(f"DELETE FROM particles WHERE frame IN ({marks})", gone)
        db.execute(f"UPDATE frames SET outcome = 9, histogram = x'' WHERE frame IN ({marks})", gone)
    assert gone
    code, told = seston("export", "netcdf", copy, "--out", tmp_path / "out", "--no-frames")
    assert code == 0, told
    assert re.search(
        r"NB_SIZE_SPECTRA_PARTICLES: .* outside the stated uncertainty [1-9]\d* \(descent 2\d\d-", told
    )
    with xr.open_dataset(tmp_path / "out/profile.nc", engine="h5netcdf") as data:
        assert "now 0" in data.attrs["comparison_with_real_time"]
        deep = (data.phase.values == Phase.DESCENT) & (data.PRES_bounds.values[:, 0] >= 260)
        assert deep.any()
        assert np.isnan(data.NB_SIZE_SPECTRA_PARTICLES.values[deep]).all(), "trouble is no empty water"
        assert np.isnan(data.CONCENTRATION_LPM.values[deep]).all()
        assert (data.NB_SIZE_SPECTRA_PARTICLES_QC.values[deep] == 9).all()
        meanings = data.NB_SIZE_SPECTRA_PARTICLES_QC_reason.attrs["flag_meanings"].split()
        masks = data.NB_SIZE_SPECTRA_PARTICLES_QC_reason.attrs["flag_masks"].tolist()
        why = data.NB_SIZE_SPECTRA_PARTICLES_QC_reason.values[deep]
        for reason in ("nothing_looked_at", "most_frames_in_trouble"):
            assert (why & masks[meanings.index(reason)]).all(), reason
        assert (data.frames.values[deep, FrameOutcome.CORRUPT] > 0).all()


def test_depth_is_teos_10s_at_the_latitude_given(dive, tmp_path):
    import gsw

    assert (
        seston("export", "netcdf", dive, "--out", tmp_path, "--lat", -60, "--lon", 3, "--no-frames")[0] == 0
    )
    with xr.open_dataset(tmp_path / "profile.nc", engine="h5netcdf") as data:
        np.testing.assert_allclose(data.depth, -gsw.z_from_p(data.PRES.values, -60))
        assert data.attrs["geospatial_lat_min"] == -60


def test_the_same_dive_gives_the_same_bytes(dive, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1750000000")
    for name in ("a", "b"):
        assert seston("export", "netcdf", dive, "--out", tmp_path / name)[0] == 0
    for name in ("profile.nc", "park.nc", "frames.nc"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_what_is_good_is_written_and_what_is_bad_is_listed(dive, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "dive.sqlite").write_bytes(b"SQLite format 3\0" + bytes(500))
    code, told = seston("export", "netcdf", dive, broken, tmp_path / "nowhere", "--out", tmp_path / "out")
    assert code == 1
    assert (tmp_path / "out/profile.nc").exists()
    assert re.search(r"left out: .*broken/dive.sqlite", told)
    assert "nowhere: does not exist" in told
    code, told = seston("export", "netcdf", broken, "--out", tmp_path / "none")
    assert code == 2
    assert not (tmp_path / "none").exists()
    code, told = seston("export", "netcdf", dive, dive / "messages", "--out", tmp_path / "none")
    assert code == 2
    assert "name it once" in told


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--lat", 43), "--lat and --lon go together"),
        (("--attribute", "no value"), "give NAME=VALUE"),
        (("--lat", 91, "--lon", 1), "91"),
    ],
)
def test_a_wrong_option_is_a_sentence(dive, tmp_path, words, sentence):
    code, told = seston("export", "netcdf", dive, "--out", tmp_path / "out", *words)
    assert code == 2
    assert sentence in told


def test_a_table_of_places_names_row_and_column(dive, tmp_path):
    table = tmp_path / "places.csv"
    table.write_text("sample,lat,lon\n12,-12.5,30\n", encoding="utf-8")
    assert seston("export", "netcdf", dive, "--positions", table, "--out", tmp_path / "out")[0] == 0
    with xr.open_dataset(tmp_path / "out/profile.nc", engine="h5netcdf") as data:
        assert set(data.lat.values.tolist()) == {-12.5}
    table.write_text('sample,lat,lon\n12,"43,4",30\n', encoding="utf-8")
    code, told = seston("export", "netcdf", dive, "--positions", table, "--out", tmp_path / "out2")
    assert code == 2
    assert re.search(r"places.csv: row 2: lat: is '43,4'", told)


def test_given_attributes_stand_in_the_file(dive, tmp_path):
    words = ("--attribute", "creator_name=A. Person", "--attribute", "license=CC-BY-4.0")
    assert seston("export", "netcdf", dive / "messages", "--out", tmp_path, *words)[0] == 0
    for name in ("profile.nc", "park.nc"):
        with xr.open_dataset(tmp_path / name, engine="h5netcdf") as data:
            assert data.attrs["creator_name"] == "A. Person"
            assert data.attrs["license"] == "CC-BY-4.0"
