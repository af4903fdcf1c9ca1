"""What maps to the Edge TPU and what does not, by a hand-made model for every rule."""

from __future__ import annotations

import pytest

from tests.training.hand_made_tflite import (
    SAME,
    TYPES,
    Graph,
    binary,
    concatenation,
    convolution,
    dense,
    lstm,
    pack,
    prelu,
    slice_,
    split,
    strided_slice,
    transpose_conv,
    unary,
    with_index,
)

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


def test_a_variable_is_no_constant():
    graph = convolution()
    graph.graphs[0].tensors[0].isVariable = True
    assert graph.reasons() == ("weights not constant when the model is compiled",)


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
