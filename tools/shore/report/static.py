"""The plots of a page as PNG and PDF, drawn by matplotlib from the same dictionaries: no browser is needed.

It knows what our plots use of Plotly and no more: what it does not know, it refuses. The same plot gives the
same bytes (with one version of matplotlib).
"""

from __future__ import annotations

import base64
import contextlib
import io
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.errors import InputError
from tools.shore.report.style import Figure

WIDTH_IN, DPI = 7.0, 200
PX_PER_IN = 90.0
"""Pixels of the page's layout to an inch on paper."""
_MARKERS = {
    "circle": "o",
    "circle-open": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "cross": "P",
    "x": "X",
    "star": "*",
    "pentagon": "p",
}


def write_figures(plots: Mapping[str, Figure], folder: Path) -> list[Path]:
    """Write every plot as NAME.png and NAME.pdf, and return the files.

    Raises
    ------
    InputError
        When the folder cannot be written.
    ImportError
        When matplotlib is missing: ``pip install 'seston[shore]'``.
    """
    written = []
    with _matplotlib():
        from matplotlib import pyplot

        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, plot in plots.items():
                drawing = draw(plot)
                for suffix, metadata in (
                    (".png", {"Software": None}),
                    (".pdf", {"CreationDate": None, "Producer": None, "Creator": None}),
                ):
                    file = folder / (re.sub(r"[^\w.-]+", "-", name) + suffix)
                    part = file.with_name(file.name + ".part")
                    drawing.savefig(part, format=suffix[1:], dpi=DPI, metadata=metadata)
                    part.replace(file)
                    written.append(file)
                pyplot.close(drawing)
        except OSError as cause:
            raise InputError(
                f"cannot be written ({cause.strerror or cause})",
                file=folder,
                field="--figures",
                remedy="choose another folder",
            ) from cause
    return written


def picture(plot: Figure) -> str:
    """One plot as an SVG element, for a page that is to be seen before its plots can be drawn."""
    with _matplotlib(), io.StringIO() as text:
        from matplotlib import pyplot

        drawing = draw(plot)
        drawing.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        pyplot.close(drawing)
        svg = text.getvalue()
    return svg[svg.index("<svg") :].strip()


@contextlib.contextmanager
def _matplotlib() -> Iterator[None]:
    """Draw without a screen, the same bytes each time."""
    import matplotlib

    matplotlib.use("Agg")
    wishes = {
        "font.family": "DejaVu Sans", "font.size": 8, "pdf.fonttype": 42, "svg.fonttype": "none",
        "svg.hashsalt": "seston",
    }  # fmt: skip
    with matplotlib.rc_context(wishes):
        yield


def draw(plot: Figure) -> Any:
    """One plot as a matplotlib figure."""
    from matplotlib import dates, pyplot

    style = plot["layout"]
    drawing, axes = pyplot.subplots(
        figsize=(WIDTH_IN, max(2.0, style["height"] / PX_PER_IN)), layout="constrained"
    )
    categories = _categories(plot)
    if style["xaxis"].get("type") == "date":
        locator = dates.AutoDateLocator()
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    for name, axis in (("xaxis", axes.xaxis), ("yaxis", axes.yaxis)):
        if style[name].get("type") == "log":
            (axes.set_xscale if name == "xaxis" else axes.set_yscale)("log")
        axis.label.set_text(_plain(style[name].get("title", {}).get("text", "")))
    base: dict[tuple[float, float], float] = {}
    for order, trace in enumerate(plot["data"]):
        _TRACES[trace["type"]](axes, trace, categories, style, base, order)
    for shape in style.get("shapes", []):
        _shape(axes, shape)
    axes.grid(True, color="#e3eaed", linewidth=0.6)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_color("#9fb0b8")
    for name, limits, axis in (("xaxis", axes.set_xlim, axes.xaxis), ("yaxis", axes.set_ylim, axes.yaxis)):
        one = style[name]
        if "range" in one:
            limits(*(10**v for v in one["range"]) if one.get("type") == "log" else one["range"])
        if one.get("rangemode") == "tozero":
            limits(0)
        if "tickvals" in one:
            axis.set_ticks(one["tickvals"], [str(t) for t in one.get("ticktext", one["tickvals"])])
            axis.set_ticks([], minor=True)
    if categories:
        axes.set_yticks(range(len(categories)), list(categories))
    for image in style.get("images", []):
        _image(axes, image)
    _words(axes, style.get("annotations", []))
    named = [t for t in plot["data"] if t.get("name") and t["type"] in ("scatter", "bar")]
    if len(named) > 1:
        handles, labels = axes.get_legend_handles_labels()
        once = dict(zip(labels, handles, strict=True))
        drawing.legend(
            once.values(), once.keys(), loc="outside upper left", ncols=3, frameon=False, fontsize=7
        )
    return drawing


def _categories(plot: Figure) -> dict[str, int]:
    """Names along the upright axis, from below, in the order in which they come."""
    found: dict[str, int] = {}
    for trace in plot["data"]:
        for y in trace.get("y") or []:
            if isinstance(y, str):
                found.setdefault(y, len(found))
    return found


def _numbers(values: Any, categories: Mapping[str, int]) -> np.ndarray:
    """Places along an axis: numbers, categories, or times, which matplotlib counts in days since 1970."""

    def number(value: Any) -> float:
        if isinstance(value, str):
            if value in categories:
                return categories[value]
            return float((np.datetime64(value, "s") - np.datetime64(0, "s")) / np.timedelta64(1, "D"))
        return math.nan if value is None else float(value)

    return np.array([number(value) for value in values], dtype=float)


def _scatter(
    axes: Any, trace: dict[str, Any], categories: Mapping[str, int], style: Any, base: Any, order: int
) -> None:
    x, y = (_numbers(trace[name], categories) for name in "xy")
    line, marker, mode = trace.get("line", {}), trace.get("marker", {}), trace["mode"]
    step = {"vh": "post", "hv": "post"}.get(line.get("shape", ""))
    colour = line.get("color", marker.get("color", "#0072b2"))
    colour = colour if isinstance(colour, str) else "#0072b2"
    label = trace.get("name")
    if step:
        x, y = _stairs(x, y, upright=line["shape"] == "vh")
    if "fill" in trace:
        fill = axes.fill_betweenx if trace["fill"] == "tozerox" else axes.fill_between
        along, value = (y, x) if trace["fill"] == "tozerox" else (x, y)
        fill(along, 0, value, color=trace.get("fillcolor", colour), linewidth=0, label=label)
        label = None
    if "lines" in mode and line.get("width", 2) > 0:
        dash = line.get("dash", "solid")
        style_of = "-" if dash == "solid" else (0, (1, 1.5)) if dash == "dot" else (0, (4, 2.5))
        axes.plot(x, y, color=colour, linewidth=0.7 * line.get("width", 2), linestyle=style_of, label=label)
        label = None
    for name in ("error_x", "error_y"):
        if name in trace:
            ends = np.nan_to_num([_numbers(trace[name][end], {}) for end in ("arrayminus", "array")])
            axes.errorbar(
                x,
                y,
                **{name[-1] + "err": ends},
                fmt="none",
                ecolor=trace[name]["color"],
                elinewidth=0.7,
                capsize=1.5,
            )
    if "markers" in mode:
        _marks(axes, x, y, marker, colour, label)


def _stairs(x: np.ndarray, y: np.ndarray, *, upright: bool) -> tuple[np.ndarray, np.ndarray]:
    """Corners of a line that follows the axis first, then crosses over."""
    if not len(x):
        return x, y
    along, across = (y, x) if upright else (x, y)
    a, b = np.repeat(along, 2)[1:], np.repeat(across, 2)[:-1]
    return (b, a) if upright else (a, b)


def _marks(
    axes: Any, x: np.ndarray, y: np.ndarray, marker: dict[str, Any], colour: str, label: str | None
) -> None:
    symbols = marker.get("symbol", "circle")
    each = [symbols] * len(x) if isinstance(symbols, str) else symbols
    size = np.broadcast_to(np.asarray(marker.get("size", 6), dtype=float), x.shape)
    shade = marker.get("color", colour)
    for symbol in dict.fromkeys(each):
        mine = np.array([one == symbol for one in each])
        look: dict[str, Any] = {"color": shade if isinstance(shade, str) else colour}
        if not isinstance(shade, str):
            look = {
                "c": _numbers(shade, {})[mine],
                "cmap": _colours(marker["colorscale"]),
                "edgecolors": "#5a6b75",
            }
        elif symbol.endswith("-open"):
            look = {"facecolors": "none", "edgecolors": shade}
        axes.scatter(
            x[mine],
            y[mine],
            s=(0.8 * size[mine]) ** 2,
            marker=_MARKERS[symbol],
            linewidths=0.5,
            label=label,
            zorder=3,
            **look,
        )
        label = None


def _bar(
    axes: Any, trace: dict[str, Any], categories: Mapping[str, int], style: Any, base: Any, order: int
) -> None:
    lying = trace.get("orientation") == "h"
    place, value = (_numbers(trace[name], categories) for name in ("yx" if lying else "xy"))
    width = np.broadcast_to(np.asarray(trace.get("width", _spacing(place)), dtype=float), place.shape)
    starts = np.zeros(len(place))
    for i, (at, v) in enumerate(zip(place.tolist(), value.tolist(), strict=True)):
        key = (at, math.copysign(1, v))
        starts[i] = base.get(key, 0.0)
        base[key] = starts[i] + v
    look = {"color": trace["marker"]["color"], "label": trace.get("name"), "linewidth": 0}
    if lying:
        axes.barh(place, value, height=width, left=starts, **look)
    else:
        axes.bar(place, value, width=width, bottom=starts, **look)


def _spacing(place: np.ndarray) -> float:
    return 0.92 * float(np.diff(np.sort(place)).min()) if len(place) > 1 else 0.8


def _heatmap(
    axes: Any, trace: dict[str, Any], categories: Mapping[str, int], style: Any, base: Any, order: int
) -> None:
    z = np.array([[math.nan if v is None else v for v in row] for row in trace["z"]], dtype=float)
    x, y = (
        _edges(_numbers(trace[name], {}), n, style[f"{name}axis"].get("type") == "log")
        for name, n in (("x", z.shape[1]), ("y", z.shape[0]))
    )
    axes.pcolormesh(
        x,
        y,
        np.ma.masked_invalid(z),
        cmap=_colours(trace["colorscale"]),
        vmin=trace.get("zmin"),
        vmax=trace.get("zmax"),
        rasterized=True,
    )


def _edges(places: np.ndarray, n: int, is_log: bool) -> np.ndarray:
    """Ends of n cells, from their ends or their middles."""
    if len(places) == n + 1:
        return places
    p = np.log(places) if is_log else places
    half = np.diff(p) / 2 if n > 1 else np.array([0.5])
    ends = np.concatenate([[p[0] - half[0]], p[:-1] + half if n > 1 else [], [p[-1] + half[-1]]])
    return np.exp(ends) if is_log else ends


def _box(
    axes: Any, trace: dict[str, Any], categories: Mapping[str, int], style: Any, base: Any, order: int
) -> None:
    keys = {"whislo": "lowerfence", "q1": "q1", "med": "median", "q3": "q3", "whishi": "upperfence"}
    stats = [
        dict(zip([*keys, "fliers"], [*values, []], strict=True))
        for values in zip(*(trace[name] for name in keys.values()), strict=True)
    ]
    axes.bxp(
        stats,
        positions=_numbers(trace["y"], categories),
        orientation="horizontal",
        widths=0.6,
        patch_artist=True,
        showfliers=False,
        boxprops={"facecolor": trace["fillcolor"], "edgecolor": trace["line"]["color"]},
        manage_ticks=False,
    )


_TRACES = {"scatter": _scatter, "bar": _bar, "heatmap": _heatmap, "box": _box}


def _shape(axes: Any, shape: dict[str, Any]) -> None:
    x, y = (shape["x0"], shape["x1"]), (shape["y0"], shape["y1"])
    if shape["type"] == "line":
        axes.plot(
            x,
            y,
            color=shape["line"]["color"],
            linewidth=0.7,
            linestyle=(0, (4, 2.5)),
            scalex=False,
            scaley=False,
        )
    else:
        low = min(x), min(y)
        from matplotlib.patches import Rectangle

        axes.add_patch(
            Rectangle(low, max(x) - low[0], max(y) - low[1], color=shape["fillcolor"], linewidth=0, zorder=0)
        )


def _image(axes: Any, image: dict[str, Any]) -> None:
    data = base64.b64decode(image["source"].partition(",")[2])
    pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        return
    box = axes.get_window_extent()
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    per_px = abs(x1 - x0) / box.width, abs(y1 - y0) / box.height
    scale = min(
        image["sizex"] / (pixels.shape[1] * per_px[0]), image["sizey"] / (pixels.shape[0] * per_px[1])
    )
    w, h = scale * pixels.shape[1] * per_px[0] / 2, scale * pixels.shape[0] * per_px[1] / 2
    axes.imshow(
        pixels,
        cmap="gray",
        vmin=0,
        vmax=255,
        aspect="auto",
        interpolation="nearest",
        zorder=4,
        extent=(image["x"] - w, image["x"] + w, image["y"] - h, image["y"] + h),
    )
    axes.set_xlim(x0, x1)
    axes.set_ylim(y0, y1)


def _words(axes: Any, annotations: Any) -> None:
    for one in annotations:
        if one.get("xref") == "paper":
            axes.annotate(
                one["text"],
                (one["x"], one["y"]),
                xycoords="axes fraction",
                xytext=(one.get("xshift", 0), one.get("yshift", 0) + 2),
                textcoords="offset points",
                ha=one.get("xanchor", "center"),
                va="bottom",
                fontsize=7,
                color=one.get("font", {}).get("color", "#22323c"),
            )


def _colours(scale: Any) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("scale", [(float(at), colour) for at, colour in scale])


def _plain(text: str) -> str:
    return re.sub(r"<[^>]+>", "", text)
