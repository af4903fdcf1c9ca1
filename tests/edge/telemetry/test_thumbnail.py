"""Pictures of particles: the decoder sees what the encoder judged, in the bytes allowed, on every machine."""

from __future__ import annotations

import hashlib
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import ImageError, InputError, MessageError
from edge.telemetry.range_coder import RangeEncoder
from edge.telemetry.resample import SIMILARITY_ONE, resize, similarity
from edge.telemetry.thumbnail import (
    MAX_SIDE_PX,
    MIN_THUMBNAIL_BYTES,
    decode_thumbnail,
    encode_thumbnail,
    shrink,
    write_thumbnail,
)
from edge.telemetry.thumbnail_law import COST_ONE, costs_of, pack, shipped
from edge.telemetry.thumbnail_weights import WEIGHTS
from edge.telemetry.wavelet import Bands, join, sizes, split

pytestmark = pytest.mark.board
SETTINGS = settings(deadline=None, max_examples=25)


def particle(height=90, width=70, seed=1):
    """A bright body with a thin tail on black, and no float in it: the same on every machine."""
    y, x = np.mgrid[:height, :width].astype(np.int64)
    radius = 256 * ((2 * y - height) ** 2 * 4 + (2 * x - width) ** 2 * 9) // min(height, width) ** 2
    body, spot = radius < 1024, (x - width // 2) ** 2 + (y - height // 3) ** 2 < min(height, width) // 2
    tail = (np.abs(x - y * width // height) < 2) & (y > height // 2)
    shade = 70 + (1024 - radius) // 8 + seed % 40 - 60 * spot
    return np.clip(body * shade + (tail & ~body) * 90, 0, 255).astype(np.uint8)


@st.composite
def pictures(draw):
    """Pictures of odd sizes: noise, blanks, particles."""
    height, width = draw(st.integers(1, 140)), draw(st.integers(1, 140))
    kind = draw(st.sampled_from(["noise", "flat", "particle", "edges"]))
    seed = draw(st.integers(0, 99))
    if kind == "noise":
        return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    if kind == "flat":
        return np.full((height, width), seed * 255 // 99, dtype=np.uint8)
    if kind == "edges":
        return np.random.default_rng(seed).choice(np.array([0, 255], dtype=np.uint8), (height, width))
    return particle(height, width, seed)


@SETTINGS
@given(pictures(), st.integers(MIN_THUMBNAIL_BYTES, 400))
def test_the_decoder_sees_what_the_encoder_judged_and_the_bytes_are_kept(pixels, max_bytes):
    coder = RangeEncoder()
    seen = write_thumbnail(coder, pixels, max_bytes)
    data = coder.finish()
    assert len(data) <= max_bytes
    decoded = decode_thumbnail(data)
    assert np.array_equal(decoded, seen)
    assert decoded.dtype == np.uint8
    assert max(decoded.shape) <= min(MAX_SIDE_PX, max(pixels.shape))
    height, width = pixels.shape
    # The aspect ratio is kept, as well as whole pixels can.
    assert abs(decoded.shape[0] * width - decoded.shape[1] * height) <= max(height, width)
    assert encode_thumbnail(pixels, max_bytes) == data


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=340))
def test_any_bytes_are_a_picture_or_a_message_error(data):
    try:
        pixels = decode_thumbnail(data)
    except MessageError:
        return
    assert pixels.dtype == np.uint8
    assert 1 <= min(pixels.shape) <= max(pixels.shape) <= MAX_SIDE_PX


GOOD = encode_thumbnail(particle(40, 33), 90)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_damaged_pictures_are_pictures_or_message_errors(data):
    good = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    bad = bytes(good[: data.draw(st.integers(0, len(good)))]) + data.draw(st.binary(max_size=8))
    try:
        decode_thumbnail(bad)
    except MessageError:
        return


def test_what_follows_a_picture_is_refused():
    with pytest.raises(MessageError, match="goes on after its picture"):
        decode_thumbnail(encode_thumbnail(particle(), 100) + b"more than that" * 3)


def test_the_largest_picture_decodes_in_little_memory():
    pixels = np.random.default_rng(1).integers(0, 256, (MAX_SIDE_PX, MAX_SIDE_PX), dtype=np.uint8)
    data = encode_thumbnail(pixels, 20_000)
    assert len(data) > 3_000  # noise at the finest step: as many symbols as any bytes can ask for
    tracemalloc.start()
    try:
        decoded = decode_thumbnail(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert decoded.shape == pixels.shape
    assert peak < 20e6


def test_golden_bytes_and_picture():
    data = encode_thumbnail(particle(), 120)
    decoded = decode_thumbnail(data)
    assert (len(data), decoded.shape) == GOLDEN_SIZES
    assert hashlib.sha256(data).hexdigest()[:16] == GOLDEN_BYTES
    assert hashlib.sha256(decoded.tobytes()).hexdigest()[:16] == GOLDEN_PIXELS


GOLDEN_SIZES = (118, (80, 62))
GOLDEN_BYTES = "f81f81e02724aeff"
GOLDEN_PIXELS = "15db63d30cb2dd88"


def test_the_law_is_whole_and_comes_back_from_its_text():
    law = shipped()
    assert pack(law) == WEIGHTS
    for bounds in (law.bounds, law.sign_bounds, law.root_bounds[np.newaxis]):
        assert (np.diff(bounds, axis=1) > 0).all()
        assert bounds.max() <= 1 << 16
    assert (np.diff(costs_of(law.bounds)[:, 0]) >= -COST_ONE).all()


def test_more_bytes_show_more_and_a_particle_is_recognised_in_few():
    pixels = particle(96, 80)
    likeness = []
    for max_bytes in (30, 80, 160, 320):
        shown = decode_thumbnail(encode_thumbnail(pixels, max_bytes))
        likeness.append(similarity(pixels, resize(shown, *pixels.shape)) / SIMILARITY_ONE)
    assert likeness == sorted(likeness)
    assert likeness[-1] > 0.9
    assert max(shown.shape) >= 32


def test_bad_input_gets_a_sentence():
    with pytest.raises(ImageError, match="cannot be sent"):
        encode_thumbnail(np.zeros((3, 3, 3), dtype=np.uint8), 100)
    with pytest.raises(ImageError, match="cannot be sent"):
        encode_thumbnail(np.zeros((0, 3), dtype=np.uint8), 100)
    with pytest.raises(InputError, match="max_bytes: leaves 11 bytes"):
        encode_thumbnail(particle(), MIN_THUMBNAIL_BYTES - 1)


@SETTINGS
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 99))
def test_the_wavelet_comes_back_within_a_grey_level(height, width, seed):
    values = np.random.default_rng(seed).integers(0, 256 * 64, (height, width))
    low, levels = values, []
    for shape in sizes(height, width)[1:]:
        levels.append(split(low))
        low = levels[-1].low
        assert low.shape == shape
    assert max(low.shape) <= 2
    for bands in reversed(levels):
        low = join(Bands(low, *bands[1:]))
    assert np.abs(low - values).max() < 64


def test_a_flat_picture_has_no_details():
    bands = split(np.full((21, 34), 6400))
    assert np.abs(bands.low - 6400).max() <= 4
    assert max(np.abs(one).max() for one in bands[1:]) <= 4


@SETTINGS
@given(st.integers(1, 150), st.integers(1, 150), st.integers(1, 150), st.integers(0, 255))
def test_resizing_keeps_what_is_flat(n, height, width, grey):
    assert (resize(np.full((n, 7), grey, dtype=np.uint8), height, width) == grey).all()


def test_resizing_up_and_down_again_gives_the_picture_back():
    pixels = particle(60, 44)
    assert shrink(pixels, 20).shape == (20, 15)
    again = resize(resize(pixels, 240, 176), 60, 44)
    assert np.abs(again.astype(np.int64) - pixels).mean() < 6


def test_likeness_is_that_of_scikit_image():
    metrics = pytest.importorskip("skimage.metrics", reason="needs scikit-image of the dev extra")
    rng = np.random.default_rng(3)
    first = particle(50, 41)
    second = np.clip(first.astype(np.int64) + rng.integers(-20, 20, first.shape), 0, 255).astype(np.uint8)
    wanted = metrics.structural_similarity(first, second)
    assert similarity(first, second) / SIMILARITY_ONE == pytest.approx(wanted, abs=5e-3)
    assert similarity(first, first) == pytest.approx(SIMILARITY_ONE, abs=2)
