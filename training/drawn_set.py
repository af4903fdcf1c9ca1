"""Drawn particles as the instrument would cut them from a frame: the demo's data set, and all goldens.

Drawn on a noisy, unevenly lit piece of frame among specks, segmented at the threshold, cut out with the
margin: by the functions the instrument itself uses. `training.drawn` does the drawing.
"""

from __future__ import annotations

import math
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from edge.config import VisionConfig
from edge.inference.bundle import image_hash
from edge.inference.preprocessing import Preprocessing, describe, prepare
from edge.taxonomy import Taxon
from edge.vision.segmentation import segment
from edge.vision.vignette import cut_vignette
from training.datasets import Dataset
from training.drawn import KINDS, THRESHOLD, add_noise, blur, draw_particle, shade
from training.taxonomy_file import read_taxonomy

ESD_PX = (8.0, 64.0)
"""Sizes are drawn between these as their logarithm is."""
GOLDEN_SEED = 20_260
GOLDEN_ESD_PX = (5.0, 9.0, 15.0, 24.0, 40.0, 64.0, 90.0)


def drawn_vignette(kind: str, rng: np.random.Generator, esd_px: float) -> NDArray[np.uint8]:
    """One particle of a kind, cut from a small frame, uint8 (height, width), white on black."""
    particle = draw_particle(kind, rng, esd_px)
    if rng.random() < 0.3:
        particle = blur(particle, rng.uniform(0.3, 0.02 * esd_px + 0.6))
    pad = 16
    height, width = particle.shape
    frame = np.zeros((height + 2 * pad, width + 2 * pad), dtype=np.uint8)
    for _ in range(rng.poisson(frame.size / 2500)):  # specks, as a frame has thousands of
        frame[rng.integers(frame.shape[0]), rng.integers(frame.shape[1])] = rng.integers(10, 120)
    part = frame[pad : pad + height, pad : pad + width]
    np.maximum(part, particle, out=part)
    frame = add_noise(shade(frame, rng, rng.uniform(0, 0.4)), rng, rng.uniform(0, 2.5), rng.uniform(0, 14))
    regions = segment(frame, THRESHOLD)
    if len(regions) == 0:
        return drawn_vignette(kind, rng, esd_px)
    return cut_vignette(frame, regions, int(np.argmax(regions.area_px)), VisionConfig())


def drawn_dataset(
    per_kind: int, spec: Preprocessing, seed: int, *, taxonomy: str | PathLike[str] | None = None
) -> Dataset:
    """A data set of `per_kind` drawn vignettes of each kind; the same seed gives the same images."""
    found = read_taxonomy(taxonomy, {kind: Taxon(label=kind) for kind in KINDS})
    files, images, numbers, sizes, labels, hashes = [], [], [], [], [], []
    low, high = (math.log(value) for value in ESD_PX)
    for number, kind in enumerate(KINDS):
        if not found.source_to_class[kind]:
            continue
        label = found.classes.index(found.source_to_class[kind])
        for i in range(per_kind):
            rng = np.random.default_rng((seed, number, i))
            vignette = drawn_vignette(kind, rng, math.exp(rng.uniform(low, high)))
            files.append(f"{kind}/{seed}-{i:06d}.png")
            images.append(prepare(vignette, spec))
            numbers.append(describe(vignette, spec))
            sizes.append(vignette.shape)
            labels.append(label)
            hashes.append(image_hash(vignette))
    return Dataset(
        name=f"drawn particles, seed {seed}",
        taxonomy=found,
        files=tuple(files),
        images=np.stack(images),
        numbers=np.stack(numbers),
        sizes_px=np.array(sizes, dtype=np.int64),
        labels=np.array(labels, dtype=np.int64),
        hashes=tuple(hashes),
        acquisitions=None,
        faults=(),
    )


def golden_inputs() -> tuple[NDArray[np.uint8], ...]:
    """Vignettes for the goldens of any bundle: each kind at two sizes, and the degenerate ones.

    They are stored in the bundle: a later change of the drawing changes no bundle that exists.
    """
    drawn = []
    for number, kind in enumerate(KINDS):
        for step in (0, 3):
            rng = np.random.default_rng((GOLDEN_SEED, number, step))
            drawn.append(drawn_vignette(kind, rng, GOLDEN_ESD_PX[(number + step) % len(GOLDEN_ESD_PX)]))
    line = np.full((3, 230), 200, dtype=np.uint8)
    return (*drawn, np.zeros((12, 12), dtype=np.uint8), np.full((1, 1), 255, dtype=np.uint8), line)
