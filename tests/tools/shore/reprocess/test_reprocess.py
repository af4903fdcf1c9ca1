"""What comes of an archive, whoever does the work; what is damaged is named and nothing else is lost."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zipfile
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("distributed", reason="needs the scale extra")
pytest.importorskip("pyarrow", reason="needs the scale extra")
pytest.importorskip("h5netcdf", reason="needs the shore extra")

import pyarrow.dataset as ds
import xarray as xr

from edge.divelog import DiveLog
from edge.frame import FrameOutcome
from edge.logged import codebook_in, summarise
from tests.tools.shore.reprocess.conftest import tree
from tests.tools.test_simulate import seston

N_FRAMES = 24


def run(archive, out, *more, code=0, bundle="demo", workers=0):
    done = seston("reprocess", archive, "--bundle", bundle, "--out", out, "--workers", workers, *more)
    assert done[0] == code, done[1]
    return done[1]


def table(out, name):
    return ds.dataset(out / name, format="parquet", partitioning="hive").to_table().to_pylist()


@pytest.fixture(scope="module")
def alone(archive, tmp_path_factory):
    """Results of this process alone."""
    out = tmp_path_factory.mktemp("alone") / "out"
    run(archive, out, "--dives")
    return out


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_the_same_bytes_on_any_number_of_workers(archive, alone, tmp_path, workers):
    said = run(archive, tmp_path / "out", "--dives", workers=workers)
    assert "dashboard: http://127.0.0.1:" in said
    assert tree(tmp_path / "out") == tree(alone)


def test_every_source_is_there_once(alone):
    assert {(row["unit"], row["dive"]) for row in table(alone, "frames")} == {
        ("composed", "cruise--rec_1"), ("composed", "cruise--rec_2"), ("composed", "dives--a"),
        ("000123LP", "dives--b"), ("000125HF", "uvp6_project--07"), ("000125HF", "uvp6_project--08"),
    }  # fmt: skip
    named = Counter(row["source"] for row in table(alone, "objects"))
    assert named["more.zip"] == 25
    assert named["sorted/spheres"] == 30
    assert named["uvp6_project/07"] > 0
    assert not (alone / "work").exists()


def test_a_recording_gives_the_dive_that_simulate_gives(archive, alone):
    assert (alone / "dives/cruise--rec_1/dive.sqlite").read_bytes() == (
        archive / "dives/a/dive.sqlite"
    ).read_bytes()


def test_a_dive_through_its_own_model_stays_as_it_was(archive, alone):
    with (
        DiveLog.open(shutil.copy(archive / "dives/a/dive.sqlite", alone.parent / "a.sqlite")) as old,
        DiveLog.open(alone / "dives/dives--a/dive.sqlite") as new,
    ):
        was, now = list(old.particles(with_vignettes=True)), list(new.particles(with_vignettes=True))
        assert len(was) == len(now) > 20
        for a, b in zip(was, now, strict=True):
            assert (a.taxon, a.evidence, a.numbers, a.vignette_png) == (
                b.taxon, b.evidence, b.numbers, b.vignette_png,
            )  # fmt: skip
            assert np.array_equal(a.scores, b.scores)
            assert np.array_equal(a.measures, b.measures)
        assert old.meta("corrected") == new.meta("corrected")
        one, other = summarise(old).profile, summarise(new).profile
        for a, b in zip(one.phases, other.phases, strict=True):
            assert np.array_equal(a.taxa, b.taxa)
            assert np.array_equal(a.volume_classified_ul, b.volume_classified_ul)


def test_particles_without_a_vignette_become_unnamed(archive, alone):
    file = shutil.copy(archive / "dives/b/dive.sqlite", alone.parent / "b.sqlite")
    with DiveLog.open(file) as old, DiveLog.open(alone / "dives/dives--b/dive.sqlite") as new:
        kept, n_old = len(old.vignette_numbers()), sum(1 for _ in old.particles())
        assert 0 < kept < n_old
        assert sum(1 for _ in new.particles()) == kept
        was, now = list(old.records()), list(new.records())
        assert [one.outcome for one in was] == [one.outcome for one in now]
        for a, b in zip(was, now, strict=True):
            assert len(a.taxa) + a.unnamed == len(b.taxa) + b.unnamed
            assert np.array_equal(a.histogram.count, b.histogram.count)
        n_unnamed = sum(one.unnamed for one in now) - sum(one.unnamed for one in was)
        assert n_unnamed == n_old - kept
        less = [
            (int(b.volume_classified_ul.sum()), int(a.volume_classified_ul.sum()))
            for a, b in zip(summarise(old).profile.phases, summarise(new).profile.phases, strict=True)
        ]
        assert all(now_ul <= was_ul for now_ul, was_ul in less)
        assert sum(now_ul for now_ul, _ in less) < sum(was_ul for _, was_ul in less)
    told = [row for row in table(alone, "failures.parquet") if row["source"] == "dives/b"]
    assert f"{n_old - kept} vignettes were not kept aboard" in {row["reason"] for row in told}


def test_another_model_names_by_its_own_taxa_and_says_what_was_before(archive, tmp_path):
    run(archive / "dives", tmp_path / "out", "--dives", bundle="darkfield")
    found = [row for row in table(tmp_path / "out", "objects") if row["dive"] == "a"]
    with DiveLog.open(tmp_path / "out/dives/a/dive.sqlite") as log:
        labels = {taxon.label for taxon in codebook_in(log).taxa}
        assert log.meta("bundle")["name"] == "darkfield"
        assert log.meta("bundle_before")["name"] == "demo"
    assert "Copepod" in labels
    assert {row["taxon"] for row in found} <= labels
    assert "copepod" in {row["taxon_before"] for row in found}
    assert all(abs(sum(row["scores"]) - 1) < 1e-4 for row in found)


def test_frames_add_up_and_bins_hold_them_all(archive, alone):
    frames, bins = table(alone, "frames"), table(alone, "bins")
    for label in ("cruise--rec_1", "cruise--rec_2", "dives--a"):
        of = [row for row in frames if row["dive"] == label]
        assert len(of) == N_FRAMES
        by_outcome = Counter(row["outcome"] for row in of)
        binned = Counter()
        for row in bins:
            if row["dive"] == label and row["quantity"] == "frames" and row["phase"] != "dive":
                binned[row["name"]] += int(row["value"])
        assert +binned == by_outcome
        corrupt = [row["file"] for row in of if row["outcome"] == FrameOutcome.CORRUPT.label]
        assert corrupt
        told = [
            row["file"]
            for row in table(alone, "failures.parquet")
            if row["source"].replace("/", "--") == label
        ]
        assert told == corrupt
    marker = json.loads((alone / "done/cruise--rec_1.json").read_text())
    assert sum(marker["frames"].values()) == N_FRAMES


def test_the_profile_opens_as_netcdf_with_the_counts_of_the_objects(alone):
    data = xr.load_dataset(alone / "netcdf/unit=composed/dive=cruise--rec_2/profile.nc")
    objects = [row for row in table(alone, "objects") if row["dive"] == "cruise--rec_2"]
    counted = Counter(row["taxon"] for row in objects)
    assert objects
    for label, n in zip(data.taxon_name.values, data.NB_OBJECT_CATEGORY_total.values, strict=True):
        assert counted[str(label)] == n


def test_a_second_run_has_nothing_to_do(archive, alone):
    before = {file: file.stat().st_mtime_ns for file in alone.rglob("part.parquet")}
    run(archive, alone, "--dives")
    assert {file: file.stat().st_mtime_ns for file in alone.rglob("part.parquet")} == before


def test_what_has_changed_is_done_again_and_nothing_else(copy, tmp_path):
    out = tmp_path / "out"
    run(copy, out)
    before = {file: file.stat().st_mtime_ns for file in out.rglob("part.parquet")}
    (copy / "sorted/spheres/0000.png").unlink()
    (out / "objects/unit=unknown/dive=more.zip/part.parquet").unlink()
    run(copy, out)
    after = {file: file.stat().st_mtime_ns for file in out.rglob("part.parquet")}
    changed = {file.parent.name for file in before if after[file] != before[file]}
    assert changed == {"dive=sorted--spheres", "dive=more.zip"}
    assert len([row for row in table(out, "objects") if row["dive"] == "sorted--spheres"]) == 29


def test_results_inside_the_archive_are_no_part_of_it(copy, tmp_path):
    for _ in range(2):
        run(copy / "dives", copy / "dives/results", "--dives")
        assert {file.stem for file in (copy / "dives/results/done").iterdir()} == {"a", "b"}


def test_results_of_another_model_are_not_mixed(archive, alone):
    said = run(archive, alone, code=2, bundle="darkfield")
    assert "holds results of another model or of other settings; choose another folder" in said


def test_damage_is_named_and_the_rest_goes_on(copy, tmp_path):
    (copy / "sorted/spheres/0003.png").write_bytes((copy / "sorted/spheres/0003.png").read_bytes()[:90])
    (copy / "cruise/rec_2/recording.toml").unlink()  # half copied
    frame = sorted((copy / "cruise/rec_1/frames").iterdir())[2]
    frame.write_bytes(frame.read_bytes()[:2000])
    sorted((copy / "cruise/rec_1/frames").iterdir())[3].unlink()
    data = (copy / "dives/b/dive.sqlite").read_bytes()
    (copy / "dives/b/dive.sqlite").write_bytes(data[: len(data) // 2])
    (copy / "dives/a/dive.sqlite").write_bytes(b"no log at all")
    packed = (copy / "more.zip").read_bytes()
    (copy / "more.zip").write_bytes(packed[: len(packed) // 2])
    (copy / "loose.avi").write_bytes(b"RIFF")
    out = tmp_path / "out"
    said = run(copy, out, code=1, workers=2)
    told = {(row["source"], row["file"].rpartition("/")[2]): row for row in table(out, "failures.parquet")}
    assert "is truncated" in told["sorted/spheres", "0003.png"]["reason"]
    assert told["sorted/spheres", "0003.png"]["lost"] == "the particle is not named"
    assert "has no recording.toml" in told["cruise/rec_2", "rec_2"]["reason"]
    assert told["cruise/rec_1", frame.name]["lost"] == "the frame is counted as corrupt"
    assert told["dives/a", "dive.sqlite"]["lost"] == "the source was not used"
    assert "damaged" in told["dives/b", "dive.sqlite"]["reason"]
    assert told["more.zip", "more.zip"]["lost"] == "the source was not used"
    assert "is a bare video" in told["loose.avi", "loose.avi"]["reason"]
    assert "failures.parquet" in said
    objects = Counter(row["dive"] for row in table(out, "objects"))
    assert objects["sorted--spheres"] == 29
    assert objects["uvp6_project--07"] > 0
    frames = Counter(row["dive"] for row in table(out, "frames"))
    assert frames["cruise--rec_1"] == N_FRAMES
    again = run(copy, out, code=1)
    assert again.count("the source was not used") == said.count("the source was not used")


def test_a_vignette_that_is_damaged_in_a_log_is_named(copy, tmp_path):
    with sqlite3.connect(copy / "dives/a/dive.sqlite") as db:
        (n,) = db.execute("SELECT COUNT(*) FROM particles").fetchone()
        db.execute("UPDATE vignettes SET png = zeroblob(20) WHERE particle = 4")
    db.close()
    run(copy / "dives/a", tmp_path / "out")
    told = [row for row in table(tmp_path / "out", "failures.parquet") if "vignette" in row["file"]]
    assert [(row["file"], row["lost"]) for row in told] == [
        ("vignette of particle 4", "the particle is not named")
    ]
    assert len(table(tmp_path / "out", "objects")) == n - 1


def test_an_archive_of_nothing_is_refused(tmp_path):
    (tmp_path / "empty/deeper").mkdir(parents=True)
    (tmp_path / "empty/readme.txt").write_text("nothing")
    said = run(tmp_path / "empty", tmp_path / "out", code=2)
    assert "holds nothing that can be processed" in said
    assert not (tmp_path / "out").exists() or not tree(tmp_path / "out")
    assert "is not there" in run(tmp_path / "none", tmp_path / "out", code=2)


def test_a_zip_of_no_image_is_a_source_that_failed(tmp_path):
    (tmp_path / "archive").mkdir()
    with zipfile.ZipFile(tmp_path / "archive/texts.zip", "w") as packed:
        packed.writestr("a.txt", "a")
    assert "holds no image" in run(tmp_path / "archive", tmp_path / "out", code=1)


def test_bright_vignettes_are_inverted_first(archive, tmp_path):
    import cv2

    for file in (archive / "sorted/spheres").iterdir():
        (tmp_path / "bright").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "bright" / file.name), 255 - cv2.imread(str(file), cv2.IMREAD_GRAYSCALE))
    run(archive / "sorted/spheres", tmp_path / "one")
    run(tmp_path / "bright", tmp_path / "two", "--polarity", "bright-field")
    one, two = table(tmp_path / "one", "objects"), table(tmp_path / "two", "objects")
    assert [row["scores"] for row in one] == [row["scores"] for row in two]


def test_a_recording_without_optics_is_not_guessed_at(copy, tmp_path):
    toml = copy / "cruise/rec_1/recording.toml"
    toml.write_text(toml.read_text().partition("[optics]")[0])
    assert "does not say its optics; give --config" in run(copy / "cruise/rec_1", tmp_path / "out", code=1)


def test_images_that_are_no_vignettes_are_refused(archive, tmp_path):
    import cv2

    (tmp_path / "frames").mkdir()
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"frames/{i}.png"), np.full((1000, 1000), i, dtype=np.uint8))
    said = run(tmp_path / "frames", tmp_path / "one", code=1)
    assert "holds frames, to judge by 3 of 3: all are 1000 x 1000 px; put them into frames/ beside a" in said
    said = run(archive / "sorted/spheres", tmp_path / "two", "--polarity", "bright-field", code=1)
    assert "whose background is bright, as --polarity has them; give the other --polarity" in said


def test_a_cast_without_vignettes_says_so(archive, tmp_path):
    cast = next((archive / "uvp6_project").rglob("*_Particule.zip"))
    shutil.copy(cast, tmp_path / cast.name)
    said = run(tmp_path / cast.name, tmp_path / "out")
    assert "its particles are counted, none is named" in said
    assert len(table(tmp_path / "out", "frames")) > 0
