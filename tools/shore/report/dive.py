"""Read one dive from its folder: the log, the messages beside it, the truth where there is one.

What is known on board comes from the log; what is known on shore comes from decoding the messages, as if the
log were still at sea.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec

from edge.dive_checks import dive_checks, in_one_line
from edge.divelog import DiveLog
from edge.drift import Drift
from edge.errors import DiveLogError
from edge.logged import climatology_in, config_of, drift_in, summarise
from edge.telemetry.climatology import Climatology
from edge.telemetry.codebook import Codebook
from edge.telemetry.summary import DiveSummary
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
    summary
        Profile and codebook, replayed from the log.
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


def read_dive(path: str | PathLike[str], *, max_vignettes: int) -> Dive:
    """Read a dive's folder, or its dive.sqlite alone; raises `DiveLogError` when it is none or damaged."""
    with DiveLog.open(path) as log:
        try:
            return _read(log, max_vignettes)
        except (sqlite3.Error, ValueError, IndexError) as cause:
            raise DiveLogError(
                f"is damaged ({cause})", file=log.path, remedy="copy the dive again, or replay its recording"
            ) from cause


def _read(log: DiveLog, max_vignettes: int) -> Dive:
    summary = summarise(log)
    frames = log.frames()
    on_border = 0

    def particles() -> Any:
        nonlocal on_border
        for particle in log.particles(with_vignettes=True):
            on_border += particle.on_border
            yield particle

    galleries = choose_vignettes(
        particles(),
        [taxon.label for taxon in summary.codebook.taxa],
        {frame["frame"]: frame["pressure_dbar"] for frame in frames},
        max_vignettes=max_vignettes,
        pixel_um=summary.codebook.optics.pixel_um,
    )
    logged = log.messages()
    return Dive(
        path=log.path,
        # The configuration whole, with what it left to the defaults.
        meta={key: log.meta(key) for key in _META if log.has_meta(key)}
        | {"config": msgspec.to_builtins(config_of(log))},
        summary=summary,
        drift=drift_in(log),
        health=in_one_line(list(dive_checks(log))),
        frames=frames,
        galleries=galleries,
        on_border=on_border,
        logged_messages=logged,
        climatology=climatology_in(log),
        messages=_message_files(log.path.parent, logged),
        truth=read_truth(log.path.parent / "truth.json"),
    )


def _message_files(folder: Path, logged: Sequence[bytes]) -> dict[str, bytes]:
    place = folder / "messages"
    if not place.is_dir():
        return {f"part {part}": data for part, data in enumerate(logged)}
    try:
        return {file.name: file.read_bytes() for file in sorted(place.glob("*.msg"))}
    except OSError as cause:
        raise DiveLogError(f"cannot be read ({cause})", file=place, remedy="check the folder") from cause
