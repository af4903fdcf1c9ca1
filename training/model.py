"""MobileNetV2 for grey vignettes, in Keras 3 alone, ending at logits.

After Sandler et al. 2018 (arXiv 1801.04381), with the layer names of keras.applications so that its arrays
can be loaded by name. Not in it: softmax (temperature and softmax follow in NumPy, at full resolution) and
input scaling (the int8 input's own scale does that).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import keras
import msgspec
import numpy as np
from keras import layers
from numpy.typing import NDArray

HEAD, INPUT, OUTPUT = "logits", "input", "output"
STAGES = (
    (16, 1, 1, 1),
    (24, 2, 2, 6),
    (32, 3, 2, 6),
    (64, 4, 2, 6),
    (96, 3, 1, 6),
    (160, 3, 2, 6),
    (320, 1, 1, 6),
)
"""Channels, blocks, stride of the first, expansion (table 2 of the paper)."""


class Architecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the network is made of.

    Attributes
    ----------
    alpha
        Width of every layer relative to the paper's.
    stages
        How many of the paper's seven stages there are: fewer for small inputs.
    features
        Channels of the last convolution, which the head reads.
    dropout
        Share of features dropped in training.
    momentum
        Of the batch normalisation's moving statistics: short runs need it low.
    """

    alpha: Annotated[float, msgspec.Meta(gt=0, le=2)] = 0.35
    stages: Annotated[int, msgspec.Meta(ge=1, le=7)] = 7
    features: Annotated[int, msgspec.Meta(ge=8)] = 1280
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.2
    momentum: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.97


LEVELS = 127
"""int8 weights are symmetric, -127 to 127."""


def round_to_levels(values: Any, largest: Any, levels: int = LEVELS) -> Any:
    """Values in steps of `largest / levels`; the gradient passes as if nothing were rounded."""
    step = keras.ops.maximum(largest, 1e-12) / levels
    return values + keras.ops.stop_gradient(keras.ops.round(values / step) * step - values)


class RoundedConv2D(layers.Conv2D):  # type: ignore[misc]
    """A convolution that computes with the kernel int8 will have: rounded per output channel."""

    def call(self, inputs: Any) -> Any:
        """Convolve."""
        largest = keras.ops.max(keras.ops.abs(self.kernel), axis=(0, 1, 2), keepdims=True)
        return self.convolution_op(inputs, round_to_levels(self.kernel, largest))


class RoundedDepthwiseConv2D(layers.DepthwiseConv2D):  # type: ignore[misc]
    """A depthwise convolution that computes with the kernel int8 will have: rounded per channel."""

    def call(self, inputs: Any) -> Any:
        """Convolve."""
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


def build_model(
    size_px: int,
    n_classes: int,
    architecture: Architecture,
    *,
    batch_size: int | None = None,
    hold: Callable[[Any, str], Any] | None = None,
) -> Any:
    """Network from (batch, size_px, size_px, 1), -1 to 1, to logits (batch, n_classes).

    `batch_size=1` gives the static shapes that conversion needs. `hold`, given a tensor and its name, says
    how int8 will hold it; by default all but input and output get a `Bound` of that name.
    """

    def held(x: Any, name: str, *, signed: bool = False) -> Any:
        if hold is not None:
            return hold(x, name)
        return x if name in (INPUT, OUTPUT) else Bound(name, signed=signed)(x)

    def normalise(x: Any, name: str, *, relu: bool = True) -> Any:
        x = layers.BatchNormalization(momentum=architecture.momentum, epsilon=1e-3, name=name)(x)
        if relu:
            x = layers.ReLU(6.0, name=f"{name}_relu")(x)
        return held(x, f"{name}_bound", signed=not relu)

    inputs = keras.Input(batch_shape=(batch_size, size_px, size_px, 1), name="vignette")
    x = held(inputs, INPUT)
    x = RoundedConv2D(_width(32, architecture.alpha), 3, 2, "same", use_bias=False, name="Conv1")(x)
    x = normalise(x, "bn_Conv1")
    number = 0
    for channels, repeats, first_stride, expansion in STAGES[: architecture.stages]:
        for repeat in range(repeats):
            name = f"block_{number}_" if number else "expanded_conv_"
            stride = first_stride if repeat == 0 else 1
            block_input = x
            if number:
                x = RoundedConv2D(expansion * x.shape[-1], 1, use_bias=False, name=f"{name}expand")(x)
                x = normalise(x, f"{name}expand_BN")
            x = RoundedDepthwiseConv2D(3, stride, "same", use_bias=False, name=f"{name}depthwise")(x)
            x = normalise(x, f"{name}depthwise_BN")
            x = RoundedConv2D(_width(channels, architecture.alpha), 1, use_bias=False, name=f"{name}project")(
                x
            )
            x = normalise(x, f"{name}project_BN", relu=False)
            if stride == 1 and block_input.shape[-1] == x.shape[-1]:
                x = layers.Add(name=f"{name}add")([block_input, x])
                x = held(x, f"{name}add_bound", signed=True)
            number += 1
    x = RoundedConv2D(architecture.features, 1, use_bias=False, name="Conv_1")(x)
    x = normalise(x, "Conv_1_bn")
    x = held(layers.GlobalAveragePooling2D(name="pool")(x), "pool_bound")
    x = layers.Dropout(architecture.dropout, name="dropout")(x)
    return keras.Model(inputs, held(layers.Dense(n_classes, name=HEAD)(x), OUTPUT), name="mobilenet_v2")


def _width(channels: int, alpha: float) -> int:
    """Channels times alpha, a multiple of 8, at least nine tenths of what was asked."""
    wanted = channels * alpha
    width = max(8, int(wanted + 4) // 8 * 8)
    return width + 8 if width < 0.9 * wanted else width


def set_limits(model: Any, images: NDArray[np.float32], permille: float) -> None:
    """Set every bound to a quantile of the size of the activations that some images give without bounds.

    Parameters
    ----------
    images
        float32 (n, side, side, 1), as the network takes them; a hundred do, and take much memory.
    permille
        Share of the activations, in thousandths, that lie within.
    """
    bounds = [layer for layer in model.layers if isinstance(layer, Bound)]
    for bound in bounds:
        bound.hold(0.0)
    probe = keras.Model(model.inputs, [bound.input for bound in bounds])
    for bound, values in zip(bounds, probe.predict_on_batch(images), strict=True):
        limit = np.quantile(np.abs(np.asarray(values)), permille / 1000)
        bound.hold(max(float(limit), 1e-3))


def arrays(model: Any) -> dict[str, NDArray[np.float32]]:
    """All weights by name (``Conv1/kernel``)."""
    return {
        variable.path: np.asarray(variable) for variable in model.variables if "seed" not in variable.path
    }


def load_arrays(model: Any, source: Mapping[str, NDArray[np.float32]], *, head: bool = True) -> int:
    """Set weights by name where the source has them; returns how many were set.

    A first convolution for RGB is summed over its colours, since grey is all three. Older Keras calls a
    depthwise kernel `depthwise_kernel`. `head=False` leaves the last layer as it is.

    Raises
    ------
    ValueError
        When a shape differs.
    """
    n_set = 0
    for variable in model.variables:
        name = variable.path
        if name not in source:
            name = name.replace("_depthwise/kernel", "_depthwise/depthwise_kernel")
        if name not in source or (not head and name.startswith(f"{HEAD}/")):
            continue
        value = np.asarray(source[name])
        if name == "Conv1/kernel" and value.shape[2] == 3:
            value = value.sum(axis=2, keepdims=True)
        if value.shape != tuple(variable.shape):
            raise ValueError(f"{name} has shape {value.shape}, {tuple(variable.shape)} was expected")
        variable.assign(value)
        n_set += 1
    return n_set
