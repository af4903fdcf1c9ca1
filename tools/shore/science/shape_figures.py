"""Plots of shapes and orientation: the morphospace with examples, and how elongated particles lie. Pure."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping

import numpy as np

from edge.frame import Phase
from tools.shore.report.style import PHASE_COLOURS, SEA_SCALE, Figure, layout, plain, plain_list
from tools.shore.science import orientation
from tools.shore.science.analysis import Science
from tools.shore.science.plots import depth_plot
from tools.shore.science.spectra import Floats

BINS = 48
_DRAWN = (Phase.DESCENT, Phase.ASCENT, Phase.PARK)


def shapes(science: Science, pictures: Mapping[int, bytes]) -> Figure | None:
    """Density of the particles on the first two axes of the morphospace, with examples."""
    found = science.shapes
    if found is None:
        return None
    xy = found.places[:, :2]
    low, high = np.quantile(xy, (0.002, 0.998), axis=0)
    low, high = low - 0.04 * (high - low), high + 0.04 * (high - low)
    density, xs, ys = np.histogram2d(
        xy[:, 0], xy[:, 1], bins=BINS, range=[(low[0], high[0]), (low[1], high[1])]
    )
    z = np.where(density.T > 0, np.log10(np.maximum(density.T, 1)), math.nan)
    share = found.space.share
    heat = {
        "type": "heatmap",
        "x": plain_list((xs[1:] + xs[:-1]) / 2),
        "y": plain_list((ys[1:] + ys[:-1]) / 2),
        "z": plain_list(z),
        "colorscale": SEA_SCALE,
        "showscale": False,
        "hoverongaps": False,
        "xgap": 0,
        "ygap": 0,
        "customdata": density.T.astype(int).tolist(),
        "hovertemplate": "%{customdata} particles<extra></extra>",
    }
    plot = layout(height=520)
    plot["xaxis"] |= {"title": {"text": _axis(science, 0, share)}, "range": plain_list([low[0], high[0]])}
    plot["yaxis"] |= {"title": {"text": _axis(science, 1, share)}, "range": plain_list([low[1], high[1]])}
    width, height = (high - low) / (7.6, 5.6)
    plot["images"] = [
        {
            "source": "data:image/png;base64," + base64.b64encode(pictures[row]).decode("ascii"),
            "x": plain(x),
            "y": plain(y),
            "xref": "x",
            "yref": "y",
            "sizex": plain(0.92 * width),
            "sizey": plain(0.92 * height),
            "xanchor": "center",
            "yanchor": "middle",
            "sizing": "contain",
            "layer": "above",
            "opacity": 1,
        }
        for row, x, y in found.examples
        if row in pictures
    ]
    return {"data": [heat], "layout": plot}


def _axis(science: Science, i: int, share: Floats) -> str:
    """An axis and the measures that it is mostly made of."""
    assert science.shapes is not None
    space = science.shapes.space
    weight = space.axes[i]
    most = sorted(np.argsort(-np.abs(weight), kind="stable")[:3].tolist(), key=lambda k: -weight[k])
    words = ", ".join(
        f"{'+' if weight[k] > 0 else '−'}{space.names[k].rsplit('_px', 1)[0].replace('_', ' ')}" for k in most
    )
    return f"PC{i + 1} ({100 * share[i]:.0f} %): {words}"


def orientation_by_depth(science: Science) -> Figure | None:
    """Mean angle from the vertical in each layer; filled where the axes are not all alike by chance."""
    traces = []
    for phase in (Phase.DESCENT, Phase.ASCENT):
        rows = [
            (s, a)
            for s, label, a in science.orientation
            if label is None and s.phase is phase and s.is_layer and a.n > 0
        ]
        if rows:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": phase.name.lower(),
                    "x": plain_list([a.from_vertical_deg for _, a in rows]),
                    "y": plain_list([(s.top + s.bottom) / 2 for s, _ in rows]),
                    "text": [
                        f"{s.top:g}–{s.bottom:g} dbar: {a.n} particles, {a.from_vertical_deg:.0f}° from the "
                        f"vertical, mean axis {a.mean_deg:.0f}°, resultant {a.length:.2f}, p {a.p:.2g}"
                        for s, a in rows
                    ],
                    "marker": {
                        "color": PHASE_COLOURS[phase],
                        "size": plain_list([4 + 8 * min(1.0, math.log10(a.n) / 3) for _, a in rows]),
                        "symbol": ["circle" if a.p < 0.05 else "circle-open" for _, a in rows],
                    },
                    "hovertemplate": "%{text}<extra></extra>",
                }
            )
    found = depth_plot(traces, "mean angle from the vertical, degrees", science)
    if found is not None:
        found["layout"]["xaxis"] |= {"range": [0, 90], "tickvals": [0, 15, 30, 45, 60, 75, 90]}
        found["layout"]["shapes"] = [
            {
                "type": "line",
                "x0": 45,
                "x1": 45,
                "y0": 0,
                "y1": 1e5,
                "line": {"color": "#9fb0b8", "width": 1, "dash": "3px,2px"},
            }
        ]
    return found


def angles(science: Science) -> Figure | None:
    """How many elongated particles of the dive lie at each angle, by phase."""
    named = science.seen.named
    if named is None or not science.orientation or science.orientation[0][2].n == 0:
        return None
    telling = orientation.is_telling(named.measure("elongation"), named.measure("area_px"), named.on_border)
    telling &= np.isfinite(named.angle_deg) & (named.layer >= 0)
    angle = orientation.from_vertical(named.angle_deg, science.up_deg)
    edges = np.arange(-90, 91, 10)
    traces = []
    phases = np.array([int(layer.scope.phase or 0) for layer in science.seen.layers], dtype=np.int64)
    for phase in _DRAWN:
        mine = telling.copy()
        mine[telling] = phases[named.layer[telling]] == int(phase)
        if mine.any():
            count = np.histogram(angle[mine], edges)[0]
            traces.append(
                {
                    "type": "bar",
                    "name": phase.name.lower(),
                    "x": (edges[1:] - 5).tolist(),
                    "y": count.tolist(),
                    "marker": {"color": PHASE_COLOURS[phase], "line": {"width": 0}},
                    "hovertemplate": "%{x}°: %{y} particles<extra>" + phase.name.lower() + "</extra>",
                }
            )
    plot = layout(height=300) | {"barmode": "stack", "bargap": 0.04}
    plot["xaxis"] |= {
        "title": {"text": "degrees from the vertical (left −, right +)"},
        "tickvals": [-90, -45, 0, 45, 90],
    }
    plot["yaxis"] |= {"title": {"text": "particles"}}
    return {"data": traces, "layout": plot}
