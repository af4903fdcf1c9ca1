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
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge.errors import BundleError
from edge.inference.classifier import input_table
from edge.inference.litert import Int8Model, Kernels
from training.augment import INPUT_RANGE
from training.model import INPUT, OUTPUT, Architecture, Bound, arrays, build_model, load_arrays

CALIBRATION_IMAGES = 100


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
    ranges |= {INPUT: INPUT_RANGE, OUTPUT: (-end, end)}

    class Held(keras.layers.Layer):  # type: ignore[misc]
        """Tells the converter a tensor's range."""

        def __init__(self, name: str) -> None:
            super().__init__(name=f"{name}_held")
            self.low, self.high = ranges[name]

        def call(self, x: Any) -> Any:
            return tf.quantization.fake_quant_with_min_max_args(x, self.low, self.high, num_bits=8)

    side, n_classes = model.input_shape[1], model.output_shape[-1]
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


def require_scores(float_scores: Mapping[str, float], int8: Mapping[str, float], *, most_loss: float) -> None:
    """Refuse an int8 model that loses more than `most_loss` of accuracy or of balanced accuracy.

    Raises
    ------
    BundleError
        With the score that it loses.
    """
    for name in ("accuracy", "balanced_accuracy"):
        if float_scores[name] - int8[name] > most_loss:
            before, after = float_scores[name], int8[name]
            raise BundleError(
                f"the {name} falls from {before:.3f} to {after:.3f} in int8, {most_loss:.3f} less is allowed",
                field="model.tflite",
                remedy="let it settle longer",
            )
