"""Every particle of a frame, down to one pixel, as arrays. Pure; NumPy alone.

Not a contour tracer: pixels are taken as runs (unbroken spans of foreground in one row), and runs that touch
are united. Union by hooking and pointer jumping after Shiloach & Vishkin (1982, J. Algorithms 3, 57-67) with
the minimum-label hooking of Liu & Tarjan (2019, "Simple concurrent labeling algorithms for connected
components", doi 10.4230/OASIcs.SOSA.2019.3), which ends in O(log2 n) rounds whatever the shape.

The frame is mostly black: after the threshold only groups of eight pixels that hold any foreground are looked
at, so that the cost is a few times that of reading the frame, and a part that grows with the foreground.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError

_GROUP = 8  # pixels looked at together: bits of one byte of the mask, bytes of one uint64 of the frame
_MAX_WIDTH_PX, _MAX_AREA_PX = 1 << 16, 1 << 29  # what 32 bits hold: a run's squared grey, twice a position
_CHUNK = 1 << 14  # pieces whose grey is summed at once: what is in work stays in the second-level cache


def _split(bits: int) -> list[int]:
    """Unbroken spans of ones in a byte, each as a byte, from the lowest."""
    spans = []
    while bits:
        span = bits & ~(bits + (bits & -bits))  # the carry of the lowest one ends its span
        spans.append(span)
        bits ^= span
    return spans


_SPLIT = np.array([(_split(bits) + [0] * 4)[:4] for bits in range(256)], dtype=np.uint8)
_N_SPANS = np.count_nonzero(_SPLIT, axis=1)
_SEVERAL = _N_SPANS > 1
_PIXELS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
_FIRST = _PIXELS.argmax(axis=1).astype(np.int32)
_LAST = (7 - _PIXELS[:, ::-1].argmax(axis=1)).astype(np.int32)
_MASK = (_PIXELS * np.uint8(255)).view(np.uint64)[:, 0]
# Masks and shifts to add up the bytes of a uint64 among themselves.
_BYTES, _SHORTS = np.uint64(0x00FF_00FF_00FF_00FF), np.uint64(0x0000_FFFF_0000_FFFF)
_ADD_SHORTS = np.uint64(0x0001_0001_0001_0001)
_8, _16, _32, _48 = (np.uint64(shift) for shift in (8, 16, 32, 48))


@dataclass(frozen=True, slots=True)
class Foreground:
    """A thresholded frame, before anything is joined: enough to know how much of it is bright.

    Attributes
    ----------
    pixels
        The frame, uint8 (height, width), C-contiguous, width a multiple of 8 (zeros were added if not).
    shape
        Height and width of the frame as it was given, px.
    groups
        Indices of the groups of eight pixels that hold foreground, rising, int64 (n_groups,).
    bits
        Their foreground, one bit a pixel, the lowest the leftmost, uint8 (n_groups,).
    area_px
        Number of foreground pixels.
    """

    pixels: NDArray[np.uint8]
    shape: tuple[int, int]
    groups: NDArray[np.int64]
    bits: NDArray[np.uint8]
    area_px: int

    @property
    def fraction(self) -> float:
        """Share of the frame's pixels that is foreground."""
        return self.area_px / max(1, self.shape[0] * self.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """All particles of one frame, in the raster order of their first pixels.

    Attributes
    ----------
    x_px, y_px
        Upper left corner of the box, int64 (n,).
    width_px, height_px
        Size of the box, int64 (n,).
    area_px
        Pixels, holes not counted, int64 (n,).
    integrated_grey, squared_grey
        Sum of the grey and of the squared grey, int64 (n,).
    on_border
        The box touches the edge of the frame: the particle may go on outside, bool (n,).
    run_x_px, run_y_px, run_length_px
        Left end, row and length of every run, grouped by particle, int32 (n_runs,).
    first_run
        Where each particle's runs begin, and their number at the end, int64 (n + 1,).
    """

    x_px: NDArray[np.int64]
    y_px: NDArray[np.int64]
    width_px: NDArray[np.int64]
    height_px: NDArray[np.int64]
    area_px: NDArray[np.int64]
    integrated_grey: NDArray[np.int64]
    squared_grey: NDArray[np.int64]
    on_border: NDArray[np.bool_]
    run_x_px: NDArray[np.int32]
    run_y_px: NDArray[np.int32]
    run_length_px: NDArray[np.int32]
    first_run: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.area_px)

    @property
    def mean_grey(self) -> NDArray[np.float64]:
        """Mean grey of each particle, float64 (n,)."""
        return self.integrated_grey / self.area_px

    @property
    def sd_grey(self) -> NDArray[np.float64]:
        """Standard deviation of the grey of each particle (of the population), float64 (n,).

        Taken about the whole number below the mean, so that nothing overflows or cancels.
        """
        area, total = self.area_px, self.integrated_grey
        centre = total // area
        first = (total - area * centre) / area
        second = (self.squared_grey - centre * (2 * total - area * centre)) / area
        return np.sqrt(second - first * first)

    def only(self, kept: NDArray[np.bool_]) -> Regions:
        """Some of the particles, bool (n,), in the same order."""
        n_runs = np.diff(self.first_run)
        runs = np.repeat(kept, n_runs)
        first_run = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(n_runs[kept])])
        return Regions(
            self.x_px[kept], self.y_px[kept], self.width_px[kept], self.height_px[kept], self.area_px[kept],
            self.integrated_grey[kept], self.squared_grey[kept], self.on_border[kept],
            self.run_x_px[runs], self.run_y_px[runs], self.run_length_px[runs], first_run,
        )  # fmt: skip

    def mask(self, i: int) -> NDArray[np.bool_]:
        """Pixels of particle `i` within its box, bool (height_px[i], width_px[i])."""
        runs = slice(int(self.first_run[i]), int(self.first_run[i + 1]))
        width, height = int(self.width_px[i]), int(self.height_px[i])
        x = self.run_x_px[runs] - np.int32(self.x_px[i])
        y = self.run_y_px[runs] - np.int32(self.y_px[i])
        return _paint(x, y, self.run_length_px[runs], width, height)

    def mask_of_others(
        self, i: int, x_px: int, y_px: int, width_px: int, height_px: int
    ) -> NDArray[np.bool_]:
        """Pixels in a window of the frame that belong to other particles than `i`, bool, the window's shape.

        Only particles whose box meets the window are looked at.
        """
        # Upper ends rise from particle to particle: those that cannot reach the window are passed over.
        first, last = np.searchsorted(
            self.y_px, (y_px - int(self.height_px.max()), y_px + height_px)
        ).tolist()
        near = slice(first, last)
        meets = (self.x_px[near] < x_px + width_px) & (self.x_px[near] + self.width_px[near] > x_px)
        meets &= self.y_px[near] + self.height_px[near] > y_px
        others = np.flatnonzero(meets) + first
        others = others[others != i]
        if not others.size:
            return np.zeros((height_px, width_px), dtype=np.bool_)
        runs = np.concatenate([np.arange(self.first_run[k], self.first_run[k + 1]) for k in others])
        x, y = self.run_x_px[runs] - np.int32(x_px), self.run_y_px[runs] - np.int32(y_px)
        left, right = np.maximum(x, 0), np.minimum(x + self.run_length_px[runs], np.int32(width_px))
        inside = (y >= 0) & (y < height_px) & (left < right)
        left, y = left[inside], y[inside]
        return _paint(left, y, right[inside] - left, width_px, height_px)


def _paint(
    x: NDArray[np.int32], y: NDArray[np.int32], length: NDArray[np.int32], width: int, height: int
) -> NDArray[np.bool_]:
    """Runs that do not overlap as a mask: +1 where one begins, -1 behind its end, then a running sum."""
    begin = y * np.int32(width) + x
    step = np.zeros(width * height + 1, dtype=np.int8)
    step[begin] = 1
    step[begin + length] -= 1
    return np.cumsum(step[:-1], dtype=np.int8).view(np.bool_).reshape(height, width)


def segment(pixels: NDArray[np.uint8], threshold: int) -> Regions:
    """Find every particle of a frame: strictly above the threshold, 8-connected, down to one pixel.

    Holes are not counted, and what lies in another's hole counts on its own.

    Parameters
    ----------
    pixels
        uint8 (height, width), white on black.
    threshold
        Foreground is strictly above it.

    Raises
    ------
    ImageError
        The frame is wider than 65,536 px or larger than 512 megapixels.
    """
    return join(find_foreground(pixels, threshold))


def find_foreground(pixels: NDArray[np.uint8], threshold: int) -> Foreground:
    """Threshold a frame and keep what is above; the parameters are those of `segment`."""
    height, width = pixels.shape
    if width > _MAX_WIDTH_PX or pixels.size > _MAX_AREA_PX:
        raise ImageError(f"is {width} x {height} px, too large to segment", remedy="cut it into parts")
    if width % _GROUP:
        padded = np.zeros((height, width + -width % _GROUP), dtype=np.uint8)
        padded[:, :width] = pixels
        pixels = padded
    pixels = np.ascontiguousarray(pixels)
    packed = np.packbits(pixels > threshold, bitorder="little")
    if packed.size % 8:
        packed = np.concatenate((packed, np.zeros(-packed.size % 8, dtype=np.uint8)))
    # Eight groups are passed over at a time.
    words = packed.view(np.uint64)
    busy = np.flatnonzero(words != 0)
    bits = words[busy].view(np.uint8)
    inside = np.flatnonzero(bits != 0)
    bits = bits[inside]
    groups = busy[inside >> 3]
    groups *= 8
    groups += inside & 7
    return Foreground(pixels, (height, width), groups, bits, int(np.count_nonzero(np.unpackbits(bits))))


def join(foreground: Foreground) -> Regions:
    """Join a frame's foreground into particles."""
    if not foreground.area_px:
        return _no_regions()
    pitch = foreground.pixels.shape[1] + _GROUP
    groups, bits = _split_groups(foreground.groups, foreground.bits)
    last_piece, position, last_position = _find_runs(groups, bits, pitch)
    run_sum, run_square = _sum_grey(foreground.pixels, groups, bits, last_piece)
    root = _unite(position, last_position, pitch)
    is_root = root == np.arange(len(root))
    label = (np.cumsum(is_root) - 1)[root]
    n = int(np.count_nonzero(is_root))

    # Runs by particle, in raster order within each: then every sum is one pass.
    order = _stable_order(label, n)
    first_run = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(label, minlength=n), out=first_run[1:])
    first, final = first_run[:-1], first_run[1:] - 1
    position, length = position[order], (last_position - position + 1)[order]
    y = position // pitch
    x = position - y * pitch
    left, top = np.minimum.reduceat(x, first).astype(np.int64), y[first].astype(np.int64)
    right, bottom = np.maximum.reduceat(x + length, first).astype(np.int64), y[final].astype(np.int64) + 1
    height, width = foreground.shape
    return Regions(
        x_px=left,
        y_px=top,
        width_px=right - left,
        height_px=bottom - top,
        area_px=np.add.reduceat(length, first, dtype=np.int64),
        integrated_grey=np.add.reduceat(run_sum[order], first),
        squared_grey=np.add.reduceat(run_square[order], first),
        on_border=(left == 0) | (top == 0) | (right == width) | (bottom == height),
        run_x_px=x,
        run_y_px=y,
        run_length_px=length,
        first_run=first_run,
    )


def _no_regions() -> Regions:
    none, no_runs = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32)
    border = np.zeros(0, dtype=np.bool_)
    first_run = np.zeros(1, dtype=np.int64)
    return Regions(none, none, none, none, none, none, none, border, no_runs, no_runs, no_runs, first_run)


def _split_groups(
    groups: NDArray[np.int64], bits: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Pieces: the groups, those with several spans of foreground once for each, so that each has one."""
    codes = bits.astype(np.intp)
    several = np.flatnonzero(_SEVERAL[codes])
    if not several.size:
        return groups, codes
    count = _N_SPANS[codes[several]]
    of = np.concatenate((np.arange(len(groups)), np.repeat(several, count - 1)))
    of.sort(kind="stable")
    before = np.cumsum(count) - count
    nth = np.arange(int(count.sum())) - np.repeat(before, count)
    place = np.repeat(several + before - np.arange(len(several)), count) + nth
    pieces = codes[of]
    pieces[place] = _SPLIT[pieces[place], nth]
    return groups[of], pieces


def _find_runs(
    groups: NDArray[np.int64], bits: NDArray[np.intp], pitch: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Runs in raster order, of pieces that touch within a row.

    Returns the last piece of each (int64), and the positions of its first and last pixel (int32) in a frame
    `pitch` wide: an empty group stands after every row, so that no run crosses from one row to the next and
    no neighbour is sought across the edge.
    """
    group = groups.astype(np.int32)
    group += group // np.int32(pitch // _GROUP - 1)
    group *= np.int32(_GROUP)
    first, last = group + _FIRST[bits], group + _LAST[bits]
    begins = np.ones(len(group) + 1, dtype=np.bool_)
    np.not_equal(first[1:], last[:-1] + np.int32(1), out=begins[1:-1])
    piece = np.flatnonzero(begins)
    last_piece = piece[1:] - 1
    return last_piece, first[piece[:-1]], last[last_piece]


def _sum_grey(
    pixels: NDArray[np.uint8],
    groups: NDArray[np.int64],
    bits: NDArray[np.intp],
    last_piece: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sum of grey and of squared grey of every run, int64.

    The eight bytes of a piece are added up within one uint64, the sum in its lower half and that of the
    squares in its upper. A running sum of these may wrap, but the difference between two ends is exact,
    since a run is short enough for both halves.
    """
    frame = pixels.reshape(-1).view(np.uint64)
    upto = np.empty(len(groups), dtype=np.uint64)
    for begin in range(0, len(groups), _CHUNK):
        chunk = slice(begin, begin + _CHUNK)
        odd = frame[groups[chunk]]
        odd &= _MASK[bits[chunk]]
        even = odd & _BYTES
        odd >>= _8
        odd &= _BYTES
        total = even + odd
        total *= _ADD_SHORTS
        total >>= _48
        for half in (even, odd):  # 255 squared still fits 16 bits
            short = half.view(np.uint16)
            short *= short
        square = even & _SHORTS
        square += odd & _SHORTS
        even >>= _16
        even &= _SHORTS
        square += even
        odd >>= _16
        odd &= _SHORTS
        square += odd
        square += square << _32  # two halves of 32 bits: their sum is now in the upper
        square >>= _32
        square <<= _32
        np.add(total, square, out=upto[chunk])
    np.cumsum(upto, out=upto)
    upto = upto[last_piece]
    upto[1:] -= upto[:-1].copy()
    return (upto & np.uint64(0xFFFF_FFFF)).view(np.int64), (upto >> _32).view(np.int64)


def _unite(position: NDArray[np.int32], last: NDArray[np.int32], pitch: int) -> NDArray[np.int64]:
    """First run in raster order of the particle that each run belongs to, int64 (n_runs,)."""
    n = len(position)
    own = np.arange(n)
    # Of the runs that touch a run from above, the first is the first whose end is not left of it. Its number
    # is the number of ends before, read from one merge of two rising lists (a sort of two runs).
    key = np.concatenate((last * np.int32(2) + np.int32(1), (position - np.int32(pitch + 1)) * np.int32(2)))
    key.sort(kind="stable")
    above = np.flatnonzero((key & np.int32(1)) == 0) - own
    starts = np.concatenate((position, np.full(2, np.iinfo(np.int32).max, dtype=np.int32)))
    reach = last - np.int32(pitch - 1)
    parent = _jump(np.where(starts[above] <= reach, above, own))
    more = np.flatnonzero(starts[above + 1] <= reach)
    if more.size:
        second = above[more] + 1
        count = np.searchsorted(position, reach[more], side="right") - second
        upper = np.repeat(second - np.cumsum(count) + count, count)
        upper += np.arange(len(upper))
        parent = _hook(parent, upper, np.repeat(more, count))
    return parent


def _hook(parent: NDArray[np.int64], a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Unite the trees of `parent` (flat: every entry is a root) that the pairs (a, b) join."""
    while True:
        a, b = parent[a], parent[b]
        apart = a != b
        a, b = a[apart], b[apart]
        if not a.size:
            return parent
        np.minimum.at(parent, np.maximum(a, b), np.minimum(a, b))
        parent = _jump(parent)


def _jump(parent: NDArray[np.int64]) -> NDArray[np.int64]:
    """Let every entry point at its root."""
    while True:
        upper = parent[parent]
        parent = upper[upper]
        if np.array_equal(parent, upper):
            return parent


def _stable_order(label: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Stable order of labels below n, by their 16-bit halves: a radix sort, linear in their number."""
    order = label.astype(np.uint16).argsort(kind="stable")
    if n > 1 << 16:
        order = order[(label[order] >> 16).astype(np.uint16).argsort(kind="stable")]
    return order
