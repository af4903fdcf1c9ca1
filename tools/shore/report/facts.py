"""The words and tables of a report: who, where, how many, and what to know before trusting it. Pure.

Every number on the page that is not in a plot is made here.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.frame import CLASSIFIED_OUTCOMES, SIZED_OUTCOMES, FrameOutcome
from edge.optics import Optics
from edge.taxonomy import UNCLASSIFIED
from edge.telemetry.summary import Quantity
from tools.shore.exports.tables import DataMode, DiveTables
from tools.shore.report.gallery import TaxonGallery
from tools.shore.report.truth import Truth

NOT_COUNTED = tuple(
    o
    for o in FrameOutcome
    if o not in SIZED_OUTCOMES and o not in (FrameOutcome.UNLIT, FrameOutcome.DUPLICATE)
)
"""Outcomes of frames that saw water which counts nowhere."""


MESSAGES_ALONE = (
    "Only messages of this dive are at hand, its log is not. They do not tell when and how deep each frame "
    "was, the particles one by one with their measures and vignettes (but for pictures that were sent), "
    "carbon and biovolume of the taxa, or the configuration; and nothing can be compared with what the board "
    "counted."
)


@dataclass(frozen=True, slots=True)
class Row:
    """A name and its value, with what more there is to say on hovering."""

    name: str
    value: str
    more: str = ""


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """Frames of one outcome, on board and as known on shore; None where log or messages do not say."""

    outcome: FrameOutcome
    board: int | None
    shore: int | None
    share: float


@dataclass(frozen=True, slots=True)
class TaxonRow:
    """Counts of one taxon; None where that source does not say.

    `corrected` is the corrected count, and both ends of its 90 % interval. `doubt` is how many of the names
    are expected to be wrong.
    """

    label: str
    living: bool | None
    water: int | None
    board: int | None
    shore: int | None
    corrected: tuple[int, int, int] | None = None
    doubt: int | None = None

    @property
    def largest(self) -> int:
        """The largest of all: bars are drawn against it."""
        return max(self.water or 0, self.board or 0, self.shore or 0, *(self.corrected or ()))


def identity(meta: Mapping[str, Any], span_ms: tuple[int, int] | None, optics: Optics) -> list[Row]:
    """Who recorded, where, when, with what: rows that have a value."""
    recording = meta.get("recording") or {}
    position = recording.get("position") or {}
    instrument = recording.get("instrument") or {}
    bundle = meta.get("bundle") or {}
    rows = [
        Row("Dive", str(meta.get("dive_number", ""))),
        Row("Instrument", " · ".join(filter(None, (instrument.get("unit"), instrument.get("camera"))))),
        Row("Platform", str(recording.get("platform") or "")),
        Row("Cruise", str(recording.get("cruise") or "")),
        Row("Profile", str(recording.get("profile") or "")),
        Row("Position", position_text(position)),
        Row("First frame", utc_text(span_ms[0]) if span_ms else ""),
        Row("Last frame", utc_text(span_ms[1]) if span_ms else ""),
        Row("Bundle", str(bundle.get("name", "")), f"sha256 {bundle.get('sha256', '')}"),
        Row("Bundle hash", str(bundle.get("sha256", ""))[:12], f"sha256 {bundle.get('sha256', '')}"),
        Row(
            "Optics",
            f"{optics.pixel_um:g} µm a pixel, {optics.image_volume_l:g} L a frame, {optics.polarity}",
        ),
        Row("Recording", str(recording.get("path") or "")),
    ]
    return [row for row in rows if row.value]


def position_text(position: Mapping[str, Any]) -> str:
    """Position in degrees and minutes, empty when unknown."""
    try:
        latitude, longitude = float(position["latitude_deg"]), float(position["longitude_deg"])
    except (KeyError, TypeError, ValueError):
        return ""
    longitude = (longitude + 180) % 360 - 180
    return ", ".join(
        f"{int(minutes // 60)}° {minutes % 60:06.3f}′ {letters[value < 0]}"
        for value, letters in ((latitude, "NS"), (longitude, "EW"))
        # Rounded before it is split, so that 59.9996 does not read as 60 minutes.
        for minutes in (round(abs(value) * 60, 3),)
    )


def utc_text(time_ms: int) -> str:
    """UTC as people read it, to the second."""
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return f"{epoch + datetime.timedelta(milliseconds=time_ms):%Y-%m-%d %H:%M:%S} UTC"


def flat_config(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every key of a configuration with its dots, and its value."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from flat_config(value, f"{prefix}{key}.")
        else:
            text = (
                ", ".join(map(str, value))
                if isinstance(value, Sequence) and not isinstance(value, str)
                else value
            )
            yield f"{prefix}{key}", "not set" if text is None else str(text)


def outcome_rows(board: Sequence[int] | None, shore: Sequence[int] | None) -> list[OutcomeRow]:
    """Frames by outcome, those that occur, on board and on shore."""
    best = board or shore or [0] * len(FrameOutcome)
    return [
        OutcomeRow(
            o,
            None if board is None else board[o],
            None if shore is None else shore[o],
            best[o] / max(1, sum(best)),
        )
        for o in FrameOutcome
        if best[o] or (shore is not None and shore[o])
    ]


def adding_up(total: int, n_frames: int | None, shore_total: int | None) -> tuple[bool, str]:
    """Whether the outcomes add up to the frames logged, and the sentence that says so.

    `n_frames` is None where only messages are at hand: then it is whether all outcomes came.
    """
    if n_frames is None:
        told = f"{_frames(total)} came by outcome"
        return shore_total is not None, (
            f"{told}: all of the dive, as the messages tell."
            if shore_total is not None
            else f"{told}; the others are in messages that did not come."
        )
    fine = total == n_frames
    text = (
        f"The outcomes add up: {total} of {n_frames} frames have exactly one."
        if fine
        else f"The outcomes do not add up: {total} are counted, {n_frames} frames are in the log."
    )
    if shore_total is not None:
        text += (
            " On shore they add up to the same number."
            if shore_total == total
            else f" On shore {shore_total} are known: the rest was in messages that did not arrive."
        )
    return fine, text


def taxon_rows(
    labels: Sequence[str],
    living: Mapping[str, bool | None],
    water: Mapping[str, Mapping[str, int]] | None,
    board: Sequence[int] | None,
    shore: Sequence[int] | None,
    corrected: Sequence[tuple[int, int, int] | None] | None = None,
    doubt: Sequence[int | None] | None = None,
) -> list[TaxonRow]:
    """Counts of every taxon that anybody counted, the most frequent first; also those only the water has."""
    rows = []
    names = [*labels, *(name for name in water or {} if name not in labels)]
    for i, name in enumerate(names):
        known = i < len(labels)
        rows.append(
            TaxonRow(
                name,
                living.get(name),
                None if water is None else int(water.get(name, {}).get("water", 0)),
                None if board is None else int(board[i]) if known else 0,
                None if shore is None else int(shore[i]) if known else 0,
                corrected[i] if corrected is not None and known else None,
                doubt[i] if doubt is not None and known and name != UNCLASSIFIED else None,
            )
        )
    return sorted(
        (row for row in rows if row.largest), key=lambda row: (-(row.board or 0), -row.largest, row.label)
    )


def score_rows(truth: Truth | None) -> list[Row]:
    """Scores of a dive with a known truth."""
    if truth is None:
        return []
    found = truth.detection
    distance = "0 is equal, 1 is disjoint"
    rows = [
        Row("Particles found (recall)", _percent(found.get("recall")), _of(found, "n_truth", "in the water")),
        Row(
            "of them, above the size cut",
            _percent(found.get("recall_large")),
            _of(found, "n_truth_large", ""),
        ),
        Row(
            "Finds that are real (precision)",
            _percent(found.get("precision")),
            _of(found, "n_found", "found"),
        ),
        Row("Bray-Curtis, board against water", _number(truth.bray_curtis_board), distance),
        Row("Bray-Curtis, shore against water", _number(truth.bray_curtis_shore), distance),
        Row("Bray-Curtis, corrected against water", _number(truth.bray_curtis_corrected), distance),
        Row(
            "Frames with a wrong outcome",
            "" if truth.wrong_outcomes is None else f"{sum(truth.wrong_outcomes.values()):,}",
            ", ".join(f"{n} {words}" for words, n in (truth.wrong_outcomes or {}).items()),
        ),
    ]
    return [row for row in rows if row.value]


def key_numbers(
    tables: DiveTables,
    frames: Sequence[Mapping[str, Any]],
    sizes: Sequence[int],
    galleries: Sequence[TaxonGallery],
) -> list[Row]:
    """The six numbers at the top; of messages alone, as far as they tell them."""
    told = tables.decoded
    is_logged = tables.mode is DataMode.DELAYED
    depths = [f["pressure_dbar"] for f in frames if f["pressure_dbar"] is not None]
    if not is_logged:
        depths = [
            float(one.edges[1:][one.frames(tuple(FrameOutcome)) > 0].max(initial=0))
            for one in tables.profiles
        ]
    sized = sum(float(np.nansum(one.volume_sized_l)) for one in tables.phases)
    named = sum(float(np.nansum(one.volume_classified_l)) for one in tables.phases)
    if not tables.phases:  # totals alone
        sized, named = (
            float(told.outcomes()[list(which)].sum()) * tables.codebook.optics.image_volume_ul / 1e6
            for which in (SIZED_OUTCOMES, CLASSIFIED_OUTCOMES)
        )
    classified = sum(g.total for g in galleries) if is_logged else int(told.taxa().sum())
    return [
        Row("deepest", f"{max(depths):.0f} dbar" if any(depths) else "unknown"),
        Row("frames", f"{int(told.outcomes().sum()) if not is_logged else len(frames):,}"),
        Row("water sized", f"{sized:,.1f} L", f"classified: {named:,.1f} L"),
        Row(
            "particles sized",
            f"{int(told.lpm().sum()):,}",
            f"{tables.codebook.optics.size_class_limits_um[0]:g} µm and larger",
        ),
        Row("particles classified", f"{classified:,}", "above the size cut"),
        Row("sent" if is_logged else "received", f"{sum(sizes):,} bytes", f"in {len(sizes)} messages"),
    ]


def notes(
    tables: DiveTables,
    galleries: Sequence[TaxonGallery],
    meta: Mapping[str, Any],
    *,
    on_border: int,
    missing: Sequence[str] = (),
    truth_note: str = "",
) -> list[str]:
    """What to bear in mind, a sentence each; only what applies to this dive."""
    optics, outcomes = tables.codebook.optics, tables.decoded.outcomes()
    is_logged = tables.mode is DataMode.DELAYED
    said: list[str] = [*([] if is_logged else [MESSAGES_ALONE]), *missing]
    lost = {o: int(outcomes[o]) for o in NOT_COUNTED if outcomes[o]}
    if lost:
        n = sum(lost.values())
        kinds = ", ".join(f"{count} {o.label}" for o, count in lost.items())
        said.append(
            f"{_volume(n, optics)} of water in {_frames(n)} ({kinds}) are not in any count or volume: "
            "those bins have less volume, they are not emptier."
        )
    failed = int(outcomes[FrameOutcome.INFERENCE_FAILED])
    if failed:
        said.append(
            f"In {_frames(failed)} the classifier failed: {_volume(failed, optics)} count for sizes, "
            "not for taxa."
        )
    unnamed = int(tables.decoded.totals(Quantity.UNNAMED)[0].sum())
    if unnamed:
        said.append(
            f"{unnamed:,} larger particles were sized but not classified: zone, budget or time did not allow "
            "it, or there is no vignette of them. Counts by taxon are of the others; concentrations are of "
            "all."
        )
    if outcomes[FrameOutcome.DUPLICATE]:
        said.append(f"{_frames(int(outcomes[FrameOutcome.DUPLICATE]))} came twice and were counted once.")
    unplaced = np.nansum([np.zeros(len(FrameOutcome)), *(p.unplaced for p in tables.phases)], axis=0)
    if unplaced.any():
        named = int(unplaced[list(CLASSIFIED_OUTCOMES)].sum())
        said.append(
            f"{_frames(int(unplaced.sum()))} had no pressure: counted by outcome, they are in no bin; "
            f"what the {named} analysed ones of them showed is in no count by taxon"
            f"{', but among the vignettes' if is_logged else ''}."
        )
    total, kept = sum(g.total for g in galleries), sum(g.kept for g in galleries)
    if kept < total:
        why = " (the quota for vignettes was used up)" if meta.get("vignettes_left_out") else ""
        said.append(
            f"{total - kept:,} of {total:,} classified particles have no vignette in the log{why}; "
            "they are counted."
        )
    unsure = sum(g.total for g in galleries if g.label == UNCLASSIFIED)
    if unsure:
        said.append(f"{unsure:,} of {total:,} classified particles were too unsure to be given any name.")
    if on_border:
        said.append(
            f"{on_border:,} of {total:,} classified particles touch the border of their frame: "
            "they are counted, and their true size is larger."
        )
    if is_logged and not (meta.get("recording") or {}).get("optics"):
        said.append(
            "The recording does not state its optics: sizes and volumes follow from the configuration's."
        )
    if truth_note:
        said.append(truth_note[0].upper() + truth_note[1:].rstrip(".") + ".")
    return said


def _frames(n: int) -> str:
    return f"{n:,} frame" if n == 1 else f"{n:,} frames"


def _volume(n: int, optics: Optics) -> str:
    return f"{n * optics.image_volume_ul / 1e6:,.1f} L"


def _of(found: Mapping[str, float], key: str, words: str) -> str:
    return f"of {found[key]:,.0f} {words}".strip() if key in found else ""


def _percent(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.3f}"
