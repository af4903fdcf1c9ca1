"""From drawn particles to a bundle that proves itself: the real way, small."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import cv2
import msgspec
import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the train extra")
pytest.importorskip("tensorflow", reason="needs the train extra")

from edge.errors import BundleError, ConfigError, InputError
from edge.inference.bundle import load_bundle
from edge.inference.classifier import Classifier
from edge.inference.engine import views
from edge.inference.preprocessing import Preprocessing
from edge.optics import Polarity
from tests.conftest import ROOT
from training import ONE_THREAD
from training.crossval import ANSWERS, SCORES, cross_validate
from training.fit import Schedule, predict
from training.from_bundle import dequantize, read_recipe_of
from training.model import Architecture
from training.recipe import (
    BeginSection,
    DataSection,
    DecisionSection,
    QuantizationSection,
    Recipe,
    Settling,
    read_recipe,
    write_recipe,
)
from training.run import INT8_ANSWERS, Watcher, prepare_data, quantize, train
from training.split import HELD_BACK_FOLD, fold
from training.weights import begin, seeing_side, trained_network

SETTLING = Settling(epochs=1, batch=16, rate=1e-3)
RECIPE = Recipe(
    name="tiny",
    seed=3,
    data=DataSection(drawn_per_kind=24),
    preprocessing=Preprocessing(size_px=32, black_permille=100, numbers=True, views=2),
    architecture=Architecture(alpha=0.1, stages=2, features=32, hidden=8, momentum=0.8),
    schedule=Schedule(epochs=2, batch=16, rate=3e-3, decay=0.01),
    quantization=QuantizationSection(
        settling=SETTLING, normalisation_batches=12, least_agreement=0.3, most_loss=0.4
    ),
    decision=DecisionSection(prior_power=0.3),
)

HELD_BACK_SECOND = next(s for s in range(90_000, 99_000) if fold(f"SPC-PWSSC-{s}") == HELD_BACK_FOLD)
KEPT_SECOND = next(s for s in range(100_000, 109_000) if fold(f"SPC-PWSSC-{s}") != HELD_BACK_FOLD)


class Told:
    """Gathers what a watcher is told."""

    def __init__(self):
        self.stages, self.steps, self.epochs = [], [], []
        self.watcher = Watcher(
            self.stages.append, self.steps.append, lambda stage, end: self.epochs.append((stage, end))
        )


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out, told = tmp_path_factory.mktemp("run"), Told()
    prepared = train(RECIPE, out, told.watcher)
    return quantize(out, "seston retrain --drawn 24", told.watcher, prepared), prepared, out, told


def test_the_bundle_reproduces_its_goldens_and_tells_how_it_was_made(done):
    bundle, prepared, out, _ = done
    found = load_bundle(out / "tiny.seston")
    assert found.sha256 == bundle.sha256
    assert Classifier(found, kernels="reference").golden_difference() == 0
    assert Classifier(found).golden_difference() <= 1
    assert len(found.classes) == len(found.taxa) == 8
    assert found.manifest.source_classes == {name: name for name in found.classes}
    assert read_recipe_of(found) == RECIPE
    assert read_recipe(out) == RECIPE
    assert found.training_hashes == {
        prepared.data.hashes[i] for i in np.flatnonzero(prepared.split.train).tolist()
    }
    assert (out / "card.md").read_text() == found.card
    parity = json.loads((out / "parity.json").read_text())
    assert parity["n_images"] == prepared.split.held_back.sum()
    assert parity["worst"]


def test_the_confusion_matrix_is_what_the_bundle_itself_answers(done):
    bundle, prepared, _, _ = done
    classifier, held_back = Classifier(bundle), prepared.held_back
    answers = [
        int(classifier.logits_of(image, numbers).argmax())
        for image, numbers in zip(held_back.images, held_back.numbers, strict=True)
    ]
    confusion = np.zeros((8, 8), dtype=int)
    np.add.at(confusion, (held_back.labels, answers), 1)
    np.testing.assert_array_equal(confusion, bundle.manifest.confusion)


def test_progress_is_told_and_logged_for_tensorboard(done):
    _, _, out, told = done
    assert told.stages[:2] == ["reading images", "training"]
    assert {"settling", "converting", "writing the bundle"} <= set(told.stages)
    assert [end.epoch for stage, end in told.epochs if stage == "training"] == [0, 1]
    assert all(0 <= end.balanced_accuracy <= 1 for _, end in told.epochs)
    for stage in ("training", "settling"):
        assert list((out / "tensorboard" / stage).glob("events.out.tfevents.*"))


def test_the_same_seed_gives_the_same_bundle_also_after_an_interruption(done, tmp_path):
    bundle, _, _, _ = done

    class StopError(Exception):
        pass

    def stop(stage, end):
        raise StopError

    for stopped in (lambda: train(RECIPE, tmp_path, Watcher(epoch=stop)),):
        with pytest.raises(StopError):
            stopped()
    train(RECIPE, tmp_path, Watcher())
    with pytest.raises(StopError):
        quantize(tmp_path, "seston retrain --drawn 24", Watcher(epoch=stop))
    again = quantize(tmp_path, "seston retrain --drawn 24", Watcher())
    assert again.sha256 == bundle.sha256


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_the_same_seed_gives_the_same_weights_on_any_number_of_cores(tmp_path):
    script = (
        "import os, sys; os.sched_setaffinity(0, set(map(int, sys.argv[1].split(','))));"
        "from pathlib import Path; from tests.training.test_run import RECIPE;"
        "from training.run import Watcher, train; train(RECIPE, Path(sys.argv[2]), Watcher())"
    )
    free = {name: value for name, value in os.environ.items() if name not in ONE_THREAD}
    cores = sorted(os.sched_getaffinity(0))
    found = []
    for n in (1, len(cores)):
        out = tmp_path / str(n)
        command = [sys.executable, "-c", script, ",".join(map(str, cores[:n])), str(out)]
        subprocess.run(command, check=True, env=free, cwd=ROOT, capture_output=True)
        with np.load(out / "weights.npz") as stored:
            found.append({name: stored[name].tobytes() for name in stored.files})
    assert found[0] == found[1]


def test_a_teacher_may_have_another_side_but_not_see_other_pictures(done, tmp_path):
    _, prepared, out, _ = done
    model = trained_network(out, RECIPE)[0]
    wider = seeing_side(model, 48)
    few = prepared.held_back
    images = few.images[:6].repeat(2, axis=1).repeat(2, axis=2)[:, 8:56, 8:56]
    small = np.stack([cv2.resize(one[..., 0], (32, 32), interpolation=cv2.INTER_LINEAR) for one in images])
    asked = few._replace(images=images, numbers=few.numbers[:6], labels=few.labels[:6])
    own = asked._replace(images=np.ascontiguousarray(small[..., np.newaxis]))
    np.testing.assert_allclose(predict(wider, asked), predict(model, own), atol=0.1)
    pupil = msgspec.structs.replace(
        RECIPE,
        begin=BeginSection(teacher=str(out)),
        schedule=msgspec.structs.replace(RECIPE.schedule, epochs=1, distil=0.5),
        preprocessing=msgspec.structs.replace(RECIPE.preprocessing, size_px=40),
    )
    train(pupil, tmp_path / "pupil", Watcher())
    wrong_way = msgspec.structs.replace(pupil.data, polarity=Polarity.BRIGHT_FIELD)
    with pytest.raises(InputError, match="learnt from dark-field images, its pupil from bright-field ones"):
        train(msgspec.structs.replace(pupil, data=wrong_way), tmp_path / "way", Watcher())
    stored = dict(np.load(out / "weights.npz"))
    stored["classes"] = stored["classes"][::-1]
    swapped = tmp_path / "swapped"
    swapped.mkdir()
    np.savez(swapped / "weights.npz", **stored)
    (swapped / "run.toml").write_text((out / "run.toml").read_text())
    taught = msgspec.structs.replace(pupil, begin=BeginSection(teacher=str(swapped)))
    with pytest.raises(InputError, match="tells other classes apart than the network it should teach"):
        train(taught, tmp_path / "order", Watcher())
    other = msgspec.structs.replace(pupil.preprocessing, black_permille=0)
    with pytest.raises(InputError, match="sees other pictures than the network it should teach"):
        train(msgspec.structs.replace(pupil, preprocessing=other), tmp_path / "other", Watcher())


def test_a_gate_refuses_int8_that_lost_too_much(done, tmp_path):
    _, prepared, out, _ = done
    strict = msgspec.structs.replace(RECIPE.quantization, least_agreement=1.0)
    (tmp_path / "run.toml").write_text(write_recipe(msgspec.structs.replace(RECIPE, quantization=strict)))
    (tmp_path / "weights.npz").write_bytes((out / "weights.npz").read_bytes())
    with pytest.raises(BundleError, match=r"model\.tflite: int8 and float agree on"):
        quantize(tmp_path, "", Watcher(), prepared)
    assert not list(tmp_path.glob("*.seston"))
    assert (tmp_path / "parity.json").is_file()


def test_it_goes_on_from_a_bundle_alone(done):
    """A float network with the int8 model's weights says what the network that became int8 says."""
    _, _, out, _ = done
    recipe = msgspec.structs.replace(RECIPE, begin=BeginSection(bundle=str(out / "tiny.seston")))
    prepared = prepare_data(recipe)
    model, sources = begin(recipe, prepared)
    assert "weights to begin with (bundle" in sources[-1].use
    with np.load(out / INT8_ANSWERS) as stored:
        settled = stored["settled_logits"]
    held_back, logits = prepared.held_back, []
    for turned in range(2):
        ways = [views(image, 2)[turned] for image in held_back.images]
        logits.append(predict(model, held_back._replace(images=np.stack(ways))))
    mine = np.mean(logits, axis=0)
    assert np.abs(mine - settled).max() < 0.1 * np.ptp(settled)
    assert np.corrcoef(mine.ravel(), settled.ravel())[0, 1] > 0.99


def test_merged_and_new_classes_begin_from_those_of_the_bundle(done, tmp_path):
    _, _, out, _ = done
    taxonomy = tmp_path / "merged.toml"
    taxonomy.write_text('[classes]\nfibre = "thread"\ntuft = "thread"\nbubble = ""\n')
    begin_with = BeginSection(bundle=str(out / "tiny.seston"))
    data = msgspec.structs.replace(RECIPE.data, taxonomy=str(taxonomy), drawn_per_kind=8)
    recipe = msgspec.structs.replace(RECIPE, begin=begin_with, data=data)
    prepared = prepare_data(recipe)
    model, _ = begin(recipe, prepared)
    classes = prepared.data.taxonomy.classes
    assert "thread" in classes
    assert "bubble" not in classes
    kernel = np.asarray(model.get_layer("logits").kernel)
    head = dequantize(load_bundle(out / "tiny.seston").model)[-1].kernel
    old = load_bundle(out / "tiny.seston").classes
    np.testing.assert_allclose(
        kernel[:, classes.index("thread")], head[:, [old.index("fibre"), old.index("tuft")]].mean(axis=1)
    )
    np.testing.assert_array_equal(kernel[:, classes.index("bell")], head[:, old.index("bell")])
    other = msgspec.structs.replace(RECIPE.architecture, alpha=0.2)
    with pytest.raises(InputError, match="network of another architecture"):
        begin(msgspec.structs.replace(recipe, architecture=other), prepared)


def test_every_image_is_held_back_once_in_a_cross_validation(tmp_path):
    quick = msgspec.structs.replace(
        RECIPE,
        data=msgspec.structs.replace(RECIPE.data, drawn_per_kind=10),
        schedule=Schedule(epochs=1, batch=16, rate=3e-3),
    )
    scores = cross_validate(quick, tmp_path, Watcher())
    with np.load(tmp_path / ANSWERS) as stored:
        assert len(set(stored["files"].tolist())) == len(stored["files"]) == 80
        assert stored["logits"].shape == stored["float_logits"].shape == (80, 8)
        right = (stored["logits"].argmax(axis=1) == stored["labels"]).mean()
    assert scores["int8"]["accuracy"] == pytest.approx(right, abs=1e-4)
    assert json.loads((tmp_path / SCORES).read_text())["scores"] == scores
    before = (tmp_path / "fold-3" / INT8_ANSWERS).stat().st_mtime_ns
    assert cross_validate(quick, tmp_path, Watcher()) == scores
    assert (tmp_path / "fold-3" / INT8_ANSWERS).stat().st_mtime_ns == before


def test_weights_go_on_from_a_former_run_and_say_where_they_come_from(done, tmp_path):
    _, _, out, _ = done
    data = DataSection(drawn_per_kind=6, held_back=())
    recipe = msgspec.structs.replace(
        RECIPE, seed=4, data=data, begin=BeginSection(weights=str(out / "weights.npz"))
    )
    train(recipe, tmp_path, Watcher())
    with np.load(tmp_path / "weights.npz") as archive:
        text = archive["sources"].tobytes().decode()
    assert "seed 3" in text
    assert "seed 4" in text
    with pytest.raises(InputError, match=r"data\.held_back: held nothing back"):
        quantize(tmp_path, "", Watcher())


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
        recipe = msgspec.structs.replace(
            RECIPE, data=DataSection(drawn_per_kind=24), begin=BeginSection(weights=str(tmp_path / name))
        )
        with pytest.raises(InputError, match=sentence):
            train(recipe, tmp_path / "out", Watcher())
    with pytest.raises(InputError, match=r"weights\.npz: is not there; finish `seston train` first"):
        quantize(tmp_path / "out", "", Watcher())


def test_a_class_that_the_split_leaves_without_images_is_named(tmp_path):
    import cv2

    for folder, number in (("A", 4), ("B", 1)):
        (tmp_path / folder).mkdir()
        for i in range(number):
            first = HELD_BACK_SECOND if folder == "B" else KEPT_SECOND
            name = f"SPC-PWSSC-{first}-{i:06d}-001-1-2-3-4.png"
            noise = np.random.default_rng((i, number)).integers(0, 255, (20, 20), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / folder / name), noise)
    recipe = msgspec.structs.replace(RECIPE, data=DataSection(dataset=str(tmp_path)))
    with pytest.raises(InputError, match="leaves B without images after the split"):
        train(recipe, tmp_path / "out", Watcher())


def test_a_recipe_goes_round_and_leaves_this_machine_out():
    data = DataSection(dataset="/somewhere/else/x.zip", taxonomy="/somewhere/t.toml")
    recipe = msgspec.structs.replace(RECIPE, data=data)
    text = write_recipe(recipe, names_only=True)
    assert "somewhere" not in text
    assert 'dataset = "x.zip"' in text
    with pytest.raises(ConfigError, match="is not there"):
        read_recipe("/nowhere/run.toml")


def test_a_full_disk_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        train(RECIPE, tmp_path / "file" / "out", Watcher())


def test_classes_that_are_left_out_are_unknown_to_the_model(tmp_path):
    data = msgspec.structs.replace(RECIPE.data, leave_out=("fibre", "bell"))
    recipe = msgspec.structs.replace(RECIPE, data=data)
    prepared = train(recipe, tmp_path, Watcher())
    bundle = quantize(tmp_path, "", Watcher(), prepared)
    assert len(bundle.classes) == 6
    assert "fibre" not in bundle.classes
    assert bundle.manifest.source_classes["fibre"] == ""
    told = bundle.manifest.facts["unknown"]
    assert told["images of them"] == 48
    assert 0 <= told["area under the ROC curve, evidence"] <= 1
    assert "fibre, bell" in bundle.card
    for names, sentence in ((("fish",), "names fish, which is no class"), (bundle.classes, "fewer than two")):
        wrong = msgspec.structs.replace(RECIPE.data, leave_out=names)
        if names != ("fish",):
            wrong = msgspec.structs.replace(wrong, leave_out=(*names, "fibre"))
        with pytest.raises(InputError, match=sentence):
            prepare_data(msgspec.structs.replace(RECIPE, data=wrong))
