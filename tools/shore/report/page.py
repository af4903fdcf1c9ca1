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
from tools.shore.report.curves import Source, curves_of, reading_width_dbar, water_curves
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
    here = files("tools.shore.report")
    template = (here / "report.html").read_text(encoding="utf-8")
    return fill(template, plots, {**context, "script": (here / "report.js").read_text(encoding="utf-8")})


def fill(template: str, plots: Mapping[str, Figure], context: Mapping[str, Any]) -> str:
    """A page that needs no network: a template with the report's look, plotly and its plots inlined.

    The template is given `css`, `plotly` and `plots`, beside its context. Raises `ImportError` when plotly or
    jinja2 is missing.
    """
    import jinja2
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["count"] = count_text
    css = (files("tools.shore.report") / "report.css").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        **context,
        css=css,
        plotly=get_plotlyjs(),
        # "<" cannot end the script element it stands in.
        plots=json.dumps(plots, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    )


def content(
    dive: Dive, shore: ShoreView, studied: Studied | None = None, before: Before | None = None
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Plots by the id of their place, and what the template needs."""
    tables, known, meta = dive.tables, dive.tables.decoded, dive.meta
    living = {taxon.label: taxon.living for taxon in dive.codebook.taxa}
    sets = {
        Source.SHORE: shore.curves,
        Source.BOARD: curves_of(known),
        Source.WATER: water_curves(dive.truth, dive.labels),
    }
    started_ms = min((frame["time_ms"] for frame in dive.frames), default=0)
    water = None if dive.truth is None else dive.truth.taxa
    taxa = facts.taxon_rows(
        dive.labels, living, water, known.taxa().tolist(), shore.taxa, shore.corrected, shore.doubt
    )
    panels = drawing.panels(known, [row.label for row in taxa])
    width_dbar = reading_width_dbar(sets[Source.BOARD].taxa)
    plots = drawing.draw(tables, sets, panels, width_dbar)
    if width_dbar is not None:
        recorded = drawing.draw(tables, sets, panels, None)
        plots |= {place + RECORDED: plot for place, plot in recorded.items() if plot != plots[place]}
    plots["track"] = dive_figures.track(dive.frames, started_ms)
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

    sizes = [len(data) for data in dive.logged_messages]
    shore_frames = None if shore.outcomes is None else sum(shore.outcomes)
    adds_up, adding = facts.adding_up(int(known.outcomes().sum()), len(dive.frames), shore_frames)
    return plots, {
        "title": f"Dive {meta.get('dive_number', '')}",
        "place": facts.position_text((meta.get("recording") or {}).get("position") or {}),
        "time": facts.utc_text(started_ms) if dive.frames else "",
        "numbers": facts.key_numbers(tables, dive.frames, sizes, dive.galleries),
        "identity": facts.identity(meta, dive.frames, dive.codebook.optics),
        "notes": facts.notes(
            tables, dive.galleries, meta,
            on_border=dive.on_border, missing=shore.missing,
            truth_note="" if dive.truth is None else dive.truth.note,
        ),
        "sources": [{"key": s.value, "words": WORDS[s]} for s in Source if sets[s].taxa],
        "shows_board": not drawing.tells_all(shore.curves, sets[Source.BOARD]),
        "width_dbar": width_dbar,
        "phases": [part.phase.name.lower() for part in tables.phases],
        "taxa": taxa,
        "is_corrected": any(row.corrected for row in taxa),
        "is_doubted": any(row.doubt is not None for row in taxa),
        "sizes_source": WORDS[sizes_source],
        "health": [
            *instrument.health_rows(dive.summary.health, shore.health),
            *instrument.health_rows(dive.summary.condition, shore.condition),
        ],
        "fared": dive.health,
        "unknown_health": instrument.unknown_health(dive.summary.health, dive.summary.condition),
        "health_remarks": instrument.remarks(
            dive.summary.condition, dive.summary.codebook.optics.threshold, dive.drift
        ),
        "replies": instrument.reply_rows(dive.summary.replies, shore.replies),
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
        "outcomes": facts.outcome_rows(known.outcomes().tolist(), shore.outcomes),
        "colours": {outcome: OUTCOME_COLOURS[outcome] for outcome in FrameOutcome},
        "n_frames": len(dive.frames),
        "adds_up": adds_up,
        "adding": adding,
        "shore_total": shore_frames,
        "galleries": dive.galleries,
        "pictures": shore.pictures,
        "messages": shore.messages,
        "sent": sizes,
        "budget": (meta.get("config") or {}).get("telemetry") or {},
        "scopes": shore.scopes,
        "layers": shore.layers,
        "config": list(facts.flat_config(meta.get("config") or {})),
        "min_esd_um": ((meta.get("config") or {}).get("classify") or {}).get("min_esd_um"),
        "limit_um": dive.codebook.optics.size_class_limits_um[0],
    }  # fmt: skip


def _sizes_within_taxa(dive: Dive, shore: ShoreView) -> tuple[Source, list[SizesOfTaxon]]:
    """Sizes within the living taxa: the shore's where it has all of them, else the board's."""
    taxa, steps = dive.codebook.taxa, dive.summary.esd_quantiles
    living = living_taxa(taxa)
    if len(shore.sizes) == len(living) or steps is None:
        return Source.SHORE, list(shore.sizes)
    return Source.BOARD, [
        SizesOfTaxon.from_steps(taxa[taxon], row) for taxon, row in zip(living, steps.tolist(), strict=True)
    ]
