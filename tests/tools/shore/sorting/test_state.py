"""The state is a pure replay: any decision is taken whole or refused, and a prefix is what undo leaves."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.errors import InputError
from tools.shore.sorting.session import MAY_DECIDE
from tools.shore.sorting.state import POOL, State, sorted_state
from tools.shore.sorting.work import Decision

IMAGES = np.arange(10, 40) * 3
SEEDS = [[30, 33, 36, 39], [60, 63, 66], [90, 93]]


def fresh():
    state = State(IMAGES)
    state.apply("cluster", {"size": 2, "seeds": SEEDS})
    return state


def told(state):
    clusters = {
        n: (one.status, one.round, one.name, one.parent, sorted(one.refused))
        for n, one in state.clusters.items()
    }
    return state.cluster.tolist(), state.is_grown.tolist(), clusters, state.next_number, state.rounds


def check(state):
    """What always holds."""
    assert set(state.cluster.tolist()) <= {POOL, *state.clusters}
    for number, one in state.clusters.items():
        assert one.parent is None or one.parent in state.clusters
        assert len(state.path(number)) <= len(state.clusters)
        if one.status == "group":
            assert not len(state.members(number))
        inside = set(state.images[state.members(number)].tolist())
        assert not inside & one.refused


NUMBERS = st.one_of(st.integers(-1, 6), st.none(), st.just("1"))
LISTS = st.one_of(
    st.lists(st.sampled_from(IMAGES.tolist()), max_size=6),
    st.lists(st.integers(-5, 200), max_size=3),
    st.sampled_from([None, "30", [1.5], [1 << 70], [[30]]]),
)
NAMES = st.one_of(st.text(max_size=12), st.sampled_from(["../up", "a/b", ".", "Copepoda__25828", " a  b "]))
VALUES = {
    "cluster": NUMBERS, "into": NUMBERS, "parent": NUMBERS, "images": LISTS, "refused": LISTS, "name": NAMES,
    "groups": st.lists(st.lists(st.integers(-1, 8), max_size=3), max_size=3), "size": st.just(2),
    "seeds": st.lists(LISTS, max_size=2),
}  # fmt: skip
NEEDS = {
    "accept": ("cluster",), "reject": ("cluster",), "take_out": ("images",), "split": ("cluster", "images"),
    "grow": ("cluster", "images", "refused"), "grown": ("cluster",), "name": ("cluster", "name"),
    "merge": ("cluster", "into"), "move": ("cluster", "parent"), "arrange": ("groups",),
    "cluster": ("size", "seeds"), "nonsense": ("cluster",),
}  # fmt: skip
DECISIONS = st.sampled_from(sorted(NEEDS)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.fixed_dictionaries({one: VALUES[one] for one in NEEDS[kind]}))
)


@example([("grow", {"cluster": 0, "images": [], "refused": [30]})])  # which is in the cluster
@example(
    [
        ("grow", {"cluster": 0, "images": [], "refused": [36 + 63]}),
        ("grow", {"cluster": 0, "images": [36 + 63], "refused": []}),
    ]
)
@given(st.lists(DECISIONS, max_size=25))
def test_any_decision_is_taken_whole_or_refused(wanted):
    state = fresh()
    taken = [Decision(1, "", "", "cluster", {"size": 2, "seeds": SEEDS})]
    for kind, data in wanted:
        before = told(state)
        try:
            state.apply(kind, copy.deepcopy(data))
        except InputError:
            assert told(state) == before
        else:
            taken.append(Decision(len(taken) + 1, "", "", kind, data))
        check(state)
    assert told(sorted_state(IMAGES, taken)) == told(state)


def test_every_kind_a_page_may_send_is_known():
    assert set(MAY_DECIDE) < set(NEEDS)


def test_a_merge_keeps_the_name_the_children_and_the_images():
    state = fresh()
    state.apply("name", {"cluster": 0, "name": "bell"})
    state.apply("move", {"cluster": 2, "parent": 0})
    state.apply("merge", {"cluster": 0, "into": 1})
    assert state.clusters[1].name == "bell"
    assert state.clusters[2].parent == 1
    assert len(state.members(1)) == 7


def test_a_merge_into_what_stands_below():
    state = fresh()
    state.apply("move", {"cluster": 1, "parent": 0})
    state.apply("merge", {"cluster": 0, "into": 1})
    assert state.clusters[1].parent is None
    check(state)


def test_what_was_taken_out_is_free_and_not_wanted_back():
    state = fresh()
    state.apply("take_out", {"images": [33, 66]})
    assert (state.clusters[0].refused, state.clusters[1].refused) == ({33}, {66})
    state.apply("grow", {"cluster": 1, "images": [33], "refused": [36 + 63]})
    assert state.cluster[state.rows([33])[0]] == 1


def test_a_group_stands_where_its_first_child_stood():
    state = fresh()
    state.apply("arrange", {"groups": [[0, 1], [3, 2]]})
    assert [one.number for one in state.path(0)] == [4, 3, 0]
    state.apply("reject", {"cluster": 0})
    check(state)


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "a\\b", "a:b", "tab\0", "x" * 101])
def test_names_that_no_folder_can_have(name):
    with pytest.raises(InputError, match="gives a name"):
        fresh().apply("name", {"cluster": 0, "name": name})
