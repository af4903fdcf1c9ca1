"""From a float network to a full int8 TFLite model. The only module that may import TensorFlow.

Plain post-training quantization loses 5 to 29 points on dark-field vignettes: rounding a depthwise kernel
shifts its mean on the constant background, and the batch normalisation behind it, which still has the old
statistics, amplifies that. So the kernels are rounded first, the statistics re-estimated with them, and
only then is it converted; the rounded kernels lie on the grid that the converter chooses, so they are not
rounded again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge.errors import BundleError
from edge.inference.classifier import input_table
from edge.inference.litert import Int8Model, Kernels
from training.augment import to_input
from training.model import Architecture, build_model

CALIBRATION_IMAGES = 300
LEVELS = 127
"""int8 weights are symmetric, -127 to 127."""


def round_kernels(model: Any) -> None:
    """Round every convolution's kernel in place to the 255 levels that int8 has, per output channel."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            axes: tuple[int, ...] = (0, 1, 3)
        elif isinstance(layer, keras.layers.Conv2D):
            axes = (0, 1, 2)
        else:
            continue
        kernel = np.asarray(layer.kernel)
        largest = np.abs(kernel).max(axis=axes, keepdims=True)
        step = np.maximum(largest, np.finfo(np.float32).tiny) / LEVELS
        layer.kernel.assign(np.rint(kernel / step) * step)


def reestimate_normalisation(model: Any, batches: Iterable[NDArray[np.float32]]) -> None:
    """Set the moving statistics of all batch normalisations to what the batches show; weights stay.

    Parameters
    ----------
    batches
        float32 (batch, side, side, 1) each, varied as in training.
    """
    normalisations = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    before = [layer.momentum for layer in normalisations]
    for i, batch in enumerate(batches):
        # A running mean of all batches: the i-th has the weight 1 / (i + 1).
        for layer in normalisations:
            layer.momentum = i / (i + 1)
        model(keras.ops.convert_to_tensor(batch), training=True)
    for layer, momentum in zip(normalisations, before, strict=True):
        layer.momentum = momentum


def convert(
    model: Any, architecture: Architecture, calibration: NDArray[np.uint8], *, int8: bool = True
) -> bytes:
    """TFLite flatbuffer of a model, static batch 1.

    Parameters
    ----------
    model
        From `build_model` with this architecture.
    calibration
        uint8 (n, side, side, 1) prepared images that show the range of every activation.
    int8
        False gives the float32 model.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    side, n_classes = model.input_shape[1], model.output_shape[-1]
    static = build_model(side, n_classes, architecture, batch_size=1)
    static.set_weights(model.get_weights())
    converter = tf.lite.TFLiteConverter.from_keras_model(static)
    if int8:
        # Black and white are always in the range of the input, whatever the images show.
        extremes = np.stack([np.zeros_like(calibration[0]), np.full_like(calibration[0], 255)])
        samples = to_input(np.concatenate([calibration, extremes]))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample[np.newaxis]] for sample in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def choose_calibration(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices of calibration images, spread evenly over the classes."""
    order = rng.permutation(len(labels))
    shuffled = labels[order]
    rank = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        where = np.flatnonzero(shuffled == label)
        rank[where] = np.arange(len(where))
    return order[np.argsort(rank, kind="stable")[:CALIBRATION_IMAGES]]


def int8_outputs(
    model: bytes, images: NDArray[np.uint8], kernels: Kernels = "xnnpack"
) -> tuple[NDArray[np.int8], float]:
    """Raw outputs of an int8 model for prepared images, int8 (n, k), and the scale of the output."""
    runner = Int8Model(model, kernels=kernels)
    table = input_table(runner.input_scale, runner.input_zero_point)
    return np.stack([runner.run(table[image[np.newaxis]]) for image in images]), runner.output_scale


def require_agreement(
    float_logits: NDArray[np.floating], int8_logits: NDArray[np.floating], *, least: float
) -> float:
    """Share of images, all (n, k) logits, that float and int8 model give the same label.

    Raises
    ------
    BundleError
        When it is less than `least`: such a model must not go to sea.
    """
    agreement = float(np.mean(float_logits.argmax(axis=1) == int8_logits.argmax(axis=1)))
    if agreement < least:
        raise BundleError(
            f"int8 and float model agree on {agreement:.1%} of the held-back images, "
            f"{least:.1%} are required",
            field="model.tflite",
            remedy="train longer, or re-estimate the normalisation with more images",
        )
    return agreement
