"""`seston compare`: all contenders on the same images, none on what it was trained on, scores as defined."""

from __future__ import annotations

import json
from types import SimpleNamespace

import click
import cv2
import numpy as np
import pytest
from click.testing import CliRunner

import tools.compare as module
from edge.errors import BundleError, ConfigError, InputError
from edge.inference.bundle import image_hash, load_bundle
from edge.taxonomy import Taxon
from tools.compare import FLOAT_LOGITS, Contest, answer, compare, score
from training.baselines import Contender, Vignettes, read_vignettes
from training.bootstrap import Groups
from training.drawn import KINDS
from training.drawn_set import drawn_vignette
from training.split import HELD_BACK_FOLD, folds

CLASSES = ("bubble", "copepod", "sphere")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Three kinds of drawn particles, a folder each; names tell no acquisition."""
    folder = tmp_path_factory.mktemp("drawn") / "drawn"
    for kind in CLASSES:
        (folder / kind).mkdir(parents=True)
        for i in range(40):
            rng = np.random.default_rng((9, KINDS.index(kind), i))
            cv2.imwrite(
                str(folder / kind / f"{kind}-{i}.png"), drawn_vignette(kind, rng, rng.uniform(10, 40))
            )
    return folder


@pytest.fixture(scope="module")
def images(dataset):
    return read_vignettes(dataset)


def held_back(images: Vignettes) -> Vignettes:
    return images.select(folds(images.files)[0] == HELD_BACK_FOLD)


def run(*args):
    return CliRunner().invoke(compare, [str(arg) for arg in args], catch_exceptions=False)


class Knowing:
    """A classifier that knows the truth but for every nth image, where it takes the next class."""

    def __init__(self, images: Vignettes, every: int):
        self._of = {image_hash(pixels): i for i, pixels in enumerate(images.pixels)}
        self._labels, self._every = images.labels, every

    def scores(self, vignettes):
        at = [self._of[image_hash(pixels)] for pixels in vignettes]
        wrong = np.array([self._every > 0 and i % self._every == 0 for i in at])
        return np.eye(3, dtype=np.float32)[(self._labels[at] + wrong) % 3]


@pytest.fixture
def enter(monkeypatch, images):
    """Enter made-up bundles: name, how often it is wrong, hashes of its training images."""
    entered = {}

    def load(name):
        if name not in entered:
            return load_bundle(name)
        return entered[name][0]

    def enter(name, every=0, hashes=(), classes=CLASSES, living=(False, True, None)):
        taxa = tuple(Taxon(label=label, living=flag) for label, flag in zip(classes, living, strict=True))
        bundle = SimpleNamespace(
            name=name, classes=classes, taxa=taxa, model=bytes(700), training_hashes=frozenset(hashes),
            manifest=SimpleNamespace(class_taxon=(0, 1, 2)),
        )  # fmt: skip
        entered[name] = (bundle, Knowing(images, every))

    monkeypatch.setattr(module, "load_bundle", load)
    monkeypatch.setattr(module, "Classifier", lambda bundle: entered[bundle.name][1])
    return enter


# --- scores


def contest(labels, k=5, living=(1, 2, 4), rare=(4,), groups=None) -> Contest:
    n = len(labels)
    pixels = (np.zeros((2, 2), dtype=np.uint8),) * n
    files = tuple(map(str, range(n)))
    test = Vignettes("x", tuple("abcde"[:k]), files, pixels, labels, (b"",) * n)
    lives, few = (np.isin(np.arange(k), which) for which in (living, rare))
    return Contest(test, test, Groups(groups or files), lives, few, {"notes": []})


def test_scores_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics", reason="needs the train extra")
    rng = np.random.default_rng(1)
    labels = rng.choice(5, 400, p=[0.5, 0.2, 0.2, 0.0, 0.1])  # class 3 does not occur, but is answered
    answers = np.where(
        rng.random(400) < 0.6, labels, rng.integers(0, 6, 400)
    )  # 5 is no class of the data set
    scores, balanced = score(answers, contest(labels))
    for group, which in (("all", [0, 1, 2, 4]), ("living", [1, 2, 4]), ("rare", [4])):
        among = np.isin(labels, which)
        settings = {"labels": which, "average": "macro", "zero_division": 0}
        expected = {
            "accuracy": metrics.accuracy_score(labels[among], answers[among]),
            "balanced_accuracy": metrics.recall_score(labels, answers, **settings),
            "mean_recall": metrics.recall_score(labels, answers, **settings),
            "mean_precision": metrics.precision_score(labels, answers, **settings),
            "macro_f1": metrics.f1_score(labels, answers, **settings),
        }
        got = {name: value[0] for name, value in scores[group].items() if name != "bray_curtis"}
        assert got == pytest.approx(expected)
        for value, low, high in (scores[group][name] for name in expected):
            assert low < value < high
            assert high - low < 0.35
    assert 0 < scores["all"]["bray_curtis"][0] < 1
    assert balanced.shape == (1000,)
    assert balanced.mean() == pytest.approx(scores["all"]["balanced_accuracy"][0], abs=0.01)


def test_perfect_and_hopeless_answers():
    labels = np.arange(60) % 3
    perfect, _ = score(labels, contest(labels, 3, (0, 1), ()))
    assert perfect["all"]["balanced_accuracy"] == (1, 1, 1)
    assert perfect["all"]["bray_curtis"] == (0, 0, 0)
    assert perfect["rare"] == {}
    hopeless, _ = score(np.full(60, 3), contest(labels, 3, (0, 1), ()))
    assert hopeless["all"]["macro_f1"] == (0, 0, 0)
    assert hopeless["all"]["bray_curtis"] == (1, 1, 1)


def test_images_of_one_acquisition_widen_the_interval():
    rng = np.random.default_rng(2)
    groups = [f"g{i // 40}" for i in range(400)]
    right = np.repeat(rng.random(10) < 0.5, 40)  # an acquisition is right or wrong as a whole
    labels = rng.integers(0, 2, 400)
    answers = np.where(right, labels, 1 - labels)
    widths = []
    for by in (None, groups):
        scores, _ = score(answers, contest(labels, 2, (0,), (), by))
        _, low, high = scores["all"]["accuracy"]
        widths.append(high - low)
    assert widths[1] > 3 * widths[0]


def test_answers_are_matched_by_name():
    labels = np.array([0, 1, 2])
    test = contest(labels, 3).test
    table = np.array([[0.1, 0.2, 0.7, 0.0], [0.3, 0.3, 0.0, 0.4], [0.4, 0.1, 0.1, 0.4]], dtype=np.float32)
    # Two columns of one merged class are added up; "elsewhere" is no class of the data set.
    contender = Contender("x", ("b", "b", "a", "elsewhere"), 1, True, lambda _: table)
    assert answer(contender, test).tolist() == [0, 1, 1]
    contender = Contender("x", ("c", "b", "a", "elsewhere"), 1, True, lambda _: table)
    assert answer(contender, test).tolist() == [0, 3, 2]


# --- the command


def test_baselines_and_bundles_meet_on_the_same_images(dataset, images, enter, tmp_path):
    pytest.importorskip("sklearn", reason="needs the train extra")
    pytest.importorskip("xgboost", reason="needs the train extra")
    enter("good")
    enter("poor", every=2)
    files = ("--json", tmp_path / "c.json", "--markdown", tmp_path / "c.md")
    args = ("good", "poor", "xgboost", "random-forest", dataset, "--threshold", 21, *files)
    result = run(*args)
    assert result.exit_code == 0
    found = json.loads((tmp_path / "c.json").read_text())
    rows = {row["name"]: row for row in found["contenders"]}
    assert list(rows) == ["good", "poor", "xgboost", "random-forest"]
    n_test = len(held_back(images))
    assert sum(found["held_back_images"]) == n_test
    assert sum(found["training_images"]) == len(images) - n_test
    assert found["left_out"] == 0
    assert found["living"] == [False, True, False]  # as the first bundle says; None is not living
    assert rows["good"]["scores"]["all"]["balanced_accuracy"] == [1, 1, 1]
    assert rows["good"]["first_is_better"] is None
    assert rows["poor"]["first_is_better"] == 1
    assert rows["poor"]["scores"]["living"]["accuracy"][0] < 0.8
    assert rows["good"]["size_bytes"] == 700
    assert all(row["ms"] > 0 for row in rows.values())
    for name in ("xgboost", "random-forest"):
        assert rows[name]["scores"]["all"]["accuracy"][0] > 0.7
        assert rows[name]["size_bytes"] > 1000
    text = (tmp_path / "c.md").read_text()
    assert (
        "| model | kB | accuracy | precision | balanced accuracy | macro-F1 | Bray-Curtis | ms | P |" in text
    )
    assert "| good | 1 | 1.000 (1.00-1.00) |" in text
    assert "Rare living classes alone" in result.stdout
    assert "0 held-back images are not scored" in result.stdout
    assert "1 of 3 classes are living (bundle good)" in result.stdout

    run(*args)
    again = json.loads((tmp_path / "c.json").read_text())
    for row in (*again["contenders"], *found["contenders"]):
        row.pop("ms")
    assert again == found


def test_what_a_bundle_was_trained_on_is_never_scored(dataset, images, enter, tmp_path):
    test = held_back(images)
    enter("leaky", hashes=test.hashes[:5])
    enter("clean")
    result = run("clean", "leaky", dataset, "--json", tmp_path / "c.json")
    assert "5 held-back images are not scored" in result.stdout
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["left_out"] == 5
    assert sum(found["held_back_images"]) == len(test) - 5
    enter("all", hashes=test.hashes)
    with pytest.raises(InputError, match="no held-back image that trained no contender"):
        run("clean", "all", dataset)


def test_other_folds_can_be_held_back(dataset, images, enter, tmp_path):
    enter("clean")
    run("clean", dataset, "--fold", 0, "--fold", 3, "--json", tmp_path / "c.json")
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["folds"] == [0, 3]
    assert sum(found["held_back_images"]) == np.isin(folds(images.files)[0], [0, 3]).sum()


def test_the_float_network_of_a_run_is_read_from_its_answers(dataset, images, enter, tmp_path):
    test = held_back(images)
    enter("clean")
    logits = np.eye(3)[test.labels] * 9
    logits[0] = -logits[0]
    (tmp_path / "run").mkdir()
    save = tmp_path / "run" / FLOAT_LOGITS
    np.savez(save, files=test.files, logits=logits[:, [2, 0, 1]], classes=[CLASSES[i] for i in (2, 0, 1)])
    (tmp_path / "run" / "weights.npz").write_bytes(bytes(1234))
    run("clean", tmp_path / "run", dataset, "--json", tmp_path / "c.json")
    row = json.loads((tmp_path / "c.json").read_text())["contenders"][1]
    assert row["name"] == "run"
    assert row["size_bytes"] == 1234
    assert row["ms"] is None
    assert row["scores"]["all"]["accuracy"][0] == pytest.approx(1 - 1 / len(test), abs=1e-4)
    np.savez(save, files=test.files, logits=logits)  # no names: the data set's classes
    run("clean", tmp_path / "run", dataset, "--json", tmp_path / "d.json")
    assert json.loads((tmp_path / "d.json").read_text())["contenders"][1]["scores"] == row["scores"]
    np.savez(save, files=test.files, logits=logits[:, :2])
    with pytest.raises(InputError, match="2 columns, the data set 3 classes"):
        run("clean", tmp_path / "run", dataset)
    np.savez(save, files=test.files[1:], logits=logits[1:])  # it was not held back there, so it trained it
    assert "1 held-back images are not scored" in run(tmp_path / "run", dataset).stdout
    np.savez(save, files=["other.png"], logits=logits[:1])
    with pytest.raises(InputError, match="no held-back image that trained no contender"):
        run(tmp_path / "run", dataset)
    save.unlink()
    with pytest.raises(InputError, match=FLOAT_LOGITS):
        run(tmp_path / "run", dataset)


def test_a_forest_on_given_features(dataset, images, tmp_path):
    pytest.importorskip("sklearn", reason="needs the train extra")
    rng = np.random.default_rng(3)
    features = np.eye(3)[images.labels] + rng.normal(0, 0.1, (len(images), 3))
    np.savez(tmp_path / "f.npz", files=images.files, features=features)
    run("cnn-forest", dataset, "--features", tmp_path / "f.npz", "--json", tmp_path / "c.json")
    row = json.loads((tmp_path / "c.json").read_text())["contenders"][0]
    assert row["scores"]["all"]["accuracy"][0] == 1
    assert row["ms"] is None


def test_living_classes_may_come_from_a_file_or_by_words(dataset, enter, tmp_path):
    enter("mute", living=(None, None, None))
    taxonomy = tmp_path / "t.toml"
    taxonomy.write_text('limits = []\n[taxa]\nsphere = { living = true, parent = "x" }\n')
    run("mute", dataset, "--taxonomy", taxonomy, "--json", tmp_path / "c.json")
    assert json.loads((tmp_path / "c.json").read_text())["living"] == [False, False, True]
    run("mute", dataset, "--json", tmp_path / "c.json")
    assert json.loads((tmp_path / "c.json").read_text())["living"] == [False, True, True]  # a bubble
    taxonomy.write_text('[taxa]\nsphere = { living = "yes" }\n')
    with pytest.raises(ConfigError, match="living"):
        run("mute", dataset, "--taxonomy", taxonomy)


def test_merged_classes_are_merged_in_the_answers_too(dataset, enter, tmp_path):
    enter("poor", every=1)  # bubble for sphere, copepod for bubble, sphere for copepod
    run("poor", dataset, "--merge", "?u*=round", "--merge", "sphere=round", "--json", tmp_path / "c.json")
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["classes"] == ["copepod", "round"]
    n = found["held_back_images"]
    assert 0 < found["contenders"][0]["scores"]["all"]["accuracy"][0] < n[1] / sum(n)


def test_a_contender_that_knows_other_classes(dataset, enter):
    enter("partly", classes=("bubble", "copepod", "ball"))
    assert "partly does not know sphere" in run("partly", dataset).stdout
    enter("foreign", classes=("x", "y", "z"))
    with pytest.raises(InputError, match="knows no class of the data set"):
        run("foreign", dataset)


def test_bad_input_is_a_sentence(dataset, enter, tmp_path):
    enter("clean")
    with pytest.raises(InputError, match="lies in no folder"):
        run("clean", dataset, "--json", tmp_path / "no" / "c.json")
    with pytest.raises(InputError, match="is not there"):
        run("clean", tmp_path / "no.zip")
    with pytest.raises(BundleError, match="name of a shipped bundle"):
        run("xgbost", dataset)
    with pytest.raises(InputError, match="cannot be used"):
        run("cnn-forest", dataset, "--features", tmp_path / "no.npz")


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("clean", "clean"), "stands twice"),
        (("cnn-forest",), "go together"),
        (("clean", "--features", "x.npz"), "go together"),
        (("clean", "--merge", "hist_*"), "give PATTERN=NAME"),
        (("clean", "--fold", "5"), "0<=x<=4"),
    ],
)
def test_a_wrong_command_line_says_why(dataset, enter, args, word):
    enter("clean")
    names = [arg for arg in args[:2] if not arg.startswith("--") and not arg.endswith(".npz")]
    result = run(*names, dataset, *args[len(names) :])
    assert result.exit_code == click.UsageError.exit_code
    assert word in result.stderr


def test_the_shipped_demo_can_be_compared(dataset, tmp_path):
    try:
        load_bundle("demo")
    except BundleError as error:
        pytest.skip(f"needs the shipped demo bundle: {error}")
    run("demo", dataset, "--json", tmp_path / "c.json")
    row = json.loads((tmp_path / "c.json").read_text())["contenders"][0]
    assert row["scores"]["all"]["accuracy"][0] > 0.8
    assert 0 < row["ms"] < 1000
