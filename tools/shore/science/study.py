"""One dive from its folder to science and its plots: reads, joins, analyses, fetches examples' pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from edge.log_reader import LogReader
from tools.shore.dives import LoggedDive, MessageDive
from tools.shore.report.style import Figure
from tools.shore.science.analysis import Science, analyse
from tools.shore.science.carbon import Relations
from tools.shore.science.figures import figures
from tools.shore.science.from_messages import from_messages
from tools.shore.science.layers import SeenDive
from tools.shore.science.reading import Options, read_log
from tools.shore.science.water import at_frames, read_ctd


def study(
    dive: LoggedDive | MessageDive,
    relations: Relations,
    options: Options | None = None,
    *,
    ctd: Path | None = None,
    up_deg: float = 90.0,
    with_pictures: bool = True,
    correct_layers: bool = True,
) -> tuple[Science, dict[str, Figure]]:
    """Science of a dive, and its plots.

    Parameters
    ----------
    dive
        Its log, open, or its messages.
    relations, up_deg, correct_layers
        See `analyse`.
    ctd
        Readings to join at every frame; they win over those in the log.

    Raises
    ------
    DiveLogError, InputError
        In a sentence, when something cannot be read.
    """
    if isinstance(dive, MessageDive):
        found = analyse(from_messages(dive, options), relations)
        return found, figures(found, {})
    seen = read_log(dive, options)
    if ctd is not None:
        seen = _joined(seen, ctd)
    found = analyse(seen, relations, up_deg=up_deg, correct_layers=correct_layers)
    return found, figures(found, _pictures(dive.log, found) if with_pictures else {})


def _joined(seen: SeenDive, ctd: Path) -> SeenDive:
    columns, by = at_frames(read_ctd(ctd), seen.frames["time_ms"], seen.frames["pressure_dbar"])
    met = max((int(np.isfinite(values).sum()) for values in columns.values()), default=0)
    remark = (
        f"{ctd.name} was met by {by}: it has readings at {met:,} of {len(seen.frames['frame']):,} frames."
    )
    return dataclasses.replace(seen, frames=seen.frames | columns, cannot=(*seen.cannot, remark))


def _pictures(log: LogReader, found: Science) -> dict[int, bytes]:
    """PNG of the example particles, by row of the named ones; damaged ones are left out."""
    if found.shapes is None or found.seen.named is None:
        return {}
    rows = [row for row, _, _ in found.shapes.examples]
    pictures = {row: log.vignette(int(found.seen.named.number[row])) for row in rows}
    return {row: png for row, png in pictures.items() if png}
