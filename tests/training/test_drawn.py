"""Drawn particles: right size, one piece, repeatable, and different from one another."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from training import drawn

pytestmark = pytest.mark.board


@pytest.mark.parametrize("kind", drawn.KINDS)
@pytest.mark.parametrize("esd_px", [9.6, 24.0, 70.0])
def test_area_is_that_of_the_esd_asked(kind, esd_px):
    rng = np.random.default_rng(5)
    for _ in range(6):
        pixels = drawn.draw_particle(kind, rng, esd_px)
        area = np.count_nonzero(pixels > drawn.THRESHOLD)
        assert 2 * math.sqrt(area / math.pi) == pytest.approx(esd_px, rel=0.1)


@pytest.mark.parametrize("kind", drawn.KINDS)
def test_is_one_particle_on_black(kind):
    rng = np.random.default_rng(6)
    for _ in range(12):
        pixels = drawn.draw_particle(kind, rng, 30.0)
        assert pixels.dtype == np.uint8
        assert not pixels[0].any()
        assert not pixels[-1].any()
        assert not pixels[:, 0].any()
        assert not pixels[:, -1].any()
        mask = (pixels > drawn.THRESHOLD).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        areas = stats[1:, cv2.CC_STAT_AREA]
        assert areas.max() > 0.85 * areas.sum()


@pytest.mark.parametrize("kind", drawn.KINDS)
def test_same_generator_same_drawing(kind):
    first = drawn.draw_particle(kind, np.random.default_rng(7), 25.0)
    again = drawn.draw_particle(kind, np.random.default_rng(7), 25.0)
    other = drawn.draw_particle(kind, np.random.default_rng(8), 25.0)
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()


def test_rings_are_hollow_and_spheres_are_not():
    rng = np.random.default_rng(9)
    for _ in range(8):
        ring, sphere = drawn.draw_particle("ring", rng, 40.0), drawn.draw_particle("sphere", rng, 40.0)
        assert ring[ring.shape[0] // 2, ring.shape[1] // 2] < 0.5 * ring.max()
        assert sphere[sphere.shape[0] // 2, sphere.shape[1] // 2] > 0.5 * sphere.max()


def test_fibres_are_longer_than_they_are_wide():
    rng = np.random.default_rng(10)
    for _ in range(8):
        pixels = drawn.draw_particle("fibre", rng, 30.0)
        area = np.count_nonzero(pixels > drawn.THRESHOLD)
        assert math.hypot(*pixels.shape) > 4 * area / math.hypot(*pixels.shape)


def test_unknown_kind_names_those_known():
    with pytest.raises(ValueError, match="choose one of aggregate, fibre"):
        drawn.draw_particle("whale", np.random.default_rng(0), 20.0)


def test_blur_keeps_the_light_and_spreads_it():
    pixels = drawn.draw_particle("copepod", np.random.default_rng(1), 40.0)
    soft = drawn.blur(pixels, 2.0)
    assert soft.max() < pixels.max()
    assert soft.sum() == pytest.approx(pixels.sum(), rel=0.05)
    assert drawn.blur(pixels, 0.0) is pixels


def test_noise_and_uneven_light():
    flat = np.full((200, 300), 100, dtype=np.uint8)
    noisy = drawn.add_noise(flat, np.random.default_rng(2), sigma=3.0, background=10.0)
    assert noisy.mean() == pytest.approx(110, abs=0.2)
    assert noisy.std() == pytest.approx(3.0, abs=0.2)
    uneven = drawn.shade(flat, np.random.default_rng(3), depth=0.4)
    assert uneven.max() == pytest.approx(100, abs=1)
    assert uneven.min() == pytest.approx(60, abs=1)
