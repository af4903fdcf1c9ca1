"""A second decoder of pictures, from docs/picture-format.md alone, with nothing but the standard library.

Slow and plain: one detail at a time. Numbers in brackets are sections of the document.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
import zlib
from math import isqrt

from tests.edge.telemetry.second_decoder import Decoder, RefusedError, cumulative

FINEST = (256, 279, 304, 332, 362, 395, 431, 470)
TURNS = ((0, 0), (1, 1), (0, 1), (1, 0))
BLACKS = (0, 2, 4, 6, 8, 12, 16, 24)


def clip(value, low, high):
    return min(max(value, low), high)


def floor_log(value, times):
    return ((1 + value) ** times).bit_length() - 1


def log_m(value):
    return floor_log(min(abs(value), 15), 16)


# [7] Weights


class Weights:
    def __init__(self, text):
        planes = zlib.decompress(bytes.fromhex(text))
        n = len(planes) // 4
        flat = b"".join(bytes(planes[i + plane * n] for plane in range(4)) for i in range(n))
        self.digest = hashlib.sha256(flat).hexdigest()
        self._numbers = iter(struct.unpack(f"<{n}i", flat))
        hidden = (n - (4 + 48 * 16 + 2 * 4 * 5 + 24 * 2 + 40)) // (4 * 27)
        self.first = self._take(4, hidden, 25)
        self.first_bias = self._take(4, hidden)
        self.second = self._take(4, hidden)
        self.second_bias = self._take(4)
        self.magnitudes = [cumulative(row) for row in self._take(48, 16)]
        self.sign = self._take(2, 4, 5)
        self.signs = [cumulative(row) for row in self._take(24, 2)]
        self.roots = cumulative(self._take(40))
        assert next(self._numbers, None) is None

    def _take(self, n, *rest):
        if rest:
            return [self._take(*rest) for _ in range(n)]
        return list(itertools.islice(self._numbers, n))

    def level(self, turn, features):
        out = self.second_bias[turn]
        for row, bias, weight in zip(self.first[turn], self.first_bias[turn], self.second[turn], strict=True):
            hidden = (sum(a * b for a, b in zip(row, features, strict=True)) + bias) >> 6
            out += weight * max(hidden, hidden >> 3)
        return clip(out >> 16, 0, 47)

    def sign_level(self, turn, both, features):
        total = sum(a * b for a, b in zip(self.sign[both][turn], features, strict=True))
        return clip((total >> 10) + 12, 0, 23)


# [5] A band


def transposed(rows):
    return [list(column) for column in zip(*rows, strict=True)]


def nearest(rows, y, x):
    return rows[clip(y, 0, len(rows) - 1)][clip(x, 0, len(rows[0]) - 1)]


def of_lowpass(low, y, x, step):
    def value(dy, dx):
        return nearest(low, y + dy, x + dx)

    a, b, c, d = (value(0, dx) for dx in (-1, 0, 1, 2))
    u, v = value(-1, 0) + value(-1, 1), value(1, 0) + value(1, 1)
    told = (
        c - b,
        a - 2 * b + c,
        b - 2 * c + d,
        d - 3 * c + 3 * b - a,
        v - u,
        v + u - 2 * b - 2 * c,
        b + c,
        d - a,
    )
    slopes = [floor_log(min(16 * abs(one) // step, 4095), 8) for one in told]
    return slopes, clip(2 * (b + c - a - d) // step, -8, 8)


def read_band(decoder, weights, shape, low, parent, siblings, kind, depth, step, s):
    height, width = shape
    if kind == 1:
        height, width, low = width, height, transposed(low)
        parent = transposed(parent)
        siblings = [transposed(one) for one in siblings]
    across = transposed(low)
    found = [[0] * width for _ in range(height)]

    def at(y, x):
        return found[y][x] if 0 <= y < height and 0 <= x < width else 0

    def parent_at(y, x):
        return nearest(parent, y // 2, x // 2) if parent else 0

    def around(value, y, x):
        inside = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        return sum(log_m(value(v, u)) for v, u in inside if 0 <= v < height and 0 <= u < width)

    for turn, (top, left) in enumerate(TURNS):
        read = {}
        for y in range(top, height, 2):
            for x in range(left, width, 2):
                slopes, curve = of_lowpass(low, y, x, step)
                if kind == 2:
                    more, bent = of_lowpass(across, x, y, step)
                    slopes, curve = [p + q for p, q in zip(slopes, more, strict=True)], curve + bent

                def m(*places, y=y, x=x):
                    return sum(log_m(at(y + dy, x + dx)) for dy, dx in places)

                def n(*places, y=y, x=x):
                    return clip(sum(at(y + dy, x + dx) for dy, dx in places), -4, 4)

                corners = ((-1, -1), (-1, 1), (1, -1), (1, 1))
                features = [
                    m((0, -1), (0, 1)), m((-1, 0), (1, 0)), m(*corners),
                    m((0, -2), (0, 2)), m((-2, 0), (2, 0)),
                    *slopes,
                    log_m(parent_at(y, x)), around(parent_at, y, x),
                    sum(log_m(nearest(one, y, x)) for one in siblings),
                    sum(around(lambda v, u, one=one: nearest(one, v, u), y, x) for one in siblings),
                    *(64 * (min(depth, 4) == i) for i in range(5)),
                    64 * (kind == 1), 64 * (kind == 2), s,
                ]  # fmt: skip
                sign_features = [
                    n((0, -1), (0, 1)), n((-1, 0), (1, 0)), n(*corners), clip(parent_at(y, x), -4, 4), curve,
                ]  # fmt: skip
                level = weights.level(turn, features)
                sign_level = weights.sign_level(turn, int(kind == 2), [16 * one for one in sign_features])
                read[y, x] = read_detail(decoder, weights, level, sign_level)
        for (y, x), value in read.items():
            found[y][x] = value
    return transposed(found) if kind == 1 else found


def read_detail(decoder, weights, level, sign_level):
    magnitude = decoder.symbol(weights.magnitudes[level])
    if magnitude == 15:
        magnitude += decoder.uniform(4096)
    if magnitude and decoder.symbol(weights.signs[sign_level]):
        return -magnitude
    return magnitude


# [6] Building


def join_line(low, high):
    def by(value, factor):
        return (value * factor + 8192) >> 14

    e, o = [by(one, 20155) for one in low], [by(one, 26637) for one in high]
    for even_factor, odd_factor in ((7266, 14466), (-868, -25987)):
        e = [v - by(o[max(k - 1, 0)] + o[min(k, len(o) - 1)], even_factor) for k, v in enumerate(e)]
        o = [v - by(e[k] + e[min(k + 1, len(e) - 1)], odd_factor) for k, v in enumerate(o)]
    line = [0] * (len(e) + len(o))
    line[::2], line[1::2] = e, o
    return line


def join_rows(low, high):
    return [join_line(a, b) for a, b in zip(low, high, strict=True)]


def join_columns(low, high):
    return transposed(join_rows(transposed(low), transposed(high))) if low and low[0] else []


def restored(band, step):
    def one(value):
        m = abs(value)
        size = ((256 * m - (0, 20, 8)[min(m, 2)]) * step) >> 8
        return -size if value < 0 else size

    return [[one(value) for value in row] for row in band]


# [1] to [4]


def half(n):
    return (n + 1) // 2 if n > 2 else n


def step_of(s, n):
    step = FINEST[s % 8] << (s // 8)
    if n % 2:
        step = (step * 23170) >> 15
    return max(1, step >> (n // 2))


def read_pixels(decoder, weights):
    longest = decoder.uniform(96) + 1
    shortest = decoder.uniform(longest) + 1
    tall = shortest < longest and decoder.uniform(2)
    height, width = (longest, shortest) if tall else (shortest, longest)
    s, black = decoder.uniform(56), decoder.uniform(8)

    sizes = [(height, width)]
    while max(sizes[-1]) > 2:
        sizes.append((half(sizes[-1][0]), half(sizes[-1][1])))
    low = [
        [128 * (4 * decoder.symbol(weights.roots) + decoder.uniform(4)) for _ in range(sizes[-1][1])]
        for _ in range(sizes[-1][0])
    ]
    parents = [[], [], []]
    for depth in range(len(sizes) - 2, -1, -1):
        (h, w), (h2, w2) = sizes[depth], sizes[depth + 1]
        n = sum((a > c) + (b > d) for (a, b), (c, d) in itertools.pairwise(sizes[: depth + 2]))
        step = step_of(s, n)
        bands = []
        for kind, shape in enumerate(((h2, w - w2), (h - h2, w2), (h - h2, w - w2))):
            siblings = [one for one in bands if one]
            band = []
            if all(shape):
                band = read_band(decoder, weights, shape, low, parents[kind], siblings, kind, depth, step, s)
            bands.append(band)
        parents = bands
        x, y, both = (restored(band, step) for band in bands)
        right = x
        if y:
            low = join_columns(low, y)
            right = join_columns(x, both) if x else []
        if right:
            low = join_rows(low, right)
    if decoder.at < len(decoder.body):
        raise RefusedError("bytes left over")
    greys = []
    for row in low:
        tones = [clip((v + 32) >> 6, 0, 255) for v in row]
        found = [(isqrt(4 * t**3 // 255) + 1) // 2 for t in tones]
        greys.append([g if g >= BLACKS[black] else 0 for g in found])
    return greys


def read_picture(body, n_taxa, weights):
    """Facts (section 15 of the wire format) and rows of greys."""
    decoder = Decoder(body)
    taxon, reason = decoder.uniform(n_taxa + 1) - 1, decoder.uniform(4)
    pressure = decoder.uniform(12002) - 1
    esd, score = decoder.number(decoder.uniform(25)), decoder.uniform(1001)
    side = decoder.number(decoder.uniform(25))
    facts = (taxon, reason, None if pressure < 0 else pressure, esd, score, side)
    return facts, read_pixels(decoder, weights)
