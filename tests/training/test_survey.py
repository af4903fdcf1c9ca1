"""A dry run tells what is in a data set, in words, as a table and as JSON."""

from __future__ import annotations

import json

import cv2
import msgspec
import numpy as np
import pytest

from edge.inference.preprocessing import Preprocessing
from training.datasets import read_dataset
from training.drawn_set import drawn_vignette
from training.split import fold, split_dataset
from training.survey import survey

SPEC = Preprocessing()


def name(held_back: bool, after: int = 0) -> str:
    return next(f"{i}.png" for i in range(after, after + 99) if (fold(f"{i}.png") == 1) is held_back)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    root = tmp_path_factory.mktemp("set")
    copepods = [drawn_vignette("copepod", np.random.default_rng(seed), 60) for seed in (0, 2, 3)]
    tuft = drawn_vignette("tuft", np.random.default_rng(9), 60)
    for path, image in (
        (f"Copepod/{name(False)}", copepods[0]),
        (f"Copepod/{name(True)}", copepods[1]),
        (f"Copepod/{name(False, 100)}", copepods[1]),
        (f"Copepod/{name(False, 200)}", copepods[2]),
        (f"Tuft/{name(False, 300)}", tuft),
        (f"Snow/{name(False, 400)}", copepods[2]),
        (f"Blur/{name(False, 500)}", tuft),
    ):
        (root / path).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(root / path), image)
    (root / "Tuft" / "broken.png").write_bytes(b"no image")
    taxonomy = root / "t.toml"
    taxonomy.write_text('[classes]\nBlur = ""\n[taxa.detritus]\nclasses = ["Snow"]\nliving = false')
    data = read_dataset(root, SPEC, taxonomy=taxonomy)
    return survey(data, split_dataset(data))


def test_classes_are_counted(found):
    assert [(one.name, one.images, one.train, one.held_back) for one in found.classes] == [
        ("Copepod", 4, 2, 1), ("Snow", 1, 1, 0), ("Tuft", 1, 1, 0),
    ]  # fmt: skip
    assert (found.images, found.train, found.held_back) == (6, 4, 1)
    snow = found.classes[1]
    assert (snow.taxon, snow.living, snow.sources, snow.acquisitions) == ("detritus", False, ("Snow",), None)
    assert found.classes[0].sizes.low_px <= found.classes[0].sizes.median_px <= found.classes[0].sizes.high_px
    assert found.dropped == ("Blur",)
    assert found.imbalance == 4
    assert found.few == ("Copepod", "Snow", "Tuft")
    assert found.not_learnt == ()
    assert found.not_held_back == ("Snow", "Tuft")


def test_duplicates_are_told_apart(found):
    held_back = f"Copepod/{name(True)}"
    assert found.duplicates.within_class == 1
    assert found.duplicates.across_classes == ((f"Copepod/{name(False, 200)}", f"Snow/{name(False, 400)}"),)
    assert sorted(found.duplicates.across_split[0]) == sorted((held_back, f"Copepod/{name(False, 100)}"))
    assert len(found.duplicates.across_split) == 1


def test_faults_are_told(found):
    (fault,) = found.faults
    assert "broken.png" in fault


def test_it_is_told_as_text_and_as_json(found):
    text = found.text()
    for words in (
        "Copepod", "detritus (not living)", "3 classes, 3 taxa; 4 images to learn from, 1 held back.",
        "Split by image", "The largest class has 4 times", "Fewer than 10 images: Copepod, Snow, Tuft.",
        "Nothing held back: Snow, Tuft.", "Dropped by the taxonomy: Blur.",
        "1 within a class, 1 in two classes, 1 on both sides of the split", "1 faults",
    ):  # fmt: skip
        assert words in text
    assert "Nothing to learn from" not in text
    plain = json.loads(msgspec.json.encode(found))
    assert plain["classes"][1]["taxon"] == "detritus"
    assert len(plain["duplicates"]["across_split"]) == 1


@pytest.mark.slow
def test_pwssc_knows_its_acquisitions_and_holds_particles_stuck_on_the_window(shared):
    data = read_dataset(shared / "data" / "pwssc.zip", Preprocessing())
    split = split_dataset(data)
    found = survey(data, split)
    assert found.acquisitions == 353
    assert found.classes[0].acquisitions == 16
    assert found.held_back == 1926
    assert len(found.duplicates.across_split) == len(split.left_out) == 3
    assert 45 <= len(split.duplicates) <= 55
    unknown = data.taxonomy.classes.index("Unknown")
    assert set(data.labels[split.duplicates.ravel()].tolist()) == {unknown}
    assert found.not_learnt == found.not_held_back == found.few == ()
    assert "acquisitions" in found.text()
