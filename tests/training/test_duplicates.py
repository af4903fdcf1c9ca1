"""Copies are found, look-alikes are not, and dots are not all one."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.inference.bundle import image_hash
from edge.inference.preprocessing import Preprocessing, prepare
from training.drawn_set import drawn_vignette
from training.duplicates import duplicate_pairs, find_duplicates, perceptual_hash

SPEC = Preprocessing()


def vignette(seed: int, kind: str = "copepod", esd_px: float = 60) -> np.ndarray:
    return drawn_vignette(kind, np.random.default_rng(seed), esd_px)


def stack(*vignettes: np.ndarray) -> np.ndarray:
    return np.stack([prepare(one, SPEC) for one in vignettes])


def pairs(images: np.ndarray) -> list[list[int]]:
    return find_duplicates(images).tolist()


def test_different_particles_of_one_kind_are_none():
    drawn = [vignette(seed, kind) for kind in ("copepod", "aggregate", "tuft", "fibre") for seed in range(25)]
    assert pairs(stack(*drawn)) == []


@pytest.mark.parametrize("seed", [0, 2, 3, 4])
def test_a_copy_that_was_changed_a_little_is_found(seed):
    one, other = vignette(seed), vignette(seed + 50)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, 90])[1], cv2.IMREAD_GRAYSCALE)
    darker = (one * 0.8).astype(np.uint8)
    wider = np.pad(one, ((9, 0), (3, 14)))
    assert pairs(stack(one, other, jpeg, darker)) == [[0, 2], [0, 3], [2, 3]]
    assert pairs(stack(other, one, wider)) == [[1, 2]]


def test_an_outline_alone_makes_no_pair():
    rng = np.random.default_rng(3)
    disc = np.zeros((64, 64), np.uint8)
    cv2.circle(disc, (32, 32), 24, 255, -1)
    mottled = [np.where(disc, rng.integers(120, 255, disc.shape), 0).astype(np.uint8) for _ in range(2)]
    images = stack(disc, *mottled)
    assert len(duplicate_pairs(perceptual_hash(images))) == 3
    assert pairs(images) == []


def test_dots_are_pairs_only_when_their_files_are_equal():
    dots = [np.pad(np.full((2, 2), grey, np.uint8), 30) for grey in (90, 120, 90, 240)]
    images = stack(*dots)
    assert (images == images[0]).all()  # stretching hides their brightness
    assert find_duplicates(images, [image_hash(dot) for dot in dots]).tolist() == [[0, 2]]
    assert len(pairs(images)) == 6


def test_smooth_blobs_are_not_all_joined():
    rng = np.random.default_rng(1)
    blobs = []
    for i in range(60):
        blank = np.zeros((40 + i % 7, 40 + i % 5), np.uint8)
        cv2.circle(blank, (20, 20), 3 + i % 9, int(rng.integers(60, 255)), -1)
        blobs.append(cv2.GaussianBlur(blank, (0, 0), 4))
    assert len(pairs(stack(*blobs))) <= 3


def test_black_images_are_copies_of_each_other_and_of_nothing_else():
    images = np.concatenate([np.zeros((2, 96, 96, 1), np.uint8), stack(vignette(1))])
    assert pairs(images) == [[0, 1]]


def test_no_images_no_pairs():
    assert perceptual_hash(np.zeros((0, 96, 96, 1), np.uint8)).shape == (0, 4)
    assert find_duplicates(np.zeros((0, 96, 96, 1), np.uint8)).shape == (0, 2)


@pytest.mark.parametrize("side", [8, 24, 37, 128])
def test_any_side_of_the_input_will_do(side):
    drawn = [prepare(vignette(seed), Preprocessing(size_px=side)) for seed in (1, 2, 1)]
    assert [0, 2] in find_duplicates(np.stack(drawn)).tolist()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 12), st.integers(2, 60), st.randoms(use_true_random=False))
def test_pairs_are_those_of_a_plain_search(most_bits, n, random):
    base = [random.getrandbits(256).to_bytes(32, "big") for _ in range(3)]
    hashes = np.frombuffer(b"".join(base[random.randint(0, 2)] for _ in range(n)), np.uint8).copy()
    for _ in range(3 * n):
        hashes[random.randint(0, len(hashes) - 1)] ^= 1 << random.randint(0, 7)
    bits = np.unpackbits(hashes.reshape(n, 32), axis=1).astype(int)
    expected = [
        [i, j] for i in range(n) for j in range(i + 1, n) if np.abs(bits[i] - bits[j]).sum() <= most_bits
    ]
    found = duplicate_pairs(hashes.reshape(n, 32).view(np.uint64), most_bits)
    assert found.dtype == np.int64
    assert found.tolist() == expected


def test_many_images_take_little_memory():
    hashes = np.random.default_rng(1).integers(0, 1 << 63, (6000, 4), dtype=np.uint64)
    tracemalloc.start()
    assert len(duplicate_pairs(hashes)) == 0
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
