"""How well a dive did, where the truth is known: particles found, taxa counted, distance of the counts.

Boxes are compared by intersection over union, at least 0.5, one to one. Counts are compared over the frames
in which the instrument classified, so that water it never looked at is nobody's mistake.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.config import Config
from edge.frame import CLASSIFIED_OUTCOMES, Frame, FrameOutcome
from edge.inference.bundle import Bundle
from edge.logged import optics_of
from edge.profile import EMPTY_HISTOGRAM, FrameRecord, build_profile
from edge.recording import Truth
from edge.vision.segmentation import Regions

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
    frames: int = 0

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


def bray_curtis(a: ArrayLike, b: ArrayLike) -> float:
    """Bray-Curtis distance of two sets of counts, 0 (equal) to 1; 0 when both are empty."""
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    total = float((x + y).sum())
    return float(np.abs(x - y).sum()) / total if total else 0.0


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


class TruthScorer:
    """Compares a dive, frame by frame, with the truth of its recording.

    Parameters
    ----------
    truth
        From the recording.
    config
        Complete configuration of the dive.
    bundle
        Whose counted taxa the dive counts.
    """

    def __init__(self, truth: Truth, config: Config, bundle: Bundle) -> None:
        self._truth = truth
        self._config = config
        self._optics = optics_of(config)
        self._cut_px = self._optics.min_area_px(config.classify.min_esd_um)
        counted = [taxon.label for taxon in bundle.counted_taxa]
        self.labels = counted + [label for label in truth.taxa if label not in counted]
        self._label_of = np.array([self.labels.index(label) for label in truth.taxa], dtype=np.int64)
        self._boxes = np.stack([truth.x_px, truth.y_px, truth.width_px, truth.height_px], axis=1)
        self._first = np.searchsorted(truth.frame, np.arange(len(truth.frame_outcome) + 1))
        self._detection = DetectionScore()
        self._records: list[FrameRecord] = []
        self._wrong_outcomes: dict[str, int] = {}
        self._too_small = self._unnamed = 0

    def observe(self, frame: Frame, record: FrameRecord, regions: Regions) -> None:
        """Compare what was segmented in one frame; called by the instrument."""
        del record
        rows = self._rows(frame.index)
        found = np.stack([regions.x_px, regions.y_px, regions.width_px, regions.height_px], axis=1)
        self._detection.add(
            self._boxes[rows], self._truth.area_px[rows], found, regions.area_px, self._cut_px
        )

    def outcome(self, record: FrameRecord) -> None:
        """Take one frame's outcome, and the true counts of a frame that was classified."""
        expected = int(self._truth.frame_outcome[record.index])
        if expected >= 0 and expected != record.outcome:
            key = f"{FrameOutcome(expected).label} taken for {record.outcome.label}"
            self._wrong_outcomes[key] = self._wrong_outcomes.get(key, 0) + 1
        taxa = np.zeros(0, dtype=np.int64)
        if record.outcome in CLASSIFIED_OUTCOMES:
            rows = self._rows(record.index)
            taxon, large = self._truth.taxon[rows], self._truth.area_px[rows] >= self._cut_px
            taxa = self._label_of[taxon[large & (taxon >= 0)]]
            self._too_small += int((~large & (taxon >= 0)).sum())
            self._unnamed += int((large & (taxon < 0)).sum())
        self._records.append(
            replace(
                record,
                histogram=EMPTY_HISTOGRAM,
                taxa=taxa,
                esd_um=np.zeros(len(taxa), dtype=np.int64),
                unnamed=0,  # the truth names them all
            )
        )

    def result(
        self, board: NDArray[np.int64], shore: NDArray[np.int64], corrected: NDArray[np.int64] | None = None
    ) -> dict[str, Any]:
        """All scores as plain data; `board`, `shore` and `corrected` are counts by counted taxon."""
        profile = build_profile(self._records, self._optics, self._config.profile, len(self.labels))
        water = profile.taxa()
        padded = np.zeros((2, len(self.labels)), dtype=np.int64)
        padded[:, : len(board)] = board, shore
        notes = []
        if self._too_small:
            notes.append(f"{self._too_small} named particles were below the size cut and count nowhere.")
        if self._unnamed:
            notes.append(f"{self._unnamed} particles above the size cut have no name in the truth.")
        distances = {
            "bray_curtis_board": bray_curtis(water, padded[0]),
            "bray_curtis_shore": bray_curtis(water, padded[1]),
        }
        if corrected is not None:
            whole = np.zeros(len(self.labels), dtype=np.int64)
            whole[: len(corrected)] = corrected
            distances["bray_curtis_corrected"] = bray_curtis(water, whole)
        return {
            "detection": self._detection.as_dict(),
            "taxa": {
                label: {
                    "water": int(water[i]),
                    "board": int(padded[0, i]),
                    "shore": int(padded[1, i]),
                    "error": int(padded[1, i] - water[i]),
                }
                for i, label in enumerate(self.labels)
                if water[i] or padded[:, i].any()
            },
            **distances,
            "wrong_outcomes": self._wrong_outcomes,
            "phases": [
                {
                    "phase": part.phase.name.lower(),
                    "edges": part.edges.tolist(),
                    "taxa": {
                        label: part.taxa[:, i].tolist()
                        for i, label in enumerate(self.labels)
                        if part.taxa[:, i].any()
                    },
                    "volume_classified_l": (part.volume_classified_ul / 1e6).tolist(),
                }
                for part in profile.phases
            ],
            "note": " ".join(notes),
        }

    def _rows(self, frame: int) -> slice:
        return slice(int(self._first[frame]), int(self._first[frame + 1]))
