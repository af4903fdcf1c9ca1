"""The network inside a bundle, in float again, says what the int8 model says."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the train extra")
pytest.importorskip("tensorflow", reason="needs the train extra")

from edge.errors import BundleError
from edge.inference.bundle import SUFFIX, load_bundle
from edge.inference.classifier import Classifier
from tests.training.tiny_model import trained
from training.bundle_export import make_bundle, publish_bundle
from training.drawn import KINDS
from training.drawn_set import drawn_vignette
from training.from_bundle import dequantize
from training.network_features import features_of_bundle


def test_the_float_network_of_a_bundle_says_what_its_int8_model_says():
    try:
        bundle = load_bundle("demo")
    except BundleError as error:
        pytest.skip(f"needs the shipped demo bundle: {error}")
    rng = np.random.default_rng(5)
    vignettes = [drawn_vignette(kind, rng, rng.uniform(12, 40)) for kind in KINDS for _ in range(6)]
    network = features_of_bundle(bundle)
    table = network.table(vignettes)
    assert table.shape == (48, 640)
    assert table.dtype == np.float32
    assert network.size_bytes > len(bundle.model)
    head = dequantize(bundle.model)[-1]
    mine, theirs = table @ head.kernel + head.bias, Classifier(bundle).logits(vignettes)
    assert (mine.argmax(axis=1) == theirs.argmax(axis=1)).mean() > 0.9
    assert np.corrcoef(mine.ravel(), theirs.ravel())[0, 1] > 0.98
    np.testing.assert_allclose(network.table(vignettes[7:8]), table[7:8], rtol=1e-3, atol=1e-4)


def test_a_bundle_that_does_not_say_what_it_is_made_of(tmp_path):
    bundle = publish_bundle(make_bundle(trained(), precision=0.8, study_draws=1), tmp_path / f"tiny{SUFFIX}")
    with pytest.raises(BundleError, match=r"run\.toml: is not a recipe"):
        features_of_bundle(bundle)
