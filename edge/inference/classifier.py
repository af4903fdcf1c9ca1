"""Vignettes in, calibrated probabilities out, by a bundle that has proven itself on this very machine.

The goldens are run through preprocessing and model before anything else: a board that computes something else
must not count. Decisions are the bundle's (`Bundle.decide`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.errors import BundleError
from edge.inference.bundle import Bundle
from edge.inference.litert import Int8Model, Kernels
from edge.inference.preprocessing import prepare

TOLERANCE: dict[Kernels, int] = {"reference": 0, "xnnpack": 1}
"""Largest difference from the golden outputs of the same kernels, in units of the int8 output."""


class Classifier:
    """The model of a bundle, ready to run.

    Parameters
    ----------
    bundle
        From `load_bundle`.
    threads
        Threads of the runtime.
    kernels
        `xnnpack` (fast) or `reference` (the same everywhere, slow).

    Raises
    ------
    BundleError
        When the model does not fit the bundle or the goldens are not reproduced.

    Examples
    --------
    >>> from edge.inference.bundle import load_bundle
    >>> bundle = load_bundle("demo")
    >>> scores = Classifier(bundle).scores(bundle.golden_inputs)
    >>> scores.shape == (len(bundle.golden_inputs), len(bundle.taxa))
    True
    """

    def __init__(self, bundle: Bundle, threads: int = 1, kernels: Kernels = "xnnpack") -> None:
        self.bundle = bundle
        self.kernels = kernels
        try:
            self._model = Int8Model(bundle.model, threads, kernels)
        except BundleError as error:
            raise BundleError(
                error.problem, file=bundle.path, field=error.field, remedy=error.remedy
            ) from error
        for what, got, wanted in (
            ("side", self._model.side_px, bundle.preprocessing.size_px),
            ("number of outputs", self._model.n_outputs, len(bundle.taxa)),
        ):
            if got != wanted:
                raise BundleError(
                    f"the model's {what} is {got}, the bundle says {wanted}",
                    file=bundle.path,
                    field="model.tflite",
                    remedy="export the bundle again",
                )
        self._table = input_table(self._model.input_scale, self._model.input_zero_point)
        difference = self.golden_difference()
        if difference > TOLERANCE[kernels]:
            raise BundleError(
                f"its golden outputs are not reproduced here: {difference} units off under {kernels} "
                f"kernels, at most {TOLERANCE[kernels]} allowed",
                file=bundle.path,
                remedy="do not use it on this machine; check processor and runtime, or export it again",
            )

    def golden_difference(self) -> int:
        """Largest difference between this machine's outputs and the golden ones, in int8 units."""
        outputs = self.outputs(self.bundle.golden_inputs).astype(np.int64)
        return int(np.abs(outputs - self.bundle.golden_outputs[self.kernels]).max())

    def outputs(self, vignettes: Sequence[NDArray[np.uint8]]) -> NDArray[np.int8]:
        """Raw outputs of the model, int8 (n, k)."""
        spec = self.bundle.preprocessing
        out = np.empty((len(vignettes), len(self.bundle.taxa)), dtype=np.int8)
        for i, vignette in enumerate(vignettes):
            out[i] = self.infer(prepare(vignette, spec))
        return out

    def infer(self, prepared: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Raw outputs, int8 (k,), for one vignette that went through `prepare`."""
        values: NDArray[np.int8] = self._table[prepared[np.newaxis]]
        return self._model.run(values)

    def scores(self, vignettes: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Calibrated probabilities.

        Parameters
        ----------
        vignettes
            n of them, each uint8 (height, width), white on black.

        Returns
        -------
        float32 (n, k), rows adding up to 1, columns in the order of `bundle.taxa`.
        """
        scale = self._model.output_scale / self.bundle.temperature
        # A softmax does not see a constant, so the zero point needs no subtracting.
        return softmax(self.outputs(vignettes).astype(np.float64) * scale)


def input_value(grey: NDArray[np.floating]) -> NDArray[np.floating]:
    """Grey 0 to 255 as the network takes it, -1 to 127/128: int8 with a scale of 1/128 holds it exactly."""
    return (grey - 128) / 128


def input_table(scale: float, zero_point: int) -> NDArray[np.int8]:
    """The model's int8 input for each grey, int8 (256,), in the model's own scale and zero point."""
    nearest = np.rint(input_value(np.arange(256.0)) / scale) + zero_point
    return np.asarray(np.clip(nearest, -128, 127), dtype=np.int8)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float32]:
    """Probabilities of logits, (n, k); computed in float64, given as float32."""
    if len(logits) == 0:
        return logits.astype(np.float32)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)
