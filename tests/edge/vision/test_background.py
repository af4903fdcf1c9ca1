"""Backgrounds: whole numbers only, the running median exact, nothing false while it warms up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edge.config import Background, VisionConfig
from edge.errors import ConfigError, ImageError
from edge.optics import Optics, Polarity
from edge.vision.background import BackgroundRemover

pytestmark = pytest.mark.board

Pixels = NDArray[np.uint8]
images = hnp.arrays(np.uint8, (13, 17))


def remover(
    background: Background, polarity: Polarity, flat: Pixels | None = None, frames: int = 5
) -> BackgroundRemover:
    optics = Optics(pixel_um=73, image_volume_l=0.6, threshold=21, polarity=polarity)
    return BackgroundRemover(VisionConfig(background=background, median_frames=frames), optics, flat)


def moving(n: int, shape: tuple[int, int] = (40, 50), seed: int = 0) -> list[Pixels]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(n)]


@settings(deadline=None)
@given(images)
def test_no_background_turns_bright_field_and_leaves_dark_field(pixels: Pixels) -> None:
    assert remover(Background.NONE, Polarity.DARK_FIELD).remove(pixels) is pixels
    white = remover(Background.NONE, Polarity.BRIGHT_FIELD).remove(pixels)
    np.testing.assert_array_equal(white, 255 - pixels)


@settings(deadline=None)
@given(images, images)
def test_dark_field_subtracts(pixels: Pixels, flat: Pixels) -> None:
    removed = remover(Background.FLAT_FIELD, Polarity.DARK_FIELD, flat).remove(pixels)
    np.testing.assert_array_equal(removed, np.maximum(pixels.astype(int) - flat, 0))
    assert removed.dtype == np.uint8


@settings(deadline=None)
@given(images, images)
def test_bright_field_is_the_share_of_the_light_that_is_missing(pixels: Pixels, flat: Pixels) -> None:
    removed = remover(Background.FLAT_FIELD, Polarity.BRIGHT_FIELD, flat).remove(pixels).astype(float)
    light = np.maximum(flat, 1).astype(float)
    share = 255 * np.maximum(flat.astype(float) - pixels, 0) / light
    assert np.abs(removed - share)[flat > 0].max(initial=0) <= 1.5  # one for the gain, a half for rounding
    gain = 255 * 256 // np.maximum(flat.astype(int), 1) * (flat > 0)
    exact = (np.maximum(flat.astype(int) - pixels, 0) * gain + 128) // 256
    np.testing.assert_array_equal(removed, exact)
    assert (removed[pixels >= flat] == 0).all()
    assert (removed[(pixels == 0) & (flat > 0)] >= 254).all()
    with_full_light = remover(Background.FLAT_FIELD, Polarity.BRIGHT_FIELD, np.full_like(flat, 255))
    np.testing.assert_array_equal(with_full_light.remove(pixels), 255 - pixels)


def test_bright_field_takes_a_particle_alike_in_weak_and_strong_light() -> None:
    flat = np.repeat(np.arange(60, 250, 10, dtype=np.uint8)[None], 9, axis=0)
    half = (flat // 2).astype(np.uint8)
    removed = remover(Background.FLAT_FIELD, Polarity.BRIGHT_FIELD, flat).remove(half)
    assert removed.max() - removed.min() <= 2
    assert abs(int(removed[0, 0]) - 127) <= 2


def test_large_frames_go_strip_by_strip() -> None:
    rng = np.random.default_rng(1)
    pixels, flat = (rng.integers(0, 256, (700, 900), dtype=np.uint8) for _ in range(2))
    whole = remover(Background.FLAT_FIELD, Polarity.BRIGHT_FIELD, flat).remove(pixels)
    top = remover(Background.FLAT_FIELD, Polarity.BRIGHT_FIELD, flat[:7].copy()).remove(pixels[:7])
    bottom = remover(Background.FLAT_FIELD, Polarity.BRIGHT_FIELD, flat[-7:].copy()).remove(pixels[-7:])
    np.testing.assert_array_equal(whole[:7], top)
    np.testing.assert_array_equal(whole[-7:], bottom)


@pytest.mark.parametrize("n", range(3, 32))
def test_running_median_is_exact(n: int) -> None:
    frames = moving(n)
    median = remover(Background.RUNNING_MEDIAN, Polarity.DARK_FIELD, frames=n)
    for frame in frames[:-1]:
        median.learn(frame)
        assert not median.ready
        assert median.background is None
    median.learn(frames[-1])
    assert median.ready
    background = median.background
    assert background is not None
    np.testing.assert_array_equal(background, np.sort(np.stack(frames), axis=0)[(n - 1) // 2])


@settings(deadline=None, max_examples=30)
@given(n=st.integers(3, 9), more=st.integers(0, 20), polarity=st.sampled_from(Polarity))
def test_every_row_is_the_median_of_frames_that_followed_each_other(
    n: int, more: int, polarity: Polarity
) -> None:
    """One strip in n is renewed with every frame: after n frames the whole background is new."""
    frames = moving(n + more, (11, 6))
    median = remover(Background.RUNNING_MEDIAN, polarity, frames=n)
    for frame in frames:
        median.remove(frame)
    background = median.background
    assert background is not None
    for y in range(11):
        fits = [
            end
            for end in range(n, n + more + 1)
            if (np.sort(np.stack(frames[end - n : end]), axis=0)[(n - 1) // 2][y] == background[y]).all()
        ]
        assert fits
        assert max(fits) > more  # of frames no older than two rounds
    fresh = remover(Background.FLAT_FIELD, polarity, background.copy())
    probe = moving(1, (11, 6), seed=9)[0]
    np.testing.assert_array_equal(median.remove(probe), fresh.remove(probe))


def test_running_median_takes_away_dirt_and_keeps_what_moves() -> None:
    rng = np.random.default_rng(2)
    haze = rng.integers(10, 30, (60, 80)).astype(np.uint8)
    haze[20:24, 30:34] = 200
    median = remover(Background.RUNNING_MEDIAN, Polarity.DARK_FIELD, frames=7)
    for i in range(20):
        frame = haze.copy()
        frame[10:13, 3 * i : 3 * i + 3] = 150
        white = median.remove(frame)
        if i < 7:
            np.testing.assert_array_equal(white, frame)  # nothing taken away before it is known
        else:
            assert (white > 100).sum() == 9
            assert not white[20:24, 30:34].any()


def test_unlit_frames_need_not_be_learned() -> None:
    median = remover(Background.RUNNING_MEDIAN, Polarity.DARK_FIELD, frames=3)
    for _ in range(3):
        median.learn(np.full((9, 9), 40, dtype=np.uint8))
    for _ in range(9):
        median.remove(np.zeros((9, 9), dtype=np.uint8), learn=False)
    assert median.background is not None
    assert (median.background == 40).all()


def test_frames_are_kept_as_copies() -> None:
    buffer = np.full((6, 6), 50, dtype=np.uint8)
    flat = np.full((6, 6), 7, dtype=np.uint8)
    median = remover(Background.RUNNING_MEDIAN, Polarity.DARK_FIELD, frames=3)
    static = remover(Background.FLAT_FIELD, Polarity.DARK_FIELD, flat)
    for _ in range(3):
        median.learn(buffer)
    buffer[:] = flat[:] = 255
    assert median.background is not None
    assert (median.background == 50).all()
    assert (static.remove(np.full((6, 6), 10, dtype=np.uint8)) == 3).all()


def test_a_flat_field_must_be_given() -> None:
    with pytest.raises(ConfigError, match=r"vision\.flat_field: .*; name the image of the flat field\."):
        remover(Background.FLAT_FIELD, Polarity.DARK_FIELD)


@pytest.mark.parametrize("polarity", Polarity)
def test_frames_of_another_size_are_refused(polarity: Polarity) -> None:
    small, large = np.zeros((5, 6), dtype=np.uint8), np.zeros((7, 8), dtype=np.uint8)
    with pytest.raises(ImageError, match="8 x 7 px came where the background has 6 x 5 px"):
        remover(Background.FLAT_FIELD, polarity, small).remove(large)
    median = remover(Background.RUNNING_MEDIAN, polarity, frames=3)
    median.learn(small)
    with pytest.raises(ImageError, match="8 x 7 px"):
        median.learn(large)
    median.learn(small)
    median.learn(small)
    with pytest.raises(ImageError, match="8 x 7 px"):
        median.remove(large)
