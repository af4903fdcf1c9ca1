"""Plots of the dive itself: track, frames by outcome, water seen, temperature. Pure, as `figures`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge.frame import FrameOutcome, Phase
from edge.profile import Ints, Profile
from tools.shore.report.curves import CurveSet, axis_edges, pool_starts, step_line
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


def frames_by_depth(profile: Profile, *, deepest: float, width_dbar: int | None = None) -> Figure:
    """Frames of each bin by outcome, stacked outwards: descent to the left, ascent to the right.

    With `width_dbar` in pools of bins, as `Curves.pooled`.
    """
    parts = []
    for part in profile.phases:
        if part.phase in FREE_PHASES:
            n = len(part.frames)
            starts = np.arange(n) if width_dbar is None else pool_starts(part.edges, width_dbar)
            edges = part.edges[np.append(starts, n)]
            parts.append((part.phase, edges, np.add.reduceat(part.frames, starts, axis=0)))
    phases = {phase for phase, _, _ in parts}
    traces = [
        {
            "type": "bar", "orientation": "h", "name": outcome.label,
            "y": plain_list((edges[1:] + edges[:-1]) / 2), "width": np.diff(edges).tolist(),
            "x": (side(phase, phases) * frames[:, outcome]).tolist(),
            "text": [f"{a}–{b} dbar" for a, b in itertools.pairwise(edges.tolist())], "textposition": "none",
            "customdata": frames[:, outcome].tolist(),
            "marker": {"color": OUTCOME_COLOURS[outcome], "line": {"width": 0}},
            "hovertemplate": f"%{{text}}: %{{customdata}} {outcome.label}<extra>{phase.name.lower()}</extra>",
        }
        for phase, edges, frames in parts
        for outcome in FrameOutcome
        if frames[:, outcome].any()
    ]  # fmt: skip
    plot = layout(height=360) | {"barmode": "relative", "bargap": 0}
    plot["yaxis"] |= pressure_axis(deepest)
    two_sided(plot, phases, _most([frames for _, _, frames in parts]), "frames in the bin")
    return {"data": traces, "layout": plot}


def frames_by_time(profile: Profile) -> Figure | None:
    """Frames of each bin of the park by outcome, stacked; None when there was no park."""
    parts = [part for part in profile.phases if part.phase is Phase.PARK]
    if not parts:
        return None
    hours = axis_edges(Phase.PARK, parts[0].edges)
    traces = [
        {
            "type": "bar", "name": outcome.label, "x": plain_list((hours[1:] + hours[:-1]) / 2),
            "width": plain_list(np.diff(hours)), "y": parts[0].frames[:, outcome].tolist(),
            "marker": {"color": OUTCOME_COLOURS[outcome], "line": {"width": 0}},
            "hovertemplate": f"%{{y}} {outcome.label}<extra></extra>",
        }
        for outcome in FrameOutcome
        if parts[0].frames[:, outcome].any()
    ]  # fmt: skip
    plot = layout(height=200) | {"barmode": "stack", "bargap": 0}
    plot["xaxis"] |= {
        "title": {"text": "hours of park"}, "range": [0, plain(hours[-1])], "tick0": 0,
        "dtick": nice_step(float(hours[-1]) / 4),
    }  # fmt: skip
    plot["yaxis"] |= {
        "title": {"text": "frames in the bin"},
        "dtick": max(1, nice_step(_most([parts[0].frames]) / 3)),
    }
    return {"data": traces, "layout": plot}


def volumes(board: CurveSet, *, deepest: float) -> Figure:
    """Water sized (filled) and classified (dashed) in each bin, litres: descent left, ascent right."""
    phases = {phase for phase in board.spectrum if phase in FREE_PHASES}
    traces: list[dict[str, Any]] = []
    for words, found in (("sized", board.spectrum), ("classified", board.taxa)):
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


def temperatures(profile: Profile, *, deepest: float) -> Figure | None:
    """Mean temperature of each bin of descent and ascent; None when none was read."""
    traces = []
    for part in profile.phases:
        if part.phase is Phase.PARK or not part.n_temperature.any():
            continue
        name, known = part.phase.name.lower(), part.n_temperature > 0
        traces.append({
            "type": "scatter", "mode": "lines+markers", "name": name,
            "x": plain_list(part.temperature_c()[known]),
            "y": plain_list(((part.edges[1:] + part.edges[:-1]) / 2)[known]),
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


def _most(tables: Sequence[Ints]) -> float:
    """Frames in the fullest bin of tables (n_bins, 11)."""
    return float(max((int(frames.sum(axis=1).max()) for frames in tables), default=1))


def _thin(frames: Sequence[Mapping[str, Any]], most: int) -> Sequence[Mapping[str, Any]]:
    if len(frames) <= most:
        return frames
    return [frames[i] for i in np.linspace(0, len(frames) - 1, most).round().astype(int)]


def _hours(frame: Mapping[str, Any], started_ms: int) -> float:
    return round((int(frame["time_ms"]) - started_ms) / 3.6e6, 4)
