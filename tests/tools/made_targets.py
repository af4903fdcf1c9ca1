"""Pictures of targets, beads and water whose truth is known, for the tests of calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def target(
    kind: str, *, columns: int = 9, rows: int = 7, pitch_px: float = 40.0, degrees: float = 3.0,
    squeeze: float = 1.0, cushion: float = 0.0, noise: float = 3.0, bright: bool = False, seed: int = 1,
    shape: tuple[int, int] = (480, 640),
) -> Pixels:  # fmt: skip
    """A target turned by `degrees`, its height times `squeeze`, each pixel lit by what falls on it.

    `cushion`: share by which a corner point lies further out.
    """
    height, width = shape
    turn = math.radians(degrees)
    fine = 3  # a pixel sees the mean of so many squared
    y, x = (np.indices((height * fine, width * fine)) + 0.5) / fine - 0.5
    x, y = x - (width - 1) / 2, (y - (height - 1) / 2) / squeeze
    corner = ((columns - 1) ** 2 + (rows - 1) ** 2) * pitch_px**2 / 4
    inward = 1 - cushion * (x * x + y * y) / corner
    x, y = x * inward, y * inward
    across = (x * math.cos(turn) + y * math.sin(turn)) / pitch_px + (columns - 1) / 2
    down = (-x * math.sin(turn) + y * math.cos(turn)) / pitch_px + (rows - 1) / 2
    if kind == "dots":
        inside = (across > -0.5) & (across < columns - 0.5) & (down > -0.5) & (down < rows - 0.5)
        away = np.hypot(across - np.rint(across), down - np.rint(down))
        light = np.where(inside & (away < 0.25), 40.0, 210.0)
    else:
        inside = (across > -1) & (across < columns) & (down > -1) & (down < rows)
        dark = (np.floor(across) + np.floor(down)) % 2 == 0
        light = np.where(inside & dark, 40.0, 210.0)
    light = cv2.resize(light.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    light = np.asarray(light) + np.random.default_rng(seed).normal(0, noise, shape)
    return np.clip(255 - light if bright else light, 0, 255).astype(np.uint8)


def disc_pixels(area_px: int) -> NDArray[np.int64]:
    """The pixels of a round particle of exactly so many, int64 (area_px, 2) y, x about 0."""
    reach = math.ceil(math.sqrt(area_px / math.pi)) + 2
    y, x = np.indices((2 * reach + 1, 2 * reach + 1)) - reach
    order = np.argsort((y * y + x * x + 0.001 * np.arctan2(y, x)).ravel(), kind="stable")[:area_px]
    return np.stack((y.ravel()[order], x.ravel()[order]), axis=1)


def frame_of(
    areas: Sequence[int], rng: np.random.Generator, *, shape: tuple[int, int] = (480, 640), grey: int = 120
) -> Pixels:
    """Round particles of these areas that do not touch, on noise below grey 12, as far as there is room."""
    pixels = rng.integers(2, 12, shape, dtype=np.uint8)
    taken = np.zeros(shape, dtype=np.bool_)
    for area in sorted(areas, reverse=True):
        disc = disc_pixels(area)
        reach = int(np.abs(disc).max()) + 2
        for _ in range(60):
            y = int(rng.integers(reach, shape[0] - reach))
            x = int(rng.integers(reach, shape[1] - reach))
            box = np.s_[y - reach : y + reach + 1, x - reach : x + reach + 1]
            if not taken[box].any():
                taken[box] = True
                pixels[disc[:, 0] + y, disc[:, 1] + x] = grey
                break
    return pixels


def area_of(esd_um: NDArray[np.float64], aa_um2: float, exp: float) -> NDArray[np.int64]:
    """Area in whole pixels of particles of a size, by a known calibration, at least 1."""
    area = (math.pi / 4 * esd_um**2 / aa_um2) ** (1 / exp)
    return np.maximum(1, np.rint(area)).astype(np.int64)


def write_frames(folder: Path, frames: Sequence[Pixels]) -> Path:
    """A bare folder of frames."""
    folder.mkdir(parents=True)
    for i, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"frame_{i:03d}.png"), frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return folder


def bead_frames(
    folder: Path,
    esd_um: float,
    aa_um2: float,
    exp: float,
    *,
    seed: int,
    n_frames: int = 4,
    per_frame: int = 25,
) -> Path:
    """Beads of one size (3 % spread), pairs that touch, and dust."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(n_frames):
        beads = area_of(esd_um * (1 + 0.03 * rng.standard_normal(per_frame)), aa_um2, exp)
        pairs = 2 * area_of(np.full(3, esd_um), aa_um2, exp)
        dust = rng.integers(1, 5, 60)
        frames.append(frame_of([*beads.tolist(), *pairs.tolist(), *dust.tolist()], rng))
    return write_frames(folder, frames)
