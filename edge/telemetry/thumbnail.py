"""A picture of a particle in some hundred bytes: as small and as coarse as shows it best. Pure, in integers.

A 9/7 wavelet, its details rounded to what their bits are worth and coded by `edge.telemetry.thumbnail_law`.
Made for bright particles on black; the decoded picture is the same on every machine. Not embedded: a message
is there or not, and a picture made for its very length is better than one cut to it.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError, InputError, MessageError
from edge.telemetry.range_coder import Coder, RangeDecoder, RangeEncoder
from edge.telemetry.resample import resize, similarity
from edge.telemetry.thumbnail_law import (
    COST_ONE,
    MAX_MAGNITUDE,
    N_PHASES,
    PHASES,
    ROOT_VALUES,
    BandContext,
    Law,
    shipped,
)
from edge.telemetry.wavelet import Bands, Ints, join, sizes, split

Pixels = NDArray[np.uint8]

MAX_SIDE_PX = 96
MIN_THUMBNAIL_BYTES = 12
"""Any picture fits, however coarse it then is."""
SIDES_PX = (4, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96)
"""Longest sides that are tried, and the picture's own where it is smaller."""
_FIRST_SIDE = 6
_REFERENCE_SIDE_PX = 128
"""The picture is judged at this size, or its own where that is smaller."""
_TRADE = 14
"""Squared error, in squared steps / 256, that a bit must save."""
BLACKS = (0, 2, 4, 6, 8, 12, 16, 24)
"""Greys below one of these are made black at the end: what the wavelet leaves around a particle."""

N_STEPS = 56
_PER_OCTAVE = 8
_FINEST = (256, 279, 304, 332, 362, 395, 431, 470)
"""round(256 * 2 ** (i / 8)): the finest steps, 4 tones and up, in 1 / 64 tone."""
_TONE_BITS = 6
_ROOT2 = 46341
"""round(2 ** 15 * sqrt(2))."""
_ROOT_STEP = 2 << _TONE_BITS
_CENTRE = np.array((0, 20, 8), dtype=np.int64)
"""How far below its magnitude a detail lies on average, of 1, and of 2 and more, in 1 / 256 of a step."""
_MAX_OVER = (1 << 12) - 1


def _tones() -> tuple[Ints, Pixels]:
    """Grey to tone, 255 * (grey / 255) ** (2 / 3) rounded, and back: what is dim is kept finer."""
    tone = [max(y for y in range(256) if y == 0 or (2 * y - 1) ** 3 <= 8 * 255 * x * x) for x in range(256)]
    grey = [(math.isqrt(4 * y**3 // 255) + 1) // 2 for y in range(256)]
    return np.array(tone, dtype=np.int64), np.array(grey, dtype=np.uint8)


_TONE_OF_GREY, _GREY_OF_TONE = _tones()


def encode_thumbnail(pixels: Pixels, max_bytes: int) -> bytes:
    """A picture in at most so many bytes.

    Parameters
    ----------
    pixels
        uint8 (h, w), white on black, of any size from 1 x 1.
    max_bytes
        `MIN_THUMBNAIL_BYTES` or more.

    Raises
    ------
    ImageError
        When that is not what `pixels` is.
    InputError
        When `max_bytes` is less.
    """
    coder = RangeEncoder()
    write_thumbnail(coder, pixels, max_bytes)
    return coder.finish()


def decode_thumbnail(data: bytes) -> Pixels:
    """The picture, uint8 (h, w), at most `MAX_SIDE_PX` a side; raises `MessageError` when there is none."""
    coder = RangeDecoder(data)
    pixels = read_thumbnail(coder)
    if not coder.exhausted:
        raise MessageError("goes on after its picture", remedy="leave it out")
    return pixels


class Form(NamedTuple):
    """What stands before the details: height and width, px, step, and which of `BLACKS` ends the black."""

    height: int
    width: int
    step_index: int
    black: int


def read_thumbnail(coder: RangeDecoder) -> Pixels:
    """Read a picture where a coder stands; raises `MessageError`."""
    form = _code_form(coder, Form(0, 0, 0, 0))
    tones = trace(form.height, form.width, form.step_index, _Reader(coder, shipped()))
    return _greys(tones, form.black)


def write_thumbnail(coder: RangeEncoder, pixels: Pixels, max_bytes: int) -> Pixels:
    """Write a picture where a coder stands, so that all it has written is at most `max_bytes` long.

    Returns
    -------
    The picture as the decoder will see it, uint8 (h, w).

    Raises
    ------
    ImageError, InputError
        As `encode_thumbnail` does.
    """
    if pixels.ndim != 2 or pixels.dtype != np.uint8 or pixels.size == 0:
        raise ImageError(
            f"a picture of {pixels.dtype} and shape {pixels.shape} cannot be sent",
            remedy="give uint8 grey pixels of height x width, at least one",
        )
    room = max_bytes - -(-coder.bits // 8)
    if room < MIN_THUMBNAIL_BYTES:
        raise InputError(
            f"leaves {room} bytes for the picture, the smallest is {MIN_THUMBNAIL_BYTES}",
            field="max_bytes",
            remedy="allow more bytes",
        )
    search = _Search(pixels, 8 * (room - 1))
    mark = coder.mark()
    for attempt in search.best_first():
        _write(coder, attempt)
        if len(coder.finish()) <= max_bytes:
            return attempt.pixels
        coder.rewind(mark)
    raise AssertionError("the coarsest picture always fits")


def _code_form(coder: Coder, form: Form) -> Form:
    """Code what stands before the details, in either direction."""
    longest = coder.uniform(MAX_SIDE_PX, max(form.height, form.width) - 1) + 1
    shortest = coder.uniform(longest, min(form.height, form.width) - 1) + 1
    is_tall = bool(coder.uniform(2, int(form.height > form.width))) if shortest < longest else False
    height, width = (longest, shortest) if is_tall else (shortest, longest)
    return Form(
        height, width, coder.uniform(N_STEPS, form.step_index), coder.uniform(len(BLACKS), form.black)
    )


class Source(Protocol):
    """Where the details of a picture come from: its pixels, or bytes."""

    def root(self, i: int) -> int:
        """The i-th value of the last lowpass band, below `ROOT_VALUES`."""

    def details(self, kind: int, depth: int, phase: int, context: BandContext, step: int) -> Ints:
        """Rounded details of one turn of a band, int64 (n,)."""


def trace(height: int, width: int, step_index: int, source: Source) -> Ints:
    """Go through a picture from coarse to fine, and build it from what `source` tells.

    Encoder and decoder both go this way, so that they cannot drift apart.

    Returns
    -------
    Tones, int64 (height, width), 0 to 255.
    """
    shapes = sizes(height, width)
    root = [source.root(i) for i in range(shapes[-1][0] * shapes[-1][1])]
    low = _ROOT_STEP * np.array(root, dtype=np.int64).reshape(shapes[-1])
    nothing = np.zeros((0, 0), dtype=np.int64)
    parents = [nothing, nothing, nothing]
    n_splits = sum((a > c) + (b > d) for (a, b), (c, d) in pairwise(shapes))
    for depth in range(len(shapes) - 2, -1, -1):
        (h, w), (h2, w2) = shapes[depth], shapes[depth + 1]
        step = _step(step_index, n_splits)
        found: list[Ints] = []
        for kind, shape in enumerate(((h2, w - w2), (h - h2, w2), (h - h2, w - w2))):
            if 0 in shape:
                found.append(np.zeros(shape, dtype=np.int64))
                continue
            beside = tuple(one for one in found if one.size)
            context = BandContext(shape, low, parents[kind], beside, kind, depth, step, step_index)
            for phase in range(N_PHASES):
                context.put(phase, source.details(kind, depth, phase, context, step))
            found.append(context.details)
        parents = found
        low = join(Bands(low, *(_restored(one, step) for one in found)))
        n_splits -= (h > h2) + (w > w2)
    return np.asarray(np.clip((low + (1 << (_TONE_BITS - 1))) >> _TONE_BITS, 0, 255))


def _step(step_index: int, n_splits: int) -> int:
    """Step of the bands after so many splits of a side, in 1 / 64 tone: all add the same error to a pixel."""
    step = _FINEST[step_index % _PER_OCTAVE] << (step_index // _PER_OCTAVE)
    if n_splits % 2:
        step = (step * (_ROOT2 // 2)) >> 15
    return max(1, step >> (n_splits // 2))


def _restored(details: Ints, step: int) -> Ints:
    magnitude = np.abs(details)
    return np.asarray(np.sign(details) * (((256 * magnitude - _below(magnitude)) * step) >> 8))


def _below(magnitude: Ints) -> Ints:
    return _CENTRE[np.minimum(magnitude, len(_CENTRE) - 1)]


def _greys(tones: Ints, black: int) -> Pixels:
    grey = _GREY_OF_TONE[tones]
    grey[grey < BLACKS[black]] = 0
    return grey


class _Reader:
    """A `Source` that decodes."""

    def __init__(self, coder: RangeDecoder, law: Law) -> None:
        self._coder, self._law = coder, law
        self._bounds, self._sign_bounds = law.bounds.tolist(), law.sign_bounds.tolist()

    def root(self, i: int) -> int:
        """See `Source`."""
        return _code_root(self._coder, self._law, 0)

    def details(self, kind: int, depth: int, phase: int, context: BandContext, step: int) -> Ints:
        """See `Source`."""
        levels, signs = context.expect(self._law, phase)
        found = [
            _code_detail(self._coder, self._bounds[level], self._sign_bounds[sign], 0)
            for level, sign in zip(levels.tolist(), signs.tolist(), strict=True)
        ]
        return np.array(found, dtype=np.int64)


def _code_root(coder: Coder, law: Law, value: int) -> int:
    share = ROOT_VALUES // (len(law.root_bounds) - 1)
    return share * coder.symbol(law.root_bounds.tolist(), value // share) + coder.uniform(
        share, value % share
    )


def _code_detail(coder: Coder, bounds: list[int], sign_bounds: list[int], value: int) -> int:
    magnitude = coder.symbol(bounds, min(abs(value), MAX_MAGNITUDE))
    if magnitude == 0:
        return 0
    if magnitude == MAX_MAGNITUDE:
        magnitude += coder.uniform(_MAX_OVER + 1, abs(value) - MAX_MAGNITUDE if value else 0)
    return -magnitude if coder.symbol(sign_bounds, int(value < 0)) else magnitude


class Analysis:
    """A picture's transform, made once for all steps."""

    def __init__(self, pixels: Pixels) -> None:
        self.height, self.width = pixels.shape
        low = _TONE_OF_GREY[pixels] << _TONE_BITS
        self.bands = []
        for _ in range(len(sizes(*pixels.shape)) - 1):
            bands = split(low)
            low = bands.low
            self.bands.append((bands.along_x, bands.along_y.T, bands.both))  # as `BandContext` sees them
        root = (low.ravel() + _ROOT_STEP // 2) // _ROOT_STEP
        self.root: list[int] = np.clip(root, 0, ROOT_VALUES - 1).tolist()


class Quantiser:
    """A `Source` that rounds a picture's details to what is worth its bits, and adds these up.

    Attributes
    ----------
    cost
        Bits of the details, in 1 / `COST_ONE`.
    taken
        Details, and levels of their magnitudes and signs, of each turn in the order of coding.
    """

    def __init__(self, analysis: Analysis, law: Law, trade: int = _TRADE) -> None:
        self._analysis, self._law, self._trade = analysis, law, trade
        self.cost = 0
        self.taken: list[tuple[Ints, Ints, Ints]] = []

    def root(self, i: int) -> int:
        """See `Source`."""
        return self._analysis.root[i]

    def details(self, kind: int, depth: int, phase: int, context: BandContext, step: int) -> Ints:
        """See `Source`."""
        levels, signs = context.expect(self._law, phase)
        top, left = PHASES[phase]
        wanted = self._analysis.bands[depth][kind][top::2, left::2].ravel()
        size = (np.abs(wanted) << 8) // step
        sign_costs = self._law.sign_costs[signs, (wanted < 0).astype(np.int64)]
        # The nearest magnitude and the two below it; each row one of them.
        tried = np.maximum(((size + 128) >> 8) - np.arange(3, dtype=np.int64)[:, np.newaxis], 0)
        tried = np.minimum(tried, MAX_MAGNITUDE + _MAX_OVER)
        cost = self._law.costs[levels, np.minimum(tried, MAX_MAGNITUDE)]
        cost = cost + np.where(tried > 0, sign_costs, 0) + np.where(tried >= MAX_MAGNITUDE, 12 * COST_ONE, 0)
        error = size - 256 * tried + _below(tried)
        best = (error * error + self._trade * cost).argmin(axis=0), np.arange(len(wanted))
        self.cost += int(cost[best].sum())
        found: Ints = np.where(wanted < 0, -tried[best], tried[best])
        self.taken.append((found, levels, signs))
        return found


class _Attempt(NamedTuple):
    """A picture at one side and one step, and how like the original it is."""

    likeness: int
    form: Form
    analysis: Analysis
    taken: list[tuple[Ints, Ints, Ints]]
    tones: Ints
    pixels: Pixels


def _write(coder: RangeEncoder, attempt: _Attempt) -> None:
    law = shipped()
    _code_form(coder, attempt.form)
    for value in attempt.analysis.root:
        _code_root(coder, law, value)
    bounds, sign_bounds = law.bounds.tolist(), law.sign_bounds.tolist()
    for details, levels, signs in attempt.taken:
        for value, level, sign in zip(details.tolist(), levels.tolist(), signs.tolist(), strict=True):
            _code_detail(coder, bounds[level], sign_bounds[sign], value)


class _Search:
    """Looks for the side and the step that show a picture best in a number of bits."""

    def __init__(self, pixels: Pixels, max_bits: int) -> None:
        self._pixels, self._max_bits = pixels, max_bits
        self._reference = shrink(pixels, _REFERENCE_SIDE_PX)
        self._step_index = N_STEPS // 2
        longest = max(pixels.shape)
        self._sides = [side for side in SIDES_PX if side < longest]
        if longest <= MAX_SIDE_PX:
            self._sides.append(longest)

    def best_first(self) -> list[_Attempt]:
        """Attempts by falling likeness; the last is certain to fit."""
        found: dict[int, _Attempt] = {}

        def likeness(at: int) -> int:
            if not 0 <= at < len(self._sides):
                return -1
            if at not in found:
                attempt = self._finest(shrink(self._pixels, self._sides[at]))
                if attempt is None:
                    return -1
                found[at] = attempt
            return found[at].likeness

        # Likeness rises and falls with the side: up from the middle while it rises, or else down.
        at = min(_FIRST_SIDE, len(self._sides) - 1)
        while likeness(at) < 0 and at:
            at -= 1
        way = 1 if likeness(at + 1) > likeness(at) else -1
        while likeness(at + way) > likeness(at):
            at += way
        attempts = sorted(found.values(), key=lambda one: -one.likeness)
        coarsest = shrink(self._pixels, 1)
        return [*attempts, self._attempt(Analysis(coarsest), N_STEPS - 1)[1]]

    def _finest(self, pixels: Pixels) -> _Attempt | None:
        """The finest step that fits, or None when not even the coarsest does."""
        analysis = Analysis(pixels)
        fits: _Attempt | None = None
        low, high, at = 0, N_STEPS, self._step_index
        while low < high:
            bits, attempt = self._attempt(analysis, at)
            if bits <= self._max_bits:
                fits, high = attempt, at
            else:
                low = at + 1
            # Half the bits, about an octave of steps: a first guess that is then halved as usual.
            guess = at + (_PER_OCTAVE * (bits - self._max_bits)) // max(bits, self._max_bits)
            at = guess if low <= guess < high else (low + high) // 2
        if fits is None:
            return None
        self._step_index = fits.form.step_index
        return self._judged(fits)

    def _attempt(self, analysis: Analysis, step_index: int) -> tuple[int, _Attempt]:
        source = Quantiser(analysis, shipped())
        tones = trace(analysis.height, analysis.width, step_index, source)
        form = Form(analysis.height, analysis.width, step_index, 0)
        coder = RangeEncoder()
        _code_form(coder, form)
        for value in analysis.root:
            _code_root(coder, shipped(), value)
        bits = coder.bits + -(-source.cost // COST_ONE)
        return bits, _Attempt(-1, form, analysis, source.taken, tones, _greys(tones, 0))

    def _judged(self, attempt: _Attempt) -> _Attempt:
        """With its likeness, and the black at which that is highest: more black helps up to there."""
        best = attempt._replace(likeness=self._likeness(attempt.pixels))
        for black in range(1, len(BLACKS)):
            pixels = _greys(attempt.tones, black)
            likeness = self._likeness(pixels)
            if likeness < best.likeness:
                break
            if likeness > best.likeness:
                form = attempt.form._replace(black=black)
                best = attempt._replace(likeness=likeness, form=form, pixels=pixels)
        return best

    def _likeness(self, pixels: Pixels) -> int:
        return similarity(self._reference, resize(pixels, *self._reference.shape))


def shrink(pixels: Pixels, side_px: int) -> Pixels:
    """A picture whose longest side is at most so long, its shape kept, uint8 (h, w)."""
    height, width = pixels.shape
    longest = max(height, width)
    side = min(side_px, longest)
    return resize(
        pixels,
        max(1, (2 * height * side + longest) // (2 * longest)),
        max(1, (2 * width * side + longest) // (2 * longest)),
    )
