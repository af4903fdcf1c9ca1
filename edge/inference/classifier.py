"""Vignettes in, calibrated probabilities out, by a bundle that has proven itself on this very machine.

The goldens are run through preprocessing and model before anything else: a board that computes something else
must not count. Decisions are the bundle's (`Bundle.decide`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.errors import BundleError
from edge.inference.bundle import Bundle
from edge.inference.litert import Int8Model, Kernels
from edge.inference.preprocessing import N_NUMBERS, describe, prepare, views

TOLERANCE: dict[Kernels, int] = {"reference": 0, "xnnpack": 1}
"""Largest difference from the golden outputs of the same kernels, in units of the int8 output."""


NOTHING = np.zeros(0, dtype=np.uint8)
"""The numbers of a model that takes none."""


class Answers(NamedTuple):
    """What a classifier says of N vignettes.

    Attributes
    ----------
    scores
        float32 (N, k): probabilities of the classes.
    taxon_scores
        float32 (N, n): probabilities of the taxa.
    evidence
        float32 (N,): how much the model has seen its like; see `evidence`.
    decisions
        int64 (N,): index into the bundle's `counted_taxa`.
    """

    scores: NDArray[np.float32]
    taxon_scores: NDArray[np.float32]
    evidence: NDArray[np.float32]
    decisions: NDArray[np.int64]


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
    >>> scores.shape == (len(bundle.golden_inputs), len(bundle.classes))
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
            ("number of outputs", self._model.n_outputs, len(bundle.classes)),
            ("second input", self._model.n_numbers, N_NUMBERS if bundle.preprocessing.numbers else 0),
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
        spec, golden = self.bundle.preprocessing, self.bundle.golden_outputs[self.kernels]
        outputs = [
            self.infer(prepare(image, spec), self._describe(image)) for image in self.bundle.golden_inputs
        ]
        return int(np.abs(np.stack(outputs).astype(np.int64) - golden).max())

    def infer(self, prepared: NDArray[np.uint8], numbers: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Raw outputs, int8 (k,), for one view of a vignette that went through `prepare` and `describe`."""
        told = self._table[numbers[np.newaxis]] if self._model.n_numbers else None
        return self._model.run(self._table[prepared[np.newaxis]], told)

    def logits_of(self, prepared: NDArray[np.uint8], numbers: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Logits of one prepared vignette, float64 (k,): the mean of all views."""
        ways = views(prepared, self.bundle.preprocessing.views)
        total = np.sum([self.infer(way, numbers) for way in ways], axis=0, dtype=np.int64)
        # A softmax does not see a constant, but the evidence does: the zero point is subtracted.
        zero = len(ways) * self._model.output_zero_point
        return np.asarray((total - zero) * (self._model.output_scale / len(ways)))

    def logits(self, vignettes: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Logits, float64 (N, k), of vignettes, each uint8 (height, width), white on black."""
        spec = self.bundle.preprocessing
        rows = [self.logits_of(prepare(one, spec), self._describe(one)) for one in vignettes]
        return np.reshape(rows, (len(rows), len(self.bundle.classes)))

    def _describe(self, vignette: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return describe(vignette, self.bundle.preprocessing) if self._model.n_numbers else NOTHING

    def scores(self, vignettes: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Calibrated probabilities of the classes, float32 (N, k), rows adding up to 1."""
        return softmax(self.logits(vignettes) / self.bundle.temperature)

    def answer(self, vignettes: Sequence[NDArray[np.uint8]]) -> Answers:
        """Probabilities, evidence and decisions of N vignettes."""
        return answer_logits(self.bundle, self.logits(vignettes))


def answer_logits(bundle: Bundle, logits: NDArray[np.float64]) -> Answers:
    """What the bundle makes of its model's logits, float64 (N, k)."""
    scores = softmax(logits / bundle.temperature)
    taxon_scores = bundle.taxon_scores(scores)
    seen = evidence(logits, bundle.temperature)
    return Answers(scores, taxon_scores, seen, bundle.decide(taxon_scores, seen))


def evidence(logits: NDArray[np.floating], temperature: float) -> NDArray[np.float32]:
    """How much a model has seen the like of each image: log of the sum of exp(logits / temperature), (N,).

    The negative energy of Liu et al. 2020 (arXiv 2010.03759); low for what the training never saw.
    """
    if len(logits) == 0:
        return np.zeros(0, dtype=np.float32)
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    highest = scaled.max(axis=1)
    total = highest + np.log(np.exp(scaled - highest[:, np.newaxis]).sum(axis=1))
    return np.asarray(total, dtype=np.float32)


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
