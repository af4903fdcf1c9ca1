"""Variation keeps what a vignette is."""

from __future__ import annotations

import numpy as np
import pytest

from edge.inference.preprocessing import N_NUMBERS
from training.augment import INPUT_RANGE, Variation, augment, augment_numbers, to_input

PLAIN = Variation(blurred=0, noisy=0, cut=0)


def disc(side: int = 48, radius: int = 10) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.where(x * x + y * y < radius**2, 200, 0).astype(np.uint8)[None, :, :, None]


def test_to_input_is_what_int8_holds_exactly():
    values = to_input(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1))
    assert values.dtype == np.float32
    assert (values.min(), values.max()) == INPUT_RANGE
    np.testing.assert_array_equal(values * 128, np.rint(values * 128))


def test_the_same_state_gives_the_same_images_and_another_gives_others():
    images = np.repeat(disc(), 5, axis=0)
    one, same = (augment(images, np.random.default_rng(4), Variation()) for _ in range(2))
    other, _, _ = augment(images, np.random.default_rng(5), Variation())
    for mine, again in zip(one, same, strict=True):
        np.testing.assert_array_equal(mine, again)
    assert np.abs(one[0] - other).max() > 10
    assert np.abs(one[0][0] - one[0][1]).max() > 10
    assert one[0].shape == (5, 48, 48, 1)
    assert one[0].dtype == np.float32


def test_black_stays_black_and_white_never_overflows():
    rng = np.random.default_rng(1)
    assert (augment(np.zeros((20, 32, 32, 1), np.uint8), rng, PLAIN)[0] == 0).all()
    for variation in (PLAIN, Variation(noisy=1, blurred=1, cut=1)):
        white, _, _ = augment(np.full((50, 32, 32, 1), 255, np.uint8), rng, variation)
        assert white.max() == 255
        assert white.min() >= 0


def test_a_disc_keeps_about_its_area_its_brightness_and_its_place():
    varied, scale, gain = augment(np.repeat(disc(), 200, axis=0), np.random.default_rng(2), PLAIN)
    varied = varied[..., 0]
    area = (varied > 60).sum(axis=(1, 2)) / (disc() > 60).sum()
    np.testing.assert_allclose(area, scale**2, rtol=0.12)
    np.testing.assert_allclose(varied.max(axis=(1, 2)), 200 * gain, rtol=0.02)
    assert (scale.min(), scale.max()) == pytest.approx((0.85, 1.1), abs=0.01)
    assert (gain.min(), gain.max()) == pytest.approx((0.8, 1.2), abs=0.01)
    y = (varied.sum(axis=2) * np.arange(48)).sum(axis=1) / varied.sum(axis=(1, 2))
    assert 1.5 < np.abs(y - 23.5).max() < 4 / 96 * 48 * 2**0.5 * 1.1


def test_a_share_of_the_images_is_blurred_noisy_or_cut():
    images = np.repeat(disc(), 60, axis=0)
    plain, _, _ = augment(images, np.random.default_rng(3), PLAIN)
    blurred, _, _ = augment(images, np.random.default_rng(3), Variation(blurred=1, noisy=0, cut=0))
    noisy, _, _ = augment(images, np.random.default_rng(3), Variation(blurred=0, noisy=1, cut=0))
    large = np.repeat(disc(radius=20), 60, axis=0)
    whole, _, _ = augment(large, np.random.default_rng(3), PLAIN)
    cut, _, _ = augment(large, np.random.default_rng(3), Variation(blurred=0, noisy=0, cut=1))

    def edges(some):
        return np.abs(np.diff(some[..., 0], axis=1)).max(axis=(1, 2)).mean()

    assert edges(blurred) < 0.85 * edges(plain)
    assert (noisy[..., 0][:, :4, :4].std(axis=(1, 2)) > 0.3).mean() > 0.7
    assert (plain[..., 0][:, :4, :4] == 0).all()
    assert 0.7 < (cut > 60).sum() / (whole > 60).sum() < 0.97


def test_numbers_vary_as_the_images_do():
    numbers = np.full((4000, N_NUMBERS), 120, np.uint8)
    rng = np.random.default_rng(4)
    scale = np.repeat([0.85, 1.1], 2000)
    varied = augment_numbers(numbers, scale, np.repeat([1.2, 0.8], 2000), rng)
    small, large = varied[:2000].mean(axis=0) - 120, varied[2000:].mean(axis=0) - 120
    expected = np.log2([0.85, 1.1])
    np.testing.assert_allclose([small[0], large[0]], 24 * expected, atol=0.3)
    np.testing.assert_allclose([small[3], large[3]], 16 * expected, atol=0.3)
    np.testing.assert_allclose([small[4], large[4]], 32 * np.log2([1.2, 0.8]), atol=0.4)
    np.testing.assert_allclose(varied[:, 1:3].mean(axis=0), 120, atol=0.5)
    assert varied.std(axis=0).min() > 1
    extreme = augment_numbers(np.array([[0] * 5, [255] * 5], np.uint8), scale[:2], scale[:2], rng)
    assert extreme.min() >= 0
    assert extreme.max() <= 255
