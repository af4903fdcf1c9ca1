"""Every particle of a frame, down to one pixel, as arrays. Pure; NumPy alone.

Not a contour tracer: pixels are taken as runs (unbroken spans of foreground in one row), and runs that touch
are united. Union by hooking and pointer jumping after Shiloach & Vishkin (1982, J. Algorithms 3, 57-67) with
the minimum-label hooking of Liu & Tarjan (2019, "Simple concurrent labeling algorithms for connected
components", doi 10.4230/OASIcs.SOSA.2019.3), which ends in O(log2 n) rounds whatever the shape.

The frame is mostly black: after the threshold only groups of eight pixels that hold any foreground are looked
at, so the cost is that of reading the frame thrice plus a part that grows with the foreground.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_GROUP = 8  # pixels looked at together: the bytes of one uint64
_CHUNK = 1 << 14  # groups whose grey is summed at once: 1 MiB of sums, in the second-level cache
_LOW_BYTE, _ONE, _BYTE, _TOP = np.uint64(255), np.uint64(1), np.uint64(8), np.uint64(56)
_LOW_HALF, _HALF = np.uint64(0xFFFF_FFFF), np.uint64(32)


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
        Their foreground, one byte a pixel (0 or 1), uint64 (n_groups,).
    area_px
        Number of foreground pixels.
    """

    pixels: NDArray[np.uint8]
    shape: tuple[int, int]
    groups: NDArray[np.int64]
    bits: NDArray[np.uint64]
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
        meets = (self.x_px < x_px + width_px) & (self.x_px + self.width_px > x_px)
        meets &= (self.y_px < y_px + height_px) & (self.y_px + self.height_px > y_px)
        meets[i] = False
        others = np.flatnonzero(meets)
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
    """
    return join(find_foreground(pixels, threshold))


def find_foreground(pixels: NDArray[np.uint8], threshold: int) -> Foreground:
    """Threshold a frame and keep what is above; the parameters are those of `segment`."""
    height, width = pixels.shape
    if width % _GROUP:
        padded = np.zeros((height, width + -width % _GROUP), dtype=np.uint8)
        padded[:, :width] = pixels
        pixels = padded
    pixels = np.ascontiguousarray(pixels)
    above = (pixels > threshold).reshape(-1).view(np.uint64)
    groups = np.flatnonzero(above != 0)
    bits = above[groups]
    return Foreground(pixels, (height, width), groups, bits, int(np.count_nonzero(bits.view(np.bool_))))


def join(foreground: Foreground) -> Regions:
    """Join a frame's foreground into particles."""
    if not foreground.area_px:
        return _no_regions()
    pitch = foreground.pixels.shape[1] + _GROUP
    compact_last, position, last_position = _find_runs(foreground, pitch)
    run_sum, run_square = _sum_grey(foreground, compact_last)
    root = _unite(position, last_position, pitch)
    is_root = root == np.arange(len(root))
    label = (np.cumsum(is_root) - 1)[root]

    # Runs by particle, in raster order within each: then every sum is one pass.
    order = _stable_order(label)
    first_run = np.append(np.flatnonzero(np.diff(label[order], prepend=-1)), len(order))
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


def _find_runs(
    foreground: Foreground, pitch: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Runs in raster order.

    Returns the place of each run's last pixel among the pixels of the groups (int64), and the positions of
    its first and last pixel (int32) in a frame `pitch` wide: an empty group stands after every row, so that
    no run crosses from one row to the next and no neighbour is sought across the edge.
    """
    bits = foreground.bits
    group = foreground.groups.astype(np.int32)
    group += group // np.int32(pitch // _GROUP - 1)
    joined = np.equal(group[1:], group[:-1] + np.int32(1)).astype(np.uint64)
    before, after = bits << _BYTE, bits >> _BYTE  # little-endian: the first pixel is the lowest byte
    before[1:] |= (bits[:-1] >> _TOP) * joined
    after[:-1] |= (bits[1:] << _TOP) * joined
    first = np.flatnonzero((bits & ~before).view(np.bool_))
    last = np.flatnonzero((bits & ~after).view(np.bool_))
    group *= np.int32(_GROUP)
    return last, _position(group, first), _position(group, last)


def _position(group_start: NDArray[np.int32], compact: NDArray[np.int64]) -> NDArray[np.int32]:
    """Where in the frame a pixel of the groups is."""
    position: NDArray[np.int32] = group_start[compact >> 3] + (compact & 7).astype(np.int32)
    return position


def _sum_grey(foreground: Foreground, last: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sum of grey and of squared grey of every run, int64.

    Both are taken from one running sum of grey + grey**2 * 2**32: it may wrap, but the difference between
    two ends is exact, since a run is short enough for both halves.
    """
    groups, bits = foreground.groups, foreground.bits
    frame = foreground.pixels.reshape(-1).view(np.uint64)
    upto = np.empty(len(last), dtype=np.uint64)
    carry = np.uint64(0)
    for begin in range(0, len(groups), _CHUNK):
        chunk = slice(begin, begin + _CHUNK)
        grey = (frame[groups[chunk]] & (bits[chunk] * _LOW_BYTE)).view(np.uint8).astype(np.uint64)
        factor = grey << _HALF
        factor += _ONE
        grey *= factor
        grey[0] += carry
        running = np.cumsum(grey, out=factor)
        carry = running[-1]
        inside = slice(*np.searchsorted(last, (begin * _GROUP, (begin + _CHUNK) * _GROUP)))
        upto[inside] = running[last[inside] - begin * _GROUP]
    total = np.diff(upto, prepend=np.uint64(0))
    return (total & _LOW_HALF).view(np.int64), (total >> _HALF).view(np.int64)


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


def _stable_order(label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Stable order of labels below 2**32, by their 16-bit halves: a radix sort, linear in their number."""
    order = label.astype(np.uint16).argsort(kind="stable")
    high = label[order] >> 16
    if high.any():
        order = order[high.astype(np.uint16).argsort(kind="stable")]
    return order
