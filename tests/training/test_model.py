"""The network, its bounds, its training: the pieces, without conversion."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the train extra")

import keras

from edge.errors import BundleError
from training.fit import Schedule, batches, fit, predict
from training.model import (
    Architecture,
    Bound,
    arrays,
    build_model,
    load_arrays,
    round_to_levels,
    set_limits,
)
from training.quantize import choose_calibration, reestimate_normalisation, require_agreement, require_scores

SMALL = Architecture(alpha=0.1, stages=2, features=16, momentum=0.8)


@pytest.fixture
def model():
    keras.utils.set_random_seed(1)
    return build_model(24, 3, SMALL)


def noise(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (n, 24, 24, 1)).astype(np.float32)


def test_names_and_shapes_are_those_of_the_published_weights(shared):
    whole = build_model(96, 34, Architecture())
    path = shared / "data" / "weights" / "mobilenet_v2_0.35_224_imagenet_notop_float32.npz"
    with np.load(path) as archive:
        stored = {name: archive[name] for name in archive.files}
    assert load_arrays(whole, stored) == len(stored) == 260
    mine = arrays(whole)
    np.testing.assert_allclose(mine["Conv1/kernel"][:, :, 0], stored["Conv1/kernel"].sum(axis=2), rtol=1e-6)
    assert whole.output_shape == (None, 34)


def test_weights_go_round_and_the_head_may_stay(model):
    other = build_model(24, 3, SMALL)
    before = arrays(other)["logits/kernel"]
    load_arrays(other, arrays(model), head=False)
    np.testing.assert_array_equal(arrays(other)["logits/kernel"], before)
    load_arrays(other, arrays(model))
    for name, value in arrays(model).items():
        np.testing.assert_array_equal(arrays(other)[name], value)
    with pytest.raises(ValueError, match="has shape"):
        load_arrays(other, {"Conv1/kernel": np.zeros((5, 5, 1, 8), np.float32)})


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
    images = noise(16)
    free = predict_float(model, images)
    set_limits(model, images, 1000)
    wide = predict_float(model, images)
    np.testing.assert_allclose(wide, free, atol=0.1 * np.abs(free).max() + 0.02)
    limits = [float(np.asarray(layer.limit)) for layer in model.layers if isinstance(layer, Bound)]
    set_limits(model, images, 900)
    tighter = [float(np.asarray(layer.limit)) for layer in model.layers if isinstance(layer, Bound)]
    assert limits
    assert tighter[0] < limits[0]
    assert min(tighter) > 0


def predict_float(model, images):
    return np.asarray(model(images))


def test_reestimating_gives_the_mean_of_all_batches(model):
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))
    probe = keras.Model(model.input, first.input)
    parts = [noise(8, seed) for seed in range(5)]
    reestimate_normalisation(model, parts)
    expected = np.mean([np.asarray(probe(part)).mean(axis=(0, 1, 2)) for part in parts], axis=0)
    np.testing.assert_allclose(np.asarray(first.moving_mean), expected, rtol=1e-4, atol=1e-6)
    assert first.momentum == SMALL.momentum


def stripes(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Black, a disc, or two: easy."""
    rng = np.random.default_rng(3)
    labels = np.arange(n) % 3
    images = rng.integers(0, 12, (n, 24, 24, 1), dtype=np.uint8)
    images[labels >= 1, 9:15, 4:9] = 220
    images[labels == 2, 9:15, 15:20] = 220
    return images, labels


def test_it_learns_and_the_same_seed_learns_the_same():
    images, labels = stripes(120)
    schedule = Schedule(epochs=8, batch=24, rate=1e-2)
    learnt, losses = [], []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        model = build_model(24, 3, SMALL)
        fit(model, images, labels, schedule, 5, report=lambda *told: losses.append(told))
        learnt.append(arrays(model))
    assert [told[0] for told in losses] == [*range(1, 41)] * 2
    assert losses[39][1] == 40
    assert losses[39][2] < 0.7 * losses[4][2]
    assert (predict(model, images).argmax(axis=1) == labels).mean() > 0.8
    for name, value in learnt[0].items():
        np.testing.assert_array_equal(value, learnt[1][name])


def test_balanced_batches_draw_rare_classes_more_often():
    images = np.zeros((400, 8, 8, 1), np.uint8)
    labels = np.repeat([0, 1], [360, 40])
    for balance, low, high in ((0.0, 0.1, 0.1), (0.5, 0.2, 0.3), (1.0, 0.42, 0.58)):
        schedule = Schedule(batch=40, balance=balance)
        drawn = np.concatenate([y for _, y in batches(images, labels, schedule, np.random.default_rng(1))])
        assert len(drawn) == 400
        assert low <= drawn.mean() <= high


def test_calibration_images_spread_over_the_classes():
    labels = np.repeat([0, 1, 2], [1000, 150, 20])
    chosen = choose_calibration(labels, np.random.default_rng(1))
    assert len(set(chosen.tolist())) == 100
    assert np.bincount(labels[chosen]).tolist() == [40, 40, 20]


def test_the_gates():
    logits = np.eye(4)
    assert require_agreement(logits, logits, least=1.0) == 1.0
    with pytest.raises(BundleError, match=r"agree on 75\.0%"):
        require_agreement(logits, logits[[0, 1, 2, 0]], least=0.9)
    good = {"accuracy": 0.7, "balanced_accuracy": 0.6}
    require_scores(good, {"accuracy": 0.69, "balanced_accuracy": 0.7}, most_loss=0.02)
    with pytest.raises(BundleError, match=r"the balanced_accuracy falls from 0\.600 to 0\.570"):
        require_scores(good, {"accuracy": 0.7, "balanced_accuracy": 0.57}, most_loss=0.02)
