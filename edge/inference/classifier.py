"""Vignettes in, calibrated probabilities out, by a bundle that has proven itself on this very machine.

The goldens are run through preprocessing and model before anything else: a board that computes something else
must not count. Decisions are the bundle's (`Bundle.decide`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import BundleError
from edge.inference.bundle import Bundle
from edge.inference.engine import Engine
from edge.inference.litert import Int8Model, Kernels
from edge.inference.preprocessing import N_NUMBERS, describe, prepare
from edge.inference.worker_process import Ready

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
    numbers
        uint8 (N, n): what the model took beside the pictures; n is 0 for one that takes nothing.
    """

    scores: NDArray[np.float32]
    taxon_scores: NDArray[np.float32]
    evidence: NDArray[np.float32]
    decisions: NDArray[np.int64]
    numbers: NDArray[np.uint8] = np.zeros((0, 0), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Named:
    """What became of the vignettes of one ticket: answers, or a problem in a sentence."""

    ticket: int
    answers: Answers | None
    problem: str = ""


class Namer(Protocol):
    """Who names vignettes: `Classifier` at once, or `edge.inference.worker` in a process of its own."""

    @property
    def room(self) -> int:
        """Vignettes that may be submitted now."""

    @property
    def restarts(self) -> int:
        """How often what computes was lost."""

    @property
    def pace_s(self) -> float | None:
        """Time that a vignette takes lately, s; None when nobody has measured it."""

    def submit(self, vignettes: Sequence[NDArray[np.uint8]]) -> int:
        """Hand over the vignettes of a frame, at most `room`; returns the ticket of the answer."""

    def collect(self, wait_s: float = 0.0) -> list[Named]:
        """Answers that are there, after at most so long; each ticket has one, or a problem, once."""

    def renew(self) -> None:
        """A dive begins: what was given up is tried again."""

    def close(self) -> None:
        """Let go of what computes."""


class Classifier:
    """The model of a bundle, ready to run; a `Namer` that answers at once.

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

    restarts = 0

    def __init__(self, bundle: Bundle, threads: int = 1, kernels: Kernels = "xnnpack") -> None:
        self.bundle = bundle
        self.kernels = kernels
        self._tickets, self._done = 0, list[Named]()
        try:
            self._engine = Engine(bundle.model, bundle.preprocessing.views, threads, kernels)
        except BundleError as error:
            raise BundleError(
                error.problem, file=bundle.path, field=error.field, remedy=error.remedy
            ) from error
        check_fit(bundle, self._engine.model)
        difference = self.golden_difference()
        if difference > TOLERANCE[kernels]:
            raise not_reproduced(bundle, difference, kernels)

    @property
    def room(self) -> int:
        """See `Namer`: it keeps nothing."""
        return sys.maxsize

    @property
    def pace_s(self) -> float | None:
        """See `Namer`: it measures nothing, so that a replay is the same each time."""
        return None

    def submit(self, vignettes: Sequence[NDArray[np.uint8]]) -> int:
        """See `Namer`."""
        self._tickets += 1
        try:
            self._done.append(Named(self._tickets, self.answer(vignettes)))
        except (RuntimeError, ValueError) as error:
            self._done.append(Named(self._tickets, None, str(error)))
        return self._tickets

    def collect(self, wait_s: float = 0.0) -> list[Named]:
        """See `Namer`; nobody has to wait."""
        done, self._done = self._done, []
        return done

    def renew(self) -> None:
        """See `Namer`: nothing is ever given up."""

    def close(self) -> None:
        """See `Namer`."""

    def golden_difference(self) -> int:
        """Largest difference between this machine's outputs and the golden ones, in int8 units."""
        spec, golden = self.bundle.preprocessing, self.bundle.golden_outputs[self.kernels]
        outputs = [
            self.infer(prepare(image, spec), describe_for(self.bundle, image))
            for image in self.bundle.golden_inputs
        ]
        return int(np.abs(np.stack(outputs).astype(np.int64) - golden).max())

    def infer(self, prepared: NDArray[np.uint8], numbers: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Raw outputs, int8 (k,), for one view of a vignette that went through `prepare` and `describe`."""
        return self._engine.infer(prepared, numbers)

    def logits_of(self, prepared: NDArray[np.uint8], numbers: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Logits of one prepared vignette, float64 (k,): the mean of all views."""
        return self._engine.logits(self._engine.total(prepared, numbers))

    def logits(self, vignettes: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Logits, float64 (N, k), of vignettes, each uint8 (height, width), white on black."""
        return self._logits(vignettes, self._numbers(vignettes))

    def scores(self, vignettes: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Calibrated probabilities of the classes, float32 (N, k), rows adding up to 1."""
        return softmax(self.logits(vignettes) / self.bundle.temperature)

    def answer(self, vignettes: Sequence[NDArray[np.uint8]]) -> Answers:
        """Probabilities, evidence and decisions of N vignettes."""
        numbers = self._numbers(vignettes)
        return answer_logits(self.bundle, self._logits(vignettes, numbers), numbers)

    def _numbers(self, vignettes: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        rows = [describe_for(self.bundle, one) for one in vignettes]
        return np.array(rows, dtype=np.uint8).reshape(len(rows), n_numbers(self.bundle))

    def _logits(
        self, vignettes: Sequence[NDArray[np.uint8]], numbers: NDArray[np.uint8]
    ) -> NDArray[np.float64]:
        spec = self.bundle.preprocessing
        # All are prepared first: what a processor keeps at hand is not the same for both.
        ready = [prepare(one, spec) for one in vignettes]
        rows = [self.logits_of(*one) for one in zip(ready, numbers, strict=True)]
        return np.reshape(rows, (len(rows), len(self.bundle.classes)))


class Nobody:
    """A `Namer` that names nothing: sizes alone are counted, and larger particles as not named."""

    room = restarts = 0
    pace_s: float | None = None

    def submit(self, vignettes: Sequence[NDArray[np.uint8]]) -> int:
        """See `Namer`: there is no room for any."""
        raise ValueError("nothing is classified")

    def collect(self, wait_s: float = 0.0) -> list[Named]:
        """See `Namer`."""
        return []

    def renew(self) -> None:
        """See `Namer`: nothing was given up."""

    def close(self) -> None:
        """See `Namer`: nothing is open."""


def describe_for(bundle: Bundle, vignette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The numbers that the bundle's model takes beside a vignette's picture."""
    return describe(vignette, bundle.preprocessing) if bundle.preprocessing.numbers else NOTHING


def n_numbers(bundle: Bundle) -> int:
    """How many numbers that are."""
    return N_NUMBERS if bundle.preprocessing.numbers else 0


def check_fit(bundle: Bundle, model: Int8Model | Ready) -> None:
    """Refuse a model that is not of the bundle's shape; raises `BundleError`."""
    for what, got, wanted in (
        ("side", model.side_px, bundle.preprocessing.size_px),
        ("number of outputs", model.n_outputs, len(bundle.classes)),
        ("second input", model.n_numbers, n_numbers(bundle)),
    ):
        if got != wanted:
            raise BundleError(
                f"the model's {what} is {got}, the bundle says {wanted}",
                file=bundle.path,
                field="model.tflite",
                remedy="export the bundle again",
            )


def not_reproduced(bundle: Bundle, difference: int, kernels: Kernels) -> BundleError:
    """The refusal of a bundle whose golden outputs this machine does not give."""
    return BundleError(
        f"its golden outputs are not reproduced here: {difference} units off under {kernels} "
        f"kernels, at most {TOLERANCE[kernels]} allowed",
        file=bundle.path,
        remedy="do not use it on this machine; check processor and runtime, or export it again",
    )


def answer_logits(bundle: Bundle, logits: NDArray[np.float64], numbers: NDArray[np.uint8]) -> Answers:
    """What the bundle makes of its model's logits, float64 (N, k), for what took these numbers."""
    scores = softmax(logits / bundle.temperature)
    taxon_scores = bundle.taxon_scores(scores)
    seen = evidence(logits, bundle.temperature)
    return Answers(scores, taxon_scores, seen, bundle.decide(taxon_scores, seen), numbers)


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


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float32]:
    """Probabilities of logits, (n, k); computed in float64, given as float32."""
    if len(logits) == 0:
        return logits.astype(np.float32)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)
