"""What version 1 added: climatology, companding, short links, parity, pictures, priorities."""

from __future__ import annotations

import dataclasses
import random

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InputError, MessageError
from edge.frame import N_OUTCOMES, Phase
from edge.profile import Profile
from edge.telemetry.climatology import Climatology, load_climatology, rebin
from edge.telemetry.decoded import Provenance
from edge.telemetry.decoder import decode_messages
from edge.telemetry.header import MessageKind, unpack
from edge.telemetry.ladder import _hull
from edge.telemetry.picture import Picture, Reason
from edge.telemetry.planned import Priorities
from edge.telemetry.planner import code_at, plan, plan_totals
from edge.telemetry.summary import WHOLE_DIVE, DiveSummary, Quantity
from tests.edge.telemetry.dives import (
    FIVE_DBAR,
    make_codebook,
    make_phase,
    simulated,
    simulated_dive,
    small_dives,
)
from tools.shore.climatology import fit_climatology

pytestmark = pytest.mark.board


def one_phase(seed, load=6.0, climatology=None):
    """A descent in 400 bins; the codebook names the climatology."""
    book = make_codebook(20, FIVE_DBAR)
    if climatology is not None:
        book = msgspec.structs.replace(book, climatology_sha256=climatology.sha256)
    taxa, sizes, _ = simulated(seed, load)
    frames = np.zeros((400, 11), dtype=np.int64)
    frames[:, 0] = 10
    return DiveSummary(seed, book, Profile((make_phase(book, Phase.DESCENT, taxa, sizes, frames),)), 0, 9)


@pytest.fixture(scope="module")
def region():
    dives = [one_phase(seed) for seed in range(50, 70)]
    return fit_climatology([(one.codebook, one.profile.phases) for one in dives], "a region")


@pytest.fixture(scope="module")
def dive(region):
    return one_phase(3, climatology=region)


def taxa_bytes(summary, climatology):
    return plan(summary, 10**6, 340, climatology=climatology, quantities={Quantity.TAXA}).n_bytes


def test_a_climatology_makes_messages_shorter_and_is_needed_to_read_them(dive, region):
    with_it = plan(dive, 10**6, 340, climatology=region)
    assert with_it.is_regional
    assert taxa_bytes(dive, region) < 0.97 * taxa_bytes(dive, None)
    assert {unpack(message)[0].kind for message in with_it.messages} == {MessageKind.REGIONAL}
    (found,) = decode_messages(with_it.messages, [dive.codebook], [region])
    table = found.phases[Phase.DESCENT].tables[Quantity.TAXA]
    assert table.dense()[0].tolist() == dive.counts(Quantity.TAXA, Phase.DESCENT).tolist()
    without = decode_messages(with_it.messages, [dive.codebook])
    assert not without.dives
    assert region.sha256[:8] in without.refused[0][1]
    assert "--climatology" in without.refused[0][1]


@pytest.mark.parametrize("seed", [3, 4])
def test_a_wrong_climatology_costs_nothing_to_speak_of(region, seed):
    upside_down = msgspec.structs.replace(
        region,
        taxa={name: steps[::-1] for name, steps in region.taxa.items()},
        sizes=tuple(steps[::-1] for steps in region.sizes),
    )
    summary = one_phase(seed, climatology=upside_down)
    planned = plan(summary, 10**6, 340, climatology=upside_down)
    assert not planned.is_regional
    assert planned.n_bytes <= 1.02 * plan(summary, 10**6, 340).n_bytes


def test_a_climatology_that_the_codebook_does_not_name_is_refused(dive, region):
    with pytest.raises(InputError, match="climatology: is not the one that the codebook names"):
        plan(one_phase(3), 10**6, 340, climatology=region)


def test_climatology_survives_its_file_and_says_what_is_wrong_with_one(region):
    assert load_climatology(region.to_json()) == region
    assert load_climatology(region.to_json()).sha256 == region.sha256
    with pytest.raises(MessageError, match="is not a climatology"):
        load_climatology(b"{}", file="x.json")
    with pytest.raises(ValueError, match="differ in length"):
        Climatology(name="", n_dives=1, sizes=((1,),))


@given(st.lists(st.integers(0, 10**6), max_size=30), st.integers(1, 20), st.integers(-12, 12))
def test_rebinning_shares_out_all_counts(steps, step_dbar, shift):
    edges = [0, *np.cumsum([1, 3, 7, 40, 200]).tolist()]
    found = rebin(steps, step_dbar, edges, shift)
    assert min(found) >= 1
    whole = rebin(steps, step_dbar, [0, edges[-1]], shift)[0]
    assert 0 <= sum(found) - whole <= len(found)
    if shift == 0 and edges[-1] >= len(steps) * step_dbar:
        assert whole == max(1, sum(steps))


def test_heaved_water_is_found_again(region, dive):
    """The same dive ten steps deeper costs about as much: the shift is sent."""
    part = dive.profile.phases[0]
    moved = [np.roll(table, 10, axis=0) for table in (part.taxa, part.lpm)]
    for table in moved:
        table[:10] = 0
    lower = make_phase(dive.codebook, Phase.DESCENT, *moved, part.frames)
    heaved = dataclasses.replace(dive, profile=Profile((lower,)))
    assert taxa_bytes(heaved, region) < 1.06 * taxa_bytes(dive, region)


@pytest.mark.parametrize("message_bytes", [31, 40])
def test_short_links_carry_totals_in_one_message(dive, region, message_bytes):
    planned = plan(dive, message_bytes, message_bytes, climatology=region)
    (message,) = planned.messages
    assert len(message) <= message_bytes
    assert message[0] & 0x40
    (found,) = decode_messages([message], [dive.codebook], [region])
    table = found.whole[Quantity.TAXA]
    low, high = table.limits()
    truth = dive.counts(Quantity.TAXA, WHOLE_DIVE)[0]
    assert len(table.column) == 20
    assert ((low <= truth) & (truth <= high)).all()


def test_companded_sizes_say_between_what_they_lie(dive):
    for step, share in ((1, 0.75), (2, 0.6), (3, 0.5)):
        messages = code_at(dive, Quantity.SIZES, step, 340)
        (found,) = decode_messages(messages, [dive.codebook])
        table = found.phases[Phase.DESCENT].tables[Quantity.SIZES]
        low, high = table.limits()
        truth = dive.counts(Quantity.SIZES, Phase.DESCENT)[table.first, table.column]
        assert ((low <= truth) & (truth <= high)).all()
        assert len(truth) == 400 * 18
        kinds = set(table.provenance.tolist())
        assert kinds == {Provenance.LOSSLESS, Provenance.COMPANDED}
        assert (truth[table.step == 0] == table.value[table.step == 0]).all()
        lossless = sum(map(len, code_at(dive, Quantity.SIZES, 0, 340)))
        assert sum(map(len, messages)) < share * lossless


def sizes_of(messages, dive):
    (found,) = decode_messages(messages, [dive.codebook])
    return found.phases[Phase.DESCENT].tables[Quantity.SIZES]


def test_in_layers_half_the_messages_say_the_whole_profile_and_all_are_exact(dive):
    messages = plan(dive, 10**5, 340, quantities=[Quantity.SIZES], is_layered=True).messages
    at_once = plan(dive, 10**5, 340, quantities=[Quantity.SIZES]).messages
    assert sum(map(len, messages)) < 1.05 * sum(map(len, at_once))
    truth = dive.counts(Quantity.SIZES, Phase.DESCENT)
    n = next(i for i in range(1, len(messages)) if len(sizes_of(messages[:i], dive).column) == truth.size)
    assert n <= 0.7 * len(messages)
    assert not sizes_of(messages[:n], dive).is_exact
    for seed in range(3):
        shuffled = random.Random(seed).sample(messages, len(messages))
        values, provenance, _ = sizes_of(shuffled, dive).dense()
        assert values.tolist() == truth.tolist()
        assert (provenance == Provenance.LOSSLESS).all()
    # Without one of the first layer, what refines it is not read, and nothing wrong is said.
    for lost in range(len(messages)):
        table = sizes_of([one for i, one in enumerate(messages) if i != lost], dive)
        low, high = table.limits()
        counts = truth[table.first, table.column]
        assert ((low <= counts) & (counts <= high)).all()
        assert len(counts) == truth.size or lost < n


@given(small_dives(), st.sampled_from([23, 31, 100, 340]), st.sampled_from([60, 300, 2000, 10**6]))
@settings(max_examples=40, deadline=None)
def test_any_dive_in_layers(summary, message_bytes, budget_bytes):
    try:
        planned = plan(summary, budget_bytes, message_bytes, is_layered=True)
    except InputError:
        return
    assert planned.n_bytes <= budget_bytes
    result = decode_messages(planned.messages, [summary.codebook])
    assert not result.refused
    lossless = {(layer.quantity, layer.scope) for layer in planned.layers if layer.is_lossless}
    for found in result.dives:
        for phase, part in found.phases.items():
            if (Quantity.SIZES, phase) in lossless:
                values, _, _ = part.tables[Quantity.SIZES].dense()
                assert values.tolist() == summary.counts(Quantity.SIZES, phase).tolist()


@pytest.mark.parametrize("budget_bytes", [23, 26, 40])
def test_a_budget_below_the_totals_sends_the_first_of_them(budget_bytes):
    book = make_codebook(40)
    counts = np.arange(40)[None] * 977 + 1
    part = make_phase(book, Phase.DESCENT, counts, np.zeros((1, 18), int), np.zeros((1, N_OUTCOMES), int))
    dive = DiveSummary(3, book, Profile((part,)), 0, 1000)
    with pytest.raises(InputError, match="the totals of this dive need"):
        plan(dive, budget_bytes, 340)
    planned = plan_totals(dive, budget_bytes, 340)
    assert 0 < planned.n_bytes <= budget_bytes
    (found,) = decode_messages(planned.messages, [book])
    assert not found.is_complete
    assert found.missing()
    table = found.whole[Quantity.TAXA]
    low, high = table.limits()
    truth = counts[0][table.column]
    assert 0 < len(truth) < 40
    assert ((low <= truth) & (truth <= high)).all()


@pytest.mark.parametrize(("message_bytes", "n_parity"), [(340, 2), (51, 3), (340, 1)])
@pytest.mark.parametrize("regional", [False, True])
def test_parity_brings_lost_messages_back(dive, region, message_bytes, n_parity, regional):
    climatology = region if regional else None
    planned = plan(dive, 3000, message_bytes, n_parity=n_parity, climatology=climatology)
    assert planned.n_bytes <= 3000
    assert max(map(len, planned.messages)) <= message_bytes
    data = len(planned.messages) - n_parity
    lost = random.Random(1).sample(range(len(planned.messages)), n_parity)
    heap = [message for i, message in enumerate(planned.messages) if i not in lost]
    result = decode_messages(heap, [dive.codebook], [region])
    assert not result.refused
    assert result.restored == sum(i < data for i in lost)
    (found,) = result.dives
    assert found.is_complete
    (whole,) = decode_messages(planned.messages[:data], [dive.codebook], [region])
    for quantity, table in whole.phases[Phase.DESCENT].tables.items():
        again = found.phases[Phase.DESCENT].tables[quantity]
        assert again.value.tolist() == table.value.tolist()
    one_more = [message for message in heap if message is not heap[0]]
    short_of = decode_messages(one_more, [dive.codebook], [region])
    assert short_of.restored == 0
    assert all(not one.is_complete for one in short_of.dives)


@pytest.mark.parametrize("message_bytes", [23, 24, 30])
def test_parity_on_a_link_that_is_too_short_is_refused_and_does_not_hang(dive, message_bytes):
    with pytest.raises(InputError, match=f"is {message_bytes}, with parity the smallest is 31"):
        plan(dive, 3000, message_bytes, n_parity=1)


@settings(deadline=None, max_examples=25)
@given(small_dives(), st.sampled_from([(31, 1), (31, 2), (23, 0)]))
def test_any_dive_on_the_shortest_links_with_a_climatology(summary, link):
    """A single number, however large, fits in a message, with parity and a climatology too."""
    message_bytes, n_parity = link
    labels = [taxon.label for taxon in summary.codebook.taxa]
    known = Climatology(name="few", n_dives=1, taxa={label: (1, 5000, 3) for label in labels[:2]})
    book = msgspec.structs.replace(summary.codebook, climatology_sha256=known.sha256)
    summary = dataclasses.replace(summary, codebook=book)
    planned = plan(summary, 10**6, message_bytes, n_parity=n_parity, climatology=known)
    assert max(map(len, planned.messages)) <= message_bytes
    result = decode_messages(planned.messages[: len(planned.messages) - n_parity], [book], [known])
    assert not result.refused
    (found,) = result.dives
    assert found.is_complete
    assert found.totals(Quantity.TAXA)[0].tolist() == summary.counts(Quantity.TAXA, WHOLE_DIVE)[0].tolist()


def test_pictures_take_what_room_is_left(dive):
    r = np.random.default_rng(0)
    blob = (200 * np.exp(-((np.mgrid[-1:1:48j, -1:1:40j] ** 2).sum(axis=0)) * 3)).astype(np.uint8)
    pictures = [
        Picture(
            i % 20, Reason(i % 4), 10 * i, 900 + i, 800, 48, blob + r.integers(0, 9, blob.shape, np.uint8)
        )
        for i in range(6)
    ]
    bare = plan(dive, 10**6, 340)
    shown = plan(dive, bare.n_bytes + 3 * 340, 340, pictures=pictures)
    assert shown.messages[: len(bare.messages)] == bare.messages
    assert 3 <= shown.n_pictures < 6
    assert shown.n_bytes <= bare.n_bytes + 3 * 340
    assert all(len(message) <= 340 for message in shown.messages)
    random.Random(0).shuffle(messages := list(shown.messages))
    result = decode_messages(messages, [dive.codebook])
    assert result.others == shown.n_pictures
    found = result.dives[0].pictures
    assert [one.esd_um for one in found] == [900 + i for i in range(shown.n_pictures)]
    assert plan(dive, 2000, 340, pictures=pictures).n_pictures == 0


def test_taxa_and_depths_that_matter_are_sent_finer(dive):
    plain = plan(dive, 900, 340)
    label = dive.codebook.taxa[2].label
    wanted = plan(dive, 900, 340, priorities=Priorities(taxa={label: 50}))
    height = {layer.columns: layer.height for layer in wanted.layers if layer.quantity is Quantity.TAXA}
    assert height[2,] < next(layer.height for layer in plain.layers if layer.quantity is Quantity.TAXA)
    upper = plan(dive, 900, 340, priorities=Priorities(depths_dbar=((0, 200, 30),)))
    zones = {
        (layer.quantity, layer.first): layer.height for layer in upper.layers if layer.height is not None
    }
    assert zones[Quantity.TAXA, 0] < zones[Quantity.TAXA, 40]
    assert zones[Quantity.SIZES, 0] < zones.get((Quantity.SIZES, 40), 99)
    (found,) = decode_messages(upper.messages, [dive.codebook])
    assert found.totals(Quantity.TAXA)[0].tolist() == dive.counts(Quantity.TAXA, WHOLE_DIVE)[0].tolist()
    left_out = plan(dive, 10**6, 340, priorities=Priorities({Quantity.GREY: 0}))
    assert Quantity.GREY not in {layer.quantity for layer in left_out.layers}


@pytest.mark.parametrize("budget_bytes", [500, 1000, 2000, 4000])
def test_a_plan_is_within_a_rung_of_the_best(budget_bytes):
    """The bound holds for every plan of as many bits; what packing adds is told apart."""
    planned = plan(simulated_dive(), budget_bytes, 340)
    assert planned.worth <= planned.worth_bound
    assert planned.worth_bound - planned.worth < 0.02 * planned.worth


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), max_size=12))
def test_hull_lies_above_all_rungs(steps):
    points = [(0, 0, 0)]
    for bits, worth in steps:
        points.append((len(points), points[-1][1] + bits, points[-1][2] + worth))
    slopes = []
    for a, b in _hull(points):
        (_, b0, w0), (_, b1, w1) = points[a], points[b]
        slopes.append((w1 - w0) / (b1 - b0))
        for _, bits, worth in points[a : b + 1]:
            assert worth <= w0 + (w1 - w0) * (bits - b0) / (b1 - b0) + 1e-9
    assert slopes == sorted(slopes, reverse=True)
