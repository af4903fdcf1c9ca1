"""Layers that compute as int8 will, once they are told to."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the train extra")

import keras

from training.fit import Examples, network_inputs, predict
from training.layers import (
    Bound,
    release_limits,
    restore_limits,
    round_kernels,
    round_to_levels,
    set_limits,
)
from training.model import Architecture, build_model

SMALL = Architecture(alpha=0.1, stages=2, features=16, momentum=0.8)


@pytest.fixture
def model():
    keras.utils.set_random_seed(1)
    return build_model(24, 3, SMALL)


def examples(n: int, seed: int = 1) -> Examples:
    rng = np.random.default_rng(seed)
    return Examples(
        rng.integers(0, 256, (n, 24, 24, 1), dtype=np.uint8),
        rng.integers(40, 200, (n, 5), dtype=np.uint8),
        np.arange(n) % 3,
    )


def limits(model) -> list[float]:
    return [float(np.asarray(layer.limit)) for layer in model.layers if isinstance(layer, Bound)]


def test_rounding_keeps_255_levels_and_the_largest():
    values = np.linspace(-2, 1.3, 2000).astype(np.float32)
    rounded = np.asarray(round_to_levels(keras.ops.convert_to_tensor(values), 2.0))
    assert len(np.unique(rounded)) <= 255
    assert rounded[0] == -2
    assert np.abs(rounded - values).max() <= 1 / 127 + 1e-6
    assert np.isfinite(np.asarray(round_to_levels(keras.ops.zeros((3,)), 0.0))).all()


def test_a_bound_lets_everything_pass_until_it_holds():
    bound = Bound("b", signed=True)
    values = keras.ops.convert_to_tensor(np.array([-9.0, -0.5, 0.1, 7.0], np.float32))
    np.testing.assert_array_equal(np.asarray(bound(values)), np.asarray(values))
    bound.hold(1.27)
    np.testing.assert_allclose(np.asarray(bound(values)), [-1.27, -0.5, 0.1, 1.27], atol=1e-6)
    assert bound.range() == pytest.approx((-1.28, 1.27))
    unsigned = Bound("u", signed=False)
    unsigned(values)
    unsigned.hold(2.55)
    np.testing.assert_allclose(np.asarray(unsigned(values)), [0, 0, 0.1, 2.55], atol=1e-6)
    assert unsigned.range() == pytest.approx((0, 2.55))


def test_limits_hold_the_share_that_was_asked(model):
    some = examples(16)
    free = predict(model, some)
    set_limits(model, network_inputs(model, some.images, some.numbers), 1000)
    np.testing.assert_allclose(predict(model, some), free, atol=0.1 * np.abs(free).max() + 0.02)
    wide = limits(model)
    set_limits(model, network_inputs(model, some.images, some.numbers), 900)
    assert min(limits(model)) > 0
    assert limits(model)[0] < wide[0]


def test_kernels_and_limits_can_be_let_go_and_taken_back(model):
    some = examples(16)
    exact = predict(model, some)
    set_limits(model, network_inputs(model, some.images, some.numbers), 990)
    round_kernels(model, True)
    held = predict(model, some)
    assert np.abs(held - exact).max() > 1e-4
    release_limits(model)
    round_kernels(model, False)
    np.testing.assert_array_equal(predict(model, some), exact)
    restore_limits(model)
    round_kernels(model, True)
    np.testing.assert_array_equal(predict(model, some), held)
