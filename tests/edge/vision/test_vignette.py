"""Vignettes: the box, a margin within the frame, no neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edge.config import VisionConfig
from edge.vision.segmentation import segment
from edge.vision.vignette import cut_vignette, decode_vignette, encode_vignette

pytestmark = pytest.mark.board

Pixels = NDArray[np.uint8]


def config(margin_px: int, blank_others: bool, box_ratio: float = 1.0) -> VisionConfig:
    return VisionConfig(vignette_box_ratio=box_ratio, vignette_margin_px=margin_px, blank_others=blank_others)


@settings(deadline=None, max_examples=100)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    margin=st.integers(0, 8),
    density=st.sampled_from([0.03, 0.2, 0.5]),
)
def test_vignettes_are_the_frame_without_the_others(
    seed: int, size: tuple[int, int], margin: int, density: float
) -> None:
    rng = np.random.default_rng(seed)
    bright = rng.random(size) < density
    pixels = np.where(bright, rng.integers(22, 256, size), rng.integers(0, 22, size)).astype(np.uint8)
    regions = segment(pixels, 21)
    for i in range(len(regions)):
        x, y, w, h = (int(a[i]) for a in (regions.x_px, regions.y_px, regions.width_px, regions.height_px))
        left, top = max(0, x - margin), max(0, y - margin)
        expected = pixels[top : y + h + margin, left : x + w + margin]
        np.testing.assert_array_equal(cut_vignette(pixels, regions, i, config(margin, False)), expected)
        own = np.zeros(size, dtype=np.bool_)
        own[y : y + h, x : x + w] = regions.mask(i)
        alone = np.where((pixels > 21) & ~own, 0, pixels)[top : y + h + margin, left : x + w + margin]
        np.testing.assert_array_equal(cut_vignette(pixels, regions, i, config(margin, True)), alone)


@pytest.mark.parametrize(
    ("side", "ratio", "beside"), [(10, 1.5, 3), (11, 1.5, 3), (4, 1.5, 1), (1, 1.5, 0), (10, 3.0, 10)]
)
def test_the_box_grows_by_its_ratio_and_then_by_the_margin(side: int, ratio: float, beside: int) -> None:
    pixels = np.zeros((80, 80), dtype=np.uint8)
    pixels[30 : 30 + side, 40 : 40 + side] = 99
    vignette = cut_vignette(pixels, segment(pixels, 21), 0, config(2, True, ratio))
    np.testing.assert_array_equal(vignette, np.pad(pixels[30 : 30 + side, 40 : 40 + side], beside + 2))


def test_a_vignette_is_a_copy_and_the_frame_stays() -> None:
    pixels = np.zeros((9, 9), dtype=np.uint8)
    pixels[2, 2] = pixels[2, 4] = 90
    before = pixels.copy()
    vignette = cut_vignette(pixels, segment(pixels, 21), 0, config(3, True))
    assert vignette.shape == (6, 6)
    assert vignette[2, 4] == 0
    vignette[:] = 1
    np.testing.assert_array_equal(pixels, before)


@settings(deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_storage_loses_nothing(vignette: Pixels) -> None:
    data = encode_vignette(vignette)
    assert data.startswith(b"\x89PNG")
    np.testing.assert_array_equal(decode_vignette(data), vignette)


@pytest.mark.parametrize("data", [b"", b"not an image", encode_vignette(np.zeros((4, 4), np.uint8))[:-20]])
def test_what_is_no_stored_vignette_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not an 8-bit grey PNG"):
        decode_vignette(data)
