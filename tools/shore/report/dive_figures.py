"""Plots of the dive itself: track, frames by outcome, water seen, temperature. Pure, as `figures`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edge.frame import FrameOutcome, Phase
from edge.telemetry.summary import Quantity
from tools.shore.exports.tables import DiveTables
from tools.shore.report.curves import Curves, CurveSet, Floats, step_line
from tools.shore.report.style import (
    FREE_PHASES,
    OUTCOME_COLOURS,
    PHASE_COLOURS,
    Figure,
    layout,
    nice_step,
    plain,
    plain_list,
    pressure_axis,
    side,
    two_sided,
)

MAX_TRACK_POINTS, MAX_MARKS = 1500, 150
"""Points of one line, and marks of one outcome: longer dives are thinned evenly."""
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "triangle-down", "star", "pentagon")


def track(frames: Sequence[Mapping[str, Any]], started_ms: int) -> Figure:
    """Pressure against time, with a mark where a frame was neither analysed nor empty."""
    placed = [frame for frame in frames if frame["pressure_dbar"] is not None]
    traces: list[dict[str, Any]] = []
    for phase in Phase:
        mine = _thin([frame for frame in placed if frame["phase"] == phase], MAX_TRACK_POINTS)
        if mine:
            traces.append({
                "type": "scatter", "mode": "lines", "name": phase.name.lower(), "hoverinfo": "skip",
                "x": [_hours(f, started_ms) for f in mine], "y": [f["pressure_dbar"] for f in mine],
                "line": {"color": PHASE_COLOURS[phase], "width": 2.5},
            })  # fmt: skip
    for outcome in FrameOutcome:
        mine = _thin([frame for frame in placed if frame["outcome"] == outcome], MAX_MARKS)
        if mine and outcome not in (FrameOutcome.ANALYSED, FrameOutcome.EMPTY):
            traces.append({
                "type": "scatter", "mode": "markers", "name": outcome.label,
                "x": [_hours(f, started_ms) for f in mine], "y": [f["pressure_dbar"] for f in mine],
                "customdata": [f["frame"] for f in mine],
                "marker": {
                    "color": OUTCOME_COLOURS[outcome], "size": 8, "line": {"width": 0.8, "color": "#ffffff"},
                    "symbol": _SYMBOLS[(outcome - FrameOutcome.UNLIT) % len(_SYMBOLS)],
                },
                "hovertemplate": "frame %{customdata}, %{y:.1f} dbar",
            })  # fmt: skip
    deepest = max((frame["pressure_dbar"] for frame in placed), default=1.0)
    plot = layout(height=280)
    plot["xaxis"] |= {"title": {"text": "hours since the first frame"}}
    plot["yaxis"] |= {"title": {"text": "pressure, dbar"}, "range": [1.06 * deepest, -0.04 * deepest]}
    return {"data": traces, "layout": plot}


def frames_by_depth(
    found: Mapping[Phase, Curves], *, deepest: float, width_dbar: int | None = None
) -> Figure:
    """Frames of each bin by outcome, stacked outwards: descent to the left, ascent to the right.

    With `width_dbar` in pools of bins, as `Curves.pooled`.
    """
    parts = {
        phase: frames if width_dbar is None else frames.pooled(width_dbar)
        for phase, frames in found.items()
        if phase in FREE_PHASES
    }
    traces: list[dict[str, Any]] = []
    for phase, frames in parts.items():
        for outcome, count, top, bottom in _bars(frames):
            traces.append({
                "type": "bar", "orientation": "h", "name": outcome.label,
                "y": plain_list((bottom + top) / 2), "width": (bottom - top).tolist(),
                "x": (side(phase, parts) * count).tolist(),
                "text": [f"{a:g}–{b:g} dbar" for a, b in zip(top, bottom, strict=True)],
                "textposition": "none", "customdata": count.tolist(),
                "marker": {"color": OUTCOME_COLOURS[outcome], "line": {"width": 0}},
                "hovertemplate": "%{text}: %{customdata} "
                f"{outcome.label}<extra>{phase.name.lower()}</extra>",
            })  # fmt: skip
    plot = layout(height=360) | {"barmode": "relative", "bargap": 0}
    plot["yaxis"] |= pressure_axis(deepest)
    two_sided(plot, set(parts), _most(parts.values()), "frames in the bin")
    return {"data": traces, "layout": plot}


def frames_by_time(found: Mapping[Phase, Curves]) -> Figure | None:
    """Frames of each bin of the park by outcome, stacked; None when there was no park."""
    frames = found.get(Phase.PARK)
    if frames is None:
        return None
    traces = [
        {
            "type": "bar", "name": outcome.label, "x": plain_list((until + since) / 2),
            "width": plain_list(until - since), "y": count.tolist(),
            "marker": {"color": OUTCOME_COLOURS[outcome], "line": {"width": 0}},
            "hovertemplate": f"%{{y}} {outcome.label}<extra></extra>",
        }
        for outcome, count, since, until in _bars(frames)
    ]  # fmt: skip
    hours = float(frames.edges[-1])
    plot = layout(height=200) | {"barmode": "stack", "bargap": 0}
    plot["xaxis"] |= {
        "title": {"text": "hours of park"}, "range": [0, plain(hours)], "tick0": 0,
        "dtick": nice_step(hours / 4),
    }  # fmt: skip
    plot["yaxis"] |= {"title": {"text": "frames in the bin"}, "dtick": max(1, nice_step(_most([frames]) / 3))}
    return {"data": traces, "layout": plot}


def _bars(frames: Curves) -> Iterator[tuple[FrameOutcome, Floats, Floats, Floats]]:
    """Of each outcome that occurs: frames of the cells of which they are known, and both ends of each."""
    for outcome in FrameOutcome:
        count, first, last = (one[:, outcome] for one in (frames.counts, frames.first, frames.last))
        own = (first == np.arange(frames.n_bins)) & np.isfinite(count)
        if count[own].any():
            yield outcome, count[own], frames.edges[first[own]], frames.edges[last[own]]


def volumes(known: CurveSet, *, deepest: float) -> Figure:
    """Water sized (filled) and classified (dashed) in each bin, litres: descent left, ascent right."""
    phases = {phase for phase in known.spectrum if phase in FREE_PHASES}
    traces: list[dict[str, Any]] = []
    for words, found in (("sized", known.spectrum), ("classified", known.taxa)):
        for phase in FREE_PHASES:
            if phase not in found:
                continue
            curves = found[phase]
            volume, y, _ = step_line(curves.edges, curves.volume_l[:, 0], curves.first[:, 0])
            litres = [v or 0.0 for v in volume]
            colour = PHASE_COLOURS[phase]
            traces.append({
                "type": "scatter", "mode": "lines", "name": f"{phase.name.lower()}, {words}",
                "x": plain_list([side(phase, phases) * v for v in litres]), "y": plain_list(y),
                "text": [f"{v:.3g} L {words}" for v in litres],
                "line": {
                    "shape": "vh", "color": colour, "width": 0 if words == "sized" else 1.4, "dash": "3px,2px"
                },
                "hovertemplate": "%{text}<extra>" + phase.name.lower() + "</extra>",
                **({"fill": "tozerox", "fillcolor": colour + "40"} if words == "sized" else {}),
            })  # fmt: skip
    plot = layout(height=360)
    plot["yaxis"] |= pressure_axis(deepest)
    largest = max((abs(x) for trace in traces for x in trace["x"]), default=0.0)
    two_sided(plot, phases, largest, "litres in the bin")
    return {"data": traces, "layout": plot}


def temperatures(tables: DiveTables, *, deepest: float) -> Figure | None:
    """Mean temperature of each bin of descent and ascent; None when none was read."""
    traces = []
    for part in tables.profiles:
        celsius = part.cells[Quantity.TEMPERATURE].values[:, 0]
        name, known = part.phase.name.lower(), np.isfinite(celsius)
        if not known.any():
            continue
        traces.append({
            "type": "scatter", "mode": "lines+markers", "name": name,
            "x": plain_list(celsius[known]), "y": plain_list(part.middles[known]),
            "line": {
                "color": PHASE_COLOURS[part.phase], "width": 1.6,
                "dash": "solid" if part.phase is Phase.DESCENT else "5px,3px",
            },
            "marker": {"size": 4},
            "hovertemplate": f"%{{y:g}} dbar: %{{x:.2f}} °C<extra>{name}</extra>",
        })  # fmt: skip
    if not traces:
        return None
    plot = layout(height=360, top=24)
    plot["xaxis"] |= {"title": {"text": "temperature, °C"}}
    plot["yaxis"] |= pressure_axis(deepest)
    return {"data": traces, "layout": plot}


def _most(found: Iterable[Curves]) -> float:
    """Frames in the fullest bin."""
    return max((float(np.nansum(frames.counts, axis=1).max()) for frames in found), default=1.0)


def _thin(frames: Sequence[Mapping[str, Any]], most: int) -> Sequence[Mapping[str, Any]]:
    if len(frames) <= most:
        return frames
    return [frames[i] for i in np.linspace(0, len(frames) - 1, most).round().astype(int)]


def _hours(frame: Mapping[str, Any], started_ms: int) -> float:
    return round((int(frame["time_ms"]) - started_ms) / 3.6e6, 4)
