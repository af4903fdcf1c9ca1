"""Small networks for grey vignettes, in Keras 3 alone, ending at logits.

MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381), V1 (Howard et al. 2017, arXiv 1704.04861) and V3-small
minimalistic (Howard et al. 2019, arXiv 1905.02244, without squeeze-and-excite and hard swish), with the layer
names of keras.applications, so that its arrays can be loaded by name. Not in them: softmax (temperature and
softmax follow in NumPy, at full resolution) and input scaling (the int8 input's own scale does that).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import keras
import msgspec
import numpy as np
from keras import layers
from numpy.typing import NDArray

from edge.inference.preprocessing import N_NUMBERS
from training.layers import Bound, RoundedConv2D, RoundedDepthwiseConv2D

HEAD, INPUT, NUMBERS_INPUT, OUTPUT = "logits", "input", "numbers", "output"
Family = Literal["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small_minimalistic"]
V2_STAGES = (
    (16, 1, 1, 1),
    (24, 2, 2, 6),
    (32, 3, 2, 6),
    (64, 4, 2, 6),
    (96, 3, 1, 6),
    (160, 3, 2, 6),
    (320, 1, 1, 6),
)
"""Channels, blocks, stride of the first, expansion (V2, table 2)."""
V1_STAGES = (
    ((64, 1),),
    ((128, 2), (128, 1)),
    ((256, 2), (256, 1)),
    ((512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1)),
    ((1024, 2), (1024, 1)),
)
"""Channels and stride of each depthwise separable block (V1, table 1)."""
V3_STAGES = (
    ((1, 16, 2),),
    ((72 / 16, 24, 2), (88 / 24, 24, 1)),
    ((4, 40, 2), (6, 40, 1), (6, 40, 1)),
    ((3, 48, 1), (3, 48, 1)),
    ((6, 96, 2), (6, 96, 1), (6, 96, 1)),
)
"""Expansion, channels and stride of each inverted residual (V3, table 2; kernels 3 x 3, ReLU, no squeeze)."""


class Architecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the network is made of.

    Attributes
    ----------
    family
        Which of the published networks.
    alpha
        Width of every layer relative to the paper's.
    stages
        How many of the paper's stages there are (a stage ends before the next reduction or widening): fewer
        for small inputs.
    features
        Channels of the last convolution, which the head reads; V1 has none.
    hidden
        Units that read the numbers of `edge.inference.preprocessing.describe`; 0 when the network sees the
        picture alone.
    dropout
        Share of features dropped in training.
    momentum
        Of the batch normalisation's moving statistics: short runs need it low.
    """

    family: Family = "mobilenet_v2"
    alpha: Annotated[float, msgspec.Meta(gt=0, le=2)] = 0.35
    stages: Annotated[int, msgspec.Meta(ge=1, le=7)] = 7
    features: Annotated[int, msgspec.Meta(ge=8)] = 1280
    hidden: Annotated[int, msgspec.Meta(ge=0, le=256)] = 0
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.2
    momentum: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.97


class _Blocks:
    """The pieces all three are made of: convolutions that can be rounded, normalised and held."""

    def __init__(self, architecture: Architecture, hold: Callable[[Any, str], Any] | None) -> None:
        self.architecture = architecture
        self._hold = hold

    def held(self, x: Any, name: str, *, signed: bool = False) -> Any:
        if self._hold is not None:
            return self._hold(x, name)
        return x if name in (INPUT, NUMBERS_INPUT, OUTPUT) else Bound(name, signed=signed)(x)

    def normalise(self, x: Any, name: str, *, relu: bool = True) -> Any:
        x = layers.BatchNormalization(momentum=self.architecture.momentum, epsilon=1e-3, name=name)(x)
        if relu:
            x = layers.ReLU(6.0, name=f"{name}_relu")(x)
        return self.held(x, f"{name}_bound", signed=not relu)

    def conv(
        self, x: Any, channels: int, name: str, bn: str, *, side: int = 1, stride: int = 1, relu: bool = True
    ) -> Any:
        x = RoundedConv2D(channels, side, stride, "same", use_bias=False, name=name)(x)
        return self.normalise(x, bn, relu=relu)

    def depthwise(self, x: Any, name: str, bn: str, stride: int) -> Any:
        x = RoundedDepthwiseConv2D(3, stride, "same", use_bias=False, name=name)(x)
        return self.normalise(x, bn)

    def add(self, x: Any, block_input: Any, name: str) -> Any:
        return self.held(layers.Add(name=name)([block_input, x]), f"{name}_bound", signed=True)


def build_model(
    size_px: int,
    n_classes: int,
    architecture: Architecture,
    *,
    batch_size: int | None = None,
    hold: Callable[[Any, str], Any] | None = None,
) -> Any:
    """Network from (batch, size_px, size_px, 1), -1 to 1, to logits (batch, n_classes).

    With `architecture.hidden` it takes the numbers, (batch, N_NUMBERS), as a second input. `batch_size=1`
    gives the static shapes that conversion needs. `hold`, given a tensor and its name, says how int8 will
    hold it; by default all but inputs and output get a `Bound` of that name.
    """
    blocks = _Blocks(architecture, hold)
    body = {
        "mobilenet_v1": _mobilenet_v1,
        "mobilenet_v2": _mobilenet_v2,
        "mobilenet_v3_small_minimalistic": _mobilenet_v3,
    }[architecture.family]
    image = keras.Input(batch_shape=(batch_size, size_px, size_px, 1), name="vignette")
    x = body(blocks, blocks.held(image, INPUT))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    inputs = image
    if architecture.hidden:
        numbers = keras.Input(batch_shape=(batch_size, N_NUMBERS), name="numbers")
        told = blocks.held(numbers, NUMBERS_INPUT)
        # The numbers vary within a tenth of their range: larger first weights make up for it.
        wide = keras.initializers.VarianceScaling(scale=16.0, mode="fan_in")
        told = layers.Dense(architecture.hidden, "relu", kernel_initializer=wide, name="hidden")(told)
        x = layers.Concatenate(name="features")([x, told])
        inputs = [image, numbers]
    x = blocks.held(x, "pool_bound")
    x = layers.Dropout(architecture.dropout, name="dropout")(x)
    logits = blocks.held(layers.Dense(n_classes, name=HEAD)(x), OUTPUT)
    return keras.Model(inputs, logits, name=architecture.family)


def _mobilenet_v2(blocks: _Blocks, x: Any) -> Any:
    architecture = blocks.architecture
    x = blocks.conv(x, _width(32, architecture.alpha), "Conv1", "bn_Conv1", side=3, stride=2)
    number = 0
    for channels, repeats, first_stride, expansion in V2_STAGES[: architecture.stages]:
        for repeat in range(repeats):
            name = f"block_{number}_" if number else "expanded_conv_"
            stride = first_stride if repeat == 0 else 1
            block_input = x
            if number:
                x = blocks.conv(x, expansion * x.shape[-1], f"{name}expand", f"{name}expand_BN")
            x = blocks.depthwise(x, f"{name}depthwise", f"{name}depthwise_BN", stride)
            width = _width(channels, architecture.alpha)
            x = blocks.conv(x, width, f"{name}project", f"{name}project_BN", relu=False)
            if stride == 1 and block_input.shape[-1] == x.shape[-1]:
                x = blocks.add(x, block_input, f"{name}add")
            number += 1
    return blocks.conv(x, architecture.features, "Conv_1", "Conv_1_bn")


def _mobilenet_v1(blocks: _Blocks, x: Any) -> Any:
    architecture = blocks.architecture
    x = blocks.conv(x, int(32 * architecture.alpha), "conv1", "conv1_bn", side=3, stride=2)
    stages = V1_STAGES[: architecture.stages]
    for number, (channels, stride) in enumerate((one for stage in stages for one in stage), start=1):
        x = blocks.depthwise(x, f"conv_dw_{number}", f"conv_dw_{number}_bn", stride)
        width = int(channels * architecture.alpha)
        x = blocks.conv(x, width, f"conv_pw_{number}", f"conv_pw_{number}_bn")
    return x


def _mobilenet_v3(blocks: _Blocks, x: Any) -> Any:
    architecture = blocks.architecture
    x = blocks.conv(x, 16, "conv", "conv_bn", side=3, stride=2)
    stages = V3_STAGES[: architecture.stages]
    for number, (expansion, channels, stride) in enumerate(one for stage in stages for one in stage):
        name = f"expanded_conv_{number}_" if number else "expanded_conv_"
        block_input = x
        if number:
            width = _width(x.shape[-1] * expansion, 1.0)
            x = blocks.conv(x, width, f"{name}expand", f"{name}expand_bn")
        x = blocks.depthwise(x, f"{name}depthwise", f"{name}depthwise_bn", stride)
        width = _width(channels, architecture.alpha)
        x = blocks.conv(x, width, f"{name}project", f"{name}project_bn", relu=False)
        if stride == 1 and block_input.shape[-1] == x.shape[-1]:
            x = blocks.add(x, block_input, f"{name}add")
    return blocks.conv(x, architecture.features, "conv_1", "conv_1_bn")


def _width(channels: float, alpha: float) -> int:
    """Channels times alpha, a multiple of 8, at least nine tenths of what was asked."""
    wanted = channels * alpha
    width = max(8, int(wanted + 4) // 8 * 8)
    return width + 8 if width < 0.9 * wanted else width


def features_model(model: Any) -> Any:
    """The network up to what its head reads: pooled features, and those of the numbers."""
    return keras.Model(model.inputs, model.get_layer("dropout").input)


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
            name = name.replace("/kernel", "/depthwise_kernel")
        if name not in source or (not head and name.startswith(f"{HEAD}/")):
            continue
        value = np.asarray(source[name])
        if value.ndim == 4 and value.shape[2] == 3 and variable.shape[2] == 1:
            value = value.sum(axis=2, keepdims=True)
        if value.shape != tuple(variable.shape):
            raise ValueError(f"{name} has shape {value.shape}, {tuple(variable.shape)} was expected")
        variable.assign(value)
        n_set += 1
    return n_set
