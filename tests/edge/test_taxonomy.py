"""Roll-up: what an unsure answer becomes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.taxonomy import UNCLASSIFIED, Taxon, build_tree

pytestmark = pytest.mark.board

TREE = build_tree(
    [
        Taxon(label="Calanus", parent="Copepod"),
        Taxon(label="Copepod", parent="Crustacea"),
        Taxon(label="Oithona", parent="Copepod"),
        Taxon(label="Snow"),
        Taxon(label="Furcilia", parent="Crustacea"),
    ],
    [Taxon(label="Crustacea")],
)
THRESHOLDS = (0.6, 0.6, 0.6, 0.6, 0.6, 0.7)
CALANUS, COPEPOD, OITHONA, SNOW, FURCILIA, CRUSTACEA, NOTHING = range(7)


def test_counted_taxa_are_labels_then_parents_then_unclassified():
    assert [taxon.label for taxon in TREE.counted] == [
        "Calanus", "Copepod", "Oithona", "Snow", "Furcilia", "Crustacea", UNCLASSIFIED,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("scores", "answer"),
    [
        ((0.6, 0.1, 0.1, 0.1, 0.1), CALANUS),
        ((0.4, 0.1, 0.3, 0.1, 0.1), COPEPOD),
        ((0.2, 0.5, 0.1, 0.1, 0.1), COPEPOD),
        ((0.3, 0.1, 0.1, 0.2, 0.3), CRUSTACEA),
        ((0.1, 0.1, 0.1, 0.35, 0.35), NOTHING),
        ((0.0, 0.0, 0.0, 0.59, 0.41), NOTHING),
        ((0.0, 0.0, 0.0, 0.61, 0.39), SNOW),
        ((0.25, 0.05, 0.05, 0.3, 0.35), CRUSTACEA),
        ((float("nan"),) * 5, NOTHING),
    ],
)
def test_an_unsure_answer_climbs_until_it_is_sure(scores, answer):
    assert TREE.decide(np.array([scores], dtype=np.float32), THRESHOLDS).tolist() == [answer]


def test_no_particles():
    decided = TREE.decide(np.zeros((0, 5), dtype=np.float32), THRESHOLDS)
    assert decided.shape == (0,)
    assert decided.dtype == np.int64


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.floats(0, 1), min_size=5, max_size=5), min_size=1, max_size=6), st.data())
def test_without_thresholds_the_best_label_stands_and_with_them_every_answer_is_sure(rows, data):
    scores = np.array(rows, dtype=np.float32)
    assert TREE.decide(scores, (0,) * 6).tolist() == scores.argmax(axis=1).tolist()
    thresholds = data.draw(st.lists(st.floats(0, 1), min_size=6, max_size=6))
    decided = TREE.decide(scores, thresholds)
    for row, answer in zip(scores, decided, strict=True):
        if answer != NOTHING:
            below = TREE.members[:, answer] > 0
            assert below[row.argmax()]
            assert row @ TREE.members[:, answer] >= np.float32(thresholds[answer]) - 1e-6


@pytest.mark.parametrize(
    ("labels", "parents", "sentence"),
    [
        ([Taxon(label="A"), Taxon(label="A")], [], "stands twice"),
        ([Taxon(label="A"), Taxon(label=UNCLASSIFIED)], [], "reserved"),
        ([Taxon(label="A", parent="B")], [], "'B' of 'A' is unknown"),
        ([Taxon(label="A", parent="B"), Taxon(label="B", parent="A")], [], "own ancestor"),
        ([Taxon(label="A")], [Taxon(label="B")], "no label below"),
    ],
)
def test_a_tree_that_is_none_is_refused(labels, parents, sentence):
    with pytest.raises(ValueError, match=sentence):
        build_tree(labels, parents)
