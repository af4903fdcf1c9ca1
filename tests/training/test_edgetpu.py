"""Where the graph is cut, what the real compiler mapped, and what the command says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from click.testing import CliRunner

from edge.errors import BundleError
from edge.inference.bundle import load_bundle, shipped_bundles
from tests.training.hand_made_tflite import SAME, TYPES, WHOLE, Graph, chain
from tools.cli import cli, main
from training.edgetpu import check_edgetpu


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
