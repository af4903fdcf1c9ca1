"""A file that is cut off, changed or contradicts itself is a sentence, never a crash or a long wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import BundleError
from tests.training.hand_made_tflite import WHOLE, Graph, unary
from training.edgetpu import check_edgetpu


def test_places_that_are_not_there_are_refused():
    graph = unary()
    graph.graphs[0].operators[0].inputs = [7]
    with pytest.raises(BundleError, match="there is no 7 among its tensors"):
        graph.check()
    graph = unary()
    graph.graphs[0].tensors[0].buffer = 9
    with pytest.raises(BundleError, match="there is no 9 among its buffers"):
        graph.check()


class Shared:
    """A table that is written once and pointed to from many places."""

    def __init__(self, table):
        self.table, self.place = table, None

    def Pack(self, builder):  # noqa: N802 (flatbuffers calls it)
        self.place = self.place or self.table.Pack(builder)
        return self.place


def test_parts_that_overlap_are_refused():
    """Ten thousand operations that are all the same one, of a thousand inputs, would take long."""
    graph = Graph()
    x, y = graph.tensor((8, 4)), graph.tensor((8, 1000, 4))
    graph.add("PACK", [x] * 1000, [y], 2, ("PackOptions", {"axis": 1}))
    assert graph.check().on_cpu == ()
    graph.graphs[0].operators = [Shared(graph.graphs[0].operators[0])] * 10_000
    with pytest.raises(BundleError, match="its parts overlap"):
        graph.check()


def answers(model: bytes) -> None:
    """A verdict or one sentence; anything else is a fault of ours."""
    said = ""
    try:
        said = f"x.tflite: {len(check_edgetpu(model, 'x.tflite').operations)} operations"
    except BundleError as error:
        said = str(error)
    assert said.startswith("x.tflite: ")
    assert not said.startswith("x.tflite: 0")
    assert "\n" not in said


def test_the_whole_model_maps():
    assert check_edgetpu(WHOLE).on_cpu == ()


@given(st.integers(0, len(WHOLE) - 1))
def test_a_truncated_model_never_breaks_it(length):
    answers(WHOLE[:length])


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_changed_bytes_never_break_it(changes):
    model = bytearray(WHOLE)
    for place, value in changes:
        model[place] = value
    answers(bytes(model))


@given(st.binary(max_size=300))
def test_random_bytes_never_break_it(data):
    answers(data[:4] + b"TFL3" + data[4:])


@given(st.integers(0, len(WHOLE) // 4 - 1), st.sampled_from([0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1]))
def test_extreme_numbers_never_break_it(word, value):
    model = bytearray(WHOLE)
    model[4 * word : 4 * word + 4] = value.to_bytes(4, "little")
    model[4:8] = b"TFL3"
    answers(bytes(model))
