"""Read one dive from its folder: the log, the messages beside it, the truth where there is one.

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
from tools.shore.dives import LoggedDive
from tools.shore.exports.from_log import from_log
from tools.shore.exports.tables import DiveTables
from tools.shore.report.gallery import TaxonGallery, choose_vignettes
from tools.shore.report.truth import Truth, read_truth

_META = ("dive_number", "started_ms", "bundle", "recording", "vignettes_left_out")


@dataclass(frozen=True, slots=True)
class Dive:
    """Everything a report is made of.

    Attributes
    ----------
    path
        The dive log.
    meta
        Facts from the log, those that it has.
    tables
        Profile, by bins.
    summary
        The same and more, replayed from the log.
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
    logged_messages
        Messages that were sent, by part.
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
    summary: DiveSummary
    drift: Drift | None
    health: str
    frames: Sequence[Mapping[str, Any]]
    galleries: Sequence[TaxonGallery]
    on_border: int
    logged_messages: Sequence[bytes]
    climatology: Climatology | None
    messages: Mapping[str, bytes]
    truth: Truth | None

    @property
    def codebook(self) -> Codebook:
        """What the counts are counts of."""
        return self.summary.codebook

    @property
    def labels(self) -> list[str]:
        """Counted taxa, in the order of the counts."""
        return [taxon.label for taxon in self.codebook.taxa]


def read_dive(logged: LoggedDive, *, max_vignettes: int) -> Dive:
    """What a report shows of a dive's log."""
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
    log = logged.log
    return Dive(
        path=log.path,
        # The configuration whole, with what it left to the defaults.
        meta={key: log.meta(key) for key in _META if log.has_meta(key)}
        | {"config": msgspec.to_builtins(logged.config)},
        tables=from_log(logged),
        summary=logged.summary,
        drift=drift_in(log),
        health=in_one_line(list(dive_checks(log))),
        frames=logged.rows,
        galleries=galleries,
        on_border=on_border,
        logged_messages=log.messages(),
        climatology=logged.climatology,
        messages=logged.messages,
        truth=read_truth(log.path.parent / "truth.json"),
    )
