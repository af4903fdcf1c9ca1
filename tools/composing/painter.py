"""A planned frame becomes pixels, and the truth of what is in them.

Large particles first, small ones in the cells left over, nothing touching; then the lens (blur), then the
ground: haze and noise that never pass the threshold. So what is above the threshold is what was planted.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frame import FrameOutcome
from edge.optics import Optics
from tools.composing.blobs import Room, blob_greys, place_blobs
from tools.composing.plan import FramePlan
from tools.composing.scenario import Camera
from tools.composing.vignettes import Cutout, Source, cut_out

Ints = NDArray[np.int64]
Pixels = NDArray[np.uint8]
_SHIFTS = 256
_TRIES = 60


@dataclass(frozen=True, slots=True)
class Planted:
    """What lies in one frame: boxes int64 (n, 4) x, y, width, height; areas int64 (n,); labels and sources.

    The large ones come first, as many as there are `labels`; the rest are small and nameless.
    """

    boxes: Ints
    area_px: Ints
    labels: tuple[str, ...]
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.area_px)


class Painter:
    """Paints frames of one camera.

    Parameters
    ----------
    camera, optics
        Size and ground of the frames; the threshold.
    source
        Of large particles.
    min_area_px
        Area from which a particle counts as large; large ones are never made smaller than that.
    seed
        Everything follows from it: frame `i` is the same whatever was painted before.
    """

    def __init__(self, camera: Camera, optics: Optics, source: Source, min_area_px: int, seed: int) -> None:
        self._camera = camera
        self._threshold = optics.threshold
        self._source = source
        self._min_area_px = min_area_px
        self._seed = seed
        rng = np.random.default_rng((seed, 3))
        noise = np.rint(rng.normal(0, camera.noise_grey, camera.width_px + _SHIFTS))
        # One line of noise, shifted by chance from row to row, looks like noise and packs like a line.
        self._noise = np.clip(noise, -camera.black_grey, None).astype(np.int8)
        y = np.linspace(-1, 1, camera.height_px, dtype=np.float32)[:, None]
        x = np.linspace(-1, 1, camera.width_px, dtype=np.float32)[None, :]
        reach = ((x - np.float32(0.12)) ** 2 + (y + np.float32(0.08)) ** 2) / np.float32(2.4)
        self.light = (1 - np.float32(camera.light_fall) * np.minimum(reach, 1)).astype(np.float32)
        # Clouds of haze: steps from one grey to the next then follow no visible circle.
        clouds = cv2.resize(
            rng.random((9, 11), dtype=np.float32), (x.size, y.size), interpolation=cv2.INTER_CUBIC
        )
        haze = self.light * np.float32(camera.haze_grey) + clouds - np.float32(0.5)
        self._haze = np.clip(np.rint(haze), 0, 255).astype(np.uint8)

    def paint(self, index: int, plan: FramePlan) -> tuple[Pixels, Planted]:
        """Pixels, uint8 (height, width), of a frame and what lies in it."""
        rng = np.random.default_rng((self._seed, 4, index))
        shape = (self._camera.height_px, self._camera.width_px)
        canvas = np.zeros(shape, dtype=np.uint8)
        room = Room(*shape)
        large = [] if plan.outcome is FrameOutcome.UNLIT else self._plant_large(canvas, room, plan, rng)
        boxes, areas = self._plant_small(canvas, room, plan, rng)
        planted = Planted(
            np.concatenate([np.array([box for box, _ in large], dtype=np.int64).reshape(-1, 4), boxes]),
            np.concatenate([np.array([cutout.area_px for _, cutout in large], dtype=np.int64), areas]),
            tuple(cutout.label for _, cutout in large),
            tuple(cutout.source for _, cutout in large),
        )
        if plan.outcome is FrameOutcome.BLURRED:
            canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), rng.uniform(4.5, 6.0)), dtype=np.uint8)
        frame = self._ground(plan.outcome is not FrameOutcome.UNLIT, rng)
        cv2.max(frame, canvas, dst=frame)
        if plan.outcome is FrameOutcome.OVER_EXPOSED:
            frame = self._glare(frame, rng)
        return frame, planted

    def _ground(self, lit: bool, rng: np.random.Generator) -> Pixels:
        """Haze, black level and noise, nowhere above the threshold."""
        rows = np.lib.stride_tricks.sliding_window_view(self._noise, self._camera.width_px)
        black = round(self._camera.black_grey)
        ground = (rows + black).astype(np.uint8)[rng.integers(_SHIFTS, size=self._camera.height_px)]
        if lit:
            ground += self._haze
        return np.minimum(ground, np.uint8(self._threshold))

    def _plant_large(
        self, canvas: Pixels, room: Room, plan: FramePlan, rng: np.random.Generator
    ) -> list[tuple[tuple[int, int, int, int], Cutout]]:
        """Plant large particles, the largest first; without room, one is left out of the truth too."""
        planted = []
        for wanted in sorted(plan.large, key=lambda one: -one.area_px):
            area_px = max(wanted.area_px, self._min_area_px * 1.2)
            if wanted.label is None:
                cutout = self._source.draw_any(area_px, rng)
            else:
                cutout = self._source.draw(wanted.label, area_px, rng)
            place = self._find_place(canvas, room, cutout, rng)
            if place is None:
                continue
            x, y, lit = place
            height, width = lit.pixels.shape
            window = canvas[y : y + height, x : x + width]
            cv2.max(window, lit.pixels, dst=window)
            rows, columns = np.flatnonzero(lit.mask.any(axis=1)), np.flatnonzero(lit.mask.any(axis=0))
            box = (
                x + int(columns[0]),
                y + int(rows[0]),
                int(columns[-1] - columns[0]) + 1,
                int(rows[-1] - rows[0]) + 1,
            )
            planted.append((box, lit))
        return planted

    def _find_place(
        self, canvas: Pixels, room: Room, cutout: Cutout, rng: np.random.Generator
    ) -> tuple[int, int, Cutout] | None:
        """A free place (x, y of the upper left corner) and the cutout in the light there, or None."""
        height, width = cutout.pixels.shape
        free_y, free_x = canvas.shape[0] - height, canvas.shape[1] - width
        if free_y < 1 or free_x < 1:
            return None
        # One pixel around the particle stays dark, whoever is its neighbour.
        grown = cv2.dilate(
            cv2.copyMakeBorder(cutout.mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0),
            np.ones((3, 3), dtype=np.uint8),
        )
        rows, columns = np.nonzero(grown)
        for _ in range(_TRIES):
            y, x = int(rng.integers(free_y)), int(rng.integers(free_x))
            ys, xs = np.maximum(rows + y - 1, 0), np.maximum(columns + x - 1, 0)
            if room.take_pixels(ys, xs):
                light = self.light[y + height // 2, x + width // 2]
                texture = rng.normal(0, self._camera.noise_grey, cutout.pixels.shape) * (cutout.pixels > 8)
                dimmed = np.clip(np.rint(cutout.pixels * light + texture), 0, 255).astype(np.uint8)
                dimmed[~cutout.mask] = np.minimum(dimmed[~cutout.mask], self._threshold)
                shown = cut_out(dimmed, self._threshold, cutout.label, cutout.source)
                # Too faint a corner for it: it stays as bright as it came.
                bright = shown is not None and shown.area_px >= max(self._min_area_px, 0.7 * cutout.area_px)
                return x, y, shown if shown is not None and bright else cutout
        return None

    def _plant_small(
        self, canvas: Pixels, room: Room, plan: FramePlan, rng: np.random.Generator
    ) -> tuple[Ints, Ints]:
        """Plant small particles; their boxes int64 (n, 4) and areas int64 (n,)."""
        small = plan.small
        which = np.repeat(np.arange(len(small.area_px)), small.count)[::-1]  # the largest first
        area = small.area_px[which]
        boxes, owner, y, x = place_blobs(area, room, rng)
        if len(area):
            light = self.light[boxes[:, 1], boxes[:, 0]].astype(np.float64)
            canvas[y, x] = blob_greys(
                owner, small.mean_grey[which], small.sd_grey[which], light, self._threshold, rng
            )
        return boxes, area

    def _glare(self, frame: Pixels, rng: np.random.Generator) -> Pixels:
        """Sunlight or a bright body close to the lens: a glare over half the frame and more."""
        height, width = frame.shape
        x0, y0 = rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height
        reach = rng.uniform(0.4, 0.6) * max(height, width)
        y = np.exp(-(((np.arange(height) - y0) / reach) ** 2)).astype(np.float32)
        x = np.exp(-(((np.arange(width) - x0) / reach) ** 2)).astype(np.float32)
        glare = (np.float32(250) * y[:, None] * x[None, :]).astype(np.uint8)
        return np.asarray(cv2.add(frame, glare), dtype=np.uint8)
