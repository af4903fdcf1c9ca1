"""Where a fleet dived: tracks, with the coast around. Pure; the coast's lines are given."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tools.shore.report.digest import Digest
from tools.shore.report.over_time import COLOURS, SYMBOLS, when
from tools.shore.report.style import Figure, layout, plain, plain_list


def track_map(dives: Sequence[Digest], coast: Iterable[Sequence[int]]) -> Figure | None:
    """Where the dives were, with the coast around: longitude against latitude, true to shape in the middle.

    `coast`: lines of longitude, latitude ... in tenths of a degree.
    """
    placed = [
        d
        for d in dives
        if d.science.seen.latitude_deg is not None and d.science.seen.longitude_deg is not None
    ]
    if not placed:
        return None
    lat = np.array([d.science.seen.latitude_deg for d in placed], dtype=np.float64)
    lon = beside([float(d.science.seen.longitude_deg or 0) for d in placed])
    middle, reach = (
        (float(lon.min() + lon.max()) / 2, float(lat.min() + lat.max()) / 2),
        max(3.0, 0.75 * float(np.ptp(lon)), 0.75 * float(np.ptp(lat))),
    )
    squeeze = max(0.1, math.cos(math.radians(middle[1])))
    x0, x1 = middle[0] - 1.7 * reach / squeeze, middle[0] + 1.7 * reach / squeeze
    y0, y1 = max(-90.0, middle[1] - reach), min(90.0, middle[1] + reach)
    xs, ys = _coast_in(coast, (x0, x1), (y0, y1))
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": xs,
            "y": ys,
            "hoverinfo": "skip",
            "showlegend": False,
            "connectgaps": False,
            "line": {"color": "#6d7a83", "width": 1},
        }
    ]
    for i, (platform, mine) in enumerate(_by_platform(placed, lon)):
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": platform,
                "x": plain_list([x for _, x in mine]),
                "y": plain_list([d.science.seen.latitude_deg for d, _ in mine]),
                "text": [f"dive {d.number}, {when(d) or 'time unknown'}" for d, _ in mine],
                "line": {"color": COLOURS[i % len(COLOURS)], "width": 1.5},
                "marker": {
                    "size": 8,
                    "color": COLOURS[i % len(COLOURS)],
                    "symbol": SYMBOLS[i % len(SYMBOLS)],
                },
                "hovertemplate": "%{text}: %{y:.3f}, %{x:.3f}<extra>" + platform + "</extra>",
            }
        )
    plot = layout(height=420, left=48)
    plot["xaxis"] |= {"title": {"text": "longitude, °E"}, "range": plain_list([x0, x1])}
    plot["yaxis"] |= {
        "title": {"text": "latitude, °N"},
        "range": plain_list([y0, y1]),
        "scaleanchor": "x",
        "scaleratio": plain(1 / squeeze),
    }
    return {"data": traces, "layout": plot}


def beside(longitudes: list[float]) -> np.ndarray:
    """Longitudes without a jump where a track crosses the date line."""
    lon = (np.array(longitudes) + 180) % 360 - 180
    return np.where(lon < 0, lon + 360, lon) if float(np.ptp(lon)) > 180 else lon


def _coast_in(
    coast: Iterable[Sequence[int]], xs: tuple[float, float], ys: tuple[float, float]
) -> tuple[list[float | None], list[float | None]]:
    """The stretches of the coast in a window, three times round the world, parted by None."""
    x_out: list[float | None] = []
    y_out: list[float | None] = []
    for line in coast:
        points = np.array(line, dtype=np.float64).reshape(-1, 2) / 10
        for turn in (-360.0, 0.0, 360.0):
            x, y = points[:, 0] + turn, points[:, 1]
            inside = (x > xs[0] - 5) & (x < xs[1] + 5) & (y > ys[0] - 5) & (y < ys[1] + 5)
            near = inside.copy()
            near[1:] |= inside[:-1]
            near[:-1] |= inside[1:]
            if not near.any():
                continue
            x_out += [float(v) if k else None for v, k in zip(x.round(1), near, strict=True)] + [None]
            y_out += [float(v) if k else None for v, k in zip(y.round(1), near, strict=True)] + [None]
    return x_out, y_out


def _by_platform(
    dives: Sequence[Digest], values: Iterable[Any]
) -> list[tuple[str, list[tuple[Digest, Any]]]]:
    pairs = list(zip(dives, values, strict=True))
    return [
        (name, [p for p in pairs if p[0].platform == name])
        for name in dict.fromkeys(d.platform for d in dives)
    ]
