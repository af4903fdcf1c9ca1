"""A dive for EcoTaxa: what stands in the zip is what the log says and what UVPapp's names mean."""

from __future__ import annotations

import csv
import io
import math
import shutil
import sqlite3
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("gsw", reason="needs the shore extra")

import gsw

from edge.divelog import DiveLog
from edge.errors import InputError
from edge.inference.preprocessing import Preprocessing
from edge.vision.segmentation import segment
from edge.vision.vignette import decode_vignette
from tests.tools.made_dive import make_dive as make_other_dive
from tools.bench.drawn_dive import OPTICS, TAXA, make_dive
from tools.cli import cli, main
from tools.shore.dives import Place
from tools.shore.ecotaxa import columns, rules
from tools.shore.ecotaxa.check import check_archive
from tools.shore.ecotaxa.dive import open_dive
from tools.shore.ecotaxa.export import Wishes, export_dives
from tools.shore.ecotaxa.fields import COLUMNS
from tools.shore.ecotaxa.names import Category, read_categories
from training.datasets import read_dataset
from training.ecotaxa import EcotaxaArchive

N = 60
IDS = {label: Category(f"{label}<Living", str(1000 + i)) for i, label in enumerate(t.label for t in TAXA)}


@pytest.fixture(scope="module")
def dive(tmp_path_factory) -> Path:
    return make_dive(tmp_path_factory.mktemp("dives") / "00001", N, distinct=25)


def rows_of(path: Path) -> tuple[list[str], list[dict[str, str]], zipfile.ZipFile]:
    """An independent reading: the csv module, row 2 apart."""
    archive = zipfile.ZipFile(path)
    rows = []
    types: list[str] = []
    for name in archive.namelist():
        if name.endswith(".tsv"):
            text = archive.read(name).decode("utf-8-sig")
            header, types, *body = csv.reader(io.StringIO(text, newline=""), delimiter="\t")
            rows += [dict(zip(header, row, strict=True)) | {"folder": name.partition("/")[0]} for row in body]
    return types, rows, archive


@pytest.fixture(scope="module")
def exported(dive, tmp_path_factory):
    target = tmp_path_factory.mktemp("export") / "eco.zip"
    done = export_dives([dive], target, Wishes(categories=IDS, places={"": Place(43.5, -7.25)}))
    assert done.zips == (target,)
    return done, *rows_of(target)


def test_the_zip_breaks_no_rule_and_asks_nobody(exported):
    report = check_archive(exported[0].zips[0])
    assert not report.findings
    assert (report.objects, report.images, report.rows) == (N, 2 * N, 2 * N)
    assert report.verdict() == "EcoTaxa imports it."


def test_every_object_has_its_log_in_its_row(exported, dive):
    done, types, rows, _ = exported
    assert done.objects == done.remeasured == N
    with DiveLog.open(dive) as log:
        particles, times = list(log.particles()), log.times_ms()
        pressures = [pressure for _, _, pressure in log.places()]
    assert types == ["[f]" if name in rules.NUMBERS or name in _numbers() else "[t]" for name in COLUMNS]
    for i, particle in enumerate(particles):
        first, second = rows[2 * i : 2 * i + 2]
        assert (first["img_rank"], second["img_rank"]) == ("1", "100")
        assert {k: v for k, v in first.items() if not k.startswith("img_")} == {
            k: v for k, v in second.items() if not k.startswith("img_")
        }
        pressure = pressures[particle.frame]
        depth = float(first["object_depth_min"])
        assert depth == pytest.approx(-gsw.z_from_p(pressure, 43.5), abs=0.005)
        assert first["object_depth_max"] == first["object_depth_min"]
        assert float(first["object_pressure"]) == pytest.approx(pressure, rel=1e-6)
        when = np.datetime64(int(times[particle.frame]), "ms").astype("datetime64[s]").item()
        assert (first["object_date"], first["object_time"]) == (f"{when:%Y%m%d}", f"{when:%H%M%S}")
        assert (first["object_lat"], first["object_lon"]) == ("43.500000", "-7.250000")
        label = TAXA[particle.taxon].label
        assert float(first["object_area_no_holes"]) == particle.area_px
        assert float(first["object_esd_um"]) == pytest.approx(
            float(OPTICS.esd_um(particle.area_px)), rel=1e-6
        )
        if label == "unclassified":
            assert first["object_annotation_category"] == first["object_annotation_status"] == ""
            assert first["object_score"] == ""
            continue
        assert first["object_annotation_category"] == f"{label}<Living"
        assert first["object_annotation_category_id"] == IDS[label].identity
        assert first["object_annotation_status"] == "predicted"
        below = [k for k, taxon in enumerate(TAXA[:8]) if label in (taxon.label, taxon.parent)]
        assert float(first["object_score"]) == pytest.approx(float(particle.scores[below].sum()), rel=1e-5)
        assert first["object_best"] == TAXA[int(particle.scores.argmax())].label


def _numbers() -> set[str]:
    return {column.name for column in (*columns.MEASURED, *columns.LOGGED)}


def test_ids_phases_and_water(exported):
    _, _, rows, _ = exported
    ids = [row["object_id"] for row in rows[::2]]
    assert len(set(ids)) == N
    (sample,) = {row["sample_id"] for row in rows}
    assert sample == "drawn_00001_20250304-120000"
    assert all(one.startswith(f"{sample}_") for one in ids)
    by_phase = {row["acq_id"]: row for row in rows}
    assert set(by_phase) == {f"{sample}_{phase}" for phase in ("descent", "park", "ascent")}
    assert sum(int(row["acq_images"]) for row in by_phase.values()) == N / 5
    for row in by_phase.values():
        assert float(row["acq_volume_l"]) == pytest.approx(0.6 * int(row["acq_images"]))
        assert (row["acq_pixel"], row["acq_aa"], row["acq_exp"], row["acq_volimage"]) == (
            "73",
            "0.0023",
            "1.136",
            "0.6",
        )
        assert (row["process_pixel"], row["process_particle_pixel_size_mm"]) == ("73", "0.073")
        assert row["process_depth"] == "TEOS-10 at latitude 43.5000"
        assert (row["sample_sampletype"], row["process_invert"]) == ("P", "y")


def test_images_are_the_logs_and_the_legends(exported, dive):
    from PIL import Image

    _, _, rows, archive = exported
    with DiveLog.open(dive) as log:
        kept = [particle.vignette_png for particle in log.particles(with_vignettes=True)]
    for i, png in enumerate(kept):
        shown, untouched = (
            archive.read(f"{row['folder']}/{row['img_file_name']}") for row in rows[2 * i : 2 * i + 2]
        )
        assert untouched == png
        original = np.array(Image.open(io.BytesIO(untouched)))
        legend = np.array(Image.open(io.BytesIO(shown)))
        height, width = original.shape
        assert legend.shape == (height + 31, max(width, 37))
        np.testing.assert_array_equal(legend[:height, :width], 255 - original)
        assert np.flatnonzero(legend[-4] == 0).tolist() == list(range(9, 37))


def test_measures_are_of_what_the_images_show(exported):
    """Area, mean grey and box once more, from the untouched image alone."""
    _, _, rows, archive = exported
    for row in rows[1::2]:
        pixels = cv2.imdecode(
            np.frombuffer(archive.read(f"{row['folder']}/{row['img_file_name']}"), np.uint8), 0
        )
        n, labels, stats, _ = cv2.connectedComponentsWithStats((pixels > 21).astype(np.uint8), connectivity=8)
        i = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        mask = (labels == i).astype(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        filled = cv2.drawContours(np.zeros_like(mask), outlines, -1, 1, -1).astype(bool)
        assert n >= 2
        assert float(row["object_area"]) == np.count_nonzero(filled)
        assert float(row["object_area_no_holes"]) == stats[i, cv2.CC_STAT_AREA]
        dark = 255 - pixels[filled].astype(float)
        assert float(row["object_mean"]) == pytest.approx(dark.mean(), rel=1e-6)
        assert float(row["object_stddev"]) == pytest.approx(dark.std(ddof=1), rel=1e-5)
        assert (float(row["object_min"]), float(row["object_max"])) == (dark.min(), dark.max())
        assert (float(row["object_width"]), float(row["object_height"])) == tuple(stats[i, 2:4])
        ys, xs = np.nonzero(filled)
        assert float(row["object_x"]) == pytest.approx(xs.mean() + 0.5, rel=1e-6)
        assert float(row["object_y"]) == pytest.approx(ys.mean() + 0.5, rel=1e-6)


def test_what_the_log_measured_is_what_is_measured_again(dive):
    """The short way and the long way agree to the last digits; with holes there is only the long one."""
    compared = left = 0
    with open_dive(dive) as one:
        assert one.has_todays_measures
        for found in one.objects():
            pixels = decode_vignette(found.particle.vignette_png)
            mask, box, left_px, top_px = columns.find_in_vignette(
                found.particle, pixels, 21, one.config.vision
            )
            long = columns.measured(mask, box, left_px, top_px, OPTICS)
            short = columns.measured_by_log(found.particle.measures, mask, box, left_px, top_px)
            if short is None:
                left += 1
                assert columns.fill_holes(mask).sum() > mask.sum()
                continue
            compared += 1
            for column, a, b in zip(columns.MEASURED, short, long, strict=True):
                assert a == pytest.approx(b, rel=1e-9, abs=1e-9, nan_ok=True), column.name
    assert compared > 10
    assert left > 0


def test_names_that_uvpapp_has_mean_what_uvpapp_means(shared, tmp_path):
    """On the vignettes of a real UVP6: equal to its columns wherever the table says the same."""
    with zipfile.ZipFile(shared / "data" / "ecotaxa" / "b_da_19_Images.zip") as archive:
        name = "b_da_19_Images/ecotaxa_b_da_19.tsv"
        rows = list(csv.DictReader(io.StringIO(archive.read(name).decode("latin-1")), delimiter="\t"))[1:]
        images = [archive.read(f"b_da_19_Images/{row['img_file_name']}") for row in rows]
    assert len(rows) == 15
    same = [column.name for column in columns.MEASURED if column.uvpapp == columns.SAME]
    assert len(same) == 23
    worst = {}
    for row, data in zip(rows, images, strict=True):
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        regions = segment(pixels, int(row["acq_threshold"]))
        i = int(np.argmax(regions.area_px))
        x, y, mask = int(regions.x_px[i]), int(regions.y_px[i]), regions.mask(i)
        box = pixels[y : y + mask.shape[0], x : x + mask.shape[1]]
        found = dict(
            zip((c.name for c in columns.MEASURED), columns.measured(mask, box, x, y, OPTICS), strict=True)
        )
        for column in same:
            real = float(row[column])
            assert found[column] == pytest.approx(real, rel=2e-4, abs=2e-3), column
        for column in ("object_perim.", "object_feret", "object_convarea"):
            worst[column] = max(worst.get(column, 0), abs(found[column] / float(row[column]) - 1))
    assert worst["object_perim."] < 0.1
    assert worst["object_feret"] < 0.12
    assert worst["object_convarea"] < 0.1


def test_every_column_of_an_object_is_in_the_documentation():
    text = (Path(__file__).parents[3] / "docs" / "ecotaxa.md").read_text(encoding="utf-8")
    for name in (*_numbers(), *columns.OWN_TEXTS):
        assert f"`{name}`" in text, name


def test_a_particle_that_its_vignette_does_not_show_has_no_measures(tmp_path):
    """A log whose vignettes are of something else: rows without measures, and a count of them."""
    other = make_other_dive(tmp_path / "dive")
    done = export_dives([other], tmp_path / "x.zip")
    assert done.objects > 0
    assert done.remeasured < done.objects
    assert done.without_vignette > 0  # one in ten was not kept
    _, rows, _ = rows_of(tmp_path / "x.zip")
    without = [row for row in rows if not row["object_area"]]
    assert len(without) == 2 * (done.objects - done.remeasured)
    assert all(not row["object_mean"] and row["object_bx"] for row in without)
    assert {row["object_lat"] for row in rows} == {"43.416667"}  # as its recording says
    assert {row["sample_cruise"] for row in rows} == {"TEST 2025"}
    assert check_archive(tmp_path / "x.zip").counts.keys() == {"category-name"}


def test_a_nasty_name_does_not_break_a_row(tmp_path):
    nasty = '"\t\r\n../<b>é' + "x" * 300
    make_other_dive(tmp_path / "dive", frames=(20, 3, 20), nasty=nasty)
    export_dives([tmp_path / "dive"], tmp_path / "x.zip")
    report = check_archive(tmp_path / "x.zip")
    assert report.counts.keys() == {"category-name"}
    _, rows, _ = rows_of(tmp_path / "x.zip")
    assert {len(row["sample_cruise"]) for row in rows} == {250}


def test_the_training_reader_takes_the_untouched_images(exported):
    done, _, rows, _ = exported
    with EcotaxaArchive(done.zips[0]) as archive:
        assert archive.faults == ()
        objects = archive.objects()
        assert {row.rank for row in objects} == {100}
        assert len(objects) == N
    data = read_dataset(done.zips[0], Preprocessing(size_px=24), all_statuses=True)
    named = [row for row in rows[1::2] if row["object_annotation_category"]]
    assert len(data.files) == len(named)
    assert {taxon.ecotaxa_id for taxon in data.taxonomy.taxa} == {
        int(row["object_annotation_category_id"]) for row in named
    }


def test_the_same_dive_gives_the_same_bytes(dive, tmp_path):
    for name in ("a.zip", "b.zip"):
        export_dives([dive], tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_several_dives_and_several_zips(dive, tmp_path):
    second = make_dive(tmp_path / "00002", 40, distinct=10, seed=4, dive_number=2)
    limit = 90_000
    done = export_dives([dive, second], tmp_path / "many.zip", Wishes(categories=IDS, most_bytes=limit))
    assert len(done.zips) > 2
    assert [path.name for path in done.zips] == [f"many-{i + 1}.zip" for i in range(len(done.zips))]
    assert not list(tmp_path.glob("*.part"))
    assert done.objects == N + 40
    ids: set[str] = set()
    tables: list[str] = []
    for path in done.zips:
        assert path.stat().st_size <= limit
        assert not check_archive(path).counts.keys() - {"place-known"}
        _, rows, archive = rows_of(path)
        ids |= {row["object_id"] for row in rows}
        tables += [name for name in archive.namelist() if name.endswith(".tsv")]
    assert len(ids) == N + 40
    assert len(set(tables)) == len(tables)  # EcoTaxa passes over tables of a name that it has seen
    assert {name.partition("/")[0] for name in tables} == set(done.samples)


def test_what_cannot_be_exported_says_so(dive, tmp_path):
    with pytest.raises(InputError, match="stands there already"):
        export_dives([dive, dive], tmp_path / "x.zip")
    with pytest.raises(InputError, match="is not there"):
        export_dives([tmp_path / "none"], tmp_path / "x.zip")
    messages = tmp_path / "shore"
    messages.mkdir()
    (messages / "00012-000.msg").write_bytes(b"x")
    with pytest.raises(InputError, match="known from its messages alone has no vignettes"):
        export_dives([messages], tmp_path / "x.zip")
    with pytest.raises(InputError, match="holds dives, it is none"):
        export_dives([dive.parent], tmp_path / "x.zip")
    bare = tmp_path / "bare"
    shutil.copytree(dive, bare)
    with sqlite3.connect(bare / "dive.sqlite") as db:
        db.execute("DELETE FROM vignettes")
    db.close()
    with pytest.raises(InputError, match="holds no particle with a vignette"):
        export_dives([bare], tmp_path / "x.zip")
    assert not list(tmp_path.glob("x*"))


def test_a_damaged_vignette_is_left_out_and_named(dive, tmp_path):
    shutil.copytree(dive, tmp_path / "dive")
    with sqlite3.connect(tmp_path / "dive" / "dive.sqlite") as db:
        db.execute("UPDATE vignettes SET png = x'00ff' WHERE particle = 7")
    db.close()
    done = export_dives([tmp_path / "dive"], tmp_path / "x.zip")
    assert done.objects == N - 1
    (fault,) = done.faults
    assert "frame 1: particle 2: its vignette is damaged" in fault
    assert "place-known" in check_archive(tmp_path / "x.zip").counts


def test_a_damaged_log_is_a_sentence(dive, tmp_path):
    shutil.copytree(dive, tmp_path / "dive")
    with sqlite3.connect(tmp_path / "dive" / "dive.sqlite") as db:
        db.execute("UPDATE particles SET taxon = 99 WHERE particle = 3")
    db.close()
    with pytest.raises(InputError, match=r"dive\.sqlite: is damaged .*; copy the dive again"):
        export_dives([tmp_path / "dive"], tmp_path / "x.zip")
    assert not list(tmp_path.glob("x*"))


def test_ids_follow_the_model_and_the_configuration(dive, tmp_path):
    shutil.copytree(dive, tmp_path / "dive")
    with sqlite3.connect(tmp_path / "dive" / "dive.sqlite") as db:
        db.execute("""UPDATE meta SET value = '{"name": "drawn", "sha256": "11"}' WHERE key = 'bundle'""")
    db.close()
    with open_dive(dive) as one, open_dive(tmp_path / "dive") as other:
        assert one.name == other.name
        assert one.object_id(3, 1) != other.object_id(3, 1)


def run(*args):
    return CliRunner().invoke(cli, ["export", "ecotaxa", *map(str, args)], catch_exceptions=False)


def test_the_command(dive, tmp_path):
    taxa = tmp_path / "taxa.csv"
    lines = [
        "taxon,ecotaxa_id,ecotaxa_name",
        *(f"{name},{one.identity},{one.name}" for name, one in IDS.items()),
    ]
    taxa.write_text("\n".join(lines), encoding="utf-8")
    places = tmp_path / "places.csv"
    places.write_text("sample,lat,lon\ndrawn_00001_20250304-120000,-60.5,170\n", encoding="utf-8")
    done = run(
        dive, "--out", tmp_path / "eco", "--taxa", taxa, "--positions", places, "--field", "sample_ship=Tara"
    )
    assert done.exit_code == 0
    assert f"{N} objects of 1 sample: drawn_00001_20250304-120000" in done.output
    assert "checked: EcoTaxa imports it." in done.output
    _, rows, _ = rows_of(tmp_path / "eco.zip")
    assert {(row["object_lat"], row["object_lon"]) for row in rows} == {("-60.500000", "170.000000")}
    assert {row["sample_ship"] for row in rows} == {"Tara"}
    told = run(dive, "--out", tmp_path / "plain.zip")
    assert "Without an EcoTaxa id: " in told.output
    assert "its place is not known" in told.output
    assert "checked: EcoTaxa imports it after asking a person about" in told.output
    run(dive, "--out", tmp_path / "known.zip", "--only-known")
    _, rows, _ = rows_of(tmp_path / "known.zip")
    assert {row["object_annotation_category"] for row in rows} == {""}
    assert {row["object_best"] for row in rows} > {"copepod"}
    assert all(math.isfinite(float(row["object_best_score"])) for row in rows)


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ("sample_sampletype=X", "P is a depth profile, T a time series"),
        ("object_area=1", "give sample_, acq_ or process_NAME=VALUE"),
        ("sample_id=x", "and no id"),
        ("sample_ship", "give sample_"),
        (f"sample_comment={'x' * 251}", "at most 250 characters"),
    ],
)
def test_a_bad_field_is_refused(dive, tmp_path, field, sentence):
    done = run(dive, "--out", tmp_path / "x.zip", "--field", field)
    assert done.exit_code == 2
    assert sentence in done.output
    assert not (tmp_path / "x.zip").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,id\n", "row 1: begins with name, id; begin with taxon,ecotaxa_id,ecotaxa_name"),
        ("taxon,ecotaxa_id\na,x\n", "row 2: ecotaxa_id: is 'x'"),
        ("taxon,ecotaxa_id\na,1\na,2\n", "row 3: taxon: stands twice"),
        ("taxon,ecotaxa_id\n,2\n", "row 2: taxon: is empty"),
    ],
)
def test_a_bad_table_of_taxa_is_named(tmp_path, text, sentence):
    path = tmp_path / "taxa.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_categories(path)
    assert sentence in str(caught.value)


def test_bad_positions_and_a_missing_legend(dive, tmp_path, capsys):
    places = tmp_path / "places.csv"
    places.write_text('sample,lat,lon\na,"43,5",7\n', encoding="utf-8")
    for args, sentence in (
        (["--positions", str(places)], "row 2: lat: is '43,5'"),
        (["--legend", str(tmp_path / "none.txt")], "none.txt: cannot be read"),
        (["--taxa", str(tmp_path / "none.csv")], "none.csv: is not there"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(["export", "ecotaxa", str(dive), "--out", str(tmp_path / "x.zip"), *args])
        assert caught.value.code == 2
        assert sentence in capsys.readouterr().err


@pytest.mark.slow
def test_a_simulated_dive_agrees_with_its_log(tmp_path):
    """Of a particle without holes all that the log measured is there: sizes as they are, greys inverted."""
    recording, out = tmp_path / "recording", tmp_path / "dive"
    for args in (
        ["compose", str(recording), "--frames", "14", "--seed", "3"],
        ["simulate", str(recording), "--out", str(out), "--bundle", "demo"],
    ):
        assert CliRunner().invoke(cli, args).exit_code == 0
    done = export_dives([out], tmp_path / "x.zip")
    assert done.objects == done.remeasured > 10
    assert check_archive(tmp_path / "x.zip").counts.keys() == {"category-name"}
    with DiveLog.open(out) as log:
        names = log.meta("measures")
        logged = [dict(zip(names, one.measures.tolist(), strict=True)) for one in log.particles()]
    _, rows, _ = rows_of(tmp_path / "x.zip")
    compared = 0
    for row, log_has in zip(rows[::2], logged, strict=True):
        assert float(row["object_area"]) == log_has["area_filled_px"]
        assert float(row["object_bx"]) == log_has["box_x_px"]
        if log_has["area_px"] != log_has["area_filled_px"]:
            continue
        compared += 1
        for name, measure, sign in (
            ("major", "major_px", 1), ("minor", "minor_px", 1), ("angle", "angle_deg", 1),
            ("feret", "feret_px", 1),
            ("perim.", "perimeter_px", 1), ("convarea", "convex_area_px", 1), ("kurt", "kurtosis", 1),
            ("skew", "skewness", -1), ("range", "range_grey", 1),
        ):  # fmt: skip
            assert float(row[f"object_{name}"]) == pytest.approx(
                sign * log_has[measure], rel=1e-5, abs=1e-6
            ), name
        for name, measure in (("mean", "mean_grey"), ("min", "max_grey"), ("max", "min_grey")):
            assert float(row[f"object_{name}"]) == pytest.approx(255 - log_has[measure], rel=1e-6)
    assert compared > 5
