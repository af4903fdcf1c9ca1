"""From several dives to one page: where, when, what at which depth, what it cost, how instruments fared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from tools.shore.report import fleet_map, over_time, sections
from tools.shore.report.digest import Digest
from tools.shore.report.facts import utc_text
from tools.shore.report.page import fill
from tools.shore.report.seen import dive_rows
from tools.shore.report.style import Figure

SHOWN_AT_FIRST = 5
MAX_TAXA = 24
"""Taxa that get sections; the others are in the table of each dive."""


def render_fleet_content(plots: Mapping[str, Figure], context: Mapping[str, Any]) -> str:
    """The page of what `fleet_content` gave. Raises `ImportError` when plotly or jinja2 is missing."""
    return fill("tools.shore.report", "fleet.html", plots, context)


def fleet_content(
    dives: Sequence[Digest], not_taken: Sequence[str]
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Plots by the id of their place, and what the template needs."""
    coast = json.loads((files("tools.shore.report") / "coast.json").read_text(encoding="utf-8"))["lines"]
    plots: dict[str, Figure] = {}
    named = over_time.taxa_of(dives)
    panels = []
    for i, label in enumerate([sections.EVERYTHING, *named[:MAX_TAXA]]):
        places = []
        for j, (platform, plot) in enumerate(sections.sections(dives, label)):
            plots[f"section-{i}-{j}"] = plot
            places.append((f"section-{i}-{j}", platform))
        if places:
            panels.append({"name": str(i), "label": label, "places": places})
    health = over_time.health(dives)
    others = {
        "map": fleet_map.track_map(dives, coast),
        "flux": over_time.over_time(dives, _flux, "flux, mg C m⁻² d⁻¹", height=260, log=True),
        "budgets": over_time.budgets(dives),
        "drift": over_time.drift(dives),
    } | {f"health-{name}": plot for name, (_, plot) in health.items()}
    plots |= {name: plot for name, plot in others.items() if plot is not None}
    times = [d.started_ms for d in dives if d.started_ms is not None]
    platforms = sorted({d.platform for d in dives})
    return plots, {
        "title": f"{_number(len(dives), 'dive')} of {_number(len(platforms), 'float')}",
        "time": f"{utc_text(min(times))} to {utc_text(max(times))}" if times else "",
        "platforms": platforms,
        "rows": dive_rows(dives),
        "panels": panels,
        "first": [panel["name"] for panel in panels[:SHOWN_AT_FIRST]],
        "left_out": named[MAX_TAXA:],
        "relation": next((one.name for d in dives for one in d.science.relations.flux), ""),
        "has": set(plots),
        "health": [(f"health-{name}", words) for name, (words, _) in health.items()],
        "not_taken": not_taken,
        "from_messages": sum(not d.from_log for d in dives),
    }  # fmt: skip


def _flux(dive: Digest) -> float | None:
    return next((f.value for scope, _, f in dive.science.fluxes if scope.phase is None and f.value > 0), None)


def _number(n: int, what: str) -> str:
    return f"{n} {what}{'s' if n != 1 else ''}"
