"""Folders and zips of classes; what cannot be used is named and left out."""

from __future__ import annotations

import zipfile

import cv2
import numpy as np
import pytest

from edge.errors import ImageError
from edge.inference.bundle import image_hash
from edge.inference.preprocessing import Preprocessing, prepare
from edge.taxonomy import Taxon
from training.datasets import ImageStore, class_counts, parse_class, read_dataset

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
    assert data.classes == (Taxon(label="Copepod", ecotaxa_id=45074), Taxon(label="Snow"))
    assert data.labels.tolist() == [0, 0, 1, 1]
    assert data.faults == ()
    assert data.images.shape == (4, 24, 24, 1)
    np.testing.assert_array_equal(data.images[1], prepare(picture(1), SPEC))
    assert data.hashes[2] == image_hash(picture(2))
    assert class_counts(data.labels, data.classes).tolist() == [2, 2]


def test_a_zip_gives_the_same(folder, tmp_path):
    data = read_dataset(zipped(folder, tmp_path / "x.zip"), SPEC)
    plain = read_dataset(folder, SPEC)
    assert data.files[0] == "outer/Copepod__45074/a.png"
    assert data.classes == plain.classes
    assert data.hashes == plain.hashes
    np.testing.assert_array_equal(data.images, plain.images)


def test_dark_on_white_is_inverted_but_hashed_as_it_is(folder):
    data = read_dataset(folder, SPEC, invert=True)
    np.testing.assert_array_equal(data.images[0], prepare(255 - picture(0), SPEC))
    assert data.hashes == read_dataset(folder, SPEC).hashes


def test_select_keeps_the_classes(folder):
    data = read_dataset(folder, SPEC)
    part = data.select(np.array([False, True, False, True]))
    assert part.files == (data.files[1], data.files[3])
    assert part.labels.tolist() == [0, 1]
    assert part.classes == data.classes
    assert part.hashes == (data.hashes[1], data.hashes[3])


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
    with pytest.raises(ImageError, match="two folders for one class, Snow and Snow__7"):
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


def test_a_damaged_member_of_a_zip_is_a_fault_not_an_end(folder, tmp_path):
    path = zipped(folder, tmp_path / "x.zip")
    data = bytearray(path.read_bytes())
    where = data.find(b"IDAT") + 20
    data[where] ^= 255
    path.write_bytes(bytes(data))
    read = read_dataset(path, SPEC)
    assert len(read.files) == 3
    assert "outer/Copepod__45074/a.png" in read.faults[0]


@pytest.mark.parametrize(
    ("folder_name", "taxon"),
    [
        ("Copepoda__6666", Taxon(label="Copepoda", ecotaxa_id=6666)),
        ("a__b__12", Taxon(label="a__b", ecotaxa_id=12)),
        ("a__b", Taxon(label="a__b")),
        ("__12", Taxon(label="__12")),
        ("hist_other", Taxon(label="hist_other")),
    ],
)
def test_class_folders(folder_name, taxon):
    assert parse_class(folder_name) == taxon
