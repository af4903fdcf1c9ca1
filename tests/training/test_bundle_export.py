"""From what training leaves to one file that proves itself, published whole or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edge.errors import BundleError
from edge.inference.bundle import MANIFEST, load_bundle, parse_bundle
from edge.inference.classifier import Classifier
from tests.training.tiny_model import CLASSES, SIDE, K, held_back, tiny_model, trained
from training.bundle_export import GOLDEN_PIXELS, fingerprint, make_bundle, packages, publish_bundle
from training.calibration import Counting, cross_judge
from training.card import write_card
from training.evaluate import HeldBack, choose_least_evidence, fit_temperature, score_logits
from training.parity import compare

WHERE = Path("tiny.seston")


@pytest.fixture(scope="module")
def data() -> bytes:
    left = trained()
    parity = compare(left.held_back, CLASSES, [f"{i}.png" for i in range(len(left.held_back))])
    extra = {"extra": {"as decided": {"bray_curtis": np.float32(0.125)}}, "reject": {"auroc": np.nan}}
    left = dataclasses.replace(left, parity=parity.facts(), run='name = "tiny"\n', facts=extra)
    return make_bundle(left, precision=0.8, study_draws=1)


@pytest.fixture(scope="module")
def bundle(data):
    return parse_bundle(data, WHERE)


def test_it_loads_and_reproduces_its_goldens(bundle):
    assert bundle.classes == CLASSES
    assert [taxon.label for taxon in bundle.taxa] == ["Acartia", "Calanus", "Snow"]
    assert Classifier(bundle, kernels="reference").golden_difference() == 0
    assert Classifier(bundle).golden_difference() == 0
    assert len(bundle.golden_inputs) > 10
    assert max(image.size for image in bundle.golden_inputs) <= GOLDEN_PIXELS
    assert max(max(image.shape) for image in bundle.golden_inputs) > 2 * 96  # one that is averaged first
    assert bundle.run == 'name = "tiny"\n'


def test_a_model_that_takes_numbers_does_too(tmp_path):
    found = publish_bundle(
        make_bundle(trained(numbers=True), precision=0.8, study_draws=1), tmp_path / "tiny.seston"
    )
    assert found.preprocessing.numbers
    assert Classifier(found).golden_difference() == 0


def test_the_confusion_matrix_is_what_the_bundle_itself_answers(bundle):
    found, pictures = held_back(tiny_model())
    answers = Classifier(bundle).logits(pictures).argmax(axis=1)
    confusion = np.zeros((K, K), dtype=int)
    np.add.at(confusion, (found.labels, answers), 1)
    np.testing.assert_array_equal(confusion, bundle.manifest.confusion)


def test_what_ships_is_fitted_to_all_of_the_held_back_part(bundle):
    found, _ = held_back(tiny_model())
    manifest = bundle.manifest
    assert manifest.temperature == fit_temperature(found.int8_logits, found.labels)
    answers = Classifier(bundle).answer(held_back(tiny_model())[1])
    assert manifest.least_evidence == choose_least_evidence(answers.evidence)
    assert len(manifest.thresholds) == 4
    assert manifest.facts["wanted"] == {"precision": 0.8, "keep": 0.98}


def test_decisions_are_measured_crossed(bundle):
    found, _ = held_back(tiny_model())
    counting = Counting((0, 1, 2, 2), bundle.tree)
    judged = cross_judge(found, counting, precision=0.8)
    decisions = np.zeros((3, 5), dtype=int)
    np.add.at(decisions, (counting.taxa_of(found.labels), judged.answers.decisions), 1)
    np.testing.assert_array_equal(decisions, bundle.manifest.decisions)
    assert bundle.manifest.facts["crossed"] is True
    assert bundle.manifest.scores["int8"]["unclassified"] == pytest.approx(decisions[:, 4].sum() / 200)


def test_scores_of_both_models_with_intervals(bundle):
    found, _ = held_back(tiny_model())
    scores, facts = bundle.manifest.scores, bundle.manifest.facts
    names = {"accuracy", "balanced_accuracy", "macro_f1", "mean_precision", "bray_curtis"}
    assert set(scores["float"]) == names
    assert set(scores["int8"]) > names | {"calibration_error", "decided_precision", "taxon_accuracy"}
    for model, logits in (("int8", found.int8_logits), ("float", found.float_logits)):
        for name, value in score_logits(logits, found.labels).items():
            assert scores[model][name] == pytest.approx(value, abs=1e-4)
            low, high = facts["intervals"][model][name]
            assert low <= value <= high
    assert scores["int8"]["taxon_accuracy"] >= scores["int8"]["accuracy"]
    assert (facts["images"], facts["groups"]) == (200, 50)
    assert sum(facts["reliability"]["n"]) == 200
    assert facts["classes"]["trained"] == [5] * 4


def test_facts_are_plain_and_name_no_file(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert all(b".png" not in archive.read(name) for name in archive.namelist())
        text = archive.read(MANIFEST).decode()
    facts = json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} in JSON"))["facts"]
    assert facts["extra"] == {"as decided": {"bray_curtis": 0.125}}
    assert facts["reject"] == {"auroc": None}
    assert 0.9 < facts["parity"]["agreement"] <= 1


def test_a_correction_of_counts_ships_only_when_the_study_chose_it(bundle):
    told = bundle.manifest.facts["counts"]["chosen"]
    assert (bundle.manifest.correction is not None) == ("posterior" in told)
    # Counts that are right already cannot be made better.
    found = trained()
    sure = 30.0 * np.eye(K)[found.held_back.labels]
    perfect = dataclasses.replace(
        found, held_back=dataclasses.replace(found.held_back, int8_logits=sure, float_logits=sure)
    )
    manifest = parse_bundle(make_bundle(perfect, precision=0.8, study_draws=1), WHERE).manifest
    assert manifest.correction is None
    assert "posterior" not in manifest.facts["counts"]["chosen"]


def test_a_network_that_leans_gets_its_correction():
    """Scores that always lean to one taxon: the study must find that, and the correction undo it."""
    left = trained()
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(K), 150)
    logits = rng.normal(0, 1, (len(labels), K))
    logits[np.arange(len(labels)), labels] += 2.5
    logits[:, 1] += 1.5
    groups = tuple(f"acquisition-{i % 40}" for i in range(len(labels)))
    leaning = HeldBack(logits, logits, labels, groups)
    hashes = tuple(i.to_bytes(5, "big") for i in range(len(labels)))
    left = dataclasses.replace(left, held_back=leaning, held_back_hashes=hashes)
    manifest = parse_bundle(make_bundle(left, precision=0.8, study_draws=4), WHERE).manifest
    correction = manifest.correction
    assert correction is not None
    assert sum(correction.implied) == pytest.approx(1) == sum(correction.usual)
    assert correction.usual == pytest.approx((0.25, 0.25, 0.5), abs=0.01)
    assert correction.implied[1] > 1.3 * correction.usual[1]


def test_the_card_in_the_bundle_is_that_of_its_manifest(bundle):
    assert bundle.card == write_card(bundle.manifest)
    assert "It knows <quarters> \\| nothing else." in bundle.card or "It knows <quarters>" in bundle.card
    assert "as decided" in bundle.card


def test_the_same_parts_give_the_same_bytes():
    left = trained()
    assert make_bundle(left, precision=0.8, study_draws=1) == make_bundle(left, precision=0.8, study_draws=1)
    assert make_bundle(left, precision=0.8, study_draws=1) != make_bundle(
        left, precision=0.8, study_draws=1, keep=0.9
    )


def test_a_class_without_held_back_images_is_no_obstacle(tmp_path):
    found = publish_bundle(make_bundle(trained(known=(0, 2)), precision=0.8), tmp_path / "tiny.seston")
    facts = found.manifest.facts["classes"]
    assert facts["held_back"][1] == 0
    assert facts["recall"][1] is None
    assert found.manifest.scores["int8"]["balanced_accuracy"] > 0.8
    assert "| Calanus | 5 | 0 | - |" in found.card.replace("| Calanus | Calanus |", "| Calanus |")


def test_without_a_float_network_there_are_only_its_own_scores():
    left = trained()
    left = dataclasses.replace(left, held_back=dataclasses.replace(left.held_back, float_logits=None))
    assert set(parse_bundle(make_bundle(left, precision=0.8, study_draws=1), WHERE).manifest.scores) == {
        "int8"
    }


def test_the_fingerprint_is_of_the_images_in_whatever_order(bundle):
    hashes = [bytes([i]) * 5 for i in (3, 1, 2)]
    wanted = hashlib.sha256(bytes([1] * 5 + [2] * 5 + [3] * 5)).hexdigest()
    assert fingerprint(hashes) == fingerprint(hashes[::-1]) == {"images": 3, "sha256": wanted}
    left = trained()
    assert bundle.manifest.facts["fingerprint"] == fingerprint(
        (*left.held_back_hashes, *left.training_hashes)
    )
    assert bundle.training_hashes == frozenset(left.training_hashes)


def test_many_classes_stay_small():
    """What 121 classes weigh beside model and hashes."""
    rng = np.random.default_rng(1)
    k = 121
    names = tuple(f"siphonophore_calycophoran_{i:03d}" for i in range(k))
    left = trained()
    labels = rng.integers(0, k, 3000)
    logits = rng.normal(0, 1, (3000, k))
    logits[np.arange(3000), labels] += 2
    from edge.taxonomy import Taxon
    from training import bundle_export

    many = dataclasses.replace(
        left.held_back,
        int8_logits=logits,
        float_logits=logits,
        labels=labels,
        groups=tuple(map(str, range(3000))),
    )
    taxonomy = dataclasses.replace(
        left.taxonomy,
        classes=names,
        taxa=tuple(Taxon(label=name) for name in names),
        class_taxon=np.arange(k),
        parents=(),
        source_classes={name: name for name in names},
    )
    left = dataclasses.replace(left, held_back=many, taxonomy=taxonomy, training_counts=np.full(k, 100))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            bundle_export,
            "golden_outputs",
            lambda model, inputs, *_: np.zeros((len(inputs), k), dtype=np.int8),
        )
        data = make_bundle(left, precision=0.7, study_draws=1)
    assert len(data) - len(left.model) < 200_000


def test_a_bundle_is_proven_before_it_is_put_in_place(data, tmp_path):
    target = tmp_path / "new" / "x.seston"
    assert publish_bundle(data, target).path == target
    assert target.read_bytes() == data
    assert load_bundle(target).preprocessing.size_px == SIDE
    with pytest.raises(BundleError):
        publish_bundle(data[:-1], tmp_path / "y.seston")
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="cannot be written"):
        publish_bundle(data, tmp_path / "file" / "z.seston")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["file", "x.seston"]


def test_packages_name_what_made_it():
    assert {"python", "numpy"} <= set(packages())
