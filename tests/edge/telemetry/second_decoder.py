"""A second decoder of the telemetry, from docs/wire-format.md alone, with nothing but the standard library.

It shares no code with the first, so that what the document forgets shows as a difference. Left out: parity,
pictures, and all that makes numbers into units. Numbers in brackets are sections of the document.
"""

from __future__ import annotations

import binascii
import functools
import hashlib
import itertools
import json
import zlib
from math import isqrt
from types import SimpleNamespace


class RefusedError(Exception):
    """Not a message, or not one that can be read with what is at hand."""


# [2] Codebook


def canonical(codebook):
    """Canonical JSON of a codebook that has all its keys."""
    optics = dict(codebook["optics"])
    for key in ("pixel_um", "image_volume_l", "aa_um2", "exp"):
        optics[key] = float(optics[key])
    optics["size_class_limits_um"] = [float(x) for x in optics["size_class_limits_um"]]
    return _dump({**codebook, "optics": optics})


def canonical_climatology(climatology):
    limits = [float(x) for x in climatology["size_class_limits_um"]]
    return _dump({**climatology, "size_class_limits_um": limits})


def _dump(value):  # as long as no number needs an exponent, and no string holds U+007F or below U+0020
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Book:
    def __init__(self, codebook):
        self.digest = hashlib.sha256(canonical(codebook)).digest()
        self.labels = [taxon["label"] for taxon in codebook["taxa"]]
        self.climatology_sha256 = codebook["climatology_sha256"]
        self.limits = codebook["optics"]["size_class_limits_um"]
        profile = codebook["profile"]
        pairs, self.max_dbar = profile["bins_dbar"], profile["max_dbar"]
        self.edges = [0]
        for i, (_, height) in enumerate(pairs):
            stop = pairs[i + 1][0] if i + 1 < len(pairs) else self.max_dbar
            while self.edges[-1] < stop:
                self.edges.append(min(self.edges[-1] + height, stop))
        taxa, classes = len(self.labels), len(self.limits)
        living = sum(taxon["living"] is True for taxon in codebook["taxa"])
        self.columns = [
            4,
            11,
            11,
            taxa,
            classes,
            classes,
            1,
            classes,
            taxa,
            3 * taxa,
            5 * living,
            taxa,
            8,
            48,
            classes,
            1,
            9,
        ]

    def max_bins(self, scope):
        return 16384 if scope == 1 else len(self.edges) - 1

    def tree_edges(self, scope, n):
        return [10 * i for i in range(n + 1)] if scope == 1 else self.edges[: n + 1]


# [3] Climatology


def rebin(steps, height, edges, shift):
    if shift > 0:
        steps = steps[:1] * shift + steps
    elif shift < 0:
        steps = steps[-shift:] + steps[-1:] * -shift
    sums = [0, *itertools.accumulate(steps)]

    def below(edge):
        whole, part = divmod(edge, height)
        return sums[-1] if whole >= len(steps) else sums[whole] + steps[whole] * part // height

    return [max(1, below(b) - below(a)) for a, b in itertools.pairwise(edges)]


# [5] Range decoder


class Decoder:
    def __init__(self, body):
        self.body, self.at, self.range = body, 6, 1 << 48
        self.code = int.from_bytes(body[:6].ljust(6, b"\0"), "big")

    def take(self, part, start, size):
        self.code -= part * start
        self.range = part * size
        while self.range < 1 << 40:
            self.code = (self.code << 8) + (self.body[self.at] if self.at < len(self.body) else 0)
            self.range <<= 8
            self.at += 1

    def symbol(self, bounds):
        part = self.range // bounds[-1]
        target = self.code // part
        if target >= bounds[-1]:
            raise RefusedError("no symbol")
        s = next(i for i in range(len(bounds) - 1) if target < bounds[i + 1])
        self.take(part, bounds[s], bounds[s + 1] - bounds[s])
        return s

    def uniform(self, n):
        if n > 1 << 24:
            high = self.uniform((n + (1 << 24) - 1) >> 24)
            return (high << 24) + self.uniform(min(1 << 24, n - (high << 24)))
        part = self.range // n
        value = self.code // part
        if value >= n:
            raise RefusedError("no value")
        self.take(part, value, 1)
        return value

    def number(self, length):
        """A number of so many bits, the first of which is 1."""
        return length if length < 2 else (1 << (length - 1)) + self.uniform(1 << (length - 1))


def cumulative(frequencies):
    return [0, *itertools.accumulate(frequencies)]


# [6] Whole-number mathematics


def _log_table():
    for i in range(4096):
        m, f = (4096 + i) << 18, 0
        for _ in range(16):
            m = m * m >> 30
            over = m >> 31
            m >>= over
            f = 2 * f + over
        yield f
    yield 65536


LOG_TABLE = list(_log_table())
EXP2_TABLE = [functools.reduce(lambda x, _: isqrt(x), range(8), 1 << (4096 + i)) for i in range(256)]


def log2(x):
    b = x.bit_length()
    m = x >> (b - 29) if b > 29 else x << (29 - b)
    i = (m >> 16) - 4096
    return ((b - 1) << 16) + LOG_TABLE[i] + ((LOG_TABLE[i + 1] - LOG_TABLE[i]) * (m & 65535) >> 16)


def bounds_of(log):
    top, k = max(log), len(log)
    w = [EXP2_TABLE[(x - top) >> 8 & 255] >> min(-((x - top) >> 16), 40) for x in log]
    whole = sum(w)
    f = [1 + x * (65536 - k) // whole for x in w]
    f[w.index(max(w))] += 65536 - sum(f)
    return cumulative(f)


# [8] Counts by columns


def law_of_splits(beside, before, after, strength):
    return SimpleNamespace(beside=beside, before=before, after=after, strength=strength)


FRAMES = law_of_splits([32] * 13, [0] * 13, [32] * 13, [128000] * 6 + [32000, 6400, 1920, 640, 320, 256, 128])
TAXA = law_of_splits(
    [19, 19, 19, 19, 19, 46, 80, 90, 19, 6, 0, 0, 0],
    [13, 13, 13, 13, 13, 16, 13, 0, 0, 0, 0, 0, 0],
    [18, 18, 18, 18, 18, 20, 25, 43, 32, 64, 64, 64, 32],
    [4096, 4096, 4096, 4096, 2816, 2112, 1248, 589, 512, 384, 256, 90, 70],
)
REGIONAL_TAXA = law_of_splits(
    [17, 17, 17, 17, 17, 38, 41, 38, 6, 0, 0, 0, 0],
    [9, 9, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0],
    [15, 15, 15, 15, 15, 18, 16, 18, 6, 6, 0, 0, 0],
    [4096, 4096, 4096, 4096, 2784, 2464, 1696, 1344, 1600, 2176, 3200, 3840, 4160],
)


def begins(first, last, level):
    """Bins at which the nodes (or cells) of a level begin, and the end."""
    return [first, *(b for b in range(first + 1, last) if b % (1 << level) == 0), last]


def tree(decoder, law, edges, masses, first, last, height, total):
    root = (first ^ (last - 1)).bit_length()
    counts = [total]
    for level in range(root, min(height, root), -1):
        nodes, lower = begins(first, last, level), begins(first, last, level - 1)
        mass = [sum(masses[a:b]) for a, b in itertools.pairwise(nodes)]
        below = [sum(masses[a:b]) for a, b in itertools.pairwise(lower)]
        whole, c = sum(masses[first:last]), []
        for i, (begin, end) in enumerate(itertools.pairwise(nodes)):
            n, at = counts[i], len(c)
            if not begin < (begin >> level << level) + (1 << level >> 1) < end:
                c.append(n)
                continue
            if n == 0:
                c += [0, 0]
                continue
            s = min((edges[end] - edges[begin] - 1).bit_length(), 12)
            left_seen = right_seen = 64 * (n + 1)
            left_due = right_due = 64 * mass[i]
            for back, weight in ((1, law.beside[s]), (2, law.before[s])):
                if at >= back:
                    left_seen += weight * c[at - back]
                    left_due += weight * below[at - back]
            if i + 1 < len(counts):
                right_seen += law.after[s] * counts[i + 1]
                right_due += law.after[s] * mass[i + 1]
            left = below[at] * left_seen * (right_due * total // whole + 64)
            right = below[at + 1] * right_seen * (left_due * total // whole + 64)
            count = split(decoder, n, law.strength[s], (left << 16) // (left + right))
            c += [count, n - count]
        counts = c
    return counts


def split(decoder, n, strength, share):
    if n > 255:
        strength = max(1, n * (strength + 64) // (n + strength // 64))
    alpha, beta = rounded(strength * share >> 16), rounded(strength - (strength * share >> 16))
    if n == 1:
        return decoder.symbol([0, max(1, (beta << 15) // (alpha + beta)), 32768])
    if n <= 255:
        return decoder.symbol(exact(n, alpha, beta))
    k = decoder.symbol(stepped(alpha, beta))
    low, high = -(-k * (n + 1) // 256), -(-(k + 1) * (n + 1) // 256)
    return low + decoder.uniform(high - low)


def rounded(p):
    e = p.bit_length() - 6
    if e > 0:
        p = (p + (1 << e >> 1)) >> e << e
    return min(max(p, 1), 131072)


@functools.cache
def rising(p):
    return cumulative(log2(p + 64 * j) - 393216 for j in range(255))


@functools.cache
def exact(n, alpha, beta):
    a, b, one = rising(alpha), rising(beta), rising(64)
    return bounds_of([a[k] + b[n - k] - one[k] - one[n - k] for k in range(n + 1)])


@functools.cache
def stepped(alpha, beta):
    return bounds_of(
        [((alpha - 64) * log2(2 * k + 1) + (beta - 64) * log2(511 - 2 * k)) // 64 for k in range(256)]
    )


# [9] Counts by rows

D = (0, 4, 2, 1)
LIMITS = {8: (1024, 1116, 1217, 1327, 1448, 1579, 1722, 1878), 2: (1024, 1448)}
ROWS = {  # by quantity and whether it is regional: decay, own, shared, spread0, spread_own, spread_shared
    (4, False): (113, 9, 176448, 1717, 83263, 13382),
    (5, False): (113, 9, 176448, 1717, 83263, 13382),
    (4, True): (104, 600, 64000, 1000, 30000, 60200),
    (3, False): (256, 64, 64, 131072, 0, 0),
    (3, True): (256, 64, 1024, 28000, 0, 0),
}


def lowest(index, step):
    d = D[step]
    return index if d == 0 or index < d * d else index * index // (d * d)


def middle(index, step):
    return (lowest(index, step) + lowest(index + 1, step) - 1) // 2


def index_of(count, step):
    d = D[step]
    return count if d == 0 or count < d * d else isqrt((count + 1) * d * d - 1)


def grid(x, per_octave):
    b = x.bit_length()
    t = x >> (b - 11) if b >= 11 else x << (11 - b)
    return b, sum(limit <= t for limit in LIMITS[per_octave]) - 1


def centre(b, p, per_octave):
    return EXP2_TABLE[128 * (2 * p + 1) // per_octave] << (b - 1) >> 8


@functools.cache
def law(mean_place, spread_place, step):
    m, v = centre(*mean_place, 8), centre(*spread_place, 2)
    size = max(1, (1 << 32) // v)
    whole = min(m // 262144, 1 << 42)
    sd = isqrt(whole + (whole * whole << 8) // size) + 1
    first = index_of(max(0, whole - 6 * sd), step)
    end = index_of(min(whole + 10 * sd + 4, 1 << 43), step) + 1
    width = 1
    while end - first > 96 * width:
        width *= 2
    n = -(-(end - first) // width)
    edge = [lowest(first + k * width, step) for k in range(n + 1)]
    mid = [(a + b - 1) // 2 for a, b in itertools.pairwise(edge)]
    excess = max(0, (m + (size << 10)).bit_length() - 52)
    fall = log2(m >> excess) - log2((m + (size << 10)) >> excess)
    log, slope = [], 0
    for k in range(n):
        if k:
            gap = mid[k] - mid[k - 1]
            at = mid[k - 1] + (gap >> 1)
            slope += gap * (log2(256 * at + size) - log2(256 * (at + 1)) + fall)
        log.append(log2(edge[k + 1] - edge[k]) + slope)
    top = max(log)
    return first, width, n, bounds_of([*log, top - 917504, top - 983040])


def read_count(decoder, mean, spread, step):
    first, width, n, bounds = law(grid(mean, 8), grid(spread, 2), step)
    s = decoder.symbol(bounds)
    if s < n:
        return first + s * width + decoder.uniform(width)
    if s == n + 1:
        return decoder.uniform(first) if first else 0
    length = decoder.uniform(43)
    index = first + n * width + (1 << length) - 1 + decoder.uniform(1 << length)
    if index > index_of((1 << 42) - 1, step):
        raise RefusedError("count too large")
    return index


def read_remainder(decoder, index, step):
    low = lowest(index, step)
    width = lowest(index + 1, step) - low
    return low + decoder.uniform(width) if width > 1 else low


# [10] Means


class Model:
    def __init__(self):
        self.absent = [[2, 2], [2, 2]]
        self.length = [max(2, 24 >> max(0, i - 2)) for i in range(25)]

    def read(self, decoder, quantity, n, before):
        cells, latest = [], None
        for i in range(n):
            a = self.absent[1 if i and cells[-1] is None else 0]
            s = decoder.symbol([0, a[0], a[0] + a[1]])
            learn(a, s)
            if s:
                cells.append(None)
                continue
            known = [] if before is None else [before[i], *before]
            guesses = [latest, *known, {6: 200, 7: 80, 8: 112}[quantity]]
            guess = next(x for x in guesses if x is not None)
            length = decoder.symbol(cumulative(self.length))
            learn(self.length, length)
            z = decoder.number(length)
            latest = guess + (z >> 1 if z % 2 == 0 else -((z + 1) >> 1))
            cells.append(latest)
        return cells


def learn(counts, s):
    counts[s] += 24
    if sum(counts) > 4096:
        counts[:] = [(x + 1) >> 1 for x in counts]


# [7] Body, and [11] what is expected

PLACE = ("quantity", "scope", "n_bins", "first", "last", "height", "step", "shift")
FREQUENCIES = [4, 16, 4, 64, 64, 4, 4, 16, 16] + [4] * 23
SHIFTS = [1 + 960 // (16 + s * s) for s in range(-12, 13)]


class Body:
    def __init__(self, body, book, climatology, base):
        if body.endswith(b"\0"):
            raise RefusedError("a zero at the end")
        self.decoder, self.book, self.climatology, self.base = Decoder(body), book, climatology, base
        self.last, self.bins, self.models, self.n_cells = None, {}, {}, 0

    def segments(self):
        while (segment := self.place()) is not None:
            by_rows = is_by_rows(segment.quantity, segment.scope)
            if segment.quantity == 14:
                if not self.remainder(segment):
                    yield segment
                    return
            else:
                (self.rows if by_rows else self.column)(segment)
            self.last = segment
            yield segment
        if self.decoder.at < len(self.decoder.body):
            raise RefusedError("bytes left over")

    def place(self):
        last = self.last
        if last is None:
            return self.new()
        more = (
            not is_by_rows(last.quantity, last.scope) and last.column + 1 < self.book.columns[last.quantity]
        )
        bounds = [0, 4, 228, 238, 246, 256]
        if not more:
            bounds = [0, 1, 2, 3, 192, 256]
        elif last.last - last.first == last.n_bins:
            bounds = [0, 232, 234, 244, 250, 256]
        action = self.decoder.symbol(bounds)
        if action == 4:
            return None
        if action == 3:
            return self.new()
        if not more:
            raise RefusedError("past the last column")
        segment = SimpleNamespace(**{**vars(last), "column": last.column + 1})
        if action:
            segment.first, segment.last = 0, last.n_bins
        if action == 2:
            segment.last = 1 + self.decoder.uniform(last.n_bins)
        return segment

    def new(self):
        decoder, book = self.decoder, self.book
        quantity, scope = decoder.symbol(cumulative(FREQUENCIES)), decoder.uniform(4)
        of_the_dive = (0, 9, 10, 11, 12, 13, 16)
        if quantity > 16 or quantity in ((6, 7, 8, 14) if scope == 3 else of_the_dive):
            raise RefusedError("no such table")
        columns = book.columns[quantity]
        if columns == 0:
            raise RefusedError("no columns")
        step = stop = shift = height = first = 0
        if is_by_rows(quantity, scope):
            step = decoder.uniform(4)
            if quantity == 14 and step == 0:
                raise RefusedError("refines exact counts")
            column, stop = self.extent(columns)
        else:
            column = decoder.uniform(columns)
        n = last = 1
        if scope != 3 and quantity != 2:
            if scope not in self.bins:
                most = book.max_bins(scope)
                self.bins[scope] = 1 + decoder.uniform(most) if decoder.symbol([0, 1, 2]) else most
            n = self.bins[scope]
            first, last = self.extent(n)
            height = decoder.symbol(cumulative([16] + [2] * 14))
            if self.is_regional(quantity, scope):
                shift = decoder.symbol(cumulative(SHIFTS)) - 12
        return SimpleNamespace(
            quantity=quantity, scope=scope, n_bins=n, column=column, stop=stop, first=first, last=last,
            height=height, step=step, shift=shift, total=None,
        )  # fmt: skip

    def extent(self, n):
        kind = self.decoder.symbol([0, 8, 13, 16])
        if kind == 0:
            return 0, n
        first = self.decoder.uniform(n)
        return first, n if kind == 1 else first + 1 + self.decoder.uniform(n - first)

    def count_cells(self, n):
        self.n_cells += n
        if self.n_cells > 131072:
            raise RefusedError("too many cells")

    def column(self, segment):
        cells = begins(segment.first, segment.last, segment.height)
        self.count_cells(len(cells) - 1)
        last, quantity = self.last, segment.quantity
        if quantity in (6, 7, 8):
            model = self.models.setdefault(quantity, Model())
            alike = last is not None and all(getattr(last, key) == getattr(segment, key) for key in PLACE)
            segment.values = model.read(
                self.decoder, quantity, len(cells) - 1, last.values if alike else None
            )
            return
        regional = self.is_regional(quantity, segment.scope)
        masses = self.masses(segment, segment.column) if quantity in (1, 3, 15) else [1]
        if regional and self.book.labels[segment.column] in self.climatology["taxa"]:
            mean = max(1, sum(masses[segment.first : segment.last]) * 1024 // 1000)
            total = read_count(self.decoder, mean, self.climatology["total_spread"], 0)
        else:
            f = [max(1, 48 >> max(0, (length - 12) // 2)) for length in range(43)]
            if last is not None and (last.quantity, last.scope) == (quantity, segment.scope):
                for length in range(43):
                    d = abs(length - last.total.bit_length())
                    f[length] += (160, 120, 48, 16)[d] if d < 4 else 0
            total = self.decoder.number(self.decoder.symbol(cumulative(f)))
        segment.total = total
        edges = [0, 1] if segment.n_bins == 1 else self.book.tree_edges(segment.scope, segment.n_bins)
        splits = FRAMES if quantity == 1 else REGIONAL_TAXA if regional else TAXA
        place = segment.first, segment.last, segment.height
        segment.values = tree(self.decoder, splits, edges, masses, *place, total)

    def rows(self, segment):
        decoder, step, values = self.decoder, segment.step, []
        key = segment.quantity, self.is_regional(segment.quantity, segment.scope)
        decay, own, shared, spread0, spread_own, spread_shared = ROWS[key]
        masses = [self.masses(segment, column) for column in range(segment.column, segment.stop)]
        seen, expected = [0] * len(masses), [0] * len(masses)
        cells = begins(segment.first, segment.last, segment.height)
        for i, (begin, end) in enumerate(itertools.pairwise(cells)):
            if i and decoder.symbol([0, 255, 256]):
                segment.last = begin
                break
            self.count_cells(len(masses))
            mass = [sum(column[begin:end]) for column in masses]
            if i == 0:
                den, num = sum(mass), self.scale()
            row_seen = row_expected = shared * 16
            for j in range(len(mass)):
                base = mass[j] * num // den
                info = expected[j] + own * 16
                its_own = base * (seen[j] + own * 16) // info
                mean = max(1, its_own * row_seen // row_expected)
                spread = spread0 + spread_own * 1024 // info + spread_shared * 1024 // row_expected
                index = read_count(decoder, mean, min(524288, spread), step)
                values.append(index)
                got = 1024 * middle(index, step)
                row_seen += got
                row_expected += its_own
                seen[j] = (seen[j] * decay >> 8) + got
                expected[j] = (expected[j] * decay >> 8) + base
        segment.values = values

    def remainder(self, segment):
        """False where the counts that are refined are not at hand: nothing further can be read."""
        segment.values, columns = [], range(segment.column, segment.stop)
        cells = begins(segment.first, segment.last, segment.height)
        for i, begin in enumerate(cells[:-1]):
            if i and self.decoder.symbol([0, 255, 256]):
                segment.last = begin
                break
            self.count_cells(len(columns))
            place = segment.scope, segment.n_bins, segment.height, segment.step
            row = [self.base.get((*place, column, begin)) for column in columns]
            if None in row:
                segment.last = begin
                return False
            segment.values += [read_remainder(self.decoder, index, segment.step) for index in row]
        return True

    def scale(self):
        length = self.decoder.uniform(44)
        if length == 0:
            return 512
        extra = max(length - 4, 0)
        free = length - 1 - extra
        top = self.decoder.uniform(1 << free)
        return ((((1 << free) + top) << extra) + (1 << extra >> 1)) * 1024

    def is_regional(self, quantity, scope):
        if self.climatology is None or scope == 1:
            return False
        if quantity == 3:
            return bool(self.climatology["taxa"])
        return quantity == 4 and self.climatology["size_class_limits_um"] == self.book.limits

    def masses(self, segment, column):
        """Masses of all bins of the phase."""
        quantity, scope, n, shift = segment.quantity, segment.scope, segment.n_bins, segment.shift
        if not self.is_regional(quantity, scope):
            edges = [0, 1] if scope == 3 else self.book.tree_edges(scope, n)
            times = max(1, (1 << 20) >> column) if quantity in (4, 5) else 1
            return [(b - a) * times for a, b in itertools.pairwise(edges)]
        edges = [0, self.book.max_dbar] if scope == 3 else self.book.edges[: n + 1]
        height = self.climatology["step_dbar"]
        if quantity == 4:
            return rebin(self.climatology["sizes"][column], height, edges, shift)
        label = self.book.labels[column]
        if label in self.climatology["taxa"]:
            return rebin(self.climatology["taxa"][label], height, edges, shift)
        return [max(1, (b - a) * 1000000 // edges[-1]) for a, b in itertools.pairwise(edges)]


def is_by_rows(quantity, scope):
    return quantity in (4, 5, 14) or (quantity == 3 and scope == 3)


# [4] Message


def varint(data):
    value = 0
    for i in range(min(4, len(data))):
        value |= (data[i] & 127) << (7 * i)
        if data[i] < 128:
            return value, data[i + 1 :]
    raise RefusedError("varint without end")


def base_of(segments):
    """Companded counts of size classes by place: what other messages of the dive refine."""
    base = {}
    for s in segments:
        if s.quantity == 4 and s.step:
            cells = begins(s.first, s.last, s.height)[:-1]
            places = itertools.product(cells, range(s.column, s.stop))
            for (begin, column), value in zip(places, s.values, strict=True):
                base[s.scope, s.n_bins, s.height, s.step, column, begin] = value
    return base


def read_message(data, codebooks, climatologies=(), base=None):
    """Dive number, part, number of parts, and segments of a message of tables; `RefusedError` says why not.

    `codebooks` and `climatologies` are objects as `json` reads them; `base` is what `base_of` makes of all
    messages of the dive, read once without it.
    """
    short = bool(data) and data[0] & 64
    crc_bytes, id_bytes, dive_bytes = (2, 1, 1) if short else (4, 2, 2)
    if len(data) < (7 if short else 11) or data[0] & 128 == 0 or data[0] & 15 != 1:
        raise RefusedError("not a message of version 1")
    kind = data[0] >> 4 & 3
    if kind > 1:
        raise RefusedError("parity or a picture")
    after_id, rest = 1 + id_bytes, data[1 + id_bytes + dive_bytes : -crc_bytes]
    part, rest = varint(rest)
    last_part, body = varint(rest)
    if part > last_part or last_part >= 65536:
        raise RefusedError("part above the number of parts")
    for book in map(Book, codebooks):
        whole = book.digest + data[:-crc_bytes]
        crc = binascii.crc_hqx(whole, 0xFFFF) if short else zlib.crc32(whole)
        if book.digest.startswith(data[1:after_id]) and crc == int.from_bytes(data[-crc_bytes:], "big"):
            break
    else:
        raise RefusedError("no codebook fits")
    climatology = None
    if kind == 1:
        hashes = {hashlib.sha256(canonical_climatology(one)).hexdigest(): one for one in climatologies}
        climatology = hashes.get(book.climatology_sha256)
        if climatology is None:
            raise RefusedError("no climatology fits")
    dive = int.from_bytes(data[after_id : after_id + dive_bytes], "big")
    return dive, part, last_part + 1, list(Body(body, book, climatology, base or {}).segments())


# [13] Cells


def cells_of(segments):
    """Every cell: (scope, quantity), column, first, last, lowest, highest count; of means the step twice."""
    segments = list(segments)
    refined = {
        (s.scope, column, begin)
        for s in segments
        if s.quantity == 14 and s.first < s.last
        for begin in begins(s.first, s.last, s.height)[:-1]
        for column in range(s.column, s.stop)
    }
    for s in segments:
        by_rows = is_by_rows(s.quantity, s.scope)
        columns = range(s.column, s.stop) if by_rows else [s.column]
        values = iter(s.values)
        # What is refined is exact, and in the place of what it refines.
        quantity, step = (4, 0) if s.quantity == 14 else (s.quantity, s.step)
        cells = begins(s.first, s.last, s.height) if s.first < s.last else []
        for begin, end in itertools.pairwise(cells):
            for column in columns:
                value = next(values)
                if s.quantity == 4 and (s.scope, column, begin) in refined:
                    continue
                table = s.scope, quantity
                if s.quantity in (6, 7, 8):
                    yield table, column, begin, end, value, value
                elif value == 0:
                    yield from ((table, column, bin_, bin_ + 1, 0, 0) for bin_ in range(begin, end))
                else:
                    yield table, column, begin, end, lowest(value, step), lowest(value + 1, step) - 1
