"""Layers that can compute as int8 will: kernels and activations held in its steps. Keras alone.

Until they are told to, they are plain layers: most of the training needs no rounding, and is faster without.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

LEVELS = 127
"""int8 weights are symmetric, -127 to 127."""


def round_to_levels(values: Any, largest: Any, levels: int = LEVELS) -> Any:
    """Values in steps of `largest / levels`; the gradient passes as if nothing were rounded."""
    step = keras.ops.maximum(largest, 1e-12) / levels
    return values + keras.ops.stop_gradient(keras.ops.round(values / step) * step - values)


class RoundedConv2D(layers.Conv2D):  # type: ignore[misc]
    """A convolution that can compute with the kernel int8 will have: rounded per output channel."""

    rounded = False

    def call(self, inputs: Any) -> Any:
        """Convolve."""
        if not self.rounded:
            return super().call(inputs)
        largest = keras.ops.max(keras.ops.abs(self.kernel), axis=(0, 1, 2), keepdims=True)
        return self.convolution_op(inputs, round_to_levels(self.kernel, largest))


class RoundedDepthwiseConv2D(layers.DepthwiseConv2D):  # type: ignore[misc]
    """A depthwise convolution that can compute with the kernel int8 will have: rounded per channel."""

    rounded = False

    def call(self, inputs: Any) -> Any:
        """Convolve."""
        if not self.rounded:
            return super().call(inputs)
        largest = keras.ops.max(keras.ops.abs(self.kernel), axis=(0, 1, 3), keepdims=True)
        return keras.ops.depthwise_conv(
            inputs, round_to_levels(self.kernel, largest), strides=self.strides, padding=self.padding
        )


class Bound(layers.Layer):  # type: ignore[misc]
    """Holds an activation up to a limit, in the 255 steps of int8; once `hold` was called, not before.

    Without it int8 is not the network that was trained: a bottleneck has no ReLU6, and edges of bright
    particles reach twenty standard deviations, so that nearly all steps are spent on them; and what rounding
    does to the constant background is the same all over it, so that it does not average out.

    Parameters
    ----------
    name
        Of the layer.
    signed
        Whether the activation is held between minus and plus the limit, or between zero and the limit.
    """

    def __init__(self, name: str, *, signed: bool) -> None:
        super().__init__(name=name)
        self.signed = signed
        self.active = False

    def build(self, input_shape: Any) -> None:
        """Create the limit."""
        self.limit = self.add_weight(shape=(), initializer="zeros", trainable=False, name="limit")

    def hold(self, limit: float) -> None:
        """Begin to hold; what was compiled before must be compiled again."""
        self.limit.assign(limit)
        self.active = limit > 0

    def call(self, x: Any) -> Any:
        """Clip and round."""
        if not self.active:
            return x
        lowest = -self.limit if self.signed else 0.0
        levels = LEVELS if self.signed else 2 * LEVELS + 1
        return round_to_levels(keras.ops.clip(x, lowest, self.limit), self.limit, levels)

    def range(self) -> tuple[float, float]:
        """Lowest and highest value that int8 will hold; of a signed one there are 128 steps below zero."""
        limit = float(np.asarray(self.limit))
        return (-limit * (LEVELS + 1) / LEVELS if self.signed else 0.0), limit


def round_kernels(model: Any, rounded: bool) -> None:
    """Compute with the kernels of int8, or with exact ones; what was compiled must be compiled again."""
    for layer in model.layers:
        if isinstance(layer, RoundedConv2D | RoundedDepthwiseConv2D):
            layer.rounded = rounded
    _forget_compiled(model)


def set_limits(model: Any, inputs: Any, permille: float) -> None:
    """Set every bound to a quantile of the size of the activations that some images give without bounds.

    Parameters
    ----------
    inputs
        What the network takes (`training.fit.network_inputs`); a hundred images do, and take much memory.
    permille
        Share of the activations, in thousandths, that lie within.
    """
    bounds = [layer for layer in model.layers if isinstance(layer, Bound)]
    release_limits(model)
    probe = keras.Model(model.inputs, [bound.input for bound in bounds])
    for bound, values in zip(bounds, probe.predict_on_batch(inputs), strict=True):
        limit = np.quantile(np.abs(np.asarray(values)), permille / 1000)
        bound.hold(max(float(limit), 1e-3))
    _forget_compiled(model)


def restore_limits(model: Any) -> None:
    """Hold again at the limits the bounds have, after `release_limits` or loading."""
    for layer in model.layers:
        if isinstance(layer, Bound):
            layer.active = float(np.asarray(layer.limit)) > 0
    _forget_compiled(model)


def release_limits(model: Any) -> None:
    """Let every activation pass as it is; the limits stay known."""
    for layer in model.layers:
        if isinstance(layer, Bound):
            layer.active = False
    _forget_compiled(model)


def _forget_compiled(model: Any) -> None:
    model.train_function = model.test_function = model.predict_function = None
