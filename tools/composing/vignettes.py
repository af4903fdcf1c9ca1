"""Large particles to plant: drawn ones, or vignettes of a folder or zip of classes, each cut to one region.

A source hands out cutouts: by label and size for a scenario, by area for a real cast. Vignettes that a bundle
was trained on are left out, so that a dive composed from them is an honest test.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError
from edge.inference.bundle import image_hash
from edge.optics import Optics
from training.datasets import ImageStore
from training.drawn import KINDS, draw_particle
from training.taxonomy_file import parse_class

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Cutout:
    """A large particle ready to plant.

    Attributes
    ----------
    pixels
        uint8 (h, w): one 8-connected region above the threshold, everything else at most the threshold.
    mask
        bool (h, w), that region.
    label, source
        Its taxon, and where it came from.
    """

    pixels: Pixels
    mask: NDArray[np.bool_]
    label: str
    source: str

    @property
    def area_px(self) -> int:
        """Pixels above the threshold."""
        return int(np.count_nonzero(self.mask))


class Source(Protocol):
    """Where large particles come from."""

    labels: tuple[str, ...]

    def draw(self, label: str, area_px: float, rng: np.random.Generator) -> Cutout:
        """One of this label; of about this area as far as there is a choice."""

    def draw_any(self, area_px: float, rng: np.random.Generator) -> Cutout:
        """One of any label, of about this area."""


def cut_out(pixels: Pixels, threshold: int, label: str, source: str) -> Cutout | None:
    """Keep the largest 8-connected region above the threshold and dim the others; None if there is none."""
    mask = (pixels > threshold).astype(np.uint8)
    n, regions, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if n < 2:
        return None
    main = np.asarray(regions == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])))
    kept = np.where(main, pixels, np.minimum(pixels, threshold)).astype(np.uint8)
    return Cutout(kept, main, label, source)


class DrawnSource:
    """Particles drawn when asked for, at any size."""

    labels: tuple[str, ...] = KINDS
    # What a cast's unnamed large particles become: mostly marine snow, as in the sea.
    _SHARES = (0.55, 0.1, 0.05, 0.16, 0.04, 0.05, 0.03, 0.02)

    def __init__(self, threshold: int) -> None:
        self._threshold = threshold

    def draw(self, label: str, area_px: float, rng: np.random.Generator) -> Cutout:
        """One of this kind and area."""
        while True:
            pixels = draw_particle(label, rng, 2 * math.sqrt(area_px / math.pi))
            cutout = cut_out(pixels, self._threshold, label, "drawn")
            # One drawing in some hundred falls in two halves: its larger half would be the wrong size.
            if cutout is not None and cutout.area_px > 0.85 * area_px:
                return cutout

    def draw_any(self, area_px: float, rng: np.random.Generator) -> Cutout:
        """One of any kind, mostly aggregates."""
        return self.draw(str(rng.choice(self.labels, p=self._SHARES)), area_px, rng)


class VignetteSource:
    """Vignettes of classes, scaled from their pixel to the frame's.

    Attributes
    ----------
    labels
        Classes that have a usable vignette, sorted.
    counts
        Vignettes of each.
    n_trained_on, n_unusable
        Left out because the bundle was trained on them, or because they cannot be read or hold nothing
        large enough.
    """

    def __init__(
        self,
        path: Path,
        pixel_um: float,
        optics: Optics,
        min_area_px: int,
        trained_on: Collection[bytes] = frozenset(),
    ) -> None:
        self.n_trained_on = self.n_unusable = 0
        by_label: dict[str, list[Cutout]] = {}
        for label, name, pixels in _read_classes(path):
            if pixels is not None and image_hash(pixels) in trained_on:
                self.n_trained_on += 1
                continue
            cutout = (
                None
                if pixels is None
                else cut_out(_scaled(pixels, pixel_um / optics.pixel_um), optics.threshold, label, name)
            )
            if cutout is None or cutout.area_px < min_area_px:
                self.n_unusable += 1
                continue
            by_label.setdefault(label, []).append(cutout)
        if not by_label:
            raise ImageError(
                f"has no vignette to plant ({self.n_trained_on} are known to the bundle, {self.n_unusable} "
                f"hold no particle of {min_area_px} px)",
                file=path,
                remedy="give other vignettes, or check --vignette-pixel-um",
            )
        self.labels = tuple(sorted(by_label))
        self.counts: Mapping[str, int] = {label: len(by_label[label]) for label in self.labels}
        self._sorted = {label: _BySize(found) for label, found in by_label.items()}
        self._all = _BySize([cutout for label in self.labels for cutout in by_label[label]])

    def draw(self, label: str, area_px: float, rng: np.random.Generator) -> Cutout:
        """Any vignette of this class: real ones have their own size."""
        del area_px
        return self._sorted[label].pick_any(rng)

    def draw_any(self, area_px: float, rng: np.random.Generator) -> Cutout:
        """One of the vignettes nearest in area."""
        return self._all.pick_near(area_px, rng)


class _BySize:
    """Cutouts sorted by area."""

    def __init__(self, cutouts: list[Cutout]) -> None:
        self._cutouts = sorted(cutouts, key=lambda cutout: cutout.area_px)
        self._areas = np.array([cutout.area_px for cutout in self._cutouts])

    def pick_any(self, rng: np.random.Generator) -> Cutout:
        return self._cutouts[int(rng.integers(len(self._cutouts)))]

    def pick_near(self, area_px: float, rng: np.random.Generator) -> Cutout:
        """One of those within 10 % of the area, or the nearest."""
        low, high = np.searchsorted(self._areas, [area_px / 1.1, area_px * 1.1])
        if high > low:
            return self._cutouts[int(rng.integers(low, high))]
        return self._cutouts[int(np.argmin(np.abs(np.log(self._areas / area_px))))]


def _scaled(pixels: Pixels, factor: float) -> Pixels:
    """White on black at the frame's scale; vignettes of dark particles on white are inverted."""
    border = np.concatenate((pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))
    if np.median(border) > 127:
        pixels = 255 - pixels
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=way), dtype=np.uint8)


def _read_classes(path: Path) -> Iterator[tuple[str, str, Pixels | None]]:
    """Class, file name and pixels (None: they cannot be read) of every image in a class folder, sorted."""
    with ImageStore(path) as store:
        named = [name for name in store.names if PurePosixPath(name).parent.name]
        if not named:
            raise ImageError(
                "holds no images in class folders",
                file=path,
                remedy="name a folder or zip of <class>/<image>",
            )
        for name in named:
            try:
                pixels = store.read(name)
            except ImageError:
                pixels = None
            yield parse_class(PurePosixPath(name).parent.name).label, name, pixels
