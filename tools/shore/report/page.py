"""From a dive that was read to one HTML page: chooses what is shown, fills the template, inlines it all.

The page asks nothing of any network. What the numbers are is decided elsewhere (`facts`, `curves`, `shore`),
and so is what the plots show (`drawing`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from edge.frame import FrameOutcome
from edge.telemetry.summary import living_taxa
from edge.telemetry.whole_dive import SizesOfTaxon
from tools.shore.report import comparison, dive_figures, drawing, facts, figures, instrument, seen
from tools.shore.report.curves import CurveSet, Source, curves_of, reading_width_dbar, water_curves
from tools.shore.report.digest import Digest
from tools.shore.report.dive import Dive
from tools.shore.report.shore import ShoreView
from tools.shore.report.style import OUTCOME_COLOURS, WORDS, Figure, count_text
from tools.shore.science.analysis import Science

SHOWN_AT_FIRST = 8
"""Taxa whose profiles are drawn when the page opens; the others wait for a click."""
RECORDED = "@recorded"
"""Ends the id of a plot in the bins as they were recorded, where the page opens with pools of them."""


Studied = tuple[Science, Mapping[str, Figure]]
"""Science of a dive, and its plots."""
Before = tuple[Sequence[Digest], Sequence[str]]
"""Dives to compare with, this one last, and sentences on those that were not taken."""


def render(dive: Dive, shore: ShoreView, studied: Studied | None = None, before: Before | None = None) -> str:
    """The page as text. Raises `ImportError` when plotly or jinja2 is missing."""
    return render_content(*content(dive, shore, studied, before))


def render_content(plots: Mapping[str, Figure], context: Mapping[str, Any]) -> str:
    """The page of what `content` gave."""
    from tools.shore.report.static import picture

    at_once = next((place for place in ("track", "profile-sized") if place in plots), None)
    drawings = {} if at_once is None else {at_once: picture(plots[at_once])}
    return fill("tools.shore.report", "report.html", plots, {**context, "drawings": drawings})


def fill(package: str, name: str, plots: Mapping[str, Figure], context: Mapping[str, Any]) -> str:
    """A page that needs no network: a template, which extends page.html, with its plots and what draws them.

    Raises `ImportError` when jinja2 is missing, or plotly and there are plots.
    """
    import jinja2

    def read(name: str, place: str = "tools.shore.report") -> str:
        return (files(place) / name).read_text(encoding="utf-8")

    if plots:
        from plotly.offline import get_plotlyjs

        # "<" cannot end the script element it stands in.
        told = json.dumps(plots, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
        context = {**context, "plots": told, "plotly": get_plotlyjs(), "script": read("report.js")}
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=jinja2.FunctionLoader(read)
    )
    environment.filters["count"] = count_text
    return environment.from_string(read(name, package)).render(**context, css=read("report.css"))


def content(
    dive: Dive, shore: ShoreView, studied: Studied | None = None, before: Before | None = None
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Plots by the id of their place, and what the template needs."""
    tables, known, meta, summary = dive.tables, dive.tables.decoded, dive.meta, dive.summary
    board, board_frames = known.taxa().tolist(), known.outcomes().tolist()
    told, told_frames = shore.taxa, shore.outcomes
    if summary is None:  # what came stands under shore, be it all of the dive or not
        board, board_frames, told, told_frames = None, None, board, board_frames
    living = {taxon.label: taxon.living for taxon in dive.codebook.taxa}
    sets = {
        Source.SHORE: shore.curves,
        Source.BOARD: CurveSet() if summary is None else curves_of(known),
        Source.WATER: water_curves(dive.truth, dive.labels),
    }
    water = None if dive.truth is None else dive.truth.taxa
    taxa = facts.taxon_rows(dive.labels, living, water, board, told, shore.corrected, shore.doubt)
    panels = drawing.panels(known, [row.label for row in taxa])
    width_dbar = reading_width_dbar(sets[drawing.finest(sets)].taxa)
    plots = drawing.draw(tables, sets, panels, width_dbar)
    panels = [panel for panel in panels if f"profile-{panel.name}" in plots]
    if width_dbar is not None:
        recorded = drawing.draw(tables, sets, panels, None)
        plots |= {place + RECORDED: plot for place, plot in recorded.items() if plot != plots[place]}
    if dive.frames and dive.span_ms:
        plots["track"] = dive_figures.track(dive.frames, dive.span_ms[0])
    sizes_source, within = _sizes_within_taxa(dive, shore)
    boxes = figures.taxon_sizes(within)
    if boxes is not None:
        plots["taxon-sizes"] = boxes
    if studied is not None:
        plots |= studied[1]
    if before is not None:
        compared = {
            "before-taxa": comparison.compared_taxa(before[0]),
            "before-profile": comparison.compared_profile(before[0]),
        }
        plots |= {place: plot for place, plot in compared.items() if plot is not None}

    sizes = [len(data) for data in dive.sent]
    shore_frames = None if shore.outcomes is None else sum(shore.outcomes)
    n_frames = None if summary is None else len(dive.frames)
    adds_up, adding = facts.adding_up(int(known.outcomes().sum()), n_frames, shore_frames)
    health, condition = (None, None) if summary is None else (summary.health, summary.condition)
    return plots, {
        "title": f"Dive {meta.get('dive_number', '')}",
        "place": facts.position_text((meta.get("recording") or {}).get("position") or {}),
        "time": facts.utc_text(dive.span_ms[0]) if dive.span_ms else "",
        "numbers": facts.key_numbers(tables, dive.frames, sizes, dive.galleries),
        "identity": facts.identity(meta, dive.span_ms, dive.codebook.optics),
        "notes": facts.notes(
            tables, dive.galleries, meta,
            on_border=dive.on_border, missing=shore.missing,
            truth_note="" if dive.truth is None else dive.truth.note,
        ),
        "sources": [
            {"key": one.value, "words": WORDS[one]}
            for one in Source
            if sets[one].taxa or (one is Source.SHORE and summary is None)
        ],
        "shows_board": not drawing.tells_all(shore.curves, sets[Source.BOARD]),
        "width_dbar": width_dbar,
        "phases": [part.phase.name.lower() for part in tables.phases],
        "taxa": taxa,
        "is_corrected": any(row.corrected for row in taxa),
        "is_doubted": any(row.doubt is not None for row in taxa),
        "sizes_source": WORDS[sizes_source],
        "health": [
            *instrument.health_rows(health, shore.health),
            *instrument.health_rows(condition, shore.condition),
        ],
        "fared": dive.health,
        "unknown_health": instrument.unknown_health(health, condition),
        "health_remarks": instrument.remarks(
            condition or shore.condition, dive.codebook.optics.threshold, dive.drift
        ),
        "replies": instrument.reply_rows((summary or shore).replies, shore.replies),
        "most": max((row.largest for row in taxa), default=1.0),
        "scores": facts.score_rows(dive.truth),
        "panels": panels,
        "first": [panel.name for panel in panels[: 2 + SHOWN_AT_FIRST]],
        "spectra": [
            {"phase": phase.name.lower(), "source": WORDS[source], "partial": source is Source.BOARD}
            for phase, (source, _) in drawing.spectra(sets).items()
        ],
        "has": set(plots),
        "science": None if studied is None else seen.science_context(studied[0]),
        "before": None
        if before is None
        else {"rows": seen.dive_rows(before[0]), "not_taken": before[1]},
        "outcomes": facts.outcome_rows(board_frames, told_frames),
        "colours": {outcome: OUTCOME_COLOURS[outcome] for outcome in FrameOutcome},
        "is_logged": summary is not None,
        "n_frames": len(dive.frames),
        "adds_up": adds_up,
        "adding": adding,
        "shore_total": shore_frames,
        "galleries": dive.galleries,
        "pictures": shore.pictures,
        "messages": shore.messages,
        "sent": sizes,
        "largest_bytes": max((row.n_bytes for row in shore.messages), default=1),
        "budget": (meta.get("config") or {}).get("telemetry") or {},
        "scopes": shore.scopes,
        "layers": shore.layers,
        "config": list(facts.flat_config(meta.get("config") or {})),
        "min_esd_um": ((meta.get("config") or {}).get("classify") or {}).get("min_esd_um"),
        "limit_um": dive.codebook.optics.size_class_limits_um[0],
    }  # fmt: skip


def _sizes_within_taxa(dive: Dive, shore: ShoreView) -> tuple[Source, list[SizesOfTaxon]]:
    """Sizes within the living taxa: the shore's where it has all of them, else the board's."""
    taxa, steps = dive.codebook.taxa, None if dive.summary is None else dive.summary.esd_quantiles
    living = living_taxa(taxa)
    if len(shore.sizes) == len(living) or steps is None:
        return Source.SHORE, list(shore.sizes)
    return Source.BOARD, [
        SizesOfTaxon.from_steps(taxa[taxon], row) for taxon, row in zip(living, steps.tolist(), strict=True)
    ]
