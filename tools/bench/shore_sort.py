"""The part `sort` of `seston bench shore`: how far clusters and growing go on sorted images, labels hidden.

A person is played who knows every label (`tools.shore.sorting.oracle`). k-means with as many clusters as that
person was shown stands beside, on the same embeddings.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.inference.bundle import load_bundle
from edge.inference.classifier import Classifier
from tools.shore.sorting import oracle, space
from tools.shore.sorting.embedding import Embedder
from tools.shore.sorting.sources import add_source
from tools.shore.sorting.work import Work

WANTED_S = 300.0
COLUMNS = [
    "bundle, who sorts", "clusters accepted", "classes", "looks", "clicks", "in clusters, %", "purity, %",
    "grown, %", "grown right, %", "clustering, s",
]  # fmt: skip


def sort_table(data: Path, bundles: tuple[str, ...], *, is_bright_field: bool) -> dict[str, Any]:
    """Table and numbers of sorting class folders by what each bundle sees."""
    rows: list[list[Any]] = []
    numbers: dict[str, float] = {}
    for name in bundles:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            vectors, truth, is_learnt = _embedded(data, name, Path(folder), is_bright_field=is_bright_field)
            numbers[f"{name}_embed_s"] = time.perf_counter() - start
        start = time.perf_counter()
        space.find_seeds(vectors, np.arange(len(truth)), space.LEAST_SIZES[0])
        numbers[f"{name}_cluster_s"] = time.perf_counter() - start
        strict = oracle.sort_by_clusters(vectors, truth)
        contenders = {
            "whole pages": strict,
            "one by one": oracle.sort_by_clusters(vectors, truth, one_by_one=True),
            f"k-means of {strict.clusters}, as accepted": oracle.sort_by_kmeans(
                vectors, truth, strict.clusters
            ),
            f"k-means of {strict.looks}, as looked at": oracle.sort_by_kmeans(vectors, truth, strict.looks),
        }
        for who, found in contenders.items():
            rows.append([f"{name}, {who}", *_cells(found, np.ones(len(truth), dtype=np.bool_))])
        numbers |= {f"{name}_{key}": value for key, value in _numbers(strict).items()}
        if 0 < is_learnt.sum() < len(truth):
            cells = _cells(strict, ~is_learnt)
            rows.append([f"{name}, whole pages; the {int((~is_learnt).sum()):,} not learnt from", *cells])
        numbers["sort_images"] = len(truth)
    rounds = ", ".join(f"{numbers[name + '_cluster_s']:.0f} s ({name})" for name in bundles)
    embedding = ", ".join(f"{numbers[name + '_embed_s']:.0f} s" for name in bundles)
    return {
        "title": f"Sorting {int(numbers['sort_images']):,} images with their labels hidden",
        "columns": COLUMNS,
        "rows": rows,
        "notes": [
            f"Wanted: one round of clustering of 25,000 images in {WANTED_S:.0f} s of two cores; of all"
            f" images it took {rounds}; embedding and classifying {embedding}.",
            f"A cluster is accepted when {oracle.LEAST_PURITY:.0%} of it is of one class. Whole pages: pages"
            f" of {space.PAGE} are added until the first with more than {oracle.MOST_WRONG:.0%} wrong.",
            "One by one: wrong images are clicked away, until the first page with more than"
            f" {oracle.MOST_CLICKS:.0%} of them.",
            "Purity: of the images in accepted clusters, those of the class that the cluster was accepted as."
            " Grown right: the same of those that came by growing. All shares but these are of all images.",
            "Clustering: all rounds together. k-means is shown once, and does not grow.",
        ],
        "numbers": numbers,
    }


def _embedded(
    data: Path, name: str, folder: Path, *, is_bright_field: bool
) -> tuple[space.Floats, NDArray[np.int64], NDArray[np.bool_]]:
    """Vectors, class of each image by its folder, and whether the bundle learnt from it."""
    bundle = load_bundle(name)
    meta = {"bundle": bundle.name, "bundle_sha256": bundle.sha256, "views": bundle.preprocessing.views}
    with Work.create(folder / "bench.sort", meta) as work:
        for _ in add_source(work, data, bundle, Embedder(bundle), Classifier(bundle), invert=is_bright_field):
            pass
        images, hashes = work.images(), work.hashes()
    classes = [PurePosixPath(file).parent.name for file in images.file]
    truth = np.unique(classes, return_inverse=True)[1].astype(np.int64)
    is_learnt = np.array([one in bundle.training_hashes for one in hashes], dtype=np.bool_)
    return space.vectors_of(images.totals, bundle.preprocessing.views), truth, is_learnt


def _numbers(found: oracle.Outcome) -> dict[str, float]:
    return {
        "sorted": float(found.is_sorted.mean()),
        "purity": _share(found.is_right, found.is_sorted),
        "grown": float(found.is_grown.mean()),
        "grown_right": _share(found.is_right, found.is_grown),
        "grown_right_of_all": float((found.is_right & found.is_grown).mean()),
        "all_rounds_s": found.cluster_s,
    }


def _cells(found: oracle.Outcome, among: NDArray[np.bool_]) -> list[Any]:
    placed, grown = found.is_sorted & among, found.is_grown & among
    return [
        str(found.clusters), str(found.classes), str(found.looks), str(found.clicks),
        100 * placed.sum() / among.sum(), 100 * _share(found.is_right, placed),
        100 * grown.sum() / among.sum(), 100 * _share(found.is_right, grown) if grown.any() else "",
        found.cluster_s,
    ]  # fmt: skip


def _share(right: NDArray[np.bool_], of: NDArray[np.bool_]) -> float:
    return float(right[of].mean()) if of.any() else float("nan")
