"""The operations of a TFLite file, one after the other, as rules about them need them. It judges nothing.

Every offset of the flatbuffer is distrusted: a damaged file is an exception, never a long wait.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

_HEAD_BYTES = 512
"""As much of a constant as any axis, size or padding needs."""


@dataclass(frozen=True, slots=True)
class Tensor:
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
class Node:
    """One operation as it stands in the file; an input that was left out is None."""

    graph: int
    index: int
    op: str
    version: int
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Any
    takes_model_input: bool

    @property
    def quantizes_float_input(self) -> bool:
        """Whether it turns a float input of the model into integers."""
        first = self.inputs[0] if self.inputs else None
        floats = first is not None and first.kind.startswith("FLOAT")
        return self.op == "QUANTIZE" and self.takes_model_input and floats

    def input(self, place: int) -> Tensor:
        """An input that `training.edgetpu_rules.Rule.inputs` has made sure of."""
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


class NonsenseError(ValueError):
    """A flatbuffer that contradicts itself, in words."""


DAMAGE = (struct.error, ValueError, IndexError, TypeError, OverflowError, AttributeError)
"""What reading flatbuffers raises when offsets lead nowhere."""


def read_nodes(model: bytes) -> list[Node]:
    """All operations of a TFLite flatbuffer, in the order of execution, the main graph's first.

    Raises
    ------
    NonsenseError
        When it contradicts itself; any other of `DAMAGE` when its offsets lead nowhere.
    """
    return list(_Reader(model).nodes())


class _Reader:
    """Nodes of a flatbuffer, each offset distrusted.

    The parts of a sound file do not overlap: reading more than twice its bytes is refused, which bounds the
    time that any file can take.
    """

    def __init__(self, model: bytes) -> None:
        self.left = 2 * len(model)
        self.model = schema.Model.GetRootAs(model, 0)
        self.buffers: dict[int, tuple[bytes | None, int | None]] = {}

    def nodes(self) -> Iterator[Node]:
        for place in range(self.model.SubgraphsLength()):
            graph = self.item(self.model, "Subgraphs", place)
            model_inputs = set(self.numbers(graph, "Inputs"))
            tensors: dict[int, Tensor] = {}
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
                yield Node(
                    graph=place,
                    index=index,
                    op=f"CUSTOM {custom}" if op == "CUSTOM" else op,
                    version=code.Version(),
                    inputs=tuple(tensors.get(number) for number in inputs),
                    outputs=tuple(tensors[number] for number in outputs if number != -1),
                    options=schema.BuiltinOptionsCreator(kind, options),
                    takes_model_input=bool(model_inputs & set(inputs)),
                )

    def tensor(self, graph: Any, number: int) -> Tensor:
        found = self.item(graph, "Tensors", number)
        shape, signature = self.numbers(found, "Shape"), self.numbers(found, "ShapeSignature")
        quantization = found.Quantization()
        head, uniform = (None, None) if found.IsVariable() else self.constant(found.Buffer())
        return Tensor(
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
        """A table of a vector of tables. Raises NonsenseError when there is no such place."""
        self.spend(8)
        if not 0 <= index < getattr(table, f"{name}Length")():
            raise NonsenseError(f"there is no {index} among its {name.lower()}")
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
            raise NonsenseError("its parts overlap")
