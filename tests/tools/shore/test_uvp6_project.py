"""UVP6 projects: read, written with the same bytes, converted without loss, checked, torn."""

from __future__ import annotations

import dataclasses
import datetime
import io
import json
import shutil
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import RecordingError
from firmware_bridge.uvp6.lines import Generation
from tests.tools.shore.made_project import ROWS, lines_of, made_project, tree, vignettes_zip
from tests.tools.test_simulate import seston
from tools.shore.uvp6_project.cast import open_sample, read_cast
from tools.shore.uvp6_project.check import check_project
from tools.shore.uvp6_project.files import Archive, torn_members
from tools.shore.uvp6_project.generations import KEPT_FILE, convert_project
from tools.shore.uvp6_project.reader import is_project, read_project
from tools.shore.uvp6_project.rows import DataFile, ImageRow, read_data, spectrum_of, write_data
from tools.shore.uvp6_project.texts import degrees, instant
from tools.shore.uvp6_project.writer import contents, write_project, zip_of

GENERATIONS = list(Generation)


def written(folder, project):
    write_project(project, folder)
    return folder


def without_lines(rows):
    return [row._replace(line=0) for row in rows]


# Reading and writing

BLOCKS = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 999), st.integers(0, 2550), st.integers(0, 999)),
    min_size=1, max_size=6,
)  # fmt: skip


@st.composite
def image_rows(draw):
    at = draw(st.datetimes(min_value=datetime.datetime(2019, 1, 1)))
    suffix = draw(st.sampled_from(["", "-7", "-012", f"-{at.microsecond // 1000:03d}"]))
    blocks = draw(BLOCKS)
    areas = np.cumsum([block[0] for block in blocks]).tolist()
    body = ";".join(f"{a},{b[1]},{b[2] / 10:.1f},{b[3] / 10:.1f}" for a, b in zip(areas, blocks, strict=True))
    body = draw(st.sampled_from([body, "EMPTY_IMAGE", "OVER_EXPOSED,22.2%"]))
    objects = draw(
        st.lists(st.tuples(st.integers(0, 39), st.integers(0, 10**6), st.integers(0, 255)), max_size=3)
    )
    taxo = ",".join(str(v) for v in (len(objects), *(cell for one in objects for cell in one)))
    pressure = draw(st.sampled_from(["nan", "-0.05", "1.7", "6000", f"{at.microsecond / 7:.2f}"]))
    return ImageRow(
        0, f"{at:%Y%m%d-%H%M%S}{suffix}", pressure, draw(st.sampled_from(["nan", "31.75", "-1.2"])),
        draw(st.sampled_from("01")), body, draw(st.sampled_from([None, taxo])),
    )  # fmt: skip


@given(
    rows=st.lists(image_rows(), max_size=6),
    generation=st.sampled_from(GENERATIONS),
    blank_after=st.sets(st.sampled_from(["HW_CONF", "ACQ_CONF", "TAXO_CONF", "row"])),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_every_generation_is_written_read_and_written_with_the_same_bytes(
    rows, generation, blank_after, newline
):
    if not rows:  # nothing stands behind the last configuration
        blank_after = blank_after - {"row", "TAXO_CONF"}
    data = DataFile(lines_of(generation), tuple(rows), (), frozenset(blank_after), newline)
    text = write_data(data)
    again = read_data(text)
    assert write_data(again) == text
    assert without_lines(again.rows) == list(data.rows)
    assert again.configurations == data.configurations
    assert again.generation is generation
    assert not again.bad
    assert not isinstance(again.configuration("ACQ_CONF"), str)


@given(text=st.text(alphabet="20518-:,;.\n\rTAXOHW_CNF HELMPTYRIGUVD%né�", max_size=200))
@settings(max_examples=300)
def test_no_text_stops_the_reader_and_no_line_is_lost(text):
    data = read_data(text)
    kept = len(data.rows) + len(data.bad) + len(data.configurations)
    kept += sum(row.taxo is not None for row in data.rows)
    assert kept == sum(bool(line.strip()) for line in text.split("\n"))
    again = read_data(write_data(data))
    assert without_lines(again.rows) == without_lines(data.rows)
    assert [one.text for one in again.bad] == [one.text for one in data.bad]
    assert write_data(again) == write_data(data)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_project_is_written_read_and_written_with_the_same_bytes(tmp_path, generation):
    project = made_project(generation)
    folder = written(tmp_path / "uvp6_sn1", project)
    again = read_project(folder)
    assert again.faults == ()
    assert [sample.id for sample in again.samples] == ["07", "08"]
    assert again.samples[0].particles.data.generation is generation
    written(tmp_path / "again", again)
    assert tree(tmp_path / "again") == tree(folder)
    shutil.make_archive(str(tmp_path / "zipped"), "zip", folder)
    written(tmp_path / "from_zip", read_project(tmp_path / "zipped.zip"))
    assert tree(tmp_path / "from_zip") == tree(folder)


def test_files_are_known_by_their_names_wherever_they_lie(tmp_path):
    folder = written(tmp_path / "p", made_project())
    (tmp_path / "flat").mkdir()
    for file in folder.rglob("*.*"):
        shutil.copy(file, tmp_path / "flat")
    flat = read_project(tmp_path / "flat")
    assert [sample.id for sample in flat.samples] == ["07", "08"]
    assert flat.samples[0].images is not None
    assert flat.samples[0].ctd is not None
    with zipfile.ZipFile(folder / "ecodata/07/07_Particule.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    assert [sample.id for sample in read_project(tmp_path / "unpacked").samples] == ["07"]
    assert is_project(tmp_path / "unpacked")
    assert is_project(folder / "ecodata/07/07_Particule.zip")
    (tmp_path / "frames").mkdir()
    assert not is_project(tmp_path / "frames")
    assert not is_project(tmp_path / "nowhere")


def test_a_sample_without_a_zip_is_cut_from_its_sequence(tmp_path):
    folder = written(tmp_path / "p", made_project())
    whole, part = read_cast(folder, "07"), read_cast(folder, "08")
    assert len(whole) == 5
    assert [image[1:] for image in part.images] == [image[1:] for image in whole.images[1:]]
    assert part.time_s.tolist() == whole.time_s[1:].tolist()
    with pytest.raises(RecordingError, match=r"has 2 profiles; choose one of 07, 08"):
        open_sample(folder)
    with pytest.raises(RecordingError, match=r"has no profile 09 with images; choose one of 07, 08"):
        open_sample(folder, "09")


def test_what_is_there_is_not_written_over(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "x").write_text("mine")
    with pytest.raises(RecordingError, match="is there already; name a new folder"):
        write_project(made_project(), tmp_path / "p")
    assert tree(tmp_path) == {"p/x": b"mine"}


def test_a_zip_that_points_outside_of_itself_stays_inside(tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as out:
        for name, content in contents(made_project()):
            out.writestr(name, content)
        out.writestr("../../evil.txt", "x")
    project = read_project(tmp_path / "p.zip")
    assert any("holds 1 files outside of it" in fault for fault in project.faults)
    written(tmp_path / "a/b/c", project)
    assert not list(tmp_path.rglob("evil.txt"))


# Generations


@pytest.mark.parametrize("first", GENERATIONS)
@pytest.mark.parametrize("second", GENERATIONS)
@pytest.mark.parametrize("third", GENERATIONS)
def test_conversion_loses_nothing(tmp_path, first, second, third):
    project = made_project(first)
    there = written(tmp_path / "there", convert_project(project, second))
    on = written(tmp_path / "on", convert_project(read_project(there), third))
    for folder, generation in ((there, second), (on, third)):
        found = read_project(folder)
        assert {data.generation for data in found.sequences.values()} == {generation}
        assert found.samples[0].particles.data.generation is generation
        assert not [fault for fault in found.faults if "CONF" in fault]
        rows = found.samples[0].particles.data.rows
        assert without_lines(rows) == without_lines(project.samples[0].particles.data.rows)
    back = written(tmp_path / "back", convert_project(read_project(on), first))
    assert tree(back) == dict(sorted(contents(project)))


def test_values_come_to_their_places():
    (old,) = convert_project(made_project(Generation.V2022_02), Generation.V2021).sequences.values()
    hardware, acquisition = old.configuration("HW_CONF").values, old.configuration("ACQ_CONF").values
    assert hardware["Threshold"] == "22"
    assert hardware["IP_adress"] == "192.168.0.128"
    assert hardware["Lower_limit_size_class_18_um"] == "2580"
    assert (acquisition["Blocs_per_PT"], acquisition["Taxo_flag"]) == ("1", "1")
    assert old.blank_after == {"HW_CONF", "ACQ_CONF"}
    (new,) = convert_project(made_project(Generation.V2021), Generation.V2022_02).sequences.values()
    acquisition = new.configuration("ACQ_CONF").values
    assert (acquisition["Taxo_conf"], acquisition["Aux_mode"]) == ("TAXO_1", "0")
    assert new.configuration("HW_CONF").values["Version"] == "ver2022.02"
    assert not new.blank_after


def test_what_is_changed_in_between_stays_changed(tmp_path):
    there = convert_project(made_project(Generation.V2021), Generation.V2022_02)
    folder = written(tmp_path / "there", there)
    sequence = next(folder.rglob("*_data.txt"))
    text = sequence.read_text()
    sequence.write_text(text.replace(",620,", ",700,").replace("ver2022.02", "ver2023.01"))
    back = convert_project(read_project(folder), Generation.V2021)
    (data,) = back.sequences.values()
    assert data.configuration("ACQ_CONF").values["Vignetting_lower_limit_size"] == "700"
    kept = json.loads(back.others[KEPT_FILE]())
    (name,) = back.sequences
    assert kept[name]["kept"]["HW_CONF"] == {"Version": "ver2023.01"}


def test_what_cannot_be_converted_is_said(tmp_path):
    project = made_project()
    (name, data), *_ = project.sequences.items()
    short = data.configurations | {"HW_CONF": data.configurations["HW_CONF"].rpartition(",0")[0] + ",1"}
    faulty = DataFile(short, data.rows)
    wrong = dataclasses.replace(project, sequences={name: faulty})
    with pytest.raises(RecordingError, match=r"HW_CONF: HW_CONF has \d+ values; 41, 42, 43 are known"):
        convert_project(wrong, Generation.V2021)
    folder = written(tmp_path / "p", project)
    (folder / "doc").mkdir(exist_ok=True)
    (folder / KEPT_FILE).write_text("{no json")
    with pytest.raises(RecordingError, match="is not what seston wrote"):
        convert_project(read_project(folder), Generation.V2021)


# Torn archives


@given(share=st.floats(0, 1), stored=st.booleans(), flip=st.none() | st.integers(0, 10**6))
@settings(max_examples=150)
def test_a_torn_zip_gives_what_it_has(share, stored, flip):
    members = {"a.csv": b"1,2,3\n" * 400, "b/c.png": bytes(range(256)) * 4, "d.txt": b""}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    data = bytearray(out.getvalue()[: int(share * len(out.getvalue()))])
    if flip is not None and data:
        data[flip % len(data)] ^= 0x55
    found = list(torn_members(bytes(data)))
    assert [is_whole for _, _, is_whole in found[:-1]] == [True] * (len(found) - 1 if found else 0)
    if flip is None:
        for (name, content, is_whole), (wanted, whole) in zip(found, members.items(), strict=False):
            assert name == wanted
            assert content == whole if is_whole else whole.startswith(content)
    try:
        archive = Archive(bytes(data), "torn.zip")
    except RecordingError as error:
        assert "copy it again" in str(error)  # noqa: PT017
    else:
        for name in archive.names:
            try:
                archive.read(name)
            except RecordingError as error:
                assert "copy it again" in str(error)  # noqa: PT017


def test_of_a_cast_that_was_copied_in_part_the_images_that_came_are_kept(tmp_path):
    rows = "".join(
        f"20220518-04{i // 60:02d}{i % 60:02d}-000,{i},31.75,1:1,{i + 1},31.8,10.4;\n" for i in range(3000)
    )
    folder = written(tmp_path / "p", made_project(rows=rows, endimg="3000"))
    file = folder / "ecodata/07/07_Particule.zip"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    project = read_project(folder, "07")
    data = project.samples[0].particles.data
    assert 500 < len(data.rows) < 3000
    assert [spectrum_of(row.body).count.tolist() for row in data.rows] == [
        [i + 1] for i in range(len(data.rows))
    ]
    told = "\n".join(check_project(project).faults)
    assert "07_Particule.zip: was copied only in part: 1 members could be read" in told
    assert "does not end in ;, as if the file had been copied only in part; it is left out." in told
    assert f"has {len(data.rows) + 1} images, and the header says 1 to 3000, that is 3000" in told


def test_half_an_images_zip_gives_the_pictures_that_came(tmp_path):
    folder = written(tmp_path / "p", made_project())
    file = folder / "ecodata/07/07_Images.zip"
    whole = file.read_bytes()
    file.write_bytes(whole[: whole.rfind(b"PK\x03\x04") - 3])
    found = check_project(read_project(folder)).faults
    assert any("was copied only in part: 3 members could be read" in fault for fault in found)
    assert any("the image sub1/20220518-042131-007_1.png is not in the archive" in fault for fault in found)


# Sentences


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"latitude": "43,81"}, "line 2, column latitude: holds '43,81', with a comma for its decimal point"),
        ({"latitude": "north"}, "line 2, column latitude: holds 'north', which is no latitude"),
        ({"latitude": "43�48 08"}, "column latitude: '43�48 08' has lost a letter to a wrong encoding"),
        ({"latitude": "43°61 08"}, "column latitude: holds '43°61 08', which is no latitude"),
        ({"longitude": "-200"}, "column longitude: holds '-200', which is no longitude"),
        (
            {"volimage": "0,710"},
            "column volimage: holds '0,710', with a comma for its decimal point; write a point",
        ),
        (
            {"volimage": "0.6"},
            "Image_volume is 0.71, and the header's volimage is 0.6 where 0.71",
        ),
        ({"pixelsize": "0.073"}, "Pixel_Size is 73, and the header's pixelsize is 0.073 where 73"),
        ({"exp": "one"}, "column exp: holds 'one', which is no number"),
        ({"sampletype": "H"}, "column sampletype: is 'H', not one of P, T"),
        ({"sampletype": "T"}, "column integrationtime: is not above 0, which a time series needs"),
        ({"comment": "x" * 251}, "column comment: is 251 characters long, EcoTaxa takes 250; shorten it."),
        ({"sampledatetime": "2022-05-18T04:21:27"}, "a time without zone, taken for UTC; write UTC"),
        ({"sampledatetime": "yesterday"}, "holds 'yesterday', which is no time YYYYMMDD-HHMMSS"),
        ({"profileid": "08"}, "line 3, column profileid: holds '08', as a row before it does"),
        ({"profileid": ""}, "line 2, column profileid: is empty; give every sample an id of its own"),
        ({"endimg": "6"}, "has 5 images, and the header says 1 to 6, that is 6; copy it again"),
        ({"endimg": "0"}, "column endimg: is 0, before firstimage, 1"),
    ],
)
def test_what_is_wrong_in_the_header_is_a_sentence(tmp_path, about, words):
    folder = written(tmp_path / "uvp6_sn1", made_project(**about))
    found = check_project(read_project(folder)).faults
    assert any(words in fault for fault in found), found
    assert all(fault.startswith(str(folder)) and fault.endswith(".") for fault in found)


@pytest.mark.parametrize(
    ("old", "new", "words", "n_kept"),
    [
        ("3.5,31.75,1:EMPTY", "3,5,31,75,1:EMPTY", "has 6 values before the colon (perhaps with commas", 4),
        (",1:EMPTY_IMAGE", ",2:EMPTY_IMAGE", "holds '2' where 1 says that it was lit", 4),
        ("9,3,62.2,35.2", "9,3,62.2", "is not a list of area,count,mean,sd; it is left out", 4),
        (
            "9,3,62.2,35.2;130",
            "130,3,62.2,35.2;9",
            "is not a list of area,count,mean,sd with rising areas",
            5,
        ),
        ("TAXO:1,13", "TAXO:2,13", "says 2 objects and lists 1; it is left out", 5),
        ("20220518-042130-1", "20220518-252130-1", "holds '20220518-252130-1', which is no time", 4),
        ("20220518-042130-1", "20220518T042130", "a time without zone, taken for UTC; write UTC", 5),
        ("20220518-042130-1", "20220518-042127-468", "is of 20220518-042127-468, as line 5 is; keep one", 5),
        ("20220518-042130-1", "20220517-042130-1", "is 86398 s before line 7; put images in the order", 5),
        ("60.0,30.0;\n", "60.0,30", "does not end in ;, as if the file had been copied only in part", 4),
        ("nan,31.75", "deep,31.75", "holds 'deep' where its pressure should be", 4),
    ],
)
def test_what_is_wrong_in_an_image_is_a_sentence_and_the_rest_is_kept(tmp_path, old, new, words, n_kept):
    assert old in ROWS
    rows = ROWS.replace(old, new, 1) if not old.endswith("\n") else ROWS[: ROWS.rindex(old)] + new
    folder = written(tmp_path / "p", made_project(rows=rows))
    project = read_project(folder)
    found = [fault for fault in check_project(project).faults if "07_Particule.zip" in fault]
    assert any("particules.csv: line" in fault and words in fault for fault in found), found
    assert len(project.samples[0].particles.data.rows) == n_kept


def edited_table(edit):
    """The archive of vignettes with an edited table, and a picture that `edit` may leave out."""
    with zipfile.ZipFile(io.BytesIO(vignettes_zip())) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    edit(members)
    return zip_of(members)


def drop(members):
    del members["sub1/20220518-042131-007_2.png"]


def change(old, new):
    def edit(members):
        table = members["ecotaxa_07.tsv"].decode()
        assert old in table
        members["ecotaxa_07.tsv"] = table.replace(old, new).encode("latin-1", "replace")

    return edit


def spoil(members):
    members["sub1/20220518-042131-007_2.png"] = members["sub1/20220518-042131-007_2.png"][:60]


def stray(members):
    members["sub1/other.png"] = members["sub1/20220518-042131-007_2.png"]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (drop, "row 5: the image sub1/20220518-042131-007_2.png is not in the archive"),
        (spoil, "row 5: sub1/20220518-042131-007_2.png"),
        (stray, "sub1/other.png: is not named <image>_<n>"),
        (
            change("\t20220518-042131-007_2\t", "\t20220518-042131-007_1\t"),
            "is there twice; give it another id",
        ),
        (
            change("\t07\t07", "\t" + "y" * 300 + "\t07"),
            "column acq_id: is 300 characters long, EcoTaxa takes 250",
        ),
        (
            change("\t20220518-042131-007_2\t", "\t20220518-042131-007_2\t1,5"),
            "with a comma for its decimal point",
        ),
    ],
)
def test_what_is_wrong_with_vignettes_is_a_sentence(tmp_path, edit, words):
    folder = written(tmp_path / "p", made_project())
    (folder / "ecodata/07/07_Images.zip").write_bytes(edited_table(edit))
    found = check_project(read_project(folder)).faults
    assert any("07_Images.zip" in fault and words in fault for fault in found), found


def test_vignettes_of_another_sample_are_noticed(tmp_path):
    folder = written(tmp_path / "p", made_project(rows=ROWS.replace("042131-007", "042139-007")))
    found = check_project(read_project(folder)).faults
    assert any("has vignettes of 1 images that the sample does not have" in fault for fault in found), found


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig"])
def test_both_encodings_are_understood(tmp_path, encoding):
    folder = written(tmp_path / "p", made_project(comment="près de l'île"))
    header = folder / "meta/uvp6_header_sn000125hf_2022_tal.txt"
    header.write_bytes(header.read_bytes().decode("latin-1").encode(encoding))
    project = read_project(folder)
    assert project.samples[0].about["comment"] == "près de l'île"
    assert read_cast(folder, "07").position.latitude_deg == 43.81
    assert not [fault for fault in check_project(project).faults if "header" in fault]


def test_a_header_that_is_not_one(tmp_path):
    folder = written(tmp_path / "p", made_project())
    header = folder / "meta/uvp6_header_sn000125hf_2022_tal.txt"
    text = header.read_text("latin-1").replace(";sampletype;", ";sort;")
    header.write_text(text.replace("\nTAL", "\nmore;TAL", 1), "latin-1")
    shutil.copy(header, folder / "meta/uvp6_header_zz.txt")
    found = "\n".join(check_project(read_project(folder)).faults)
    assert "column sampletype: is missing; add it" in found
    assert "column sort: is not known here; take it away, or correct its name" in found
    assert "line 2: has 28 cells, the header has 27; complete the row." in found
    assert "uvp6_header_zz.txt: is a second header" in found


def test_a_ctd_cast_is_checked(tmp_path):
    folder = written(tmp_path / "p", made_project())
    (folder / "CTDdata/07.ctd").write_text("depth\ttemperature [degc]\n1\t12,5\n2\tcold\n3\n")
    found = "\n".join(check_project(read_project(folder)).faults)
    assert "07.ctd: column pressure [db]: is missing" in found
    assert "07.ctd: line 2, column temperature [degc]: holds '12,5', with a comma" in found
    assert "07.ctd: line 3, column temperature [degc]: holds 'cold', which is no number" in found
    assert "07.ctd: line 4: has 1 cells, the header has 2" in found


def test_ecopart_is_warned_of_empty_images(tmp_path):
    remarks = check_project(read_project(written(tmp_path / "p", made_project()))).remarks
    assert any("1 of 4 lit images are empty" in remark and "33.3 % too high" in remark for remark in remarks)


def test_what_is_nothing_of_a_uvp6(tmp_path):
    (tmp_path / "text_Particule.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "other_Particule.zip", "w") as out:
        out.writestr("a.txt", "a")
    for name, words in (
        ("nowhere", "is not there"),
        ("text_Particule.zip", "cannot be read as a zip"),
        ("other_Particule.zip", "holds no particules.csv"),
    ):
        with pytest.raises(RecordingError, match=words):
            read_project(tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordingError, match="holds nothing of a UVP6 project"):
        read_project(tmp_path / "empty")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("43°48 36", 43.81), ("-009°30 00", -9.5), ("-0°30 00", -0.5), ("43�48 08", 43.80222), ("43.5", 43.5),
        ("43,5", 43.5), ("43°48", 43.8), ("43°60 00", None), ("", None), ("43 48 08", None),
    ],
)  # fmt: skip
def test_degrees(text, value):
    assert degrees(text) == value


def test_times_with_a_zone_are_utc():
    assert instant("2022-05-18T06:21:27+02:00")[0] == instant("20220518-042127")[0]
    assert instant("20220518-042127-284")[0].microsecond == 284_000
    assert instant("20220518-042127-3")[0].microsecond == 0
    assert "no time" in instant("18/05/2022")


def test_check_and_convert_as_people_run_them(tmp_path):
    folder = written(tmp_path / "uvp6_sn1", made_project(sampletype="Q"))
    code, told = seston("uvp6", "check", folder)
    assert code == 1
    assert "column sampletype: is 'Q'" in told
    assert "Remark:" in told
    assert "2 samples, 9 images, firmware after 2022.01: 1 fault, 2 remarks." in told
    code, told = seston("uvp6", "convert", folder, "--to", "2021", "--out", tmp_path / "old")
    assert code == 0
    assert "9 files, firmware 2021 and before." in told
    code, told = seston("uvp6", "convert", folder, "--to", "2021", "--out", tmp_path / "old")
    assert code == 2
    assert "is there already" in told
