"""How well a dive did, where the truth is known: particles found, taxa counted, distance of the counts.

Boxes are compared by intersection over union, at least 0.5, one to one. Counts are compared over the frames
in which the instrument classified, so that water it never looked at is nobody's mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.int64]
MIN_IOU = 0.5


def match_boxes(truth: Boxes, found: Boxes) -> NDArray[np.int64]:
    """For each true box the index of the box that found it, or -1.

    Parameters
    ----------
    truth, found
        int64 (n, 4) and (m, 4): x_px, y_px, width_px, height_px.

    Returns
    -------
    int64 (n,); no found box is used twice, the best overlaps are taken first.
    """
    matched = np.full(len(truth), -1, dtype=np.int64)
    if not len(truth) or not len(found):
        return matched
    pairs_t, pairs_f, iou = _overlaps(truth, found)
    used = np.zeros(len(found), dtype=bool)
    for k in np.lexsort((pairs_f, pairs_t, -iou)):
        t, f = pairs_t[k], pairs_f[k]
        if matched[t] < 0 and not used[f]:
            matched[t] = f
            used[f] = True
    return matched


def _overlaps(truth: Boxes, found: Boxes) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Pairs with an IoU of at least `MIN_IOU`, sought among neighbours in x by sorting."""
    order = np.argsort(found[:, 0], kind="stable")
    x_found = found[order, 0]
    # With an IoU of at least 1/2 the left edges lie within half a true width outside and a width inside.
    low = np.searchsorted(x_found, truth[:, 0] - truth[:, 2], side="left")
    high = np.searchsorted(x_found, truth[:, 0] + truth[:, 2], side="right")
    n = high - low
    pairs_t = np.repeat(np.arange(len(truth)), n)
    offsets = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    pairs_f = order[np.repeat(low, n) + offsets]
    a, b = truth[pairs_t], found[pairs_f]
    width = np.minimum(a[:, 0] + a[:, 2], b[:, 0] + b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
    height = np.minimum(a[:, 1] + a[:, 3], b[:, 1] + b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    iou = shared / (a[:, 2] * a[:, 3] + b[:, 2] * b[:, 3] - shared)
    good = iou >= MIN_IOU
    return pairs_t[good], pairs_f[good], iou[good]


@dataclass(slots=True)
class DetectionScore:
    """Sums over frames: true particles, found ones, and the pairs; the larger ones again on their own."""

    n_truth: int = 0
    n_found: int = 0
    n_matched: int = 0
    n_truth_large: int = 0
    n_found_large: int = 0
    n_matched_large: int = 0
    frames: int = field(default=0)

    def add(
        self,
        truth: Boxes,
        truth_area: NDArray[np.int64],
        found: Boxes,
        found_area: NDArray[np.int64],
        large: int,
    ) -> None:
        """Add one frame; `large` is the smallest area of a classified particle, px."""
        matched = match_boxes(truth, found)
        hit = matched >= 0
        self.frames += 1
        self.n_truth += len(truth)
        self.n_found += len(found)
        self.n_matched += int(hit.sum())
        self.n_truth_large += int((truth_area >= large).sum())
        self.n_found_large += int((found_area >= large).sum())
        self.n_matched_large += int((hit & (truth_area >= large)).sum())

    def as_dict(self) -> dict[str, float]:
        """Recall and precision, of all particles and of those above the size cut; NaN without any."""
        return {
            "frames": self.frames,
            "n_truth": self.n_truth,
            "n_found": self.n_found,
            "recall": _share(self.n_matched, self.n_truth),
            "precision": _share(self.n_matched, self.n_found),
            "n_truth_large": self.n_truth_large,
            "n_found_large": self.n_found_large,
            "recall_large": _share(self.n_matched_large, self.n_truth_large),
        }


def bray_curtis(a: Sequence[float], b: Sequence[float]) -> float:
    """Bray-Curtis distance of two sets of counts, 0 (equal) to 1; 0 when both are empty."""
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    total = float((x + y).sum())
    return float(np.abs(x - y).sum()) / total if total else 0.0


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
