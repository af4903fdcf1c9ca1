"""What an operation must be like for the Edge TPU to run it: Coral's table and its limitations, in words.

One operation at a time; what follows from its place in the graph is in `training.edgetpu`, with the sources.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ai_edge_litert import schema_py_generated as schema

from training.tflite_nodes import Node, Tensor

_EIGHT_BIT = ("INT8", "UINT8")
_WEIGHTS, _BIAS, _SIZES, _STATE = "weights", "bias", "axes or sizes", "state"
_KINDS_OF = {
    _WEIGHTS: _EIGHT_BIT, _BIAS: ("INT32",), _SIZES: ("INT32", "INT64"), _STATE: ("INT8", "INT16"),
}  # fmt: skip
_MAX_RANK, _INNERMOST, _SOFTMAX_ELEMENTS, _CHANNEL_MULTIPLE = 5, 3, 16_000, 4


@dataclass(frozen=True, slots=True)
class Rule:
    """What an operation must be like to map.

    `version` is the highest that maps, `inputs` the number that must be there; `parameters` says which inputs
    are no activations but weights, bias, axes or sizes, or state.
    """

    version: int
    inputs: int = 1
    parameters: dict[int, str] = field(default_factory=dict)


def own_reasons(node: Node) -> Iterator[str]:
    """Why an operation cannot map wherever it stands; nothing when it can."""
    rule = RULES.get(node.op)
    if rule is None:
        yield "not an operation of the Edge TPU"
        return
    if node.version > rule.version:
        yield f"version {node.version} of the operation, {rule.version} is the highest that maps"
    if len(node.inputs) < rule.inputs or None in node.inputs[: rule.inputs] or not node.outputs:
        yield "an input or output is missing"
        return
    found: dict[str, None] = {}  # a set in order: two inputs may have the same fault
    for place, tensor in enumerate(node.inputs):
        if tensor is not None:
            role = rule.parameters.get(place)
            found |= dict.fromkeys(_activation(tensor, "input") if role is None else _parameter(tensor, role))
    for tensor in node.outputs:
        found |= dict.fromkeys(_activation(tensor, "output"))
    yield from found or _limitations(node)


def _activation(tensor: Tensor, what: str) -> Iterator[str]:
    if tensor.kind not in _EIGHT_BIT:
        yield f"{what} is {tensor.kind}, not INT8 or UINT8"
    elif tensor.scales != 1 or len(tensor.zero_points) != 1:
        yield f"{what} does not have one scale and zero point"
    if not tensor.fixed or (not tensor.shape and tensor.head is None):
        yield f"{what} has no constant shape"
    elif len(tensor.shape) > _MAX_RANK:
        yield f"{what} has {len(tensor.shape)} dimensions, at most {_MAX_RANK} map"
    elif len(tensor.shape) == _INNERMOST + 1 and tensor.shape[0] != 1:
        yield f"{what} has a batch of {tensor.shape[0]}, only 1 maps"
    elif any(size != 1 for size in tensor.shape[:-_INNERMOST]):
        yield f"{what} is {tensor.size}, only the innermost three dimensions may be above 1"


def _parameter(tensor: Tensor, role: str) -> Iterator[str]:
    kinds = _KINDS_OF[role]
    if tensor.kind not in kinds:
        yield f"{role} of type {tensor.kind}, not {' or '.join(kinds)}"
    elif role in (_WEIGHTS, _STATE) and not (tensor.scales and tensor.zero_points):
        yield f"{role} without scale and zero point"
    if role != _STATE and tensor.head is None:
        yield f"{role} not constant when the model is compiled"


def own_warnings(node: Node) -> Iterator[str]:
    """What may keep an operation off the Edge TPU although the rules let it map."""
    inputs = [tensor for tensor in node.inputs if tensor is not None]
    if node.op == "FULLY_CONNECTED" and len(inputs) > 1 and inputs[1].scales > 1:
        yield "weights have a scale per channel, which old compilers do not take"
    if node.op.startswith("RESIZE_"):
        yield "may stay on the CPU for its size, to keep precision"
    if node.op == "MEAN" and inputs and inputs[0].channels % _CHANNEL_MULTIPLE:
        yield f"{inputs[0].channels} channels; a multiple of {_CHANNEL_MULTIPLE} is safe whatever is reduced"


def _among(axes: list[int], place: int, tensor: Tensor) -> bool:
    """Whether an axis, which may count from the end, is dimension `place` of a tensor."""
    rank = len(tensor.shape)
    return any((axis - place) % rank == 0 for axis in axes) if rank else False


def _batch_among(axes: list[int], tensor: Tensor) -> bool:
    return len(tensor.shape) > 1 and _among(axes, 0, tensor)


def _limitations(node: Node) -> Iterator[str]:
    """Coral's known limitations of single operations; their tensors are in order already."""
    match node.op:
        case "CONV_2D" | "DEPTHWISE_CONV_2D":
            x, y = node.option("dilationWFactor"), node.option("dilationHFactor")
            if x != y:
                yield f"dilation is {x} in x and {y} in y, only the same in both maps"
        case "AVERAGE_POOL_2D" | "MAX_POOL_2D" | "CONCATENATION":
            if node.option("fusedActivationFunction") != schema.ActivationFunctionType.NONE:
                yield "has a fused activation"
            constants = [tensor for tensor in node.inputs if tensor is not None and tensor.head is not None]
            zero = all(tensor.uniform == tensor.zero_points[0] & 0xFF for tensor in constants)
            if node.op == "CONCATENATION" and constants and not (zero and len(node.inputs) == 2):
                yield "a constant input maps only when it is all zeros and one of two"
        case "FULLY_CONNECTED":
            if node.option("weightsFormat") != schema.FullyConnectedOptionsWeightsFormat.DEFAULT:
                yield "weights are not in the default format"
            if not node.outputs[0].flat:
                yield f"output is {node.outputs[0].size}, only one dimension may be above 1"
        case "SOFTMAX":
            if not node.input(0).flat:
                yield f"input is {node.input(0).size}, only one dimension may be above 1"
            elif (elements := node.input(0).channels) > _SOFTMAX_ELEMENTS:
                yield f"input has {elements} elements, at most {_SOFTMAX_ELEMENTS} map"
        case "MEAN" | "SUM" | "REDUCE_MAX" | "REDUCE_MIN":
            axes, tensor = node.input(1).integers, node.input(0)
            if _batch_among(axes, tensor):
                yield "reduces the batch dimension"
            if node.op == "MEAN" and _among(axes, -1, tensor) and tensor.channels % _CHANNEL_MULTIPLE:
                yield f"reduces {tensor.channels} channels, only a multiple of {_CHANNEL_MULTIPLE} maps"
        case "PACK":
            if _batch_among([node.option("axis")], node.outputs[0]):
                yield "packs in the batch dimension"
        case "PAD":
            if len(node.input(0).shape) > 1 and any(node.input(1).integers[:2]):
                yield "pads the batch dimension"
        case "SPLIT":
            if _batch_among(node.input(0).integers, node.input(1)):
                yield "splits the batch dimension"
        case "PRELU":
            if not node.input(1).flat:
                yield f"alpha is {node.input(1).size}, only one a channel maps"
        case "STRIDED_SLICE":
            if any(stride != 1 for stride in node.input(3).integers):
                yield "strides are not all 1"
            if node.option("ellipsisMask") or node.option("newAxisMask"):
                yield "has an ellipsis or a new axis"
        case "UNIDIRECTIONAL_SEQUENCE_LSTM":
            shape, place = node.input(0).shape, node.option("timeMajor")
            if len(shape) == _INNERMOST and shape[place] != 1:
                yield f"input has a batch of {shape[place]}, only 1 maps"


_LSTM = (
    dict.fromkeys((*range(1, 12), 16), _WEIGHTS)
    | dict.fromkeys((*range(12, 16), 17), _BIAS)
    | dict.fromkeys((18, 19), _STATE)
)

RULES: dict[str, Rule] = {
    **dict.fromkeys(("L2_NORMALIZATION", "LOGISTIC", "RELU", "RELU6", "RSQRT", "TANH"), Rule(2)),
    **dict.fromkeys(("AVERAGE_POOL_2D", "CONCATENATION", "MAX_POOL_2D", "PACK"), Rule(2)),
    **dict.fromkeys(("SOFTMAX", "SPACE_TO_DEPTH"), Rule(2)),
    **dict.fromkeys(("QUANTIZE", "RELU_N1_TO_1", "SQUEEZE"), Rule(1)),
    **dict.fromkeys(("ADD", "MAXIMUM", "MINIMUM", "MUL", "SQUARED_DIFFERENCE", "SUB"), Rule(2, 2)),
    **dict.fromkeys(("MEAN", "REDUCE_MAX", "REDUCE_MIN", "SUM"), Rule(2, 2, {1: _SIZES})),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), Rule(2, 2, {1: _SIZES})),
    **dict.fromkeys(("PAD", "TRANSPOSE"), Rule(2, 2, {1: _SIZES})),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), Rule(3, 2, {1: _WEIGHTS, 2: _BIAS})),
    "EXPAND_DIMS": Rule(1, 2, {1: _SIZES}),
    "FULLY_CONNECTED": Rule(4, 2, {1: _WEIGHTS, 2: _BIAS}),
    "PRELU": Rule(1, 2, {1: _WEIGHTS}),
    "RESHAPE": Rule(1, 1, {1: _SIZES}),
    "SLICE": Rule(2, 3, {1: _SIZES, 2: _SIZES}),
    "SPLIT": Rule(2, 2, {0: _SIZES}),
    "STRIDED_SLICE": Rule(2, 4, {1: _SIZES, 2: _SIZES, 3: _SIZES}),
    "TRANSPOSE_CONV": Rule(3, 3, {0: _SIZES, 1: _WEIGHTS, 3: _BIAS}),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": Rule(1, 1, _LSTM),
}
"""Operations that the Edge TPU has, by their names in TFLite's schema."""
