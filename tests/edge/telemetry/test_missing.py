"""Requests for missing parts: said in few bytes, understood as meant, answered exactly."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InputError, MessageError
from edge.telemetry.decoder import decode_messages
from edge.telemetry.missing import (
    MAX_PARTS,
    REQUEST_BYTES,
    Request,
    answer,
    decode_request,
    encode_request,
)
from edge.telemetry.planner import plan
from tests.edge.telemetry.dives import simulated_dive

pytestmark = pytest.mark.board
SETTINGS = settings(deadline=None, max_examples=150)


@st.composite
def a_request(draw, number):
    n_parts = draw(st.one_of(st.integers(0, 30), st.integers(1, 300), st.just(MAX_PARTS)))
    if not n_parts:
        return Request(number, 0, ())
    parts = draw(st.sets(st.integers(0, min(n_parts, 400) - 1), min_size=1, max_size=80))
    tail = draw(st.sampled_from([(), range(max(0, n_parts - 300), n_parts), (n_parts - 1,)]))
    return Request.of_parts(number, n_parts, {*parts, *tail})


@st.composite
def several(draw):
    numbers = draw(st.lists(st.integers(0, 0xFFFF), unique=True, max_size=6))
    return [draw(a_request(number)) for number in numbers]


def asked(requests):
    """Every single part that is asked for; a whole dive is -1."""
    return {
        (request.dive_number, part)
        for request in requests
        for first, last in (request.ranges or ((-1, 0),))
        for part in range(first, last)
    }


@SETTINGS
@given(several(), st.one_of(st.just(REQUEST_BYTES), st.integers(0, 60)))
def test_what_is_said_and_what_is_left_out_are_all(requests, limit_bytes):
    encoded = encode_request(requests, limit_bytes)
    assert len(encoded.data) <= limit_bytes
    said = decode_request(encoded.data)
    assert asked(said) | asked(encoded.left_out) == asked(requests)
    assert not asked(said) & asked(encoded.left_out)
    by_dive = {request.dive_number: request for request in requests}
    assert [r.dive_number for r in said] == [n for n in by_dive if n in {r.dive_number for r in said}]
    assert all(r.n_parts == by_dive[r.dive_number].n_parts for r in (*said, *encoded.left_out))
    if not encoded.left_out:
        assert list(said) == requests


def test_oldest_dives_and_longest_ranges_first():
    singles = ((i, i + 1) for i in range(0, 100, 2))
    old = Request(3, 200, (*singles, (101, 140), (150, 156)))
    new = Request(4, 200, ((5, 9),))
    encoded = encode_request([old, new], 20)
    (said,) = decode_request(encoded.data)
    assert said.ranges[-2:] == ((101, 140), (150, 156))
    single = said.ranges[:-2]
    assert single == tuple((i, i + 1) for i in range(0, 2 * len(single), 2)), "lower parts matter more"
    assert len(encoded.data) >= 19
    assert [r.dive_number for r in encoded.left_out] == [3, 4]
    assert encode_request([new, old], 20).left_out[0].dive_number == 3


def test_sizes():
    """A part costs a byte; so does a dive, twice or thrice."""
    assert len(encode_request([Request(300, 14, ((3, 4), (9, 12)))]).data) == 2 + 1 + 1 + 1 + 2
    ten = [Request.of_parts(n, 14, {2, 7}) for n in range(1000, 1010)]
    assert len(encode_request(ten).data) == 1 + 10 * 5
    assert len(encode_request([Request(9, 0, ())]).data) == 2


def test_bytes_do_not_change_in_silence():
    requests = [Request(65535, 14, ((0, 1), (3, 7))), Request(0, 0, ()), Request(1, 40000, ((39999, 40000),))]
    data = encode_request(requests).data
    assert data.hex() == "ffff030e01000302" + "0100" + "01c0b80200fef004"
    assert list(decode_request(data)) == requests


@settings(deadline=None, max_examples=400)
@given(st.one_of(st.binary(max_size=40), st.lists(st.integers(0, 6), max_size=40).map(bytes)))
def test_any_bytes_are_refused_or_mean_one_thing(data):
    try:
        requests = decode_request(data)
    except MessageError:
        return
    assert encode_request(requests).data == data


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (bytes(271), "is 271 bytes long, a request has at most 270"),
        (b"\x01\x05", "ends in the middle"),
        (b"\x81\x00\x00", "written too long"),
        (b"\xff\xff\xff\x00", "number without end"),
        (b"\x01\x05\x00\x0a", "asks for part 6 of 5"),
        (b"\x01\x00\x00\x00", "asks for a dive twice"),
        (b"\xff\xff\x7f\x05", "out of range"),
    ],
)
def test_bad_bytes_get_a_sentence(data, sentence):
    with pytest.raises(MessageError, match=rf"^request: .*{sentence}.*; encode it again"):
        decode_request(data)


@pytest.mark.parametrize(
    ("number", "n_parts", "ranges"),
    [
        (-1, 0, ()), (1 << 16, 0, ()), (1, MAX_PARTS + 1, ((0, 1),)), (1, 5, ()), (1, 0, ((0, 1),)),
        (1, 5, ((0, 6),)), (1, 5, ((2, 2),)), (1, 5, ((0, 2), (2, 3))), (1, 5, ((3, 4), (0, 1))),
    ],
)  # fmt: skip
def test_requests_that_mean_nothing_are_refused(number, n_parts, ranges):
    with pytest.raises(InputError):
        Request(number, n_parts, ranges)


def test_a_dive_twice_is_refused():
    with pytest.raises(InputError, match="requests: holds a dive twice"):
        encode_request([Request(1, 0, ()), Request(1, 5, ((0, 1),))])


@SETTINGS
@given(several(), st.data())
def test_the_answer_is_what_is_asked_for_and_at_hand(requests, data):
    stored = {}
    for request in requests:
        n = data.draw(st.sampled_from([request.n_parts or 3, 0, 5]))
        if n <= 400:
            gone = data.draw(st.sets(st.integers(0, 5), max_size=3))
            stored[request.dive_number] = [
                None if part in gone else b"%d/%d" % (request.dive_number, part) for part in range(n)
            ]
    found = answer(requests, stored)
    assert [b"%d/%d" % part for part in found.parts] == list(found.messages)
    assert len(set(found.parts)) == len(found.parts)
    order = [request.dive_number for request in requests]
    assert list(found.parts) == sorted(found.parts, key=lambda part: (order.index(part[0]), part[1]))
    for request in requests:
        number, have = request.dive_number, stored.get(request.dive_number, ())
        absent = [r for r in found.absent if r.dive_number == number]
        if not have or request.n_parts not in (0, len(have)):
            assert absent == [request]
            continue
        want = {part for first, last in request.ranges for part in range(first, last)} or set(
            range(len(have))
        )
        assert {part for n, part in found.parts if n == number} == {p for p in want if have[p] is not None}
        assert asked(absent) == {(number, p) for p in want if have[p] is None}


def test_shore_asks_and_the_dive_becomes_complete():
    """The whole round: lost messages, the request, the answer, the dive."""
    dives = [simulated_dive(number=number) for number in (7, 8)]
    sent = {dive.dive_number: plan(dive, 2300, 340).messages for dive in dives}
    came = [message for i, message in enumerate(itertools.chain(*sent.values())) if i % 3 != 1]
    books = [dive.codebook for dive in dives]
    requests = [
        Request.of_parts(dive.dive_number, max(dive.received), dive.missing())
        for dive in decode_messages(came, books)
    ]
    again = answer(decode_request(encode_request(requests).data), sent)
    assert not again.absent
    assert len(again.messages) + len(came) == sum(map(len, sent.values()))
    assert all(dive.is_complete for dive in decode_messages([*came, *again.messages], books))
