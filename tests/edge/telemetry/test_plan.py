"""From a summary to messages and back: sizes kept, counts exact, losses and damage contained."""

from __future__ import annotations

import ast
import dataclasses
import functools
import json
import math
import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import telemetry
from edge.errors import InputError, MessageError
from edge.frame import CLASSIFIED_OUTCOMES, SIZED_OUTCOMES, Phase
from edge.profile import Profile
from edge.telemetry.climatology import load_climatology
from edge.telemetry.codebook import Codebook, load_codebook
from edge.telemetry.decoded import ABSENT, Provenance, volume_l
from edge.telemetry.decoder import decode_messages
from edge.telemetry.header import Header, pack, unpack
from edge.telemetry.means import to_steps
from edge.telemetry.planner import plan
from edge.telemetry.summary import WHOLE_DIVE, DiveFact, DiveSummary, Quantity
from tests.edge.telemetry.dives import (
    FIVE_DBAR,
    make_codebook,
    make_phase,
    simulated,
    simulated_dive,
    small_dives,
    with_corrected,
)
from tests.edge.telemetry.golden import KINDS, golden_dive, golden_messages, golden_region

pytestmark = pytest.mark.board
SETTINGS = settings(deadline=None, max_examples=40)
LONG = pytest.mark.not_emulated("it takes minutes, and is Python on whole numbers alone")
GOLDEN = Path(__file__).parents[2] / "golden" / "telemetry-1.json"
COUNTS = (Quantity.FRAMES, Quantity.TAXA, Quantity.SIZES, Quantity.NOISE)


@pytest.fixture(scope="module")
def dive():
    return simulated_dive()


def decoded(summary, messages):
    result = decode_messages(messages, [summary.codebook])
    assert not result.refused
    (found,) = result.dives
    return found


def check_cells(summary, found):
    """Every decoded cell says the truth about its bins."""
    for phase, part in found.phases.items():
        assert tuple(part.edges) == summary.codebook.edges(phase, part.n_bins)
        for quantity, table in part.tables.items():
            if quantity.is_mean:
                sums, numbers = summary.means(quantity, phase)
            else:
                sums = numbers = summary.counts(quantity, phase)
            ends = [part.tolist() for part in table.limits()]
            for column, first, last, value, low, high in zip(
                table.column, table.first, table.last, table.value.tolist(), *ends, strict=True
            ):
                cell = sums[first:last, column].sum(), numbers[first:last, column].sum()
                if quantity.is_mean:
                    (step,) = to_steps(quantity, *(np.array([x]) for x in cell))
                    assert value == (ABSENT if step is None else step)
                else:
                    assert low <= cell[0] <= high
                    assert low <= value <= high
                    assert table.step.any() or low == high
    for quantity, table in found.whole.items():
        low, high = table.limits()
        truth = summary.counts(quantity, WHOLE_DIVE)[0][table.column]
        assert ((low <= truth) & (truth <= high)).all()


def check_totals(summary, found):
    profile = summary.profile
    assert found.is_complete
    if not found.phases and summary.profile.phases:
        return  # totals alone: `check_cells` looked at them
    assert found.outcomes().tolist() == profile.outcomes().tolist()
    assert found.totals(Quantity.FRAMES)[1]
    assert found.taxa().tolist() == summary.counts(Quantity.TAXA, WHOLE_DIVE)[0].tolist()
    assert found.totals(Quantity.TAXA)[1]
    assert found.facts[DiveFact.START_S] == summary.start_ms // 1000
    assert found.facts[DiveFact.PHASES] == sum(1 << part.phase for part in profile.phases)


@SETTINGS
@given(small_dives(), st.integers(23, 400), st.one_of(st.integers(0, 600), st.integers(600, 10**6)))
def test_any_dive_at_any_size(summary, message_bytes, budget_bytes):
    try:
        planned = plan(summary, budget_bytes, message_bytes)
    except InputError as error:
        refused, needed = budget_bytes, int(error.remedy.split()[-2])
        planned, budget_bytes = plan(summary, needed, message_bytes), needed
        assert refused < needed, "a budget was refused that would have done"
    assert planned.n_bytes <= budget_bytes
    assert all(len(message) <= message_bytes for message in planned.messages)
    assert all(message[:2] != b"RB" for message in planned.messages)
    assert [unpack(message)[0].part for message in planned.messages] == list(range(len(planned.messages)))
    assert {unpack(message)[0].n_parts for message in planned.messages} == {len(planned.messages)}
    found = decoded(summary, planned.messages)
    check_totals(summary, found)
    check_cells(summary, found)


@SETTINGS
@given(small_dives())
def test_with_room_everything_is_lossless(summary):
    found = decoded(summary, plan(summary, 10**7, 340).messages)
    for part in summary.profile.phases:
        for quantity in COUNTS:
            truth = summary.counts(quantity, part.phase)
            if truth.shape[1]:
                values, provenance, _ = found.phases[part.phase].tables[quantity].dense()
                assert (provenance == Provenance.LOSSLESS).all()
                assert values.tolist() == truth.tolist()
        assert set(found.phases) == {part.phase for part in summary.profile.phases}
    if summary.corrected is not None and summary.corrected.size:
        counts, known = found.corrected()
        assert known.all()
        assert counts.tolist() == summary.corrected.tolist()
    else:
        assert found.corrected() is None


@pytest.mark.parametrize("message_bytes", [23, 31, 51, 340, 1960, 100_000])
@pytest.mark.parametrize(
    "budget_bytes", [100, 300, 700, *(pytest.param(n, marks=LONG) for n in (2000, 5000, 20_000))]
)
def test_a_real_dive_at_real_sizes(dive, message_bytes, budget_bytes):
    planned = plan(dive, budget_bytes, message_bytes)
    assert planned.n_bytes <= budget_bytes
    assert max(map(len, planned.messages)) <= message_bytes
    found = decoded(dive, planned.messages)
    check_totals(dive, found)
    check_cells(dive, found)


def test_a_larger_budget_never_says_less_and_is_used(dive):
    lossless = []
    for budget in (400, 800, 1600, 3200, 6400):
        planned = plan(dive, budget, 340)
        if budget < 6400:
            assert planned.n_bytes > 0.85 * budget
        lossless.append(sum(layer.n_cells for layer in planned.layers))
    assert lossless == sorted(lossless)
    assert lossless[0] < lossless[-1]


def test_taxa_and_outcomes_come_before_sizes_before_the_rest(dive):
    layers = {(layer.quantity, layer.scope): layer for layer in plan(dive, 1500, 340).layers}
    height = {quantity: layers[quantity, Phase.DESCENT].height for quantity in Quantity if quantity in COUNTS}
    assert height[Quantity.FRAMES] <= height[Quantity.TAXA] <= height[Quantity.SIZES] < height[Quantity.NOISE]


def test_layers_account_for_the_bytes(dive):
    planned = plan(dive, 2000, 340)
    headers = 14 * len(planned.messages)
    assert planned.n_bytes - headers <= sum(layer.n_bytes for layer in planned.layers) <= planned.n_bytes
    assert all((layer.height is None) == (layer.n_bytes == 0) for layer in planned.layers)


def test_tiny_budget_sends_totals_of_the_whole_dive(dive):
    planned = plan(dive, 110, 340)
    found = decoded(dive, planned.messages)
    check_cells(dive, found)
    assert set(found.whole) >= {Quantity.TAXA, Quantity.FRAMES}
    assert not found.phases
    with pytest.raises(InputError, match=r"budget_bytes: is 16, the totals of this dive need \d+") as error:
        plan(dive, 16, 340)
    assert error.value.field == "budget_bytes"


def test_message_too_small_is_refused(dive):
    with pytest.raises(InputError, match="message_bytes"):
        plan(dive, 2000, 22)


def test_volumes_come_from_the_frames(dive):
    found = decoded(dive, plan(dive, 10**5, 340).messages)
    for part in dive.profile.phases:
        phase = found.phases[part.phase]
        for b in range(part.n_bins):
            assert volume_l(found, phase, b, b + 1, Quantity.SIZES) == part.volume_sized_ul[b] / 1e6
            assert volume_l(found, phase, b, b + 1, Quantity.TAXA) == part.volume_classified_ul[b] / 1e6
    assert SIZED_OUTCOMES != CLASSIFIED_OUTCOMES
    assert math.isnan(volume_l(found, phase, 0, 1, Quantity.NOISE))


@pytest.mark.parametrize("seed", range(6))
def test_any_subset_in_any_order_with_duplicates(dive, seed):
    r = random.Random(seed)
    messages = plan(dive, 3000, 340).messages
    kept = r.sample(messages, r.randint(1, len(messages) - 1))
    heap = kept + kept[:2]
    r.shuffle(heap)
    result = decode_messages(heap, [dive.codebook])
    (found,) = result.dives
    assert result.duplicates == len(kept[:2])
    check_cells(dive, found)
    assert found.missing() == tuple(i for i, message in enumerate(messages) if message not in kept)
    assert not found.is_complete
    assert found.missing_sentence().startswith("dive 7: part")
    again = decode_messages(sorted(kept), [dive.codebook]).dives[0]
    for phase, part in found.phases.items():
        for quantity, table in part.tables.items():
            assert table.value.tolist() == again.phases[phase].tables[quantity].value.tolist()
    known = {
        (phase, quantity, int(c), int(b))
        for phase, part in found.phases.items()
        for quantity, table in part.tables.items()
        for b, c in np.argwhere(table.dense()[1] > 0)
    }
    each = set()
    for message in kept:
        alone = decode_messages([message], [dive.codebook]).dives[0]
        each |= {
            (phase, quantity, int(c), int(b))
            for phase, part in alone.phases.items()
            for quantity, table in part.tables.items()
            for b, c in np.argwhere(table.dense()[1] > 0)
        }
    assert each <= known, "a message says less among others than alone"


def test_missing_parts_are_named(dive):
    messages = list(plan(dive, 2300, 340).messages)
    assert len(messages) == 7
    del messages[4], messages[1]
    found = decode_messages(messages, [dive.codebook]).dives[0]
    assert found.missing_sentence() == "dive 7: parts 2, 5 of 7 are missing"
    assert not found.totals(Quantity.SIZES)[1]


def test_several_dives_and_codebooks_at_once(dive):
    other = simulated_dive(seed=20, number=8)
    book = make_codebook(platform="another float")
    twin = DiveSummary(7, book, other.profile, 5, 6)
    heap = [m for s in (dive, other, twin) for m in plan(s, 1500, 340).messages]
    random.Random(0).shuffle(heap)
    result = decode_messages(heap, [book, dive.codebook])
    assert sorted((d.dive_number, d.codebook.platform) for d in result) == [
        (7, ""), (7, "another float"), (8, ""),
    ]  # fmt: skip
    for summary in (dive, other, twin):
        (found,) = (
            d for d in result if (d.dive_number, d.codebook) == (summary.dive_number, summary.codebook)
        )
        check_totals(summary, found)


def test_a_dive_sent_twice_keeps_the_finest(dive):
    coarse, fine = plan(dive, 700, 340).messages, plan(dive, 3000, 340).messages
    found = decode_messages([*coarse, *fine], [dive.codebook]).dives[0]
    alone = decode_messages(fine, [dive.codebook]).dives[0]
    table, expected = (d.phases[Phase.DESCENT].tables[Quantity.TAXA] for d in (found, alone))
    assert table.value.tolist() == expected.value.tolist()
    assert found.is_complete


def test_codebook_that_is_missing_is_named(dive):
    result = decode_messages(plan(dive, 400, 340).messages, [make_codebook(platform="another")])
    assert not result.dives
    assert dive.codebook.sha256[:4] in result.refused[0][1]


@settings(deadline=None, max_examples=150)
@given(st.lists(st.binary(max_size=60), max_size=6))
def test_garbage_is_refused_with_a_reason(heap):
    result = decode_messages(heap, [make_codebook()])
    assert not result.dives
    assert [position for position, _ in result.refused] == list(range(len(heap)))


@functools.cache
def _messages():
    return plan(simulated_dive(), 700, 340).messages


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_flipped_bit_or_a_cut_is_always_seen(dive, data):
    messages = _messages()
    message = bytearray(data.draw(st.sampled_from(messages)))
    if data.draw(st.booleans()):
        for _ in range(data.draw(st.integers(1, 3))):
            bit = data.draw(st.integers(0, 8 * len(message) - 1))
            message[bit // 8] ^= 1 << bit % 8
    else:
        del message[data.draw(st.integers(0, len(message) - 1)) :]
    if bytes(message) in messages:
        return
    result = decode_messages([bytes(message)], [dive.codebook])
    assert not result.dives
    assert len(result.refused) == 1


@settings(deadline=None, max_examples=250)
@given(st.one_of(st.binary(max_size=80), st.binary(min_size=300, max_size=400)), st.integers(0, 300))
def test_forged_bodies_never_raise(body, part):
    """Right header and CRC, anything inside: refused or decoded within bounds, never an exception."""
    book = make_codebook(n_taxa=5)
    message = pack(Header(book.id, 1, part, 301), body, book, 2)
    result = decode_messages([message], [book])
    assert len(result.dives) + len(result.refused) == 1


def test_forged_bodies_take_little_memory():
    book = make_codebook(n_taxa=40, bins=((0, 1),), max_dbar=6000)
    bodies = [bytes([byte]) * 3000 for byte in (0, 1, 3, 0x1F, 0x55, 0x7F, 0x80, 0xAA, 0xFE, 0xFF)]
    bodies += [random.Random(seed).randbytes(3000) for seed in range(20)]
    tracemalloc.start()
    for body in bodies:
        decode_messages([pack(Header(book.id, 1, 0, 1), body, book)], [book])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


def test_headers_that_lie_are_refused(dive):
    (message,) = plan(dive, 300, 340).messages
    header, body = unpack(message)
    assert pack(header, body, dive.codebook) == message
    with pytest.raises(MessageError, match="part 5 of 3"):
        unpack(pack(Header(header.codebook_id, 1, 4, 3), body, dive.codebook))
    with pytest.raises(MessageError, match="version 15"):
        unpack(bytes([message[0] | 0x0F]) + message[1:])
    result = decode_messages([pack(header, body + b"more than this", dive.codebook)], [dive.codebook])
    assert not result.dives
    assert len(result.refused) == 1


def test_two_messages_for_one_part_are_not_mixed(dive):
    other = dataclasses.replace(dive, start_ms=dive.start_ms - 10**6)
    a, b = plan(dive, 300, 340).messages[0], plan(other, 300, 340).messages[0]
    result = decode_messages([a, b], [dive.codebook])
    assert "another message" in result.refused[0][1]
    check_totals(dive, result.dives[0])


def test_many_parts(dive):
    """More than 128 parts need two bytes for their number."""
    planned = plan(dive, 10**6, 60)
    assert len(planned.messages) > 128
    check_totals(dive, decoded(dive, planned.messages))


def test_forty_taxa_thousand_bins():
    book = make_codebook(40, ((0, 1),), max_dbar=1000)
    r = np.random.default_rng(5)
    taxa, sizes = r.poisson(0.05, (1000, 40)), r.poisson(30, (1000, 18))
    frames = np.zeros((1000, 11), dtype=np.int64)
    frames[:, 0] = 3
    summary = DiveSummary(1, book, Profile((make_phase(book, Phase.ASCENT, taxa, sizes, frames),)))
    found = decoded(summary, plan(summary, 10**6, 100_000).messages)
    assert found.phases[Phase.ASCENT].tables[Quantity.TAXA].dense()[0].tolist() == taxa.tolist()
    assert found.phases[Phase.ASCENT].tables[Quantity.SIZES].dense()[0].tolist() == sizes.tolist()


def test_empty_dive():
    summary = DiveSummary(0, make_codebook(), Profile(()))
    planned = plan(summary, 60, 48)
    found = decoded(summary, planned.messages)
    assert found.facts[DiveFact.PHASES] == 0
    assert found.outcomes().sum() == 0
    assert found.totals(Quantity.TAXA)[1]


@pytest.mark.parametrize(
    ("field", "value"),
    [("taxa", -1), ("lpm", 1 << 41), ("frames", -5), ("lpm_grey_centi_sum", -1), ("n_temperature", 1 << 62)],
)
def test_counts_no_message_can_carry_are_refused(field, value):
    book = make_codebook(2, n_classes=2)
    part = make_phase(book, Phase.ASCENT, np.ones((3, 2)), np.ones((3, 2)), np.ones((3, 11)))
    getattr(part, field)[1] = value
    with pytest.raises(InputError, match=rf"ascent\.{field}: holds values outside"):
        DiveSummary(1, book, Profile((part,)))


def test_corrected_counts_cost_little_and_are_whole_or_not_there(dive):
    corrected = with_corrected(dive)
    found = plan(corrected, 10**5, 340)
    (layer,) = (one for one in found.layers if one.quantity is Quantity.CORRECTED)
    assert 0 < layer.n_bytes < 90
    for budget_bytes in (300, 500, 1000):
        planned = plan(corrected, budget_bytes, 340)
        told = decoded(corrected, planned.messages).corrected()
        sent = {(layer.quantity, layer.height) for layer in planned.layers}
        assert (told is not None) == ((Quantity.CORRECTED, 0) in sent)
    lost = decode_messages(found.messages[1:], [dive.codebook]).dives[0].corrected()
    if lost is not None:
        assert (lost[0][:, lost[1]] == corrected.corrected[:, lost[1]]).all()


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([[1], [1]], "are no counts of the codebook's taxa"),
        ([[-1], [-1], [0]], "are no counts of the codebook's taxa"),
        ([[1], [2], [3]], "lie outside their intervals"),
        ([[4], [2], [3]], "lie outside their intervals"),
    ],
)
def test_corrected_counts_that_are_none_are_refused(rows, sentence):
    with pytest.raises(InputError, match=f"corrected: {sentence}"):
        DiveSummary(1, make_codebook(1), Profile(()), corrected=np.array(rows, dtype=np.int64))


def test_profile_of_another_configuration_is_refused():
    part = make_phase(make_codebook(2), Phase.ASCENT, np.ones((3, 2)), np.ones((3, 18)), np.ones((3, 11)))
    with pytest.raises(InputError, match=r"ascent\.edges: are not the codebook's"):
        DiveSummary(1, make_codebook(2, (*FIVE_DBAR, (5, 1))), Profile((part,)))
    with pytest.raises(InputError, match=r"ascent\.taxa: is int64 \(3, 2\)"):
        DiveSummary(1, make_codebook(3), Profile((part,)))
    with pytest.raises(InputError, match=r"dive_number: is 65536"):
        DiveSummary(65536, make_codebook(2), Profile((part,)))


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_do_not_change_in_silence(kind):
    """A change here is a new version of the format: write it down in the change log, then renew the file."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert golden_dive().codebook.sha256 == golden["codebook_sha256"]
    assert golden_region().sha256 == golden["climatology_sha256"]
    assert [message.hex() for message in golden_messages(kind)] == golden["messages"][kind]


@pytest.mark.parametrize("kind", KINDS)
def test_golden_messages_decode(kind):
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    book = load_codebook(json.dumps(golden["codebook"]).encode())
    region = load_climatology(json.dumps(golden["climatology"]).encode())
    result = decode_messages([bytes.fromhex(text) for text in golden["messages"][kind]], [book], [region])
    assert not result.refused
    if kind == "pictures":
        assert result.others == 1
        return
    (found,) = result.dives
    check_cells(golden_dive(), found)
    if found.phases:
        assert found.taxa().tolist() == golden["taxa"]
        assert found.outcomes().tolist() == golden["outcomes"]
    with_parity = kind == "parity"
    assert (result.others > 0) == with_parity


def test_codebook_hash_is_of_its_meaning():
    book = make_codebook()
    loaded = load_codebook(json.dumps(json.loads(book.to_json()), indent=1).encode())
    assert loaded == book
    assert loaded.sha256 == book.sha256
    assert make_codebook(platform="b").id != book.id
    with pytest.raises(MessageError, match="is not a codebook"):
        load_codebook(b'{"taxa": 3}', file="x.json")
    with pytest.raises(ValueError, match="twice"):
        Codebook(taxa=(book.taxa[0],) * 2, profile=book.profile, optics=book.optics)


@pytest.mark.parametrize(("load", "most"), [(1.0, 1.30), (6.0, 1.24), (30.0, 1.25)])
def test_taxa_stay_close_to_the_entropy(load, most):
    """Lossless, in messages of 340 bytes, everything included, nothing known of the region."""
    sent = bound = 0.0
    for seed in range(3):
        taxa, _, rate = simulated(seed, load)
        book = make_codebook(20, FIVE_DBAR)
        zeros = np.zeros((400, 18)), np.zeros((400, 11))
        summary = DiveSummary(1, book, Profile((make_phase(book, Phase.ASCENT, taxa, *zeros),)))
        planned = plan(summary, 10**6, 340)
        (layer,) = (x for x in planned.layers if x.quantity is Quantity.TAXA)
        assert layer.is_lossless
        sent += layer.n_bytes + 12 * math.ceil(layer.n_bytes / 326)
        log_factorial = np.vectorize(math.lgamma)(taxa + 1.0)
        bound += float((rate - taxa * np.log(rate) + log_factorial).sum()) / math.log(2) / 8
    assert bound < sent < most * bound


def test_the_room_is_pure():
    for file in Path(telemetry.__file__).parent.glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        roots = {name.split(".")[0] for name in names}
        allowed = {
            "numpy", "msgspec", "edge", "__future__", "array", "collections", "dataclasses", "enum",
            "base64", "binascii", "functools", "hashlib", "itertools", "math", "operator", "reedsolo",
            "typing", "zlib",
        }  # fmt: skip
        assert roots <= allowed, f"{file.name} imports {roots - allowed}"
        rooms = {n for n in names if n.startswith("edge.") and not n.startswith("edge.telemetry")}
        pure = {f"edge.{room}" for room in ("config", "errors", "frame", "optics", "profile", "taxonomy")}
        assert rooms <= pure
