"""Parity messages: what was lost comes back whole, and never as something else."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.telemetry.parity import LENGTH_BYTES, MAX_DATA, MAX_PARITY, parity_bodies, restore
from edge.telemetry.planner import plan
from tests.edge.telemetry.dives import simulated_dive

pytestmark = pytest.mark.board
SETTINGS = settings(deadline=None, max_examples=60)


def receive(messages, bodies, lost):
    """What is at hand when messages at these positions of the transmission, data first, are lost."""
    n = len(messages)
    present = {i: message for i, message in enumerate(messages) if i not in lost}
    return present, {i: body for i, body in enumerate(bodies) if n + i not in lost}


def times(a, b):
    """Product in GF(256) with x^8 + x^4 + x^3 + x^2 + 1, as a schoolbook has it."""
    product = 0
    for bit in range(8):
        product ^= (a << bit) * (b >> bit & 1)
    for bit in range(14, 7, -1):
        product ^= (0x11D << (bit - 8)) * (product >> bit & 1)
    return product


transmissions = st.tuples(st.lists(st.binary(max_size=40), min_size=1, max_size=30), st.integers(1, 8))


@SETTINGS
@given(transmissions, st.data())
def test_as_many_losses_as_parity_are_restored(transmission, data):
    messages, n_parity = transmission
    bodies = parity_bodies(messages, n_parity)
    assert len(bodies) == n_parity
    assert {len(body) for body in bodies} == {LENGTH_BYTES + max(map(len, messages))}
    everything = range(len(messages) + n_parity)
    lost = data.draw(st.sets(st.sampled_from(everything), max_size=n_parity))
    present, parity = receive(messages, bodies, lost)
    restored = restore(len(messages), present, parity, n_parity)
    assert restored == {i: messages[i] for i in lost if i < len(messages)}


@SETTINGS
@given(transmissions, st.data())
def test_one_loss_too_many_restores_nothing(transmission, data):
    messages, n_parity = transmission
    everything = range(len(messages) + n_parity)
    bodies = parity_bodies(messages, n_parity)
    n_lost = data.draw(st.integers(n_parity + 1, len(everything)))
    lost = data.draw(st.sets(st.sampled_from(everything), min_size=n_lost, max_size=n_lost))
    assert restore(len(messages), *receive(messages, bodies, lost), n_parity) == {}


@SETTINGS
@given(transmissions, st.data())
def test_parity_left_over_uncovers_a_wrong_message(transmission, data):
    """The code fills gaps only, but where it can see that something is wrong it says nothing."""
    messages, n_parity = transmission
    n_lost = data.draw(st.integers(1, n_parity))
    if n_lost == n_parity or n_lost >= len(messages):
        return
    lost = set(range(n_lost))
    present, parity = receive(messages, parity_bodies(messages, n_parity), lost)
    wrong = data.draw(st.sampled_from(sorted(parity)))
    bit = data.draw(st.integers(0, 8 * len(parity[wrong]) - 1))
    parity[wrong] = bytearray(parity[wrong])
    parity[wrong][bit // 8] ^= 1 << bit % 8
    found = restore(len(messages), present, parity | {wrong: bytes(parity[wrong])}, n_parity)
    assert found == {}


def test_every_column_is_a_word_of_the_code():
    """By the definition: the polynomial of a codeword is zero at 2^0, 2^1, ..."""
    messages = [b"a", b"", bytes(range(250, 256)), b"seston"]
    rows = [(len(m).to_bytes(2, "big") + m).ljust(8, b"\0") for m in messages] + parity_bodies(messages, 3)
    for column in zip(*rows, strict=True):
        root = 1
        for _ in range(3):
            value = 0
            for symbol in column:
                value = times(value, root) ^ symbol
            assert value == 0
            root = times(root, 2)


def test_bytes_do_not_change_in_silence():
    """Parity is part of the wire format."""
    assert [body.hex() for body in parity_bodies([b"abc", b"", b"seston"], 2)] == [
        "001b80ab9e9cb1b2", "001e92ac8ee8dedc",
    ]  # fmt: skip
    messages = [random.Random(i).randbytes(i % 50) for i in range(400)]
    digest = hashlib.sha256(b"".join(parity_bodies(messages, 5))).hexdigest()
    assert digest == "f162b13a0fb7fc6a4e37d67fc7ab92ccb39ea351f73ca2ca0ba1332b221ef2f9"


@pytest.mark.parametrize(
    ("n_data", "n_parity", "n_groups"), [(253, 2, 1), (254, 2, 2), (600, 9, 3), (700, 2, 2)]
)
def test_long_transmissions_are_dealt_to_groups(n_data, n_parity, n_groups):
    messages = [random.Random(i).randbytes(i % 7) for i in range(n_data)]
    bodies = parity_bodies(messages, n_parity)
    run = n_parity // n_groups * n_groups
    for start in (0, 1, n_data // 2, n_data - run, n_data - 1, n_data + n_parity - run):
        lost = set(range(start, start + run))
        restored = restore(n_data, *receive(messages, bodies, lost), n_parity)
        assert restored == {i: messages[i] for i in lost if i < n_data}
    if n_groups > 1:
        one_group = set(range(0, n_groups * (n_parity // n_groups + 2), n_groups))
        assert restore(n_data, *receive(messages, bodies, one_group), n_parity) == {}


def test_a_dive_in_messages_of_many_lengths():
    messages = plan(simulated_dive(), 3000, 340).messages
    assert len({*map(len, messages)}) > 1
    bodies = parity_bodies(messages, 2)
    assert max(map(len, bodies)) <= 342
    present, parity = receive(messages, bodies, {0, len(messages) - 1})
    assert restore(len(messages), present, parity, 2) == {
        0: messages[0], len(messages) - 1: messages[-1],
    }  # fmt: skip


parts = st.dictionaries(st.integers(-2, 40), st.binary(max_size=20), max_size=20)


@settings(deadline=None, max_examples=200)
@given(
    st.one_of(st.integers(-1, 20), st.integers()), parts, parts, st.one_of(st.integers(-1, 20), st.integers())
)
def test_any_input_ends_with_few_messages_or_none(n_data, present, parity, n_parity):
    restored = restore(n_data, present, parity, n_parity)
    assert not restored.keys() & present.keys()
    assert all(0 <= part < n_data for part in restored)
    assert len(restored) <= len(parity)
    assert all(len(message) <= 20 for message in restored.values())


def test_a_header_that_lies_costs_nothing():
    assert restore(MAX_DATA, {0: b"x"}, {0: b"abc"}, MAX_PARITY) == {}
    assert restore(1 << 80, {0: b"x"}, {0: b"abc"}, 1) == {}
    assert restore(2, {0: bytes(70_000)}, {0: bytes(70_002)}, 1) == {}


def test_misuse_is_refused():
    assert parity_bodies([b"a"], 0) == []
    for messages, n_parity in (([], 1), ([bytes(1 << 16)], 1), ([b"a"], MAX_PARITY + 1), ([b"a"], -1)):
        with pytest.raises(ValueError, match=r"can be (covered|made)"):
            parity_bodies(messages, n_parity)
