"""`seston train`, `quantize` and `retrain`, as a taxonomist types them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("keras", reason="needs the train extra")
pytest.importorskip("tensorflow", reason="needs the train extra")

from edge.inference.bundle import load_bundle
from tools.cli import main
from tools.train import compare_with_former, recipe_of, train
from training.recipe import BeginSection, DataSection, Recipe
from training.split import HELD_BACK_FOLD, fold

SMALL = (
    "--set", "preprocessing.size_px=32", "--set", "architecture.alpha=0.1", "--set", "architecture.stages=2",
    "--set", "architecture.features=32", "--set", "architecture.momentum=0.8", "--set", "schedule.batch=16",
    "--set", "quantization.least_agreement=0.0", "--set", "quantization.most_loss=1.0",
    "--set", "quantization.normalisation_batches=6", "--set", "quantization.settling.epochs=1",
    "--epochs", "2",
)  # fmt: skip


@pytest.fixture
def sorted_images(tmp_path):
    """Discs and lines, in folders."""
    rng = np.random.default_rng(2)
    for kind in ("disc", "line__77", "speck"):
        (tmp_path / "sorted" / kind).mkdir(parents=True)
        for i in range(30):
            image = rng.integers(0, 30, (40, 48), dtype=np.uint8)
            if kind == "disc":
                cv2.circle(image, (24, 20), int(rng.integers(6, 15)), 220, -1)
            elif kind == "line__77":
                cv2.line(image, (int(rng.integers(0, 20)), 4), (40, int(rng.integers(10, 38))), 200, 2)
            cv2.imwrite(str(tmp_path / "sorted" / kind / f"{kind[0]}{i:03d}.png"), image)
    return tmp_path / "sorted"


def run(capsys, *words: object) -> tuple[int, str, str]:
    code = 0
    try:
        main([str(word) for word in words])
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_train_then_quantize(sorted_images, tmp_path, capsys):
    out = tmp_path / "run"
    code, said, _ = run(capsys, "train", sorted_images, "--out", out, "--licence", "ours", *SMALL)
    assert code == 0
    assert f"seston quantize {out}" in said
    assert tomllib.loads((out / "run.toml").read_text())["data"]["licence"] == "ours"
    code, said, _ = run(capsys, "quantize", out)
    assert code == 0
    assert "int8: accuracy" in said
    bundle = load_bundle(out / "sorted.seston")
    assert bundle.sha256 in said
    assert {taxon.label: taxon.ecotaxa_id for taxon in bundle.taxa} == {
        "disc": None,
        "line": 77,
        "speck": None,
    }
    assert "/" not in bundle.manifest.provenance.command
    assert str(tmp_path) not in bundle.run
    assert str(tmp_path) not in bundle.card


def test_pretraining_is_told_in_the_bundle_and_leaves_out_what_is_held_back(sorted_images, tmp_path, capsys):
    out, unsorted = tmp_path / "run", tmp_path / "unsorted"
    unsorted.mkdir()
    rng = np.random.default_rng(6)
    for i in range(20):
        image = rng.integers(0, 30, (40, 48), dtype=np.uint8)
        cv2.circle(image, (24, 20), int(rng.integers(4, 15)), int(rng.integers(100, 255)), 2)
        cv2.imwrite(str(unsorted / f"{i}.png"), image)
    for path in sorted_images.glob("disc/*"):
        (unsorted / path.name).write_bytes(path.read_bytes())
    (unsorted / "torn.png").write_bytes(b"torn")
    words = ("--pretrain", unsorted, "--set", "pretraining.epochs=1", "--set", "pretraining.batch=8")
    code, _, error = run(capsys, "retrain", sorted_images, "--out", out, *words, *SMALL)
    assert code == 0, error
    assert "torn.png" in error
    bundle = load_bundle(out / "sorted.seston")
    told = next(one for one in bundle.manifest.provenance.sources if one.name == "unsorted")
    assert told.use.startswith("pretraining without labels (images ")
    discs = [path.name for path in sorted_images.glob("disc/*")]
    n_held_back = sum(fold(name) == HELD_BACK_FOLD for name in discs)
    assert 20 <= told.images <= 20 + len(discs) - n_held_back < 20 + len(discs)
    assert 'images = "unsorted"' in bundle.run
    assert str(tmp_path) not in bundle.run
    code, _, error = run(capsys, "train", sorted_images, "--out", out, "--pretrain", "none.zip", *SMALL)
    assert code == 2
    assert "none.zip" in error


def test_retrain_from_the_model_at_sea_compares_with_it(sorted_images, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    code, _, _ = run(capsys, "retrain", sorted_images, "--out", first, *SMALL)
    assert code == 0
    merged = tmp_path / "merged.toml"
    merged.write_text('[classes]\nspeck = "disc"\n')
    words = [word for word in SMALL if "preprocessing" not in word and "architecture" not in word]
    words = [word for i, word in enumerate(words) if word != "--set" or words[i + 1] != "--set"]
    bundle = first / "sorted.seston"
    code, said, error = run(
        capsys, "retrain", sorted_images, "--out", second, "--from", bundle, "--taxonomy", merged, *words
    )
    assert code == 0, error
    found = load_bundle(second / "sorted.seston")
    assert found.classes == ("disc", "line")
    assert found.manifest.source_classes == {"disc": "disc", "line__77": "line", "speck": "disc"}
    assert found.preprocessing.size_px == 32
    assert said.count("sorted") >= 2


def test_a_bundle_that_shares_no_class_with_the_former_one_stands_uncompared(sorted_images, capsys):
    data = DataSection(dataset=str(sorted_images))
    compare_with_former(Path("demo"), Recipe(name="new", data=data, begin=BeginSection(bundle="darkfield")))
    said = capsys.readouterr()
    assert "not compared: demo: knows no class of the data set" in said.err
    assert said.out == ""


def test_a_dry_run_reports_and_trains_nothing(sorted_images, tmp_path, capsys):
    (sorted_images / "disc" / "broken.png").write_bytes(b"\x89PNG\r\n")
    out, report = tmp_path / "run", tmp_path / "survey.json"
    code, said, error = run(capsys, "train", sorted_images, "--out", out, "--dry-run", "--json", report)
    assert code == 0
    assert not out.exists()
    assert "disc" in said
    assert "broken.png" in error
    assert "disc" in json.dumps(json.loads(report.read_text()))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--set", "schedule.epoch=3"), "schedule.epoch: is not a key known here; perhaps `epochs`"),
        (("--set", "nonsense"), "is not KEY=VALUE"),
        (("--taxonomy", "none.toml"), "none.toml"),
        (("--from", "nothing"), "nothing: is not there"),
        (("--config", "none.toml"), "none.toml: cannot be read"),
    ],
)
def test_bad_words_are_sentences(sorted_images, tmp_path, capsys, words, sentence):
    code, _, error = run(capsys, "train", sorted_images, "--out", tmp_path / "run", *words)
    assert code == 2
    assert sentence in error


def test_something_must_be_learnt_from(tmp_path):
    done = CliRunner().invoke(train, ["--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "give either DATASET" in done.output


def test_options_win_over_the_toml(tmp_path):
    config = tmp_path / "run.toml"
    config.write_text('name = "a"\nseed = 4\n[schedule]\nepochs = 7\nrate = 0.01\n')
    context = train.make_context(
        "train",
        ["x.zip", "--out", "o", "--config", str(config), "--epochs", "3", "--set", "schedule.batch=8"],
    )
    context.params.pop("out"), context.params.pop("dry_run")
    recipe = recipe_of(context.params)
    assert (recipe.name, recipe.seed, recipe.data.dataset) == ("a", 4, "x.zip")
    assert (recipe.schedule.epochs, recipe.schedule.rate, recipe.schedule.batch) == (3, 0.01, 8)


def test_one_key_of_a_section_leaves_the_others_as_they_are(tmp_path):
    words = ["x.zip", "--out", "o", "--set", "quantization.settling.epochs=9"]
    context = train.make_context("train", words)
    settling = recipe_of(context.params).quantization.settling
    assert (settling.epochs, settling.rate, settling.distil, settling.label_smoothing) == (9, 5e-5, 1.0, 0.0)
