"""A dive made up for tests of the shore: three phases, every outcome, vignettes, messages, a truth."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import msgspec
import numpy as np

from edge.config import ClassifyConfig, Config, TelemetryConfig
from edge.divelog import DiveLog
from edge.divelog_schema import LoggedFrame, Particle
from edge.drift import N_SCORE_BINS, Reference
from edge.frame import CLASSIFIED_OUTCOMES, SIZED_OUTCOMES, FrameOutcome, Phase
from edge.logged import plan_messages, summarise
from edge.optics import Optics
from edge.profile import AreaHistogram, FrameRecord
from edge.taxonomy import UNCLASSIFIED, Taxon
from edge.telemetry import Codebook
from edge.vision.morphology import MEASURES
from training.drawn import KINDS, draw_particle

OPTICS = Optics(pixel_um=73, image_volume_l=0.6, threshold=21, aa_um2=2300, exp=1.136)
TAXA = (
    *(
        Taxon(
            label=kind,
            living=kind not in ("aggregate", "fibre", "bubble"),
            parent="gelatinous" if kind == "bell" else None,
        )
        for kind in KINDS
    ),
    Taxon(label="gelatinous", living=True),
    Taxon(label=UNCLASSIFIED),
)
_REFERENCE = Reference(score=((0, *[10] * N_SCORE_BINS),) * len(TAXA))
START_MS = 1_741_089_600_000
TROUBLE = (
    FrameOutcome.UNLIT, FrameOutcome.DARK, FrameOutcome.OVER_EXPOSED, FrameOutcome.BLURRED,
    FrameOutcome.DROPPED, FrameOutcome.LATE, FrameOutcome.DUPLICATE, FrameOutcome.CORRUPT,
    FrameOutcome.INFERENCE_FAILED,
)  # fmt: skip


def make_dive(
    folder: Path,
    *,
    seed: int = 1,
    deepest_dbar: float = 300.0,
    budget_bytes: int = 2000,
    frames: tuple[int, int, int] = (150, 30, 120),
    truth: bool = True,
    nasty: str = "",
) -> Path:
    """Write dive.sqlite, messages/ and truth.json into `folder`; `nasty` goes into free texts of the log."""
    rng = np.random.default_rng(seed)
    config = Config(
        bundle="demo", optics=OPTICS, classify=ClassifyConfig(min_esd_um=620),
        telemetry=TelemetryConfig(budget_bytes=budget_bytes),
    )  # fmt: skip
    codebook = Codebook(taxa=TAXA, optics=OPTICS, profile=config.profile, bundle_sha256="ab" * 32)
    recording = {
        "path": "recording", "cruise": f"TEST 2025{nasty}", "platform": f"float 0042{nasty}",
        "profile": "0042_012a",
        "instrument": {"unit": "000123LP", "camera": "drawn"}, "optics": msgspec.to_builtins(OPTICS),
        "position": {"latitude_deg": 43.4166667, "longitude_deg": -7.8666667},
    }  # fmt: skip
    meta = {
        "dive_number": 12, "started_ms": START_MS, "config": msgspec.to_builtins(config),
        "codebook": msgspec.to_builtins(codebook), "bundle": {"name": "demo", "sha256": "ab" * 32},
        "measures": [one.name for one in MEASURES], "recording": recording,
        "reference": msgspec.to_builtins(_REFERENCE),
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    plan = list(zip(Phase, frames, strict=True))
    with DiveLog.create(folder / "dive.sqlite", meta) as log:
        log.add_input(START_MS, "budget", msgspec.to_builtins(config.telemetry))
        log.add_input(START_MS, "health", {"battery_mv": 12_646, "board_temperature_c": 18, "written_mb": 3})
        log.add_input(
            START_MS, "health", {"board_temperature_c": 5, "disk_free_mb": 41_000, "written_mb": 47}
        )
        log.add_input(START_MS, "restart", {"frames": 0})
        index, time_ms = 0, START_MS
        for phase, n in plan:
            for i in range(n):
                time_ms += 600_000 if phase is Phase.PARK else 20_000
                log.add_frame(_frame(rng, index, time_ms, phase, i / max(1, n - 1), deepest_dbar))
                index += 1
        log.commit()
        profile = summarise(log).profile
        if profile.phases:
            log.set_meta("corrected", _corrected(profile).tolist())
        log.set_messages(plan_messages(log).messages)
        place = folder / "messages"
        place.mkdir(exist_ok=True)
        for part, message in enumerate(log.messages()):
            (place / f"00012-{part:03d}.msg").write_bytes(message)
        (place / "codebook.json").write_text(json.dumps(log.meta("codebook")), encoding="utf-8")
    if truth:
        (folder / "truth.json").write_text(json.dumps(_truth(rng, profile)), encoding="utf-8")
    return folder


def _frame(
    rng: np.random.Generator, index: int, time_ms: int, phase: Phase, share: float, deepest_dbar: float
) -> LoggedFrame:
    down = {Phase.DESCENT: share, Phase.PARK: 1.0, Phase.ASCENT: 1 - share}[phase]
    pressure = math.nan if rng.random() < 0.02 else deepest_dbar * down + float(rng.normal(0, 0.4))
    outcome = TROUBLE[int(rng.integers(len(TROUBLE)))] if rng.random() < 0.12 else FrameOutcome.ANALYSED
    bloom = math.exp(-(((down - 0.2) / 0.15) ** 2))
    area = np.zeros(0, dtype=np.int64)
    if outcome in SIZED_OUTCOMES or outcome is FrameOutcome.UNLIT:
        n = rng.poisson(20 if outcome is FrameOutcome.UNLIT else 300 * (0.3 + bloom))
        area = np.minimum(np.ceil(rng.pareto(1.6, n)), 4000).astype(np.int64) if n else area
    if outcome is FrameOutcome.ANALYSED and not area.size:
        outcome = FrameOutcome.EMPTY
    particles = []
    if outcome in CLASSIFIED_OUTCOMES:
        particles = [_particle(rng, index) for _ in range(rng.poisson(0.4 + 3 * bloom))]
    record = FrameRecord(
        index, time_ms, pressure, phase, outcome, 16 - 9 * down + float(rng.normal(0, 0.05)),
        AreaHistogram.of(area, area * 60),
        np.array([p.taxon for p in particles], dtype=np.int64),
        np.array([p.esd_um for p in particles], dtype=np.int64),
    )  # fmt: skip
    sharp = 0.08 + 0.3 * (index % 7) / 7 if outcome in CLASSIFIED_OUTCOMES else None
    return LoggedFrame(
        record, outcome is not FrameOutcome.UNLIT, f"{index:05d}.png", "", {}, particles, sharp,
        mean_grey_centi=212 if outcome is not FrameOutcome.UNLIT else 93,
        noise_threshold=None if outcome is not FrameOutcome.UNLIT else 25,
    )  # fmt: skip


def _particle(rng: np.random.Generator, frame: int) -> Particle:
    kind = int(rng.choice(len(KINDS), p=np.array([30, 14, 10, 18, 4, 8, 6, 1]) / 91))
    pixels = draw_particle(KINDS[kind], rng, float(rng.uniform(9, 40)))
    scores = rng.dirichlet(np.full(len(KINDS), 0.08)).astype(np.float32)
    scores[kind] += rng.uniform(0, 3)
    scores /= scores.sum()
    taxon = int(scores.argmax())
    if scores.max() < 0.55:
        taxon = len(TAXA) - (2 if KINDS[taxon] == "bell" else 1)
    area = int(np.count_nonzero(pixels > 21))
    return Particle(
        frame, int(rng.integers(2000)), int(rng.integers(1800)), pixels.shape[1], pixels.shape[0], area,
        bool(rng.random() < 0.05), round(float(OPTICS.esd_um(area))), taxon, scores,
        np.zeros(len(MEASURES)), None if rng.random() < 0.1 else cv2.imencode(".png", pixels)[1].tobytes(),
    )  # fmt: skip


def _corrected(profile) -> np.ndarray:
    """Parents and `unclassified` shared out: all to the first taxon, each with an interval of 2 around it."""
    count = profile.taxa()
    count[0] += count[len(KINDS) :].sum()
    count[len(KINDS) :] = 0
    return np.stack(
        [count, np.maximum(count - 2, 0), np.where(np.arange(len(count)) < len(KINDS), count + 2, 0)]
    )


def _truth(rng: np.random.Generator, profile) -> dict:
    labels = [taxon.label for taxon in TAXA]
    board = profile.taxa()
    water = {name: int(rng.poisson(board[i] * 1.1)) for i, name in enumerate(labels[: len(KINDS)])}
    phases = []
    for part in profile.phases:
        counts = rng.poisson(part.taxa * 1.1)
        phases.append({
            "phase": part.phase.name.lower(), "edges": part.edges.tolist(),
            "taxa": {name: counts[:, i].tolist() for i, name in enumerate(labels[: len(KINDS)])},
            "volume_classified_l": (part.volume_classified_ul / 1e6).tolist(),
        })  # fmt: skip
    return {
        "detection": {
            "recall": 0.981, "precision": 0.994, "n_truth": 90123, "n_found": 88950, "recall_large": 0.999,
            "frames": 270,
        },
        "taxa": {
            name: {"water": water.get(name, 0), "board": int(board[i]), "shore": int(board[i])}
            for i, name in enumerate(labels)
        },
        "wrong_outcomes": {"blurred taken for analysed": 3},
        "bray_curtis_shore": 0.061, "bray_curtis_board": 0.06, "bray_curtis_corrected": 0.033,
        "phases": phases,
        "note": "the truth is compared over classified frames only",
    }  # fmt: skip
