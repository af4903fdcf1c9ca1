"""The replay of a long log is never held in memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from edge.divelog import DiveLog
from edge.divelog_schema import LoggedFrame
from edge.frame import FrameOutcome, Phase
from edge.inference.bundle import load_bundle
from edge.logged import begin_dive, summarise
from edge.pictures import pictures_of
from edge.profile import AreaHistogram, FrameRecord
from tests.durability.aboard import CONFIG
from tests.edge.test_divelog import frame

pytestmark = pytest.mark.board
N_FRAMES, N_SIZES = 2500, 400
MOST_MB = 8.0
"""The records of so many frames take 24 MB."""


def test_a_long_dive_is_summed_up_without_holding_it(tmp_path):
    bundle = load_bundle("demo")
    sizes = np.arange(1, N_SIZES + 1)
    histogram = AreaHistogram(sizes, np.ones_like(sizes), 5000 * sizes)
    scores = np.full(len(bundle.manifest.correction.usual), 0.125, dtype=np.float32)
    phases = [phase for phase in Phase for _ in range(N_FRAMES // len(Phase) + 1)]
    begin_dive(tmp_path / "dive.sqlite", CONFIG, bundle, dive_number=1, time_ms=0).close()
    with DiveLog.open(tmp_path) as log:
        for i in range(N_FRAMES):
            outcome = FrameOutcome.ANALYSED if i % 9 else FrameOutcome.OVER_EXPOSED
            record = FrameRecord(i, 1000 * i, i / 5, phases[i], outcome, histogram=histogram)
            particles = [replace(one, scores=scores) for one in frame(i, n=2 if i % 9 else 0).particles]
            log.add_frame(LoggedFrame(record, True, "", particles=particles))
            if i % 100 == 0:
                log.commit()
        log.commit()
    with DiveLog.open(tmp_path) as log:
        tracemalloc.start()
        summary = summarise(log)
        pictures_of(log)
        peak_mb = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        assert peak_mb < MOST_MB
        records = list(log.records())
    assert summary.profile.outcomes().sum() == N_FRAMES
    assert summary.profile.lpm().sum() == sum(
        one.histogram.by_class(CONFIG.optics)[0].sum() for one in records if one.outcome.name == "ANALYSED"
    )
    assert summary.health.over_exposed_frames == sum(i % 9 == 0 for i in range(N_FRAMES))
