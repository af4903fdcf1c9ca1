"""MobileNetV2 for grey vignettes, in Keras 3 alone, ending at logits.

After Sandler et al. 2018 (arXiv 1801.04381), with the layer names of keras.applications so that its arrays
can be loaded by name. Not in it: softmax (temperature and softmax follow in NumPy, at full resolution) and
input scaling (the int8 input's own scale does that).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import keras
import msgspec
import numpy as np
from keras import layers
from numpy.typing import NDArray

HEAD = "logits"
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
    features
        Channels of the last convolution, which the head reads.
    dropout
        Share of features dropped in training.
    momentum
        Of the batch normalisation's moving statistics: short runs need it low.
    """

    alpha: Annotated[float, msgspec.Meta(gt=0, le=2)] = 0.35
    features: Annotated[int, msgspec.Meta(ge=8)] = 1280
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.2
    momentum: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.97


def build_model(
    size_px: int, n_classes: int, architecture: Architecture, *, batch_size: int | None = None
) -> Any:
    """Network from (batch, size_px, size_px, 1), -1 to 1, to logits (batch, n_classes).

    `batch_size=1` gives the static shapes that conversion needs.
    """
    inputs = keras.Input(batch_shape=(batch_size, size_px, size_px, 1))

    def normalise(x: Any, name: str, *, relu: bool = True) -> Any:
        x = layers.BatchNormalization(momentum=architecture.momentum, epsilon=1e-3, name=name)(x)
        return layers.ReLU(6.0, name=f"{name}_relu")(x) if relu else x

    x = layers.Conv2D(_width(32, architecture.alpha), 3, 2, "same", use_bias=False, name="Conv1")(inputs)
    x = normalise(x, "bn_Conv1")
    number = 0
    for channels, repeats, first_stride, expansion in STAGES:
        for repeat in range(repeats):
            name = f"block_{number}_" if number else "expanded_conv_"
            stride = first_stride if repeat == 0 else 1
            block_input = x
            if number:
                x = layers.Conv2D(expansion * x.shape[-1], 1, use_bias=False, name=f"{name}expand")(x)
                x = normalise(x, f"{name}expand_BN")
            x = layers.DepthwiseConv2D(3, stride, "same", use_bias=False, name=f"{name}depthwise")(x)
            x = normalise(x, f"{name}depthwise_BN")
            x = layers.Conv2D(_width(channels, architecture.alpha), 1, use_bias=False, name=f"{name}project")(
                x
            )
            x = normalise(x, f"{name}project_BN", relu=False)
            if stride == 1 and block_input.shape[-1] == x.shape[-1]:
                x = layers.Add(name=f"{name}add")([block_input, x])
            number += 1
    x = layers.Conv2D(architecture.features, 1, use_bias=False, name="Conv_1")(x)
    x = normalise(x, "Conv_1_bn")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(architecture.dropout, name="dropout")(x)
    return keras.Model(inputs, layers.Dense(n_classes, name=HEAD)(x))


def _width(channels: int, alpha: float) -> int:
    """Channels times alpha, a multiple of 8, at least nine tenths of what was asked."""
    wanted = channels * alpha
    width = max(8, int(wanted + 4) // 8 * 8)
    return width + 8 if width < 0.9 * wanted else width


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
