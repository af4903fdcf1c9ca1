"""Segmentation against scikit-image, on frames that break labelling."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from skimage.measure import label, regionprops_table

from edge.errors import ImageError
from edge.vision.segmentation import Regions, find_foreground, segment
from tests.edge.vision.shapes import SHAPES

pytestmark = pytest.mark.board

Pixels = NDArray[np.uint8]
PROPERTIES = ("area", "bbox", "intensity_mean", "intensity_std")
sizes = st.tuples(st.integers(1, 40), st.integers(1, 80))


def compare(pixels: Pixels, threshold: int, *, masks: bool = True) -> Regions:
    """Hold our particles against scikit-image's, in its order: whole numbers exactly, the rest to 1e-9."""
    regions = segment(pixels, threshold)
    labels = label(pixels > threshold, connectivity=2)
    n = int(labels.max())
    assert len(regions) == n
    for name in ("x_px", "y_px", "width_px", "height_px", "area_px", "integrated_grey"):
        assert getattr(regions, name).shape == (n,)
        assert getattr(regions, name).dtype == np.int64
    if not n:
        return regions
    table = regionprops_table(labels, pixels, properties=PROPERTIES)
    top, left, bottom, right = (table[f"bbox-{i}"] for i in range(4))
    np.testing.assert_array_equal(regions.area_px, table["area"])
    np.testing.assert_array_equal(regions.x_px, left)
    np.testing.assert_array_equal(regions.y_px, top)
    np.testing.assert_array_equal(regions.width_px, right - left)
    np.testing.assert_array_equal(regions.height_px, bottom - top)
    sums = np.zeros(n + 1, dtype=np.int64)
    np.add.at(sums, labels.ravel(), pixels.ravel())
    np.testing.assert_array_equal(regions.integrated_grey, sums[1:])
    np.testing.assert_allclose(regions.mean_grey, table["intensity_mean"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(regions.sd_grey, table["intensity_std"], rtol=0, atol=1e-9)
    height, width = pixels.shape
    border = (top == 0) | (left == 0) | (bottom == height) | (right == width)
    np.testing.assert_array_equal(regions.on_border, border)
    if masks:
        for i in range(n):
            box = slice(top[i], bottom[i]), slice(left[i], right[i])
            np.testing.assert_array_equal(regions.mask(i), labels[box] == i + 1)
    return regions


@settings(deadline=None, max_examples=300)
@given(
    pixels=hnp.arrays(np.uint8, sizes, elements=st.sampled_from([0, 20, 21, 22, 80, 255])),
    threshold=st.integers(0, 254),
)
@example(pixels=np.array([[22]], dtype=np.uint8), threshold=21)
@example(pixels=np.array([[21]], dtype=np.uint8), threshold=21)
@example(pixels=np.zeros((1, 1), dtype=np.uint8), threshold=0)
def test_random_images(pixels: Pixels, threshold: int) -> None:
    compare(pixels, threshold)


@settings(deadline=None, max_examples=150)
@given(size=sizes, density=st.floats(0, 1), seed=st.integers(0, 2**32 - 1), threshold=st.integers(0, 254))
def test_noise_of_any_density(size: tuple[int, int], density: float, seed: int, threshold: int) -> None:
    rng = np.random.default_rng(seed)
    bright = rng.integers(threshold + 1, 256, size, dtype=np.uint8)
    dark = rng.integers(0, threshold + 1, size, dtype=np.uint8)
    compare(np.where(rng.random(size) < density, bright, dark), threshold)


@settings(deadline=None, max_examples=150)
@given(
    name=st.sampled_from(sorted(SHAPES)),
    height=st.integers(1, 45),
    width=st.integers(1, 45),
    turn=st.integers(0, 3),
    flip=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_nasty_shapes(name: str, height: int, width: int, turn: int, flip: bool, seed: int) -> None:
    mask = np.rot90(SHAPES[name](height, width), turn)
    mask = mask[::-1] if flip else mask
    rng = np.random.default_rng(seed)
    grey = rng.integers(22, 256, mask.shape, dtype=np.uint8)
    compare(np.where(mask, grey, rng.integers(0, 22, mask.shape, dtype=np.uint8)), 21)


@pytest.mark.parametrize("name", sorted(SHAPES))
@pytest.mark.parametrize("shape", [(256, 320), (257, 321), (1, 512), (300, 1)])
def test_large_shapes(name: str, shape: tuple[int, int]) -> None:
    compare(SHAPES[name](*shape).astype(np.uint8) * 200, 21, masks=False)


@pytest.mark.parametrize("threshold", [21, 30, 40, 80])
@pytest.mark.parametrize("number", [1, 4])
def test_real_dark_field_frames(shared: Any, threshold: int, number: int) -> None:
    path = shared / "data" / "darkfield_frames" / f"frame_{number}.png"
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None
    regions = compare(pixels, threshold, masks=False)
    assert len(regions) > 100


def test_twenty_thousand_particles() -> None:
    rng = np.random.default_rng(7)
    pixels = rng.integers(0, 20, (2056, 2464), dtype=np.uint8)
    y, x = np.divmod(rng.choice(250 * 300, 20_000, replace=False), 300)
    for top, left, height, width in zip(
        y * 8, x * 8, rng.integers(1, 7, 20_000), rng.integers(1, 7, 20_000), strict=True
    ):
        pixels[top : top + height, left : left + width] = rng.integers(22, 256)
    regions = compare(pixels, 21, masks=False)
    assert len(regions) == 20_000
    area = np.array([regions.mask(i).sum() for i in range(len(regions))])
    np.testing.assert_array_equal(area, regions.area_px)


@pytest.mark.parametrize("name", ["full", "chequers", "spiral", "combs", "rings", "dots"])
def test_a_whole_frame_of_it_ends(name: str) -> None:
    """Whole-frame shapes take many rounds of joining where the rule is bad; a hang here is the failure."""
    mask = SHAPES[name](1028, 1232)
    regions = segment(mask.astype(np.uint8) * 99, 21)
    assert int(regions.area_px.sum()) == int(mask.sum())
    expected, _ = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    assert len(regions) == expected - 1
    assert int(regions.integrated_grey.sum()) == 99 * int(mask.sum())
    assert not regions.sd_grey.any()


def test_particle_in_the_hole_of_another() -> None:
    pixels = np.zeros((7, 7), dtype=np.uint8)
    pixels[:] = 50
    pixels[1:-1, 1:-1] = 0
    pixels[3, 3] = 90
    regions = segment(pixels, 21)
    np.testing.assert_array_equal(regions.area_px, [24, 1])
    np.testing.assert_array_equal(regions.on_border, [True, False])
    assert regions.mask(0).sum() == 24
    assert not regions.mask(0)[3, 3]


def test_threshold_is_strict_and_corners_touch() -> None:
    pixels = np.array([[22, 0, 0], [0, 23, 21], [0, 0, 0]], dtype=np.uint8)
    regions = segment(pixels, 21)
    np.testing.assert_array_equal(regions.area_px, [2])
    np.testing.assert_array_equal(regions.integrated_grey, [45])
    assert regions.mean_grey[0] == 22.5
    assert regions.sd_grey[0] == 0.5


def test_last_pixel_of_a_row_does_not_touch_the_first_of_the_next() -> None:
    pixels = np.zeros((4, 16), dtype=np.uint8)
    pixels[0, -1] = pixels[1, 0] = pixels[2, 0] = pixels[2, -1] = 60
    np.testing.assert_array_equal(segment(pixels, 21).area_px, [1, 2, 1])


def test_grey_of_a_long_bright_particle_is_exact() -> None:
    """The running sum wraps and the runs cross its chunks."""
    pixels = np.full((700, 2464), 255, dtype=np.uint8)
    pixels[::2, 1] = 254
    regions = segment(pixels, 0)
    assert regions.integrated_grey.tolist() == [int(pixels.sum(dtype=np.int64))]
    assert regions.squared_grey.tolist() == [int((pixels.astype(np.int64) ** 2).sum())]
    assert abs(regions.sd_grey[0] - pixels.std(dtype=np.float64)) < 1e-9


def test_frames_that_do_not_lie_in_one_piece() -> None:
    rng = np.random.default_rng(3)
    big = rng.integers(0, 60, (90, 130), dtype=np.uint8)
    for view in (big[3:80, 5:93], big[::2, ::-1], big.T, np.asfortranarray(big)):
        compare(view, 40)
    unaligned = np.frombuffer(bytes(3) + big.tobytes(), dtype=np.uint8)[3:].reshape(big.shape)
    compare(unaligned, 40)


@pytest.mark.parametrize("shape", [(1, 65_537), (32_768, 32_768)])
def test_frames_too_large_for_the_arithmetic_are_refused(shape: tuple[int, int]) -> None:
    huge = np.broadcast_to(np.uint8(0), shape)
    with pytest.raises(ImageError, match="too large to segment; cut it into parts"):
        segment(huge, 21)


def test_the_widest_frame_is_exact() -> None:
    pixels = np.full((3, 65_536), 255, dtype=np.uint8)
    pixels[1] = 0
    regions = segment(pixels, 0)
    assert regions.integrated_grey.tolist() == [255 * 65_536] * 2
    assert regions.squared_grey.tolist() == [255 * 255 * 65_536] * 2
    assert not regions.sd_grey.any()


def test_a_frame_is_left_as_it_was() -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (50, 63), dtype=np.uint8)
    before = pixels.copy()
    pixels.flags.writeable = False
    segment(pixels, 128)
    np.testing.assert_array_equal(pixels, before)


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.uint8, sizes), st.integers(0, 254))
def test_foreground_is_known_before_segmentation(pixels: Pixels, threshold: int) -> None:
    foreground = find_foreground(pixels, threshold)
    assert foreground.area_px == int((pixels > threshold).sum())
    assert foreground.fraction == foreground.area_px / pixels.size


@settings(deadline=None, max_examples=200)
@given(size=sizes, seed=st.integers(0, 2**32 - 1), density=st.sampled_from([0.1, 0.3, 0.5]), data=st.data())
def test_mask_of_others(size: tuple[int, int], seed: int, density: float, data: st.DataObject) -> None:
    pixels = np.where(np.random.default_rng(seed).random(size) < density, 50, 0).astype(np.uint8)
    regions = segment(pixels, 21)
    if not len(regions):
        return
    height, width = size
    i = data.draw(st.integers(0, len(regions) - 1))
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    w, h = data.draw(st.integers(1, width - left)), data.draw(st.integers(1, height - top))
    labels = label(pixels > 21, connectivity=2)[top : top + h, left : left + w]
    np.testing.assert_array_equal(
        regions.mask_of_others(i, left, top, w, h), (labels > 0) & (labels != i + 1)
    )


def test_mask_of_others_cuts_what_reaches_out_of_the_window() -> None:
    pixels = np.zeros((7, 9), dtype=np.uint8)
    pixels[1:6, 1:8] = 50  # its runs begin left of the window and end right of it
    pixels[2:5, 3:6] = 0
    pixels[3, 4] = 90  # and this lies in a hole of it
    regions = segment(pixels, 21)
    others = regions.mask_of_others(1, 2, 2, 4, 4)
    np.testing.assert_array_equal(others, [[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]])


def test_more_particles_than_sixteen_bits_count() -> None:
    rng = np.random.default_rng(5)
    pixels = np.zeros((640, 640), dtype=np.uint8)
    pixels[::2, ::2] = rng.integers(1, 256, (320, 320))
    y, x = np.nonzero(pixels)
    regions = segment(pixels, 0)
    assert len(regions) == 102_400
    np.testing.assert_array_equal(regions.x_px, x)
    np.testing.assert_array_equal(regions.y_px, y)
    np.testing.assert_array_equal(regions.integrated_grey, pixels[y, x])
