"""The profile: sums are exact, outcomes add up, trouble never looks like empty water."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import ProfileConfig
from edge.frame import N_OUTCOMES, FrameOutcome, Phase
from edge.optics import Optics
from edge.profile import AreaHistogram, FrameRecord, build_profile

pytestmark = pytest.mark.board
OPTICS = Optics(pixel_um=73, image_volume_l=0.6, threshold=21, aa_um2=2300, exp=1.136)
CONFIG = ProfileConfig()


def test_area_histogram_agrees_with_a_plain_count():
    area = np.array([3, 1, 1, 3, 200])
    grey = np.array([90, 30, 31, 100, 20_000])
    histogram = AreaHistogram.of(area, grey)
    assert histogram.area_px.tolist() == [1, 3, 200]
    assert histogram.count.tolist() == [2, 2, 1]
    assert histogram.grey_centi_sum.tolist() == [6100, 3000 + 3333, 10_000]
    counts, greys = histogram.by_class(OPTICS)
    assert counts.sum() == 5
    assert greys.sum() == 6100 + 6333 + 10_000
    assert counts[0] == 2


def test_no_particles():
    assert AreaHistogram.of(np.zeros(0, int), np.zeros(0, int)).n_particles == 0


def record(index, pressure_dbar, outcome, phase=Phase.DESCENT, n=2):
    areas = np.full(n, 5)
    return FrameRecord(
        index, 1000 * index, pressure_dbar, phase, outcome, 10.0,
        AreaHistogram.of(areas, areas * 40), np.full(n, 1), np.full(n, 700),
    )  # fmt: skip


def test_each_outcome_counts_where_it_should():
    records = [record(i, 7.0, outcome) for i, outcome in enumerate(FrameOutcome)]
    (part,) = build_profile(records, OPTICS, CONFIG, n_taxa=3).phases
    assert part.frames[1].tolist() == [1] * N_OUTCOMES
    assert part.volume_sized_ul.tolist() == [0, 3 * 600_000]
    assert part.volume_classified_ul.tolist() == [0, 2 * 600_000]
    assert part.lpm.sum() == 3 * 2
    assert part.noise.sum() == 2
    assert part.taxa[1].tolist() == [0, 4, 0]
    assert part.taxa_esd_um_sum[1].tolist() == [0, 2800, 0]
    assert part.temperature_c()[1] == pytest.approx(10.0)
    assert math.isnan(part.temperature_c()[0])


def test_a_frame_without_pressure_is_counted_but_never_as_water():
    profile = build_profile([record(0, math.nan, FrameOutcome.ANALYSED)], OPTICS, CONFIG, n_taxa=3)
    assert profile.outcomes().sum() == 1
    assert profile.phases[0].n_bins == 1
    assert profile.phases[0].volume_sized_ul.sum() == 0
    assert profile.lpm().sum() == 0


def test_park_has_bins_of_time():
    records = [record(i, math.nan, FrameOutcome.EMPTY, Phase.PARK, n=0) for i in (0, 3599, 3600, 9000)]
    (part,) = build_profile(records, OPTICS, CONFIG, n_taxa=1).phases
    assert part.edges.tolist() == [0, 3600, 7200, 10_800]
    assert part.frames[:, FrameOutcome.EMPTY].tolist() == [2, 1, 1]


@given(
    st.lists(
        st.tuples(
            st.floats(-10, 6000) | st.just(math.nan), st.sampled_from(FrameOutcome), st.sampled_from(Phase),
            st.integers(0, 5),
        ),
        max_size=40,
    ),
    st.randoms(),
)  # fmt: skip
def test_frames_add_up_in_any_order(frames, shuffler):
    records = [record(i, *frame) for i, frame in enumerate(frames)]
    profile = build_profile(records, OPTICS, CONFIG, n_taxa=2)
    expected = np.bincount([f[1] for f in frames], minlength=N_OUTCOMES)
    assert profile.outcomes().tolist() == expected.tolist()
    shuffler.shuffle(records)
    again = build_profile(records, OPTICS, CONFIG, n_taxa=2)
    assert all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for a, b in zip(profile.phases, again.phases, strict=True)
        for name in ("edges", "frames", "lpm", "noise", "taxa", "volume_sized_ul", "unplaced_frames")
    )


def test_a_dive_without_frames_has_nothing():
    profile = build_profile([], OPTICS, CONFIG, n_taxa=3)
    assert profile.outcomes().sum() == 0
    assert profile.taxa().shape == profile.lpm().shape == (0,)
