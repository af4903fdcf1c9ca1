"""EcoTaxa's tables and images go round; faults are named with their row; a legend goes, nothing else."""

from __future__ import annotations

import zipfile

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import ImageError, InputError
from training.ecotaxa import EcotaxaArchive, is_table, to_number
from training.ecotaxa_write import encode_png, write_archive
from training.legend import FOOTER_PX, crop_legend


def picture(seed: int, height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 250, (height, width), dtype=np.uint8)


def row(number: int, **more: object) -> dict:
    return {
        "img_file_name": f"i/{number}.png", "img_rank": 0, "object_id": f"o{number}", "object_area": 2.5,
        "object_annotation_category": "Copepoda<Maxillopoda", "object_annotation_category_id": 12,
        "object_annotation_status": "validated", "acq_id": "a", "sample_id": "s", **more,
    }  # fmt: skip


def folder(tmp_path, table: str | bytes, *images: str, name: str = "ecotaxa_x.tsv"):
    (tmp_path / name).write_bytes(table if isinstance(table, bytes) else table.encode())
    for i, image in enumerate(images):
        path = tmp_path / image
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(picture(i)))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "it_is"),
    [
        ("ecotaxa_x.tsv", True),
        ("a/b/Ecotaxa.TXT", True),
        ("export.tsv", False),
        ("ecotaxa.tsv/a.png", False),
        ("ecotaxa_x.csv", False),
    ],
)
def test_names_of_tables(name, it_is):
    assert is_table(name) is it_is


@pytest.mark.parametrize(
    ("text", "number"),
    [("1.5", 1.5), (" 1,5 ", 1.5), ("1e3", 1000.0), ("", None), ("nan", None), ("inf", None), ("x", None)],
)
def test_numbers(text, number):
    assert to_number(text) == number


def test_an_archive_goes_round(tmp_path):
    rows = [row(1), row(2, object_area=None, object_note="Bérénice\t2 µm"), row(3, object_area=float("nan"))]
    rows.append(row(2, img_rank=1, img_file_name="i/again.jpg"))
    images = {name: picture(i) for i, name in enumerate(("i/1.png", "i/2.png", "i/3.png"))}
    images["i/again.jpg"] = jpeg = cv2.imencode(".jpg", picture(9))[1].tobytes()
    path = write_archive(tmp_path / "out" / "x.zip", rows, images)
    with EcotaxaArchive(path) as archive:
        assert archive.faults == ()
        assert [(one.table, one.number) for one in archive.rows] == [
            ("ecotaxa_seston.tsv", number) for number in (3, 4, 5, 6)
        ]
        assert [one.values["object_area"] for one in archive.rows] == ["2.5", "", "", "2.5"]
        assert archive.rows[1].values["object_note"] == "Bérénice\t2 µm"
        first = archive.rows[0]
        assert (first.category, first.category_id, first.status) == ("Copepoda<Maxillopoda", 12, "validated")
        assert (first.object_id, first.acquisition, first.sample, first.process) == ("o1", "a", "s", "")
        np.testing.assert_array_equal(archive.read_image(first), picture(0))
        assert [one.image for one in archive.objects()] == ["i/1.png", "i/2.png", "i/3.png"]
        again = write_archive(
            tmp_path / "again.zip",
            [one.values for one in archive.rows],
            {**{name: encode_png(picture(i)) for i, name in enumerate(images)}, "i/again.jpg": jpeg},
        )
    with EcotaxaArchive(again) as archive, EcotaxaArchive(path) as before:
        assert [one.values for one in archive.rows] == [one.values for one in before.rows]
    with zipfile.ZipFile(path) as archive:
        lines = archive.read("ecotaxa_seston.tsv").decode("utf-8-sig").splitlines()
    assert lines[0].split("\t")[:4] == ["img_file_name", "img_rank", "object_id", "object_area"]
    assert lines[1].split("\t")[:5] == ["[t]", "[f]", "[t]", "[f]", "[t]"]


def test_the_same_rows_are_the_same_bytes(tmp_path):
    paths = [write_archive(tmp_path / name, [row(1)], {"i/1.png": picture(1)}) for name in ("a.zip", "b.zip")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with zipfile.ZipFile(paths[0]) as archive:
        assert archive.read("ecotaxa_seston.tsv").isascii()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40).map(str.strip),
            st.floats(allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000) | st.none(),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_text_and_number_goes_round(tmp_path_factory, cells):
    rows = [row(i, object_note=text, object_n=number) for i, (text, number) in enumerate(cells)]
    images = {one["img_file_name"]: picture(1, 3, 3) for one in rows}
    path = write_archive(tmp_path_factory.mktemp("any") / "x.zip", rows, images)
    with EcotaxaArchive(path) as archive:
        assert [one.values["object_note"] for one in archive.rows] == [text for text, _ in cells]
        assert [to_number(one.values["object_n"]) for one in archive.rows] == [number for _, number in cells]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"object_id": ""}, "row 3: object_id: is empty"),
        ({"img_file_name": "../x.png"}, "row 3: img_file_name: '../x.png' is not a path in the zip"),
        ({"img_file_name": "i/2.png"}, "row 3: img_file_name: 'i/2.png' is not among the images"),
        ({"object_note": "x" * 251}, "row 3: object_note: is 251 characters long, EcoTaxa takes 250"),
        ({"object_annotation_status": "sure"}, "'sure' is none of validated, predicted"),
        ({"object_annotation_status": None}, "category and status need each other"),
        ({"object_lat": 91}, "object_lat: '91' is no number in its range"),
        ({"object_lon": "12°E"}, "object_lon: '12°E' is no number"),
        ({"object_date": "2024-01-01"}, "object_date: '2024-01-01' is not YYYYMMDD"),
        ({"object_time": "1200"}, "object_time: '1200' is not HHMMSS"),
        ({"object_area": float("inf")}, "object_area: 'inf' is no number"),
        ({"Object_Area": 1}, "Object_Area: is no name like object_area"),
        ({"depth_min": 1}, "depth_min: begins with none of object, acq, process, sample"),
        ({"process_software": "x"}, "process_id: is lacking"),
        ({"acq_id": ""}, "acq_id: is empty"),
        ({f"object_t{i}": "x" for i in range(21)}, "object: has 21 columns of its own of type [t], EcoTaxa"),
    ],
)
def test_what_ecotaxa_would_refuse_is_refused_before(tmp_path, changes, sentence):
    with pytest.raises(InputError) as caught:
        write_archive(tmp_path / "x.zip", [row(1, **changes)], {"i/1.png": picture(1)})
    assert sentence in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "there are no rows"),
        ([row(1), row(1)], "row 4: object_id: object o1 has image i/1.png or rank '0' already"),
        ([row(1), row(2, sample_id="t")], "row 4: acq_id: the acquisition a is of sample s in another row"),
        ([row(1)], "the image 'i/2.png' is in no row"),
    ],
)
def test_rows_that_do_not_go_together_are_refused(tmp_path, rows, sentence):
    with pytest.raises(InputError) as caught:
        write_archive(tmp_path / "x.zip", rows, {"i/1.png": picture(1), "i/2.png": picture(2)})
    assert sentence in str(caught.value)


def test_a_place_or_a_name_that_will_not_do(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_archive(tmp_path / "file" / "x.zip", [row(1)], {"i/1.png": picture(1)})
    with pytest.raises(InputError, match="call it ecotaxa_"):
        write_archive(tmp_path / "x.zip", [row(1)], {"i/1.png": picture(1)}, table="table.tsv")


HEADER = "img_file_name\timg_rank\tobject_id\tobject_annotation_category\tobject_annotation_status\t"
HEADER += "acq_id\tsample_id\n"


def test_faults_are_named_with_their_row(tmp_path):
    table = HEADER + "[t]\t[f]\t[t]\t[t]\t[t]\t[t]\t[t]\n"
    for line in (
        "a.png\t0\to1\tCopepoda\tvalidated\ta\ts",
        "b.png\t0\to2\tCopepoda\t\ta\ts",
        "c.png\t0\to3\t\tvalidated\ta\ts",
        "none.png\t0\to4\tCopepoda\tvalidated\ta\ts",
        "a.png\t0\to1\tCopepoda\tvalidated\ta\ts",
        "b.png\t0\t\tCopepoda\tvalidated\ta\ts",
        "\t0\to5\tCopepoda\tvalidated\ta\ts",
        "c.png\t0\to6\tCopepoda\tsure\ta\tt",
        "b.png\t1\to1\tdetritus\tvalidated",
    ):
        table += line + "\n"
    with EcotaxaArchive(folder(tmp_path, table, "a.png", "b.png", "c.png")) as archive:
        faults = archive.faults
        assert [one.object_id for one in archive.objects()] == ["o1", "o2", "o3", "o6"]
    for sentence in (
        "ecotaxa_x.tsv: row 4: has a category (Copepoda) without a status",
        "row 5: is validated without a category",
        "row 6: the image none.png is not in the archive; it is left out.",
        "row 7: object o1 with image a.png stands there twice",
        "row 8: has no object_id",
        "row 9: names no image",
        "row 10: has the status 'sure', not one of EcoTaxa's",
        "row 10: the acquisition a is of sample t here, and was of s",
        "row 11: object o1 is of two categories",
    ):
        assert sum(sentence in fault for fault in faults) == 1, sentence
    assert len(faults) == 9
    assert all(fault.endswith(".") for fault in faults)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_tables_in_either_encoding(tmp_path, encoding):
    table = (HEADER + "a.png\t0\to1\tNoctiluca <Dinoflagellés>\tV\ta\ts\n").encode(encoding)
    with EcotaxaArchive(folder(tmp_path, table, "a.png")) as archive:
        assert archive.rows[0].category == "Noctiluca <Dinoflagellés>"
        assert archive.rows[0].status == "validated"
        assert archive.rows[0].number == 2


def test_quotes_blanks_commas_and_back_slashes(tmp_path):
    table = ' Img_File_Name\t"object_id "\timg_rank\tobject_annotation_category_id\r\n'
    table += '"sub1\\a.png"\t"o\n1"\t0,0\t45074,0\r\n\r\n'
    with EcotaxaArchive(folder(tmp_path, table, "sub1/a.png")) as archive:
        (one,) = archive.rows
        assert (one.object_id, one.rank, one.category_id) == ("o\n1", 0, 45074)
        assert one.category == "45074"
        np.testing.assert_array_equal(archive.read_image(one), picture(0))


def test_images_are_sought_from_the_table_then_from_the_top(tmp_path):
    table = HEADER + "i/a.png\t0\to1\tx\tvalidated\ta\ts\n" + "i/b.png\t0\to2\tx\tvalidated\ta\ts\n"
    (tmp_path / "deep").mkdir()
    place = folder(tmp_path, table, "deep/i/a.png", "i/a.png", "i/b.png", name="deep/ecotaxa_x.tsv")
    with EcotaxaArchive(place) as archive:
        assert [archive.image_name(one) for one in archive.rows] == ["deep/i/a.png", "i/b.png"]


def test_the_untouched_image_is_taken_where_every_object_has_one(tmp_path):
    lines = [f"{rank}/{n}.png\t{rank}\to{n}\tx\tvalidated\ta\ts\n" for n in (1, 2) for rank in (100, 0)]
    place = folder(tmp_path, HEADER + "".join(lines), "0/1.png", "0/2.png", "100/1.png", "100/2.png")
    with EcotaxaArchive(place) as archive:
        assert [one.image for one in archive.objects()] == ["100/1.png", "100/2.png"]
    (tmp_path / "100" / "2.png").unlink()
    with EcotaxaArchive(place) as archive:
        assert [one.image for one in archive.objects()] == ["0/1.png", "0/2.png"]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("", "has no column object_id"),
        ("object_id\timg_rank\n", "has no column img_file_name"),
        ("object_id\timg_file_name\tobject_id\n", "has the column 'object_id' twice"),
        ("object_id\timg_file_name\n", "has no row"),
        ("object_id\timg_file_name\n[t]\t[t]\n", "has no row"),
        ("object_id\timg_file_name\no\ta.png\tmore\n", "row 2 has 3 cells, the header has 2"),
        ("object_id\timg_file_name\no\tb.png\n", "holds none of the images that its tables name"),
        ("object_id\timg_file_name\no\t../a.png\n", "holds none of the images"),
        ('object_id\timg_file_name\n"' + "x" * 140_000, "is no table"),
    ],
)
def test_what_is_no_archive_is_refused(tmp_path, table, sentence):
    with pytest.raises(InputError) as caught:
        EcotaxaArchive(folder(tmp_path, table, "a.png"))
    assert sentence in str(caught.value)


def test_no_table_no_archive(tmp_path):
    folder(tmp_path, "", "a.png", name="other.tsv")
    with pytest.raises(InputError, match=r"holds no ecotaxa\*\.tsv"):
        EcotaxaArchive(tmp_path)
    with pytest.raises(ImageError, match="is not there"):
        EcotaxaArchive(tmp_path / "none.zip")
    (tmp_path / "x_Images.zip").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(ImageError, match=r"x_Images\.zip: is no readable zip"):
        EcotaxaArchive(tmp_path)


def test_few_columns_may_be_asked_for(tmp_path):
    table = HEADER + "a.png\t0\to1\tx\tvalidated\ta\ts\n"
    with EcotaxaArchive(folder(tmp_path, table, "a.png"), ("object_id", "img_file_name")) as archive:
        assert archive.rows[0].values == {"img_file_name": "a.png", "object_id": "o1"}


def with_legend(
    image: np.ndarray, bar_px: int = 27, plain: int = 254, ink: int = 0, footer_px: int = FOOTER_PX
):
    height, width = image.shape
    whole = np.full((height + footer_px, max(width, bar_px + 10)), plain, np.uint8)
    whole[:height, :width] = image
    whole[-4, 9 : 10 + bar_px] = ink
    whole[-3:-1, [9, 9 + bar_px]] = ink
    whole[-16:-9, 10:28:3] = ink  # stands for the text
    whole[-13, 12] = 128
    return whole


@pytest.mark.parametrize(("plain", "ink"), [(254, 0), (0, 255), (1, 255), (255, 0)])
@pytest.mark.parametrize(("height", "width"), [(20, 60), (33, 40), (5, 300)])
def test_a_legend_is_taken_off(plain, ink, height, width):
    image = picture(1, height, width)
    np.testing.assert_array_equal(crop_legend(with_legend(image, 27, plain, ink)), image)


def test_an_image_that_was_widened_to_its_bar_is_made_narrow_again():
    image = picture(2, 12, 20)
    assert with_legend(image).shape == (43, 37)
    np.testing.assert_array_equal(crop_legend(with_legend(image)), image)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**31))
def test_nothing_else_is_cut(height, width, seed):
    for image in (picture(seed, height, width), np.full((height, width), seed % 256, np.uint8)):
        assert crop_legend(image) is image


def test_what_only_looks_like_a_legend_stays():
    whole = with_legend(picture(1, 40, 60))
    for place in ((-1, 30), (-5, 3), (-20, 75), (-3, 20), (-4, 59), (-4, 20)):
        other = with_legend(picture(1, 40, 80)) if place[1] > 59 else whole.copy()
        other[place] = 254 if place == (-4, 20) else 120
        assert crop_legend(other) is other, place
    short = with_legend(picture(1, 40, 60), footer_px=20)
    assert crop_legend(short) is short
    np.testing.assert_array_equal(crop_legend(short, 20), picture(1, 40, 60))


def test_a_zip_of_a_uvp6(shared):
    with EcotaxaArchive(shared / "data" / "ecotaxa" / "b_da_19_Images.zip") as archive:
        assert archive.faults == ()
        assert len(archive.rows) == len(archive.objects()) == 15
        first = archive.rows[0]
        assert len(first.values) == 121
        assert first.number == 3
        assert (first.object_id, first.sample, first.acquisition) == (
            "20200205-111823_3",
            "b_da_19",
            "b_da_19",
        )
        assert first.values["object_lat"] == "43°0 0"
        assert (first.category, first.status, first.rank) == ("", "", 1)
        assert archive.image_name(first) == "b_da_19_Images/sub1/20200205-111823_3.png"
        for one in archive.rows:
            image = archive.read_image(one)
            assert min(image.shape) > 5
            assert crop_legend(image) is image
        assert to_number(first.values["object_area"]) == 207


def test_no_vignette_of_the_sample_is_cut(shared):
    with zipfile.ZipFile(shared / "data" / "uvp6.zip") as archive:
        for name in archive.namelist():
            if name.endswith(".png"):
                image = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_GRAYSCALE)
                assert crop_legend(image) is image
