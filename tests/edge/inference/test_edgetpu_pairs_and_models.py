"""What is on record of library and runtime, and what a model says of the Edge TPU it wants."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import BundleError
from edge.inference.bundle import load_bundle
from edge.inference.edgetpu_model import CUSTOM_OP, is_compiled, runtime_asked
from edge.inference.edgetpu_pairs import LIBRARY_PIN, LITERT, RUNTIME_PIN, TFLITE, installed_runtime, judge
from edge.inference.litert import Int8Model, interface_of
from tests.edge.inference.made_libraries import GOOGLES, NEWER, OLD

pytestmark = pytest.mark.board
NAME = struct.pack("<I", len(CUSTOM_OP)) + CUSTOM_OP.encode() + b"\0"


@pytest.mark.parametrize(
    ("package", "said", "runtime", "works"),
    [
        (LIBRARY_PIN, NEWER, (LITERT, RUNTIME_PIN), True),
        (LIBRARY_PIN, NEWER, (LITERT, "2.3.0"), None),
        (LIBRARY_PIN, NEWER, (LITERT, "2.2.0rc1"), True),
        ("16.0tf2.17.1-1", NEWER, (LITERT, "2.2.0"), None),
        ("16.0tf2.17.1-1", NEWER, (TFLITE, "2.14.0"), True),
        ("16.0tf2.15.0-1", NEWER, (TFLITE, "2.17.0"), None),
        ("16.0", GOOGLES, (TFLITE, "2.5.0.post1"), True),
        ("16.0", GOOGLES, (TFLITE, "2.14.0"), False),
        ("16.0", GOOGLES, (LITERT, "2.2.0"), False),
        ("15.0", OLD, (LITERT, "2.2.0"), False),
        (None, GOOGLES, (LITERT, "2.3.0"), False),
        (None, OLD, (LITERT, "2.3.0"), False),
        (None, NEWER, (LITERT, "2.2.0"), None),
        (None, None, (LITERT, "2.2.0"), None),
        (LIBRARY_PIN, NEWER, ("tensorflow", "2.19.1"), None),
    ],
)
def test_a_pair_is_judged_by_the_record_alone(package, said, runtime, works):
    found = judge(package, said, runtime)
    assert found.works is works
    assert " ".join(runtime) in found.sentence


def test_the_runtime_that_is_installed_is_named():
    name, version = installed_runtime()
    assert name in (LITERT, TFLITE, "tensorflow", "tensorflow-cpu")
    assert version[0].isdigit()


def package(least):
    """The head of what an operation of the Edge TPU holds: a flatbuffer whose first field is a version."""
    vtable, root = struct.pack("<3H", 6, 8, 4) + b"\0\0", struct.pack("<ii", 8, least)
    return struct.pack("<I", 16) + b"DWN1" + vtable + root


def test_a_compiled_model_is_told_and_what_it_asks_for():
    model = load_bundle("demo").model
    assert not is_compiled(model)
    assert runtime_asked(model) is None
    assert is_compiled(model + NAME)
    assert runtime_asked(model + NAME + package(14)) == 14
    assert runtime_asked(package(12) + package(13)) == 13
    assert runtime_asked(package(-5)) is None


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_damage_around_it_is_no_error(before, after):
    assert runtime_asked(before + b"DWN1" + after) is None or runtime_asked(before + b"DWN1" + after) > 0
    assert is_compiled(before + NAME + after)


@pytest.mark.parametrize("name", ["keras_lstm_mnist_ptq", "mobilenet_v1_0.25_128_quant"])
def test_models_of_the_real_compiler(shared, name):
    folder = shared / "data" / "edgetpu_pairs"
    plain, compiled = ((folder / f"{name}{end}.tflite").read_bytes() for end in ("", "_edgetpu"))
    assert (is_compiled(plain), is_compiled(compiled)) == (False, True)
    assert (runtime_asked(plain), runtime_asked(compiled)) == (None, 12)
    assert interface_of(plain) == interface_of(compiled)
    with pytest.raises(BundleError, match="compiled for an Edge TPU, which is not used here"):
        Int8Model(compiled)
