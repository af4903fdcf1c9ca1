"""What no profile holds: sizes within taxa, wrong names, health, replies; from particles to the shore."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import InputError
from edge.profile import Profile
from edge.taxonomy import UNCLASSIFIED, Taxon, build_tree
from edge.telemetry.decoded import DecodedDive, DecodedTable
from edge.telemetry.decoder import decode_messages
from edge.telemetry.health import Health
from edge.telemetry.means import to_log_step
from edge.telemetry.naming import esd_quantiles, expected_wrong
from edge.telemetry.planner import plan
from edge.telemetry.replies import (
    MAX_COUNTER,
    MAX_DETAIL,
    MAX_REPLIES,
    Reply,
    Verdict,
    replies_from_codes,
    reply_codes,
)
from edge.telemetry.summary import (
    ESD_PERCENTS,
    NO_ESD,
    WHOLE_DIVE,
    DiveSummary,
    Quantity,
    column_names,
    living_taxa,
    n_columns,
)
from edge.telemetry.whole_dive import (
    SizesOfTaxon,
    condition_of,
    doubt_of,
    esd_quantiles_of,
    health_of,
    replies_of,
    row_of,
)
from tests.edge.telemetry.dives import make_codebook, replies, simulated_dive, small_dives, with_extras

pytestmark = pytest.mark.board
EXTRAS = (Quantity.REPLIES, Quantity.HEALTH, Quantity.DOUBT, Quantity.ESD_QUANTILES)
COPEPOD, SPHERE, GENUS = (
    Taxon(label="copepod", living=True),
    Taxon(label="sphere", living=False),
    Taxon(label="calanus", living=True, parent="copepod"),
)
JELLY = Taxon(label="jelly", living=True)
MEDUSA, SALP = (Taxon(label=name, living=True, parent="jelly") for name in ("medusa", "salp"))
TREE = build_tree((COPEPOD, SPHERE, GENUS, MEDUSA, SALP), (JELLY,))


@pytest.fixture(scope="module")
def dive():
    return with_extras(simulated_dive())


def decoded(summary, messages):
    (found,) = decode_messages(messages, [summary.codebook]).dives
    return found


# --- sizes within taxa


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20_000)), max_size=80))
def test_quantiles_are_sizes_that_were_there_by_nearest_rank(particles):
    taxa, esd_um = np.array(particles, dtype=np.int64).reshape(-1, 2).T
    found = esd_quantiles(taxa, esd_um, TREE.counted)
    living = living_taxa(TREE.counted)
    assert [TREE.counted[i].label for i in living] == ["copepod", "calanus", "medusa", "salp", "jelly"]
    for row, taxon in zip(found.tolist(), living, strict=True):
        mine = sorted(size for kind, size in particles if kind == taxon)
        if not mine:
            assert row == [NO_ESD] * 5
            continue
        # Nearest rank: at least so many percent of the sizes are at most it, and no smaller size will do.
        for percent, step in zip(ESD_PERCENTS, row, strict=True):
            size = next(s for s in mine if 100 * sum(x <= s for x in mine) >= percent * len(mine))
            assert step == to_log_step(size)
        theirs = np.quantile(mine, np.array(ESD_PERCENTS) / 100, method="inverted_cdf")
        if len(mine) < 20:  # NumPy's ranks are rounded beyond
            assert row == [to_log_step(int(size)) for size in theirs]


def test_sizes_come_back_to_the_middle_of_their_step():
    um = [700, 815, 1200, 2013, 3391]
    sizes = SizesOfTaxon.from_steps(COPEPOD, [to_log_step(size) for size in um])
    assert sizes.is_known
    for got, put in zip(sizes.esd_um, um, strict=True):
        assert got == pytest.approx(put, rel=0.032)
    assert SizesOfTaxon.from_steps(COPEPOD, [NO_ESD] * 5) == SizesOfTaxon(COPEPOD, True)


@given(st.lists(st.one_of(st.none(), st.integers(0, 3), st.integers(0, 1 << 42)), min_size=5, max_size=5))
def test_sizes_from_any_numbers_are_known_or_not_and_never_raise(codes):
    sizes = SizesOfTaxon.from_codes(COPEPOD, codes)
    if None in codes:
        assert not sizes.is_known
    elif not any(codes):
        assert sizes == SizesOfTaxon(COPEPOD, True)
    else:
        assert sizes.is_known == (codes[0] > 0 and sum(codes) <= 1001)
        assert list(sizes.esd_um) == sorted(sizes.esd_um)


# --- wrong names


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 1000), st.floats(0, 0.9))
def test_expected_wrong_names_are_one_less_the_probability_of_the_answer(n, seed, threshold):
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.full(TREE.n_labels, 0.4), n).astype(np.float32)
    taxa = TREE.decide(scores, np.full(len(TREE.counted) - 1, threshold))
    below = TREE.members
    expected = np.zeros(len(TREE.counted))
    for answer, row in zip(taxa.tolist(), scores.astype(np.float64), strict=True):
        if TREE.counted[answer].label != UNCLASSIFIED:
            expected[answer] += 1 - float(row[below[:, answer] > 0].sum())
    found = expected_wrong(taxa, scores, TREE.counted)
    assert np.abs(found - expected).max(initial=0) <= 0.501
    assert found[-1] == 0
    assert (found <= np.bincount(taxa, minlength=len(found))).all()
    order = rng.permutation(n)
    assert found.tolist() == expected_wrong(taxa[order], scores[order], TREE.counted).tolist()


def test_a_roll_up_is_as_sure_as_all_below_it():
    """Medusa or salp is a coin toss, and a jelly for sure."""
    scores = np.tile(np.array([[0, 0, 0, 0.5, 0.5]], dtype=np.float32), (10, 1))
    as_medusa, as_jelly, as_nothing = (np.full(10, i) for i in (3, 5, 6))
    assert expected_wrong(as_medusa, scores, TREE.counted).tolist() == [0, 0, 0, 5, 0, 0, 0]
    assert not expected_wrong(as_jelly, scores, TREE.counted).any()
    assert not expected_wrong(as_nothing, scores, TREE.counted).any()
    sure_of_genus = np.tile(np.array([[0.1, 0, 0.9, 0, 0]], dtype=np.float32), (10, 1))
    assert expected_wrong(np.zeros(10, np.int64), sure_of_genus, TREE.counted).tolist() == [0] * 7
    assert expected_wrong(np.full(10, 2), sure_of_genus, TREE.counted)[2] == 1


def test_scores_that_are_no_probabilities_do_no_harm():
    scores = np.array([[np.nan] * 5, [2, 0, 0, 0, 0], [-1, 0, 0, 0, 0]], dtype=np.float32)
    assert expected_wrong(np.zeros(3, np.int64), scores, TREE.counted).tolist() == [2, 0, 0, 0, 0, 0, 0]
    assert expected_wrong(np.zeros(0, np.int64), scores[:0], TREE.counted).tolist() == [0] * 7
    ring = (Taxon(label="a", parent="b"), Taxon(label="b", parent="a"))
    assert expected_wrong(np.array([0]), np.array([[0.5, 0.5]]), ring).tolist() == [0, 0]


# --- replies


@given(st.lists(replies(), max_size=MAX_REPLIES))
def test_replies_round_trip(told):
    codes = reply_codes(told)
    assert len(codes) == n_columns(make_codebook(0), Quantity.REPLIES) == 3 * MAX_REPLIES
    assert replies_from_codes(codes) == tuple(told)


@given(st.lists(st.one_of(st.none(), st.integers(0, 9), st.integers(0, 1 << 42)), min_size=48, max_size=48))
def test_replies_from_any_numbers_never_raise(codes):
    for reply in replies_from_codes(codes):
        assert 0 <= reply.counter <= MAX_COUNTER


@pytest.mark.parametrize(
    ("values", "field"),
    [((-1, 0, 0), "counter"), ((MAX_COUNTER + 1, 0, 0), "counter"), ((0, 8, 0), "verdict"),
     ((0, 0, MAX_DETAIL + 1), "detail")],
)  # fmt: skip
def test_a_reply_out_of_range_names_the_field(values, field):
    with pytest.raises(InputError, match=rf"reply\.{field}: is -?\d+, 0 to \d+ can be sent"):
        Reply(*values)


# --- in the summary


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("esd_quantiles", np.zeros((1, 5), np.int64), "are not those of the codebook's living taxa"),
        ("esd_quantiles", np.zeros((2, 5)), "are not those of the codebook's living taxa"),
        ("esd_quantiles", np.full((2, 5), 1001), "lie outside 0..1000"),
        ("esd_quantiles", np.full((2, 5), -2), "lie outside 0..1000"),
        ("esd_quantiles", np.array([[5, 4, 4, 4, 4]] * 2), "do not rise"),
        ("esd_quantiles", np.array([[-1, 4, 4, 4, 4]] * 2), "do not rise"),
        ("doubt", np.array([1, 2]), "are no counts of the codebook's taxa"),
        ("doubt", np.array([1, -2, 0]), "are no counts of the codebook's taxa"),
        ("replies", (Reply(1, Verdict.DONE),) * 17, "are 17, 16 can be sent with a dive"),
    ],
)
def test_what_no_message_can_carry_is_refused(field, value, sentence):
    with pytest.raises(InputError, match=f"{field}: {sentence}"):
        DiveSummary(1, make_codebook(3), Profile(()), **{field: value})


def test_a_table_that_is_not_there_cannot_be_asked_for():
    summary = DiveSummary(1, make_codebook(3), Profile(()))
    assert summary.extras == ()
    for quantity in EXTRAS:
        with pytest.raises(ValueError, match=f"the dive has no {quantity.name}"):
            summary.counts(quantity, WHOLE_DIVE)


def test_columns_are_named_for_people():
    book = make_codebook(3)
    assert column_names(book, Quantity.ESD_QUANTILES)[:6] == (
        "taxon 1 5 %", "taxon 1 25 %", "taxon 1 50 %", "taxon 1 75 %", "taxon 1 95 %", "taxon 2 5 %",
    )  # fmt: skip
    assert column_names(book, Quantity.REPLIES)[:4] == (
        "reply 1 verdict", "reply 1 counter", "reply 1 detail", "reply 2 verdict",
    )  # fmt: skip


# --- through messages


def check(summary, found):
    """What arrived is what was sent, to the precision stated."""
    book = summary.codebook
    if summary.esd_quantiles is not None:
        for sizes, steps in zip(esd_quantiles_of(found), summary.esd_quantiles.tolist(), strict=True):
            assert sizes.is_known
            assert sizes == SizesOfTaxon.from_steps(sizes.taxon, steps)
    if summary.doubt is not None:
        assert doubt_of(found) == summary.doubt.tolist()
    assert health_of(found) == (None if summary.health is None else summary.health.rounded())
    assert condition_of(found) == (None if summary.condition is None else summary.condition.rounded())
    assert replies_of(found) == summary.replies
    for quantity in EXTRAS:
        if quantity not in summary.extras:
            assert row_of(found, quantity) == [None] * n_columns(book, quantity)


@settings(deadline=None, max_examples=40)
@given(small_dives(), st.integers(48, 400))
def test_with_room_all_of_it_arrives(summary, message_bytes):
    check(summary, decoded(summary, plan(summary, 10**7, message_bytes).messages))


def test_all_of_it_costs_less_than_120_bytes(dive):
    bare = dataclasses.replace(dive, esd_quantiles=None, doubt=None, health=None, condition=None, replies=())
    without = plan(bare, 10**6, 100_000)
    with_it = plan(dive, 10**6, 100_000)
    assert 0 < with_it.n_bytes - without.n_bytes < 120
    check(dive, decoded(dive, with_it.messages))


def test_a_dive_that_says_nothing_of_itself_costs_nothing(dive):
    bare = dataclasses.replace(dive, esd_quantiles=None, doubt=None, health=None, condition=None, replies=())
    plain = simulated_dive()
    assert plan(bare, 2000, 340).messages == plan(plain, 2000, 340).messages


@pytest.mark.parametrize("budget_bytes", [150, 250, 400, 700, 2000])
def test_counts_come_first_and_replies_before_sizes(dive, budget_bytes):
    planned = plan(dive, budget_bytes, 340)
    assert planned.n_bytes <= budget_bytes
    found = decoded(dive, planned.messages)
    assert found.taxa().tolist() == dive.profile.taxa().tolist()
    sent = [quantity for quantity in EXTRAS if quantity in found.whole]
    if budget_bytes >= 700:
        check(dive, found)
    if not found.phases:
        assert sent == list(EXTRAS[: len(sent)])


def test_a_lost_message_leaves_gaps_and_no_zeros(dive):
    """In messages of 48 bytes the tables are cut; whatever is lost is unknown, never nothing."""
    messages = plan(dive, 10**5, 48).messages
    holding = [
        m for m in messages if any(q in decoded(dive, [m]).whole for q in EXTRAS)
    ]  # fmt: skip
    assert len(holding) > 2
    whole = decoded(dive, messages)
    for lost in holding:
        found = decoded(dive, [m for m in messages if m is not lost])
        gaps = 0
        for quantity in EXTRAS:
            for mine, true in zip(row_of(found, quantity), row_of(whole, quantity), strict=True):
                assert mine in (None, true)
                gaps += mine is None
        assert gaps
        for sizes, true in zip(esd_quantiles_of(found), esd_quantiles_of(whole), strict=True):
            assert sizes in (true, SizesOfTaxon(true.taxon, False))
        assert set(replies_of(found)) <= set(dive.replies)


def test_nothing_at_hand_is_nothing_known(dive):
    found = DecodedDive(dive.codebook, 7, {3: (0,)}, {}, {}, {})
    assert health_of(found) is None
    assert replies_of(found) == ()
    assert set(doubt_of(found)) == {None}
    assert not any(sizes.is_known for sizes in esd_quantiles_of(found))
    none = np.zeros(0, dtype=np.int64)
    names = column_names(dive.codebook, Quantity.HEALTH)
    whole = {Quantity.HEALTH: DecodedTable(Quantity.HEALTH, names, 1, none, none, none, none, none)}
    assert health_of(dataclasses.replace(found, whole=whole)) == Health()


def test_the_numbers_of_the_wire_are_what_was_agreed():
    assert [int(q) for q in (Quantity.ESD_QUANTILES, Quantity.DOUBT, Quantity.HEALTH, Quantity.REPLIES)] == [
        10, 11, 12, 13,
    ]  # fmt: skip
    assert [int(verdict) for verdict in Verdict] == list(range(8))
    assert Verdict.REFUSED_SIGNATURE.label == "refused-signature"
    assert all(a < b for a, b in itertools.pairwise(ESD_PERCENTS))
