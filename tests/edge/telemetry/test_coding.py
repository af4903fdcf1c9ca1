"""Range coder, split law, count tree, means: each is its own inverse, and close to what theory allows."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import MessageError
from edge.telemetry.count_tree import (
    MAX_COUNT,
    add_levels,
    code_column,
    code_total,
    grid,
    root_level,
    sum_levels,
)
from edge.telemetry.laws import FLAT
from edge.telemetry.means import MeanModel, from_step, to_steps
from edge.telemetry.range_coder import MAX_TOTAL, RangeDecoder, RangeEncoder
from edge.telemetry.split_law import EXACT, MAX_PARAMETER, ONE, _exact, _log2_table, split
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


def test_log_table_is_the_logarithm():
    table = _log2_table()
    exact = np.log2(np.arange(1, len(table)))
    assert np.all(table[1:] / 65536 <= exact + 1e-12)
    assert np.max(exact - table[1:] / 65536) < 2 / 65536


@pytest.mark.parametrize(("n", "alpha", "beta"), [(1, 16, 16), (7, 8, 40), (60, 160, 480), (255, 1600, 1600)])
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
    for depth, nodes in enumerate(tree.splits):
        assert [left + right for left, right, _ in nodes] == list(tree.widths[depth])
        halves = [width for left, right, _ in nodes for width in (left, right) if width]
        assert halves == list(tree.widths[depth + 1])
    assert tree.cuts[0] == (first, last)
    assert 1 << root_level(first, last) >= last - first


@SETTINGS
@given(st.data(), st.integers(1, 40), st.sampled_from([Quantity.TAXA, Quantity.SIZES, Quantity.FRAMES]))
def test_columns_round_trip_at_any_height(data, n, quantity):
    edges = (0, *itertools.accumulate(data.draw(st.lists(st.integers(1, 40), min_size=n, max_size=n))))
    first = data.draw(st.integers(0, n - 1))
    last = data.draw(st.integers(first + 1, n))
    tree = grid(edges, first, last, data.draw(st.integers(0, 6)))
    counts = st.one_of(st.just(0), st.integers(0, 5), st.integers(0, 1 << 34))
    columns = data.draw(st.lists(st.lists(counts, min_size=n, max_size=n), min_size=1, max_size=4))
    encoder = RangeEncoder()
    others, before = None, -1
    for column in columns:
        levels = code_column(encoder, tree, FLAT[quantity], others, sum_levels(tree, column), before)
        others, before = add_levels(others, levels), levels[0][0]
    decoder = RangeDecoder(encoder.finish())
    others, before = None, -1
    for column in columns:
        levels = code_column(decoder, tree, FLAT[quantity], others, None, before)
        others, before = add_levels(others, levels), levels[0][0]
        assert levels == sum_levels(tree, column)
        assert levels[-1] == [sum(column[a:b]) for a, b in itertools.pairwise(tree.cells)]
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
