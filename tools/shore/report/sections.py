"""Time-depth sections of several dives: concentration, one column a dive. Pure, as `figures`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edge.frame import Phase
from tools.shore.report.digest import Digest
from tools.shore.report.over_time import by_platform
from tools.shore.report.style import SEA_SCALE, Figure, layout, plain, plain_list, pressure_axis, short
from tools.shore.science.layers import Layer

EVERYTHING = "all sized particles"
_LAYERS_DBAR = (5, 10, 20, 25, 50, 100, 200)


def sections(dives: Sequence[Digest], label: str) -> list[tuple[str, Figure]]:
    """Concentration of one taxon, or of everything sized, in time and depth: a plot a platform.

    Descent and ascent are put together; a dive is a column around its time, grey is water that was not seen.
    """
    found = []
    for platform, mine in by_platform(dives):
        plot = _section(mine, label)
        if plot is not None:
            found.append((platform, plot))
    return found


def _section(dives: Sequence[Digest], label: str) -> Figure | None:
    edges = common_edges(dives)
    if len(edges) < 2:
        return None
    deepest = float(edges[-1])
    columns = [column(d, label, edges) for d in dives]
    if not any(np.isfinite(c).any() for c, _, _ in columns):
        return None
    times, order = time_edges([int(d.started_ms or 0) for d in dives])
    z, words = [], []
    for at in order:
        if at is None:
            z.append(np.full(len(edges) - 1, math.nan))
            words.append([""] * (len(edges) - 1))
            continue
        per_l, count, litres = columns[at]
        z.append(per_l)
        words.append(
            [
                f"dive {dives[at].number}, {a:g}–{b:g} dbar: {short(float(v))} L⁻¹"
                f" ({c:.0f} in {short(float(w))} L)"
                if math.isfinite(v)
                else ""
                for v, c, w, a, b in zip(
                    per_l, count, litres, edges[:-1].tolist(), edges[1:].tolist(), strict=True
                )
            ]
        )
    values = np.array(z).T
    positive = values[np.isfinite(values) & (values > 0)]
    low = math.log10(float(positive.min()) / 2) if positive.size else -2.0
    high = math.log10(max(float(positive.max()), float(positive.min()) * 2)) if positive.size else 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        shown = np.where(np.isfinite(values), np.maximum(np.log10(values), low), math.nan)
    heat = {
        "type": "heatmap",
        "x": [str(np.datetime64(t, "ms").astype("datetime64[s]")) for t in times],
        "y": edges.tolist(),
        "z": plain_list(shown),
        "zmin": plain(low),
        "zmax": plain(high),
        "colorscale": SEA_SCALE,
        "showscale": False,
        "hoverongaps": False,
        "text": [list(row) for row in zip(*words, strict=True)],
        "hovertemplate": "%{text}<extra></extra>",
    }
    plot = layout(height=260)
    plot["plot_bgcolor"] = "#e4e9eb"
    plot["xaxis"] |= {"type": "date", "showgrid": False}
    plot["yaxis"] |= pressure_axis(deepest) | {"showgrid": False}
    return {"data": [heat], "layout": plot}


def free_layers(dive: Digest) -> list[Layer]:
    """Layers of a dive whose axis is pressure."""
    return [one for one in dive.science.seen.layers if one.scope.phase in (Phase.DESCENT, Phase.ASCENT)]


def column(dive: Digest, label: str, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Concentration, count and water of a dive in common layers; a thicker layer of its own fills several."""
    labels = dive.science.seen.labels
    at = labels.index(label) if label in labels else None
    count, litres = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
    for one in free_layers(dive):
        n, water = (
            (float(one.sized.count.sum()), one.sized.volume_l)
            if label == EVERYTHING
            else ((float(one.taxa[at]), one.named_l) if at is not None else (0.0, 0.0))
        )
        # A layer thicker than the common ones fills all that it reaches over, each with its share.
        inside = (edges[:-1] < one.scope.bottom) & (edges[1:] > one.scope.top)
        share = np.where(
            inside, np.minimum(edges[1:], one.scope.bottom) - np.maximum(edges[:-1], one.scope.top), 0.0
        )
        if share.sum() > 0 and water > 0:
            count += n * share / share.sum()
            litres += water * share / share.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(litres > 0, count / litres, math.nan), count, litres


def time_edges(times_ms: list[int]) -> tuple[list[int], list[int | None]]:
    """Ends of columns around times, and each one's dive: None is a gap of more than three usual intervals."""
    order = sorted(range(len(times_ms)), key=lambda i: times_ms[i])
    times = [times_ms[i] for i in order]
    steps = np.diff(times)
    usual = float(np.quantile(steps, 0.5, method="lower")) if len(steps) else 86_400_000.0
    half = max(1.0, usual / 2)
    ends: list[int] = [round(times[0] - half)]
    columns: list[int | None] = []
    for k, i in enumerate(order):
        columns.append(i)
        if k + 1 == len(order):
            ends.append(round(times[k] + half))
        elif times[k + 1] - times[k] > 3 * usual:
            ends += [round(times[k] + half), round(times[k + 1] - half)]
            columns.append(None)
        else:
            ends.append(max(ends[-1] + 1, (times[k] + times[k + 1]) // 2))
    return ends, columns


def common_edges(dives: Sequence[Digest]) -> np.ndarray:
    """Ends of layers that several dives are put into, dbar; one alone where none has a depth."""
    deepest = max((one.scope.bottom for d in dives for one in free_layers(d)), default=0.0)
    width = next((w for w in _LAYERS_DBAR if w * 40 >= deepest), _LAYERS_DBAR[-1])
    return np.arange(0, deepest + width, width, dtype=np.float64) if deepest > 0 else np.zeros(1)
