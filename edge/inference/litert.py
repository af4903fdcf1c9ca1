"""One int8 TFLite model on the CPU, behind whichever runtime is installed.

In order of preference: ai_edge_litert, tflite_runtime, tensorflow.lite. Quantized integers in and out; what
they mean is the classifier's business.
"""

from __future__ import annotations

import ctypes
import importlib
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge.errors import BundleError
from edge.inference.edgetpu_library import find
from edge.inference.edgetpu_model import is_compiled

Kernels = Literal["xnnpack", "reference"]
"""`reference` gives the same integers on every processor, slowly; `xnnpack` is fast, and processors differ by
one unit at most. The two differ from each other by more, since each layer rounds in its own way."""

_LOOK = "see what `seston selftest --accelerator` says, or leave the key out"
RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter", "tensorflow.lite.python.interpreter")


def runtime() -> ModuleType:
    """The first runtime that can be imported.

    Raises
    ------
    BundleError
        When there is none.
    """
    for name in RUNTIMES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise BundleError("no TFLite runtime is installed", remedy="install ai-edge-litert")


class Int8Model:
    """A loaded model: int8 picture (1, side, side, 1), perhaps numbers (1, n); int8 outputs (1, k).

    Parameters
    ----------
    model
        The TFLite flatbuffer.
    threads
        Threads of the runtime.
    kernels
        Which kernels compute.
    delegate
        Library of an accelerator, such as `libedgetpu.so.1`: a path, or a name that is looked for as
        `edge.inference.edgetpu_library.find` does; None is the processor alone.

    Attributes
    ----------
    side_px, n_outputs
        Side of the input and number of outputs.
    n_numbers
        Width of the second input; 0 when there is none.
    input_scale, input_zero_point, output_scale, output_zero_point
        Quantization: value = scale * (integer - zero point); that of the numbers is the picture's.

    Raises
    ------
    BundleError
        When the runtime refuses the model or its input or output is of another kind.
    """

    def __init__(
        self,
        model: bytes,
        threads: int = 1,
        kernels: Kernels = "xnnpack",
        delegate: str | None = None,
    ) -> None:
        module: Any = runtime()
        if delegate is None and is_compiled(model):
            raise BundleError(
                "was compiled for an Edge TPU, which is not used here, and the processor cannot run it",
                field="model.tflite",
                remedy="give the model that it was compiled from",
            )
        resolver = getattr(module, "OpResolverType")  # noqa: B009
        try:
            self._interpreter = module.Interpreter(
                model_content=model,
                num_threads=threads,
                experimental_op_resolver_type=(
                    resolver.BUILTIN_REF if kernels == "reference" else resolver.AUTO
                ),
                experimental_delegates=None if delegate is None else [_load_delegate(module, delegate)],
            )
            self._interpreter.allocate_tensors()
            inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        except (ValueError, RuntimeError) as cause:
            remedy = "export it again" if delegate is None else _LOOK
            raise BundleError(
                f"the runtime refuses it ({str(cause).strip()})", field="model.tflite", remedy=remedy
            ) from cause
        if len(inputs) not in (1, 2) or len(outputs) != 1:
            raise _foreign(
                f"has {len(inputs)} inputs and {len(outputs)} outputs, one or two and one were expected"
            )
        source, sink = max(inputs, key=lambda detail: len(detail["shape"])), outputs[0]
        numbers = next((detail for detail in inputs if detail is not source), None)
        shape, out_shape = tuple(source["shape"]), tuple(sink["shape"])
        if any(detail["dtype"] != np.int8 for detail in (*inputs, sink)):
            raise _foreign("is not int8 in and out")
        if len(shape) != 4 or shape[0] != 1 or shape[1] != shape[2] or shape[3] != 1:
            raise _foreign(f"has an input of shape {shape}, (1, side, side, 1) was expected")
        if len(out_shape) != 2 or out_shape[0] != 1:
            raise _foreign(f"has an output of shape {out_shape}, (1, labels) was expected")
        self.side_px, self.n_outputs = int(shape[1]), int(out_shape[1])
        self.input_scale, self.input_zero_point = _quantization(source)
        self.output_scale, self.output_zero_point = _quantization(sink)
        self._input, self._output = int(source["index"]), int(sink["index"])
        self.n_numbers = 0
        if numbers is not None:
            if len(numbers["shape"]) != 2 or numbers["shape"][0] != 1:
                raise _foreign(f"has a second input of shape {tuple(numbers['shape'])}, (1, n) was expected")
            if _quantization(numbers) != (self.input_scale, self.input_zero_point):
                raise _foreign("has two inputs of different scales")
            self.n_numbers, self._numbers = int(numbers["shape"][1]), int(numbers["index"])

    def run(self, values: NDArray[np.int8], numbers: NDArray[np.int8] | None = None) -> NDArray[np.int8]:
        """Outputs, int8 (k,), for one picture, int8 (1, side, side, 1), and its numbers, int8 (1, n)."""
        self._interpreter.set_tensor(self._input, values)
        if numbers is not None:
            self._interpreter.set_tensor(self._numbers, numbers)
        self._interpreter.invoke()
        out: NDArray[np.int8] = self._interpreter.get_tensor(self._output)[0]
        return out


def interface_of(model: bytes) -> list[tuple[tuple[int, ...], str, tuple[float, int]]]:
    """Shape, kind and quantization of every input, then output; also of a model that cannot run here.

    Raises
    ------
    BundleError
        When the runtime refuses it.
    """
    module: Any = runtime()
    try:
        read = module.Interpreter(model_content=model)
        details = (*read.get_input_details(), *read.get_output_details())
    except (ValueError, RuntimeError) as cause:
        raise BundleError(
            f"the runtime refuses it ({str(cause).strip()})", field="model.tflite", remedy="export it again"
        ) from cause
    return [
        (tuple(map(int, one["shape"])), np.dtype(one["dtype"]).name, one["quantization"]) for one in details
    ]


def _load_delegate(module: Any, library: str) -> Any:
    """An accelerator's delegate.

    A missing library is an OSError and a wrong one an AttributeError, found here before the runtime does,
    whose half-made object complains; without its device it is a ValueError, as documented. All three mean
    that there is no accelerator.
    """
    found = find(library)
    file = library if found is None else str(found.file)
    try:
        getattr(ctypes.CDLL(file), "tflite_plugin_create_delegate")  # noqa: B009
        return module.load_delegate(file)
    except OSError as cause:
        why = f"its library is not there or cannot be loaded: {cause}"
    except AttributeError as cause:
        why = f"its library is no accelerator's: {cause}"
    except ValueError as cause:
        why = f"its library finds no device that it may use: {' '.join(str(cause).split())}"
    raise BundleError(
        f"the accelerator of {library} cannot be used ({why})", field="classify.accelerator", remedy=_LOOK
    )


def _quantization(detail: dict[str, Any]) -> tuple[float, int]:
    scale, zero_point = detail["quantization"]
    if not scale > 0:
        raise _foreign("has an input or output without a scale")
    return float(scale), int(zero_point)


def _foreign(problem: str) -> BundleError:
    return BundleError(problem, field="model.tflite", remedy="export it again with `seston train`")
