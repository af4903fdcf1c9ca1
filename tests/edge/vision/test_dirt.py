"""Dirt on the window is no particle; what drifts by is, however much of it there is."""

from __future__ import annotations

import numpy as np
import pytest

from edge.config import VisionConfig
from edge.divelog import DiveLog
from edge.frame import FrameOutcome, Phase
from edge.inference.bundle import load_bundle
from edge.instrument import Instrument
from edge.logged import begin_dive
from edge.mission import Mission, State
from edge.vision.dirt import LEAST_FRAMES, DirtMap
from edge.vision.segmentation import find_foreground, join
from tests.edge.test_instrument import CONFIG, frame, take

pytestmark = pytest.mark.board
SHAPE = (240, 400)
DIRT = [(10, 10, 5), (101, 203, 1), (200, 396, 4)]
"""Row, column, side; one touches the edge, one is a dead pixel."""


def view(rng, *, n=40, dirt=DIRT):
    """Particles anywhere, dirt where it is; its light flickers about the threshold once in ten frames."""
    pixels = rng.integers(0, 12, SHAPE, dtype=np.uint8)
    for y, x in rng.integers((0, 0), SHAPE, (n, 2)):
        pixels[y : y + 3, x : x + 3] = 120
    for y, x, side in dirt:
        if rng.random() > 0.1:
            pixels[y : y + side, x : x + side] = 90
    return pixels


def is_at(regions, found, y, x):
    """Whether the region at a place was found."""
    inside = (regions.y_px <= y) & (y < regions.y_px + regions.height_px)
    inside &= (regions.x_px <= x) & (x < regions.x_px + regions.width_px)
    return bool(found[inside].any())


def test_dirt_is_found_after_a_while_and_particles_are_not():
    rng, dirt = np.random.default_rng(1), DirtMap()
    wrong = seen = there = 0
    for i in range(200):
        pixels = view(rng)
        foreground = find_foreground(pixels, 21)
        regions = join(foreground)
        dirt.see(foreground, 1000 * i, 5.0 * i)
        found = dirt.find(regions)
        if i < LEAST_FRAMES - 1:
            assert not found.any()
            continue
        for y, x, _ in DIRT:
            lit = pixels[y, x] == 90
            there += lit
            seen += lit and is_at(regions, found, y, x)
        wrong += found.sum()
    assert seen > 0.9 * there
    assert wrong <= there * 1.1
    assert 0 < dirt.permille <= 10


def test_a_bloom_is_no_dirt():
    rng, dirt = np.random.default_rng(2), DirtMap()
    for i in range(120):
        foreground = find_foreground(view(rng, n=400, dirt=[]), 21)
        dirt.see(foreground, 1000 * i, 5.0 * i)
        assert not dirt.find(join(foreground)).any()


def test_water_that_stands_still_teaches_nothing():
    rng, dirt = np.random.default_rng(3), DirtMap()
    foreground = find_foreground(view(rng), 21)
    for i in range(100):
        dirt.see(foreground, 90 * i, 100.0 + 0.001 * i)
    assert dirt.n_frames == 1
    for i in range(100):
        dirt.see(foreground, 90 * i, float("nan"))
    assert dirt.n_frames == 1, "without pressure, time alone moves it"
    dirt.see(foreground, 20_000, float("nan"))
    dirt.see(foreground, 0, 300.0)
    assert dirt.n_frames == 3
    assert dirt.permille == 0


def test_dirt_that_is_washed_off_is_forgotten():
    rng, dirt = np.random.default_rng(4), DirtMap()
    for i in range(100):
        dirt.see(find_foreground(view(rng), 21), 1000 * i, 5.0 * i)
    assert dirt.permille > 0
    for i in range(100, 120):
        dirt.see(find_foreground(view(rng, dirt=[]), 21), 1000 * i, 5.0 * i)
    assert dirt.permille == 0


def test_some_regions_alone_are_as_they_were():
    rng = np.random.default_rng(5)
    regions = join(find_foreground(view(rng), 21))
    kept = rng.random(len(regions)) > 0.5
    some = regions.only(kept)
    assert len(some) == kept.sum()
    for k, i in enumerate(np.flatnonzero(kept)):
        assert (some.mask(k) == regions.mask(i)).all()
        assert (some.x_px[k], some.area_px[k], some.integrated_grey[k]) == (
            regions.x_px[i], regions.area_px[i], regions.integrated_grey[i],
        )  # fmt: skip
    assert len(regions.only(np.zeros(len(regions), dtype=bool))) == 0


def test_a_dive_counts_no_dirt_and_says_how_much_there_was(tmp_path):
    config = CONFIG.__class__(optics=CONFIG.optics, log=CONFIG.log, vision=VisionConfig())
    log = begin_dive(tmp_path / "dive.sqlite", config, load_bundle("demo"), dive_number=1, time_ms=0)
    instrument = Instrument(config, load_bundle("demo"), log, mission=Mission(State.DESCENT))
    rng = np.random.default_rng(6)
    spot = [(50, 60, 30)]
    records = [
        take(instrument, frame(i, view(rng, n=0, dirt=spot), phase=Phase.DESCENT))[0] for i in range(120)
    ]
    late = records[LEAST_FRAMES:]
    assert {record.outcome for record in late} == {FrameOutcome.EMPTY}
    assert sum(record.dirt for record in late) > 50
    assert any(record.histogram.n_particles for record in records[: LEAST_FRAMES - 1])
    instrument.finish()
    log.close()
    with DiveLog.open(tmp_path / "dive.sqlite") as again:
        assert [record.dirt for record in again.records()] == [record.dirt for record in records]
    assert instrument.dirt_permille > 0
