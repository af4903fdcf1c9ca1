"""What fuzzing found once is run again in every test run, without the fuzzer, within bounds."""

from __future__ import annotations

import sys
import tracemalloc

import pytest

from edge.frame import Phase
from edge.telemetry import Quantity
from edge.telemetry.expectation import Expectation
from edge.telemetry.header import Header, pack
from edge.telemetry.message import Segment, Stream
from edge.telemetry.range_coder import RangeEncoder
from tests.fuzz.__main__ import NAMES
from tests.fuzz.targets import CORPUS, CRC_BYTES, TARGETS, golden, messages, seal, seeds

pytestmark = pytest.mark.board
MOST_MEMORY_BYTES = 50_000_000
MOST_CALLS = 20_000_000
"""Of functions, for one input: some 15 s of a laptop. Time would depend on what else the machine does."""


def inputs(name):
    files = sorted((CORPUS / name).iterdir())
    return [*(file.read_bytes() for file in files), *seeds(name)]


class Calls:
    """Counts what a target calls; as `sys.setprofile` takes it."""

    def __init__(self):
        self.n = 0

    def __call__(self, frame, event, argument):
        self.n += event in ("call", "c_call")


def run_within_bounds(target, data):
    calls = Calls()
    tracemalloc.start()
    sys.setprofile(calls)
    try:
        target(data)
    finally:
        sys.setprofile(None)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < MOST_MEMORY_BYTES, f"{data.hex()} took {peak} bytes"
    assert calls.n < MOST_CALLS, f"{data.hex()} took {calls.n} calls"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_the_corpus_breaks_a_target(name):
    assert set(TARGETS) == set(NAMES) == {folder.name for folder in CORPUS.iterdir()}
    for data in inputs(name):
        run_within_bounds(TARGETS[name], data)


def test_the_corpus_reaches_behind_the_crc():
    """When this fails the end of a message has changed: `seal` and `CRC_BYTES` are to follow it."""
    for message in golden()[0]:
        assert seal(message[:-CRC_BYTES]) == message


def test_a_few_bytes_of_empty_columns_cannot_ask_for_much():
    """A table of zeros over the longest park, said again and again in one message."""
    _, book = golden()
    coder = RangeEncoder()
    stream = Stream(coder, Expectation(book))
    n = book.max_bins(Phase.PARK)
    for _ in range(2):
        for column in range(len(book.taxa)):
            stream.segment(Segment(Quantity.TAXA, Phase.PARK, n, column, 0, n, 14), [0] * n)
    stream.segment(None)
    message = pack(Header(book.id, 7, 0, 1), coder.finish(), book)
    assert len(message) < 50
    run_within_bounds(messages, message)
