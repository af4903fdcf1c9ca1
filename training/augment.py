"""What a camera could also have seen: turned, mirrored, moved, larger, brighter, softer, noisier, cut.

NumPy and OpenCV. A particle in water has no upright; its size and brightness vary little in one camera, so
scale and gain stay narrow. Blur, noise and cuts at the border come to a share of the images.
"""

from __future__ import annotations

from typing import Annotated

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.inference.engine import input_value

INPUT_RANGE = (-1.0, 127 / 128)
"""Grey 0 and 255 as the network takes them: `edge.inference.classifier.input_value`."""

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Variation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much images vary; every image is turned by any angle, and every second one mirrored.

    Attributes
    ----------
    scale, gain
        Least and greatest factor of size and of brightness.
    shift
        Largest shift, as a share of the side.
    blurred, noisy, cut
        Shares of the images that are blurred (as a particle out of focus), get the noise of a sensor, or lose
        up to a third at one side (as a particle at the frame's border).
    blur_px, noise_grey
        Largest blur (sigma, in pixels of the input) and noise (sigma, in grey).
    """

    scale: tuple[float, float] = (0.85, 1.10)
    gain: tuple[float, float] = (0.8, 1.2)
    shift: Share = 4 / 96
    blurred: Share = 0.1
    noisy: Share = 0.1
    cut: Share = 0.05
    blur_px: float = 1.2
    noise_grey: float = 6.0


def to_input(grey: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    """Grey, or numbers, 0 to 255 as the float network takes them, same shape."""
    return input_value(grey.astype(np.float32))


def augment(
    images: NDArray[np.uint8], rng: np.random.Generator, variation: Variation
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Vary each image at random.

    Parameters
    ----------
    images
        uint8 (n, side, side, 1), white on black.
    rng
        The only source of chance: the same state gives the same images.
    variation
        How much.

    Returns
    -------
    float32 (n, side, side, 1), 0 to 255, and the factors of size and of brightness of each, float64 (n,).
    """
    n, side = images.shape[:2]
    angle = rng.uniform(0, 2 * np.pi, n)
    scale = np.asarray(rng.uniform(*variation.scale, n))
    mirror = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    shift = rng.uniform(-variation.shift * side, variation.shift * side, (n, 2))
    gain = np.asarray(rng.uniform(*variation.gain, n))
    blur = np.where(rng.random(n) < variation.blurred, rng.uniform(0.3, variation.blur_px, n), 0.0)
    noise = np.where(rng.random(n) < variation.noisy, rng.uniform(0, variation.noise_grey, n), 0.0)
    cut = np.where(rng.random(n) < variation.cut, rng.uniform(0, 1 / 3, n), 0.0)
    # The image is turned by a matrix from the place in the result to the place in the source.
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    linear = np.stack([np.stack([mirror * cos, -sin], -1), np.stack([mirror * sin, cos], -1)], axis=1)
    centre = np.full(2, (side - 1) / 2)
    offset = centre + shift - linear @ centre
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    out = np.empty((n, side, side), dtype=np.float32)
    for i in range(n):
        source = images[i, :, :, 0]
        if cut[i]:
            source = source.copy()
            source[: int(cut[i] * side)] = 0
            source = np.ascontiguousarray(np.rot90(source, int(4 * rng.random())))
        turned = cv2.warpAffine(source, np.column_stack([linear[i], offset[i]]), (side, side), flags=flags)
        if blur[i]:
            turned = cv2.GaussianBlur(turned, (0, 0), float(blur[i]))
        np.multiply(turned, np.float32(gain[i]), out=out[i])
        if noise[i]:
            out[i] += rng.normal(0, noise[i], (side, side)).astype(np.float32)
    np.clip(out, np.float32(0), np.float32(255), out=out)
    return out[..., np.newaxis], scale, gain


def augment_numbers(
    numbers: NDArray[np.uint8],
    scale: NDArray[np.float64],
    gain: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Vary what `describe` told as the images were varied, and a little more.

    The next unit of the same camera sees nearly, not exactly, the same size and brightness.

    Returns
    -------
    float32 (n, N_NUMBERS), 0 to 255.
    """
    size, light = np.log2(scale), np.log2(gain)
    told = numbers.astype(np.float32)
    told += rng.normal(0, (2.0, 3.0, 6.0, 2.5, 3.0), told.shape)
    told += np.stack([24 * size, 0 * size, 0 * size, 16 * size, 32 * light], axis=1)
    return np.clip(told, 0, 255).astype(np.float32)
