"""`seston decode`: any subset of messages to CSV and netCDF, and what is missing said."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import re
import subprocess
import sys
from collections import defaultdict

import numpy as np
import pytest
from click.testing import CliRunner

from edge.errors import MessageError
from edge.frame import Phase
from edge.telemetry.decoded import Provenance
from edge.telemetry.means import to_log_step
from edge.telemetry.planner import plan
from edge.telemetry.summary import Quantity
from tests.edge.telemetry.dives import simulated_dive, with_corrected, with_extras
from tools.cli import main
from tools.shore.decode import decode, decode_files
from tools.shore.exports.tidy_csv import COLUMNS


@pytest.fixture(scope="module")
def dive():
    return simulated_dive()


def write(folder, summary, messages, suffix=".msg"):
    folder.mkdir(exist_ok=True)
    for part, message in enumerate(messages):
        (folder / f"{summary.dive_number:05d}-{part:03d}{suffix}").write_bytes(message)
    (folder / "codebook.json").write_bytes(summary.codebook.to_json())
    return folder


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.board
def test_csv_adds_up_to_the_dive(dive, tmp_path):
    folder = write(tmp_path / "messages", dive, plan(dive, 2000, 340).messages)
    done = decode_files([folder], tmp_path / "shore")
    assert tmp_path / "shore/profile.csv" in done.written
    table = rows(tmp_path / "shore/profile.csv")
    assert tuple(table[0]) == COLUMNS
    sums = defaultdict(int)
    for row in table:
        if row["quantity"] in ("frames", "frames_without_pressure"):
            sums[row["name"]] += int(row["value"])
        if row["quantity"] == "taxon_count":
            sums[row["name"]] += int(row["value"])
    assert [sums[taxon.label] for taxon in dive.codebook.taxa] == dive.profile.taxa().tolist()
    assert sum(dive.profile.outcomes()) == sum(n for name, n in sums.items() if not name.startswith("taxon"))
    assert {row["provenance"] for row in table} >= {"lossless", "aggregated"}


@pytest.mark.board
def test_csv_rows_tile_every_column_once(dive, tmp_path):
    messages = list(plan(dive, 2000, 340).messages)
    del messages[2]
    decode_files([write(tmp_path / "messages", dive, messages)], tmp_path / "shore")
    tiles = defaultdict(list)
    for row in rows(tmp_path / "shore/profile.csv"):
        if row["quantity"] in ("frames", "taxon_count", "size_class_count", "noise_count"):
            assert (row["value"] == "") == (row["provenance"] == "missing")
            tiles[row["phase"], row["quantity"], row["name"]].append(
                (int(row["bin_from"]), int(row["bin_to"]))
            )
    assert len(tiles) == 3 * (11 + 20 + 18 + 18)
    for (phase, _, _), cells in tiles.items():
        part = dive.profile.phases[["descent", "park", "ascent"].index(phase)]
        assert cells == sorted(cells)
        assert cells[0][0] == part.edges[0]
        assert cells[-1][1] == part.edges[-1]
        assert all(a[1] == b[0] for a, b in itertools.pairwise(cells))


@pytest.mark.board
def test_volume_stands_beside_every_lossless_count(dive, tmp_path):
    decode_files([write(tmp_path / "messages", dive, plan(dive, 10**5, 340).messages)], tmp_path / "shore")
    ascent = dive.profile.phases[2]
    expected = dict(zip(ascent.edges[:-1].tolist(), ascent.volume_classified_ul.tolist(), strict=True))
    seen = 0
    for row in rows(tmp_path / "shore/profile.csv"):
        if row["phase"] == "ascent" and row["quantity"] == "taxon_count":
            assert float(row["volume_l"]) == expected[int(row["bin_from"])] / 1e6
            seen += 1
    assert seen == ascent.n_bins * 20


def test_netcdf_holds_the_profile(dive, tmp_path):
    xr = pytest.importorskip("xarray", reason="needs the shore extra")
    pytest.importorskip("h5netcdf", reason="needs the shore extra")
    decode_files([write(tmp_path / "messages", dive, plan(dive, 10**5, 340).messages)], tmp_path / "shore")
    with xr.open_dataset(tmp_path / "shore/profile.nc", engine="h5netcdf") as data:
        parts = [part for part in dive.profile.phases if part.phase is not Phase.PARK]
        assert data.row_size.values.tolist() == [part.n_bins for part in parts]
        named = np.concatenate([part.volume_classified_ul for part in parts]) > 0
        sized = np.concatenate([part.volume_sized_ul for part in parts]) > 0
        taxa, sizes = (np.concatenate([getattr(part, name) for part in parts]) for name in ("taxa", "lpm"))
        assert data["NB_OBJECT_CATEGORY"].values[named].tolist() == taxa[named].tolist()
        assert data["NB_SIZE_SPECTRA_PARTICLES"].values[sized].tolist() == sizes[sized].tolist()
        assert np.isnan(data["NB_SIZE_SPECTRA_PARTICLES"].values[~sized]).all()
        litres = np.concatenate([part.volume_sized_ul for part in parts]) / 1e6
        assert np.allclose(data["volume_sized"], litres, rtol=1e-12)
        warm = np.concatenate([part.temperature_c() for part in parts])
        assert np.abs(data["TEMP"] - warm).max() <= 0.0251
        assert (data["NB_OBJECT_CATEGORY_provenance"] == 1).all()
        assert (data["TEMP_provenance"] == 3).all()
        assert data["NB_OBJECT_CATEGORY_total"].values.tolist() == dive.profile.taxa().tolist()
        assert data["frames_total"].values.tolist() == dive.profile.outcomes().tolist()
        assert set(data["phase"].values.tolist()) == {0, 2}
        assert data["PRES_bounds"].values[0].tolist() == [0, 5]
        assert data.attrs["missing_messages"] == "none"
        assert data.attrs["time_coverage_start"] == "2023-11-14T22:13:20Z"
        for name, variable in data.variables.items():
            assert "long_name" in variable.attrs or name.endswith("_bounds"), name
            if name.endswith("_provenance"):
                meanings = variable.attrs["flag_meanings"].split()
                assert len(meanings) == len(variable.attrs["flag_values"])
            for other in variable.attrs.get("ancillary_variables", "").split():
                assert data[other].dims == variable.dims
    with xr.open_dataset(tmp_path / "shore/park.nc", engine="h5netcdf") as data:
        park = dive.profile.phases[1]
        assert data["NB_OBJECT_CATEGORY"].values.tolist() == park.taxa.tolist()
        assert data["time_in_park_bounds"].values[:, 0].tolist() == park.edges[:-1].tolist()
        assert "PRES" not in data, "messages do not tell it"
        assert data.attrs["featureType"] == "timeSeries"


def test_corrected_counts_stand_beside_the_raw_ones_with_their_interval(dive, tmp_path):
    corrected = with_corrected(dive)
    folder = write(tmp_path / "messages", corrected, plan(corrected, 10**5, 340).messages)
    decode_files([folder], tmp_path / "shore")
    labels = [taxon.label for taxon in dive.codebook.taxa]
    found = {(row["quantity"], row["name"]): row for row in rows(tmp_path / "shore/profile.csv")}
    for suffix, counts in zip(("", "_low", "_high"), corrected.corrected.tolist(), strict=True):
        for label, count in zip(labels, counts, strict=True):
            row = found["taxon_count_corrected" + suffix, label]
            assert (row["phase"], row["value"], row["provenance"]) == ("dive", str(count), "lossless")
    xr = pytest.importorskip("xarray", reason="needs the shore extra")
    with xr.open_dataset(tmp_path / "shore/profile.nc", engine="h5netcdf") as data:
        for suffix, counts in zip(("", "_low", "_high"), corrected.corrected.tolist(), strict=True):
            variable = data["NB_OBJECT_CATEGORY_corrected_total" + suffix]
            assert variable.dims == ("taxon",)
            assert variable.values.tolist() == counts
            assert "90 %" in variable.attrs["long_name"] or not suffix


def test_netcdf_keeps_sums_where_cells_are_coarse(dive, tmp_path):
    xr = pytest.importorskip("xarray", reason="needs the shore extra")
    decode_files([write(tmp_path / "messages", dive, plan(dive, 900, 340).messages)], tmp_path / "shore")
    name = "NB_OBJECT_CATEGORY"
    with (
        xr.open_dataset(tmp_path / "shore/profile.nc", engine="h5netcdf") as data,
        xr.open_dataset(tmp_path / "shore/park.nc", engine="h5netcdf") as park,
    ):
        assert np.allclose(data[name].sum("obs") + park[name].sum("obs"), dive.profile.taxa())
        cells = data[f"{name}_cell"].values[:, 0]
        shares = data[name].values[:, 0]
        assert len(np.unique(cells)) < len(cells)
        assert all(len(set(shares[cells == cell])) == 1 for cell in np.unique(cells))
        together = data[f"{name}_provenance"].values == Provenance.AGGREGATED
        assert (data[f"{name}_QC"].values[together] >= 2).all(), "never good: 8, or worse"
        assert (data[f"{name}_low"].values[together] == 0).all()
        truth = np.concatenate([part.taxa for part in dive.profile.phases if part.phase is not Phase.PARK])
        assert (data[f"{name}_low"].values <= truth).all()
        assert (truth <= data[f"{name}_high"].values).all()


@pytest.mark.board
def test_several_dives_get_a_folder_each(dive, tmp_path):
    other = simulated_dive(seed=30, number=9)
    folder = write(tmp_path / "messages", dive, plan(dive, 800, 340).messages)
    write(folder, other, plan(other, 800, 340).messages, ".sbd")
    done = decode_files([folder], tmp_path / "shore")
    assert [one.dive_number for one in done.dives] == [7, 9]
    assert (tmp_path / "shore/dive-00007/profile.csv").exists()
    assert (tmp_path / "shore/dive-00009/profile.csv").exists()


@pytest.mark.board
def test_command_says_what_is_missing_and_what_was_left_out(dive, tmp_path):
    messages = list(plan(dive, 2300, 340).messages)
    folder = write(tmp_path / "messages", dive, messages)
    (folder / "00007-001.msg").unlink()
    (folder / "holiday.bin").write_bytes(b"no message at all")
    (folder / "again.sbd").write_bytes(messages[0])
    result = CliRunner().invoke(decode, [str(folder), "--out", str(tmp_path / "shore")])
    assert result.exit_code == 0, result.output
    assert "Dive 7: part 2 of 7 is missing." in result.output
    assert "holiday.bin is not a message of this instrument" in result.output
    assert "1 message was there twice" in result.output
    assert "profile.csv" in result.output


@pytest.mark.board
def test_single_files_and_a_codebook_elsewhere(dive, tmp_path):
    folder = write(tmp_path / "messages", dive, plan(dive, 800, 340).messages)
    book = (folder / "codebook.json").rename(tmp_path / "book.json")
    first = folder / "00007-000.msg"
    with pytest.raises(
        MessageError, match=f"needs the codebook whose hash begins {dive.codebook.sha256[:4]}"
    ):
        decode_files([first], tmp_path / "shore")
    done = decode_files([first], tmp_path / "shore", [book])
    assert done.dives[0].missing() == (1, 2)
    assert done.dives[0].totals(Quantity.FRAMES)[0].sum() > 0


@pytest.mark.board
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda f: f / "nowhere", "nowhere: does not exist"),
        (lambda f: f, r"holds no \*\.msg"),
        (
            lambda f: _file(f / "a.msg", b"\x81junk junk junk"),
            "a.msg: needs the codebook whose hash begins 6a75, which is not at hand, or is damaged",
        ),
        (lambda f: _file(f / "b.msg", b""), "b.msg: is not a message"),
        (lambda f: _file(f / "c.msg", bytes(2 << 20)), "c.msg: is larger than"),
    ],
)
def test_nothing_to_decode_is_one_sentence_and_exit_2(tmp_path, capsys, make, sentence):
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(SystemExit) as stop:
        main(["decode", str(make(folder)), "--out", str(tmp_path / "shore")])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(sentence, error)
    assert not (tmp_path / "shore").exists()


def _file(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.board
def test_without_xarray_csv_is_written_and_a_sentence_says_how_to_get_more(dive, tmp_path):
    folder = write(tmp_path / "messages", dive, plan(dive, 800, 340).messages)
    code = (
        "import sys; sys.modules['xarray'] = None; sys.modules['h5netcdf'] = None;"
        f"from tools.cli import main; main(['decode', {str(folder)!r}, '--out', {str(tmp_path / 'shore')!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "pip install 'seston[shore]'" in done.stdout
    assert (tmp_path / "shore/profile.csv").exists()
    assert not (tmp_path / "shore/profile.nc").exists()


@pytest.mark.board
def test_damaged_codebook_is_named(dive, tmp_path):
    folder = write(tmp_path / "messages", dive, plan(dive, 800, 340).messages)
    (folder / "codebook.json").write_text("{")
    with pytest.raises(MessageError, match=r"codebook\.json: is not a codebook"):
        decode_files([folder], tmp_path / "shore")


# --- what is known of the whole dive


@pytest.mark.board
def test_csv_says_of_the_whole_dive_what_arrived_and_what_did_not(dive, tmp_path):
    summary = with_extras(dive)
    messages = plan(summary, 10**6, 48).messages
    decode_files([write(tmp_path / "all", summary, messages)], tmp_path / "whole")
    table = {(row["quantity"], row["name"]): row for row in rows(tmp_path / "whole/profile.csv")}
    health = {name: row for (quantity, name), row in table.items() if quantity == "health"}
    assert {name: (row["value"], row["unit"], row["provenance"]) for name, row in health.items()} == {
        "battery_mv": ("13140", "mV", "rounded"),
        "board_temperature_min_c": ("3", "degree_Celsius", "rounded"),
        "board_temperature_max_c": ("41", "degree_Celsius", "rounded"),
        "disk_free_mb": ("201344", "MB", "rounded"),
        "restarts": ("1", "1", "lossless"),
        "over_exposed_frames": ("12", "1", "lossless"),
        "worst_sharpness": ("73", "1e-3", "rounded"),
        "messages_waiting": ("9", "1", "lossless"),
        "lit_grey_centi": ("310", "1e-2", "rounded"),
        "unlit_grey_centi": ("105", "1e-2", "rounded"),
        "noise_threshold": ("14", "1", "lossless"),
        "dirt_permille": ("3", "1e-3", "rounded"),
        "drift_permille": ("187", "1e-3", "rounded"),
        "clock_off_s": ("41", "s", "rounded"),
        "memory_mb": ("118", "MB", "rounded"),
        "written_mb": ("63", "MB", "rounded"),
        "classifier_restarts": ("0", "1", "lossless"),
    }
    living = [taxon.label for taxon in summary.codebook.taxa if taxon.living]
    for label, steps in zip(living, summary.esd_quantiles.tolist(), strict=True):
        for percent, step in zip((5, 25, 50, 75, 95), steps, strict=True):
            key = f"taxon_esd_q{percent:02d}", label
            assert (key in table) == (step >= 0), "what was not seen has no size"
            if step >= 0:
                size = float(table[key]["value"])
                assert to_log_step(int(size)) == step
                assert (table[key]["unit"], table[key]["provenance"]) == ("um", "rounded")
    for taxon, wrong in zip(summary.codebook.taxa, summary.doubt.tolist(), strict=True):
        row = table["taxon_expected_wrong", taxon.label]
        assert (row["value"], row["provenance"], row["phase"]) == (str(wrong), "rounded", "dive")
    assert table["reply_verdict", "41"]["value"] == "done"
    assert table["reply_detail", "41"]["value"] == "0"

    decode_files([write(tmp_path / "some", summary, messages[3:])], tmp_path / "part")
    part = rows(tmp_path / "part/profile.csv")
    gaps = [row for row in part if row["phase"] == "dive" and row["provenance"] == "missing"]
    assert {row["quantity"] for row in gaps} > {"health"}
    assert all(row["value"] == "" for row in gaps)
    for row in part:
        if row["phase"] == "dive" and row["value"]:
            assert row == table[row["quantity"], row["name"]]

    decode_files([write(tmp_path / "bare", dive, plan(dive, 2000, 340).messages)], tmp_path / "bare_out")
    bare = [row for row in rows(tmp_path / "bare_out/profile.csv") if row["quantity"] == "health"]
    assert {row["provenance"] for row in bare} == {"not-sent"}


def test_netcdf_says_of_the_whole_dive_what_arrived_and_what_did_not(dive, tmp_path):
    xr = pytest.importorskip("xarray", reason="needs the shore extra")
    pytest.importorskip("h5netcdf", reason="needs the shore extra")
    summary = with_extras(dive)
    summary = dataclasses.replace(summary, health=dataclasses.replace(summary.health, battery_mv=None))
    messages = plan(summary, 10**6, 48).messages
    decode_files([write(tmp_path / "all", summary, messages)], tmp_path / "whole")
    decode_files([write(tmp_path / "some", summary, messages[3:])], tmp_path / "part")
    with (
        xr.open_dataset(tmp_path / "whole/profile.nc", engine="h5netcdf") as found,
        xr.open_dataset(tmp_path / "part/profile.nc", engine="h5netcdf") as partial,
    ):
        assert found["quantile"].values.tolist() == [0.05, 0.25, 0.5, 0.75, 0.95]
        sizes = found["taxon_esd_quantile"]
        assert sizes.dims == ("taxon", "quantile")
        assert sizes.attrs["units"] == "um"
        living = found["taxon_living"].values == 1
        seen = summary.esd_quantiles[:, 0] >= 0
        assert np.isfinite(sizes.values[living][seen]).all()
        assert np.isnan(sizes.values[living][~seen]).all()
        assert np.isnan(sizes.values[~living]).all()
        provenance = found["taxon_esd_quantile_provenance"].values
        assert (provenance[living] == Provenance.ROUNDED).all()
        assert (provenance[~living] == Provenance.MISSING).all()
        assert found["NB_OBJECT_CATEGORY_expected_wrong"].values.tolist() == summary.doubt.tolist()
        assert found["disk_free"].item() == 201_344
        assert found["disk_free"].attrs["units"] == "1e6"
        assert found["worst_sharpness"].attrs["units"] == "1e-3"
        assert found["restarts_provenance"].item() == Provenance.LOSSLESS
        # Unknown on board is not the same as missing.
        assert np.isnan(found["battery_voltage"].item())
        assert found["battery_voltage_provenance"].item() == Provenance.ROUNDED
        assert found["reply"].values.tolist() == [41]
        assert found["reply_verdict"].attrs["flag_meanings"].split()[found["reply_verdict"].item()] == "done"
        lost = 0
        for name, variable in found.data_vars.items():
            flags = variable.attrs.get("flag_values")
            assert flags is None or set(np.unique(variable.values)) <= set(np.atleast_1d(flags))
            if not name.startswith(("taxon", "NB_")) and name + "_provenance" in found and not variable.dims:
                mine = partial[name].item()
                lost += bool(np.isnan(mine)) and np.isfinite(variable.item())
                assert np.isnan(mine) or mine == variable.item()
                assert np.isnan(mine) >= (partial[name + "_provenance"].item() == Provenance.MISSING)
        assert lost
