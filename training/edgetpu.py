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

from dataclasses import dataclass
from os import PathLike

from edge.errors import BundleError
from edge.inference.bundle import Bundle, pack_bundle
from edge.inference.edgetpu_model import CUSTOM_OP, is_compiled
from edge.inference.litert import interface_of
from training.edgetpu_rules import own_reasons, own_warnings
from training.tflite_nodes import DAMAGE, NonsenseError, read_nodes

_COMPILED = f"CUSTOM {CUSTOM_OP}"


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
        nodes = read_nodes(model)
    except DAMAGE as cause:
        why = f": {cause}" if isinstance(cause, NonsenseError) else ""
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
        own = list(own_reasons(node))
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
        warnings += [f"operation {node.index}, {node.op}: {text}" for text in own_warnings(node)]
    return Verdict(tuple(operations), tuple(warnings))


def with_compiled(
    bundle: Bundle, compiled: bytes, file: str | PathLike[str] = "model_edgetpu.tflite"
) -> bytes:
    """The bundle with its model as the Edge TPU compiler made it, beside the one for the processor.

    Raises
    ------
    BundleError
        When that is not compiled, or has other inputs or outputs than the bundle's model. What it computes
        is known where there is an Edge TPU: the goldens are run at each start.
    """
    if not is_compiled(compiled):
        remedy = "give what edgetpu_compiler writes: a file that ends in _edgetpu.tflite"
        raise BundleError("is not compiled for the Edge TPU", file=file, remedy=remedy)
    if interface_of(compiled) != interface_of(bundle.model):
        raise BundleError(
            f"has other inputs or outputs than the model of {bundle.name}",
            file=file,
            remedy="compile that model: it is the member model.tflite of the bundle, a zip",
        )
    return pack_bundle(
        bundle.manifest, bundle.model, bundle.golden_inputs, bundle.golden_outputs,
        tuple(bundle.training_hashes), bundle.card, bundle.run, compiled,
    )  # fmt: skip
