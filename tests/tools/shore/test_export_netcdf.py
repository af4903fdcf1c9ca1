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
from tests.tools.shore.compliance import findings
from tests.tools.shore.exported import seston
from tools.shore.receiving.arrival import Arrival
from tools.shore.receiving.products import decode_dive
from tools.shore.receiving.store import Store

xr = pytest.importorskip("xarray", reason="needs the shore extra")
pytest.importorskip("h5netcdf", reason="needs the shore extra")
pytest.importorskip("gsw", reason="needs the shore extra")

WITHOUT_STANDARD_NAME = re.compile(
    r"(CONCENTRATION_LPM|GREY_SIZE_SPECTRA_PARTICLES|taxon_mean_esd|NB_OBJECT_CATEGORY_expected_wrong)(_\w+)?"
    r"|\w+_cell|volume_(sized|classified)|taxon_esd_quantile|CONCENTRATION_CATEGORY_(low|high)"
    r"|time_in_park|(time|position)_uncertainty|frame_number|reply_detail|ECOTAXA_CATEGORY_ID"
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


@pytest.mark.parametrize("name", ["profile.nc", "park.nc", "frames.nc"])
@pytest.mark.parametrize("mode", ["real_time", "delayed"])
def test_the_compliance_checker_finds_no_fault(request, mode, name):
    pytest.importorskip("compliance_checker", reason="needs compliance-checker")
    path = request.getfixturevalue(mode) / name
    if not path.exists():
        assert (mode, name) == ("real_time", "frames.nc")
        return
    found = findings(path, ("cf:1.8", "acdd:1.3"))
    assert found["cf:1.8"] == []
    wrong = []
    for weight, group, sentences in found["acdd:1.3"]:
        named = re.search(r'variable "(\w+)" missing', str(group))
        if named and set(sentences) == {"standard_name"}:
            assert WITHOUT_STANDARD_NAME.fullmatch(named[1]), named[1]
        elif (mode, name) == ("real_time", "park.nc") and all("vertical" in one for one in sentences):
            continue  # messages do not say at which pressure it parked
        elif weight > 1:
            wrong.append((weight, group, sentences))
    assert wrong == []


def test_the_compliance_checker_finds_faults_that_were_put_in(delayed, tmp_path):
    pytest.importorskip("compliance_checker", reason="needs compliance-checker")
    netcdf = pytest.importorskip("netCDF4", reason="needs netCDF4")
    shutil.copy(delayed / "park.nc", tmp_path / "bad.nc")
    with netcdf.Dataset(tmp_path / "bad.nc", "a") as data:
        data["volume_sized"].units = "buckets"
        data["TEMP"].standard_name = "water_temperature_of_ours"
        data["time"].axis = "Z"
        data["frames"].coordinates = "time lat lon nowhere"
        del data.title
    found = findings(tmp_path / "bad.nc", ("cf:1.8", "acdd:1.3"))
    told = " ".join(sentence for _, _, sentences in found["cf:1.8"] for sentence in sentences)
    for fault in ("buckets", "water_temperature_of_ours", "positive attribute", "nowhere"):
        assert fault in told, fault
    assert any("title" in str(one) for one in found["acdd:1.3"])


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


def values_of(path):
    with xr.open_dataset(path, engine="h5netcdf") as data:
        return data.load()


def test_a_late_message_leaves_what_the_log_made_and_is_compared_with_when_that_is_made_again(dive, tmp_path):
    """The log came back before the last message did."""
    messages = sorted((dive / "messages").glob("*.msg"))
    store = Store(tmp_path)
    (tmp_path / "codebook.json").write_bytes((dive / "messages/codebook.json").read_bytes())
    for i, message in enumerate(messages[1:]):
        folder = store.take(Arrival("3" * 15, i, 1_741_200_000, message.read_bytes(), "file"), b"")[1]
    said, _ = decode_dive(folder)
    assert "is complete" not in said
    code, told = seston("export", "netcdf", dive, "--received", folder, "--out", folder)
    assert code == 0, told
    made = {file.name: file.read_bytes() for file in folder.glob("*.nc")}
    assert set(made) == {"profile.nc", "park.nc", "frames.nc"}
    early = values_of(folder / "profile.nc")
    assert "all messages" not in early.attrs["comparison_messages"]

    store.take(Arrival("3" * 15, 99, 1_741_300_000, messages[0].read_bytes(), "file"), b"")
    store.close()
    csv_before = (folder / "profile.csv").read_bytes()
    said, complete = decode_dive(folder)
    assert complete
    assert "its netCDF stays, for it was made from the log" in said
    assert made == {file.name: file.read_bytes() for file in folder.glob("*.nc")}, "no byte of it is another"
    assert (folder / "profile.csv").read_bytes() != csv_before, "what messages say is told beside it"
    torn = made["profile.nc"][:1000]
    (folder / "profile.nc").write_bytes(torn)
    assert "or is damaged" in decode_dive(folder)[0]
    assert (folder / "profile.nc").read_bytes() == torn, "what cannot be read may have been made from the log"
    (folder / "profile.nc").write_bytes(made["profile.nc"])
    decoded, told = seston("decode", folder, "--codebook", tmp_path / "codebook.json", "--out", folder)
    assert decoded == 0, told
    assert "stays: it was made from the log" in " ".join(told.split())
    assert made == {file.name: file.read_bytes() for file in folder.glob("*.nc")}

    code, told = seston("export", "netcdf", dive, "--received", folder, "--out", folder)
    assert code == 0, told
    assert re.search(r"since that one: 0 bins are new, 0 are gone", told)
    assert re.search(r"since that one: NB_SIZE_SPECTRA_PARTICLES: [\d,]+ numbers, 0 changed", told)
    late = values_of(folder / "profile.nc")
    assert late.attrs["comparison_messages"] == "all messages"
    assert len(late.attrs["history"].splitlines()) == 3
    code, _ = seston("export", "netcdf", dive, "--received", folder, "--out", tmp_path / "at-once")
    assert code == 0
    xr.testing.assert_equal(late, values_of(tmp_path / "at-once/profile.nc"))
    xr.testing.assert_equal(early, late)


def test_messages_in_any_order_give_the_same_files(dive, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1750000000")
    messages = sorted((dive / "messages").glob("*.msg"))
    products = []
    for name, order in (("one", messages), ("other", messages[::-1])):
        (tmp_path / name).mkdir()
        store = Store(tmp_path / name)
        (tmp_path / name / "codebook.json").write_bytes((dive / "messages/codebook.json").read_bytes())
        for message in order:
            n = messages.index(message)
            came = Arrival("3" * 15, n, 1_741_200_000 + n, message.read_bytes(), "file", 43.5, -7.5, 3.0)
            folder = store.take(came, b"")[1]
            if name == "other":
                decode_dive(folder)  # after each message, as the receiver does
        store.close()
        decode_dive(folder)
        products.append(
            {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix in (".nc", ".csv")}
        )
    assert products[0] == products[1]


def test_a_more_complete_log_takes_the_place_of_a_lesser_one_and_never_the_other_way(dive, tmp_path):
    less = tmp_path / "less"
    shutil.copytree(dive, less)
    with sqlite3.connect(less / "dive.sqlite") as db:
        (last,) = db.execute("SELECT max(frame) FROM frames").fetchone()
        gone = f"frame > {last - 40}"
        db.execute(f"DELETE FROM vignettes WHERE particle IN (SELECT particle FROM particles WHERE {gone})")
        db.execute(f"DELETE FROM particles WHERE {gone}")
        db.execute(f"DELETE FROM frames WHERE {gone}")
    out = tmp_path / "out"
    assert seston("export", "netcdf", less, "--no-frames", "--out", out)[0] == 0
    short = values_of(out / "profile.nc")
    code, told = seston("export", "netcdf", dive, "--no-frames", "--out", out)
    assert code == 0, told
    assert re.search(r"since that one: [1-9]\d* bins are new, 0 are gone", told) or re.search(
        r"since that one: frames: [\d,]+ numbers, [1-9][\d,]* changed", told
    ), told
    whole = values_of(out / "profile.nc")
    assert whole.attrs["log_frames"] == short.attrs["log_frames"] + 40
    assert "changed" in whole.attrs["comparison_with_replaced"]
    code, told = seston("export", "netcdf", less, "--no-frames", "--out", out)
    assert code == 2
    assert "was made from a log with 300 frames, this one has 260" in told
    xr.testing.assert_equal(whole, values_of(out / "profile.nc"))
    assert seston("export", "netcdf", dive, "--no-frames", "--out", tmp_path / "alone")[0] == 0
    xr.testing.assert_equal(whole, values_of(tmp_path / "alone/profile.nc"))


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
