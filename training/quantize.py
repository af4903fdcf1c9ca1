"""From a network used to int8 to a full int8 TFLite model. The only module that imports TensorFlow.

Plain post-training quantization of dark-field models loses 5 to 29 points. Two causes: rounding a kernel
shifts its mean over the constant background, which batch normalisation amplifies; and bright edges stretch
the range of the linear bottlenecks to twenty standard deviations, so that int8 sees little of the rest. So
the network is trained with the kernels and bounds that int8 will have (`training.model`), its statistics
are re-estimated with them, and conversion calibrates nothing: it is told every range.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge.inference.engine import input_table
from edge.inference.engine import views as ways_to_look
from edge.inference.litert import Int8Model, Kernels
from training.augment import INPUT_RANGE
from training.layers import Bound
from training.model import INPUT, NUMBERS_INPUT, OUTPUT, Architecture, arrays, build_model, load_arrays

CALIBRATION_IMAGES = 100


def reestimate_normalisation(model: Any, batches: Iterable[Any]) -> None:
    """Set the moving statistics of all batch normalisations to what the batches show; weights stay.

    Parameters
    ----------
    batches
        What the network takes (`training.fit.network_inputs`), varied as in training.
    """
    normalisations = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    before = [layer.momentum for layer in normalisations]
    for i, batch in enumerate(batches):
        # A running mean of all batches: the i-th has the weight 1 / (i + 1).
        for layer in normalisations:
            layer.momentum = i / (i + 1)
        model(keras.tree.map_structure(keras.ops.convert_to_tensor, batch), training=True)
    for layer, momentum in zip(normalisations, before, strict=True):
        layer.momentum = momentum


def convert(model: Any, architecture: Architecture, logits: NDArray[np.floating]) -> bytes:
    """Full int8 TFLite flatbuffer of a model whose bounds are set, static batch 1.

    Every tensor's range is known, so nothing is calibrated: the input is -1 to 1, ReLU6 ends at 6,
    bottlenecks have their bounds, and the output spans the logits given.

    Parameters
    ----------
    model
        From `build_model` with this architecture, its limits set.
    logits
        (n, k) of some training images.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    end = 1.05 * float(np.abs(logits).max())
    ranges = {layer.name: layer.range() for layer in model.layers if isinstance(layer, Bound)}
    ranges |= {INPUT: INPUT_RANGE, NUMBERS_INPUT: INPUT_RANGE, OUTPUT: (-end, end)}

    class Held(keras.layers.Layer):  # type: ignore[misc]
        """Tells the converter a tensor's range."""

        def __init__(self, name: str) -> None:
            super().__init__(name=f"{name}_held")
            self.low, self.high = ranges[name]

        def call(self, x: Any) -> Any:
            return tf.quantization.fake_quant_with_min_max_args(x, self.low, self.high, num_bits=8)

    side, n_classes = model.inputs[0].shape[1], model.output_shape[-1]
    static = build_model(side, n_classes, architecture, batch_size=1, hold=lambda x, name: Held(name)(x))
    load_arrays(static, arrays(model))
    converter = tf.lite.TFLiteConverter.from_keras_model(static)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    # It lists every variable on stdout, and warns that nothing is calibrated, which is what we want.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs")
        return bytes(converter.convert())


def choose_calibration(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices of images to set the bounds by, spread evenly over the classes."""
    order = rng.permutation(len(labels))
    shuffled = labels[order]
    rank = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        where = np.flatnonzero(shuffled == label)
        rank[where] = np.arange(len(where))
    return order[np.argsort(rank, kind="stable")[:CALIBRATION_IMAGES]]


def int8_logits(
    model: bytes,
    images: NDArray[np.uint8],
    numbers: NDArray[np.uint8],
    *,
    views: int = 1,
    kernels: Kernels = "xnnpack",
) -> NDArray[np.float64]:
    """Logits of an int8 model for prepared images, float64 (n, k): the mean of so many views.

    Parameters
    ----------
    model
        The TFLite flatbuffer.
    images, numbers
        uint8 (n, side, side, 1) and (n, N_NUMBERS); the numbers are used if the model takes them.
    """
    runner = Int8Model(model, kernels=kernels)
    table = input_table(runner.input_scale, runner.input_zero_point)
    out = np.zeros((len(images), runner.n_outputs), dtype=np.int64)
    for i, image in enumerate(images):
        told = table[numbers[i : i + 1]] if runner.n_numbers else None
        for way in ways_to_look(image, views):
            out[i] += runner.run(table[way[np.newaxis]], told)
    return np.asarray((out - views * runner.output_zero_point) * (runner.output_scale / views))
