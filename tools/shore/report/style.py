"""How every plot of the report looks: colours, axes, number formats. Pure.

Colours are told apart by colour-blind eyes (after Okabe and Ito) and never carry a meaning alone. Descent is
drawn to the left and ascent to the right of one pressure axis, as day and night are in zooplankton profiles.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.frame import FrameOutcome, Phase
from tools.shore.report.curves import Source

Figure = dict[str, Any]

PHASE_COLOURS = {Phase.DESCENT: "#0072b2", Phase.PARK: "#007f5f", Phase.ASCENT: "#c2500a"}
OUTCOME_COLOURS = {
    FrameOutcome.ANALYSED: "#5b93b0",
    FrameOutcome.EMPTY: "#cfe2ea",
    FrameOutcome.UNLIT: "#6d7a83",
    FrameOutcome.DARK: "#1c2226",
    FrameOutcome.OVER_EXPOSED: "#f0e442",
    FrameOutcome.BLURRED: "#cc79a7",
    FrameOutcome.DROPPED: "#d55e00",
    FrameOutcome.LATE: "#e69f00",
    FrameOutcome.DUPLICATE: "#a6761d",
    FrameOutcome.CORRUPT: "#7a0f3d",
    FrameOutcome.INFERENCE_FAILED: "#009e73",
}
WORDS = {Source.WATER: "in the water", Source.BOARD: "on board", Source.SHORE: "on shore"}
SEA_SCALE = [
    [0.0, "#f4f8f9"], [0.12, "#dcebf0"], [0.32, "#a3cbd9"], [0.54, "#5b9dbb"], [0.76, "#2a648f"],
    [1.0, "#122a54"],
]  # fmt: skip
"""Of one hue, so that only lightness counts."""
NOT_SEEN = "#e4e9eb"
FREE_PHASES = (Phase.DESCENT, Phase.ASCENT)
"""Phases whose axis is pressure."""


def layout(*, height: int, left: int = 58, right: int = 12, top: int = 8, bottom: int = 46) -> dict[str, Any]:
    """Layout that all plots share; margins in CSS pixels."""
    axis = {
        "gridcolor": "#e3eaed", "zeroline": False, "linecolor": "#9fb0b8", "showline": True,
        "ticks": "outside", "ticklen": 4, "tickcolor": "#9fb0b8",
    }  # fmt: skip
    return {
        "height": height,
        "margin": {"l": left, "r": right, "t": top, "b": bottom},
        "font": {"family": "inherit", "size": 12, "color": "#22323c"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "#ffffff",
        "showlegend": False,
        "hovermode": "closest",
        "hoverdistance": 40,
        "hoverlabel": {"font": {"size": 12}, "align": "left"},
        "xaxis": dict(axis),
        "yaxis": dict(axis),
    }


def pressure_axis(deepest: float, *, title: str = "pressure, dbar") -> dict[str, Any]:
    """Pressure from the surface down."""
    return {"title": {"text": title}, "range": [deepest, 0]}


def side(phase: Phase, phases: Collection[Phase]) -> int:
    """Which way a phase is drawn: -1 for a descent that has an ascent beside it, else 1."""
    return -1 if phase is Phase.DESCENT and Phase.ASCENT in phases else 1


def two_sided(plot: dict[str, Any], phases: Collection[Phase], largest: float, title: str) -> None:
    """Give a layout an axis that counts away from the middle, and name its sides."""
    step = nice_step(largest / 1.5)
    reach = max(largest * 1.04, 1e-9)
    ticks = [i * step for i in range(1, int(reach / step) + 1)]
    both = all(phase in phases for phase in FREE_PHASES)
    values = [*(-t for t in reversed(ticks)), 0.0, *ticks] if both else [0.0, *ticks]
    plot["xaxis"] |= {
        "title": {"text": title}, "range": [-reach if both else 0, reach], "tickvals": plain_list(values),
        "ticktext": [f"{abs(v):,.10g}" for v in values], "zeroline": both, "zerolinecolor": "#5a6b75",
        "zerolinewidth": 1.2, "tickangle": 0,
    }  # fmt: skip
    plot["margin"]["t"] = 24
    plot["annotations"] = [
        {
            "text": f"◂ {phase.name.lower()}" if side(phase, phases) < 0 else f"{phase.name.lower()} ▸",
            "xref": "paper", "yref": "paper", "x": 0.5, "y": 1, "yanchor": "bottom",
            "xanchor": "right" if side(phase, phases) < 0 else "left", "xshift": 8 * side(phase, phases),
            "showarrow": False, "font": {"size": 11, "color": PHASE_COLOURS[phase]},
        }
        for phase in FREE_PHASES
        if phase in phases
    ]  # fmt: skip


def nice_step(value: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is at most `value`; 1 when it is not above 0."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return max(s * power for s in (1, 2, 5) if s * power <= value * (1 + 1e-9))


def plain(value: float) -> float | None:
    """A number for JSON: five digits, None for NaN."""
    return float(f"{value:.5g}") if math.isfinite(value) else None


def plain_list(values: Sequence[float | None] | NDArray[Any]) -> list[Any]:
    """Numbers for JSON, nested as they are."""
    if isinstance(values, np.ndarray) and values.ndim > 1:
        return [plain_list(row) for row in values]
    return [None if v is None else plain(float(v)) for v in values]


def short(value: float) -> str:
    """Three digits or all before the point, never a power of ten above it."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def count_text(value: float) -> str:
    """A count, whole, with commas."""
    return f"{value:,.0f}"
