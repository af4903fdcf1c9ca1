"""Plots of what a dive says of the sea, as plain Plotly dictionaries. Pure."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge.frame import Phase
from tools.shore.report.style import (
    PHASE_COLOURS,
    SEA_SCALE,
    Figure,
    layout,
    plain,
    plain_list,
    pressure_axis,
    short,
)
from tools.shore.science.analysis import Science
from tools.shore.science.layers import Scope
from tools.shore.science.spectra import Floats

COLOURS = ("#0072b2", "#c2500a", "#007f5f", "#cc79a7", "#5a6b75", "#a6761d")
MAX_POINTS = 1500
BINS = 48
PROPERTIES = {
    "temperature_c": "temperature, °C",
    "salinity": "salinity",
    "oxygen_umol_kg": "oxygen, µmol kg⁻¹",
    "chlorophyll_mg_m3": "chlorophyll, mg m⁻³",
    "fluorescence": "fluorescence",
}
_DRAWN = (Phase.DESCENT, Phase.ASCENT, Phase.PARK)


def figures(science: Science, pictures: Mapping[int, bytes]) -> dict[str, Figure]:
    """Every plot that the dive has something for, by name.

    `pictures`: PNG of the example particles, by row of the named ones.
    """
    found = {
        "science-numbers": numbers(science),
        "science-biovolume": biovolume(science),
        "science-flux": flux_by_depth(science),
        "science-slope": slope_by_depth(science),
        "science-carbon": carbon(science),
        "science-shapes": shapes(science, pictures),
        "science-orientation": orientation_by_depth(science),
        "science-angles": angles(science),
    }
    found |= {f"science-water-{name}": water(science, name, words) for name, words in PROPERTIES.items()}
    return {name: figure for name, figure in found.items() if figure is not None}


def numbers(science: Science) -> Figure | None:
    """Normalised number spectrum of each phase, with the exact counting interval."""
    return _spectra(
        science,
        "L⁻¹ mm⁻¹",
        lambda s: (
            s.per_l_mm,
            *(one / np.diff(s.edges_um) * 1000 for one in (s.per_l_low, s.per_l_high)),
        ),
    )


def biovolume(science: Science) -> Figure | None:
    """Biovolume of each size class of each phase."""
    return _spectra(science, "mm³ L⁻¹ in a class", lambda s: (s.mm3_per_l, s.mm3_per_l_low, s.mm3_per_l_high))


def _spectra(science: Science, title: str, values: Any) -> Figure | None:
    traces = []
    for scope, s in science.spectra:
        if scope.phase is None or scope.is_layer or not s.count.any():
            continue
        some = s.count > 0
        middle, low, high = (one[some] for one in values(s))
        mids = np.sqrt(s.edges_um[:-1] * s.edges_um[1:])[some]
        colour = PHASE_COLOURS[scope.phase]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": scope.name,
                "x": plain_list(mids),
                "y": plain_list(middle),
                "customdata": s.count[some].tolist(),
                "error_y": _errors(middle, low, high, colour),
                "line": {
                    "color": colour,
                    "width": 1.5,
                    "dash": "solid" if scope.phase is not Phase.ASCENT else "5px,3px",
                },
                "marker": {"size": 4, "color": colour},
                "hovertemplate": "%{x:.0f} µm: %{y:.3g}, %{customdata} counted<extra>"
                + scope.name
                + "</extra>",
            }
        )
    if not traces:
        return None
    plot = layout(height=360, left=64)
    plot["xaxis"] |= {
        "type": "log",
        "title": {"text": "ESD, µm"},
        "tickvals": [50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000],
    }
    plot["yaxis"] |= {"type": "log", "title": {"text": title}, "exponentformat": "power", "dtick": 1}
    return {"data": traces, "layout": plot}


def flux_by_depth(science: Science) -> Figure | None:
    """Flux of carbon in each layer, by every relation: descent and ascent."""
    traces = []
    for i, relation in enumerate(science.relations.flux):
        for phase in (Phase.DESCENT, Phase.ASCENT):
            rows = [
                (s, f)
                for s, one, f in science.fluxes
                if one is relation and s.phase is phase and s.is_layer and f.value > 0
            ]
            if rows:
                value, low, high = (
                    np.array([getattr(f, name) for _, f in rows]) for name in ("value", "low", "high")
                )
                traces.append(
                    _against_depth(
                        f"{relation.name}, {phase.name.lower()}",
                        [s for s, _ in rows],
                        value,
                        low,
                        high,
                        COLOURS[i % len(COLOURS)],
                        dashed=phase is Phase.ASCENT,
                        unit="mg C m⁻² d⁻¹",
                    )
                )
    return _depth_plot(traces, "flux, mg C m⁻² d⁻¹", science, log=True)


def slope_by_depth(science: Science) -> Figure | None:
    """Slope of the number spectrum in each layer, by likelihood and by regression."""
    traces = []
    for i, method in enumerate(("maximum likelihood", "regression")):
        for phase in (Phase.DESCENT, Phase.ASCENT):
            rows = [
                (s, f)
                for s, f in science.slopes
                if f.method == method
                and s.phase is phase
                and s.is_layer
                and math.isfinite(f.low)
                and math.isfinite(f.high)
            ]
            if rows:
                value, low, high = (
                    np.array([getattr(f, name) for _, f in rows]) for name in ("value", "low", "high")
                )
                traces.append(
                    _against_depth(
                        f"{method}, {phase.name.lower()}",
                        [s for s, _ in rows],
                        value,
                        low,
                        high,
                        COLOURS[i],
                        dashed=phase is Phase.ASCENT,
                        unit="",
                    )
                )
    return _depth_plot(traces, "slope of the number spectrum", science)


def carbon(science: Science) -> Figure | None:
    """Carbon of each taxon of the dive that has a conversion, as counted and as corrected."""
    rows = sorted((row for row in science.taxa[0][1] if row.ug_c_per_l > 0), key=lambda row: row.ug_c_per_l)
    if not rows:
        return None
    names = [row.label for row in rows]
    traces = []
    for i, (words, prefix) in enumerate((("as counted", ""), ("corrected", "corrected_"))):
        value, low, high = (
            np.array([getattr(row, f"{prefix}ug_c_per_l{end}") for row in rows])
            for end in ("", "_low", "_high")
        )
        if not np.isfinite(value).any():
            continue
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": words,
                "x": plain_list(value),
                "y": names,
                "error_x": _errors(value, low, high, COLOURS[i]),
                "marker": {"size": 9, "color": COLOURS[i], "symbol": ("circle", "diamond")[i]},
                "hovertemplate": "%{y}: %{x:.3g} mg C m⁻³<extra>" + words + "</extra>",
            }
        )
    plot = layout(height=100 + 30 * len(rows), left=12)
    plot["xaxis"] |= {
        "type": "log",
        "title": {"text": "carbon, mg m⁻³"},
        "exponentformat": "power",
        "dtick": 1,
    }
    plot["yaxis"] |= {"automargin": True, "showgrid": True}
    return {"data": traces, "layout": plot}


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
    found = _depth_plot(traces, "mean angle from the vertical, degrees", science)
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
    from tools.shore.science import orientation

    named = science.seen.named
    if named is None or not science.orientation or science.orientation[0][2].n == 0:
        return None
    telling = orientation.is_telling(named.measure("elongation"), named.measure("area_px"), named.on_border)
    telling &= np.isfinite(named.angle_deg) & (named.layer >= 0)
    angle = orientation.from_vertical(named.angle_deg)
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


def water(science: Science, name: str, words: str) -> Figure | None:
    """A property of the water at every frame against pressure, coloured by particles a litre there."""
    columns = science.seen.frames
    if name not in columns:
        return None
    x, y = columns[name], columns["pressure_dbar"]
    z = np.log10(np.maximum(columns["particles_per_l"], 1e-3))
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & np.isfinite(z))
    if len(known) < 3:
        return None
    if len(known) > MAX_POINTS:
        known = known[np.linspace(0, len(known) - 1, MAX_POINTS).round().astype(np.int64)]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "name": words,
        "x": plain_list(x[known]),
        "y": plain_list(y[known]),
        "text": [
            f"frame {f}: {short(p)} L⁻¹"
            for f, p in zip(
                columns["frame"][known].tolist(), columns["particles_per_l"][known].tolist(), strict=True
            )
        ],
        "marker": {
            "size": 6,
            "color": plain_list(z[known]),
            "colorscale": SEA_SCALE,
            "line": {"width": 0.4, "color": "#5a6b75"},
        },
        "hovertemplate": "%{text}, %{x:.4g} at %{y:.1f} dbar<extra></extra>",
    }
    plot = layout(height=360)
    plot["xaxis"] |= {"title": {"text": words}}
    plot["yaxis"] |= pressure_axis(float(y[known].max()) * 1.02 or 1.0)
    return {"data": [trace], "layout": plot}


def _errors(value: Floats, low: Floats, high: Floats, colour: str) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": plain_list(np.maximum(high - value, 0)),
        "arrayminus": plain_list(np.maximum(value - low, 0)),
        "thickness": 1,
        "width": 2,
        "color": colour,
    }


def _against_depth(
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
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": plain_list(value),
        "y": plain_list([(s.top + s.bottom) / 2 for s in where]),
        "error_x": _errors(value, low, high, colour),
        "text": [f"{s.top:g}–{s.bottom:g} dbar" for s in where],
        "line": {"color": colour, "width": 1.3, "dash": "5px,3px" if dashed else "solid"},
        "marker": {"size": 5, "color": colour, "symbol": "circle-open" if dashed else "circle"},
        "hovertemplate": "%{text}: %{x:.3g} " + unit + "<extra>" + name + "</extra>",
    }


def _depth_plot(
    traces: list[dict[str, Any]], title: str, science: Science, *, log: bool = False
) -> Figure | None:
    if not traces:
        return None
    deepest = max(one.scope.bottom for one in science.seen.layers if one.scope.phase is not Phase.PARK)
    plot = layout(height=380)
    plot["xaxis"] |= {"title": {"text": title}}
    if log:
        plot["xaxis"] |= {"type": "log", "exponentformat": "power", "dtick": 1}
    plot["yaxis"] |= pressure_axis(deepest)
    return {"data": traces, "layout": plot}
