"""Near-duplicates in a data set: one particle seen twice, or one image saved twice. Pure.

A 256-bit hash of the outline proposes pairs, fine detail decides: many shapes share an outline, and a round
smooth blob is like any other. What it is not: a search for rotated or mirrored copies.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

HASH_SIDE, DETAIL_SIDE = 16, 48
MOST_BITS = 8
"""Bits of 256 in which the outlines of a pair may differ: on PWSSC copies differ by at most 5."""
LEAST_CORRELATION = 0.97
"""Of the detail. Every pair above it on PWSSC is one particle, on PlanktonSet four are chaetognaths that lie
alike; lower come more of these."""
LEAST_DETAIL = 0.02
"""Length of the detail over that of the grey, below which there is none to compare."""
LEAST_RADIUS = 2.5
"""Root mean square distance from the middle, in 96ths of the image's side: any two smaller dots are alike."""
_WINDOW_RADII = 4.0
_HAZE = 32
"""Grey that does not count for the outline."""
_PAIRS = 4096
_BLOCK = 16
"""Rows compared at a time: small enough to stay in the processor's cache."""


def perceptual_hash(images: Pixels) -> NDArray[np.uint64]:
    """Hash of the outline of each image's particle: alike images have hashes that differ in few bits.

    The square around the particle (on the centroid of the grey, with four times its radius as side: where a
    crop was cut does not count) is averaged to 16 x 16 fields; a bit is 1 where the field is brighter than
    their mean, and no haze. A dot or a blob without detail has the SHA-256 of its pixels instead, so that
    only the very same pixels are alike.

    Parameters
    ----------
    images
        uint8 (n, side, side, 1), as `edge.inference.preprocessing.prepare` gives them.

    Returns
    -------
    uint64 (n, 4).
    """
    hashes = np.empty((len(images), 4), dtype=np.uint64)
    for i, image in enumerate(images):
        window = _window(image[:, :, 0])
        hashes[i] = _hash(image, window, _detail(window))
    return hashes


def duplicate_pairs(hashes: NDArray[np.uint64], most_bits: int = MOST_BITS) -> NDArray[np.int64]:
    """Pairs whose hashes differ in at most `most_bits`: proposals, of which `find_duplicates` keeps few.

    Parameters
    ----------
    hashes
        uint64 (n, 4).

    Returns
    -------
    int64 (m, 2), the smaller index first, in order.
    """
    ones = np.bitwise_count(hashes).sum(axis=1, dtype=np.int64)
    order = np.argsort(ones, kind="stable")
    words = np.ascontiguousarray(hashes[order].T)
    # Hashes can only be alike where their numbers of ones are.
    ends = np.searchsorted(ones[order], ones[order] + most_bits, side="right")
    found = [np.zeros((0, 2), dtype=np.int64)]
    for start in range(0, len(hashes), _BLOCK):
        stop = min(start + _BLOCK, len(hashes))
        end = ends[stop - 1]
        distance = np.zeros((stop - start, end - start), dtype=np.uint16)
        for word in words:
            distance += np.bitwise_count(word[start:stop, np.newaxis] ^ word[start:end])
        first, second = np.nonzero(distance <= most_bits)
        later = second > first
        found.append(order[np.stack((first[later], second[later]), axis=1) + start])
    pairs = np.sort(np.concatenate(found), axis=1)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def find_duplicates(images: Pixels, image_hashes: Sequence[bytes] | None = None) -> NDArray[np.int64]:
    """Pairs of images that show one particle: the outlines agree, and so does the detail.

    The detail is what a Gaussian of one pixel takes from the particle's square of 48 x 48; it agrees when
    its correlation is at least 0.97. A dot or a blob without detail is paired with its very copy alone.

    Parameters
    ----------
    images
        uint8 (n, side, side, 1), as `prepare` gives them.
    image_hashes
        `edge.inference.bundle.image_hash` of the n files: stretching makes any two dots equal, their files
        need not be.

    Returns
    -------
    int64 (m, 2), the smaller index first, in order.
    """
    details = np.zeros((len(images), DETAIL_SIDE * DETAIL_SIDE), dtype=np.float32)
    hashes = np.empty((len(images), 4), dtype=np.uint64)
    plain = np.zeros(len(images), dtype=np.bool_)
    for i, image in enumerate(images):
        window = _window(image[:, :, 0])
        detail = _detail(window)
        hashes[i] = _hash(image, window, detail)
        if detail is None:
            plain[i] = True
        else:
            details[i] = detail
    pairs = duplicate_pairs(hashes)
    same = np.zeros(len(pairs), dtype=np.bool_)
    for start in range(0, len(pairs), _PAIRS):
        first, second = pairs[start : start + _PAIRS].T
        alike = np.einsum("ij,ij->i", details[first], details[second]) >= LEAST_CORRELATION
        copies = plain[first] & plain[second] & (hashes[first] == hashes[second]).all(axis=1)
        same[start : start + _PAIRS] = alike | copies
    pairs = pairs[same]
    if image_hashes is None:
        return pairs
    real = [not plain[i] or image_hashes[i] == image_hashes[j] for i, j in pairs.tolist()]
    return pairs[np.array(real, dtype=np.bool_)]


def _window(image: Pixels) -> Pixels | None:
    """The square around the particle, uint8 (48, 48), or None for a dot or an empty image."""
    clear = np.maximum(image, _HAZE) - np.uint8(_HAZE)
    rows, columns = clear.sum(axis=1, dtype=np.int64), clear.sum(axis=0, dtype=np.int64)
    grey, place = int(rows.sum()), np.arange(len(image))
    if grey == 0:
        return None
    y, x = float(rows @ place) / grey, float(columns @ place) / grey
    radius = math.sqrt(float(rows @ (place - y) ** 2 + columns @ (place - x) ** 2) / grey)
    if radius * 96 < LEAST_RADIUS * len(image):
        return None
    scale = _WINDOW_RADII * radius / DETAIL_SIDE
    if scale > 1:
        image = np.asarray(
            cv2.GaussianBlur(image, (0, 0), 0.5 * math.sqrt(scale**2 - 1) + 0.01), dtype=np.uint8
        )
    middle = scale * (DETAIL_SIDE - 1) / 2
    place_of = np.array([[scale, 0, x - middle], [0, scale, y - middle]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, place_of, (DETAIL_SIDE, DETAIL_SIDE), flags=how), dtype=np.uint8)


def _detail(window: Pixels | None) -> NDArray[np.float32] | None:
    """What a blur takes away, of mean 0 and length 1, float32 (48 * 48,); None where it is nothing."""
    if window is None:
        return None
    grey = window.astype(np.float32)
    detail = grey - np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.0), dtype=np.float32)
    detail -= detail.mean()
    length = float(np.linalg.norm(detail))
    if length < LEAST_DETAIL * float(np.linalg.norm(grey)):
        return None
    return np.asarray(detail.ravel() / np.float32(length), dtype=np.float32)


def _hash(image: Pixels, window: Pixels | None, detail: NDArray[np.float32] | None) -> NDArray[np.uint64]:
    if window is None or detail is None:
        return np.frombuffer(hashlib.sha256(image.tobytes()).digest(), dtype=np.uint64)
    step = DETAIL_SIDE // HASH_SIDE
    fields = window.reshape(HASH_SIDE, step, HASH_SIDE, step).sum(axis=(1, 3), dtype=np.int64)
    least = max(fields.mean(), _HAZE * step * step)
    return np.packbits(fields.ravel() > least).view(np.uint64)
