"""The networks: shapes, names of the published weights, and weights that go round."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the train extra")

import keras

from edge.inference.preprocessing import N_NUMBERS
from training.model import Architecture, arrays, build_model, features_model, load_arrays

SMALL = Architecture(alpha=0.1, stages=2, features=16, momentum=0.8)
FAMILIES = (
    Architecture(alpha=0.35),
    Architecture(family="mobilenet_v1", alpha=0.25),
    Architecture(family="mobilenet_v3_small_minimalistic", alpha=1.0, features=576),
)


@pytest.fixture
def model():
    keras.utils.set_random_seed(1)
    return build_model(24, 3, SMALL)


def test_names_and_shapes_are_those_of_the_published_weights(shared):
    whole = build_model(96, 34, Architecture())
    path = shared / "data" / "weights" / "mobilenet_v2_0.35_224_imagenet_notop_float32.npz"
    with np.load(path) as archive:
        stored = {name: archive[name] for name in archive.files}
    assert load_arrays(whole, stored) == len(stored) == 260
    mine = arrays(whole)
    np.testing.assert_allclose(mine["Conv1/kernel"][:, :, 0], stored["Conv1/kernel"].sum(axis=2), rtol=1e-6)
    assert whole.output_shape == (None, 34)


@pytest.mark.parametrize(
    ("mine", "published"),
    [
        (FAMILIES[0], {"alpha": 0.35, "kind": "MobileNetV2"}),
        (FAMILIES[1], {"alpha": 0.25, "kind": "MobileNet"}),
        (FAMILIES[2], {"alpha": 1.0, "kind": "MobileNetV3Small", "minimalistic": True}),
    ],
    ids=["v2", "v1", "v3"],
)
def test_a_network_is_the_published_one(mine, published):
    """The same convolutions, of the same shapes, under names that load: against Keras' own networks."""
    how = dict(published)
    make = getattr(keras.applications, how.pop("kind"))
    theirs = make(input_shape=(96, 96, 3), weights=None, include_top=False, **how)
    model = build_model(96, 5, mine)
    stored = {variable.path: np.asarray(variable) for variable in theirs.variables}
    kernels = {name: value.shape for name, value in stored.items() if "kernel" in name}
    have = {name: value.shape for name, value in arrays(model).items() if "kernel" in name}
    names = {
        "mobilenet_v2": lambda name: name,
        "mobilenet_v1": lambda name: name,
        "mobilenet_v3_small_minimalistic": lambda name: name,
    }[mine.family]
    body = {name: shape for name, shape in kernels.items() if not name.startswith("conv_1/")}
    for name, shape in body.items():
        found = have.get(names(name), have.get(names(name).replace("depthwise_kernel", "kernel")))
        assert found is not None, name
        wanted = (*shape[:2], 1, shape[3]) if shape[2] == 3 else shape
        assert found == wanted, name
    assert load_arrays(model, stored) >= len(body)


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


@pytest.mark.parametrize("hidden", [0, 8])
def test_numbers_are_a_second_input_where_they_are_asked_for(hidden):
    keras.utils.set_random_seed(1)
    model = build_model(24, 3, Architecture(alpha=0.1, stages=2, features=16, hidden=hidden))
    assert len(model.inputs) == (2 if hidden else 1)
    image = np.zeros((4, 24, 24, 1), np.float32)
    numbers = np.linspace(-1, 1, 4 * N_NUMBERS, dtype=np.float32).reshape(4, N_NUMBERS)
    inputs = [image, numbers] if hidden else image
    assert features_model(model).predict_on_batch(inputs).shape == (4, 16 + hidden)
    logits = model.predict_on_batch(inputs)
    assert (np.ptp(logits, axis=0) > 0).all() == bool(hidden)
