"""What a network sees in a vignette, for others to learn from: pooled features. Nothing is learnt here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.inference.bundle import Bundle
from edge.inference.preprocessing import Preprocessing, describe, prepare
from training.fit import Examples, predict
from training.from_bundle import float_network
from training.model import features_model
from training.recipe import read_recipe
from training.weights import trained_network


class NetworkFeatures:
    """A float network up to what its head reads.

    Parameters
    ----------
    model
        From `training.model.build_model`.
    preprocessing
        That it was trained with.
    """

    def __init__(self, model: Any, preprocessing: Preprocessing) -> None:
        self._model = features_model(model)
        self._preprocessing = preprocessing

    @property
    def size_bytes(self) -> int:
        """Four bytes a weight."""
        return 4 * int(self._model.count_params())

    def table(self, vignettes: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Features of n vignettes, uint8 (height, width) each, white on black: float32 (n, d)."""
        spec = self._preprocessing
        images = np.stack([prepare(one, spec) for one in vignettes])
        numbers = np.stack([describe(one, spec) for one in vignettes])
        return predict(self._model, Examples(images, numbers, np.zeros(len(images), dtype=np.int64)))


def features_of_bundle(bundle: Bundle) -> NetworkFeatures:
    """Features of a bundle's network; its float weights come out of the int8 model."""
    return NetworkFeatures(float_network(bundle), bundle.preprocessing)


def features_of_run(folder: Path) -> NetworkFeatures:
    """Features of the float network that a run has trained."""
    recipe = read_recipe(folder)
    return NetworkFeatures(trained_network(folder, recipe)[0], recipe.preprocessing)
