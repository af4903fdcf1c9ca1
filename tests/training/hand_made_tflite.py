"""Small TFLite models built tensor by tensor and operation by operation, for tests of what reads them."""

from __future__ import annotations

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from training.edgetpu import check_edgetpu

TYPES = {"int8": 9, "uint8": 3, "int16": 7, "int32": 2, "int64": 4, "float32": 0}
NUMPY = {name: np.dtype(name) for name in TYPES}
SAME = (1, 8, 8, 4)


class Graph:
    """A small model that is built tensor by tensor and operation by operation."""

    def __init__(self):
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = "hand-made"
        self.model.operatorCodes = []
        empty = schema.BufferT()
        self.model.buffers = [empty]
        self.graphs = []
        self.graph()

    def graph(self):
        """Begin another graph."""
        graph = schema.SubGraphT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
        self.graphs.append(graph)
        self.model.subgraphs = self.graphs

    def tensor(self, shape, kind="int8", scales=1, data=None, signature=None, zero_point=0, name=None):
        """Index of a new tensor; `data` makes it a constant."""
        tensors = self.graphs[-1].tensors
        tensor = schema.TensorT()
        tensor.shape, tensor.type = list(shape), TYPES[kind]
        tensor.name = name or f"t{len(tensors)}"
        tensor.shapeSignature = signature
        tensor.quantization = schema.QuantizationParametersT()
        if scales:
            tensor.quantization.scale = [0.5] * scales
            tensor.quantization.zeroPoint = [zero_point] * scales
        tensor.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = list(np.asarray(data, NUMPY[kind]).tobytes())
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        tensors.append(tensor)
        return len(tensors) - 1

    def weights(self, shape, kind="int8", scales=1, value=3):
        return self.tensor(shape, kind, scales, np.full(shape, value))

    def ints(self, *values, kind="int32"):
        return self.tensor((len(values),), kind, 0, values)

    def add(self, op, inputs, outputs, version=1, options=None, custom=None):
        """Append an operation; `options` is (name of the options, {field: value})."""
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, op)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version, code.customCode = version, custom
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if options:
            name, fields = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = getattr(schema, f"{name}T")()
            for key, value in fields.items():
                assert hasattr(operator.builtinOptions, key)
                setattr(operator.builtinOptions, key, value)
        self.model.operatorCodes.append(code)
        self.graphs[-1].operators.append(operator)
        return self

    def pack(self) -> bytes:
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def check(self):
        return check_edgetpu(self.pack())

    def reasons(self, place=0):
        return self.check().operations[place].reasons


def unary(op="RELU", version=2, shape=SAME, out=None, kind="int8", options=None, **tensor):
    graph = Graph()
    x, y = graph.tensor(shape, kind, **tensor), graph.tensor(out or shape, kind, **tensor)
    return graph.add(op, [x], [y], version, options)


def with_index(op, values, shape=SAME, out=SAME, version=2, options=None, kind="int32"):
    graph = Graph()
    x, index, y = graph.tensor(shape), graph.ints(*values, kind=kind), graph.tensor(out)
    return graph.add(op, [x, index], [y], version, options)


def convolution(op="CONV_2D", version=3, weights=None, bias=None, options=None, place=None):
    graph = Graph()
    weights = (weights or (lambda g: g.weights((4, 3, 3, 4), scales=4)))(graph)
    bias = (bias or (lambda g: g.tensor((4,), "int32", 4, [0] * 4)))(graph)
    x, y = graph.tensor(SAME), graph.tensor(SAME)
    return graph.add(op, [x, weights, bias], [y], version, options)


def dense(version=4, scales=1, shape=(1, 8), out=(1, 3), options=None):
    graph = Graph()
    x, y = graph.tensor(shape), graph.tensor(out)
    return graph.add("FULLY_CONNECTED", [x, graph.weights((3, 8), scales=scales), -1], [y], version, options)


def binary(op, version=2, other=SAME):
    graph = Graph()
    x, z, y = graph.tensor(SAME), graph.tensor(other), graph.tensor(SAME)
    return graph.add(op, [x, z], [y], version)


def concatenation(constants=(), activation=0, zero_point=0):
    graph = Graph()
    inputs = [graph.tensor(SAME)]
    for value in constants:
        inputs.append(graph.tensor(SAME, data=np.full(SAME, value), zero_point=zero_point))
    if not constants:
        inputs.append(graph.tensor(SAME))
    options = ("ConcatenationOptions", {"axis": 3, "fusedActivationFunction": activation})
    return graph.add("CONCATENATION", inputs, [graph.tensor((1, 8, 8, 4 * len(inputs)))], 2, options)


def strided_slice(strides=(1, 1, 1, 1), **masks):
    graph = Graph()
    x, y = graph.tensor(SAME), graph.tensor(SAME)
    index = [graph.ints(0, 0, 0, 0), graph.ints(1, 8, 8, 4), graph.ints(*strides)]
    return graph.add("STRIDED_SLICE", [x, *index], [y], 2, ("StridedSliceOptions", masks))


def split(axis):
    graph = Graph()
    index, x = graph.ints(axis), graph.tensor(SAME)
    return graph.add("SPLIT", [index, x], [graph.tensor((1, 8, 8, 2)), graph.tensor((1, 8, 8, 2))], 2)


def prelu(alpha):
    graph = Graph()
    x, y = graph.tensor(SAME), graph.tensor(SAME)
    return graph.add("PRELU", [x, graph.weights(alpha)], [y])


def pack(axis):
    graph = Graph()
    x, z, y = graph.tensor((8, 4)), graph.tensor((8, 4)), graph.tensor((8, 2, 4))
    return graph.add("PACK", [x, z], [y], 2, ("PackOptions", {"axis": axis, "valuesCount": 2}))


def lstm(batch=1, state="int16", op="UNIDIRECTIONAL_SEQUENCE_LSTM", time_major=False, bias="int32"):
    graph = Graph()
    x = graph.tensor((5, batch, 6) if time_major else (batch, 5, 6))
    weights = [graph.weights((3, 6)) for _ in range(4)] + [graph.weights((3, 3)) for _ in range(4)]
    biases = [graph.tensor((3,), bias, 1, [0] * 3) for _ in range(4)]
    states = [graph.tensor((batch, 3)), graph.tensor((batch, 3), state)]
    inputs = [x, *weights, -1, -1, -1, *biases, -1, -1, *states, -1, -1, -1, -1]
    options = ("UnidirectionalSequenceLSTMOptions", {"timeMajor": time_major})
    return graph.add(op, inputs, [graph.tensor((batch, 5, 3))], 1, options)


def transpose_conv(version=3):
    graph = Graph()
    inputs = [graph.ints(1, 16, 16, 4), graph.weights((4, 3, 3, 4)), graph.tensor(SAME)]
    return graph.add("TRANSPOSE_CONV", inputs, [graph.tensor((1, 16, 16, 4))], version)


def slice_():
    graph = Graph()
    inputs = [graph.tensor(SAME), graph.ints(0, 0, 0, 0), graph.ints(1, 4, 4, 4)]
    return graph.add("SLICE", inputs, [graph.tensor((1, 4, 4, 4))], 2)


def chain(*ops, kind="int8", first="int8"):
    """One unary operation after the other, named; the first tensor is the model's input."""
    graph = Graph()
    tensors = [graph.tensor(SAME, first)] + [
        graph.tensor(SAME, kind, name=f"out/{i}") for i in range(len(ops))
    ]
    graph.graphs[0].inputs = [tensors[0]]
    graph.graphs[0].outputs = [tensors[-1]]
    for i, op in enumerate(ops):
        graph.add(op, [tensors[i]], [tensors[i + 1]], 1)
    return graph


def whole() -> bytes:
    graph = convolution()
    y = graph.graphs[0].operators[0].outputs[0]
    graph.add("MEAN", [y, graph.ints(1, 2)], [graph.tensor((1, 4))], 2)
    graph.add("SOFTMAX", [len(graph.graphs[0].tensors) - 1], [graph.tensor((1, 4))], 2)
    return graph.pack()


WHOLE = whole()
