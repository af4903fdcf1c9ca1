"""The preprocessing gives the same bytes everywhere, for any vignette."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import ImageError
from edge.inference.preprocessing import N_NUMBERS, NUMBERS, Preprocessing, describe, prepare

pytestmark = pytest.mark.board

SPEC = Preprocessing()
PLAIN = Preprocessing(stretch=False)


def vignette(height: int, width: int) -> np.ndarray:
    """A picture made of whole numbers alone."""
    y, x = np.mgrid[:height, :width]
    return ((x * x + 3 * y * x + 7 * y) % 241 * ((x + y) % 3 > 0)).astype(np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "digest"),
    [
        (1, 1, "2d07a41ae9927700"),
        (5, 9, "f117a4220f22dd00"),
        (40, 23, "3bd3e8ed7e63f41d"),
        (96, 96, "31b4208b9a0b61ef"),
        (80, 80, "bcf49b67857f8eff"),
        (131, 97, "733de4080b96315e"),
        (192, 70, "df35c8f7a670d7ea"),
        (300, 411, "89ce9c48ab2c9349"),
        (7, 600, "0d89e5ae1fd391cf"),
    ],
)
def test_golden_pixels(height, width, digest):
    assert hashlib.sha256(prepare(vignette(height, width), SPEC).tobytes()).hexdigest()[:16] == digest


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 255), st.integers(8, 128), st.booleans())
def test_any_size_becomes_the_square_with_the_vignette_in_its_middle(height, width, grey, side, stretch):
    spec = Preprocessing(size_px=side, stretch=stretch)
    out = prepare(np.full((height, width), grey, dtype=np.uint8), spec)
    assert out.shape == (side, side, 1)
    assert out.dtype == np.uint8
    expected = min(255, (grey * 255 + max(grey, 16) // 2) // max(grey, 16)) if stretch else grey
    long_side, short_side = max(height, width), min(height, width)
    short = max(1, (short_side * side + long_side // 2) // long_side)
    inner = out[:, :, 0] if height >= width else out[:, :, 0].T
    first = (side - short) // 2
    assert (inner[:, first : first + short] == expected).all()
    assert not inner[:, :first].any()
    assert not inner[:, first + short :].any()


def test_a_vignette_of_the_right_size_is_not_touched():
    pixels = vignette(96, 96)
    np.testing.assert_array_equal(prepare(pixels, PLAIN)[:, :, 0], pixels)


def test_the_stretch_makes_a_dim_vignette_bright_and_leaves_noise_dark():
    pixels = np.zeros((96, 96), dtype=np.uint8)
    pixels[20:60, 20:60] = 51
    assert prepare(pixels, SPEC).max() == 255
    assert prepare(pixels // 51 * 2, SPEC).max() == (2 * 255 + 8) // 16
    hot = np.zeros((96, 96), dtype=np.uint8)
    hot[20:60, 20:60], hot[0, :9] = 51, 255  # nine of 9216 are less than a thousandth
    np.testing.assert_array_equal(prepare(hot, SPEC)[20:60, 20:60], 255)


def test_haze_is_taken_away_before_the_stretch_and_a_masked_vignette_keeps_its_grey():
    spec = Preprocessing(size_px=96, black_permille=100)
    masked = np.zeros((96, 96), dtype=np.uint8)
    masked[20:60, 20:60] = np.arange(40, 80)
    np.testing.assert_array_equal(prepare(masked, spec), prepare(masked, SPEC))
    np.testing.assert_array_equal(prepare(masked + 13, spec), prepare(masked, SPEC))
    full = np.full((96, 96), 120, dtype=np.uint8)  # no background at all: a third at most is taken
    assert prepare(full, spec).min() == 255


def test_large_vignettes_are_averaged_by_whole_blocks():
    pixels = vignette(16 * 5 + 3, 16 * 5 + 3)
    out = prepare(pixels, Preprocessing(size_px=16, stretch=False))
    blocks = np.array(
        [
            [
                (block.sum(dtype=np.int64) + block.size // 2) // block.size
                for block in (pixels[y : y + 5, x : x + 5] for x in range(0, 83, 5))
            ]
            for y in range(0, 83, 5)
        ]
    )
    assert abs(int(out.mean()) - int(blocks.mean())) <= 2
    exact = pixels[:80, :80].reshape(16, 5, 16, 5).sum(axis=(1, 3), dtype=np.int64)
    np.testing.assert_array_equal(
        prepare(pixels[:80, :80], Preprocessing(size_px=16, stretch=False))[:, :, 0], (exact + 12) // 25
    )


def test_a_vignette_that_is_a_view_gives_the_same():
    pixels = vignette(120, 200)
    np.testing.assert_array_equal(
        prepare(pixels[10:90, 30:130], SPEC), prepare(pixels[10:90, 30:130].copy(), SPEC)
    )
    np.testing.assert_array_equal(prepare(pixels[::-1], SPEC), prepare(pixels[::-1].copy(), SPEC))


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((0, 5), np.uint8),
        np.zeros((5, 5, 1), np.uint8),
        np.zeros((5, 5), np.uint16),
        np.zeros(5, np.uint8),
    ],
)
def test_what_is_no_vignette_is_refused_with_a_sentence(bad):
    with pytest.raises(ImageError, match="cannot be classified"):
        prepare(bad, SPEC)


def disc(radius: int, pad: int = 8, grey: int = 200) -> np.ndarray:
    y, x = np.mgrid[-radius - pad : radius + pad + 1, -radius - pad : radius + pad + 1]
    return np.where(x * x + y * y <= radius * radius, grey, 0).astype(np.uint8)


def told(image: np.ndarray, spec: Preprocessing = SPEC) -> dict[str, float]:
    """What `describe` says, in its units again."""
    numbers = dict(zip(NUMBERS, describe(image, spec).astype(float).tolist(), strict=True))
    return {
        "area": 2 ** (numbers["log_area"] / 12),
        "aspect": 2 ** (numbers["log_aspect"] / 32),
        "solidity": numbers["solidity"] / 255,
        "side": 2 ** (numbers["log_side"] / 16),
        "white": 2 ** (numbers["log_white"] / 32),
    }


def test_describe_tells_what_prepare_takes_away():
    small, large = told(disc(10)), told(disc(40, pad=20, grey=90))
    assert small["area"] == pytest.approx(np.pi * 100, rel=0.05)
    assert large["area"] == pytest.approx(np.pi * 1600, rel=0.05)
    assert small["side"] == pytest.approx(37, rel=0.03)
    assert large["white"] == pytest.approx(90, rel=0.03)
    for one in (small, large):
        assert one["aspect"] == pytest.approx(1, abs=0.03)
        assert one["solidity"] > 0.9
    line = np.zeros((40, 40), np.uint8)
    line[20, 4:36] = 255
    assert told(line)["aspect"] == pytest.approx(32, rel=0.05)
    cross = line + line.T
    assert told(cross)["solidity"] < 0.2


def test_aspect_does_not_turn_with_the_image():
    ellipse = np.zeros((61, 61), np.uint8)
    y, x = np.mgrid[-30:31, -30:31]
    for angle in (0, 0.4, 0.8, 1.5):
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        ellipse = np.where((u / 24) ** 2 + (v / 8) ** 2 <= 1, 220, 0).astype(np.uint8)
        assert told(ellipse)["aspect"] == pytest.approx(3, rel=0.06)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32 - 1), st.booleans())
def test_any_vignette_can_be_described(height, width, seed, stretch):
    rng = np.random.default_rng(seed)
    image = (rng.integers(0, 256, (height, width)) * (rng.random((height, width)) < rng.random())).astype(
        np.uint8
    )
    spec = Preprocessing(stretch=stretch, black_permille=100)
    numbers = describe(image, spec)
    assert (numbers.shape, numbers.dtype) == ((N_NUMBERS,), np.uint8)
    np.testing.assert_array_equal(numbers, describe(image.copy(), spec))
    np.testing.assert_array_equal(numbers[:4], describe(np.rot90(image).copy(), spec)[:4])


def test_describe_is_the_same_everywhere():
    digest = hashlib.sha256(b"".join(describe(vignette(h, w), SPEC).tobytes() for h, w in SHAPES)).hexdigest()
    assert digest[:16] == "293c2c18b57a2c08"


SHAPES = ((1, 1), (5, 9), (40, 23), (96, 96), (131, 97), (300, 411), (7, 600))
