"""A calibration as one HTML page that needs no network: the fit, what it leaves over, and where from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edge.calibration import Calibration
from edge.optics import Optics
from tools.calibrating.beads import Bead, SizeFit
from tools.calibrating.light import Light
from tools.calibrating.reference import Reference, ReferenceFit
from tools.shore.report.page import fill
from tools.shore.report.style import SEA_SCALE, Figure, layout

_OURS, _THEIRS = "#0072b2", "#c2500a"


def render(title: str, record: Calibration, figures: dict[str, tuple[Figure, str]]) -> str:
    """The page as text; `figures` are plots and captions by id.

    Raises `ImportError` when plotly or jinja2 is missing.
    """

    def text(value: float | str | None) -> str:
        return "" if value is None else value if isinstance(value, str) else f"{value:.5g}"

    context = {
        "title": title,
        "date": f"{record.date:%Y-%m-%d %H:%M} UTC",
        "method": record.method,
        "version": record.version,
        "found": [
            (name, text(value), text(record.standard_errors.get(name)), text(record.previous.get(name)))
            for name, value in record.found.items()
        ],
        "remarks": record.remarks,
        "captions": {name: caption for name, (_, caption) in figures.items()},
        "residuals": [{k: text(v) for k, v in row.items()} for row in record.residuals],
    }
    plots = {name: figure for name, (figure, _) in figures.items()}
    return fill("tools.calibrating", "page.html", plots, context)


def draw_beads(beads: Sequence[Bead], fit: SizeFit) -> dict[str, tuple[Figure, str]]:
    """Diameter against area with the line, and what is left of each size."""
    area = [bead.peak.area_px for bead in beads]
    line = np.geomspace(min(area) / 1.5, max(area) * 1.5, 60)
    esd = 2 * np.sqrt(fit.aa_um2 * line**fit.exp / math.pi)
    names = [bead.name for bead in beads]
    data: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "lines", "name": "fit", "x": line.tolist(), "y": esd.tolist(),
         "line": {"color": _OURS, "width": 1.5}, "hoverinfo": "skip"},
        {"type": "scatter", "mode": "markers", "name": "beads", "x": area,
         "y": [bead.esd_um for bead in beads], "text": names,
         "error_x": {"type": "data", "color": _THEIRS,
                     "array": [bead.peak.area_px * bead.peak.spread for bead in beads]},
         "marker": {"color": _THEIRS, "size": 9},
         "hovertemplate": "%{text}: %{x:.1f} px, %{y:g} um<extra></extra>"},
    ]  # fmt: skip
    top = layout(height=380, left=66, top=12, bottom=50)
    top["xaxis"] |= {"type": "log", "title": {"text": "area of single beads, px"}}
    top["yaxis"] |= {"type": "log", "title": {"text": "diameter, um"}}
    left = {
        "type": "scatter", "mode": "markers", "x": area, "y": (100 * fit.residuals).tolist(), "text": names,
        "marker": {"color": _THEIRS, "size": 9}, "hovertemplate": "%{text}: %{y:.2f} %<extra></extra>",
    }  # fmt: skip
    return {
        "fit": ({"data": data, "layout": top}, "Bars: standard deviation of the single beads' areas."),
        "left": (
            {"data": [left], "layout": _left("off the line, %", "area of single beads, px")},
            "What the line leaves over of each size: diameter found ÷ that of the certificate − 1.",
        ),
    }


def draw_reference(reference: Reference, fit: ReferenceFit) -> dict[str, tuple[Figure, str]]:
    """Both spectra, and their differences."""
    middle = np.sqrt(reference.lower_um * reference.upper_um)

    def curve(name: str, per_l: Any, colour: str) -> dict[str, Any]:
        shown = np.where(per_l > 0, per_l, np.nan)
        return {
            "type": "scatter", "mode": "lines+markers", "name": name, "x": middle.tolist(),
            "y": [None if math.isnan(v) else float(v) for v in shown],
            "line": {"color": colour, "width": 1.5}, "marker": {"size": 7},
        }  # fmt: skip

    top = layout(height=380, left=66, top=30, bottom=50)
    top["xaxis"] |= {"type": "log", "title": {"text": "ESD, um"}}
    top["yaxis"] |= {"type": "log", "title": {"text": "particles of the class a litre"}}
    top |= {"showlegend": True, "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.01, "x": 0}}
    used = fit.used & (fit.per_l > 0)
    left = {
        "type": "scatter", "mode": "markers", "x": middle[used].tolist(),
        "y": np.log10(fit.per_l[used] / reference.per_l[used]).tolist(),
        "marker": {"color": _OURS, "size": 8},
    }  # fmt: skip
    both = [curve("reference", reference.per_l, _THEIRS), curve("this unit", fit.per_l, _OURS)]
    return {
        "fit": ({"data": both, "layout": top}, "Concentration by size class, this unit's by the fit."),
        "left": (
            {"data": [left], "layout": _left("log10 of the ratio", "ESD, um")},
            "What the fit leaves over of the classes that were used: this unit ÷ reference.",
        ),
    }


def draw_light(light: Light, optics: Optics) -> dict[str, tuple[Figure, str]]:
    """Maps of the ground and of particles' brightness."""
    figures = {}
    for name, grid, caption in (
        (
            "ground",
            light.ground,
            f"Grey of the ground as frames are segmented; threshold {optics.threshold}.",
        ),
        (
            "particles",
            light.particles,
            "Grey of the brightest particles above the ground; empty where there were few.",
        ),
    ):
        cells = [[None if math.isnan(v) else round(float(v), 2) for v in row] for row in grid]
        look = layout(height=260, left=40, top=12, bottom=30)
        look["yaxis"] |= {"autorange": "reversed"}
        heat = {
            "type": "heatmap",
            "z": cells,
            "colorscale": SEA_SCALE,
            "hovertemplate": "%{z}<extra></extra>",
        }
        figures[name] = ({"data": [heat], "layout": look}, caption)
    return figures


def _left(title: str, axis: str) -> dict[str, Any]:
    look = layout(height=220, left=66, top=8, bottom=50)
    look["xaxis"] |= {"type": "log", "title": {"text": axis}}
    look["yaxis"] |= {"title": {"text": title}, "zeroline": True, "zerolinecolor": "#5a6b75"}
    return look
