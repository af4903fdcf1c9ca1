"""Of what two machines found every other byte is told, and of fast kernels what is more than one unit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.board.comparing import compare

OUTPUTS = np.array([[5, 90, -3], [10, 11, 9], [-128, 127, 0]], dtype=np.int8)
FOUND = {
    "vision/sea/area_px": np.arange(5),
    "vision/sea/mean_grey": np.array([0.1, np.nan]),
    "log/sea/frames.note": np.array(["'a'", "'b'"]),
    "log/sea/by score particles.taxon": np.array(["1", "2"]),
    "xnnpack/demo": OUTPUTS,
}


def compared(tmp_path, **other):
    np.savez(tmp_path / "here.npz", **FOUND)
    np.savez(tmp_path / "there.npz", **{**FOUND, **other})
    return compare(tmp_path / "here.npz", tmp_path / "there.npz")


def test_the_same_is_the_same(tmp_path):
    found = compared(tmp_path)
    assert found.is_right
    assert found.lines[0].split() == ["same", "log/sea:", "2", "tables"]
    assert "100.0 % of 3 vignettes identical" in found.lines[-1]


@pytest.mark.parametrize(
    ("name", "other", "told"),
    [
        ("vision/sea/area_px", np.array([0, 1, 2, 3, 5]), "1 of 5, first number 4"),
        ("vision/sea/area_px", np.arange(6), "shapes (5,) and (6,)"),
        ("vision/sea/area_px", np.arange(5, dtype=np.int32), "types int64 and int32"),
        ("vision/sea/mean_grey", np.array([np.nextafter(0.1, 1), np.nan]), "1 of 2, first number 0"),
        ("log/sea/frames.note", np.array(["'a'", "'c'"]), "first 'b' and 'c'"),
        ("vision/sea/new", np.arange(2), "only one machine has it"),
        ("xnnpack/demo", OUTPUTS + np.array([2, 0, 0], dtype=np.int8), "others up to 2 apart"),
    ],
)
def test_what_differs_is_told_and_wrong(tmp_path, name, other, told):
    found = compared(tmp_path, **{name: other})
    assert not found.is_right
    (line,) = (line for line in found.lines if line.startswith("DIFFERENT"))
    assert name in line
    assert told in line


def test_one_unit_is_allowed_where_the_winner_is_not_clear(tmp_path):
    other = OUTPUTS.copy()
    other[1] = [11, 10, 9]
    found = compared(tmp_path, **{"xnnpack/demo": other})
    assert found.is_right
    assert "66.7 % of 3 vignettes identical, others up to 1 apart; 1 other winners, 0" in found.lines[-1]


def test_what_follows_from_such_a_unit_is_told_and_decides_nothing(tmp_path):
    found = compared(tmp_path, **{"log/sea/by score particles.taxon": np.array(["1", "3"])})
    assert found.is_right
    assert any(line.startswith("may differ") for line in found.lines)
