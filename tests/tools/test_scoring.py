"""Scores against plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import braycurtis

from tools.scoring import DetectionScore, bray_curtis, match_boxes

BOXES = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 12), st.integers(1, 12)), max_size=25
).map(lambda rows: np.array(rows, dtype=np.int64).reshape(-1, 4))


def iou(a, b):
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(w, 0) * max(h, 0)
    return both / (a[2] * a[3] + b[2] * b[3] - both)


@given(BOXES, BOXES)
def test_matches_are_good_one_to_one_and_maximal(truth, found):
    matched = match_boxes(truth, found)
    used = matched[matched >= 0]
    assert len(set(used)) == len(used)
    for t, f in enumerate(matched):
        if f >= 0:
            assert iou(truth[t], found[f]) >= 0.5
        else:
            free = [k for k in range(len(found)) if k not in used]
            assert all(iou(truth[t], found[k]) < 0.5 for k in free)


def test_shifted_by_half_is_not_found():
    truth = np.array([[10, 10, 4, 4]])
    assert match_boxes(truth, truth + np.array([2, 0, 0, 0])).tolist() == [-1]
    assert match_boxes(truth, truth + np.array([1, 0, 0, 0])).tolist() == [0]


def test_score_adds_up():
    score = DetectionScore()
    truth = np.array([[0, 0, 1, 1], [50, 50, 10, 10]])
    score.add(
        truth, np.array([1, 90]), np.array([[50, 50, 10, 10], [7, 7, 1, 1]]), np.array([90, 1]), large=73
    )
    result = score.as_dict()
    assert result["recall"] == 0.5
    assert result["precision"] == 0.5
    assert result["recall_large"] == 1.0


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=20))
def test_bray_curtis_agrees_with_scipy(pairs):
    a, b = zip(*pairs, strict=True)
    if sum(a) + sum(b) == 0:
        assert bray_curtis(a, b) == 0
    else:
        assert bray_curtis(a, b) == pytest.approx(braycurtis(a, b))
