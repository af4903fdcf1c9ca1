"""The frames of the segmentation benchmark are what its table says; its times are nobody's test."""

from __future__ import annotations

import numpy as np
import pytest

from edge.vision.segmentation import segment
from tools.bench.segment import N_PARTICLES, THRESHOLD, even_frame, one_particle

pytestmark = pytest.mark.board


@pytest.mark.parametrize("n", N_PARTICLES)
def test_frames_hold_as_many_particles_as_they_say(n: int) -> None:
    frame = even_frame(n, np.random.default_rng(n))
    regions = segment(frame, THRESHOLD)
    assert len(regions) == n
    share = regions.area_px.sum() / frame.size
    assert 0.005 < share < (0.02 if n <= 1500 else 0.1)
    assert len(np.unique(regions.area_px)) > 10


def test_the_one_particle_has_about_a_thousand_pixels() -> None:
    mask, grey = one_particle()
    assert mask.shape == grey.shape
    assert 900 <= mask.sum() <= 1100
    assert (grey[mask] > THRESHOLD).all()
