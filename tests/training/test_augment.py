"""Variation keeps what a vignette is."""

from __future__ import annotations

import numpy as np

from training.augment import INPUT_RANGE, augment, to_input


def disc(side: int = 48) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.where(x * x + y * y < 100, 200, 0).astype(np.uint8)[None, :, :, None]


def test_to_input_is_what_int8_holds_exactly():
    values = to_input(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1))
    assert values.dtype == np.float32
    assert (values.min(), values.max()) == INPUT_RANGE
    np.testing.assert_array_equal(values * 128, np.rint(values * 128))


def test_the_same_state_gives_the_same_images_and_another_gives_others():
    images = np.repeat(disc(), 5, axis=0)
    one, same = (augment(images, np.random.default_rng(4)) for _ in range(2))
    other = augment(images, np.random.default_rng(5))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1
    assert np.abs(one[0] - one[1]).max() > 0.1
    assert one.shape == (5, 48, 48, 1)
    assert one.dtype == np.float32


def test_black_stays_black_and_white_never_overflows():
    rng = np.random.default_rng(1)
    assert (augment(np.zeros((20, 32, 32, 1), np.uint8), rng) == -1).all()
    white = augment(np.full((50, 32, 32, 1), 255, np.uint8), rng)
    assert white.max() == 127 / 128
    assert white.min() >= -1.0


def test_a_disc_keeps_about_its_area_its_brightness_and_its_place():
    varied = (augment(np.repeat(disc(), 200, axis=0), np.random.default_rng(2))[..., 0] + 1) * 128
    area = (varied > 60).sum(axis=(1, 2)) / (disc() > 60).sum()
    assert 0.85**2 * 0.95 < area.min() < 0.8
    assert 1.1 < area.max() < 1.1**2 * 1.05
    brightest = varied.max(axis=(1, 2))
    assert 0.8 * 200 - 1 < brightest.min() < 0.85 * 200
    assert 1.15 * 200 < brightest.max() < 1.2 * 200 + 1
    y = (varied.sum(axis=2) * np.arange(48)).sum(axis=1) / varied.sum(axis=(1, 2))
    assert 1.5 < np.abs(y - 23.5).max() < 2.2
