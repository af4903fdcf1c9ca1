"""Reading images: grey as OpenCV's, deep grey scaled, and every kind of damage told."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.errors import ImageError
from edge.images import read_image

pytestmark = pytest.mark.board
SUFFIXES = ["png", "tif", "bmp", "jpg"]


@pytest.fixture
def colour():
    image = np.random.default_rng(1).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    return cv2.GaussianBlur(image, (5, 5), 1)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_colour_and_grey_as_opencv(tmp_path, colour, suffix):
    for name, pixels in (("colour", colour), ("grey", colour[..., 0])):
        path = tmp_path / f"{name}.{suffix}"
        cv2.imwrite(str(path), pixels)
        found = read_image(path)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
        if name == "grey" and suffix != "jpg":
            np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_deep_grey_is_shifted_down(tmp_path, suffix):
    deep = np.arange(61 * 83, dtype=np.uint16).reshape(61, 83) * 12
    path = tmp_path / f"deep.{suffix}"
    cv2.imwrite(str(path), deep)
    np.testing.assert_array_equal(read_image(path), deep >> 8)
    np.testing.assert_array_equal(read_image(path), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    cv2.imwrite(str(path), deep >> 4)
    np.testing.assert_array_equal(read_image(path, bits_per_pixel=12), deep >> 8)
    cv2.imwrite(str(path), deep)
    with pytest.raises(ImageError, match="bits_per_pixel: holds grey 60744, more than 12 bits can"):
        read_image(path, bits_per_pixel=12)


def test_kind_is_told_by_content_not_name(tmp_path, colour):
    cv2.imwrite(str(tmp_path / "a.png"), colour)
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg").shape == (61, 83)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.995])
def test_truncated_files_are_refused(tmp_path, colour, suffix, share):
    path = tmp_path / f"cut.{suffix}"
    cv2.imwrite(str(path), colour)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ImageError, match=r"cut\.\w+: is (truncated|damaged.*); copy the file again"):
        read_image(path)


def test_flipped_byte_in_a_png_is_told(tmp_path, colour):
    path = tmp_path / "flip.png"
    cv2.imwrite(str(path), colour)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(bytes(data))
    with pytest.raises(ImageError, match="a checksum in it is wrong"):
        read_image(path)


def test_bytes_after_the_end_do_no_harm(tmp_path, colour):
    for suffix in SUFFIXES:
        path = tmp_path / f"long.{suffix}"
        cv2.imwrite(str(path), colour)
        whole = read_image(path)
        path.write_bytes(path.read_bytes() + b"trailer")
        np.testing.assert_array_equal(read_image(path), whole)


def test_what_is_no_image(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("not an image at all")
    (tmp_path / "folder.png").mkdir()
    cv2.imwrite(str(tmp_path / "float.tif"), np.ones((9, 9), dtype=np.float32))
    for name, words in (
        ("missing.png", "is not there"),
        ("empty.png", "is empty"),
        ("text.png", "is not a PNG, TIFF, BMP or JPEG image"),
        ("folder.png", "is a folder"),
        ("float.tif", "has float32 pixels"),
    ):
        with pytest.raises(ImageError, match=words) as caught:
            read_image(tmp_path / name)
        assert caught.value.file == str(tmp_path / name)
        assert caught.value.remedy
