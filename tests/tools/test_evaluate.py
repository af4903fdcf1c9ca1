"""`seston evaluate`: a bundle on sorted images, known and unknown, seen and unseen."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("jinja2", reason="needs the shore extra")

from edge.inference.bundle import SUFFIX
from tests.training.tiny_model import K, picture, strange, trained
from tools.cli import cli, main
from training.bundle_export import make_bundle, publish_bundle
from training.evaluate import auroc

N = 12
FOLDERS = ("Acartia", "Calanus__61", "Snow", "Snow_chain")


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
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / f"tiny{SUFFIX}"
    return publish_bundle(make_bundle(trained(), precision=0.8, study_draws=1), path)


def write(folder, name, image):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(folder / name), image)


@pytest.fixture
def dataset(tmp_path):
    """Twelve clear pictures of each class; of Acartia three that look like Snow."""
    folder = tmp_path / "sorted"
    rng = np.random.default_rng(21)
    for i in range(K):
        for number in range(N):
            shown = 2 if i == 0 and number < 3 else i
            write(folder, f"{FOLDERS[i]}/{number:02d}.png", picture(rng, shown))
    return folder


def told(tmp_path, bundle, folder, *options) -> dict:
    result = run("evaluate", bundle.path, folder, "--json", tmp_path / "out.json", *options)
    assert result.exit_code == 0, result.output
    return json.loads((tmp_path / "out.json").read_text())


def test_scores_by_class_and_by_taxon(tmp_path, bundle, dataset):
    found = told(tmp_path, bundle, dataset)
    scores, low_high = found["scores"]["int8"], found["facts"]["intervals"]["int8"]["accuracy"]
    assert scores["accuracy"] == pytest.approx(45 / 48, abs=1e-4)
    assert low_high[0] < 45 / 48 <= low_high[1]
    assert found["facts"]["images"] == 48
    by_class = {row["class"]: row for row in found["by_class"]}
    assert by_class["Acartia"]["recall"]["rate"] == pytest.approx(0.75)
    assert by_class["Snow"]["precision"]["rate"] == pytest.approx(0.8)
    by_taxon = {row["label"]: row for row in found["by_taxon"]}
    assert by_taxon["Snow"]["held_back"] == 24
    assert by_taxon["Acartia"]["wrong"] == 3
    assert {row["by"] for row in found["matches"]} == {"class", "taxon"} or len(found["matches"]) == 4
    assert sum(row["images"] for row in found["matches"]) == 48


def test_the_surest_mistakes_are_in_the_json_alone(tmp_path, bundle, dataset):
    page = tmp_path / "out.html"
    found = told(tmp_path, bundle, dataset, "--html", page)
    assert {one["file"] for one in found["worst"]} == {f"Acartia/{i:02d}.png" for i in range(3)}
    assert found["worst"][0]["answer"] == "Snow"
    scores = [one["score"] for one in found["worst"]]
    assert scores == sorted(scores, reverse=True)
    text = page.read_text(encoding="utf-8")
    assert ".png" not in text
    assert "<h1>tiny on sorted</h1>" in text
    assert "trained on" not in text
    assert ".png" not in run("evaluate", bundle.path, dataset).stdout


def test_the_table_a_person_reads(bundle, dataset):
    text = run("evaluate", bundle.path, dataset).stdout
    for words in (
        bundle.sha256,
        "balanced accuracy",
        "by class",
        "by taxon",
        "calibration error",
        "Snow_chain",
    ):
        assert words in text


def test_images_that_trained_the_bundle_are_left_out_unless_asked_for(tmp_path, bundle, dataset):
    rng = np.random.default_rng(7)  # of `trained`: the first of its training images
    for i in range(20):
        write(dataset, f"{FOLDERS[i % K]}/seen-{i:02d}.png", picture(rng, i % K))
    found = told(tmp_path, bundle, dataset)
    assert found["facts"]["images"] == 48
    assert "20 images that the bundle was trained on were left out." in found["notes"]
    every = told(tmp_path, bundle, dataset, "--all")
    assert every["facts"]["images"] == 68
    assert any("flatter" in note for note in every["notes"])
    assert "trained nothing" not in run("evaluate", bundle.path, dataset, "--all").stdout


def test_what_the_bundle_does_not_know(tmp_path, bundle, dataset):
    rng = np.random.default_rng(3)
    for i in range(10):
        write(dataset, f"Specks/{i}.png", strange(rng))
    for i in range(2):
        write(dataset, f"Copepod/{i}.png", picture(rng, 0))
        write(dataset, f"Blur/{i}.png", picture(rng, 1))
        write(dataset, f"Flakes/{i}.png", picture(rng, 2))
    found = told(tmp_path, bundle, dataset)
    unknown = found["facts"]["what the bundle does not know"]
    assert unknown["unknown"]["images"] == 10
    assert unknown["known"]["images"] == 50  # with two flakes, known as snow but not as a class
    assert unknown["AUROC of the evidence"] > 0.95
    assert unknown["unknown"]["rejected"] == 1
    assert found["facts"]["intervals"]["int8"]["accuracy"][1] <= 1
    assert sum(row["held_back"] for row in found["by_taxon"]) == 50
    assert sum(row["images"] for row in found["by_class"]) == 48
    notes = " ".join(found["notes"])
    assert "4 images were left out" in notes
    assert "Blur (dropped by the bundle's own taxonomy)" in notes
    assert "Copepod (coarser than its taxa)" in notes
    assert "does not know: Specks" in notes
    assert "AUROC" in run("evaluate", bundle.path, dataset).stdout


def test_taxa_alone_can_be_scored(tmp_path, bundle):
    folder, rng = tmp_path / "taxa", np.random.default_rng(4)
    for i in range(8):
        write(folder, f"Flakes/{i}.png", picture(rng, 2 + i % 2))
        write(folder, f"Specks/{i}.png", strange(rng))
    page = tmp_path / "x.html"
    found = told(tmp_path, bundle, folder, "--html", page)
    assert "accuracy" not in found["scores"]["int8"]
    assert found["scores"]["int8"]["taxon_accuracy"] == 1
    assert "matrix" not in page.read_text(encoding="utf-8").partition("</style>")[2].partition("<script")[0]


def test_a_taxonomy_renames_what_the_data_set_calls_otherwise(tmp_path, bundle):
    folder, rng = tmp_path / "renamed", np.random.default_rng(5)
    for i in range(6):
        write(folder, f"small_one/{i}.png", picture(rng, 0))
        write(folder, f"Calanus/{i}.png", picture(rng, 1))
    before = told(tmp_path, bundle, folder)
    assert before["facts"]["what the bundle does not know"]["unknown"]["images"] == 6
    taxonomy = tmp_path / "t.toml"
    taxonomy.write_text('[classes]\nsmall_one = "Acartia"\n', encoding="utf-8")
    after = told(tmp_path, bundle, folder, "--taxonomy", taxonomy)
    assert after["scores"]["int8"]["accuracy"] == 1
    assert "what the bundle does not know" not in after["facts"]


def test_bright_field_is_inverted(tmp_path, bundle, dataset):
    white = told(tmp_path, bundle, dataset)
    for file in dataset.rglob("*.png"):
        cv2.imwrite(str(file), 255 - cv2.imread(str(file), cv2.IMREAD_GRAYSCALE))
    black = told(tmp_path, bundle, dataset, "--polarity", "bright-field")
    assert black["scores"] == white["scores"]


def test_nothing_to_score_is_a_sentence(tmp_path, bundle, capsys):
    rng = np.random.default_rng(6)
    for name in ("Fish", "Specks"):
        write(tmp_path / "foreign", f"{name}/0.png", strange(rng))
    text = fails(capsys, "evaluate", bundle.path, tmp_path / "foreign")
    assert "has no image that can be scored" in text
    assert "Acartia, Calanus" in text
    assert "is not there" in fails(capsys, "evaluate", tmp_path / "none.seston", tmp_path / "foreign")
    assert "is not there" in fails(capsys, "evaluate", bundle.path, tmp_path / "none")


def test_auroc_of_ties_is_a_half():
    assert auroc(np.ones(3), np.ones(2)) == 0.5
