"""`seston classify`, `seston bundle`, `seston train`: what a person types and reads."""

from __future__ import annotations

import csv
import json
import zipfile

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge.inference.bundle import load_bundle
from edge.inference.classifier import Classifier
from tools.cli import cli, main


def run(*args):
    return CliRunner().invoke(cli, [str(arg) for arg in args], catch_exceptions=False)


def fails(capsys, *args) -> str:
    """The one sentence of a command that ends with exit code 2."""
    with pytest.raises(SystemExit) as caught:
        main([str(arg) for arg in args])
    assert caught.value.code == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text


@pytest.fixture(scope="module")
def demo():
    return load_bundle("demo")


@pytest.fixture
def vignettes(demo, tmp_path):
    folder = tmp_path / "vignettes"
    (folder / "inner").mkdir(parents=True)
    images = {f"inner/{i:02d}.png": image for i, image in enumerate(demo.golden_inputs)}
    images["loose.png"] = demo.golden_inputs[0]
    for name, image in images.items():
        cv2.imwrite(str(folder / name), image)
    return folder, images


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_folder_becomes_a_csv(demo, vignettes, tmp_path):
    folder, images = vignettes
    result = run("classify", folder, "--bundle", "demo", "--csv", tmp_path / "out.csv")
    assert result.exit_code == 0
    assert f"{len(images)} images classified" in result.stdout
    found = rows(tmp_path / "out.csv")
    assert list(found[0]) == ["file", "taxon", "decision", "score", *(taxon.label for taxon in demo.taxa)]
    assert [row["file"] for row in found] == sorted(images)
    answers = Classifier(demo).answer([images[row["file"]] for row in found])
    for row, expected, decision in zip(found, answers.taxon_scores, answers.decisions, strict=True):
        got = np.array([float(row[taxon.label]) for taxon in demo.taxa])
        np.testing.assert_allclose(got, expected, atol=1e-5)
        assert row["taxon"] == demo.taxa[expected.argmax()].label
        assert row["decision"] == demo.counted_taxa[decision].label
        assert float(row["score"]) == pytest.approx(got.max(), abs=1e-5)


def test_a_zip_gives_the_same_and_a_bundle_may_be_a_file(demo, vignettes, tmp_path):
    folder, images = vignettes
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in images:
            archive.write(folder / name, name)
    run("classify", folder, "--bundle", "demo", "--csv", tmp_path / "a.csv")
    result = run("classify", tmp_path / "x.zip", "--bundle", demo.path, "--csv", tmp_path / "b.csv")
    assert result.exit_code == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_bright_field_is_inverted(vignettes, tmp_path):
    folder, images = vignettes
    run("classify", folder, "--bundle", "demo", "--csv", tmp_path / "a.csv")
    for name, image in images.items():
        cv2.imwrite(str(folder / name), 255 - image)
    run("classify", folder, "--bundle", "demo", "--csv", tmp_path / "b.csv")
    run("classify", folder, "--bundle", "demo", "--csv", tmp_path / "c.csv", "--polarity", "bright-field")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "c.csv").read_bytes()
    assert (tmp_path / "a.csv").read_bytes() != (tmp_path / "b.csv").read_bytes()


def test_what_cannot_be_read_is_named_and_the_rest_is_done(vignettes, tmp_path):
    folder, images = vignettes
    (folder / "bad.png").write_bytes(b"no image")
    (folder / "cut.png").write_bytes((folder / "loose.png").read_bytes()[:50])
    result = run("classify", folder, "--bundle", "demo", "--csv", tmp_path / "out.csv")
    assert result.exit_code == 0
    assert f"{len(images)} images classified, 2 left out" in result.stdout
    assert "bad.png" in result.stderr
    assert "cut.png" in result.stderr
    assert len(rows(tmp_path / "out.csv")) == len(images)


def test_when_nothing_can_be_read_there_is_no_csv_and_a_sentence(tmp_path, capsys):
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "bad.png").write_bytes(b"no image")
    text = fails(capsys, "classify", tmp_path / "v", "--bundle", "demo", "--csv", tmp_path / "out.csv")
    assert "holds no image that can be read" in text
    assert not list(tmp_path.glob("out.csv*"))


def test_errors_are_sentences(vignettes, tmp_path, capsys):
    folder, _ = vignettes
    assert "is not there" in fails(
        capsys, "classify", tmp_path / "x", "--bundle", "demo", "--csv", tmp_path / "c"
    )
    assert "name of a shipped bundle" in fails(
        capsys, "classify", folder, "--bundle", "dmeo", "--csv", tmp_path / "c"
    )
    assert "cannot be written" in fails(
        capsys, "classify", folder, "--bundle", "demo", "--csv", tmp_path / "no" / "c.csv"
    )


def test_bundle_show(demo):
    text = run("bundle", "show", "demo").stdout
    assert demo.sha256 in text
    for taxon in demo.taxa:
        assert taxon.label in text
    plain = json.loads(run("bundle", "show", "demo", "--json").stdout)
    assert plain["sha256"] == demo.sha256
    assert [taxon["label"] for taxon in plain["manifest"]["taxa"]] == [taxon.label for taxon in demo.taxa]
    assert run("bundle", "show", "demo", "--card").stdout.strip() == demo.card.strip()


def test_bundle_verify(capsys, tmp_path, demo):
    text = run("bundle", "verify", "demo").stdout
    assert "reference kernels: " in text
    assert "xnnpack kernels: " in text
    assert "largest difference 0 of 0 allowed" in text
    data = bytearray(demo.path.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "x.seston").write_bytes(data)
    assert "damaged" in fails(capsys, "bundle", "verify", tmp_path / "x.seston")
    assert "damaged" in fails(capsys, "bundle", "show", tmp_path / "x.seston")


def test_classes_and_taxa_are_two_levels_of_one_answer(vignettes, tmp_path):
    folder, _ = vignettes
    bundle = load_bundle("shadowgraph")
    for level in ("class", "taxon"):
        done = run(
            "classify",
            folder,
            "--bundle",
            "shadowgraph",
            "--level",
            level,
            "--csv",
            tmp_path / f"{level}.csv",
        )
        assert done.exit_code == 0
    by_class, by_taxon = rows(tmp_path / "class.csv"), rows(tmp_path / "taxon.csv")
    assert list(by_class[0])[4:] == list(bundle.classes)
    assert list(by_taxon[0])[4:] == [taxon.label for taxon in bundle.taxa]
    assert len(bundle.classes) == 121
    assert len(bundle.taxa) <= 40
    for one, other in zip(by_class, by_taxon, strict=True):
        assert one["decision"] == other["decision"]
        assert one["taxon"] in bundle.classes
        sums = dict.fromkeys((taxon.label for taxon in bundle.taxa), 0.0)
        for name, taxon in zip(bundle.classes, bundle.manifest.class_taxon, strict=True):
            sums[bundle.taxa[taxon].label] += float(one[name])
        for label, value in sums.items():
            assert float(other[label]) == pytest.approx(value, abs=1e-3)


def test_train_wants_one_source(capsys):
    assert "either DATASET or --drawn" in fails(capsys, "train", "--out", "x")
    assert "either DATASET or --drawn" in fails(capsys, "train", "x.zip", "--drawn", "9", "--out", "x")


def test_the_command_in_the_card_names_no_folder_of_this_machine(tmp_path):
    from tools.train import command_line, retrain

    words = [
        str(tmp_path / "deep" / "my set.zip"), "--out", str(tmp_path / "run"), "--epochs", "4",
        "--all-images", "--weights", str(tmp_path / "w.npz"), "--licence", "CC BY, doi 10.1/x",
        "--leave-out", "a", "--leave-out", "b", "--teacher", str(tmp_path / "big"),
        "--from", str(tmp_path / "now.seston"), "--set", f'begin.teacher="{tmp_path}/big"',
        "--set", "data.held_back=[1, 2]", "--set", f'data.taxonomy = "{tmp_path}/t.toml"',
    ]  # fmt: skip
    with retrain.make_context("retrain", words):
        command = command_line()
    assert command == (
        "seston retrain 'my set.zip' --licence 'CC BY, doi 10.1/x' --from now.seston --weights w.npz "
        '--teacher big --epochs 4 --all-images --leave-out a --leave-out b --set begin.teacher="big" '
        "--set 'data.held_back=[1, 2]' --set 'data.taxonomy = \"t.toml\"' --out run"
    )
