"""docs/wire-format.md is enough to read the messages: a decoder made from it alone finds the same cells."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.errors import InputError, MessageError
from edge.frame import Phase
from edge.profile import Profile
from edge.telemetry.climatology import Climatology
from edge.telemetry.codebook import Codebook, load_codebook
from edge.telemetry.decoded import ABSENT
from edge.telemetry.decoder import decode_messages
from edge.telemetry.expectation import Expectation
from edge.telemetry.header import Header, MessageKind, codebook_id, pack, unpack
from edge.telemetry.message import read_body
from edge.telemetry.planner import code_at, plan
from edge.telemetry.summary import DiveSummary, Quantity, n_columns
from tests.edge.telemetry import second_decoder as second
from tests.edge.telemetry.dives import (
    make_codebook,
    make_phase,
    simulated_dive,
    small_dives,
    with_corrected,
    with_extras,
)
from tools.shore.climatology import fit_climatology

DOCUMENT = Path(__file__).parents[3] / "docs" / "wire-format.md"
FEW = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])


@functools.cache
def dive(seed=3):
    return with_extras(with_corrected(simulated_dive(seed, number=700)))


@functools.cache
def regional(seed=3):
    """A dive whose codebook names a climatology, and the climatology; it does not know two of the taxa."""
    others = [simulated_dive(seed) for seed in (11, 12, 13)]
    climatology = fit_climatology([(one.codebook, one.profile.phases) for one in others], "test")
    known = {label: steps for label, steps in climatology.taxa.items() if label not in ("taxon 2", "taxon 9")}
    climatology = changed(climatology, taxa=known)
    return with_climatology(dive(seed), climatology), climatology


def as_json(struct):
    """As the second decoder gets it: read from JSON by `json` alone."""
    return json.loads(struct.to_json())


def changed(struct, **changes):
    fields = {name: getattr(struct, name) for name in struct.__struct_fields__}
    return type(struct)(**{**fields, **changes})


def with_climatology(summary, climatology):
    codebook = changed(summary.codebook, climatology_sha256=climatology.sha256)
    return dataclasses.replace(summary, codebook=codebook)


@st.composite
def climatologies(draw, codebook):
    """Any climatology, most of them of another region than the dive; the last taxon is unknown to it."""
    means = st.one_of(st.integers(0, 4000), st.integers(0, 1 << 20), st.sampled_from([0, 1 << 40]))
    steps = st.lists(means, max_size=20).map(tuple)
    limits = codebook.optics.size_class_limits_um if draw(st.booleans()) else ()
    return Climatology(
        name="any",
        n_dives=1,
        step_dbar=draw(st.sampled_from([1, 5, 7, 50])),
        taxa={taxon.label: draw(steps) for taxon in codebook.taxa[:-1]},
        size_class_limits_um=limits,
        sizes=tuple(draw(steps) for _ in limits),
        total_spread=draw(st.sampled_from([64, 28000, 8 << 16])),
    )


def first_cells(summary, messages, climatologies):
    """Cells as `second_decoder.cells_of` gives them, from the decoder under test."""
    decoding = decode_messages(messages, [summary.codebook], climatologies)
    assert not decoding.refused
    (found,) = decoding.dives
    by_scope = {int(phase): part.tables for phase, part in found.phases.items()} | {3: found.whole}
    tables = {(scope, name): table for scope, part in by_scope.items() for name, table in part.items()}
    cells = {((3, 0), int(fact), 0, 1, value, value) for fact, value in found.facts.items()}
    for (scope, quantity), table in tables.items():
        if quantity.is_mean:
            low = high = [None if v == ABSENT else v for v in table.value.tolist()]
        else:
            low, high = ([int(x) for x in ends] for ends in table.limits())
        if quantity is Quantity.UNPLACED and not any(high):
            continue  # made up of the facts
        place = (table.column.tolist(), table.first.tolist(), table.last.tolist())
        cells |= {((scope, int(quantity)), *cell) for cell in zip(*place, low, high, strict=True)}
    return cells


def second_cells(summary, messages, climatologies):
    """The same from the second decoder, and the headers it read."""
    codebook, regions = as_json(summary.codebook), [as_json(one) for one in climatologies]
    read, base = [], {}
    for _ in range(2):  # what refines counts is read when these are known
        read = [second.read_message(message, [codebook], regions, base) for message in messages]
        segments = [segment for *_, found in read for segment in found]
        base = second.base_of(segments)
    headers = [tuple(header) for *header, _ in read]
    cells = list(second.cells_of(segments))
    assert len(cells) == len(set(cells)), "a cell was sent twice"
    return set(cells), headers


def check(summary, messages, climatologies=()):
    cells, headers = second_cells(summary, messages, climatologies)
    number = summary.dive_number % (256 if messages[0][0] & 64 else 65536)
    assert headers == [(number, part, len(messages)) for part in range(len(messages))]
    assert cells == first_cells(summary, messages, climatologies)
    return cells


@pytest.mark.parametrize("message_bytes", [31, 340])
@pytest.mark.parametrize("budget_bytes", [400, 2500, 14_000])
def test_a_real_dive(message_bytes, budget_bytes):
    check(dive(), plan(dive(), budget_bytes, message_bytes).messages)


@pytest.mark.parametrize(
    ("message_bytes", "budget_bytes"), [(31, 4000), (340, 500), (340, 2000), (340, 9000)]
)
def test_a_real_dive_with_a_climatology(message_bytes, budget_bytes):
    summary, climatology = regional()
    planned = plan(summary, budget_bytes, message_bytes, climatology=climatology)
    assert planned.is_regional
    check(summary, planned.messages, [climatology])


@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_every_step_of_companding(step):
    summary, climatology = regional()
    check(summary, code_at(summary, Quantity.SIZES, step, 340, climatology), [climatology])
    check(summary, code_at(summary, Quantity.SIZES, step, 340))


@pytest.mark.parametrize("message_bytes", [31, 340])
def test_a_dive_in_layers(message_bytes):
    summary, climatology = regional()
    planned = plan(summary, 10**5, message_bytes, climatology=climatology, is_layered=True)
    cells = check(summary, planned.messages, [climatology])
    whole = plan(summary, 10**5, message_bytes, climatology=climatology)
    assert cells == first_cells(summary, whole.messages, [climatology])


@pytest.mark.parametrize("quantity", [Quantity.TAXA, Quantity.SIZES])
def test_totals_of_the_whole_dive(quantity):
    summary, climatology = regional()
    check(summary, code_at(summary, quantity, 0, 340, climatology, whole=True), [climatology])
    check(summary, code_at(summary, quantity, 0, 340, whole=True))


@FEW
@given(small_dives(), st.sampled_from([31, 340]), st.sampled_from([200, 900, 10**6]), st.data())
def test_any_small_dive(summary, message_bytes, budget_bytes, data):
    with contextlib.suppress(InputError):  # not even totals fit
        check(summary, plan(summary, budget_bytes, message_bytes).messages)
    climatology = data.draw(climatologies(summary.codebook))
    summary = with_climatology(summary, climatology)
    quantity = data.draw(st.sampled_from([Quantity.TAXA, Quantity.SIZES]))
    whole = data.draw(st.booleans()) or not summary.profile.phases
    step = 0 if quantity is Quantity.TAXA and not whole else data.draw(st.integers(0, 3))
    if n_columns(summary.codebook, quantity):
        messages = code_at(summary, quantity, step, message_bytes, climatology, whole=whole)
        check(summary, messages, [climatology])


@functools.cache
def bodies(with_region):
    """Bodies of messages of a dive, to go wrong somewhere in their middle."""
    summary, climatology = regional()
    messages = code_at(summary, Quantity.SIZES, 2, 100, climatology if with_region else None)
    messages += code_at(summary, Quantity.TAXA, 0, 100, climatology if with_region else None)
    messages += plan(dive(), 9000, 100).messages
    messages += plan(dive(), 10**5, 100, quantities=[Quantity.SIZES], is_layered=True).messages
    return [unpack(message)[1] for message in messages]


@settings(FEW, max_examples=40)
@given(st.data(), st.binary(max_size=30), st.booleans(), st.booleans())
def test_any_bytes_are_read_alike_or_refused_by_both(data, tail, is_short, with_region):
    """Both find the same segments in what no encoder wrote, or both find the same fault."""
    summary, climatology = regional()
    book, region = summary.codebook, climatology if with_region else None
    begun = data.draw(st.sampled_from(bodies(with_region)))
    body = begun[: data.draw(st.one_of(st.just(0), st.integers(0, len(begun))))] + tail
    kind = MessageKind.REGIONAL if with_region else MessageKind.FLAT
    message = pack(Header(codebook_id(book, is_short=is_short), 5, 0, 1, kind, is_short), body, book)
    try:
        first = [
            (s.quantity, s.scope, s.column, s.stop, list(s.cells), s.step, list(values))
            for s, values in read_body(body, Expectation(book, region))
        ]
    except MessageError:
        first = None
    try:
        *_, segments = second.read_message(message, [as_json(book)], [as_json(climatology)])
    except second.RefusedError:
        assert first is None
        return
    assert first == [
        (
            *((Quantity.SIZES, s.scope) if s.quantity == Quantity.REMAINDER else (s.quantity, s.scope)),
            s.column, s.stop, second.begins(s.first, s.last, s.height),
            0 if s.quantity == Quantity.REMAINDER else s.step, s.values,
        )
        for s in segments
        if s.first < s.last
    ]  # fmt: skip


@pytest.mark.parametrize(("message_bytes", "n_parity"), [(340, 1), (340, 3), (31, 2), (31, 32)])
def test_parity_is_the_code_of_the_document(message_bytes, n_parity):
    """Every column of a group's rows has the roots that section 14 names."""
    messages = plan(dive(), 12_000, message_bytes, n_parity=n_parity).messages
    covered = 3 if messages[0][0] & 64 else 5
    data, parity = messages[:-n_parity], messages[-n_parity:]
    groups = 1
    while groups < n_parity and -(-len(data) // groups) + -(-n_parity // groups) > 255:
        groups += 1
    rests = [message[covered:] for message in data]
    rows = [len(rest).to_bytes(2, "big") + rest for rest in rests]
    checks = []
    for message in parity:
        number, n_parts = second.varint(second.varint(message[covered:])[1])
        assert number == len(data) - 1
        assert n_parts[0] & 127 == n_parity
        assert n_parts[0] >> 7 == data[0][0] >> 4 & 3
        checks.append(n_parts[1 : -2 if covered == 3 else -4])
    for group in range(groups):
        own = checks[(group - len(data)) % groups :: groups]
        width = len(own[0])
        columns = zip(*(row.ljust(width, b"\0") for row in rows[group::groups]), *own, strict=True)
        for column in columns:
            for power in range(len(own)):
                assert functools.reduce(lambda x, y, p=power: times_two(x, p) ^ y, column, 0) == 0


def times_two(x, times):
    """A number of GF(256) times 2, so many times."""
    for _ in range(times):
        x = x << 1 ^ (0x11D if x & 128 else 0)
    return x


def test_the_hash_follows_from_the_document():
    for codebook in (
        dive().codebook,
        regional()[0].codebook,
        make_codebook(0),
        make_codebook(3, n_classes=1),
    ):
        assert second.canonical(as_json(codebook)) == codebook.to_json()
    climatology = regional()[1]
    assert second.canonical_climatology(as_json(climatology)) == climatology.to_json()


@pytest.mark.parametrize("at", [0, 1, 4, 7, -1])
def test_damage_is_refused(at):
    (message, *_) = plan(dive(), 2500, 340).messages
    damaged = bytearray(message)
    damaged[at] ^= 0x20
    with pytest.raises(second.RefusedError):
        second.read_message(bytes(damaged), [as_json(dive().codebook)])


def example():
    """A dive small enough to print: 4 bins, 2 taxa, 2 size classes."""
    book = make_codebook(2, ((0, 10),), 2, max_dbar=40)
    taxa, sizes = [[3, 0], [5, 1], [300, 0], [0, 0]], [[40, 12], [33, 9], [25, 14], [0, 0]]
    frames = np.zeros((4, 11), dtype=np.int64)
    frames[:, 0] = 8, 7, 9, 0
    part = make_phase(book, Phase.ASCENT, taxa, sizes, frames)
    return DiveSummary(258, book, Profile((part,)), 1_700_000_000_000, 1_700_003_600_000)


def test_the_example_in_the_document():
    """What is printed there is what is sent, and what both decoders read."""
    (block,) = re.findall(r"```json\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    printed = json.loads(block)
    codebook = load_codebook(json.dumps(printed["codebook"]).encode())
    assert isinstance(codebook, Codebook)
    assert printed["codebook_sha256"] == codebook.sha256
    messages = [bytes.fromhex(text) for text in printed["messages"]]
    cells = check(dataclasses.replace(example(), codebook=codebook), messages)
    given_cells = {(tuple(table), *rest) for table, *rest in printed["cells"]}
    assert cells == given_cells
    assert list(plan(example(), 10_000, 340).messages) == messages
