"""Folders and zips of classes; what cannot be used is named and left out."""

from __future__ import annotations

import zipfile

import cv2
import msgspec
import numpy as np
import pytest

from edge.errors import ConfigError, ImageError, InputError
from edge.inference.bundle import image_hash
from edge.inference.preprocessing import Preprocessing, describe, prepare
from edge.taxonomy import Taxon
from tests.training.test_card import MANIFEST
from training.datasets import ImageStore, read_dataset
from training.ecotaxa_write import write_archive

SPEC = Preprocessing(size_px=24)


def picture(seed: int, height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "sorted"
    for i, name in enumerate(
        ("Copepod__45074/a.png", "Copepod__45074/b.png", "Snow/deep/c.png", "Snow/d.bmp")
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture(i))
    (root / "Snow" / "deep" / "c.png").rename(root / "Snow" / "c.png")
    (root / "Snow" / "deep").rmdir()
    return root


def zipped(folder, target):
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"outer/{file.relative_to(folder)}")
    return target


def test_a_folder(folder):
    data = read_dataset(folder, SPEC)
    assert data.files == ("Copepod__45074/a.png", "Copepod__45074/b.png", "Snow/c.png", "Snow/d.bmp")
    assert data.taxonomy.classes == ("Copepod", "Snow")
    assert data.taxonomy.taxa == (Taxon(label="Copepod", ecotaxa_id=45074), Taxon(label="Snow"))
    assert data.labels.tolist() == [0, 0, 1, 1]
    assert data.faults == ()
    assert data.images.shape == (4, 24, 24, 1)
    np.testing.assert_array_equal(data.images[1], prepare(picture(1), SPEC))
    assert data.hashes[2] == image_hash(picture(2))
    np.testing.assert_array_equal(data.numbers[1], describe(picture(1), SPEC))
    assert data.sizes_px.tolist() == [[20, 30]] * 4
    assert data.acquisitions is None


def test_a_zip_gives_the_same(folder, tmp_path):
    data = read_dataset(zipped(folder, tmp_path / "x.zip"), SPEC)
    plain = read_dataset(folder, SPEC)
    assert data.files[0] == "outer/Copepod__45074/a.png"
    assert data.taxonomy.taxa == plain.taxonomy.taxa
    assert data.hashes == plain.hashes
    np.testing.assert_array_equal(data.images, plain.images)


def test_dark_on_white_is_inverted_but_hashed_as_it_is(folder):
    data = read_dataset(folder, SPEC, invert=True)
    np.testing.assert_array_equal(data.images[0], prepare(255 - picture(0), SPEC))
    assert data.hashes == read_dataset(folder, SPEC).hashes


def test_vignettes_at_their_own_size_where_they_are_asked_for(folder, tmp_path):
    assert read_dataset(folder, SPEC).pixels is None
    cv2.imwrite(str(folder / "Snow" / "flat.png"), np.full((9, 9), 7, np.uint8))
    data = read_dataset(folder, SPEC, invert=True, keep_pixels=True)
    assert len(data.pixels) == len(data.files) == 4
    for i, pixels in enumerate(data.pixels):
        np.testing.assert_array_equal(pixels, 255 - picture(i))
    packed = read_dataset(export(tmp_path / "export.zip", ROWS), SPEC, keep_pixels=True)
    for i, pixels in enumerate(packed.pixels):
        np.testing.assert_array_equal(pixels, picture(i))


def test_a_bundle_may_say_what_the_classes_are(folder):
    (folder / "Flakes").mkdir()
    cv2.imwrite(str(folder / "Flakes" / "f.png"), picture(9))
    source_classes = {"Snow": "snow", "Flakes": "snow", "Copepod__45074": "copepod"}
    manifest = msgspec.structs.replace(
        MANIFEST,
        classes=("cop", "flake", "string"),
        taxa=(Taxon(label="copepod", living=True), Taxon(label="snow", living=False), Taxon(label="string")),
        class_taxon=(0, 1, 2),
        parents=(),
        source_classes=source_classes,
    )
    data = read_dataset(folder, SPEC, taxonomy=manifest)
    assert data.taxonomy.classes == ("cop", "flake")
    assert data.labels.tolist() == [0, 0, 1, 1, 1]
    assert [taxon.living for taxon in data.taxonomy.taxa] == [True, False]


def test_a_taxonomy_merges_drops_and_counts(folder, tmp_path):
    (folder / "Blur").mkdir()
    cv2.imwrite(str(folder / "Blur" / "e.png"), picture(8))
    (folder / "Flakes").mkdir()
    cv2.imwrite(str(folder / "Flakes" / "f.png"), picture(9))
    path = tmp_path / "t.toml"
    path.write_text(
        '[classes]\nBlur = ""\nFlakes = "Snow"\n[taxa]\ndetritus = { classes = ["Snow"], living = false }'
    )
    data = read_dataset(folder, SPEC, taxonomy=path)
    assert data.taxonomy.classes == ("Copepod", "Snow")
    assert [taxon.label for taxon in data.taxonomy.taxa] == ["Copepod", "detritus"]
    assert data.files[2:] == ("Flakes/f.png", "Snow/c.png", "Snow/d.bmp")
    assert data.labels.tolist() == [0, 0, 1, 1, 1]
    assert data.taxonomy.source_classes == {
        "Blur": "", "Copepod__45074": "Copepod", "Flakes": "detritus", "Snow": "detritus",
    }  # fmt: skip


def test_scripps_names_tell_the_acquisition(tmp_path):
    for i, (folder, second) in enumerate((("A", 100_000), ("B", 100_500), ("B", 200_000))):
        (tmp_path / folder).mkdir(exist_ok=True)
        name = f"SPC-PWSSC-{second}-{i:06d}-001-1-2-3-4.png"
        cv2.imwrite(str(tmp_path / folder / name), picture(i))
    data = read_dataset(tmp_path, SPEC)
    assert data.acquisitions == ("SPC-PWSSC-100000", "SPC-PWSSC-100000", "SPC-PWSSC-200000")


def test_what_cannot_be_used_is_named_and_left_out(folder):
    (folder / "Snow" / "broken.png").write_bytes((folder / "Snow" / "c.png").read_bytes()[:60])
    (folder / "Snow" / "empty.png").write_bytes(b"")
    (folder / "Snow" / "notes.txt").write_text("no image")
    (folder / "Snow" / ".hidden.png").write_bytes(b"x")
    cv2.imwrite(str(folder / "Snow" / "flat.png"), np.full((9, 9), 7, np.uint8))
    cv2.imwrite(str(folder / "loose.png"), picture(9))
    data = read_dataset(folder, SPEC)
    assert len(data.files) == 4
    assert len(data.faults) == 4
    assert all(fault.endswith(".") for fault in data.faults)
    text = "\n".join(data.faults)
    for word in (
        "broken.png",
        "empty.png",
        "flat.png: is of one colour",
        "loose.png: lies in no class folder",
    ):
        assert word in text
    assert "notes" not in text
    assert "hidden" not in text


def test_two_folders_for_one_class_are_refused(folder):
    (folder / "Snow__7").mkdir()
    cv2.imwrite(str(folder / "Snow__7" / "x.png"), picture(5))
    with pytest.raises(ConfigError, match="two folders for one class, Snow and Snow__7"):
        read_dataset(folder, SPEC)


def test_one_class_is_too_few(folder):
    for file in (folder / "Snow").iterdir():
        file.unlink()
    with pytest.raises(ImageError, match="fewer than two classes"):
        read_dataset(folder, SPEC)


def test_what_is_no_data_set(tmp_path):
    with pytest.raises(ImageError, match="is not there"):
        ImageStore(tmp_path / "none.zip")
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(ImageError, match="neither a folder nor a readable zip"):
        ImageStore(tmp_path / "x.zip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="holds no image"):
        ImageStore(tmp_path / "empty")
    with pytest.raises(ImageError, match="is not there"):
        read_dataset(tmp_path / "none.zip", SPEC)


def test_a_damaged_member_of_a_zip_is_a_fault_not_an_end(folder, tmp_path):
    path = zipped(folder, tmp_path / "x.zip")
    data = bytearray(path.read_bytes())
    where = data.find(b"IDAT") + 20
    data[where] ^= 255
    path.write_bytes(bytes(data))
    read = read_dataset(path, SPEC)
    assert len(read.files) == 3
    assert "outer/Copepod__45074/a.png" in read.faults[0]


def object_row(number: int, category: str = "Copepoda", status: str = "validated", **more: str) -> dict:
    return {
        "img_file_name": f"images/{number}.png", "img_rank": 0, "object_id": f"o{number}",
        "object_annotation_category": category, "object_annotation_status": status, **more,
    }  # fmt: skip


def export(path, rows):
    images = {row["img_file_name"]: picture(i) for i, row in enumerate(rows)}
    return write_archive(path, rows, images)


ROWS = [
    object_row(0, object_annotation_category_id="45074", sample_id="p1", acq_id="a1"),
    object_row(1, object_annotation_category_id="", sample_id="p1", acq_id="a1"),
    object_row(2, "detritus", sample_id="p2", acq_id="a2"),
    object_row(3, "detritus", "predicted", sample_id="p2", acq_id="a3"),
    object_row(4, "", "", sample_id="p2", acq_id="a3"),
]


def test_an_ecotaxa_export(tmp_path):
    data = read_dataset(export(tmp_path / "export.zip", ROWS), SPEC)
    assert data.name == "export.zip"
    assert data.files == ("images/0.png", "images/1.png", "images/2.png")
    assert data.taxonomy.taxa == (Taxon(label="Copepoda", ecotaxa_id=45074), Taxon(label="detritus"))
    assert dict(data.taxonomy.source_to_class) == {"Copepoda__45074": "Copepoda", "detritus": "detritus"}
    assert data.labels.tolist() == [0, 0, 1]
    assert data.acquisitions == ("p1", "p1", "p2")
    assert data.faults == ("export.zip: 2 objects are left out: 1 predicted, 1 without a status.",)
    np.testing.assert_array_equal(data.images[2], prepare(picture(2), SPEC))
    everything = read_dataset(export(tmp_path / "export.zip", ROWS), SPEC, all_statuses=True)
    assert everything.labels.tolist() == [0, 0, 1, 1]
    assert everything.faults == ("export.zip: 1 objects are left out: 1 without a status.",)


def test_an_unpacked_export_is_the_same(tmp_path):
    path = export(tmp_path / "export.zip", ROWS)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "unpacked" / "deeper")
    data, same = read_dataset(path, SPEC), read_dataset(tmp_path / "unpacked", SPEC)
    assert same.files[0] == "deeper/images/0.png"
    np.testing.assert_array_equal(data.images, same.images)
    assert same.acquisitions == data.acquisitions


def test_of_one_sample_the_acquisitions_tell(tmp_path):
    one = [{**row, "sample_id": "p"} for row in ROWS]
    assert read_dataset(export(tmp_path / "x.zip", one), SPEC).acquisitions == ("a1", "a1", "a2")
    alone = [{**row, "sample_id": "p", "acq_id": "a"} for row in ROWS]
    assert read_dataset(export(tmp_path / "x.zip", alone), SPEC).acquisitions is None


def test_images_of_a_uvp6_project_lie_in_a_zip_a_profile(tmp_path):
    for profile, numbers in (("01", range(3)), ("02", range(3, 6))):
        rows = [object_row(n, "Copepoda" if n % 2 else "detritus", sample_id=profile) for n in numbers]
        export(tmp_path / "ecodata" / profile / f"{profile}_Images.zip", rows)
    data = read_dataset(tmp_path, SPEC)
    assert data.files[0] == "ecodata/01/01_Images.zip/images/0.png"
    assert data.acquisitions == ("01",) * 3 + ("02",) * 3
    with zipfile.ZipFile(tmp_path / "project.zip", "w") as project:
        for file in sorted(tmp_path.rglob("*_Images.zip")):
            project.write(file, file.relative_to(tmp_path))
    packed = read_dataset(tmp_path / "project.zip", SPEC)
    assert packed.files == data.files
    np.testing.assert_array_equal(packed.images, data.images)


def test_an_export_that_nobody_sorted_is_refused(tmp_path):
    path = export(tmp_path / "x.zip", [object_row(1, "", ""), object_row(2, "detritus", "predicted")])
    with pytest.raises(InputError, match=r"no validated object \(2 objects, 1 with a category\)"):
        read_dataset(path, SPEC)


def test_one_name_with_two_ids_is_refused(tmp_path):
    rows = [
        object_row(1, object_annotation_category_id="5"),
        object_row(2, object_annotation_category_id="6"),
        object_row(3, "detritus"),
    ]
    with pytest.raises(ConfigError, match="one class, Copepoda__5 and Copepoda__6"):
        read_dataset(export(tmp_path / "x.zip", rows), SPEC)
    path = tmp_path / "t.toml"
    path.write_text('[classes]\n"Copepoda__6" = "Copepoda"')
    data = read_dataset(tmp_path / "x.zip", SPEC, taxonomy=path)
    assert data.taxonomy.taxa[0] == Taxon(label="Copepoda")  # two ids: neither is right for both


def test_uvp6(shared):
    import training

    taxonomy = f"{training.__path__[0]}/uvp6.toml"
    data = read_dataset(shared / "data" / "uvp6.zip", SPEC, taxonomy=taxonomy)
    assert len(data.files) == 766
    assert len(data.taxonomy.classes) == 11
    assert np.bincount(data.labels)[data.taxonomy.classes.index("other")] == 107
    assert all(taxon.ecotaxa_id is None for taxon in data.taxonomy.taxa)
    assert data.faults == ()
