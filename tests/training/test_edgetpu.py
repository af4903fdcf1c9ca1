"""What would map to the Edge TPU: hand-made models for every rule, and what the real compiler mapped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import BundleError
from edge.inference.bundle import load_bundle, shipped_bundles
from tools.cli import cli, main
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


MAPS = {
    "ADD": lambda: binary("ADD"),
    "AVERAGE_POOL_2D": lambda: unary("AVERAGE_POOL_2D"),
    "CONCATENATION": concatenation,
    "CONCATENATION zeros": lambda: concatenation(constants=(0,)),
    "CONCATENATION zeros at -3": lambda: concatenation(constants=(-3,), zero_point=-3),
    "CONV_2D": convolution,
    "CONV_2D dilated": lambda: convolution(
        options=("Conv2DOptions", {"dilationWFactor": 2, "dilationHFactor": 2})
    ),
    "DEPTHWISE_CONV_2D": lambda: convolution("DEPTHWISE_CONV_2D"),
    "EXPAND_DIMS": lambda: with_index("EXPAND_DIMS", [1], (8, 4), (8, 1, 4), 1),
    "FULLY_CONNECTED": dense,
    "L2_NORMALIZATION": lambda: unary("L2_NORMALIZATION"),
    "LOGISTIC": lambda: unary("LOGISTIC"),
    "MAXIMUM": lambda: binary("MAXIMUM"),
    "MAX_POOL_2D": lambda: unary("MAX_POOL_2D"),
    "MEAN": lambda: with_index("MEAN", [1, 2], out=(1, 4)),
    "MEAN over channels": lambda: with_index("MEAN", [-1], out=(1, 8, 8)),
    "MINIMUM": lambda: binary("MINIMUM"),
    "MUL": lambda: binary("MUL"),
    "PACK": lambda: pack(1),
    "PAD": lambda: with_index("PAD", [0, 0, 1, 1, 1, 1, 0, 0], out=(1, 10, 10, 4)),
    "PRELU": lambda: prelu((1, 1, 4)),
    "QUANTIZE": lambda: unary("QUANTIZE", 1),
    "REDUCE_MAX": lambda: with_index("REDUCE_MAX", [1], out=(1, 8, 4)),
    "REDUCE_MIN": lambda: with_index("REDUCE_MIN", [1], out=(1, 8, 4)),
    "RELU": unary,
    "RELU uint8": lambda: unary(kind="uint8"),
    "RELU6": lambda: unary("RELU6"),
    "RELU_N1_TO_1": lambda: unary("RELU_N1_TO_1", 1),
    "RESHAPE": lambda: with_index("RESHAPE", [1, 256], out=(1, 256), version=1),
    "RESHAPE without a shape": lambda: unary("RESHAPE", 1, out=(1, 256)),
    "RESIZE_BILINEAR": lambda: with_index("RESIZE_BILINEAR", [16, 16], out=(1, 16, 16, 4)),
    "RESIZE_NEAREST_NEIGHBOR": lambda: with_index("RESIZE_NEAREST_NEIGHBOR", [16, 16], out=(1, 16, 16, 4)),
    "RSQRT": lambda: unary("RSQRT"),
    "SLICE": slice_,
    "SOFTMAX": lambda: unary("SOFTMAX", shape=(1, 16_000)),
    "SPACE_TO_DEPTH": lambda: unary("SPACE_TO_DEPTH", out=(1, 4, 4, 16)),
    "SPLIT": lambda: split(3),
    "SQUARED_DIFFERENCE": lambda: binary("SQUARED_DIFFERENCE"),
    "SQUEEZE": lambda: unary("SQUEEZE", 1, out=(8, 8, 4)),
    "STRIDED_SLICE": strided_slice,
    "SUB": lambda: binary("SUB"),
    "SUM": lambda: with_index("SUM", [1, 2], out=(1, 4)),
    "SUM over 6 channels": lambda: with_index("SUM", [3], (1, 8, 8, 6), (1, 8, 8)),
    "TANH": lambda: unary("TANH"),
    "TRANSPOSE": lambda: with_index("TRANSPOSE", [0, 2, 1, 3], kind="int64"),
    "TRANSPOSE_CONV": transpose_conv,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": lstm,
    "UNIDIRECTIONAL_SEQUENCE_LSTM time first": lambda: lstm(time_major=True),
    "five dimensions": lambda: unary(shape=(1, 1, 8, 8, 4)),
}


@pytest.mark.parametrize("name", MAPS)
def test_what_maps(name):
    graph = MAPS[name]()
    assert graph.reasons() == ()
    assert graph.check().on_cpu == ()


@pytest.mark.parametrize("name", [name for name in MAPS if name.isupper()])
def test_a_version_higher_than_the_highest_does_not_map(name):
    graph = MAPS[name]()
    highest = graph.model.operatorCodes[0].version
    graph.model.operatorCodes[0].version = highest + 1
    (reason,) = graph.reasons()
    assert reason == f"version {highest + 1} of the operation, {highest} is the highest that maps"


STAYS = {
    "unknown": (lambda: unary("SIN", 1), "not an operation of the Edge TPU"),
    "hard swish": (lambda: unary("HARD_SWISH", 1), "not an operation of the Edge TPU"),
    "dequantize": (lambda: unary("DEQUANTIZE", 2), "not an operation of the Edge TPU"),
    "two LSTMs": (
        lambda: lstm(op="BIDIRECTIONAL_SEQUENCE_LSTM"),
        "not an operation of the Edge TPU",
    ),
    "float input": (lambda: unary(kind="float32"), "input is FLOAT32, not INT8 or UINT8"),
    "16 bits": (lambda: unary(kind="int16"), "output is INT16, not INT8 or UINT8"),
    "no scale": (lambda: unary(scales=0), "input does not have one scale and zero point"),
    "a scale per channel": (lambda: unary(scales=4), "output does not have one scale and zero point"),
    "batch of 2": (lambda: unary(shape=(2, 8, 8, 4)), "input has a batch of 2, only 1 maps"),
    "dynamic": (
        lambda: unary(signature=[-1, 8, 8, 4]),
        "output has no constant shape",
    ),
    "dynamic 1": (lambda: unary(shape=(1, -1, 8, 4)), "input has no constant shape"),
    "no shape": (lambda: unary(shape=(), out=()), "input has no constant shape"),
    "six dimensions": (
        lambda: unary(shape=(1, 1, 1, 8, 8, 4)),
        "input has 6 dimensions, at most 5 map",
    ),
    "four above 1": (
        lambda: unary(shape=(1, 2, 8, 8, 4)),
        "input is 1 x 2 x 8 x 8 x 4, only the innermost three dimensions may be above 1",
    ),
    "second input": (lambda: binary("ADD", other=(2, 8, 8, 4)), "input has a batch of 2, only 1 maps"),
    "dilation": (
        lambda: convolution(options=("Conv2DOptions", {"dilationWFactor": 2, "dilationHFactor": 1})),
        "dilation is 2 in x and 1 in y, only the same in both maps",
    ),
    "depthwise dilation": (
        lambda: convolution(
            "DEPTHWISE_CONV_2D",
            options=("DepthwiseConv2DOptions", {"dilationWFactor": 1, "dilationHFactor": 3}),
        ),
        "dilation is 1 in x and 3 in y, only the same in both maps",
    ),
    "weights from elsewhere": (
        lambda: convolution(weights=lambda g: g.tensor((4, 3, 3, 4), scales=4)),
        "weights not constant when the model is compiled",
    ),
    "float weights": (
        lambda: convolution(weights=lambda g: g.weights((4, 3, 3, 4), "float32")),
        "weights of type FLOAT32, not INT8 or UINT8",
    ),
    "weights without scale": (
        lambda: convolution(weights=lambda g: g.weights((4, 3, 3, 4), scales=0)),
        "weights without scale and zero point",
    ),
    "bias from elsewhere": (
        lambda: convolution(bias=lambda g: g.tensor((4,), "int32", 4)),
        "bias not constant when the model is compiled",
    ),
    "float bias": (
        lambda: convolution(bias=lambda g: g.tensor((4,), "float32", 0, [0] * 4)),
        "bias of type FLOAT32, not INT32",
    ),
    "pool with activation": (
        lambda: unary("MAX_POOL_2D", options=("Pool2DOptions", {"fusedActivationFunction": 1})),
        "has a fused activation",
    ),
    "average with activation": (
        lambda: unary("AVERAGE_POOL_2D", options=("Pool2DOptions", {"fusedActivationFunction": 3})),
        "has a fused activation",
    ),
    "concatenation with activation": (lambda: concatenation(activation=1), "has a fused activation"),
    "concatenation with a constant": (
        lambda: concatenation(constants=(1,)),
        "a constant input maps only when it is all zeros and one of two",
    ),
    "concatenation with zeros twice": (
        lambda: concatenation(constants=(0, 0)),
        "a constant input maps only when it is all zeros and one of two",
    ),
    "shuffled weights": (
        lambda: dense(options=("FullyConnectedOptions", {"weightsFormat": 1})),
        "weights are not in the default format",
    ),
    "dense of two rows": (
        lambda: dense(shape=(2, 8), out=(2, 3)),
        "output is 2 x 3, only one dimension may be above 1",
    ),
    "softmax of two rows": (
        lambda: unary("SOFTMAX", shape=(2, 8)),
        "input is 2 x 8, only one dimension may be above 1",
    ),
    "softmax of many": (
        lambda: unary("SOFTMAX", shape=(1, 16_001)),
        "input has 16001 elements, at most 16000 map",
    ),
    "mean of the batch": (lambda: with_index("MEAN", [0, 1, 2]), "reduces the batch dimension"),
    "mean of the batch from the end": (lambda: with_index("MEAN", [-4]), "reduces the batch dimension"),
    "mean of 6 channels": (
        lambda: with_index("MEAN", [3], (1, 8, 8, 6), (1, 8, 8)),
        "reduces 6 channels, only a multiple of 4 maps",
    ),
    "sum of the batch": (lambda: with_index("SUM", [0]), "reduces the batch dimension"),
    "maximum of the batch": (lambda: with_index("REDUCE_MAX", [0]), "reduces the batch dimension"),
    "minimum of the batch": (lambda: with_index("REDUCE_MIN", [0]), "reduces the batch dimension"),
    "pack of the batch": (lambda: pack(-3), "packs in the batch dimension"),
    "pad of the batch": (
        lambda: with_index("PAD", [0, 1, 0, 0, 0, 0, 0, 0]),
        "pads the batch dimension",
    ),
    "split of the batch": (lambda: split(0), "splits the batch dimension"),
    "slope per pixel": (lambda: prelu((8, 8, 4)), "alpha is 8 x 8 x 4, only one a channel maps"),
    "stride 2": (lambda: strided_slice((1, 2, 1, 1)), "strides are not all 1"),
    "ellipsis": (lambda: strided_slice(ellipsisMask=1), "has an ellipsis or a new axis"),
    "new axis": (lambda: strided_slice(newAxisMask=2), "has an ellipsis or a new axis"),
    "two sequences": (lambda: lstm(batch=2), "input has a batch of 2, only 1 maps"),
    "two sequences, time first": (
        lambda: lstm(batch=2, time_major=True),
        "input has a batch of 2, only 1 maps",
    ),
    "float state": (lambda: lstm(state="float32"), "state of type FLOAT32, not INT8 or INT16"),
    "float bias of an LSTM": (lambda: lstm(bias="float32"), "bias of type FLOAT32, not INT32"),
}


@pytest.mark.parametrize("name", STAYS)
def test_what_stays_on_the_cpu(name):
    build, reason = STAYS[name]
    assert reason in build().reasons()


@pytest.mark.parametrize("op", ["MEAN", "PAD", "TRANSPOSE", "RESIZE_BILINEAR"])
def test_axes_and_sizes_must_be_constant_integers(op):
    graph = Graph()
    x, index, y = graph.tensor(SAME), graph.tensor((2,), "int32", 0), graph.tensor(SAME)
    graph.add(op, [x, index], [y], 2)
    assert graph.reasons() == ("axes or sizes not constant when the model is compiled",)
    graph.graphs[0].tensors[index].type = TYPES["int8"]
    assert graph.reasons()[0] == "axes or sizes of type INT8, not INT32 or INT64"


def test_what_is_missing_is_a_reason():
    graph = convolution()
    graph.graphs[0].operators[0].inputs = [2]
    assert graph.reasons() == ("an input or output is missing",)
    graph.graphs[0].operators[0].inputs = [2, -1, -1]
    assert graph.reasons() == ("an input or output is missing",)
    graph = unary()
    graph.graphs[0].operators[0].outputs = []
    assert graph.check().operations[0].reasons == ("an input or output is missing",)
    assert graph.check().operations[0].output == ""


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


def test_the_graph_is_cut_at_the_first_operation_that_does_not_map():
    verdict = chain("RELU", "SIN", "RELU", "COS", "RELU").check()
    assert [operation.reasons for operation in verdict.operations] == [
        (),
        ("not an operation of the Edge TPU",),
        ("after operation 1",),
        ("not an operation of the Edge TPU", "after operation 1"),
        ("after operation 1",),
    ]
    assert [operation.index for operation in verdict.on_cpu] == [1, 2, 3, 4]
    assert [operation.op for operation in verdict.on_cpu] == ["SIN", "RELU", "COS", "RELU"]
    assert [operation.output for operation in verdict.on_cpu] == ["out/1", "out/2", "out/3", "out/4"]


def test_nothing_maps_after_a_first_operation_that_does_not():
    assert len(chain("SIN", "RELU", "RELU").check().on_cpu) == 3


def test_quantizing_a_float_input_stays_on_the_cpu_but_does_not_cut():
    verdict = chain("QUANTIZE", "RELU", "DEQUANTIZE", first="float32").check()
    assert [operation.index for operation in verdict.on_cpu] == [0, 2]
    assert verdict.operations[0].reasons == ("input is FLOAT32, not INT8 or UINT8",)


def test_quantizing_floats_in_the_middle_cuts():
    graph = chain("RELU", "QUANTIZE", "RELU")
    graph.graphs[0].tensors[1].type = TYPES["float32"]
    assert [operation.index for operation in graph.check().on_cpu] == [0, 1, 2]
    assert graph.reasons(2) == ("after operation 0",)
    graph = chain("TANH", "QUANTIZE", "RELU", first="float32")
    graph.graphs[0].tensors[1].type = TYPES["float32"]
    assert graph.reasons(2) == ("after operation 0",)
    graph = chain("RELU")
    constant, y, z = (
        graph.tensor(SAME, "float32", data=np.zeros(SAME)),
        graph.tensor(SAME),
        graph.tensor(SAME),
    )
    graph.add("QUANTIZE", [constant], [y]).add("ADD", [1, y], [z])
    assert graph.reasons(2) == ("after operation 1",)


def test_a_variable_is_no_constant():
    graph = convolution()
    graph.graphs[0].tensors[0].isVariable = True
    assert graph.reasons() == ("weights not constant when the model is compiled",)


def test_custom_operations_and_operations_of_other_graphs_do_not_map():
    graph = Graph()
    x, y = graph.tensor(SAME), graph.tensor(SAME)
    graph.add("CUSTOM", [x], [y], custom="Mine\x1b[2J")
    graph.graph()
    x, y = graph.tensor(SAME), graph.tensor(SAME)
    graph.add("RELU", [x], [y], 2)
    custom, inner = graph.check().operations
    assert custom.op == "CUSTOM Mine?[2J"
    assert custom.reasons == ("not an operation of the Edge TPU",)
    assert (inner.graph, inner.index, inner.reasons) == (1, 0, ("outside the main graph",))


def test_what_may_go_wrong_is_a_warning_and_no_reason():
    verdict = dense(scales=3).check()
    assert verdict.on_cpu == ()
    assert verdict.warnings == (
        "operation 0, FULLY_CONNECTED: weights have a scale per channel, which old compilers do not take",
    )
    assert dense().check().warnings == ()
    assert convolution().check().warnings == ()
    (resize,) = MAPS["RESIZE_BILINEAR"]().check().warnings
    assert "may stay on the CPU for its size" in resize
    verdict = with_index("MEAN", [1, 2], (1, 8, 8, 6), (1, 6)).check()
    assert verdict.on_cpu == ()
    assert "6 channels" in verdict.warnings[0]
    assert MAPS["MEAN"]().check().warnings == ()


def test_a_model_that_was_compiled_already_is_refused():
    graph = Graph()
    x, y = graph.tensor(SAME), graph.tensor(SAME)
    graph.add("CUSTOM", [x], [y], custom="edgetpu-custom-op")
    with pytest.raises(BundleError, match="was compiled for the Edge TPU already"):
        graph.check()


def test_an_empty_model_and_foreign_bytes_are_refused():
    with pytest.raises(BundleError, match="holds no operation"):
        Graph().check()
    with pytest.raises(BundleError, match="is not a TFLite model"):
        check_edgetpu(b"", "x.tflite")
    with pytest.raises(BundleError, match=r"^x\.tflite: is not a TFLite model"):
        check_edgetpu(b"PK\x03\x04" + bytes(100), "x.tflite")


def test_places_that_are_not_there_are_refused():
    graph = unary()
    graph.graphs[0].operators[0].inputs = [7]
    with pytest.raises(BundleError, match="there is no 7 among its tensors"):
        graph.check()
    graph = unary()
    graph.graphs[0].tensors[0].buffer = 9
    with pytest.raises(BundleError, match="there is no 9 among its buffers"):
        graph.check()


class Shared:
    """A table that is written once and pointed to from many places."""

    def __init__(self, table):
        self.table, self.place = table, None

    def Pack(self, builder):  # noqa: N802 (flatbuffers calls it)
        self.place = self.place or self.table.Pack(builder)
        return self.place


def test_parts_that_overlap_are_refused():
    """Ten thousand operations that are all the same one, of a thousand inputs, would take long."""
    graph = Graph()
    x, y = graph.tensor((8, 4)), graph.tensor((8, 1000, 4))
    graph.add("PACK", [x] * 1000, [y], 2, ("PackOptions", {"axis": 1}))
    assert graph.check().on_cpu == ()
    graph.graphs[0].operators = [Shared(graph.graphs[0].operators[0])] * 10_000
    with pytest.raises(BundleError, match="its parts overlap"):
        graph.check()


def whole() -> bytes:
    graph = convolution()
    y = graph.graphs[0].operators[0].outputs[0]
    graph.add("MEAN", [y, graph.ints(1, 2)], [graph.tensor((1, 4))], 2)
    graph.add("SOFTMAX", [len(graph.graphs[0].tensors) - 1], [graph.tensor((1, 4))], 2)
    return graph.pack()


WHOLE = whole()


def answers(model: bytes) -> None:
    """A verdict or one sentence; anything else is a fault of ours."""
    said = ""
    try:
        said = f"x.tflite: {len(check_edgetpu(model, 'x.tflite').operations)} operations"
    except BundleError as error:
        said = str(error)
    assert said.startswith("x.tflite: ")
    assert not said.startswith("x.tflite: 0")
    assert "\n" not in said


def test_the_whole_model_maps():
    assert check_edgetpu(WHOLE).on_cpu == ()


@given(st.integers(0, len(WHOLE) - 1))
def test_a_truncated_model_never_breaks_it(length):
    answers(WHOLE[:length])


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_changed_bytes_never_break_it(changes):
    model = bytearray(WHOLE)
    for place, value in changes:
        model[place] = value
    answers(bytes(model))


@given(st.binary(max_size=300))
def test_random_bytes_never_break_it(data):
    answers(data[:4] + b"TFL3" + data[4:])


@given(st.integers(0, len(WHOLE) // 4 - 1), st.sampled_from([0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1]))
def test_extreme_numbers_never_break_it(word, value):
    model = bytearray(WHOLE)
    model[4 * word : 4 * word + 4] = value.to_bytes(4, "little")
    model[4:8] = b"TFL3"
    answers(bytes(model))


@pytest.mark.parametrize("name", shipped_bundles())
def test_the_shipped_models_map(name):
    verdict = check_edgetpu(load_bundle(name).model, name)
    assert verdict.on_cpu == ()
    assert len(verdict.operations) > 10


def left_by_the_compiler(compiled: bytes) -> set[str]:
    """Output names of the operations that the real compiler left on the CPU."""
    model = schema.ModelT.InitFromPackedBuf(compiled, 0)
    (graph,) = model.subgraphs
    codes = [(model.operatorCodes[operator.opcodeIndex].customCode, operator) for operator in graph.operators]
    assert any(code == b"edgetpu-custom-op" for code, _ in codes)
    return {
        graph.tensors[operator.outputs[0]].name.decode()
        for code, operator in codes
        if code != b"edgetpu-custom-op"
    }


@pytest.mark.parametrize("name", ["keras_lstm_mnist_ptq", "mobilenet_v1_0.25_128_quant"])
def test_the_verdict_is_that_of_the_compiler(shared, name):
    folder = shared / "data" / "edgetpu_pairs"
    verdict = check_edgetpu((folder / f"{name}.tflite").read_bytes())
    left = left_by_the_compiler((folder / f"{name}_edgetpu.tflite").read_bytes())
    assert {operation.output for operation in verdict.on_cpu} == left
    assert len(verdict.operations) >= 6


def test_another_model_of_coral_maps(shared):
    model = shared / "data" / "edgetpu_pairs" / "tf2_mobilenet_v2_1.0_224_ptq.tflite"
    verdict = check_edgetpu(model.read_bytes())
    assert len(verdict.operations) == 68
    assert verdict.on_cpu == ()


def test_it_imports_no_tensorflow():
    code = (
        "import sys, training.edgetpu; "
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'jax', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def no_compiler(monkeypatch, tmp_path):
    """A PATH without edgetpu_compiler."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


def run(*args):
    return CliRunner().invoke(cli, ["bundle", "edgetpu-check", *map(str, args)])


def sentence(capsys, *args):
    with pytest.raises(SystemExit) as caught:
        main(["bundle", "edgetpu-check", *map(str, args)])
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert err.count("\n") == 1
    return out, err


@pytest.fixture
def good(tmp_path):
    file = tmp_path / "good.tflite"
    file.write_bytes(WHOLE)
    return file


@pytest.fixture
def bad(tmp_path):
    file = tmp_path / "bad.tflite"
    file.write_bytes(chain("RELU", "SIN", "RELU").pack())
    return file


def test_the_command_says_that_all_maps(no_compiler, good):
    result = run(good)
    assert result.exit_code == 0
    assert "CONV_2D" in result.stdout
    assert "edgetpu_compiler is not installed" in result.stdout


def test_the_command_names_every_operation_and_ends_with_2(no_compiler, bad, capsys):
    out, err = sentence(capsys, bad)
    assert "operation 1, SIN, output 'out/1': not an operation of the Edge TPU" in out
    assert "operation 2, RELU, output 'out/2': after operation 1" in out
    assert "2 of 3 operations would stay on the CPU, the first is operation 1, SIN" in err


def test_the_command_gives_json(no_compiler, good, bad, capsys):
    plain = json.loads(run(good, "--json").stdout)
    assert plain["maps"] is True
    assert plain["compiler"] is None
    assert [operation["op"] for operation in plain["operations"]] == ["CONV_2D", "MEAN", "SOFTMAX"]
    out, _ = sentence(capsys, bad, "--json")
    plain = json.loads(out)
    assert plain["maps"] is False
    assert plain["operations"][2]["reasons"] == ["after operation 1"]


def test_the_command_says_what_it_cannot_read(no_compiler, tmp_path, capsys):
    assert "is not there" in sentence(capsys, tmp_path / "x.tflite")[1]
    assert "shipped bundle" in sentence(capsys, "dmeo")[1]
    (tmp_path / "x.tflite").write_bytes(WHOLE[: len(WHOLE) // 2])
    assert "is truncated or damaged" in sentence(capsys, tmp_path / "x.tflite")[1]
    (tmp_path / "d.tflite").mkdir()
    assert "cannot be read" in sentence(capsys, tmp_path / "d.tflite")[1]


def fake_compiler(folder: Path, text: str, code: int = 0) -> None:
    """A program in the place of the compiler, which checks that it is given a model and says `text`."""
    program = folder / "edgetpu_compiler"
    program.write_text(
        f"#!{sys.executable}\nimport sys\n"
        "assert open(sys.argv[-1], 'rb').read()[4:8] == b'TFL3'\n"
        f"print({text!r})\nsys.exit({code})\n"
    )
    program.chmod(0o755)


LOG = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.
Number of Edge TPU subgraphs: 1
Total number of operations: 3
Operator                       Count      Status

CONV_2D                        1          Mapped to Edge TPU
MEAN                           1          Mapped to Edge TPU
SOFTMAX                        1          {}
Compilation succeeded!
"""


def test_the_compilers_verdict_stands_beside_ours(no_compiler, good):
    fake_compiler(no_compiler, LOG.format("Mapped to Edge TPU"))
    result = run(good)
    assert result.exit_code == 0
    assert "edgetpu_compiler 16.0.384591198: 3 on the Edge TPU, 0 on the CPU; here: 3 and 0" in result.stdout
    assert "SOFTMAX, 1: Mapped to Edge TPU" in result.stdout
    compiler = json.loads(run(good, "--json").stdout)["compiler"]
    assert (compiler["version"], compiler["mapped"], compiler["on_cpu"]) == ("16.0.384591198", 3, 0)


def test_the_compilers_word_counts(no_compiler, good, capsys):
    fake_compiler(no_compiler, LOG.format("More than one subgraph is not supported"))
    out, err = sentence(capsys, good)
    assert "2 on the Edge TPU, 1 on the CPU; here: 3 and 0" in out
    assert "edgetpu_compiler leaves 1 on the CPU" in err
    fake_compiler(no_compiler, "Edge TPU Compiler version 16.0\nInvalid model\nModel not quantized", 1)
    out, err = sentence(capsys, good)
    assert "refuses the model" in out
    assert "Model not quantized" in out
    assert "edgetpu_compiler refuses the model" in err


def test_a_compiler_that_cannot_run_decides_nothing(no_compiler, good):
    program = no_compiler / "edgetpu_compiler"
    program.write_text("no program")
    program.chmod(0o755)
    result = run(good)
    assert result.exit_code == 0
    assert "gave no answer" in result.stdout
