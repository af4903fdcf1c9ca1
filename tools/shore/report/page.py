"""From a dive that was read to one HTML page: chooses what is shown, fills the template, inlines it all.

The page asks nothing of any network. What the numbers are is decided elsewhere (`facts`, `curves`, `shore`),
and so is what the plots show (`figures`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np

from edge.frame import FrameOutcome, Phase
from tools.shore.report import dive_figures, facts, figures
from tools.shore.report.curves import Curves, CurveSet, Source, board_curves, noise_curves, water_curves
from tools.shore.report.dive import Dive
from tools.shore.report.shore import ShoreView
from tools.shore.report.style import OUTCOME_COLOURS, WORDS, Figure, count_text

SHOWN_AT_FIRST = 8
"""Taxa whose profiles are drawn when the page opens; the others wait for a click."""


def render(dive: Dive, shore: ShoreView) -> str:
    """The page as text. Raises `ImportError` when plotly or jinja2 is missing."""
    import jinja2
    from plotly.offline import get_plotlyjs

    here = files("tools.shore.report")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["count"] = count_text
    template = environment.from_string((here / "report.html").read_text(encoding="utf-8"))
    plots, context = _content(dive, shore)
    return template.render(
        **context,
        css=(here / "report.css").read_text(encoding="utf-8"),
        script=(here / "report.js").read_text(encoding="utf-8"),
        plotly=get_plotlyjs(),
        # "<" cannot end the script element it stands in.
        plots=json.dumps(plots, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    )


def _content(dive: Dive, shore: ShoreView) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Plots by the id of their place, and what the template needs."""
    profile, optics, meta = dive.summary.profile, dive.codebook.optics, dive.meta
    living = {taxon.label: taxon.living for taxon in dive.codebook.taxa}
    sets = {
        Source.SHORE: shore.curves,
        Source.BOARD: board_curves(profile),
        Source.WATER: water_curves(dive.truth, dive.labels),
    }
    sources = {source: found for source, found in sets.items() if found.taxa}
    phases = [part.phase for part in profile.phases]
    started_ms = min((frame["time_ms"] for frame in dive.frames), default=0)
    water = None if dive.truth is None else dive.truth.taxa
    board = sum(
        (part.taxa.sum(axis=0) for part in profile.phases), np.zeros(len(dive.labels), dtype=np.int64)
    )
    taxa = facts.taxon_rows(dive.labels, living, water, board.tolist(), shore.taxa)

    plots: dict[str, Figure] = {"track": dive_figures.track(dive.frames, started_ms)}
    panels = _panels(plots, dive, sources, taxa)
    spectra = _spectra(plots, dive, sets, phases)
    deepest = _deepest(sources)
    plots["frames"] = dive_figures.frames_by_depth(profile, deepest=deepest)
    plots["volumes"] = dive_figures.volumes(sets[Source.BOARD], deepest=deepest)
    others = {
        "frames-park": dive_figures.frames_by_time(profile),
        "temperature": dive_figures.temperatures(profile, deepest=deepest),
    }
    plots |= {place: plot for place, plot in others.items() if plot is not None}

    sizes = [len(data) for data in dive.logged_messages]
    shore_frames = None if shore.outcomes is None else sum(shore.outcomes)
    adds_up, adding = facts.adding_up(profile, len(dive.frames), shore_frames)
    return plots, {
        "title": f"Dive {meta.get('dive_number', '')}",
        "place": facts.position_text((meta.get("recording") or {}).get("position") or {}),
        "time": facts.utc_text(started_ms) if dive.frames else "",
        "numbers": facts.key_numbers(profile, dive.frames, optics, sizes, dive.galleries),
        "identity": facts.identity(meta, dive.frames, optics),
        "notes": facts.notes(
            profile, dive.frames, optics, dive.galleries, meta,
            on_border=dive.on_border, missing=shore.missing,
            truth_note="" if dive.truth is None else dive.truth.note,
        ),
        "sources": [{"key": s.value, "words": WORDS[s]} for s in Source if s in sources],
        "shows_board": not _tells_all(shore.curves, sets[Source.BOARD]),
        "phases": [phase.name.lower() for phase in phases],
        "taxa": taxa,
        "most": max((row.largest for row in taxa), default=1.0),
        "scores": facts.score_rows(dive.truth),
        "panels": panels,
        "spectra": spectra,
        "has": set(plots),
        "outcomes": facts.outcome_rows(profile, shore.outcomes),
        "colours": {outcome: OUTCOME_COLOURS[outcome] for outcome in FrameOutcome},
        "adds_up": adds_up,
        "adding": adding,
        "shore_total": shore_frames,
        "galleries": dive.galleries,
        "messages": shore.messages,
        "sent": sizes,
        "budget": (meta.get("config") or {}).get("telemetry") or {},
        "scopes": shore.scopes,
        "layers": shore.layers,
        "config": list(facts.flat_config(meta.get("config") or {})),
        "min_esd_um": ((meta.get("config") or {}).get("classify") or {}).get("min_esd_um"),
        "limit_um": optics.size_class_limits_um[0],
    }  # fmt: skip


def _panels(
    plots: dict[str, Figure],
    dive: Dive,
    sources: Mapping[Source, CurveSet],
    taxa: list[facts.TaxonRow],
) -> list[dict[str, Any]]:
    """Profiles to draw: all sized particles, all classified ones, then taxon by taxon."""
    panels: list[dict[str, Any]] = []
    deepest = _deepest(sources)

    def add(
        name: str, label: str, total: float, curves: Mapping[Source, Mapping[Phase, Curves]], shown: bool
    ) -> None:
        plots[f"profile-{name}"] = figures.profile(curves, deepest=deepest)
        park = figures.park(curves)
        if park is not None:
            plots[f"park-{name}"] = park
        panels.append(
            {"name": name, "label": label, "total": total, "park": park is not None, "shown": shown}
        )

    sized = {
        s: {p: c.total() for p, c in found.spectrum.items()} for s, found in sources.items() if found.spectrum
    }
    add("sized", "all sized particles", float(dive.summary.profile.lpm().sum()), sized, True)
    named = {s: {p: c.total() for p, c in found.taxa.items()} for s, found in sources.items()}
    add("named", "all classified particles", float(sum(row.board for row in taxa)), named, True)
    column = {label: i for i, label in enumerate(dive.labels)}
    for i, row in enumerate(row for row in taxa if row.label in column):
        mine = {
            s: {p: c.column(column[row.label]) for p, c in found.taxa.items()} for s, found in sources.items()
        }
        add(f"taxon-{i}", row.label, row.board, mine, i < SHOWN_AT_FIRST)
    return panels


def _spectra(
    plots: dict[str, Figure], dive: Dive, sets: Mapping[Source, CurveSet], phases: list[Phase]
) -> list[dict[str, str]]:
    """Size spectra: a section a phase, as the shore has it where it does, and the mean of each phase."""
    optics = dive.codebook.optics
    shown: dict[Phase, tuple[Source, Curves]] = {}
    for phase in phases:
        found = sets[Source.SHORE].spectrum.get(phase)
        on_shore = found is not None and found.is_known
        source = Source.SHORE if on_shore else Source.BOARD
        shown[phase] = source, sets[source].spectrum[phase]
    span = figures.colour_span([curves for _, curves in shown.values()])
    deepest = _deepest(sets)
    sections = []
    for phase, (source, curves) in shown.items():
        place = f"sizes-{phase.name.lower()}"
        plots[place] = figures.sizes(curves, optics, span, deepest=deepest)
        words = WORDS[source] + (" (the shore has not all of it)" if source is Source.BOARD else "")
        sections.append({"place": place, "phase": phase.name.lower(), "source": words})
    noise = noise_curves(dive.summary.profile, optics)
    plots["mean-sizes"] = figures.mean_sizes(shown, noise, optics)
    return sections


def _tells_all(shore: CurveSet, board: CurveSet) -> bool:
    """Whether the shore has every table of every phase, so that its curves may stand alone."""
    return all(
        phase in found and found[phase].is_known
        for found, wanted in ((shore.taxa, board.taxa), (shore.spectrum, board.spectrum))
        for phase in wanted
    )


def _deepest(sets: Mapping[Source, CurveSet]) -> float:
    """End of every pressure axis of the page, so that panels can be compared by eye."""
    ends = [
        float(curves.edges[-1])
        for found in sets.values()
        for table in (found.taxa, found.spectrum)
        for phase, curves in table.items()
        if phase is not Phase.PARK
    ]
    return float(np.max(ends)) if ends else 1.0
