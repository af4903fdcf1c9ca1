"""The held-back part is whole acquisitions and never drifts."""

from __future__ import annotations

import zipfile
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.inference.preprocessing import N_NUMBERS
from edge.taxonomy import Taxon
from training.datasets import Dataset
from training.split import HELD_BACK_FOLD, N_FOLDS, acquisition_groups, fold, folds, split_dataset
from training.taxonomy_file import read_taxonomy


def name(epoch_s: int, frame: int = 1, camera: str = "SPC-PWSSC", folder: str = "Blob") -> str:
    return f"{folder}/{camera}-{epoch_s}-{frame:06d}-001-10-20-30-40.png"


def test_less_than_600_s_apart_is_one_acquisition_and_chains():
    t = 1_459_000_000
    files = [
        name(t),
        name(t + 599),
        name(t + 1198),
        name(t + 1798),
        name(t + 9000),
        name(t, 7, folder="Snow"),
    ]
    assert acquisition_groups(files) == [
        f"SPC-PWSSC-{t + after}" for after in (0, 0, 0, 1798, 9000, 0)
    ]  # fmt: skip


def test_files_from_a_clock_that_was_not_set_are_one_group():
    assert acquisition_groups([name(0), name(0, 9), name(1), name(40_000), name(86_400)]) == [
        *["SPC-PWSSC-0"] * 4, "SPC-PWSSC-86400",
    ]  # fmt: skip


def test_two_cameras_at_one_time_are_two_acquisitions():
    assert len(set(acquisition_groups([name(500_000), name(500_000, camera="SPC-OTHER")]))) == 2


def test_names_that_tell_nothing_are_split_by_image():
    assert acquisition_groups([name(1), "Blob/a.png"]) is None
    where, rule = folds(["Blob/a.png", "Snow/b.png"])
    assert rule.startswith("by image")
    assert where.tolist() == [fold("a.png"), fold("b.png")]


def test_an_image_stays_in_its_fold_whatever_class_it_is_sorted_into():
    assert folds(["Blob/a.png"])[0][0] == folds(["Snow/a.png"])[0][0]


@pytest.mark.parametrize(
    ("group", "number"), [("SPC-PWSSC-0", 1), ("SPC-PWSSC-1498000000", 3), ("a.png", 2), ("", 2)]
)
def test_folds_are_fixed_for_ever(group, number):
    assert fold(group) == number


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(80_000, 130_000), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_neighbours_share_a_group_and_order_does_not_matter(epochs, random):
    files = [name(epoch, i) for i, epoch in enumerate(epochs)]
    groups = dict(zip(files, acquisition_groups(files), strict=True))
    shuffled = files[:]
    random.shuffle(shuffled)
    assert dict(zip(shuffled, acquisition_groups(shuffled), strict=True)) == groups
    for one, a in zip(files, epochs, strict=True):
        for other, b in zip(files, epochs, strict=True):
            if min(a, b) >= 86_400 and abs(a - b) < 600:
                assert groups[one] == groups[other]


def test_pwssc(shared):
    with zipfile.ZipFile(shared / "data" / "pwssc.zip") as archive:
        files = sorted(file for file in archive.namelist() if file.endswith(".png"))
    groups = acquisition_groups(files)
    assert len(set(groups)) == 353
    where, rule = folds(files)
    assert rule.startswith("by acquisition")
    held_back = where == HELD_BACK_FOLD
    assert 0.15 < held_back.mean() < 0.25
    kept = {group for group, out in zip(groups, held_back, strict=True) if not out}
    assert not kept & {group for group, out in zip(groups, held_back, strict=True) if out}
    for part in (held_back, ~held_back):
        assert (
            len(Counter(file.split("/")[0] for file, inside in zip(files, part, strict=True) if inside)) == 34
        )


def shape(seed: int) -> np.ndarray:
    """A mottled disc that is like no other."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :48] - 23.5
    return np.where(np.hypot(x, y) < 18, rng.integers(60, 255, (48, 48)), 0).astype(np.uint8)[..., np.newaxis]


def made(files, shapes, acquisitions=None) -> Dataset:
    n = len(files)
    labels = np.arange(n) % 2
    return Dataset(
        name="made",
        taxonomy=read_taxonomy(None, {"A": Taxon(label="A"), "B": Taxon(label="B")}),
        files=tuple(files),
        images=np.stack([shape(seed) for seed in shapes]),
        numbers=np.zeros((n, N_NUMBERS), np.uint8),
        sizes_px=np.full((n, 2), 48),
        labels=labels.astype(np.int64),
        hashes=tuple(f"{seed:08d}".encode() for seed in shapes),
        acquisitions=acquisitions,
        faults=(),
    )


def test_the_folds_of_a_data_set_are_those_of_its_files():
    files = [f"A/{i}.png" for i in range(40)]
    data = made(files, range(40))
    split = split_dataset(data)
    assert split.fold.tolist() == folds(files)[0].tolist() == [fold(f"{i}.png") for i in range(40)]
    assert split.groups == tuple(f"{i}.png" for i in range(40))
    assert split.held_back.tolist() == (split.fold == HELD_BACK_FOLD).tolist()
    assert (split.train == ~split.held_back).all()
    assert split.rule.startswith("by image")
    assert split.rule.endswith("held back: 1")
    assert split.left_out == ()
    assert split.duplicates.shape == (0, 2)


def test_acquisitions_decide_where_they_are_known():
    data = made([f"A/{i}.png" for i in range(6)], range(6), acquisitions=("p1", "p1", "p2", "p2", "p3", "p3"))
    split = split_dataset(data)
    assert split.fold.tolist() == [fold(group) for group in ("p1", "p1", "p2", "p2", "p3", "p3")]
    assert split.rule.startswith("by acquisition")


def files_in(held_back: bool, n: int) -> list[str]:
    names = (f"{i}.png" for i in range(1000) if (fold(f"{i}.png") == HELD_BACK_FOLD) is held_back)
    return [f"A/{next(names)}" for _ in range(n)]


def test_a_copy_is_never_on_both_sides_and_the_held_back_side_stays():
    out, (kept, copy, other) = files_in(True, 2), files_in(False, 3)
    data = made([*out, kept, copy, other], [1, 2, 3, 1, 3])
    split = split_dataset(data)
    assert split.duplicates.tolist() == [[0, 3], [2, 4]]
    assert split.held_back.tolist() == [True, True, False, False, False]
    assert split.train.tolist() == [False, False, True, False, True]
    (sentence,) = split.left_out
    assert sentence.startswith(f"{copy}: shows the same as {out[0]}, which is held back")
    # Without the copy's twin among the images it is learnt from; the held-back side is the same.
    fewer = split_dataset(made([out[1], kept, copy], [2, 3, 1]))
    assert fewer.train.tolist() == [False, True, True]


def test_in_every_fold_of_a_cross_validation_each_image_is_held_back_once():
    data = made([f"A/{i}.png" for i in range(60)], [i % 50 for i in range(60)])
    times = np.zeros(60, int)
    for number in range(N_FOLDS):
        split = split_dataset(data, (number,))
        times += split.held_back
        assert not (split.train & split.held_back).any()
        learnt = {i % 50 for i in np.flatnonzero(split.train)}
        assert not learnt & {i % 50 for i in np.flatnonzero(split.held_back)}
    assert (times == 1).all()


def test_nothing_may_be_held_back():
    split = split_dataset(made(["A/a.png", "A/b.png", "A/c.png"], [1, 1, 2]), ())
    assert split.train.all()
    assert not split.held_back.any()
    assert split.left_out == ()
    assert split.rule.endswith("held back: none")
