"""Plots of what was counted, as plain Plotly dictionaries: what is drawn, without anything that draws. Pure.

Concentrations are per litre; pressure points downward. A cell without volume is a gap.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from edge.frame import Phase
from edge.optics import Optics
from edge.telemetry.summary import ESD_PERCENTS
from edge.telemetry.whole_dive import SizesOfTaxon
from tools.shore.report.curves import Curves, Source, step_line
from tools.shore.report.style import (
    FREE_PHASES,
    NOT_SEEN,
    PHASE_COLOURS,
    SEA_SCALE,
    WORDS,
    Figure,
    count_text,
    layout,
    nice_step,
    plain,
    plain_list,
    pressure_axis,
    short,
    side,
    two_sided,
)
from tools.shore.science.intervals import poisson

Sources = Mapping[Source, Mapping[Phase, Curves]]

_ESD_TICKS = [50, 100, 200, 500, 1000, 2000, 5000]
_FINE_ESD_TICKS = [50, 70, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000, 7000, 10_000]
_DRAWN = (Source.WATER, Source.BOARD, Source.SHORE)
_LINES: dict[Source, dict[str, Any]] = {
    Source.SHORE: {"width": 2.0},
    Source.BOARD: {"width": 1.3, "dash": "3px,2px"},
}


def profile(curves: Sources, *, deepest: float, banded: Collection[Phase] = ()) -> Figure:
    """Concentration of one column against pressure: descent left, ascent right, every source.

    In the phases of `banded` the shore's curve lies in the interval of its counts, not in a filled shape.
    """
    phases = {phase for found in curves.values() for phase in found if phase in FREE_PHASES}
    traces = [
        trace
        for source in _DRAWN
        for phase in FREE_PHASES
        if phase in curves.get(source, {})
        for trace in _traces(
            curves[source][phase], source, side(phase, phases),
            filled=_filled(source, curves) and phase not in banded, banded=phase in banded,
        )
    ]  # fmt: skip
    plot = layout(height=310, left=42, bottom=42)
    plot["yaxis"] |= pressure_axis(deepest, title="")
    farthest = [max((abs(x) for x in trace["x"] if x is not None), default=0.0) for trace in traces]
    lines = [far for far, trace in zip(farthest, traces, strict=True) if trace.get("fill") != "toself"]
    # A band may reach far where little was counted: it is cut off before it makes the curve small.
    two_sided(plot, phases, min(max(farthest, default=0.0), 1.3 * max(lines, default=0.0)), "L⁻¹")
    plot["annotations"].append(_corner("dbar"))
    plot["shapes"] = [
        {
            "type": "rect", "layer": "below", "fillcolor": NOT_SEEN, "line": {"width": 0},
            "x0": 0, "x1": side(phase, phases) * 1e6, "y0": plain(top), "y1": plain(bottom),
        }
        for phase in FREE_PHASES
        if phase in phases
        for top, bottom in _not_seen([found[phase] for found in curves.values() if phase in found])
    ]  # fmt: skip
    return {"data": traces, "layout": plot}


def park(curves: Sources) -> Figure | None:
    """Concentration of one column against time in the park; None when there was no park."""
    traces = [
        trace
        for source in _DRAWN
        if Phase.PARK in curves.get(source, {})
        for trace in _traces(curves[source][Phase.PARK], source, 1, filled=_filled(source, curves))
    ]
    if not traces:
        return None
    largest = max((y for trace in traces for y in trace["y"] if y is not None), default=0.0)
    hours = max((x for trace in traces for x in trace["x"]), default=1.0)
    plot = layout(height=132, left=42, top=20, bottom=36)
    plot["annotations"] = [_corner("L⁻¹")]
    plot["xaxis"] |= {"title": {"text": "hours of park"}, "range": [0, hours], "dtick": nice_step(hours / 3)}
    plot["yaxis"] |= {
        "range": [0, 1.08 * largest or 1], "tick0": 0,
        "dtick": nice_step(largest / 2),
    }  # fmt: skip
    return {"data": traces, "layout": plot}


def sizes(curves: Curves, optics: Optics, span: tuple[float, float], *, deepest: float) -> Figure:
    """Concentration of each size class in each bin, as colours: ESD against pressure, or time against ESD.

    Parameters
    ----------
    curves
        One phase, columns are size classes.
    span
        Lowest and highest concentration of the colour scale, per litre, shared by all phases.
    deepest
        End of the pressure axis.
    """
    edges_um = class_edges_um(optics)
    per_l = curves.concentration_per_l()
    low, high = (math.log10(value) for value in span)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(np.isfinite(per_l), np.maximum(np.log10(per_l), low), np.nan)
    names = [f"{a:g}–{b:g} µm" for a, b in itertools.pairwise(optics.size_class_limits_um)]
    names.append(f"{optics.size_class_limits_um[-1]:g} µm and more")
    words = [
        [
            f"ESD {names[k]}<br>{_words(curves, i, k)}" if math.isfinite(z[i, k]) else ""
            for k in range(len(names))
        ]
        for i in range(curves.n_bins)
    ]
    in_park = curves.phase is Phase.PARK
    ticks = [t for t in range(math.floor(low), math.ceil(high) + 1) if low <= t <= high]
    trace: dict[str, Any] = {
        "type": "heatmap",
        "z": plain_list(z.T if in_park else z),
        "x": plain_list(curves.edges) if in_park else edges_um,
        "y": edges_um if in_park else plain_list(curves.edges),
        "text": [list(row) for row in zip(*words, strict=True)] if in_park else words,
        "hovertemplate": "%{text}<extra></extra>",
        "hoverongaps": False,
        "zmin": low,
        "zmax": high,
        "colorscale": SEA_SCALE,
        "colorbar": {
            "title": {"text": "L⁻¹", "side": "top"}, "thickness": 10, "len": 0.95, "outlinewidth": 0,
            "tickvals": ticks, "ticktext": [f"{10.0**t:,g}" for t in ticks], "x": 1.01, "xpad": 4,
        },
    }  # fmt: skip
    esd = {
        "type": "log", "title": {"text": "ESD, µm"}, "tickvals": _ESD_TICKS, "showgrid": False,
        "range": [math.log10(edges_um[0]), math.log10(edges_um[-1])],
    }  # fmt: skip
    plot = layout(height=260 if in_park else 420, right=58)
    plot["plot_bgcolor"] = NOT_SEEN
    if in_park:
        plot["xaxis"] |= {"title": {"text": "hours of park"}, "showgrid": False}
        plot["yaxis"] |= esd
    else:
        plot["xaxis"] |= esd
        plot["yaxis"] |= {**pressure_axis(deepest), "showgrid": False}
    return {"data": [trace], "layout": plot}


def mean_sizes(
    spectrum: Mapping[Phase, tuple[Source, Curves]], noise: Mapping[Phase, Curves], optics: Optics
) -> Figure:
    """Size spectrum of each phase: concentration per litre and mm of ESD, both axes logarithmic.

    The open last class has no width and is left out.
    """
    limits = np.asarray(optics.size_class_limits_um)
    middle, width_mm = np.sqrt(limits[:-1] * limits[1:]), np.diff(limits) / 1000.0
    traces = []
    drawn = [(curves, WORDS[source], False) for source, curves in spectrum.values()]
    drawn += [(curves, "unlit frames", True) for curves in noise.values()]
    for curves, words, is_noise in drawn:
        counts, volume = (values[:-1] for values in curves.sums())
        if not counts.any():
            continue
        density = np.where(counts > 0, counts / np.where(volume > 0, volume, np.nan) / width_mm, np.nan)
        dash, symbol = ("1px,3px", "circle-open") if is_noise else ("solid", "circle")
        traces.append({
            "type": "scatter", "mode": "lines+markers", "name": f"{curves.phase.name.lower()}, {words}",
            "x": plain_list(middle), "y": plain_list(density), "text": [count_text(c) for c in counts],
            "line": {"color": PHASE_COLOURS[curves.phase], "width": 1.8, "dash": dash},
            "marker": {"size": 5, "symbol": symbol},
            "hovertemplate": "%{x:.3g} µm: %{y:.3g} L⁻¹ mm⁻¹ (%{text} counted)",
        })  # fmt: skip
    plot = layout(height=420, left=66)
    plot["xaxis"] |= {"type": "log", "title": {"text": "ESD, µm"}, "tickvals": _ESD_TICKS}
    plot["yaxis"] |= {"type": "log", "title": {"text": "L⁻¹ mm⁻¹"}, "exponentformat": "power", "dtick": 1}
    return {"data": traces, "layout": plot}


def taxon_sizes(found: Sequence[SizesOfTaxon]) -> Figure | None:
    """Quantiles of the ESD of each living taxon that was seen, the largest at the top; None when none was.

    A box from the 25 to the 75 % quantile with the median in it, whiskers to the 5 and the 95 % quantile.
    """
    seen = sorted((one for one in found if one.esd_um), key=lambda one: one.esd_um[2])
    if not seen:
        return None
    low, q1, median, q3, high = (plain_list(column) for column in zip(*(o.esd_um for o in seen), strict=True))
    names = [one.taxon.label for one in seen]
    words = []
    for one in seen:
        told = [f"{percent} % {short(um)}" for percent, um in zip(ESD_PERCENTS, one.esd_um, strict=True)]
        words.append(f"{one.taxon.label}: {', '.join(told)} µm")
    box = {
        "type": "box", "orientation": "h", "y": names, "width": 0.6, "whiskerwidth": 0.5,
        "lowerfence": low, "q1": q1, "median": median, "q3": q3, "upperfence": high,
        "line": {"color": SEA_SCALE[4][1], "width": 1.4}, "fillcolor": SEA_SCALE[2][1], "hoverinfo": "skip",
    }  # fmt: skip
    # A box says its numbers one by one, one over the other: one point at the median says them in a line.
    points = {
        "type": "scatter", "mode": "markers", "x": median, "y": names, "text": words,
        "hovertemplate": "%{text}<extra></extra>", "marker": {"size": 9, "color": SEA_SCALE[5][1]},
    }  # fmt: skip
    plot = layout(height=90 + 26 * len(seen), left=12)
    plot["xaxis"] |= {
        "type": "log", "title": {"text": "ESD, µm"}, "tickvals": _FINE_ESD_TICKS,
        "range": [math.log10(min(low) / 1.2), math.log10(max(high) * 1.2)],
    }  # fmt: skip
    plot["yaxis"] |= {"automargin": True, "ticks": "", "showgrid": False}
    return {"data": [box, points], "layout": plot}


def class_edges_um(optics: Optics) -> list[float]:
    """Edges of the size classes for drawing; the open last class is drawn as wide as the one before."""
    limits = list(optics.size_class_limits_um)
    ratio = limits[-1] / limits[-2] if len(limits) > 1 else 2.0
    return [*limits, round(limits[-1] * ratio, 1)]


def colour_span(sets: Sequence[Curves]) -> tuple[float, float]:
    """Lowest and highest concentration of a colour scale, per litre.

    Below the lowest that occurs there is room for the palest colour: looked at, none counted.
    """
    found = [curves.concentration_per_l() for curves in sets]
    values = np.concatenate([np.zeros(0), *(f[np.isfinite(f) & (f > 0)].ravel() for f in found)])
    if not values.size:
        return 0.1, 1.0
    return float(values.min()) / 2, max(float(values.max()), float(values.min()) * 2)


def _filled(source: Source, curves: Sources) -> bool:
    """The truth is a shape to fit into; where there is none, the shore's curve is filled instead."""
    return source is (Source.WATER if Source.WATER in curves else Source.SHORE)


def _band(curves: Curves, sign: int) -> tuple[list[float | None], list[float | None]]:
    """Outline of the counting interval of the first column's cells: a closed shape a run of known ones."""
    low, high = poisson(curves.counts[:, 0])
    across: list[float | None] = []
    along: list[float | None] = []
    known = np.isfinite(curves.concentration_per_l()[:, 0])
    ends = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(int)))
    for start, stop in ends.reshape(-1, 2).tolist():
        cells = np.flatnonzero(curves.first[:, 0] == np.arange(curves.n_bins))
        cells = cells[(cells >= start) & (cells < stop)]
        litres = curves.volume_l[cells, 0]
        tops, bottoms = curves.edges[cells], curves.edges[curves.last[cells, 0]]
        there = np.stack([tops, bottoms], axis=1).ravel()
        out, back = np.repeat(high[cells] / litres, 2), np.repeat(low[cells] / litres, 2)[::-1]
        across += [*plain_list(sign * np.concatenate([out, back])), None]
        along += [*plain_list(np.concatenate([there, there[::-1]])), None]
    return across[:-1], along[:-1]


def _traces(
    curves: Curves, source: Source, sign: int, *, filled: bool, banded: bool = False
) -> list[dict[str, Any]]:
    """Step curve of the first column, as a shape, a line, or both: upright but in the park."""
    along, across, bins = step_line(curves.edges, curves.concentration_per_l()[:, 0], curves.first[:, 0])
    upright = curves.phase is not Phase.PARK
    phase, colour = curves.phase.name.lower(), PHASE_COLOURS[curves.phase]
    words = [_words(curves, i, 0) + (_interval(curves, i) if banded else "") for i in bins]

    def trace(values: list[float | None], places: list[float], **more: Any) -> dict[str, Any]:
        x, y = plain_list([None if v is None else sign * v for v in values]), plain_list(places)
        return {
            "type": "scatter", "mode": "lines", "name": f"{phase}, {WORDS[source]}",
            "x": x if upright else y, "y": y if upright else x, "connectgaps": False,
            "meta": {"phase": phase, "source": source.value}, **more,
        }  # fmt: skip

    style: dict[str, Any] = {"shape": "vh" if upright else "hv", "color": colour}
    hover: dict[str, Any] = {
        "text": words,
        "hovertemplate": f"%{{text}}<extra>{phase}, {WORDS[source]}</extra>",
    }
    found = []
    if banded:
        x, y = _band(curves, sign)
        found.append(
            trace([], [], fill="toself", line={"width": 0}, fillcolor=colour + "33", hoverinfo="skip")
            | {"x": x, "y": y}
        )
    if filled:
        # A shape has no gaps of its own: it goes home to the axis where one begins, and leaves from there.
        closed: list[tuple[float | None, float, str]] = []
        for i, value in enumerate(along):
            if value is None:
                closed += [(0.0, across[i], words[i]), (0.0, across[i + 1], words[i + 1])]
            else:
                closed.append((value, across[i], words[i]))
        is_water = source is Source.WATER
        found.append(
            trace(
                [value for value, _, _ in closed],
                [place for _, place, _ in closed],
                line=style | {"width": 0},
                fill="tozerox" if upright else "tozeroy",
                fillcolor=colour + ("4d" if is_water else "26"),
                **(hover | {"text": [word for _, _, word in closed]} if is_water else {"hoverinfo": "skip"}),
            )
        )
    if source in _LINES:
        # Many bins, many corners: a thinner line keeps them apart.
        width = _LINES[source]["width"] * (1 if len(along) <= 60 else 0.65)
        found.append(trace(along, across, line=style | _LINES[source] | {"width": width}, **hover))
    return found


def _not_seen(known: Sequence[Curves]) -> list[tuple[float, float]]:
    """Stretches of the axis where no source has a concentration."""
    edges = max((curves.edges for curves in known), key=len)
    seen = np.zeros(len(edges) - 1, dtype=bool)
    for curves in known:
        seen[: curves.n_bins] |= np.isfinite(curves.concentration_per_l()[:, 0])
    return [(float(edges[i]), float(edges[i + 1])) for i in np.flatnonzero(~seen)]


def _corner(unit: str) -> dict[str, Any]:
    """A unit above its axis: beside the ticks there is no room for it on a phone."""
    return {
        "text": unit, "xref": "paper", "yref": "paper", "x": 0, "y": 1, "xanchor": "right",
        "yanchor": "bottom", "yshift": 5, "showarrow": False, "font": {"size": 11},
    }  # fmt: skip


def _interval(curves: Curves, i: int) -> str:
    """The counting interval of the cell that a bin is in."""
    low, high = (float(end) / curves.volume_l[i, 0] for end in poisson(curves.counts[i, 0]))
    return f"<br>{short(low)} to {short(high)} L⁻¹, nine times in ten"


def _words(curves: Curves, i: int, column: int) -> str:
    """What is known of the cell that a bin is in."""
    unit = "h" if curves.phase is Phase.PARK else "dbar"
    top, bottom = curves.edges[curves.first[i, column]], curves.edges[curves.last[i, column]]
    volume = curves.volume_l[i, column]
    count = curves.counts[i, column]
    return (
        f"{top:g}–{bottom:g} {unit}: {short(count / volume)} L⁻¹ ({count_text(count)} in {short(volume)} L)"
    )
