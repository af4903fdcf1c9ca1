"""A dive of drawn particles, as large as wished: logs for benchmarks of the shore. It measures no instrument.

Some hundred particles are drawn, segmented, measured and cut as aboard, and strewn over the frames again and
again; what a model would say of them is drawn from the seed.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.config import Config
from edge.divelog import DiveLog
from edge.divelog_schema import LoggedFrame, Particle
from edge.frame import FrameOutcome, Phase
from edge.optics import Optics
from edge.profile import AreaHistogram, FrameRecord
from edge.taxonomy import UNCLASSIFIED, Taxon
from edge.telemetry import Codebook
from edge.vision.morphology import MEASURES, measure
from edge.vision.segmentation import segment
from edge.vision.vignette import cut_vignette, encode_vignette
from training.drawn import KINDS, add_noise, draw_particle

OPTICS = Optics(pixel_um=73, image_volume_l=0.6, threshold=21, aa_um2=2300, exp=1.136)
TAXA = (
    *(Taxon(label=kind, parent="gelatinous" if kind in ("bell", "ring") else None) for kind in KINDS),
    Taxon(label="gelatinous"),
    Taxon(label=UNCLASSIFIED),
)
STARTED_MS = 1_741_089_600_000
PARTICLES_A_FRAME, FRAME_MS, DEEPEST_DBAR = 5, 2000, 1000.0
SURE = 0.5
"""Below this highest score the answer is a parent or `unclassified`."""
_SIDE_PX, _AT_PX = 400, 900


class _Drawn(NamedTuple):
    """A drawn particle as it would be logged at (`_AT_PX`, `_AT_PX`)."""

    kind: int
    width_px: int
    height_px: int
    area_px: int
    measures: NDArray[np.float64]
    vignette_png: bytes


def make_dive(
    folder: Path, objects: int, *, distinct: int = 400, seed: int = 1, dive_number: int = 1
) -> Path:
    """Write dive.sqlite with so many classified particles into a new folder, and return the folder."""
    rng = np.random.default_rng(seed)
    config = Config(bundle="demo", optics=OPTICS, platform="drawn")
    codebook = Codebook(taxa=TAXA, optics=OPTICS, profile=config.profile, platform="drawn")
    meta = {
        "dive_number": dive_number,
        "started_ms": STARTED_MS,
        "config": msgspec.to_builtins(config),
        "codebook": msgspec.to_builtins(codebook),
        "bundle": {"name": "drawn", "sha256": "0" * 64},
        "measures": [one.name for one in MEASURES],
        "recording": {},
    }
    drawn = [_draw(rng, config) for _ in range(min(distinct, objects))]
    folder.mkdir(parents=True)
    n_frames = math.ceil(objects / PARTICLES_A_FRAME)
    with DiveLog.create(folder / "dive.sqlite", meta) as log:
        log.add_input(STARTED_MS, "budget", msgspec.to_builtins(config.telemetry))
        for frame in range(n_frames):
            n = min(PARTICLES_A_FRAME, objects - frame * PARTICLES_A_FRAME)
            particles = [_particle(rng, frame, drawn[int(rng.integers(len(drawn)))]) for _ in range(n)]
            log.add_frame(_frame(frame, n_frames, particles))
            if frame % 200 == 199:
                log.commit()
    return folder


def _draw(rng: np.random.Generator, config: Config) -> _Drawn:
    """Draw a particle into water, and see it as aboard."""
    while True:
        kind = int(rng.integers(len(KINDS)))
        pixels = draw_particle(KINDS[kind], rng, float(np.clip(9 + rng.gamma(1.5, 6), 9, 60)))
        height, width = pixels.shape
        if max(height, width) > _SIDE_PX // 2:
            continue
        water = np.zeros((_SIDE_PX, _SIDE_PX), dtype=np.uint8)
        top, left = (_SIDE_PX - height) // 2, (_SIDE_PX - width) // 2
        water[top : top + height, left : left + width] = pixels
        water = add_noise(water, rng, 1.5, 5.0)
        regions = segment(water, OPTICS.threshold)
        i = int(np.argmax(regions.area_px))
        if float(OPTICS.esd_um(int(regions.area_px[i]))) < config.classify.min_esd_um:
            continue
        x, y = int(regions.x_px[i]), int(regions.y_px[i])
        mask = regions.mask(i)
        box = water[y : y + mask.shape[0], x : x + mask.shape[1]]
        vignette = cut_vignette(water, regions, i, config.vision)
        return _Drawn(
            kind, mask.shape[1], mask.shape[0], int(regions.area_px[i]),
            measure(mask, box, _AT_PX, _AT_PX, OPTICS), encode_vignette(vignette),
        )  # fmt: skip


def _particle(rng: np.random.Generator, frame: int, drawn: _Drawn) -> Particle:
    scores = rng.dirichlet(np.full(len(KINDS), 0.3)).astype(np.float32)
    scores[drawn.kind] += np.float32(rng.uniform(0.2, 4))
    scores /= scores.sum()
    best = int(scores.argmax())
    parent = TAXA[best].parent
    answer = best
    if scores[best] < SURE:
        answer = len(KINDS) if parent else len(TAXA) - 1
    return Particle(
        frame, _AT_PX, _AT_PX, drawn.width_px, drawn.height_px, drawn.area_px, False,
        round(float(OPTICS.esd_um(drawn.area_px))), answer, scores, drawn.measures, drawn.vignette_png,
    )  # fmt: skip


def _frame(frame: int, n_frames: int, particles: list[Particle]) -> LoggedFrame:
    """A frame of a descent, a short park and an ascent."""
    share = frame / max(1, n_frames - 1)
    phase = Phase.DESCENT if share < 0.45 else Phase.PARK if share < 0.55 else Phase.ASCENT
    pressure = DEEPEST_DBAR * min(1.0, share / 0.45, (1 - share) / 0.45)
    area = np.array([one.area_px for one in particles], dtype=np.int64)
    record = FrameRecord(
        frame, STARTED_MS + frame * FRAME_MS, pressure, phase, FrameOutcome.ANALYSED, 12.0,
        AreaHistogram.of(area, area * 60), np.array([one.taxon for one in particles], dtype=np.int64),
        np.array([one.esd_um for one in particles], dtype=np.int64),
    )  # fmt: skip
    return LoggedFrame(record, True, f"{frame:06d}.png", particles=particles)
