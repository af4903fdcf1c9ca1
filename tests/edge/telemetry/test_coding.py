"""Range coder, split law, count tree, means: each is its own inverse, and close to what theory allows."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import MessageError
from edge.telemetry.count_law import (
    MEAN_ONE,
    SPREAD_ONE,
    code_count,
    index_of,
    lowest_of,
    middle_of,
)
from edge.telemetry.count_tree import (
    MAX_COUNT,
    code_column,
    code_total,
    grid,
    root_level,
    sum_levels,
)
from edge.telemetry.integer_math import log2
from edge.telemetry.laws import REGIONAL_TAXA, SIZES, SPLITS
from edge.telemetry.means import MeanModel, from_step, to_steps
from edge.telemetry.range_coder import MAX_TOTAL, RangeDecoder, RangeEncoder
from edge.telemetry.size_spectra import Rows
from edge.telemetry.split_law import EXACT, MAX_PARAMETER, ONE, _exact, split
from edge.telemetry.summary import Quantity

pytestmark = pytest.mark.board
SETTINGS = settings(deadline=None, max_examples=60)
POWERS = [1 << bits for bits in (16, 25, 33, 41)]


@st.composite
def symbols(draw):
    """A run of symbols: (cumulative frequencies, value), or (total, value) for equally likely ones."""
    run = []
    for _ in range(draw(st.integers(0, 60))):
        if draw(st.booleans()):
            weights = draw(st.lists(st.sampled_from([1, 1, 2, 50, 4000]), min_size=1, max_size=12))
            run.append(((0, *itertools.accumulate(weights)), draw(st.integers(0, len(weights) - 1))))
        else:
            total = draw(st.one_of(st.integers(1, 300), st.integers(1, 1 << 24), st.sampled_from(POWERS)))
            run.append((total, draw(st.integers(0, total - 1))))
    return run


def write(coder, run):
    for model, value in run:
        coder.uniform(model, value) if isinstance(model, int) else coder.symbol(model, value)


@SETTINGS
@given(symbols())
def test_range_coder_round_trip(run):
    encoder = RangeEncoder()
    write(encoder, run)
    data = encoder.finish()
    decoder = RangeDecoder(data)
    for model, value in run:
        assert value == (decoder.uniform(model) if isinstance(model, int) else decoder.symbol(model))
    assert decoder.exhausted
    assert not data.endswith(b"\0")


@SETTINGS
@given(symbols())
def test_range_coder_wastes_less_than_nine_bits(run):
    encoder = RangeEncoder()
    write(encoder, run)
    bits = sum(
        math.log2(model) if isinstance(model, int) else math.log2(model[-1] / (model[v + 1] - model[v]))
        for model, v in run
    )
    assert 8 * len(encoder.finish()) < bits + 9
    assert abs(encoder.bits - bits) < 2


@SETTINGS
@given(symbols(), symbols(), symbols())
def test_rewinding_leaves_no_trace(kept, dropped, more):
    plain, stepped = RangeEncoder(), RangeEncoder()
    write(plain, kept)
    write(stepped, kept)
    mark = stepped.mark()
    write(stepped, dropped)
    stepped.finish()
    stepped.rewind(mark)
    write(plain, more)
    write(stepped, more)
    assert stepped.finish() == plain.finish()


def test_carry_runs_through_bytes_of_ones():
    """The top of the range again and again, then its end: the carry crosses many 0xFF."""
    for tail in range(4):
        run = [(3, 1)] * 41 + [(256, 255)] * 30 + [((0, 65535, 65536), 1)] * tail + [(2, 1)] * 9
        encoder = RangeEncoder()
        write(encoder, run)
        decoder = RangeDecoder(encoder.finish())
        for model, value in run:
            assert value == (decoder.uniform(model) if isinstance(model, int) else decoder.symbol(model))


def test_out_of_range_is_refused():
    with pytest.raises(ValueError, match="is not in"):
        RangeEncoder().uniform(5, 5)


@SETTINGS
@given(st.integers(1, 1 << 41), st.floats(0, 1, exclude_max=True))
def test_uniform_takes_any_total(total, where):
    encoder = RangeEncoder()
    value = encoder.uniform(total, int(where * total))
    assert RangeDecoder(encoder.finish()).uniform(total) == value


@SETTINGS
@given(st.binary(max_size=40), st.lists(st.integers(1, 70000), max_size=60))
def test_range_decoder_takes_any_bytes(data, totals):
    decoder = RangeDecoder(data)
    try:
        for total in totals:
            assert 0 <= decoder.uniform(total) < total
    except MessageError:
        pass


def test_log_is_the_logarithm():
    x = np.concatenate((np.arange(1, 5000), np.random.default_rng(0).integers(1, 1 << 53, 5000)))
    error = np.log2(x) - log2(x) / 65536
    assert error.min() > -1e-9
    assert error.max() < 2.5 / 65536


@pytest.mark.parametrize(
    ("n", "alpha", "beta"), [(2, 64, 64), (7, 32, 160), (60, 640, 1920), (255, 6400, 6400)]
)
def test_split_law_is_beta_binomial(n, alpha, beta):
    """Against the textbook formula in floating point."""
    a, b = alpha / ONE, beta / ONE

    def log_beta(x, y):
        return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)

    expected = [math.comb(n, k) * math.exp(log_beta(k + a, n - k + b) - log_beta(a, b)) for k in range(n + 1)]
    bounds = _exact(n, alpha, beta)
    assert bounds[-1] == MAX_TOTAL
    found = np.diff(bounds) / MAX_TOTAL
    assert found.min() > 0
    assert np.abs(found - expected).max() < 0.006


@SETTINGS
@given(
    st.one_of(st.integers(1, 2 * EXACT), st.integers(1, MAX_COUNT)),
    st.floats(0, 1),
    st.integers(1, 4 * MAX_PARAMETER),
    st.integers(0, 1 << 16),
)
def test_split_round_trip(n, where, strength, share):
    left = min(n, int(where * (n + 1)))
    encoder = RangeEncoder()
    assert split(encoder, n, left, strength, share) == left
    assert split(RangeDecoder(encoder.finish()), n, 0, strength, share) == left


@SETTINGS
@given(st.integers(-1, MAX_COUNT), st.one_of(st.integers(0, 40), st.integers(0, MAX_COUNT)))
def test_total_round_trip(before, value):
    encoder = RangeEncoder()
    code_total(encoder, before, value)
    assert code_total(RangeDecoder(encoder.finish()), before, 0) == value


@SETTINGS
@given(st.data(), st.integers(1, 70))
def test_grid_splits_every_node_once(data, n):
    edges = (0, *itertools.accumulate(data.draw(st.lists(st.integers(1, 40), min_size=n, max_size=n))))
    first = data.draw(st.integers(0, n - 1))
    last = data.draw(st.integers(first + 1, n))
    height = data.draw(st.integers(0, 8))
    tree = grid(edges, first, last, height)
    assert tree.cells[0] == first
    assert tree.cells[-1] == last
    assert all(cut % (1 << height) == 0 for cut in tree.cells[1:-1])
    if height == 0:
        assert tree.cells == tuple(range(first, last + 1))
    for depth, scales in enumerate(tree.scales):
        assert len(scales) == len(tree.cuts[depth]) - 1
        assert sum(1 if scale < 0 else 2 for scale in scales) == len(tree.cuts[depth + 1]) - 1
        assert set(tree.cuts[depth]) <= set(tree.cuts[depth + 1])
    assert tree.cuts[0] == (first, last)
    assert 1 << root_level(first, last) >= last - first


@SETTINGS
@given(
    st.data(),
    st.integers(1, 40),
    st.sampled_from([SPLITS[Quantity.TAXA], SPLITS[Quantity.FRAMES], REGIONAL_TAXA]),
)
def test_columns_round_trip_at_any_height(data, n, law):
    edges = (0, *itertools.accumulate(data.draw(st.lists(st.integers(1, 40), min_size=n, max_size=n))))
    first = data.draw(st.integers(0, n - 1))
    last = data.draw(st.integers(first + 1, n))
    tree = grid(edges, first, last, data.draw(st.integers(0, 6)))
    counts = st.one_of(st.just(0), st.integers(0, 5), st.integers(0, 1 << 34))
    columns = data.draw(st.lists(st.lists(counts, min_size=n, max_size=n), min_size=1, max_size=4))
    masses = sum_levels(tree, data.draw(st.lists(st.integers(1, 1 << 30), min_size=n, max_size=n)))
    encoder = RangeEncoder()
    for column in columns:
        known = sum_levels(tree, column)
        code_column(encoder, tree, law, masses, known, known[0][0])
    decoder = RangeDecoder(encoder.finish())
    for column in columns:
        levels = code_column(decoder, tree, law, masses, None, sum(column[first:last]))
        assert levels == sum_levels(tree, column)
        assert levels[-1] == [sum(column[a:b]) for a, b in itertools.pairwise(tree.cells)]
    assert decoder.exhausted


@SETTINGS
@given(
    st.lists(st.one_of(st.integers(0, 20), st.integers(0, MAX_COUNT)), max_size=30),
    st.one_of(st.integers(1, 1 << 15), st.integers(1, 1 << 53)),
    st.integers(1, 8 << 16),
    st.integers(0, 3),
)
def test_counts_round_trip_whatever_was_expected(counts, mean, spread, step):
    encoder = RangeEncoder()
    for count in counts:
        code_count(encoder, index_of(count, step), mean, spread, step)
    decoder = RangeDecoder(encoder.finish())
    for count in counts:
        index = code_count(decoder, 0, mean, spread, step)
        assert index == index_of(count, step)
        assert lowest_of(index, step) <= middle_of(index, step) < lowest_of(index + 1, step)
        assert lowest_of(index, step) <= count < lowest_of(index + 1, step)


@pytest.mark.parametrize(("step", "exact_to", "of_sd"), [(1, 15, 0.011), (2, 3, 0.042), (3, 0, 0.16)])
def test_companding_adds_what_it_says_to_the_error_of_chance(step, exact_to, of_sd):
    assert all(middle_of(index_of(count, step), step) == count for count in range(exact_to + 1))
    counts = np.random.default_rng(3).poisson(900, 20000)
    kept = np.array([middle_of(index_of(count, step), step) for count in counts.tolist()])
    added = math.sqrt(1 + np.mean((kept - counts) ** 2) / 900) - 1
    assert 0.5 * of_sd < added < of_sd


@pytest.mark.parametrize(("mean", "spread"), [(0.02, 0.5), (0.7, 0.1), (3, 1.0), (40, 0.02), (2500, 0.05)])
def test_count_law_costs_what_theory_allows(mean, spread):
    """Against the negative binomial law of scipy, on counts drawn from it."""
    stats = pytest.importorskip("scipy.stats", reason="scipy is not on the board")
    r = 1 / spread
    counts = stats.nbinom.rvs(r, r / (r + mean), size=4000, random_state=5)
    ideal = -stats.nbinom.logpmf(counts, r, r / (r + mean)).sum() / math.log(2)
    encoder = RangeEncoder()
    for count in counts.tolist():
        code_count(encoder, count, round(mean * MEAN_ONE), round(spread * SPREAD_ONE), 0)
    assert encoder.bits < 1.012 * ideal + 20


@SETTINGS
@given(st.data(), st.integers(1, 5), st.integers(0, 3))
def test_rows_round_trip(data, n_columns, step):
    counts = st.one_of(st.integers(0, 30), st.just(0), st.integers(0, 1 << 40))
    row = st.lists(counts, min_size=n_columns, max_size=n_columns)
    mass = st.lists(st.integers(1, 1 << 40), min_size=n_columns, max_size=n_columns)
    table = data.draw(st.lists(st.tuples(row, mass), min_size=1, max_size=6))
    encoder, rows = RangeEncoder(), Rows(SIZES, n_columns, step)
    known = [[index_of(count, step) for count in row] for row, _ in table]
    for indices, (_, masses) in zip(known, table, strict=True):
        rows.code(encoder, masses, indices)
    decoder, rows = RangeDecoder(encoder.finish()), Rows(SIZES, n_columns, step)
    assert [rows.code(decoder, masses, None) for _, masses in table] == known
    assert decoder.exhausted


@SETTINGS
@given(
    st.lists(
        st.lists(
            st.one_of(st.none(), st.integers(-(1 << 21), 1 << 21), st.integers(0, 9)), min_size=5, max_size=5
        ),
        max_size=4,
    ),
    st.sampled_from([Quantity.TEMPERATURE, Quantity.GREY, Quantity.ESD]),
)
def test_means_round_trip(columns, quantity):
    encoder, model, before = RangeEncoder(), MeanModel(), None
    for column in columns:
        before = model.code(encoder, quantity, 5, column, before)
    decoder, model, before = RangeDecoder(encoder.finish()), MeanModel(), None
    for column in columns:
        before = model.code(decoder, quantity, 5, None, before)
        assert before == column


@pytest.mark.parametrize("quantity", [Quantity.TEMPERATURE, Quantity.GREY, Quantity.ESD])
def test_steps_are_within_half_a_step_of_the_mean(quantity):
    scale = {Quantity.TEMPERATURE: 1000, Quantity.GREY: 100, Quantity.ESD: 1}[quantity]
    r = np.random.default_rng(2)
    numbers = r.integers(1, 50, 500)
    sums = r.integers(0, 30 * scale if scale > 1 else 20000, 500) * numbers + r.integers(0, 3, 500)
    if quantity is Quantity.TEMPERATURE:
        sums -= 2000 * numbers
    for step, mean in zip(to_steps(quantity, sums, numbers), sums / numbers / scale, strict=True):
        value, half = from_step(quantity, step)
        assert abs(value - mean) <= half + (0.5 if quantity is Quantity.ESD else 1e-9)
        if quantity is Quantity.ESD:
            assert half <= max(0.5, 0.0325 * mean + 0.5)


def test_a_mean_of_nothing_is_absent():
    assert to_steps(Quantity.GREY, np.array([0, 700]), np.array([0, 10])) == [None, 1]
