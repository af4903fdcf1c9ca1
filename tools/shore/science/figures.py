"""Plots of what a dive says of the sea, as plain Plotly dictionaries. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from edge.frame import Phase
from tools.shore.report.style import (
    PHASE_COLOURS,
    SEA_SCALE,
    Figure,
    layout,
    plain_list,
    pressure_axis,
    short,
)
from tools.shore.science.analysis import Science
from tools.shore.science.plots import against_depth, depth_plot, errors
from tools.shore.science.shape_figures import angles, orientation_by_depth, shapes

COLOURS = ("#0072b2", "#c2500a", "#007f5f", "#cc79a7", "#5a6b75", "#a6761d")
MAX_POINTS = 1500
PROPERTIES = {
    "temperature_c": "temperature, °C",
    "salinity": "salinity",
    "oxygen_umol_kg": "oxygen, µmol kg⁻¹",
    "chlorophyll_mg_m3": "chlorophyll, mg m⁻³",
    "fluorescence": "fluorescence",
}


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
                "error_y": errors(middle, low, high, colour),
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
                    against_depth(
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
    return depth_plot(traces, "flux, mg C m⁻² d⁻¹", science, log=True)


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
                    against_depth(
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
    return depth_plot(traces, "slope of the number spectrum", science)


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
                "error_x": errors(value, low, high, COLOURS[i]),
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
