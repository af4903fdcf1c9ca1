"""A classifier runs only where its goldens come out right, and its scores are probabilities."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest

from edge.errors import BundleError
from edge.inference.bundle import load_bundle, shipped_bundles
from edge.inference.classifier import Classifier, evidence, softmax
from edge.inference.engine import input_table, views
from edge.inference.litert import Int8Model
from edge.inference.preprocessing import Preprocessing, describe, prepare

pytestmark = pytest.mark.board


@pytest.fixture(scope="module")
def demo():
    return load_bundle("demo")


@pytest.fixture(scope="module")
def classifier(demo):
    return Classifier(demo)


@pytest.mark.parametrize("name", shipped_bundles())
@pytest.mark.parametrize(("kernels", "allowed"), [("reference", 0), ("xnnpack", 1)])
def test_shipped_goldens_are_reproduced(name, kernels, allowed):
    assert Classifier(load_bundle(name), kernels=kernels).golden_difference() <= allowed


def off_by(bundle, units):
    """The bundle with one golden output of each kernels changed."""
    changed = {}
    for kernels, golden in bundle.golden_outputs.items():
        outputs = golden.copy()
        where = np.unravel_index(np.abs(outputs.astype(int)).argmin(), outputs.shape)
        outputs[where] += units
        changed[kernels] = outputs
    return dataclasses.replace(bundle, golden_outputs=changed)


def test_reference_kernels_must_be_exact(demo):
    with pytest.raises(BundleError, match="1 units off under reference kernels, at most 0 allowed"):
        Classifier(off_by(demo, 1), kernels="reference")


def test_fast_kernels_may_be_one_unit_off_and_no_more(demo):
    with pytest.raises(BundleError, match="not reproduced here"):
        Classifier(off_by(demo, 3))
    with pytest.raises(BundleError, match="not reproduced here"):
        Classifier(off_by(demo, -3))


def test_goldens_go_through_the_preprocessing(demo):
    other = msgspec.structs.replace(demo.manifest, preprocessing=Preprocessing(
        size_px=demo.preprocessing.size_px, stretch=not demo.preprocessing.stretch))  # fmt: skip
    with pytest.raises(BundleError, match="not reproduced here"):
        Classifier(dataclasses.replace(demo, manifest=other))


def test_a_model_that_does_not_fit_is_refused(demo):
    side = msgspec.structs.replace(demo.manifest, preprocessing=Preprocessing(size_px=24))
    with pytest.raises(BundleError, match="the model's side is"):
        Classifier(dataclasses.replace(demo, manifest=side))
    fewer = msgspec.structs.replace(demo.manifest, classes=demo.classes[:-1])
    with pytest.raises(BundleError, match="number of outputs"):
        Classifier(dataclasses.replace(demo, manifest=fewer))
    spec = msgspec.structs.replace(demo.preprocessing, numbers=not demo.preprocessing.numbers)
    with pytest.raises(BundleError, match="second input"):
        Classifier(
            dataclasses.replace(demo, manifest=msgspec.structs.replace(demo.manifest, preprocessing=spec))
        )


@pytest.mark.parametrize("model", [b"", b"\x1c\0\0\0TFL3", b"no model" * 50])
def test_what_is_no_model_is_refused(demo, model):
    with pytest.raises(BundleError, match=r"model\.tflite"):
        Classifier(dataclasses.replace(demo, model=model))


def test_scores_are_probabilities_one_row_a_vignette(classifier, demo):
    vignettes = demo.golden_inputs
    scores = classifier.scores(vignettes)
    assert scores.shape == (len(vignettes), len(demo.classes))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(scores[::-1], classifier.scores(vignettes[::-1]))
    np.testing.assert_array_equal(scores[3], classifier.scores([vignettes[3]])[0])
    assert classifier.scores([]).shape == (0, len(demo.classes))
    assert classifier.answer([]).decisions.shape == (0,)


def test_scores_are_the_softmax_of_the_outputs_in_their_scale(classifier, demo):
    model, spec = Int8Model(demo.model), demo.preprocessing
    outputs = [
        np.mean(
            [classifier.infer(way, describe(image, spec)) for way in views(prepare(image, spec), spec.views)],
            0,
        )
        for image in demo.golden_inputs
    ]
    logits = (np.array(outputs) - model.output_zero_point) * model.output_scale / demo.temperature
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.scores(demo.golden_inputs), expected, rtol=1e-5, atol=1e-7)


def test_a_higher_temperature_is_less_sure(demo, classifier):
    hot = dataclasses.replace(
        demo, manifest=msgspec.structs.replace(demo.manifest, temperature=4 * demo.temperature)
    )
    hotter, cooler = Classifier(hot).scores(demo.golden_inputs), classifier.scores(demo.golden_inputs)
    assert (hotter.max(axis=1) < cooler.max(axis=1)).all()


def test_an_answer_holds_taxa_evidence_and_decisions(classifier, demo):
    answers = classifier.answer(demo.golden_inputs)
    np.testing.assert_array_equal(answers.scores, classifier.scores(demo.golden_inputs))
    np.testing.assert_allclose(answers.taxon_scores.sum(axis=1), 1, atol=1e-5)
    assert answers.taxon_scores.shape[1] == len(demo.taxa)
    logits = classifier.logits(demo.golden_inputs)
    np.testing.assert_array_equal(answers.evidence, evidence(logits, demo.temperature))
    np.testing.assert_array_equal(answers.decisions, demo.decide(answers.taxon_scores, answers.evidence))


def test_evidence_is_the_log_of_the_summed_exponentials():
    logits = np.array([[1.0, 2.0], [800.0, 800.0]])
    expected = [np.log(np.exp(0.5) + np.exp(1)), 400 + np.log(2)]
    np.testing.assert_allclose(evidence(logits, 2.0), expected, rtol=1e-6)
    assert evidence(np.zeros((0, 2)), 1.0).shape == (0,)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_more_views_are_averaged(demo, n):
    many = msgspec.structs.replace(demo.preprocessing, views=n)
    classifier = Classifier(dataclasses.replace(demo, manifest=msgspec.structs.replace(
        demo.manifest, preprocessing=many)))  # fmt: skip
    image = demo.golden_inputs[0]
    prepared, numbers = prepare(image, many), describe(image, many)
    ways = views(prepared, n)
    assert len(ways) == n
    assert np.array_equal(ways[0], prepared)
    assert len({way.tobytes() for way in ways}) == n
    outputs = np.mean([classifier.infer(way, numbers) for way in ways], axis=0)
    model = Int8Model(demo.model)
    expected = (outputs - model.output_zero_point) * model.output_scale
    np.testing.assert_allclose(classifier.logits([image])[0], expected, rtol=1e-12)


def test_threads_do_not_change_the_answer(demo, classifier):
    np.testing.assert_array_equal(
        Classifier(demo, threads=2).logits(demo.golden_inputs), classifier.logits(demo.golden_inputs)
    )


def test_input_table_follows_scale_and_zero_point():
    np.testing.assert_array_equal(input_table(1 / 128, 0), np.arange(-128, 128))
    assert input_table(1 / 64, 5)[[0, 64, 128, 255]].tolist() == [-59, -27, 5, 69]
    assert input_table(1 / 256, 0)[[0, 64, 127, 192, 255]].tolist() == [-128, -128, -2, 127, 127]


def test_softmax_of_large_logits_does_not_overflow():
    scores = softmax(np.array([[1e4, 0.0], [-1e4, -1e4]]))
    np.testing.assert_allclose(scores, [[1, 0], [0.5, 0.5]])
    assert softmax(np.zeros((0, 3))).shape == (0, 3)
