"""Images without a label: the same image once, what cannot be read named, a hash that no name changes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.errors import SestonError
from edge.inference.bundle import image_hash
from edge.inference.preprocessing import Preprocessing, prepare
from tests.tools.made_dive import make_dive
from training.unsorted import read_unsorted

SPEC = Preprocessing(size_px=32)


def images(folder, names, seed=4):
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(0, 255, (20, 30), dtype=np.uint8) for _ in names]
    for name, image in zip(names, drawn, strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
    return drawn


def test_what_is_in_a_folder(tmp_path):
    first, second = images(tmp_path, ["b/one.png", "a/two.png"])
    cv2.imwrite(str(tmp_path / "again.png"), first)
    cv2.imwrite(str(tmp_path / "flat.png"), np.full((9, 9), 3, np.uint8))
    (tmp_path / "torn.png").write_bytes(b"no image")
    found = read_unsorted(tmp_path, SPEC)
    assert set(found.hashes) == {image_hash(first), image_hash(second)}
    at = found.hashes.index(image_hash(second))
    assert np.array_equal(found.images[at], prepare(second, SPEC))
    assert sorted(fault.split("/")[-1][:8] for fault in found.faults) == ["flat.png", "torn.png"]


def test_the_hash_of_the_set_is_of_what_is_shown(tmp_path):
    for folder, names in (("x", ["1.png", "2.png"]), ("y", ["k/9.png", "8.png"])):
        images(tmp_path / folder, names)
    x, y = (read_unsorted(tmp_path / name, SPEC) for name in "xy")
    assert x.sha256 == y.sha256
    images(tmp_path / "y", ["7.png"], seed=5)
    assert read_unsorted(tmp_path / "y", SPEC).sha256 != x.sha256


def test_inverting_changes_what_is_seen_and_not_which_image_it_is(tmp_path):
    (only,) = images(tmp_path, ["one.png"])
    found = read_unsorted(tmp_path, SPEC, invert=True)
    assert found.hashes == (image_hash(only),)
    assert np.array_equal(found.images[0], prepare(255 - only, SPEC))


def test_a_dive(tmp_path):
    dive = make_dive(tmp_path / "dive", frames=(3, 2, 2))
    found = read_unsorted(dive, SPEC)
    assert len(found.images) == len(set(found.hashes)) > 0
    assert read_unsorted(dive / "dive.sqlite", SPEC).sha256 == found.sha256


def test_nothing_usable_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "flat.png"), np.full((9, 9), 3, np.uint8))
    with pytest.raises(SestonError, match="holds no usable image"):
        read_unsorted(tmp_path, SPEC)
