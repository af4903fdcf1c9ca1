"""From drawn particles to a bundle that proves itself: the real way, small."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the train extra")
pytest.importorskip("tensorflow", reason="needs the train extra")

from edge.errors import InputError
from edge.inference.bundle import load_bundle
from edge.inference.classifier import Classifier
from edge.inference.preprocessing import Preprocessing
from training.drawn_set import drawn_dataset
from training.fit import Schedule
from training.model import Architecture
from training.recipe import Recipe, run_recipe
from training.split import HELD_BACK_FOLD, fold, folds

RECIPE = Recipe(
    name="tiny",
    drawn_per_kind=24,
    preprocessing=Preprocessing(size_px=32),
    architecture=Architecture(alpha=0.1, stages=2, features=32, momentum=0.8),
    schedule=Schedule(epochs=2, batch=16, rate=3e-3),
    normalisation_batches=12,
    settling=Schedule(epochs=1, batch=16, rate=1e-3),
    least_agreement=0.5,
    most_loss=0.3,
    seed=3,
)

HELD_BACK_SECOND = next(s for s in range(90_000, 99_000) if fold(f"SPC-PWSSC-{s}") == HELD_BACK_FOLD)
KEPT_SECOND = next(s for s in range(100_000, 109_000) if fold(f"SPC-PWSSC-{s}") != HELD_BACK_FOLD)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    steps = []
    out = tmp_path_factory.mktemp("run")
    result = run_recipe(RECIPE, out, "seston train --drawn 24", lambda *args: steps.append(args))
    return result, out, steps


def test_the_bundle_loads_and_reproduces_its_goldens(run):
    _, out, _ = run
    bundle = load_bundle(out / "tiny.seston")
    assert Classifier(bundle, kernels="reference").golden_difference() == 0
    assert Classifier(bundle).golden_difference() <= 1
    assert len(bundle.taxa) == 8


def test_training_hashes_are_those_of_the_images_not_held_back(run):
    _, out, _ = run
    data = drawn_dataset(24, RECIPE.preprocessing, RECIPE.seed)
    trained = folds(data.files)[0] != HELD_BACK_FOLD
    bundle = load_bundle(out / "tiny.seston")
    assert bundle.training_hashes == frozenset(data.select(trained).hashes)
    assert bundle.manifest.provenance.sources[-1].images == trained.sum()
    confusion = np.array(bundle.manifest.confusion)
    np.testing.assert_array_equal(confusion.sum(axis=1), np.bincount(data.labels[~trained], minlength=8))


def test_the_confusion_matrix_is_what_the_bundle_itself_answers(run):
    _, out, _ = run
    bundle = load_bundle(out / "tiny.seston")
    data = drawn_dataset(24, RECIPE.preprocessing, RECIPE.seed)
    held_back = folds(data.files)[0] == HELD_BACK_FOLD
    classifier = Classifier(bundle)
    answers = np.array([classifier.infer(image).argmax() for image in data.images[held_back]])
    confusion = np.zeros((8, 8), dtype=int)
    np.add.at(confusion, (data.labels[held_back], answers), 1)
    np.testing.assert_array_equal(confusion, bundle.manifest.confusion)


def test_progress_is_told(run):
    result, _, steps = run
    assert result.scores.keys() == {"int8", "float"}
    for what in ("training", "settling"):
        told = [step for step in steps if step[0].startswith(what)]
        assert [step[1] for step in told] == list(range(1, told[-1][2] + 1))


def test_the_same_seed_gives_the_same_bundle(run, tmp_path):
    _, out, _ = run
    run_recipe(RECIPE, tmp_path, "seston train --drawn 24", lambda *_: None)
    assert load_bundle(tmp_path / "tiny.seston").sha256 == load_bundle(out / "tiny.seston").sha256


def test_weights_go_on_from_a_former_run_and_say_where_they_come_from(run, tmp_path):
    _, out, _ = run
    recipe = Recipe(
        name="next", drawn_per_kind=6, preprocessing=RECIPE.preprocessing, architecture=RECIPE.architecture,
        schedule=Schedule(epochs=1, batch=8), weights=str(out / "weights.npz"), hold_back=False, seed=4,
    )  # fmt: skip
    result = run_recipe(recipe, tmp_path, "", lambda *_: None)
    assert result.bundle is None
    with np.load(tmp_path / "weights.npz") as archive:
        text = archive["sources"].tobytes().decode()
    assert "seed 3" in text
    assert "seed 4" in text


def test_weights_that_are_none_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    (tmp_path / "text.npz").write_text("no")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "other.npz").read_bytes()[:-40])
    for name, sentence in (
        ("other.npz", "no weights of this"),
        ("text.npz", "cannot be used as weights"),
        ("cut.npz", "cannot be used as weights"),
        ("none.npz", "cannot be used as weights"),
    ):
        recipe = Recipe(name="x", drawn_per_kind=5, preprocessing=RECIPE.preprocessing,
                        architecture=RECIPE.architecture, weights=str(tmp_path / name))  # fmt: skip
        with pytest.raises(InputError, match=sentence):
            run_recipe(recipe, tmp_path / "out", "", lambda *_: None)


def test_a_class_that_the_split_leaves_without_images_is_named(tmp_path):
    import cv2

    for folder, number in (("A", 4), ("B", 1)):
        (tmp_path / folder).mkdir()
        for i in range(number):
            first = HELD_BACK_SECOND if folder == "B" else KEPT_SECOND
            name = f"SPC-PWSSC-{first}-{i:06d}-001-1-2-3-4.png"
            cv2.imwrite(str(tmp_path / folder / name), np.eye(9, dtype=np.uint8) * (100 + i))
    recipe = Recipe(name="x", dataset=str(tmp_path), preprocessing=RECIPE.preprocessing)
    with pytest.raises(InputError, match="leaves B without images after the split"):
        run_recipe(recipe, tmp_path / "out", "", lambda *_: None)
