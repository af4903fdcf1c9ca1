"""UVP6 projects replayed as dives, and dives written as UVP6 projects and as EcoPart's real-time files."""

from __future__ import annotations

import io
import math
import zipfile
from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.divelog import DiveLog
from edge.errors import RecordingError
from edge.frame import SIZED_OUTCOMES, FrameOutcome, Phase
from edge.logged import summarise
from edge.telemetry import Codebook
from tests.tools.made_dive import make_dive
from tests.tools.shore.made_project import ROWS, made_project, picture_in, tree, vignettes_zip
from tests.tools.test_simulate import seston
from tools.shore.uvp6_project.check import check_project
from tools.shore.uvp6_project.ecopart import (
    LIMITS_UM,
    LPM_COLUMNS,
    TAXO_COLUMNS,
    Slice,
    check_remote,
    counts_in,
    lpm_table,
    read_remote,
    write_remote,
)
from tools.shore.uvp6_project.files import Archive
from tools.shore.uvp6_project.reader import read_project
from tools.shore.uvp6_project.replay import open_cast
from tools.shore.uvp6_project.tables import read_text_table, write_text_table
from tools.shore.uvp6_project.vignettes import Vignettes, read_objects
from tools.shore.uvp6_project.writer import write_project

CASTS = ("01", "02", "03")


def counted_by_hand(zip_file):
    """Lit or not, and particles by size class, of each image: read here with nothing of the product's.

    ESD in um of an area in px: 2 * sqrt(Aa * area**Exp / pi); classes begin at the limits in HW_CONF.
    """
    with zipfile.ZipFile(zip_file) as archive:
        lines = archive.read("particules.csv").decode("latin-1").splitlines()
    hardware = lines[0].rstrip(";").split(",")
    aa, exp = float(hardware[19]), float(hardware[20])
    limits = [float(cell) for cell in hardware[26:44]]
    class_of = {}
    found = []
    for line in lines:
        if not line.startswith("20"):
            continue
        head, body = line.split(":")
        counts = [0] * 18
        for block in body.rstrip(";").split(";"):
            area, count = map(int, block.split(",")[:2])
            if area not in class_of:
                esd = 2 * math.sqrt(aa * area**exp / math.pi)
                class_of[area] = sum(esd >= limit for limit in limits) - 1
            if class_of[area] >= 0:
                counts[class_of[area]] += count
        found.append((head.endswith(",1"), counts, float(head.split(",")[1])))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("cast", CASTS)
def test_real_casts_replay_to_the_counts_in_them_exactly(tmp_path, shared, cast):
    file = shared / "data/uvp6_casts" / f"{cast}_Particule.zip"
    code, told = seston("simulate", file, "--bundle", "demo", "--out", tmp_path / "dive", "--no-report")
    assert code == 0, told
    wanted = counted_by_hand(file)
    with DiveLog.open(tmp_path / "dive") as log:
        optics = msgspec.convert(log.meta("codebook"), Codebook).optics
        seen = 0
        for record, (lit, counts, pressure) in zip(log.records(), wanted, strict=True):
            assert record.outcome is (FrameOutcome.ANALYSED if lit else FrameOutcome.UNLIT)
            assert record.histogram.by_class(optics)[0].tolist() == counts
            assert record.pressure_dbar == pressure
            seen += 1
        assert seen == len(wanted) > 16_000
        profile = summarise(log).profile
    assert profile.lpm().tolist() == np.sum([counts for lit, counts, _ in wanted if lit], axis=0).tolist()
    noise = sum(part.noise.sum(axis=0) for part in profile.phases)
    assert noise.tolist() == np.sum([counts for lit, counts, _ in wanted if not lit], axis=0).tolist()
    n_lit = sum(lit for lit, _, _ in wanted)
    assert sum(int(part.volume_sized_ul.sum()) for part in profile.phases) == n_lit * 710_000


def test_the_flat_folder_of_real_casts_is_read(shared):
    project = read_project(shared / "data/uvp6_casts")
    assert [(one.id, len(one.particles.data.rows)) for one in project.samples] == [
        ("01", 16732), ("02", 16781), ("03", 21951),
    ]  # fmt: skip
    found = check_project(project)
    assert len(found.faults) == 2  # the header's degree signs are lost, no more
    assert all("has lost a letter to a wrong encoding" in fault for fault in found.faults)


def test_a_real_images_zip_is_read(shared):
    file = shared / "data/ecotaxa/b_da_19_Images.zip"
    archive = Archive(file, str(file))
    rows, faults = read_objects(archive)
    assert (len(rows), faults) == (15, [])
    vignettes = Vignettes(archive)
    assert len(vignettes) == 15
    assert vignettes.faults == []
    found = list(vignettes.of("20200205-111826"))
    assert [picture.shape for picture in found] == [(57, 42), (45, 30), (105, 30)]
    # UVPapp's greys are those of the inverted picture: bright particles on black lie in the zip.
    assert all(picture.max() > 150 and np.median(picture) < 21 for picture in found)
    archive.close()


def test_a_sample_replays_as_a_dive(tmp_path):
    folder = tmp_path / "uvp6_sn1"
    write_project(made_project(), folder)
    arguments = ("simulate", folder, "--profile", "07", "--bundle", "demo", "--out", tmp_path / "dive")
    code, told = seston(*arguments, "--no-report")
    assert code == 0, told
    with DiveLog.open(tmp_path / "dive") as log:
        records, rows = list(log.records()), log.frames()
        particles = list(log.particles(with_vignettes=True))
        told = log.meta("recording")
    kinds = ["unlit", "analysed", "over-exposed", "empty", "analysed"]
    assert [one.outcome.label for one in records] == kinds
    assert [one.histogram.n_particles for one in records] == [20, 346, 0, 0, 296]
    assert [row["source"] for row in rows][1] == "20220518-042127-468"
    assert records[1].temperature_c == pytest.approx(16 - 1.68 / 4)  # of the water, from the CTD cast
    assert '"internal_temperature_c": 31.75' in rows[1]["environment"]
    # Three vignettes for three particles of 620 um and more.
    assert [one.frame for one in particles] == [1, 4, 4]
    assert [one.unnamed for one in records] == [0, 0, 0, 0, 0]
    with zipfile.ZipFile(io.BytesIO(vignettes_zip())) as archive:
        picture = picture_in(archive.read("sub1/20220518-042131-007_1.png"))
    assert particles[1].area_px == np.count_nonzero(picture > 22)
    assert told["profile"] == "07"
    assert told["position"] == {"latitude_deg": 43.81, "longitude_deg": -9.5}


def test_images_that_cannot_be_read_are_corrupt_frames_and_the_rest_is_replayed(tmp_path):
    folder = tmp_path / "uvp6_sn1"
    rows = ROWS.replace("nan,31.75", "deep,31.75").replace("60,2,60.0", "60,two,60.0")
    write_project(made_project(rows=rows), folder)
    options = ("--bundle", "demo", "--out", tmp_path / "dive", "--no-report")
    code, told = seston("simulate", folder / "ecodata/07/07_Particule.zip", *options)
    assert code == 0, told
    assert "Not used: " in told
    assert "holds 'deep' where its pressure should be; it is left out." in told
    with DiveLog.open(tmp_path / "dive") as log:
        records, rows = list(log.records()), log.frames()
        n_particles = len(list(log.particles()))
    assert [one.outcome.label for one in records] == ["unlit", "analysed", "corrupt", "empty", "corrupt"]
    assert "particules.csv: line 7: holds 'deep'" in rows[2]["note"]
    assert records[2].time_ms == records[1].time_ms  # nobody knows better
    assert n_particles == 1  # vignettes beside the zip are found


def test_options_that_make_no_sense_with_a_project_or_without(tmp_path):
    folder = tmp_path / "uvp6_sn1"
    write_project(made_project(), folder)
    (tmp_path / "bare").mkdir()
    for arguments, words in (
        ((folder,), "--profile: has 2 profiles; choose one of 07, 08."),
        ((folder, "--fps", 2), "--fps and --pressure: are in the project; leave them out."),
        ((tmp_path / "bare", "--profile", "07"), "--profile: is of UVP6 projects, and this is none"),
    ):
        code, told = seston("simulate", *arguments, "--bundle", "demo", "--out", tmp_path / "out")
        assert code == 2
        assert words in told
    assert not (tmp_path / "out").exists()


# From dives


@pytest.fixture(scope="module")
def dive(tmp_path_factory):
    return make_dive(tmp_path_factory.mktemp("dive") / "00012")


def records_of(folder):
    with DiveLog.open(folder) as log:
        return list(log.records()), list(log.particles(with_vignettes=True))


def test_a_dive_becomes_a_project_that_replays_to_the_same_counts(tmp_path, dive):
    out = tmp_path / "uvp6_sn7_made"
    code, told = seston("export", "uvp6", dive, "--out", out)
    assert code == 0, told
    records, particles = records_of(dive)
    kept = [
        one
        for one in records
        if one.outcome in (*SIZED_OUTCOMES, FrameOutcome.UNLIT, FrameOutcome.OVER_EXPOSED)
    ]
    assert f"3 samples, {len(kept)} images." in told
    assert f"{sum(one.outcome is FrameOutcome.BLURRED for one in records)} blurred" in told
    assert seston("uvp6", "check", out)[0] == 0
    with_picture = Counter(one.frame for one in particles if one.vignette_png is not None)
    for phase, name in zip(Phase, ("DES", "PAR", "ASC"), strict=True):
        recording = open_cast(out, f"seston-0042-012a-{name}")
        mine = [one for one in kept if one.phase is phase]
        frames = list(recording.frames())
        assert recording.faults == ()
        assert len(frames) == len(mine) > 20
        for frame, record in zip(frames, mine, strict=True):
            outcome = (
                FrameOutcome.ANALYSED if record.outcome is FrameOutcome.INFERENCE_FAILED else record.outcome
            )
            assert frame.counted.outcome is outcome
            np.testing.assert_array_equal(frame.counted.histogram.area_px, record.histogram.area_px)
            np.testing.assert_array_equal(frame.counted.histogram.count, record.histogram.count)
            assert frame.time_ms == record.time_ms
            assert frame.pressure_dbar == pytest.approx(record.pressure_dbar, abs=0.006, nan_ok=True)
            assert len(frame.counted.vignettes) == with_picture[record.index]
        water = recording.environment["temperature_c"]
        known = [(at, one.temperature_c) for at, one in enumerate(mine) if math.isfinite(one.pressure_dbar)]
        # By pressure, as EcoPart has it: noise of readings at one depth stays.
        assert np.abs([water[at] - wanted for at, wanted in known]).mean() < 0.1
    about = [sample.about for sample in read_project(out).samples]
    assert [one["sampletype"] for one in about] == ["P", "T", "P"]
    assert about[1]["integrationtime"] == "3600"
    assert about[0]["cruise"] == "TEST 2025"


def test_the_same_dive_gives_the_same_bytes(tmp_path, dive):
    for name in ("a", "b"):
        assert seston("export", "uvp6", dive, "--out", tmp_path / name / "uvp6_sn7")[0] == 0
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_its_vignettes_are_an_import_of_ecotaxa(tmp_path, dive):
    assert seston("export", "uvp6", dive, "--out", tmp_path / "p", "--ship", "float")[0] == 0
    sample = read_project(tmp_path / "p").samples[0]
    rows, faults = read_objects(sample.images)
    assert faults == []
    assert {row.values["acq_instrument"] for row in rows} == {"seston"}
    assert {row.status for row in rows} <= {"predicted", ""}
    assert {row.values["sample_ship"] for row in rows} == {"float"}
    named = Counter(row.category for row in rows if row.category)
    assert sum(named.values()) > 20
    assert "compute_vignette.txt" in sample.images.names
    sample.images.close()


def test_two_samples_of_one_name_are_refused(tmp_path, dive):
    code, told = seston("export", "uvp6", dive, dive, "--out", tmp_path / "p")
    assert code == 2
    assert "two dives become sample seston-0042-012a-DES" in told


def test_a_dive_that_does_not_say_where_it_was_asks(tmp_path, dive):
    nowhere = tmp_path / "dive"
    nowhere.mkdir()
    (nowhere / "dive.sqlite").write_bytes((dive / "dive.sqlite").read_bytes())
    with DiveLog.open(nowhere) as log:
        log.set_meta("recording", {})
    code, told = seston("export", "uvp6", nowhere, "--out", tmp_path / "p")
    assert code == 2
    assert "position: does not say where it was; give --latitude and --longitude." in told
    assert seston("export", "uvp6", nowhere, "--out", tmp_path / "p", "--latitude", 43)[0] == 2
    where = ("--latitude", 43.5, "--longitude", 200)
    assert seston("export", "uvp6", nowhere, "--out", tmp_path / "p", *where)[0] == 0


# EcoPart's real-time files


def test_a_dive_becomes_ecoparts_files(tmp_path, dive):
    with DiveLog.open(dive) as log:  # as a bundle whose taxa have ids
        codebook = log.meta("codebook")
    again = tmp_path / "dive"
    again.mkdir()
    (again / "dive.sqlite").write_bytes((dive / "dive.sqlite").read_bytes())
    for i, taxon in enumerate(codebook["taxa"][:5]):
        taxon["ecotaxa_id"] = 25_000 + i
    with DiveLog.open(again) as log:
        log.set_meta("codebook", codebook)
    code, told = seston("export", "ecopart", again, "--out", tmp_path / "eco")
    assert code == 0, told
    assert "frames have no pressure and belong to no slice" in told
    samples, faults = read_remote(tmp_path / "eco")
    assert faults == []
    assert [(one.id.rpartition("-")[2], one.kind) for one in samples] == [
        ("ASC", "DEPTH"), ("DES", "DEPTH"), ("PAR", "TIME"),
    ]  # fmt: skip
    records, _ = records_of(again)
    for sample, phase in zip(samples, (Phase.ASCENT, Phase.DESCENT, Phase.PARK), strict=True):
        assert check_remote(sample) == ([], [])
        assert sample.limits_um == LIMITS_UM
        assert sample.meta["category_name_5"] == "25004"
        mine = [one for one in records if one.phase is phase and math.isfinite(one.pressure_dbar)]
        sized = [one for one in mine if one.outcome in SIZED_OUTCOMES]
        wanted = np.zeros(18, dtype=int)
        for record in sized:
            esd = 2 * np.sqrt(2300 * record.histogram.area_px.astype(float) ** 1.136 / math.pi)
            np.add.at(wanted, np.searchsorted(LIMITS_UM, esd, side="right") - 1, record.histogram.count)
        known = [one for one in mine if math.isfinite(one.temperature_c)]
        ctd = sample.tables["CTD"].records()
        assert [float(row["temperature [degc]"]) for row in ctd] == pytest.approx(
            [one.temperature_c for one in known], abs=6e-4
        )
        lpm = sample.tables["LPM"]
        assert np.sum(counts_in(lpm), axis=0).tolist() == wanted.tolist()
        assert sum(float(row["image_number_particles"]) for row in lpm.records()) == len(sized)
        taxo = sample.tables["TAXO2"].records()
        for n in range(5):
            objects = sum(int((one.taxa == n).sum()) for one in mine if one.outcome is FrameOutcome.ANALYSED)
            assert sum(int(row[f"nb_plankton_cat_{n + 1}"]) for row in taxo) == objects
        if phase is not Phase.PARK:  # EcoPart's bins are of 5 m: no slice lies in two
            bins = [float(row["pres_decibar"]) // 5 for row in lpm.records()]
            assert len(bins) == len(set(bins))


def test_where_only_some_were_named_the_images_are_fewer(tmp_path, dive):
    again = tmp_path / "dive"
    again.mkdir()
    (again / "dive.sqlite").write_bytes((dive / "dive.sqlite").read_bytes())
    with DiveLog.open(again) as log:
        codebook = log.meta("codebook")
        codebook["taxa"][0]["ecotaxa_id"] = 7
        log.set_meta("codebook", codebook)
        named = "SELECT frame f, COUNT(*) n FROM particles GROUP BY 1"
        log._db.execute(f"UPDATE frames SET unnamed = n FROM ({named}) WHERE frame = f")
    assert seston("export", "ecopart", again, "--out", tmp_path / "eco")[0] == 0
    samples, _ = read_remote(tmp_path / "eco")
    records, _ = records_of(again)
    mine = [one for one in records if one.phase is Phase.DESCENT and math.isfinite(one.pressure_dbar)]
    named = [one for one in mine if one.outcome in (FrameOutcome.ANALYSED, FrameOutcome.EMPTY)]
    images = [float(row["image_number_plankton"]) for row in samples[1].tables["TAXO2"].records()]
    assert len(named) / 2 <= sum(images) < len(named)


@given(
    counts=st.lists(st.lists(st.integers(0, 10**7), min_size=18, max_size=18), min_size=1, max_size=4),
    n_images=st.integers(1, 5000),
)
def test_particles_an_image_are_whole_again_times_the_images(counts, n_images):
    slices = [
        Slice("20220518T042127", 5.0 * i, math.nan, n_images, row, [30.0] * 18)
        for i, row in enumerate(counts)
    ]
    table = lpm_table(slices, (43.5, -9.5))
    again = read_text_table(write_text_table(table), "\t")
    assert counts_in(again) == counts
    assert write_text_table(again) == write_text_table(table)


def float_files(**changes):
    files = {
        "META": "Camera_ref\t000010LP\nAa\t2300\nExp\t1.136\nPixel_Size\t73\nImage_volume\t0.65\n"
        + "".join(f"Lower_limit_size_class_{n}\t{um:g}\n" for n, um in enumerate(LIMITS_UM, start=1))
        + "category_name_1\t25828\n",
        "LPM": "\t".join(LPM_COLUMNS)
        + "\n20220518T042127\t2.5\t43.5\t-9.5\t3\t20\t"
        + "\t".join(["1"] * 36)
        + "\n",
        "TAXO2": "\t".join(TAXO_COLUMNS)
        + "\n20220518T042127\t2.5\t43.5\t-9.5\t3\t"
        + "\t".join(["0"] * 80)
        + "\n",
    }
    return files | changes


def put(folder, files, name="sg003b_000010LP_DEPTH_{}.txt"):
    folder.mkdir()
    for kind, text in files.items():
        if text is not None:
            (folder / name.format(kind)).write_bytes(text.encode("latin-1"))
    return folder


def test_files_of_a_float_are_read_and_written_with_the_same_bytes(tmp_path):
    folder = put(tmp_path / "f", float_files())
    (sample,), faults = read_remote(folder)
    assert faults == []
    assert check_remote(sample) == ([], [])
    assert counts_in(sample.tables["LPM"]) == [[3] * 18]
    assert write_remote(sample) == tree(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"META": None}, "_META.txt: is missing; EcoPart needs it"),
        ({"LPM": None}, "_LPM.txt: is missing; EcoPart needs it"),
        (
            {"META": float_files()["META"].replace("1.136", "1,136")},
            "META.txt: exp: holds '1,136', with a comma",
        ),
        (
            {"META": float_files()["META"].replace("Aa\t2300\n", "")},
            "META.txt: aa: holds '', which is no number",
        ),
        ({"META": float_files()["META"].replace("25828", "copepod")}, "names no category_name_n"),
        (
            {"LPM": float_files()["LPM"].replace("T042127", "T042127Z")},
            "holds '20220518T042127Z'; write UTC as",
        ),
        (
            {"LPM": float_files()["LPM"].replace("\t2.5\t", "\t2,5\t")},
            "column PRES_decibar: holds '2,5', with a comma",
        ),
        ({"LPM": float_files()["LPM"].replace("\t2.5\t", "\tdeep\t")}, "holds 'deep', which is no number"),
        (
            {"LPM": float_files()["LPM"].replace("\t20\t1\t", "\t20\tNA\t")},
            "class_1: is empty, which EcoPart cannot",
        ),
        (
            {"LPM": float_files()["LPM"].replace("IMAGE_NUMBER_PARTICLES", "N")},
            "IMAGE_NUMBER_PARTICLES: is missing",
        ),
        ({"LPM": float_files()["LPM"].rstrip("1\n\t") + "\n"}, "cells of 42; complete it"),
    ],
)
def test_what_is_wrong_in_files_of_a_float_is_a_sentence(tmp_path, changes, words):
    folder = put(tmp_path / "f", float_files(**changes))
    code, told = seston("uvp6", "check", folder)
    assert code == 1
    assert any(words in line and line.startswith(str(folder)) for line in told.splitlines()), told


def test_names_that_ecopart_passes_over_and_types_it_does_not_know(tmp_path):
    folder = put(tmp_path / "f", float_files(), "my_float_003_000010LP_DEPTH_{}.txt")
    code, told = seston("uvp6", "check", folder)
    assert code == 1
    assert told.count("so EcoPart passes it over; rename it.") == 3
    folder = put(tmp_path / "g", float_files(), "sg003b_000010LP_DEEP_{}.txt")
    assert "its sample type is 'DEEP'; name it DEPTH or TIME." in seston("uvp6", "check", folder)[1]


def test_size_classes_that_the_importer_would_shift_are_said(tmp_path):
    meta = float_files()["META"].replace("\t40.3\n", "\t45\n")
    (sample,), _ = read_remote(put(tmp_path / "f", float_files(META=meta)))
    faults, (remark,) = check_remote(sample)
    assert faults == []
    assert "its first size class begins at 45 um: EcoPart takes it for 40.3 um" in remark
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordingError, match="holds no \\*_META"):
        read_remote(tmp_path / "empty")
