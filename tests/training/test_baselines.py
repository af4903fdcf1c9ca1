"""Hand-made features are the instrument's own measures; what learns from them does so the same each time."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.errors import ImageError, InputError
from edge.inference.bundle import image_hash
from edge.optics import Optics
from edge.vision.morphology import UVP6_FEATURES, measure
from training.baselines import (
    LEARNING,
    THRESHOLDS,
    Vignettes,
    choose_threshold,
    feature_table,
    fit_boosted_trees,
    fit_forest,
    hand_features,
    merged,
    on_hand_features,
    on_stored_features,
    read_stored,
    read_vignettes,
)
from training.drawn import KINDS
from training.drawn_set import drawn_vignette


def drawn(kinds=("sphere", "fibre", "aggregate"), n=30, seed=1) -> Vignettes:
    pixels, labels = [], []
    for label, kind in enumerate(kinds):
        for i in range(n):
            rng = np.random.default_rng((seed, KINDS.index(kind), i))
            pixels.append(drawn_vignette(kind, rng, rng.uniform(10, 40)))
            labels.append(label)
    files = tuple(f"{kinds[label]}/{i:04d}.png" for i, label in enumerate(labels))
    hashes = tuple(image_hash(image) for image in pixels)
    return Vignettes("drawn", tuple(kinds), files, tuple(pixels), np.array(labels, dtype=np.int64), hashes)


@pytest.fixture(scope="module")
def data():
    return drawn()


@pytest.fixture(scope="module")
def table(data):
    return feature_table(data.pixels, 21)


def save(folder, data: Vignettes):
    for file, pixels in zip(data.files, data.pixels, strict=True):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / file), pixels)
    return folder


# --- reading


def test_a_folder_is_read_in_order_as_the_files_have_it(tmp_path, data):
    save(tmp_path, data)
    read = read_vignettes(tmp_path)
    assert read.classes == tuple(sorted(data.classes))
    assert list(read.files) == sorted(data.files)
    of = dict(zip(data.files, data.pixels, strict=True))
    for file, pixels, label, hashed in zip(read.files, read.pixels, read.labels, read.hashes, strict=True):
        np.testing.assert_array_equal(pixels, of[file])
        assert read.classes[label] == file.split("/")[0]
        assert hashed == image_hash(of[file])


def test_bright_field_is_inverted_and_hashed_as_in_the_file(tmp_path, data):
    save(tmp_path, data)
    plain, inverted = read_vignettes(tmp_path), read_vignettes(tmp_path, invert=True)
    np.testing.assert_array_equal(inverted.pixels[3], 255 - plain.pixels[3])
    assert inverted.hashes == plain.hashes


def test_classes_are_merged_and_ids_are_no_part_of_a_name(tmp_path):
    for folder in ("hist_a", "hist_b__12", "Copepoda__6666"):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "x.png"), np.arange(16, dtype=np.uint8).reshape(4, 4))
    read = read_vignettes(tmp_path, merge={"hist_*": "other"})
    assert read.classes == ("Copepoda", "other")
    assert read.labels.tolist() == [0, 1, 1]
    assert merged("hist_b", {}) == "hist_b"
    assert merged("Hist_b", {"hist_*": "other"}) == "Hist_b"


def test_what_cannot_be_used_is_listed(tmp_path, data):
    save(tmp_path, data)
    (tmp_path / "sphere" / "cut.png").write_bytes(b"no image")
    cv2.imwrite(str(tmp_path / "sphere" / "flat.png"), np.zeros((5, 5), dtype=np.uint8))
    cv2.imwrite(str(tmp_path / "loose.png"), data.pixels[0])
    read = read_vignettes(tmp_path)
    assert len(read) == len(data)
    assert len(read.faults) == 3
    for word in ("not a PNG", "one colour", "no class folder"):
        assert sum(word in fault for fault in read.faults) == 1


def test_one_class_is_too_few(tmp_path, data):
    save(tmp_path, data.select(data.labels == 0))
    with pytest.raises(ImageError, match="fewer than two classes"):
        read_vignettes(tmp_path)
    with pytest.raises(ImageError, match="is not there"):
        read_vignettes(tmp_path / "no.zip")


def test_select(data):
    chosen = data.select(data.labels == 1)
    assert len(chosen) == 30
    assert chosen.classes == data.classes
    assert set(chosen.labels) == {1}
    assert chosen.hashes == data.hashes[30:60]


# --- features


def test_features_are_the_measures_of_the_largest_region(data):
    optics = Optics(pixel_um=73.0, image_volume_l=0.7, threshold=21)
    for vignette in data.pixels[::7]:
        n, marked, stats, _ = cv2.connectedComponentsWithStats((vignette > 21).astype(np.uint8))
        assert n > 1
        i = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
        x, y, width, height = stats[i, :4]
        window = np.s_[y : y + height, x : x + width]
        expected = measure(marked[window] == i, vignette[window], 0, 0, optics)[:UVP6_FEATURES]
        np.testing.assert_array_equal(hand_features(vignette, 21), expected)


def test_the_larger_of_two_regions_counts_and_the_first_of_equals():
    vignette = np.zeros((20, 30), dtype=np.uint8)
    vignette[2:5, 2:5], vignette[10:15, 10:14] = 200, 90
    assert hand_features(vignette, 21)[[0, 3]].tolist() == [20, 90]
    vignette[10:15, 10:14] = 0
    vignette[12:15, 20:23] = 90
    assert hand_features(vignette, 21)[[0, 3]].tolist() == [9, 200]


def test_nothing_above_the_threshold_gives_zeros():
    assert not hand_features(np.full((9, 9), 21, dtype=np.uint8), 21).any()
    table = feature_table([np.full((9, 9), 21, dtype=np.uint8), np.eye(9, dtype=np.uint8) * 90], 21)
    assert table.shape == (2, UVP6_FEATURES)
    assert table.dtype == np.float32
    assert table[:, 0].tolist() == [0, 9]


def test_the_threshold_that_shows_the_difference_is_chosen():
    pytest.importorskip("sklearn", reason="needs the train extra")
    rng = np.random.default_rng(4)
    pixels, labels = [], []
    for i in range(80):  # a bright dot, in every second one with a dim halo of grey 9
        vignette = np.zeros((40, 40), dtype=np.uint8)
        if i % 2:
            cv2.circle(vignette, (20, 20), int(rng.integers(8, 15)), (9,), -1)
        cv2.circle(vignette, (20, 20), int(rng.integers(3, 6)), (int(rng.integers(100, 250)),), -1)
        pixels.append(vignette)
        labels.append(i % 2)
    hashes = tuple(bytes([i]) for i in range(80))
    made = Vignettes(
        "halos", ("no", "yes"), tuple(map(str, range(80))), tuple(pixels), np.array(labels), hashes
    )
    assert choose_threshold(made, 1) == 7
    assert 7 in THRESHOLDS


# --- what learns


def test_the_settings_are_those_of_uvpec():
    assert LEARNING == {
        "eta": 0.2, "max_depth": 5, "subsample": 0.75, "objective": "multi:softprob", "tree_method": "hist",
    }  # fmt: skip


def test_boosted_trees_learn_and_repeat(data, table):
    pytest.importorskip("xgboost", reason="needs the train extra")
    test = feature_table(drawn(seed=2).pixels, 21)
    trees, again, other = (fit_boosted_trees(table, data.labels, 4, s, max_rounds=30) for s in (1, 1, 2))
    scores = trees.predict_proba(test)
    assert scores.shape == (90, 4)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert (scores.argmax(axis=1) == data.labels).mean() > 0.8
    np.testing.assert_array_equal(again.predict_proba(test), scores)
    assert not np.array_equal(other.predict_proba(test), scores)
    assert 1 <= trees.rounds <= 30
    assert trees.rounds == again.rounds
    assert trees.size_bytes > 1000
    np.testing.assert_allclose(trees.predict_proba(test[:1]), scores[:1])


def test_weights_favour_the_rare_class():
    pytest.importorskip("xgboost", reason="needs the train extra")
    rng = np.random.default_rng(5)
    labels = (np.arange(300) < 20).astype(np.int64)  # class 1 is rare, and the two overlap
    features = rng.normal(labels[:, np.newaxis] * 1.0, 1.0, (300, 3)).astype(np.float32)
    plain, weighted = (
        fit_boosted_trees(features, labels, 2, 1, weight_power=w, max_rounds=20) for w in (0, 1)
    )
    new = rng.normal(1.0, 1.0, (200, 3)).astype(np.float32)
    rare = [trees.predict_proba(new)[:, 1].mean() for trees in (plain, weighted)]
    assert rare[1] > rare[0] + 0.1


@pytest.mark.parametrize("components", [0, 5, 500])
def test_a_forest_learns_and_repeats(data, table, components):
    pytest.importorskip("sklearn", reason="needs the train extra")
    test = feature_table(drawn(seed=2).pixels, 21)
    labels = np.where(data.labels == 2, 3, data.labels)  # no image of class 2
    forest, again, other = (
        fit_forest(table, labels, 4, s, components=components, trees=20) for s in (1, 1, 2)
    )
    scores = forest.predict_proba(test)
    assert scores.shape == (90, 4)
    assert not scores[:, 2].any()
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert (scores.argmax(axis=1) == labels).mean() > 0.6
    np.testing.assert_array_equal(again.predict_proba(test), scores)
    assert not np.array_equal(other.predict_proba(test), scores)
    assert forest.size_bytes > 20 * 24


def test_a_contender_works_from_pixels(data, table):
    pytest.importorskip("sklearn", reason="needs the train extra")
    forest = fit_forest(table, data.labels, 3, 1, trees=10)
    contender = on_hand_features("forest", data.classes, forest, 21)
    assert contender.timed
    assert contender.size_bytes == forest.size_bytes
    one = data.select(np.arange(len(data)) == 4)
    np.testing.assert_array_equal(contender.probabilities(one), forest.predict_proba(table[4:5]))


# --- stored rows


def test_stored_features_are_found_by_file(tmp_path, data, table):
    pytest.importorskip("sklearn", reason="needs the train extra")
    order = np.random.default_rng(1).permutation(len(data))
    np.savez(tmp_path / "f.npz", files=np.array(data.files)[order], features=table[order])
    stored = read_stored(tmp_path / "f.npz", "features")
    np.testing.assert_array_equal(stored.rows(data.files), table)
    forest = fit_forest(table, data.labels, 3, 1, components=4, trees=10)
    contender = on_stored_features("cnn", data.classes, forest, stored)
    assert not contender.timed
    np.testing.assert_array_equal(contender.probabilities(data), forest.predict_proba(table))
    with pytest.raises(InputError, match=r"no row for 2 of 3 images, a\.png among them"):
        stored.rows(["a.png", data.files[0], "b.png"])


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"files": ["a"]}, "features"),
        ({"files": ["a", "b"], "features": np.zeros((1, 2))}, "2 files, and features of shape"),
        ({"files": ["a"], "features": np.zeros(1)}, "shape"),
        ({"files": ["a"], "features": np.full((1, 2), np.nan)}, "not finite"),
        ({"files": ["a"], "features": np.zeros((1, 2)), "classes": ["x"]}, "1 names for 2 columns"),
        ({"files": ["a"], "features": np.array([["x"]])}, "cannot be used"),
        ({"files": ["a"], "features": np.array([[object()]])}, "cannot be used"),
    ],
)
def test_stored_rows_that_do_not_fit_are_refused(tmp_path, arrays, word):
    np.savez(tmp_path / "f.npz", **arrays)
    with pytest.raises(InputError, match=word) as caught:
        read_stored(tmp_path / "f.npz", "features")
    assert str(caught.value).startswith(str(tmp_path / "f.npz"))


def test_what_is_no_npz_is_refused(tmp_path):
    (tmp_path / "f.npz").write_bytes(b"PK nothing")
    for file in ("f.npz", "no.npz"):
        with pytest.raises(InputError, match="cannot be used"):
            read_stored(tmp_path / file, "features")
