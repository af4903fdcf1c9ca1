"""What plots against depth share: error bars, lines, axes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge.frame import Phase
from tools.shore.report.style import Figure, layout, plain_list, pressure_axis
from tools.shore.science.analysis import Science
from tools.shore.science.layers import Scope
from tools.shore.science.spectra import Floats


def errors(value: Floats, low: Floats, high: Floats, colour: str) -> dict[str, Any]:
    """Error bars from a value to both ends of its interval; arrays of one length."""
    return {
        "type": "data",
        "symmetric": False,
        "array": plain_list(np.maximum(high - value, 0)),
        "arrayminus": plain_list(np.maximum(value - low, 0)),
        "thickness": 1,
        "width": 2,
        "color": colour,
    }


def against_depth(
    name: str,
    where: Sequence[Scope],
    value: Floats,
    low: Floats,
    high: Floats,
    colour: str,
    *,
    dashed: bool,
    unit: str,
) -> dict[str, Any]:
    """One line against pressure, each layer at its middle, with its interval."""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": plain_list(value),
        "y": plain_list([(s.top + s.bottom) / 2 for s in where]),
        "error_x": errors(value, low, high, colour),
        "text": [f"{s.top:g}–{s.bottom:g} dbar" for s in where],
        "line": {"color": colour, "width": 1.3, "dash": "5px,3px" if dashed else "solid"},
        "marker": {"size": 5, "color": colour, "symbol": "circle-open" if dashed else "circle"},
        "hovertemplate": "%{text}: %{x:.3g} " + unit + "<extra>" + name + "</extra>",
    }


def depth_plot(
    traces: list[dict[str, Any]], title: str, science: Science, *, log: bool = False
) -> Figure | None:
    """A plot of lines against pressure; None without any."""
    if not traces:
        return None
    deepest = max(one.scope.bottom for one in science.seen.layers if one.scope.phase is not Phase.PARK)
    plot = layout(height=380)
    plot["xaxis"] |= {"title": {"text": title}}
    if log:
        plot["xaxis"] |= {"type": "log", "exponentformat": "power", "dtick": 1}
    plot["yaxis"] |= pressure_axis(deepest)
    return {"data": traces, "layout": plot}
