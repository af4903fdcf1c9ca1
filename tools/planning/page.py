"""The picture of bytes against error, as one HTML page that needs no network. `sweep` makes the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edge.telemetry import DiveSummary, Plan, Quantity
from tools.planning import words
from tools.planning.sweep import DRAWN, Point, noise_of_counting
from tools.shore.report.page import fill
from tools.shore.report.style import Figure, layout, plain

_LOOKS = {
    Quantity.TAXA: {"colour": "#0072b2", "symbol": "circle"},
    Quantity.SIZES: {"colour": "#c2500a", "symbol": "diamond"},
}
_ERROR = "root mean square of (decoded − counted) ÷ that of counted, %"


def render(summary: DiveSummary, points: Sequence[Point], chosen: Plan, message_bytes: int) -> str:
    """The page as text. Raises `ImportError` when plotly or jinja2 is missing.

    `chosen` is the plan of the budget asked for.
    """
    shown = [q for q in DRAWN if any(q in point.errors for point in points)]
    noise = {q: value for q in shown if (value := noise_of_counting(summary, q)) is not None}
    context = {
        "title": f"Dive {summary.dive_number}: what bytes buy",
        "message_bytes": message_bytes,
        "columns": [DRAWN[quantity] for quantity in shown],
        "rows": [
            {
                "bytes": point.plan.n_bytes,
                "messages": len(point.plan.messages),
                "cells": [(_resolution(summary, point.plan, q), _percent(point.errors[q])) for q in shown],
            }
            for point in points
        ],
        "noise": [(DRAWN[quantity], _percent(value)) for quantity, value in noise.items()],
        "layers": words.rows(chosen, summary.codebook),
        "layer_columns": words.COLUMNS,
        "chosen_bytes": chosen.n_bytes,
        "chosen_messages": len(chosen.messages),
    }
    return fill("tools.planning", "page.html", {"error": draw(summary, points, chosen.n_bytes)}, context)


def draw(summary: DiveSummary, points: Sequence[Point], chosen_bytes: int) -> Figure:
    """Error against bytes, a line a table, and the noise of counting beside it."""
    look = layout(height=460, left=66, top=40, bottom=56)
    data = []
    for quantity, name in DRAWN.items():
        told = [point for point in points if quantity in point.errors]
        if not told:
            continue
        colour = _LOOKS[quantity]["colour"]
        data.append({
            "type": "scatter", "mode": "lines+markers", "name": name,
            "x": [point.plan.n_bytes for point in told],
            "y": [plain(100 * point.errors[quantity]) for point in told],
            "text": [_resolution(summary, point.plan, quantity) for point in told],
            "line": {"color": colour, "width": 2},
            "marker": {"color": colour, "symbol": _LOOKS[quantity]["symbol"], "size": 8},
            "hovertemplate": "%{x:,} bytes: %{y:.3g} %<br>%{text}<extra>" + name + "</extra>",
        })  # fmt: skip
        noise = noise_of_counting(summary, quantity)
        if noise is not None:
            ends = told[0].plan.n_bytes, told[-1].plan.n_bytes
            data.append({
                "type": "scatter", "mode": "lines", "name": f"noise of counting, {name}",
                "x": list(ends), "y": [plain(100 * noise)] * 2,
                "line": {"color": colour, "width": 1.5, "dash": "dash"},
                "hovertemplate": "%{y:.3g} %<extra>noise of counting, " + name + "</extra>",
            })  # fmt: skip
    ends = points[0].plan.n_bytes, points[-1].plan.n_bytes
    margin = 0.03 * max(math.log10(ends[1] / ends[0]), 0.1)
    look["xaxis"] |= {
        "type": "log", "title": {"text": "bytes of all messages"}, "dtick": "D2", "tickformat": ",d",
        "range": [math.log10(ends[0]) - margin, math.log10(ends[1]) + margin],
    }  # fmt: skip
    look["yaxis"] |= {"title": {"text": _ERROR}, "rangemode": "tozero"}
    look |= {
        "showlegend": True,
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.01, "x": 0},
        "shapes": [{
            "type": "line", "x0": chosen_bytes, "x1": chosen_bytes, "yref": "paper", "y0": 0, "y1": 1,
            "line": {"color": "#5a6b75", "width": 1, "dash": "dot"},
        }],
        "annotations": [{
            "x": math.log10(chosen_bytes), "yref": "paper", "y": 1, "text": "this plan", "showarrow": False,
            "xanchor": "right", "xshift": -4, "yanchor": "top", "font": {"size": 11, "color": "#5a6b75"},
        }],
    }  # fmt: skip
    return {"data": data, "layout": look}


def _resolution(summary: DiveSummary, plan: Plan, quantity: Quantity) -> str:
    """Resolution of a table in every phase that has it."""
    found = [layer for layer in plan.layers if layer.quantity is quantity and layer.height is not None]
    if not found:
        return "not sent"
    return ", ".join(
        f"{words.scope_name(layer.scope)} {words.resolution(layer, summary.codebook)}" for layer in found
    )


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %" if value else "0"
