"""Frames that are no water: over-exposed, dark, blurred."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.config import Background, VisionConfig
from edge.frame import FrameOutcome
from edge.optics import Optics, Polarity
from edge.vision.background import BackgroundRemover
from edge.vision.quality import judge_exposure, judge_focus, particle_sharpness, sharpness
from edge.vision.segmentation import find_foreground, segment

pytestmark = pytest.mark.board

Pixels = NDArray[np.uint8]


def judge(
    raw: Pixels, config: VisionConfig, polarity: Polarity = Polarity.DARK_FIELD, white: Pixels | None = None
) -> FrameOutcome | None:
    optics = Optics(pixel_um=73, image_volume_l=0.6, threshold=21, polarity=polarity)
    pixels = BackgroundRemover(config, optics).remove(raw) if white is None else white
    return judge_exposure(raw, find_foreground(pixels, 21), config, polarity)


def disks(radius: int, sigma: float = 0.0, grey: int = 200, n: int = 9) -> Pixels:
    pixels = np.zeros((400, 400), dtype=np.uint8)
    for i in range(n):
        cv2.circle(pixels, (70 + 130 * (i % 3), 70 + 130 * (i // 3)), radius, grey, -1)
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma) if sigma else pixels, dtype=np.uint8)


def bright_share(share: float, polarity: Polarity) -> Pixels:
    pixels = np.full((100, 100), 5, dtype=np.uint8)
    pixels.ravel()[: round(share * pixels.size)] = 90
    return pixels if polarity == Polarity.DARK_FIELD else np.asarray(255 - pixels, dtype=np.uint8)


@pytest.mark.parametrize("polarity", Polarity)
def test_over_exposed_is_more_than_the_share(polarity: Polarity) -> None:
    config = VisionConfig(over_exposed_fraction=0.1)
    assert judge(bright_share(0.1, polarity), config, polarity) is None
    assert judge(bright_share(0.1001, polarity), config, polarity) is FrameOutcome.OVER_EXPOSED
    assert judge(bright_share(1, polarity), config, polarity) is FrameOutcome.OVER_EXPOSED


def test_light_without_end_is_no_empty_water_in_bright_field() -> None:
    white = np.full((64, 64), 255, dtype=np.uint8)
    assert judge(white, VisionConfig(), Polarity.BRIGHT_FIELD) is FrameOutcome.OVER_EXPOSED
    assert judge(white, VisionConfig(saturated_fraction=1), Polarity.BRIGHT_FIELD) is None
    white[:32] = 240
    assert judge(white, VisionConfig(), Polarity.BRIGHT_FIELD) is None


def test_light_without_end_is_no_empty_water_behind_a_running_median() -> None:
    config = VisionConfig(background=Background.RUNNING_MEDIAN, median_frames=3)
    optics = Optics(pixel_um=73, image_volume_l=0.6, threshold=21)
    remover = BackgroundRemover(config, optics)
    raw = np.full((64, 64), 255, dtype=np.uint8)
    for _ in range(9):
        white = remover.remove(raw)
        outcome = judge_exposure(raw, find_foreground(white, 21), config, Polarity.DARK_FIELD)
        assert outcome is FrameOutcome.OVER_EXPOSED
    assert not white.any()


def test_dark_in_dark_field_needs_nothing_above_threshold() -> None:
    config = VisionConfig(dark_mean_grey=3)
    black = np.full((64, 64), 3, dtype=np.uint8)
    assert judge(black, config) is FrameOutcome.DARK
    assert judge(black, VisionConfig()) is None
    assert judge(np.full((64, 64), 4, dtype=np.uint8), config) is None
    black[30, 30] = 22
    assert judge(black, config) is None


def test_dark_in_bright_field_is_not_over_exposed() -> None:
    black = np.full((64, 64), 2, dtype=np.uint8)
    assert judge(black, VisionConfig(dark_mean_grey=3), Polarity.BRIGHT_FIELD) is FrameOutcome.DARK
    assert judge(black, VisionConfig(), Polarity.BRIGHT_FIELD) is FrameOutcome.OVER_EXPOSED


def test_a_sharp_disk_has_sharpness_one() -> None:
    pixels = disks(20)
    assert sharpness(pixels, segment(pixels, 21)) == 1


@pytest.mark.parametrize("radius", [6, 12, 25])
@pytest.mark.parametrize("grey", [80, 250])
def test_sharpness_falls_with_blur_and_does_not_mind_contrast(radius: int, grey: int) -> None:
    values = []
    for sigma in (0, 0.6, 1, 1.5, 2, 3, 4):
        pixels = disks(radius, sigma, grey)
        value = sharpness(pixels, segment(pixels, 8))
        assert value is not None
        assert 0 <= value <= 1
        values.append(value)
    assert all(b < 0.9 * a for a, b in itertools.pairwise(values)), values
    assert values[3] == pytest.approx(1 / (2 * np.sqrt(np.pi) * 1.5), rel=0.3)


def test_sharpness_is_the_median_of_the_largest() -> None:
    sharp, soft = disks(20, 0, n=9), disks(20, 3, n=9)
    mixed = soft.copy()
    mixed[:260] = sharp[:260]  # six of the nine
    all_sharp = sharpness(mixed, segment(mixed, 21))
    assert all_sharp == 1
    mixed[130:260] = soft[130:260]  # three
    value = sharpness(mixed, segment(mixed, 21))
    assert value is not None
    assert value < 0.2


def test_sharpness_by_hand() -> None:
    pixels = np.zeros((3, 4), dtype=np.uint8)
    pixels[1, 1:3] = 50, 100
    squares = (2500 + 2500 + 10_000) + 2 * 2500 + 2 * 10_000  # along the row, then down two columns
    steps = (50 + 50 + 100) + 2 * 50 + 2 * 100
    assert particle_sharpness(pixels, segment(pixels, 21), 0) == squares / (100 * steps)
    assert particle_sharpness(pixels.T.copy(), segment(pixels.T, 21), 0) == squares / (100 * steps)


def test_small_particles_say_nothing() -> None:
    pixels = disks(2)
    assert sharpness(pixels, segment(pixels, 21)) is None
    assert judge_focus(sharpness(pixels, segment(pixels, 21)), VisionConfig(blur_sharpness=1)) is None
    flat = np.full((30, 30), 99, dtype=np.uint8)
    assert particle_sharpness(flat, segment(flat, 21), 0) == 0


def test_blurred_is_below_the_limit_and_off_by_default() -> None:
    pixels = disks(20, 2)
    regions = segment(pixels, 21)
    value = sharpness(pixels, regions)
    assert value is not None
    assert judge_focus(sharpness(pixels, regions), VisionConfig()) is None
    assert judge_focus(sharpness(pixels, regions), VisionConfig(blur_sharpness=value)) is None
    assert (
        judge_focus(sharpness(pixels, regions), VisionConfig(blur_sharpness=value + 1e-6))
        is FrameOutcome.BLURRED
    )
