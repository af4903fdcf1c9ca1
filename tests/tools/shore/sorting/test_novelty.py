"""What a model never saw comes first: a kind of particle that it did not learn, hidden in a dive."""

from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.tools.made_dive import make_dive
from tests.tools.shore.sorting.made import SHOWN, draw, make_work, seston
from tools.shore.sorting.novelty import LEAST_SIZE, novel, unlike_any, unlike_known
from tools.shore.sorting.work import Work


def stars(folder, n):
    """Checkerboards: nothing that is drawn for training looks like them."""
    rng = np.random.default_rng(7)
    for i in range(n):
        side, step = int(rng.integers(30, 60)), int(rng.integers(4, 7))
        y, x = np.mgrid[:side, :side]
        board = ((x // step + y // step) % 2 * rng.integers(150, 255)).astype(np.uint8)
        cv2.imwrite(str(folder / f"new-{i:03d}.png"), np.pad(board, 6))


@pytest.fixture(scope="module")
def cast(tmp_path_factory, drawn_work):
    folder = tmp_path_factory.mktemp("novel")
    stars(draw(folder / "images", 25, seed=11), 12)
    return folder / "images", drawn_work.parent / "images"


def images_of(file):
    with Work.open(file) as work:
        return work.images()


def test_what_was_never_seen_comes_first(cast, drawn_work, tmp_path):
    images, known = cast
    out = tmp_path / "novelty"
    done = seston("sort", "novelty", images, "--bundle", "demo", "--known", known, "--out", out)
    assert done.exit_code == 0, done.output
    with (out / "novelty.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 25 * len(SHOWN) + 12
    assert sum(row["file"].startswith("new-") for row in rows[:12]) >= 10
    assert rows[0]["cluster"] == "1"
    page = (out / "novelty.html").read_text()
    assert page.count("<img src=") >= LEAST_SIZE
    assert "http" not in page.replace("http-equiv", "")
    new = np.array([file.startswith("new-") for file in images_of(out / "novelty.sort").file])
    found = images_of(out / "novelty.sort")
    far = unlike_known(found.totals, images_of(drawn_work).totals, 1)
    assert roc_auc_score(new, far) > 0.95
    again = seston("sort", "novelty", images, "--bundle", "demo", "--known", known, "--out", out)
    assert "0 images taken" in again.output
    assert (out / "novelty.html").read_text() == page


def test_the_distance_to_itself_is_none(drawn_work):
    found = images_of(drawn_work)
    assert (unlike_known(found.totals[:5], found.totals[:5][:1], 1)[1:] > 0).all()
    assert unlike_known(found.totals[:1], found.totals[:1], 1)[0] < 1e-3


def test_a_dive_without_known_images(tmp_path, drawn_work):
    dive, out = make_dive(tmp_path / "dive", frames=(30, 5, 20)), tmp_path / "out"
    done = seston("sort", "novelty", dive, "--bundle", "demo", "--out", out)
    assert done.exit_code == 0, done.output
    images = images_of(out / "novelty.sort")
    found = novel(images, unlike_any(images), 1)
    singles = [row for row in found.order.tolist() if found.cluster[row] < 0]
    assert sorted(found.order.tolist()) == list(range(len(images.file)))
    assert (np.diff(images.evidence[singles]) >= 0).all()
    with (out / "novelty.csv").open(newline="") as file:
        assert [int(row["rank"]) for row in csv.DictReader(file)] == list(range(1, len(images.file) + 1))


def test_few_images_are_ranked_too(tmp_path, drawn_work):
    images = images_of(make_work(tmp_path, each=1))
    found = novel(images, unlike_any(images), 1)
    assert found.n_clusters == 0
    assert found.order[0] == int(np.argmin(images.evidence))
