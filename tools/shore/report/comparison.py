"""One dive beside those before it: taxa, and everything with depth. Pure, as `figures`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tools.shore.report.digest import Digest
from tools.shore.report.over_time import taxa_of
from tools.shore.report.sections import EVERYTHING, column, common_edges
from tools.shore.report.style import Figure, layout, plain_list, pressure_axis
from tools.shore.science.intervals import poisson


def compared_taxa(dives: Sequence[Digest], most: int = 12) -> Figure | None:
    """Concentration of taxa of several dives side by side, with counting intervals; the last one is this."""
    labels = taxa_of(dives)[:most][::-1]
    if not labels:
        return None
    traces = []
    for i, dive in enumerate(dives):
        rows: Mapping[str, Any] = {row.label: row for row in dive.science.taxa[0][1]}
        mine = [rows[label] for label in labels if label in rows and rows[label].count]
        value, low, high = (
            np.array([getattr(row, f"per_l{end}") for row in mine]) * 1000 for end in ("", "_low", "_high")
        )
        is_this = i == len(dives) - 1
        colour = "#0b4f78" if is_this else ("#9aa7ae", "#c2500a", "#007f5f", "#cc79a7", "#a6761d")[i % 5]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"dive {dive.number}" + (" (this)" if is_this else ""),
                "x": plain_list(value),
                "y": [row.label for row in mine],
                "text": [f"{row.count:,} counted" for row in mine],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": plain_list(high - value),
                    "arrayminus": plain_list(value - low),
                    "thickness": 1,
                    "width": 2,
                    "color": colour,
                },
                "marker": {
                    "size": 9 if is_this else 7,
                    "color": colour,
                    "symbol": "diamond" if is_this else "circle",
                },
                "hovertemplate": "%{y}: %{x:.4g} m⁻³, %{text}<extra>dive " + str(dive.number) + "</extra>",
            }
        )
    plot = layout(height=90 + 28 * len(labels), left=12)
    plot["xaxis"] |= {"type": "log", "title": {"text": "m⁻³"}, "exponentformat": "power", "dtick": 1}
    plot["yaxis"] |= {"automargin": True, "categoryorder": "array", "categoryarray": labels}
    return {"data": traces, "layout": plot}


def compared_profile(dives: Sequence[Digest]) -> Figure | None:
    """All sized particles against pressure of several dives, descent and ascent together."""
    traces = []
    edges = common_edges(dives)
    if len(edges) < 2:
        return None
    deepest = float(edges[-1])
    for i, dive in enumerate(dives):
        per_l, count, litres = column(dive, EVERYTHING, edges)
        some = np.isfinite(per_l)
        if not some.any():
            continue
        is_this = i == len(dives) - 1
        colour = "#0b4f78" if is_this else ("#9aa7ae", "#c2500a", "#007f5f", "#cc79a7", "#a6761d")[i % 5]
        low, high = poisson(count[some].round())
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"dive {dive.number}" + (" (this)" if is_this else ""),
                "x": plain_list(per_l[some]),
                "y": plain_list(((edges[1:] + edges[:-1]) / 2)[some]),
                "text": [
                    f"{a:.4g} to {b:.4g}"
                    for a, b in zip(low / litres[some], high / litres[some], strict=True)
                ],
                "line": {"color": colour, "width": 2.2 if is_this else 1.2},
                "marker": {"size": 4, "color": colour},
                "hovertemplate": "%{y:g} dbar: %{x:.4g} L⁻¹ (%{text})<extra>dive "
                + str(dive.number)
                + "</extra>",
            }
        )
    if not traces:
        return None
    plot = layout(height=380)
    plot["xaxis"] |= {"title": {"text": "all sized particles, L⁻¹"}, "rangemode": "tozero"}
    plot["yaxis"] |= pressure_axis(deepest)
    return {"data": traces, "layout": plot}
