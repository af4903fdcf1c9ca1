"""Drawn dark-field particles, white on black: what the demo model learns and what `compose` strews.

No image of anybody is in them: each kind is geometry with natural variation, drawn large with OpenCV and
made small by area averaging, so edges are antialiased. The eight kinds follow the commonest shapes in
vignettes of in-situ cameras (marine snow, fibres, Trichodesmium tufts, copepods, shells, jellies, bubbles).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Points = NDArray[np.complex128]

KINDS = ("aggregate", "fibre", "tuft", "copepod", "ring", "sphere", "bell", "bubble")
"""Names of the kinds, as labels of the demo model have them."""

THRESHOLD = 21
"""Grey above which a pixel belongs to the particle when its size is set."""

_SUPERSAMPLE = 2.2
_SHIFT = 4  # fractional bits of OpenCV's drawing coordinates


def draw_particle(kind: str, rng: np.random.Generator, esd_px: float) -> Pixels:
    """Draw one particle.

    Parameters
    ----------
    kind
        One of `KINDS`.
    rng
        Source of everything that varies: orientation, proportions, texture, brightness, sharpness.
    esd_px
        Diameter in pixels of the disc that has the particle's area above `THRESHOLD` (met within some
        percent: the particle is drawn, measured, and scaled); 4 or more to show a shape.

    Returns
    -------
    uint8 (height, width), the particle with its soft edges on black, black at the border. It is nearly
    always one 8-connected region above the threshold, but thin antennae may break off.
    """
    if kind not in _DRAW:
        raise ValueError(f"unknown kind {kind!r}: choose one of {', '.join(KINDS)}")
    # A large particle has detail enough without supersampling as much: time stays bounded.
    unit = max(44.0, esd_px, min(_SUPERSAMPLE * esd_px, 100.0))
    drawn = _DRAW[kind](rng, unit)
    low, high = _PEAK[kind]
    drawn = drawn * np.float32(rng.uniform(low, high))
    focus_px = rng.uniform(0.3, 0.8)
    target = math.pi / 4 * esd_px**2
    scale = math.sqrt(target / max(1, _area(drawn)))
    # Thin parts fade when made small, soft ones grow: measure what came out and correct.
    for _ in range(2):
        small = _shrink(drawn, scale, focus_px)
        scale *= math.sqrt(target / max(1, _area(small)))
    return _trim(_shrink(drawn, scale, focus_px))


def blur(pixels: Pixels, sigma_px: float) -> Pixels:
    """Gaussian blur of an image, uint8 (h + 6 sigma, w + 6 sigma): it grows so that nothing is cut."""
    if sigma_px <= 0:
        return pixels
    pad = math.ceil(3 * sigma_px)
    grown = cv2.copyMakeBorder(pixels, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(cv2.GaussianBlur(grown, (0, 0), sigma_px), dtype=np.uint8)


def add_noise(pixels: Pixels, rng: np.random.Generator, sigma: float, background: float = 0.0) -> Pixels:
    """Sensor noise: a constant background plus normal noise of `sigma` grey levels, saturating, uint8."""
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(sigma) + np.float32(background)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


def shade(pixels: Pixels, rng: np.random.Generator, depth: float) -> Pixels:
    """Uneven light: a linear fall of brightness in a random direction, by the share `depth` (0-1) in all."""
    height, width = pixels.shape
    angle = rng.uniform(0, 2 * math.pi)
    x = np.linspace(-0.5, 0.5, width, dtype=np.float32) * np.float32(math.cos(angle))
    y = np.linspace(-0.5, 0.5, height, dtype=np.float32) * np.float32(math.sin(angle))
    reach = 0.5 * (abs(math.cos(angle)) + abs(math.sin(angle)))
    fall = 0.5 + (x[None, :] + y[:, None]) / np.float32(2 * reach)
    return np.rint(pixels * (1 - np.float32(depth) * fall)).astype(np.uint8)


# --- canvas -------------------------------------------------------------------------------------------------


class _Canvas:
    """A uint8 canvas just large enough for some points; coordinates are complex numbers, in pixels."""

    def __init__(self, extent: Points, pad: float) -> None:
        self._origin = complex(extent.real.min() - pad, extent.imag.min() - pad)
        self.width = math.ceil(extent.real.max() + pad - self._origin.real) + 1
        self.height = math.ceil(extent.imag.max() + pad - self._origin.imag) + 1
        self.pixels: Pixels = np.zeros((self.height, self.width), dtype=np.uint8)

    def layer(self) -> _Canvas:
        """An empty canvas over the same place."""
        other = object.__new__(_Canvas)
        other._origin, other.width, other.height = self._origin, self.width, self.height
        other.pixels = np.zeros_like(self.pixels)
        return other

    def _fixed(self, points: Points) -> NDArray[np.int32]:
        shifted = (np.asarray(points) - self._origin) * (1 << _SHIFT)
        return np.rint(np.stack((shifted.real, shifted.imag), axis=-1)).astype(np.int32)

    def line(self, points: Points, grey: float, width: float, closed: bool = False) -> None:
        """A polyline of some width."""
        thick = max(1, round(width))
        cv2.polylines(self.pixels, [self._fixed(points)], closed, _grey(grey), thick, cv2.LINE_AA, _SHIFT)

    def fill(self, points: Points, grey: float) -> None:
        """A filled polygon."""
        cv2.fillPoly(self.pixels, [self._fixed(points)], _grey(grey), cv2.LINE_AA, _SHIFT)

    def dot(self, point: complex, radius: float, grey: float) -> None:
        """A filled disc."""
        x, y = self._fixed(np.array([point]))[0]
        one = 1 << _SHIFT
        cv2.circle(
            self.pixels, (int(x), int(y)), max(1, round(radius * one)), _grey(grey), -1, cv2.LINE_AA, _SHIFT
        )

    def radius(self, centre: complex, squeeze: float, angle: float) -> tuple[Floats, Floats]:
        """Distance from a centre in a frame turned by `angle`, y divided by `squeeze`; and its direction."""
        x = np.arange(self.width, dtype=np.float32) - np.float32(centre.real - self._origin.real)
        y = np.arange(self.height, dtype=np.float32) - np.float32(centre.imag - self._origin.imag)
        c, s = np.float32(math.cos(angle)), np.float32(math.sin(angle))
        u = c * x[None, :] + s * y[:, None]
        v = (c * y[:, None] - s * x[None, :]) / np.float32(squeeze)
        return np.asarray(cv2.magnitude(u, v), np.float32), np.asarray(cv2.phase(u, v), np.float32)


def _grey(grey: float) -> tuple[float]:
    return (float(min(255, max(0, round(255 * grey)))),)


def _unit_grey(pixels: Pixels) -> Floats:
    return np.asarray(pixels, dtype=np.float32) / np.float32(255)


def _soften(pixels: Pixels | Floats, sigma_px: float) -> Floats:
    image = pixels if pixels.dtype == np.float32 else _unit_grey(pixels)  # type: ignore[arg-type]
    size = 2 * max(1, round(2.5 * sigma_px)) + 1
    return np.asarray(cv2.GaussianBlur(image, (size, size), sigma_px), dtype=np.float32)


def _texture(rng: np.random.Generator, shape: tuple[int, int], cell_px: float, depth: float) -> Floats:
    """Smooth noise between 1 - depth and 1 with grains of about `cell_px`, float32."""
    grid = (max(2, math.ceil(shape[0] / cell_px)), max(2, math.ceil(shape[1] / cell_px)))
    coarse = rng.random(grid, dtype=np.float32)
    fine = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(1 - np.float32(depth) * fine, dtype=np.float32)


def _area(image: Floats | Pixels) -> int:
    """Pixels that will be above the threshold once rounded to whole grey."""
    return int(np.count_nonzero(image > np.float32(THRESHOLD + 0.5)))


def _shrink(image: Floats, scale: float, focus_px: float) -> Floats:
    """Scale an image by area averaging and apply the lens's blur, float32 grey 0-255, not trimmed."""
    pad = 3
    height, width = (max(1, round(side * scale)) for side in image.shape)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(image, (width, height), interpolation=way)
    small = cv2.copyMakeBorder(small, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(cv2.GaussianBlur(small, (5, 5), focus_px), dtype=np.float32)


def _trim(image: Floats) -> Pixels:
    """Round to uint8 and cut away the black around, but for two pixels of it."""
    grey = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    rows, columns = np.flatnonzero(grey.max(axis=1)), np.flatnonzero(grey.max(axis=0))
    if not rows.size:
        return grey
    found = grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.asarray(cv2.copyMakeBorder(found, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=0), dtype=np.uint8)


# --- curves -------------------------------------------------------------------------------------------------


def _turn(angle: float) -> complex:
    return complex(math.cos(angle), math.sin(angle))


def _curve(start: complex, heading: float, length: float, bends: NDArray[np.float64]) -> Points:
    """A smooth curve: the heading changes by `bends` (rad) from step to step."""
    headings = heading + np.concatenate(([0.0], np.cumsum(bends)))
    step = length / len(headings)
    return np.concatenate(([start], start + step * np.cumsum(np.exp(1j * headings))))


def _wander(rng: np.random.Generator, steps: int, strength: float) -> NDArray[np.float64]:
    """Bends of a curve that wanders: correlated from step to step, rad."""
    raw = rng.normal(0, strength, steps)
    kernel = np.array([0.15, 0.2, 0.3, 0.2, 0.15])
    return np.convolve(raw, kernel, mode="same")


# --- kinds --------------------------------------------------------------------------------------------------
# Each takes the generator and the unit, the canvas pixels of one ESD or so, and gives float32 grey 0-1.


def _aggregate(rng: np.random.Generator, unit: float) -> Floats:
    """Marine snow: grains of all sizes stuck to one another, in a thin matrix."""
    n = int(rng.integers(24, 64))
    stretch, turn = rng.uniform(0.4, 1.0), _turn(rng.uniform(0, math.pi))
    radii = 0.42 * unit / math.sqrt(n) * np.exp(rng.normal(0, 0.6, n))
    places = np.zeros(n, dtype=np.complex128)
    parents = (np.arange(n) * rng.random(n) ** rng.uniform(0.4, 1.1)).astype(int)
    ways = np.exp(2j * math.pi * rng.random(n))
    for i in range(1, n):
        parent = parents[i]
        places[i] = places[parent] + 0.85 * (radii[i] + radii[parent]) * ways[i]
    places = (places.real + 1j * stretch * places.imag) * turn
    greys = np.sort(rng.uniform(0.3, 1.0, n) ** 1.3)
    canvas = _Canvas(places, pad=1.4 * float(radii.max()) + 0.16 * unit)
    matrix = canvas.layer()
    for place, radius, grey in zip(places, radii, greys, strict=True):
        matrix.dot(place, 1.4 * radius, 0.22)
        canvas.dot(place, radius, grey)
    grains = _soften(canvas.pixels, 0.013 * unit)
    image = np.maximum(grains, _soften(matrix.pixels, 0.05 * unit))
    image *= _texture(rng, image.shape, 0.035 * unit, 0.6)
    return image


def _fibre(rng: np.random.Generator, unit: float) -> Floats:
    """A thread: long, thin, bent, its brightness uneven, sometimes with a bead or two."""
    aspect = math.exp(rng.uniform(math.log(13), math.log(50)))
    length = unit * math.sqrt(math.pi / 4 * aspect)
    width = length / aspect
    steps = 48
    bends = _wander(rng, steps, rng.uniform(0.02, 0.2)) + rng.normal(0, 0.02)
    curve = _curve(0j, rng.uniform(0, 2 * math.pi), length, bends)
    canvas = _Canvas(curve, pad=0.1 * unit + 1.5 * width)
    greys = 0.55 + 0.45 * np.interp(np.arange(steps), np.linspace(0, steps, 9), rng.random(9))
    swell = 0.8 + 0.4 * np.interp(np.arange(steps), np.linspace(0, steps, 7), rng.random(7))
    for i in range(steps):
        canvas.line(curve[i : i + 3], greys[i], width * swell[i])
    for place in rng.choice(curve, int(rng.integers(0, 3)), replace=False):
        canvas.dot(complex(place), width * rng.uniform(0.7, 1.1), 1.0)
    image = _soften(canvas.pixels, max(0.8, 0.25 * width))
    image *= _texture(rng, image.shape, 0.12 * unit, 0.35)
    return image


def _tuft(rng: np.random.Generator, unit: float) -> Floats:
    """A colony of filaments: a raft bound in the middle and frayed at its ends, or a puff."""
    puff = rng.random() < 0.35
    n = int(rng.integers(18, 34)) if puff else int(rng.integers(16, 30))
    axis, spread = rng.uniform(0, math.pi), rng.uniform(0.07, 0.17)
    curves: list[Points] = []
    for _ in range(n):
        if puff:
            heading, length, start = rng.uniform(0, 2 * math.pi), unit * rng.uniform(0.5, 0.95), 0j
        else:
            heading = axis + rng.normal(0, spread) + (math.pi if rng.random() < 0.5 else 0)
            length = unit * rng.uniform(1.0, 1.6)
            across = rng.normal(0, 0.07) * unit
            start = _turn(axis) * complex(rng.normal(0, 0.12) * unit, across) - 0.25 * length * _turn(heading)
        curves.append(_curve(start, heading, length, _wander(rng, 8, 0.12)))
    canvas = _Canvas(np.concatenate(curves), pad=0.14 * unit)
    image = np.zeros((canvas.height, canvas.width), dtype=np.float32)
    # Two layers add up, so that the bundle is brightest where filaments cross.
    for half in (curves[::2], curves[1::2]):
        layer = canvas.layer()
        for curve in half:
            layer.line(curve, rng.uniform(0.3, 0.6), unit * rng.uniform(0.022, 0.042))
        image += _unit_grey(layer.pixels)
    knot = canvas.layer()
    if puff:
        knot.dot(0j, unit * rng.uniform(0.14, 0.22), 0.6)
    else:
        along = _turn(axis) * unit * rng.uniform(0.3, 0.55)
        knot.line(np.array([-along, along]), 0.3, unit * rng.uniform(0.1, 0.25))
    image += _soften(knot.pixels, 0.06 * unit)
    return np.minimum(_soften(image, 0.014 * unit), np.float32(1))


def _copepod(rng: np.random.Generator, unit: float) -> Floats:
    """Prosome, urosome with its furca, and two antennae; seen from above or from the side."""
    length = unit * rng.uniform(1.35, 1.6)  # of the prosome
    half = 0.5 * length / rng.uniform(2.1, 3.1)
    turn, side_view = _turn(rng.uniform(0, 2 * math.pi)), rng.random() < 0.4
    t = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    # Broadest before the middle, tapering to the tail; from the side the belly is flatter.
    y = half * np.sin(t) * (1 + 0.22 * np.cos(t))
    if side_view:
        y = np.where(y < 0, 0.6 * y, 1.1 * y)
    body = 0.5 * length * np.cos(t) + 1j * y
    tail_length, bend = length * rng.uniform(0.28, 0.5), rng.normal(0, 0.03)
    tail = _curve(complex(-0.44 * length, 0), math.pi, tail_length, np.full(8, bend))
    fork = [
        _curve(
            complex(tail[-1]), math.pi + 8 * bend + sign * rng.uniform(0.2, 0.5), 0.14 * length, np.zeros(3)
        )
        for sign in (-1, 1)
    ]
    antennae = []
    swept = rng.uniform(-0.03, 0.09)
    reach = length * rng.uniform(0.55, 1.15)
    opening = rng.uniform(1.0, 1.7)
    for sign in (-1, 1):
        root = complex(0.42 * length, 0.35 * sign * half)
        angle = (sign if not side_view else 1) * (opening + (0.25 * sign if side_view else 0))
        bends = np.sign(angle) * (swept + np.abs(rng.normal(0, 0.02, 12)))
        antennae.append(_curve(root, angle, reach * rng.uniform(0.85, 1.1), bends))
    legs = [
        _curve(
            complex(x * length, -0.5 * half),
            -math.pi / 2 - rng.uniform(0.2, 1.0),
            0.75 * half,
            np.full(4, -0.1),
        )
        for x in rng.uniform(-0.25, 0.2, int(rng.integers(3, 6)) if side_view else 0)
    ]
    parts = [body, tail, *fork, *antennae, *legs]
    canvas = _Canvas(np.concatenate(parts) * turn, pad=0.14 * unit)
    inside = canvas.layer()
    inside.fill(body * turn, rng.uniform(0.38, 0.6))
    for x in np.linspace(-0.3, 0.25, int(rng.integers(3, 6))):  # segments
        wide = half * 0.9 * math.sqrt(max(0.0, 1 - (2 * x) ** 2))
        chord = np.array([complex(x * length, -wide), complex(x * length, wide)])
        inside.line(chord * turn, rng.uniform(0.25, 0.5), 0.03 * length)
    gut = _curve(complex(0.3 * length, rng.normal(0, 0.12) * half), math.pi, 0.6 * length, np.zeros(4))
    inside.line(gut * turn, rng.uniform(0.6, 0.95), rng.uniform(0.2, 0.55) * half)
    canvas.pixels[:] = inside.pixels
    canvas.line(body * turn, rng.uniform(0.7, 0.95), 0.045 * unit, closed=True)
    canvas.line(tail * turn, rng.uniform(0.6, 0.9), 0.24 * half + 0.03 * unit)
    for part in fork:
        canvas.line(part * turn, 0.5, 0.03 * unit)
    for part in antennae:
        canvas.line(part[:7] * turn, 0.75, 0.045 * unit)
        canvas.line(part[6:] * turn, 0.65, 0.033 * unit)
    for part in legs:
        canvas.line(part * turn, 0.55, 0.03 * unit)
    image = _soften(canvas.pixels, 0.018 * unit)
    image *= _texture(rng, image.shape, 0.09 * unit, 0.4)
    return image


def _round_canvas(unit: float, reach: float) -> _Canvas:
    return _Canvas(np.array([-0.5 - 0.5j, 0.5 + 0.5j], dtype=np.complex128) * reach * unit, pad=2)


def _ring(rng: np.random.Generator, unit: float) -> Floats:
    """A thick soft wall around a dark inside: cut shells, coiled chains, larvacean houses."""
    canvas = _round_canvas(unit, 2.2)
    r, way = canvas.radius(0j, rng.uniform(0.7, 1.0), rng.uniform(0, math.pi))
    lobes, phase, wobble = rng.integers(2, 5), rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.06)
    middle = np.float32(0.5 * unit) * (1 + np.float32(wobble) * np.cos(lobes * way + np.float32(phase)))
    wall = np.float32(unit * rng.uniform(0.06, 0.12))
    image = np.exp(-(((r - middle) / wall) ** 2))
    image += np.float32(rng.uniform(0.0, 0.12)) * (r < middle)
    gloss = 1 - np.float32(rng.uniform(0.1, 0.55)) * (0.5 + 0.5 * np.cos(way - np.float32(phase)))
    image *= gloss * _texture(rng, image.shape, 0.12 * unit, 0.35)
    return np.asarray(np.minimum(image, 1), dtype=np.float32)


def _sphere(rng: np.random.Generator, unit: float) -> Floats:
    """A solid ball, brightest in the middle, often with a halo: radiolarians, eggs."""
    canvas = _round_canvas(unit, 2.4)
    r, way = canvas.radius(0j, rng.uniform(0.88, 1.0), rng.uniform(0, math.pi))
    edge = np.float32(0.5 * unit * rng.uniform(0.7, 1.0))
    hard = np.float32(rng.uniform(0.08, 0.22)) * edge
    ball = 1 / (1 + np.exp(np.clip((r - edge) / (np.float32(0.5) * hard), -20, 20)))
    limb = np.float32(rng.uniform(0.2, 0.75))
    image = ball * (1 - limb * np.minimum(r / edge, 1) ** 2)
    halo = np.float32(rng.uniform(0.0, 0.3))
    image += halo * np.exp(-((r / (np.float32(1.5) * edge)) ** 2))
    if rng.random() < 0.35:  # spines
        spines, phase = int(rng.integers(7, 16)), rng.uniform(0, 2 * math.pi)
        fan = np.maximum(0, np.cos(spines * way + np.float32(phase))) ** 4
        image += (
            np.float32(0.35) * fan * np.exp(-np.maximum(r - edge, 0) / (np.float32(0.3) * edge)) * (r > edge)
        )
    # To nothing at the canvas's border.
    image *= np.clip((np.float32(1.18 * unit) - r) / np.float32(0.25 * unit), 0, 1)
    image *= _texture(rng, image.shape, 0.1 * unit, 0.3)
    return np.asarray(np.minimum(image, 1), dtype=np.float32)


def _bell(rng: np.random.Generator, unit: float) -> Floats:
    """A medusa: a faint dome with a brighter rim, canals, a stomach, and tentacles."""
    half, height = 0.58 * unit * rng.uniform(0.85, 1.1), unit * rng.uniform(0.7, 1.15)
    turn = _turn(rng.uniform(0, 2 * math.pi))
    t = np.linspace(0, math.pi, 24)
    power = rng.uniform(0.65, 1.0)
    dome = half * np.cos(t) + 1j * height * np.sin(t) ** power
    lip = np.linspace(-half, half, 13)
    margin = lip + 1j * (
        -0.12 * height * np.cos(math.pi * lip / (2 * half)) + rng.normal(0, 0.012, 13) * unit
    )
    outline = np.concatenate((dome, margin[1:-1]))
    stomach = _curve(
        complex(0, 0.82 * height), -math.pi / 2, height * rng.uniform(0.3, 0.7), _wander(rng, 5, 0.1)
    )
    tentacles = []
    drift = rng.normal(0, 0.04)
    for x in rng.uniform(-0.95, 0.95, int(rng.integers(4, 13)) if rng.random() < 0.8 else 0):
        bends = _wander(rng, 14, 0.14) + drift
        tentacles.append(
            _curve(
                complex(x * half, -0.08 * height),
                -math.pi / 2 + 0.5 * x,
                unit * rng.uniform(0.35, 1.0),
                bends,
            )
        )
    canvas = _Canvas(np.concatenate((outline, *tentacles)) * turn, pad=0.2 * unit)
    jelly = canvas.layer()
    jelly.fill(outline * turn, rng.uniform(0.3, 0.42))
    for x in np.linspace(-0.7, 0.7, int(rng.integers(3, 7))):  # radial canals, from the top to the margin
        canal = x * half * np.sin(np.linspace(0, math.pi / 2, 8)) + 1j * height * np.linspace(0.93, -0.02, 8)
        jelly.line(canal * turn, rng.uniform(0.5, 0.7), 0.03 * unit)
    jelly.line(stomach * turn, rng.uniform(0.7, 1.0), unit * rng.uniform(0.06, 0.14))
    rim = canvas.layer()
    rim.line(dome * turn, rng.uniform(0.6, 0.9), 0.05 * unit)
    rim.line(margin * turn, rng.uniform(0.55, 1.0), 0.045 * unit)
    for tentacle in tentacles:
        rim.line(tentacle * turn, rng.uniform(0.4, 0.65), 0.028 * unit)
    image = np.maximum(_soften(jelly.pixels, 0.04 * unit), _soften(rim.pixels, 0.016 * unit))
    image *= _texture(rng, image.shape, 0.14 * unit, 0.35)
    return image


def _bubble(rng: np.random.Generator, unit: float) -> Floats:
    """A perfect circle with a thin rim, a nearly empty inside and two glints opposite each other."""
    canvas = _round_canvas(unit, 1.6)
    radius = 0.46 * unit
    r, way = canvas.radius(0j, rng.uniform(0.97, 1.0), 0.0)
    rim = np.float32(unit * rng.uniform(0.035, 0.06))
    axis = rng.normal(math.pi / 2, 0.25)
    image = np.float32(rng.uniform(0.4, 0.65)) * np.exp(-(((r - np.float32(radius)) / rim) ** 2))
    # The lamps on both sides light the rim more there.
    image *= 0.7 + 0.3 * np.abs(np.cos(way - np.float32(axis)))
    image += np.float32(rng.uniform(0.1, 0.2)) * (r < np.float32(radius))
    glints = canvas.layer()
    distance, size = radius * rng.uniform(0.55, 0.8), unit * rng.uniform(0.07, 0.13)
    for sign in (-1, 1):
        glints.dot(sign * distance * _turn(axis), size * rng.uniform(0.85, 1.15), 1.0)
    image += np.float32(1.2) * _soften(glints.pixels, 0.025 * unit)
    return np.asarray(np.minimum(image, 1), dtype=np.float32)


_DRAW: dict[str, Callable[[np.random.Generator, float], Floats]] = {
    "aggregate": _aggregate,
    "fibre": _fibre,
    "tuft": _tuft,
    "copepod": _copepod,
    "ring": _ring,
    "sphere": _sphere,
    "bell": _bell,
    "bubble": _bubble,
}
_PEAK: dict[str, tuple[float, float]] = {
    "aggregate": (110, 240),
    "fibre": (90, 250),
    "tuft": (120, 255),
    "copepod": (110, 240),
    "ring": (80, 230),
    "sphere": (120, 260),
    "bell": (100, 200),
    "bubble": (200, 270),
}
"""Range of grey of the brightest parts."""
