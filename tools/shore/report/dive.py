"""What a report is made of: one dive, read from its log, or from its messages where that is all there is.

What is known on board comes from the log; what is known on shore comes from decoding the messages, as if the
log were still at sea.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edge.dive_checks import dive_checks, in_one_line
from edge.divelog_schema import Particle
from edge.drift import Drift
from edge.logged import drift_in
from edge.telemetry.climatology import Climatology
from edge.telemetry.codebook import Codebook
from edge.telemetry.summary import DiveSummary
from tools.shore.dives import LoggedDive, MessageDive
from tools.shore.exports.from_log import from_log
from tools.shore.exports.tables import DiveTables, from_messages
from tools.shore.report.gallery import TaxonGallery, choose_vignettes
from tools.shore.report.truth import Truth, read_truth

_META = ("dive_number", "started_ms", "bundle", "recording", "vignettes_left_out")


@dataclass(frozen=True, slots=True)
class Dive:
    """Everything a report is made of.

    Attributes
    ----------
    path
        The dive log, or where its messages are.
    meta
        Facts from the log, those that it has; of messages what they tell of these.
    tables
        Profile, by bins.
    span_ms
        UTC of the first and the last frame, None where it is not known.
    summary
        The same and more, replayed from the log; None where only messages are at hand.
    drift
        How far its particles are from what the model was tested on, or None.
    health
        How the instrument fared, in a line.
    frames
        Every frame's row, without its histogram.
    galleries
        Vignettes to show, by taxon.
    on_border
        Classified particles that touch the border of their frame.
    sent
        Messages that were sent, by part; those that came, where only they are at hand.
    climatology
        That which they may be coded with.
    messages
        Those at hand on shore, by name of the file; the logged ones where there is no folder of messages.
    truth
        Content of truth.json, or None.
    """

    path: Path
    meta: Mapping[str, Any]
    tables: DiveTables
    span_ms: tuple[int, int] | None
    summary: DiveSummary | None
    drift: Drift | None
    health: str
    frames: Sequence[Mapping[str, Any]]
    galleries: Sequence[TaxonGallery]
    on_border: int
    sent: Sequence[bytes]
    climatology: Climatology | None
    messages: Mapping[str, bytes]
    truth: Truth | None

    @property
    def codebook(self) -> Codebook:
        """What the counts are counts of."""
        return self.tables.codebook

    @property
    def labels(self) -> list[str]:
        """Counted taxa, in the order of the counts."""
        return [taxon.label for taxon in self.codebook.taxa]


def read_dive(opened: LoggedDive | MessageDive, *, max_vignettes: int) -> Dive:
    """What a report shows of a dive."""
    return _of_log(opened, max_vignettes) if isinstance(opened, LoggedDive) else _of_messages(opened)


def _of_messages(told: MessageDive) -> Dive:
    tables = from_messages(told.decoded, told.place)
    book, position = tables.codebook, msgspec.to_builtins(told.place)
    start_s, end_s = tables.start_s, tables.end_s
    return Dive(
        path=told.path,
        meta={
            "dive_number": told.decoded.dive_number,
            "recording": {"platform": book.platform, "position": position},
            "bundle": {"sha256": book.bundle_sha256},
            "config": {key: msgspec.to_builtins(getattr(book, key)) for key in ("optics", "profile")},
        },
        tables=tables,
        span_ms=None if start_s is None or end_s is None else (1000 * start_s, 1000 * end_s),
        summary=None,
        drift=None,
        health="",
        frames=(),
        galleries=(),
        on_border=0,
        sent=tuple(told.messages.values()),
        climatology=told.climatology,
        messages=told.messages,
        truth=None,
    )


def _of_log(logged: LoggedDive, max_vignettes: int) -> Dive:
    on_border = 0

    def particles() -> Iterator[Particle]:
        nonlocal on_border
        for particle in logged.log.particles(with_vignettes=True):
            on_border += particle.on_border
            yield particle

    galleries = choose_vignettes(
        particles(),
        [taxon.label for taxon in logged.codebook.taxa],
        {row["frame"]: row["pressure_dbar"] for row in logged.rows},
        max_vignettes=max_vignettes,
        pixel_um=logged.optics.pixel_um,
    )
    log, times = logged.log, logged.frames.time_ms
    return Dive(
        path=log.path,
        # The configuration whole, with what it left to the defaults.
        meta={key: log.meta(key) for key in _META if log.has_meta(key)}
        | {"config": msgspec.to_builtins(logged.config)},
        tables=from_log(logged),
        span_ms=(int(times.min()), int(times.max())) if len(times) else None,
        summary=logged.summary,
        drift=drift_in(log),
        health=in_one_line(list(dive_checks(log))),
        frames=logged.rows,
        galleries=galleries,
        on_border=on_border,
        sent=log.messages(),
        climatology=logged.climatology,
        messages=logged.messages,
        truth=read_truth(log.path.parent / "truth.json"),
    )
