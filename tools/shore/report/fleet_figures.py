"""Plots of several dives: map, time-depth sections, what was sent, how the instruments fared. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from edge.frame import Phase
from edge.telemetry.health import CONDITION_FIELDS, HEALTH_FIELDS, HealthField
from tools.shore.report.digest import Digest
from tools.shore.report.style import SEA_SCALE, Figure, layout, plain, plain_list, pressure_axis, short
from tools.shore.science.intervals import poisson
from tools.shore.science.layers import Layer

COLOURS = ("#0072b2", "#c2500a", "#007f5f", "#cc79a7", "#5a6b75", "#a6761d", "#7a0f3d", "#1c2226")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star")
EVERYTHING = "all sized particles"
TOLD = (
    "battery_mv",
    "board_temperature_max_c",
    "disk_free_mb",
    "worst_sharpness",
    "lit_grey_centi",
    "dirt_permille",
    "memory_mb",
    "restarts",
)
"""What is told of health, where at least one dive knows it."""
_LAYERS_DBAR = (5, 10, 20, 25, 50, 100, 200)


def when(dive: Digest) -> str | None:
    """Start of a dive as plots take it, or None."""
    if dive.started_ms is None:
        return None
    return str(np.datetime64(dive.started_ms, "ms").astype("datetime64[s]"))


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
    lon = _beside([float(d.science.seen.longitude_deg or 0) for d in placed])
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


def _beside(longitudes: list[float]) -> np.ndarray:
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


def sections(dives: Sequence[Digest], label: str) -> list[tuple[str, Figure]]:
    """Concentration of one taxon, or of everything sized, in time and depth: a plot a platform.

    Descent and ascent are put together; a dive is a column around its time, grey is water that was not seen.
    """
    found = []
    for platform, mine in _columns(dives):
        plot = _section(mine, label)
        if plot is not None:
            found.append((platform, plot))
    return found


def _columns(dives: Sequence[Digest]) -> list[tuple[str, list[Digest]]]:
    timed = [d for d in dives if d.started_ms is not None]
    return [
        (name, [d for d in timed if d.platform == name]) for name in dict.fromkeys(d.platform for d in timed)
    ]


def _section(dives: Sequence[Digest], label: str) -> Figure | None:
    deepest = max((one.scope.bottom for d in dives for one in _free(d)), default=0.0)
    if deepest <= 0:
        return None
    width = next((w for w in _LAYERS_DBAR if w * 40 >= deepest), _LAYERS_DBAR[-1])
    edges = np.arange(0, deepest + width, width, dtype=np.float64)
    columns = [_column(d, label, edges) for d in dives]
    if not any(np.isfinite(c).any() for c, _, _ in columns):
        return None
    times, order = _time_edges([int(d.started_ms or 0) for d in dives])
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


def _free(dive: Digest) -> list[Layer]:
    return [one for one in dive.science.seen.layers if one.scope.phase in (Phase.DESCENT, Phase.ASCENT)]


def _column(dive: Digest, label: str, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Concentration, count and water of a dive in common layers; a thicker layer of its own fills several."""
    labels = dive.science.seen.labels
    at = labels.index(label) if label in labels else None
    count, litres = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
    for one in _free(dive):
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


def _time_edges(times_ms: list[int]) -> tuple[list[int], list[int | None]]:
    """Ends of columns around times, and each one's dive: None is a gap of more than three usual intervals."""
    order = sorted(range(len(times_ms)), key=lambda i: times_ms[i])
    times = [times_ms[i] for i in order]
    steps = np.diff(times)
    usual = float(np.median(steps)) if len(steps) else 86_400_000.0
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


def taxa_of(dives: Sequence[Digest]) -> list[str]:
    """Every taxon that any of the dives has seen, the most frequent first."""
    total: dict[str, int] = {}
    for dive in dives:
        for row in dive.science.taxa[0][1]:
            total[row.label] = total.get(row.label, 0) + row.count
    return sorted((label for label, n in total.items() if n), key=lambda label: (-total[label], label))


def over_time(
    dives: Sequence[Digest],
    value: Callable[[Digest], float | None],
    title: str,
    *,
    height: int = 220,
    log: bool = False,
) -> Figure | None:
    """A number of each dive against time, a line a platform; None where no dive knows it."""
    traces = []
    for i, (platform, mine) in enumerate(_columns(dives)):
        pairs = [(d, v) for d in mine if (v := value(d)) is not None and math.isfinite(v)]
        if pairs:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": platform,
                    "x": [when(d) for d, _ in pairs],
                    "y": plain_list([v for _, v in pairs]),
                    "text": [f"dive {d.number}" for d, _ in pairs],
                    "line": {"color": COLOURS[i % len(COLOURS)], "width": 1.4},
                    "marker": {
                        "size": 6,
                        "color": COLOURS[i % len(COLOURS)],
                        "symbol": SYMBOLS[i % len(SYMBOLS)],
                    },
                    "hovertemplate": "%{text}: %{y:.4g}<extra>" + platform + "</extra>",
                }
            )
    if not traces:
        return None
    plot = layout(height=height)
    plot["xaxis"] |= {"type": "date"}
    plot["yaxis"] |= {"title": {"text": title}} | ({"type": "log", "exponentformat": "power"} if log else {})
    return {"data": traces, "layout": plot}


def budgets(dives: Sequence[Digest]) -> Figure | None:
    """Bytes of each dive against time, and what was allowed."""
    sent = over_time(dives, lambda d: float(d.sent_bytes), "bytes", height=260)
    if sent is None:
        return None
    allowed = over_time(dives, lambda d: None if d.budget_bytes is None else float(d.budget_bytes), "bytes")
    for trace in [] if allowed is None else allowed["data"]:
        trace |= {
            "mode": "lines",
            "name": f"{trace['name']}, allowed",
            "line": trace["line"] | {"dash": "3px,2px", "shape": "hv"},
        }
        del trace["marker"]
        sent["data"].append(trace)
    sent["layout"]["yaxis"] |= {"rangemode": "tozero"}
    return sent


def health(dives: Sequence[Digest]) -> dict[str, tuple[str, Figure]]:
    """By name of the field: its words, and its plot."""
    found = {}
    for field in (*HEALTH_FIELDS, *CONDITION_FIELDS):
        if field.name in TOLD:
            figure = over_time(dives, _reader(field), _unit(field))
            if figure is not None:
                found[field.name] = (field.words, figure)
    return found


def drift(dives: Sequence[Digest]) -> Figure | None:
    """How far the particles of each dive are from what its model was tested on."""

    def value(dive: Digest) -> float | None:
        found = None if dive.condition is None else dive.condition.drift_permille
        return None if found is None else found / 1000

    return over_time(dives, value, "drift, 0 to 1", height=260)


def _reader(field: HealthField) -> Callable[[Digest], float | None]:
    scale = {"mV": 1000, "MB": 1000, "‰": 1000, "grey": 100}.get(field.unit, 1)

    def read(dive: Digest) -> float | None:
        for record in (dive.health, dive.condition):
            value = None if record is None else getattr(record, field.name, None)
            if value is not None:
                return float(value) / scale
        return None

    return read


def _unit(field: HealthField) -> str:
    return {"mV": "V", "MB": "GB", "‰": "share", "grey": "grey, of 255", "": "number"}.get(
        field.unit, field.unit
    )


def compared_taxa(dives: Sequence[Digest], most: int = 12) -> Figure | None:
    """Concentration of taxa of several dives side by side, with counting intervals; the last one is this."""
    labels = taxa_of(dives)[:most][::-1]
    if not labels:
        return None
    traces = []
    for i, dive in enumerate(dives):
        rows: Mapping[str, Any] = {row.label: row for row in dive.science.taxa[0][1]}
        mine = [rows[label] for label in labels if label in rows and rows[label].count]
        value, low, high = (
            np.array([getattr(row, f"per_l{end}") for row in mine]) * 1000 for end in ("", "_low", "_high")
        )
        is_this = i == len(dives) - 1
        colour = "#0b4f78" if is_this else ("#9aa7ae", "#c2500a", "#007f5f", "#cc79a7", "#a6761d")[i % 5]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"dive {dive.number}" + (" (this)" if is_this else ""),
                "x": plain_list(value),
                "y": [row.label for row in mine],
                "text": [f"{row.count:,} counted" for row in mine],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": plain_list(high - value),
                    "arrayminus": plain_list(value - low),
                    "thickness": 1,
                    "width": 2,
                    "color": colour,
                },
                "marker": {
                    "size": 9 if is_this else 7,
                    "color": colour,
                    "symbol": "diamond" if is_this else "circle",
                },
                "hovertemplate": "%{y}: %{x:.4g} m⁻³, %{text}<extra>dive " + str(dive.number) + "</extra>",
            }
        )
    plot = layout(height=90 + 28 * len(labels), left=12)
    plot["xaxis"] |= {"type": "log", "title": {"text": "m⁻³"}, "exponentformat": "power", "dtick": 1}
    plot["yaxis"] |= {"automargin": True, "categoryorder": "array", "categoryarray": labels}
    return {"data": traces, "layout": plot}


def compared_profile(dives: Sequence[Digest]) -> Figure | None:
    """All sized particles against pressure of several dives, descent and ascent together."""
    traces = []
    deepest = max((one.scope.bottom for d in dives for one in _free(d)), default=0.0)
    if deepest <= 0:
        return None
    width = next((w for w in _LAYERS_DBAR if w * 40 >= deepest), _LAYERS_DBAR[-1])
    edges = np.arange(0, deepest + width, width, dtype=np.float64)
    for i, dive in enumerate(dives):
        per_l, count, litres = _column(dive, EVERYTHING, edges)
        some = np.isfinite(per_l)
        if not some.any():
            continue
        is_this = i == len(dives) - 1
        colour = "#0b4f78" if is_this else ("#9aa7ae", "#c2500a", "#007f5f", "#cc79a7", "#a6761d")[i % 5]
        low, high = poisson(count[some].round())
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"dive {dive.number}" + (" (this)" if is_this else ""),
                "x": plain_list(per_l[some]),
                "y": plain_list(((edges[1:] + edges[:-1]) / 2)[some]),
                "text": [
                    f"{a:.4g} to {b:.4g}"
                    for a, b in zip(low / litres[some], high / litres[some], strict=True)
                ],
                "line": {"color": colour, "width": 2.2 if is_this else 1.2},
                "marker": {"size": 4, "color": colour},
                "hovertemplate": "%{y:g} dbar: %{x:.4g} L⁻¹ (%{text})<extra>dive "
                + str(dive.number)
                + "</extra>",
            }
        )
    if not traces:
        return None
    plot = layout(height=380)
    plot["xaxis"] |= {"title": {"text": "all sized particles, L⁻¹"}, "rangemode": "tozero"}
    plot["yaxis"] |= pressure_axis(deepest)
    return {"data": traces, "layout": plot}
