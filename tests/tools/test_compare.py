"""`seston compare`: all contenders on the same images, none on what it was trained on, scores as defined."""

from __future__ import annotations

import dataclasses
import json

import click
import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge.errors import BundleError, ConfigError, InputError
from edge.inference.bundle import SUFFIX, image_hash, load_bundle
from edge.taxonomy import Taxon
from tests.training.tiny_model import SIDE, SPEC, quarter, taxonomy, trained
from tools.compare import compare
from tools.comparing.contenders import Contender, read_answers
from tools.comparing.contest import Contest, Vignettes
from tools.comparing.scores import answer, score
from training.bootstrap import Groups
from training.bundle_export import make_bundle, publish_bundle
from training.datasets import read_dataset
from training.drawn import KINDS
from training.drawn_set import drawn_vignette
from training.ecotaxa_write import write_archive
from training.split import fold, split_dataset
from training.taxonomy_file import read_taxonomy


def run(*args):
    return CliRunner().invoke(compare, [str(arg) for arg in args], catch_exceptions=False)


# --- scores


def contest(labels, k=5, living=(1, 2, 4), rare=(4,), groups=None) -> Contest:
    n = len(labels)
    pixels = (np.zeros((2, 2), dtype=np.uint8),) * n
    files = tuple(map(str, range(n)))
    test = Vignettes(files, pixels, labels)
    taxonomy = read_taxonomy(None, {name: Taxon(label=name) for name in "abcde"[:k]})
    lives, few = (np.isin(np.arange(k), which) for which in (living, rare))
    return Contest(taxonomy, test, test, Groups(groups or files), lives, few, {"notes": []})


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
    # Two columns of one class are added up; "elsewhere" is no class of the data set.
    contender = Contender("x", ("b", "b", "a", "elsewhere"), 1, True, lambda _: table)
    assert answer(contender, test, ("a", "b", "c")).tolist() == [0, 1, 1]
    contender = Contender("x", ("c", "b", "a", "elsewhere"), 1, True, lambda _: table)
    assert answer(contender, test, ("a", "b", "c")).tolist() == [0, 3, 2]


# --- bundles: the brightest quarter of the picture is its class

FOLDERS = ("Acartia", "Calanus__61", "Snow", "Snow_chain")
N = 30


def mottled(rng: np.random.Generator, i: int) -> np.ndarray:
    """Quarter `i` is the brightest; the rest is like no other picture."""
    grey = rng.integers(0, 150, (SIDE, SIDE))
    grey[quarter(i)] += 100
    return grey.astype(np.uint8)


def write(folder, name, image):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(folder / name), image)


@pytest.fixture
def quarters(tmp_path):
    """Pictures of the four classes, in folders."""
    rng = np.random.default_rng(9)
    for i, name in enumerate(FOLDERS):
        for number in range(N):
            write(tmp_path / "quarters", f"{name}/{name}-{number:02d}.png", mottled(rng, i))
    return tmp_path / "quarters"


def bundle(folder, name, classes=("Acartia", "Calanus", "Snow", "Snow_chain"), **fields):
    """A bundle of the tiny network; its outputs may go by other names than those of the quarters."""
    if "taxonomy" not in fields:
        fields["taxonomy"] = dataclasses.replace(taxonomy(), classes=classes)
    folder.mkdir(exist_ok=True)
    return publish_bundle(
        make_bundle(trained(name=name, **fields), precision=0.8, study_draws=1), folder / f"{name}{SUFFIX}"
    ).path


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return bundle(tmp_path_factory.mktemp("good"), "good")


def split_of(folder, held_back=(1,)):
    data = read_dataset(folder, SPEC)
    return data, split_dataset(data, held_back)


def told(tmp_path, *args) -> dict:
    result = run(*args, "--json", tmp_path / "c.json")
    assert result.exit_code == 0, result.output
    return json.loads((tmp_path / "c.json").read_text())


def test_two_bundles_meet_on_the_images_that_a_training_holds_back(quarters, good, tmp_path):
    poor = bundle(tmp_path / "b", "poor", ("Calanus", "Acartia", "Snow", "Snow_chain"))
    result = run(good, poor, quarters, "--json", tmp_path / "c.json", "--markdown", tmp_path / "c.md")
    found = json.loads((tmp_path / "c.json").read_text())
    data, split = split_of(quarters)
    assert found["classes"] == ["Acartia", "Calanus", "Snow", "Snow_chain"]
    assert found["training_images"] == np.bincount(data.labels[split.train]).tolist()
    assert found["held_back_images"] == np.bincount(data.labels[split.held_back]).tolist()
    assert found["left_out"] == 0
    assert found["split"] == split.rule
    assert found["living"] == [True, True, False, False]  # as the first bundle says
    first, second = found["contenders"]
    assert [first["name"], second["name"]] == [f"good{SUFFIX}", f"poor{SUFFIX}"]
    assert first["scores"]["all"]["balanced_accuracy"] == [1, 1, 1]
    assert first["first_is_better"] is None
    assert second["first_is_better"] == 1
    assert second["scores"]["all"]["balanced_accuracy"][0] == 0.5
    assert second["scores"]["living"]["accuracy"] == [0, 0, 0]
    assert first["size_bytes"] == len(load_bundle(good).model)
    assert first["ms"] > 0
    text = (tmp_path / "c.md").read_text()
    head = "| model | kB | accuracy | precision | balanced accuracy | macro-F1 | Bray-Curtis | ms | P |"
    assert head in text
    assert "| 1.000 (1.00-1.00) |" in text
    assert "Rare living classes alone" in result.stdout
    assert "0 held-back images are not scored" in result.stdout
    assert "2 of 4 classes are living (bundle good)" in result.stdout


def test_what_a_bundle_was_trained_on_is_never_scored(quarters, good, tmp_path):
    data, split = split_of(quarters)
    held_back = [data.hashes[i] for i in np.flatnonzero(split.held_back)]
    leaky = bundle(tmp_path / "b", "leaky", training_hashes=tuple(held_back[:5]))
    result = run(good, leaky, quarters, "--json", tmp_path / "c.json")
    assert "5 held-back images are not scored" in result.stdout
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["left_out"] == 5
    assert sum(found["held_back_images"]) == len(held_back) - 5
    knows_all = bundle(tmp_path / "b", "all", training_hashes=tuple(held_back))
    with pytest.raises(InputError, match="no held-back image that trained no contender"):
        run(good, knows_all, quarters)


def test_twins_never_cross_the_split(quarters, good, tmp_path):
    data, split = split_of(quarters)
    image = cv2.imread(str(quarters / data.files[np.flatnonzero(split.held_back)[0]]), cv2.IMREAD_GRAYSCALE)
    twin = image + (image < 200).astype(np.uint8)  # other bytes, the same particle
    number = next(i for i in range(100) if fold(f"twin-{i}.png") != 1)
    write(quarters, f"Acartia/twin-{number}.png", twin)
    found = told(tmp_path, good, quarters)
    assert sum(found["training_images"]) == split.train.sum()
    assert any("1 images are not learnt from" in note for note in found["notes"])
    assert found["left_out"] == 0
    knows = bundle(tmp_path / "b", "knows", training_hashes=(image_hash(twin),))
    found = told(tmp_path, good, knows, quarters)
    assert found["left_out"] == 1
    assert sum(found["held_back_images"]) == split.held_back.sum() - 1


def test_other_folds_can_be_held_back(quarters, good, tmp_path):
    found = told(tmp_path, good, quarters, "--fold", 0, "--fold", 3)
    assert found["folds"] == [0, 3]
    assert sum(found["held_back_images"]) == split_of(quarters, (0, 3))[1].held_back.sum()


def test_a_taxonomy_merges_renames_drops_and_says_what_lives(quarters, good, tmp_path):
    file = tmp_path / "t.toml"
    file.write_text(
        '[classes]\n"Snow*" = "flakes"\nAcartia = ""\n[taxa]\nCalanus = { living = false }\n'
        "flakes = { living = true }\n"
    )
    found = told(tmp_path, good, quarters, "--taxonomy", file)
    assert found["classes"] == ["Calanus", "flakes"]
    assert found["living"] == [False, True]
    assert sum(found["training_images"]) + sum(found["held_back_images"]) == 3 * N
    # Both of the bundle's classes of snow are flakes; what it takes for Acartia would be wrong.
    assert found["contenders"][0]["scores"]["all"]["accuracy"][0] == 1
    file.write_text('[taxa]\nSnow = { living = "yes" }\n')
    with pytest.raises(ConfigError, match="living"):
        run(good, quarters, "--taxonomy", file)


def test_without_a_taxonomy_folders_are_what_they_were_to_the_first_bundle(quarters, good, tmp_path):
    rng = np.random.default_rng(3)
    for number in range(8):
        write(quarters, f"Blur/blur-{number}.png", mottled(rng, 0))
        write(quarters, f"Neither/neither-{number}.png", mottled(rng, 1))
    (quarters / "Calanus__61").rename(quarters / "Cala")
    sources = taxonomy().source_classes | {"Cala": "Calanus"}
    knows = dataclasses.replace(taxonomy(), source_classes=sources)
    knowing = bundle(tmp_path / "b", "knowing", taxonomy=knows)
    found = told(tmp_path, knowing, good, quarters)
    assert found["classes"] == ["Acartia", "Calanus", "Neither", "Snow", "Snow_chain"]
    notes = "\n".join(found["notes"])
    assert "Folders were taken as knowing was trained on them; dropped: Blur." in notes
    assert "does not know Neither: never right there." in notes
    assert found["contenders"][0]["scores"] == found["contenders"][1]["scores"]


def test_words_say_what_lives_where_nothing_else_does(quarters, tmp_path):
    silent = tuple(dataclasses.replace(taxonomy(), taxa=tuple(Taxon(label=x) for x in ("A", "B", "C"))).taxa)
    names = ("Acartia", "bubble_a", "Snow", "detritus")
    mute = bundle(
        tmp_path / "b",
        "mute",
        taxonomy=dataclasses.replace(taxonomy(), classes=names, taxa=silent, parents=()),
    )
    (quarters / "Calanus__61").rename(quarters / "bubble_a")
    (quarters / "Snow_chain").rename(quarters / "detritus")
    found = told(tmp_path, mute, quarters)
    assert dict(zip(found["classes"], found["living"], strict=True)) == {
        "Acartia": True, "Snow": True, "bubble_a": False, "detritus": False,
    }  # fmt: skip


def test_a_bundle_that_knows_no_class(quarters, tmp_path):
    for i, name in enumerate(FOLDERS):
        (quarters / name).rename(quarters / f"other {i}")
    good = bundle(tmp_path / "b", "good")
    with pytest.raises(InputError, match=r"knows no class of the data set; .* --taxonomy"):
        run(good, quarters)


def test_bad_input_is_a_sentence(quarters, good, tmp_path):
    with pytest.raises(InputError, match="lies in no folder"):
        run(good, quarters, "--json", tmp_path / "no" / "c.json")
    with pytest.raises(InputError, match="is not there"):
        run(good, tmp_path / "no.zip")
    with pytest.raises(BundleError, match="name of a shipped bundle"):
        run("xgbost", quarters)
    with pytest.raises(BundleError, match="name of a shipped bundle"):
        run("cnn-forest", quarters, "--network", "nothing")


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("good", "good"), "stands twice"),
        (("cnn-forest",), "give --network"),
        (("xgboost", "--network", "darkfield"), "cnn-forest, which is no contender"),
        (("good", "--fold", "5"), "0<=x<=4"),
    ],
)
def test_a_wrong_command_line_says_why(quarters, args, word):
    n = next((i for i, arg in enumerate(args) if arg.startswith("--")), len(args))
    result = run(*args[:n], quarters, *args[n:])
    assert result.exit_code == click.UsageError.exit_code
    assert word in result.stderr


# --- baselines and runs, on drawn particles

KNOWN = ("bubble", "copepod", "sphere")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Three kinds of drawn particles, a folder each; names tell no acquisition."""
    folder = tmp_path_factory.mktemp("drawn") / "drawn"
    for kind in KNOWN:
        for i in range(40):
            rng = np.random.default_rng((9, KINDS.index(kind), i))
            write(folder, f"{kind}/{kind}-{i}.png", drawn_vignette(kind, rng, rng.uniform(10, 40)))
    return folder


@pytest.fixture(scope="module")
def trained_run(drawn, tmp_path_factory):
    """A run that was really trained on them, if only a little, and with two classes merged."""
    pytest.importorskip("tensorflow", reason="needs the train extra")
    from edge.inference.preprocessing import Preprocessing
    from training.fit import Schedule
    from training.model import Architecture
    from training.recipe import DataSection, Recipe
    from training.run import Watcher, train

    folder = tmp_path_factory.mktemp("run")
    (folder / "round.toml").write_text('[classes]\nbubble = "round"\nsphere = "round"\n')
    recipe = Recipe(
        name="small",
        data=DataSection(dataset=str(drawn), taxonomy=str(folder / "round.toml")),
        preprocessing=Preprocessing(size_px=32, numbers=True),
        architecture=Architecture(alpha=0.1, stages=2, features=32, hidden=8, momentum=0.8),
        schedule=Schedule(epochs=4, batch=16, rate=5e-3),
    )
    train(recipe, folder / "small", Watcher())
    return folder / "small"


def demo():
    try:
        return load_bundle("demo")
    except BundleError as error:
        pytest.skip(f"needs the shipped demo bundle: {error}")


def test_bundle_and_baselines_side_by_side(drawn, tmp_path):
    for package in ("sklearn", "xgboost", "tensorflow"):
        pytest.importorskip(package, reason="needs the train extra")
    demo()
    args = ("demo", "xgboost", "random-forest", "cnn-forest", drawn, "--threshold", 21)
    found = told(tmp_path, *args)
    rows = {row["name"]: row for row in found["contenders"]}
    assert list(rows) == ["demo", "xgboost", "random-forest", "cnn-forest"]
    for row in rows.values():
        assert row["scores"]["all"]["accuracy"][0] > 0.7
        assert row["size_bytes"] > 1000
    assert all(rows[name]["ms"] > 0 for name in ("demo", "xgboost", "random-forest"))
    assert rows["cnn-forest"]["ms"] is None
    assert found["threshold"] == 21
    assert any("50 components of the 640 features of demo in float" in note for note in found["notes"])
    (_, again) = told(tmp_path, "demo", "cnn-forest", drawn)["contenders"]
    assert again == rows["cnn-forest"]


def test_a_run_enters_with_its_answers_and_lends_its_network(drawn, trained_run, tmp_path):
    pytest.importorskip("sklearn", reason="needs the train extra")
    merged = ("--taxonomy", trained_run.parent / "round.toml")
    found = told(tmp_path, trained_run, "cnn-forest", drawn, *merged)
    row, forest = found["contenders"]
    with np.load(trained_run / "float_held_back.npz") as stored:
        labels, logits = stored["labels"], stored["logits"]
    assert found["classes"] == ["copepod", "round"]
    assert sum(found["held_back_images"]) == len(labels)  # the very images that the run held back
    assert found["left_out"] == 0
    accuracy = (logits.argmax(axis=1) == labels).mean()
    assert row["scores"]["all"]["accuracy"][0] == pytest.approx(accuracy, abs=1e-4)
    assert row["size_bytes"] == (trained_run / "weights.npz").stat().st_size
    assert row["ms"] is None
    assert forest["scores"]["all"]["accuracy"][0] > 0.7
    assert any("features of small in float" in note for note in found["notes"])
    # Without the taxonomy two of three classes are strange to it: the notes say so.
    result = run(trained_run, drawn)
    assert "small does not know bubble, sphere: never right there." in result.stdout.replace("\n", " ")
    assert "does not know" not in run("cnn-forest", drawn, "--network", trained_run).stdout


def test_the_features_of_a_run_are_what_its_head_reads(drawn, trained_run):
    from training.network_features import features_of_run

    answers = read_answers(trained_run / "float_held_back.npz")
    data = read_dataset(drawn, SPEC, keep_pixels=True)
    pixels = dict(zip(data.files, data.pixels, strict=True))
    table = features_of_run(trained_run).table([pixels[file] for file in answers.row])
    assert table.shape == (len(answers.row), 32 + 8)
    with np.load(trained_run / "weights.npz") as weights:
        logits = table @ weights["logits/kernel"] + weights["logits/bias"]
    np.testing.assert_allclose(logits, answers.logits, atol=1e-4)


def test_what_a_run_did_not_hold_back_is_not_scored(drawn, trained_run, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "run.toml").write_bytes((trained_run / "run.toml").read_bytes())
    with np.load(trained_run / "float_held_back.npz") as stored:
        arrays = dict(stored)
    arrays["classes"] = np.array(KNOWN[1:])  # copepod, sphere

    def keep(part) -> None:
        some = {name: arrays[name][part] for name in ("files", "labels", "logits")}
        np.savez(copy / "float_held_back.npz", classes=arrays["classes"], **some)

    keep(slice(1, None))
    result = run(copy, drawn)
    assert "1 held-back images are not scored" in result.stdout
    arrays["files"] = np.array([f"elsewhere/{i}.png" for i in range(len(arrays["files"]))])
    keep(slice(None))
    with pytest.raises(InputError, match="no held-back image that trained no contender"):
        run(copy, drawn)
    (copy / "float_held_back.npz").unlink()
    with pytest.raises(InputError, match=r"float_held_back\.npz: cannot be used .*; finish `seston train`"):
        run(copy, drawn)
    (copy / "run.toml").unlink()
    with pytest.raises(ConfigError, match=r"run\.toml"):
        run(copy, drawn)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"logits": np.zeros((1, 2))}, "2 files, 2 classes, and logits of shape"),
        ({"logits": np.zeros(4)}, "shape"),
        ({"classes": np.array(["x"])}, "1 classes"),
        ({"logits": np.full((2, 2), np.nan)}, "not finite"),
        ({"logits": np.array([["x", "y"]] * 2)}, "cannot be used"),
        ({"files": np.array([object(), None])}, "cannot be used"),
    ],
)
def test_answers_that_do_not_fit_are_refused(tmp_path, changed, word):
    arrays = {"files": np.array(["a", "b"]), "logits": np.eye(2), "classes": np.array(["x", "y"])}
    np.savez(tmp_path / "f.npz", **(arrays | changed))
    with pytest.raises(InputError, match=word) as caught:
        read_answers(tmp_path / "f.npz")
    assert str(caught.value).startswith(str(tmp_path / "f.npz"))


def test_an_ecotaxa_export_is_split_by_sample(tmp_path):
    pytest.importorskip("sklearn", reason="needs the train extra")
    held = next(f"p{i}" for i in range(99) if fold(f"p{i}") == 1)
    kept = next(f"p{i}" for i in range(99) if fold(f"p{i}") != 1)
    rows, images = [], {}
    for i in range(60):
        kind = KNOWN[i % 3]
        rng = np.random.default_rng((4, i))
        images[f"{i}.png"] = drawn_vignette(kind, rng, rng.uniform(15, 40))
        rows.append(
            {
                "img_file_name": f"{i}.png", "img_rank": 0, "object_id": f"o{i}",
                "object_annotation_category": kind, "sample_id": held if i < 18 else kept,
                "object_annotation_status": "predicted" if i % 6 == 0 else "validated",
            }
        )  # fmt: skip
    write_archive(tmp_path / "export.zip", rows, images)
    args = ("random-forest", tmp_path / "export.zip", "--threshold", 21)
    found = told(tmp_path, *args)
    assert sum(found["held_back_images"]) == 15
    assert sum(found["training_images"]) == 35
    assert "by acquisition" in found["notes"][0]
    assert found["contenders"][0]["scores"]["all"]["accuracy"][0] > 0.5
    found = told(tmp_path, *args, "--all-statuses")
    assert sum(found["held_back_images"]) == 18
    assert sum(found["training_images"]) == 42
