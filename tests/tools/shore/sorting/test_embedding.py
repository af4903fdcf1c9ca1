"""The embedding is what the classification layer of the bundle's own int8 model reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the train extra")
pytest.importorskip("tensorflow", reason="needs the train extra")

from edge.errors import BundleError
from edge.inference.bundle import load_bundle, shipped_bundles
from edge.inference.classifier import Classifier
from tools.shore.sorting.embedding import Embedder
from training.drawn import KINDS
from training.drawn_set import drawn_vignette
from training.from_bundle import dequantize
from training.network_features import features_of_bundle


@pytest.fixture(scope="module")
def vignettes():
    rng = np.random.default_rng(5)
    return [drawn_vignette(kind, rng, rng.uniform(12, 40)) for kind in KINDS for _ in range(4)]


@pytest.mark.parametrize("name", ["demo", "shadowgraph"])
def test_the_head_makes_the_models_logits_of_it(vignettes, name):
    if name not in shipped_bundles():
        pytest.skip(f"needs the shipped bundle {name}")
    bundle = load_bundle(name)
    embedder = Embedder(bundle, "reference")
    found = embedder.values(embedder.totals(vignettes))
    head = dequantize(bundle.model)[-1]
    assert found.shape == (len(vignettes), head.kernel.shape[0] == embedder.size and embedder.size)
    classifier = Classifier(bundle, kernels="reference")
    step = classifier._engine.model.output_scale
    # All that lies between is one multiplication and the rounding of its result.
    assert np.abs(found @ head.kernel + head.bias - classifier.logits(vignettes)).max() < 1.01 * step


def test_it_is_what_the_float_network_sees(vignettes):
    bundle = load_bundle("demo")
    embedder = Embedder(bundle)
    found, told = embedder.values(embedder.totals(vignettes)), features_of_bundle(bundle).table(vignettes)
    assert np.corrcoef(found.ravel(), told.ravel())[0, 1] > 0.98


def test_the_same_each_time_and_one_by_one(vignettes):
    bundle = load_bundle("demo")
    together = Embedder(bundle).totals(vignettes)
    alone = np.concatenate([Embedder(bundle).totals([one]) for one in vignettes[:5]])
    np.testing.assert_array_equal(together[:5], alone)
    assert Embedder(bundle).totals([]).shape == (0, together.shape[1])


def test_a_model_without_a_dense_layer_at_its_end_is_refused():
    from ai_edge_litert import schema_py_generated as schema

    bundle = load_bundle("demo")
    graph = schema.Model.GetRootAs(bundle.model, 0).Subgraphs(0)
    before = graph.Operators(graph.OperatorsLength() - 1).Inputs(0)
    cut = bytearray(bundle.model)
    place = graph._tab.Vector(graph._tab.Offset(8))
    cut[place : place + 4] = int(before).to_bytes(4, "little")
    with pytest.raises(BundleError, match="does not end in a dense layer"):
        Embedder(replace(bundle, model=bytes(cut)))
