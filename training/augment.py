"""What a camera could also have seen: turned, mirrored, moved, a little larger or brighter. NumPy and OpenCV.

A particle in water has no upright; its size and brightness vary little, so scale and gain stay narrow.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.inference.classifier import input_value

SCALE = (0.85, 1.10)
GAIN = (0.8, 1.2)
SHIFT = 4 / 96
"""Largest shift, as a share of the side."""


INPUT_RANGE = (-1.0, 127 / 128)
"""Grey 0 and 255 as the network takes them: `edge.inference.classifier.input_value`."""


def to_input(images: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    """Grey 0 to 255 as the float network takes it, same shape."""
    return input_value(images.astype(np.float32))


def augment(images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Vary each image at random.

    Parameters
    ----------
    images
        uint8 (n, side, side, 1), white on black.
    rng
        The only source of chance: the same state gives the same images.

    Returns
    -------
    float32 (n, side, side, 1), within `INPUT_RANGE`.
    """
    n, side = images.shape[:2]
    angle = rng.uniform(0, 2 * np.pi, n)
    scale = rng.uniform(*SCALE, n)
    mirror = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    shift = rng.uniform(-SHIFT * side, SHIFT * side, (n, 2))
    gain = np.asarray(rng.uniform(*GAIN, n), dtype=np.float32)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.stack([np.stack([mirror * cos, -sin], -1), np.stack([mirror * sin, cos], -1)], axis=1)
    centre = np.full(2, (side - 1) / 2)
    offset = centre + shift - linear @ centre
    out = np.empty((n, side, side), dtype=np.float32)
    for i in range(n):
        matrix = np.column_stack([linear[i], offset[i]])
        turned = cv2.warpAffine(images[i, :, :, 0], matrix, (side, side), flags=cv2.INTER_LINEAR)
        np.multiply(turned, gain[i], out=out[i])
    np.minimum(out, np.float32(255), out=out)
    return to_input(out)[..., np.newaxis]
