"""The held-back part is whole acquisitions and never drifts."""

from __future__ import annotations

import zipfile
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.split import HELD_BACK_FOLD, acquisition_groups, fold, folds


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
