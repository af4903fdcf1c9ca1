"""Which operations of a TFLite model would map to the Edge TPU, told from the file alone.

Not in here: the Edge TPU compiler, whose word is final, and what no file shows: large activations, and those
reshapes and resizes that the compiler leaves on the CPU for their size.
Sources: Google Coral, "TensorFlow models on the Edge TPU" (coral.ai/docs/edgetpu/models-intro: supported
operations, their limitations, the one cut of the graph), as for runtime 14; much of its table also stands at
developer.axis.com/computer-vision/on-device/system-on-chip/artpec-7/supported-ops. Versions: those that
TFLite's op_version.cc gives to plain 8-bit tensors; what needs a higher one (half-pixel resizing, dense
layers that keep their dimensions) is seen on the CPU in published logs of the compiler. Compared with what
the compiler made of Coral's test models.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge.errors import BundleError

_EIGHT_BIT = ("INT8", "UINT8")
_WEIGHTS, _BIAS, _SIZES, _STATE = "weights", "bias", "axes or sizes", "state"
_KINDS_OF = {
    _WEIGHTS: _EIGHT_BIT, _BIAS: ("INT32",), _SIZES: ("INT32", "INT64"), _STATE: ("INT8", "INT16"),
}  # fmt: skip
_MAX_RANK, _INNERMOST, _SOFTMAX_ELEMENTS, _CHANNEL_MULTIPLE = 5, 3, 16_000, 4
_COMPILED = "CUSTOM edgetpu-custom-op"
_HEAD_BYTES = 512
"""As much of a constant as any axis, size or padding needs."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the model and where it would run.

    Attributes
    ----------
    index
        Place in the order of execution of its graph, from 0.
    op, version
        As in TFLite's schema: "CONV_2D", 3.
    output
        Name of its first output tensor.
    reasons
        Why it would stay on the CPU; none when it would map.
    graph
        0 is the main graph; others hold the bodies of loops and branches.
    """

    index: int
    op: str
    version: int
    output: str
    reasons: tuple[str, ...]
    graph: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """All operations in order, and what may go wrong although operations map."""

    operations: tuple[Operation, ...]
    warnings: tuple[str, ...]

    @property
    def on_cpu(self) -> tuple[Operation, ...]:
        """Operations that would stay on the CPU, in order."""
        return tuple(operation for operation in self.operations if operation.reasons)


def check_edgetpu(model: bytes, file: str | PathLike[str] = "model.tflite") -> Verdict:
    """Say of every operation whether the Edge TPU would run it, and if not, why.

    The compiler cuts the graph once, at the first operation that does not map: whatever comes later in the
    order of execution stays on the CPU too. (Of branches side by side it may map more than is said here.)
    What quantizes a float input of the model stays on the CPU without a cut.

    Parameters
    ----------
    model
        A TFLite flatbuffer, as it is before the Edge TPU compiler.
    file
        Where it comes from, for errors.

    Raises
    ------
    BundleError
        When the bytes are not a TFLite model, are damaged, or were compiled for the Edge TPU already.

    Examples
    --------
    >>> from edge.inference.bundle import load_bundle
    >>> [operation.op for operation in check_edgetpu(load_bundle("demo").model).on_cpu]
    []
    """
    if model[4:8] != b"TFL3":
        raise BundleError("is not a TFLite model", file=file, remedy="give a .tflite file or a bundle")
    try:
        nodes = list(_Reader(model).nodes())
    except _DAMAGE as cause:
        why = f": {cause}" if isinstance(cause, _NonsenseError) else ""
        problem = f"is truncated or damaged{why}"
        raise BundleError(problem, file=file, remedy="convert or copy it again") from cause
    if not nodes:
        raise BundleError("holds no operation", file=file, remedy="convert the model again")
    if any(node.op == _COMPILED for node in nodes):
        remedy = "give the model it was compiled from"
        raise BundleError("was compiled for the Edge TPU already", file=file, remedy=remedy)
    operations, warnings = [], []
    cut: int | None = None
    for node in nodes:
        own = list(_own_reasons(node))
        inherited = []
        if node.graph:
            inherited = ["outside the main graph"]
        elif cut is not None:
            inherited = [f"after operation {cut}"]
        elif own and not node.quantizes_float_input:
            cut = node.index
        output = node.outputs[0].name if node.outputs else ""
        reasons = (*own, *inherited)
        operations.append(Operation(node.index, node.op, node.version, output, reasons, node.graph))
        warnings += [f"operation {node.index}, {node.op}: {text}" for text in _warnings(node)]
    return Verdict(tuple(operations), tuple(warnings))


@dataclass(frozen=True, slots=True)
class _Tensor:
    """What the rules need of a tensor.

    `head` is the first bytes of a constant and `uniform` the only byte in it; both None where there is none.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    fixed: bool
    scales: int
    zero_points: tuple[int, ...]
    head: bytes | None
    uniform: int | None

    @property
    def integers(self) -> list[int]:
        """The first values of a constant of 4- or 8-byte integers."""
        dtype = np.dtype(np.int64 if self.kind == "INT64" else np.int32)
        head = self.head or b""
        values: list[int] = np.frombuffer(head, dtype, len(head) // dtype.itemsize).tolist()
        return values

    @property
    def size(self) -> str:
        """Its shape in words."""
        return " x ".join(map(str, self.shape))

    @property
    def channels(self) -> int:
        """Its innermost dimension."""
        return self.shape[-1] if self.shape else 1

    @property
    def flat(self) -> bool:
        """Whether only the innermost dimension is above 1."""
        return all(size == 1 for size in self.shape[:-1])


@dataclass(frozen=True, slots=True)
class _Node:
    """One operation as it stands in the file; an input that was left out is None."""

    graph: int
    index: int
    op: str
    version: int
    inputs: tuple[_Tensor | None, ...]
    outputs: tuple[_Tensor, ...]
    options: Any
    takes_model_input: bool

    @property
    def quantizes_float_input(self) -> bool:
        """Whether it turns a float input of the model into integers."""
        first = self.inputs[0] if self.inputs else None
        floats = first is not None and first.kind.startswith("FLOAT")
        return self.op == "QUANTIZE" and self.takes_model_input and floats

    def input(self, place: int) -> _Tensor:
        """An input that `_Rule.inputs` has made sure of."""
        tensor = self.inputs[place]
        assert tensor is not None
        return tensor

    def option(self, name: str) -> int:
        """A builtin option; 0, its default, where the file says nothing."""
        return int(getattr(self.options, name, 0))


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


_OPS, _KINDS = _names(schema.BuiltinOperator), _names(schema.TensorType)
_OPTIONS = {
    getattr(schema.BuiltinOptions, f"{name}Options")
    for name in ("Conv2D", "DepthwiseConv2D", "Pool2D", "Concatenation", "FullyConnected", "Pack",
                 "StridedSlice", "UnidirectionalSequenceLSTM")
}  # fmt: skip
"""Options that a limitation asks for; all are short."""


class _NonsenseError(ValueError):
    """A flatbuffer that contradicts itself, in words."""


_DAMAGE = (struct.error, ValueError, IndexError, TypeError, OverflowError, AttributeError)
"""What reading flatbuffers raises when offsets lead nowhere."""


class _Reader:
    """Nodes of a flatbuffer, each offset distrusted.

    The parts of a sound file do not overlap: reading more than twice its bytes is refused, which bounds the
    time that any file can take.
    """

    def __init__(self, model: bytes) -> None:
        self.left = 2 * len(model)
        self.model = schema.Model.GetRootAs(model, 0)
        self.buffers: dict[int, tuple[bytes | None, int | None]] = {}

    def nodes(self) -> Iterator[_Node]:
        for place in range(self.model.SubgraphsLength()):
            graph = self.item(self.model, "Subgraphs", place)
            model_inputs = set(self.numbers(graph, "Inputs"))
            tensors: dict[int, _Tensor] = {}
            for index in range(graph.OperatorsLength()):
                operator = self.item(graph, "Operators", index)
                code = self.item(self.model, "OperatorCodes", operator.OpcodeIndex())
                number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
                op, custom = _OPS.get(number, f"BUILTIN {number}"), self.text(code.CustomCode())
                inputs, outputs = self.numbers(operator, "Inputs"), self.numbers(operator, "Outputs")
                for number in {*inputs, *outputs} - tensors.keys() - {-1}:
                    tensors[number] = self.tensor(graph, number)
                kind = operator.BuiltinOptionsType()
                options = operator.BuiltinOptions() if kind in _OPTIONS else None
                yield _Node(
                    graph=place,
                    index=index,
                    op=f"CUSTOM {custom}" if op == "CUSTOM" else op,
                    version=code.Version(),
                    inputs=tuple(tensors.get(number) for number in inputs),
                    outputs=tuple(tensors[number] for number in outputs if number != -1),
                    options=schema.BuiltinOptionsCreator(kind, options),
                    takes_model_input=bool(model_inputs & set(inputs)),
                )

    def tensor(self, graph: Any, number: int) -> _Tensor:
        found = self.item(graph, "Tensors", number)
        shape, signature = self.numbers(found, "Shape"), self.numbers(found, "ShapeSignature")
        quantization = found.Quantization()
        head, uniform = (None, None) if found.IsVariable() else self.constant(found.Buffer())
        return _Tensor(
            name=self.text(found.Name()),
            kind=_KINDS.get(found.Type(), f"type {found.Type()}"),
            shape=shape,
            fixed=all(size > 0 for size in (*shape, *signature)),
            scales=0 if quantization is None else quantization.ScaleLength(),
            zero_points=() if quantization is None else self.numbers(quantization, "ZeroPoint"),
            head=head,
            uniform=uniform,
        )

    def constant(self, index: int) -> tuple[bytes | None, int | None]:
        """`head` and `uniform` of a buffer."""
        if index not in self.buffers:
            buffer = self.item(self.model, "Buffers", index)
            data = np.asarray([] if buffer.DataLength() == 0 else buffer.DataAsNumpy())
            self.spend(data.size)
            uniform = int(data[0]) if data.size and (data == data[0]).all() else None
            self.buffers[index] = (data[:_HEAD_BYTES].tobytes() if data.size else None), uniform
        return self.buffers[index]

    def item(self, table: Any, name: str, index: int) -> Any:
        """A table of a vector of tables. Raises _NonsenseError when there is no such place."""
        self.spend(8)
        if not 0 <= index < getattr(table, f"{name}Length")():
            raise _NonsenseError(f"there is no {index} among its {name.lower()}")
        return getattr(table, name)(index)

    def numbers(self, table: Any, name: str) -> tuple[int, ...]:
        length = getattr(table, f"{name}Length")()
        self.spend(4 * length)
        return tuple(getattr(table, f"{name}AsNumpy")().tolist()) if length else ()

    def text(self, value: bytes | None) -> str:
        self.spend(len(value or b""))
        decoded = (value or b"").decode(errors="replace")
        return "".join(letter if letter.isprintable() else "?" for letter in decoded)

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise _NonsenseError("its parts overlap")


@dataclass(frozen=True, slots=True)
class _Rule:
    """What an operation must be like to map.

    `version` is the highest that maps, `inputs` the number that must be there; `parameters` says which inputs
    are no activations but weights, bias, axes or sizes, or state.
    """

    version: int
    inputs: int = 1
    parameters: dict[int, str] = field(default_factory=dict)


def _own_reasons(node: _Node) -> Iterator[str]:
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


def _activation(tensor: _Tensor, what: str) -> Iterator[str]:
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


def _parameter(tensor: _Tensor, role: str) -> Iterator[str]:
    kinds = _KINDS_OF[role]
    if tensor.kind not in kinds:
        yield f"{role} of type {tensor.kind}, not {' or '.join(kinds)}"
    elif role in (_WEIGHTS, _STATE) and not (tensor.scales and tensor.zero_points):
        yield f"{role} without scale and zero point"
    if role != _STATE and tensor.head is None:
        yield f"{role} not constant when the model is compiled"


def _warnings(node: _Node) -> Iterator[str]:
    inputs = [tensor for tensor in node.inputs if tensor is not None]
    if node.op == "FULLY_CONNECTED" and len(inputs) > 1 and inputs[1].scales > 1:
        yield "weights have a scale per channel, which old compilers do not take"
    if node.op.startswith("RESIZE_"):
        yield "may stay on the CPU for its size, to keep precision"
    if node.op == "MEAN" and inputs and inputs[0].channels % _CHANNEL_MULTIPLE:
        yield f"{inputs[0].channels} channels; a multiple of {_CHANNEL_MULTIPLE} is safe whatever is reduced"


def _among(axes: list[int], place: int, tensor: _Tensor) -> bool:
    """Whether an axis, which may count from the end, is dimension `place` of a tensor."""
    rank = len(tensor.shape)
    return any((axis - place) % rank == 0 for axis in axes) if rank else False


def _batch_among(axes: list[int], tensor: _Tensor) -> bool:
    return len(tensor.shape) > 1 and _among(axes, 0, tensor)


def _limitations(node: _Node) -> Iterator[str]:
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

RULES: dict[str, _Rule] = {
    **dict.fromkeys(("L2_NORMALIZATION", "LOGISTIC", "RELU", "RELU6", "RSQRT", "TANH"), _Rule(2)),
    **dict.fromkeys(("AVERAGE_POOL_2D", "CONCATENATION", "MAX_POOL_2D", "PACK"), _Rule(2)),
    **dict.fromkeys(("SOFTMAX", "SPACE_TO_DEPTH"), _Rule(2)),
    **dict.fromkeys(("QUANTIZE", "RELU_N1_TO_1", "SQUEEZE"), _Rule(1)),
    **dict.fromkeys(("ADD", "MAXIMUM", "MINIMUM", "MUL", "SQUARED_DIFFERENCE", "SUB"), _Rule(2, 2)),
    **dict.fromkeys(("MEAN", "REDUCE_MAX", "REDUCE_MIN", "SUM"), _Rule(2, 2, {1: _SIZES})),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _Rule(2, 2, {1: _SIZES})),
    **dict.fromkeys(("PAD", "TRANSPOSE"), _Rule(2, 2, {1: _SIZES})),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), _Rule(3, 2, {1: _WEIGHTS, 2: _BIAS})),
    "EXPAND_DIMS": _Rule(1, 2, {1: _SIZES}),
    "FULLY_CONNECTED": _Rule(4, 2, {1: _WEIGHTS, 2: _BIAS}),
    "PRELU": _Rule(1, 2, {1: _WEIGHTS}),
    "RESHAPE": _Rule(1, 1, {1: _SIZES}),
    "SLICE": _Rule(2, 3, {1: _SIZES, 2: _SIZES}),
    "SPLIT": _Rule(2, 2, {0: _SIZES}),
    "STRIDED_SLICE": _Rule(2, 4, {1: _SIZES, 2: _SIZES, 3: _SIZES}),
    "TRANSPOSE_CONV": _Rule(3, 3, {0: _SIZES, 1: _WEIGHTS, 3: _BIAS}),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _Rule(1, 1, _LSTM),
}
"""Operations that the Edge TPU has, by their names in TFLite's schema."""
