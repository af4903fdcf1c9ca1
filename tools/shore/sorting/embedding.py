"""What a bundle's network sees in a vignette: the tensor that its last layer reads. Nothing is learnt.

The int8 model itself is run, with its output moved one operation forward, so that shore sees what the board
sees and TensorFlow is not needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.errors import BundleError
from edge.inference.bundle import Bundle
from edge.inference.classifier import describe_for
from edge.inference.engine import Engine
from edge.inference.litert import Kernels
from edge.inference.preprocessing import prepare

DENSE = 9
"""Number of FULLY_CONNECTED among the built-in operators."""
_OUTPUTS = 8
"""Where a subgraph's table has its outputs (the third of its fields; schema.fbs of TFLite)."""


class Embedder:
    """Turns vignettes into what the network's last layer reads.

    Parameters
    ----------
    bundle
        From `load_bundle`.
    kernels
        `xnnpack` (fast) or `reference` (the same everywhere, slow).

    Attributes
    ----------
    size
        Numbers an image, d.
    """

    def __init__(self, bundle: Bundle, kernels: Kernels = "xnnpack") -> None:
        self.bundle = bundle
        spec = bundle.preprocessing
        try:
            self._engine = Engine(embedding_model(bundle), spec.views, 1, kernels)
        except BundleError as error:
            raise BundleError(
                error.problem, file=bundle.path, field=error.field, remedy=error.remedy
            ) from error
        self.size = self._engine.model.n_outputs

    def totals(self, vignettes: Sequence[NDArray[np.uint8]]) -> NDArray[np.int16]:
        """Sums over all views, as the model gives them, of vignettes, uint8 (h, w) each: int16 (n, d)."""
        spec = self.bundle.preprocessing
        rows = [self._engine.total(prepare(one, spec), describe_for(self.bundle, one)) for one in vignettes]
        return np.array(rows, dtype=np.int16).reshape(len(rows), self.size)

    def values(self, totals: NDArray[np.int16]) -> NDArray[np.float32]:
        """What totals stand for, float32 (n, d)."""
        return self._engine.logits(totals.astype(np.int64)).astype(np.float32)


def embedding_model(bundle: Bundle) -> bytes:
    """The bundle's TFLite model with the input of its last dense layer as its output.

    Raises
    ------
    BundleError
        When the model does not end in a dense layer.
    """
    from ai_edge_litert import schema_py_generated as schema

    root = schema.Model.GetRootAs(bundle.model, 0)
    graph = root.Subgraphs(0)
    last = graph.Operators(graph.OperatorsLength() - 1)
    code = root.OperatorCodes(last.OpcodeIndex())
    is_dense = max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) == DENSE
    if not is_dense or graph.OutputsLength() != 1 or last.Outputs(0) != graph.Outputs(0):
        raise BundleError(
            "does not end in a dense layer: there is no embedding before it",
            file=bundle.path,
            field="model.tflite",
            remedy="use a bundle that `seston train` or `seston quantize` made",
        )
    moved = bytearray(bundle.model)
    place = graph._tab.Vector(graph._tab.Offset(_OUTPUTS))
    moved[place : place + 4] = int(last.Inputs(0)).to_bytes(4, "little")
    return bytes(moved)
