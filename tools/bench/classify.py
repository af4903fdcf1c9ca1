"""`seston bench classify`: milliseconds a vignette for preprocessing and inference, against a Keras call."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.inference.bundle import load_bundle, shipped_bundles
from edge.inference.classifier import Classifier
from edge.inference.engine import input_value
from edge.inference.preprocessing import describe, prepare

ROUNDS = 7
N_VIGNETTES = 300
SIDES_PX = (40, 130)
"""Vignettes have sides between these, about 80 px in the middle, as dark-field cameras give."""
TARGET_MS = 0.8


def bench() -> dict[str, Any]:
    """Time every shipped bundle at one thread, stage by stage, and a Keras call of a network of its size."""
    import cv2

    cv2.setNumThreads(1)
    vignettes = _vignettes()
    rows: list[list[Any]] = []
    numbers: dict[str, float] = {}
    for name in shipped_bundles():
        bundle = load_bundle(name)
        classifier = Classifier(bundle, threads=1)
        spec = bundle.preprocessing
        prepared = [prepare(vignette, spec) for vignette in vignettes]
        numbers_ms = _ms(lambda: [describe(one, spec) for one in vignettes]) if spec.numbers else 0.0  # noqa: B023
        told = [describe(vignette, spec) for vignette in vignettes]
        prepare_ms = _ms(lambda: [prepare(vignette, spec) for vignette in vignettes])  # noqa: B023
        infer_ms = _ms(lambda: list(map(classifier.logits_of, prepared, told)))  # noqa: B023
        scores_ms = _ms(lambda: classifier.scores(vignettes))  # noqa: B023
        keras_ms = _keras_ms(spec.size_px, len(bundle.classes), prepared)
        ratio = keras_ms / scores_ms
        numbers |= {
            f"{name}_prepare_ms": prepare_ms,
            f"{name}_numbers_ms": numbers_ms,
            f"{name}_infer_ms": infer_ms,
            f"{name}_total_ms": scores_ms,
            f"{name}_keras_ms": keras_ms,
            f"{name}_keras_ratio": ratio,
        }
        rows.append([name, prepare_ms, numbers_ms, infer_ms, scores_ms, 1000 / scores_ms, keras_ms, ratio])
    return {
        "title": "Classification, ms a vignette, one thread",
        "columns": [
            "bundle",
            "prepare",
            "numbers",
            "inference",
            "scores, whole",
            "a second",
            "Keras call",
            "ratio",
        ],
        "rows": rows,
        "notes": [
            f"{N_VIGNETTES} vignettes of {SIDES_PX[0]} to {SIDES_PX[1]} px, best of {ROUNDS} rounds; "
            f"wanted: at most {TARGET_MS} ms for the whole.",
            "Keras call: `model(x)` of its MobileNetV2 0.35, float32, for one prepared vignette; "
            "nan when Keras is not installed.",
        ],
        "numbers": numbers,
    }


def _vignettes() -> list[NDArray[np.uint8]]:
    """Bright blobs on black of many sizes."""
    rng = np.random.default_rng(1)
    made = []
    for _ in range(N_VIGNETTES):
        height, width = rng.integers(*SIDES_PX, 2)
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        grey = 230 * np.exp(-3 * (x * x + y * y)) + rng.normal(0, 4, (height, width))
        made.append(np.clip(grey, 0, 255).astype(np.uint8))
    return made


def _ms(work: Callable[[], Sequence[Any] | NDArray[Any]]) -> float:
    """Best time of a round over all its vignettes, ms a vignette."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        n = len(work())
        best = min(best, (time.perf_counter() - start) / n)
    return 1000 * best


def _keras_ms(size_px: int, n_classes: int, prepared: list[NDArray[np.uint8]]) -> float:
    """Best round of Keras calls of a float MobileNetV2 0.35, ms a call; NaN when Keras cannot be imported."""
    if importlib.util.find_spec("keras") is None:
        return float("nan")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import keras
    except ImportError:
        return float("nan")
    model = keras.applications.MobileNetV2(
        input_shape=(size_px, size_px, 1), alpha=0.35, weights=None, classes=n_classes
    )
    images = [input_value(image[np.newaxis].astype(np.float32)) for image in prepared[:10]]
    model(images[0])
    return _ms(lambda: [np.asarray(model(image)) for image in images])
